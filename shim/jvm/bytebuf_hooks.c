#include "bytebuf_hooks.h"
#include "boundaries.h"
#include "clock.h"
#include "java_assembly.h"
#include "java_stack.h"
#include "references.h"
#include "track.h"

#include <errno.h>
#include <string.h>

#define SERIALS_AT_ONCE 1024u
#define LAYOUTS_MAX     16u
#define WRAPPERS_MAX    8u
#define TYPE_MAX        256u
#define REQUEST_NAME    "HTTP request" /* as a boundary is called */
#define REQUEST_MODULE  "io.netty.handler.codec.http"
#define NAME_OF(x)      ((char *)(uintptr_t)(x))

static uint32_t next_serials = 1; /* relaxed atomic */
static uint8_t class_number;
static uint32_t request_boundary = BL_BOUNDARY_NONE; /* of all copies of Netty */
static void (*on_failure)(void);
static jvmtiEnv *asked; /* by those of whose copy nothing is known */
/* What is known of a copy of Netty: there may be several, and they may differ. That of a copy whose
 * classes were unloaded is given to another one; none of the functions that use it is called any
 * more. */
enum state { LAYOUT_FREE, LAYOUT_CLAIMED, LAYOUT_READY };
static struct layout {
    uint32_t state;   /* atomic, enum state; all else is written while it is claimed */
    jfieldID id;      /* where objects keep the number */
    jclass counting;  /* weak; AbstractReferenceCountedByteBuf */
    jmethodID unwrap; /* of its buffers; NULL: not looked up yet. Written by whoever does */
    char unwrap_type[TYPE_MAX];
} layouts[LAYOUTS_MAX];

void bl_bytebuf_hooks_start(uint8_t number)
{
    class_number = number;
}

void bl_bytebuf_hooks_tell_failure(void (*failed)(void))
{
    on_failure = failed;
}

BL_INLINE bool is_id(jlong id)
{
    return bl_refs_is_number((uint64_t)id);
}

bool bl_bytebuf_hooks_is_id(int64_t id)
{
    return is_id(id);
}

/* All copies of Netty whose sizing classes have been seen: nobody uses one without those. */
bool bl_bytebuf_hooks_counts(JNIEnv *env, jclass class)
{
    bool counts = false;
    for (size_t i = 0; i < LAYOUTS_MAX && !counts; i++) {
        bool is_ready = bl_load_acquire(&layouts[i].state) == LAYOUT_READY;
        jclass counting = is_ready ? (*env)->NewLocalRef(env, layouts[i].counting) : NULL;
        counts = counting && (*env)->IsAssignableFrom(env, class, counting);
        if (counting)
            (*env)->DeleteLocalRef(env, counting);
    }
    return counts;
}

static uint32_t take_serial(struct bl_thread_state *t)
{
    if (t->java_serials_left == 0) {
        t->java_serial = bl_add_relaxed(&next_serials, SERIALS_AT_ONCE);
        t->java_serials_left = SERIALS_AT_ONCE;
    }
    t->java_serials_left--;
    return t->java_serial++;
}

/* The event's stack, thread and time. False: it is not one to record. */
BL_INLINE bool describe(struct bl_ref_event *e, JNIEnv *env, const void *frame, bool *ret_internal)
{
    struct bl_thread_state *t = bl_threads_current();
    if (!t)
        return false;
    if (BL_UNLIKELY(!t->java_named)) { /* the VM names a thread after it has begun */
        t->java_named = true;
        bl_threads_read_name(t);
    }
    struct bl_java_stack s = bl_java_stack_take(t, env, frame);
    *ret_internal = s.is_internal;
    *e = (struct bl_ref_event){.time_ns = bl_clock_event_ns(),
                               .stack = s.stack,
                               .thread = t->number,
                               .through = true, /* no other count is compared with */
                               .sp = (uint64_t)(uintptr_t)frame,
                               .class_number = class_number};
    return true;
}

