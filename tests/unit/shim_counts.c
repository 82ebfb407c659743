/* The count an object keeps of its references, beside the count that was seen. */
#include "shim_start.h"

#include "losses.h"
#include "own_check.h"
#include "references.h"

#include <pthread.h>
#include <sys/mman.h>

/* What a library would count in. */
struct widget {
    uint64_t other;
    int32_t count;
};

static struct bl_ref_policy policy = {
    .zero_is_end = true,
    .field = {.width = sizeof(int32_t), .offset = offsetof(struct widget, count)}};
static struct widget widget;
static uint8_t class_number;

static void start(void)
{
    start_core();
    bl_refs_reset();
    int number = bl_live_add_class("widget");
    ck_assert_int_ge(number, 0);
    class_number = (uint8_t)number;
    bl_refs_set_policy(class_number, policy);
}

static struct bl_ref_event event(uint32_t stack, int32_t delta, uint64_t sp)
{
    return (struct bl_ref_event){.handle = (uint64_t)(uintptr_t)&widget,
                                 .time_ns = 1000,
                                 .stack = stack,
                                 .thread = bl_threads_current()->number,
                                 .delta = delta,
                                 .class_number = class_number,
                                 .sp = sp};
}

static void birth(int32_t count)
{
    struct bl_ref_event e = event(1, 1, 5000);
    widget.count = count;
    e.through = true;
    bl_refs_birth(&e, &(struct bl_ref_birth){.size = 0});
}

/* The event comes first, as it does where a function's entry is hooked. */
static void announce(int32_t delta, uint64_t sp)
{
    struct bl_ref_event e = event(delta > 0 ? 2 : 3, delta, sp);
    if (delta > 0)
        bl_refs_retain(&e);
    else
        bl_refs_release(&e);
}

static void change(int32_t delta)
{
    announce(delta, 5000);
    __atomic_add_fetch(&widget.count, delta, __ATOMIC_SEQ_CST);
}

static const struct bl_object *find(void)
{
    for (uint32_t n = 1; n < bl_header->published[BL_SECTION_OBJECTS]; n++) {
        const struct bl_object *o = bl_ledger_at(BL_SECTION_OBJECTS, n);
        if ((o->word & BL_LIVE_BIT) && o->address == (uint64_t)(uintptr_t)&widget)
            return o;
    }
    return NULL;
}

static uint64_t completed(void)
{
    uint64_t count = 0;
    for (uint32_t n = 1; n < bl_header->published[BL_SECTION_LIFECYCLES]; n++)
        count += ((const struct bl_lifecycle *)bl_ledger_at(BL_SECTION_LIFECYCLES, n))->count;
    return count;
}

static void expect_counts(int32_t refs, int32_t field)
{
    ck_assert_ptr_nonnull(find());
    ck_assert_int_eq(find()->refs, refs);
    ck_assert(find()->flags & BL_OBJECT_FIELD);
    ck_assert_int_eq(find()->field, field);
}

START_TEST(counts_that_agree_are_no_drift)
{
    start();
    birth(1);
    change(1);
    change(1);
    change(-1);
    expect_counts(2, 2);
    change(-1);
    change(-1);
    ck_assert_ptr_null(find());
    ck_assert_uint_eq(completed(), 1);
    ck_assert_uint_eq(loss(BL_LOSS_counts_drifted), 0);
}
END_TEST

static pthread_barrier_t gate;

static void *retain_slowly(void *unused)
{
    bl_guard_enter();
    announce(1, 7000);
    pthread_barrier_wait(&gate); /* noted, not done */
    pthread_barrier_wait(&gate);
    __atomic_add_fetch(&widget.count, 1, __ATOMIC_SEQ_CST);
    bl_guard_leave();
    return unused;
}

