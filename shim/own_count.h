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

BL_INLINE int32_t bl_own_load(const struct bl_own_field *field, uint64_t handle)
{
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    const void *at = (const void *)(uintptr_t)(handle + (uint64_t)field->offset);
    switch (field->width) {
    case 1:
        return *(const volatile uint8_t *)at;
    case 2:
        return *(const volatile uint16_t *)at;
    case 4:
        return *(const volatile int32_t *)at;
    default:
        return (int32_t) * (const volatile int64_t *)at;
    }
}

BL_INLINE struct bl_own bl_own_read(const struct bl_own_field *field, const struct bl_ref_event *e)
{
    struct bl_own own = {.known = field->width > 0};
    if (own.known)
        own.after = own.read = bl_own_load(field, e->handle) + (e->through ? 0 : e->delta);
    return own;
}

BL_INLINE uint64_t bl_own_key_of(uint64_t handle, uint8_t class_number)
{
    return handle ^ (uint64_t)class_number << 56;
}

/* Of bl_own_compare, where the counts differ or did. */
struct bl_own bl_own_explain(const struct bl_own_field *field, uint8_t class_number,
                             struct bl_object *o, const struct bl_ref_event *e);

/* The object after one more operation, which is counted in o->refs and in flight from now on.
 * Notes the result in the object; BL_LOSS_counts_drifted counts those that are adrift now, and
 * those that ended so. Inline: what it returns would go through memory, in pieces of another size
 * than it is read. */
BL_INLINE struct bl_own bl_own_compare(const struct bl_own_field *field, uint8_t class_number,
                                       struct bl_object *o, const struct bl_ref_event *e)
{
    struct bl_thread_state *t = bl_tls.thread;
    struct bl_own own = bl_own_read(field, e);
    if (!own.known)
        return own;
    if (BL_UNLIKELY(own.after != o->refs || o->flags & BL_OBJECT_DRIFTED)) {
        own = bl_own_explain(field, class_number, o, e);
    } else {
        o->field = own.after;
        o->flags |= BL_OBJECT_FIELD;
    }
    if (!e->through && BL_LIKELY(t != NULL))
        bl_flights_add(t, bl_own_key_of(e->handle, class_number), e->delta, e->sp);
    return own;
}

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
