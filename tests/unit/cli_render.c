/* Reports of made-up ledgers against tests/golden. BUFLEAK_GOLDEN_WRITE=1 writes the golden files
 * anew; the difference is then for a person to judge. */
#include "cli_check.h"

#include "ledger_scenes.h"
#include "report.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECOND SCENE_SECOND
#define END    SCENE_END

static struct bl_error error;

static char *report_of(struct synth *synth, const struct bl_report_options *options)
{
    size_t size;
    uint8_t *bytes = synth_bytes(synth, &size);
    struct bl_target target = {.path = strdup("gateway.4242.1700000000123456.ledger"),
                               .fd = synth_file(bytes, size)};
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    ck_assert_msg(bl_report_write(out, &target, options, &error) == 0, "%s", error.text);
    fclose(out);
    bl_target_deinit(&target);
    free(bytes);
    return text;
}

/* The version changes with every release; the rest of the report does not. */
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

static char *read_whole(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = calloc(1, 1 << 20);
    ck_assert_msg(file != NULL, "%s is missing", path);
    ck_assert_uint_lt(fread(text, 1, (1 << 20) - 1, file), (1 << 20) - 1);
    fclose(file);
    return text;
}

static void compare(const char *name, struct synth *synth, struct bl_report_options options)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", BL_TEST_GOLDEN, name);
    char *report = report_of(synth, &options);
    char *text = without_version(report);
    if (getenv("BUFLEAK_GOLDEN_WRITE")) {
        FILE *file = fopen(path, "we");
        ck_assert_int_ge(fputs(text, file), 0);
        fclose(file);
    }
    char *expected = read_whole(path);
    ck_assert_msg(strcmp(text, expected) == 0, "%s differs; now it is:\n%s", path, text);
    free(expected);
    free(text);
    free(report);
}

START_TEST(the_report_looks_as_agreed)
{
    struct synth *synth = scene_gateway();
    compare("exited.txt", synth, (struct bl_report_options){0});
    compare("exited.json", synth, (struct bl_report_options){.is_json = true});
    struct bl_report_options folded = {.stacks = BL_REPORT_FOLDED,
                                       .model.group_by = BL_GROUP_STACK};
    compare("exited.folded", synth, folded);
    folded.counts_buffers = true;
    compare("exited-count.folded", synth, folded);
    struct bl_report_options by_stack = {
        .model.group_by = BL_GROUP_STACK, .model.top = 2, .has_top = true, .show_hooks = true};
    compare("stacks-top.txt", synth, by_stack);
    synth_destroy(synth);
}
END_TEST

START_TEST(losses_sampling_and_inheritance_are_said)
{
    struct synth *synth = scene_gateway();
    synth->header.flags = BL_FLAG_FORKED | BL_FLAG_INEXACT;
    synth->header.forked_ns = 100 * SECOND;
    synth->header.parent_pid = 4200;
    synth->header.state = BL_STATE_RUNNING;
    synth->header.snapshot_number = 2;
    synth->header.snapshot_reason = BL_REASON_SIGNAL;
    synth->header.snapshot_ns = END;
    synth->header.losses[BL_LOSS_stacks_truncated] = 17;
    synth->header.losses[BL_LOSS_buffers_no_memory] = 1204;
    synth->header.losses[BL_LOSSES_MAX - 1] = 3;
    synth->header.execs[0] = (struct bl_exec){.claim = 1,
                                              .reason = BL_EXEC_STATIC,
                                              .count = 3,
                                              .pid = 4711,
                                              .comm = "helper",
                                              .path = "/opt/gw/libexec/helper"};
    synth->header.execs[1] =
        (struct bl_exec){.claim = 1, .reason = BL_EXEC_SECURE, .comm = "never"}; /* it failed */
    compare("losses.txt", synth, (struct bl_report_options){0});
    compare("losses.json", synth, (struct bl_report_options){.is_json = true});
    synth->header.sample_bytes = 524288;
    struct bl_class *heap = synth_record(synth, BL_SECTION_CLASSES, 0);
    heap->ended_blocks = 27000000000ull << BL_BLOCKS_SHIFT;
    compare("sampled.txt", synth, (struct bl_report_options){0});
    synth_destroy(synth);
}
END_TEST

