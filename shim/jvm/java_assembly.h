/*
 * Who put a reactive chain together in which an event happened.
 *
 * The stack of an event inside a Reactor pipeline leads from operator to operator to the event
 * loop; the code that assembled them has long returned. Where the program lets Reactor remember it
 * (checkpoint(), Hooks.onOperatorDebug(), the debug agent), a subscriber of FluxOnAssembly stands
 * behind the operator and says what it was: the checkpoint's description, or operator, method and
 * line.
 *
 * That takes the object, which no stack tells. JVMTI reads a frame's variables only for an agent
 * that claims it at the start; compiled code then keeps dead variables alive, which would turn what
 * is lost into held, and JDKs before 16 give up escape analysis. So the subscriber's methods are
 * rewritten to call bl_java_assembly_pass with the object first. It does nothing until a stack with
 * an operator's frame is new to the thread. Then two are asked, each the nearest one behind the
 * operator:
 *   - from now on the thread remembers, weakly, whom it passed and in which frame. When the stack
 * is met again, the innermost of them that is still standing leads down the chain;
 *   - the next that is passed, if it is the operator that calls it, with a signal.
 * A stack is asked for a few times before it is kept under its chain (java_stack.h), as several
 * pipelines may share it.
 *
 * Not seen: an operator that neither is called by such a subscriber nor hands on to one in the same
 * call; virtual threads; Zero.
 *
 * Owns: the ledger's ASSEMBLIES; what threads remember, in the arena, for good. Threads: Java's
 * own; BL_RANK_JAVA inside, never across a call into the VM. Errors: counted in assemblies_dropped.
 */
#ifndef BL_JAVA_ASSEMBLY_H
#define BL_JAVA_ASSEMBLY_H

#include "threads.h"

#include <jvmti.h>

/* Records; 0 is never used. */
#define BL_ASSEMBLIES_MAX 4096u

/* A rewritten class, before any of its code runs. */
void bl_java_assembly_add(jvmtiEnv *vm, jclass class);
/* void passed(Object subscriber) */
void JNICALL bl_java_assembly_pass(JNIEnv *env, jclass class, jobject subscriber);
/* A stack that the VM has walked: frames innermost first. frame: of the native method that the
 * event called, and the chain of frame pointers from there is whole. True: the same stack is wanted
 * once more. Needs the guard, as internal (Java code runs). */
bool bl_java_assembly_look(struct bl_thread_state *t, JNIEnv *env, const jvmtiFrameInfo *frames,
                           jint count, const uint64_t *frame, uint32_t stack);
/* In a child whose ledger starts empty. */
void bl_java_assembly_reset(void);

#endif
