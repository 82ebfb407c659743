/* Lost, held and by what, from made-up ledgers. */
#include "cli_check.h"

#include "inspect.h"
#include "ledger_synth.h"
#include "reach.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct bl_error error;

struct scene {
    struct synth *synth;
    uint32_t heap;
    uint32_t gw;
    uint32_t site;
    struct bl_reader *reader;
    struct bl_reaches *reaches;
};

static struct scene make_scene(void)
{
    struct scene s = {.synth = synth_create()};
    s.heap = synth_class(s.synth, "heap");
    s.gw = synth_module(s.synth, "/opt/gone/gateway", "\x01", 1, BL_MODULE_MAIN);
    s.site = synth_frame(s.synth, 0, s.gw, 0x20);
    return s;
}

static uint32_t block(struct scene *s, uint64_t size)
{
    return synth_live(s->synth, s->heap, size, s->site, 0, 2000000000);
}

static void look(struct scene *s)
{
    size_t size;
    uint8_t *bytes = synth_bytes(s->synth, &size);
    int fd = synth_file(bytes, size);
    free(bytes);
    ck_assert_int_eq(bl_reader_create(&s->reader, fd, "test", BL_READER_ALL, &error), 0);
    close(fd);
    ck_assert_int_eq(bl_reaches_create(&s->reaches, s->reader, &error), 0);
}

static void end_scene(struct scene *s)
{
    bl_reaches_destroy(s->reaches);
    bl_reader_destroy(s->reader);
    synth_destroy(s->synth);
}

static enum bl_reach_state state(const struct scene *s, uint32_t number)
{
    return bl_reach_of(s->reaches, number).state;
}

START_TEST(without_a_run_everything_is_unknown_and_nothing_is_said)
{
    struct scene s = make_scene();
    uint32_t a = block(&s, 10);
    char why[200] = "x";
    look(&s);
    ck_assert(!bl_reaches_known(s.reaches, why, sizeof(why)));
    ck_assert_str_eq(why, "");
    ck_assert_ptr_null(bl_reaches_run(s.reaches));
    ck_assert_int_eq(state(&s, a), BL_REACH_UNKNOWN);
    end_scene(&s);
}
END_TEST

START_TEST(a_run_that_failed_says_why_and_loses_nothing)
{
    struct scene s = make_scene();
    uint32_t a = block(&s, 10);
    char why[200];
    synth_reach(s.synth, a, BL_REACH_LEADER, 0, 0);
    synth_reach_run(s.synth, BL_REACH_FAILED, "the marking child died");
    look(&s);
    ck_assert(!bl_reaches_known(s.reaches, why, sizeof(why)));
    ck_assert_str_eq(why, "the marking child died");
    ck_assert_int_eq(state(&s, a), BL_REACH_UNKNOWN);
    end_scene(&s);
}
END_TEST

START_TEST(a_run_that_did_not_see_all_blocks_loses_nothing)
{
    struct scene s = make_scene();
    uint32_t a = block(&s, 10);
    char why[200];
    synth_reach(s.synth, a, BL_REACH_LEADER, 0, 0);
    synth_reach_run(s.synth, BL_REACH_DONE, NULL)->flags = BL_REACH_INCOMPLETE;
    look(&s);
    ck_assert(!bl_reaches_known(s.reaches, why, sizeof(why)));
    ck_assert_ptr_nonnull(strstr(why, "not recorded"));
    ck_assert_int_eq(state(&s, a), BL_REACH_UNKNOWN);
    end_scene(&s);
}
END_TEST

START_TEST(with_registers_unseen_nothing_is_lost_but_all_may_be_held)
{
    struct scene s = make_scene();
    uint32_t a = block(&s, 10);
    char why[200];
    synth_reach(s.synth, a, BL_REACH_LEADER, 0, 0);
    struct bl_reach_run *run = synth_reach_run(s.synth, BL_REACH_DONE, NULL);
    run->threads_degraded = 1;
    run->leaders = 1;
    look(&s);
    ck_assert(!bl_reaches_known(s.reaches, why, sizeof(why)));
    ck_assert_ptr_nonnull(strstr(why, "1 thread could not be stopped"));
    ck_assert_int_eq(state(&s, a), BL_REACH_UNKNOWN);
    end_scene(&s);

    s = make_scene();
    struct bl_reach_root root = {.module = s.gw, .kind = BL_ROOT_GLOBAL};
    a = block(&s, 10);
    synth_reach_root(s.synth, a, &root);
    synth_reach_run(s.synth, BL_REACH_DONE, NULL)->threads_degraded = 1;
    look(&s);
    ck_assert_int_eq(state(&s, a), BL_REACH_HELD);
    end_scene(&s);
}
END_TEST

