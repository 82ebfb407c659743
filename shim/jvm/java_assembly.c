#include "java_assembly.h"
#include "arena.h"
#include "ledger.h"
#include "lock.h"
#include "losses.h"
#include "names.h"
#include "stacks.h"

#include <errno.h>
#include <string.h>

#define METHODS_MAX   64u /* of all copies of Reactor */
#define PASSAGES      16u
#define SESSION       256u  /* passages that a thread remembers after it has met a new stack */
#define ASKED         4096u /* stacks, by their number; a power of 2 */
#define LOOKS_WANTED  4u
#define LOOKS_MAX     12u /* it may have no answer */
#define HOPS_MAX      32u
#define TEXT_CHARS    240u
#define TEXT_BYTES    (3u * TEXT_CHARS + 1u)
#define SIGNATURE_MAX 256u
#define SUBSCRIBER    "FluxOnAssembly$OnAssembly" /* and Subscriber, or ConditionalSubscriber */
#define ATTRIBUTE     "reactor/core/Scannable$Attr"
#define OPERATORS     "Lreactor/core/publisher/"
#define DEPTH_MAX     256u

struct method {
    jmethodID id;
    bool goes_up;  /* called by what is further down the chain */
    bool hands_on; /* called by an operator with what it makes of its input */
};

/* One frame of a subscriber. The latter two tell it from a later one in its place. */
struct passage {
    const uint64_t *base;
    uint64_t outer;
    uint64_t pc;
    jweak subscriber;
};

/* A stack whose operator may hand on to a subscriber next. */
struct pending {
    uint32_t stack; /* 0: none */
    jmethodID origin;
    uint32_t outer; /* frames that called it, */
    uint64_t hash;  /* and what they are */
};

struct bl_java_passing {
    uint32_t left; /* 0: nothing is remembered */
    uint32_t count;
    uint32_t attached; /* whose all of this is: states are used again */
    jweak actual;      /* Scannable.Attr.ACTUAL, of the latest subscriber's copy of Reactor */
    struct pending pending;
    struct passage passages[PASSAGES]; /* outermost first */
};

struct asked {
    uint32_t stack;
    uint16_t looks;
    uint16_t answers;
    uint32_t again;
};

static jvmtiEnv *vm; /* of the methods */
static struct method methods[METHODS_MAX];
static uint32_t method_count; /* release */

static struct bl_lock lock = BL_LOCK_INIT; /* BL_RANK_JAVA: all below */
static struct asked asked[ASKED];
static uint64_t hashes[BL_ASSEMBLIES_MAX]; /* of the records' texts */
static uint32_t used = 1;

/* ---- methods ---- */

static bool goes_up(const char *name)
{
    return strcmp(name, "request") == 0 || strcmp(name, "cancel") == 0 || strcmp(name, "poll") == 0;
}

/* A subscription may be to a chain that the operator makes of its input: flatMap's. */
static bool hands_on(const char *name)
{
    return strcmp(name, "onNext") == 0 || strcmp(name, "tryOnNext") == 0 ||
           strcmp(name, "onComplete") == 0 || strcmp(name, "onError") == 0;
}

static void add_method(jmethodID id)
{
    char *name = NULL;
    jboolean is_native = JNI_FALSE;
    (*vm)->IsMethodNative(vm, id, &is_native);
    if (is_native || (*vm)->GetMethodName(vm, id, &name, NULL, NULL) != JVMTI_ERROR_NONE)
        return;
    bl_lock_take(&lock);
    if (method_count < METHODS_MAX && name[0] != '<') {
        methods[method_count] =
            (struct method){.id = id, .goes_up = goes_up(name), .hands_on = hands_on(name)};
        bl_store_release(&method_count, method_count + 1);
    }
    bl_lock_give(&lock);
    (*vm)->Deallocate(vm, (unsigned char *)name);
}

