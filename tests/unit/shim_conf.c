/* BUFLEAK_OPTIONS. */
#include "shim_start.h"
#include "conf.h"

#include <signal.h>

struct complaint {
    int count;
    char what[256];
    char accepted[256];
};

static void complain(void *context, const char *what, size_t length, const char *accepted)
{
    struct complaint *c = context;
    c->count++;
    snprintf(c->what, sizeof c->what, "%.*s", (int)length, what);
    snprintf(c->accepted, sizeof c->accepted, "%s", accepted);
}

static struct bl_conf parse(const char *options, struct complaint *c)
{
    struct bl_conf conf;
    memset(c, 0, sizeof *c);
    bl_conf_defaults(&conf);
    ck_assert_int_eq(bl_conf_parse(&conf, options, complain, c), c->count);
    return conf;
}

static void check_same(const struct bl_conf *a, const struct bl_conf *b)
{
    ck_assert_uint_eq(a->depth_frames, b->depth_frames);
    ck_assert_uint_eq(a->sample_bytes, b->sample_bytes);
    ck_assert_uint_eq(a->interval_ns, b->interval_ns);
    ck_assert_int_eq(a->signal, b->signal);
    ck_assert_int_eq(a->follow, b->follow);
    ck_assert_int_eq(a->at_exit, b->at_exit);
    ck_assert_int_eq(a->limit_fails, b->limit_fails);
    ck_assert_int_eq(a->quiet, b->quiet);
    ck_assert_int_eq(a->mmap, b->mmap);
    ck_assert_uint_eq(a->java_blocks, b->java_blocks);
    ck_assert_uint_eq(a->java_check, b->java_check);
    ck_assert_uint_eq(a->fault_arena, b->fault_arena);
}

START_TEST(defaults_are_the_documented_ones)
{
    struct bl_conf conf;
    bl_conf_defaults(&conf);
    const struct bl_conf documented = {.depth_frames = 64,
                                       .sample_bytes = 1,
                                       .interval_ns = 1000000000u,
                                       .signal = SIGUSR1,
                                       .follow = true,
                                       .at_exit = true,
                                       .java_blocks = 65536,
                                       .java_check = 65536};
    check_same(&conf, &documented);
}
END_TEST

START_TEST(limit_is_a_size_and_its_action_report_or_fail)
{
    struct complaint c;
    struct bl_conf conf = parse("limit=64M:limit_action=fail", &c);
    ck_assert_int_eq(c.count, 0);
    ck_assert_uint_eq(conf.limit_bytes, 64u << 20);
    ck_assert(conf.limit_fails);
    conf = parse("limit_action=fail:limit_action=report", &c);
    ck_assert(c.count == 0 && !conf.limit_fails && conf.limit_bytes == 0);
    conf = parse("limit=0:limit_action=abort", &c);
    ck_assert(c.count == 2 && !conf.limit_fails && conf.limit_bytes == 0);
    ck_assert_str_eq(c.accepted, "report or fail");
}
END_TEST

START_TEST(java_blocks_is_a_size_of_at_least_one_byte)
{
    struct complaint c;
    struct bl_conf conf = parse("java_blocks=4K", &c);
    ck_assert(c.count == 0 && conf.java_blocks == 4096);
    conf = parse("java_blocks=0", &c);
    ck_assert(c.count == 1 && conf.java_blocks == 65536);
}
END_TEST

START_TEST(no_options_leave_the_defaults_without_complaint)
{
    static const char *const nothing[] = {NULL, "", ":", ":::"};
    struct complaint c;
    struct bl_conf defaults;
    bl_conf_defaults(&defaults);
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) {
        struct bl_conf conf = parse(nothing[i], &c);
        ck_assert_int_eq(c.count, 0);
        check_same(&conf, &defaults);
    }
}
END_TEST

static const struct {
    const char *text;
    uint32_t depth;
} depths[] = {{"depth=1", 1}, {"depth=64", 64}, {"depth=512", 512}};

START_TEST(depth_takes_1_to_512)
{
    struct complaint c;
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        ck_assert_uint_eq(parse(depths[i].text, &c).depth_frames, depths[i].depth);
        ck_assert_int_eq(c.count, 0);
    }
}
END_TEST

