#include "cli_check.h"

#include "ledger_synth.h"
#include "reader.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct bl_error error;

static struct bl_reader *open_bytes(const uint8_t *bytes, size_t size)
{
    struct bl_reader *reader = NULL;
    int fd = synth_file(bytes, size);
    error.text[0] = '\0';
    int outcome = bl_reader_create(&reader, fd, "test.ledger", BL_READER_ALL, &error);
    close(fd);
    ck_assert((outcome == 0) == (reader != NULL));
    ck_assert_msg(outcome == 0 || *error.text, "failed without a word");
    return reader;
}

/* Two modules, a stack of three frames, one thread, two live buffers. */
static struct synth *make_small(void)
{
    struct synth *synth = synth_create();
    uint32_t heap = synth_class(synth, "heap");
    uint32_t gw = synth_module(synth, "/usr/bin/gw", "\xab\xcd", 2, BL_MODULE_MAIN);
    uint32_t thread = synth_thread(synth, 4243, "worker");
    uint32_t outer = synth_frame(synth, 0, gw, 0x100);
    uint32_t middle = synth_frame(synth, outer, gw, 0x200);
    uint32_t inner = synth_frame(synth, middle, gw, 0x300);
    synth_live(synth, heap, 1000, inner, thread, 2000000000);
    synth_live(synth, heap, 24, middle, thread, 3000000000);
    synth_ended(synth, heap, 7, 700);
    return synth;
}

static struct bl_reader *open_synth(struct synth *synth)
{
    size_t size;
    uint8_t *bytes = synth_bytes(synth, &size);
    struct bl_reader *reader = open_bytes(bytes, size);
    free(bytes);
    return reader;
}

START_TEST(a_free_path_that_is_half_written_or_points_nowhere_is_left_out)
{
    struct synth *synth = make_small();
    uint32_t good = synth_free_path(synth, 3, 2, 5, BL_OP_END);
    uint32_t torn = synth_free_path(synth, 3, 1, 6, BL_OP_END);
    uint32_t wild = synth_free_path(synth, 3, 999, 7, BL_OP_END);
    uint32_t unused = synth_free_path(synth, 2, 1, 0, BL_OP_END);
    uint32_t absurd = synth_free_path(synth, 2, 3, UINT64_MAX, BL_OP_END);
    struct bl_free_path *path = synth_record(synth, BL_SECTION_FREE_PATHS, torn);
    path->alloc_stack = 1;
    struct bl_reader *reader = open_synth(synth);
    ck_assert_msg(reader, "%s", error.text);
    ck_assert_uint_eq(bl_reader_free_path(reader, good)->count, 5);
    ck_assert_ptr_null(bl_reader_free_path(reader, torn));
    ck_assert_ptr_null(bl_reader_free_path(reader, wild));
    ck_assert_ptr_null(bl_reader_free_path(reader, unused));
    ck_assert_ptr_null(bl_reader_free_path(reader, 0));
    ck_assert_ptr_null(bl_reader_free_path(reader, absurd + 1));
    ck_assert_uint_lt(bl_reader_free_path(reader, absurd)->count, UINT64_MAX / 16384);
    ck_assert_uint_eq(bl_reader_damage(reader), 1);
    bl_reader_destroy(reader);
    synth_destroy(synth);
}
END_TEST

START_TEST(an_intact_ledger_gives_its_records)
{
    struct synth *synth = make_small();
    struct bl_reader *reader = open_synth(synth);
    ck_assert_msg(reader, "%s", error.text);
    size_t count;
    const struct bl_live *live = bl_reader_live(reader, &count);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(live[0].word >> BL_LIVE_SIZE_SHIFT, 1000);
    const struct bl_frame *frame = bl_reader_frame(reader, live[0].stack);
    ck_assert_uint_eq(frame->offset, 0x300);
    ck_assert_uint_eq(bl_reader_frame(reader, frame->parent)->offset, 0x200);
    struct bl_counter sum = bl_reader_counter(reader, 0);
    ck_assert_uint_eq(sum.allocs, 9);
    ck_assert_uint_eq(sum.alloc_bytes - sum.free_bytes, 1024);
    ck_assert_uint_eq(sum.frees, 7);
    char name[64];
    ck_assert(bl_reader_name_text(reader, bl_reader_class(reader, 0)->name, name, sizeof(name)));
    ck_assert_str_eq(name, "heap");
    ck_assert_uint_eq(bl_reader_thread(reader, live[0].thread)->tid, 4243);
    ck_assert_uint_eq(bl_reader_damage(reader), 0);
    bl_reader_destroy(reader);
    synth_destroy(synth);
}
END_TEST

