/* The ledger's geometry, growth and what becomes of it without space. */
#include "shim_start.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];

static void use_directory(void)
{
    struct bl_dir_fault fault;
    snprintf(directory, sizeof directory, "/tmp/bufleak-unit-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(bl_dir_init(directory, NULL, &fault), 0);
    ck_assert_str_eq(bl_dir_path(), directory);
}

static void remove_directory(void)
{
    DIR *d = opendir(directory);
    struct dirent *e;
    while (d && (e = readdir(d)) != NULL)
        unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(directory);
}

/* Records per chunk as the format's reader sees them: from the extents' lengths alone. */
static uint64_t records_in(enum bl_section s, const struct bl_extent *e)
{
    return (uint64_t)e->pages * BL_PAGE / bl_geometry[s].record_bytes;
}

static const struct bl_extent *directory_of_extents(void)
{
    return (const void *)((const unsigned char *)bl_header + BL_EXTENTS_OFFSET);
}

/* Compares locate with the running sum at both ends of every chunk. Returns the records seen. */
static uint64_t check_section(enum bl_section s)
{
    const struct bl_extent *e = directory_of_extents();
    uint64_t first = 0;
    uint32_t chunk = 0;
    for (uint32_t i = 0; i < bl_header->extents_used; i++) {
        if (e[i].section != s)
            continue;
        uint64_t count = records_in(s, &e[i]);
        struct bl_chunk_position low = bl_ledger_locate(s, (uint32_t)first);
        struct bl_chunk_position high = bl_ledger_locate(s, (uint32_t)(first + count - 1));
        ck_assert_uint_eq(low.chunk, chunk);
        ck_assert_uint_eq(low.record, 0);
        ck_assert_uint_eq(high.chunk, chunk);
        ck_assert_uint_eq(high.record, count - 1);
        first += count;
        chunk++;
    }
    ck_assert_uint_eq(bl_ledger_locate(s, (uint32_t)first).chunk, chunk);
    return first;
}

START_TEST(a_record_number_means_the_same_to_writer_and_reader_over_all_chunks)
{
    static const uint32_t most[BL_SECTION_COUNT] = {
        [BL_SECTION_NAMES] = 8u << 20,   [BL_SECTION_MODULES] = 20000,
        [BL_SECTION_FRAMES] = 2000000,   [BL_SECTION_THREADS] = 100000,
        [BL_SECTION_CLASSES] = 64,       [BL_SECTION_COUNTERS] = 64,
        [BL_SECTION_LIVE] = 1000000,     [BL_SECTION_HOOKS] = 20000,
        [BL_SECTION_OBJECTS] = 300000,   [BL_SECTION_EVENTS] = 500000,
        [BL_SECTION_LIFECYCLES] = 20000, [BL_SECTION_SERIES] = BL_SERIES_MAX,
        [BL_SECTION_SAMPLES] = 49152,    [BL_SECTION_MARKS] = BL_MARKS_MAX,
        [BL_SECTION_BOUNDARIES] = 64,
    };
    start_ledger();
    for (enum bl_section s = 0; s < BL_SECTION_COUNT; s++) {
        ck_assert_int_eq(bl_ledger_ensure(s, most[s]), 0);
        ck_assert_uint_ge(check_section(s), most[s]);
    }
}
END_TEST

START_TEST(locate_steps_by_one_through_every_record)
{
    for (enum bl_section s = 0; s < BL_SECTION_COUNT; s++) {
        struct bl_chunk_position last = bl_ledger_locate(s, 0);
        ck_assert_uint_eq(last.chunk + last.record, 0);
        for (uint32_t n = 1; n < 4u << bl_geometry[s].last; n++) {
            struct bl_chunk_position now = bl_ledger_locate(s, n);
            bool next = now.chunk == last.chunk && now.record == last.record + 1;
            bool first = now.chunk == last.chunk + 1 && now.record == 0;
            if (!next && !first)
                ck_abort_msg("section %d record %u", (int)s, n);
            last = now;
        }
    }
}
END_TEST

START_TEST(a_record_never_moves_when_the_section_grows)
{
    start_ledger();
    for (enum bl_section s = 0; s < BL_SECTION_COUNT; s++) {
        ck_assert_int_eq(bl_ledger_ensure(s, 2), 0); /* some have no extent at the start */
        void *first = bl_ledger_at(s, 1);
        if (s != BL_SECTION_CLASSES)
            ck_assert_int_eq(bl_ledger_ensure(s, 3u << bl_geometry[s].last), 0);
        ck_assert_ptr_eq(bl_ledger_at(s, 1), first);
    }
}
END_TEST

START_TEST(the_file_holds_each_record_where_its_extents_say)
{
    use_directory();
    bl_guard_enter_internal();
    ck_assert_int_eq(bl_ledger_create("a.1.1.ledger", true), 0);
    ck_assert_str_eq(bl_ledger_name(), "a.1.1.ledger");
    uint32_t count = 3u << bl_geometry[BL_SECTION_FRAMES].first;
    ck_assert_int_eq(bl_ledger_ensure(BL_SECTION_LIVE, 10000), 0);
    ck_assert_int_eq(bl_ledger_ensure(BL_SECTION_FRAMES, count), 0);
    for (uint32_t i = 0; i < count; i++)
        ((struct bl_frame *)bl_ledger_at(BL_SECTION_FRAMES, i))->offset = i * 7u;
    char path[128];
    snprintf(path, sizeof path, "%s/a.1.1.ledger", directory);
    int fd = open(path, O_RDONLY);
    struct stat st;
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_uint_eq((uint64_t)st.st_size, bl_ledger_length());
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    uint32_t n = 0;
    for (uint32_t i = 0; i < bl_header->extents_used; i++) {
        const struct bl_extent *e = &directory_of_extents()[i];
        ck_assert_uint_le(e->offset + (uint64_t)e->pages * BL_PAGE, (uint64_t)st.st_size);
        for (uint64_t r = 0;
             e->section == BL_SECTION_FRAMES && n < count && r < records_in(BL_SECTION_FRAMES, e);
             r++, n++) {
            struct bl_frame frame;
            pread(fd, &frame, sizeof frame, (off_t)(e->offset + r * sizeof frame));
            ck_assert_uint_eq(frame.offset, n * 7u);
        }
    }
    ck_assert_uint_eq(n, count);
    remove_directory();
}
END_TEST

START_TEST(a_taken_name_is_never_written_to)
{
    use_directory();
    bl_guard_enter_internal();
    int fd = bl_dir_create_file("a.1.1.ledger");
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bl_ledger_create("a.1.1.ledger", true), 0);
    ck_assert_str_eq(bl_ledger_name(), "");
    ck_assert_uint_eq(loss(BL_LOSS_ledger_no_file), 1);
    struct stat st;
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_int_eq(st.st_size, 0);
    remove_directory();
}
END_TEST

