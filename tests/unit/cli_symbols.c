#include "called.h"
#include "cli_check.h"

#include "ledger_synth.h"
#include "symbols.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

static struct bl_error error;

/* Build-id and load bias of this very program. */
struct self {
    uint8_t build_id[64];
    uint32_t build_id_length;
    uintptr_t bias;
    char path[4096];
};

static int find_self(struct dl_phdr_info *info, size_t size, void *context)
{
    struct self *self = context;
    (void)size;
    self->bias = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_NOTE)
            continue;
        const char *at = (const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        const char *end = at + info->dlpi_phdr[i].p_memsz;
        while (at < end) {
            const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)(const void *)at;
            const char *data = at + sizeof(*note) + (note->n_namesz + 3u) / 4 * 4;
            if (note->n_type == NT_GNU_BUILD_ID) {
                memcpy(self->build_id, data, note->n_descsz);
                self->build_id_length = note->n_descsz;
            }
            at = data + (note->n_descsz + 3u) / 4 * 4;
        }
    }
    return 1; /* the first is the program */
}

static struct self this_program(void)
{
    struct self self = {.build_id_length = 0};
    dl_iterate_phdr(find_self, &self);
    ssize_t length = readlink("/proc/self/exe", self.path, sizeof(self.path) - 1);
    ck_assert_int_gt(length, 0);
    return self;
}

static struct bl_symbols *symbols_of(struct synth *synth, struct bl_reader **ret_reader)
{
    struct bl_symbols *symbols = NULL;
    size_t size;
    uint8_t *bytes = synth_bytes(synth, &size);
    int fd = synth_file(bytes, size);
    ck_assert_int_eq(bl_reader_create(ret_reader, fd, "test", BL_READER_ALL, &error), 0);
    ck_assert_int_eq(bl_symbols_create(&symbols, *ret_reader, NULL, &error), 0);
    close(fd);
    free(bytes);
    return symbols;
}

static void *return_address;

static inline __attribute__((always_inline)) void inlined_into_caller(void)
{
    __asm__ volatile("lea 0(%%rip), %0" : "=r"(return_address));
}

static __attribute__((noinline)) int function_with_inlined(void)
{
    inlined_into_caller();
    return __LINE__ - 1;
}

START_TEST(inlined_frames_have_function_file_and_line)
{
    int line = function_with_inlined();
    struct self self = this_program();
    struct synth *synth = synth_create();
    uint32_t module =
        synth_module(synth, self.path, self.build_id, self.build_id_length, BL_MODULE_MAIN);
    uint32_t frame = synth_frame(synth, 0, module, (uintptr_t)return_address - self.bias);
    struct bl_reader *reader = NULL;
    struct bl_symbols *symbols = symbols_of(synth, &reader);
    size_t count = 0;
    const struct bl_symbol *found = bl_symbols_frame(symbols, frame, &count);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(found[0].function, "inlined_into_caller");
    ck_assert(found[0].inlined);
    ck_assert_ptr_nonnull(strstr(found[0].file, "cli_symbols.c"));
    ck_assert_str_eq(found[1].function, "function_with_inlined");
    ck_assert(!found[1].inlined);
    ck_assert_ptr_nonnull(strstr(found[1].file, "cli_symbols.c"));
    ck_assert_int_eq(found[1].line, line);
    size_t again = 0;
    ck_assert_ptr_eq(bl_symbols_frame(symbols, frame, &again), found);
    bl_symbols_destroy(symbols);
    bl_reader_destroy(reader);
    synth_destroy(synth);
}
END_TEST

static void *addresses[3];

static inline __attribute__((always_inline)) void note_address(int which)
{
    __asm__ volatile("lea 0(%%rip), %0" : "=r"(addresses[which]));
}

static inline __attribute__((always_inline)) void note_two(void)
{
    note_address(0);
    note_address(1);
}

static __attribute__((noinline)) void function_with_three(void)
{
    note_two();
    note_address(2);
}

