#include "script.h"

#include "text.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

struct interpreter {
    const char *name;  /* a version may follow */
    const char *text;  /* letters of options whose argument is the text to run */
    const char *takes; /* letters of options that another argument belongs to */
    const char *runs;  /* letter of an option whose argument names what is run */
};

static const struct interpreter interpreters[] = {
    {"python", "c", "WX", "m"}, {"pypy", "c", "WX", "m"}, {"perl", "eE", "", ""},
    {"ruby", "e", "", ""},      {"node", "ep", "r", ""},  {"lua", "e", "l", ""},
    {"php", "r", "dc", ""},     {"tclsh", "", "", ""},    {"wish", "", "", ""},
    {"guile", "c", "", ""},     {"sh", "c", "oO", ""},    {"bash", "c", "oO", ""},
    {"dash", "c", "o", ""},     {"zsh", "c", "o", ""},    {"ksh", "c", "oO", ""},
    {"mksh", "c", "o", ""},     {"fish", "c", "", ""},    {"busybox", "c", "o", ""},
};

static const char *base_of(const char *path, size_t length)
{
    const char *slash = memrchr(path, '/', length);
    return slash ? slash + 1 : path;
}

/* "python" for python3.11; not "shuf" for sh. */
static const struct interpreter *find(const char *exe)
{
    const char *base = base_of(exe, strlen(exe));
    for (size_t i = 0; i < sizeof(interpreters) / sizeof(interpreters[0]); i++) {
        size_t length = strlen(interpreters[i].name);
        if (strncmp(base, interpreters[i].name, length) == 0 &&
            strspn(base + length, "0123456789.-") == strlen(base + length))
            return &interpreters[i];
    }
    return NULL;
}

static bool is_among(char letter, const char *letters)
{
    return letter && strchr(letters, letter);
}

/* What an option means by its last letter: as in -uc TEXT. */
static char last_letter(const char *option)
{
    size_t length = strlen(option);
    bool is_long = option[0] == '-' && option[1] == '-';
    return length > 1 && !is_long && isalpha((unsigned char)option[length - 1]) ? option[length - 1]
                                                                                : '\0';
}

void bl_script_name(char *out, size_t size, const char *exe, const char *line, size_t length)
{
    const struct interpreter *interpreter = find(exe);
    const char *end = line + length;
    bool is_next = false;
    bool is_passed = true; /* the name that it was called by */
    *out = '\0';
    for (const char *at = line; interpreter && at < end;
         at += strnlen(at, (size_t)(end - at)) + 1) {
        size_t left = strnlen(at, (size_t)(end - at));
        bool is_option = !is_next && left > 1 && (*at == '-' || *at == '+');
        if (is_passed) {
            is_passed = false;
        } else if (is_option && left < (size_t)(end - at)) {
            char letter = last_letter(at);
            if (is_among(letter, interpreter->text))
                return;
            is_passed = is_among(letter, interpreter->takes);
            is_next = strcmp(at, "--") == 0 || is_among(letter, interpreter->runs);
        } else if (!is_option) {
            const char *base = base_of(at, left);
            bl_text_printable(out, size, base, left - (size_t)(base - at));
            return;
        }
    }
}
