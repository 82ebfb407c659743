/* What is in use whenever one looks: rings, caches, batches and queues, and what they forget. */
#include "corpus.h"

#include <gio/gio.h>

#include <pthread.h>

#define ROUNDS    50
#define ROUND     64
#define PLACES    1000
#define BATCH     100
#define LEFT_OVER 20

CORPUS_FUNCTION static GBytes *read_body(long number)
{
    return g_bytes_new(&number, sizeof(number)); /* @body */
}

CORPUS_FUNCTION static GBytes *hold(GBytes *body)
{
    return g_bytes_ref(body); /* @hold */
}

CORPUS_FUNCTION static void drop(GBytes *body)
{
    g_bytes_unref(body); /* @drop */
}

CORPUS_FUNCTION static void end_request(GBytes *body)
{
    g_bytes_unref(body); /* @end */
}

/* How long a request takes, apart from the work: nothing in most cases. */
static long pause_ms;

static struct {
    pthread_mutex_t lock;
    GBytes *at[PLACES];
    long used[PLACES]; /* when it was put there or looked up */
    long size;
    long ticks;
    guint32 random;
} ring = {.lock = PTHREAD_MUTEX_INITIALIZER, .size = 8, .random = 2463534242u};

static guint32 next_random(void)
{
    ring.random ^= ring.random << 13;
    ring.random ^= ring.random >> 17;
    ring.random ^= ring.random << 5;
    return ring.random;
}

/* Takes the caller's reference. What was there is forgotten when the request is unlucky. */
static void put(GBytes *body, long place, bool is_unlucky)
{
    GBytes *before = ring.at[place];
    ring.at[place] = body;
    ring.used[place] = ++ring.ticks;
    if (before && !is_unlucky)
        drop(before);
}

CORPUS_FUNCTION static void put_shared(GBytes *body, long place, bool is_unlucky)
{
    put(hold(body), place, is_unlucky); /* @put */
}

static void pause_now(void)
{
    if (pause_ms > 0)
        corpus_pass_ms(pause_ms);
}

/* ---- the oldest goes ---- */

static void request_to_ring(long number)
{
    GBytes *body = read_body(number);
    pthread_mutex_lock(&ring.lock);
    put_shared(body, ring.ticks % ring.size, corpus_is_unlucky(number));
    pthread_mutex_unlock(&ring.lock);
    end_request(body);
    pause_now();
}

/* The ring has the only reference. */
static void request_into_ring(long number)
{
    GBytes *body = read_body(number);
    pthread_mutex_lock(&ring.lock);
    put(body, ring.ticks % ring.size, corpus_is_unlucky(number));
    pthread_mutex_unlock(&ring.lock);
    pause_now();
}

static void ring_of(long size, void (*request)(long number))
{
    ring.size = size;
    corpus_serve(request);
}

static void ring_of_1(void)
{
    ring_of(1, request_to_ring);
}

static void ring_of_8(void)
{
    ring_of(8, request_to_ring);
}

static void ring_of_1000(void)
{
    ring_of(1000, request_to_ring);
}

static void owning_ring_of_1(void)
{
    ring_of(1, request_into_ring);
}

static void owning_ring_of_8(void)
{
    ring_of(8, request_into_ring);
}

static void slow_ring_of_8(void)
{
    pause_ms = 3;
    ring_of(8, request_to_ring);
}

/* Asked long after the work. */
static void idle_ring_of_8(void)
{
    ring_of(8, request_to_ring);
    corpus_pass_ms(10500);
    corpus_ask();
}

/* Asked in the middle of it. */
static void busy_ring_of_8(void)
{
    for (int i = 0; i < 5; i++) {
        ring_of(8, request_to_ring);
        corpus_ask();
    }
}

/* ---- any goes, or the one that was longest not looked up ---- */

static void request_to_any(long number)
{
    GBytes *body = read_body(number);
    pthread_mutex_lock(&ring.lock);
    put_shared(body, next_random() % ring.size, corpus_is_unlucky(number));
    pthread_mutex_unlock(&ring.lock);
    end_request(body);
    pause_now();
}

static long least_used(void)
{
    long least = 0;
    for (long i = 1; i < ring.size; i++)
        if (ring.used[i] < ring.used[least])
            least = i;
    return least;
}

/* Half of the requests find what they look for. */
static void request_to_lru(long number)
{
    if (next_random() % 2) {
        ring.used[next_random() % ring.size] = ++ring.ticks;
        return;
    }
    GBytes *body = read_body(number);
    put_shared(body, least_used(), corpus_is_unlucky(number));
    end_request(body);
}

static void any_of_8(void)
{
    ring_of(8, request_to_any);
}

static void any_of_1000(void)
{
    ring_of(1000, request_to_any);
}

