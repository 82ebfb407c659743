/*
 * What a user asks of `bufleak check`, and what is noted while it runs.
 *
 * Filled by check_options from the command line, then owned and run by cmd_check. Text is pointed
 * to: it is the command line's.
 */
#ifndef BL_CHECK_REQUEST_H
#define BL_CHECK_REQUEST_H

#include "check_collect.h"
#include "error.h"
#include "execs.h"
#include "leakcheck.h"
#include "ledger_format.h"
#include "session.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BL_CHECK_SUPPRESSIONS 32

/* A program that became another one, which should have a ledger of its own. */
struct bl_check_replaced {
    uint32_t pid;
    uint64_t start_ns;
    char comm[64];
};

/* A program that its parent, or what it was before, noted as one that goes without the shim. */
struct bl_check_noted {
    struct bl_exec exec;
    uint64_t start_ns; /* of who noted it */
};

/* A thread of it ran a test. */
struct bl_check_span {
    uint64_t from_ns; /* CLOCK_MONOTONIC */
    uint64_t to_ns;
    const char *test;
};

/* A process that ended, and what it was a test of; its ledger may be gone. */
struct bl_check_tested {
    uint32_t pid;
    uint64_t start_us; /* as the ledger's name has it */
    const char *test;  /* NULL: of none */
    bool was_replaced; /* by another program, under the same number */
    struct bl_check_span *spans;
    size_t span_count;
};

struct bl_check_request {
    struct bl_session session;
    struct bl_check check;
    struct bl_collect_options collect;
    int leaks_code;
    uint64_t repeat;
    uint64_t wait_ms;
    const char *suppression_paths[BL_CHECK_SUPPRESSIONS];
    size_t suppression_count;
    bool generates;
    const char *generate_path; /* NULL: with the text */
    bool is_json;
    bool stops;
    bool keeps;
    bool wants_help;
    bool is_github;
    const char *output_path;
    const char *json_path;
    const char *junit_path;
    const char *sarif_path;
    const char *markdown_path;
    const char *gitlab_path;
    char root[PATH_MAX];
    struct bl_check_replaced *replaced;
    size_t replaced_count;
    struct bl_check_noted *noted;
    size_t noted_count;
    bool was_full; /* the disk of the ledgers: some may be missing */
    struct bl_check_tested *tested;
    size_t tested_count;
};

/* ---- check_options.c ---- */

extern const char bl_check_help[];

/* Reads the command line into a request that has its defaults. Returns 0, or BL_CODE_USAGE with a
 * message. */
int bl_check_options_parse(struct bl_check_request *request, int argc, char **argv,
                           struct bl_error *error);

/* ---- check_untracked.c: what went without the shim ---- */

/* Of the ledger of a process that became another program by exec. */
void bl_check_note_replaced(struct bl_check_request *request, const struct bl_header *header);

/* What a process noted of the programs it started that go without the shim. */
void bl_check_take_notes(struct bl_check_request *request, const struct bl_header *header);

/* Is there room for the ledgers of processes to come? */
void bl_check_look_at_space(struct bl_check_request *request);

/* Once all has ended: those that left no ledger go to request->check.untracked. */
void bl_check_find_untracked(struct bl_check_request *request);

/* ---- check_blame.c: which test started it ---- */

/* The test that started a process, for one that was not told: what its parent, or the parent's
 * parent, was running then. NULL: none, or several at once. Remembers it for its children. */
const char *bl_check_find_test(struct bl_check_request *request, const struct bl_target *target);
void bl_check_forget_tests(struct bl_check_request *request);

#endif
