/*
 * What is a root, and the marking from there: the work of the child.
 *
 * Roots are all that the process can write and is not heap: data of every object, stacks from where
 * they are in use, registers, thread-local data, mapped regions; and blocks of the dynamic loader,
 * what a realloc has in hand, blocks from before tracking began. Not roots: the allocator's own
 * memory, stacks below their threads and of threads that have ended, the shim's tables, and what
 * it keeps in thread-local data.
 *
 * Runs in the child of a raw clone, or, at the end of the process, in it: no lock is taken, nothing
 * of libc called, nothing shared written but the result. Threads: one. Errors: -errno.
 */
#ifndef BL_ROOTS_H
#define BL_ROOTS_H

#include "capture.h"
#include "image.h"
#include "stop.h"

struct bl_roots_job {
    const unsigned char
        *live[BL_EXTENTS_MAX]; /* chunks of LIVE as they were, see bl_ledger_locate */
    uint32_t live_count;
    struct bl_stop stop;
    bool is_stopped; /* else there are no other threads to speak of */
    /* The thread that asks: the program's own at its end (registers, and stack from `own` on),
     * else own.sp is 0: the helper, which holds nothing. */
    uint32_t own_tid;
    struct bl_origin own;
    uint64_t own_registers[6];
    uint64_t helper_frame; /* the helper's stack is ours below; 0: there is none */
    uint64_t copy_start;   /* the copy that `live` is in */
    uint64_t copy_end;
};

/* Shared with the parent. roots[n].module is a number of objects[] + 1, name an offset in text. */
#define BL_ROOTS_TEXT (1u << 20)
struct bl_roots_result {
    uint32_t is_complete; /* release, last */
    int32_t error;
    struct bl_reach_run run; /* counts */
    uint32_t root_count;
    uint32_t object_count;
    uint32_t text_used;
    uint64_t bytes;                                  /* of this mapping */
    struct bl_reach *reach;                          /* by live number; all in the same mapping */
    struct bl_reach_root *roots;                     /* from 1 */
    struct bl_object_file objects[BL_IMAGE_OBJECTS]; /* path: in text */
    char text[BL_ROOTS_TEXT];
};

/* Room for the result of a run over so many live records. */
uint64_t bl_roots_room(uint32_t live_count);
void bl_roots_lay_out(struct bl_roots_result *result, uint32_t live_count, uint64_t bytes);
/* Fills in the result; its error is returned as well. */
int bl_roots_mark(const struct bl_roots_job *job, struct bl_roots_result *result);

#endif
