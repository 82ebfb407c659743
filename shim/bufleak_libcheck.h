/*
 * For test programs on libcheck: include it after <check.h>, and `bufleak check` tells by name
 * which test leaked, whether tests run in processes of their own or all in one (CK_FORK=no), and
 * which fixture did: "set_up (setup)".
 *
 * It replaces START_TEST by one that tells bufleak where the test begins and ends, and what adds
 * fixtures by what does the same for the first 32 functions that a file adds; that is all.
 */
#ifndef BUFLEAK_LIBCHECK_H
#define BUFLEAK_LIBCHECK_H

#include "bufleak.h"

#include <check.h>

#ifndef BUFLEAK_DISABLE
#undef START_TEST
#define START_TEST(name)                                                                           \
    static void name##_bufleak_body(int _i CK_ATTRIBUTE_UNUSED);                                   \
    static void name##_fn(int _i)                                                                  \
    {                                                                                              \
        bufleak_test_begin(#name);                                                                 \
        name##_bufleak_body(_i);                                                                   \
        bufleak_test_end();                                                                        \
    }                                                                                              \
    static const TTest name##_ttest = {"" #name, name##_fn, __FILE__, __LINE__};                   \
    static const TTest *name = &name##_ttest;                                                      \
    static void name##_bufleak_body(int _i CK_ATTRIBUTE_UNUSED)

/* libcheck calls a fixture without telling which one: each is called by a function that knows. */
/* clang-format off */
#define BUFLEAK_FIXTURES_(X)          \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) \
    X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) \
    X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) \
    X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
/* clang-format on */
#define BUFLEAK_FIXTURES_MAX_ 32

static struct {
    SFun function;
    const char *name;
} bufleak_fixtures_[BUFLEAK_FIXTURES_MAX_] CK_ATTRIBUTE_UNUSED;

#define BUFLEAK_FIXTURE_(n)                                                                        \
    CK_ATTRIBUTE_UNUSED static void bufleak_fixture_##n##_(void)                                   \
    {                                                                                              \
        bufleak_test_begin(bufleak_fixtures_[n].name);                                             \
        bufleak_fixtures_[n].function();                                                           \
        bufleak_test_end();                                                                        \
    }
BUFLEAK_FIXTURES_(BUFLEAK_FIXTURE_)

/* A function that was added before is known by its name; name: of a literal. */
CK_ATTRIBUTE_UNUSED static SFun bufleak_fixture_(SFun function, const char *name)
{
#define BUFLEAK_CALLER_(n) bufleak_fixture_##n##_,
    static const SFun callers[] = {BUFLEAK_FIXTURES_(BUFLEAK_CALLER_)};
#undef BUFLEAK_CALLER_
    int i = 0;
    if (!function)
        return function;
    while (i < BUFLEAK_FIXTURES_MAX_ && bufleak_fixtures_[i].function &&
           (bufleak_fixtures_[i].function != function || bufleak_fixtures_[i].name != name))
        i++;
    if (i == BUFLEAK_FIXTURES_MAX_)
        return function;
    bufleak_fixtures_[i].function = function;
    bufleak_fixtures_[i].name = name;
    return callers[i];
}

#define tcase_add_unchecked_fixture(tcase, setup, teardown)                                        \
    (tcase_add_unchecked_fixture)(tcase, bufleak_fixture_(setup, #setup " (setup)"),               \
                                  bufleak_fixture_(teardown, #teardown " (teardown)"))
#define tcase_add_checked_fixture(tcase, setup, teardown)                                          \
    (tcase_add_checked_fixture)(tcase, bufleak_fixture_(setup, #setup " (setup)"),                 \
                                bufleak_fixture_(teardown, #teardown " (teardown)"))
#endif

#endif
