/* Where siblings of unreleased heap blocks ended, from made-up ledgers. */
#include "cli_check.h"

#include "ledger_synth.h"
#include "siblings.h"

#include <string.h>
#include <unistd.h>

static struct bl_error error;

/* One process with its report's parts. */
struct scene {
    struct synth *synth;
    uint32_t heap;
    uint32_t gw;
    uint32_t libc;
    uint32_t loop;
    struct bl_reader *reader;
    struct bl_symbols *symbols;
    struct bl_model *model;
    struct bl_siblings *siblings;
};

static struct scene make_scene(void)
{
    struct scene s = {.synth = synth_create()};
    s.heap = synth_class(s.synth, "heap");
    s.gw = synth_module(s.synth, "/opt/gone/gateway", "\x01", 1, BL_MODULE_MAIN);
    s.libc = synth_module(s.synth, "/opt/gone/libc.so.6", "\x02", 1, 0);
    s.loop = synth_frame(s.synth, synth_frame(s.synth, 0, s.libc, 0x10), s.gw, 0x20);
    return s;
}

/* The site at this offset, called from the loop. */
static uint32_t site(struct scene *s, uint64_t offset)
{
    return synth_frame(s->synth, s->loop, s->gw, offset);
}

static void live(struct scene *s, uint32_t stack, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        synth_live(s->synth, s->heap, 100, stack, 0, 2000000000);
}

static void look(struct scene *s, enum bl_group_by group_by)
{
    size_t size;
    struct bl_model_options options = {.group_by = group_by};
    uint8_t *bytes = synth_bytes(s->synth, &size);
    int fd = synth_file(bytes, size);
    free(bytes);
    ck_assert_int_eq(bl_reader_create(&s->reader, fd, "test", BL_READER_ALL, &error), 0);
    close(fd);
    ck_assert_int_eq(bl_symbols_create(&s->symbols, s->reader, NULL, &error), 0);
    ck_assert_int_eq(bl_model_create(&s->model, s->reader, false, &options, &error), 0);
    ck_assert_int_eq(
        bl_siblings_create(&s->siblings, s->reader, s->symbols, s->model, &options, &error), 0);
}

static void end_scene(struct scene *s)
{
    bl_siblings_destroy(s->siblings);
    bl_model_destroy(s->model);
    bl_symbols_destroy(s->symbols);
    bl_reader_destroy(s->reader);
    synth_destroy(s->synth);
}

static const struct bl_siblings *siblings_of(const struct scene *s, uint32_t stack)
{
    for (size_t i = 0; i < s->model->group_count; i++)
        if (s->model->groups[i].stack == stack)
            return s->model->groups[i].siblings;
    ck_abort_msg("stack %u has no group", stack);
}

static void check_place(const struct scene *s, const struct bl_siblings *siblings, size_t index,
                        uint64_t offset, uint64_t count)
{
    ck_assert_uint_lt(index, siblings->place_count);
    const struct bl_frame *frame = bl_reader_frame(s->reader, siblings->places[index].frame);
    ck_assert_uint_eq(frame->offset, offset);
    ck_assert_uint_eq(siblings->places[index].count, count);
}

START_TEST(ends_on_the_same_path_are_told_by_place_most_common_first)
{
    struct scene s = make_scene();
    uint32_t born = site(&s, 0x100);
    uint32_t elsewhere = synth_frame(s.synth, s.loop, s.gw, 0x999);
    live(&s, born, 3);
    synth_free_path(s.synth, born, site(&s, 0x300), 4, BL_OP_END);
    synth_free_path(s.synth, born, site(&s, 0x200), 30, BL_OP_END);
    /* the same place, called from elsewhere and inside libc */
    synth_free_path(s.synth, born,
                    synth_frame(s.synth, synth_frame(s.synth, elsewhere, s.gw, 0x200), s.libc, 5),
                    7, BL_OP_END);
    look(&s, BL_GROUP_SITE);
    const struct bl_siblings *found = siblings_of(&s, born);
    ck_assert_ptr_nonnull(found);
    ck_assert_uint_eq(found->place_count, 2);
    ck_assert_uint_eq(found->sampled, 41);
    ck_assert(!found->of_other_callers);
    check_place(&s, found, 0, 0x200, 37);
    check_place(&s, found, 1, 0x300, 4);
    ck_assert_uint_eq(found->places[0].through, 0);
    end_scene(&s);
}
END_TEST

