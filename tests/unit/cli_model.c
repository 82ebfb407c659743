#include "cli_check.h"

#include "ledger_synth.h"
#include "model.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull
#define END    (752 * SECOND)

static struct bl_error error;
static struct bl_reader *reader;

static struct bl_model *model_of(struct synth *synth, const struct bl_model_options *options)
{
    struct bl_model *model = NULL;
    size_t size;
    uint8_t *bytes = synth_bytes(synth, &size);
    int fd = synth_file(bytes, size);
    bl_reader_destroy(reader);
    reader = NULL;
    ck_assert_msg(bl_reader_create(&reader, fd, "test", BL_READER_ALL, &error) == 0, "%s",
                  error.text);
    close(fd);
    free(bytes);
    if (bl_model_create(&model, reader, false, options, &error) < 0)
        return NULL;
    return model;
}

/* gw calls libproxy, which calls strdup in libc, through the shim; two paths lead there. */
struct places {
    uint32_t heap, other, gw, proxy, shim, libc;
    uint32_t main_frame, path_a, path_b, site_a, site_b, stack_a, stack_b, direct;
};

static struct synth *make_paths(struct places *p)
{
    struct synth *synth = synth_create();
    p->heap = synth_class(synth, "heap");
    p->other = synth_class(synth, "mmap");
    p->gw = synth_module(synth, "/usr/bin/gw", "gw", 2, BL_MODULE_MAIN);
    p->proxy = synth_module(synth, "/usr/lib/libproxy.so.1", "px", 2, 0);
    p->libc = synth_module(synth, "/lib/x86_64-linux-gnu/libc.so.6", "lc", 2, 0);
    p->shim = synth_module(synth, "/usr/lib/bufleak/libbufleak.so", "bl", 2, BL_MODULE_SHIM);
    p->main_frame = synth_frame(synth, 0, p->gw, 0x10);
    p->path_a = synth_frame(synth, p->main_frame, p->gw, 0x20);
    p->path_b = synth_frame(synth, p->main_frame, p->gw, 0x30);
    p->site_a = synth_frame(synth, p->path_a, p->proxy, 0x40);
    p->site_b = synth_frame(synth, p->path_b, p->proxy, 0x40);
    p->stack_a = synth_frame(synth, synth_frame(synth, p->site_a, p->libc, 0x50), p->shim, 0x60);
    p->stack_b = synth_frame(synth, synth_frame(synth, p->site_b, p->libc, 0x50), p->shim, 0x60);
    p->direct = synth_frame(synth, p->path_a, p->shim, 0x70);
    return synth;
}

START_TEST(a_site_is_the_innermost_frame_that_is_not_runtime)
{
    struct places p;
    struct synth *synth = make_paths(&p);
    struct bl_model_options options = {.group_by = BL_GROUP_SITE};
    synth_live(synth, p.heap, 100, p.stack_a, 0, END - 10 * SECOND);
    synth_live(synth, p.heap, 300, p.stack_b, 0, END - 3 * SECOND);
    synth_live(synth, p.heap, 50, p.direct, 0, END - 700 * SECOND);
    struct bl_model *model = model_of(synth, &options);
    ck_assert_uint_eq(model->group_count, 2);
    const struct bl_group *group = &model->groups[0];
    ck_assert_uint_eq(group->count, 2);
    ck_assert_uint_eq(group->bytes, 400);
    ck_assert_uint_eq(group->stack_count, 2);
    ck_assert_uint_eq(group->stack, p.stack_b);
    ck_assert_uint_eq(group->oldest_ns, 10 * SECOND);
    ck_assert_uint_eq(group->youngest_ns, 3 * SECOND);
    ck_assert_uint_eq(model->groups[1].bytes, 50);
    bl_model_destroy(model);
    options.own[0] = "gw";
    options.own_count = 1;
    model = model_of(synth, &options);
    ck_assert_uint_eq(model->group_count, 2);
    ck_assert_uint_eq(model->groups[0].bytes, 300);
    ck_assert_uint_eq(model->groups[1].bytes, 150);
    bl_model_destroy(model);
    synth_destroy(synth);
}
END_TEST

