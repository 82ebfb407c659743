/*
 * What the rewritten classes of Netty call: events of class netty-bytebuf, and requests.
 *
 * A buffer's handle is a number that its object carries from one birth to its end. Owns the
 * serials in them; nothing else. Threads: Java's own; bind once at a time. Errors: a buffer that is
 * not recorded has number 0.
 */
#ifndef BL_BYTEBUF_HOOKS_H
#define BL_BYTEBUF_HOOKS_H

#include "bytebuf_class.h"

#include <jvmti.h>

/* Before the first class is bound. */
void bl_bytebuf_hooks_start(uint8_t class_number);
/* failed: called in the thread that makes an OutOfDirectMemoryError. */
void bl_bytebuf_hooks_tell_failure(void (*failed)(void));
/* Is it the number of a buffer, past or present? */
bool bl_bytebuf_hooks_is_id(int64_t id);
/* Do the objects of the class carry such a number? */
bool bl_bytebuf_hooks_counts(JNIEnv *env, jclass class);
/* Gives a rewritten class its native methods, before any of its code runs. False: the VM refused.
 */
bool bl_bytebuf_hooks_bind(jvmtiEnv *vm, JNIEnv *env, jclass class, enum bl_bytebuf_kind kind);

#endif
