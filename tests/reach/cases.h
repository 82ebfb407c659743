/* What the cases share: blocks that the compiler cannot do without, and stacks without leftovers.
 */
#ifndef REACH_CASES_H
#define REACH_CASES_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct node {
    struct node *next;
    void *payload;
    char text[24];
};

/* malloc, as nobody can see through. */
void *plant(size_t size);
/* A chain of so many nodes; its first. */
struct node *plant_list(int count);
/* Overwrites what is left of dead calls below, and the registers that calls do not keep. */
void burn(void);
/* The address as a number that is no pointer to it. */
unsigned long disguise(const void *p);

struct reach_case {
    const char *name;
    void (*run)(void); /* called deep in the stack, which is burnt afterwards */
    bool ends_itself;  /* it ends the process where it is, by exit */
};
extern const struct reach_case cpp_cases[];

#ifdef __cplusplus
}
#endif
#endif