START_TEST(a_path_leads_from_the_buffer_to_its_root)
{
    struct scene s = make_scene();
    uint32_t a = block(&s, 10);
    uint32_t b = block(&s, 40);
    struct bl_reach_root root = {
        .slot = 0x5000, .offset = 0x300, .module = s.gw, .kind = BL_ROOT_GLOBAL};
    struct bl_reach_step steps[4];
    synth_reach_run(s.synth, BL_REACH_DONE, NULL);
    synth_reach(s.synth, a, BL_REACH_INTERIOR, b, 8);
    synth_reach_root(s.synth, b, &root);
    look(&s);
    ck_assert_uint_eq(bl_reach_path(s.reaches, a, steps, 4), 2);
    ck_assert_uint_eq(steps[0].block, b);
    ck_assert_uint_eq(steps[0].slot, 8);
    ck_assert_ptr_null(steps[0].root);
    ck_assert_uint_eq(steps[1].block, 0);
    ck_assert_uint_eq(steps[1].root->offset, 0x300);
    ck_assert(bl_reach_of(s.reaches, a).interior_only);
    ck_assert(!bl_reach_of(s.reaches, b).interior_only);
    end_scene(&s);
}
END_TEST

START_TEST(a_long_path_is_cut_in_the_middle)
{
    struct scene s = make_scene();
    uint32_t blocks[20];
    struct bl_reach_root root = {.kind = BL_ROOT_TLS};
    struct bl_reach_step steps[5];
    for (size_t i = 0; i < 20; i++)
        blocks[i] = block(&s, 10);
    for (size_t i = 0; i + 1 < 20; i++)
        synth_reach(s.synth, blocks[i], BL_REACH_EXACT, blocks[i + 1], 0);
    synth_reach_root(s.synth, blocks[19], &root);
    synth_reach_run(s.synth, BL_REACH_DONE, NULL);
    look(&s);
    ck_assert_uint_eq(bl_reach_path(s.reaches, blocks[0], steps, 5), 20);
    ck_assert_uint_eq(steps[0].block, blocks[1]);
    ck_assert_uint_eq(steps[1].block, blocks[2]);
    ck_assert_uint_eq(steps[2].block, blocks[18]);
    ck_assert_uint_eq(steps[3].block, blocks[19]);
    ck_assert_ptr_nonnull(steps[4].root);
    end_scene(&s);
}
END_TEST

START_TEST(what_is_lost_with_a_leader_is_counted_under_it)
{
    struct scene s = make_scene();
    uint32_t a = block(&s, 10);
    uint32_t b = block(&s, 20);
    uint32_t c = block(&s, 30);
    synth_reach(s.synth, a, BL_REACH_INDIRECT, b, 0);
    synth_reach(s.synth, b, BL_REACH_INDIRECT, c, 0);
    synth_reach(s.synth, c, BL_REACH_LEADER, 0, 0);
    synth_reach_run(s.synth, BL_REACH_DONE, NULL);
    look(&s);
    ck_assert_uint_eq(bl_reach_of(s.reaches, a).leader, c);
    ck_assert_uint_eq(bl_reach_of(s.reaches, b).leader, c);
    ck_assert_uint_eq(bl_reach_of(s.reaches, c).leader, c);
    ck_assert_uint_eq(bl_reach_followers(s.reaches, c).count, 2);
    ck_assert_uint_eq(bl_reach_followers(s.reaches, c).bytes, 30);
    ck_assert_uint_eq(bl_reach_followers(s.reaches, a).count, 0);
    end_scene(&s);
}
END_TEST