/* The buffer that was said to hold another has its number now. */
static void note_announced(struct bl_thread_state *t, uint64_t former, uint64_t handle)
{
    if (BL_LIKELY(!t->java_held) || t->java_holder != former)
        return;
    bl_refs_note_holder(
        &(struct bl_ref_event){.handle = t->java_held, .class_number = class_number}, handle);
    t->java_held = 0;
}

/* long born(long former) */
BL_NOINLINE static jlong JNICALL born(JNIEnv *env, jclass class, jlong former)
{
    const void *frame = __builtin_frame_address(0);
    struct bl_ref_event e;
    bool is_internal;
    jlong id = 0;
    (void)class;
    if (!bl_track_enter())
        return 0;
    int saved = errno;
    if (describe(&e, env, frame, &is_internal) && !is_internal) {
        e.delta = 1;
        uint64_t number = bl_refs_birth_numbered(&e, (uint64_t)former, take_serial(bl_tls.thread));
        id = (jlong)number;
        note_announced(bl_tls.thread, (uint64_t)former, number);
    }
    errno = saved;
    bl_track_leave();
    return id;
}

/* void counted(long id, int change) */
BL_NOINLINE static void JNICALL counted(JNIEnv *env, jclass class, jlong id, jint change)
{
    const void *frame = __builtin_frame_address(0);
    struct bl_ref_event e;
    bool is_internal;
    (void)class;
    if (!is_id(id) || change == 0 || !bl_track_enter())
        return;
    int saved = errno;
    bl_refs_expect((uint64_t)id, change);
    if (describe(&e, env, frame, &is_internal)) {
        e.handle = (uint64_t)id;
        e.delta = change;
        bl_refs_count_numbered(&e);
    }
    errno = saved;
    bl_track_leave();
}

static void set_size(JNIEnv *env, jobject buffer, jint size, jfieldID field)
{
    jlong id = (*env)->GetLongField(env, buffer, field);
    if (!is_id(id) || size < 0 || !bl_track_enter())
        return;
    bl_refs_resize(&(struct bl_ref_event){.handle = (uint64_t)id, .class_number = class_number},
                   (uint64_t)size);
    bl_track_leave();
}

/* ByteBuf's, which all others override. */
static jmethodID find_unwrap(JNIEnv *env, const struct layout *l)
{
    jclass below_object = (*env)->NewLocalRef(env, l->counting);
    jclass super = below_object ? (*env)->GetSuperclass(env, below_object) : NULL;
    jclass object;
    jmethodID found = NULL;
    while (super && (object = (*env)->GetSuperclass(env, super))) {
        (*env)->DeleteLocalRef(env, below_object);
        below_object = super;
        super = object;
    }
    if (below_object)
        found = (*env)->GetMethodID(env, below_object, "unwrap", l->unwrap_type);
    if (!found)
        (*env)->ExceptionClear(env);
    (*env)->DeleteLocalRef(env, below_object);
    (*env)->DeleteLocalRef(env, super);
    return found;
}

static jobject unwrap(JNIEnv *env, struct layout *l, jobject buffer)
{
    if (!l->unwrap)
        l->unwrap = find_unwrap(env, l);
    jobject inner = l->unwrap ? (*env)->CallObjectMethod(env, buffer, l->unwrap) : NULL;
    if ((*env)->ExceptionCheck(env))
        (*env)->ExceptionClear(env);
    return inner;
}

/* The number of the counted buffer that is behind one that is not: slices and wrappers. */
static uint64_t id_behind(JNIEnv *env, jobject buffer, struct layout *l)
{
    jobject at = unwrap(env, l, buffer);
    jlong id = 0;
    for (unsigned i = 1; at && i < WRAPPERS_MAX; i++) {
        if ((*env)->IsInstanceOf(env, at, l->counting))
            id = (*env)->GetLongField(env, at, l->id);
        jobject inner = is_id(id) ? NULL : unwrap(env, l, at);
        (*env)->DeleteLocalRef(env, at);
        at = inner;
    }
    if (at)
        (*env)->DeleteLocalRef(env, at);
    return is_id(id) ? (uint64_t)id : 0;
}

/* Of `buffer`, or of the one behind it. A counted one has no number if it began unseen. Whether it
 * is counted Java's own code knows at once; asking here takes the thread into the VM. */
