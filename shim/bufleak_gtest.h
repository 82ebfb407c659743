/*
 * For test programs on GoogleTest: include it in one of their files, and `bufleak check` tells by
 * name which test leaked, or which suite what it sets up once for all of its tests.
 *
 * A listener is added before main; whoever takes all listeners away calls bufleak::add_listener().
 */
#ifndef BUFLEAK_GTEST_H
#define BUFLEAK_GTEST_H

#include "bufleak.h"

#include <gtest/gtest.h>
#include <string>

namespace bufleak
{
class test_listener : public ::testing::EmptyTestEventListener
{
    void OnTestSuiteStart(const ::testing::TestSuite &suite) override
    {
        bufleak_test_begin(suite.name());
    }
    void OnTestStart(const ::testing::TestInfo &info) override
    {
        /* the name's own memory is no test's */
        bufleak_test_begin((std::string(info.test_suite_name()) + "." + info.name()).c_str());
    }
    void OnTestEnd(const ::testing::TestInfo &info) override
    {
        bufleak_test_begin(info.test_suite_name());
    }
    void OnTestSuiteEnd(const ::testing::TestSuite &) override
    {
        bufleak_test_end();
    }
};

inline int add_listener()
{
    /* GoogleTest owns it from here on */
    ::testing::UnitTest::GetInstance()->listeners().Append(new test_listener);
    return 1;
}

namespace
{
const int is_listening __attribute__((unused)) = add_listener();
}
} // namespace bufleak

#endif
