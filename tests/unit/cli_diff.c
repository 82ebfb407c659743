/* Differences between made-up ledgers; what they look like against tests/golden, which
 * BUFLEAK_GOLDEN_WRITE=1 writes anew. */
#include "cli_check.h"

#include "diff.h"
#include "inspect.h"
#include "ledger_synth.h"
#include "render_diff.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECOND 1000000000ull
#define END    (752 * SECOND)

static struct bl_error error;

struct pair {
    struct synth *synths[2];
    struct bl_target targets[2];
    struct bl_inspection inspections[2];
    struct bl_inspect_options inspect;
    struct bl_diff *diff;
};

/* Takes the two over. */
static struct pair compare(struct synth *a, struct synth *b, uint64_t min_bytes)
{
    struct pair pair = {.synths = {a, b}, .inspect = {.judges = true}};
    struct bl_diff_options options = {.min_bytes = min_bytes, .model = &pair.inspect.model};
    struct bl_diff_side sides[2];
    for (int i = 0; i < 2; i++) {
        size_t size;
        uint8_t *bytes = synth_bytes(pair.synths[i], &size);
        pair.targets[i] = (struct bl_target){.path = strdup("gateway.4242.1700000000123456.ledger"),
                                             .fd = synth_file(bytes, size)};
        free(bytes);
        ck_assert_msg(bl_inspect(&pair.inspections[i], &pair.targets[i], &pair.inspect, &error) ==
                          0,
                      "%s", error.text);
        sides[i] = (struct bl_diff_side){.reader = pair.inspections[i].reader,
                                         .model = pair.inspections[i].model,
                                         .symbols = pair.inspections[i].symbols,
                                         .growth = pair.inspections[i].growth};
    }
    ck_assert_msg(bl_diff_create(&pair.diff, sides, &options, &error) == 0, "%s", error.text);
    return pair;
}

static void deinit(struct pair *pair)
{
    bl_diff_destroy(pair->diff);
    for (int i = 0; i < 2; i++) {
        bl_inspection_deinit(&pair->inspections[i]);
        bl_target_deinit(&pair->targets[i]);
        synth_destroy(pair->synths[i]);
    }
}

/* A buffer is made in `read`, retained by a helper that three callers use, and released. */
struct gateway {
    struct synth *synth;
    uint32_t class;
    uint32_t read;
    uint32_t retain[3]; /* by caller */
    uint32_t drop;
    uint32_t end;
    uint64_t made;
};

static struct gateway make_gateway(uint64_t start_realtime_ns)
{
    struct gateway g = {.synth = synth_create()};
    struct synth *synth = g.synth;
    synth->header.start_realtime_ns = start_realtime_ns;
    synth_class(synth, "heap");
    g.class = synth_class(synth, "gst-buffer");
    uint32_t gw = synth_module(synth, "/opt/gone/gateway", "\x01\x23", 2, BL_MODULE_MAIN);
    uint32_t library = synth_module(synth, "/opt/gone/libgst.so.1", "\x45", 1, 0);
    uint32_t request = synth_frame(synth, synth_frame(synth, 0, gw, 0x1000), gw, 0x402);
    g.read = synth_frame(synth, synth_frame(synth, request, gw, 0x377), library, 0x10);
    for (uint32_t i = 0; i < 3; i++)
        g.retain[i] = synth_frame(synth, synth_frame(synth, request, gw, 0x131 + i * 16), gw, 0x88);
    g.drop = synth_frame(synth, synth_frame(synth, request, gw, 0x140), gw, 0x99);
    g.end = synth_frame(synth, request, gw, 0x441);
    synth_refcounted(synth, g.class, "libgst.so*");
    return g;
}

/* Buffers that a caller of the helper retained and forgot. */
static void leak(struct gateway *g, uint32_t caller, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t birth = END - (10 + g->made++ * 7) * SECOND; /* to the end: no start-up */
        struct synth_op ops[] = {
            {.op = BL_OP_ALLOC, .stack = g->read, .delta = 1, .time_ns = birth},
            {.op = BL_OP_RETAIN, .stack = g->retain[caller], .delta = 1, .time_ns = birth + 1000},
            {.op = BL_OP_RELEASE, .stack = g->end, .delta = -1, .time_ns = birth + 3000}};
        synth_object(g->synth, g->class, 1024, birth, ops, 3);
    }
}

/* Buffers that went the same way and were released. */
static void pass(struct gateway *g, uint32_t caller, uint64_t count)
{
    struct synth_op ops[] = {{.op = BL_OP_ALLOC, .stack = g->read, .delta = 1},
                             {.op = BL_OP_RETAIN, .stack = g->retain[caller], .delta = 1},
                             {.op = BL_OP_RELEASE, .stack = g->drop, .delta = -1},
                             {.op = BL_OP_END, .stack = g->end, .delta = -1}};
    if (count > 0)
        synth_lifecycle(g->synth, g->class, count, 5000000, END - SECOND, ops, 4);
}

