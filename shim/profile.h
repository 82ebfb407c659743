/*
 * Profiles: text files that name the functions which allocate, retain and release a class of
 * buffers.
 *
 * The parser only: no allocation, no files, no output, so that the shim (in the target) and the
 * command line (`bufleak profiles check`) use the same. The format is described in
 * bufleak-profile(5). Threads: any; state is on the caller's stack (about 6 KiB). Signal context:
 * safe. Errors: through the callback, with line and column (from 1, in bytes); the rest of the file
 * is still parsed, a line with an error is left out, and so is a class whose head has one.
 */
#ifndef BL_PROFILE_H
#define BL_PROFILE_H

#include "compiler.h"

#define BL_PROFILE_FILE_MAX    (256u << 10) /* bytes of a file; more is not a profile */
#define BL_PROFILE_NAME_MAX    64u
#define BL_PROFILE_LIST_MAX    512u
#define BL_PROFILE_CLASSES_MAX 62u /* of one file; the ledger holds 64, two are the heap's */
#define BL_PROFILE_ARGS_MAX    38u
#define BL_PROFILE_DEREFS_MAX  3u
#define BL_PROFILE_KINDS_MAX   16u /* of one class */
#define BL_PROFILE_NO_CLASS    UINT32_MAX

enum bl_role {
    BL_ROLE_ALLOC,   /* a handle is born, with one reference unless `count` says otherwise */
    BL_ROLE_RETAIN,  /* references are added */
    BL_ROLE_RELEASE, /* references are given back */
    BL_ROLE_DESTROY, /* the buffer is gone, whatever its count */
    BL_ROLE_RESIZE,  /* its size changes; with `into` it may have moved there (NULL: the call failed
                      * and nothing has changed) */
    BL_ROLE_REPLACE, /* where the handle's place holds another one after the call, the one before
                      * it has lost a reference, and `into`, if given, has gained one. Births and
                      * releases by inner calls are seen as such. */
    BL_ROLE_TRANSFER, /* ownership passes into another buffer, which answers for it */
    BL_ROLE_STEAL,    /* a release that hands out the content, or calls one that does not */
    BL_ROLE_CLEAR,    /* the buffers it owns (`owner`) are gone; it stays */
    BL_ROLE_LASTING,  /* what is born or retained inside it, of whatever class, stays to the end */
    BL_ROLE_COUNT,
};

enum bl_where {
    BL_WHERE_NONE,
    BL_WHERE_RESULT,  /* the return value */
    BL_WHERE_ARG,     /* argument n */
    BL_WHERE_CONST,   /* the number n itself (sizes, counts) */
    BL_WHERE_PRODUCT, /* argument n times argument m */
    BL_WHERE_FIELD,   /* read from the object: offset n, width bytes */
};

struct bl_place {
    enum bl_where where;
    uint8_t derefs; /* RESULT, ARG: so many times what it points to (8 bytes each) */
    uint8_t width;  /* ARG, PRODUCT, RESULT: only so many low bytes count; FIELD: its size */
    int64_t n;      /* argument numbers count from 1 */
    int64_t m;
};

struct bl_profile_class {
    char name[BL_PROFILE_NAME_MAX];    /* "gst-buffer" */
    char library[BL_PROFILE_LIST_MAX]; /* file name patterns, blank-separated: "libglib-2.0.so*" */
    char own[BL_PROFILE_LIST_MAX];     /* more modules whose frames are not the caller's code */
    bool revives;                      /* a retain at count 0 is a resurrection, not an error */
    bool ends_by_free; /* the free of its heap block ends it, whatever its count (default) */
    bool zero_is_end;  /* count 0 is the end (default); else only destroy is */
    bool adopts;       /* not all births can be seen: a retain of an unknown handle makes it known,
                        * with the count its field has after the retain (without a field: with this
                        * retain's), and a release or destroy of one that is not live may be that of
                        * an unseen birth at the same address: it is no error */
    bool recycles;     /* born again while live: its end was one that cannot be seen, and well */
    bool inlined;      /* retains and releases are inlined into callers: only births, destroys and
                        * the field are seen, refs and field differ without being adrift */
    bool bytecode; /* of Java objects: what is built in is rewritten as their classes load; there
                    * are no functions. library is the virtual machine's */
    /* The object's own count: BL_WHERE_FIELD, or NONE. Offsets are those of one version: a class
     * whose first birth observed after the call shows another count there has no field. */
    struct bl_place field;
    /* A kind of another class, reported right after it: all but the name is as there, and so are
     * the functions. A buffer is of this kind if the alloc's `kind` is the value of the library's
     * variable, or kind_value where no variable is named. */
    uint32_t kind_of; /* index of that class; BL_PROFILE_NO_CLASS: it is none */
    char kind_variable[BL_PROFILE_NAME_MAX];
    uint64_t kind_value;
};