void bl_java_assembly_add(jvmtiEnv *the_vm, jclass class)
{
    jint count = 0;
    jmethodID *ids = NULL;
    vm = the_vm;
    if ((*vm)->GetClassMethods(vm, class, &count, &ids) != JVMTI_ERROR_NONE)
        return;
    for (jint i = 0; i < count; i++)
        add_method(ids[i]);
    (*vm)->Deallocate(vm, (unsigned char *)ids);
}

static const struct method *method_of(jmethodID id)
{
    uint32_t count = bl_load_acquire(&method_count);
    for (uint32_t i = 0; i < count; i++)
        if (methods[i].id == id)
            return &methods[i];
    return NULL;
}

/* ---- what a thread has passed ---- */

static bool is_on_stack(const struct bl_thread_state *t, const void *inner, uint64_t address)
{
    return address > (uint64_t)(uintptr_t)inner && address <= t->stack_high - 16 &&
           address % 8 == 0;
}

/* The frame that called the one at `frame`; NULL: there is none. */
static const uint64_t *outer_of(const struct bl_thread_state *t, const uint64_t *frame)
{
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    return is_on_stack(t, frame, frame[0]) ? (const uint64_t *)(uintptr_t)frame[0] : NULL;
}

static void drop_inner(JNIEnv *env, struct bl_java_passing *p, const uint64_t *base)
{
    while (p->count > 0 && p->passages[p->count - 1].base <= base)
        (*env)->DeleteWeakGlobalRef(env, p->passages[--p->count].subscriber);
}

static void drop_all(JNIEnv *env, struct bl_java_passing *p)
{
    while (p->count > 0)
        (*env)->DeleteWeakGlobalRef(env, p->passages[--p->count].subscriber);
    if (p->actual)
        (*env)->DeleteWeakGlobalRef(env, p->actual);
    p->actual = NULL;
}

/* This is called by a native method of the subscriber's class: the look-up is by its loader. */
static jweak find_actual(JNIEnv *env)
{
    jclass class = (*env)->FindClass(env, ATTRIBUTE);
    jfieldID field =
        class ? (*env)->GetStaticFieldID(env, class, "ACTUAL", "L" ATTRIBUTE ";") : NULL;
    jobject value = field ? (*env)->GetStaticObjectField(env, class, field) : NULL;
    jweak found = value ? (*env)->NewWeakGlobalRef(env, value) : NULL;
    (*env)->ExceptionClear(env);
    return found;
}

/* The latest that is in the chain of frames, as it was; NULL: none. */
static const struct passage *find_standing(const struct bl_thread_state *t, const uint64_t *frame)
{
    const struct bl_java_passing *p = t->java_passing;
    for (uint32_t i = p->count; i-- > 0;) {
        const struct passage *one = &p->passages[i];
        while (frame && frame < one->base)
            frame = outer_of(t, frame);
        if (!frame)
            return NULL;
        if (frame == one->base && frame[0] == one->outer && frame[1] == one->pc)
            return one;
    }
    return NULL;
}

/* ---- asking ---- */

static bool is_subscriber(JNIEnv *env, jobject object)
{
    char *signature = NULL;
    jclass class = (*env)->GetObjectClass(env, object);
    bool yes = (*vm)->GetClassSignature(vm, class, &signature, NULL) == JVMTI_ERROR_NONE &&
               strstr(signature, SUBSCRIBER);
    (*vm)->Deallocate(vm, (unsigned char *)signature);
    (*env)->DeleteLocalRef(env, class);
    return yes;
}

/* The next one down the chain, as Reactor's own tools find it; NULL: it does not say. */
static jobject next_of(JNIEnv *env, jobject at, jobject actual)
{
    jclass class = (*env)->GetObjectClass(env, at);
    jmethodID scan =
        (*env)->GetMethodID(env, class, "scanUnsafe", "(L" ATTRIBUTE ";)Ljava/lang/Object;");
    jobject next = scan ? (*env)->CallObjectMethod(env, at, scan, actual) : NULL;
    if ((*env)->ExceptionCheck(env)) {
        (*env)->ExceptionClear(env);
        next = NULL;
    }
    (*env)->DeleteLocalRef(env, class);
    return next;
}

/* The nearest such subscriber behind this one: that of the operator which it hands to. NULL: there
 * is none. */
