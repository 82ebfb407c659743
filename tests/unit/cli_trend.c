/* Each shape of memory over time is called what it is, with noise and at several lengths. */
#include "cli_check.h"

#include "trend.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SECOND 1000000000ull
#define KIB    1024.0
#define MIB    1048576.0

/* ---- noise ---- */

static uint64_t state;

static double uniform(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0;
}

static double normal(void)
{
    double u = uniform();
    return sqrt(-2 * log(u > 0 ? u : 1e-300)) * cos(6.283185307179586 * uniform());
}

/* What lives of traffic in flight: correlated from turn to turn by `keep`. */
static double traffic(double *level, double keep, double mean, double spread)
{
    if (*level == 0)
        *level = mean;
    *level = mean + keep * (*level - mean) + sqrt(1 - keep * keep) * spread * normal();
    return *level > 0 ? *level : 0;
}

/* ---- shapes ---- */

struct run {
    size_t n;      /* turns */
    size_t i;      /* this one */
    double t;      /* i / n */
    double bytes;  /* so far: a shape may go on from it */
    double work;   /* operations so far */
    double memory; /* of noise */
    double extra;
    double level;
};

typedef double shape_fn(struct run *r);

static double linear_leak(struct run *r)
{
    r->work += 100;
    return 4 * MIB + 1024.0 * (double)r->i;
}

static double leak_with_noise(struct run *r)
{
    r->work += 100;
    return 1024.0 * (double)r->i + traffic(&r->memory, 0.5, 8 * MIB, 1024.0 * (double)r->n / 20);
}

static double day_load(double t, double days)
{
    return 1 + 0.95 * sin(6.283185307179586 * (t * days - 0.25)); /* begins at night */
}

static double leak_by_day(struct run *r)
{
    double requests = 100 * day_load(r->t, 3);
    r->work += requests;
    r->level += 10 * requests;
    return 4 * MIB + r->level;
}

static double leak_by_day_with_load(struct run *r)
{
    double requests = 100 * day_load(r->t, 6);
    r->work += requests;
    r->level += 100 * requests;
    return 4 * MIB + r->level + requests * 400 + traffic(&r->memory, 0.2, 20000, 2000);
}

static double leak_under_sawtooth(struct run *r)
{
    size_t period = r->n / 15;
    r->work += 50;
    return 2 * MIB + (double)(r->i % period) / (double)period * 10 * MIB + 3 * MIB * r->t +
           traffic(&r->memory, 0.3, 200000, 20000);
}

static double leak_under_irregular_sawtooth(struct run *r)
{
    r->work += 50;
    r->level += 200 * KIB * uniform();
    if (uniform() < 60.0 / (double)r->n)
        r->level = 0;
    return 2 * MIB + r->level + 20 * MIB * r->t;
}

static double leak_that_began_late(struct run *r)
{
    r->work += 100;
    double grown = r->t > 0.85 ? (r->t - 0.85) * (double)r->n * 8192 : 0;
    return 30 * MIB + grown + traffic(&r->memory, 0.5, 100 * KIB, 20 * KIB);
}

static double leak_accelerates(struct run *r)
{
    r->work += 100;
    return 5 * MIB + 20 * MIB * (exp(3 * r->t) - 1);
}

static double leak_one_in_many(struct run *r)
{
    r->work += 1000;
    if (uniform() < 0.1)
        r->level += 4096;
    return MIB + r->level;
}

/* 1 KiB a minute in a process of 1 GiB: on the site's own line, without the others' noise. */
static double slow_leak(struct run *r)
{
    r->work += 100;
    size_t minutes = r->i / 60;
    return 1024.0 * (double)minutes;
}

static double slow_leak_in_quiet_gigabyte(struct run *r)
{
    return 1024 * MIB + slow_leak(r);
}

static double leak_in_steps(struct run *r)
{
    r->work += 100;
    size_t steps = r->i * 12 / r->n;
    return 10 * MIB + MIB * (double)steps + traffic(&r->memory, 0.4, 50 * KIB, 10 * KIB);
}

static double leak_in_bursts(struct run *r)
{
    r->work += 100;
    if (uniform() < 0.05)
        r->level += 200 * KIB * uniform();
    return 8 * MIB + r->level + traffic(&r->memory, 0.6, 300 * KIB, 60 * KIB);
}