static void any_of_8_emptied(void)
{
    ring_of(8, request_to_any);
    for (long i = 0; i < ring.size; i++)
        put(NULL, i, false);
}

static void slow_any_of_8(void)
{
    pause_ms = 3;
    ring_of(8, request_to_any);
}

static void idle_any_of_8(void)
{
    ring_of(8, request_to_any);
    corpus_pass_ms(10500);
    corpus_ask();
}

static void lru_of_32(void)
{
    ring_of(32, request_to_lru);
}

/* A few are looked up so often that they are never the least used. */
static void request_to_popular(long number)
{
    static long keys[PLACES];
    long key = 1 + 2000 / (1 + next_random() % 2000);
    if (next_random() % 4 == 0)
        key = 2001 + next_random() % 2000;
    for (long i = 0; i < ring.size; i++)
        if (keys[i] == key) {
            ring.used[i] = ++ring.ticks;
            return;
        }
    long place = least_used();
    GBytes *body = read_body(number);
    keys[place] = key;
    put_shared(body, place, corpus_is_unlucky(number));
    end_request(body);
}

static void popular_of_32(void)
{
    ring_of(32, request_to_popular);
}

/* ---- a ring for each thread; the first has twice as much to do as the next, and so on ---- */

static GBytes *rings[16][8];

static void request_to_own_ring(long number)
{
    long thread = (number - 1) % corpus.threads;
    if (number > corpus.requests >> thread)
        return;
    GBytes *body = read_body(number);
    GBytes **place = &rings[thread][number / corpus.threads % 8];
    if (*place && !corpus_is_unlucky(number))
        drop(*place);
    *place = hold(body);
    end_request(body);
}

static void ring_for_each_thread(void)
{
    corpus_serve(request_to_own_ring);
}

CORPUS_FUNCTION static void put_own(GBytes **place, GBytes *body, bool is_unlucky)
{
    if (*place && !is_unlucky)
        drop(*place);
    *place = hold(body);
}

/* Each thread does all its work before the next one begins. */
static void *fill_own_ring(void *data)
{
    GBytes **own = data;
    for (long number = 1; number <= corpus.requests; number++) {
        GBytes *body = read_body(number);
        put_own(&own[number % 8], body, corpus_is_unlucky(number));
        end_request(body);
    }
    return NULL;
}

static void rings_in_turn(void)
{
    for (long i = 0; i < corpus.threads; i++) {
        pthread_t thread;
        CORPUS_NEED(pthread_create(&thread, NULL, fill_own_ring, rings[i]) == 0);
        CORPUS_NEED(pthread_join(thread, NULL) == 0);
    }
}

/* ---- one reference too many is taken of what a ring has ---- */

static void request_held_twice(long number)
{
    GBytes *body = read_body(number);
    put_shared(body, ring.ticks % ring.size, false);
    if (corpus_is_unlucky(number))
        hold(body); /* @again */
    end_request(body);
}

static void ring_held_twice(void)
{
    ring_of(64, request_held_twice);
}

/* ---- a place for one, that is emptied before the next one comes ---- */

static void request_to_slot(long number)
{
    static GBytes *slot;
    if (slot && !corpus_is_unlucky(number))
        end_request(slot);
    slot = read_body(number);
    pause_now();
}

static void slot(void)
{
    corpus_serve(request_to_slot);
}

static void slow_slot(void)
{
    pause_ms = 3;
    corpus_serve(request_to_slot);
}

static void request_alone(long number)
{
    GBytes *body = read_body(number);
    if (!corpus_is_unlucky(number))
        end_request(body);
    pause_now();
}

static void slow_last(void)
{
    pause_ms = 3;
    corpus_serve(request_alone);
}

/* ---- bursts, in which all are in use at once; one of them goes wrong at its end ---- */

#define BURSTS 10

static void serve_burst(long burst, long unlucky)
{
    static GBytes *bodies[PLACES];
    long count = corpus.requests / BURSTS;
    CORPUS_NEED(count <= PLACES);
    for (long i = 0; i < count; i++)
        bodies[i] = read_body(i);
    for (long i = 0; i < count; i++)
        hold(bodies[i]);
    for (long i = 0; i < count; i++)
        drop(bodies[i]);
    for (long i = 0; i < count; i++)
        if (burst != unlucky || !corpus_is_unlucky(i + 1))
            end_request(bodies[i]);
}

static void first_burst(void)
{
    for (long i = 0; i < BURSTS; i++)
        serve_burst(i, 0);
}

static void fourth_burst(void)
{
    for (long i = 0; i < BURSTS; i++)
        serve_burst(i, 3);
}

/* ---- nothing is ever taken out ---- */

static GPtrArray *kept;