START_TEST(what_another_thread_is_about_to_do_is_no_drift)
{
    pthread_t thread;
    start();
    birth(1);
    change(1);
    pthread_barrier_init(&gate, NULL, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, retain_slowly, NULL), 0);
    pthread_barrier_wait(&gate);
    change(1);
    change(-1);
    ck_assert_int_eq(find()->refs, 3);
    ck_assert_int_eq(widget.count, 2);
    ck_assert_uint_eq(loss(BL_LOSS_counts_drifted), 0);
    pthread_barrier_wait(&gate);
    pthread_join(thread, NULL);
    change(1);
    expect_counts(4, 4);
    ck_assert_uint_eq(loss(BL_LOSS_counts_drifted), 0);
}
END_TEST

START_TEST(operations_inside_a_release_that_has_not_counted_yet_are_no_drift)
{
    policy.zero_is_end = false;
    start();
    birth(1);
    announce(-1, 6000); /* the last; it disposes of the object before it counts down */
    announce(1, 5500);
    widget.count++;
    announce(-1, 5500);
    widget.count--;
    ck_assert_uint_eq(loss(BL_LOSS_counts_drifted), 0);
    widget.count--;
    struct bl_ref_event e = event(4, 0, 5900);
    bl_refs_end(&e);
    ck_assert_ptr_null(find());
    ck_assert_uint_eq(completed(), 1);
    ck_assert_uint_eq(loss(BL_LOSS_counts_drifted), 0);
}
END_TEST

START_TEST(a_retain_that_was_not_seen_is_drift_and_keeps_the_object_alive)
{
    start();
    birth(1);
    change(1);
    widget.count++;
    change(-1);
    ck_assert_uint_eq(loss(BL_LOSS_counts_drifted), 1);
    ck_assert(find()->flags & BL_OBJECT_DRIFTED);
    ck_assert_int_eq(find()->field, 2);
    change(-1);
    ck_assert_ptr_nonnull(find());
    change(-1);
    ck_assert_ptr_null(find());
    ck_assert_uint_eq(completed(), 0);
    ck_assert_uint_eq(loss(BL_LOSS_counts_drifted), 1);
    ck_assert_uint_eq(counters_of(class_number).over_releases, 0);
}
END_TEST

START_TEST(a_retain_that_was_not_seen_makes_no_release_one_too_many)
{
    start();
    birth(1);
    widget.count++;
    announce(-1, 9000);
    widget.count--;
    announce(-1, 5000); /* the one before may be in flight, as far as can be told */
    ck_assert_ptr_null(find());
    ck_assert_uint_eq(completed(), 0);
    for (uint32_t n = 1; n < bl_header->published[BL_SECTION_EVENTS]; n++)
        ck_assert_uint_ne(((const struct bl_event *)bl_ledger_at(BL_SECTION_EVENTS, n))->op,
                          BL_OP_OVER_RELEASE);
}
END_TEST

START_TEST(a_release_that_was_not_seen_is_drift_and_the_object_ends_by_its_own_count)
{
    start();
    birth(1);
    change(1);
    widget.count--;
    change(-1);
    ck_assert_ptr_null(find());
    ck_assert_uint_eq(completed(), 0);
    ck_assert_uint_eq(loss(BL_LOSS_counts_drifted), 1);
}
END_TEST

START_TEST(drift_that_evens_out_is_none)
{
    start();
    birth(1);
    widget.count++;
    change(1);
    ck_assert_uint_eq(loss(BL_LOSS_counts_drifted), 1);
    widget.count--;
    change(1);
    ck_assert_uint_eq(loss(BL_LOSS_counts_drifted), 0);
    expect_counts(3, 3);
}
END_TEST

START_TEST(a_look_at_all_counts_finds_what_changed_without_an_operation)
{
    start();
    birth(1);
    bl_own_check_all();
    expect_counts(1, 1);
    widget.count = 4;
    bl_own_check_all();
    expect_counts(1, 4);
    ck_assert(find()->flags & BL_OBJECT_DRIFTED);
    ck_assert_uint_eq(loss(BL_LOSS_counts_drifted), 1);
    widget.count = 1;
    bl_own_check_all();
    expect_counts(1, 1);
    ck_assert_uint_eq(loss(BL_LOSS_counts_drifted), 0);
}
END_TEST

