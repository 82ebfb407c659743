#include "agent.h"
#include "arena.h"
#include "bytebuf_hooks.h"
#include "hook_entry.h"
#include "hook_list.h"
#include "hotspot.h"
#include "java_classes.h"
#include "java_code.h"
#include "java_direct.h"
#include "java_lookup.h"
#include "java_options.h"
#include "java_pools.h"
#include "java_slots.h"
#include "java_stack.h"
#include "java_visit.h"
#include "ledger_format.h"
#include "lock.h"
#include "references.h"
#include "track.h"

#include <dlfcn.h>
#include <string.h>

#define OPTIONS_MAX   65536
#define PATH_BYTES    512u
#define OPTION_FRAMES "-XX:+PreserveFramePointer"
#define OPTION_AGENT  "-agentlib:bufleak" /* Agent_OnLoad_bufleak, in the process itself */
#define OPTION_CACHE  "-XX:AOTMode=off"   /* the cache stays as it is, and unread */
#define OPTIONS_ADDED 3u                  /* at most */
#define FLAG_FRAMES   "PreserveFramePointer"
#define FLAG_CACHE    "AOTMode"
#define OFFSETS_BYTES (65536u * sizeof(uint32_t))
#define OWN_BYTES     1024u /* what a reader takes */
#define NETTY         "io/netty"

/* What the class is called in the ledger; set once, when libjvm arrives. */
static struct {
    char name[BL_PROFILE_NAME_MAX];
    char own[OWN_BYTES]; /* (lock) from then on: copies of Netty add to it */
    char libjvm[PATH_BYTES];
    const char *profile;
} identity;

static JavaVM *the_machine;
static jvmtiEnv *vm;
static const volatile bool *keeps_frames;  /* the machine's option */
static struct bl_lock lock = BL_LOCK_INIT; /* BL_RANK_HOOKS, before hook_list.c's */
static bool listed;                        /* (lock) the class is in the ledger */
static bool failure_listed;                /* (lock) */
static uint8_t class_number;
static int direct_number = -1; /* (lock) */
static uint32_t expected;      /* atomic; classes whose definition we wait for */

/* ---- the ledger ---- */

static bool list_class_locked(void)
{
    int number = listed ? class_number
                        : bl_hook_list_add_class(identity.name, identity.own, identity.profile);
    if (number < 0)
        return false;
    class_number = (uint8_t)number;
    if (!listed)
        bl_refs_set_policy(class_number, (struct bl_ref_policy){.zero_is_end = true});
    listed = true;
    return true;
}

static void list_hook(const char *function, const char *why, const char *module)
{
    bl_hook_list_add(&(struct bl_hook_note){.function = function,
                                            .class_number = class_number,
                                            .method = why ? BL_HOOK_NONE : BL_HOOK_BYTECODE,
                                            .why = why,
                                            .module = module});
}

/* Says once why there is no class. */
static void list_failure(const char *function, const char *why)
{
    bl_lock_take(&lock);
    if (!failure_listed && list_class_locked())
        list_hook(function, why, identity.libjvm);
    failure_listed = true;
    bl_lock_give(&lock);
}

/* ---- the machine's code ---- */

static void JNICALL on_compiled(jvmtiEnv *env, jmethodID method, jint size, const void *address,
                                jint map_length, const jvmtiAddrLocationMap *map, const void *info)
{
    (void)env;
    (void)method;
    (void)map_length;
    (void)map;
    (void)info;
    bl_guard_enter_internal();
    bl_java_code_add((uint64_t)(uintptr_t)address, (uint64_t)size, BL_JAVA_CODE_COMPILED);
    bl_guard_leave_internal();
}

static void JNICALL on_unloaded(jvmtiEnv *env, jmethodID method, const void *address)
{
    (void)env;
    (void)method;
    bl_guard_enter_internal();
    bl_java_code_remove((uint64_t)(uintptr_t)address);
    bl_java_stack_forget();
    bl_guard_leave_internal();
}

static void JNICALL on_generated(jvmtiEnv *env, const char *name, const void *address, jint size)
{
    (void)env;
    bool interpreter = name && strcmp(name, "Interpreter") == 0;
    bl_guard_enter_internal();
    bl_java_code_add((uint64_t)(uintptr_t)address, (uint64_t)size,
                     interpreter ? BL_JAVA_CODE_INTERPRETER : BL_JAVA_CODE_STUB);
    if (interpreter)
        bl_java_stack_forget();
    bl_guard_leave_internal();
}

static void enable(jvmtiEvent event)
{
    (*vm)->SetEventNotificationMode(vm, JVMTI_ENABLE, event, NULL);
}

