/*
 * Owners: which live buffers end with which other one.
 *
 * What is allocated in a pool ends with the pool, the readers of a buffer with the buffer. An owner
 * has a list of what it owns, linked by record numbers (of OBJECTS) in private memory; records that
 * neither own nor are owned cost nothing here.
 *
 * Invariants:
 *  - a record is in the list of one owner at most; object.owner tells the reader which;
 *  - the list of an owner, and who is in it, change under that owner's lock, one of a few chosen by
 *    its number;
 *  - object.serial changes when the record's buffer ends, under the owner's lock once the record
 *    has links. A member is admitted for a serial: so none is added to an owner that has ended,
 *    even if the record is in use again, and its list only gets shorter;
 *  - a record is given back to its slab when its list is empty, not before.
 * Each operation is O(1). Threads: any; the locks are BL_RANK_OWNERS, taken inside, one at a time.
 * Needs the guard. Signal context: safe under the guard. Errors: false, where there is no memory.
 */
#ifndef BL_OWNERS_H
#define BL_OWNERS_H

#include "ledger.h"

/* A buffer at a moment: the record, as long as the serial is the same. */
struct bl_token {
    uint32_t record; /* 0: none */
    uint32_t serial;
    uint8_t class_number; /* for references.c */
};

/* Makes room for the links of a live record, and returns its token in ret_owner. The caller holds
 * what keeps it from ending. */
bool bl_owners_prepare(uint32_t record, struct bl_token *ret_owner);
/* The same of the owner that a record has. False also: it has none. */
bool bl_owners_of(uint32_t record, struct bl_token *ret_owner);
/* Makes owner that of the record, and of nobody else. False also: it has ended. The caller holds
 * what keeps the record from ending. */
bool bl_owners_link(struct bl_token owner, uint32_t record);
/* The buffer of a record ends: it leaves its owner, and admits no members any more. True: it has
 * members, and is the caller's to empty by bl_owners_pop. */
bool bl_owners_end(uint32_t record);
/* Takes one member out of a record that has links. False: there is none. */
bool bl_owners_pop(uint32_t record, struct bl_token *ret_member);
uint32_t bl_owners_count(uint32_t record);
/* A stack of ended records that have members yet, linked where they were members themselves. */
void bl_owners_push_ended(uint32_t *head, uint32_t record);
void bl_owners_drop_ended(uint32_t *head);

void bl_owners_lock(void);
void bl_owners_unlock(void);
void bl_owners_reset_lock(void);
void bl_owners_reset(void);

#endif