static double log_growth(struct run *r)
{
    r->work += 100;
    return MIB + 2 * MIB * log(1 + 1000 * r->t) + traffic(&r->memory, 0.3, 10 * KIB, 2 * KIB);
}

static double cache_still_filling(struct run *r)
{
    r->work += 100;
    return MIB + 50 * MIB * (1 - exp(-3 * r->t)) + traffic(&r->memory, 0.3, 10 * KIB, 2 * KIB);
}

static double square_root_growth(struct run *r)
{
    r->work += 100;
    return MIB + 50 * MIB * pow(r->t, 0.4) + traffic(&r->memory, 0.3, 10 * KIB, 2 * KIB);
}

static double cache_filled(struct run *r)
{
    r->work += 100;
    double full = fmin(1, r->t / 0.3);
    return MIB + 64 * MIB * full - (full == 1 ? 64 * KIB * uniform() : 0);
}

static double cache_filled_late(struct run *r)
{
    r->work += 100;
    double full = fmin(1, r->t / 0.6);
    return MIB + 64 * MIB * full - (full == 1 ? 256 * KIB * uniform() : 0);
}

static double cache_filled_exponentially(struct run *r)
{
    r->work += 100;
    return MIB + 64 * MIB * (1 - exp(-12 * r->t)) + traffic(&r->memory, 0.5, 100 * KIB, 20 * KIB);
}

static double filled_then_idle(struct run *r)
{
    if (r->t < 0.25) {
        r->work += 100;
        r->level += 4096;
    }
    return MIB + r->level;
}

static double warm_up_then_flat(struct run *r)
{
    r->work += 10;
    return 40 * MIB * (r->t < 0.1 ? r->t * 10 : 1) + traffic(&r->memory, 0.5, MIB, 100 * KIB);
}

static double constant(struct run *r)
{
    r->work += r->i == 0;
    return 123456;
}

static double white_noise(struct run *r)
{
    r->work += 100;
    return 20 * MIB + 2 * MIB * normal();
}

static double heavy_noise(struct run *r)
{
    r->work += 100;
    return fabs(10 * MIB + 5 * MIB * normal());
}

static double slow_noise(struct run *r)
{
    r->work += 100;
    return traffic(&r->memory, 0.9, 20 * MIB, 2 * MIB);
}

static double in_flight(struct run *r)
{
    double count = 0;
    for (int k = 0; k < 64; k++)
        count += uniform() < 0.3;
    r->work += 1000;
    return MIB + count * 16384;
}

static double spikes(struct run *r)
{
    r->work += 100;
    return 20 * MIB + 100 * KIB * normal() + (uniform() < 0.02 ? 40 * MIB * uniform() : 0);
}

static double one_excursion(struct run *r)
{
    r->work += 100;
    double hill = r->t > 0.4 && r->t < 0.6 ? 1 - fabs(r->t - 0.5) * 10 : 0;
    return 20 * MIB + 50 * MIB * hill + traffic(&r->memory, 0.5, 100 * KIB, 30 * KIB);
}

static double step_up(struct run *r)
{
    r->work += 100;
    return (r->t < 0.35 ? 10 : 30) * MIB + traffic(&r->memory, 0.5, MIB, 100 * KIB);
}

static double steps_up_and_down(struct run *r)
{
    static const double levels[] = {10, 30, 20, 40, 15, 25, 25, 25};
    r->work += 100;
    return levels[(size_t)(r->t * 7.99)] * MIB + traffic(&r->memory, 0.5, MIB, 100 * KIB);
}

static double pool_that_doubled(struct run *r)
{
    static const double ends[] = {0.02, 0.05, 0.11, 0.22, 0.43};
    r->work += 100;
    double size = MIB;
    for (size_t k = 0; k < 5; k++)
        size *= r->t > ends[k] ? 2 : 1;
    return size;
}

static double fragmenting(struct run *r)
{
    r->work += 100;
    return 30 * MIB + traffic(&r->memory, 0.2, 3 * MIB, 300 * KIB);
}

