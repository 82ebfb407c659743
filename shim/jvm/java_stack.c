#include "java_stack.h"
#include "arena.h"
#include "java_assembly.h"
#include "java_code.h"
#include "java_names.h"
#include "ledger.h"
#include "losses.h"
#include "modules.h"
#include "stacks.h"
#include "track.h"

#include <emmintrin.h>
#include <string.h>

#define SETS          (1u << 15)
#define APART_FIRST   1024u      /* recognised stacks from a thread's first check to its next */
#define INTERNAL_BIT  (1u << 31) /* frame numbers are below 2^26 */
#define HIDDEN_FRAMES 32u        /* asked for beyond the depth: some are left out */
#define NATIVE_FRAMES 96u        /* of the VM and others, between Java's */
#define AT_ONCE       16u        /* frames that are compared together */
static_assert(BL_JAVA_FRAMES % AT_ONCE == 0, "there are so many, of whatever thread's stack");
/* Where an interpreted frame keeps what it executes, in words from its base: the method, then the
 * position and the variables (in the opposite order before JDK 9). */
#define WORD_METHOD    (-3)
#define WORD_VARIABLES (-7)
#define WORD_POSITION  (-8)
/* Arbitrary numbers without pattern. */
#define CHAIN_SEED 0x6a617661c3a5c85bu
#define DEEP_SEED  0xd6e8feb86659fd93u
#define TRACE_SEED 0x9e3779b97f4a7c15u
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
static uint32_t epoch;       /* relaxed atomic */
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
    bl_add_relaxed(&epoch, 1);
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
    struct bl_java_known *known = &t->java_known[hash >> 24 & (BL_JAVA_MEMO - 2)];
    uint64_t trace;
    if (BL_LIKELY(known[0].hash == hash))
        return met(t, &known[0]);
    if (BL_LIKELY(known[1].hash == hash))
        return met(t, &known[1]);
    uint32_t value = find(hash, &trace);
    if (value) {
        known[1] = known[0];
        known[0] = (struct bl_java_known){.hash = hash, .value = value};
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

/* Of a chain the hash is all that is compared. A value is scrambled, every bit into the upper half
 * and that into the lower, and enters with a factor of its position: sum of s(value) * odd^n. The
 * values of several frames are scrambled side by side, and wait for one another only for a sum and
 * a product. */
BL_INLINE uint64_t mix_well(uint64_t h, uint64_t value)
{
    value *= 0xff51afd7ed558ccdu;
    return (h + (value ^ value >> 32)) * 0x9fb21c651e98df25u;
}

BL_INLINE uint64_t epochs_now(void)
{
    return (uint64_t)bl_load_relaxed(&epoch) << 32 | bl_load_relaxed(&bl_modules_epoch);
}

/* What hashes depend on besides the chain. When the interpreter is made known, another epoch
 * begins. */
static uint64_t seed_of(uint64_t start, uint64_t length)
{
    return mix(mix(mix(CHAIN_SEED, epochs_now()), start), length);
}

/* The frame's caller is interpreted: outer is its base. */
BL_INLINE uint64_t mix_interpreted(uint64_t h, const uint64_t *outer)
{
    return mix_well(mix_well(mix_well(h, outer[WORD_METHOD]), outer[WORD_VARIABLES]),
                    outer[WORD_POSITION]);
}

BL_INLINE bl_pair read_frame(const uint64_t *at)
{
    return *(const bl_pair_there *)at;
}

static_assert(WORD_VARIABLES == WORD_POSITION + 1 &&
                  offsetof(struct bl_java_interpreted, variables) ==
                      offsetof(struct bl_java_interpreted, position) + 8,
              "one pair, here and there");

BL_INLINE bool is_moved(const struct bl_java_interpreted *i)
{
    bl_pair change = read_frame(&i->base[WORD_POSITION]) ^ read_frame(&i->position);
    return change[0] | change[1] | (i->base[WORD_METHOD] ^ i->method);
}

/* Of `count` frames that hold what they held, so many return to what they returned to. */
BL_INLINE uint32_t count_unmoved(const struct bl_thread_state *t, uint32_t count)
{
    uint32_t interpreted = t->java_interpreted_count;
    bl_pair change = {0};
    uint64_t change_of_methods = 0;
    while (interpreted > 0 && t->java_interpreted[interpreted - 1].frame >= count)
        interpreted--;
    for (uint32_t i = 0; i < interpreted; i++) {
        const struct bl_java_interpreted *at = &t->java_interpreted[i];
        change |= read_frame(&at->base[WORD_POSITION]) ^ read_frame(&at->position);
        change_of_methods |= at->base[WORD_METHOD] ^ at->method;
    }
    if (BL_LIKELY(!(change[0] | change[1] | change_of_methods)))
        return count;
    for (uint32_t i = 0; i < interpreted; i++)
        if (is_moved(&t->java_interpreted[i]))
            return t->java_interpreted[i].frame;
    return count;
}

/* Does a frame hold what it held: four times 32 bits, set or not. Of one that is not on the stack
 * any more, whose memory may be anything, the innermost one is read. */
BL_INLINE __m128i alike_of(const struct bl_java_frame *f, const uint64_t *innermost)
{
    const uint64_t *at = f->at < innermost ? innermost : f->at;
    return _mm_cmpeq_epi32((__m128i)read_frame(at), (__m128i)f->held);
}

/* The same of four, four bits each. */
BL_INLINE uint32_t alike_of_four(const struct bl_java_frame *f, const uint64_t *innermost)
{
    __m128i first = _mm_packs_epi32(alike_of(f, innermost), alike_of(f + 1, innermost));
    __m128i second = _mm_packs_epi32(alike_of(f + 2, innermost), alike_of(f + 3, innermost));
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(first, second));
}

