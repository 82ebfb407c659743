/*
 * How samples are written into a block of SAMPLES: each as what changed since the one before in the
 * block, before the first of which all is 0.
 *
 *   [time] bytes total count [below above]
 *
 * Each is a number of seven bits a byte, the lowest first, the last without its upper bit; what can
 * fall is folded so that small changes either way are small numbers. `below` and `above`, of the
 * coarse levels, are how far the extremes are from bytes. `time` is the step from the last but one
 * to the last before this one, less the usual: of the latest sample it is in bl_samples.head, for
 * it may still be moved on; the first sample is at base_ns, so the first two have none.
 *
 * Shared by both sides. The reader trusts nothing. No state, no allocation, no errors but counts.
 */
#ifndef BL_SAMPLE_CODE_H
#define BL_SAMPLE_CODE_H

#include "ledger_format.h"

#include <stdbool.h>

#define BL_SAMPLE_STEP     1024u /* units of a block between two samples, usually */
#define BL_SAMPLE_CODE_MAX 56u   /* bytes of one */
#define BL_SAMPLES_MAX     (BL_SAMPLES_CODE / 3u) /* in one block */

static inline uint64_t bl_sample_fold(uint64_t change)
{
    return change << 1 ^ (0 - (change >> 63));
}

static inline uint64_t bl_sample_unfold(uint64_t folded)
{
    return folded >> 1 ^ (0 - (folded & 1));
}

static inline uint32_t bl_sample_put(uint8_t *out, uint64_t value)
{
    uint32_t n = 0;
    for (; value >= 0x80; value >>= 7)
        out[n++] = (uint8_t)(value | 0x80);
    out[n++] = (uint8_t)value;
    return n;
}

/* Returns how many bytes it took; 0: it does not end in time. */
static inline uint32_t bl_sample_get(const uint8_t *in, uint32_t length, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (uint32_t n = 0; n < length && n < 10; n++) {
        value |= (uint64_t)(in[n] & 0x7f) << 7 * n;
        if (in[n] < 0x80) {
            *ret_value = value;
            return n + 1;
        }
    }
    return 0;
}

/* Writes sample number n of a block, which follows two others: of which the latest is `last`, and
 * `step` units after the one before. Returns how many bytes it took, at most BL_SAMPLE_CODE_MAX. */
static inline uint32_t bl_sample_encode(uint8_t *out, uint32_t level, uint32_t n, uint32_t step,
                                        const struct bl_sample *last,
                                        const struct bl_coarse_sample *sample)
{
    const struct bl_sample *s = &sample->last;
    uint32_t length = 0;
    if (n >= 2)
        length += bl_sample_put(out, bl_sample_fold((uint64_t)step - BL_SAMPLE_STEP));
    length += bl_sample_put(out + length, bl_sample_fold(s->bytes - last->bytes));
    length += bl_sample_put(out + length, bl_sample_fold(s->total - last->total));
    length += bl_sample_put(out + length, bl_sample_fold((uint64_t)s->count - last->count));
    if (level > 0) {
        length += bl_sample_put(out + length, s->bytes - sample->min_bytes);
        length += bl_sample_put(out + length, sample->max_bytes - s->bytes);
    }
    return length;
}

/* Reads the numbers of one sample. Returns how many bytes they took; 0: there is no whole one. */
static inline uint32_t bl_sample_read(const uint8_t *in, uint32_t length, uint64_t *values,
                                      uint32_t count)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t taken = bl_sample_get(in + at, length - at, &values[i]);
        if (taken == 0)
            return 0;
        at += taken;
    }
    return at;
}

/* All samples of a block, at most BL_SAMPLES_MAX; returns how many. ret_sound: the block holds
 * nothing else. */
static inline uint32_t bl_samples_decode(const struct bl_samples *block,
                                         struct bl_coarse_sample *out, bool *ret_sound)
{
    uint64_t head = __atomic_load_n(&block->head, __ATOMIC_ACQUIRE);
    uint32_t length = (uint32_t)head;
    uint32_t fields = block->level > 0 ? 5 : 3;
    struct bl_sample last = {0};
    uint32_t n = 0;
    *ret_sound = length <= BL_SAMPLES_CODE;
    for (uint32_t at = 0; *ret_sound && at < length && n < BL_SAMPLES_MAX; n++) {
        uint64_t v[6] = {0}; /* the time first */
        uint32_t skipped = n >= 2 ? 0 : 1;
        uint32_t taken =
            bl_sample_read(block->code + at, length - at, v + skipped, fields + 1 - skipped);
        uint64_t step = n >= 2 ? bl_sample_unfold(v[0]) + BL_SAMPLE_STEP : 0;
        *ret_sound = taken > 0 && step <= UINT32_MAX - (n >= 2 ? out[n - 2].last.after : 0);
        if (!*ret_sound)
            break;
        at += taken;
        if (n >= 2)
            out[n - 1].last.after = out[n - 2].last.after + (uint32_t)step;
        last.bytes += bl_sample_unfold(v[1]);
        last.total += bl_sample_unfold(v[2]);
        last.count += (uint32_t)bl_sample_unfold(v[3]);
        out[n] = (struct bl_coarse_sample){
            .last = last, .min_bytes = last.bytes - v[4], .max_bytes = last.bytes + v[5]};
    }
    if (n > 1) {
        *ret_sound = *ret_sound && head >> 32 >= out[n - 2].last.after;
        out[n - 1].last.after = (uint32_t)(head >> 32);
    }
    return n;
}

#endif
