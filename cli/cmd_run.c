#include "commands.h"
int bl_cmd_run(int argc, char **argv, struct bl_error *error)
{
    (void)argc;
    (void)argv;
    bl_error_set(error, "x");
    return 1;
}
