#include "java_direct.h"
#include "capture.h"
#include "java_names.h"
#include "ledger.h"
#include "lock.h"
#include "losses.h"
#include "modules.h"
#include "stacks.h"
#include "table.h"
#include "track.h"

#include <string.h>
#include <ucontext.h>

#define TAKERS_MAX     8u
#define CHAINS_MAX     16384u
#define FORGOTTEN_MAX  (CHAINS_MAX / 8) /* at a time */
#define NOTES_MAX      16384u
#define UNNAMED_MAX    64u /* of the notes that are looked at: each of the others is compared */
#define NATIVE_MAX     32u
#define JAVA_MAX       96u
#define CHAIN_HASH     0x64697265u
#define JNI_FOR_GETENV JNI_VERSION_1_6

/* What AsyncGetCallTrace fills in. */
struct call_frame {
    jint position;
    jmethodID method; /* NULL: it has no id */
};

struct call_trace {
    JNIEnv *env;
    jint count;
    struct call_frame *frames;
};

typedef void call_trace_fn(struct call_trace *trace, jint depth, void *context);

/* A stack as it was taken. What is below hh may be read when stack is 0 and by whoever names. */
struct chain {
    uint64_t key;
    uint32_t stack;       /* atomic; 0 = not named yet, or it could not be entered */
    uint32_t is_named;    /* release, after stack */
    uint32_t provisional; /* what its blocks have until then */
    uint32_t holders;     /* atomic, (lock) to add: calls that have it in hand */
    uint32_t notes;       /* (lock) that refer to it */
    bool is_direct;
    bool is_fresh; /* (lock) a block was taken with it since chains were last forgotten */
    bool oom;
    UT_hash_handle hh;
    struct chain *next; /* (lock) not named yet */
    uint32_t native_count;
    uint32_t java_count;
    struct bl_stack_frame *native; /* innermost first */
    struct call_frame *java;
};

/* A block that has a provisional stack, or is about to: it is noted before it is inserted. One that
 * is freed keeps its note, and another block with the same stack may get its address: of the notes
 * of an address only the latest counts. */
struct note {
    uint64_t address;
    struct chain *chain;
};

static JavaVM *machine;
static call_trace_fn *get_call_trace;
static uint8_t direct_class;
static void (*on_taken)(void);
static jmethodID takers[TAKERS_MAX];
static uint32_t taker_count;

static struct bl_lock lock = BL_LOCK_INIT; /* BL_RANK_JAVA: all below */
static struct chain *chains;
static struct chain *unnamed;
static struct note notes[NOTES_MAX]; /* a ring: the latest */
static uint32_t note_first;
static uint32_t note_count;

/* ---- taking a stack ---- */

struct taken {
    struct call_frame java[JAVA_MAX];
    struct bl_stack_frame native[NATIVE_MAX];
    uint32_t java_count;
    uint32_t native_count;
    uint32_t stack; /* of the native frames, as any block's */
};

/* False: no Java code has called us, as far as can be known. */
static bool take_java(struct taken *out, uint32_t depth)
{
    static ucontext_t none; /* the last Java frame is known without registers */
    void *env = NULL;
    if ((*machine)->GetEnv(machine, &env, JNI_FOR_GETENV) != JNI_OK || !env)
        return false;
    struct call_trace trace = {.env = env, .frames = out->java};
    get_call_trace(&trace, (jint)depth, &none);
    out->java_count = trace.count > 0 ? (uint32_t)trace.count : 0;
    return out->java_count > 0;
}

/* The frames up to the code that the machine has made. */
static void take_native(struct bl_thread_state *t, const struct bl_origin *o, uint32_t depth,
                        struct taken *out)
{
    struct bl_walk w;
    bl_capture_walk(t, o, bl_track_conf.depth_frames, &w);
    out->stack = bl_stacks_intern(t, &w, bl_track_conf.depth_frames);
    for (uint32_t i = 0; i < w.known + w.fresh && i < depth; i++) {
        bool exact;
        struct bl_location where = bl_modules_locate(bl_capture_pc(t, &w, i, &exact));
        if (where.module == 0)
            break;
        out->native[out->native_count++] = (struct bl_stack_frame){
            .module = where.module | (exact ? BL_FRAME_EXACT : 0u), .offset = where.offset};
    }
}