START_TEST(a_snapshot_that_the_process_did_not_live_to_see_is_told)
{
    static const struct {
        uint32_t state, asked, served;
    } cases[] = {{BL_STATE_EXITED, 2, 1}, {BL_STATE_EXITED, 1, 1}, {BL_STATE_RUNNING, 2, 1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct synth *synth = scene_gateway();
        synth->header.state = cases[i].state;
        synth->header.snapshot_number = cases[i].state == BL_STATE_RUNNING;
        synth->header.snapshot_reason = BL_REASON_SIGNAL;
        synth->header.snapshot_ns = END;
        synth->header.signal_requests = cases[i].asked;
        synth->header.signal_served = cases[i].served;
        char *text = report_of(synth, &(struct bl_report_options){0});
        ck_assert_int_eq(strstr(text, "ended while a snapshot was asked for") != NULL, i == 0);
        free(text);
        synth_destroy(synth);
    }
}
END_TEST

START_TEST(groups_by_size_thread_and_age_are_named)
{
    struct synth *synth = scene_gateway();
    compare("by-size.txt", synth, (struct bl_report_options){.model.group_by = BL_GROUP_SIZE});
    compare("by-thread.txt", synth, (struct bl_report_options){.model.group_by = BL_GROUP_THREAD});
    compare("by-age.txt", synth, (struct bl_report_options){.model.group_by = BL_GROUP_AGE});
    compare("by-module.json", synth,
            (struct bl_report_options){.model.group_by = BL_GROUP_MODULE, .is_json = true});
    synth_destroy(synth);
}
END_TEST

START_TEST(match_keeps_only_stacks_that_have_it)
{
    struct synth *synth = scene_gateway();
    struct bl_report_options options = {.match = "^cache", .is_json = true};
    char *text = report_of(synth, &options);
    json_t *root = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(root);
    ck_assert_uint_eq(json_array_size(json_object_get(root, "groups")), 1);
    json_decref(root);
    free(text);
    options.match = "nowhere";
    text = report_of(synth, &options);
    root = json_loads(text, 0, NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(root, "groups")), 0);
    json_decref(root);
    free(text);
    synth_destroy(synth);
}
END_TEST

START_TEST(verdicts_look_as_agreed)
{
    struct synth *synth = scene_incident();
    const struct bl_object *first = synth_record(synth, BL_SECTION_OBJECTS, 1);
    struct bl_report_options one = {.has_buffer = true, .buffer = first->address};
    compare("verdict.txt", synth, (struct bl_report_options){0});
    compare("verdict-all.txt", synth, (struct bl_report_options){.show_all = true});
    compare("verdict.json", synth, (struct bl_report_options){.is_json = true});
    compare("buffer.txt", synth, one);
    one.is_json = true;
    compare("buffer.json", synth, one);
    compare("tree.txt", synth, (struct bl_report_options){.show_tree = true});
    compare("tree.json", synth, (struct bl_report_options){.show_tree = true, .is_json = true});
    compare("verdict-stacks.txt", synth,
            (struct bl_report_options){.model.group_by = BL_GROUP_STACK});
    synth_destroy(synth);
}
END_TEST

/* Stacks that differ only farther out than any line shows. */
static uint32_t far_apart(struct synth *synth, uint32_t module, uint32_t from, uint32_t site)
{
    uint32_t frame = synth_frame(synth, 0, module, 0x1000 + from);
    for (uint32_t i = 0; i < 8; i++)
        frame = synth_frame(synth, frame, module, 0x2000 + i);
    return synth_frame(synth, frame, module, site);
}

START_TEST(places_that_look_the_same_are_one_line)
{
    struct synth *synth = synth_create();
    uint32_t class = synth_class(synth, "gst-buffer");
    uint32_t gw = synth_module(synth, "/opt/gone/gateway", "\x01\x23", 2, BL_MODULE_MAIN);
    uint32_t thread = synth_thread(synth, 4250, "worker/0");
    uint32_t make = far_apart(synth, gw, 0, 0x100);
    uint32_t keep = far_apart(synth, gw, 0, 0x200);
    uint32_t same[3];
    for (uint32_t i = 0; i < 3; i++)
        same[i] = far_apart(synth, gw, i, 0x300);
    uint32_t another = far_apart(synth, gw, 0, 0x320);
    synth_refcounted(synth, class, "libgst.so*");
    for (uint32_t i = 0; i < 20; i++) {
        uint64_t birth = (3 + i) * SECOND;
        struct synth_op ops[] = {
            {.op = BL_OP_ALLOC, .stack = make, .delta = 1, .time_ns = birth, .thread = thread},
            {.op = BL_OP_RETAIN, .stack = keep, .delta = 1, .time_ns = birth + 1},
            {.op = BL_OP_RELEASE,
             .stack = i < 7 ? another : same[i % 3],
             .delta = -1,
             .time_ns = birth + 2}};
        synth_object(synth, class, 64, birth, ops, 3);
    }
    char *text = report_of(synth, &(struct bl_report_options){0});
    const char *many = strstr(text, "released at gateway+0x300, 13 times\n");
    const char *few = strstr(text, "released at gateway+0x320, 7 times\n");
    ck_assert_msg(many && few && many < few, "%s", text);
    ck_assert_msg(!strstr(many + 1, "released at gateway+0x300"), "%s", text);
    free(text);
    synth_destroy(synth);
}
END_TEST

