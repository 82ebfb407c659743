#include "commands.h"

#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

static const char help[] =
    "Usage: bufleak COMMAND [OPTIONS] …\n"
    "Shows which buffers of a running program are unreleased, and where they came from.\n"
    "\n"
    "  run -- PROGRAM …    start a program tracked; report at every snapshot and at exit\n"
    "  check -- COMMAND …  run a command and fail if it leaked, for CI\n"
    "  report [TARGET]     show what is unreleased\n"
    "  top [TARGET]        watch a program live\n"
    "  diff A B            show what changed between two moments, processes or builds\n"
    "  export [TARGET]     write the facts as JSON lines, for other programs\n"
    "  dump [PID]          have a running program write a snapshot, without a signal\n"
    "  mark PID NAME       set a mark in a running program, to compare with later\n"
    "  ps                  list tracked programs and their ledgers; --prune removes old ones\n"
    "  profiles            list and check what functions are watched; explain how\n"
    "\n"
    "TARGET is a PID, a ledger or a snapshot; without one, the newest ledger is taken.\n"
    "`bufleak COMMAND --help` and the man pages bufleak(1), bufleak-run(1) … tell more.\n"
    "\n"
    "  --help              this text\n"
    "  --version           the version\n"
    "\n"
    "Exit codes: 0 fine (run: the program's own code), 1 failed, 2 wrong usage, 23 check found "
    "leaks,\n"
    "126/127 the program could not be executed or found, 128+N it died by signal N.\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv, struct bl_error *error);
} commands[] = {
    {"run", bl_cmd_run},       {"check", bl_cmd_check}, {"report", bl_cmd_report},
    {"top", bl_cmd_top},       {"diff", bl_cmd_diff},   {"dump", bl_cmd_dump},
    {"mark", bl_cmd_mark},     {"ps", bl_cmd_ps},       {"profiles", bl_cmd_profiles},
    {"export", bl_cmd_export},
};

static int run_command(int argc, char **argv, struct bl_error *error)
{
    if (argc < 2) {
        bl_error_set(error, "a command is missing; see `bufleak --help`");
        return BL_CODE_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        fputs(help, stdout);
        return BL_CODE_FINE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("bufleak " BL_VERSION);
        return BL_CODE_FINE;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1, error);
    bl_error_set(error, "unknown %s %s; see `bufleak --help`",
                 argv[1][0] == '-' ? "option" : "command", argv[1]);
    return BL_CODE_USAGE;
}

int main(int argc, char **argv)
{
    struct bl_error error = {""};
    setlocale(LC_CTYPE, "");
    opterr = 0;
    int code = run_command(argc, argv, &error);
    /* a report that a full disk cut short must not look complete */
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == BL_CODE_FINE) {
        /* whoever wrote before has lost the reason: have it said again */
        errno = 0;
        putchar('\n');
        fflush(stdout);
        bl_error_set(&error, "cannot write the output: %s", strerror(errno ? errno : EIO));
        code = BL_CODE_FAILED;
    }
    if (*error.text)
        bl_say("%s", error.text);
    return code;
}
