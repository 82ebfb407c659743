#include "profile_file.h"

#include "profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Returns the bytes read, or -1. */
static ssize_t read_all(int fd, char *out, size_t size)
{
    size_t used = 0;
    while (used < size) {
        ssize_t n = read(fd, out + used, size - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    return (ssize_t)used;
}

int bl_profile_file_read(const char *path, char *out, size_t *ret_length, struct bl_error *error)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return bl_error_set(error, "cannot open the profile %s: %s", path, strerror(errno));
    int outcome = 0;
    ssize_t length = -1;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        outcome = bl_error_set(error, "%s is not a file", path);
    else if ((length = read_all(fd, out, BL_PROFILE_FILE_MAX + 1)) < 0)
        outcome = bl_error_set(error, "cannot read %s: %s", path, strerror(errno));
    else if (length > (ssize_t)BL_PROFILE_FILE_MAX)
        outcome = bl_error_set(error, "%s is no profile: it is longer than 256 KiB", path);
    close(fd);
    if (outcome == 0)
        *ret_length = (size_t)length;
    return outcome;
}

/* ---- before a program is started with it ---- */

struct text {
    char *at; /* of size bytes, zeroed */
    size_t size;
    size_t used;
    bool is_cut;
};

struct warning {
    const char *path;
    bool is_said;
};

static void warn(void *context, unsigned line, unsigned column, const char *what)
{
    struct warning *w = context;
    if (!w->is_said)
        bl_say("%s:%u:%u: %s; what has a mistake is left out: see `bufleak profiles check %s`",
               w->path, line, column, what, w->path);
    w->is_said = true;
}

static int warn_of(const char *path, char *buffer, struct bl_error *error)
{
    struct warning w = {.path = path};
    struct bl_profile_sink sink = {.context = &w, .on_error = warn};
    size_t length = 0;
    if (bl_profile_file_read(path, buffer, &length, error) < 0)
        bl_say("%s; it is not applied", error->text);
    else
        bl_profile_parse(buffer, length, &sink);
    return 0;
}

/* The first mistake of a file, and what it names. */
struct findings {
    const char *path;
    struct bl_error *error;
    bool is_wrong;
    bool names_any;
};

static void take_mistake(void *context, unsigned line, unsigned column, const char *what)
{
    struct findings *found = context;
    if (!found->is_wrong)
        bl_error_set(found->error, "%s:%u:%u: %s", found->path, line, column, what);
    found->is_wrong = true;
}

static void take_class(void *context, const struct bl_profile_class *c)
{
    (void)c;
    ((struct findings *)context)->names_any = true;
}

static void take_request(void *context, const struct bl_profile_request *r)
{
    (void)r;
    ((struct findings *)context)->names_any = true;
}

static int check_one(const char *path, char *buffer, struct bl_error *error)
{
    struct findings found = {.path = path, .error = error};
    struct bl_profile_sink sink = {.context = &found,
                                   .on_class = take_class,
                                   .on_request = take_request,
                                   .on_error = take_mistake};
    size_t length = 0;
    if (bl_profile_file_read(path, buffer, &length, error) < 0)
        return -1;
    if (bl_profile_parse(buffer, length, &sink) == 0)
        bl_profile_shared(buffer, length, take_mistake, &found);
    if (!found.is_wrong && !found.names_any)
        return bl_error_set(error, "%s:1:1: it names no class: a profile begins with `class NAME`",
                            path);
    return found.is_wrong ? -1 : 0;
}

bool bl_profile_file_is_one(const char *name)
{
    bool is_word = strcmp(name, "auto") == 0 || strcmp(name, "none") == 0;
    for (const struct bl_profile_builtin *b = bl_profile_builtins; b->name && !is_word; b++)
        is_word = strcmp(b->name, name) == 0;
    return !is_word;
}

/* A bare name may be a misspelt one: it is a file's if there is that file. */
static bool is_relative_file(const char *name)
{
    return *name && *name != '/' && bl_profile_file_is_one(name) &&
           (strchr(name, '/') || access(name, F_OK) == 0);
}

static void append(struct text *out, const char *text, size_t length)
{
    if (length < out->size - out->used)
        memcpy(out->at + out->used, text, length);
    else
        out->is_cut = true;
    out->used += out->is_cut ? 0 : length;
}

/* Names are separated by commas; `length` is that of all. */
static void append_absolute(struct text *out, const char *names, size_t length, const char *from)
{
    while (length > 0) {
        size_t one = strcspn(names, ",:");
        one = one < length ? one : length;
        char *name = strndup(names, one);
        if (name && is_relative_file(name)) {
            append(out, from, strcmp(from, "/") == 0 ? 0 : strlen(from));
            append(out, "/", 1);
        }
        free(name);
        one += one < length;
        append(out, names, one);
        names += one;
        length -= one;
    }
}

void bl_profile_file_make_absolute(char *options, size_t size)
{
    static const char key[] = "profiles=";
    char *from = getcwd(NULL, 0);
    struct text out = {.at = calloc(1, size), .size = size};
    for (const char *item = options; out.at && from && *item;) {
        size_t length = strcspn(item, ":");
        size_t key_length = strncmp(item, key, strlen(key)) == 0 ? strlen(key) : length;
        append(&out, item, key_length);
        append_absolute(&out, item + key_length, length - key_length, from);
        item += length;
        append(&out, item, *item == ':');
        item += *item == ':';
    }
    /* a directory that cannot be written in a list stays away from it */
    if (out.at && from && !out.is_cut && !strpbrk(from, ":,"))
        memcpy(options, out.at, size);
    free(out.at);
    free(from);
}

/* The last of that key counts. */
static const char *find_list(const char *options)
{
    const char *list = NULL;
    while (*options) {
        size_t length = strcspn(options, ":");
        if (strncmp(options, "profiles=", 9) == 0)
            list = options + 9;
        options += length + (options[length] == ':');
    }
    return list;
}

/* The names in BUFLEAK_OPTIONS that are files', in turn; `buffer` has room for each. */
typedef int file_fn(const char *path, char *buffer, struct bl_error *error);

static int for_each_file(const char *options, file_fn *look, struct bl_error *error)
{
    const char *list = find_list(options);
    char *names = list ? strndup(list, strcspn(list, ":")) : NULL;
    char *buffer = names ? malloc(BL_PROFILE_FILE_MAX + 1) : NULL;
    char *rest = NULL;
    int outcome = list && !buffer ? bl_error_set(error, "not enough memory for profiles") : 0;
    for (char *name = buffer ? strtok_r(names, ",", &rest) : NULL; name && outcome == 0;
         name = strtok_r(NULL, ",", &rest))
        if (bl_profile_file_is_one(name))
            outcome = look(name, buffer, error);
    free(buffer);
    free(names);
    return outcome;
}

void bl_profile_file_warn(const char *options)
{
    struct bl_error ignored;
    for_each_file(options, warn_of, &ignored);
}

int bl_profile_file_check(const char *options, struct bl_error *error)
{
    return for_each_file(options, check_one, error);
}