START_TEST(sections_in_many_extents_read_the_same)
{
    struct synth *synth = make_small();
    uint32_t heap = 0;
    synth->extent_pages = 3;
    uint32_t parent = 0;
    for (uint32_t i = 0; i < 5000; i++)
        parent = synth_frame(synth, parent, 1, i);
    for (uint32_t i = 0; i < 3000; i++)
        synth_live(synth, heap, i, parent - i, 1, i);
    uint32_t name = synth_name(synth, "a name in a later extent", 24);
    for (uint32_t i = 0; i < 300; i++)
        synth_module(synth, "/lib/x.so", NULL, 0, 0);
    struct bl_reader *reader = open_synth(synth);
    ck_assert_msg(reader, "%s", error.text);
    size_t count;
    const struct bl_live *live = bl_reader_live(reader, &count);
    ck_assert_uint_eq(count, 3002);
    ck_assert_uint_eq(live[3001].stack, parent - 2999);
    ck_assert_uint_eq(bl_reader_frame(reader, parent)->offset, 4999);
    ck_assert_ptr_nonnull(bl_reader_module(reader, 301));
    ck_assert_ptr_null(bl_reader_module(reader, 302));
    char text[64];
    ck_assert(bl_reader_name_text(reader, name, text, sizeof(text)));
    ck_assert_str_eq(text, "a name in a later extent");
    ck_assert_uint_eq(bl_reader_damage(reader), 0);
    bl_reader_destroy(reader);
    synth_destroy(synth);
}
END_TEST

START_TEST(records_that_are_not_published_are_not_read)
{
    struct synth *synth = make_small();
    size_t size;
    uint8_t *bytes = synth_bytes(synth, &size);
    ((struct bl_header *)(void *)bytes)->published[BL_SECTION_LIVE] = 2;
    struct bl_reader *reader = open_bytes(bytes, size);
    size_t count;
    bl_reader_live(reader, &count);
    ck_assert_uint_eq(count, 1);
    bl_reader_destroy(reader);
    free(bytes);
    synth_destroy(synth);
}
END_TEST

START_TEST(a_cut_inside_the_header_is_one_clear_line)
{
    struct synth *synth = make_small();
    size_t size;
    uint8_t *bytes = synth_bytes(synth, &size);
    for (size_t cut = 0; cut < BL_PAGE; cut += 97) {
        struct bl_reader *reader = open_bytes(bytes, cut);
        ck_assert_msg(!reader, "opened when cut at %zu", cut);
        ck_assert_ptr_null(strchr(error.text, '\n'));
        ck_assert_ptr_nonnull(strstr(error.text, "test.ledger"));
        if (cut >= 8)
            ck_assert_msg(strstr(error.text, "truncated") != NULL, "%zu: %s", cut, error.text);
    }
    free(bytes);
    synth_destroy(synth);
}
END_TEST

START_TEST(of_a_file_that_was_cut_what_is_there_is_read)
{
    struct synth *synth = make_small();
    synth->extent_pages = 3;
    for (uint32_t i = 0; i < 1000; i++)
        synth_live(synth, 0, 8, 1, 1, i);
    size_t size;
    size_t before = 0;
    uint8_t *bytes = synth_bytes(synth, &size);
    for (size_t cut = BL_PAGE; cut <= size; cut += cut < BL_EXTENTS_END ? 97 : 1000) {
        struct bl_reader *reader = open_bytes(bytes, cut);
        size_t count;
        ck_assert_msg(reader, "cut at %zu: %s", cut, error.text);
        ck_assert_uint_gt(bl_reader_lost_bytes(reader), 0);
        for (uint32_t n = 0; n < bl_reader_count(reader, BL_SECTION_FRAMES); n++)
            bl_reader_frame(reader, n);
        bl_reader_live(reader, &count);
        ck_assert_uint_ge(count, before);
        ck_assert_uint_le(count, 1002);
        before = count;
        bl_reader_destroy(reader);
    }
    ck_assert_uint_gt(before, 384);
    free(bytes);
    synth_destroy(synth);
}
END_TEST

START_TEST(foreign_files_are_named_so)
{
    uint8_t *bytes = malloc(100000);
    memset(bytes, 'x', 100000);
    ck_assert_ptr_null(open_bytes(bytes, 100000));
    ck_assert_str_eq(error.text, "test.ledger is not a bufleak ledger");
    ck_assert_ptr_null(open_bytes(bytes, 10));
    ck_assert_str_eq(error.text, "test.ledger is not a bufleak ledger");
    free(bytes);
}
END_TEST

