#include "cli_check.h"

#include "identity.h"
#include "nesting.h"
#include "plain_name.h"
#include "script.h"

#include <stdbool.h>
#include <stdlib.h>
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

static void stands_in(const char *lambda, const char *method)
{
    struct bl_nesting *nesting = bl_nesting_create();
    struct bl_nest inner = bl_nesting_find(nesting, lambda, strlen(lambda));
    struct bl_nest outer = bl_nesting_find(nesting, method, strlen(method));
    ck_assert_uint_ne(inner.method, outer.method);
    ck_assert_msg(inner.around == outer.method && outer.around == outer.method, "%s", lambda);
    bl_nesting_destroy(nesting);
}

static void stands_alone(const char *method)
{
    struct bl_nesting *nesting = bl_nesting_create();
    struct bl_nest nest = bl_nesting_find(nesting, method, strlen(method));
    ck_assert_msg(nest.method != 0 && nest.around == nest.method, "%s", method);
    bl_nesting_destroy(nesting);
}

START_TEST(a_lambda_of_java_stands_in_the_source_of_another_method)
{
    stands_in("app.Orders.lambda$route$0", "app.Orders.route");
    stands_in("app.Orders.lambda$route$12", "app.Orders.route");
    stands_in("app.Orders.lambda$new$3", "app.Orders.<init>");
    stands_in("app.Orders.lambda$static$3", "app.Orders.<clinit>");
    stands_in("app.Orders.lambda$a$b$1", "app.Orders.a$b");
    stands_in("app.Orders.route$lambda$2", "app.Orders.route");
    stands_in("app.Orders.route$lambda$2$lambda$1", "app.Orders.route");
    stands_in("app.Orders.$anonfun$route$1", "app.Orders.route");
}
END_TEST

START_TEST(what_does_not_tell_where_its_source_stands_stands_alone)
{
    static const char *const names[] = {"app.Orders.route",        "app.Orders.lambda$null$4",
                                        "app.Orders.lambda$route", "app.Orders.lambda$0",
                                        "app.Orders.lambda$$0",    "app.Orders.$lambda$0",
                                        "app.Orders$1.accept",     "app.lambda$x$1.accept"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        stands_alone(names[i]);
    struct bl_nesting *nesting = bl_nesting_create();
    ck_assert_uint_eq(bl_nesting_find(nesting, "main", 4).method, 0);
    ck_assert_uint_eq(bl_nesting_find(nesting, "", 0).method, 0);
    ck_assert_uint_ne(bl_nesting_find(nesting, "a.X.lambda$f$0", 14).around,
                      bl_nesting_find(nesting, "b.X.f", 5).method);
    bl_nesting_destroy(nesting);
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

/* A library without names that was called from a machine's own code. */
static void keeps_id(const char *one, const char *other, uint64_t address, bool is_kept)
{
    struct bl_error error = {0};
    struct bl_leaks *leaks;
    const char *const modules[] = {one, other};
    const char *ids[2];
    ck_assert_int_eq(bl_leaks_create(&leaks, &error), 0);
    for (size_t i = 0; i < 2; i++) {
        struct bl_leak_frame frames[] = {
            {.module = modules[i], .path = modules[i], .offset = 0x2d85e},
            {.module = "?", .path = "?", .offset = address + i * 4096},
        };
        struct bl_leak leak = {.class_name = "heap", .blame = {frames, 2}};
        bl_identity_make(leaks, &leak);
        ids[i] = leak.id;
        free(leak.functions);
    }
    ck_assert_msg((strcmp(ids[0], ids[1]) == 0) == is_kept, "%s %s", one, other);
    bl_leaks_destroy(leaks);
}

START_TEST(a_file_that_a_run_named_for_itself_is_the_same_in_the_next)
{
    keeps_id("libssl_x86_6417420445290064693616.so", "libssl_x86_645290064693616.so", 1, true);
    keeps_id("db-3.45-0b0c1d2e-1111-4aaa-8bbb-0123456789ab-libdb.so",
             "db-3.45-ffffffff-2222-4aaa-9bbb-ba9876543210-libdb.so", 1, true);
    keeps_id("gw", "gw", 0x7fa7389455ba, true);
    keeps_id("libgw-20240101.so", "libgw-20240102.so", 1, false);
    keeps_id("libgw2.so", "libgw3.so", 1, false);
    keeps_id("libgw123456789.so", "libgx123456789.so", 1, false);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_names");
    TCase *tests = tcase_create("names");
    tcase_add_test(tests, a_function_has_one_name_whoever_compiled_it);
    tcase_add_test(tests, what_may_be_inlined_of_cxxs_own_library_does_not_count);
    tcase_add_test(tests, what_is_no_name_is_left_as_it_is);
    tcase_add_test(tests, a_lambda_of_java_stands_in_the_source_of_another_method);
    tcase_add_test(tests, what_does_not_tell_where_its_source_stands_stands_alone);
    tcase_add_test(tests, a_script_is_what_an_interpreter_was_told_to_run);
    tcase_add_test(tests, a_file_that_a_run_named_for_itself_is_the_same_in_the_next);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
