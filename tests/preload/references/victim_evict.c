/*
 * More ways of living than are kept: each turn makes a buffer on a path of its own, and the ring
 * that holds the newest of them gives the oldest back. In between come requests, one in ten of
 * which forgets a reference, and ones of which none does. victim_evict TURNS Prints the line of the
 * reference that is forgotten, and how often.
 */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

#define RING  100
#define DEPTH 16

static GBytes *ring[RING];
static int forgotten_line;
static int forgotten;

__attribute__((noinline)) static GBytes *make_here(void)
{
    GBytes *bytes = g_bytes_new("turn", 4);
    __asm__ volatile("");
    return bytes;
}

/* The bits of the turn choose among two calls, all the way down. */
__attribute__((noinline)) static GBytes *make_by(int turn, int depth)
{
    GBytes *bytes;
    if (depth == 0)
        bytes = make_here();
    else if (turn >> (depth - 1) & 1)
        bytes = make_by(turn, depth - 1); // NOLINT(bugprone-branch-clone): two stacks
    else
        bytes = make_by(turn, depth - 1);
    __asm__ volatile("");
    return bytes;
}

__attribute__((noinline)) static void request(int number)
{
    GBytes *body = g_bytes_new("request", 7);
    forgotten_line = __LINE__ + 1;
    GBytes *copy = g_bytes_ref(body);
    if (number % 10 == 3)
        forgotten++;
    else
        g_bytes_unref(copy);
    g_bytes_unref(body);
    __asm__ volatile("");
}

__attribute__((noinline)) static void clean_request(void)
{
    GBytes *body = g_bytes_new("request", 7);
    GBytes *copy = g_bytes_ref(body);
    g_bytes_unref(copy);
    g_bytes_unref(body);
    __asm__ volatile("");
}

int main(int argc, char **argv)
{
    int turns = argc > 1 ? atoi(argv[1]) : 0;
    int requests = 0;
    for (int i = 0; i < turns; i++) {
        GBytes **place = &ring[i % RING];
        if (*place)
            g_bytes_unref(*place);
        *place = make_by(i, DEPTH);
        if (i % 20 == 0) {
            request(requests++);
            clean_request();
        }
    }
    for (int i = 0; i < RING; i++)
        g_bytes_unref(ring[i]);
    printf("{\"line\": %d, \"count\": %d, \"requests\": %d}\n", forgotten_line, forgotten,
           requests);
    return 0;
}
