#include "args.h"

#include <string.h>

int bl_args_refuse(struct bl_error *error, int code, char **argv, const char *command)
{
    const char *given = argv[optind > 0 ? optind - 1 : 0];
    char letter[3] = {'-', (char)optopt, '\0'};
    if (optopt > 0 && optopt < 128)
        given = letter;
    int name_length = (int)strcspn(given, "=");
    if (code == ':')
        bl_error_set(error, "%s needs a value; see `bufleak %s --help`", given, command);
    else if (optopt >= BL_ARGS_HELP)
        bl_error_set(error, "%.*s takes no value; see `bufleak %s --help`", name_length, given,
                     command);
    else
        bl_error_set(error, "unknown option %.*s; see `bufleak %s --help`", name_length, given,
                     command);
    return BL_CODE_USAGE;
}

int bl_args_bad_value(struct bl_error *error, const char *option, const char *value,
                      const char *accepted)
{
    return bl_error_set(error, "%s does not accept \"%s\": give %s", option, value, accepted);
}

bool bl_args_is_empty(void)
{
    return optarg && !*optarg;
}