static const struct bl_diff_row *row_at(const struct pair *pair, enum bl_change change, size_t n)
{
    for (size_t i = 0; i < pair->diff->row_count; i++)
        if (pair->diff->rows[i].change == change && n-- == 0)
            return &pair->diff->rows[i];
    return NULL;
}

START_TEST(callers_of_one_helper_are_told_apart)
{
    struct gateway a = make_gateway(1);
    struct gateway b = make_gateway(2);
    leak(&a, 0, 50);
    leak(&a, 1, 30);
    pass(&a, 0, 50);
    pass(&a, 1, 5000);
    pass(&a, 2, 5000);
    leak(&b, 1, 30);
    pass(&b, 0, 100);
    pass(&b, 1, 5000);
    pass(&b, 2, 5000);
    struct pair pair = compare(a.synth, b.synth, 0);
    ck_assert_uint_eq(pair.diff->row_count, 2);
    const struct bl_diff_row *fixed = row_at(&pair, BL_CHANGE_FIXED, 0);
    const struct bl_diff_row *same = row_at(&pair, BL_CHANGE_UNCHANGED, 0);
    ck_assert_ptr_nonnull(fixed);
    ck_assert_ptr_nonnull(same);
    ck_assert_uint_eq(fixed->part[0].count, 50);
    ck_assert_uint_eq(fixed->passed[0], 50);
    ck_assert_uint_eq(fixed->passed[1], 100);
    ck_assert_uint_eq(same->part[1].count, 30);
    deinit(&pair);
}
END_TEST

START_TEST(one_caller_that_leaks_and_all_of_them_are_one_row)
{
    struct gateway a = make_gateway(1);
    struct gateway b = make_gateway(2);
    leak(&a, 0, 20);
    pass(&a, 1, 5000);
    for (uint32_t caller = 0; caller < 3; caller++)
        leak(&b, caller, 20);
    struct pair pair = compare(a.synth, b.synth, 0);
    ck_assert_uint_eq(pair.diff->row_count, 1);
    ck_assert_int_eq(pair.diff->rows[0].change, BL_CHANGE_GROWN);
    ck_assert_int_eq(pair.diff->rows[0].count_change, 40);
    deinit(&pair);
}
END_TEST

START_TEST(fixed_takes_as_much_traffic_as_luck_demands)
{
    /* one in ten leaked: 0.9^28 is above 5 %, 0.9^29 below */
    for (uint64_t passed = 28; passed <= 29; passed++) {
        struct gateway a = make_gateway(1);
        struct gateway b = make_gateway(2);
        leak(&a, 0, 10);
        pass(&a, 0, 90);
        pass(&b, 0, passed);
        struct pair pair = compare(a.synth, b.synth, 0);
        ck_assert_uint_eq(pair.diff->row_count, 1);
        ck_assert_int_eq(pair.diff->rows[0].change,
                         passed == 28 ? BL_CHANGE_GONE : BL_CHANGE_FIXED);
        deinit(&pair);
    }
}
END_TEST

START_TEST(another_caller_proves_nothing)
{
    struct gateway a = make_gateway(1);
    struct gateway b = make_gateway(2);
    leak(&a, 0, 50);
    pass(&a, 0, 450);
    pass(&b, 2, 5000);
    struct pair pair = compare(a.synth, b.synth, 0);
    ck_assert_uint_eq(pair.diff->rows[0].passed[1], 0);
    ck_assert_int_eq(pair.diff->rows[0].change, BL_CHANGE_GONE);
    deinit(&pair);
}
END_TEST

START_TEST(what_passed_before_proves_nothing_in_one_process)
{
    struct gateway a = make_gateway(1);
    struct gateway b = make_gateway(1);
    a.synth->header.snapshot_number = 1;
    a.synth->header.snapshot_ns = END - SECOND;
    b.synth->header.snapshot_number = 2;
    b.synth->header.snapshot_ns = END;
    leak(&a, 0, 10);
    pass(&a, 0, 90);
    pass(&b, 0, 91);
    struct pair pair = compare(a.synth, b.synth, 0);
    ck_assert(pair.diff->is_same_process);
    ck_assert_uint_eq(pair.diff->elapsed_ns, SECOND);
    ck_assert_uint_eq(pair.diff->rows[0].passed[1], 1);
    ck_assert_int_eq(pair.diff->rows[0].change, BL_CHANGE_GONE);
    ck_assert_double_lt(pair.diff->rows[0].bytes_per_s, 0);
    deinit(&pair);
}
END_TEST

