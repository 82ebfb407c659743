#include "java_stack.h"
#include "arena.h"
#include "java_assembly.h"
#include "java_chain.h"
#include "java_code.h"
#include "java_names.h"
#include "ledger.h"
#include "losses.h"
#include "modules.h"
#include "stacks.h"
#include "track.h"

#include <string.h>

#define SETS          (1u << 15)
#define APART_FIRST   1024u      /* recognised stacks from a thread's first check to its next */
#define INTERNAL_BIT  (1u << 31) /* frame numbers are below 2^26 */
#define HIDDEN_FRAMES 32u        /* asked for beyond the depth: some are left out */
#define TRACE_SEED    0x9e3779b97f4a7c15u /* an arbitrary number without pattern */
/* Not in the headers of older JDKs. */
#define JNI_VERSION_WITH_VIRTUAL 0x00150000
#define JNI_IS_VIRTUAL_THREAD    234

/* Two ways a set. The upper half of word repeats the hash's, so that a half-written entry does not
 * match. */
struct kept {
    uint64_t hash;  /* relaxed atomics, all */
    uint64_t word;  /* bits 0-31 stack and INTERNAL_BIT, 32-63 check */
    uint64_t trace; /* hash of the VM's own walk that it was kept for */
    uint64_t unused;
};

/* Values of walks of the VM's, by their hash: those stay what they are when code goes. The same way
 * of writing. */
struct named {
    uint64_t trace;
    uint64_t word;
};

static jvmtiEnv *vm; /* NULL: not to be asked */
static struct kept (*memo)[2];
static struct named *names;
static uint32_t check_every; /* at least */

bool bl_java_stack_start(jvmtiEnv *the_vm, uint32_t every)
{
    memo = every > 0 ? bl_arena_map(SETS * sizeof *memo) : NULL;
    names = bl_arena_map(SETS * sizeof *names);
    check_every = every;
    bl_store_release(&vm, the_vm);
    return every == 0 || memo;
}

void bl_java_stack_stop(void)
{
    bl_store_release(&vm, NULL);
}

void bl_java_stack_forget(void)
{
    bl_java_chain_forget();
}

/* ---- the memo ---- */

static uint32_t find(uint64_t hash, uint64_t *ret_trace)
{
    const struct kept *set = memo[hash & (SETS - 1)];
    for (unsigned way = 0; way < 2; way++) {
        if (bl_load_relaxed(&set[way].hash) != hash)
            continue;
        uint64_t word = bl_load_relaxed(&set[way].word);
        if (word >> 32 != hash >> 32)
            continue;
        *ret_trace = bl_load_relaxed(&set[way].trace);
        return (uint32_t)word;
    }
    return 0;
}

/* Threads do the same over and over: what followed this one the last time is asked for, and is in
 * the cache by the time it is looked for. */
BL_INLINE uint32_t met(struct bl_thread_state *t, const struct bl_java_known *known)
{
    uint32_t place = (uint32_t)(known - t->java_known);
    t->java_known[t->java_met].next = place;
    t->java_met = place;
    __builtin_prefetch(&t->java_known[known->next]);
    return known->value;
}

/* The same, first among what the thread met last: that stays in its cache. Two at a place, the
 * later one first. */
BL_INLINE uint32_t find_known(struct bl_thread_state *t, uint64_t hash)
{
    const struct bl_java_known *next = &t->java_known[t->java_known[t->java_met].next];
    if (BL_LIKELY(next->hash == hash))
        return met(t, next);
    struct bl_java_known *known = &t->java_known[hash >> 24 & (BL_JAVA_MEMO - 2)];
    uint64_t trace;
    if (known[0].hash == hash)
        return met(t, &known[0]);
    if (known[1].hash == hash)
        return met(t, &known[1]);
    uint32_t value = find(hash, &trace);
    if (value) {
        known[1] = known[0];
        known[0] = (struct bl_java_known){.hash = hash, .value = value};
        met(t, &known[0]);
    }
    return value;
}

static void keep(uint64_t hash, uint32_t value, uint64_t trace)
{
    struct kept *set = memo[hash & (SETS - 1)];
    struct kept *way = &set[hash >> 20 & 1];
    for (unsigned i = 0; i < 2; i++)
        if (bl_load_relaxed(&set[i].hash) == hash)
            way = &set[i];
    bl_store_relaxed(&way->word, 0);
    bl_store_relaxed(&way->hash, hash);
    bl_store_relaxed(&way->trace, trace);
    bl_store_relaxed(&way->word, (hash >> 32 << 32) | value);
}