START_TEST(sample_takes_sizes_with_units)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"sample=1", 1},
                {"sample=4096", 4096},
                {"sample=512K", 512u << 10},
                {"sample=512KiB", 512u << 10},
                {"sample=2M", 2u << 20},
                {"sample=1GiB", 1u << 30},
                {"sample=1T", 1ull << 40},
                {"sample=100B", 100}};
    struct complaint c;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert_uint_eq(parse(good[i].text, &c).sample_bytes, good[i].bytes);
        ck_assert_int_eq(c.count, 0);
    }
}
END_TEST

START_TEST(per_takes_one_function)
{
    struct complaint c;
    struct bl_conf conf = parse("per=end_of_request", &c);
    ck_assert_int_eq(c.count, 0);
    ck_assert_uint_eq(conf.per_length, strlen("end_of_request"));
    conf = parse("per=read,write", &c);
    ck_assert_int_eq(c.count, 1);
    ck_assert_str_eq(c.what, "per=read,write");
    ck_assert_str_eq(c.accepted, "the name of one function");
    ck_assert_uint_eq(conf.per_length, 0);
}
END_TEST

START_TEST(interval_takes_times_with_units)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"interval=10ms", 10000000u},
                {"interval=1s", 1000000000u},
                {"interval=5", 5000000000u},
                {"interval=2m", 120000000000u},
                {"interval=1h", 3600000000000u}};
    struct complaint c;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert_uint_eq(parse(good[i].text, &c).interval_ns, good[i].ns);
        ck_assert_int_eq(c.count, 0);
    }
}
END_TEST

START_TEST(signal_takes_names_numbers_and_none)
{
    struct complaint c;
    const struct {
        const char *text;
        int number;
    } good[] = {{"signal=USR2", SIGUSR2},
                {"signal=SIGUSR2", SIGUSR2},
                {"signal=12", 12},
                {"signal=none", 0},
                {"signal=HUP", SIGHUP},
                {"signal=SIGTERM", SIGTERM},
                {"signal=RTMIN+1", SIGRTMIN + 1},
                {"signal=SIGRTMIN+2", SIGRTMIN + 2},
                {"signal=CHLD", SIGCHLD},
                {"signal=CONT", SIGCONT},
                {"signal=STKFLT", SIGSTKFLT},
                {"signal=POLL", SIGPOLL},
                {"signal=TTOU", SIGTTOU},
                {"signal=RTMIN", SIGRTMIN},
                {"signal=RTMAX", SIGRTMAX},
                {"signal=RTMAX-1", SIGRTMAX - 1}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert_msg(parse(good[i].text, &c).signal == good[i].number && c.count == 0, "%s: %s",
                      good[i].text, c.accepted);
    }
}
END_TEST

START_TEST(switches_take_words_and_digits)
{
    struct complaint c;
    ck_assert(!parse("follow=0", &c).follow && c.count == 0);
    ck_assert(!parse("follow=no", &c).follow && c.count == 0);
    ck_assert(!parse("at_exit=off", &c).at_exit && c.count == 0);
    ck_assert(!parse("at_exit=false", &c).at_exit && c.count == 0);
    ck_assert(parse("quiet=1", &c).quiet && c.count == 0);
    ck_assert(parse("quiet=yes", &c).quiet && c.count == 0);
    ck_assert(parse("mmap=on", &c).mmap && c.count == 0);
    ck_assert(parse("mmap=true", &c).mmap && c.count == 0);
    ck_assert_uint_eq(parse("fault_arena=7", &c).fault_arena, 7);
}
END_TEST