/* Now that there is something to record; until here it would cost every program some start-up. */
static void watch_code(void)
{
    enable(JVMTI_EVENT_DYNAMIC_CODE_GENERATED);
    enable(JVMTI_EVENT_COMPILED_METHOD_UNLOAD);
    enable(JVMTI_EVENT_COMPILED_METHOD_LOAD);
    (*vm)->GenerateEvents(vm, JVMTI_EVENT_DYNAMIC_CODE_GENERATED);
    (*vm)->GenerateEvents(vm, JVMTI_EVENT_COMPILED_METHOD_LOAD);
    bl_java_stack_start(vm, keeps_frames && *keeps_frames ? bl_track_conf.java_check : 0);
}

/* ---- classes ---- */

/* The packages of a copy of Netty that was given another name are as little the program's own as
 * Netty's are. The name: com/acme/netty/buffer/AbstractReferenceCountedByteBuf. */
static void add_own_locked(const char *name)
{
    char pattern[PATH_BYTES];
    struct bl_text t;
    const char *buffer = strrchr(name, '/');
    const char *netty = buffer ? memrchr(name, '/', (size_t)(buffer - name)) : NULL;
    size_t length = netty ? (size_t)(netty - name) : 0;
    size_t plain = sizeof NETTY - 1;
    bool is_plain = length >= plain && memcmp(netty - plain, NETTY, plain) == 0;
    bl_text_init(&t, pattern, sizeof pattern);
    bl_text_str(&t, " ");
    for (size_t i = 0; i < length; i++)
        bl_text_bytes(&t, name[i] == '/' ? "." : &name[i], 1);
    bl_text_str(&t, "*");
    if (length == 0 || is_plain || strstr(identity.own, pattern) ||
        strlen(identity.own) + bl_text_length(&t) >= sizeof identity.own)
        return;
    memcpy(identity.own + strlen(identity.own), pattern, bl_text_length(&t) + 1);
    if (listed)
        bl_hook_list_set_own(class_number, identity.own);
    if (direct_number >= 0)
        bl_hook_list_set_own((uint8_t)direct_number, identity.own);
}

/* Runs in the thread that loads the class, before any of its code can. */
static void list_rewritten(const char *name, enum bl_bytebuf_kind kind)
{
    static const char *const methods[] = {"retain", "release", "<init>, resetRefCnt, setRefCnt"};
    bool first = false;
    bl_lock_take(&lock);
    if (kind == BL_BYTEBUF_COUNTING)
        add_own_locked(name);
    if (kind == BL_BYTEBUF_COUNTING && list_class_locked()) {
        static bool started;
        first = !started;
        started = true;
        if (first) {
            bl_java_visit_follow(class_number);
            bl_java_visit_reach_of(class_number);
        }
        bl_bytebuf_hooks_start(class_number);
        for (size_t i = 0; first && i < BL_ARRAY_LENGTH(methods); i++)
            list_hook(methods[i], NULL, name);
    }
    bl_lock_give(&lock);
    if (first)
        watch_code();
}

static void rewrite(const char *name, enum bl_bytebuf_kind kind, const unsigned char *data,
                    jint length, unsigned char **ret_data, jint *ret_length)
{
    unsigned char *out = NULL;
    const char *why = "no memory";
    size_t written = 0;
    uint32_t *offsets = bl_arena_map(OFFSETS_BYTES);
    if (offsets &&
        (*vm)->Allocate(vm, (jlong)length + BL_CLASSFILE_GROWTH, &out) == JVMTI_ERROR_NONE)
        written = bl_bytebuf_rewrite(data, (size_t)length, offsets, out, &why);
    if (offsets)
        bl_arena_unmap(offsets, OFFSETS_BYTES);
    if (written > 0) {
        bl_add_relaxed(&expected, 1);
        list_rewritten(name, kind);
        *ret_data = out;
        *ret_length = (jint)written;
        return;
    }
    (*vm)->Deallocate(vm, out);
    if (kind == BL_BYTEBUF_COUNTING)
        list_failure(name, why);
}

static void JNICALL on_class_file(jvmtiEnv *env, JNIEnv *jni, jclass redefined, jobject loader,
                                  const char *name, jobject domain, jint length,
                                  const unsigned char *data, jint *ret_length,
                                  unsigned char **ret_data)
{
    (void)env;
    (void)jni;
    (void)redefined; /* a debugger's new version must have the same members: it is rewritten too */
    (void)loader;
    (void)domain;
    size_t name_length = name ? strlen(name) : 0;
    enum bl_bytebuf_kind kind = bl_bytebuf_kind(name, name_length);
    if (bl_java_pools_is_counter(name, name_length) && !redefined)
        bl_add_relaxed(&expected, 1);
    if (!name || kind == BL_BYTEBUF_NONE || bl_load_relaxed(bl_track_state) == BL_TRACK_OFF)
        return;
    bl_guard_enter_internal();
    rewrite(name, kind, data, length, ret_data, ret_length);
    bl_guard_leave_internal();
}

