#include "java_stack.h"
#include "arena.h"
#include "java_code.h"
#include "java_names.h"
#include "ledger.h"
#include "losses.h"
#include "modules.h"
#include "stacks.h"
#include "track.h"

#include <string.h>

#define SETS          (1u << 15)
#define INTERNAL_BIT  (1u << 31) /* frame numbers are below 2^26 */
#define HIDDEN_FRAMES 32u        /* asked for beyond the depth: some are left out */
#define NATIVE_FRAMES 96u        /* of the VM and others, between Java's */
/* Where an interpreted frame keeps what it executes, in words from its base: the method, then the
 * position and the variables (in the opposite order before JDK 9). */
#define WORD_METHOD    (-3)
#define WORD_VARIABLES (-7)
#define WORD_POSITION  (-8)
/* Not in the headers of older JDKs. */
#define JNI_VERSION_WITH_VIRTUAL 0x00150000
#define JNI_IS_VIRTUAL_THREAD    234

/* Two ways a set. The upper half of word repeats the hash's, so that a half-written entry does not
 * match. */
struct kept {
    uint64_t hash; /* relaxed atomics, both */
    uint64_t word; /* bits 0-31 stack and INTERNAL_BIT, 32-63 check */
};

static jvmtiEnv *vm; /* NULL: not to be asked */
static struct kept (*memo)[2];
static uint32_t epoch; /* relaxed atomic */
static uint32_t check_every;

bool bl_java_stack_start(jvmtiEnv *the_vm, uint32_t every)
{
    memo = every > 0 ? bl_arena_map(SETS * sizeof *memo) : NULL;
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
    bl_add_relaxed(&epoch, 1);
}

/* ---- the memo ---- */

static uint32_t find(uint64_t hash)
{
    const struct kept *set = memo[hash & (SETS - 1)];
    for (unsigned way = 0; way < 2; way++) {
        if (bl_load_relaxed(&set[way].hash) != hash)
            continue;
        uint64_t word = bl_load_relaxed(&set[way].word);
        if (word >> 32 == hash >> 32)
            return (uint32_t)word;
    }
    return 0;
}

static void keep(uint64_t hash, uint32_t value)
{
    struct kept *set = memo[hash & (SETS - 1)];
    struct kept *way = &set[hash >> 20 & 1];
    for (unsigned i = 0; i < 2; i++)
        if (bl_load_relaxed(&set[i].hash) == hash)
            way = &set[i];
    bl_store_relaxed(&way->word, 0);
    bl_store_relaxed(&way->hash, hash);
    bl_store_relaxed(&way->word, (hash >> 32 << 32) | value);
}

/* ---- the chain of frame pointers ---- */

/* frame[0] is the caller's frame, frame[1] where it goes on. */
BL_INLINE const uint64_t *outer_of(const struct bl_thread_state *t, const uint64_t *frame)
{
    uint64_t outer = frame[0];
    if (outer <= (uint64_t)(uintptr_t)frame || outer > t->stack_high - 16 || outer % 8 != 0)
        return NULL;
    return (const uint64_t *)(uintptr_t)outer; // NOLINT(performance-no-int-to-ptr)
}

static uint32_t chain_limit(void)
{
    return bl_track_conf.depth_frames + NATIVE_FRAMES;
}

BL_INLINE uint64_t mix(uint64_t h, uint64_t value)
{
    h = (h ^ value) * 0xff51afd7ed558ccdu;
    return h ^ h >> 32;
}