START_TEST(inlined_calls_have_numbers)
{
    function_with_three();
    struct self self = this_program();
    struct synth *synth = synth_create();
    struct bl_reader *reader = NULL;
    uint32_t module =
        synth_module(synth, self.path, self.build_id, self.build_id_length, BL_MODULE_MAIN);
    uint32_t frames[4];
    for (size_t i = 0; i < 3; i++)
        frames[i] = synth_frame(synth, 0, module, (uintptr_t)addresses[i] - self.bias);
    frames[3] = synth_frame(synth, 0, 0, 1);
    struct bl_symbols *symbols = symbols_of(synth, &reader);
    const uint64_t *calls[4];
    size_t counts[4];
    for (size_t i = 0; i < 4; i++)
        calls[i] = bl_symbols_inlined(symbols, frames[i], &counts[i]);
    ck_assert_uint_eq(counts[0], 2);
    ck_assert_uint_eq(counts[1], 2);
    ck_assert_uint_eq(counts[2], 1);
    ck_assert_uint_eq(counts[3], 0);
    ck_assert_uint_eq(calls[0][1], calls[1][1]);
    ck_assert_uint_ne(calls[0][0], calls[1][0]);
    ck_assert_uint_ne(calls[2][0], calls[0][0]);
    ck_assert_uint_ne(calls[2][0], calls[0][1]);
    bl_symbols_destroy(symbols);
    bl_reader_destroy(reader);
    synth_destroy(synth);
}
END_TEST

START_TEST(a_return_address_belongs_to_the_call_before_it)
{
    struct self self = this_program();
    struct synth *synth = synth_create();
    uint32_t module =
        synth_module(synth, self.path, self.build_id, self.build_id_length, BL_MODULE_MAIN);
    uintptr_t start = (uintptr_t)function_with_inlined - self.bias;
    uint32_t as_return = synth_frame(synth, 0, module, start);
    uint32_t as_exact = synth_frame(synth, 0, module | BL_FRAME_EXACT, start);
    struct bl_reader *reader = NULL;
    struct bl_symbols *symbols = symbols_of(synth, &reader);
    size_t count;
    const struct bl_symbol *found = bl_symbols_frame(symbols, as_exact, &count);
    ck_assert_str_eq(found[count - 1].function, "function_with_inlined");
    found = bl_symbols_frame(symbols, as_return, &count);
    ck_assert(!found[count - 1].function ||
              strcmp(found[count - 1].function, "function_with_inlined") != 0);
    bl_symbols_destroy(symbols);
    bl_reader_destroy(reader);
    synth_destroy(synth);
}
END_TEST

/* A ledger in which this program has another number than in others, and one frame of it. */
static struct synth *synth_with(const char *path, const struct self *self, uint32_t others,
                                uint32_t *ret_frame)
{
    struct synth *synth = synth_create();
    for (uint32_t i = 0; i < others; i++)
        synth_module(synth, "/nonexistent", (const uint8_t *)"other", 5, 0);
    uint32_t module =
        synth_module(synth, path, self->build_id, self->build_id_length, BL_MODULE_MAIN);
    *ret_frame = synth_frame(synth, 0, module, (uintptr_t)function_with_inlined - self->bias + 1);
    return synth;
}

START_TEST(what_was_looked_up_is_handed_on_under_another_number)
{
    struct self self = this_program();
    struct bl_symbols_store *store = bl_symbols_store_create();
    const struct bl_symbol *first = NULL;
    for (uint32_t turn = 0; turn < 3; turn++) {
        uint32_t frame;
        struct synth *synth = synth_with(self.path, &self, turn, &frame);
        struct bl_reader *reader = NULL;
        struct bl_symbols *symbols = symbols_of(synth, &reader);
        size_t count;
        bl_symbols_share(symbols, store);
        const struct bl_symbol *found = bl_symbols_frame(symbols, frame, &count);
        ck_assert_str_eq(found[count - 1].function, "function_with_inlined");
        ck_assert(!first || found == first);
        first = found;
        bl_symbols_destroy(symbols);
        bl_reader_destroy(reader);
        synth_destroy(synth);
    }
    bl_symbols_store_destroy(store);
}
END_TEST