/* Is there a descriptor of a memfd of this name? As another process would look for it. */
static bool has_memfd(void)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *e;
    bool found = false;
    while ((e = readdir(d)) != NULL) {
        char target[256] = {0};
        if (readlinkat(dirfd(d), e->d_name, target, sizeof target - 1) > 0)
            found |= strstr(target, "memfd:" BL_MEMFD_NAME) != NULL;
    }
    closedir(d);
    return found;
}

START_TEST(without_a_directory_the_ledger_is_a_memfd_that_others_can_find)
{
    ck_assert(!has_memfd());
    start_ledger();
    ck_assert_str_eq(bl_ledger_name(), "");
    ck_assert(has_memfd());
    ck_assert_uint_eq(loss(BL_LOSS_ledger_no_file), 1);
    ck_assert_int_eq(bl_ledger_ensure(BL_SECTION_LIVE, 100000), 0);
    ck_assert_uint_eq(loss(BL_LOSS_ledger_private_bytes), 0);
}
END_TEST

START_TEST(losses_counted_before_the_ledger_are_carried_into_it)
{
    bl_losses_add(BL_LOSS_blocks_before_start, 5);
    start_ledger();
    bl_losses_add(BL_LOSS_blocks_before_start, 1);
    ck_assert_uint_eq(bl_header->losses[BL_LOSS_blocks_before_start], 6);
}
END_TEST

