/*
 * The live table: one record per live buffer.
 *
 * The record is in the ledger's LIVE section, where the reader scans it. The index from address to
 * record is a page map in private memory, with sharded uthash tables for the addresses it cannot
 * hold. Memory per live buffer: 32 bytes in the ledger, 4 of link, and 8 for every 16 bytes of
 * address space around the places where buffers start (half the heap at most). Locks and counters
 * are sharded by thread, so that threads do not meet; whoever holds all shards has stopped every
 * writer.
 *
 * Invariant: an address is in the index exactly while its record has BL_LIVE_BIT. The counters of a
 * shard change under its lock together with the records. A record is ended BEFORE the real free, so
 * that another thread that is given the address at once meets no old record.
 * Threads: any; BL_RANK_LIVE inside. Needs the guard. Signal context: safe under the guard.
 * Errors: a buffer that cannot be recorded is counted by cause; nothing else happens.
 * The rest of the shim sees only this interface: the table behind it can be exchanged.
 */
#ifndef BL_LIVE_H
#define BL_LIVE_H

#include "compiler.h"
#include "ledger_format.h"

struct bl_buffer {
    uint64_t address;
    uint64_t size_bytes;
    uint64_t birth_ns;
    uint32_t stack;
    uint32_t thread;
    uint8_t class_number;
    bool watched; /* where it ends is to be recorded: its removal will say so */
};

/* Registers a class. Before any event. Returns its number or -errno. */
int bl_live_add_class(const char *name);
/* The records of this class are BL_LIVE_IGNORED. Before its first. */
void bl_live_hide_class(uint8_t class_number);
/* Moves a recorded buffer of class `from` into another. False: there is none. */
bool bl_live_move(uint64_t address, uint8_t from, uint8_t to);
/* Records a new buffer. An address that is still recorded had an end we did not see: that one is
 * ended and counted in buffers_replaced. False: there is no room. */
bool bl_live_insert(const struct bl_buffer *buffer);
#define BL_REMOVED_NONE    0u /* it was not recorded */
#define BL_REMOVED         1u /* and these, or none of them: */
#define BL_REMOVED_WATCHED 2u
#define BL_REMOVED_HELD    4u /* a handle of another class was in it: bl_live_hold */

/* Ends the record of address. Returns BL_REMOVED_*. ret_buffer may be NULL. */
unsigned bl_live_remove(uint64_t address, struct bl_buffer *ret_buffer);
/* The same; ret_buffer is filled in only if the buffer was watched. The others' records are not
 * read, which would wait for memory. */
unsigned bl_live_end(uint64_t address, struct bl_buffer *ret_buffer);
/* Ends it for realloc: what it has of the limit (limit.h) is the caller's, and until bl_tls.moving
 * is set to 0 the block counts as held, for whoever has stopped all writers. */
unsigned bl_live_take_out(uint64_t address, uint64_t new_bytes, struct bl_buffer *ret_buffer);
/* The block holds a handle of a reference-counted class: its removal will say so. Returns
 * whether it would have anyway. */
bool bl_live_hold(uint64_t address);
/* Is it of those that the limit counts? */
bool bl_live_is_limited(uint8_t class_number);
/* Undoes bl_live_take_out: the buffer lives on as it was, counters too. False: there is no room. */
bool bl_live_restore(const struct bl_buffer *buffer);
/* Gives a recorded buffer another size; where it is not recorded, nothing happens. */
void bl_live_resize(uint64_t address, uint64_t size_bytes);
/* Gives a buffer another stack, if it has this one. All shards are locked (bl_live_lock). */
void bl_live_restack_locked(uint64_t address, uint32_t old_stack, uint32_t new_stack);
/* Reads without ending. */
bool bl_live_find(uint64_t address, struct bl_buffer *ret_buffer);

/* Starts loading what insert or remove of this address will touch. */
void bl_live_prefetch(uint64_t address);

/* All shards, in rank order: writers stop. */
void bl_live_lock(void);
void bl_live_unlock(void);
void bl_live_reset_lock(void);
/* In a forked child: counts start from what was inherited. */
void bl_live_rebase_counters(void);
/* In a child whose ledger starts empty. */
void bl_live_reset(void);

#endif
