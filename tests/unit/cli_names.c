#include "cli_check.h"

#include "plain_name.h"
#include "script.h"

#include <stdbool.h>
#include <string.h>

static void is_plain(const char *name, const char *expected, bool is_own)
{
    char out[128];
    ck_assert_msg(bl_plain_name(out, sizeof(out), name) == is_own, "%s", name);
    ck_assert_str_eq(out, expected);
}

START_TEST(a_function_has_one_name_whoever_compiled_it)
{
    is_plain("make_block", "make_block", true);
    is_plain("helper(int)", "helper", true);
    is_plain("(anonymous namespace)::Local::make()", "make", true);
    is_plain("void lose<int>(int)", "lose", true);
    is_plain("char* a::b::c<x::y>(d)", "c", true);
    is_plain("std::string text[abi:cxx11](int)", "text", true);
    is_plain("with_lambda()::{lambda(int)#1}::operator()(int) const", "operator()", true);
    is_plain("Foo::foo() const &::{lambda()#1}::operator()() const", "operator()", true);
    is_plain("with_lambda()::$_0::operator()(int) const", "operator()", true);
    is_plain("Foo::operator bool() const", "operator bool", true);
    is_plain("Foo::operator[](int)", "operator[]", true);
    is_plain("operator new(unsigned long)", "operator new", true);
    is_plain("app.Orders.lambda$route$0", "app.Orders.lambda$route", true);
    is_plain("app.Orders$1.accept", "app.Orders$1.accept", true);
}
END_TEST

START_TEST(what_may_be_inlined_of_cxxs_own_library_does_not_count)
{
    is_plain("std::function<void (int)>::operator()(int) const", "operator()", false);
    is_plain("void std::__invoke_impl<void, f()::$_0&>(std::__invoke_other, f()::$_0&)",
             "__invoke_impl", false);
    is_plain("__invoke_r<void, f()::<lambda(int)>&, int>", "__invoke_r", false);
    is_plain("_M_invoke", "_M_invoke", false);
}
END_TEST

START_TEST(what_is_no_name_is_left_as_it_is)
{
    static const char *const names[] = {"<", "((((", "operator", "a::", "::", "-[Foo bar:]"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        is_plain(names[i], names[i], true);
}
END_TEST

#define RUNS(exe, line, expected)                                                                  \
    do {                                                                                           \
        char out[64];                                                                              \
        bl_script_name(out, sizeof(out), exe, line, sizeof(line) - 1);                             \
        ck_assert_str_eq(out, expected);                                                           \
    } while (0)

START_TEST(a_script_is_what_an_interpreter_was_told_to_run)
{
    RUNS("/usr/bin/python3.11", "python3\0./a/run.py\0x", "run.py");
    RUNS("/usr/bin/python3.11", "python3\0-u\0-W\0error\0run.py", "run.py");
    RUNS("/usr/bin/python3.11", "python3\0-m\0pytest\0x.py", "pytest");
    RUNS("/usr/bin/python3.11", "python3\0-Ec\0pass\0x.py", "");
    RUNS("/usr/bin/python3.11", "python3\0--\0-x.py", "-x.py");
    RUNS("/usr/bin/python3.11", "python3", "");
    RUNS("/bin/dash", "/bin/sh\0-e\0./t.sh\0", "t.sh");
    RUNS("/bin/bash", "bash\0-eo\0pipefail\0t.sh", "t.sh");
    RUNS("/bin/bash", "bash\0-ec\0./t.sh", "");
    RUNS("/usr/bin/perl", "perl\0-we\0print", "");
    RUNS("/usr/bin/perl", "perl\0-w\0t.pl", "t.pl");
    RUNS("/usr/bin/shuf", "shuf\0t.txt", "");
    RUNS("/usr/bin/pythonic", "pythonic\0t.py", "");
    RUNS("", "", "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_names");
    TCase *tests = tcase_create("names");
    tcase_add_test(tests, a_function_has_one_name_whoever_compiled_it);
    tcase_add_test(tests, what_may_be_inlined_of_cxxs_own_library_does_not_count);
    tcase_add_test(tests, what_is_no_name_is_left_as_it_is);
    tcase_add_test(tests, a_script_is_what_an_interpreter_was_told_to_run);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