START_TEST(an_older_version_is_told_and_not_read)
{
    struct synth *synth = make_small();
    synth->header.version = BL_VERSION_FORMAT - 1;
    ck_assert_ptr_null(open_synth(synth));
    ck_assert_ptr_nonnull(strstr(error.text, "older"));
    synth_destroy(synth);
}
END_TEST

START_TEST(a_newer_version_asks_for_an_upgrade)
{
    struct synth *synth = make_small();
    synth->header.version = BL_VERSION_FORMAT + 1;
    ck_assert_ptr_null(open_synth(synth));
    ck_assert_ptr_nonnull(strstr(error.text, "newer"));
    ck_assert_ptr_nonnull(strstr(error.text, "upgrade"));
    synth->header.version = BL_VERSION_FORMAT;
    synth->header.incompatible_flags = 0x80;
    ck_assert_ptr_null(open_synth(synth));
    ck_assert_ptr_nonnull(strstr(error.text, "upgrade"));
    synth_destroy(synth);
}
END_TEST

/* Changes the extent of the live buffers of a small ledger: the rest is read without it. */
static void lose_extent(struct bl_extent change)
{
    struct synth *synth = make_small();
    size_t size;
    size_t count;
    uint8_t *bytes = synth_bytes(synth, &size);
    struct bl_extent *extents = (struct bl_extent *)(void *)(bytes + BL_EXTENTS_OFFSET);
    uint32_t n = 0;
    while (extents[n].section != BL_SECTION_LIVE)
        n++;
    change.section = BL_SECTION_LIVE;
    extents[n] = change;
    struct bl_reader *reader = open_bytes(bytes, size);
    ck_assert_msg(reader, "%s", error.text);
    bl_reader_live(reader, &count);
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(bl_reader_counter(reader, 0).allocs, 9);
    ck_assert_uint_eq(bl_reader_frame(reader, 3)->offset, 0x300);
    ck_assert_uint_ge(bl_reader_lost_bytes(reader), BL_PAGE);
    bl_reader_destroy(reader);
    free(bytes);
    synth_destroy(synth);
}

START_TEST(what_lies_outside_the_file_is_lost_and_the_rest_read)
{
    lose_extent((struct bl_extent){.offset = 1ull << 40, .pages = 1});
    lose_extent((struct bl_extent){.offset = UINT64_MAX - 4095, .pages = 1});
    lose_extent((struct bl_extent){.offset = UINT64_MAX - 4095, .pages = UINT32_MAX});
    lose_extent((struct bl_extent){.offset = 0, .pages = 1});
    lose_extent((struct bl_extent){.offset = 0, .pages = 0});
    lose_extent((struct bl_extent){.offset = BL_EXTENTS_END + 8, .pages = 1});
}
END_TEST

START_TEST(overlapping_extents_cannot_multiply_the_file)
{
    struct synth *synth = make_small();
    size_t size;
    uint8_t *bytes = synth_bytes(synth, &size);
    struct bl_header *header = (struct bl_header *)(void *)bytes;
    struct bl_extent *extents = (struct bl_extent *)(void *)(bytes + BL_EXTENTS_OFFSET);
    for (uint32_t i = 0; i < BL_EXTENTS_MAX; i++)
        extents[i] = (struct bl_extent){.offset = BL_EXTENTS_END,
                                        .pages = (uint32_t)(size - BL_EXTENTS_END) / BL_PAGE,
                                        .section = BL_SECTION_LIVE};
    header->extents_used = BL_EXTENTS_MAX;
    header->published[BL_SECTION_LIVE] = 1u << 30;
    ck_assert_ptr_null(open_bytes(bytes, size));
    ck_assert_ptr_nonnull(strstr(error.text, "more than the file"));
    header->extents_used = BL_EXTENTS_MAX + 1;
    ck_assert_ptr_null(open_bytes(bytes, size));
    free(bytes);
    synth_destroy(synth);
}
END_TEST

START_TEST(counts_beyond_the_extents_are_damage_and_not_followed)
{
    struct synth *synth = make_small();
    size_t size;
    uint8_t *bytes = synth_bytes(synth, &size);
    ((struct bl_header *)(void *)bytes)->published[BL_SECTION_FRAMES] = UINT64_MAX;
    struct bl_reader *reader = open_bytes(bytes, size);
    ck_assert_msg(reader, "%s", error.text);
    ck_assert_uint_eq(bl_reader_count(reader, BL_SECTION_FRAMES), 3 * BL_PAGE / 16);
    ck_assert_uint_ge(bl_reader_damage(reader), 1);
    bl_reader_destroy(reader);
    free(bytes);
    synth_destroy(synth);
}
END_TEST

