#include "java_chain.h"
#include "java_code.h"
#include "modules.h"

#include <emmintrin.h>

#define AT_ONCE 16u /* frames that are compared together */
static_assert(BL_JAVA_FRAMES % AT_ONCE == 0, "there are so many, of whatever thread's stack");
/* Where an interpreted frame keeps what it executes, in words from its base: the method, then the
 * position and the variables (in the opposite order before JDK 9). */
#define WORD_METHOD    (-3)
#define WORD_VARIABLES (-7)
#define WORD_POSITION  (-8)
/* Arbitrary numbers without pattern. */
#define CHAIN_SEED 0x6a617661c3a5c85bu
#define DEEP_SEED  0xd6e8feb86659fd93u

static uint32_t epoch; /* relaxed atomic */

void bl_java_chain_forget(void)
{
    bl_add_relaxed(&epoch, 1);
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
    return bl_java_chain_mix(bl_java_chain_mix(bl_java_chain_mix(CHAIN_SEED, epochs_now()), start),
                             length);
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
    uint64_t h = bl_java_chain_mix(seed_of(start, length), DEEP_SEED);
    for (uint32_t i = 0; frame && i < bl_java_chain_limit(); i++) {
        const uint64_t *outer = bl_java_chain_outer(t, frame);
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
        const uint64_t *outer = held[1] - start < length ? bl_java_chain_outer(t, at) : NULL;
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
            uint64_t outer =
                *fresh[count++]; /* as bl_java_chain_outer: farther out, but not too far */
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

/* ---- what is foreseen ----
 *
 * What followed the latest chain the last time follows it again, mostly: as many frames stand, and
 * the others are where they were. Then neither has to be found out, which takes branches that go
 * another way each time. All that the chain consists of is looked at: what stands holds what it
 * held, and each of the others leads to the next one. */

BL_INLINE uint64_t place_of(const struct bl_thread_state *t, const uint64_t *at)
{
    return (t->stack_high - (uint64_t)(uintptr_t)at) / sizeof *at;
}

/* As are_alike and count_unmoved, of frames that are on the stack. */
BL_INLINE bool do_stand(const struct bl_thread_state *t, uint32_t count)
{
    const struct bl_java_frame *f = t->java_frames;
    bl_pair change = {0};
    bl_pair other = {0};
    uint64_t change_of_methods = 0;
    uint32_t i = 0;
    for (; i + 4 <= count; i += 4) {
        change |= read_frame(f[i].at) ^ f[i].held;
        other |= read_frame(f[i + 1].at) ^ f[i + 1].held;
        change |= read_frame(f[i + 2].at) ^ f[i + 2].held;
        other |= read_frame(f[i + 3].at) ^ f[i + 3].held;
    }
    for (; i < count; i++)
        change |= read_frame(f[i].at) ^ f[i].held;
    for (uint32_t k = 0; k < t->java_interpreted_count && t->java_interpreted[k].frame < count;
         k++) {
        const struct bl_java_interpreted *at = &t->java_interpreted[k];
        other |= read_frame(&at->base[WORD_POSITION]) ^ read_frame(&at->position);
        change_of_methods |= at->base[WORD_METHOD] ^ at->method;
    }
    change |= other;
    return !(change[0] | change[1] | change_of_methods);
}

BL_INLINE void keep_standing(struct bl_thread_state *t, uint32_t count)
{
    t->java_frame_count = count;
    while (t->java_interpreted_count > 0 &&
           t->java_interpreted[t->java_interpreted_count - 1].frame >= count)
        t->java_interpreted_count--;
}

/* The hash of the chain, if it is the one that is foreseen; else 0, and fewer frames may be kept.
 */
BL_INLINE uint64_t hash_foreseen(struct bl_thread_state *t, const uint64_t *frame, uint64_t start,
                                 uint64_t length)
{
    const struct bl_java_known *last = &t->java_known[t->java_met];
    uint32_t fresh = last->fresh;
    uint32_t standing = last->standing;
    if (BL_UNLIKELY(fresh == 0 || last->at[fresh - 1] != place_of(t, frame) ||
                    standing > t->java_frame_count))
        return 0;
    struct bl_java_frame *f = &t->java_frames[standing];
    const uint64_t *outer = f[-1].at;
    const uint64_t *outermost = (const uint64_t *)(uintptr_t)t->stack_high - last->at[0];
    if (BL_UNLIKELY(outer <= outermost || !do_stand(t, standing)))
        return 0;
    uint64_t h = f[-1].hash;
    uint64_t amiss = 0;
    keep_standing(t, standing); /* what is written over stands no more */
    for (uint32_t i = 0; i < fresh; i++, f++) {
        const uint64_t *at = (const uint64_t *)(uintptr_t)t->stack_high - last->at[i];
        bl_pair held = read_frame(at);
        amiss |= (held[0] ^ (uint64_t)(uintptr_t)outer) | (held[1] - start < length);
        h = mix_well(h, held[1]);
        *f = (struct bl_java_frame){held, at, h};
        outer = at;
    }
    if (BL_UNLIKELY(amiss))
        return 0;
    t->java_frame_count = standing + fresh;
    return h;
}

/* What followed the latest chain: the frames are innermost first in fresh, and beyond those that
 * stand. None of those that return into the interpreter are foreseen. */
BL_INLINE void foresee(struct bl_thread_state *t, uint32_t standing, const uint64_t *const *fresh,
                       uint32_t count, uint64_t start, uint64_t length)
{
    struct bl_java_known *last = &t->java_known[t->java_met];
    bool fits = count > 0 && count <= BL_JAVA_FORESEEN && standing > 0 &&
                place_of(t, fresh[0]) <= UINT32_MAX;
    for (uint32_t i = 0; fits && i < count; i++) {
        const uint64_t *at = fresh[count - 1 - i];
        last->at[i] = (uint32_t)place_of(t, at);
        fits = at[1] - start >= length;
    }
    last->standing = (uint16_t)standing;
    last->fresh = (uint16_t)(fits ? count : 0);
}

/* Most frames are those of the thread's event before: their chain is not followed again, and its
 * hash is known. */
uint64_t bl_java_chain_hash(struct bl_thread_state *t, const uint64_t *frame)
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
    uint64_t foreseen = hash_foreseen(t, frame, start, length);
    if (BL_LIKELY(foreseen))
        return foreseen;
    uint32_t kept;
    uint32_t fresh_count = collect_fresh(t, frame, fresh, &kept);
    if (BL_UNLIKELY(fresh_count == TOO_MANY || kept + fresh_count > BL_JAVA_FRAMES))
        return hash_deep(t, frame, start, length);
    keep_standing(t, kept);
    foresee(t, kept, fresh, fresh_count, start, length);
    return add_frames(t, fresh, fresh_count,
                      kept > 0 ? t->java_frames[kept - 1].hash : t->java_seed, start, length);
}