START_TEST(a_name_never_crosses_an_extent)
{
    char text[4096];
    uint64_t seed = 3;
    start_ledger();
    memset(text, 'n', sizeof text);
    for (unsigned i = 0; i < 4000; i++) {
        size_t length = (size_t)(next_random(&seed) % sizeof text);
        uint32_t at = bl_names_add(text, length);
        ck_assert_uint_ne(at, 0);
        ck_assert_uint_eq(at % 4, 0);
        struct bl_chunk_position first = bl_ledger_locate(BL_SECTION_NAMES, at);
        struct bl_chunk_position last =
            bl_ledger_locate(BL_SECTION_NAMES, at + 4 + (uint32_t)length);
        ck_assert_uint_eq(first.chunk, last.chunk);
        const struct bl_name *name = bl_ledger_at(BL_SECTION_NAMES, at);
        ck_assert_uint_eq(name->length, length);
        ck_assert_int_eq(name->text[length], '\0');
        ck_assert_uint_ge(bl_header->published[BL_SECTION_NAMES], at + 4 + length + 1);
    }
    ck_assert_uint_eq(loss(BL_LOSS_names_dropped), 0);
}
END_TEST

START_TEST(an_overlong_name_is_cut)
{
    static char text[10000];
    start_ledger();
    memset(text, 'n', sizeof text);
    const struct bl_name *name = bl_ledger_at(BL_SECTION_NAMES, bl_names_add(text, sizeof text));
    ck_assert_uint_eq(name->length, 4096);
}
END_TEST

