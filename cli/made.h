/*
 * Parts by their birth: what is taken inside the call that makes an owner, or by the same call of
 * the library and deeper in it, as often for each owner, is a part of it. So is what the library
 * retains in that call, which may have been made long before: a reference for each owner.
 *
 * Each time such a part is made there is an owner, of which the part may be left over, all the
 * same: so it is to be shown that each has one that is leaked as well. Births tell, which are
 * numbered through the process: a thread that is inside the call makes no other owner before this
 * one.
 */
#ifndef BL_MADE_H
#define BL_MADE_H

#include "judge.h"

struct bl_made;

/* Of the first `count` decisions. NULL without memory. */
struct bl_made *bl_made_create(const struct bl_judge *judge, uint32_t count);
void bl_made_destroy(struct bl_made *made);

struct bl_maker {
    uint32_t owner; /* decision, or BL_JUDGE_NONE */
    bool is_inside; /* the part was taken before the call that makes the owner had returned */
};

/* The owners of a part's objects. */
struct bl_maker bl_made_find(struct bl_made *made, uint32_t number);

#endif
