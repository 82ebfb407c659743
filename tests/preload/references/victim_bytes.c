/*
 * A request path over GLib's GBytes: a filter retains each body and gives it back, but for one in
 * `every` (0: none). Prints what a right report must say, as JSON.
 *   victim_bytes REQUESTS EVERY THREADS
 */
#include <glib.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define BODY_BYTES 1024

struct work {
    int requests;
    int every;
};

static atomic_int forgotten;
static GBytes *cache[200000]; /* who holds them */
static int retain_line;
static int release_line;

__attribute__((noinline)) static void look_at(GBytes *body)
{
    GBytes *head = g_bytes_new_from_bytes(body, 0, 16);
    g_bytes_unref(head);
}

__attribute__((noinline)) static void filter_join(GBytes *body, int forget)
{
    retain_line = __LINE__ + 1;
    GBytes *copy = g_bytes_ref(body);
    look_at(copy);
    if (forget) {
        cache[atomic_fetch_add(&forgotten, 1)] = copy;
        return;
    }
    release_line = __LINE__ + 1;
    g_bytes_unref(copy);
}

__attribute__((noinline)) static void serve(int number, int every)
{
    static const char text[BODY_BYTES] = "body";
    GBytes *body = g_bytes_new(text, sizeof text);
    filter_join(body, every > 0 && number % every == 0);
    g_bytes_unref(body);
}

static void *serve_all(void *argument)
{
    const struct work *work = argument;
    for (int i = 0; i < work->requests; i++)
        serve(i, work->every);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[16];
    if (argc != 4)
        return 2;
    struct work work = {atoi(argv[1]), atoi(argv[2])};
    int count = atoi(argv[3]);
    for (int i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, serve_all, &work);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    printf("{\"forgotten\": %d, \"bytes\": %d, \"retain_line\": %d, \"release_line\": %d}\n",
           atomic_load(&forgotten), atomic_load(&forgotten) * BODY_BYTES, retain_line,
           release_line);
    return 0;
}
