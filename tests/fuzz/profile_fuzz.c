/*
 * Whatever the bytes, a profile is read or refused: no crash, no read beyond its end, and what
 * comes out obeys the header's contract.
 */
#include "profile.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct counts {
    uint32_t classes;
    int errors;
};

static void need(bool condition)
{
    if (!condition)
        abort();
}

static void take_class(void *context, const struct bl_profile_class *c)
{
    struct counts *counts = context;
    need(memchr(c->name, '\0', sizeof(c->name)) && c->name[0]);
    need(memchr(c->library, '\0', sizeof(c->library)) && c->library[0]);
    need(memchr(c->own, '\0', sizeof(c->own)));
    bl_profile_matches(c->library, c->own);
    need(memchr(c->kind_variable, '\0', sizeof(c->kind_variable)));
    need(c->kind_of == BL_PROFILE_NO_CLASS || c->kind_of < counts->classes);
    need(++counts->classes <= BL_PROFILE_CLASSES_MAX);
}

static void take_function(void *context, const struct bl_profile_function *f)
{
    const struct counts *counts = context;
    need(memchr(f->name, '\0', sizeof(f->name)) && f->name[0]);
    need(f->class_index < counts->classes && bl_profile_role_name(f->role));
    need(f->handle.derefs <= BL_PROFILE_DEREFS_MAX && f->handle.width == 0);
    need(f->handle.where == BL_WHERE_RESULT ||
         (f->handle.where == BL_WHERE_ARG && f->handle.n >= 1 &&
          f->handle.n <= (int64_t)BL_PROFILE_ARGS_MAX));
    need(!f->pre || (f->handle.where != BL_WHERE_RESULT && !(f->when & BL_WHEN_RESULT)));
    need(f->count.where != BL_WHERE_NONE && f->stack_words <= 256);
    need(f->owner.where == BL_WHERE_NONE || f->beside.where == BL_WHERE_NONE);
    need(f->kind.where == BL_WHERE_NONE || f->role == BL_ROLE_ALLOC);
}

static void take_request(void *context, const struct bl_profile_request *r)
{
    (void)context;
    need(memchr(r->library, '\0', sizeof(r->library)) && r->library[0]);
    need(memchr(r->function, '\0', sizeof(r->function)) && r->function[0]);
}

static void take_error(void *context, unsigned line, unsigned column, const char *what)
{
    struct counts *counts = context;
    counts->errors++;
    need(line > 0 && column > 0 && *what);
    for (const char *p = what; *p; p++)
        need(*p >= ' ' && *p < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct counts counts = {0, 0};
    struct bl_profile_sink sink = {&counts, take_class, take_function, take_error, take_request};
    need(bl_profile_parse((const char *)data, size, &sink) == counts.errors);
    return 0;
}