static bool is_taker(jmethodID method)
{
    for (uint32_t i = 0; i < taker_count; i++)
        if (takers[i] == method)
            return true;
    return false;
}

static uint64_t mix(uint64_t h, uint64_t value)
{
    h = (h ^ value) * 0xff51afd7ed558ccdu;
    return h ^ h >> 32;
}

static uint64_t key_of(const struct taken *taken)
{
    uint64_t h = mix(CHAIN_HASH, taken->native_count);
    for (uint32_t i = 0; i < taken->native_count; i++)
        h = mix(mix(h, taken->native[i].module), taken->native[i].offset);
    for (uint32_t i = 0; i < taken->java_count; i++)
        h = mix(mix(h, (uint64_t)(uintptr_t)taken->java[i].method),
                (uint64_t)taken->java[i].position);
    return h;
}

/* ---- chains ---- */

static void discard(struct chain *c)
{
    bl_arena_free(c->native, c->native_count * sizeof *c->native);
    bl_arena_free(c->java, c->java_count * sizeof *c->java);
    bl_arena_free(c, sizeof *c);
}

static struct chain *make(const struct taken *taken, uint64_t key, bool is_direct)
{
    struct chain *c = bl_arena_alloc(sizeof *c);
    if (!c)
        return NULL;
    size_t native_bytes = taken->native_count * sizeof *c->native;
    size_t java_bytes = taken->java_count * sizeof *c->java;
    *c = (struct chain){.key = key, .provisional = taken->stack, .is_direct = is_direct};
    c->native = native_bytes > 0 ? bl_arena_alloc(native_bytes) : NULL;
    c->java = bl_arena_alloc(java_bytes);
    if (!c->java || (native_bytes > 0 && !c->native)) {
        if (c->native)
            bl_arena_free(c->native, native_bytes);
        if (c->java)
            bl_arena_free(c->java, java_bytes);
        bl_arena_free(c, sizeof *c);
        return NULL;
    }
    c->native_count = taken->native_count;
    c->java_count = taken->java_count;
    if (native_bytes > 0)
        memcpy(c->native, taken->native, native_bytes);
    memcpy(c->java, taken->java, java_bytes);
    return c;
}

static bool is_named(const struct chain *c)
{
    return bl_load_acquire(&c->is_named);
}

static struct chain *hold_locked(struct chain *c)
{
    c->is_fresh = true;
    __atomic_fetch_add(&c->holders, 1, __ATOMIC_RELAXED);
    return c;
}

static void let_go(struct chain *c)
{
    __atomic_fetch_sub(&c->holders, 1, __ATOMIC_RELEASE);
}

static struct chain *find_locked(uint64_t key)
{
    struct chain *c = NULL;
    HASH_FIND(hh, chains, &key, sizeof key, c);
    return c ? hold_locked(c) : NULL;
}

static struct chain *find(uint64_t key)
{
    bl_lock_take(&lock);
    struct chain *c = find_locked(key);
    bl_lock_give(&lock);
    return c;
}

/* What is forgotten is known again when it comes: the same frames of the trie are found for it. */
static bool is_forgettable(const struct chain *c)
{
    return is_named(c) && c->notes == 0 && bl_load_acquire(&c->holders) == 0;
}

/* Oldest first, so that it is those that came long ago and have not come again. */
static uint32_t forget_some_locked(bool fresh_ones)
{
    uint32_t count = 0;
    struct chain *next;
    for (struct chain *c = chains; c && count < FORGOTTEN_MAX; c = next) {
        next = c->hh.next;
        bool is_kept = (c->is_fresh && !fresh_ones) || !is_forgettable(c);
        c->is_fresh = false;
        if (is_kept)
            continue;
        HASH_DEL(chains, c);
        discard(c);
        count++;
    }
    return count;
}

static bool has_room_locked(void)
{
    if (HASH_COUNT(chains) < CHAINS_MAX)
        return true;
    uint32_t count = forget_some_locked(false);
    if (count == 0)
        count = forget_some_locked(true);
    bl_add_relaxed(&bl_header->java_stacks_forgotten, count);
    return count > 0;
}

