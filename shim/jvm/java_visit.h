/*
 * Visits to the Java virtual machine: what must be asked of it by a thread that is attached.
 *
 * A thread is made for each visit, attaches, asks, detaches and ends. So the helper is never held
 * up by a machine that stands still for long, no thread of ours is seen in between, and none is
 * there when the machine ends: it would wait 300 ms. Visits are made at the helper's turns while
 * something changes, when somebody wants one at once, and for a snapshot.
 *
 * Threads: open, close, the last one and want any of Java's; the rest the helper. Signal context:
 * no.
 */
#ifndef BL_JAVA_VISIT_H
#define BL_JAVA_VISIT_H

#include "compiler.h"

#include <jvmti.h>

/* From here on, to the end of the machine. */
void bl_java_visit_open(JavaVM *machine, jvmtiEnv *vm);
void bl_java_visit_close(void);
/* In a forked child, which has no machine. */
void bl_java_visit_after_fork(void);

/* One is due at the next turn after a buffer of this class was born or ended. */
void bl_java_visit_follow(uint8_t class_number);
/* As soon as the helper can. */
void bl_java_visit_want(void);
/* Memory ran out: a visit at once, after which bl_java_visit_is_limit_met says so. */
void bl_java_visit_want_limit(void);

/* Is one due? Not more than ten a second. */
bool bl_java_visit_is_due(uint64_t now_ns, bool is_turn);
/* Makes one and waits for its end, at most so long. False: there is no machine, or it is not
 * through. */
bool bl_java_visit_make(uint64_t wait_ns);
/* The same; what the garbage collector took unreleased is searched for, of the class that
 * bl_java_visit_reach_of named, if one was named. */
bool bl_java_visit_make_reach(uint64_t wait_ns);
void bl_java_visit_reach_of(uint8_t class_number);
/* The same at the machine's end, in the thread that is told of it, where the options want it and it
 * can be asked. */
void bl_java_visit_make_last(void);
/* Since the last time it was asked. */
bool bl_java_visit_is_limit_met(uint64_t now_ns);

#endif
