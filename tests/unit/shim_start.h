/*
 * The shim's core as process.c starts it, but inside a test program: no wrapper is linked in, so
 * the program's own malloc is not tracked and every event is made by hand.
 *
 * Check forks for each test: every test starts with the core untouched.
 */
#ifndef BL_TEST_SHIM_START_H
#define BL_TEST_SHIM_START_H

#include "arena.h"
#include "dir.h"
#include "guard.h"
#include "ledger.h"
#include "live.h"
#include "losses.h"
#include "modules.h"
#include "names.h"
#include "sigsafe.h"
#include "threads.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_UNUSED __attribute__((unused))

/* The ledger in memory: no directory is touched. */
START_UNUSED static void start_ledger(void)
{
    bl_guard_enter_internal();
    ck_assert_int_eq(bl_ledger_create("unit.1.1.ledger", false), 0);
    ck_assert_int_eq(bl_live_add_class("heap"), 0);
    ck_assert_int_eq(bl_live_add_class("mmap"), 1);
}

START_UNUSED static void start_core(void)
{
    start_ledger();
    bl_threads_init();
    bl_modules_init();
}

START_UNUSED static uint64_t loss(enum bl_loss cause)
{
    return __atomic_load_n(&bl_losses_at[cause], __ATOMIC_RELAXED);
}

/* Sums of a class over its shards. */
START_UNUSED static struct bl_counter counters_of(uint32_t class_number)
{
    const struct bl_counters *c = bl_ledger_at(BL_SECTION_COUNTERS, class_number);
    struct bl_counter sum = {0};
    for (unsigned i = 0; i < BL_SHARDS; i++) {
        sum.allocs += c->shard[i].allocs;
        sum.alloc_bytes += c->shard[i].alloc_bytes;
        sum.frees += c->shard[i].frees;
        sum.free_bytes += c->shard[i].free_bytes;
    }
    return sum;
}

/* What a reader would find: the records with the live bit, of one class. */
START_UNUSED static void scan_live(uint32_t class_number, uint64_t *ret_count, uint64_t *ret_bytes)
{
    uint64_t count = 0;
    uint64_t bytes = 0;
    for (uint32_t i = 1; i < bl_header->published[BL_SECTION_LIVE]; i++) {
        const struct bl_live *r = bl_ledger_at(BL_SECTION_LIVE, i);
        uint64_t word = bl_load_acquire(&r->word);
        if (!(word & BL_LIVE_BIT) || (word >> BL_LIVE_CLASS_SHIFT & 0xff) != class_number)
            continue;
        count++;
        bytes += word >> BL_LIVE_SIZE_SHIFT;
    }
    *ret_count = count;
    *ret_bytes = bytes;
}

/* xorshift: the same sequence in every run. */
START_UNUSED static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Rounds scaled by BUFLEAK_TEST_SCALE, for longer runs. */
START_UNUSED static unsigned scaled(unsigned rounds)
{
    const char *scale = getenv("BUFLEAK_TEST_SCALE");
    double factor = scale ? atof(scale) : 1;
    return factor > 0 ? (unsigned)(rounds * factor) + 1 : rounds;
}

/* The long forms are asked for. */
START_UNUSED static bool is_long(void)
{
    const char *value = getenv("BL_TEST_LONG");
    return value && *value == '1';
}

/* For a test in which one thread goes on for millions of rounds: ThreadSanitizer looks for what
 * threads do to each other, so it plays that in the long form only. */
START_UNUSED static bool is_left_to_other_builds(void)
{
#ifdef __SANITIZE_THREAD__
    return !is_long();
#else
    return false;
#endif
}

/* Rounds of one thread, of which some will do there. */
START_UNUSED static unsigned alone(unsigned rounds)
{
    return is_left_to_other_builds() ? rounds / 20 : rounds;
}

START_UNUSED static int run_suite(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    for (size_t i = 0; i < count; i++) {
        TCase *one = tcase_create(tests[i]->name);
        tcase_set_timeout(one, 60);
        tcase_add_test(one, tests[i]);
        suite_add_tcase(suite, one);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#define RUN_SUITE(name, ...)                                                                       \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const tests[] = {__VA_ARGS__};                                                \
        return run_suite(name, tests, sizeof tests / sizeof *tests);                               \
    }

#endif