START_TEST(a_file_that_was_not_there_is_looked_for_again)
{
    struct self self = this_program();
    struct bl_symbols_store *store = bl_symbols_store_create();
    char path[] = "/tmp/cli_symbols.XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    unlink(path);
    for (int is_there = 0; is_there < 2; is_there++) {
        uint32_t frame;
        struct synth *synth = synth_with(path, &self, 0, &frame);
        struct bl_reader *reader = NULL;
        struct bl_symbols *symbols = symbols_of(synth, &reader);
        size_t count;
        bl_symbols_share(symbols, store);
        if (is_there)
            ck_assert_int_eq(symlink(self.path, path), 0);
        const struct bl_symbol *found = bl_symbols_frame(symbols, frame, &count);
        ck_assert(is_there == (found[count - 1].function != NULL));
        bl_symbols_destroy(symbols);
        bl_reader_destroy(reader);
        synth_destroy(synth);
    }
    unlink(path);
    bl_symbols_store_destroy(store);
}
END_TEST

/* Linked before the code of the C runtime, which has no debug information. */
static __attribute__((noinline, section(".text.startup"))) int placed_before_the_start(void)
{
    return __LINE__;
}

START_TEST(code_without_debug_information_has_no_line_of_the_code_before_it)
{
    struct self self = this_program();
    struct synth *synth = synth_create();
    uint32_t module =
        synth_module(synth, self.path, self.build_id, self.build_id_length, BL_MODULE_MAIN);
    uint32_t frame = synth_frame(synth, 0, module, getauxval(AT_ENTRY) - self.bias + 1);
    struct bl_reader *reader = NULL;
    struct bl_symbols *symbols = symbols_of(synth, &reader);
    size_t count = 0;
    ck_assert_int_gt(placed_before_the_start(), 0);
    const struct bl_symbol *found = bl_symbols_frame(symbols, frame, &count);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(found->function, "_start");
    ck_assert_ptr_null(found->file);
    ck_assert_int_eq(found->line, 0);
    bl_symbols_destroy(symbols);
    bl_reader_destroy(reader);
    synth_destroy(synth);
}
END_TEST

START_TEST(of_many_files_the_latest_are_kept)
{
    struct self self = this_program();
    struct bl_symbols_store *store = bl_symbols_store_create();
    char directory[] = "/tmp/cli_symbols.XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(directory));
    for (uint32_t turn = 0; turn < 300; turn++) {
        uint32_t frame;
        char path[64];
        snprintf(path, sizeof(path), "%s/%u", directory, turn);
        ck_assert_int_eq(symlink(self.path, path), 0);
        struct synth *synth = synth_with(path, &self, 0, &frame);
        struct bl_reader *reader = NULL;
        struct bl_symbols *symbols = symbols_of(synth, &reader);
        size_t count;
        bl_symbols_share(symbols, store);
        const struct bl_symbol *found = bl_symbols_frame(symbols, frame, &count);
        ck_assert_str_eq(found[count - 1].function, "function_with_inlined");
        bl_symbols_destroy(symbols);
        bl_reader_destroy(reader);
        synth_destroy(synth);
        unlink(path);
        ck_assert_uint_eq(bl_symbols_store_count(store), turn < 96 ? turn + 1 : 96);
    }
    rmdir(directory);
    bl_symbols_store_destroy(store);
}
END_TEST