static uint64_t id_of(JNIEnv *env, jobject buffer, jboolean is_counted, struct layout *l)
{
    jlong id = buffer && is_counted ? (*env)->GetLongField(env, buffer, l->id) : 0;
    if (BL_LIKELY(is_id(id)))
        return (uint64_t)id;
    return buffer ? id_behind(env, buffer, l) : 0;
}

static void note_holder(uint64_t held, uint64_t holder)
{
    if (held && is_id((jlong)holder) && bl_track_enter()) {
        bl_refs_note_holder(&(struct bl_ref_event){.handle = held, .class_number = class_number},
                            holder);
        bl_track_leave();
    }
}

static void set_holder(JNIEnv *env, jobject holder, jobject held, jboolean is_counted,
                       struct layout *l)
{
    jlong id = (*env)->GetLongField(env, holder, l->id);
    note_holder(id_of(env, held, is_counted, l), (uint64_t)id);
}

/* The holder is made ready again after this, and its number is another one then. */
static void announce_holder(JNIEnv *env, jobject holder, jobject held, jboolean is_counted,
                            struct layout *l)
{
    struct bl_thread_state *t = bl_tls.thread;
    if (!t)
        return;
    t->java_held = id_of(env, held, is_counted, l);
    t->java_holder = (uint64_t)(*env)->GetLongField(env, holder, l->id);
}

/* void sized(Object buffer, int size) and void holds(Object holder, Object held, boolean counted),
 * one for each layout */
#define OF_LAYOUT(layout)                                                                          \
    static void JNICALL sized_##layout(JNIEnv *env, jclass class, jobject buffer, jint size)       \
    {                                                                                              \
        (void)class;                                                                               \
        set_size(env, buffer, size, layouts[layout].id);                                           \
    }                                                                                              \
    static void JNICALL holds_##layout(JNIEnv *env, jclass class, jobject holder, jobject held,    \
                                       jboolean is_counted)                                        \
    {                                                                                              \
        (void)class;                                                                               \
        set_holder(env, holder, held, is_counted, &layouts[layout]);                               \
    }                                                                                              \
    static void JNICALL derives_##layout(JNIEnv *env, jclass class, jobject holder, jobject held,  \
                                         jboolean is_counted)                                      \
    {                                                                                              \
        (void)class;                                                                               \
        announce_holder(env, holder, held, is_counted, &layouts[layout]);                          \
    }
OF_LAYOUT(0)
OF_LAYOUT(1)
OF_LAYOUT(2)
OF_LAYOUT(3)
OF_LAYOUT(4)
OF_LAYOUT(5)
OF_LAYOUT(6)
OF_LAYOUT(7)
OF_LAYOUT(8)
OF_LAYOUT(9)
OF_LAYOUT(10)
OF_LAYOUT(11)
OF_LAYOUT(12)
OF_LAYOUT(13)
OF_LAYOUT(14)
OF_LAYOUT(15)

#define EACH_LAYOUT(of)                                                                            \
    of##0, of##1, of##2, of##3, of##4, of##5, of##6, of##7, of##8, of##9, of##10, of##11, of##12,  \
        of##13, of##14, of##15

/* The superclass was left as it is, or there are too many copies. */
static void JNICALL holds_unknown(JNIEnv *env, jclass class, jobject holder, jobject held,
                                  jboolean is_counted)
{
    (void)env;
    (void)class;
    (void)holder;
    (void)held;
    (void)is_counted;
}

/* void noted() */
static void JNICALL served(JNIEnv *env, jclass class)
{
    (void)env;
    (void)class;
    bl_boundaries_count(request_boundary);
}

static void JNICALL ran_out(JNIEnv *env, jclass class)
{
    (void)env;
    (void)class;
    int saved = errno;
    on_failure();
    errno = saved;
}

/* ---- binding ---- */

static bool is_id_field(jvmtiEnv *vm, jclass class, jfieldID field)
{
    char *name = NULL;
    bool yes = (*vm)->GetFieldName(vm, class, field, &name, NULL, NULL) == JVMTI_ERROR_NONE &&
               strcmp(name, BL_BYTEBUF_ID_FIELD) == 0;
    (*vm)->Deallocate(vm, (unsigned char *)name);
    return yes;
}