static jobject find_behind(JNIEnv *env, jobject subscriber, jobject actual)
{
    jobject at = actual ? (*env)->NewLocalRef(env, subscriber) : NULL;
    for (uint32_t i = 0; at && i < HOPS_MAX; i++) {
        jobject next = next_of(env, at, actual);
        (*env)->DeleteLocalRef(env, at);
        at = next;
        if (at && is_subscriber(env, at))
            return at;
    }
    if (at)
        (*env)->DeleteLocalRef(env, at);
    return NULL;
}

/* Descriptions of Spring's hold what was asked for: HTTP POST "/path?query". */
static void cut_query(char *text)
{
    char *query = strchr(text, '?');
    char *end = query ? strchr(query, '"') : NULL;
    if (!query)
        return;
    if (end)
        memmove(query, end, strlen(end) + 1);
    else
        *query = '\0';
}

/* Its own words. */
static bool describe(JNIEnv *env, jobject subscriber, char text[TEXT_BYTES])
{
    jclass class = (*env)->GetObjectClass(env, subscriber);
    jmethodID method = (*env)->GetMethodID(env, class, "toString", "()Ljava/lang/String;");
    jstring said = method ? (*env)->CallObjectMethod(env, subscriber, method) : NULL;
    *text = '\0';
    if (said && !(*env)->ExceptionCheck(env)) {
        jsize length = (*env)->GetStringLength(env, said);
        (*env)->GetStringUTFRegion(env, said, 0,
                                   length < (jsize)TEXT_CHARS ? length : (jsize)TEXT_CHARS, text);
        cut_query(text);
    }
    (*env)->ExceptionClear(env);
    if (said)
        (*env)->DeleteLocalRef(env, said);
    (*env)->DeleteLocalRef(env, class);
    return *text != '\0';
}

/* ---- the ledger ---- */

static struct bl_assembly *record_at(uint32_t n)
{
    return bl_ledger_at(BL_SECTION_ASSEMBLIES, n);
}

/* The text's name in the ledger, if a record has it. */
static uint32_t find_name_locked(const char *text, uint64_t hash)
{
    for (uint32_t n = 1; n < used; n++)
        if (hashes[n] == hash && bl_names_equal(record_at(n)->name, text))
            return record_at(n)->name;
    return 0;
}

static bool add_locked(uint32_t stack, uint32_t name, uint32_t relation, uint64_t hash)
{
    for (uint32_t n = 1; n < used; n++) {
        struct bl_assembly *a = record_at(n);
        if (a->stack == stack && a->name == name && a->relation == relation) {
            bl_add_relaxed(&a->count, 1);
            return true;
        }
    }
    if (used == BL_ASSEMBLIES_MAX || bl_ledger_ensure(BL_SECTION_ASSEMBLIES, used + 1) != 0)
        return false;
    *record_at(used) = (struct bl_assembly){
        .stack = bl_stacks_keep(stack), .name = name, .relation = relation, .count = 1};
    hashes[used++] = hash;
    bl_ledger_publish(BL_SECTION_ASSEMBLIES, used);
    return true;
}

static void record(uint32_t stack, const char *text, uint32_t relation)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (const char *c = text; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    bl_lock_take(&lock);
    uint32_t name = used < BL_ASSEMBLIES_MAX ? find_name_locked(text, hash) : 0;
    if (!name && used < BL_ASSEMBLIES_MAX)
        name = bl_names_add_str(text);
    bool is_kept = name && add_locked(stack, name, relation, hash);
    bl_lock_give(&lock);
    if (!is_kept)
        bl_losses_add(BL_LOSS_assemblies_dropped, 1);
}

/* ---- a stack ---- */

static void note_answer(uint32_t stack)
{
    struct asked *a = &asked[stack & (ASKED - 1)];
    bl_lock_take(&lock);
    if (a->stack == stack)
        a->answers++;
    bl_lock_give(&lock);
}