START_TEST(another_build_gives_no_names)
{
    struct self self = this_program();
    struct synth *synth = synth_create();
    uint32_t module = synth_module(synth, self.path, "not this build", 14, BL_MODULE_MAIN);
    uintptr_t start = (uintptr_t)function_with_inlined - self.bias;
    uint32_t frame = synth_frame(synth, 0, module | BL_FRAME_EXACT, start);
    struct bl_reader *reader = NULL;
    struct bl_symbols *symbols = symbols_of(synth, &reader);
    size_t count;
    const struct bl_symbol *found = bl_symbols_frame(symbols, frame, &count);
    ck_assert_uint_eq(count, 1);
    ck_assert_ptr_null(found[0].function);
    ck_assert_uint_eq(found[0].offset, start);
    ck_assert_str_eq(found[0].build_id, "6e6f742074686973206275696c64");
    ck_assert_str_eq(bl_symbols_mismatch(symbols, 0), self.path);
    ck_assert_ptr_null(bl_symbols_mismatch(symbols, 1));
    bl_symbols_destroy(symbols);
    bl_reader_destroy(reader);
    synth_destroy(synth);
}
END_TEST

START_TEST(a_library_without_debug_information_gives_its_exported_names)
{
    struct synth *synth = synth_create();
    const char *path = "/usr/lib/x86_64-linux-gnu/libjansson.so.4";
    if (access(path, R_OK) != 0)
        path = "/lib/x86_64-linux-gnu/libjansson.so.4";
    ck_assert_int_eq(access(path, R_OK), 0);
    struct link_map *map = dlopen(path, RTLD_NOW);
    ck_assert_ptr_nonnull(map);
    uintptr_t address = (uintptr_t)dlsym(map, "json_string_value") - map->l_addr;
    uint32_t module = synth_module(synth, path, NULL, 0, 0);
    uint32_t frame = synth_frame(synth, 0, module, address + 1);
    struct bl_reader *reader = NULL;
    struct bl_symbols *symbols = symbols_of(synth, &reader);
    size_t count;
    const struct bl_symbol *found = bl_symbols_frame(symbols, frame, &count);
    ck_assert_str_eq(found[0].function, "json_string_value");
    bl_symbols_destroy(symbols);
    bl_reader_destroy(reader);
    synth_destroy(synth);
}
END_TEST

/* Whatever libc calls them itself, in its debug information or beside the names that it exports. */
START_TEST(functions_of_libc_have_the_names_that_users_know)
{
    static const char *const names[] = {"printf", "malloc", "calloc",        "strdup",
                                        "fopen",  "puts",   "pthread_create"};
    struct link_map *map = dlopen("libc.so.6", RTLD_NOW);
    ck_assert_ptr_nonnull(map);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct synth *synth = synth_create();
        uintptr_t address = (uintptr_t)dlsym(map, names[i]) - map->l_addr;
        uint32_t module = synth_module(synth, map->l_name, NULL, 0, 0);
        uint32_t frame = synth_frame(synth, 0, module, address + 1);
        struct bl_reader *reader = NULL;
        struct bl_symbols *symbols = symbols_of(synth, &reader);
        size_t count;
        const struct bl_symbol *found = bl_symbols_frame(symbols, frame, &count);
        ck_assert_str_eq(found[count - 1].function, names[i]);
        bl_symbols_destroy(symbols);
        bl_reader_destroy(reader);
        synth_destroy(synth);
    }
}
END_TEST

START_TEST(cxx_names_are_demangled)
{
    struct synth *synth = synth_create();
    const char *path = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6";
    struct link_map *map = dlopen(path, RTLD_NOW);
    ck_assert_ptr_nonnull(map);
    uintptr_t address = (uintptr_t)dlsym(map, "_ZNSsC1ERKSs") - map->l_addr;
    uint32_t module = synth_module(synth, path, NULL, 0, 0);
    uint32_t frame = synth_frame(synth, 0, module, address + 1);
    struct bl_reader *reader = NULL;
    struct bl_symbols *symbols = symbols_of(synth, &reader);
    size_t count;
    const struct bl_symbol *found = bl_symbols_frame(symbols, frame, &count);
    ck_assert_ptr_nonnull(strstr(found[0].function, "std::"));
    ck_assert_ptr_null(strstr(found[0].function, "_ZN"));
    bl_symbols_destroy(symbols);
    bl_reader_destroy(reader);
    synth_destroy(synth);
}
END_TEST