START_TEST(the_shims_own_frames_are_not_in_a_stack)
{
    struct places p;
    struct synth *synth = make_paths(&p);
    struct bl_model *model = model_of(synth, &(struct bl_model_options){0});
    uint32_t frames[16];
    ck_assert_uint_eq(bl_model_stack(reader, p.stack_a, frames, 16), 4);
    ck_assert_uint_eq(frames[1], p.site_a);
    ck_assert_uint_eq(frames[3], p.main_frame);
    ck_assert_uint_eq(bl_model_stack(reader, p.stack_a, frames, 2), 2);
    bl_model_destroy(model);
    synth_destroy(synth);
}
END_TEST

START_TEST(each_way_of_grouping_has_its_groups)
{
    static const struct {
        enum bl_group_by by;
        size_t expected;
    } ways[] = {{BL_GROUP_STACK, 3}, {BL_GROUP_SITE, 2},   {BL_GROUP_MODULE, 2},
                {BL_GROUP_SIZE, 4},  {BL_GROUP_THREAD, 3}, {BL_GROUP_AGE, 3}};
    struct places p;
    struct synth *synth = make_paths(&p);
    uint32_t one = synth_thread(synth, 11, "one");
    uint32_t two = synth_thread(synth, 12, "two");
    synth_live(synth, p.heap, 100, p.stack_a, one, END - 1);
    synth_live(synth, p.heap, 200, p.stack_b, one, END - 2 * SECOND);
    synth_live(synth, p.heap, 300, p.stack_b, two, END - 3 * SECOND);
    synth_live(synth, p.heap, 400, p.direct, 0, END - 4000);
    synth_live(synth, p.heap, 400, p.direct, 0, END - 100 * SECOND);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct bl_model_options options = {.group_by = ways[i].by};
        struct bl_model *model = model_of(synth, &options);
        ck_assert_msg(model->group_count == ways[i].expected, "way %zu: %zu groups", i,
                      model->group_count);
        uint64_t bytes = 0;
        for (size_t g = 0; g < model->group_count; g++)
            bytes += model->groups[g].bytes;
        ck_assert_uint_eq(bytes, 1400);
        bl_model_destroy(model);
    }
    synth_destroy(synth);
}
END_TEST

START_TEST(a_library_loaded_twice_is_one_site)
{
    struct places p;
    struct synth *synth = make_paths(&p);
    uint32_t again = synth_module(synth, "/usr/lib/libproxy.so.1", "px", 2, 0);
    uint32_t other = synth_module(synth, "/usr/lib/libproxy.so.1", "py", 2, 0);
    synth_live(synth, p.heap, 1, p.site_a, 0, 1);
    synth_live(synth, p.heap, 1, synth_frame(synth, p.path_a, again, 0x40), 0, 1);
    synth_live(synth, p.heap, 1, synth_frame(synth, p.path_a, other, 0x40), 0, 1);
    struct bl_model *model = model_of(synth, &(struct bl_model_options){0});
    ck_assert_uint_eq(model->group_count, 2);
    ck_assert_uint_eq(model->groups[0].count, 2);
    bl_model_destroy(model);
    synth_destroy(synth);
}
END_TEST

START_TEST(filters_leave_out_what_they_say)
{
    struct places p;
    struct synth *synth = make_paths(&p);
    synth_live(synth, p.heap, 100, p.site_a, 0, END - 1);
    synth_live(synth, p.heap, 900, p.direct, 0, END - 20 * SECOND);
    synth_live(synth, p.other, 5000, p.direct, 0, END - 20 * SECOND);
    struct bl_model *model = model_of(synth, &(struct bl_model_options){.class_name = "heap"});
    ck_assert_uint_eq(model->group_count, 2);
    ck_assert_uint_eq(model->class_count, 2);
    bl_model_destroy(model);
    model = model_of(synth, &(struct bl_model_options){.min_age_ns = 10 * SECOND});
    ck_assert_uint_eq(model->group_count, 2);
    bl_model_destroy(model);
    model = model_of(synth, &(struct bl_model_options){.min_bytes = 901});
    ck_assert_uint_eq(model->group_count, 1);
    bl_model_destroy(model);
    model = model_of(synth, &(struct bl_model_options){.top = 2});
    ck_assert_uint_eq(model->group_count, 3);
    ck_assert_uint_eq(model->shown, 2);
    ck_assert_uint_eq(model->groups[0].bytes, 5000);
    bl_model_destroy(model);
    ck_assert_ptr_null(model_of(synth, &(struct bl_model_options){.class_name = "gst-buffer"}));
    ck_assert_ptr_nonnull(strstr(error.text, "heap, mmap"));
    synth_destroy(synth);
}
END_TEST

