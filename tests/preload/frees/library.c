/* A library that allocates and frees for others, as users have it: without line numbers. */
#include <stdlib.h>

void *library_take(size_t size);
void library_give(void *p);

void *library_take(size_t size)
{
    return malloc(size);
}

void library_give(void *p)
{
    free(p);
}
