/* APR: pools of requests, below one that stays. */
#include "corpus.h"

#include <apr_buckets.h>
#include <apr_general.h>
#include <apr_pools.h>
#include <pthread.h>

static apr_pool_t *root;

static void request_with_pool(long number)
{
    apr_pool_t *pool = NULL;
    CORPUS_NEED(apr_pool_create(&pool, root) == APR_SUCCESS); /* @pool */
    if (!apr_palloc(pool, 100) || corpus_is_unlucky(number))
        return;
    apr_pool_destroy(pool); /* @pool-end */
}

static void early_return(void)
{
    CORPUS_NEED(apr_initialize() == APR_SUCCESS);
    CORPUS_NEED(apr_pool_create(&root, NULL) == APR_SUCCESS);
    corpus_serve(request_with_pool);
}

/* ---- clean: all pools that requests forgot end with the one above ---- */

static void arena(void)
{
    early_return();
    apr_pool_destroy(root);
}

/* ---- buckets: a filter takes one out of its brigade, and forgets it now and then ---- */

static apr_bucket_alloc_t *buckets;

CORPUS_FUNCTION static apr_bucket *new_bucket(void)
{
    static const char text[] = "chunk";
    return apr_bucket_transient_create(text, sizeof(text), buckets); /* @bucket */
}

CORPUS_FUNCTION static void strip(apr_bucket_brigade *brigade, bool is_hasty)
{
    apr_bucket *first = APR_BRIGADE_FIRST(brigade);
    APR_BUCKET_REMOVE(first);
    if (is_hasty)
        return;
    apr_bucket_destroy(first); /* @bucket-end */
}

static void request_with_brigade(long number)
{
    apr_pool_t *pool = NULL;
    CORPUS_NEED(apr_pool_create(&pool, root) == APR_SUCCESS);
    apr_bucket_brigade *brigade = apr_brigade_create(pool, buckets);
    for (int i = 0; i < 3; i++)
        APR_BRIGADE_INSERT_TAIL(brigade, new_bucket());
    strip(brigade, corpus_is_unlucky(number));
    apr_brigade_cleanup(brigade); /* @cleanup */
    apr_pool_destroy(pool);
}

static void brigade(void)
{
    CORPUS_NEED(apr_initialize() == APR_SUCCESS);
    CORPUS_NEED(apr_pool_create(&root, NULL) == APR_SUCCESS);
    buckets = apr_bucket_alloc_create(root);
    corpus_serve(request_with_brigade);
}

/* ---- clean: buckets are split, copied, set aside and handed from brigade to brigade ---- */

static void request_with_hand_over(long number)
{
    apr_pool_t *pool = NULL;
    CORPUS_NEED(apr_pool_create(&pool, root) == APR_SUCCESS);
    apr_bucket_brigade *from = apr_brigade_create(pool, buckets);
    apr_bucket_brigade *to = apr_brigade_create(pool, buckets);
    apr_bucket *body = apr_bucket_heap_create("a longer body", 14, NULL, buckets);
    apr_bucket *copy = NULL;
    APR_BRIGADE_INSERT_TAIL(from, body);
    APR_BRIGADE_INSERT_TAIL(from, new_bucket());
    CORPUS_NEED(apr_bucket_split(body, 3) == APR_SUCCESS);
    CORPUS_NEED(apr_bucket_copy(body, &copy) == APR_SUCCESS);
    APR_BRIGADE_INSERT_HEAD(to, copy);
    CORPUS_NEED(apr_bucket_setaside(APR_BRIGADE_LAST(from), pool) == APR_SUCCESS);
    APR_BRIGADE_CONCAT(to, from);
    if (number % 2 == 0)
        apr_brigade_destroy(to);
    apr_pool_destroy(pool); /* with what is left in its brigades */
}

static void brigade_to_brigade(void)
{
    CORPUS_NEED(apr_initialize() == APR_SUCCESS);
    CORPUS_NEED(apr_pool_create(&root, NULL) == APR_SUCCESS);
    buckets = apr_bucket_alloc_create(root);
    corpus_serve(request_with_hand_over);
    apr_bucket_alloc_destroy(buckets);
    apr_pool_destroy(root);
}

/* ---- pools below that of the request, one of them below the wrong one ---- */

