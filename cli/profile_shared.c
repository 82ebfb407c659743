/*
 * A function in two classes of one library: it has one hook, so the second line would be without
 * effect. In libraries of different names it is another function each time, and legitimate.
 */
#include "profile_file.h"

#include "profile.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define FUNCTIONS_MAX 4096u /* of a file; what follows is not compared */

struct word {
    const char *start;
    size_t length;
};

struct named {
    struct word name;
    struct word libraries; /* of its class: the rest of that line */
    uint32_t class_number;
    unsigned line;
    unsigned column;
};

static struct word next_word(const char *at, const char *end)
{
    while (at < end && strchr(" \t\r", *at))
        at++;
    struct word word = {.start = at};
    while (at < end && !strchr(" \t\r", *at))
        at++;
    word.length = word.start < end && *word.start == '#' ? 0 : (size_t)(at - word.start);
    return word;
}

static bool is_same(struct word a, const char *text, size_t length)
{
    return a.length == length && memcmp(a.start, text, length) == 0;
}

/* Those that are hooked. */
static bool is_role(struct word word)
{
    for (unsigned role = 0; role < BL_ROLE_COUNT; role++) {
        const char *name = bl_profile_role_name((enum bl_role)role);
        if (role != BL_ROLE_LASTING && is_same(word, name, strlen(name)))
            return true;
    }
    return false;
}

/* Can a file name match both? Two patterns with `*` in different places are taken to differ. */
static bool is_of_both(struct word a, struct word b)
{
    char text[BL_PROFILE_LIST_MAX];
    if (b.length >= sizeof(text))
        return false;
    memcpy(text, b.start, b.length);
    text[b.length] = '\0';
    return bl_profile_matches_one(a.start, a.length, text);
}

static bool have_common(struct word a, struct word b)
{
    const char *end_a = a.start + a.length;
    const char *end_b = b.start + b.length;
    for (struct word x = next_word(a.start, end_a); x.length > 0;
         x = next_word(x.start + x.length, end_a))
        for (struct word y = next_word(b.start, end_b); y.length > 0;
             y = next_word(y.start + y.length, end_b))
            if (is_of_both(x, y) || is_of_both(y, x))
                return true;
    return false;
}

static bool report_shared(const struct named *known, size_t count, const struct named *one,
                          bl_profile_shared_fn *on_shared, void *context)
{
    for (size_t i = 0; i < count; i++) {
        char what[BL_PROFILE_NAME_MAX + 160];
        if (known[i].class_number == one->class_number ||
            !is_same(known[i].name, one->name.start, one->name.length) ||
            !have_common(known[i].libraries, one->libraries))
            continue;
        snprintf(what, sizeof(what),
                 "the function `%.*s` stands in another class of the same library already, in line "
                 "%u, column %u: it can belong to one only",
                 (int)one->name.length, one->name.start, known[i].line, known[i].column);
        on_shared(context, one->line, one->column, what);
        return true;
    }
    return false;
}

unsigned bl_profile_shared(const char *text, size_t length, bl_profile_shared_fn *on_shared,
                           void *context)
{
    static struct named known[FUNCTIONS_MAX]; /* too much for a stack */
    struct named one = {.line = 0};
    size_t count = 0;
    unsigned shared = 0;
    const char *end = text + length;
    for (const char *line = text; line < end && count < FUNCTIONS_MAX;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *stop = newline ? newline : end;
        struct word word = next_word(line, stop);
        const char *rest = word.start + word.length;
        one.line++;
        if (is_same(word, "class", 5))
            one.class_number++;
        if (is_same(word, "library", 7))
            one.libraries = (struct word){rest, (size_t)(stop - rest)};
        if (is_role(word)) {
            one.name = next_word(rest, stop);
            one.column = (unsigned)(one.name.start - line) + 1;
            if (report_shared(known, count, &one, on_shared, context))
                shared++;
            else
                known[count++] = one;
        }
        line = stop + 1;
    }
    return shared;
}