static double sawtooth(struct run *r)
{
    size_t period = r->n / 12;
    r->work += 50;
    return 2 * MIB + (double)(r->i % period) / (double)period * 10 * MIB +
           traffic(&r->memory, 0.3, 200000, 20000);
}

static double quick_sawtooth(struct run *r)
{
    r->work += 50;
    return 2 * MIB + (double)(r->i % 17) / 17 * 10 * MIB;
}

static double irregular_sawtooth(struct run *r)
{
    r->work += 50;
    r->level += 200 * KIB * uniform();
    if (r->level > 12 * MIB || uniform() < 10.0 / (double)r->n)
        r->level = 0;
    return 2 * MIB + r->level;
}

static double day_and_night(struct run *r)
{
    double requests = 100 * day_load(r->t, 6);
    r->work += requests;
    return 4 * MIB + requests * 50000 + traffic(&r->memory, 0.2, 200000, 30000);
}

static double draining(struct run *r)
{
    r->work += 10;
    return 2 * MIB + 60 * MIB * (1 - r->t) + traffic(&r->memory, 0.4, 300 * KIB, 60 * KIB);
}

static double decaying(struct run *r)
{
    r->work += 10;
    return 2 * MIB + 60 * MIB * exp(-2 * r->t) + traffic(&r->memory, 0.4, 30 * KIB, 6 * KIB);
}

static double drained(struct run *r)
{
    r->work += 10;
    return 2 * MIB + 60 * MIB * fmax(0, 1 - 5 * r->t) +
           traffic(&r->memory, 0.4, 300 * KIB, 60 * KIB);
}

struct shape {
    const char *name;
    shape_fn *value;
    enum bl_trend trend;
    enum bl_trend also; /* as good a word for it */
    size_t least;       /* turns: shorter ones do not show it */
};

#define SHAPE(name, trend, least)                                                                  \
    {                                                                                              \
#name, name, BL_TREND_##trend, BL_TREND_##trend, least                                     \
    }
static const struct shape shapes[] = {
    SHAPE(linear_leak, GROWING, 30),
    SHAPE(leak_with_noise, GROWING, 200),
    SHAPE(leak_by_day, GROWING, 200),
    SHAPE(leak_by_day_with_load, GROWING, 300),
    SHAPE(leak_under_sawtooth, GROWING, 300),
    SHAPE(leak_under_irregular_sawtooth, GROWING, 1000),
    SHAPE(leak_that_began_late, GROWING, 1000),
    SHAPE(leak_accelerates, GROWING, 60),
    SHAPE(leak_one_in_many, GROWING, 300),
    SHAPE(slow_leak, GROWING, 600),
    SHAPE(slow_leak_in_quiet_gigabyte, GROWING, 600),
    SHAPE(leak_in_steps, GROWING, 300),
    SHAPE(leak_in_bursts, GROWING, 600),
    SHAPE(log_growth, SATURATING, 200),
    SHAPE(cache_still_filling, SATURATING, 200),
    SHAPE(square_root_growth, SATURATING, 200),
    SHAPE(cache_filled, STEADY, 100),
    SHAPE(cache_filled_late, STEADY, 100),
    SHAPE(cache_filled_exponentially, STEADY, 200),
    SHAPE(filled_then_idle, STEADY, 100),
    SHAPE(warm_up_then_flat, STEADY, 100),
    SHAPE(constant, STEADY, 24),
    SHAPE(white_noise, STEADY, 60),
    SHAPE(heavy_noise, STEADY, 60),
    {"slow_noise", slow_noise, BL_TREND_STEADY, BL_TREND_SAWTOOTH, 300},
    SHAPE(in_flight, STEADY, 60),
    SHAPE(spikes, STEADY, 60),
    SHAPE(one_excursion, STEADY, 100),
    SHAPE(step_up, STEADY, 100),
    SHAPE(steps_up_and_down, STEADY, 300),
    SHAPE(pool_that_doubled, STEADY, 100),
    SHAPE(fragmenting, STEADY, 60),
    SHAPE(sawtooth, SAWTOOTH, 200),
    SHAPE(quick_sawtooth, SAWTOOTH, 200),
    SHAPE(irregular_sawtooth, SAWTOOTH, 1000),
    SHAPE(day_and_night, SAWTOOTH, 300),
    SHAPE(draining, SHRINKING, 60),
    SHAPE(decaying, SHRINKING, 200),
    SHAPE(drained, STEADY, 200),
};
#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/* A line as the shim keeps it: level 0 for the latest 3,600 turns, spans of 60 before. */
static struct bl_trend_finding judge(const struct shape *shape, size_t turns, uint64_t seed)
{
    static struct bl_point points[200000];
    static double operations[200000];
    struct run run = {.n = turns};
    struct bl_trend_finding finding;
    size_t count = 0;
    size_t parts = 0;
    state = seed * 0x9e3779b97f4a7c15ull + 1;
    struct bl_point span = {0};
    for (run.i = 0; run.i < turns; run.i++) {
        run.t = (double)run.i / (double)turns;
        run.bytes = shape->value(&run);
        uint64_t bytes = run.bytes > 0 ? (uint64_t)run.bytes : 0;
        struct bl_point point = {.t_ns = (run.i + 1) * SECOND,
                                 .bytes = bytes,
                                 .min_bytes = bytes,
                                 .max_bytes = bytes,
                                 .count = bytes / 1024};
        if (turns - run.i > 3600) {
            point.min_bytes = parts && span.min_bytes < bytes ? span.min_bytes : bytes;
            point.max_bytes = parts && span.max_bytes > bytes ? span.max_bytes : bytes;
            point.span_ns = 60 * SECOND;
            span = point;
            if (++parts < 60)
                continue;
            parts = 0;
        }
        operations[count] = run.work;
        points[count++] = point;
    }
    struct bl_trend_line line = {
        .points = points, .count = count, .operations = operations, .interval_ns = SECOND};
    bl_trend_judge(&line, &finding);
    return finding;
}

