#include "commands.h"

#include "args.h"
#include "control.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_NS 10000000000ull

static const char help[] =
    "Usage: bufleak dump [OPTIONS] [PID|LEDGER]\n"
    "Has a running, tracked program write a snapshot of its ledger and prints the snapshot's\n"
    "path. The program is not signalled. Without a target: the newest ledger.\n"
    "\n"
    "When nobody in the program answers in time, the ledger is copied from outside.\n"
    "\n"
    "  --reach               find out which blocks are lost and what holds the others: threads\n"
    "                        are stopped for some milliseconds, by a signal and never by ptrace\n"
    "  --timeout AGE         how long to wait for the answer (default 10s)\n"
    "  --help                this text\n";

static const struct option long_options[] = {{"help", no_argument, NULL, BL_ARGS_HELP},
                                             {"timeout", required_argument, NULL, BL_ARGS_OWN},
                                             {"reach", no_argument, NULL, BL_ARGS_OWN + 1},
                                             {NULL, 0, NULL, 0}};

static int copy_from_outside(const struct bl_target *target, struct bl_error *error)
{
    char *path = NULL;
    if (bl_control_copy(target, &path, error) < 0)
        return BL_CODE_FAILED;
    bl_say("process %d did not answer: copied its ledger while it %s", (int)target->process.pid,
           target->process.state == 'T' ? "was stopped" : "ran on");
    printf("%s\n", path);
    free(path);
    return BL_CODE_FINE;
}

static int dump(const struct bl_target *target, uint32_t flags, uint64_t timeout_ns,
                struct bl_error *error)
{
    char *path = NULL;
    if (target->header.snapshot_number > 0) {
        bl_error_set(error, "%s is a snapshot already: give a PID or a ledger", target->path);
        return BL_CODE_FAILED;
    }
    if (!target->is_running) {
        bl_error_set(error,
                     "process %u is no longer running; `bufleak report %s` shows its last state",
                     target->header.pid, target->path);
        return BL_CODE_FAILED;
    }
    int outcome = bl_control_request(target, flags, timeout_ns, &path, error);
    if (outcome == BL_CONTROL_NO_ANSWER && flags) {
        bl_error_set(error, "process %d did not answer, and nobody else can find out what it holds",
                     (int)target->process.pid);
        return BL_CODE_FAILED;
    }
    if (outcome == BL_CONTROL_NO_ANSWER)
        return copy_from_outside(target, error);
    if (outcome < 0)
        return BL_CODE_FAILED;
    printf("%s\n", path);
    free(path);
    return BL_CODE_FINE;
}

int bl_cmd_dump(int argc, char **argv, struct bl_error *error)
{
    uint64_t timeout_ns = TIMEOUT_NS;
    uint32_t flags = 0;
    int code;
    while ((code = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        if (code == '?' || code == ':')
            return bl_args_refuse(error, code, argv, "dump");
        if (code == BL_ARGS_HELP) {
            fputs(help, stdout);
            return BL_CODE_FINE;
        }
        if (code == BL_ARGS_OWN + 1) {
            flags |= BL_DUMP_REACH | BL_DUMP_REACH_JAVA;
            continue;
        }
        if (!bl_text_parse_age(optarg, &timeout_ns)) {
            bl_args_bad_value(error, "--timeout", optarg, "an age such as 500ms, 10s, 1m");
            return BL_CODE_USAGE;
        }
    }
    if (argc - optind > 1) {
        bl_error_set(error, "dump takes one target, not %d; see `bufleak dump --help`",
                     argc - optind);
        return BL_CODE_USAGE;
    }
    struct bl_target target;
    struct bl_target_choice choice = {.argument = optind < argc ? argv[optind] : NULL,
                                      .ledger_only = true};
    if (bl_target_open(&choice, &target, error) < 0)
        return BL_CODE_FAILED;
    if (!choice.argument && target.is_running)
        bl_say("asking %s[%d]", target.process.comm, (int)target.process.pid);
    code = dump(&target, flags, timeout_ns, error);
    bl_target_deinit(&target);
    return code;
}
