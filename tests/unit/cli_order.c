/* What the order of births and ends says about those that have not ended. */
#include "cli_check.h"

#include "order.h"

#include <math.h>

#define SECOND 1000000000ull

/* Siblings that ended, so many births of the process apart, each with the same lag. */
static struct bl_lifecycle ended(uint64_t count, uint64_t apart, uint32_t lag, unsigned bucket)
{
    struct bl_lifecycle life = {.count = count,
                                .newest_ns = 100 * SECOND,
                                .newest = (uint32_t)(count * apart),
                                .span = (count - 1) * apart,
                                .outlasted = count - 1,
                                .lived = count * apart,
                                .lived_least = (uint32_t)apart,
                                .lag_most = lag};
    life.lags[bucket] = (uint32_t)count;
    return life;
}

static struct bl_order order_of(const struct bl_lifecycle *life)
{
    struct bl_order order = {.count = 0};
    bl_order_add(&order, life);
    return order;
}

START_TEST(who_was_born_after_the_youngest_is_not_overtaken)
{
    struct bl_lifecycle life = ended(1000, 2, 0, 0);
    struct bl_order order = order_of(&life);
    ck_assert_uint_eq(bl_order_lag(&order, 100 * SECOND, 2002), 0);
    ck_assert_uint_eq(bl_order_lead(&order, 100 * SECOND, 2002), 2);
    ck_assert_uint_eq(bl_order_lag(&order, 100 * SECOND, 1990), 10);
    ck_assert_uint_eq(bl_order_lead(&order, 100 * SECOND, 1990), 0);
}
END_TEST

START_TEST(the_clock_tells_births_apart_whose_numbers_went_round)
{
    struct bl_lifecycle life = ended(1000, 2, 0, 0);
    struct bl_order order = order_of(&life);
    ck_assert_uint_eq(bl_order_lag(&order, 50 * SECOND, 3000), UINT32_MAX - 999);
    ck_assert_uint_eq(bl_order_lag(&order, 150 * SECOND, 1000), 0);
    life.newest = 10;
    order = order_of(&life);
    ck_assert_uint_eq(bl_order_lag(&order, 100 * SECOND, UINT32_MAX - 9), 20);
}
END_TEST

START_TEST(none_in_use_lags_where_none_that_ended_did)
{
    struct bl_lifecycle life = ended(1000, 1, 0, 0);
    struct bl_order order = order_of(&life);
    ck_assert(bl_order_in_use(&order, 1) <= 0.001);
    ck_assert(bl_order_in_use(&order, 2) <= 0);
}
END_TEST

START_TEST(as_many_in_use_lag_as_there_are_where_all_do)
{
    /* each is overtaken by up to 63 others: at any moment some fifty are under way */
    struct bl_lifecycle life = ended(100000, 1, 63, 3);
    struct bl_order order = order_of(&life);
    ck_assert(fabs(bl_order_in_use(&order, 0) - 40) < 1);
    ck_assert(bl_order_in_use(&order, 32) > 5);
    ck_assert(bl_order_in_use(&order, 32) < 11);
    ck_assert(bl_order_in_use(&order, 128) <= 0);
}
END_TEST

START_TEST(one_that_was_delayed_excuses_no_others)
{
    struct bl_lifecycle life = ended(10000, 1, 0, 0);
    life.lags[6] = 1;
    life.lag_most = 4000;
    struct bl_order order = order_of(&life);
    ck_assert(bl_order_in_use(&order, 1000) < 1);
    ck_assert(bl_order_chance(1, bl_order_in_use(&order, 1000)) > 0.05);
    ck_assert(bl_order_chance(10, bl_order_in_use(&order, 1000)) < 1e-6);
}
END_TEST

START_TEST(siblings_are_taken_together)
{
    struct bl_lifecycle old = ended(1000, 1, 0, 0);
    struct bl_lifecycle young = ended(10, 200, 7, 2);
    struct bl_order order = order_of(&young);
    bl_order_add(&order, &old);
    ck_assert_uint_eq(order.count, 1010);
    ck_assert_uint_eq(order.newest, 2000);
    ck_assert_uint_eq(order.span, 1800);
    ck_assert_uint_eq(order.lag_most, 7);
    ck_assert_uint_eq(order.lags[2], 10);
    ck_assert_uint_eq(order.lived_least, 1);
}
END_TEST

START_TEST(a_ring_overlaps_steadily_and_a_queue_does_not)
{
    struct bl_lifecycle life = ended(1000, 1, 0, 0);
    struct bl_order order = order_of(&life);
    ck_assert(bl_order_is_overlapping(&order));
    ck_assert(bl_order_is_steady(&order, 0));
    order.lived = 500000; /* that many were in it at times, at others one */
    ck_assert(bl_order_is_overlapping(&order));
    ck_assert(!bl_order_is_steady(&order, 0));
    order.lived = 1000;
    order.outlasted = 900; /* it was empty at times */
    ck_assert(bl_order_is_overlapping(&order));
    ck_assert(!bl_order_is_steady(&order, 0));
    order.outlasted = 0; /* one request after the other */
    ck_assert(!bl_order_is_overlapping(&order));
}
END_TEST

START_TEST(chances_are_poissons)
{
    ck_assert(fabs(bl_order_chance(1, 0.1) - 0.0951626) < 1e-6);
    ck_assert(fabs(bl_order_chance(3, 2) - 0.3233236) < 1e-6);
    ck_assert(bl_order_chance(2, 3) >= 1);
    ck_assert(bl_order_chance(1, 0) <= 0);
    ck_assert(bl_order_chance(100000, 50000) <= 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("order");
    TCase *tests = tcase_create("births and ends");
    tcase_add_test(tests, who_was_born_after_the_youngest_is_not_overtaken);
    tcase_add_test(tests, the_clock_tells_births_apart_whose_numbers_went_round);
    tcase_add_test(tests, none_in_use_lags_where_none_that_ended_did);
    tcase_add_test(tests, as_many_in_use_lag_as_there_are_where_all_do);
    tcase_add_test(tests, one_that_was_delayed_excuses_no_others);
    tcase_add_test(tests, siblings_are_taken_together);
    tcase_add_test(tests, a_ring_overlaps_steadily_and_a_queue_does_not);
    tcase_add_test(tests, chances_are_poissons);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
