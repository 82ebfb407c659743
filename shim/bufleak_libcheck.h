/*
 * For test programs on libcheck: include it after <check.h>, and `bufleak check` tells by name
 * which test leaked, whether tests run in processes of their own or all in one (CK_FORK=no).
 *
 * It replaces START_TEST by one that tells bufleak where the test begins and ends; that is all.
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
#endif

#endif
