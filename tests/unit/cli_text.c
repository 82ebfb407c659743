#include "cli_check.h"

#include "text.h"

#include <signal.h>
#include <string.h>

START_TEST(columns_are_counted_as_terminals_show_them)
{
    char out[64];
    ck_assert_uint_eq(bl_text_width("take"), 4);
    ck_assert_uint_eq(bl_text_width("tr\u00e8s"), 4);
    ck_assert_uint_eq(bl_text_width("tre\u0300s"), 4); /* the accent is a mark of its own */
    ck_assert_uint_eq(bl_text_width("\u6f0f\u308c\u308b"), 6);
    bl_text_fit(out, sizeof(out), "\u6f0f\u308c\u308b", 6, false);
    ck_assert_str_eq(out, "\u6f0f\u308c\u308b");
    bl_text_fit(out, sizeof(out), "\u6f0f\u308c\u308b", 4, false); /* half a letter is none */
    ck_assert_str_eq(out, "\u6f0f\u2026");
    bl_text_fit(out, sizeof(out), "\u6f0f\u308c\u308b.c", 5, true);
    ck_assert_str_eq(out, "\u2026\u308b.c");
    bl_text_fit(out, sizeof(out), "abcdef", 4, true);
    ck_assert_str_eq(out, "\u2026def");
}
END_TEST

START_TEST(counts_have_separators)
{
    char out[BL_TEXT_NUMBER];
    ck_assert_str_eq(bl_text_count(out, 0), "0");
    ck_assert_str_eq(bl_text_count(out, 999), "999");
    ck_assert_str_eq(bl_text_count(out, 1204), "1,204");
    ck_assert_str_eq(bl_text_count(out, UINT64_MAX), "18,446,744,073,709,551,615");
}
END_TEST

START_TEST(bytes_take_the_largest_unit)
{
    char out[BL_TEXT_NUMBER];
    ck_assert_str_eq(bl_text_bytes(out, 512), "512 B");
    ck_assert_str_eq(bl_text_bytes(out, 1024), "1.00 KiB");
    ck_assert_str_eq(bl_text_bytes(out, 1237320), "1.18 MiB");
    ck_assert_str_eq(bl_text_bytes(out, 1048575), "1.00 MiB");
    ck_assert_str_eq(bl_text_bytes(out, UINT64_MAX), "16.00 EiB");
}
END_TEST

START_TEST(ages_have_two_units)
{
    char out[BL_TEXT_NUMBER];
    ck_assert_str_eq(bl_text_age(out, 749ull * 1000000000), "12m 29s");
    ck_assert_str_eq(bl_text_age(out, 3000000000ull), "3s");
    ck_assert_str_eq(bl_text_age(out, 250000000ull), "250ms");
    ck_assert_str_eq(bl_text_age(out, 90000ull * 1000000000), "1d 1h");
    ck_assert_str_eq(bl_text_age(out, 7260ull * 1000000000), "2h 1m");
}
END_TEST