/* NULL: no memory, or too many that are not named yet. Else it is held. */
static struct chain *find_or_make(const struct taken *taken, bool is_direct)
{
    uint64_t key = key_of(taken);
    struct chain *known = find(key);
    if (known)
        return known;
    struct chain *c = make(taken, key, is_direct);
    if (!c)
        return NULL;
    bl_lock_take(&lock);
    known = find_locked(key);
    bool is_full = !known && !has_room_locked();
    if (!known && !is_full) {
        HASH_ADD(hh, chains, key, sizeof c->key, c);
        if (!c->oom) {
            hold_locked(c);
            c->next = unnamed;
            bl_store_relaxed(&unnamed, c);
        }
    }
    bool left_out = known || is_full || c->oom;
    bl_lock_give(&lock);
    if (left_out)
        discard(c);
    return left_out ? known : c;
}

/* ---- a block ---- */

BL_INLINE struct note *note_at(uint32_t i)
{
    return &notes[(note_first + i) % NOTES_MAX];
}

static void note_block(uint64_t address, struct chain *c)
{
    bl_lock_take(&lock);
    bool is_full = note_count == NOTES_MAX;
    if (is_full) {
        note_at(0)->chain->notes--;
        note_first = (note_first + 1) % NOTES_MAX;
    } else {
        bl_store_relaxed(&note_count, note_count + 1);
    }
    c->notes++;
    *note_at(note_count - 1) = (struct note){address, c};
    bl_lock_give(&lock);
    if (is_full) /* that block keeps its native frames, if it lives */
        bl_losses_add(BL_LOSS_stacks_dropped, 1);
}

/* A block has come that gets no note: those of its address are of blocks that were there before. */
BL_COLD static void void_notes(uint64_t address)
{
    bl_lock_take(&lock);
    for (uint32_t i = 0; i < note_count; i++)
        if (note_at(i)->address == address)
            note_at(i)->address = 0;
    bl_lock_give(&lock);
}

/* Its note may have been looked at before it was inserted. */
static void give_late(uint64_t address, const struct chain *c)
{
    uint32_t stack = is_named(c) ? bl_load_relaxed(&c->stack) : 0;
    if (!stack)
        return;
    bl_live_lock();
    bl_live_restack_locked(address, c->provisional, stack);
    bl_live_unlock();
}

/* The machine allocates nothing here, but other libraries' signal handlers may. */
static bool take(struct bl_thread_state *t, const struct bl_origin *o, struct taken *out)
{
    uint32_t depth = bl_track_conf.depth_frames;
    out->java_count = 0;
    out->native_count = 0;
    bl_guard_enter_internal();
    bool is_java = take_java(out, depth < JAVA_MAX ? depth : JAVA_MAX);
    bl_guard_leave_internal();
    if (is_java)
        take_native(t, o, depth < NATIVE_MAX ? depth : NATIVE_MAX, out);
    return is_java;
}

/* bl_track_large */
static bool record(struct bl_thread_state *t, const struct bl_origin *o, struct bl_buffer *b)
{
    struct taken taken;
    if (!take(t, o, &taken))
        return false;
    /* taken for Java by one of its own native methods, or by generated code that calls malloc */
    bool is_direct = taken.native_count == 0 || is_taker(taken.java[0].method);
    if (!is_direct && (bl_track_conf.sample_bytes > 1 || bl_tls.ignoring))
        return false; /* it is one of heap's like any other */
    if (is_direct)
        taken.native_count = 0;
    struct chain *c = find_or_make(&taken, is_direct);
    uint32_t stack = c ? bl_load_acquire(&c->stack) : 0;
    /* by which it is found again: the same Java frames may come by other code, when it was compiled
     */
    uint32_t provisional = c ? c->provisional : taken.stack;
    b->stack = stack ? stack : provisional;
    b->thread = t->number;
    if (is_direct)
        b->class_number = direct_class;
    if (c && !stack)
        note_block(b->address, c);
    else if (!c)
        void_notes(b->address);
    bl_live_insert(b);
    if (c && !stack)
        give_late(b->address, c);
    if (c)
        let_go(c);
    else
        bl_losses_add(BL_LOSS_stacks_dropped, 1);
    if (is_direct)
        on_taken();
    return true;
}