static void ask(JNIEnv *env, jobject subscriber, uint32_t stack, enum bl_assembly_relation relation)
{
    char text[TEXT_BYTES];
    if (!describe(env, subscriber, text))
        return;
    record(stack, text, (uint32_t)relation);
    note_answer(stack);
}

/* True: the operator in which the event happened has answered. */
static bool ask_standing(JNIEnv *env, const struct bl_java_passing *p,
                         const struct passage *passage, bool is_behind, uint32_t stack)
{
    jobject subscriber = (*env)->NewLocalRef(env, passage->subscriber);
    jobject actual = p->actual ? (*env)->NewLocalRef(env, p->actual) : NULL;
    jobject behind = subscriber && !is_behind ? find_behind(env, subscriber, actual) : NULL;
    bool is_operators = is_behind || behind;
    if (subscriber)
        ask(env, behind ? behind : subscriber, stack,
            is_operators ? BL_ASSEMBLY_OF_OPERATOR : BL_ASSEMBLY_OF_SOURCE);
    if (behind)
        (*env)->DeleteLocalRef(env, behind);
    if (actual)
        (*env)->DeleteLocalRef(env, actual);
    if (subscriber)
        (*env)->DeleteLocalRef(env, subscriber);
    return subscriber && is_operators;
}

/* ---- what an operator hands on to ---- */

static bool is_operators(JNIEnv *env, jmethodID method)
{
    jclass class = NULL;
    char *signature = NULL;
    if ((*vm)->GetMethodDeclaringClass(vm, method, &class) != JVMTI_ERROR_NONE)
        return false;
    bool yes = (*vm)->GetClassSignature(vm, class, &signature, NULL) == JVMTI_ERROR_NONE &&
               strncmp(signature, OPERATORS, strlen(OPERATORS)) == 0;
    (*vm)->Deallocate(vm, (unsigned char *)signature);
    (*env)->DeleteLocalRef(env, class);
    return yes;
}

static uint64_t hash_frames(const jvmtiFrameInfo *frames, jint count)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (jint i = 0; i < count; i++) {
        h = (h ^ (uint64_t)(uintptr_t)frames[i].method) * 0x100000001b3u;
        h = (h ^ (uint64_t)frames[i].location) * 0x100000001b3u;
    }
    return h;
}

/* The call that is under way is of the operator, and only Reactor's own code is in between. */
static bool is_called_by(JNIEnv *env, const struct pending *pending)
{
    jvmtiFrameInfo frames[DEPTH_MAX];
    jint count = 0;
    if ((*vm)->GetStackTrace(vm, NULL, 1, DEPTH_MAX, frames, &count) != JVMTI_ERROR_NONE)
        return false;
    const struct method *called = count > 0 ? method_of(frames[0].method) : NULL;
    if (!called || !called->hands_on)
        return false;
    jint at = count - 1 - (jint)pending->outer;
    if (at < 1 || frames[at].method != pending->origin ||
        hash_frames(frames + at + 1, (jint)pending->outer) != pending->hash)
        return false;
    for (jint i = 1; i < at; i++)
        if (!is_operators(env, frames[i].method))
            return false;
    return true;
}

static void remember(JNIEnv *env, const struct bl_thread_state *t, jobject subscriber,
                     const uint64_t *base)
{
    struct bl_java_passing *p = t->java_passing;
    if (p->pending.stack) {
        if (is_called_by(env, &p->pending))
            ask(env, subscriber, p->pending.stack, BL_ASSEMBLY_OF_OPERATOR);
        p->pending.stack = 0;
    }
    if (--p->left == 0) {
        drop_all(env, p);
        return;
    }
    drop_inner(env, p, base);
    if (!p->actual)
        p->actual = find_actual(env);
    if (p->count == PASSAGES) {
        (*env)->DeleteWeakGlobalRef(env, p->passages[0].subscriber);
        memmove(p->passages, p->passages + 1, (PASSAGES - 1) * sizeof *p->passages);
        p->count--;
    }
    jweak weak = (*env)->NewWeakGlobalRef(env, subscriber);
    if (weak)
        p->passages[p->count++] = (struct passage){base, base[0], base[1], weak};
    else
        (*env)->ExceptionClear(env);
}

