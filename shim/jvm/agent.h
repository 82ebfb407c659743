/*
 * The Java virtual machine's agent.
 *
 * The preloaded library is the agent of the machine that starts in its process, whoever starts it:
 * java, another launcher, a program that embeds it. libjvm's JNI_CreateJavaVM is hooked as the
 * library arrives, and two options are put before those the caller gives: the agent, by the name
 * under which the machine finds it in the process itself, and frame pointers (java_stack.h). The
 * A third has it load classes from their jars where it would take them from an AOT cache, before
 * agents are asked. The environment, the command line and what the program sees of its options stay
 * as they were; nothing is written to stderr. A machine that does not know them both is left alone.
 *
 * Until a class of Netty's loads the agent looks at names only. Then the class is rewritten
 * (bytebuf_class.h) and netty-bytebuf appears in the ledger, or the reason why it does not.
 *
 * Threads: arm under the loader's serialization; all else the machine's own. Owns the one agent.
 */
#ifndef BL_JAVA_AGENT_H
#define BL_JAVA_AGENT_H

#include "profile.h"

#include <jni.h>

/* libjvm is there. no_hooks_why: NULL, or why no function can be hooked. */
void bl_java_agent_arm(const struct bl_profile_class *c, const char *libjvm, const char *profile,
                       const char *no_hooks_why);
/* The machine is being made and has found its agent. */
void bl_java_agent_load(JavaVM *machine);

#endif
