/*
 * What a check found: the leaks of all processes of a run, each once.
 *
 * The same leak in two processes, or at two lines of one function, is one entry with two shares;
 * what "the same" means is identity.h's to say. Until they are joined its stacks are entries of
 * their own, as a suppression may be for some of them. Everything is copied out of the ledgers,
 * which are gone by the time that it is decided and written.
 *
 * Owns what it allocates; strings are interned and live as long as the set. Not for threads.
 */
#ifndef BL_LEAKS_H
#define BL_LEAKS_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bl_leak_frame {
    const char *function; /* NULL: unknown */
    const char *file;     /* NULL: unknown */
    const char *module;   /* base name */
    const char *path;     /* of the module */
    uint64_t offset;      /* in the module's ELF addresses */
    int line;
    bool is_inlined;  /* into the next */
    bool is_managed;  /* of a Java method */
    bool is_bytecode; /* of one without lines: the offset is the index of its bytecode */
    bool is_runtime;  /* code that allocates for others: libc, libstdc++, allocators */
    bool is_system;   /* of a library that the system brings */
    bool is_apart;    /* not all stacks of the leak pass its function */
};

struct bl_leak_stack {
    struct bl_leak_frame *frames; /* innermost first */
    size_t count;
};

enum bl_leak_kind {
    BL_LEAK_LEFT,         /* not given back */
    BL_LEAK_OVER_RELEASE, /* given back too often */
    BL_LEAK_GROWING,      /* more with each iteration */
};

enum bl_leak_op { BL_LEAK_ALLOC, BL_LEAK_RETAIN, BL_LEAK_RELEASE };

enum bl_leak_reach { BL_LEAK_UNKNOWN, BL_LEAK_LOST, BL_LEAK_HELD };

/* What became of a leak once suppressions, baseline and allowances were asked. */
enum bl_leak_fate {
    BL_LEAK_FAILS,
    BL_LEAK_ALLOWED,
    BL_LEAK_KNOWN, /* in the baseline, and not more than there */
    BL_LEAK_SUPPRESSED,
    BL_LEAK_NOTED, /* told, but not counted: what is held and may be given back yet */
};

enum bl_leak_baseline { BL_LEAK_NO_BASELINE, BL_LEAK_NEW, BL_LEAK_UNCHANGED, BL_LEAK_GROWN };

/* The part of one process and one test in a leak. */
struct bl_leak_share {
    size_t process;   /* index in bl_leaks.processes */
    const char *test; /* NULL: none was named */
    uint64_t count;
    uint64_t bytes;
};

#define BL_LEAK_ASSEMBLED_MAX 4

struct bl_leak_assembled {
    const char *text;
    uint64_t events; /* that say so */
    bool is_of_source;
};

struct bl_leak {
    const char *id;         /* 16 hexadecimal digits, of the key */
    const char *key;        /* see identity.h */
    const char **functions; /* of the key and of further callers, innermost first */
    size_t function_count;
    const char *class_name;
    const char *verdict; /* as in the JSON */
    enum bl_leak_kind kind;
    enum bl_leak_op op; /* what is blamed */
    enum bl_leak_reach reach;
    double confidence;
    uint64_t count;
    uint64_t bytes;
    uint64_t refs;           /* references of each at most; 0: it has no count */
    uint64_t lost_count;     /* of them: nothing leads to these */
    uint64_t held_count;     /* something leads to these; of the others it is not known */
    uint64_t indirect_count; /* buffers that they hold, or that are lost with them */
    uint64_t indirect_bytes;
    uint64_t runs_seen; /* runs of the command that left some */
    uint64_t run_least; /* of one of those */
    uint64_t run_count; /* the most that one run left; of a single run: count */
    uint64_t run_bytes;
    double count_per_iteration; /* of BL_LEAK_GROWING */
    double bytes_per_iteration;
    struct bl_leak_stack blame;
    bool has_more_stacks;          /* blame is one of several */
    struct bl_leak_stack alloc;    /* empty: as blame */
    struct bl_leak_stack expected; /* empty: unknown */
    const char *text;              /* evidence; NULL: none */
    const char *held_by;           /* NULL: not held, or unknown */
    /* who assembled its reactive chain, most frequent first */
    struct bl_leak_assembled assembled[BL_LEAK_ASSEMBLED_MAX];
    size_t assembled_count;
    size_t assembled_others; /* left out */
    struct bl_leak_share *shares;
    size_t share_count;