void JNICALL bl_java_assembly_pass(JNIEnv *env, jclass class, jobject subscriber)
{
    struct bl_thread_state *t = bl_tls.thread;
    (void)class;
    if (BL_LIKELY(!t || !t->java_passing || t->java_passing->left == 0) ||
        t->java_passing->attached != t->attached)
        return;
    const uint64_t *native = __builtin_frame_address(0);
    const uint64_t *entry = t->stack_high ? outer_of(t, native) : NULL; /* the machine's, to C */
    const uint64_t *base = entry ? outer_of(t, entry) : NULL;
    if (!base)
        return;
    int saved = errno;
    bl_guard_enter_internal();
    remember(env, t, subscriber, base);
    bl_guard_leave_internal();
    errno = saved;
}

/* False: it has been asked for often enough. A stack that is met again after that is new only by
 * its code, and is asked for once more: to remember whom it passes, and to ask. */
static bool wants_look(uint32_t stack)
{
    struct asked *a = &asked[stack & (ASKED - 1)];
    bl_lock_take(&lock);
    if (a->stack != stack)
        *a = (struct asked){.stack = stack};
    bool is_known = a->answers >= LOOKS_WANTED || a->looks >= LOOKS_MAX;
    bool wants = !is_known || a->again++ % 3 < 2;
    a->looks = (uint16_t)(a->looks + !is_known);
    bl_lock_give(&lock);
    return wants;
}

/* Returns what the thread remembers from now on; NULL: no memory. ret_fresh: nothing yet. */
static struct bl_java_passing *open_session(struct bl_thread_state *t, JNIEnv *env, bool *ret_fresh)
{
    struct bl_java_passing *p = t->java_passing;
    if (!p && (p = bl_arena_alloc(sizeof *p)))
        *p = (struct bl_java_passing){.attached = t->attached};
    if (!p)
        return NULL;
    if (p->attached != t->attached)
        drop_all(env, p);
    *ret_fresh = p->left == 0 || p->attached != t->attached;
    p->attached = t->attached;
    p->left = SESSION;
    t->java_passing = p;
    return p;
}

/* Of the frames, the innermost operator's; -1: none. */
static jint find_operator(JNIEnv *env, const jvmtiFrameInfo *frames, jint count)
{
    for (jint i = 0; i < count; i++)
        if (is_operators(env, frames[i].method))
            return i;
    return -1;
}

static const struct method *find_innermost(const jvmtiFrameInfo *frames, jint count)
{
    const struct method *found = NULL;
    for (jint i = 0; i < count && !found; i++)
        found = method_of(frames[i].method);
    return found;
}

bool bl_java_assembly_look(struct bl_thread_state *t, JNIEnv *env, const jvmtiFrameInfo *frames,
                           jint count, const uint64_t *frame, uint32_t stack)
{
    bool is_fresh;
    bool is_answered = false;
    if (BL_LIKELY(bl_load_acquire(&method_count) == 0) || !wants_look(stack))
        return false;
    jint origin = find_operator(env, frames, count);
    if (origin < 0)
        return false;
    struct bl_java_passing *p = open_session(t, env, &is_fresh);
    if (!p) {
        bl_losses_add(BL_LOSS_assemblies_dropped, 1);
        return false;
    }
    const struct method *innermost = find_innermost(frames, count);
    const struct passage *standing = is_fresh || !innermost ? NULL : find_standing(t, frame);
    if (standing)
        is_answered = ask_standing(env, p, standing, innermost->goes_up, stack);
    bool is_whole = (uint32_t)count < DEPTH_MAX / 2;
    if (!is_answered && is_whole && !method_of(frames[origin].method))
        p->pending = (struct pending){
            .stack = stack,
            .origin = frames[origin].method,
            .outer = (uint32_t)(count - 1 - origin),
            .hash = hash_frames(frames + origin + 1, count - 1 - origin),
        };
    return true;
}

void bl_java_assembly_reset(void)
{
    used = 1;
    memset(asked, 0, sizeof asked);
}
