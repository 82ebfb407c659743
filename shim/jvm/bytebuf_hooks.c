#include "bytebuf_hooks.h"
#include "clock.h"
#include "java_stack.h"
#include "references.h"
#include "track.h"

#include <errno.h>
#include <string.h>

/* The upper 16 bits of a number: no address of anything. */
#define ID_MAGIC    0xb1f0ull
#define ID_SHIFT    48
#define IDS_AT_ONCE 1024u
#define LAYOUTS_MAX 4u
#define NAME_OF(x)  ((char *)(uintptr_t)(x))

static uint64_t next_ids = ID_MAGIC << ID_SHIFT | 1; /* relaxed atomic */
static uint8_t class_number;
/* Where objects keep the number; copies of Netty may differ. 0 = free. */
static jfieldID layouts[LAYOUTS_MAX];

void bl_bytebuf_hooks_start(uint8_t number)
{
    class_number = number;
}

BL_INLINE bool is_id(jlong id)
{
    return (uint64_t)id >> ID_SHIFT == ID_MAGIC;
}

static uint64_t take_id(struct bl_thread_state *t)
{
    if (t->java_id == t->java_id_end) {
        t->java_id = bl_add_relaxed(&next_ids, IDS_AT_ONCE);
        t->java_id_end = t->java_id + IDS_AT_ONCE;
    }
    return t->java_id++;
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
        /* a new object is told twice: by its constructor, and when it is made ready */
        bool again = is_id(former) && bl_refs_known((uint64_t)former, class_number);
        e.handle = again ? (uint64_t)former : take_id(bl_tls.thread);
        e.delta = 1;
        bl_refs_birth(&e, &(struct bl_ref_birth){.size = 0});
        id = (jlong)e.handle;
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
    if (describe(&e, env, frame, &is_internal)) {
        e.handle = (uint64_t)id;
        e.delta = change;
        if (change > 0)
            bl_refs_retain(&e);
        else
            bl_refs_release(&e);
    }
    errno = saved;
    bl_track_leave();
}

static void set_size(JNIEnv *env, jobject buffer, jint size, unsigned layout)
{
    jlong id = (*env)->GetLongField(env, buffer, layouts[layout]);
    if (!is_id(id) || size < 0 || !bl_track_enter())
        return;
    bl_refs_resize(&(struct bl_ref_event){.handle = (uint64_t)id, .class_number = class_number},
                   (uint64_t)size);
    bl_track_leave();
}

/* void sized(Object buffer, int size), one for each layout and one for none */
#define SIZED(layout)                                                                              \
    static void JNICALL sized_##layout(JNIEnv *env, jclass class, jobject buffer, jint size)       \
    {                                                                                              \
        (void)class;                                                                               \
        set_size(env, buffer, size, layout);                                                       \
    }
SIZED(0)
SIZED(1)
SIZED(2)
SIZED(3)

static void JNICALL sized_unknown(JNIEnv *env, jclass class, jobject buffer, jint size)
{
    (void)env;
    (void)class;
    (void)buffer;
    (void)size;
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

/* The sizing classes inherit the field. NULL: the superclass was left as it is. */
static jfieldID find_inherited_field(jvmtiEnv *vm, JNIEnv *env, jclass class)
{
    jfieldID field = NULL;
    jclass super = (*env)->GetSuperclass(env, class);
    while (super && !field) {
        field = find_id_field(vm, super);
        jclass next = field ? NULL : (*env)->GetSuperclass(env, super);
        (*env)->DeleteLocalRef(env, super);
        super = next;
    }
    return field;
}

static void *sized_for(jfieldID field)
{
    static void(JNICALL *const functions[LAYOUTS_MAX])(JNIEnv *, jclass, jobject,
                                                       jint) = {sized_0, sized_1, sized_2, sized_3};
    for (unsigned i = 0; field && i < LAYOUTS_MAX; i++) {
        if (!layouts[i])
            layouts[i] = field;
        if (layouts[i] == field)
            return (void *)(uintptr_t)functions[i];
    }
    return (void *)(uintptr_t)sized_unknown;
}

bool bl_bytebuf_hooks_bind(jvmtiEnv *vm, JNIEnv *env, jclass class, enum bl_bytebuf_kind kind)
{
    const JNINativeMethod counting[] = {
        {NAME_OF(BL_BYTEBUF_BORN), NAME_OF(BL_BYTEBUF_BORN_TYPE), (void *)(uintptr_t)born},
        {NAME_OF(BL_BYTEBUF_COUNTED), NAME_OF(BL_BYTEBUF_COUNTED_TYPE), (void *)(uintptr_t)counted},
    };
    if (kind == BL_BYTEBUF_COUNTING)
        return (*env)->RegisterNatives(env, class, counting, 2) == 0;
    const JNINativeMethod sizing = {NAME_OF(BL_BYTEBUF_SIZED), NAME_OF(BL_BYTEBUF_SIZED_TYPE),
                                    sized_for(find_inherited_field(vm, env, class))};
    return (*env)->RegisterNatives(env, class, &sizing, 1) == 0;
}
