/*
 * Stacks of Java threads, at the entry of a native method of ours, for some tens of nanoseconds.
 *
 * The VM's own way to a stack takes microseconds. So the stack is recognised instead: all code the
 * VM makes keeps frame pointers (-XX:+PreserveFramePointer), and the chain of return addresses,
 * with method and bytecode position where a frame is interpreted, determines the Java stack as long
 * as the code stays what it is. A hash of the chain leads to the stack; an unknown one makes the VM
 * walk.
 *
 * What keeps this exact:
 *   - a stack is kept under its chain only if a walk by unwind tables shows that the chain passes
 *     every Java frame, and every address is code that the VM has told of (java_code.h): not if a
 *     return address has been replaced, or native code in between used the frame pointer otherwise,
 *     or the VM runs Java without code of its own;
 *   - nothing is kept of virtual threads, whose outer frames may not be on the stack at all;
 *   - when compiled code goes, everything kept is dropped;
 *   - some hits are compared with the VM's own walk, a wrong one is counted and corrected.
 *
 * Owns: the memo, in the arena. Threads: Java's own, on their own stack; lock-free. Needs the
 * guard, as internal where the VM walks. Errors: stack 0, counted in stacks_dropped.
 */
#ifndef BL_JAVA_STACK_H
#define BL_JAVA_STACK_H

#include "threads.h"

#include <jvmti.h>

/* From here on stacks can be taken. check_every: at least one in so many hits is checked. */
bool bl_java_stack_start(jvmtiEnv *vm, uint32_t check_every);
/* The VM ends: it is not asked any more. */
void bl_java_stack_stop(void);
/* Compiled code or a class has gone. Any thread. */
void bl_java_stack_forget(void);

struct bl_java_stack {
    uint32_t stack;   /* frame number, 0 = none */
    bool is_internal; /* see java_names.h */
};

/* frame: __builtin_frame_address(0) of the native method. */
struct bl_java_stack bl_java_stack_take(struct bl_thread_state *t, JNIEnv *env, const void *frame);

#endif
