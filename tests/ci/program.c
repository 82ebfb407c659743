/* What the recipes check: tests that pass, and one leak. */
#include <stdlib.h>
#include <string.h>

static __attribute__((noinline)) void forget(void)
{
    char *volatile name = malloc(100);
    strcpy(name, "forgotten");
    name = NULL;
}

static __attribute__((noinline)) void wipe_stack(void)
{
    volatile char stale[16384];
    memset((char *)stale, 0, sizeof(stale));
}

int main(void)
{
    forget();
    wipe_stack();
    return 0;
}
