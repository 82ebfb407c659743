#include "java_names.h"
#include "ledger_format.h"
#include "lock.h"
#include "losses.h"
#include "modules.h"
#include "names.h"
#include "table.h"

#define TEXT_MAX        1024u
#define DEFAULT_PACKAGE "(default package)"

struct text {
    uint64_t key; /* hash of it: two different ones share it with a chance of n^2 / 2^65 */
    uint32_t value;
    bool oom;
    UT_hash_handle hh;
};

struct line {
    uint16_t start; /* bytecode index */
    uint16_t number;
};

struct method {
    uint64_t key; /* jmethodID */
    uint32_t module;
    uint32_t name;
    uint32_t line_count;
    bool is_hidden;
    bool is_internal;
    bool oom;
    struct line *lines;
    UT_hash_handle hh;
};

/* Where Netty makes what its users do not hold: the memory that an allocator divides among buffers,
 * and the base of a wrapper that is never used as a buffer of its own. */
static const struct internal {
    const char *class; /* end of its name */
    const char *method;
} internals[] = {
    {"netty/buffer/WrappedCompositeByteBuf", "<init>"},
    {"netty/buffer/AdaptiveByteBufAllocator$DirectChunkAllocator", "allocate"},
    {"netty/buffer/AdaptiveByteBufAllocator$HeapChunkAllocator", "allocate"},
};

static struct bl_lock lock = BL_LOCK_INIT; /* BL_RANK_JAVA: all below */
static struct text *names;
static struct text *packages;
static struct method *methods;

static uint64_t hash_of(const char *text, size_t length)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        h = (h ^ (uint8_t)text[i]) * 0x100000001b3u;
    return h;
}

static bool find_text(struct text *const *table, uint64_t key, uint32_t *ret_value)
{
    struct text *t = NULL;
    bl_lock_take(&lock);
    HASH_FIND(hh, *table, &key, sizeof key, t);
    if (t)
        *ret_value = t->value;
    bl_lock_give(&lock);
    return t != NULL;
}

/* Returns the value that counts: another thread may have been faster. */
static uint32_t keep_text(struct text **table, uint64_t key, uint32_t value)
{
    struct text *known = NULL;
    struct text *t = bl_arena_alloc(sizeof *t);
    if (!t)
        return value;
    *t = (struct text){.key = key, .value = value};
    bl_lock_take(&lock);
    HASH_FIND(hh, *table, &key, sizeof key, known);
    if (known)
        value = known->value;
    else
        HASH_ADD(hh, *table, key, sizeof t->key, t);
    bool left_out = known || t->oom;
    bl_lock_give(&lock);
    if (left_out)
        bl_arena_free(t, sizeof *t);
    return value;
}

static uint32_t name_number(const char *text, size_t length)
{
    uint64_t key = hash_of(text, length);
    uint32_t value = 0;
    if (!find_text(&names, key, &value))
        value = keep_text(&names, key, bl_names_add(text, length));
    return value;
}

static uint32_t package_module(const char *name, size_t length)
{
    uint64_t key = hash_of(name, length);
    uint32_t value = 0;
    if (!find_text(&packages, key, &value))
        value = keep_text(&packages, key, bl_modules_add_managed(name, length));
    return value;
}

/* ---- what the VM calls it ---- */

struct description {
    char *signature; /* Lcom/acme/Filter; */
    char *method;
    char *file;
    jvmtiLineNumberEntry *lines;
    jint line_count;
    bool is_unreleasable; /* it makes buffers that nobody can release */
};

#define COUNTING_CLASS "netty/buffer/AbstractReferenceCountedByteBuf;"

static bool ends_with(const char *text, size_t length, const char *end)
{
    size_t n = strlen(end);
    return length >= n && memcmp(text + length - n, end, n) == 0;
}

static bool is_counting(jvmtiEnv *vm, jclass class)
{
    char *signature = NULL;
    if ((*vm)->GetClassSignature(vm, class, &signature, NULL) != JVMTI_ERROR_NONE)
        return false;
    bool yes = ends_with(signature, strlen(signature), COUNTING_CLASS);
    (*vm)->Deallocate(vm, (unsigned char *)signature);
    return yes;
}

static bool has_count(jvmtiEnv *vm, JNIEnv *env, jclass class)
{
    jclass at = (*env)->NewLocalRef(env, class);
    bool yes = false;
    while (at && !(yes = is_counting(vm, at))) {
        jclass super = (*env)->GetSuperclass(env, at);
        (*env)->DeleteLocalRef(env, at);
        at = super;
    }
    if (at)
        (*env)->DeleteLocalRef(env, at);
    return yes;
}

