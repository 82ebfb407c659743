/*
 * Profiles: text files that name the functions which allocate, retain and release a class of
 * buffers.
 *
 * The parser only: no allocation, no files, no output, so that the shim (in the target) and the
 * command line (`bufleak profiles check`) use the same. The format is described in
 * bufleak-profile(5). Threads: any; state is in the caller's hands. Signal context: safe. Errors:
 * through the callback, with line and column (from 1); the rest of the file is still parsed.
 */
#ifndef BL_PROFILE_H
#define BL_PROFILE_H

#include "compiler.h"

#define BL_PROFILE_NAME_MAX 64u
#define BL_PROFILE_LIST_MAX 256u

enum bl_role {
    BL_ROLE_ALLOC,    /* a handle is born, with one reference unless `count` says otherwise */
    BL_ROLE_RETAIN,   /* references are added */
    BL_ROLE_RELEASE,  /* references are given back */
    BL_ROLE_DESTROY,  /* the buffer is gone, whatever its count */
    BL_ROLE_RESIZE,   /* its size changes; the handle may (result) */
    BL_ROLE_REPLACE,  /* *slot is released and takes a reference to another: av_buffer_replace */
    BL_ROLE_TRANSFER, /* ownership passes into another buffer, which answers for it */
    BL_ROLE_STEAL,    /* a release that also returns the content when it was the last reference */
};

enum bl_where {
    BL_WHERE_NONE,
    BL_WHERE_RESULT,    /* the return value */
    BL_WHERE_ARG,       /* argument n */
    BL_WHERE_ARG_DEREF, /* what argument n points to */
    BL_WHERE_CONST,     /* the number itself (sizes, counts) */
    BL_WHERE_PRODUCT,   /* argument n times argument m */
    BL_WHERE_FIELD,     /* read from the object: offset n, width m bytes */
};

struct bl_place {
    enum bl_where where;
    int64_t n; /* argument numbers count from 1 */
    int64_t m;
};

struct bl_profile_class {
    char name[BL_PROFILE_NAME_MAX];    /* "gst-buffer" */
    char library[BL_PROFILE_LIST_MAX]; /* file name patterns, blank-separated: "libglib-2.0.so*" */
    char own[BL_PROFILE_LIST_MAX];     /* more modules whose frames are not the caller's code */
    bool revives;                      /* a retain at count 0 is a resurrection, not an error */
    bool ends_by_free;                 /* the free of its heap block ends it, whatever its count */
    bool zero_is_end;                  /* count 0 is the end; else only destroy is */
    struct bl_place field;             /* the object's own count: BL_WHERE_FIELD, or NONE */
};

struct bl_profile_function {
    char name[BL_PROFILE_NAME_MAX];
    enum bl_role role;
    uint32_t class_index; /* of the classes reported so far, from 0 */
    struct bl_place handle;
    struct bl_place size;
    struct bl_place count; /* references by this call; default constant 1 */
    struct bl_place into;  /* transfer: the buffer that answers from now on; replace: the new one */
    bool null_ok;         /* a NULL handle does nothing (default); else it is not expected either */
    bool pre;             /* observed before the call; alloc is after it (default by role) */
    bool optional;        /* may be missing in the library without a word */
    unsigned stack_words; /* stack arguments beyond the six in registers */
};

struct bl_profile_sink {
    void *context;
    void (*on_class)(void *context, const struct bl_profile_class *c);
    void (*on_function)(void *context, const struct bl_profile_function *f);
    void (*on_error)(void *context, unsigned line, unsigned column, const char *what);
};

/* Returns the number of errors. text need not end in NUL. */
int bl_profile_parse(const char *text, size_t length, const struct bl_profile_sink *sink);

/* The built-in profiles: name and text, in static memory. NULL name ends the list. */
struct bl_profile_builtin {
    const char *name;
    const char *text;
};
extern const struct bl_profile_builtin bl_profile_builtins[];

#endif