START_TEST(a_cycle_in_the_file_has_one_leader_and_ends)
{
    struct scene s = make_scene();
    uint32_t a = block(&s, 10);
    uint32_t b = block(&s, 20);
    uint32_t c = block(&s, 30);
    struct bl_reach_step steps[4];
    synth_reach(s.synth, a, BL_REACH_INDIRECT, b, 0);
    synth_reach(s.synth, b, BL_REACH_INDIRECT, c, 0);
    synth_reach(s.synth, c, BL_REACH_INDIRECT, b, 0);
    synth_reach_run(s.synth, BL_REACH_DONE, NULL);
    look(&s);
    uint32_t leader = bl_reach_of(s.reaches, a).leader;
    ck_assert(leader == b || leader == c);
    ck_assert_uint_eq(bl_reach_of(s.reaches, b).leader, leader);
    ck_assert_uint_eq(bl_reach_of(s.reaches, c).leader, leader);
    ck_assert_uint_gt(bl_reach_path(s.reaches, a, steps, 4), 0);
    end_scene(&s);
}
END_TEST

START_TEST(holders_that_point_nowhere_end_the_path)
{
    struct scene s = make_scene();
    uint32_t a = block(&s, 10);
    uint32_t b = block(&s, 10);
    struct bl_reach_step steps[4];
    synth_reach(s.synth, a, BL_REACH_EXACT, UINT32_MAX, 0);
    synth_reach(s.synth, b, BL_REACH_INDIRECT, 777777, 0);
    synth_reach_run(s.synth, BL_REACH_DONE, NULL);
    look(&s);
    ck_assert_uint_eq(bl_reach_path(s.reaches, a, steps, 4), 0);
    ck_assert_uint_eq(bl_reach_of(s.reaches, b).leader, b);
    ck_assert_int_eq(state(&s, UINT32_MAX), BL_REACH_UNKNOWN);
    end_scene(&s);
}
END_TEST

START_TEST(a_record_that_stands_for_another_buffer_by_now_is_unknown)
{
    struct scene s = make_scene();
    uint32_t a = block(&s, 10);
    synth_reach(s.synth, a, BL_REACH_LEADER, 0, 0);
    synth_reach_run(s.synth, BL_REACH_DONE, NULL);
    struct bl_live *live = synth_record(s.synth, BL_SECTION_LIVE, a);
    live->word += 1u << BL_LIVE_GENERATION_SHIFT;
    look(&s);
    ck_assert_int_eq(state(&s, a), BL_REACH_UNKNOWN);
    end_scene(&s);
}
END_TEST

START_TEST(an_address_inside_a_block_finds_it)
{
    struct scene s = make_scene();
    uint32_t a = block(&s, 40);
    uint32_t b = block(&s, 0);
    synth_reach_run(s.synth, BL_REACH_DONE, NULL);
    const struct bl_live *live = synth_record(s.synth, BL_SECTION_LIVE, a);
    uint64_t at = live->address;
    look(&s);
    ck_assert_uint_eq(bl_reach_find(s.reaches, at), a);
    ck_assert_uint_eq(bl_reach_find(s.reaches, at + 39), a);
    ck_assert_uint_eq(bl_reach_find(s.reaches, at + 40), 0);
    ck_assert_uint_eq(bl_reach_find(s.reaches, at - 1), 0);
    ck_assert_uint_eq(bl_reach_find(s.reaches, at + 64), b);
    end_scene(&s);
}
END_TEST

/* Through the whole report: what the file says, as text and as JSON. */
static char *report(struct scene *s, bool is_json)
{
    size_t size;
    uint8_t *bytes = synth_bytes(s->synth, &size);
    struct bl_target target = {.path = (char *)"test"};
    struct bl_inspect_options options = {.judges = true};
    struct bl_inspection inspection;
    char *text = NULL;
    target.fd = synth_file(bytes, size);
    free(bytes);
    ck_assert_int_eq(bl_inspect(&inspection, &target, &options, &error), 0);
    FILE *out = open_memstream(&text, &size);
    if (is_json)
        ck_assert_int_eq(bl_render_json(out, &inspection.view, &error), 0);
    else
        bl_render_text(out, &inspection.view);
    fclose(out);
    bl_inspection_deinit(&inspection);
    close(target.fd);
    return text;
}