CORPUS_FUNCTION static apr_pool_t *open_scratch(apr_pool_t *parent)
{
    apr_pool_t *scratch = NULL;
    CORPUS_NEED(apr_pool_create(&scratch, parent) == APR_SUCCESS); /* @scratch */
    CORPUS_NEED(apr_palloc(scratch, 10000));
    return scratch;
}

static apr_status_t drop_bodies(void *other)
{
    apr_pool_destroy(other); /* @by-cleanup */
    return APR_SUCCESS;
}

static void request_with_scratch(long number)
{
    apr_pool_t *pool = NULL;
    CORPUS_NEED(apr_pool_create(&pool, root) == APR_SUCCESS);
    apr_pool_t *scratch = open_scratch(corpus_is_unlucky(number) ? root : pool);
    apr_pool_t *below = open_scratch(scratch);
    apr_pool_clear(below);
    if (number % 2 != 0)
        apr_pool_destroy(below); /* @below-end */
    apr_pool_destroy(pool);      /* @request-end */
}

static void sub_pools(void)
{
    CORPUS_NEED(apr_initialize() == APR_SUCCESS);
    CORPUS_NEED(apr_pool_create(&root, NULL) == APR_SUCCESS);
    corpus_serve(request_with_scratch);
}

/* ---- a pool that the clean-up of another one ends, unless nobody registered it ---- */

static void request_with_clean_up(long number)
{
    apr_pool_t *pool = NULL;
    CORPUS_NEED(apr_pool_create(&pool, root) == APR_SUCCESS);
    apr_pool_t *bodies = open_scratch(NULL);
    if (!corpus_is_unlucky(number))
        apr_pool_cleanup_register(pool, bodies, drop_bodies, apr_pool_cleanup_null);
    if (number % 2 == 0)
        apr_pool_clear(pool); /* @cleared */
    apr_pool_destroy(pool);   /* @cleaned-up */
}

static void clean_up(void)
{
    CORPUS_NEED(apr_initialize() == APR_SUCCESS);
    CORPUS_NEED(apr_pool_create(&root, NULL) == APR_SUCCESS);
    corpus_serve(request_with_clean_up);
    apr_pool_destroy(root);
}

/* ---- parts of a split body, one of which is forgotten; they share the bytes ---- */

CORPUS_FUNCTION static apr_bucket *read_chunk(void)
{
    char *bytes = calloc(1, 8000);
    CORPUS_NEED(bytes);
    return apr_bucket_heap_create(bytes, 8000, free, buckets); /* @chunk */
}

static void request_with_parts(long number)
{
    apr_pool_t *pool = NULL;
    CORPUS_NEED(apr_pool_create(&pool, root) == APR_SUCCESS);
    apr_bucket_brigade *from = apr_brigade_create(pool, buckets);
    apr_bucket_brigade *to = apr_brigade_create(pool, buckets);
    apr_bucket *cut;
    APR_BRIGADE_INSERT_TAIL(from, read_chunk());
    CORPUS_NEED(apr_brigade_partition(from, 3000, &cut) == APR_SUCCESS); /* @cut */
    apr_brigade_split_ex(from, cut, to);
    APR_BRIGADE_CONCAT(from, to);
    if (corpus_is_unlucky(number))
        APR_BUCKET_REMOVE(cut);
    apr_brigade_destroy(to);
    apr_brigade_destroy(from); /* @parts-end */
    apr_pool_destroy(pool);
}

static void parts(void)
{
    CORPUS_NEED(apr_initialize() == APR_SUCCESS);
    CORPUS_NEED(apr_pool_create(&root, NULL) == APR_SUCCESS);
    buckets = apr_bucket_alloc_create(root);
    corpus_serve(request_with_parts);
}

/* ---- a brigade that is kept for the next time, in a pool that stays; one that is forgotten ----
 */

static apr_bucket_brigade *kept;

static void request_that_keeps(long number)
{
    apr_bucket_brigade *brigade = apr_brigade_create(root, buckets); /* @brigade */
    APR_BRIGADE_INSERT_TAIL(brigade, new_bucket());
    CORPUS_NEED(apr_bucket_setaside(APR_BRIGADE_FIRST(brigade), root) == APR_SUCCESS);
    APR_BRIGADE_CONCAT(kept, brigade);
    if (number % 4 == 0)
        apr_brigade_cleanup(kept);
    if (!corpus_is_unlucky(number))
        apr_brigade_destroy(brigade); /* @brigade-end */
}

