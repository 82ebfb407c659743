#!/usr/bin/python3
"""Leaks are blamed on the test that made them, with the real frameworks: libcheck, GoogleTest, CTest,
meson test with --wrapper, pytest."""
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cli'))
from common import CLI, LIMIT  # noqa: E402
from test_check import PROGRAMS, CheckTest  # noqa: E402

ROOT = pathlib.Path(os.environ['BL_SOURCE_ROOT'])
ADAPTERS = ROOT / 'scripts' / 'adapters'

# Two blocks lost in one test, none in the other; the stack is wiped so that no copy holds them.
LOSE = '''
#include <stdlib.h>
#include <string.h>
static __attribute__((noinline)) void lose_one(void)
{
    char *volatile lost = (char *)malloc(40);
    lost[0] = 1;
    lost = NULL;
}
static __attribute__((noinline)) void wipe_stack(void)
{
    volatile char stale[16384];
    memset((char *)stale, 0, sizeof(stale));
}
'''

LIBCHECK = '#include <check.h>\n#include "bufleak_libcheck.h"\n' + LOSE + '''
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static void once(void) { lose_one(); wipe_stack(); }
static void before(void) { lose_one(); wipe_stack(); }
static void after(void) { lose_one(); wipe_stack(); }
static char *child[] = {(char *)CHILD, (char *)"lose", (char *)"1", (char *)"41", NULL};
static char *no_environment[] = {NULL};
static void await_child(pid_t pid) { ck_assert_int_eq(waitpid(pid, NULL, 0), pid); }
START_TEST(innocent) { free(malloc(40)); ck_assert_int_eq(_i, 0); } END_TEST
START_TEST(guilty) { lose_one(); lose_one(); wipe_stack(); } END_TEST
START_TEST(by_exec)
{
    pid_t pid = fork();
    if (pid == 0)
        execv(child[0], child);
    await_child(pid);
} END_TEST
START_TEST(by_bare_fork)
{
    pid_t pid = (pid_t)syscall(SYS_fork);
    if (pid == 0) {
        free(malloc(1)); /* the library begins anew there */
        execve(child[0], child, no_environment);
    }
    await_child(pid);
} END_TEST
START_TEST(by_spawn)
{
    pid_t pid = 0;
    ck_assert_int_eq(posix_spawn(&pid, child[0], NULL, NULL, child, no_environment), 0);
    await_child(pid);
} END_TEST
START_TEST(by_system) { ck_assert_int_eq(system(CHILD " lose 1 41; true"), 0); } END_TEST
int main(void)
{
    Suite *suite = suite_create("suite");
    TCase *tcase = tcase_create("case");
    tcase_add_unchecked_fixture(tcase, once, NULL);
    tcase_add_checked_fixture(tcase, before, after);
    tcase_add_test(tcase, innocent);
    tcase_add_test(tcase, guilty);
    tcase_add_test(tcase, by_exec);
    tcase_add_test(tcase, by_bare_fork);
    tcase_add_test(tcase, by_spawn);
    tcase_add_test(tcase, by_system);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}
'''

BACKGROUND = '''
#include "bufleak.h"
#include <stdlib.h>
int main(void)
{
    bufleak_test_begin("starts");
    int code = system("(read line < gate; " CHILD " lose 1 41) &");
    bufleak_test_end();
    bufleak_test_begin("other");
    bufleak_test_end();
    return code;
}
'''

GTEST = '#include "bufleak_gtest.h"\n' + LOSE + '''
TEST(Suite, Innocent) { free(malloc(40)); }
TEST(Suite, Guilty) { lose_one(); lose_one(); wipe_stack(); }
struct Fixed : ::testing::Test {
    static void SetUpTestSuite() { lose_one(); wipe_stack(); }
    static void TearDownTestSuite() { lose_one(); wipe_stack(); }
};
TEST_F(Fixed, Innocent) { }
int main(int argc, char **argv)
{
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
'''

MESON = '''
project('tests', 'c')
victim = find_program('%s')
test('innocent', victim, args: ['keep', '2', '40'])
test('guilty', victim, args: ['lose', '2', '40'])
'''

CMAKE = '''
cmake_minimum_required(VERSION 3.10)
project(tests NONE)
enable_testing()
add_test(innocent %(victim)s keep 2 40)
add_test(guilty %(victim)s lose 2 40)
include(%(adapter)s)
bufleak_name_tests()
'''

PYTEST = '''
import ctypes, subprocess
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]

def test_innocent():
    subprocess.run(['%(victim)s', 'keep', '2', '40'], check=True)

def test_guilty():
    subprocess.run(['%(victim)s', 'lose', '2', '40'], check=True)

def test_guilty_inside():
    for _ in range(50):
        libc.malloc(12345)
'''