static const size_t lengths[] = {30, 60, 100, 200, 300, 600, 1000, 3600, 20000, 200000};

/* In nine of ten runs at least, and in most what is left is "unknown". */
START_TEST(each_shape_is_called_what_it_is)
{
    const struct shape *shape = &shapes[_i];
    for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
        unsigned seen[BL_TREND_SHRINKING + 1] = {0};
        unsigned runs = lengths[l] > 100000 ? 1 : lengths[l] > 10000 ? 3 : 20;
        char all[256] = "";
        unsigned right = 0;
        if (lengths[l] < shape->least)
            continue;
        for (uint64_t seed = 1; seed <= runs; seed++) {
            struct bl_trend_finding finding = judge(shape, lengths[l], seed);
            seen[finding.trend]++;
            right += finding.trend == shape->trend || finding.trend == shape->also;
        }
        for (int k = 0; k <= BL_TREND_SHRINKING; k++)
            snprintf(all + strlen(all), sizeof(all) - strlen(all), " %s %u",
                     bl_trend_name((enum bl_trend)k), seen[k]);
        ck_assert_msg(right * 10 >= runs * 9, "%s, %zu turns: wanted %s, got%s", shape->name,
                      lengths[l], bl_trend_name(shape->trend), all);
    }
}
END_TEST

START_TEST(nothing_that_stays_is_ever_called_growing)
{
    unsigned runs = 0;
    for (size_t s = 0; s < SHAPES; s++) {
        if (shapes[s].trend != BL_TREND_STEADY && shapes[s].trend != BL_TREND_SAWTOOTH)
            continue;
        for (uint64_t seed = 1000; seed < 1200; seed++, runs++) {
            size_t turns = shapes[s].least + (size_t)(seed * 7919 % 1500);
            struct bl_trend_finding finding = judge(&shapes[s], turns, seed);
            ck_assert_msg(finding.trend != BL_TREND_GROWING, "%s, %zu turns, seed %u",
                          shapes[s].name, turns, (unsigned)seed);
        }
    }
    ck_assert_uint_ge(runs, 20 * 200);
}
END_TEST

/* On a busy machine: the level changes late, so that several samples in a row see it as it was, or
 * samples are missing; each value lasts one to four of them. */
