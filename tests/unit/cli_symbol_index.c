/* What the index finds at an address is what libdwfl finds, in a table with aliases and nesting. */
#include "cli_check.h"

#include "symbol_index.h"

#include <fcntl.h>
#include <gnu/lib-names.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#define STEP_BYTES 977u
#define AT_EACH    7 /* every so many symbols */

static const Dwfl_Callbacks callbacks = {
    .find_elf = dwfl_build_id_find_elf,
    .find_debuginfo = dwfl_standard_find_debuginfo,
    .section_address = dwfl_offline_section_address,
};

static int find_libc(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    const char *name = strrchr(info->dlpi_name, '/');
    if (!name || strcmp(name + 1, LIBC_SO) != 0)
        return 0;
    snprintf(context, 4096, "%s", info->dlpi_name);
    return 1;
}

/* Opens the C library, or this program. */
static Dwfl *open_module(bool is_libc, Dwfl_Module **ret_file)
{
    char path[4096] = "/proc/self/exe";
    Dwfl *dwfl = dwfl_begin(&callbacks);
    if (is_libc)
        ck_assert_int_eq(dl_iterate_phdr(find_libc, path), 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    dwfl_report_begin(dwfl);
    *ret_file = dwfl_report_offline(dwfl, path, path, fd);
    dwfl_report_end(dwfl, NULL, NULL);
    ck_assert_ptr_nonnull(*ret_file);
    return dwfl;
}

static void compare(const struct bl_symbol_index *index, Dwfl_Module *file, GElf_Addr address)
{
    GElf_Sym a;
    GElf_Sym b;
    GElf_Off inside_a = 0;
    GElf_Off inside_b = 0;
    const char *found = bl_symbol_index_find(index, file, address, &inside_a, &a);
    const char *wanted = dwfl_module_addrinfo(file, address, &inside_b, &b, NULL, NULL, NULL);
    /* Before a global label without a size libdwfl does not look for local symbols, which have one:
     * _edata, where the linker puts data right there. */
    if (wanted && b.st_size == 0 && found && a.st_size > 0)
        return;
    ck_assert_pstr_eq(found, wanted);
    if (!wanted)
        return;
    ck_assert_uint_eq(inside_a, inside_b);
    ck_assert_uint_eq(a.st_size, b.st_size);
}

static void compare_all(bool is_libc)
{
    Dwfl_Module *file;
    Dwfl *dwfl = open_module(is_libc, &file);
    struct bl_symbol_index *index = bl_symbol_index_create(file);
    GElf_Addr start;
    GElf_Addr end;
    ck_assert_ptr_nonnull(index);
    dwfl_module_info(file, NULL, &start, &end, NULL, NULL, NULL, NULL);
    int count = dwfl_module_getsymtab(file);
    ck_assert_int_gt(count, 50);
    for (int i = 1; i < count; i += AT_EACH) {
        GElf_Sym symbol;
        GElf_Addr at;
        if (!dwfl_module_getsym_info(file, i, &symbol, &at, NULL, NULL, NULL) || at <= start ||
            at + symbol.st_size > end) /* no address of the module */
            continue;
        compare(index, file, at - 1);
        compare(index, file, at);
        compare(index, file, at + symbol.st_size / 2);
        compare(index, file, at + symbol.st_size);
    }
    for (GElf_Addr at = start; at < end; at += STEP_BYTES)
        compare(index, file, at);
    bl_symbol_index_destroy(index);
    dwfl_end(dwfl);
}

START_TEST(in_a_program_each_address_has_the_symbol_that_libdwfl_gives_it)
{
    compare_all(false);
}
END_TEST

START_TEST(in_a_library_with_aliases_as_well)
{
    compare_all(true);
}
END_TEST

START_TEST(without_an_index_libdwfl_is_asked)
{
    Dwfl_Module *file;
    Dwfl *dwfl = open_module(true, &file);
    compare(NULL, file, 0x20000);
    dwfl_end(dwfl);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_symbol_index");
    TCase *tests = tcase_create("symbol index");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, in_a_program_each_address_has_the_symbol_that_libdwfl_gives_it);
    tcase_add_test(tests, in_a_library_with_aliases_as_well);
    tcase_add_test(tests, without_an_index_libdwfl_is_asked);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
