/*
 * Histories: what was done to each live reference-counted buffer, and how those that ended well had
 * lived.
 *
 * Operations are records in EVENTS, listed from the buffer's object; equal ones (op, stack, delta)
 * fold. When the buffer ends well, the multiset of its operations is looked up among the
 * LIFECYCLES: known, it is counted and the events are free again; new, its events become the
 * exemplar. In which order births and ends came is counted with it, see struct bl_lifecycle. Both
 * are bounded. In a history that is full, retains and releases within one call cancel each other,
 * down to a count of such pairs; what then finds no room is counted. Of the
 * lifecycles the least useful is evicted.
 *
 * Threads: an object's history is its caller's, who holds what guards the object; the lock of the
 * lifecycles is taken inside (BL_RANK_REFS). Needs the guard. Signal context: safe under the
 * guard. Errors: counted by cause.
 */
#ifndef BL_HISTORY_H
#define BL_HISTORY_H

#include "compiler.h"
#include "ledger_format.h"

struct bl_ref_event {
    uint64_t handle;
    uint64_t time_ns;
    uint32_t stack;
    uint32_t thread;
    int32_t delta;
    uint8_t class_number;
    bool through; /* noted after it was done, as births are; else before: it is in flight then */
    uint64_t sp;  /* stack pointer of the function's caller, see flights.h */
};

void bl_history_note(struct bl_object *o, enum bl_op op, const struct bl_ref_event *e);
/* The events from head on are free again. */
void bl_history_drop(uint32_t head);
/* When something happened, by the clock and by the births of the process so far, modulo 2^32. */
struct bl_moment {
    uint64_t time_ns;
    uint32_t births;
};

/* Enters a buffer that ended well. Its events are used up. */
void bl_history_complete(const struct bl_object *o, uint8_t class_number, uint64_t size,
                         struct bl_moment now);

void bl_history_lock(void);
void bl_history_unlock(void);
void bl_history_reset_lock(void);
void bl_history_reset(void);

#endif
