/* A library of counted things, of whose functions a profile may leave some out. Two ways to make
 * one, to take a reference and to give one back, each pair alike. Threads: one. */
#ifndef LACKING_H
#define LACKING_H

struct thing;
struct thing *thing_new(void);
struct thing *thing_open(void);
struct thing *thing_ref(struct thing *thing);
struct thing *thing_grab(struct thing *thing);
void thing_unref(struct thing *thing);
void thing_drop(struct thing *thing);

#endif