/* How many of sixteen frames, outermost first, hold what they held. Where among them the first is
 * that does not is no branch: that cannot be foreseen. */
BL_INLINE uint32_t count_alike(const struct bl_java_frame *f, const uint64_t *innermost)
{
    uint64_t outer = alike_of_four(f, innermost) | alike_of_four(f + 4, innermost) << 16;
    uint64_t inner = alike_of_four(f + 8, innermost) | alike_of_four(f + 12, innermost) << 16;
    uint64_t unlike = ~(outer | inner << 32);
    return unlike ? (uint32_t)__builtin_ctzll(unlike) / 4 : AT_ONCE;
}

/* Do all sixteen, which are on the stack? Half as much work. */
BL_INLINE bool are_alike(const struct bl_java_frame *f)
{
    bl_pair change = {0};
    bl_pair other = {0};
    for (unsigned i = 0; i < AT_ONCE; i += 2) {
        change |= read_frame(f[i].at) ^ f[i].held;
        other |= read_frame(f[i + 1].at) ^ f[i + 1].held;
    }
    __m128i same = _mm_cmpeq_epi32((__m128i)(change | other), _mm_setzero_si128());
    return _mm_movemask_epi8(same) == 0xffff;
}

/* How many frames of the latest chain, outermost first, are as they were: what they hold is looked
 * at, all of it. The memory above the innermost frame is the thread's stack. The outer frames of a
 * stack are mostly all there yet, and its depth is about the same each time: the branches can be
 * foreseen. */
BL_INLINE uint32_t count_standing(const struct bl_thread_state *t, const uint64_t *innermost)
{
    const struct bl_java_frame *f = t->java_frames;
    uint32_t limit = t->java_frame_count;
    uint32_t count = 0;
    while (count + AT_ONCE < limit && f[count + AT_ONCE - 1].at >= innermost &&
           are_alike(&f[count]))
        count += AT_ONCE;
    count += count_alike(&f[count], innermost);
    count = count < limit ? count : limit;
    while (count > 0 && f[count - 1].at < innermost)
        count--;
    return count_unmoved(t, count);
}

/* Of more frames than are kept, the innermost ones, as far as the walk that is kept may go. */
BL_COLD static uint64_t hash_deep(const struct bl_thread_state *t, const uint64_t *frame,
                                  uint64_t start, uint64_t length)
{
    uint64_t h = mix(seed_of(start, length), DEEP_SEED);
    for (uint32_t i = 0; frame && i < chain_limit(); i++) {
        const uint64_t *outer = outer_of(t, frame);
        h = mix_well(h, frame[1]);
        if (frame[1] - start < length && outer)
            h = mix_interpreted(h, outer);
        frame = outer;
    }
    return h;
}

/* Keeps frames, innermost first in fresh, as the next inner ones. Returns the hash of all. */
BL_INLINE uint64_t add_frames(struct bl_thread_state *t, const uint64_t *const *fresh,
                              uint32_t fresh_count, uint64_t h, uint64_t start, uint64_t length)
{
    struct bl_java_frame *next = &t->java_frames[t->java_frame_count];
    t->java_frame_count += fresh_count;
    for (; fresh_count > 0; next++) {
        const uint64_t *at = fresh[--fresh_count];
        bl_pair held = read_frame(at);
        h = mix_well(h, held[1]);
        const uint64_t *outer = held[1] - start < length ? outer_of(t, at) : NULL;
        if (outer) {
            t->java_interpreted[t->java_interpreted_count++] = (struct bl_java_interpreted){
                (uint32_t)(next - t->java_frames), outer, outer[WORD_METHOD], outer[WORD_POSITION],
                outer[WORD_VARIABLES]};
            h = mix_interpreted(h, outer);
        }
        *next = (struct bl_java_frame){held, at, h};
    }
    return h;
}

