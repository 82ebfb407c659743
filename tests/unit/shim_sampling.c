/* What the recorded blocks of a sample stand for. */
#include "shim_start.h"

#include "counters.h"
#include "limit.h"
#include "track.h"

#include <math.h>

#define MEAN  8192u
#define PAIRS 15000u
#define SEEDS 40u

static void start(void)
{
    start_core();
    bl_guard_leave_internal();
    bl_track_conf.sample_bytes = MEAN;
    bl_track_conf.depth_frames = 1;
    bl_limit_init(0, BL_LIMIT_REPORT, MEAN);
    *bl_track_state = BL_TRACK_ON;
}

static double blocks_ended(void)
{
    const struct bl_class *class = bl_ledger_at(BL_SECTION_CLASSES, BL_CLASS_HEAP);
    return (double)class->ended_blocks / (1u << BL_BLOCKS_SHIFT);
}

static void run(size_t kept, size_t freed)
{
    struct bl_origin o = bl_origin_at(__builtin_frame_address(0));
    for (uint64_t i = 1; i <= PAIRS; i++) {
        bl_track_alloc((void *)(uintptr_t)(i << 12), kept, BL_CLASS_HEAP, &o);
        bl_track_alloc((void *)(uintptr_t)(i << 12 | 2048), freed, BL_CLASS_HEAP, &o);
        bl_track_free((void *)(uintptr_t)(i << 12 | 2048), __builtin_frame_address(0));
    }
}

/* Frees what run kept; what they stand for. */
static double end_kept(void)
{
    double before = blocks_ended();
    for (uint64_t i = 1; i <= PAIRS; i++)
        bl_track_free((void *)(uintptr_t)(i << 12), __builtin_frame_address(0));
    return blocks_ended() - before;
}

static void check_sizes(size_t kept, size_t freed)
{
    double ended = 0;
    double lived = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bl_threads_current()->random = seed * 0x9E3779B97F4A7C15u;
        double before = blocks_ended();
        run(kept, freed);
        ended += blocks_ended() - before;
        lived += end_kept();
    }
    /* 40 runs: a standard deviation of at most 0.9 % */
    ended /= (double)SEEDS * PAIRS;
    lived /= (double)SEEDS * PAIRS;
    ck_assert_msg(fabs(ended - 1) < 0.02, "%zu, %zu: ended %f", kept, freed, ended);
    ck_assert_msg(fabs(lived - 1) < 0.02, "%zu, %zu: lived %f", kept, freed, lived);
}

START_TEST(alternating_sizes_are_estimated_each_by_its_own)
{
    start();
    check_sizes(1000, 500);
    check_sizes(500, 1000);
    check_sizes(1000, 1000);
    check_sizes(200, 20000);
}
END_TEST

START_TEST(a_block_stands_for_the_inverse_of_its_chance)
{
    start();
    for (uint64_t size = 1; size < 1u << 20; size = size * 3 / 2 + 1) {
        double blocks = (double)bl_limit_blocks(size) / (1u << BL_BLOCKS_SHIFT);
        double expected = -1 / expm1(-(double)size / MEAN);
        ck_assert_msg(fabs(blocks / expected - 1) < 1e-4, "%lu: %f", (unsigned long)size, blocks);
    }
}
END_TEST

/* As realloc does that fails: the block has not ended. */
START_TEST(a_block_that_is_put_back_has_not_ended)
{
    start();
    bl_guard_enter();
    struct bl_buffer b = {.address = 4096, .size_bytes = 100, .class_number = BL_CLASS_HEAP};
    ck_assert(bl_live_insert(&b));
    ck_assert(bl_live_take_out(4096, 200, &b));
    ck_assert(blocks_ended() > 80);
    ck_assert(bl_live_restore(&b));
    ck_assert(blocks_ended() == 0);
    bl_guard_leave();
}
END_TEST

RUN_SUITE("shim sampling", alternating_sizes_are_estimated_each_by_its_own,
          a_block_stands_for_the_inverse_of_its_chance, a_block_that_is_put_back_has_not_ended)
