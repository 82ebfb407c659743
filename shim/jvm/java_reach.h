/*
 * Which buffers the garbage collector has taken without a release, and which are still reachable.
 *
 * A full collection, then a walk over what it has left: each object of Netty's buffers carries the
 * number of the buffer it is. A buffer whose number is on no object is lost: its object was dropped
 * unreleased; buffers that were born in the last quarter of a second are not told. The program
 * stands still for most of this; how long is told. What soft and weak references alone lead to
 * counts as held where the collector keeps it.
 *
 * At the machine's end it is asked only where it still collects then, which collectors of other
 * threads than those that stand still do not.
 *
 * Threads: attached to the machine, one at a time. Needs the guard, as internal. Errors: false, and
 * nothing is told.
 */
#ifndef BL_JAVA_REACH_H
#define BL_JAVA_REACH_H

#include "compiler.h"

#include <jvmti.h>

bool bl_java_reach_find(jvmtiEnv *vm, JNIEnv *env, uint8_t class_number);

/* At the machine's end: can it be asked, and is there anything to ask about? */
bool bl_java_reach_is_possible(uint8_t class_number);
/* Waits until the youngest are old enough, a quarter of a second at most. */
void bl_java_reach_wait(uint8_t class_number);

#endif