/* A filesystem of the given size on the ledger directory. */
static void use_small_filesystem(const char *options)
{
    snprintf(directory, sizeof directory, "/tmp/bufleak-unit-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(mount("bufleak", directory, "tmpfs", 0, options), 0);
    chmod(directory, 0700);
    struct bl_dir_fault fault;
    ck_assert_int_eq(bl_dir_init(directory, NULL, &fault), 0);
}

static void drop_small_filesystem(void)
{
    umount2(directory, MNT_DETACH);
    rmdir(directory);
}

static bool can_mount(const char *claim)
{
    if (geteuid() == 0)
        return true;
    printf("SKIP %s: only root can mount a small filesystem\n", claim);
    return false;
}

START_TEST(on_a_full_disk_growth_goes_on_in_private_extents)
{
    if (!can_mount("on_a_full_disk_growth_goes_on_in_private_extents"))
        return;
    use_small_filesystem("size=1m,mode=0700");
    bl_guard_enter_internal();
    ck_assert_int_eq(bl_ledger_create("a.1.1.ledger", true), 0);
    ck_assert_str_eq(bl_ledger_name(), "a.1.1.ledger");
    ck_assert_int_eq(bl_live_add_class("heap"), 0);
    ck_assert_int_eq(bl_ledger_ensure(BL_SECTION_LIVE, 200000), 0);
    ck_assert_uint_gt(check_section(BL_SECTION_LIVE), 200000);
    uint64_t private_bytes = 0;
    uint64_t in_file = BL_EXTENTS_END;
    for (uint32_t i = 0; i < bl_header->extents_used; i++) {
        const struct bl_extent *e = &directory_of_extents()[i];
        if (e->flags & BL_EXTENT_PRIVATE) {
            ck_assert_uint_eq(e->offset, 0);
            private_bytes += (uint64_t)e->pages * BL_PAGE;
        } else {
            in_file += (uint64_t)e->pages * BL_PAGE;
        }
    }
    ck_assert_uint_gt(private_bytes, 0);
    ck_assert_uint_eq(loss(BL_LOSS_ledger_private_bytes), private_bytes);
    ck_assert_uint_eq(bl_ledger_length(), in_file);
    /* every byte of the file can be written: nothing was mapped that was not reserved */
    for (uint32_t i = 1; i < 200000; i++)
        ((struct bl_live *)bl_ledger_at(BL_SECTION_LIVE, i))->address = i;
    drop_small_filesystem();
}
END_TEST

START_TEST(with_no_space_at_all_the_ledger_is_a_memfd)
{
    if (!can_mount("with_no_space_at_all_the_ledger_is_a_memfd"))
        return;
    use_small_filesystem("size=64k,mode=0700");
    bl_guard_enter_internal();
    ck_assert_int_eq(bl_ledger_create("a.1.1.ledger", true), 0);
    ck_assert_str_eq(bl_ledger_name(), "");
    ck_assert(has_memfd());
    ck_assert_uint_eq(loss(BL_LOSS_ledger_no_file), 1);
    ck_assert_int_ne(faccessat(bl_dir_borrow(), "a.1.1.ledger", F_OK, 0), 0);
    drop_small_filesystem();
}
END_TEST

START_TEST(a_copy_agrees_with_the_ledger_and_holds_nothing_private)
{
    start_ledger();
    for (uint32_t i = 1; i < 5000; i++) {
        const struct bl_buffer b = {.address = i * 64u, .size_bytes = i};
        bl_live_insert(&b);
    }
    uint64_t length = bl_ledger_length();
    unsigned char *copy = calloc(1, length);
    bl_ledger_copy(copy, length, true);
    bl_ledger_copy(copy, length, false);
    const struct bl_header *h = (const void *)copy;
    ck_assert_uint_eq(h->published[BL_SECTION_LIVE], bl_header->published[BL_SECTION_LIVE]);
    uint32_t chunk[BL_SECTION_COUNT] = {0};
    const struct bl_extent *e = (const void *)(copy + BL_EXTENTS_OFFSET);
    for (uint32_t i = 0; i < h->extents_used; i++) {
        uint32_t c = chunk[e[i].section]++;
        ck_assert_mem_eq(copy + e[i].offset, bl_chunks[e[i].section][c],
                         (size_t)e[i].pages * BL_PAGE);
    }
    free(copy);
}
END_TEST

START_TEST(a_copy_that_the_ledger_has_outgrown_says_so)
{
    start_ledger();
    uint64_t length = bl_ledger_length();
    unsigned char *copy = calloc(1, length);
    ck_assert_uint_eq(bl_ledger_copy(copy, length, true), length);
    for (uint32_t i = 1; bl_ledger_length() == length; i++) {
        const struct bl_buffer b = {.address = i * 64u, .size_bytes = i};
        bl_live_insert(&b);
    }
    ck_assert_uint_eq(bl_ledger_copy(copy, length, true), bl_ledger_length());
    free(copy);
}
END_TEST

START_TEST(a_foreign_or_open_directory_and_a_symlink_are_refused)
{
    char path[96];
    struct bl_dir_fault fault;
    use_directory();
    ck_assert_int_eq(fchmodat(AT_FDCWD, directory, 0770, 0), 0);
    ck_assert_int_ne(bl_dir_init(directory, NULL, &fault), 0);
    ck_assert_str_eq(fault.tried, directory);
    ck_assert_int_eq(fault.error, EACCES);
    ck_assert_ptr_nonnull(strstr(fault.why, "chmod 700"));
    ck_assert_int_eq(fchmodat(AT_FDCWD, directory, 0700, 0), 0);
    snprintf(path, sizeof path, "%s/link", directory);
    ck_assert_int_eq(symlink(directory, path), 0);
    ck_assert_int_ne(bl_dir_init(path, NULL, &fault), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(directory, 65534, 65534), 0);
        ck_assert_int_ne(bl_dir_init(directory, NULL, &fault), 0);
    }
    remove_directory();
}
END_TEST

RUN_SUITE("shim ledger", a_record_number_means_the_same_to_writer_and_reader_over_all_chunks,
          locate_steps_by_one_through_every_record, a_record_never_moves_when_the_section_grows,
          the_file_holds_each_record_where_its_extents_say, a_taken_name_is_never_written_to,
          without_a_directory_the_ledger_is_a_memfd_that_others_can_find,
          losses_counted_before_the_ledger_are_carried_into_it, a_name_never_crosses_an_extent,
          an_overlong_name_is_cut, on_a_full_disk_growth_goes_on_in_private_extents,
          with_no_space_at_all_the_ledger_is_a_memfd,
          a_copy_agrees_with_the_ledger_and_holds_nothing_private,
          a_copy_that_the_ledger_has_outgrown_says_so,
          a_foreign_or_open_directory_and_a_symlink_are_refused)