static void brigade_in_root(void)
{
    CORPUS_NEED(apr_initialize() == APR_SUCCESS);
    CORPUS_NEED(apr_pool_create(&root, NULL) == APR_SUCCESS);
    buckets = apr_bucket_alloc_create(root);
    kept = apr_brigade_create(root, buckets);
    corpus_serve(request_that_keeps);
    apr_brigade_destroy(kept);
}

/* ---- connections that are open when the server is told to stop; threads serve them in turn ----
 */

enum { CONNECTIONS = 2 };

struct connection {
    apr_pool_t *pool;
    apr_bucket_alloc_t *buckets;
    apr_bucket *network; /* until the next request */
};

static struct connection connections[CONNECTIONS];
static pthread_mutex_t turn_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_over = PTHREAD_COND_INITIALIZER;
static long turns;

CORPUS_FUNCTION static void open_connection(struct connection *connection)
{
    CORPUS_NEED(apr_pool_create(&connection->pool, root) == APR_SUCCESS); /* @connection */
    connection->buckets = apr_bucket_alloc_create(connection->pool);
}

CORPUS_FUNCTION static apr_bucket *new_network(const struct connection *connection)
{
    return apr_bucket_immortal_create("bytes", 5, connection->buckets); /* @network */
}

CORPUS_FUNCTION static void close_network(struct connection *connection)
{
    apr_bucket_destroy(connection->network); /* @network-end */
    connection->network = NULL;
}

CORPUS_FUNCTION static void close_connection(struct connection *connection)
{
    apr_pool_destroy(connection->pool); /* @connection-end */
    connection->pool = NULL;
}

static void read_request(struct connection *connection, bool is_hasty)
{
    if (!connection->pool)
        open_connection(connection);
    if (connection->network && !is_hasty)
        close_network(connection);
    connection->network = new_network(connection);
}

static void wait_turn(long number)
{
    CORPUS_NEED(pthread_mutex_lock(&turn_lock) == 0);
    while (turns != number - 1)
        CORPUS_NEED(pthread_cond_wait(&turn_over, &turn_lock) == 0);
}

static void end_turn(void)
{
    turns++;
    CORPUS_NEED(pthread_cond_broadcast(&turn_over) == 0);
    CORPUS_NEED(pthread_mutex_unlock(&turn_lock) == 0);
}

static void start_connections(void (*request)(long number))
{
    CORPUS_NEED(apr_initialize() == APR_SUCCESS);
    CORPUS_NEED(apr_pool_create(&root, NULL) == APR_SUCCESS);
    corpus_serve(request);
}

/* The client of one of two connections is silent from the middle on. */
static void request_until_silent(long number)
{
    wait_turn(number);
    read_request(&connections[number > corpus.requests / 2 ? 1 : number % CONNECTIONS],
                 corpus_is_unlucky(number));
    end_turn();
}

static void silent_connection(void)
{
    start_connections(request_until_silent);
    for (int i = 0; i < CONNECTIONS && corpus.every > 0; i++)
        close_network(&connections[i]);
}

/* Two connections come late and are busy until the server is told to stop. The last that comes is
 * ended at once, as there will be no next one; the two are not. */
static void request_until_stop(long number)
{
    wait_turn(number);
    if (number > corpus.requests / 2)
        read_request(&connections[number % CONNECTIONS], false);
    else
        apr_pool_destroy(open_scratch(root));
    if (number == corpus.requests) {
        struct connection last = {.pool = NULL};
        open_connection(&last);
        close_connection(&last);
    }
    end_turn();
}

static void stopped(void)
{
    start_connections(request_until_stop);
}

/* One connection after another, each of which is ended, but for some. */
static void request_and_close(long number)
{
    struct connection connection = {.pool = NULL};
    wait_turn(number);
    read_request(&connection, false);
    if (!corpus_is_unlucky(number))
        close_connection(&connection);
    end_turn();
}

static void closed(void)
{
    start_connections(request_and_close);
}

static const struct corpus_case cases[] = {
    {"early_return", early_return},
    {"arena", arena},
    {"brigade", brigade},
    {"brigade_to_brigade", brigade_to_brigade},
    {"sub_pools", sub_pools},
    {"clean_up", clean_up},
    {"parts", parts},
    {"brigade_in_root", brigade_in_root},
    {"silent_connection", silent_connection},
    {"stopped", stopped},
    {"closed", closed},
};

CORPUS_MAIN(cases)