/* Does the method do nothing but return false? */
static bool is_refusal(jvmtiEnv *vm, jmethodID method)
{
    static const unsigned char refusal[] = {0x03, 0xac}; /* iconst_0, ireturn */
    unsigned char *code = NULL;
    jint length = 0;
    bool yes = (*vm)->GetBytecodes(vm, method, &length, &code) == JVMTI_ERROR_NONE &&
               (size_t)length == sizeof refusal && memcmp(code, refusal, sizeof refusal) == 0;
    (*vm)->Deallocate(vm, code);
    return yes;
}

/* Vert.x's buffers on the heap are left to the garbage collector: their release() is empty, and so
 * is their retain(). Only for methods that are running, whose class need not be initialised. */
static bool is_unreleasable(jvmtiEnv *vm, JNIEnv *env, jclass class)
{
    if (!has_count(vm, env, class))
        return false;
    jmethodID release = (*env)->GetMethodID(env, class, "release", "()Z");
    if (!release)
        (*env)->ExceptionClear(env);
    return release && is_refusal(vm, release);
}

static void describe(jvmtiEnv *vm, JNIEnv *env, jmethodID method, struct description *d)
{
    jclass class = NULL;
    *d = (struct description){0};
    if ((*vm)->GetMethodDeclaringClass(vm, method, &class) != JVMTI_ERROR_NONE)
        return;
    (*vm)->GetClassSignature(vm, class, &d->signature, NULL);
    (*vm)->GetMethodName(vm, method, &d->method, NULL, NULL);
    if ((*vm)->GetSourceFileName(vm, class, &d->file) != JVMTI_ERROR_NONE)
        d->file = NULL;
    if ((*vm)->GetLineNumberTable(vm, method, &d->line_count, &d->lines) != JVMTI_ERROR_NONE) {
        d->lines = NULL;
        d->line_count = 0;
    }
    d->is_unreleasable =
        d->method && strcmp(d->method, "<init>") == 0 && is_unreleasable(vm, env, class);
    (*env)->DeleteLocalRef(env, class);
}

static void forget(jvmtiEnv *vm, struct description *d)
{
    (*vm)->Deallocate(vm, (unsigned char *)d->signature);
    (*vm)->Deallocate(vm, (unsigned char *)d->method);
    (*vm)->Deallocate(vm, (unsigned char *)d->file);
    (*vm)->Deallocate(vm, (unsigned char *)d->lines);
}

static size_t length_without_digits(const char *name, size_t length, const char *digits)
{
    while (length > 0 && strchr(digits, name[length - 1]))
        length--;
    return length;
}

/* Length of a class's name without what differs from run to run: numbers given in the order in
 * which classes were made, addresses of hidden classes, hashes, and names made of chance. */
static size_t steady_length(const char *name, size_t length)
{
    static const struct {
        const char *mark;
        size_t kept; /* bytes of it */
    } marks[] = {{"CGLIB$$", 5},        {"ByGuice$$", 7},    {"$ByteBuddy$", 10},
                 {"$MockitoMock$", 12}, {"$auxiliary$", 10}, {"$HibernateProxy$", 15},
                 {"_$$_j", 3},          {".0x", 0}};
    for (size_t i = 0; i < BL_ARRAY_LENGTH(marks); i++) {
        const char *found = memmem(name, length, marks[i].mark, strlen(marks[i].mark));
        if (found)
            return (size_t)(found - name) + marks[i].kept;
    }
    if (memmem(name, length, "reflect/Generated", 17))
        return length_without_digits(name, length, "0123456789");
    size_t named = length_without_digits(name, length, "0123456789abcdef");
    bool is_hash = named > 2 && named < length && memcmp(name + named - 2, "$$", 2) == 0;
    return is_hash ? named - 2 : length;
}

static void append_dotted(struct bl_text *t, const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bl_text_bytes(t, name[i] == '/' ? "." : &name[i], 1);
}

static bool is_internal(const char *class, size_t length, const char *method)
{
    for (size_t i = 0; i < BL_ARRAY_LENGTH(internals); i++)
        if (strcmp(method, internals[i].method) == 0 &&
            ends_with(class, length, internals[i].class))
            return true;
    return false;
}

