#include "text.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* Length of the valid UTF-8 sequence at `text`, 0 when there is none. */
static size_t sequence_length(const unsigned char *text, size_t left)
{
    unsigned char first = text[0];
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length == 0 || first > 0xf4 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (first == 0xe0 && text[1] < 0xa0) || (first == 0xf0 && text[1] < 0x90);
    bool surrogate = first == 0xed && text[1] > 0x9f;
    bool too_high = first == 0xf4 && text[1] > 0x8f;
    return overlong || surrogate || too_high ? 0 : length;
}

/* C0 and C1 controls and DEL move the cursor or change the terminal's state. */
static bool is_control(const unsigned char *text, size_t length)
{
    if (length == 1)
        return text[0] < 0x20 || text[0] == 0x7f;
    return length == 2 && text[0] == 0xc2 && text[1] < 0xa0;
}

size_t bl_text_printable(char *out, size_t size, const char *raw, size_t length)
{
    const unsigned char *from = (const unsigned char *)raw;
    size_t used = 0;
    for (size_t at = 0; at < length;) {
        size_t step = sequence_length(from + at, length - at);
        const char *piece = raw + at;
        size_t piece_length = step;
        if (step == 0) {
            piece = "\xef\xbf\xbd";
            piece_length = 3;
            step = 1;
        } else if (is_control(from + at, step)) {
            piece = "?";
            piece_length = 1;
        }
        if (used + piece_length >= size)
            break;
        memcpy(out + used, piece, piece_length);
        used += piece_length;
        at += step;
    }
    out[used] = '\0';
    return used;
}

/* What terminals show in no column (marks on the letter before) and in two. */
struct range {
    uint32_t first;
    uint32_t last;
};
static const struct range narrow[] = {{0x300, 0x36f}, {0x200b, 0x200f}, {0xfe00, 0xfe0f}};
static const struct range wide[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0x4dbf},
                                    {0x4e00, 0xa4cf},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},
                                    {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
                                    {0x1f300, 0x1f64f}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};

