/*
 * The script that an interpreter runs: what people call such a process by.
 *
 * Pure functions; nothing is allocated.
 */
#ifndef BL_SCRIPT_H
#define BL_SCRIPT_H

#include <stddef.h>

/* From a command line, its arguments separated by NUL: "run_tests.py" of "python3 -u
 * ./run_tests.py", "pytest" of "python3 -m pytest". exe: the file that runs, a path. "" for a
 * program that is no interpreter, or was given its text by an option. */
void bl_script_name(char *out, size_t size, const char *exe, const char *line, size_t length);

#endif
