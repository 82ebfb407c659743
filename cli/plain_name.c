#include "plain_name.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct scan {
    const char *at;
    const char *start; /* of the part that is read */
    const char *end;
    size_t parts; /* ended by :: */
    bool is_library;
};

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '.' ||
           (unsigned char)c >= 0x80;
}

/* Past the bracket that closes the one here, or the end. */
static const char *skip_brackets(const char *at)
{
    int depth = 0;
    do {
        if (strchr("(<[{", *at))
            depth++;
        else if (strchr(")>]}", *at) && !(*at == '>' && at[-1] == '-'))
            depth--;
        at++;
    } while (*at && depth > 0);
    return at;
}

/* What stands between the parameters of a function and the names within it. */
static const char *skip_qualifiers(const char *at)
{
    static const char *const words[] = {" const", " volatile", " noexcept", " &&", " &"};
    bool found = true;
    while (found) {
        found = false;
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && !found; i++) {
            size_t length = strlen(words[i]);
            found = strncmp(at, words[i], length) == 0;
            at += found ? length : 0;
        }
    }
    return at;
}

static bool is_operator(const struct scan *scan)
{
    static const char word[] = "operator";
    return scan->at == scan->start && strncmp(scan->at, word, sizeof(word) - 1) == 0 &&
           !is_word(scan->at[sizeof(word) - 1]);
}

/* "operator()", "operator<<", "operator new[]", "operator bool" */
static void take_operator(struct scan *scan)
{
    const char *at = scan->at + strlen("operator");
    if (strncmp(at, "()", 2) == 0 || strncmp(at, "[]", 2) == 0)
        at += 2;
    else
        while (*at && *at != '(')
            at++;
    scan->at = scan->end = at;
}

static void end_part(struct scan *scan)
{
    size_t length = (size_t)(scan->end - scan->start);
    if (scan->parts++ == 0)
        scan->is_library = (length == 3 && memcmp(scan->start, "std", 3) == 0) ||
                           (length == 9 && memcmp(scan->start, "__gnu_cxx", 9) == 0);
    scan->at += 2;
    scan->start = scan->end = scan->at;
}

/* A type of what is returned came before. */
static void begin_name(struct scan *scan)
{
    scan->at++;
    scan->start = scan->end = scan->at;
    scan->parts = 0;
    scan->is_library = false;
}

/* False: the name has ended. */
static bool step(struct scan *scan)
{
    if (is_operator(scan)) {
        take_operator(scan);
        return true;
    }
    if (scan->at[0] == ':' && scan->at[1] == ':') {
        end_part(scan);
        return true;
    }
    if (strchr("(<[{", *scan->at)) {
        bool is_call = *scan->at == '(' && scan->end > scan->start;
        const char *next = skip_brackets(scan->at);
        const char *after = is_call ? skip_qualifiers(next) : next;
        if (is_call && strncmp(after, "::", 2) != 0)
            return false;
        scan->at = after;
        return true;
    }
    if (is_word(*scan->at))
        scan->end = ++scan->at;
    else
        begin_name(scan);
    return true;
}

/* Java numbers the lambdas of a class in their order: "lambda$route$0". */
static void cut_number(char *name)
{
    size_t length = strlen(name);
    if (!strstr(name, "lambda$"))
        return;
    while (length > 0 && isdigit((unsigned char)name[length - 1]))
        length--;
    if (length > 0 && name[length - 1] == '$' && name[length])
        name[length - 1] = '\0';
}

bool bl_plain_name(char *out, size_t size, const char *name)
{
    struct scan scan = {.at = name, .start = name, .end = name};
    while (*scan.at && step(&scan))
        ;
    bool is_empty = scan.end == scan.start;
    snprintf(out, size, "%.*s", is_empty ? (int)strlen(name) : (int)(scan.end - scan.start),
             is_empty ? name : scan.start);
    cut_number(out);
    return !scan.is_library && strncmp(out, "__", 2) != 0 && strncmp(out, "_M_", 3) != 0 &&
           strncmp(out, "_S_", 3) != 0;
}
