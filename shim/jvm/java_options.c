#include "java_options.h"
#include "compiler.h"

#include <stdlib.h>
#include <string.h>

static const char *const archiving[] = {"-Xshare:dump",
                                        "-XX:ArchiveClassesAtExit=",
                                        "-XX:+AutoCreateSharedArchive",
                                        "-XX:+RecordDynamicDumpInfo",
                                        "-XX:AOTCacheOutput=",
                                        "-XX:AOTMode=record",
                                        "-XX:AOTMode=create"};
static const char *const variables[] = {"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_AOT_VM_OPTIONS"};

static bool is_told(const JavaVMInitArgs *args, const char *beginning)
{
    for (jint i = 0; i < args->nOptions; i++) {
        const char *option = args->options[i].optionString;
        if (option && strncmp(option, beginning, strlen(beginning)) == 0)
            return true;
    }
    for (size_t i = 0; i < BL_ARRAY_LENGTH(variables); i++) {
        const char *value = getenv(variables[i]);
        if (value && strstr(value, beginning))
            return true;
    }
    return false;
}

bool bl_java_options_archive(const JavaVMInitArgs *args)
{
    for (size_t k = 0; k < BL_ARRAY_LENGTH(archiving); k++)
        if (is_told(args, archiving[k]))
            return true;
    return false;
}

bool bl_java_options_cache(const JavaVMInitArgs *args)
{
    return is_told(args, "-XX:AOTCache=") && !is_told(args, "-XX:AOTMode=");
}
