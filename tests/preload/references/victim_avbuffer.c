/*
 * FFmpeg's AVBuffers, made writable and resized while others share them, by four threads. Prints
 * what a right report must say, as JSON.
 *   victim_avbuffer WHAT ROUNDS
 * WHAT: clean      every reference is given back
 *       copy       one in ten of the buffers that make_writable put in place is forgotten
 *       grown      one in ten of the buffers that realloc put in place is forgotten
 *       shared     one in ten of the references that make_writable is to give back is not, because
 *                  another one was taken
 */
#include <libavutil/buffer.h>
#include <libavutil/error.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 4

static const char *what;
static int rounds;
static atomic_int leaked;
static int leak_line;
static AVBufferRef *forgotten[100000];

static void forget(AVBufferRef *buffer)
{
    forgotten[atomic_fetch_add(&leaked, 1)] = buffer;
}

/* Others hold the buffer: it is copied, and the shared one loses a reference without
 * av_buffer_unref.
 */
__attribute__((noinline)) static void copy_on_write(AVBufferRef *shared, int leaks)
{
    AVBufferRef *mine = av_buffer_ref(shared);
    if (strcmp(what, "copy") == 0)
        leak_line = __LINE__ + 1;
    if (av_buffer_make_writable(&mine) < 0)
        abort();
    if (av_buffer_make_writable(&mine) < 0) /* it is writable: nothing happens */
        abort();
    if (leaks && strcmp(what, "copy") == 0)
        forget(mine);
    else
        av_buffer_unref(&mine);
}

__attribute__((noinline)) static void grow(AVBufferRef *shared, int leaks)
{
    AVBufferRef *mine = av_buffer_ref(shared);
    if (strcmp(what, "grown") == 0)
        leak_line = __LINE__ + 1;
    if (av_buffer_realloc(&mine, 300) < 0)
        abort();
    if (av_buffer_realloc(&mine, 500) < 0) /* its own by now: grows where it is */
        abort();
    if (leaks && strcmp(what, "grown") == 0)
        forget(mine);
    else
        av_buffer_unref(&mine);
}

__attribute__((noinline)) static void share(AVBufferRef *shared, int leaks)
{
    AVBufferRef *kept = NULL;
    if (strcmp(what, "shared") == 0)
        leak_line = __LINE__ + 1;
    kept = av_buffer_ref(shared);
    if (leaks && strcmp(what, "shared") == 0)
        forget(kept);
    else
        av_buffer_unref(&kept);
}

static void *work(void *unused)
{
    (void)unused;
    AVBufferRef *fresh = NULL;
    for (int i = 0; i < rounds; i++) {
        AVBufferRef *shared = av_buffer_alloc(100);
        copy_on_write(shared, i % 10 == 0);
        grow(shared, i % 10 == 0);
        share(shared, i % 10 == 0);
        av_buffer_unref(&shared);
        if (av_buffer_realloc(&fresh, (size_t)i % 100 + 1) < 0) /* from nothing, the first time */
            abort();
    }
    av_buffer_unref(&fresh);
    return NULL;
}

/* One buffer for all of them, so that references are taken and given back at once. */
static AVBufferRef *common;

static void *work_on_common(void *unused)
{
    (void)unused;
    for (int i = 0; i < rounds; i++) {
        copy_on_write(common, 0);
        grow(common, 0);
    }
    return NULL;
}

static void run(void *(*function)(void *))
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, function, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    what = argv[1];
    rounds = atoi(argv[2]);
    run(work);
    common = av_buffer_alloc(200);
    run(work_on_common);
    av_buffer_unref(&common);
    printf("{\"leaked\": %d, \"leak_line\": %d}\n", atomic_load(&leaked), leak_line);
    return 0;
}