/* When a call counts; several may hold at once. Those on the result make it a post hook. NEW, of an
 * alloc: the handle is not live; else it is one of old, whose retain was seen by itself. */
#define BL_WHEN_ZERO        0x1u /* it returned 0 (an int) */
#define BL_WHEN_NONZERO     0x2u /* it returned another int */
#define BL_WHEN_NONNEGATIVE 0x4u /* it returned an int of 0 or more */
#define BL_WHEN_FIELD       0x8u /* the object's own count, as the hook sees it, is above 0 */
#define BL_WHEN_NEW         0x10u
#define BL_WHEN_RESULT      (BL_WHEN_ZERO | BL_WHEN_NONZERO | BL_WHEN_NONNEGATIVE)

struct bl_profile_function {
    char name[BL_PROFILE_NAME_MAX];
    enum bl_role role;
    uint32_t class_index; /* of the classes reported so far, from 0 */
    unsigned when;        /* BL_WHEN_*; 0 = every call */
    struct bl_place handle;
    struct bl_place size;
    struct bl_place count; /* references by this call (an int); default constant 1 */
    struct bl_place into;  /* transfer: the buffer that answers from now on; replace: the new one */
    struct bl_place owner; /* alloc: ends with this handle, of whatever class; or NONE */
    struct bl_place beside; /* alloc: has the owner that this handle has; or NONE */
    struct bl_place kind;   /* alloc: tells which of the class's kinds it makes; or NONE */
    bool null_ok; /* a NULL handle does nothing (default); else it is not expected either */
    bool pre;    /* observed before the call; alloc is after it (default by role). A destroy that is
                  * not releases what it owns by calls that are seen, and ends it with what is left */
    bool wraps;  /* calls inside it on the same handle, by the same thread, that release
                  * (release, destroy, steal) or retain (retain) as it does are part of it:
                  * only the outer one counts */
    bool births; /* lasting: births only */
    bool optional;        /* may be missing in the library without a word */
    unsigned stack_words; /* stack arguments beyond the six in registers */
};

/* A function whose return completes a request. */
struct bl_profile_request {
    char library[BL_PROFILE_NAME_MAX]; /* a file name pattern */
    char function[BL_PROFILE_NAME_MAX];
};

struct bl_profile_sink {
    void *context;
    void (*on_class)(void *context, const struct bl_profile_class *c);
    void (*on_function)(void *context, const struct bl_profile_function *f);
    void (*on_error)(void *context, unsigned line, unsigned column, const char *what);
    void (*on_request)(void *context, const struct bl_profile_request *r);
};

/* Returns the number of errors. text need not end in NUL. Any callback may be NULL. */
int bl_profile_parse(const char *text, size_t length, const struct bl_profile_sink *sink);

/* "alloc"; NULL for an unknown one. */
const char *bl_profile_role_name(enum bl_role role);

/* Whether a file name matches one of the blank-separated patterns; `*` stands for any bytes. */
bool bl_profile_matches(const char *patterns, const char *file_name);
/* The same for one pattern of length bytes. */
bool bl_profile_matches_one(const char *pattern, size_t length, const char *file_name);

/* Before a text is parsed, at a small part of what that takes: is there a file that one of its
 * patterns stands for, of any class or request? Ends with the first that is_there accepts. */
typedef bool bl_profile_names_fn(void *context, const char *pattern, size_t length);
bool bl_profile_names(const char *text, size_t length, bl_profile_names_fn *is_there,
                      void *context);

/* What one call of a hooked function offers. stack_args[0] is the seventh argument. */
struct bl_profile_call {
    const uint64_t *args;
    const uint64_t *stack_args;
    uint64_t result; /* in a post hook */
    uint64_t handle; /* for FIELD */
};

/* The value of a place in a call. False: there is no place, or a pointer on the way is NULL. Reads
 * the target's memory where the place says so, as the function itself does. */
bool bl_profile_value(const struct bl_place *place, const struct bl_profile_call *call,
                      uint64_t *ret_value);

/* The built-in profiles: name and text, in static memory. NULL name ends the list. */
struct bl_profile_builtin {
    const char *name;
    const char *text;
};
extern const struct bl_profile_builtin bl_profile_builtins[];

#endif
