/*
 * Java class files: new members, and instructions put before the code of methods.
 *
 * A prefix runs once on every call of its method, with an empty operand stack and the arguments in
 * their variables; it has no branches and must leave the stack empty. Its length is a multiple of
 * 4, which keeps the alignment of switches; branches are relative and exception ranges, line
 * numbers, variables and stack maps are moved along. The first line of a method is that of its
 * prefix too. Annotations of types inside changed code are dropped: nothing at run time reads them.
 *
 * Owns nothing: input and output are the caller's. Threads: any. Signal context: safe. Allocates
 * nothing. Every offset in the input is checked: a class that is not understood is refused, with
 * what was met, and the caller leaves it as it is.
 */
#ifndef BL_CLASSFILE_H
#define BL_CLASSFILE_H

#include "compiler.h"

#define BL_CLASSFILE_PREFIX_MAX 16u
#define BL_CLASSFILE_ADDED_MAX  1024u /* bytes of new constants */
#define BL_CLASSFILE_GROWTH     4096u /* the output is at most so much longer than the input */

/* Bytes of the input. */
struct bl_classfile_text {
    const char *text;
    size_t length;
};

struct bl_classfile {
    const uint8_t *in;
    size_t in_length;
    const uint32_t *offsets; /* of the constants' tags; 0: second half of a long */
    uint32_t constant_count;
    size_t constants_end;
    uint16_t this_class;
    struct bl_classfile_text name; /* io/netty/buffer/ByteBuf */
    uint8_t added[BL_CLASSFILE_ADDED_MAX];
    size_t added_length;
    uint32_t added_count;
    const char *why; /* what is wrong, once something is */
};

/* offsets: scratch for 65,536 numbers. False: c->why says what is wrong. */
bool bl_classfile_parse(struct bl_classfile *c, const void *in, size_t length, uint32_t *offsets);

/* New constants; each returns its number, 0 when there is no more room. */
uint16_t bl_classfile_add_text(struct bl_classfile *c, const char *text, size_t length);
uint16_t bl_classfile_add_class(struct bl_classfile *c, const char *name, size_t length);
/* owner: number of a class constant. */
uint16_t bl_classfile_add_field(struct bl_classfile *c, uint16_t owner, const char *name,
                                const char *type);
uint16_t bl_classfile_add_method(struct bl_classfile *c, uint16_t owner, const char *name,
                                 const char *type);
uint16_t bl_classfile_add_interface_method(struct bl_classfile *c, uint16_t owner, const char *name,
                                           const char *type);

struct bl_classfile_member {
    const char *name;
    const char *type;
    uint16_t access; /* ACC_* */
};

struct bl_classfile_edit {
    void *context;
    const struct bl_classfile_member *fields; /* to be added */
    size_t field_count;
    const struct bl_classfile_member *methods; /* without code: native ones */
    size_t method_count;
    /* The prefix of a method, a multiple of 4 bytes; returns its length, 0 = none. */
    size_t (*prefix)(void *context, struct bl_classfile_text name, struct bl_classfile_text type,
                     uint8_t out[BL_CLASSFILE_PREFIX_MAX]);
};

/* Writes the edited class to out, which has room for in_length + BL_CLASSFILE_GROWTH. Returns its
 * length; 0: c->why says why not. ret_edited: how many methods got a prefix. */
size_t bl_classfile_write(struct bl_classfile *c, const struct bl_classfile_edit *edit,
                          uint8_t *out, uint32_t *ret_edited);

bool bl_classfile_text_is(struct bl_classfile_text t, const char *text);
bool bl_classfile_text_begins(struct bl_classfile_text t, const char *text);

#endif
