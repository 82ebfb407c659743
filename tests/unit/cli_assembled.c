/* Who assembled the chain that a place is in, from made-up ledgers. */
#include "cli_check.h"

#include "assembled.h"
#include "ledger_synth.h"

#include <stdio.h>
#include <unistd.h>

static struct bl_error error;
static struct bl_assembled found[BL_ASSEMBLED_MAX];
static uint64_t all;
static size_t others;

/* Two callers of one operator, and what is called in it. */
struct scene {
    struct synth *synth;
    uint32_t module;
    uint32_t first;
    uint32_t second;
    uint32_t in_first;
    uint32_t in_second;
    struct bl_reader *reader;
};

static struct scene make_scene(void)
{
    struct scene s = {.synth = synth_create()};
    s.module = synth_module(s.synth, "app", "\x01", 1, BL_MODULE_MANAGED);
    s.first = synth_frame(s.synth, synth_frame(s.synth, 0, s.module, 0x10), s.module, 0x20);
    s.second = synth_frame(s.synth, synth_frame(s.synth, 0, s.module, 0x11), s.module, 0x20);
    s.in_first = synth_frame(s.synth, s.first, s.module, 0x30);
    s.in_second = synth_frame(s.synth, s.second, s.module, 0x30);
    return s;
}

static void look(struct scene *s)
{
    size_t size;
    uint8_t *bytes = synth_bytes(s->synth, &size);
    int fd = synth_file(bytes, size);
    free(bytes);
    ck_assert_int_eq(bl_reader_create(&s->reader, fd, "test", BL_READER_ALL, &error), 0);
    close(fd);
}

static void end_scene(struct scene *s)
{
    bl_reader_destroy(s->reader);
    synth_destroy(s->synth);
}

static size_t find(const struct scene *s, uint32_t frame, bool any_caller)
{
    return bl_assembled_find(s->reader, frame, any_caller, found, &all, &others);
}

static const char *text_of(const struct scene *s, size_t i)
{
    static char text[256];
    bl_assembled_text(s->reader, &found[i], text, sizeof(text));
    return text;
}

START_TEST(a_place_has_the_answers_of_all_stacks_through_it_most_frequent_first)
{
    struct scene s = make_scene();
    synth_assembly(s.synth, s.in_first, "checkpoint(\"a\")", BL_ASSEMBLY_OF_OPERATOR, 2);
    uint32_t name = synth_assembly(s.synth, s.first, "checkpoint(\"b\")", BL_ASSEMBLY_OF_SOURCE, 5);
    synth_assembly(s.synth, s.in_second, "checkpoint(\"c\")", BL_ASSEMBLY_OF_OPERATOR, 9);
    look(&s);
    ck_assert_uint_eq(name, 2);
    ck_assert_uint_eq(find(&s, s.first, false), 2);
    ck_assert_str_eq(text_of(&s, 0), "checkpoint(\"b\")");
    ck_assert(found[0].is_of_source && !found[1].is_of_source);
    ck_assert_uint_eq(found[1].count, 2);
    ck_assert_uint_eq(all, 7);
    ck_assert_uint_eq(others, 0);
    end_scene(&s);
}
END_TEST

START_TEST(whoever_called_it_is_asked_for_by_the_place)
{
    struct scene s = make_scene();
    synth_assembly(s.synth, s.in_first, "checkpoint(\"a\")", BL_ASSEMBLY_OF_OPERATOR, 2);
    synth_assembly(s.synth, s.in_second, "checkpoint(\"c\")", BL_ASSEMBLY_OF_OPERATOR, 9);
    look(&s);
    ck_assert_uint_eq(find(&s, s.first, true), 2);
    ck_assert_str_eq(text_of(&s, 0), "checkpoint(\"c\")");
    ck_assert_uint_eq(find(&s, s.in_first, false), 1);
    ck_assert_uint_eq(find(&s, 0, true), 0);
    end_scene(&s);
}
END_TEST

START_TEST(an_operator_further_in_is_another_one)
{
    struct scene s = make_scene();
    uint32_t module = synth_module(s.synth, "reactor.core.publisher", "\x02", 1, BL_MODULE_MANAGED);
    uint32_t operator_frame = synth_frame(s.synth, s.first, module, 0x40);
    uint32_t leaf = synth_frame(s.synth, operator_frame, s.module, 0x50);
    synth_assembly(s.synth, leaf, "checkpoint(\"inner\")", BL_ASSEMBLY_OF_OPERATOR, 2);
    look(&s);
    ck_assert_uint_eq(find(&s, s.first, false), 0);
    ck_assert_uint_eq(find(&s, s.first, true), 0);
    ck_assert_uint_eq(find(&s, operator_frame, false), 1);
    ck_assert_uint_eq(find(&s, leaf, false), 1);
    end_scene(&s);
}
END_TEST

START_TEST(an_operators_line_is_written_like_other_lines)
{
    struct scene s = make_scene();
    synth_assembly(s.synth, s.first, "Flux.map \xe2\x87\xa2 at app.Main.run(Main.java:3)",
                   BL_ASSEMBLY_OF_OPERATOR, 1);
    look(&s);
    ck_assert_uint_eq(find(&s, s.first, false), 1);
    ck_assert_str_eq(text_of(&s, 0), "Flux.map, app.Main.run(Main.java:3)");
    end_scene(&s);
}
END_TEST

START_TEST(more_answers_than_are_shown_are_counted)
{
    struct scene s = make_scene();
    char text[32];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "checkpoint(\"%u\")", i);
        synth_assembly(s.synth, s.first, text, BL_ASSEMBLY_OF_OPERATOR, 1);
    }
    look(&s);
    ck_assert_uint_eq(find(&s, s.first, false), BL_ASSEMBLED_MAX);
    ck_assert_uint_eq(others, 100 - BL_ASSEMBLED_MAX);
    ck_assert_uint_eq(all, 100);
    end_scene(&s);
}
END_TEST

START_TEST(an_answer_of_a_stack_that_is_not_there_is_left_out)
{
    struct scene s = make_scene();
    synth_assembly(s.synth, 999, "checkpoint(\"a\")", BL_ASSEMBLY_OF_OPERATOR, 1);
    look(&s);
    ck_assert_uint_eq(find(&s, s.first, true), 0);
    ck_assert_uint_eq(all, 0);
    end_scene(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_assembled");
    TCase *tests = tcase_create("assembled");
    tcase_add_test(tests, a_place_has_the_answers_of_all_stacks_through_it_most_frequent_first);
    tcase_add_test(tests, whoever_called_it_is_asked_for_by_the_place);
    tcase_add_test(tests, an_operator_further_in_is_another_one);
    tcase_add_test(tests, an_operators_line_is_written_like_other_lines);
    tcase_add_test(tests, more_answers_than_are_shown_are_counted);
    tcase_add_test(tests, an_answer_of_a_stack_that_is_not_there_is_left_out);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
