/* Calls back through frames whose size FRAME sets; with REALIGNED they are aligned too. */
#include <stdlib.h>
#include <string.h>

void oracle_show(unsigned long size);
unsigned long oracle_size(void);
void plugin_enter(void (*back)(void));

static void *volatile kept;

static __attribute__((noinline)) void inner(void (*back)(void))
{
    char frame[FRAME]
#ifdef REALIGNED
        __attribute__((aligned(64)))
#endif
        ;
    unsigned long size = oracle_size();
    memset(frame, 1, sizeof frame);
    __asm__ volatile("" : : "r"(frame) : "memory");
    kept = malloc(size);
    oracle_show(size);
    back();
    __asm__ volatile("" : : "r"(frame) : "memory");
}

void plugin_enter(void (*back)(void))
{
    for (int i = 0; i < 3; i++)
        inner(back);
}