START_TEST(paths_that_are_no_files_are_left_alone)
{
    static const char *const paths[] = {
        "/dev/zero", "/", "relative", "", "/nonexistent/libx.so", "/etc/passwd", "[vdso]"};
    struct synth *synth = synth_create();
    uint32_t frames[7];
    for (size_t i = 0; i < 7; i++)
        frames[i] = synth_frame(synth, 0, synth_module(synth, paths[i], "id", 2, 0), 0x1234);
    struct bl_reader *reader = NULL;
    struct bl_symbols *symbols = symbols_of(synth, &reader);
    for (size_t i = 0; i < 7; i++) {
        size_t count;
        const struct bl_symbol *found = bl_symbols_frame(symbols, frames[i], &count);
        ck_assert_uint_eq(count, 1);
        ck_assert_ptr_null(found[0].function);
    }
    bl_symbols_destroy(symbols);
    bl_reader_destroy(reader);
    synth_destroy(synth);
}
END_TEST

START_TEST(only_a_call_through_a_register_is_one_through_a_pointer)
{
    static const struct {
        uint8_t code[BL_CALLED_BYTES]; /* before the return address */
        bool is_by_pointer;
    } cases[] = {
        {{0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xd0}, true},  /* call *%rax */
        {{0x90, 0x90, 0x90, 0x90, 0x41, 0xff, 0xd4}, true},  /* call *%r12 */
        {{0x90, 0x90, 0x90, 0x90, 0xff, 0x50, 0x18}, true},  /* call *0x18(%rax) */
        {{0x90, 0x90, 0x90, 0xff, 0x54, 0x24, 0x08}, true},  /* call *8(%rsp) */
        {{0x90, 0xff, 0x93, 0x00, 0x01, 0x00, 0x00}, true},  /* call *0x100(%rbx) */
        {{0xff, 0x14, 0xc5, 0x00, 0x10, 0x40, 0x00}, true},  /* call *table(,%rax,8) */
        {{0x90, 0x90, 0xe8, 0x10, 0x20, 0x00, 0x00}, false}, /* call function */
        {{0x90, 0x90, 0xe8, 0x10, 0x20, 0xff, 0xd0}, false}, /* the same, or call *%rax */
        {{0x90, 0xff, 0x15, 0x10, 0x20, 0x00, 0x00}, false}, /* call *function@GOTPCREL(%rip) */
        {{0x90, 0xff, 0x15, 0x10, 0x20, 0xff, 0xd0}, false},
        {{0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xe0}, false}, /* jmp *%rax */
        {{0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90}, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_msg(bl_called_is_by_pointer(cases[i].code) == cases[i].is_by_pointer, "case %zu",
                      i);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_symbols");
    TCase *tests = tcase_create("symbols");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, inlined_frames_have_function_file_and_line);
    tcase_add_test(tests, inlined_calls_have_numbers);
    tcase_add_test(tests, code_without_debug_information_has_no_line_of_the_code_before_it);
    tcase_add_test(tests, a_return_address_belongs_to_the_call_before_it);
    tcase_add_test(tests, what_was_looked_up_is_handed_on_under_another_number);
    tcase_add_test(tests, a_file_that_was_not_there_is_looked_for_again);
    tcase_add_test(tests, of_many_files_the_latest_are_kept);
    tcase_add_test(tests, another_build_gives_no_names);
    tcase_add_test(tests, a_library_without_debug_information_gives_its_exported_names);
    tcase_add_test(tests, functions_of_libc_have_the_names_that_users_know);
    tcase_add_test(tests, cxx_names_are_demangled);
    tcase_add_test(tests, paths_that_are_no_files_are_left_alone);
    tcase_add_test(tests, only_a_call_through_a_register_is_one_through_a_pointer);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