#define TOO_MANY UINT32_MAX

/* Follows the chain until it meets a frame that stands. The frames before that go to fresh,
 * innermost first; returns their number. ret_kept: so many stand, and are what is farther out. */
BL_INLINE uint32_t collect_fresh(struct bl_thread_state *t, const uint64_t *frame,
                                 const uint64_t **fresh, uint32_t *ret_kept)
{
    uint64_t highest = t->stack_high - 16; /* of a frame */
    uint32_t kept = count_standing(t, frame);
    uint32_t count = 0;
    uint64_t at = (uint64_t)(uintptr_t)frame;
    for (;; kept--) {
        uint64_t aim = kept > 0 ? (uint64_t)(uintptr_t)t->java_frames[kept - 1].at : UINT64_MAX;
        while (at < aim) {
            if (BL_UNLIKELY(count == BL_JAVA_FRAMES))
                return TOO_MANY;
            fresh[count] = (const uint64_t *)(uintptr_t)at; // NOLINT(performance-no-int-to-ptr)
            uint64_t outer = *fresh[count++]; /* as outer_of: farther out, but not too far */
            if (BL_UNLIKELY(outer <= at || outer > highest || outer % 8 != 0)) {
                *ret_kept = 0; /* what is farther out is of another chain */
                return count;
            }
            at = outer;
        }
        if (BL_LIKELY(at == aim))
            break;
    }
    *ret_kept = kept;
    return count;
}

/* Most frames are those of the thread's event before: their chain is not followed again, and its
 * hash is known. */
static uint64_t hash_chain(struct bl_thread_state *t, const uint64_t *frame)
{
    uint64_t start = bl_load_relaxed(&bl_java_interpreter_start);
    uint64_t length = bl_load_relaxed(&bl_java_interpreter_end) - start;
    const uint64_t **fresh = (void *)t->scratch;
    uint64_t above_low = (uint64_t)(uintptr_t)frame - t->stack_low;
    uint64_t highest = t->stack_high - 16;               /* of a frame */
    if (BL_UNLIKELY(above_low > highest - t->stack_low)) /* what is kept must be mapped */
        return hash_deep(t, frame, start, length);
    uint64_t epochs = epochs_now();
    if (BL_UNLIKELY(t->java_epochs != epochs || t->java_seed == 0)) {
        t->java_epochs = epochs;
        t->java_seed = seed_of(start, length) | 1;
        t->java_frame_count = 0;
    }
    uint32_t kept;
    uint32_t fresh_count = collect_fresh(t, frame, fresh, &kept);
    if (BL_UNLIKELY(fresh_count == TOO_MANY || kept + fresh_count > BL_JAVA_FRAMES))
        return hash_deep(t, frame, start, length);
    while (t->java_interpreted_count > 0 &&
           t->java_interpreted[t->java_interpreted_count - 1].frame >= kept)
        t->java_interpreted_count--;
    t->java_frame_count = kept;
    return add_frames(t, fresh, fresh_count,
                      kept > 0 ? t->java_frames[kept - 1].hash : t->java_seed, start, length);
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

/* The frames stand in the thread's scratch, which nothing else uses meanwhile: the guard is set.
 * Returns their number, and their hash, which is never 0. */
static jint trace(struct bl_thread_state *t, uint64_t *ret_hash)
{
    jvmtiFrameInfo *frames = (void *)t->scratch;
    jint most = (jint)(bl_track_conf.depth_frames + HIDDEN_FRAMES);
    jint count = 0;
    uint64_t h =
        mix(TRACE_SEED, bl_load_relaxed(&bl_modules_epoch)); /* as of the stacks it leads to */
    if ((*vm)->GetStackTrace(vm, NULL, 1, most, frames, &count) != JVMTI_ERROR_NONE)
        count = 0;
    for (jint i = 0; i < count; i++)
        h = mix(mix(h, (uint64_t)(uintptr_t)frames[i].method), (uint64_t)frames[i].location);
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
        hash = hash_chain(t, frame);
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