START_TEST(references_to_nowhere_become_unknown)
{
    struct synth *synth = make_small();
    struct bl_frame *frame = synth_record(synth, BL_SECTION_FRAMES, 1);
    frame->parent = 3; /* a cycle: 3 -> 2 -> 1 -> 3 */
    frame->module = 77;
    struct bl_live *live = synth_record(synth, BL_SECTION_LIVE, 1);
    live->stack = 1000;
    live->thread = 1000;
    live = synth_record(synth, BL_SECTION_LIVE, 2);
    live->word |= 9ull << BL_LIVE_CLASS_SHIFT;
    struct bl_reader *reader = open_synth(synth);
    size_t count;
    const struct bl_live *kept = bl_reader_live(reader, &count);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(kept[0].stack, 0);
    ck_assert_uint_eq(kept[0].thread, 0);
    ck_assert_uint_eq(bl_reader_frame(reader, 1)->parent, 0);
    ck_assert_uint_eq(bl_reader_frame(reader, 1)->module & BL_FRAME_MODULE_MASK, 0);
    ck_assert_uint_eq(bl_reader_damage(reader), 5);
    bl_reader_destroy(reader);
    synth_destroy(synth);
}
END_TEST

START_TEST(names_that_leave_the_pool_are_not_names)
{
    struct synth *synth = make_small();
    struct bl_class *class = synth_record(synth, BL_SECTION_CLASSES, 0);
    uint32_t length = 1u << 30;
    memcpy(synth->sections[BL_SECTION_NAMES].data + class->name, &length, sizeof(length));
    struct bl_module *module = synth_record(synth, BL_SECTION_MODULES, 1);
    module->path_name = UINT32_MAX;
    struct bl_reader *reader = open_synth(synth);
    char text[64];
    ck_assert(!bl_reader_name_text(reader, bl_reader_class(reader, 0)->name, text, sizeof(text)));
    ck_assert_str_eq(text, "");
    ck_assert(!bl_reader_name_text(reader, UINT32_MAX, text, sizeof(text)));
    /* the last bytes of the pool hold no length */
    uint32_t end = bl_reader_count(reader, BL_SECTION_NAMES);
    ck_assert(!bl_reader_name_text(reader, end - 1, text, sizeof(text)));
    bl_reader_destroy(reader);
    synth_destroy(synth);
}
END_TEST

START_TEST(private_extents_take_numbers_and_cannot_be_read)
{
    struct synth *synth = make_small();
    synth->extent_pages = 3;
    for (uint32_t i = 0; i < 1000; i++)
        synth_live(synth, 0, 8, 1, 1, i);
    size_t size;
    uint8_t *bytes = synth_bytes(synth, &size);
    struct bl_extent *extents = (struct bl_extent *)(void *)(bytes + BL_EXTENTS_OFFSET);
    uint32_t n = 0;
    while (extents[n].section != BL_SECTION_LIVE)
        n++;
    extents[n + 1].offset = 0;
    extents[n + 1].flags = BL_EXTENT_PRIVATE;
    struct bl_reader *reader = open_bytes(bytes, size);
    ck_assert_msg(reader, "%s", error.text);
    size_t count;
    bl_reader_live(reader, &count);
    /* 384 records in each extent; record 0 is never used */
    ck_assert_uint_eq(count, 1002 - 384);
    ck_assert_uint_eq(bl_reader_private_records(reader, BL_SECTION_LIVE), 384);
    bl_reader_destroy(reader);
    free(bytes);
    synth_destroy(synth);
}
END_TEST

START_TEST(random_changes_never_break_the_reader)
{
    struct synth *synth = make_small();
    size_t size;
    uint8_t *good = synth_bytes(synth, &size);
    uint8_t *bytes = malloc(size);
    uint64_t seed = 88172645463325252ull;
    for (int round = 0; round < 3000; round++) {
        memcpy(bytes, good, size);
        for (int change = 0; change < 1 + round % 8; change++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            /* half of the changes go where the structure is */
            size_t at = seed % (seed & 1ull << 40 ? size : BL_EXTENTS_OFFSET + 200);
            bytes[at] = (uint8_t)(seed >> 50);
        }
        struct bl_reader *reader = open_bytes(bytes, size);
        size_t count = 0;
        if (reader)
            bl_reader_live(reader, &count);
        ck_assert_uint_le(count, size / sizeof(struct bl_live));
        bl_reader_destroy(reader);
    }
    free(bytes);
    free(good);
    synth_destroy(synth);
}
END_TEST

