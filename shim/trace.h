/*
 * The mark phase: which blocks can be reached from given roots, and through what.
 *
 * Conservative: every aligned word of a root or of a reached block that points to the start of a
 * block, or into it, holds it. Breadth first, so that the holder that is kept of each block is on a
 * shortest path. What is not reached is lost; of lost blocks that hold each other one leads.
 *
 * Owns its tables, in pages of its own that are never given back: it runs in a child that ends, or
 * as the last thing of a process. Reads the blocks and roots it is given, and nothing else: the
 * caller knows what is mapped. Threads: one. Signal context: async-signal-safe. Errors: -ENOMEM.
 */
#ifndef BL_TRACE_H
#define BL_TRACE_H

#include "compiler.h"
#include "ledger_format.h"

struct bl_trace_key {
    uint64_t start;
    uint64_t end; /* one past the last byte; an empty block has one */
    uint32_t number;
    uint32_t is_unreadable; /* it is there, but its memory is not: not scanned */
};

struct bl_trace_block {
    uint64_t start;
    uint64_t end;
    uint64_t slot;
    uint32_t number; /* of its live record */
    uint32_t holder; /* index of a block, or number of a root */
    uint32_t inside;
    uint8_t grade; /* enum bl_reach_grade */
    bool is_root;
    bool is_unreadable;
    bool is_led; /* lost: another lost block holds it */
};

#define BL_TRACE_NONE UINT32_MAX

struct bl_trace {
    struct bl_trace_block *blocks; /* by address */
    uint32_t count;
    uint64_t low; /* all blocks are in [low, high) */
    uint64_t high;
    uint32_t **pages; /* per gigabyte: for each page of it the first block in it, + 1 */
    uint32_t *queue;  /* reached and not yet scanned; each block once */
    uint32_t head;
    uint32_t tail;
    struct bl_reach_root *roots; /* the caller's, room for count + 1 */
    uint32_t root_count;         /* numbers from 1 */
    /* Says what root a word is in; kind, thread and so on, the slot is filled in. */
    void (*describe)(void *context, struct bl_reach_root *root);
    void *context;
    /* By number, what is less for an earlier one: the order of allocation. NULL: by number. */
    uint64_t (*age)(void *context, uint32_t number);
    uint32_t leading; /* index of the lost block that is followed */
    uint64_t root_bytes;
    uint64_t heap_bytes;
};

/* keys are sorted in place; `spare` has room for as many. */
int bl_trace_init(struct bl_trace *trace, struct bl_trace_key *keys, struct bl_trace_key *spare,
                  uint32_t count);
/* The block that an address lies in, BL_TRACE_NONE: none. */
uint32_t bl_trace_find(const struct bl_trace *trace, uint64_t address);
/* Takes every word of [start, end) as a root; exact_only: pointers to starts alone. */
void bl_trace_scan(struct bl_trace *trace, uint64_t start, uint64_t end, bool exact_only);
/* One word, which stands at `slot`. */
void bl_trace_word(struct bl_trace *trace, uint64_t slot, uint64_t word);
/* The block is held by something that has no pointer to it. */
void bl_trace_keep(struct bl_trace *trace, uint32_t index, enum bl_root_kind kind);
/* Follows what was found so far to its end. */
void bl_trace_follow(struct bl_trace *trace);
/* Grades what is left: of blocks that hold each other in a circle the first allocated leads. After
 * the last root. */
void bl_trace_lost(struct bl_trace *trace);

#endif
