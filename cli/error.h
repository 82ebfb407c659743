/*
 * One error, one line. A function that fails fills a bl_error and returns -1; main prints it once.
 *
 * The text says what was being done, to which file or process, and what to do about it. Bytes that
 * would break the line or the terminal (from file names or from a hostile ledger) are replaced.
 */
#ifndef BL_ERROR_H
#define BL_ERROR_H

struct bl_error {
    char text[1024];
};

/* Always returns -1, so that a caller can `return bl_error_set(...)`. */
__attribute__((format(printf, 2, 3))) int bl_error_set(struct bl_error *error, const char *format,
                                                       ...);

/* What the exit codes of the command line mean. */
enum bl_exit_code {
    BL_CODE_FINE = 0,
    BL_CODE_FAILED = 1,
    BL_CODE_USAGE = 2,
    BL_CODE_NOT_EXECUTABLE = 126,
    BL_CODE_NOT_FOUND = 127,
};

/* "bufleak: TEXT" on stderr as one line. */
__attribute__((format(printf, 1, 2))) void bl_say(const char *format, ...);

#endif
