/* Loaded by dlopen, with local names; and, linked to run before everything, as a library whose
 * constructor uses bufleak.h before the shim has begun. */
#include "bufleak.h"

#include <stdlib.h>

static void *volatile kept;

__attribute__((visibility("default"))) int plugin_work(void);
int plugin_work(void)
{
    bufleak_mark("plugin");
    kept = malloc(11);
    bufleak_ignore(kept);
    return bufleak_present();
}

#ifdef BEFORE_ALL
__attribute__((constructor)) static void before_all(void)
{
    struct bufleak_moment moment = bufleak_checkpoint("early");
    bufleak_ignore_begin();
    bufleak_pool_alloc("early", NULL, &moment, 1);
    bufleak_pool_free("early", &moment);
    bufleak_ignore_end();
    if (!bufleak_assert_no_growth(&moment, 0))
        abort();
}
#endif
