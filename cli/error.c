#include "error.h"

#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int bl_error_set(struct bl_error *error, const char *format, ...)
{
    char raw[sizeof(error->text)];
    va_list arguments;
    va_start(arguments, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is the line above
    vsnprintf(raw, sizeof(raw), format, arguments);
    va_end(arguments);
    bl_text_printable(error->text, sizeof(error->text), raw, strlen(raw));
    return -1;
}

void bl_say(const char *format, ...)
{
    char raw[2048];
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is the line above
    vsnprintf(raw, sizeof(raw), format, arguments);
    va_end(arguments);
    bl_text_printable(line, sizeof(line), raw, strlen(raw));
    /* One write, so that the line stays whole between the lines of the target. */
    dprintf(STDERR_FILENO, "bufleak: %s\n", line);
}