/* JNI's own look-up would initialise the class. */
static jfieldID find_id_field(jvmtiEnv *vm, jclass class)
{
    jint count = 0;
    jfieldID *fields = NULL;
    jfieldID found = NULL;
    if ((*vm)->GetClassFields(vm, class, &count, &fields) != JVMTI_ERROR_NONE)
        return NULL;
    for (jint i = 0; i < count && !found; i++)
        if (is_id_field(vm, class, fields[i]))
            found = fields[i];
    (*vm)->Deallocate(vm, (unsigned char *)fields);
    return found;
}

/* ()Lio/netty/buffer/ByteBuf; of the package that the class is in. */
static void name_unwrap_type(jvmtiEnv *vm, jclass counting, char out[TYPE_MAX])
{
    char *signature = NULL;
    struct bl_text t;
    bl_text_init(&t, out, TYPE_MAX);
    if ((*vm)->GetClassSignature(vm, counting, &signature, NULL) != JVMTI_ERROR_NONE)
        return;
    const char *slash = strrchr(signature, '/');
    bl_text_str(&t, "()");
    bl_text_bytes(&t, signature, slash ? (size_t)(slash + 1 - signature) : 0);
    bl_text_str(&t, "ByteBuf;");
    (*vm)->Deallocate(vm, (unsigned char *)signature);
}

/* The class that has the field, as a local reference, of which `class` is a subclass; NULL: it was
 * left as it is. */
static jclass find_counting(jvmtiEnv *vm, JNIEnv *env, jclass class, jfieldID *ret_field)
{
    jclass super = (*env)->GetSuperclass(env, class);
    while (super && !(*ret_field = find_id_field(vm, super))) {
        jclass next = (*env)->GetSuperclass(env, super);
        (*env)->DeleteLocalRef(env, super);
        super = next;
    }
    return super;
}

/* The same without a layout: at a few microseconds. */
static void JNICALL sized_unknown(JNIEnv *env, jclass class, jobject buffer, jint size)
{
    jvmtiEnv *vm = bl_load_acquire(&asked);
    jfieldID field = NULL;
    bl_guard_enter_internal();
    jclass counting = vm ? find_counting(vm, env, class, &field) : NULL;
    bl_guard_leave_internal();
    if (!counting)
        return;
    (*env)->DeleteLocalRef(env, counting);
    set_size(env, buffer, size, field);
}

/* LAYOUTS_MAX: it is not there. */
static unsigned find_ready(JNIEnv *env, jfieldID field, jclass counting)
{
    for (unsigned i = 0; i < LAYOUTS_MAX; i++)
        if (bl_load_acquire(&layouts[i].state) == LAYOUT_READY && layouts[i].id == field &&
            (*env)->IsSameObject(env, layouts[i].counting, counting))
            return i;
    return LAYOUTS_MAX;
}