START_TEST(json_has_every_key_of_the_schema)
{
    static const char *const paths[][2] = {
        {NULL, "schema tool process classes groups series losses hooks"},
        {"process", "pid comm start uptime_ns state snapshot reason"},
        {"classes", "name live_count live_bytes peak_bytes allocs retains releases over_releases "
                    "growth"},
        {"groups", "class verdict confidence count bytes oldest_ns youngest_ns reach refs blame "
                   "alloc acquires releases evidence expected_release suppressed_by baseline"},
        {"hooks", "class function method why"}};
    struct synth *synth = scene_gateway();
    char *text = report_of(synth, &(struct bl_report_options){.is_json = true});
    json_error_t where;
    json_t *root = json_loads(text, 0, &where);
    ck_assert_msg(root != NULL, "%s", where.text);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        json_t *object = paths[i][0] ? json_object_get(root, paths[i][0]) : root;
        if (json_is_array(object))
            object = json_array_get(object, 0);
        char keys[512];
        snprintf(keys, sizeof(keys), "%s", paths[i][1]);
        for (char *key = strtok(keys, " "); key; key = strtok(NULL, " "))
            ck_assert_msg(json_object_get(object, key) != NULL, "%s is missing", key);
    }
    json_t *frame = json_array_get(
        json_object_get(
            json_object_get(json_array_get(json_object_get(root, "groups"), 0), "alloc"), "frames"),
        0);
    static const char *const frame_keys[] = {"function", "file",   "line",
                                             "module",   "offset", "inlined"};
    for (size_t i = 0; i < 6; i++)
        ck_assert_msg(json_object_get(frame, frame_keys[i]) != NULL, "%s", frame_keys[i]);
    json_decref(root);
    free(text);
    synth_destroy(synth);
}
END_TEST

static json_t *memory_of(struct synth *synth, json_t **ret_root)
{
    char *text = report_of(synth, &(struct bl_report_options){.is_json = true});
    json_error_t where;
    *ret_root = json_loads(text, 0, &where);
    ck_assert_msg(*ret_root != NULL, "%s", where.text);
    free(text);
    return json_object_get(*ret_root, "memory");
}

static void check_number(const json_t *object, const char *key, json_int_t expected)
{
    const json_t *value = json_object_get(object, key);
    ck_assert_msg(json_is_integer(value), "%s is no number", key);
    ck_assert_msg(json_integer_value(value) == expected, "%s is %" JSON_INTEGER_FORMAT, key,
                  json_integer_value(value));
}