START_TEST(a_bad_value_is_named_with_what_is_accepted_and_changes_nothing)
{
    static const struct {
        const char *text;
        const char *accepted;
    } bad[] = {{"depth=0", "1 to 512"},
               {"depth=513", "1 to 512"},
               {"depth=", "1 to 512"},
               {"depth=64x", "1 to 512"},
               {"depth=-1", "1 to 512"},
               {"depth=99999999999999999999", "1 to 512"},
               {"sample=0", "512K"},
               {"sample=1Q", "512K"},
               {"sample=2T", "512K"},
               {"sample=99999999999G", "512K"},
               {"interval=0", "10ms to 1h"},
               {"interval=9ms", "10ms to 1h"},
               {"interval=2h", "10ms to 1h"},
               {"interval=1d", "10ms to 1h"},
               {"signal=KILL", "signal name"},
               {"signal=9", "signal name"},
               {"signal=SEGV", "not of a crash"},
               {"signal=SIGBUS", "not of a crash"},
               {"signal=8", "not of a crash"},
               {"signal=ILL", "not of a crash"},
               {"signal=TRAP", "not of a crash"},
               {"signal=SYS", "not of a crash"},
               {"signal=ABRT", "not of a crash"},
               {"signal=RTMAX-3", "other than reach_signal"},
               {"limit_action=fail", "together with limit"},
               {"signal=SIGSTOP", "signal name"},
               {"signal=19", "signal name"},
               {"signal=0", "signal name"},
               {"signal=65", "signal name"},
               {"signal=32", "signal name"},
               {"signal=", "signal name"},
               {"signal=SIG", "signal name"},
               {"signal=usr1", "signal name"},
               {"signal=RTMIN+99", "signal name"},
               {"signal=RTMAX-99", "signal name"},
               {"signal=RTMIN+18446744073709551615", "signal name"},
               {"follow=2", "0 or 1"},
               {"at_exit=maybe", "0 or 1"},
               {"quiet=", "0 or 1"},
               {"mmap=yess", "0 or 1"},
               {"fault_arena=x", "count"}};
    struct complaint c;
    struct bl_conf defaults;
    bl_conf_defaults(&defaults);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bl_conf conf = parse(bad[i].text, &c);
        ck_assert_msg(c.count == 1, "%s", bad[i].text);
        ck_assert_str_eq(c.what, bad[i].text);
        ck_assert_msg(strstr(c.accepted, bad[i].accepted), "%s: %s", bad[i].text, c.accepted);
        check_same(&conf, &defaults);
    }
}
END_TEST

START_TEST(an_unknown_key_is_answered_with_every_key_there_is)
{
    static const char *const keys[] = {"depth",  "signal",  "sample", "interval",
                                       "follow", "at_exit", "quiet",  "mmap"};
    struct complaint c;
    parse("dept=64", &c);
    ck_assert_int_eq(c.count, 1);
    ck_assert_str_eq(c.what, "dept=64");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        ck_assert_msg(strstr(c.accepted, keys[i]), "%s is not named", keys[i]);
}
END_TEST

START_TEST(what_is_right_together_is_taken_in_any_order)
{
    struct complaint c;
    ck_assert(parse("limit_action=fail:limit=1M", &c).limit_fails && c.count == 0);
    ck_assert_int_eq(parse("signal=RTMAX-3:reach_signal=RTMAX", &c).signal, SIGRTMAX - 3);
    ck_assert_int_eq(c.count, 0);
    ck_assert_int_eq(parse("signal=none:reach_signal=none", &c).signal, 0);
    ck_assert_int_eq(c.count, 0);
    ck_assert_int_eq(parse("signal=RTMIN:reach_signal=RTMIN", &c).signal, SIGUSR1);
    ck_assert_int_eq(c.count, 1);
    ck_assert_str_eq(c.what, "signal=RTMIN");
}
END_TEST

START_TEST(parsing_goes_on_after_a_mistake)
{
    struct complaint c;
    struct bl_conf conf = parse("nonsense:depth=7:=1:quiet=3:mmap=1:", &c);
    ck_assert_int_eq(c.count, 3);
    ck_assert_uint_eq(conf.depth_frames, 7);
    ck_assert(!conf.quiet);
    ck_assert(conf.mmap);
}
END_TEST

START_TEST(the_last_of_two_values_counts)
{
    struct complaint c;
    ck_assert_uint_eq(parse("depth=7:depth=9", &c).depth_frames, 9);
    ck_assert_uint_eq(parse("depth=7:depth=0", &c).depth_frames, 7);
}
END_TEST

RUN_SUITE("shim conf", defaults_are_the_documented_ones, java_blocks_is_a_size_of_at_least_one_byte,
          limit_is_a_size_and_its_action_report_or_fail, depth_takes_1_to_512,
          no_options_leave_the_defaults_without_complaint, depth_takes_1_to_512,
          sample_takes_sizes_with_units, interval_takes_times_with_units, per_takes_one_function,
          signal_takes_names_numbers_and_none, switches_take_words_and_digits,
          a_bad_value_is_named_with_what_is_accepted_and_changes_nothing,
          an_unknown_key_is_answered_with_every_key_there_is, parsing_goes_on_after_a_mistake,
          an_unknown_key_is_answered_with_every_key_there_is,
          what_is_right_together_is_taken_in_any_order, the_last_of_two_values_counts)
