/*
 * Marks: a moment with a name, and what lived of each class then. Asked for by the program
 * (bufleak.h) or from outside (the box in the ledger's header).
 *
 * Owns: the ring of MARKS in the ledger; the latest BL_MARKS_MAX are kept, those that were dropped
 * for newer ones are counted. Threads: any; BL_RANK_MARKS inside. Needs the guard. Signal context:
 * safe under the guard. Errors: 0 or -errno, counted in marks_dropped.
 */
#ifndef BL_MARKS_H
#define BL_MARKS_H

#include "compiler.h"
#include "ledger_format.h"

struct bl_new_mark {
    const char *name; /* cut at BL_MARK_NAME - 1 bytes */
    enum bl_mark_kind kind;
    uint32_t thread;
    uint32_t stack;
    uint64_t since_serial; /* with BL_MARK_GREW */
    int64_t grown_bytes;
};

/* ret_serial may be NULL. */
int bl_marks_add(const struct bl_new_mark *mark, uint64_t *ret_serial);
/* Live bytes of all classes that have no other class's buffers in theirs: the heap's. */
uint64_t bl_marks_live_bytes(void);
/* Live bytes of the heap at that mark. False: it has been dropped. */
bool bl_marks_find(uint64_t serial, uint64_t *ret_bytes);
/* The helper's: makes the mark that was asked for in the header. */
void bl_marks_answer(void);

/* In a forked child, which has none. */
void bl_marks_reset(void);

#endif
