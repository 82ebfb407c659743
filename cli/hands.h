/*
 * What threads had in their hands when the process ended: see hands.c.
 *
 * Owns judge->hands; borrows the rest of the judge.
 */
#ifndef BL_HANDS_H
#define BL_HANDS_H

#include <stdbool.h>
#include <stddef.h>

struct bl_judge;
struct bl_hands;

/* May all of a group have been in the hands of threads when the process ended, or when they were
 * told to stop for that, as far as siblings tell? */
bool bl_hands_may_hold(const struct bl_judge *judge, size_t first, size_t end);
/* Was all of a group made by calls of which a thread at work held what they made? Fills
 * judge->hands on first need. */
bool bl_hands_hold(struct bl_judge *judge, size_t first, size_t end);
void bl_hands_destroy(struct bl_hands *hands);

#endif