static bool is_made_up(const char *class, size_t length)
{
    static const char *const beginnings[] = {"java/lang/invoke/",
                                             "jdk/internal/foreign/abi/DowncallStub"};
    for (size_t i = 0; i < BL_ARRAY_LENGTH(beginnings); i++)
        if (strncmp(class, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    const char *slash = memrchr(class, '/', length);
    const char *simple = slash ? slash + 1 : class;
    bool is_proxy = strncmp(simple, "$Proxy", 6) == 0 && simple[6] >= '0' && simple[6] <= '9';
    return is_proxy || memmem(class, length, "$$Lambda", 8) != NULL;
}

/* What passes everything on to the buffer inside it. Netty's leak detector puts such a one around a
 * sample of the buffers, which would look as if they had come another way than the rest. */
static bool is_facade(const char *class, size_t length)
{
    static const char *const facades[] = {
        "netty/buffer/WrappedByteBuf",           "netty/buffer/WrappedCompositeByteBuf",
        "netty/buffer/SimpleLeakAwareByteBuf",   "netty/buffer/SimpleLeakAwareCompositeByteBuf",
        "netty/buffer/AdvancedLeakAwareByteBuf", "netty/buffer/AdvancedLeakAwareCompositeByteBuf",
    };
    for (size_t i = 0; i < BL_ARRAY_LENGTH(facades); i++)
        if (ends_with(class, length, facades[i]))
            return true;
    return false;
}

static void name_method(struct method *m, const struct description *d)
{
    char text[TEXT_MAX];
    struct bl_text t;
    const char *class = d->signature && d->signature[0] == 'L' ? d->signature + 1 : "?;";
    const char *method = d->method ? d->method : "?";
    size_t length = strlen(class) - 1;
    m->is_hidden = is_made_up(class, length) || is_facade(class, length);
    m->is_internal = d->is_unreleasable || is_internal(class, length, method);
    length = steady_length(class, length);
    const char *slash = memrchr(class, '/', length);
    bl_text_init(&t, text, sizeof text);
    if (slash)
        append_dotted(&t, class, (size_t)(slash - class));
    else
        bl_text_str(&t, DEFAULT_PACKAGE);
    m->module = package_module(text, bl_text_length(&t)) | BL_FRAME_MANAGED;
    bl_text_init(&t, text, sizeof text);
    append_dotted(&t, class, length);
    bl_text_str(&t, ".");
    bl_text_str(&t, method);
    bl_text_bytes(&t, "", 1);
    bl_text_str(&t, d->file ? d->file : "");
    m->name = name_number(text, bl_text_length(&t));
}

static void copy_lines(struct method *m, const struct description *d)
{
    size_t bytes = (size_t)d->line_count * sizeof *m->lines;
    m->lines = d->line_count > 0 ? bl_arena_alloc(bytes) : NULL;
    if (!m->lines)
        return;
    m->line_count = (uint32_t)d->line_count;
    for (uint32_t i = 0; i < m->line_count; i++)
        m->lines[i] =
            (struct line){(uint16_t)d->lines[i].start_location, (uint16_t)d->lines[i].line_number};
}

/* ---- the table ---- */

static bool find_method(uint64_t key, struct method *ret_method)
{
    struct method *m = NULL;
    bl_lock_take(&lock);
    HASH_FIND(hh, methods, &key, sizeof key, m);
    if (m)
        *ret_method = *m;
    bl_lock_give(&lock);
    return m != NULL;
}

static void keep_method(const struct method *copy)
{
    struct method *known = NULL;
    struct method *m = bl_arena_alloc(sizeof *m);
    if (!m)
        return;
    *m = *copy;
    bl_lock_take(&lock);
    HASH_FIND(hh, methods, &m->key, sizeof m->key, known);
    if (!known)
        HASH_ADD(hh, methods, key, sizeof m->key, m);
    bool left_out = known || m->oom; /* its lines stay with nobody: it happens once or twice */
    bl_lock_give(&lock);
    if (left_out)
        bl_arena_free(m, sizeof *m);
}

/* As in bl_frame. Entries need not be sorted. */
static uint32_t line_at(const struct method *m, jlocation at)
{
    uint32_t number = 0;
    int32_t best = -1;
    if (m->line_count == 0 && at >= 0) /* a native method is at -1 */
        return BL_FRAME_BYTECODE | (uint32_t)(at & UINT16_MAX);
    for (uint32_t i = 0; at >= 0 && i < m->line_count; i++) {
        if (m->lines[i].start <= at && (int32_t)m->lines[i].start > best) {
            best = m->lines[i].start;
            number = m->lines[i].number;
        }
    }
    return number;
}

void bl_java_names_locate(jvmtiEnv *vm, JNIEnv *env, jmethodID method, jlocation at,
                          struct bl_java_place *ret_place)
{
    struct method m;
    uint64_t key = (uint64_t)(uintptr_t)method;
    if (!find_method(key, &m)) {
        struct description d;
        m = (struct method){.key = key};
        describe(vm, env, method, &d);
        name_method(&m, &d);
        copy_lines(&m, &d);
        forget(vm, &d);
        keep_method(&m);
    }
    *ret_place = (struct bl_java_place){.module = m.module,
                                        .is_hidden = m.is_hidden,
                                        .is_internal = m.is_internal,
                                        .offset = (uint64_t)line_at(&m, at) << 32 | m.name};
}