static void bind(JNIEnv *jni, jclass class, enum bl_bytebuf_kind kind)
{
    /* a class that was left as it is has no such methods, and the machine says so by an error */
    if (!bl_bytebuf_hooks_bind(vm, jni, class, kind)) {
        (*jni)->ExceptionClear(jni);
        if (kind == BL_BYTEBUF_COUNTING)
            list_failure("RegisterNatives", "the virtual machine refused it");
    }
}

/* A class that was told of before it was defined: by name, in on_class_file. */
static void attend(JNIEnv *jni, jclass class)
{
    char *signature = NULL;
    if ((*vm)->GetClassSignature(vm, class, &signature, NULL) != JVMTI_ERROR_NONE)
        return;
    size_t length = strlen(signature);
    if (length > 2) { /* Lio/netty/buffer/ByteBuf; */
        enum bl_bytebuf_kind kind = bl_bytebuf_kind(signature + 1, length - 2);
        bool is_counter = bl_java_pools_is_counter(signature + 1, length - 2);
        if (kind != BL_BYTEBUF_NONE)
            bind(jni, class, kind);
        if (is_counter)
            bl_java_pools_add(jni, class, signature + 1, length - 2);
        if (kind != BL_BYTEBUF_NONE || is_counter)
            __atomic_sub_fetch(&expected, 1, __ATOMIC_RELAXED);
    }
    (*vm)->Deallocate(vm, (unsigned char *)signature);
}

/* AsyncGetCallTrace knows no frame whose method has no id yet. */
static void make_ids(jclass class)
{
    jint count = 0;
    jmethodID *methods = NULL;
    if ((*vm)->GetClassMethods(vm, class, &count, &methods) == JVMTI_ERROR_NONE)
        (*vm)->Deallocate(vm, (unsigned char *)methods);
}

static void JNICALL on_prepared(jvmtiEnv *env, JNIEnv *jni, jthread thread, jclass class)
{
    (void)env;
    (void)thread;
    bl_guard_enter_internal();
    make_ids(class);
    if (bl_load_relaxed(&expected) > 0)
        attend(jni, class);
    bl_guard_leave_internal();
}

/* AsyncGetCallTrace works while somebody is told of loading classes. */
static void JNICALL on_loaded(jvmtiEnv *env, JNIEnv *jni, jthread thread, jclass class)
{
    (void)env;
    (void)jni;
    (void)thread;
    (void)class;
}

/* ---- direct memory ---- */

/* Unsafe's native methods: those of the JDK's own class, and of the public one before JDK 9. */
static void find_takers(jclass class)
{
    static const char *const names[] = {"allocateMemory0", "reallocateMemory0", "allocateMemory",
                                        "reallocateMemory"};
    jint count = 0;
    jmethodID *methods = NULL;
    if ((*vm)->GetClassMethods(vm, class, &count, &methods) != JVMTI_ERROR_NONE)
        return;
    for (jint i = 0; i < count; i++) {
        char *name = NULL;
        jboolean is_native = JNI_FALSE;
        (*vm)->IsMethodNative(vm, methods[i], &is_native);
        if (!is_native || (*vm)->GetMethodName(vm, methods[i], &name, NULL, NULL) != 0)
            continue;
        for (size_t k = 0; k < BL_ARRAY_LENGTH(names); k++)
            if (strcmp(name, names[k]) == 0)
                bl_java_direct_add_taker(methods[i]);
        (*vm)->Deallocate(vm, (unsigned char *)name);
    }
    (*vm)->Deallocate(vm, (unsigned char *)methods);
}

static void look_at_prepared(JNIEnv *jni, jclass class)
{
    char *signature = NULL;
    if ((*vm)->GetClassSignature(vm, class, &signature, NULL) != JVMTI_ERROR_NONE)
        return;
    size_t length = strlen(signature);
    if (strcmp(signature, "Ljdk/internal/misc/Unsafe;") == 0 ||
        strcmp(signature, "Lsun/misc/Unsafe;") == 0)
        find_takers(class);
    if (length > 2 && bl_java_pools_is_counter(signature + 1, length - 2))
        bl_java_pools_add(jni, class, signature + 1, length - 2);
    if (length > 2 && bl_bytebuf_kind(signature + 1, length - 2) == BL_BYTEBUF_COUNTING)
        list_failure("ClassFileLoadHook", "the class came from an AOT cache, before agents are "
                                          "asked: start it with -XX:AOTMode=off");
    (*vm)->Deallocate(vm, (unsigned char *)signature);
}

