#include "run_options.h"

#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How an option of the shim is checked before it is passed on. */
enum option_check {
    CHECK_NUMBER,
    CHECK_SIGNAL,
    CHECK_SIZE,
    CHECK_AGE,
    CHECK_ACTION,
    CHECK_FUNCTION,
    CHECK_NONE
};

static const struct {
    const char *key;
    enum option_check check;
    const char *accepted;
} shim_options[] = {
    {"depth", CHECK_NUMBER, "a number from 1 to 512"},
    {"signal", CHECK_SIGNAL, "a signal's name or number (not of a crash), or none"},
    {"sample", CHECK_SIZE, "a size such as 1, 64K, 512K"},
    {"interval", CHECK_AGE, "an age such as 500ms, 1s, 1m"},
    {"profiles", CHECK_NONE, "names and paths"},
    {"limit", CHECK_SIZE, "a size such as 64M"},
    {"limit_action", CHECK_ACTION, "report or fail"},
    {"per", CHECK_FUNCTION, "the name of one function"},
};

static const char *const shim_switches[] = {"follow", "at_exit", "quiet", "mmap"};

static bool is_accepted(enum option_check check, const char *value)
{
    uint64_t number;
    switch (check) {
    case CHECK_NUMBER:
        return bl_text_parse_number(value, 512, &number) && number > 0;
    case CHECK_SIGNAL:
        return bl_text_parse_signal(value) >= 0;
    case CHECK_SIZE:
        return bl_text_parse_size(value, &number) && number > 0;
    case CHECK_AGE:
        return bl_text_parse_age(value, &number) && number > 0;
    case CHECK_ACTION:
        return strcmp(value, "report") == 0 || strcmp(value, "fail") == 0;
    case CHECK_FUNCTION:
        return *value && strlen(value) < 64 && !strchr(value, ',');
    case CHECK_NONE:
        break;
    }
    return true;
}

static int take_value(struct bl_run_env *env, size_t which, const char *value,
                      struct bl_error *error)
{
    if (!is_accepted(shim_options[which].check, value)) {
        char option[32];
        snprintf(option, sizeof(option), "--%s", shim_options[which].key);
        for (char *at = option; *at; at++)
            *at = *at == '_' ? '-' : *at;
        bl_args_bad_value(error, option, value, shim_options[which].accepted);
        return BL_CODE_USAGE;
    }
    return bl_run_env_set_option(env, shim_options[which].key, value, error) < 0 ? BL_CODE_USAGE
                                                                                 : 0;
}

/* --follow, --follow=0, and "--follow 0", because follow=0 is how the environment spells it. */
static int take_switch(struct bl_run_env *env, size_t which, int argc, char **argv,
                       struct bl_error *error)
{
    const char *value = optarg ? optarg : "1";
    if (!optarg && optind < argc &&
        (strcmp(argv[optind], "0") == 0 || strcmp(argv[optind], "1") == 0))
        value = argv[optind++];
    if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0) {
        bl_args_bad_value(error, argv[optind - 1], value, "0 or 1");
        return BL_CODE_USAGE;
    }
    return bl_run_env_set_option(env, shim_switches[which], value, error) < 0 ? BL_CODE_USAGE : 0;
}

int bl_run_options_take(struct bl_run_env *env, int code, int argc, char **argv,
                        struct bl_error *error)
{
    if (code >= BL_ARGS_SHIM_OFF)
        return bl_run_env_set_option(env, shim_switches[code - BL_ARGS_SHIM_OFF], "0", error) < 0
                   ? BL_CODE_USAGE
                   : 0;
    if (code >= BL_ARGS_SHIM_ON)
        return take_switch(env, (size_t)(code - BL_ARGS_SHIM_ON), argc, argv, error);
    return take_value(env, (size_t)(code - BL_ARGS_SHIM), optarg, error);
}

void bl_run_options_inherit(struct bl_run_env *env)
{
    const char *inherited = getenv("BUFLEAK_OPTIONS");
    if (inherited && strlen(inherited) < sizeof(env->options))
        memcpy(env->options, inherited, strlen(inherited) + 1);
}
