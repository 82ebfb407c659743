/* A server of small functions that the compiler puts into one: what each of them takes it gives
 * back itself, but for what it forgets. */
#include "corpus.h"

#include <glib.h>

/* No code of two calls is made one, as then neither has a line of its own. */
#ifdef __clang__
#define INLINED static inline __attribute__((always_inline))
#define REQUEST static
#else
#define INLINED static inline __attribute__((always_inline))
#define REQUEST __attribute__((optimize("no-tree-tail-merge", "no-crossjumping"))) static
#endif

enum { DROP, CACHE, SEND, LOG, WAIT, PARTS };

static long every[PARTS]; /* one request in so many forgets it; 0: none */
static volatile long sum;

#define SLOTS 16
static GBytes *cache[SLOTS];
static GBytes *waiting[8];
static int waiting_count;

static bool forgets(int part, long number)
{
    return every[part] > 0 && number % every[part] == 0;
}

INLINED GBytes *parse(long number)
{
    return g_bytes_new(&number, sizeof(number)); /* @parse */
}

INLINED void put(GBytes *body, long number)
{
    long slot = number % SLOTS;
    if (cache[slot] && !forgets(CACHE, number))
        g_bytes_unref(cache[slot]);  /* @evict */
    cache[slot] = g_bytes_ref(body); /* @put */
}

INLINED void send(GBytes *body, long number)
{
    GBytes *mine = g_bytes_ref(body); /* @send */
    sum += *(const long *)g_bytes_get_data(mine, NULL);
    if (forgets(SEND, number))
        return;
    g_bytes_unref(mine); /* @sent */
}

INLINED void note(GBytes *body, long number)
{
    GBytes *mine = g_bytes_ref(body); /* @note */
    sum += (long)g_bytes_get_size(mine);
    if (!forgets(LOG, number))
        g_bytes_unref(mine); /* @noted */
}

INLINED void flush_waiting(void)
{
    for (int i = 0; i < waiting_count; i++)
        g_bytes_unref(waiting[i]); /* @flush */
    waiting_count = 0;
}

INLINED void wait_for_more(GBytes *body, long number)
{
    GBytes *mine = g_bytes_ref(body); /* @wait */
    if (forgets(WAIT, number))
        return;
    waiting[waiting_count++] = mine;
    if (waiting_count == 8)
        flush_waiting();
}

INLINED void drop(GBytes *body, long number)
{
    if (!forgets(DROP, number))
        g_bytes_unref(body); /* @drop */
}

REQUEST void request(long number)
{
    GBytes *body = parse(number); /* @request */
    put(body, number);
    send(body, number); /* @sending */
    note(body, number); /* @noting */
    wait_for_more(body, number);
    drop(body, number);
}

static void serve(void)
{
    corpus_serve(request);
    for (int i = 0; i < waiting_count; i++)
        g_bytes_unref(waiting[i]);
    for (int i = 0; i < SLOTS; i++)
        if (cache[i])
            g_bytes_unref(cache[i]);
}

static void nothing(void)
{
    serve();
}

static void rarely_sent(void)
{
    every[SEND] = 300;
    serve();
}

static void never_noted(void)
{
    every[LOG] = 1;
    serve();
}

static void sometimes_waiting(void)
{
    every[WAIT] = 10;
    serve();
}

static void sometimes_dropped(void)
{
    every[DROP] = 10;
    serve();
}

static void rarely_evicted_never_noted(void)
{
    every[CACHE] = 300;
    every[LOG] = 1;
    serve();
}

static void two_of_many(void)
{
    every[SEND] = 7;
    every[LOG] = 10;
    serve();
}

static const struct corpus_case cases[] = {
    {"nothing", nothing},
    {"rarely_sent", rarely_sent},
    {"never_noted", never_noted},
    {"sometimes_waiting", sometimes_waiting},
    {"sometimes_dropped", sometimes_dropped},
    {"rarely_evicted_never_noted", rarely_evicted_never_noted},
    {"two_of_many", two_of_many},
};

CORPUS_MAIN(cases)