START_TEST(sizes_are_parsed_and_nonsense_refused)
{
    uint64_t value = 0;
    ck_assert(bl_text_parse_size("64K", &value) && value == 65536);
    ck_assert(bl_text_parse_size("1.5MiB", &value) && value == 1572864);
    ck_assert(bl_text_parse_size("0", &value) && value == 0);
    ck_assert(bl_text_parse_size("2gb", &value) && value == 2ull << 30);
    static const char *const bad[] = {"",    "K",   "-1",  "1X",           "1KX",   "0x10",
                                      "inf", "nan", "1e3", "99999999999P", "1.2.3", "1 K"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(!bl_text_parse_size(bad[i], &value), "accepted \"%s\"", bad[i]);
}
END_TEST

START_TEST(ages_are_parsed_and_nonsense_refused)
{
    uint64_t value = 0;
    ck_assert(bl_text_parse_age("250ms", &value) && value == 250000000);
    ck_assert(bl_text_parse_age("10", &value) && value == 10000000000ull);
    ck_assert(bl_text_parse_age("1.5h", &value) && value == 5400000000000ull);
    ck_assert(bl_text_parse_age("7d", &value) && value == 604800000000000ull);
    ck_assert(!bl_text_parse_age("5 minutes", &value));
    ck_assert(!bl_text_parse_age("-5s", &value));
}
END_TEST

START_TEST(signals_have_names_and_numbers)
{
    char out[BL_TEXT_NUMBER];
    ck_assert_int_eq(bl_text_parse_signal("USR1"), SIGUSR1);
    ck_assert_int_eq(bl_text_parse_signal("SIGUSR2"), SIGUSR2);
    ck_assert_int_eq(bl_text_parse_signal("rtmin+3"), SIGRTMIN + 3);
    ck_assert_int_eq(bl_text_parse_signal("RTMAX-1"), SIGRTMAX - 1);
    ck_assert_int_eq(bl_text_parse_signal("none"), 0);
    ck_assert_int_eq(bl_text_parse_signal("12"), 12);
    ck_assert_int_eq(bl_text_parse_signal("0"), -1);
    ck_assert_int_eq(bl_text_parse_signal("KILL"), -1);
    ck_assert_int_eq(bl_text_parse_signal("SIGSEGV"), -1);
    ck_assert_int_eq(bl_text_parse_signal("7"), -1);
    ck_assert_int_eq(bl_text_parse_signal("NOSUCH"), -1);
    ck_assert_int_eq(bl_text_parse_signal("RTMIN+99"), -1);
    ck_assert_str_eq(bl_text_signal(out, SIGUSR1), "SIGUSR1");
    ck_assert_str_eq(bl_text_signal(out, SIGRTMIN + 3), "SIGRTMIN+3");
}
END_TEST

START_TEST(names_become_valid_utf8_without_controls)
{
    char out[64];
    bl_text_printable(out, sizeof(out), "a\033[31mb\n\0c", 10);
    ck_assert_str_eq(out, "a?[31mb??c");
    bl_text_printable(out, sizeof(out), "\xff\xc3\xa9\xc0\x80\xed\xa0\x80", 8);
    ck_assert_str_eq(out, "\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                          "\xef\xbf\xbd");
    bl_text_printable(out, sizeof(out), "\xe2\x82", 2);
    ck_assert_str_eq(out, "\xef\xbf\xbd\xef\xbf\xbd");
}
END_TEST

START_TEST(a_cut_never_splits_a_character)
{
    char out[5];
    ck_assert_uint_eq(bl_text_printable(out, sizeof(out), "abc\xc3\xa9", 5), 3);
    ck_assert_str_eq(out, "abc");
    ck_assert_uint_eq(bl_text_width("a\xc3\xa9\xe2\x80\xa6"), 3);
}
END_TEST

START_TEST(a_number_chooses_the_form_of_what_it_counts)
{
    char out[64];
    bl_text_plural(out, sizeof(out), "{block|blocks} freed", 1);
    ck_assert_str_eq(out, "block freed");
    bl_text_plural(out, sizeof(out), "{block|blocks} freed", 0);
    ck_assert_str_eq(out, "blocks freed");
    bl_text_plural(out, sizeof(out), "its {end|ends}: {it|they}", 1204);
    ck_assert_str_eq(out, "its ends: they");
    bl_text_plural(out, sizeof(out), "a { b } c|d } {e", 1);
    ck_assert_str_eq(out, "a { b } c|d } {e");
    bl_text_plural(out, 6, "{block|blocks} freed", 2);
    ck_assert_str_eq(out, "block");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_text");
    TCase *tests = tcase_create("text");
    tcase_add_test(tests, columns_are_counted_as_terminals_show_them);
    tcase_add_test(tests, a_number_chooses_the_form_of_what_it_counts);
    tcase_add_test(tests, counts_have_separators);
    tcase_add_test(tests, bytes_take_the_largest_unit);
    tcase_add_test(tests, ages_have_two_units);
    tcase_add_test(tests, sizes_are_parsed_and_nonsense_refused);
    tcase_add_test(tests, ages_are_parsed_and_nonsense_refused);
    tcase_add_test(tests, signals_have_names_and_numbers);
    tcase_add_test(tests, names_become_valid_utf8_without_controls);
    tcase_add_test(tests, a_cut_never_splits_a_character);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
