/*
 * Content that is taken out of GBytes by one thread while another gives its reference back, so that
 * it may or may not be the last. Ends with none. victim_steal BUFFERS
 */
#include <glib.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static GBytes **shared;
static int count;
static pthread_barrier_t barrier;

__attribute__((noinline)) static void take_content(GBytes *body)
{
    gsize bytes;
    g_free(g_bytes_unref_to_data(body, &bytes));
}

static void *take_all(void *unused)
{
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < count; i++)
        take_content(shared[i]);
    return unused;
}

static void *give_or_take(void *unused)
{
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < count; i++) {
        if (i % 2 == 0)
            g_bytes_unref(shared[i]);
        else
            take_content(shared[i]);
    }
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t threads[2];
    if (argc != 2 || (count = atoi(argv[1])) <= 0)
        return 2;
    shared = g_new(GBytes *, count);
    for (int i = 0; i < count; i++)
        shared[i] = g_bytes_ref(g_bytes_new("content", 8));
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&threads[0], NULL, take_all, NULL);
    pthread_create(&threads[1], NULL, give_or_take, NULL);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    g_free(shared);
    return 0;
}
