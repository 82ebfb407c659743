/*
 * What programs say through bufleak.h: marks and checkpoints, what is to be ignored, and the
 * objects of allocators of their own.
 *
 * A pool's objects are buffers of a reference-counted class of its name, made at the first one. A
 * block that they are carved out of moves to the class pool-blocks, and owns them (owners.h), so
 * that they end with it.
 *
 * Owns: which class numbers are pools'. Threads: any; BL_RANK_POOLS inside, around the making of a
 * class. Signal context: safe; a call that interrupts the shim itself is refused. errno is not
 * changed. Errors: counted in calls_refused, or where the buffer's own losses are.
 */
#ifndef BL_ANNOTATE_H
#define BL_ANNOTATE_H

#include "bufleak.h"
#include "capture.h"

bool bl_annotate_is_recorded(void);

void bl_annotate_mark(const char *name, const struct bl_origin *o);
/* NULL: the end of it. */
void bl_annotate_test(const char *name);
void bl_annotate_checkpoint(const char *name, const struct bl_origin *o,
                            struct bufleak_moment *ret_moment);
int64_t bl_annotate_growth(const struct bufleak_moment *since);
/* True: it holds, or cannot be told. */
bool bl_annotate_assert(const struct bufleak_moment *since, uint64_t allowed,
                        const struct bl_origin *o);

void bl_annotate_ignore(uint64_t buffer);
void bl_annotate_scope(int change);

enum bl_annotate_op {
    BL_ANNOTATE_RETAIN,
    BL_ANNOTATE_RELEASE,
    BL_ANNOTATE_FREE,
};
void bl_annotate_block(uint64_t block, const struct bl_origin *o);
void bl_annotate_drop(uint64_t block, const struct bl_origin *o);
void bl_annotate_alloc(const char *pool, uint64_t block, uint64_t object, uint64_t size,
                       const struct bl_origin *o);
void bl_annotate_op(enum bl_annotate_op op, const char *pool, uint64_t object,
                    const struct bl_origin *o);

void bl_annotate_lock(void);
void bl_annotate_unlock(void);
void bl_annotate_reset_lock(void);

#endif
