/* victim_held mixed|within: what is forgotten in ways that could be told twice, or both ways.
 */
#include "counted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUESTS 400
#define EVERY    10

struct box {
    struct counted *buffer;
    char text[100];
};

static struct counted *volatile kept[REQUESTS];

static __attribute__((noinline)) void finish(struct counted *buffer)
{
    counted_unref(buffer);
}

/* Of those that are forgotten each second one is still known. */
static __attribute__((noinline)) void mixed(int number)
{
    struct counted *buffer = counted_new(100); /* @mixed */
    if (number % EVERY != 0)
        finish(buffer);
    else if (number % (2 * EVERY) == 0)
        kept[number] = buffer;
}

/* The box is forgotten, and with it a reference. */
static __attribute__((noinline)) void within(int number)
{
    struct box *box = malloc(sizeof(*box)); /* @box */
    if (!box)
        abort();
    box->buffer = counted_new(100); /* @within */
    if (number % EVERY == 0)
        return;
    finish(box->buffer);
    free(box);
}

/* No pointer of the program's own is to be found where it has been. */
static __attribute__((noinline)) void clear_stack(void)
{
    char room[8192];
    memset(room, 0, sizeof(room));
    __asm__ volatile("" : : "r"(room) : "memory");
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    for (int i = 0; i < REQUESTS; i++) {
        if (strcmp(what, "mixed") == 0)
            mixed(i);
        else if (strcmp(what, "within") == 0)
            within(i);
    }
    clear_stack();
    return 0;
}