static enum bl_trend judge_held(const struct shape *shape, bool is_missing, uint64_t seed)
{
    static struct bl_point points[1200];
    struct run run = {.n = 300};
    struct bl_trend_finding finding;
    struct bl_trend_line line = {.points = points, .interval_ns = SECOND};
    uint64_t turn = 0;
    state = seed * 0x9e3779b97f4a7c15ull + 1;
    for (run.i = 0; run.i < run.n; run.i++) {
        run.t = (double)run.i / (double)run.n;
        run.bytes = shape->value(&run);
        size_t lasts = 1 + (size_t)(uniform() * 4);
        uint64_t bytes = (uint64_t)run.bytes;
        for (size_t k = 0; k < (is_missing || lasts == 1 ? 1 : 2); k++)
            points[line.count++] = (struct bl_point){.t_ns = (turn + 1 + k * (lasts - 1)) * SECOND,
                                                     .bytes = bytes,
                                                     .min_bytes = bytes,
                                                     .max_bytes = bytes,
                                                     .count = bytes / 1024};
        turn += lasts;
    }
    bl_trend_judge(&line, &finding);
    return finding.trend;
}

START_TEST(a_late_thread_makes_no_waves_of_noise)
{
    static const char *const noises[] = {"white_noise", "heavy_noise", "in_flight", "spikes"};
    static const char *const waves[] = {"sawtooth", "day_and_night"};
    for (size_t s = 0; s < SHAPES; s++) {
        unsigned called_waves = 0;
        bool is_noise = false;
        bool is_wave = false;
        for (size_t i = 0; i < sizeof(noises) / sizeof(noises[0]); i++)
            is_noise |= strcmp(shapes[s].name, noises[i]) == 0;
        for (size_t i = 0; i < sizeof(waves) / sizeof(waves[0]); i++)
            is_wave |= strcmp(shapes[s].name, waves[i]) == 0;
        for (uint64_t seed = 1; seed <= 100 && (is_noise || is_wave); seed++)
            for (int is_missing = 0; is_missing < 2; is_missing++)
                called_waves += judge_held(&shapes[s], is_missing, seed) == BL_TREND_SAWTOOTH;
        if (is_noise)
            ck_assert_msg(called_waves == 0, "%s: %u", shapes[s].name, called_waves);
        if (is_wave)
            ck_assert_msg(called_waves >= 180, "%s: %u", shapes[s].name, called_waves);
    }
}
END_TEST

START_TEST(too_short_is_unknown)
{
    for (size_t s = 0; s < SHAPES; s++)
        ck_assert_int_eq(judge(&shapes[s], BL_TREND_TURNS_MIN - 1, 1).trend, BL_TREND_UNKNOWN);
}
END_TEST

START_TEST(the_slope_of_a_leak_is_within_its_interval)
{
    struct bl_trend_finding finding = judge(&shapes[0], 600, 1);
    ck_assert_double_eq_tol(finding.per_s, 1024, 1e-6);
    ck_assert_double_eq_tol(finding.count_per_s, 1, 1e-6);
    unsigned inside = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        finding = judge(&shapes[1], 1000, seed); /* the same under noise */
        inside += finding.low_per_s <= 1024 && finding.high_per_s >= 1024;
        ck_assert_double_eq_tol(finding.per_s, 1024, 200);
    }
    ck_assert_uint_ge(inside, 85);
}
END_TEST

START_TEST(the_floor_is_what_it_falls_back_to)
{
    struct bl_trend_finding finding = judge(&shapes[4], 1000, 7); /* a leak under a sawtooth */
    ck_assert_str_eq(shapes[4].name, "leak_under_sawtooth");
    ck_assert_double_eq_tol(finding.floor_bytes, 5 * MIB, 0.7 * MIB);
    ck_assert_double_eq_tol(finding.per_s, 3 * MIB / 1000, 3 * MIB / 1000 * 0.15);
}
END_TEST

/* A page more now and then, as of an allocator that warms up; `pages` of them in all. */
static enum bl_trend judge_pages(size_t pages)
{
    enum { TURNS = 60 };
    struct bl_point points[TURNS];
    struct bl_trend_finding finding;
    for (size_t i = 0; i < TURNS; i++) {
        uint64_t count = 3 + (i * pages + TURNS / 2) / TURNS;
        points[i] = (struct bl_point){.t_ns = (i + 1) * SECOND,
                                      .bytes = count * 65536,
                                      .min_bytes = count * 65536,
                                      .max_bytes = count * 65536,
                                      .count = count};
    }
    struct bl_trend_line line = {.points = points, .count = TURNS, .interval_ns = SECOND};
    bl_trend_judge(&line, &finding);
    return finding.trend;
}