static bool is_in(const struct range *ranges, size_t count, uint32_t c)
{
    for (size_t i = 0; i < count; i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

static const char *next_letter(const char *at)
{
    do
        at++;
    while (((unsigned char)*at & 0xc0) == 0x80);
    return at;
}

/* Of the letter at the beginning of valid UTF-8. */
static size_t columns_of(const char *text)
{
    unsigned char lead = (unsigned char)*text;
    size_t length = (size_t)(next_letter(text) - text);
    if (lead < 0x80)
        return 1;
    uint32_t c = lead & (0x7fu >> length);
    for (size_t i = 1; i < length && i < 4; i++)
        c = c << 6 | ((unsigned char)text[i] & 0x3f);
    if (is_in(narrow, sizeof(narrow) / sizeof(narrow[0]), c))
        return 0;
    return is_in(wide, sizeof(wide) / sizeof(wide[0]), c) ? 2 : 1;
}

size_t bl_text_width(const char *text)
{
    size_t width = 0;
    for (; *text; text = next_letter(text))
        width += columns_of(text);
    return width;
}

void bl_text_fit(char *out, size_t size, const char *text, size_t width, bool keep_end)
{
    size_t columns = bl_text_width(text);
    if (width == 0 || columns <= width) {
        snprintf(out, size, "%s", text);
        return;
    }
    const char *from = text;
    for (size_t left = columns; keep_end && left > width - 1; from = next_letter(from))
        left -= columns_of(from);
    const char *to = from;
    for (size_t taken = 0; *to && taken + columns_of(to) <= width - 1; to = next_letter(to))
        taken += columns_of(to);
    snprintf(out, size, "%s%.*s%s", keep_end ? "…" : "", (int)(to - from), from,
             keep_end ? "" : "…");
}

void bl_text_plural(char *out, size_t size, const char *text, uint64_t number)
{
    size_t used = 0;
    while (*text && used + 1 < size) {
        const char *end = *text == '{' ? strchr(text, '}') : NULL;
        const char *middle = end ? memchr(text, '|', (size_t)(end - text)) : NULL;
        const char *from = text;
        size_t length = 1;
        if (middle) {
            from = number == 1 ? text + 1 : middle + 1;
            length = (size_t)((number == 1 ? middle : end) - from);
        }
        length = length < size - 1 - used ? length : size - 1 - used;
        memcpy(out + used, from, length);
        used += length;
        text = middle ? end + 1 : text + 1;
    }
    out[used] = '\0';
}

const char *bl_text_count(char *out, uint64_t value)
{
    char digits[BL_TEXT_NUMBER];
    int length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
    int at = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

const char *bl_text_bytes(char *out, uint64_t value)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double scaled = (double)value;
    size_t unit = 0;
    /* 1023.995 would print as "1024.00" in the smaller unit */
    while (scaled >= 1023.995 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        scaled /= 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(out, BL_TEXT_NUMBER, "%llu B", (unsigned long long)value);
    else
        snprintf(out, BL_TEXT_NUMBER, "%.2f %s", scaled, units[unit]);
    return out;
}

const char *bl_text_age(char *out, uint64_t age_ns)
{
    uint64_t seconds = age_ns / 1000000000u;
    unsigned long long days = seconds / 86400;
    unsigned hours = (unsigned)(seconds / 3600 % 24);
    unsigned minutes = (unsigned)(seconds / 60 % 60);
    if (days > 0)
        snprintf(out, BL_TEXT_NUMBER, "%llud %uh", days, hours);
    else if (hours > 0)
        snprintf(out, BL_TEXT_NUMBER, "%uh %um", hours, minutes);
    else if (minutes > 0)
        snprintf(out, BL_TEXT_NUMBER, "%um %us", minutes, (unsigned)(seconds % 60));
    else if (seconds > 0)
        snprintf(out, BL_TEXT_NUMBER, "%us", (unsigned)seconds);
    else
        snprintf(out, BL_TEXT_NUMBER, "%ums", (unsigned)(age_ns / 1000000u));
    return out;
}

const char *bl_text_time(char *out, uint64_t realtime_ns)
{
    time_t seconds = (time_t)(realtime_ns / 1000000000u);
    struct tm utc;
    size_t length = 0;
    if (gmtime_r(&seconds, &utc))
        length = strftime(out, BL_TEXT_NUMBER, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + length, BL_TEXT_NUMBER - length, ".%03uZ",
             (unsigned)(realtime_ns / 1000000u % 1000u));
    return out;
}

/* A non-negative decimal number and the text after it. strtod alone would take "inf" and "0x1p3".
 */
static bool parse_decimal(const char *text, double *ret_value, const char **ret_rest)
{
    size_t length = strspn(text, "0123456789.");
    char digits[64];
    if (length == 0 || length >= sizeof(digits))
        return false;
    memcpy(digits, text, length);
    digits[length] = '\0';
    char *end;
    double value = strtod(digits, &end);
    if (*end)
        return false;
    *ret_value = value;
    *ret_rest = text + length;
    return true;
}

static bool scale(double value, double unit, uint64_t *ret_value)
{
    double scaled = value * unit;
    if (!isfinite(scaled) || scaled >= 9.2e18)
        return false;
    *ret_value = (uint64_t)(scaled + 0.5);
    return true;
}

bool bl_text_parse_size(const char *text, uint64_t *ret_bytes)
{
    double value;
    const char *rest;
    if (!parse_decimal(text, &value, &rest))
        return false;
    static const char letters[] = "KMGTP";
    double unit = 1;
    if (*rest && strcasecmp(rest, "B") != 0) {
        const char *letter = strchr(letters, *rest >= 'a' ? *rest - 'a' + 'A' : *rest);
        if (!letter || *letter == '\0')
            return false;
        if (rest[1] && strcasecmp(rest + 1, "B") != 0 && strcasecmp(rest + 1, "iB") != 0)
            return false;
        unit = pow(1024, (double)(letter - letters + 1));
    }
    return scale(value, unit, ret_bytes);
}

bool bl_text_parse_age(const char *text, uint64_t *ret_ns)
{
    static const struct {
        const char *suffix;
        double ns;
    } units[] = {{"", 1e9}, {"s", 1e9},    {"ms", 1e6},   {"us", 1e3},   {"m", 60e9},
                 {"ns", 1}, {"min", 60e9}, {"h", 3600e9}, {"d", 86400e9}};
    double value;
    const char *rest;
    if (!parse_decimal(text, &value, &rest))
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(rest, units[i].suffix) == 0)
            return scale(value, units[i].ns, ret_ns);
    return false;
}

bool bl_text_parse_number(const char *text, uint64_t max, uint64_t *ret_value)
{
    size_t length = strlen(text);
    if (length == 0 || length != strspn(text, "0123456789"))
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, NULL, 10);
    if (errno || value > max)
        return false;
    *ret_value = value;
    return true;
}

static int parse_realtime_signal(const char *name)
{
    bool from_max = strncasecmp(name, "RTMAX", 5) == 0;
    if (!from_max && strncasecmp(name, "RTMIN", 5) != 0)
        return -1;
    uint64_t distance = 0;
    const char *rest = name + 5;
    if (*rest && (*rest != (from_max ? '-' : '+') ||
                  !bl_text_parse_number(rest + 1, (uint64_t)(SIGRTMAX - SIGRTMIN), &distance)))
        return -1;
    return from_max ? SIGRTMAX - (int)distance : SIGRTMIN + (int)distance;
}

/* Signals that the shim does not answer: they cannot be caught, or come with a crash. */
static int answerable(int number)
{
    static const int ends[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
                               SIGILL,  SIGTRAP, SIGSYS,  SIGABRT};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (number == ends[i])
            return -1;
    }
    return number;
}

int bl_text_parse_signal(const char *text)
{
    if (strcasecmp(text, "none") == 0)
        return 0;
    uint64_t number;
    if (bl_text_parse_number(text, (uint64_t)SIGRTMAX, &number))
        return number > 0 ? answerable((int)number) : -1;
    const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    for (int i = 1; i < SIGRTMIN; i++) {
        const char *known = sigabbrev_np(i);
        if (known && strcasecmp(known, name) == 0)
            return answerable(i);
    }
    return parse_realtime_signal(name);
}

const char *bl_text_signal(char *out, int number)
{
    const char *known = number > 0 ? sigabbrev_np(number) : NULL;
    if (known)
        snprintf(out, BL_TEXT_NUMBER, "SIG%s", known);
    else if (number >= SIGRTMIN && number <= SIGRTMAX)
        snprintf(out, BL_TEXT_NUMBER, "SIGRTMIN+%d", number - SIGRTMIN);
    else
        snprintf(out, BL_TEXT_NUMBER, "signal %d", number);
    return out;
}
