/* One entry per command. Each returns the program's exit code and, when that is for main to
 * explain, leaves the line to print in `error`. */
#ifndef BL_COMMANDS_H
#define BL_COMMANDS_H

#include "error.h"

int bl_cmd_check(int argc, char **argv, struct bl_error *error);
int bl_cmd_diff(int argc, char **argv, struct bl_error *error);
int bl_cmd_export(int argc, char **argv, struct bl_error *error);
int bl_cmd_report(int argc, char **argv, struct bl_error *error);
int bl_cmd_dump(int argc, char **argv, struct bl_error *error);
int bl_cmd_mark(int argc, char **argv, struct bl_error *error);
int bl_cmd_ps(int argc, char **argv, struct bl_error *error);
int bl_cmd_profiles(int argc, char **argv, struct bl_error *error);
int bl_cmd_top(int argc, char **argv, struct bl_error *error);
int bl_cmd_run(int argc, char **argv, struct bl_error *error);

#endif