START_TEST(a_place_that_is_merely_in_use_now_is_one_row)
{
    struct gateway a = make_gateway(1);
    struct gateway b = make_gateway(2);
    struct synth_op ops[] = {{.op = BL_OP_ALLOC, .stack = a.read, .delta = 1}};
    for (uint64_t i = 0; i < 40; i++)
        synth_object(a.synth, a.class, 64, 3 * SECOND + i * SECOND, ops, 1);
    b.synth->header.state = BL_STATE_RUNNING;
    b.synth->header.snapshot_number = 1;
    b.synth->header.snapshot_ns = END;
    for (uint64_t i = 0; i < 2; i++)
        synth_object(b.synth, b.class, 64, END - 1000000, ops, 1);
    struct synth_op whole[] = {ops[0], {.op = BL_OP_END, .stack = b.end, .delta = -1}};
    synth_lifecycle(b.synth, b.class, 500, 5000000, END - SECOND, whole, 2);
    struct pair pair = compare(a.synth, b.synth, 0);
    ck_assert_uint_eq(pair.diff->row_count, 1);
    const struct bl_diff_row *row = &pair.diff->rows[0];
    ck_assert_int_eq(row->change, BL_CHANGE_FIXED);
    ck_assert_int_eq(row->part[0].rank, BL_VERDICT_NEVER_RELEASED);
    ck_assert_int_eq(row->part[1].rank, BL_MODEL_RANK_PLAIN);
    ck_assert_uint_eq(row->part[1].count, 2);
    deinit(&pair);
}
END_TEST

START_TEST(small_changes_are_counted_only)
{
    struct gateway a = make_gateway(1);
    struct gateway b = make_gateway(2);
    leak(&a, 0, 10);
    leak(&b, 0, 11);
    struct pair pair = compare(a.synth, b.synth, 1025);
    ck_assert_uint_eq(pair.diff->row_count, 0);
    ck_assert_uint_eq(pair.diff->below, 1);
    deinit(&pair);
}
END_TEST

/* ---- what it looks like ---- */

/* The version changes with every release; the rest does not. */
static char *without_version(const char *text)
{
    char *copy = calloc(1, strlen(text) * 2 + 1);
    while (*text) {
        if (strncmp(text, "bufleak " BL_VERSION, strlen("bufleak " BL_VERSION)) == 0) {
            strcat(copy, "bufleak VERSION");
            text += strlen("bufleak " BL_VERSION);
        } else {
            strncat(copy, text++, 1);
        }
    }
    return copy;
}

static void compare_golden(const struct pair *pair, const char *name, bool is_json)
{
    char path[512];
    char *raw = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&raw, &length);
    struct bl_diff_view view = {.diff = pair->diff,
                                .sides = {pair->inspections[0].view, pair->inspections[1].view}};
    if (is_json)
        ck_assert_int_eq(bl_render_diff_json(out, &view, &error), 0);
    else
        bl_render_diff_text(out, &view);
    fclose(out);
    char *text = without_version(raw);
    snprintf(path, sizeof(path), "%s/%s", BL_TEST_GOLDEN, name);
    if (getenv("BUFLEAK_GOLDEN_WRITE")) {
        FILE *file = fopen(path, "we");
        ck_assert_int_ge(fputs(text, file), 0);
        fclose(file);
    }
    FILE *file = fopen(path, "re");
    char *expected = calloc(1, 1 << 18);
    ck_assert_msg(file != NULL, "%s is missing", path);
    ck_assert_uint_lt(fread(expected, 1, (1 << 18) - 1, file), (1 << 18) - 1);
    fclose(file);
    ck_assert_msg(strcmp(text, expected) == 0, "%s differs; now it is:\n%s", path, text);
    free(expected);
    free(text);
    free(raw);
}

/* A leak that is repaired, one that is new, a class that only one side has, and plain blocks. */
static struct pair make_story(void)
{
    struct gateway a = make_gateway(1700000000000000000ull);
    struct gateway b = make_gateway(1700003600000000000ull);
    leak(&a, 0, 50);
    pass(&a, 0, 450);
    pass(&b, 0, 500);
    leak(&b, 2, 20);
    pass(&b, 2, 500);
    for (uint32_t i = 0; i < 40; i++) {
        synth_live(a.synth, 0, 100, a.end, 0, 5 * SECOND);
        synth_live(b.synth, 0, 100, b.end, 0, 5 * SECOND);
        if (i < 25)
            synth_live(b.synth, 0, 64, b.drop, 0, 6 * SECOND);
    }
    synth_live(b.synth, synth_class(b.synth, "mmap"), 1 << 20, 0, 0, 5 * SECOND);
    b.synth->header.pid = 4343;
    return compare(a.synth, b.synth, 0);
}

START_TEST(a_diff_looks_as_agreed)
{
    struct pair pair = make_story();
    compare_golden(&pair, "diff.txt", false);
    compare_golden(&pair, "diff.json", true);
    pair.inspections[0].view.show_all = true;
    compare_golden(&pair, "diff-all.txt", false);
    deinit(&pair);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_diff");
    TCase *tests = tcase_create("diff");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, callers_of_one_helper_are_told_apart);
    tcase_add_test(tests, one_caller_that_leaks_and_all_of_them_are_one_row);
    tcase_add_test(tests, fixed_takes_as_much_traffic_as_luck_demands);
    tcase_add_test(tests, another_caller_proves_nothing);
    tcase_add_test(tests, what_passed_before_proves_nothing_in_one_process);
    tcase_add_test(tests, a_place_that_is_merely_in_use_now_is_one_row);
    tcase_add_test(tests, small_changes_are_counted_only);
    tcase_add_test(tests, a_diff_looks_as_agreed);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
