/*
 * Small conversions between numbers, names and what people read or type.
 *
 * Pure functions; nothing is allocated. Output buffers are always NUL-terminated and valid UTF-8.
 */
#ifndef BL_TEXT_H
#define BL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BL_TEXT_NUMBER 48 /* a buffer that holds any formatted number */

/* Copies `length` bytes; invalid UTF-8, control characters and NUL become U+FFFD or '?'. A copy
 * that does not fit is cut at a whole character. Returns the length written. */
size_t bl_text_printable(char *out, size_t size, const char *raw, size_t length);

/* Columns that valid UTF-8 takes on a terminal, one per character. */
size_t bl_text_width(const char *text);

/* Cuts valid UTF-8 to `width` columns with an ellipsis, at its start when the end is what matters,
 * as in a path. 0 columns are no limit. */
void bl_text_fit(char *out, size_t size, const char *text, size_t width, bool keep_end);

/* Of each "{one|many}" in the text the form that fits the number. */
void bl_text_plural(char *out, size_t size, const char *text, uint64_t number);

/* "1,204" */
const char *bl_text_count(char *out, uint64_t value);
/* "1.18 MiB", "512 B" */
const char *bl_text_bytes(char *out, uint64_t value);
/* "12m 29s", "3s", "250ms" */
const char *bl_text_age(char *out, uint64_t age_ns);
/* "2026-11-22T12:09:00.123Z" */
const char *bl_text_time(char *out, uint64_t realtime_ns);

/* "64K", "1.5M", "2GiB" in bytes; false when it is not a size. */
bool bl_text_parse_size(const char *text, uint64_t *ret_bytes);
/* "250ms", "10s", "5m", "2h", "7d", a bare number is seconds; false when it is not an age. */
bool bl_text_parse_age(const char *text, uint64_t *ret_ns);
/* Decimal digits only, at most `max`. */
bool bl_text_parse_number(const char *text, uint64_t max, uint64_t *ret_value);

/* "USR1", "SIGUSR1", "RTMIN+3", "10"; 0 for "none"; -1 when there is none that can be answered. */
int bl_text_parse_signal(const char *text);
/* "SIGUSR1" */
const char *bl_text_signal(char *out, int number);

#endif