START_TEST(a_handful_of_pages_is_no_growth)
{
    for (size_t pages = 1; pages < 8; pages++)
        ck_assert_int_ne(judge_pages(pages), BL_TREND_GROWING);
    ck_assert_int_eq(judge_pages(20), BL_TREND_GROWING);
}
END_TEST

/* Equal points in a row are kept as the first and the last of them; work went on between. */
START_TEST(what_stopped_has_stopped_while_work_went_on)
{
    enum { RISING = 60, TURNS = 180 };
    struct bl_point points[RISING + 2];
    double operations[RISING + 2];
    struct bl_trend_finding finding;
    for (size_t i = 0; i < RISING + 2; i++) {
        size_t turn = i <= RISING ? i : TURNS;
        uint64_t bytes = 1024 * (i < RISING ? i : RISING);
        points[i] = (struct bl_point){.t_ns = (turn + 1) * SECOND,
                                      .bytes = bytes,
                                      .min_bytes = bytes,
                                      .max_bytes = bytes,
                                      .count = bytes / 1024};
        operations[i] = 100.0 * (double)turn;
    }
    struct bl_trend_line line = {
        .points = points, .count = RISING + 2, .operations = operations, .interval_ns = SECOND};
    bl_trend_judge(&line, &finding);
    ck_assert_str_eq(bl_trend_name(finding.trend), "steady");
}
END_TEST

/* With the first requests comes up what is in use for some at a time: no request adds that. */
START_TEST(what_comes_up_with_the_first_operations_is_not_what_each_adds)
{
    enum { IDLE = 20, TURNS = 50, EACH = 50, KEPT = 8192, IN_USE = 200 };
    struct bl_point points[TURNS];
    double operations[TURNS];
    struct bl_trend_finding finding;
    for (size_t i = 0; i < TURNS; i++) {
        size_t busy = i < IDLE ? 0 : i - IDLE;
        uint64_t in_use = busy < 8 ? IN_USE * busy / 8 : IN_USE;
        uint64_t buffers = 10 + in_use + (uint64_t)EACH * busy;
        operations[i] = (double)(EACH * busy);
        points[i] = (struct bl_point){.t_ns = (i + 1) * SECOND,
                                      .bytes = KEPT * buffers,
                                      .min_bytes = KEPT * buffers,
                                      .max_bytes = KEPT * buffers,
                                      .count = buffers};
    }
    struct bl_trend_line line = {
        .points = points, .count = TURNS, .operations = operations, .interval_ns = SECOND};
    bl_trend_judge(&line, &finding);
    ck_assert_uint_ge(finding.worked, BL_TREND_WORKED_MIN);
    ck_assert_double_eq_tol(finding.per_operation, KEPT, 0.01 * KEPT);
    ck_assert_double_eq_tol(finding.count_per_operation, 1, 0.01);
    line.count = IDLE + 5; /* of so few it is not told */
    bl_trend_judge(&line, &finding);
    ck_assert_uint_lt(finding.worked, BL_TREND_WORKED_MIN);
    ck_assert_double_eq(finding.per_operation, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trend");
    TCase *tests = tcase_create("shapes");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, each_shape_is_called_what_it_is, 0, (int)SHAPES);
    tcase_add_test(tests, nothing_that_stays_is_ever_called_growing);
    tcase_add_test(tests, a_late_thread_makes_no_waves_of_noise);
    tcase_add_test(tests, too_short_is_unknown);
    tcase_add_test(tests, the_slope_of_a_leak_is_within_its_interval);
    tcase_add_test(tests, the_floor_is_what_it_falls_back_to);
    tcase_add_test(tests, a_handful_of_pages_is_no_growth);
    tcase_add_test(tests, what_stopped_has_stopped_while_work_went_on);
    tcase_add_test(tests, what_comes_up_with_the_first_operations_is_not_what_each_adds);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