class Adapters(CheckTest):
    def blamed(self, result, size=None):
        """{test: buffers} of what fails."""
        blamed = {}
        for group in result['groups']:
            if group['fate'] == 'fails' and size in (None, group['bytes'] / group['count']):
                for share in group['shares']:
                    blamed[share['test']] = blamed.get(share['test'], 0) + share['count']
        return blamed

    def build(self, name, text, compiler, *flags):
        source = self.home / name
        source.write_text(text)
        program = self.home / source.stem
        subprocess.run([compiler, '-O1', '-g', '-I', ROOT / 'shim', source, '-o', program, *flags],
                       check=True, timeout=LIMIT)
        return program

    def test_libcheck_in_processes_of_their_own_and_in_one(self):
        flags = subprocess.run(['pkg-config', '--cflags', '--libs', 'check'], check=True,
                               capture_output=True, text=True).stdout.split()
        victim = PROGRAMS / 'check_before'
        program = self.build('with_check.c', LIBCHECK, 'gcc', '-Wall', '-Wextra', '-Werror',
                             f'-DCHILD="{victim}"', *flags)
        for fork in ('yes', 'no'):
            result = self.check('--', program, code=23, env=dict(self.env, CK_FORK=fork))
            blamed = self.blamed(result, 40)
            for fixture in ('before (setup)', 'after (teardown)'):
                # the stack of one may hold the latest of the other
                self.assertIn(blamed.pop(fixture, 0), (5, 6), fork)
            self.assertEqual(blamed, {'guilty': 2, 'once (setup)': 1}, fork)
            self.assertEqual(self.blamed(result, 41), {'by_exec': 1, 'by_bare_fork': 1, 'by_spawn': 1,
                                                       'by_system': 1}, fork)
            self.assertNotIn('bufleak_fixture', str([group['functions'] for group in result['groups']]))

    def test_what_outlives_the_test_that_started_it(self):
        victim = PROGRAMS / 'check_before'
        program = self.build('background.c', BACKGROUND, 'gcc', f'-DCHILD="{victim}"')
        os.mkfifo(self.home / 'gate')
        result = self.check('--', 'sh', '-c', f'{program} && echo > gate', code=23, cwd=self.home)
        self.assertEqual(self.blamed(result), {'starts': 1})

    def test_googletest(self):
        program = self.build('with_gtest.cc', GTEST, 'g++', '-std=c++17', '-lgtest', '-pthread')
        result = self.check('--junit', self.home / 'junit.xml', '--', program, code=23)
        self.assertEqual(self.blamed(result), {'Suite.Guilty': 2, 'Fixed': 2})
        self.assertIn('name="Suite.Guilty"', (self.home / 'junit.xml').read_text())

    def test_ctest_with_tests_side_by_side(self):
        (self.home / 'CMakeLists.txt').write_text(
            CMAKE % {'victim': PROGRAMS / 'check_before', 'adapter': ADAPTERS / 'bufleak.cmake'})
        subprocess.run(['cmake', '-S', self.home, '-B', self.home / 'b'], check=True,
                       capture_output=True, timeout=LIMIT)
        result = self.check('--', 'ctest', '--test-dir', self.home / 'b', '-j', '2', code=23)
        self.assertEqual(self.blamed(result), {'guilty': 2})

    def test_meson_fails_the_test_that_leaks(self):
        (self.home / 'meson.build').write_text(MESON % (PROGRAMS / 'check_before'))
        subprocess.run(['meson', 'setup', self.home / 'b', self.home], check=True,
                       capture_output=True, timeout=LIMIT, env=self.env)
        done = subprocess.run(['meson', 'test', '-C', self.home / 'b', '--wrapper', f'{CLI} check --'],
                              capture_output=True, text=True, timeout=LIMIT, env=self.env)
        self.assertRegex(done.stdout, r'innocent +OK')
        self.assertRegex(done.stdout, r'guilty +FAIL .* exit status 23')

    def test_pytest_and_what_its_tests_start(self):
        (self.home / 'test_it.py').write_text(PYTEST % {'victim': PROGRAMS / 'check_before'})
        env = dict(self.env, PYTHONPATH=str(ADAPTERS), PYTHONDONTWRITEBYTECODE='1')
        result = self.check('--', 'python3', '-m', 'pytest', '-q', '-p', 'bufleak_pytest', '-p',
                            'no:cacheprovider', 'test_it.py', code=23, env=env, cwd=self.home)
        blamed = self.blamed(result, 40)
        self.assertEqual(blamed, {'test_it.py::test_guilty': 2})
        inside = self.blamed(result, 12345)
        self.assertEqual(list(inside), ['test_it.py::test_guilty_inside'])
        self.assertGreaterEqual(inside['test_it.py::test_guilty_inside'], 45)
        self.assertLessEqual(set(self.blamed(result)), set(blamed) | set(inside))


if __name__ == '__main__':
    unittest.main(verbosity=2)
