/* System calls and text without libc. */
#include "shim_start.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(a_text_that_does_not_fit_is_cut_and_terminated)
{
    char buffer[9];
    struct bl_text t;
    memset(buffer, 'x', sizeof buffer);
    bl_text_init(&t, buffer, 8);
    bl_text_str(&t, "abc");
    bl_text_u64(&t, 123456789);
    bl_text_str(&t, "more");
    ck_assert_str_eq(buffer, "abc1234");
    ck_assert_uint_eq(bl_text_length(&t), 7);
    ck_assert_int_eq(buffer[8], 'x');
}
END_TEST

START_TEST(numbers_are_written_in_decimal)
{
    static const struct {
        uint64_t value;
        const char *text;
    } good[] = {{0, "0"}, {7, "7"}, {10, "10"}, {UINT64_MAX, "18446744073709551615"}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char buffer[32];
        struct bl_text t;
        bl_text_init(&t, buffer, sizeof buffer);
        bl_text_u64(&t, good[i].value);
        ck_assert_str_eq(buffer, good[i].text);
    }
}
END_TEST

START_TEST(parsing_stops_at_the_first_other_byte)
{
    const char *at = "18446744073709551615:rest";
    uint64_t value = 0;
    ck_assert(bl_parse_u64(&at, &value));
    ck_assert_uint_eq(value, UINT64_MAX);
    ck_assert_str_eq(at, ":rest");
}
END_TEST

START_TEST(parsing_refuses_no_digits_and_overflow_and_leaves_its_arguments)
{
    static const char *const bad[] = {
        "", "x", "-1", "+1", " 1", "18446744073709551616", "99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *at = bad[i];
        uint64_t value = 42;
        ck_assert(!bl_parse_u64(&at, &value));
        ck_assert_ptr_eq(at, bad[i]);
        ck_assert_uint_eq(value, 42);
    }
}
END_TEST

START_TEST(a_file_is_read_whole_or_cut_and_terminated)
{
    char whole[4096];
    char cut[5];
    long n = bl_sys_read_file("/proc/self/comm", whole, sizeof whole);
    ck_assert_int_gt(n, 4);
    ck_assert_int_eq(whole[n], '\0');
    ck_assert_int_eq(bl_sys_read_file("/proc/self/comm", cut, sizeof cut), 4);
    ck_assert_int_eq(strncmp(cut, whole, 4), 0);
    ck_assert_int_eq(cut[4], '\0');
    ck_assert_int_eq(bl_sys_read_file("/nowhere/at/all", whole, sizeof whole), -ENOENT);
}
END_TEST

START_TEST(system_calls_leave_errno_alone)
{
    char buffer[16];
    errno = 4711;
    ck_assert_int_lt(bl_sys_read_file("/nowhere", buffer, sizeof buffer), 0);
    ck_assert_int_eq(bl_sys_close(-1), -EBADF);
    ck_assert_ptr_null(bl_sys_map(4096, PROT_READ, MAP_PRIVATE, -1, 0));
    ck_assert_int_eq(errno, 4711);
}
END_TEST

START_TEST(a_moved_descriptor_is_high_and_closed_on_exec)
{
    int fd = open("/dev/null", O_RDONLY);
    int moved = bl_sys_move_high(fd);
    ck_assert_int_ge(moved, 512);
    ck_assert_int_eq(fcntl(moved, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}
END_TEST

START_TEST(under_a_small_descriptor_limit_it_moves_as_far_as_it_can)
{
    struct rlimit small = {16, 16};
    int fd = open("/dev/null", O_RDONLY);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &small), 0);
    int moved = bl_sys_move_high(fd);
    ck_assert_int_ge(moved, 8);
    ck_assert_int_lt(moved, 16);
    ck_assert_int_eq(fcntl(moved, F_GETFD), FD_CLOEXEC);
}
END_TEST

START_TEST(reserving_past_the_file_size_limit_is_an_error_and_no_signal)
{
    struct rlimit small = {8192, RLIM_INFINITY};
    char name[] = "/tmp/bufleak-unit-XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    signal(SIGXFSZ, SIG_DFL);
    ck_assert_int_eq(bl_sys_reserve(fd, 0, 8192), 0);
    ck_assert_int_eq(bl_sys_reserve(fd, 8192, 1), -EFBIG);
}
END_TEST

START_TEST(reserved_space_is_there)
{
    char name[] = "/tmp/bufleak-unit-XXXXXX";
    int fd = mkstemp(name);
    struct stat st;
    unlink(name);
    ck_assert_int_eq(bl_sys_reserve(fd, 0, 1 << 20), 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_int_eq(st.st_size, 1 << 20);
    ck_assert_int_ge(st.st_blocks * 512, 1 << 20);
    ck_assert_int_lt(bl_sys_reserve(-1, 0, 4096), 0);
}
END_TEST

static void *wake_after_change(void *word)
{
    __atomic_store_n((uint32_t *)word, 1, __ATOMIC_RELEASE);
    bl_sys_futex_wake(word);
    return NULL;
}

START_TEST(a_futex_waiter_is_woken_and_never_sleeps_on_a_changed_word)
{
    uint32_t *word = bl_sys_map(4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_t thread;
    ck_assert_ptr_nonnull(word);
    ck_assert_int_eq(pthread_create(&thread, NULL, wake_after_change, word), 0);
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == 0)
        bl_sys_futex_wait(word, 0, NULL);
    pthread_join(thread, NULL);
    ck_assert_int_eq(bl_sys_futex_wait(word, 0, NULL), -EAGAIN);
    struct timespec soon = {0, 1000000};
    ck_assert_int_eq(bl_sys_futex_wait(word, 1, &soon), -ETIMEDOUT);
}
END_TEST

RUN_SUITE("shim sigsafe", a_text_that_does_not_fit_is_cut_and_terminated,
          numbers_are_written_in_decimal, parsing_stops_at_the_first_other_byte,
          parsing_refuses_no_digits_and_overflow_and_leaves_its_arguments,
          a_file_is_read_whole_or_cut_and_terminated, system_calls_leave_errno_alone,
          a_moved_descriptor_is_high_and_closed_on_exec,
          under_a_small_descriptor_limit_it_moves_as_far_as_it_can,
          reserving_past_the_file_size_limit_is_an_error_and_no_signal, reserved_space_is_there,
          a_futex_waiter_is_woken_and_never_sleeps_on_a_changed_word)
