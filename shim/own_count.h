/*
 * The count that an object keeps of its references, beside the one that was seen.
 *
 * A difference that no operation in flight (flights.h) explains is drift: calls were made that we
 * do not see. Such an object ends when its own count does, is nobody's sibling, and is not accused.
 *
 * Reads the object where the profile says that its count is, as the function called does itself.
 * Threads: the caller holds the object's lock. Signal context: safe under the guard. No errors.
 */
#ifndef BL_OWN_COUNT_H
#define BL_OWN_COUNT_H

#include "flights.h"
#include "history.h"

/* Where it is. */
struct bl_own_field {
    int64_t offset;
    uint8_t width;   /* 1, 2, 4 or 8 bytes; 0: there is none */
    uint8_t checked; /* a birth has shown that it is the count */
};

struct bl_own {
    bool known;
    bool drifts; /* from the count seen, by more than what is in flight */
    int32_t
        after;    /* once this operation is through, and what is in flight where that explains it */
    int32_t read; /* once this operation is through, as it stands */
};

struct bl_own bl_own_read(const struct bl_own_field *field, const struct bl_ref_event *e);
/* The object after one more operation, which is counted in o->refs and in flight from now on.
 * Notes the result in the object; BL_LOSS_counts_drifted counts those that are adrift now, and
 * those that ended so. */
struct bl_own bl_own_compare(const struct bl_own_field *field, uint8_t class_number,
                             struct bl_object *o, const struct bl_ref_event *e);
/* From now until this call is through, e's references may be given back already, not noted yet. */
void bl_own_may_lose(uint8_t class_number, const struct bl_ref_event *e);
/* References that a buffer is born with: its constructor may have taken some for others. Where the
 * first birth of a class shows another count than it gave, the field is something else, in this
 * version of the library, and is not looked at again: BL_CLASS_FIELD_DROPPED. */
int32_t bl_own_at_birth(struct bl_own_field *field, uint8_t class_number,
                        const struct bl_ref_event *e);

/* What is in flight on an object. */
struct bl_flight_sums bl_own_in_flight(uint8_t class_number, uint64_t handle);
/* Notes in the object what its own count is, read after what is in flight. */
void bl_own_note(struct bl_object *o, int32_t own, struct bl_flight_sums flights);

#endif
