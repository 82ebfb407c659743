#include "java_pools.h"
#include "clock.h"
#include "ledger.h"
#include "names.h"
#include "sigsafe.h"

#include <string.h>

#define NETTY_CLASS "netty/util/internal/PlatformDependent"
#define JDK_CLASS   "java/nio/Bits"
#define NAME_BYTES  256u

/* Of both limits: near from there on, and no longer below this. */
#define NEAR_PERCENT 90u
#define FAR_PERCENT  75u

/* A place is of who claimed it until it is taken, then of who reads. The reader gives it back when
 * the class is gone with its loader: a server that replaces its applications would soon have none
 * left. */
enum place { PLACE_FREE, PLACE_CLAIMED, PLACE_TAKEN };

static struct counter {
    uint32_t place; /* atomic; release */
    jclass class;   /* weak; what a free place has of it goes when it is claimed again */
    uint32_t name;  /* in the ledger's names; 0: they had no room, or not yet entered */
    bool is_jdk;
    bool was_near;
    char text[NAME_BYTES];
} counters[BL_DIRECT_MAX];

static bool ends_with(const char *name, size_t length, const char *end)
{
    size_t n = strlen(end);
    return length >= n && memcmp(name + length - n, end, n) == 0 &&
           (length == n || name[length - n - 1] == '/');
}

static bool is_jdk(const char *name, size_t length)
{
    return length == strlen(JDK_CLASS) && memcmp(name, JDK_CLASS, length) == 0;
}

bool bl_java_pools_is_counter(const char *name, size_t length)
{
    return is_jdk(name, length) || ends_with(name, length, NETTY_CLASS);
}

static bool is_known(JNIEnv *env, jclass class)
{
    for (uint32_t i = 0; i < BL_DIRECT_MAX; i++)
        if (bl_load_acquire(&counters[i].place) == PLACE_TAKEN &&
            (*env)->IsSameObject(env, counters[i].class, class))
            return true;
    return false;
}

