/*
 * One check: what was run, what leaked, and what is concluded.
 *
 * Filled by cmd_check and check_collect while the command runs, decided once, then written by the
 * renderers, which only read it.
 */
#ifndef BL_LEAKCHECK_H
#define BL_LEAKCHECK_H

#include "baseline.h"
#include "error.h"
#include "leaks.h"
#include "suppress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define BL_CHECK_ALLOWANCES 64
#define BL_CHECK_PATTERNS   64
#define BL_CHECK_LEAKS_CODE 23

/* --allow CLASS:count=N and so on; "" is all classes together. */
struct bl_allowance {
    char class_name[64];
    bool has_count;
    bool has_bytes;
    bool has_growth;
    uint64_t count;
    uint64_t bytes;
    double growth_bytes; /* per iteration */
};

struct bl_untracked {
    pid_t pid; /* of the first */
    uint64_t count;
    char comm[64];
    const char *why;
};

/* What a profile file of the user names and that was not found, or not as it says. Interned. */
struct bl_unseen {
    const char *profile; /* path */
    const char *class_name;
    const char *function;
    const char *why;
};

/* A class that a profile file of the user names. Interned. */
struct bl_wanted {
    const char *profile; /* path */
    const char *class_name;
    const char *why;  /* not, of the first process that was judged without it */
    bool was_tracked; /* in one process at least */
};

struct bl_patterns {
    const char *list[BL_CHECK_PATTERNS];
    size_t count;
};

enum bl_check_outcome {
    BL_CHECK_PASSED,
    BL_CHECK_LEAKS,
    BL_CHECK_NOTHING, /* no process was judged */
    BL_CHECK_UNKNOWN, /* of something it is not known whether it leaked */
};

struct bl_sum {
    uint64_t leaks;
    uint64_t count;
    uint64_t bytes;
};

struct bl_check {
    /* asked for */
    char **command;
    struct bl_patterns processes;
    struct bl_patterns ignored;
    struct bl_allowance allowances[BL_CHECK_ALLOWANCES];
    size_t allowance_count;
    struct bl_tolerance tolerance;
    const char *baseline_path;
    const char *source_root;    /* absolute; NULL: the current directory */
    const char *iteration_name; /* of the marks between iterations; NULL: the one set most often */
    bool has_tolerance;
    bool updates_baseline;
    bool allows_unknown;
    bool allows_untracked;
    bool counts_held;
    bool shows_suppressed;
    bool no_builtin;

    /* found */
    struct bl_leaks *leaks;
    struct bl_suppressions *suppressions;
    struct bl_baseline baseline;
    const char **programs; /* that were asked for suppressions of their own */
    size_t program_count;
    const char **classes; /* that processes had, each once */
    size_t class_count;
    struct bl_untracked *untracked;
    size_t untracked_count;
    struct bl_unseen *unseen; /* each once */
    size_t unseen_count;
    struct bl_wanted *wanted; /* each once */
    size_t wanted_count;
    int command_code;
    uint64_t runs;       /* of the command, begun */
    uint64_t iterations; /* seen by marks; 0: none */
    uint64_t start_ns;   /* CLOCK_REALTIME */
    uint64_t duration_ns;

    /* concluded */
    enum bl_check_outcome outcome;
    bool is_baseline_due; /* to be written: all was checked, and the command succeeded */
    struct bl_sum fates[BL_LEAK_NOTED + 1];
    size_t judged;
    size_t partial; /* of those that were judged: seen in part */
    size_t unknown;
    size_t missing;  /* wanted classes that no process was tracked for */
    size_t left_out; /* processes, by name */
    size_t fixed;    /* of the baseline */
};

/* Fates, sums and the outcome. */
void bl_check_decide(struct bl_check *check);

/* The exit code: the command's own failure, else what the outcome says. */
int bl_check_code(const struct bl_check *check, int leaks_code);

/* "COUNT[=N]", for --allow: [CLASS:]count=N, bytes=SIZE, growth=SIZE, separated by commas. */
int bl_check_take_allowance(struct bl_check *check, const char *text, struct bl_error *error);

/* What a process may be called by. */
struct bl_check_names {
    const char *comm;   /* as the kernel knows it, and cuts it */
    const char *exe;    /* the file that runs */
    const char *script; /* see script.h */
};

/* What leaves out a process of these names: written to `out` as "by ..."; false and "" when it is
 * to be looked at. */
bool bl_check_leaves_out(const struct bl_check *check, const struct bl_check_names *names,
                         char *out, size_t size);

/* "3 leaks, 12 buffers, 1.18 MiB …": the last line. */
void bl_check_summary(const struct bl_check *check, char *out, size_t size);

/* "heap · lost · 3 buffers, 96 B": what a leak is, for a headline. */
void bl_check_headline(const struct bl_leak *leak, char *out, size_t size);
/* "src/a.c" under the source root, for a file below it; the file itself otherwise. */
const char *bl_check_relative(const struct bl_check *check, const char *file);
/* "parse_name (src/a.c:12)" */
void bl_check_place(const struct bl_check *check, const struct bl_leak_frame *frame, char *out,
                    size_t size);

/* The renderers. Each returns -1 with a message when it could not write. */
int bl_check_write_text(FILE *out, const struct bl_check *check, struct bl_error *error);
int bl_check_write_json(FILE *out, const struct bl_check *check, struct bl_error *error);
int bl_check_write_sarif(FILE *out, const struct bl_check *check, struct bl_error *error);
int bl_check_write_junit(FILE *out, const struct bl_check *check, struct bl_error *error);
int bl_check_write_markdown(FILE *out, const struct bl_check *check, struct bl_error *error);
int bl_check_write_github(FILE *out, const struct bl_check *check, struct bl_error *error);
int bl_check_write_gitlab(FILE *out, const struct bl_check *check, struct bl_error *error);
int bl_check_write_suppressions(FILE *out, const struct bl_check *check, struct bl_error *error);

#endif