static uint64_t hash_chain(const struct bl_thread_state *t, const uint64_t *frame)
{
    uint32_t limit = chain_limit();
    uint64_t start = bl_load_relaxed(&bl_java_interpreter_start);
    uint64_t length = bl_load_relaxed(&bl_java_interpreter_end) - start;
    uint64_t h = mix(mix(0x6a617661u, bl_load_relaxed(&epoch)), bl_load_relaxed(&bl_modules_epoch));
    for (uint32_t i = 0; frame && i < limit; i++) {
        const uint64_t *outer = outer_of(t, frame);
        h = mix(h, frame[1]);
        if (frame[1] - start < length && outer) {
            h = mix(h, outer[WORD_METHOD]);
            h = mix(h, outer[WORD_VARIABLES]);
            h = mix(h, outer[WORD_POSITION]);
        }
        frame = outer;
    }
    return mix(h, h >> 7);
}

/* Does the chain tell all there is to know about the Java frames? It does not where the VM keeps
 * them in structures of its own (Zero), and makes no code that could be met. Walks the same stack
 * exactly: by frame pointers in the VM's code, by unwind tables elsewhere. Each of the VM's frames
 * must be met by the chain as well, with the address it goes on at. */
static bool is_told_by_chain(const struct bl_thread_state *t, const uint64_t *frame)
{
    struct bl_origin at = {.pc = frame[1], .sp = (uint64_t)(uintptr_t)frame + 16, .rbp = frame[0]};
    uint32_t limit = chain_limit();
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
            frame = outer_of(t, frame);
            seen++;
        }
        if (!frame || seen >= limit || frame[0] != at.rbp || frame[1] != at.pc)
            return false;
        frame = outer_of(t, frame);
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

/* Returns a value of the memo, 0 = none. The frames stand in the thread's scratch, which nothing
 * else uses meanwhile: the guard is set. */
static uint32_t ask(struct bl_thread_state *t, JNIEnv *env)
{
    static_assert(sizeof t->scratch / 2 >=
                          (BL_DEPTH_MAX + HIDDEN_FRAMES) * sizeof(jvmtiFrameInfo) &&
                      sizeof t->scratch / 2 >= BL_DEPTH_MAX * sizeof(struct bl_stack_frame),
                  "both fit");
    jvmtiFrameInfo *frames = (void *)t->scratch;
    struct bl_stack_frame *named = (void *)&t->scratch[BL_FRAMES_MAX / 2];
    uint32_t depth = bl_track_conf.depth_frames;
    uint32_t n = 0;
    jint count = 0;
    bool is_internal = false;
    if ((*vm)->GetStackTrace(vm, NULL, 1, (jint)(depth + HIDDEN_FRAMES), frames, &count) !=
        JVMTI_ERROR_NONE)
        return 0;
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

static uint32_t walk(struct bl_thread_state *t, JNIEnv *env, const uint64_t *frame, uint64_t hash)
{
    struct bl_java_counts *counts = &bl_header->java;
    uint32_t value = ask(t, env);
    bl_add_relaxed(&counts->walks, 1);
    if (!value) {
        bl_losses_add(BL_LOSS_stacks_dropped, 1);
        return 0;
    }
    if (memo && t->stack_high && is_told_by_chain(t, frame) && !is_virtual(env))
        keep(hash, value);
    else
        bl_add_relaxed(&counts->unkept, 1);
    return value;
}

/* A stack that was recognised is compared with the VM's own. */
static uint32_t check(struct bl_thread_state *t, JNIEnv *env, uint32_t known)
{
    struct bl_java_counts *counts = &bl_header->java;
    uint32_t value = ask(t, env);
    bl_add_relaxed(&counts->checked, 1);
    if (!value || value == known)
        return known;
    bl_add_relaxed(&counts->wrong, 1);
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
        hash = hash_chain(t, frame);
        value = find(hash);
    }
    if (BL_UNLIKELY(!value || ++t->java_hits >= check_every)) {
        bl_guard_enter_internal();
        if (value)
            t->java_hits = 0;
        value = value ? check(t, env, value) : walk(t, env, frame, hash);
        bl_guard_leave_internal();
    }
    return (struct bl_java_stack){.stack = value & ~INTERNAL_BIT,
                                  .is_internal = (value & INTERNAL_BIT) != 0};
}