START_TEST(other_callers_count_only_where_nothing_ended_on_the_same_path)
{
    struct scene s = make_scene();
    uint32_t other = synth_frame(s.synth, s.loop, s.gw, 0x50);
    uint32_t leaking = site(&s, 0x100);
    uint32_t fine = synth_frame(s.synth, other, s.gw, 0x100);
    uint32_t second = site(&s, 0x101);
    uint32_t second_fine = synth_frame(s.synth, other, s.gw, 0x101);
    live(&s, leaking, 3);
    live(&s, second, 2);
    synth_free_path(s.synth, fine, site(&s, 0x200), 9, BL_OP_END);
    synth_free_path(s.synth, second_fine, site(&s, 0x200), 9, BL_OP_END);
    synth_free_path(s.synth, second, site(&s, 0x300), 1, BL_OP_END);
    look(&s, BL_GROUP_SITE);
    const struct bl_siblings *found = siblings_of(&s, leaking);
    ck_assert(found->of_other_callers);
    check_place(&s, found, 0, 0x200, 9);
    found = siblings_of(&s, second);
    ck_assert(!found->of_other_callers);
    ck_assert_uint_eq(found->sampled, 1);
    check_place(&s, found, 0, 0x300, 1);
    end_scene(&s);
}
END_TEST

START_TEST(a_group_by_stack_has_no_other_callers)
{
    struct scene s = make_scene();
    uint32_t leaking = site(&s, 0x100);
    uint32_t fine = synth_frame(s.synth, synth_frame(s.synth, s.loop, s.gw, 0x50), s.gw, 0x100);
    live(&s, leaking, 3);
    live(&s, fine, 1);
    synth_free_path(s.synth, fine, site(&s, 0x200), 9, BL_OP_END);
    look(&s, BL_GROUP_STACK);
    ck_assert_ptr_null(siblings_of(&s, leaking));
    check_place(&s, siblings_of(&s, fine), 0, 0x200, 9);
    end_scene(&s);
}
END_TEST

START_TEST(what_realloc_took_is_kept_apart)
{
    struct scene s = make_scene();
    uint32_t born = site(&s, 0x100);
    live(&s, born, 3);
    synth_free_path(s.synth, born, site(&s, 0x200), 4, BL_OP_RESIZE);
    synth_free_path(s.synth, born, site(&s, 0x200), 5, BL_OP_END);
    look(&s, BL_GROUP_SITE);
    const struct bl_siblings *found = siblings_of(&s, born);
    ck_assert_uint_eq(found->place_count, 2);
    ck_assert(!found->places[0].is_resize);
    ck_assert(found->places[1].is_resize);
    ck_assert_uint_eq(found->sampled, 9);
    end_scene(&s);
}
END_TEST

START_TEST(more_places_than_are_shown_are_counted)
{
    struct scene s = make_scene();
    uint32_t born = site(&s, 0x100);
    live(&s, born, 3);
    for (uint64_t i = 0; i < 10; i++)
        synth_free_path(s.synth, born, site(&s, 0x200 + i), i + 1, BL_OP_END);
    look(&s, BL_GROUP_SITE);
    const struct bl_siblings *found = siblings_of(&s, born);
    ck_assert_uint_eq(found->place_count, BL_SIBLINGS_PLACES);
    ck_assert_uint_eq(found->places_left_out, 10 - BL_SIBLINGS_PLACES);
    ck_assert_uint_eq(found->sampled, 55);
    check_place(&s, found, 0, 0x209, 10);
    end_scene(&s);
}
END_TEST

START_TEST(groups_that_are_not_places_in_the_code_have_none)
{
    struct scene s = make_scene();
    uint32_t born = site(&s, 0x100);
    live(&s, born, 3);
    synth_free_path(s.synth, born, site(&s, 0x200), 4, BL_OP_END);
    look(&s, BL_GROUP_SIZE);
    ck_assert_ptr_null(siblings_of(&s, born));
    end_scene(&s);
}
END_TEST

START_TEST(a_ledger_without_samples_has_none)
{
    struct scene s = make_scene();
    uint32_t born = site(&s, 0x100);
    live(&s, born, 3);
    live(&s, 0, 3);
    look(&s, BL_GROUP_SITE);
    ck_assert_ptr_null(siblings_of(&s, born));
    end_scene(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_siblings");
    TCase *tests = tcase_create("siblings");
    tcase_add_test(tests, ends_on_the_same_path_are_told_by_place_most_common_first);
    tcase_add_test(tests, other_callers_count_only_where_nothing_ended_on_the_same_path);
    tcase_add_test(tests, a_group_by_stack_has_no_other_callers);
    tcase_add_test(tests, what_realloc_took_is_kept_apart);
    tcase_add_test(tests, more_places_than_are_shown_are_counted);
    tcase_add_test(tests, groups_that_are_not_places_in_the_code_have_none);
    tcase_add_test(tests, a_ledger_without_samples_has_none);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
