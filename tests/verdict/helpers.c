/* GBytes that are made, kept and dropped through one function each, as whole code bases do. */
#include "corpus.h"

#include <glib.h>

#include <pthread.h>

CORPUS_FUNCTION static GBytes *make(void)
{
    return g_bytes_new("body", 4); /* @make */
}

CORPUS_FUNCTION static void keep(GBytes *body)
{
    g_bytes_ref(body); /* @keep */
}

CORPUS_FUNCTION static void drop(GBytes *body)
{
    g_bytes_unref(body); /* @drop */
}

/* ---- three references each, of which some buffers lose one and some two ---- */

CORPUS_FUNCTION static void use(GBytes *body, long number)
{
    for (volatile int i = 0; i < 3; i++) {
        keep(body); /* @use */
        if (!(i == 0 && number % 9 == 0) && !(i == 1 && number % 18 == 0))
            drop(body); /* @used */
    }
}

static void request_that_loses_twice(long number)
{
    GBytes *body = make();
    use(body, number);
    drop(body);
}

static void lost_twice(void)
{
    corpus_serve(request_that_loses_twice);
}

/* ---- a balanced pair, and an owner that forgets ---- */

CORPUS_FUNCTION static void look_at(GBytes *body)
{
    keep(body); /* @look */
    drop(body);
}

static void request_of_forgetful_owner(long number)
{
    GBytes *body = make(); /* @owner */
    look_at(body);
    if (corpus_is_unlucky(number))
        return;
    drop(body); /* @owner-end */
}

static void owner(void)
{
    corpus_serve(request_of_forgetful_owner);
}

/* ---- two that are kept side by side: the second one forgets ---- */

static void request_with_two(long number)
{
    GBytes *body = make();
    keep(body); /* @first */
    keep(body); /* @second */
    if (!corpus_is_unlucky(number))
        drop(body); /* @second-end */
    drop(body);     /* @first-end */
    drop(body);
}

static void side_by_side(void)
{
    corpus_serve(request_with_two);
}

/* ---- what a consumer forgets, retained where the helper is not used ---- */

static GAsyncQueue *queue;
static char stop_mark;

static gpointer consume(gpointer unused)
{
    gpointer body;
    for (long number = 1; (body = g_async_queue_pop(queue)) != &stop_mark; number++)
        if (!corpus_is_unlucky(number))
            drop(body); /* @consumed */
    return unused;
}

static void request_to_consumer(long number)
{
    GBytes *body = make();
    (void)number;
    g_async_queue_push(queue, g_bytes_ref(body)); /* @inline-ref */
    drop(body);
}

static void consumer(void)
{
    queue = g_async_queue_new();
    GThread *thread = g_thread_new("consumer", consume, NULL);
    corpus_serve(request_to_consumer);
    g_async_queue_push(queue, &stop_mark);
    g_thread_join(thread);
    g_async_queue_unref(queue);
}

/* ---- a pool that is kept to the end, whose buffers lose references ---- */

#define POOL 50

static GBytes *pool[POOL];

static void request_of_pool(long number)
{
    long which = number % POOL;
    keep(pool[which]); /* @pool-keep */
    if (!(which % 2 == 1 && number > 10 * POOL && number <= 11 * POOL))
        drop(pool[which]); /* @pool-drop */
}

static void pool_and_losses(void)
{
    for (int i = 0; i < POOL; i++)
        pool[i] = make(); /* @pool */
    corpus_pass_ms(30);
    corpus_serve(request_of_pool);
}

/* ---- clean: kept longer than by the owner, in any order ---- */

static void request_in_disorder(long number)
{
    GBytes *body = make();
    keep(body);
    if (number % 3 > 0)
        keep(body);
    drop(body);
    if (number % 3 > 0)
        drop(body);
    look_at(body);
    drop(body);
}

static void disorder(void)
{
    corpus_serve(request_in_disorder);
}

static const struct corpus_case cases[] = {
    {"lost_twice", lost_twice},           {"owner", owner},
    {"side_by_side", side_by_side},       {"consumer", consumer},
    {"pool_and_losses", pool_and_losses}, {"disorder", disorder},
};

CORPUS_MAIN(cases)