static void check_reports(struct scene *s, const char *text_part, const char *json_part)
{
    char *text = report(s, false);
    char *json = report(s, true);
    if (!strstr(text, text_part))
        ck_abort_msg("no \"%s\" in\n%s", text_part, text);
    if (!strstr(json, json_part))
        ck_abort_msg("no '%s' in\n%s", json_part, json);
    free(text);
    free(json);
}

START_TEST(a_report_says_what_holds_a_group)
{
    struct scene s = make_scene();
    struct bl_reach_root root = {.offset = 0x300, .module = s.gw, .kind = BL_ROOT_GLOBAL};
    uint32_t thread = synth_thread(s.synth, 77, "worker");
    uint32_t a = block(&s, 10);
    synth_reach_run(s.synth, BL_REACH_DONE, NULL);
    synth_reach_root(s.synth, a, &root);
    check_reports(&s, "held by                gateway+0x300 (global)", "\"reach\":\"held\"");
    root = (struct bl_reach_root){.thread = thread, .tid = 77, .kind = BL_ROOT_STACK};
    synth_reach_root(s.synth, a, &root);
    check_reports(&s, "held by                the stack of thread 77 (worker)",
                  "\"kind\":\"stack\"");
    synth_destroy(s.synth);
}
END_TEST

/* The first is held by another one than most bytes are. */
START_TEST(the_holder_of_most_bytes_is_named_with_its_share)
{
    struct scene s = make_scene();
    struct bl_reach_root small = {.offset = 0x300, .kind = BL_ROOT_REGION, .slot = 0x7000300};
    struct bl_reach_root big = {.offset = 0x40, .kind = BL_ROOT_REGION, .slot = 0x9000040};
    synth_reach_run(s.synth, BL_REACH_DONE, NULL);
    for (int i = 0; i < 3; i++)
        synth_reach_root(s.synth, block(&s, 10), &small);
    for (uint64_t i = 0; i < 4; i++) {
        big.offset += 8 * i;
        big.slot += 8 * i;
        synth_reach_root(s.synth, block(&s, 50), &big);
    }
    check_reports(&s, "held by                a mapped region, at 0x9000040",
                  "\"held_by_counts\":{\"holders\":2,\"buffers\":4,\"bytes\":200,"
                  "\"of_bytes\":230}");
    check_reports(&s, "(holds 200 B of 230 B, the rest is held by 1 other)", "\"slot\":150995008");
    synth_destroy(s.synth);
}
END_TEST

/* A list holds its own members: what counts is who holds the list. */
START_TEST(members_of_a_list_are_held_by_what_holds_its_head)
{
    struct scene s = make_scene();
    struct bl_reach_root root = {.offset = 0x10, .kind = BL_ROOT_REGION, .slot = 0x7000010};
    struct bl_reach_root other = {.kind = BL_ROOT_TLS, .tid = 5};
    uint32_t elsewhere = synth_frame(s.synth, 0, s.gw, 0x999);
    uint32_t table = synth_live(s.synth, s.heap, 4096, elsewhere, 0, 2000000000);
    uint32_t before = block(&s, 10);
    synth_reach_run(s.synth, BL_REACH_DONE, NULL);
    synth_reach_root(s.synth, table, &root);
    synth_reach(s.synth, before, BL_REACH_EXACT, table, 64);
    for (int i = 0; i < 30; i++) {
        uint32_t next = block(&s, 10);
        synth_reach(s.synth, next, BL_REACH_EXACT, before, 0);
        before = next;
    }
    check_reports(&s, "a block of 4.00 KiB from gateway+0x999, at +64\n", "\"held_by\":[");
    check_reports(&s, "a mapped region, at 0x7000010",
                  "\"held_by_counts\":{\"holders\":1,\"buffers\":31,\"bytes\":310,"
                  "\"of_bytes\":310}");
    for (int i = 0; i < 2; i++) {
        synth_reach_root(s.synth, block(&s, 200), &other);
        other.tid++;
    }
    check_reports(&s, "(and other threads; holds 400 B of 710 B, the rest is held by 1 other)",
                  "\"kind\":\"thread-local\"");
    synth_destroy(s.synth);
}
END_TEST

