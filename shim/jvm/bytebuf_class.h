/*
 * Netty's buffers: which of its classes are rewritten while they load, and how.
 *
 * All counted buffers inherit AbstractReferenceCountedByteBuf. It gets a field that says which
 * buffer an object is at the moment (objects are recycled, addresses change), and each method that
 * begins a life, retains or releases first tells one of two native methods. They come before
 * Netty's own code: after the real release another thread may have the object already.
 * Two others tell that something has happened: a request came, or direct memory ran out.
 * The classes that hold memory tell its size, and those that hold other buffers which, in native
 * methods of their own that take the objects: they are read before their superclass, and must not
 * depend on what becomes of it.
 *
 * Names are matched from the end, so that shaded copies are found. Threads: any. Signal context:
 * safe. Allocates nothing. Errors: a class of another shape is left as it is.
 */
#ifndef BL_BYTEBUF_CLASS_H
#define BL_BYTEBUF_CLASS_H

#include "classfile.h"

#define BL_BYTEBUF_MARK         "bufleak$" /* all names of ours begin so */
#define BL_BYTEBUF_ID_FIELD     "bufleak$id"
#define BL_BYTEBUF_BORN         "bufleak$born"
#define BL_BYTEBUF_BORN_TYPE    "(J)J" /* former id, returns the new one */
#define BL_BYTEBUF_COUNTED      "bufleak$counted"
#define BL_BYTEBUF_COUNTED_TYPE "(JI)V" /* id, change of the count */
#define BL_BYTEBUF_SIZED        "bufleak$sized"
#define BL_BYTEBUF_SIZED_TYPE   "(Ljava/lang/Object;I)V"
#define BL_BYTEBUF_HOLDS        "bufleak$holds"
#define BL_BYTEBUF_HOLDS_TYPE   "(Ljava/lang/Object;Ljava/lang/Object;Z)V" /* Z: it is counted */
#define BL_BYTEBUF_PASSES       "bufleak$passed"
#define BL_BYTEBUF_PASSES_TYPE  "(Ljava/lang/Object;)V"
#define BL_BYTEBUF_NOTED        "bufleak$noted"
#define BL_BYTEBUF_NOTED_TYPE   "()V"

enum bl_bytebuf_kind {
    BL_BYTEBUF_NONE,
    BL_BYTEBUF_COUNTING, /* AbstractReferenceCountedByteBuf */
    BL_BYTEBUF_SIZING,   /* a class that holds memory */
    BL_BYTEBUF_HOLDING,  /* a class that holds other buffers */
    BL_BYTEBUF_DERIVING, /* a class that holds one other, and tells it before it is born */
    BL_BYTEBUF_SERVING,  /* HttpRequestDecoder, which tells of each request to the server */
    BL_BYTEBUF_FAILING,  /* OutOfDirectMemoryError, which tells that it is made */
    BL_BYTEBUF_PASSED,   /* Reactor's subscriber that knows its operator; see java_assembly.h */
};

/* name: io/netty/buffer/PooledByteBuf, or a signature without its L and ; */
enum bl_bytebuf_kind bl_bytebuf_kind(const char *name, size_t length);

/* Rewrites the class into out, which has room for length + BL_CLASSFILE_GROWTH. offsets: scratch
 * for 65,536 numbers. Returns its length; 0: it is to be left alone, *ret_why says why. */
size_t bl_bytebuf_rewrite(const void *in, size_t length, uint32_t *offsets, uint8_t *out,
                          const char **ret_why);

#endif
