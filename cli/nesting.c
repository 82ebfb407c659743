#include "nesting.h"

#include "hash.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 1024u

struct method {
    UT_hash_handle hh;
    uint32_t number;
    char name[];
};

struct bl_nesting {
    struct method *methods;
    uint32_t count;
};

struct part {
    const char *text;
    size_t length;
};

struct bl_nesting *bl_nesting_create(void)
{
    return calloc(1, sizeof(struct bl_nesting));
}

void bl_nesting_destroy(struct bl_nesting *nesting)
{
    if (!nesting)
        return;
    struct method *method;
    struct method *next;
    HASH_ITER (hh, nesting->methods, method, next) {
        HASH_DEL(nesting->methods, method); // NOLINT(clang-analyzer-unix.Malloc): the next is known
        free(method);
    }
    free(nesting);
}

static uint32_t number_of(struct bl_nesting *nesting, const char *name, size_t length)
{
    struct method *method = NULL;
    HASH_FIND(hh, nesting->methods, name, length, method);
    if (method)
        return method->number;
    method = calloc(1, sizeof(*method) + length);
    if (!method)
        return 0;
    memcpy(method->name, name, length);
    method->number = ++nesting->count;
    HASH_ADD(hh, nesting->methods, name, length, method);
    return method->number;
}

static bool begins(struct part part, const char *text)
{
    size_t length = strlen(text);
    return part.length > length && memcmp(part.text, text, length) == 0;
}

/* "$" and digits at the end are left out; an empty part when there are none. */
static struct part without_number(struct part part)
{
    size_t end = part.length;
    while (end > 0 && isdigit((unsigned char)part.text[end - 1]))
        end--;
    bool has_number = end < part.length && end > 1 && part.text[end - 1] == '$';
    return (struct part){part.text, has_number ? end - 1 : 0};
}

static bool is_equal(struct part part, const char *text)
{
    return part.length == strlen(text) && memcmp(part.text, text, part.length) == 0;
}

/* The name of the method around a lambda; an empty part: it is none, or the name does not tell. */
static struct part around_of(struct part method)
{
    const char kotlin[] = "$lambda$";
    const struct part none = {NULL, 0};
    const char *inner = memmem(method.text, method.length, kotlin, sizeof(kotlin) - 1);
    if (inner && inner > method.text)
        return without_number(method).length > 0
                   ? (struct part){method.text, (size_t)(inner - method.text)}
                   : none;
    const char *prefix = begins(method, "lambda$") ? "lambda$" : "$anonfun$";
    if (!begins(method, prefix))
        return none;
    size_t skipped = strlen(prefix);
    struct part name =
        without_number((struct part){method.text + skipped, method.length - skipped});
    if (is_equal(name, "null")) /* so javac 8 calls those within another lambda */
        return none;
    if (is_equal(name, "new"))
        return (struct part){"<init>", 6};
    if (is_equal(name, "static"))
        return (struct part){"<clinit>", 8};
    return name;
}

struct bl_nest bl_nesting_find(struct bl_nesting *nesting, const char *name, size_t length)
{
    char around[NAME_MAX_BYTES];
    const char *dot = length < sizeof(around) / 2 ? memrchr(name, '.', length) : NULL;
    if (!dot)
        return (struct bl_nest){0};
    size_t class = (size_t)(dot + 1 - name);
    struct bl_nest nest = {.method = number_of(nesting, name, length)};
    struct part outer = around_of((struct part){dot + 1, length - class});
    nest.around = nest.method;
    if (outer.length > 0) {
        memcpy(around, name, class);
        memcpy(around + class, outer.text, outer.length);
        nest.around = number_of(nesting, around, class + outer.length);
    }
    return nest;
}