static uint32_t find_named(uint64_t trace)
{
    const struct named *n = names ? &names[trace >> 8 & (SETS - 1)] : NULL;
    if (!n || bl_load_relaxed(&n->trace) != trace)
        return 0;
    uint64_t word = bl_load_relaxed(&n->word);
    return word >> 32 == trace >> 32 ? (uint32_t)word : 0;
}

static void keep_named(uint64_t trace, uint32_t value)
{
    struct named *n = names ? &names[trace >> 8 & (SETS - 1)] : NULL;
    if (!n || !value)
        return;
    bl_store_relaxed(&n->word, 0);
    bl_store_relaxed(&n->trace, trace);
    bl_store_relaxed(&n->word, (trace >> 32 << 32) | value);
}

/* Does the chain tell all there is to know about the Java frames? It does not where the VM keeps
 * them in structures of its own (Zero), and makes no code that could be met. Walks the same stack
 * exactly: by frame pointers in the VM's code, by unwind tables elsewhere. Each of the VM's frames
 * must be met by the chain as well, with the address it goes on at. */
static bool is_told_by_chain(const struct bl_thread_state *t, const uint64_t *frame)
{
    struct bl_origin at = {.pc = frame[1], .sp = (uint64_t)(uintptr_t)frame + 16, .rbp = frame[0]};
    uint32_t limit = bl_java_chain_limit();
    uint32_t seen = 0;
    uint32_t java = 0;
    while (java < bl_track_conf.depth_frames) {
        enum bl_java_code kind = bl_java_code_of(at.pc);
        if (kind == BL_JAVA_CODE_NONE) {
            enum bl_step step = bl_capture_step(&at, t->stack_high);
            if (step != BL_STEP_ON)
                return step == BL_STEP_ROOT && java > 0; /* none: a VM that has no code */
            continue;
        }
        while (frame && frame[0] < at.rbp && seen < limit) {
            frame = bl_java_chain_outer(t, frame);
            seen++;
        }
        if (!frame || seen >= limit || frame[0] != at.rbp || frame[1] != at.pc)
            return false;
        frame = bl_java_chain_outer(t, frame);
        seen++;
        if (!frame)
            return false;
        at = (struct bl_origin){
            .pc = frame[1], .sp = (uint64_t)(uintptr_t)frame + 16, .rbp = frame[0]};
        java += kind != BL_JAVA_CODE_STUB;
    }
    return true;
}

/* ---- the VM's own walk ---- */

static bool is_virtual(JNIEnv *env)
{
    jthread thread = NULL;
    if ((*env)->GetVersion(env) < JNI_VERSION_WITH_VIRTUAL)
        return false;
    if ((*vm)->GetCurrentThread(vm, &thread) != JVMTI_ERROR_NONE || !thread)
        return true;
    jboolean (*is_virtual_thread)(JNIEnv *, jobject) = NULL;
    memcpy(&is_virtual_thread, (const char *)*env + JNI_IS_VIRTUAL_THREAD * sizeof(void *),
           sizeof is_virtual_thread);
    bool yes = is_virtual_thread(env, thread);
    (*env)->DeleteLocalRef(env, thread);
    return yes;
}

/* The frames stand in the thread's scratch, which nothing else uses meanwhile: the guard is set.
 * Returns their number, and their hash, which is never 0. */
static jint trace(struct bl_thread_state *t, uint64_t *ret_hash)
{
    jvmtiFrameInfo *frames = (void *)t->scratch;
    jint most = (jint)(bl_track_conf.depth_frames + HIDDEN_FRAMES);
    jint count = 0;
    uint64_t h = bl_java_chain_mix(
        TRACE_SEED, bl_load_relaxed(&bl_modules_epoch)); /* as of the stacks it leads to */
    if ((*vm)->GetStackTrace(vm, NULL, 1, most, frames, &count) != JVMTI_ERROR_NONE)
        count = 0;
    for (jint i = 0; i < count; i++)
        h = bl_java_chain_mix(bl_java_chain_mix(h, (uint64_t)(uintptr_t)frames[i].method),
                              (uint64_t)frames[i].location);
    *ret_hash = h | 1;
    return count;
}