/* One of those that were loaded before we were told of classes. */
static void look_at_loaded(jvmtiEnv *env, JNIEnv *jni, jclass class, jlong unused)
{
    jint status = 0;
    (void)unused;
    if ((*env)->GetClassStatus(env, class, &status) != JVMTI_ERROR_NONE ||
        !(status & JVMTI_CLASS_STATUS_PREPARED))
        return;
    make_ids(class);
    look_at_prepared(jni, class);
}

static void *find_call_trace(void)
{
    void *library = dlopen(identity.libjvm, RTLD_LAZY | RTLD_NOLOAD);
    void *found = library ? dlsym(library, "AsyncGetCallTrace") : NULL;
    if (library)
        dlclose(library);
    return found;
}

static void follow_direct_memory(void)
{
    void *call_trace = find_call_trace();
    bl_lock_take(&lock);
    int number = call_trace ? bl_hook_list_add_block_class(BL_JAVA_DIRECT_CLASS, identity.own,
                                                           identity.profile)
                            : -1;
    direct_number = number;
    bl_lock_give(&lock);
    if (number < 0 ||
        !bl_java_direct_start(the_machine, call_trace, (uint8_t)number, bl_java_visit_want))
        return;
    bl_java_visit_follow((uint8_t)number);
    bl_hook_list_add(&(struct bl_hook_note){.function = "malloc, of java_blocks= (64K) and more",
                                            .class_number = (uint32_t)number,
                                            .method = BL_HOOK_SYMBOL,
                                            .module = identity.libjvm});
}

/* ---- the machine's life ---- */

static void JNICALL on_started(jvmtiEnv *env, JNIEnv *jni, jthread thread)
{
    (void)env;
    (void)thread;
    bl_guard_enter_internal();
    enable(JVMTI_EVENT_CLASS_FILE_LOAD_HOOK);
    enable(JVMTI_EVENT_CLASS_LOAD);
    enable(JVMTI_EVENT_CLASS_PREPARE);
    bl_java_classes_each(vm, jni, look_at_loaded, 0);
    bl_bytebuf_hooks_tell_failure(bl_java_visit_want_limit);
    bl_java_visit_open(the_machine, vm);
    follow_direct_memory();
    bl_guard_leave_internal();
}

static void JNICALL on_death(jvmtiEnv *env, JNIEnv *jni)
{
    (void)env;
    bl_guard_enter_internal();
    bl_java_direct_stop();
    bl_java_visit_make_last();
    bl_java_visit_close();
    bl_java_direct_name(vm, jni);
    bl_java_pools_read(vm, jni);
    bl_java_slots_look();
    bl_java_stack_stop();
    bl_guard_leave_internal();
}

static bool add_capabilities(void)
{
    jvmtiCapabilities all = {.can_generate_all_class_hook_events = 1,
                             .can_generate_compiled_method_load_events = 1,
                             .can_get_line_numbers = 1,
                             .can_get_source_file_name = 1,
                             .can_tag_objects = 1};
    /* those we can do without */
    jvmtiCapabilities more = {.can_get_bytecodes = 1};
    (*vm)->AddCapabilities(vm, &more);
    return (*vm)->AddCapabilities(vm, &all) == JVMTI_ERROR_NONE;
}

static bool begin(JavaVM *machine)
{
    static const jvmtiEventCallbacks callbacks = {.VMInit = on_started,
                                                  .VMDeath = on_death,
                                                  .ClassFileLoadHook = on_class_file,
                                                  .ClassLoad = on_loaded,
                                                  .ClassPrepare = on_prepared,
                                                  .CompiledMethodLoad = on_compiled,
                                                  .CompiledMethodUnload = on_unloaded,
                                                  .DynamicCodeGenerated = on_generated};
    void *env = NULL;
    if ((*machine)->GetEnv(machine, &env, JVMTI_VERSION_1_2) != JNI_OK)
        return false;
    vm = env;
    the_machine = machine;
    if (!add_capabilities() ||
        (*vm)->SetEventCallbacks(vm, &callbacks, sizeof callbacks) != JVMTI_ERROR_NONE) {
        (*vm)->DisposeEnvironment(vm);
        vm = NULL;
        return false;
    }
    enable(JVMTI_EVENT_VM_INIT);
    enable(JVMTI_EVENT_VM_DEATH);
    return true;
}

