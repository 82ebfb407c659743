/* APR: pools of requests, below one that stays. */
#include "corpus.h"

#include <apr_general.h>
#include <apr_pools.h>

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

static const struct corpus_case cases[] = {{"early_return", early_return}, {"arena", arena}};

CORPUS_MAIN(cases)