/* The same, named. Returns a value of the memo, 0 = none. */
static uint32_t enter(struct bl_thread_state *t, JNIEnv *env, jint count)
{
    static_assert(sizeof t->scratch / 2 >=
                          (BL_DEPTH_MAX + HIDDEN_FRAMES) * sizeof(jvmtiFrameInfo) &&
                      sizeof t->scratch / 2 >= BL_DEPTH_MAX * sizeof(struct bl_stack_frame),
                  "both fit");
    jvmtiFrameInfo *frames = (void *)t->scratch;
    struct bl_stack_frame *named = (void *)&t->scratch[BL_FRAMES_MAX / 2];
    uint32_t depth = bl_track_conf.depth_frames;
    uint32_t n = 0;
    bool is_internal = false;
    for (jint i = 0; i < count; i++) {
        struct bl_java_place place;
        bl_java_names_locate(vm, env, frames[i].method, frames[i].location, &place);
        is_internal |= place.is_internal;
        if (place.is_hidden)
            continue;
        if (n == depth) {
            named[n - 1].module |= BL_FRAME_TRUNCATED;
            bl_losses_add(BL_LOSS_stacks_truncated, 1);
            break;
        }
        named[n++] = (struct bl_stack_frame){.module = place.module, .offset = place.offset};
    }
    uint32_t stack = n > 0 ? bl_stacks_enter(named, n) : 0;
    return stack ? stack | (is_internal ? INTERNAL_BIT : 0) : 0;
}

static uint32_t name(struct bl_thread_state *t, JNIEnv *env, jint count, uint64_t found)
{
    uint32_t value = count > 0 ? find_named(found) : 0;
    if (!value) {
        value = enter(t, env, count);
        keep_named(found, value);
    }
    return value;
}

static uint32_t walk(struct bl_thread_state *t, JNIEnv *env, const uint64_t *frame, uint64_t hash)
{
    struct bl_java_counts *counts = &bl_header->java;
    uint64_t found;
    jint count = trace(t, &found);
    uint32_t value = name(t, env, count, found);
    bl_add_relaxed(&counts->walks, 1);
    if (!value) {
        bl_losses_add(BL_LOSS_stacks_dropped, 1);
        return 0;
    }
    if (!memo || !t->stack_high || !is_told_by_chain(t, frame) || is_virtual(env))
        bl_add_relaxed(&counts->unkept, 1);
    else if (!bl_java_assembly_look(t, env, (void *)t->scratch, count, frame,
                                    value & ~INTERNAL_BIT))
        keep(hash, value, found);
    return value;
}

/* A walk costs as much as some hundred stacks that are recognised: a thread whose checks were right
 * is checked ever more seldom. */
static uint32_t farther_apart(uint32_t apart)
{
    uint32_t next = apart ? apart * 2 : APART_FIRST;
    return next < check_every ? next : check_every;
}

/* A stack that was recognised is compared with the VM's own: method by method and position by
 * position with the walk it was kept for, and if that was another one, as they are named. */
static uint32_t check(struct bl_thread_state *t, JNIEnv *env, uint32_t known, uint64_t hash)
{
    struct bl_java_counts *counts = &bl_header->java;
    uint64_t kept_for = 0;
    uint64_t found;
    find(hash, &kept_for);
    jint count = trace(t, &found);
    bl_add_relaxed(&counts->checked, 1);
    t->java_apart = farther_apart(t->java_apart);
    if (count > 0 && found == kept_for)
        return known;
    uint32_t value = name(t, env, count, found);
    if (!value || value == known)
        return known;
    bl_add_relaxed(&counts->wrong, 1);
    t->java_apart = 0;
    bl_java_stack_forget();
    return value;
}

struct bl_java_stack bl_java_stack_take(struct bl_thread_state *t, JNIEnv *env, const void *frame)
{
    uint64_t hash = 0;
    uint32_t value = 0;
    if (!bl_load_acquire(&vm))
        return (struct bl_java_stack){0};
    if (BL_LIKELY(memo && t->stack_high)) {
        hash = bl_java_chain_hash(t, frame);
        value = find_known(t, hash);
    }
    if (BL_UNLIKELY(!value || ++t->java_hits >= t->java_apart)) {
        bl_guard_enter_internal();
        if (value)
            t->java_hits = 0;
        value = value ? check(t, env, value, hash) : walk(t, env, frame, hash);
        bl_guard_leave_internal();
    }
    return (struct bl_java_stack){.stack = value & ~INTERNAL_BIT,
                                  .is_internal = (value & INTERNAL_BIT) != 0};
}