START_TEST(class_sums_come_from_all_shards)
{
    struct places p;
    struct synth *synth = make_paths(&p);
    for (int i = 0; i < 100; i++)
        synth_live(synth, p.heap, 10, p.direct, 0, 1);
    synth_ended(synth, p.heap, 1000, 50000);
    struct bl_class *class = synth_record(synth, BL_SECTION_CLASSES, p.heap);
    class->peak_bytes = 30000;
    struct bl_model *model = model_of(synth, &(struct bl_model_options){0});
    ck_assert_str_eq(model->classes[0].name, "heap");
    ck_assert_uint_eq(model->classes[0].live_count, 100);
    ck_assert_uint_eq(model->classes[0].live_bytes, 1000);
    ck_assert_uint_eq(model->classes[0].allocs, 1100);
    ck_assert_uint_eq(model->classes[0].releases, 1000);
    ck_assert_uint_eq(model->classes[0].peak_bytes, 30000);
    bl_model_destroy(model);
    synth_destroy(synth);
}
END_TEST

START_TEST(buffers_of_the_parent_are_marked_inherited)
{
    struct places p;
    struct synth *synth = make_paths(&p);
    synth->header.flags = BL_FLAG_FORKED;
    synth->header.forked_ns = 100 * SECOND;
    synth_live(synth, p.heap, 10, p.direct, 0, 99 * SECOND);
    synth_live(synth, p.heap, 10, p.direct, 0, 100 * SECOND);
    struct bl_model *model = model_of(synth, &(struct bl_model_options){0});
    ck_assert_uint_eq(model->groups[0].count, 2);
    ck_assert_uint_eq(model->groups[0].inherited, 1);
    bl_model_destroy(model);
    synth->header.flags = 0;
    model = model_of(synth, &(struct bl_model_options){0});
    ck_assert_uint_eq(model->groups[0].inherited, 0);
    bl_model_destroy(model);
    synth_destroy(synth);
}
END_TEST

START_TEST(the_childs_first_thread_separates_within_one_tick)
{
    struct places p;
    struct synth *synth = make_paths(&p);
    synth->header.flags = BL_FLAG_FORKED;
    synth->header.forked_ns = 100 * SECOND;
    synth->header.pid = 4300;
    uint32_t of_parent = synth_thread(synth, 4242, "parent");
    uint32_t of_child = synth_thread(synth, 4300, "child");
    synth_live(synth, p.heap, 10, p.direct, of_parent, 99 * SECOND);
    synth_live(synth, p.heap, 10, p.direct, of_child, 99 * SECOND);
    synth_live(synth, p.heap, 10, p.direct, of_child, 101 * SECOND);
    struct bl_model *model = model_of(synth, &(struct bl_model_options){0});
    ck_assert_uint_eq(model->groups[0].count, 3);
    ck_assert_uint_eq(model->groups[0].inherited, 1);
    bl_model_destroy(model);
    synth_destroy(synth);
}
END_TEST

START_TEST(sampled_blocks_stand_for_more)
{
    struct places p;
    struct synth *synth = make_paths(&p);
    synth->header.sample_bytes = 1000;
    for (int i = 0; i < 10; i++)
        synth_live(synth, p.heap, 100, p.direct, 0, 1);
    synth_live(synth, p.heap, 1000000, p.site_a, 0, 1);
    synth_live(synth, p.other, 100, p.site_b, 0, 1);
    synth_ended(synth, p.heap, 4, 400);
    struct bl_class *class = synth_record(synth, BL_SECTION_CLASSES, p.heap);
    class->ended_blocks = 42ull << BL_BLOCKS_SHIFT;
    struct bl_model *model = model_of(synth, &(struct bl_model_options){0});
    ck_assert(model->is_sampled);
    /* 1 / (1 - exp(-0.1)) = 10.508 */
    ck_assert_uint_eq(model->groups[1].count, 105);
    ck_assert_uint_eq(model->groups[1].bytes, 10508);
    ck_assert_uint_eq(model->groups[1].recorded, 10);
    ck_assert_uint_eq(model->groups[0].bytes, 1000000);
    ck_assert_uint_eq(model->groups[2].count, 1);
    ck_assert_uint_eq(model->classes[0].live_bytes, 1010508);
    ck_assert_uint_eq(model->classes[0].live_count, 106);
    ck_assert_uint_eq(model->classes[0].releases, 42);
    ck_assert_uint_eq(model->classes[0].allocs, 148);
    bl_model_destroy(model);
    synth_destroy(synth);
}
END_TEST

