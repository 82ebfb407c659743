/*
 * The writer's side of the ledger: creating the file, growing its sections, and handing it to a
 * forked child. The format, its publication rules and its crash story are in ledger_format.h.
 *
 * Owns: the mapping, the file descriptor, the file's name. Record n of a section never moves while
 * the process lives; bl_ledger_at is valid for n below what bl_ledger_ensure granted.
 * Threads: any; growth takes BL_RANK_LEDGER inside. Publication is the caller's, under the lock
 * that guards its section. Needs the guard. Signal context: safe under the guard.
 * Allocates pages only. Errors: -errno; lost space is counted in losses.
 */
#ifndef BL_LEDGER_H
#define BL_LEDGER_H

#include "compiler.h"
#include "ledger_format.h"

/* Section s: chunk 0 holds 2^first records, each next chunk as many as all before it, until chunks
 * are of 2^last records and stay so. A chunk is one extent. */
struct bl_geometry {
    uint16_t record_bytes;
    uint8_t first;
    uint8_t last;
};

#define BL_GEOMETRY                                                                                \
    {                                                                                              \
        [BL_SECTION_NAMES] = {1, 14, 20},                                                          \
        [BL_SECTION_MODULES] = {sizeof(struct bl_module), 7, 12},                                  \
        [BL_SECTION_FRAMES] = {sizeof(struct bl_frame), 11, 18},                                   \
        [BL_SECTION_THREADS] = {sizeof(struct bl_thread), 9, 14},                                  \
        [BL_SECTION_CLASSES] = {sizeof(struct bl_class), 6, 6},                                    \
        [BL_SECTION_COUNTERS] = {sizeof(struct bl_counters), 2, 5},                                \
        [BL_SECTION_LIVE] = {sizeof(struct bl_live), 10, 17},                                      \
        [BL_SECTION_HOOKS] = {sizeof(struct bl_hook), 7, 12},                                      \
        [BL_SECTION_OBJECTS] = {sizeof(struct bl_object), 6, 16},                                  \
        [BL_SECTION_EVENTS] = {sizeof(struct bl_event), 7, 17},                                    \
        [BL_SECTION_LIFECYCLES] = {sizeof(struct bl_lifecycle), 7, 13},                            \
        [BL_SECTION_SERIES] = {sizeof(struct bl_series), 6, 8},                                    \
        [BL_SECTION_SAMPLES] = {sizeof(struct bl_samples), 4, 10},                                 \
        [BL_SECTION_MARKS] = {sizeof(struct bl_mark), 5, 8},                                       \
        [BL_SECTION_BOUNDARIES] = {sizeof(struct bl_boundary), 6, 6},                              \
        [BL_SECTION_FREE_PATHS] = {sizeof(struct bl_free_path), 6, 12},                            \
        [BL_SECTION_REACH] = {sizeof(struct bl_reach), 10, 17},                                    \
        [BL_SECTION_REACH_ROOTS] = {sizeof(struct bl_reach_root), 9, 15},                          \
        [BL_SECTION_REACH_RUN] = {sizeof(struct bl_reach_run), 4, 4},                              \
        [BL_SECTION_ASSEMBLIES] = {sizeof(struct bl_assembly), 8, 12},                             \
    }
static const struct bl_geometry bl_geometry[BL_SECTION_COUNT] = BL_GEOMETRY;

#define BL_CHUNKS_MAX BL_EXTENTS_MAX
extern unsigned char *bl_chunks[BL_SECTION_COUNT][BL_CHUNKS_MAX]; /* release stores */
extern struct bl_header *bl_header; /* never NULL: a static page before the ledger is made */

struct bl_chunk_position {
    uint32_t chunk;
    uint32_t record; /* within the chunk */
};

BL_INLINE struct bl_chunk_position bl_ledger_locate(enum bl_section s, uint32_t n)
{
    const struct bl_geometry g = bl_geometry[s];
    if (n < 1u << g.first)
        return (struct bl_chunk_position){0, n};
    uint32_t top = 31u - (uint32_t)__builtin_clz(n);
    if (top <= g.last)
        return (struct bl_chunk_position){top - g.first + 1u, n - (1u << top)};
    return (struct bl_chunk_position){g.last - g.first + 2u + ((n - (2u << g.last)) >> g.last),
                                      n & ((1u << g.last) - 1u)};
}

BL_INLINE void *bl_ledger_at(enum bl_section s, uint32_t n)
{
    struct bl_chunk_position p = bl_ledger_locate(s, n);
    return bl_load_acquire(&bl_chunks[s][p.chunk]) + (size_t)p.record * bl_geometry[s].record_bytes;
}

/* Makes a ledger: a file in the ledger directory, else a memfd, else private memory; each step down
 * is counted. Returns 0, or -errno when not even private memory could be had. */
int bl_ledger_create(const char *name, bool try_file);
/* Makes records 0 .. count-1 of the section addressable. Returns 0 or -ENOMEM / -ENOSPC. */
int bl_ledger_ensure(enum bl_section s, uint32_t count);
/* Records 0 .. count-1 are complete. Caller holds the section's lock. */
BL_INLINE void bl_ledger_publish(enum bl_section s, uint64_t count)
{
    bl_store_release(&bl_header->published[s], count);
}

const char *bl_ledger_name(void); /* file name in the ledger directory; empty if it is no file */
bool bl_ledger_owns_fd(int fd);
void bl_ledger_vacate_fd(int fd);
uint64_t bl_ledger_length(void); /* bytes of the file */
/* Copies the ledger into `to` (bl_ledger_length bytes, zeroed). hot: only the parts whose agreement
 * with each other needs the writers stopped; else the append-only rest as it is by now. Returns the
 * length that the copy needs: more than `length` when the ledger has grown since; then the copy is
 * not whole. */
uint64_t bl_ledger_copy(unsigned char *to, uint64_t length, bool hot);

/* Calls visit for each range of memory that the ledger is mapped at, or that holds a part of it. */
void bl_ledger_each_range(void (*visit)(void *context, uint64_t start, uint64_t end),
                          void *context);
/* Where the chunks of a section are in a copy; of a private one the chunk itself. */
void bl_ledger_chunks_in(const unsigned char *copy, enum bl_section s,
                         const unsigned char *ret_chunks[BL_CHUNKS_MAX]);

/* fork: prepare (all locks held) copies the ledger for the child; the child takes the copy over
 * under the given name, the parent drops it. bl_ledger_fork_child returns -errno when there is no
 * copy: the child must then stop tracking, its mapping is still the parent's. */
void bl_ledger_fork_prepare(void);
void bl_ledger_fork_parent(void);
int bl_ledger_fork_child(const char *name);
/* After a fork that bypassed the handlers: forget the parent's ledger without touching it. */
void bl_ledger_forget(void);

void bl_ledger_lock(void);
void bl_ledger_unlock(void);
void bl_ledger_reset_lock(void);

#endif
