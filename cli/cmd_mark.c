#include "commands.h"

#include "args.h"
#include "control.h"
#include "text.h"

#include <stdio.h>

#define TIMEOUT_NS 10000000000ull

static const char help[] =
    "Usage: bufleak mark [OPTIONS] PID|LEDGER NAME\n"
    "Sets a mark in a running, tracked program: the moment and the counters of all classes are\n"
    "kept under that name. `bufleak diff PID@NAME PID` then shows what changed since, and\n"
    "`bufleak report` lists the marks. The program is not signalled.\n"
    "\n"
    "A name is at most 47 bytes long, without @ or a leading #, and not a number.\n"
    "\n"
    "  --timeout AGE         how long to wait for the answer (default 10s)\n"
    "  --help                this text\n";

static const struct option long_options[] = {{"help", no_argument, NULL, BL_ARGS_HELP},
                                             {"timeout", required_argument, NULL, BL_ARGS_OWN},
                                             {NULL, 0, NULL, 0}};

static int mark(const struct bl_target *target, const char *name, uint64_t timeout_ns,
                struct bl_error *error)
{
    if (target->header.snapshot_number > 0) {
        bl_error_set(error, "%s is a snapshot: give a PID or a ledger", target->path);
        return BL_CODE_FAILED;
    }
    if (!target->is_running) {
        bl_error_set(error, "process %u is no longer running: it can have no more marks",
                     target->header.pid);
        return BL_CODE_FAILED;
    }
    int outcome = bl_control_mark(target, name, timeout_ns, error);
    if (outcome == BL_CONTROL_NO_ANSWER)
        bl_error_set(error, "process %d did not answer: %s", (int)target->process.pid,
                     target->process.state == 'T' ? "it is stopped"
                                                  : "nobody in it is there to set the mark");
    if (outcome != BL_CONTROL_SERVED)
        return BL_CODE_FAILED;
    printf("%s[%d]: marked \"%s\"\n", target->process.comm, (int)target->process.pid, name);
    return BL_CODE_FINE;
}

int bl_cmd_mark(int argc, char **argv, struct bl_error *error)
{
    uint64_t timeout_ns = TIMEOUT_NS;
    int code;
    while ((code = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        if (code == '?' || code == ':')
            return bl_args_refuse(error, code, argv, "mark");
        if (code == BL_ARGS_HELP) {
            fputs(help, stdout);
            return BL_CODE_FINE;
        }
        if (!bl_text_parse_age(optarg, &timeout_ns)) {
            bl_args_bad_value(error, "--timeout", optarg, "an age such as 500ms, 10s, 1m");
            return BL_CODE_USAGE;
        }
    }
    if (argc - optind != 2) {
        bl_error_set(error, "mark takes a target and a name; see `bufleak mark --help`");
        return BL_CODE_USAGE;
    }
    if (!bl_control_is_mark_name(argv[optind + 1])) {
        bl_args_bad_value(error, "NAME", argv[optind + 1],
                          "at most 47 bytes of text without @ or a leading #, and not a number");
        return BL_CODE_USAGE;
    }
    struct bl_target target;
    struct bl_target_choice choice = {.argument = argv[optind], .ledger_only = true};
    if (bl_target_open(&choice, &target, error) < 0)
        return BL_CODE_FAILED;
    code = mark(&target, argv[optind + 1], timeout_ns, error);
    bl_target_deinit(&target);
    return code;
}