START_TEST(limits_requests_marks_and_sweeps_are_in_the_json)
{
    struct synth *synth = scene_gateway();
    json_t *root;
    synth->header.limit_bytes = 64 << 20;
    synth->header.limit_action = BL_LIMIT_FAIL;
    synth->header.limit_reached_ns = synth->header.start_ns + 5 * SECOND;
    synth->header.limit_first_bytes = (64 << 20) - 10;
    synth->header.limit_refused = 7;
    synth->header.limit_refused_bytes = 7000;
    synth->header.limit_stack = 1;
    synth->header.cgroup_limit_bytes = 512 << 20;
    synth->header.cgroup_bytes = 100 << 20;
    synth->header.address_space_limit_bytes = 1ull << 32;
    synth->header.address_space_bytes = 1ull << 31;
    synth->header.frame_sweeps = 3;
    synth->header.frames_reclaimed = 400000;
    uint32_t number = synth_boundary(synth, "ngx_http_free_request", 12);
    struct bl_boundary *boundary = synth_record(synth, BL_SECTION_BOUNDARIES, number);
    boundary->flags = BL_BOUNDARY_ASKED;
    synth_boundary(synth, "ev_end", 0);
    synth_mark(synth, "123", BL_MARK_PLAIN, synth->header.start_ns + 2 * SECOND);
    json_t *memory = memory_of(synth, &root);
    json_t *limits = json_object_get(memory, "limits");
    check_number(limits, "limit_bytes", 64 << 20);
    ck_assert_str_eq(json_string_value(json_object_get(limits, "limit_action")), "fail");
    check_number(limits, "limit_reached_ns", (json_int_t)(5 * SECOND));
    check_number(limits, "limit_first_bytes", (64 << 20) - 10);
    check_number(limits, "limit_refused", 7);
    check_number(limits, "limit_refused_bytes", 7000);
    ck_assert(json_is_array(json_object_get(json_object_get(limits, "limit_stack"), "frames")));
    check_number(limits, "cgroup_limit_bytes", 512 << 20);
    check_number(limits, "cgroup_bytes", 100 << 20);
    check_number(limits, "address_space_limit_bytes", 1LL << 32);
    check_number(limits, "address_space_bytes", 1LL << 31);
    ck_assert(json_is_null(json_object_get(limits, "direct_limit_bytes")));
    json_t *requests = json_object_get(memory, "requests");
    ck_assert_uint_eq(json_array_size(requests), 2);
    json_t *asked = json_array_get(requests, 0);
    ck_assert_str_eq(json_string_value(json_object_get(asked, "function")),
                     "ngx_http_free_request");
    check_number(asked, "completed", 12);
    ck_assert(json_is_true(json_object_get(asked, "asked")));
    check_number(json_array_get(requests, 1), "completed", 0);
    ck_assert(json_is_false(json_object_get(json_array_get(requests, 1), "asked")));
    check_number(json_object_get(memory, "stacks"), "sweeps", 3);
    check_number(json_object_get(memory, "stacks"), "frames_reclaimed", 400000);
    json_t *mark = json_array_get(json_object_get(root, "marks"), 0);
    check_number(mark, "number", 1);
    check_number(mark, "t_ns", (json_int_t)(2 * SECOND));
    ck_assert_str_eq(json_string_value(json_object_get(mark, "name")), "123");
    json_decref(root);
    synth_destroy(synth);
}
END_TEST

START_TEST(what_is_not_limited_is_null)
{
    struct synth *synth = scene_gateway();
    json_t *root;
    json_t *memory = memory_of(synth, &root);
    json_t *limits = json_object_get(memory, "limits");
    static const char *const none[] = {"limit_bytes",        "limit_reached_ns",
                                       "cgroup_limit_bytes", "address_space_limit_bytes",
                                       "limit_stack",        "direct_limit_bytes"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        ck_assert_msg(json_is_null(json_object_get(limits, none[i])), "%s", none[i]);
    ck_assert_str_eq(json_string_value(json_object_get(limits, "limit_action")), "report");
    ck_assert_uint_eq(json_array_size(json_object_get(memory, "requests")), 0);
    json_decref(root);
    synth_destroy(synth);
}
END_TEST

START_TEST(an_empty_ledger_is_a_report_too)
{
    struct synth *synth = synth_create();
    compare("empty.txt", synth, (struct bl_report_options){0});
    compare("empty.json", synth, (struct bl_report_options){.is_json = true});
    synth_destroy(synth);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_render");
    TCase *tests = tcase_create("render");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, the_report_looks_as_agreed);
    tcase_add_test(tests, losses_sampling_and_inheritance_are_said);
    tcase_add_test(tests, a_snapshot_that_the_process_did_not_live_to_see_is_told);
    tcase_add_test(tests, groups_by_size_thread_and_age_are_named);
    tcase_add_test(tests, match_keeps_only_stacks_that_have_it);
    tcase_add_test(tests, verdicts_look_as_agreed);
    tcase_add_test(tests, places_that_look_the_same_are_one_line);
    tcase_add_test(tests, json_has_every_key_of_the_schema);
    tcase_add_test(tests, limits_requests_marks_and_sweeps_are_in_the_json);
    tcase_add_test(tests, what_is_not_limited_is_null);
    tcase_add_test(tests, an_empty_ledger_is_a_report_too);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
