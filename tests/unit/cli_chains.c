/* Verdicts on chains of methods that hand buffers on to each other, on threads of their own. */
#include "cli_check.h"

#include "pairing_world.h"

#include <string.h>

/* Where something is called: a line of a Java method, or an address of native code. */
struct place {
    uint32_t module;
    uint64_t offset;
};

static struct place place(struct world *w, uint32_t package, const char *method, uint32_t line)
{
    if (!package)
        return (struct place){w->gw, line * 0x10u};
    return (struct place){package | BL_FRAME_MANAGED,
                          (uint64_t)line << 32 | synth_name(w->synth, method, strlen(method))};
}

static uint32_t in(struct world *w, uint32_t caller, struct place place)
{
    return synth_frame(w->synth, caller, place.module, place.offset);
}

/* Three routes. In two of them an operator retains what it hands on, and the last operator releases
 * once; the bodies of these are made by the worker. Those of the third, which nobody retains, are
 * all made by the one who subscribed. An operator between retain and release, or none, is what the
 * same call of the worker's led to. */
static void run_routes(struct world *w, bool is_java)
{
    uint32_t package = is_java ? synth_module(w->synth, "pipes", "pipes", 5, BL_MODULE_MANAGED) : 0;
    struct place request = place(w, package, "pipes.Range.request", 30);
    struct place make = place(w, package, "pipes.Body.make", 40);
    struct place end = place(w, package, "pipes.Peek.onNext", 80);
    uint32_t subscribe = in(w, w->main_frame, place(w, package, "pipes.Route.subscribe", 10));
    uint32_t worker = in(w, w->main_frame, place(w, package, "pipes.Worker.run", 20));
    uint32_t drain = in(w, worker, place(w, package, "pipes.Worker.drain", 50));
    uint32_t later = in(w, in(w, worker, request), make);
    for (uint32_t route = 0; route < 2; route++) {
        const char *name = route ? "pipes.Filter.onNext" : "pipes.Map.onNext";
        uint32_t keep = in(w, drain, place(w, package, name, 60 + route));
        uint32_t on = in(w, drain, place(w, package, name, 70 + route));
        live(w, 200, START + SECOND, END - SECOND,
             OPS(ALLOC(later), RETAIN(keep), RELEASE(in(w, on, end))));
    }
    done(w, 200, 2 * MILLI,
         OPS(ALLOC(in(w, in(w, subscribe, request), make)), LAST(in(w, drain, end))));
    judge(w);
}

static void all_lack(const struct world *w, enum bl_item_kind kind, uint64_t count)
{
    for (size_t i = 0; i < w->model->group_count; i++) {
        const struct bl_finding *finding = w->model->groups[i].finding;
        ck_assert_int_eq(finding->verdict, BL_VERDICT_MISSING_RELEASE);
        ck_assert_int_eq(finding->blame_kind, kind);
        ck_assert_uint_eq(w->model->groups[i].count, count);
    }
}

START_TEST(what_a_chain_does_at_its_end_is_the_same_behind_an_operator_more)
{
    struct world *w = make_world();
    run_routes(w, true);
    ck_assert_uint_eq(accusations(w), 2);
    all_lack(w, BL_ITEM_RETAIN, 200);
    finish(w);
}
END_TEST

/* What several call at their own times looks alike: there the two that differ tell nothing, and
 * what all of them have is the birth. */
START_TEST(helpers_of_native_code_that_several_call_are_no_chain)
{
    struct world *w = make_world();
    run_routes(w, false);
    ck_assert_uint_eq(accusations(w), 1);
    all_lack(w, BL_ITEM_ALLOC, 400);
    finish(w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_chains");
    TCase *tests = tcase_create("chains");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, what_a_chain_does_at_its_end_is_the_same_behind_an_operator_more);
    tcase_add_test(tests, helpers_of_native_code_that_several_call_are_no_chain);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