/* ---- names ---- */

static uint32_t enter(jvmtiEnv *vm, JNIEnv *env, const struct chain *c)
{
    struct bl_stack_frame frames[NATIVE_MAX + JAVA_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->native_count; i++)
        frames[count++] = c->native[i];
    for (uint32_t i = 0; i < c->java_count && count < bl_track_conf.depth_frames; i++) {
        struct bl_java_place place;
        bl_java_names_locate(vm, env, c->java[i].method, c->java[i].position, &place);
        if (!place.is_hidden)
            frames[count++] = (struct bl_stack_frame){place.module, place.offset};
    }
    return count > 0 ? bl_stacks_enter(frames, count) : 0;
}

static struct chain *take_unnamed(void)
{
    bl_lock_take(&lock);
    struct chain *list = unnamed;
    bl_store_relaxed(&unnamed, NULL);
    bl_lock_give(&lock);
    return list;
}

static uint32_t count_unnamed_locked(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < note_count && count <= UNNAMED_MAX; i++)
        count += !is_named(note_at(i)->chain);
    return count;
}

static bool is_kept_locked(uint64_t address, uint32_t from)
{
    for (uint32_t i = from; i < note_count; i++)
        if (note_at(i)->address == address)
            return true;
    return false;
}

/* The latest first: what it has given its stack is no longer what an older note takes it for. Notes
 * whose chain came after the names were given stay, at the end of the ring. */
static void give_stacks_locked(void)
{
    uint32_t kept = note_count;
    for (uint32_t i = note_count; i-- > 0;) {
        struct note n = *note_at(i);
        uint32_t stack = bl_load_relaxed(&n.chain->stack);
        if (!is_named(n.chain)) {
            *note_at(--kept) = n;
            continue;
        }
        n.chain->notes--;
        if (stack && !is_kept_locked(n.address, kept))
            bl_live_restack_locked(n.address, n.chain->provisional, stack);
    }
    note_first = (note_first + kept) % NOTES_MAX;
    bl_store_relaxed(&note_count, note_count - kept);
}

/* Chains that have got no stack, for want of memory, stay in the table with their provisional one.
 */
static void give_stacks(void)
{
    if (bl_load_relaxed(&note_count) == 0)
        return;
    bl_live_lock();
    bl_lock_take(&lock);
    if (count_unnamed_locked() <= UNNAMED_MAX) /* else the next time */
        give_stacks_locked();
    bl_lock_give(&lock);
    bl_live_unlock();
}

void bl_java_direct_name(jvmtiEnv *vm, JNIEnv *env)
{
    struct chain *next;
    for (struct chain *c = take_unnamed(); c; c = next) {
        next = c->next;
        bl_store_release(&c->stack, enter(vm, env, c));
        bl_store_release(&c->is_named, 1);
    }
    give_stacks();
}

bool bl_java_direct_is_waiting(void)
{
    return bl_load_relaxed(&unnamed) != NULL || bl_load_relaxed(&note_count) > 0;
}

/* ---- start and end ---- */

void bl_java_direct_add_taker(jmethodID method)
{
    if (taker_count < TAKERS_MAX)
        takers[taker_count++] = method;
}

bool bl_java_direct_start(JavaVM *the_machine, void *call_trace, uint8_t class_number,
                          void (*taken)(void))
{
    if (!call_trace)
        return false;
    memcpy(&get_call_trace, &call_trace, sizeof get_call_trace);
    machine = the_machine;
    direct_class = class_number;
    on_taken = taken;
    bl_track_large = record;
    bl_store_release(&bl_track_large_bytes, (size_t)bl_track_conf.java_blocks);
    return true;
}

void bl_java_direct_stop(void)
{
    bl_store_release(&bl_track_large_bytes, SIZE_MAX);
}

void bl_java_direct_see_stacks(void (*see)(uint32_t stack))
{
    bl_lock_take(&lock);
    for (const struct chain *c = chains; c; c = c->hh.next) {
        see(bl_load_relaxed(&c->stack));
        see(c->provisional);
    }
    bl_lock_give(&lock);
}
