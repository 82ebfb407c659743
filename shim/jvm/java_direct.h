/*
 * Direct memory: large blocks that Java code takes by malloc, and whose Java code it was.
 *
 * ByteBuffer.allocateDirect, Netty's chunks and buffers outside of its pools, and whatever else
 * uses Unsafe or calls malloc itself (java.lang.foreign) are class java-direct, with the Java stack
 * alone. Other large blocks that are taken below Java code, by a library of the program or by the
 * virtual machine, stay in class heap; their stacks are the native frames and the Java frames that
 * called them: of code that calls back into Java, and is called by it again, the innermost native
 * frames and all Java frames. Below java_blocks= a block is in class heap and no stack of Java's is
 * asked for.
 *
 * A stack tells who made a pool grow, not who keeps what is in the pool.
 *
 * The thread is inside the virtual machine then, where JVMTI must not be called: the stack is taken
 * by AsyncGetCallTrace, as methods and positions, and named at the next visit (java_visit.h). Until
 * then the block has its native frames.
 *
 * At most 16,384 stacks are known. When there are as many, an eighth is forgotten: those that came
 * first, of which no block was taken since the last time; counted in header.java_stacks_forgotten.
 * Nothing is lost by it: a stack that comes again is named again, and gets the frames it had.
 *
 * Owns: what is known of each such stack, in the arena. Threads: any; BL_RANK_JAVA inside, and all
 * of live.c's when names are given. Needs the guard. Errors: a block whose stack cannot be had is
 * one of class heap, or has its native frames.
 */
#ifndef BL_JAVA_DIRECT_H
#define BL_JAVA_DIRECT_H

#include "compiler.h"

#include <jvmti.h>

#define BL_JAVA_DIRECT_CLASS "java-direct"

/* A native method that takes memory for Java code; before start. */
void bl_java_direct_add_taker(jmethodID method);
/* From here on blocks are looked at. False: the machine has no AsyncGetCallTrace. taken: called
 * after each block of class java-direct that was recorded. */
bool bl_java_direct_start(JavaVM *machine, void *call_trace, uint8_t class_number,
                          void (*taken)(void));
/* No stack is asked for any more. */
void bl_java_direct_stop(void);
/* Are there stacks to be named? */
bool bl_java_direct_is_waiting(void);
/* Calls `see` for each stack that is kept for blocks to come. */
void bl_java_direct_see_stacks(void (*see)(uint32_t stack));
/* Names them. On a thread that is attached to the machine. */
void bl_java_direct_name(jvmtiEnv *vm, JNIEnv *env);

#endif