CORPUS_FUNCTION static void keep(GBytes *body)
{
    g_ptr_array_add(kept, g_bytes_ref(body)); /* @keep */
}

static void request_that_keeps_all(long number)
{
    GBytes *body = read_body(number);
    keep(body);
    end_request(body);
}

/* A cache that fills: asked after each burst. */
static void filling(void)
{
    kept = g_ptr_array_new();
    for (int i = 0; i < 4; i++) {
        corpus_serve(request_that_keeps_all);
        corpus_ask();
        corpus_pass_ms(200);
    }
}

/* ---- a ring of what a list keeps for ever ---- */

static void keep_in_ring(long number, long place)
{
    GBytes *body = read_body(number);
    put_shared(body, place, corpus_is_unlucky(number));
    keep(body);
    end_request(body);
    pause_now();
}

static void request_to_kept_ring(long number)
{
    keep_in_ring(number, ring.ticks % ring.size);
}

static void request_to_kept_any(long number)
{
    keep_in_ring(number, next_random() % ring.size);
}

static void kept_ring(void)
{
    kept = g_ptr_array_new();
    ring_of(64, request_to_kept_ring);
}

static void slow_kept_ring(void)
{
    pause_ms = 3;
    kept_ring();
}

/* Begins when the program is set up, and is asked in the middle of it. */
static void late_kept_ring(void)
{
    pause_ms = 3;
    kept = g_ptr_array_new();
    corpus_pass_ms(1100);
    ring_of(128, request_to_kept_ring);
    corpus_ask();
}

static void slow_kept_any(void)
{
    pause_ms = 3;
    kept = g_ptr_array_new();
    ring_of(16, request_to_kept_any);
}

static void request_that_keeps_some(long number)
{
    if (number == corpus.requests / 2 + 1)
        corpus_ask();
    GBytes *body = read_body(number);
    if (corpus_is_unlucky(number))
        keep(body);
    end_request(body);
}

/* Asked in the middle of each burst. */
static void keeping_some(void)
{
    kept = g_ptr_array_new();
    for (int i = 0; i < 4; i++) {
        corpus_serve(request_that_keeps_some);
        corpus_pass_ms(200);
    }
}

/* ---- many at once ---- */

static void request_to_batch(long number)
{
    static GBytes *batch[BATCH];
    static long numbers[BATCH];
    static int count;
    numbers[count] = number;
    batch[count++] = read_body(number);
    if (count < BATCH)
        return;
    for (int i = 0; i < count; i++)
        if (!corpus_is_unlucky(numbers[i]))
            drop(batch[i]);
    count = 0;
}

static void batches(void)
{
    corpus_serve(request_to_batch);
}

/* ---- handed over to another thread ---- */

static GAsyncQueue *queue;
static GAsyncQueue *answers;

/* There is a backlog all the while: after requests that were served one by one, some in a row that
 * were not would look forgotten. */
static gpointer consume(gpointer unused)
{
    for (long number = 1; number <= corpus.requests - LEFT_OVER; number++) {
        while (g_async_queue_length(queue) <= LEFT_OVER)
            g_thread_yield();
        GBytes *body = g_async_queue_pop(queue);
        if (!corpus_is_unlucky(number))
            drop(body);
    }
    g_async_queue_push(answers, &answers);
    for (;;)
        corpus_pass_ms(1000);
    return unused;
}

static void request_to_queue(long number)
{
    GBytes *body = read_body(number);
    g_async_queue_push(queue, hold(body));
    end_request(body);
    pause_now();
}

/* The program ends with some still in the queue. */
static void handed_over(void)
{
    queue = g_async_queue_new();
    answers = g_async_queue_new();
    g_thread_unref(g_thread_new("consumer", consume, NULL));
    corpus_serve(request_to_queue);
    g_async_queue_pop(answers);
}

/* ---- a pipeline of threads, that the end of the program cuts ---- */

#define STAGES 3

static GAsyncQueue *stages[STAGES];

/* Each has a reference of its own while it works. */
static gpointer run_stage(gpointer data)
{
    GAsyncQueue **stage = data;
    for (;;) {
        GBytes *body = g_async_queue_pop(*stage);
        GBytes *own = hold(body);
        if (stage + 1 < stages + STAGES)
            g_async_queue_push(stage[1], hold(body));
        drop(body);
        end_request(own);
    }
    return NULL;
}

static void request_to_pipeline(long number)
{
    GBytes *body = read_body(number);
    if (corpus_is_unlucky(number))
        hold(body);
    g_async_queue_push(stages[0], body);
    while (g_async_queue_length(stages[0]) > 16)
        g_thread_yield();
}