START_TEST(a_look_at_all_counts_leaves_open_what_is_in_flight)
{
    start();
    birth(1);
    announce(1, 5000);
    bl_own_check_all();
    expect_counts(2, 2);
    widget.count = 3;
    bl_own_check_all();
    expect_counts(2, 3);
    ck_assert_uint_eq(loss(BL_LOSS_counts_drifted), 1);
}
END_TEST

START_TEST(a_look_at_all_counts_survives_memory_that_is_gone)
{
    start();
    struct widget *gone =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(gone, MAP_FAILED);
    gone->count = 1;
    struct bl_ref_event e = event(1, 1, 5000);
    e.handle = (uint64_t)(uintptr_t)gone;
    e.through = true;
    bl_refs_birth(&e, &(struct bl_ref_birth){.size = 0});
    munmap(gone, 4096);
    bl_own_check_all();
    ck_assert_uint_eq(loss(BL_LOSS_counts_drifted), 0);
}
END_TEST

START_TEST(references_that_a_constructor_takes_belong_to_the_birth)
{
    start();
    birth(1);
    change(-1);
    birth(3);
    change(-1);
    expect_counts(2, 2);
    ck_assert_uint_eq(loss(BL_LOSS_counts_drifted), 0);
}
END_TEST

START_TEST(a_field_that_is_not_the_count_at_the_first_birth_is_not_looked_at)
{
    start();
    birth(77);
    ck_assert_int_eq(find()->refs, 1);
    change(1);
    ck_assert(!(find()->flags & BL_OBJECT_FIELD));
    change(-1);
    change(-1);
    ck_assert_ptr_null(find());
    ck_assert_uint_eq(completed(), 1);
    ck_assert_uint_eq(loss(BL_LOSS_counts_drifted), 0);
}
END_TEST

START_TEST(more_operations_than_can_be_in_flight_are_forgotten_from_the_outside)
{
    const int nested = 3 * (int)BL_FLIGHTS;
    start();
    birth(1);
    for (int i = 0; i < nested; i++)
        announce(1, 9000u - (uint64_t)i);
    ck_assert_uint_eq(bl_threads_current()->flight_count, BL_FLIGHTS);
    ck_assert_int_eq(find()->refs, 1 + nested);
    widget.count += nested;
    change(1);
    expect_counts(2 + nested, 2 + nested);
    ck_assert_uint_eq(loss(BL_LOSS_counts_drifted), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shim counts");
    TCase *tc = tcase_create("counts");
    tcase_add_test(tc, counts_that_agree_are_no_drift);
    tcase_add_test(tc, what_another_thread_is_about_to_do_is_no_drift);
    tcase_add_test(tc, operations_inside_a_release_that_has_not_counted_yet_are_no_drift);
    tcase_add_test(tc, a_retain_that_was_not_seen_is_drift_and_keeps_the_object_alive);
    tcase_add_test(tc, a_retain_that_was_not_seen_makes_no_release_one_too_many);
    tcase_add_test(tc, a_release_that_was_not_seen_is_drift_and_the_object_ends_by_its_own_count);
    tcase_add_test(tc, drift_that_evens_out_is_none);
    tcase_add_test(tc, a_look_at_all_counts_finds_what_changed_without_an_operation);
    tcase_add_test(tc, a_look_at_all_counts_leaves_open_what_is_in_flight);
    tcase_add_test(tc, a_look_at_all_counts_survives_memory_that_is_gone);
    tcase_add_test(tc, references_that_a_constructor_takes_belong_to_the_birth);
    tcase_add_test(tc, a_field_that_is_not_the_count_at_the_first_birth_is_not_looked_at);
    tcase_add_test(tc, more_operations_than_can_be_in_flight_are_forgotten_from_the_outside);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
