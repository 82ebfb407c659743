/*
 * References: the live buffers of reference-counted classes, by their handles.
 *
 * Each live buffer has a record in OBJECTS, and a history (history.h). An index leads from handle
 * to record; classes that are kinds of one another share their functions, and the buffer that a
 * handle stands for tells its class. The buffer's own count, where it has one, is compared with the
 * one that was seen (own_count.h).
 *
 * Owns: the index, uthash sharded by handle, in the arena; the handles that ended last. Threads:
 * any; BL_RANK_REFS inside. Needs the guard. Signal context: safe under the guard. Errors: counted
 * by cause.
 */
#ifndef BL_REFERENCES_H
#define BL_REFERENCES_H

#include "own_count.h"

struct bl_ref_policy {
    bool revives;      /* a retain after the end brings it back: pools reset buffers this way */
    bool zero_is_end;  /* count 0 ends the buffer; else only bl_refs_end does */
    bool adopts;       /* a retain of an unknown handle makes it known */
    bool recycles;     /* born again while live: its end could not be seen, and was well */
    bool inlined;      /* most operations cannot be seen: the field differs without drift */
    bool ends_by_free; /* the free of the heap block at its address ends it, whatever its count */
    uint8_t kind_of;   /* the class whose functions are this one's; 0: it has its own */
    struct bl_own_field field;
};

/* What the classes do at count 0; by class number. */
void bl_refs_set_policy(uint8_t class_number, struct bl_ref_policy policy);
/* A handle is born. Again at once for the same handle with no event between: the same birth seen
 * twice, the outermost wins. size in bytes, 0 = unknown. */
void bl_refs_birth(const struct bl_ref_event *e, uint64_t size);
/* Is the handle live? */
bool bl_refs_known(uint64_t handle, uint8_t class_number);
void bl_refs_retain(const struct bl_ref_event *e);
void bl_refs_release(const struct bl_ref_event *e);
/* A release that is one only if it gives back the last reference; else nothing is noted. */
void bl_refs_release_last(const struct bl_ref_event *e);
/* Destroyed, whatever its count. */
void bl_refs_end(const struct bl_ref_event *e);
void bl_refs_resize(const struct bl_ref_event *e, uint64_t size);
/* The handle becomes part of `into`, which answers for it: it leaves the live buffers well. */
void bl_refs_transfer(const struct bl_ref_event *e, uint64_t into);
/* A heap block that held a handle is freed. A call that we could not see must not become an
 * accusation. */
void bl_refs_block_freed(uint64_t address, uint64_t now_ns);

void bl_refs_lock(void);
void bl_refs_unlock(void);
void bl_refs_reset_lock(void);
void bl_refs_reset(void);

#endif
