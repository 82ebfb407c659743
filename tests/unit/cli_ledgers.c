#include "cli_check.h"

#include "ledger_synth.h"
#include "ledgers.h"
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct bl_error error;
static char directory[64];

static void set_up(void)
{
    snprintf(directory, sizeof(directory), "/tmp/bufleak-unit-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    setenv("BUFLEAK_DIR", directory, 1);
}

static void tear_down(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    ck_assert_int_eq(system(command), 0);
}

static void write_ledger(const char *name, uint32_t pid, uint64_t start_us, uint32_t snapshot,
                         uint32_t state)
{
    struct synth *synth = synth_create();
    char path[256];
    synth->header.pid = pid;
    synth->header.start_realtime_ns = start_us * 1000;
    synth->header.snapshot_number = snapshot;
    synth->header.state = state;
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    synth_write(synth, path);
    synth_destroy(synth);
}

START_TEST(file_names_are_taken_apart_from_the_right)
{
    uint32_t pid;
    uint64_t start;
    uint32_t snapshot;
    ck_assert(bl_ledgers_parse_name("ngi_nx.42.1700000000123456.ledger", &pid, &start, &snapshot));
    ck_assert_uint_eq(pid, 42);
    ck_assert_uint_eq(start, 1700000000123456);
    ck_assert_uint_eq(snapshot, 0);
    ck_assert(bl_ledgers_parse_name(".1.2.ledger.3", &pid, &start, &snapshot));
    ck_assert_uint_eq(snapshot, 3);
    static const char *const bad[] = {"x.1.2.ledger.0", "x.1.2.ledger.1.part",
                                      "x.1.2.ledgers",  "x.ledger",
                                      "1.2.ledger",     "x.1..ledger",
                                      "x.-1.2.ledger",  "x.99999999999.2.ledger",
                                      "x.1.2.ledger.",  "core",
                                      ".ledger",        "x.1.99999999999999999999999.ledger"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(!bl_ledgers_parse_name(bad[i], &pid, &start, &snapshot), "%s", bad[i]);
}
END_TEST

START_TEST(links_and_directories_are_not_ledgers)
{
    struct bl_ledger_list list = {0};
    char path[256];
    write_ledger("gw.1.100.ledger", 1, 100, 0, BL_STATE_EXITED);
    snprintf(path, sizeof(path), "%s/gw.2.100.ledger", directory);
    ck_assert_int_eq(symlink("gw.1.100.ledger", path), 0);
    snprintf(path, sizeof(path), "%s/gw.3.100.ledger", directory);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(bl_ledgers_scan(&list, directory, &error), 0);
    ck_assert_uint_eq(list.count, 1);
    bl_ledgers_deinit(&list);
    snprintf(path, sizeof(path), "%s/link", directory);
    ck_assert_int_eq(symlink(directory, path), 0);
    ck_assert_int_eq(bl_ledgers_scan(&list, path, &error), -1);
    ck_assert_ptr_nonnull(strstr(error.text, path));
}
END_TEST

START_TEST(a_missing_directory_holds_nothing)
{
    struct bl_ledger_list list = {0};
    ck_assert_int_eq(bl_ledgers_scan(&list, "/nonexistent/bufleak", &error), 0);
    ck_assert_uint_eq(list.count, 0);
}
END_TEST

START_TEST(spools_are_searched_and_belong_to_their_ledger)
{
    char path[256];
    char *found = NULL;
    write_ledger("gw.7.100.ledger", 7, 100, 0, BL_STATE_RUNNING);
    write_ledger("gw.7.100.ledger.1", 7, 100, 1, BL_STATE_RUNNING);
    snprintf(path, sizeof(path), "%s/7.100.spool", directory);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    write_ledger("7.100.spool/gw.7.100.ledger.2", 7, 100, 2, BL_STATE_RUNNING);
    write_ledger("7.100.spool/gw.8.200.ledger", 8, 200, 0, BL_STATE_RUNNING);
    snprintf(path, sizeof(path), "%s/gw.7.100.ledger", directory);
    ck_assert_uint_eq(bl_ledgers_find_snapshot(path, 0, &found), 2);
    ck_assert_ptr_nonnull(strstr(found, "spool/gw.7.100.ledger.2"));
    free(found);
    ck_assert_uint_eq(bl_ledgers_find_snapshot(path, 1, &found), 1);
    free(found);
    ck_assert_uint_eq(bl_ledgers_find_snapshot(path, 3, &found), 0);
    struct bl_ledger_list list = {0};
    ck_assert_int_eq(bl_ledgers_scan(&list, directory, &error), 0);
    bl_ledgers_sort(&list);
    ck_assert_uint_eq(list.count, 4);
    ck_assert_uint_eq(list.files[0].pid, 8);
    ck_assert_uint_eq(list.files[3].snapshot, 2);
    bl_ledgers_deinit(&list);
}
END_TEST

START_TEST(half_made_ledgers_of_dead_forks_are_removed)
{
    static const char *const names[] = {"fork.4194399.1.part", "fork.1.1.part", "fork.x.1.part",
                                        "forks.4194399.1.part", "fork.4194398.1.part"};
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    char path[256];
    uint64_t bytes = 0;
    for (size_t i = 0; i < 5; i++) {
        write_ledger(names[i], 1, 1, 0, BL_STATE_RUNNING);
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        if (i < 4)
            ck_assert_int_eq(utimensat(AT_FDCWD, path, old, 0), 0);
    }
    /* not that of a living process, not another name, not one made just now */
    ck_assert_uint_eq(bl_ledgers_remove_unborn(directory, &bytes), 1);
    ck_assert_uint_gt(bytes, 0);
    snprintf(path, sizeof(path), "%s/%s", directory, names[0]);
    ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

static void expect(const char *argument, const char *end_of_path)
{
    struct bl_target target;
    struct bl_target_choice choice = {.argument = argument};
    ck_assert_msg(bl_target_open(&choice, &target, &error) == 0, "%s", error.text);
    ck_assert_msg(strstr(target.path, end_of_path) != NULL, "%s", target.path);
    bl_target_deinit(&target);
}

START_TEST(without_a_target_the_newest_program_is_taken)
{
    write_ledger("old.1.100.ledger", 1, 100, 0, BL_STATE_EXITED);
    write_ledger("new.2.300.ledger", 2, 300, 0, BL_STATE_EXITED);
    write_ledger("new.2.300.ledger.1", 2, 300, 1, BL_STATE_RUNNING);
    write_ledger("sh.3.400.ledger", 3, 400, 0, BL_STATE_EXECED);
    expect(NULL, "new.2.300.ledger");
}
END_TEST

START_TEST(a_pid_that_is_gone_gives_its_last_program)
{
    /* above the kernel's largest PID: never a process */
    write_ledger("sh.4194400.100.ledger", 4194400, 100, 0, BL_STATE_EXITED);
    write_ledger("gw.4194400.200.ledger", 4194400, 200, 0, BL_STATE_EXITED);
    write_ledger("gw.4194400.200.ledger.5", 4194400, 200, 5, BL_STATE_RUNNING);
    write_ledger("ex.4194400.300.ledger", 4194400, 300, 0, BL_STATE_EXECED);
    expect("4194400", "gw.4194400.200.ledger");
    struct bl_target target;
    struct bl_target_choice choice = {.argument = "4194400", .snapshot = 5};
    ck_assert_int_eq(bl_target_open(&choice, &target, &error), 0);
    ck_assert_ptr_nonnull(strstr(target.path, ".ledger.5"));
    bl_target_deinit(&target);
    choice.snapshot = 6;
    ck_assert_int_eq(bl_target_open(&choice, &target, &error), -1);
    ck_assert_ptr_nonnull(strstr(error.text, "has no snapshot 6"));
}
END_TEST

START_TEST(a_running_process_is_told_from_an_earlier_one)
{
    char name[64];
    char pid[16];
    struct bl_target target;
    struct bl_target_choice choice = {.argument = pid};
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    snprintf(name, sizeof(name), "gw.%d.100.ledger", (int)getpid());
    struct synth *synth = synth_create();
    struct bl_proc self;
    ck_assert_int_eq(bl_proc_read(getpid(), &self), 0);
    synth->header.state = BL_STATE_RUNNING;
    synth->header.pid = (uint32_t)getpid();
    synth->header.proc_start_ticks = self.start_ticks + 1;
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    synth_write(synth, path);
    ck_assert_int_eq(bl_target_open(&choice, &target, &error), -1);
    ck_assert_ptr_nonnull(strstr(error.text, "is not tracked"));
    ck_assert_ptr_nonnull(strstr(error.text, name));
    synth->header.proc_start_ticks = self.start_ticks;
    synth_write(synth, path);
    ck_assert_msg(bl_target_open(&choice, &target, &error) == 0, "%s", error.text);
    ck_assert(target.is_running);
    bl_target_deinit(&target);
    /* the same numbers from before a reboot */
    memset(synth->header.boot_id, 7, sizeof(synth->header.boot_id));
    synth_write(synth, path);
    ck_assert_int_eq(bl_target_open(&choice, &target, &error), -1);
    synth_destroy(synth);
}
END_TEST

START_TEST(wrong_targets_are_one_clear_line)
{
    static const struct {
        const char *argument;
        const char *expected;
    } cases[] = {{"4194401", "no process 4194401"},
                 {"nginx", "give a PID, a ledger or a snapshot"},
                 {"/nonexistent/x.ledger", "No such file"},
                 {"/tmp", "is not a file"},
                 {"/dev/null", "is not a file"},
                 {"0", "there is no file 0"},
                 {"99999999999999", "there is no file"},
                 {NULL, "there is no ledger in"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bl_target target;
        struct bl_target_choice choice = {.argument = cases[i].argument};
        ck_assert_int_eq(bl_target_open(&choice, &target, &error), -1);
        ck_assert_msg(strstr(error.text, cases[i].expected) != NULL, "%zu: %s", i, error.text);
        ck_assert_ptr_null(strchr(error.text, '\n'));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_ledgers");
    TCase *tests = tcase_create("ledgers");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, file_names_are_taken_apart_from_the_right);
    tcase_add_test(tests, links_and_directories_are_not_ledgers);
    tcase_add_test(tests, a_missing_directory_holds_nothing);
    tcase_add_test(tests, spools_are_searched_and_belong_to_their_ledger);
    tcase_add_test(tests, half_made_ledgers_of_dead_forks_are_removed);
    tcase_add_test(tests, without_a_target_the_newest_program_is_taken);
    tcase_add_test(tests, a_pid_that_is_gone_gives_its_last_program);
    tcase_add_test(tests, a_running_process_is_told_from_an_earlier_one);
    tcase_add_test(tests, wrong_targets_are_one_clear_line);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