    enum bl_leak_fate fate;
    const struct bl_suppression *suppressed_by;
    enum bl_leak_baseline baseline;
    uint64_t known_count; /* in the baseline */
    uint64_t known_bytes;
    bool is_alike; /* known by a similar path only */

    const struct bl_leak *more; /* until they are joined: another stack of the same leak */
};

enum bl_process_end { BL_PROCESS_END_EXIT, BL_PROCESS_END_SIGNAL, BL_PROCESS_END_RUNS_ON };

struct bl_leak_process {
    uint32_t pid;
    uint64_t run; /* of the command, in which it ended, from 1 */
    const char *comm;
    const char *command; /* line */
    const char *test;    /* NULL: the process was given none */
    enum bl_process_end end;
    bool has_aborted; /* of BL_PROCESS_END_SIGNAL */
    int status;
    bool is_ignored; /* by name: nothing was looked at */
    bool is_judged;
    const char *why_not; /* not judged, or not wholly; NULL: no reason */
    bool is_partial;     /* an allocator comes before the shim: what it keeps was not seen */
    bool is_unknown;     /* reach was not found out, and it has, or may have, blocks of which that
                          * matters */
    uint64_t duration_ns;
    uint64_t start_ns;      /* CLOCK_REALTIME */
    uint64_t unknown_count; /* heap blocks of which nothing can be said */
    uint64_t unknown_bytes;
    uint64_t leak_count; /* buffers that leaked, of all kinds */
};

struct bl_leaks;

int bl_leaks_create(struct bl_leaks **ret_leaks, struct bl_error *error);
void bl_leaks_destroy(struct bl_leaks *leaks);

/* The same string for equal text; NULL for NULL. Never fails: without memory the program ends, as
 * for all of a set: half a set would be a check that passed. */
const char *bl_leaks_text(struct bl_leaks *leaks, const char *text);

/* Takes over what `leak` points to with malloc (frames, functions). Adds to the one with its key,
 * as bl_identity_make set it, its stacks, verdict and reach, in a process of the same name. The
 * share says whose it is. Returns the entry. */
struct bl_leak *bl_leaks_add(struct bl_leaks *leaks, struct bl_leak *leak,
                             const struct bl_leak_share *share);
/* Before they are joined: the first of those with this key, from which `more` leads to the others;
 * NULL: none. */
const struct bl_leak *bl_leaks_first(const struct bl_leaks *leaks, const char *key);
/* Once nothing is added any more: makes one of those with the same key that the same suppression,
 * or none, is for. Indices change. */
void bl_leaks_join(struct bl_leaks *leaks);
/* What each run of the command left of it, from its shares. */
void bl_leaks_count_runs(const struct bl_leaks *leaks, struct bl_leak *leak, uint64_t runs);
/* More for a leak that is there. */
void bl_leaks_add_share(struct bl_leak *leak, const struct bl_leak_share *share);

size_t bl_leaks_add_process(struct bl_leaks *leaks, const struct bl_leak_process *process);
struct bl_leak_process *bl_leaks_process(const struct bl_leaks *leaks, size_t index);
size_t bl_leaks_process_count(const struct bl_leaks *leaks);

size_t bl_leaks_count(const struct bl_leaks *leaks);
struct bl_leak *bl_leaks_at(const struct bl_leaks *leaks, size_t index);
/* Worst first: what fails, then by bytes. Indices change. */
void bl_leaks_sort(struct bl_leaks *leaks);

/* malloc and realloc that end the program with a line on stderr when there is none. */
void *bl_leaks_memory(void *old, size_t size);

const char *bl_leak_reach_name(enum bl_leak_reach reach); /* "lost", "held", "unknown" */
const char *bl_leak_op_name(enum bl_leak_op op);
const char *bl_leak_baseline_name(enum bl_leak_baseline baseline); /* NULL: there is none */
const char *bl_leak_fate_name(enum bl_leak_fate fate);
/* The frame that people are shown: the first of the key that has a name, else the first. NULL:
 * none. */
const struct bl_leak_frame *bl_leak_place(const struct bl_leak *leak);

#endif
