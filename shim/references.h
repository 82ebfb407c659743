/*
 * References: the live buffers of reference-counted classes, by their handles.
 *
 * Each live buffer has a record in OBJECTS, and a history (history.h). An index leads from handle
 * to record, if the handle is no number that tells it; classes that are kinds of one another share
 * their functions, and the buffer that a handle stands for tells its class. The buffer's own count,
 * where it has one, is compared with the one that was seen (own_count.h). It may have an owner,
 * with which it ends (owners.h).
 *
 * Owns: the index, uthash sharded by handle, in the arena; the handles that ended last. Threads:
 * any; BL_RANK_REFS inside. Needs the guard. Signal context: safe under the guard. Errors: counted
 * by cause.
 */
#ifndef BL_REFERENCES_H
#define BL_REFERENCES_H

#include "ref_index.h"

struct bl_ref_birth {
    uint64_t size;       /* bytes; or BL_REF_SIZE_OF_BLOCK */
    uint64_t owner;      /* handle, of whatever class, with whose end this buffer ends; 0: none */
    uint8_t owner_class; /* of the owner, which may be at the same address; 0: whatever is there */
    uint64_t beside;     /* handle of one with the same owner; 0: none. Only if owner is 0 */
};

/* A handle is born. Again at once for the same handle with no event between: the same birth seen
 * twice, the outermost wins; unless the class recycles, then it is another one. An owner that is
 * not known is counted, and the buffer marked. */
void bl_refs_birth(const struct bl_ref_event *e, const struct bl_ref_birth *birth);
/* A buffer that is to keep its handle for us: a number, which is returned, and set in e. former:
 * the one that its memory has, of an earlier buffer or of this one; 0: none. serial: another one
 * each time. Returns 0 if there is no room. */
uint64_t bl_refs_birth_numbered(struct bl_ref_event *e, uint64_t former, uint32_t serial);
/* May this be such a number? */
BL_INLINE bool bl_refs_is_number(uint64_t handle)
{
    return bl_ref_is_number(handle);
}
/* An operation on the buffer of a number is about to come: asks for the memory that it will need,
 * which is there by the time its stack is known. */
void bl_refs_expect(uint64_t number, int32_t delta);
/* Is the handle, which is no number, live? */
bool bl_refs_known(uint64_t handle, uint8_t class_number);
/* A retain or a release of a number, by delta. */
void bl_refs_count_numbered(const struct bl_ref_event *e);
void bl_refs_retain(const struct bl_ref_event *e);
void bl_refs_release(const struct bl_ref_event *e);
/* A release that is one only if it gives back the last reference. False: it does not, and nothing
 * has been noted. */
bool bl_refs_release_last(const struct bl_ref_event *e);
/* What happens to it cannot be told: it leaves the live buffers with no judgement, and whatever is
 * done to it from now on is done to an unknown handle. Counted, if it was known. */
void bl_refs_forget(const struct bl_ref_event *e);
/* A release of NULL where that is a mistake: an over-release. */
void bl_refs_release_null(const struct bl_ref_event *e);
/* Destroyed, whatever its count, and what it owns with it. */
void bl_refs_end(const struct bl_ref_event *e);
/* What it owns has ended; it stays. */
void bl_refs_clear(const struct bl_ref_event *e);
void bl_refs_resize(const struct bl_ref_event *e, uint64_t size);
/* `holder`, of the same class, holds a reference to the buffer and gives it back at its own end. */
void bl_refs_note_holder(const struct bl_ref_event *e, uint64_t holder);
/* The handle becomes part of `into`, which answers for it: it leaves the live buffers well. */
void bl_refs_transfer(const struct bl_ref_event *e, uint64_t into);
/* It is BL_LIVE_IGNORED from now on, of whatever class. False: none is known. */
bool bl_refs_ignore(uint64_t handle);
/* A heap block that held a handle is freed. A call that we could not see must not become an
 * accusation. True: nor may a release too many that was seen, tell ghosts.h the stack. */
bool bl_refs_block_freed(uint64_t address, uint64_t now_ns);

/* Calls whose effect shows at their end, or which release what they own by calls that are seen. The
 * token tells the buffer even if its address is given out again meanwhile. Whoever began must
 * finish, if only when the call is found to have been left by a jump. */
enum bl_refs_call {
    BL_REFS_DESTROY, /* the end is noted now, it and what it owns end at the finish */
    BL_REFS_CLEAR,
    BL_REFS_REPLACE,
    BL_REFS_MOVE, /* it is not found by its handle until the finish */
};
/* False: the handle is not known, and nothing has begun. */
bool bl_refs_begin(enum bl_refs_call call, const struct bl_ref_event *e,
                   struct bl_token *ret_token);
void bl_refs_finish_destroy(const struct bl_ref_event *e, struct bl_token token);
void bl_refs_finish_clear(const struct bl_ref_event *e, struct bl_token token);
/* replaced: it was, and has lost e's references. */
void bl_refs_finish_replace(const struct bl_ref_event *e, struct bl_token token, bool replaced);
/* into: where it is now; 0: where it was, as it was. */
void bl_refs_finish_move(const struct bl_ref_event *e, struct bl_token token, uint64_t into,
                         uint64_t size);

#endif
