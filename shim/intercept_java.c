/*
 * What the Java virtual machine calls: the name it looks for in the process where no library is
 * given for the agent "bufleak" (jvm/agent.h).
 */
#include "jvm/agent.h"

/* Any other result would end the process. */
BL_EXPORT jint JNICALL Agent_OnLoad_bufleak(JavaVM *machine, char *options, void *reserved);
BL_EXPORT jint JNICALL Agent_OnLoad_bufleak(JavaVM *machine, char *options, void *reserved)
{
    (void)options;
    (void)reserved;
    bl_java_agent_load(machine);
    return 0;
}