START_TEST(states_follow_the_header_and_the_kernel)
{
    struct places p;
    struct synth *synth = make_paths(&p);
    struct bl_model *model = model_of(synth, &(struct bl_model_options){0});
    ck_assert_int_eq(model->state, BL_PROCESS_EXITED);
    ck_assert_uint_eq(model->uptime_ns, 751 * SECOND);
    bl_model_destroy(model);
    synth->header.state = BL_STATE_RUNNING;
    synth->header.end_ns = 0;
    synth->header.heartbeat_ns = 50 * SECOND;
    synth_live(synth, p.heap, 1, p.direct, 0, 60 * SECOND);
    model = model_of(synth, &(struct bl_model_options){0});
    ck_assert_int_eq(model->state, BL_PROCESS_KILLED);
    ck_assert_uint_eq(model->uptime_ns, 59 * SECOND);
    bl_model_destroy(model);
    synth->header.snapshot_number = 2;
    synth->header.snapshot_ns = 61 * SECOND;
    model = model_of(synth, &(struct bl_model_options){0});
    ck_assert_int_eq(model->state, BL_PROCESS_RUNNING);
    ck_assert_uint_eq(model->groups[0].oldest_ns, SECOND);
    bl_model_destroy(model);
    synth_destroy(synth);
}
END_TEST

START_TEST(a_million_buffers_take_seconds_at_most)
{
    struct places p;
    struct synth *synth = make_paths(&p);
    uint32_t stacks[1000];
    uint32_t made = 0;
    for (uint32_t i = 0; i < 1000; i++)
        stacks[i] = synth_frame(synth, p.path_a, p.gw, 0x1000 + i);
    for (uint32_t i = 0; i < 100; i++)
        for (uint32_t k = 0; k < 1000; k++) {
            uint32_t leaf = synth_frame(synth, stacks[k], p.proxy, 0x9000 + i);
            for (int n = 0; n < 10; n++, made++)
                synth_live(synth, p.heap, 64, leaf, 0, made);
        }
    struct timespec start;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    struct bl_model *model = model_of(synth, &(struct bl_model_options){.top = 20});
    clock_gettime(CLOCK_MONOTONIC, &end);
    ck_assert_uint_eq(model->group_count, 100);
    ck_assert_uint_eq(model->groups[0].count, 10000);
    ck_assert_int_lt(end.tv_sec - start.tv_sec, 20);
    bl_model_destroy(model);
    synth_destroy(synth);
}
END_TEST

START_TEST(runtime_libraries_are_known_by_name)
{
    static const char *const runtime[] = {"/lib/x86_64-linux-gnu/libc.so.6",
                                          "/lib/x86_64-linux-gnu/libc-2.31.so",
                                          "/lib64/ld-linux-x86-64.so.2",
                                          "/usr/lib/libstdc++.so.6.0.30",
                                          "/usr/lib/libjemalloc.so.2",
                                          "/usr/lib/libtcmalloc_minimal.so.4",
                                          "[vdso]"};
    static const char *const plain[] = {"/usr/lib/libcrypto.so.3", "/usr/lib/libcap.so.2",
                                        "/usr/lib/libcurl.so.4", "/usr/sbin/nginx", ""};
    for (size_t i = 0; i < sizeof(runtime) / sizeof(runtime[0]); i++)
        ck_assert_msg(bl_model_is_runtime(runtime[i]), "%s", runtime[i]);
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        ck_assert_msg(!bl_model_is_runtime(plain[i]), "%s", plain[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_model");
    TCase *tests = tcase_create("model");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_site_is_the_innermost_frame_that_is_not_runtime);
    tcase_add_test(tests, the_shims_own_frames_are_not_in_a_stack);
    tcase_add_test(tests, each_way_of_grouping_has_its_groups);
    tcase_add_test(tests, a_library_loaded_twice_is_one_site);
    tcase_add_test(tests, filters_leave_out_what_they_say);
    tcase_add_test(tests, class_sums_come_from_all_shards);
    tcase_add_test(tests, buffers_of_the_parent_are_marked_inherited);
    tcase_add_test(tests, the_childs_first_thread_separates_within_one_tick);
    tcase_add_test(tests, sampled_blocks_stand_for_more);
    tcase_add_test(tests, states_follow_the_header_and_the_kernel);
    tcase_add_test(tests, a_million_buffers_take_seconds_at_most);
    tcase_add_test(tests, runtime_libraries_are_known_by_name);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