/* Two threads that load classes of one copy may make a layout each, of which either does. */
static bool claim(JNIEnv *env, struct layout *l)
{
    uint32_t state = bl_load_acquire(&l->state);
    if (state == LAYOUT_CLAIMED ||
        (state == LAYOUT_READY && !(*env)->IsSameObject(env, l->counting, NULL)))
        return false;
    return __atomic_compare_exchange_n(&l->state, &state, LAYOUT_CLAIMED, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

/* The reference to a class that was unloaded stays: somebody may be asking about it. */
static unsigned add_layout(jvmtiEnv *vm, JNIEnv *env, jfieldID field, jclass counting)
{
    unsigned i = 0;
    while (i < LAYOUTS_MAX && !claim(env, &layouts[i]))
        i++;
    if (i == LAYOUTS_MAX)
        return i;
    layouts[i].id = field;
    layouts[i].counting = (*env)->NewWeakGlobalRef(env, counting);
    layouts[i].unwrap = NULL;
    name_unwrap_type(vm, counting, layouts[i].unwrap_type);
    bl_store_release(&layouts[i].state, LAYOUT_READY);
    return i;
}

/* The class is one of those that inherit the field. Returns the number of its layout; LAYOUTS_MAX:
 * the superclass was left as it is, or there is no room. */
static unsigned find_layout(jvmtiEnv *vm, JNIEnv *env, jclass class)
{
    jfieldID field = NULL;
    jclass counting = find_counting(vm, env, class, &field);
    if (!counting)
        return LAYOUTS_MAX;
    unsigned found = find_ready(env, field, counting);
    if (found == LAYOUTS_MAX)
        found = add_layout(vm, env, field, counting);
    (*env)->DeleteLocalRef(env, counting);
    return found;
}

static bool bind_noting(JNIEnv *env, jclass class, enum bl_bytebuf_kind kind)
{
    JNINativeMethod noted = {NAME_OF(BL_BYTEBUF_NOTED), NAME_OF(BL_BYTEBUF_NOTED_TYPE),
                             (void *)(uintptr_t)ran_out};
    if (kind == BL_BYTEBUF_SERVING) {
        if (request_boundary == BL_BOUNDARY_NONE)
            request_boundary = bl_boundaries_add(REQUEST_NAME, REQUEST_MODULE);
        noted.fnPtr = (void *)(uintptr_t)served;
    }
    return (*env)->RegisterNatives(env, class, &noted, 1) == 0;
}

static bool bind_passing(jvmtiEnv *vm, JNIEnv *env, jclass class)
{
    const JNINativeMethod passed = {NAME_OF(BL_BYTEBUF_PASSES), NAME_OF(BL_BYTEBUF_PASSES_TYPE),
                                    (void *)(uintptr_t)bl_java_assembly_pass};
    bl_java_assembly_add(vm, class);
    return (*env)->RegisterNatives(env, class, &passed, 1) == 0;
}

bool bl_bytebuf_hooks_bind(jvmtiEnv *vm, JNIEnv *env, jclass class, enum bl_bytebuf_kind kind)
{
    static void(JNICALL *const sized[])(JNIEnv *, jclass, jobject, jint) = {EACH_LAYOUT(sized_),
                                                                            sized_unknown};
    static void(JNICALL *const holds[])(JNIEnv *, jclass, jobject, jobject,
                                        jboolean) = {EACH_LAYOUT(holds_), holds_unknown};
    static void(JNICALL *const derives[])(JNIEnv *, jclass, jobject, jobject,
                                          jboolean) = {EACH_LAYOUT(derives_), holds_unknown};
    const JNINativeMethod counting[] = {
        {NAME_OF(BL_BYTEBUF_BORN), NAME_OF(BL_BYTEBUF_BORN_TYPE), (void *)(uintptr_t)born},
        {NAME_OF(BL_BYTEBUF_COUNTED), NAME_OF(BL_BYTEBUF_COUNTED_TYPE), (void *)(uintptr_t)counted},
    };
    if (kind == BL_BYTEBUF_COUNTING)
        return (*env)->RegisterNatives(env, class, counting, 2) == 0;
    if (kind == BL_BYTEBUF_SERVING || kind == BL_BYTEBUF_FAILING)
        return bind_noting(env, class, kind);
    if (kind == BL_BYTEBUF_PASSED)
        return bind_passing(vm, env, class);
    unsigned layout = find_layout(vm, env, class);
    bl_store_release(&asked, vm);
    JNINativeMethod telling = {NAME_OF(BL_BYTEBUF_HOLDS), NAME_OF(BL_BYTEBUF_HOLDS_TYPE), NULL};
    if (kind == BL_BYTEBUF_SIZING)
        telling = (JNINativeMethod){NAME_OF(BL_BYTEBUF_SIZED), NAME_OF(BL_BYTEBUF_SIZED_TYPE),
                                    (void *)(uintptr_t)sized[layout]};
    else
        telling.fnPtr = (void *)(uintptr_t)(kind == BL_BYTEBUF_HOLDING ? holds : derives)[layout];
    return (*env)->RegisterNatives(env, class, &telling, 1) == 0;
}
