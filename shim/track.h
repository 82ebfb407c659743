/*
 * The policy of the event path: what is done, and in which order, when a buffer is born or ends.
 *
 * Order: the guard first; then the stack, with no lock held; then interning; then the live table. A
 * buffer's record ends before the real free, and is made after the real alloc.
 * Threads: any. Signal context: an event that interrupts another of the same thread is counted and
 * passed over. errno is not changed. Errors: none; losses are counted.
 */
#ifndef BL_TRACK_H
#define BL_TRACK_H

#include "capture.h"
#include "conf.h"
#include "guard.h"
#include "live.h"

#define BL_CLASS_HEAP 0u
#define BL_CLASS_MMAP 1u

/* bl_track_state: one word per process that a fork which bypasses the handlers turns to 0 */
#define BL_TRACK_FORKED 0u /* a child nobody told us about */
#define BL_TRACK_ON     1u
#define BL_TRACK_OFF    2u /* before the start, or given up */
#define BL_TRACK_HELPER 3u /* on, and the helper thread must be started outside of fork */

extern uint32_t *bl_track_state;
extern struct bl_conf bl_track_conf;
/* What to do about BL_TRACK_FORKED and BL_TRACK_HELPER: set by the process layer. */
extern void (*bl_track_attend)(void);
extern uint8_t bl_track_ignored_class; /* of what bl_tls.ignoring is about; set before that is */
extern bool bl_track_begun;            /* tracking has been switched on once */
/* A heap block of at least bl_track_large_bytes (atomic; SIZE_MAX: none) is given to
 * bl_track_large, which may record it, with a stack and a class of its own choice; false: it has
 * not. */
extern size_t bl_track_large_bytes;
extern bool (*bl_track_large)(struct bl_thread_state *t, const struct bl_origin *o,
                              struct bl_buffer *buffer);

/* False: it has no record. */
bool bl_track_alloc(void *address, size_t size, uint8_t class_number, const struct bl_origin *o);
/* frame: the frame address of the wrapper, compiled with a frame pointer: the origin of the call is
 * read from it if the end of this one is to be recorded. */
void bl_track_free(void *address, const void *frame);
/* The same; false: it has no record, which is for the caller to tell by bl_track_end_unknown if
 * nothing else turns out to be what has ended. */
bool bl_track_end(void *address, const void *frame);
void bl_track_end_unknown(void);

/* The block recorded last by this thread was asked for with another size than it was taken with. */
void bl_track_resize(void *address, size_t size);

/* realloc: begin takes the record out, end puts the new block in, or the old one back. */
struct bl_track_moved {
    struct bl_buffer buffer;
    bool known;
    bool is_limited; /* and its class is one that the limit counts */
    uint64_t taken;  /* of the limit, by the block, and by what it is to grow */
};
void bl_track_realloc_begin(void *old, size_t size, struct bl_track_moved *ret_moved);
void bl_track_realloc_end(const struct bl_track_moved *moved, void *result, size_t size,
                          const struct bl_origin *o);

/* With a limit: may the heap have so many bytes more? What is taken for them is in ret_taken, and
 * is settled (limit.h) by whoever asked. False: they may not, which has been noted. */
bool bl_track_admit(size_t bytes, const struct bl_origin *o, uint64_t *ret_taken);
/* The same between bl_track_realloc_begin and end. */
bool bl_track_admit_moved(struct bl_track_moved *moved, size_t size, const struct bl_origin *o);

/* For enter: what the thread is in the midst of another one of is not recorded. */
void bl_track_pass_by(void);
/* For enter: the state is not BL_TRACK_ON. False: this event is not recorded. */
bool bl_track_attend_state(void);
/* For events of other classes. enter: false = this one is not recorded; else leave must follow. */
BL_INLINE bool bl_track_enter(void)
{
    if (BL_UNLIKELY(bl_tls.guard)) {
        bl_track_pass_by();
        return false;
    }
    bl_guard_enter();
    if (BL_UNLIKELY(bl_load_relaxed(bl_track_state) != BL_TRACK_ON) && !bl_track_attend_state()) {
        bl_guard_leave();
        return false;
    }
    return true;
}
BL_INLINE void bl_track_leave(void)
{
    bl_guard_leave();
}
/* Between the two: the stack of the origin as a frame number, 0 = none. */
uint32_t bl_track_stack_entered(const struct bl_origin *o);
/* A library may have been unloaded: take every cached meaning of an address anew. */
void bl_track_unloaded(void);

#endif