/* The first place is the JDK's. Threads may load several copies of Netty at once. */
static struct counter *claim_place(bool jdk)
{
    for (uint32_t i = jdk ? 0 : 1; i < (jdk ? 1 : BL_DIRECT_MAX); i++) {
        uint32_t free_place = PLACE_FREE;
        if (__atomic_compare_exchange_n(&counters[i].place, &free_place, PLACE_CLAIMED, false,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return &counters[i];
    }
    return NULL;
}

void bl_java_pools_add(JNIEnv *env, jclass class, const char *name, size_t length)
{
    bool jdk = is_jdk(name, length);
    struct counter *c = is_known(env, class) ? NULL : claim_place(jdk);
    struct bl_text t;
    if (!c)
        return;
    if (c->class)
        (*env)->DeleteWeakGlobalRef(env, c->class);
    c->class = (*env)->NewWeakGlobalRef(env, class);
    c->name = 0;
    c->is_jdk = jdk;
    c->was_near = false;
    if (!c->class) {
        bl_store_release(&c->place, PLACE_FREE);
        return;
    }
    bl_text_init(&t, c->text, sizeof c->text);
    for (size_t i = 0; i < length; i++)
        bl_text_bytes(&t, name[i] == '/' ? "." : &name[i], 1);
    bl_store_release(&c->place, PLACE_TAKEN);
}

/* ---- reading ---- */

static bool is_initialised(jvmtiEnv *vm, jclass class)
{
    jint status = 0;
    return (*vm)->GetClassStatus(vm, class, &status) == JVMTI_ERROR_NONE &&
           status & JVMTI_CLASS_STATUS_INITIALIZED && !(status & JVMTI_CLASS_STATUS_ERROR);
}

static bool failed(JNIEnv *env)
{
    bool yes = (*env)->ExceptionCheck(env);
    if (yes)
        (*env)->ExceptionClear(env);
    return yes;
}

static bool call_long(JNIEnv *env, jclass class, const char *method, int64_t *ret_value)
{
    jmethodID id = (*env)->GetStaticMethodID(env, class, method, "()J");
    if (failed(env) || !id)
        return false;
    *ret_value = (*env)->CallStaticLongMethod(env, class, id);
    return !failed(env);
}

static bool read_netty(JNIEnv *env, jclass class, struct bl_direct *d)
{
    int64_t used = -1;
    int64_t limit = 0;
    if (!call_long(env, class, "usedDirectMemory", &used) ||
        !call_long(env, class, "maxDirectMemory", &limit))
        return false;
    d->kind = used < 0 ? BL_DIRECT_NETTY_IDLE : BL_DIRECT_NETTY;
    d->bytes = used < 0 ? 0 : (uint64_t)used;
    d->limit_bytes = used < 0 || limit < 0 ? 0 : (uint64_t)limit;
    return true;
}

/* A static long, or the value of a static AtomicLong. */
static bool read_field(JNIEnv *env, jclass class, const char *name, int64_t *ret_value)
{
    jfieldID field = (*env)->GetStaticFieldID(env, class, name, "J");
    if (!failed(env) && field) {
        *ret_value = (*env)->GetStaticLongField(env, class, field);
        return true;
    }
    field = (*env)->GetStaticFieldID(env, class, name, "Ljava/util/concurrent/atomic/AtomicLong;");
    if (failed(env) || !field)
        return false;
    jobject number = (*env)->GetStaticObjectField(env, class, field);
    jclass type = number ? (*env)->GetObjectClass(env, number) : NULL;
    jmethodID get = type ? (*env)->GetMethodID(env, type, "get", "()J") : NULL;
    if (get)
        *ret_value = (*env)->CallLongMethod(env, number, get);
    return !failed(env) && get;
}

static bool read_jdk(JNIEnv *env, jclass class, struct bl_direct *d)
{
    int64_t used = 0;
    int64_t limit = 0;
    /* the second names are those of JDK 8 to 11 */
    if (!read_field(env, class, "RESERVED_MEMORY", &used) &&
        !read_field(env, class, "reservedMemory", &used))
        return false;
    if (!read_field(env, class, "MAX_MEMORY", &limit) &&
        !read_field(env, class, "maxMemory", &limit))
        return false;
    d->kind = BL_DIRECT_JDK;
    d->bytes = used < 0 ? 0 : (uint64_t)used;
    d->limit_bytes = limit < 0 ? 0 : (uint64_t)limit;
    return true;
}

static void publish(struct counter *c, struct bl_direct *to, const struct bl_direct *read)
{
    if (!c->name)
        c->name = bl_names_add_str(c->text);
    bl_store_relaxed(&to->name, c->name);
    bl_store_relaxed(&to->bytes, read->bytes);
    bl_store_relaxed(&to->limit_bytes, read->limit_bytes);
    bl_store_relaxed(&to->read_ns, bl_clock_read(CLOCK_MONOTONIC));
    bl_store_release(&to->kind, read->kind);
}

/* Netty's own limit is the nearer one, where it counts; it is not larger than the JDK's unless the
 * user says so. */
static void publish_limit(void)
{
    uint64_t netty = 0;
    uint64_t jdk = 0;
    for (uint32_t i = 0; i < BL_DIRECT_MAX; i++) {
        const struct bl_direct *d = &bl_header->direct[i];
        if (d->kind == BL_DIRECT_NETTY && (!netty || d->limit_bytes < netty))
            netty = d->limit_bytes;
        if (d->kind == BL_DIRECT_JDK)
            jdk = d->limit_bytes;
    }
    bl_store_relaxed(&bl_header->direct_limit_bytes, netty ? netty : jdk);
}

static void read_one(jvmtiEnv *vm, JNIEnv *env, struct counter *c, struct bl_direct *to)
{
    struct bl_direct read = {0};
    jclass class = (*env)->NewLocalRef(env, c->class);
    if (!class || !is_initialised(vm, class))
        bl_store_release(&to->kind, BL_DIRECT_NONE);
    else if (c->is_jdk ? read_jdk(env, class, &read) : read_netty(env, class, &read))
        publish(c, to, &read);
    if (class)
        (*env)->DeleteLocalRef(env, class);
    else
        bl_store_release(&c->place, PLACE_FREE);
}

void bl_java_pools_read(jvmtiEnv *vm, JNIEnv *env)
{
    for (uint32_t i = 0; i < BL_DIRECT_MAX; i++)
        if (bl_load_acquire(&counters[i].place) == PLACE_TAKEN)
            read_one(vm, env, &counters[i], &bl_header->direct[i]);
    publish_limit();
}

bool bl_java_pools_is_near_limit(void)
{
    bool is_near = false;
    for (uint32_t i = 0; i < BL_DIRECT_MAX; i++) {
        const struct bl_direct *d = &bl_header->direct[i];
        uint64_t limit = d->kind == BL_DIRECT_NONE ? 0 : d->limit_bytes;
        if (!limit)
            continue;
        uint64_t percent = (uint64_t)((double)d->bytes / (double)limit * 100);
        is_near |= percent >= NEAR_PERCENT && !counters[i].was_near;
        if (percent >= NEAR_PERCENT)
            counters[i].was_near = true;
        else if (percent < FAR_PERCENT)
            counters[i].was_near = false;
    }
    return is_near;
}
