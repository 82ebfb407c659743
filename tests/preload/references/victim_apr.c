/*
 * Requests over APR: a pool for each, with a pool inside, a bucket allocator, a brigade and
 * buckets. Prints what a right report must say, as JSON. victim_apr WHAT REQUESTS WHAT: clean
 * everything ends by the end of its pool, or before pool         one request in ten forgets its
 * pool brigade      one connection for all, whose pool stays; each request makes a brigade of it
 *                    and destroys it, but for one in ten
 *       bucket       the same with a bucket that is taken out of its brigade
 *       cleared      one pool for all, cleared after each request
 */
#include <apr_buckets.h>
#include <apr_general.h>
#include <apr_pools.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int leaked;
static int leak_line;
static int release_line;
static apr_bucket *taken_out[100000];

static apr_status_t on_cleanup(void *data)
{
    /* runs inside apr_pool_destroy: destroys what the pool owns by itself */
    apr_brigade_destroy(data);
    return APR_SUCCESS;
}

__attribute__((noinline)) static apr_bucket_brigade *fill_brigade(apr_pool_t *pool,
                                                                  apr_bucket_alloc_t *list)
{
    apr_bucket_brigade *brigade = apr_brigade_create(pool, list);
    static const char body[4000] = "body";
    apr_brigade_write(brigade, NULL, NULL, body, sizeof body);
    APR_BRIGADE_INSERT_TAIL(brigade, apr_bucket_eos_create(list));
    return brigade;
}

__attribute__((noinline)) static void serve_in(apr_pool_t *pool, int number)
{
    apr_pool_t *inner;
    apr_pool_create(&inner, pool);
    apr_bucket_alloc_t *list = apr_bucket_alloc_create(pool);
    apr_bucket_brigade *brigade = fill_brigade(inner, list);
    if (number % 3 == 0)
        apr_brigade_destroy(brigade);
    else if (number % 3 == 1)
        apr_pool_cleanup_register(pool, fill_brigade(pool, list), on_cleanup,
                                  apr_pool_cleanup_null);
}

__attribute__((noinline)) static void serve(int number, int forget)
{
    apr_pool_t *pool;
    leak_line = __LINE__ + 1;
    apr_pool_create(&pool, NULL);
    serve_in(pool, number);
    if (forget) {
        leaked++;
        return;
    }
    release_line = __LINE__ + 1;
    apr_pool_destroy(pool);
}

__attribute__((noinline)) static void serve_brigade(apr_pool_t *pool, apr_bucket_alloc_t *list,
                                                    int forget)
{
    leak_line = __LINE__ + 1;
    apr_bucket_brigade *brigade = apr_brigade_create(pool, list);
    APR_BRIGADE_INSERT_TAIL(brigade, apr_bucket_eos_create(list));
    if (forget) {
        leaked++;
        return;
    }
    release_line = __LINE__ + 1;
    apr_brigade_destroy(brigade);
}

__attribute__((noinline)) static void serve_bucket(apr_bucket_alloc_t *list, int forget)
{
    leak_line = __LINE__ + 1;
    apr_bucket *bucket = apr_bucket_eos_create(list);
    if (forget) {
        taken_out[leaked++] = bucket;
        return;
    }
    release_line = __LINE__ + 1;
    apr_bucket_destroy(bucket);
}

__attribute__((noinline)) static void run(const char *what, int requests)
{
    apr_pool_t *connection;
    apr_pool_create(&connection, NULL);
    apr_bucket_alloc_t *list = apr_bucket_alloc_create(connection);
    for (int i = 0; i < requests; i++) {
        if (strcmp(what, "brigade") == 0) {
            serve_brigade(connection, list, i % 10 == 0);
        } else if (strcmp(what, "bucket") == 0) {
            serve_bucket(list, i % 10 == 0);
        } else if (strcmp(what, "cleared") == 0) {
            serve_in(connection, i);
            apr_pool_clear(connection);
            list = apr_bucket_alloc_create(connection);
        } else {
            serve(i, strcmp(what, "pool") == 0 && i % 10 == 0);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 3 || apr_initialize() != APR_SUCCESS)
        return 2;
    run(argv[1], atoi(argv[2]));
    printf("{\"leaked\": %d, \"leak_line\": %d, \"release_line\": %d}\n", leaked, leak_line,
           release_line);
    return 0;
}