static void cut_pipeline(void)
{
    for (int i = 0; i < STAGES; i++)
        stages[i] = g_async_queue_new();
    for (int i = 0; i < STAGES; i++)
        g_thread_unref(g_thread_new("stage", run_stage, &stages[i]));
    corpus_serve(request_to_pipeline);
}

/* ---- rounds of buffers that threads share; some of each round are lost ---- */

static GBytes *shared[ROUND];
static pthread_barrier_t barrier;

static void *share_all(void *unused)
{
    for (long round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&barrier);
        for (long i = 0; i < ROUND; i++) {
            hold(shared[i]);
            drop(shared[i]);
        }
        pthread_barrier_wait(&barrier);
    }
    return unused;
}

/* corpus.every: so many of a round. */
static void rounds(void)
{
    pthread_t threads[16];
    long count = corpus.threads;
    CORPUS_NEED(pthread_barrier_init(&barrier, NULL, (unsigned)count + 1) == 0);
    for (long i = 0; i < count; i++)
        CORPUS_NEED(pthread_create(&threads[i], NULL, share_all, NULL) == 0);
    for (long round = 0; round < ROUNDS; round++) {
        for (long i = 0; i < ROUND; i++)
            shared[i] = read_body(i);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        for (long i = 0; i < ROUND; i++)
            if (corpus.every == 0 || i % (ROUND / corpus.every) != 5)
                end_request(shared[i]);
    }
    for (long i = 0; i < count; i++)
        CORPUS_NEED(pthread_join(threads[i], NULL) == 0);
}

/* The same with the threads of a pool, which are there to the end; each has a reference of each. */
static GAsyncQueue *done;

static void work_on(gpointer body, gpointer unused)
{
    (void)unused;
    drop(body);
    g_async_queue_push(done, &done);
}

static void rounds_in_pool(void)
{
    GThreadPool *pool = g_thread_pool_new(work_on, NULL, (gint)corpus.threads, FALSE, NULL);
    done = g_async_queue_new();
    for (long round = 0; round < ROUNDS; round++) {
        for (long i = 0; i < ROUND; i++) {
            GBytes *body = read_body(i);
            for (long k = 0; k < corpus.threads; k++)
                CORPUS_NEED(g_thread_pool_push(pool, hold(body), NULL));
            if (corpus.every == 0 || i % (ROUND / corpus.every) != 5)
                end_request(body);
        }
        for (long i = 0; i < ROUND * corpus.threads; i++)
            g_async_queue_pop(done);
    }
}

/* ---- a global that is replaced ---- */

static GObject *current;

CORPUS_FUNCTION static GObject *make_settings(void)
{
    return G_OBJECT(g_simple_action_new("settings", NULL)); /* @settings */
}

CORPUS_FUNCTION static void use_settings(GObject *settings)
{
    g_set_object(&current, settings); /* @set */
}

static void request_with_settings(long number)
{
    GObject *settings = make_settings();
    if (corpus_is_unlucky(number))
        current = NULL;
    use_settings(settings);
    g_object_unref(settings); /* @settings-end */
}

static void replaced_global(void)
{
    corpus_serve(request_with_settings);
}

static const struct corpus_case cases[] = {
    {"ring_of_1", ring_of_1},
    {"ring_of_8", ring_of_8},
    {"ring_of_1000", ring_of_1000},
    {"owning_ring_of_1", owning_ring_of_1},
    {"owning_ring_of_8", owning_ring_of_8},
    {"slow_ring_of_8", slow_ring_of_8},
    {"idle_ring_of_8", idle_ring_of_8},
    {"busy_ring_of_8", busy_ring_of_8},
    {"any_of_8", any_of_8},
    {"any_of_1000", any_of_1000},
    {"any_of_8_emptied", any_of_8_emptied},
    {"slow_any_of_8", slow_any_of_8},
    {"idle_any_of_8", idle_any_of_8},
    {"lru_of_32", lru_of_32},
    {"popular_of_32", popular_of_32},
    {"ring_for_each_thread", ring_for_each_thread},
    {"rings_in_turn", rings_in_turn},
    {"ring_held_twice", ring_held_twice},
    {"slot", slot},
    {"slow_slot", slow_slot},
    {"slow_last", slow_last},
    {"first_burst", first_burst},
    {"fourth_burst", fourth_burst},
    {"filling", filling},
    {"kept_ring", kept_ring},
    {"slow_kept_ring", slow_kept_ring},
    {"late_kept_ring", late_kept_ring},
    {"slow_kept_any", slow_kept_any},
    {"keeping_some", keeping_some},
    {"batches", batches},
    {"handed_over", handed_over},
    {"cut_pipeline", cut_pipeline},
    {"rounds", rounds},
    {"rounds_in_pool", rounds_in_pool},
    {"replaced_global", replaced_global},
};

CORPUS_MAIN(cases)
