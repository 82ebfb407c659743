/*
 * A library that looks like a Java virtual machine to those who start one, and is none that we
 * follow. FAKE_ALIEN: it tells nothing of itself; FAKE_ANCIENT: HotSpot's tables, without the
 * option for frame pointers; else a HotSpot whose agents are given no JVMTI.
 */
#include <dlfcn.h>
#include <jni.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

#ifndef FAKE_ALIEN
struct flag {
    const char *name;
    bool *address;
};
static bool keeps_frames;
static struct flag flags[] = {
#ifdef FAKE_ANCIENT
    {"UseSerialGC", &keeps_frames},
#else
    {"PreserveFramePointer", &keeps_frames},
#endif
};
static struct flag *flags_start = flags;
static uint64_t flag_count = 1;

struct field {
    const char *type;
    const char *name;
    uint64_t offset;
    void *address;
};
static struct field fields[] = {{"JVMFlag", "flags", 0, &flags_start},
                                {"JVMFlag", "numFlags", 0, &flag_count},
                                {"JVMFlag", "_name", offsetof(struct flag, name), NULL},
                                {"JVMFlag", "_addr", offsetof(struct flag, address), NULL},
                                {NULL, NULL, 0, NULL}};
struct type {
    const char *name;
    uint64_t size;
};
static struct type types[] = {{"JVMFlag", sizeof(struct flag)}, {NULL, 0}};

EXPORT extern const struct field *gHotSpotVMStructs;
EXPORT extern const uint64_t gHotSpotVMStructEntryArrayStride;
EXPORT extern const uint64_t gHotSpotVMStructEntryTypeNameOffset;
EXPORT extern const uint64_t gHotSpotVMStructEntryFieldNameOffset;
EXPORT extern const uint64_t gHotSpotVMStructEntryOffsetOffset;
EXPORT extern const uint64_t gHotSpotVMStructEntryAddressOffset;
EXPORT extern const struct type *gHotSpotVMTypes;
EXPORT extern const uint64_t gHotSpotVMTypeEntryArrayStride;
EXPORT extern const uint64_t gHotSpotVMTypeEntryTypeNameOffset;
EXPORT extern const uint64_t gHotSpotVMTypeEntrySizeOffset;
const struct field *gHotSpotVMStructs = fields;
const uint64_t gHotSpotVMStructEntryArrayStride = sizeof(struct field);
const uint64_t gHotSpotVMStructEntryTypeNameOffset = offsetof(struct field, type);
const uint64_t gHotSpotVMStructEntryFieldNameOffset = offsetof(struct field, name);
const uint64_t gHotSpotVMStructEntryOffsetOffset = offsetof(struct field, offset);
const uint64_t gHotSpotVMStructEntryAddressOffset = offsetof(struct field, address);
const struct type *gHotSpotVMTypes = types;
const uint64_t gHotSpotVMTypeEntryArrayStride = sizeof(struct type);
const uint64_t gHotSpotVMTypeEntryTypeNameOffset = offsetof(struct type, name);
const uint64_t gHotSpotVMTypeEntrySizeOffset = offsetof(struct type, size);
#endif

static jint JNICALL get_env(JavaVM *machine, void **ret_env, jint version)
{
    (void)machine;
    (void)version;
    *ret_env = NULL;
    return JNI_EVERSION;
}

/* As HotSpot does with an agent that it has no library for. */
static void load_agent(JavaVM *machine, const char *name)
{
    char symbol[64] = "Agent_OnLoad_";
    strncat(symbol, name, sizeof symbol - strlen(symbol) - 1);
    jint (*on_load)(JavaVM *, char *, void *) = NULL;
    *(void **)&on_load = dlsym(RTLD_DEFAULT, symbol);
    if (!on_load || on_load(machine, NULL, NULL) != JNI_OK)
        abort();
}

EXPORT jint JNICALL JNI_CreateJavaVM(JavaVM **ret_machine, void **ret_env, void *args)
{
    static const struct JNIInvokeInterface_ functions = {.GetEnv = get_env};
    static struct JavaVM_ machine = {.functions = &functions};
    const JavaVMInitArgs *init = args;
    *ret_machine = (JavaVM *)&machine;
    *ret_env = NULL;
    for (jint i = 0; i < init->nOptions; i++)
        if (strncmp(init->options[i].optionString, "-agentlib:", 10) == 0)
            load_agent(*ret_machine, init->options[i].optionString + 10);
    return JNI_OK;
}