void bl_java_agent_load(JavaVM *machine)
{
    bl_guard_enter_internal();
    if (!vm && identity.profile && !begin(machine))
        list_failure("Agent_OnLoad", "the virtual machine lacks what its agents need (JVMTI)");
    bl_guard_leave_internal();
}

/* ---- starting a machine ---- */

/* The caller's arguments, while they are ours. One machine a process. */
static struct {
    JavaVMInitArgs *args;
    JavaVMOption *options;
    jint count;
    size_t bytes; /* of the array in their place */
} started;

/* What the machine will do to find us; without success it would end the process. */
static bool can_be_found(void)
{
    void *process = dlopen(NULL, RTLD_LAZY);
    bool found = process && dlsym(process, "Agent_OnLoad_bufleak");
    if (process)
        dlclose(process);
    return found;
}

static const char *objection_to_machine(void)
{
    if (!can_be_found())
        return "the library is not among those the whole process sees; it must be preloaded";
    if (!bl_hotspot_open(identity.libjvm))
        return "this Java virtual machine is not HotSpot";
    keeps_frames = bl_hotspot_flag(FLAG_FRAMES);
    return keeps_frames ? NULL : "this Java virtual machine is older than 8u60";
}

static void add_options(JavaVMInitArgs *args)
{
    size_t count = (size_t)args->nOptions;
    size_t bytes = (count + OPTIONS_ADDED) * sizeof(JavaVMOption);
    JavaVMOption *options = bl_arena_map(bytes);
    jint added = 0;
    if (!options)
        return;
    options[added++].optionString = (char *)(uintptr_t)OPTION_AGENT;
    options[added++].optionString = (char *)(uintptr_t)OPTION_FRAMES;
    if (bl_java_options_cache(args) && bl_hotspot_flag(FLAG_CACHE))
        options[added++].optionString = (char *)(uintptr_t)OPTION_CACHE;
    if (count > 0)
        memcpy(options + added, args->options, count * sizeof *options);
    started.args = args;
    started.options = args->options;
    started.count = args->nOptions;
    started.bytes = bytes;
    args->options = options;
    args->nOptions += added;
}

static void before_create(void *context, const struct bl_hook_call *call)
{
    JavaVMInitArgs *args = (void *)(uintptr_t)call->args[2]; // NOLINT(performance-no-int-to-ptr)
    const char *why = NULL;
    (void)context;
    bl_guard_enter_internal();
    bool usable = args && args->nOptions >= 0 && args->nOptions < OPTIONS_MAX && !vm &&
                  !started.args && bl_load_relaxed(bl_track_state) != BL_TRACK_OFF;
    if (usable)
        why = objection_to_machine();
    if (usable && !why && bl_java_options_archive(args))
        why =
            "it writes an archive of classes, which a virtual machine refuses to do with an agent";
    if (why)
        list_failure("JNI_CreateJavaVM", why);
    else if (usable)
        add_options(args);
    bl_guard_leave_internal();
}

static void after_create(void *context, const struct bl_hook_call *call)
{
    (void)context;
    if (!started.args || (uint64_t)(uintptr_t)started.args != call->args[2])
        return;
    bl_guard_enter_internal();
    JavaVMOption *ours = started.args->options;
    started.args->options = started.options;
    started.args->nOptions = started.count;
    started.args = NULL;
    bl_arena_unmap(ours, started.bytes);
    bl_guard_leave_internal();
}

static void remember(const struct bl_profile_class *c, const char *libjvm, const char *profile)
{
    struct bl_text t;
    bl_text_init(&t, identity.name, sizeof identity.name);
    bl_text_str(&t, c->name);
    bl_text_init(&t, identity.own, sizeof identity.own);
    bl_text_str(&t, c->own);
    bl_text_init(&t, identity.libjvm, sizeof identity.libjvm);
    bl_text_str(&t, libjvm);
    identity.profile = profile;
}

void bl_java_agent_arm(const struct bl_profile_class *c, const char *libjvm, const char *profile,
                       const char *no_hooks_why)
{
    static const struct bl_hook_spec spec = {.pre = before_create, .post = after_create};
    const char *why = no_hooks_why;
    size_t size = 0;
    if (identity.profile)
        return; /* one machine a process */
    remember(c, libjvm, profile);
    uint64_t create = bl_hook_entry_find(libjvm, "JNI_CreateJavaVM", &size);
    if (!why && !create)
        why = "the library has no function of this name";
    if (why || bl_hook_entry_install(create, size, &spec, &why) != 0)
        list_failure("JNI_CreateJavaVM", why);
    bl_java_lookup_arm(libjvm, no_hooks_why);
    bl_java_slots_arm(libjvm);
}