START_TEST(a_report_says_what_is_lost)
{
    struct scene s = make_scene();
    uint32_t a = block(&s, 10);
    uint32_t b = block(&s, 20);
    synth_reach(s.synth, a, BL_REACH_INDIRECT, b, 0);
    synth_reach(s.synth, b, BL_REACH_LEADER, 0, 0);
    struct bl_reach_run *run = synth_reach_run(s.synth, BL_REACH_DONE, NULL);
    run->blocks = 2;
    run->leaders = 1;
    run->indirect = 1;
    run->lost_bytes = 30;
    check_reports(&s, "reach: 2 of 2 heap blocks lost, 30 B (1 of them with others)",
                  "\"reach\":\"lost\"");
    check_reports(&s, "2 of 2: no pointer to them is left", "\"lost\":2,\"lost_bytes\":30");
    synth_destroy(s.synth);
}
END_TEST

START_TEST(a_report_on_a_failed_run_says_unknown)
{
    struct scene s = make_scene();
    block(&s, 10);
    synth_reach_run(s.synth, BL_REACH_FAILED, "a thread could not be stopped");
    check_reports(&s, "lost or held is unknown: a thread could not be stopped",
                  "\"outcome\":\"failed\"");
    check_reports(&s, "", "\"reach\":\"unknown\"");
    synth_destroy(s.synth);
}
END_TEST

START_TEST(a_run_counts_in_its_own_picture_only)
{
    struct scene s = make_scene();
    uint32_t a = block(&s, 10);
    synth_reach(s.synth, a, BL_REACH_LEADER, 0, 0);
    struct bl_reach_run *run = synth_reach_run(s.synth, BL_REACH_DONE, NULL);
    run->flags = 0;
    run->stopped_ns = 2000000010;
    check_reports(&s, "lost or held is unknown: it was asked for", "\"outcome\":\"stale\"");
    check_reports(&s, "lost or held is unknown", "\"reach\":\"unknown\"");
    struct bl_header *header = &s.synth->header;
    header->snapshot_number = 1;
    header->snapshot_ns = 2000000009;
    check_reports(&s, "1 of 1: no pointer to it is left", "\"reach\":\"lost\"");
    header->snapshot_number = 2;
    header->snapshot_ns = 2000000011;
    check_reports(&s, "lost or held is unknown: it was asked for", "\"reach\":\"unknown\"");
    synth_destroy(s.synth);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reach");
    TCase *reaches = tcase_create("reaches");
    tcase_add_test(reaches, without_a_run_everything_is_unknown_and_nothing_is_said);
    tcase_add_test(reaches, a_run_that_failed_says_why_and_loses_nothing);
    tcase_add_test(reaches, a_run_that_did_not_see_all_blocks_loses_nothing);
    tcase_add_test(reaches, with_registers_unseen_nothing_is_lost_but_all_may_be_held);
    tcase_add_test(reaches, a_path_leads_from_the_buffer_to_its_root);
    tcase_add_test(reaches, a_long_path_is_cut_in_the_middle);
    tcase_add_test(reaches, what_is_lost_with_a_leader_is_counted_under_it);
    tcase_add_test(reaches, a_cycle_in_the_file_has_one_leader_and_ends);
    tcase_add_test(reaches, holders_that_point_nowhere_end_the_path);
    tcase_add_test(reaches, a_record_that_stands_for_another_buffer_by_now_is_unknown);
    tcase_add_test(reaches, an_address_inside_a_block_finds_it);
    suite_add_tcase(suite, reaches);
    TCase *reports = tcase_create("reports");
    tcase_add_test(reports, a_report_says_what_holds_a_group);
    tcase_add_test(reports, the_holder_of_most_bytes_is_named_with_its_share);
    tcase_add_test(reports, members_of_a_list_are_held_by_what_holds_its_head);
    tcase_add_test(reports, a_report_says_what_is_lost);
    tcase_add_test(reports, a_report_on_a_failed_run_says_unknown);
    tcase_add_test(reports, a_run_counts_in_its_own_picture_only);
    suite_add_tcase(suite, reports);
    return run_suite(suite);
}