#define BUSY (1ull << 40) /* addresses of the busy writer's records start here */

/* The writer side of the live slab's protocol: fields, then the word with a release store. */
_Noreturn static void churn(struct bl_live *records, size_t count)
{
    for (uint64_t turn = BUSY;; turn++) {
        struct bl_live *record = &records[1 + turn % (count - 1)];
        uint64_t word = __atomic_load_n(&record->word, __ATOMIC_RELAXED);
        uint64_t generation = (word >> BL_LIVE_GENERATION_SHIFT) + 1;
        __atomic_store_n(&record->word, word & ~BL_LIVE_BIT, __ATOMIC_RELEASE);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        record->address = turn;
        record->birth_ns = turn * 3;
        record->thread = 0;
        record->stack = 0;
        uint64_t size = turn & 0xffffffff;
        __atomic_store_n(&record->word,
                         size << BL_LIVE_SIZE_SHIFT |
                             (generation & BL_LIVE_GENERATION_MASK) << BL_LIVE_GENERATION_SHIFT |
                             BL_LIVE_BIT,
                         __ATOMIC_RELEASE);
    }
}

START_TEST(records_read_under_a_busy_writer_are_whole)
{
    struct synth *synth = synth_create();
    uint32_t heap = synth_class(synth, "heap");
    for (uint32_t i = 0; i < 20000; i++)
        synth_live(synth, heap, 0, 0, 0, 0);
    synth->header.state = BL_STATE_RUNNING;
    size_t size;
    uint8_t *bytes = synth_bytes(synth, &size);
    const struct bl_extent *extents = (const struct bl_extent *)(void *)(bytes + BL_EXTENTS_OFFSET);
    uint32_t n = 0;
    while (extents[n].section != BL_SECTION_LIVE)
        n++;
    int fd = synth_file(bytes, size);
    uint8_t *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    pid_t writer = fork();
    if (writer == 0)
        churn((struct bl_live *)(void *)(shared + extents[n].offset), 20001);
    size_t seen = 0;
    for (int round = 0; round < 30; round++) {
        struct bl_reader *reader = NULL;
        ck_assert_int_eq(bl_reader_create(&reader, fd, "busy", BL_READER_ALL, &error), 0);
        size_t count;
        const struct bl_live *live = bl_reader_live(reader, &count);
        for (size_t i = 0; i < count; i++) {
            uint64_t record_size = live[i].word >> BL_LIVE_SIZE_SHIFT;
            bool is_new = live[i].address >= BUSY;
            ck_assert_uint_eq(record_size, is_new ? live[i].address & 0xffffffff : 0);
            ck_assert_uint_eq(live[i].birth_ns, is_new ? live[i].address * 3 : 0);
            seen += is_new;
        }
        bl_reader_destroy(reader);
    }
    kill(writer, SIGKILL);
    waitpid(writer, NULL, 0);
    ck_assert_uint_gt(seen, 0);
    munmap(shared, size);
    close(fd);
    free(bytes);
    synth_destroy(synth);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_reader");
    TCase *tests = tcase_create("reader");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, an_intact_ledger_gives_its_records);
    tcase_add_test(tests, a_free_path_that_is_half_written_or_points_nowhere_is_left_out);
    tcase_add_test(tests, sections_in_many_extents_read_the_same);
    tcase_add_test(tests, records_that_are_not_published_are_not_read);
    tcase_add_test(tests, a_cut_inside_the_header_is_one_clear_line);
    tcase_add_test(tests, of_a_file_that_was_cut_what_is_there_is_read);
    tcase_add_test(tests, foreign_files_are_named_so);
    tcase_add_test(tests, an_older_version_is_told_and_not_read);
    tcase_add_test(tests, a_newer_version_asks_for_an_upgrade);
    tcase_add_test(tests, what_lies_outside_the_file_is_lost_and_the_rest_read);
    tcase_add_test(tests, overlapping_extents_cannot_multiply_the_file);
    tcase_add_test(tests, counts_beyond_the_extents_are_damage_and_not_followed);
    tcase_add_test(tests, references_to_nowhere_become_unknown);
    tcase_add_test(tests, names_that_leave_the_pool_are_not_names);
    tcase_add_test(tests, private_extents_take_numbers_and_cannot_be_read);
    tcase_add_test(tests, random_changes_never_break_the_reader);
    tcase_add_test(tests, records_read_under_a_busy_writer_are_whole);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
