#include "trend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BINS_MAX   240
#define BLOCKS_MAX 60
#define BLOCKS_MIN 5
#define PAIRS_MAX  (BLOCKS_MAX * (BLOCKS_MAX - 1) / 2)
#define DEPTH_MAX  4
#define Z_RISING   3.3
#define Z_UNSURE   2.6
#define Z_95       1.959964
#define RISES_MIN  5
#define FEW        8
#define EVEN_MIN   8

/* Where in a bin its least or most was seen. */
struct spot {
    double at_s; /* since the first point of the line */
    double buffers;
    double operations;
};

/* A stretch of the line in bins of equal time. */
struct bins {
    size_t count;
    double low[BINS_MAX];
    double high[BINS_MAX];
    double last[BINS_MAX];
    struct spot low_spot[BINS_MAX];
    struct spot high_spot[BINS_MAX];
};

/* The least of each of some equal stretches of bins. */
struct blocks {
    size_t count;
    double x[BLOCKS_MAX]; /* time of the least, s */
    double y[BLOCKS_MAX];
    double buffers[BLOCKS_MAX]; /* then */
    double operations[BLOCKS_MAX];
    double stays[BLOCKS_MAX]; /* the least of this block and all later ones */
};

struct test {
    double z;
    double slope;
    double low;
    double high;
    bool is_monotone; /* each above the one before */
};

const char *bl_trend_name(enum bl_trend trend)
{
    static const char *const names[] = {
        [BL_TREND_UNKNOWN] = "unknown",       [BL_TREND_GROWING] = "growing",
        [BL_TREND_SATURATING] = "saturating", [BL_TREND_STEADY] = "steady",
        [BL_TREND_SAWTOOTH] = "sawtooth",     [BL_TREND_SHRINKING] = "shrinking"};
    return names[trend];
}

/* ---- small things ---- */

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static double median(double *values, size_t count)
{
    if (count == 0)
        return 0;
    qsort(values, count, sizeof(*values), compare_doubles);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* ---- bins ---- */

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

/* How many bins a stretch has: none finer than a turn, or than a coarse point's span. */
static size_t bins_for(const struct bl_trend_line *line, uint64_t from_ns, uint64_t to_ns)
{
    uint64_t finest_ns = line->interval_ns ? line->interval_ns : 1;
    for (size_t i = 0; i < line->count; i++)
        if (line->points[i].t_ns > from_ns && line->points[i].span_ns > finest_ns)
            finest_ns = line->points[i].span_ns;
    uint64_t most = (to_ns - from_ns) / finest_ns;
    return most < BINS_MAX ? (size_t)most : BINS_MAX;
}

/* Operations at a moment from point `at` on. Equal points in a row are two, the first and the last
 * of them: what was done between them was done evenly. */
static double operations_at(const struct bl_trend_line *line, size_t at, uint64_t t_ns)
{
    double done = line->operations[at];
    if (at + 1 >= line->count || t_ns <= line->points[at].t_ns)
        return done;
    double span = seconds(line->points[at + 1].t_ns - line->points[at].t_ns);
    double share = span > 0 ? seconds(t_ns - line->points[at].t_ns) / span : 1;
    return done + fmin(1, share) * (line->operations[at + 1] - done);
}

static struct spot spot_at(const struct bl_trend_line *line, size_t at, uint64_t t_ns)
{
    return (struct spot){.at_s = seconds(t_ns - line->points[0].t_ns),
                         .buffers = (double)line->points[at].count,
                         .operations = line->operations ? operations_at(line, at, t_ns) : 0};
}

/* A bin without a point of its own has the value that lasts from before. */
static void fill_bin(const struct bl_trend_line *line, size_t *at, uint64_t begin_ns,
                     uint64_t end_ns, struct bins *bins, size_t b)
{
    const struct bl_point *point = &line->points[*at];
    bool is_first = true;
    bins->low[b] = bins->high[b] = (double)point->bytes;
    bins->low_spot[b] = bins->high_spot[b] = spot_at(line, *at, begin_ns);
    while (*at + 1 < line->count && line->points[*at + 1].t_ns <= end_ns) {
        point = &line->points[++*at];
        if (is_first || (double)point->min_bytes <= bins->low[b]) {
            bins->low[b] = (double)point->min_bytes;
            bins->low_spot[b] = spot_at(line, *at, point->t_ns);
        }
        if (is_first || (double)point->max_bytes >= bins->high[b]) {
            bins->high[b] = (double)point->max_bytes;
            bins->high_spot[b] = spot_at(line, *at, point->t_ns);
        }
        is_first = false;
    }
    bins->last[b] = (double)point->bytes;
}

static void fill_bins(const struct bl_trend_line *line, uint64_t from_ns, uint64_t to_ns,
                      struct bins *bins)
{
    uint64_t begin_ns = from_ns;
    size_t at = 0;
    while (at + 1 < line->count && line->points[at + 1].t_ns <= from_ns)
        at++;
    bins->count = bins_for(line, from_ns, to_ns);
    for (size_t b = 0; b < bins->count; b++) {
        double share = (double)(b + 1) / (double)bins->count;
        uint64_t end_ns = from_ns + (uint64_t)((double)(to_ns - from_ns) * share);
        fill_bin(line, &at, begin_ns, end_ns, bins, b);
        begin_ns = end_ns;
    }
}

/* Upside down, so that what is said of floors and rising holds for highs and falling. */
static void turn_over(struct bins *bins)
{
    for (size_t b = 0; b < bins->count; b++) {
        double low = bins->low[b];
        bins->low[b] = -bins->high[b];
        bins->high[b] = -low;
        bins->last[b] = -bins->last[b];
        struct spot spot = bins->low_spot[b];
        bins->low_spot[b] = bins->high_spot[b];
        bins->high_spot[b] = spot;
    }
}

/* ---- falls ---- */

/* The deepest fall from a high to a later low. */
static double deepest_fall(const struct bins *bins)
{
    double top = -INFINITY;
    double deepest = 0;
    for (size_t i = 0; i < bins->count; i++) {
        deepest = fmax(deepest, fmax(top, bins->high[i]) - bins->low[i]);
        top = fmax(top, bins->high[i]);
    }
    return deepest;
}

/* Falls of at least some size with a rise as large between, and where they end. */
struct falls {
    size_t count;
    size_t top_at[BINS_MAX];
    size_t at[BINS_MAX];
    double bottom[BINS_MAX];
};

static void find_falls(const struct bins *bins, double size, struct falls *falls)
{
    double top = -INFINITY;
    double bottom = INFINITY;
    size_t top_at = 0;
    size_t bottom_at = 0;
    bool is_down = false;
    falls->count = 0;
    for (size_t i = 0; i < bins->count && size > 0; i++) {
        if (!is_down && top - bins->low[i] >= size) {
            is_down = true;
            bottom = INFINITY;
        }
        if (is_down && bins->low[i] <= bottom) {
            bottom = bins->low[i];
            bottom_at = i;
        }
        if (!is_down && bins->high[i] >= top) {
            top = bins->high[i];
            top_at = i;
        }
        bool is_up = is_down && i > bottom_at && bins->high[i] - bottom >= size;
        if (is_up || (is_down && i + 1 == bins->count)) {
            falls->top_at[falls->count] = top_at;
            falls->at[falls->count] = bottom_at;
            falls->bottom[falls->count++] = bottom;
            is_down = false;
            top = bins->high[i];
            top_at = i;
        }
    }
}

/* Bins from one fall to the next, as a rule; and how far off that rule the middle one is. */
static double spacing_of(const struct falls *falls, double *ret_off)
{
    double spaces[BINS_MAX];
    size_t count = falls->count - 1;
    for (size_t i = 0; i < count; i++)
        spaces[i] = (double)(falls->at[i + 1] - falls->at[i]);
    double spacing = median(spaces, count);
    for (size_t i = 0; i < count; i++)
        spaces[i] = fabs(spaces[i] - spacing);
    *ret_off = median(spaces, count);
    return spacing;
}

/* How much of the time from top to top is the fall. */
static double steepness_of(const struct falls *falls, double spacing)
{
    double lengths[BINS_MAX];
    for (size_t i = 0; i < falls->count; i++)
        lengths[i] = (double)(falls->at[i] - falls->top_at[i]);
    return median(lengths, falls->count) / spacing;
}

/* ---- blocks ---- */

static void fill_blocks(const struct bins *bins, size_t width, struct blocks *blocks)
{
    if (width < (bins->count + BLOCKS_MAX - 1) / BLOCKS_MAX)
        width = (bins->count + BLOCKS_MAX - 1) / BLOCKS_MAX;
    if (width == 0)
        width = 1;
    blocks->count = bins->count / width;
    size_t first = bins->count - blocks->count * width;
    for (size_t j = 0; j < blocks->count; j++) {
        size_t end = first + (j + 1) * width;
        size_t least = end - width;
        for (size_t b = end - width; b < end; b++)
            least = bins->low[b] <= bins->low[least] ? b : least;
        blocks->y[j] = bins->low[least];
        blocks->x[j] = bins->low_spot[least].at_s;
        blocks->buffers[j] = bins->low_spot[least].buffers;
        blocks->operations[j] = bins->low_spot[least].operations;
    }
    double least = INFINITY;
    for (size_t j = blocks->count; j-- > 0;) {
        least = fmin(least, blocks->y[j]);
        blocks->stays[j] = least;
    }
}

/* ---- statistics ---- */

static double sign(double value)
{
    return value > 0 ? 1 : value < 0 ? -1 : 0;
}

/* Variance of Kendall's S without trend, ties counted. */
static double kendall_variance(const double *y, size_t n)
{
    double sorted[BLOCKS_MAX];
    double ties = 0;
    memcpy(sorted, y, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), compare_doubles);
    for (size_t i = 0; i < n;) {
        size_t same = 1;
        while (i + same < n && sorted[i + same] == sorted[i])
            same++;
        double t = (double)same;
        ties += t * (t - 1) * (2 * t + 5);
        i += same;
    }
    double m = (double)n;
    return (m * (m - 1) * (2 * m + 5) - ties) / 18;
}

static double rank_of(const double *values, size_t n, double value)
{
    double rank = 0.5;
    for (size_t i = 0; i < n; i++)
        rank += values[i] < value ? 1 : values[i] == value ? 0.5 : 0;
    return rank;
}

/* Hamed and Rao: the variance grows with the autocorrelation of the ranks of what the trend leaves,
 * at the lags where it is significant. */
static double autocorrelation_factor(const double *x, const double *y, size_t n, double slope)
{
    double left[BLOCKS_MAX];
    double rank[BLOCKS_MAX];
    double m = (double)n;
    double middle = (m + 1) / 2;
    double power = 0;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        left[i] = y[i] - slope * x[i];
    for (size_t i = 0; i < n; i++) {
        rank[i] = rank_of(left, n, left[i]) - middle;
        power += rank[i] * rank[i];
    }
    for (size_t lag = 1; lag + 3 < n && power > 0; lag++) {
        double together = 0;
        for (size_t i = 0; i + lag < n; i++)
            together += rank[i] * rank[i + lag];
        double r = together / power;
        double k = m - (double)lag;
        if (fabs(r) > Z_95 / sqrt(m))
            sum += k * (k - 1) * (k - 2) * r;
    }
    double factor = 1 + 2 * sum / (m * (m - 1) * (m - 2));
    return factor > 1 ? factor : 1;
}

static bool fit(const double *x, const double *y, size_t n, double spread, double *ret_slope,
                double *ret_low, double *ret_high)
{
    static _Thread_local double slopes[PAIRS_MAX];
    size_t pairs = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            if (x[j] != x[i])
                slopes[pairs++] = (y[j] - y[i]) / (x[j] - x[i]);
    if (pairs == 0)
        return false;
    *ret_slope = median(slopes, pairs);
    double low = ((double)pairs - spread) / 2;
    double high = ((double)pairs + spread) / 2;
    *ret_low = slopes[low > 0 ? (size_t)low : 0];
    *ret_high = slopes[high < (double)(pairs - 1) ? (size_t)ceil(high) : pairs - 1];
    return true;
}

/* The median slope alone; 0 where all x are the same. */
static double slope_of(const double *x, const double *y, size_t n)
{
    double slope = 0;
    double low;
    double high;
    fit(x, y, n, 0, &slope, &low, &high);
    return slope;
}

/* Do nine of ten pairs of blocks agree on the bytes that a buffer adds, to half a byte? */
static bool is_same_step(const struct blocks *blocks, double step)
{
    size_t pairs = 0;
    size_t same = 0;
    for (size_t i = 0; i < blocks->count; i++) {
        for (size_t j = i + 1; j < blocks->count; j++) {
            double buffers = blocks->buffers[j] - blocks->buffers[i];
            if (buffers == 0)
                continue;
            pairs++;
            same += fabs(blocks->y[j] - blocks->y[i] - step * buffers) <= 0.5 * fabs(buffers);
        }
    }
    return pairs > 0 && same * 10 >= pairs * 9;
}

static struct test test_trend(const double *x, const double *y, size_t n)
{
    struct test test = {.is_monotone = true};
    double s = 0;
    double variance = kendall_variance(y, n);
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            s += sign(y[j] - y[i]);
    for (size_t i = 1; i < n; i++)
        test.is_monotone = test.is_monotone && y[i] > y[i - 1];
    if (!fit(x, y, n, Z_95 * sqrt(variance), &test.slope, &test.low, &test.high))
        return test;
    variance *= autocorrelation_factor(x, y, n, test.slope);
    fit(x, y, n, Z_95 * sqrt(variance), &test.slope, &test.low, &test.high);
    test.z = variance > 0 ? (s - sign(s)) / sqrt(variance) : 0;
    return test;
}

/* How far block floors lie from the line through them. */
static double residual_spread(const struct blocks *blocks, double slope)
{
    double left[BLOCKS_MAX];
    for (size_t i = 0; i < blocks->count; i++)
        left[i] = blocks->y[i] - slope * blocks->x[i];
    double middle = median(left, blocks->count);
    for (size_t i = 0; i < blocks->count; i++)
        left[i] = fabs(left[i] - middle);
    return 1.4826 * median(left, blocks->count);
}

/* How far a block floor lies off its neighbours, as a rule: noise, but not curvature. */
static double local_spread(const struct blocks *blocks)
{
    double off[BLOCKS_MAX];
    for (size_t i = 1; i + 1 < blocks->count; i++)
        off[i - 1] = fabs(blocks->y[i + 1] - 2 * blocks->y[i] + blocks->y[i - 1]);
    return 1.4826 * median(off, blocks->count - 2) / sqrt(6);
}

static double autocorrelation(const double *values, size_t count)
{
    double mean = 0;
    double power = 0;
    double next = 0;
    for (size_t i = 0; i < count; i++)
        mean += values[i] / (double)count;
    for (size_t i = 0; i < count; i++)
        power += (values[i] - mean) * (values[i] - mean);
    for (size_t i = 1; i < count; i++)
        next += (values[i] - mean) * (values[i - 1] - mean);
    return power > 0 ? next / power : 0;
}

/* From one value to the next other one. A thread that was late to change the level, or late to look
 * at it, leaves the same value in several bins: those say no more than one does, and would make
 * noise look as if it went slowly. */
static bool is_smooth(const struct bins *bins)
{
    double values[BINS_MAX] = {0};
    size_t count = 0;
    for (size_t b = 0; b < bins->count; b++)
        if (count == 0 || bins->last[b] != values[count - 1])
            values[count++] = bins->last[b];
    return autocorrelation(values, count) >= fmax(0.35, 2.5 / sqrt((double)count));
}

/* ---- shape of what stays ---- */

struct rises {
    size_t count;   /* blocks in which what stays rose by a quantum or more */
    size_t end;     /* the block after the last that was looked at */
    double last_x;  /* of the last */
    double pause_x; /* the longest before it */
    double first_x;
    double last_work; /* the same in operations */
    double pause_work;
};

static struct rises find_rises(const struct blocks *blocks, double quantum)
{
    /* of the last blocks it is not known yet what stays */
    struct rises rises = {.end = blocks->count - blocks->count / 20};
    double level = blocks->stays[0] + quantum;
    double x = blocks->x[0];
    double work = blocks->operations[0];
    for (size_t j = 1; j < rises.end; j++) {
        if (blocks->stays[j] < level)
            continue;
        level = blocks->stays[j] + quantum;
        if (rises.count++ == 0)
            rises.first_x = blocks->x[j];
        rises.pause_x = fmax(rises.pause_x, blocks->x[j] - x);
        rises.pause_work = fmax(rises.pause_work, blocks->operations[j] - work);
        x = blocks->x[j];
        work = blocks->operations[j];
    }
    rises.last_x = x;
    rises.last_work = work;
    return rises;
}

/* What stays at one point of an axis. */
static double stays_at(const struct blocks *blocks, const double *axis, double at)
{
    size_t j = 0;
    while (j + 1 < blocks->count && axis[j + 1] <= at)
        j++;
    if (j + 1 == blocks->count || axis[j + 1] <= axis[j])
        return blocks->stays[j];
    double share = (at - axis[j]) / (axis[j + 1] - axis[j]);
    return blocks->stays[j] + share * (blocks->stays[j + 1] - blocks->stays[j]);
}

/* What stayed in each third of an axis, up to block `end`. */
struct thirds {
    double begin[3];
    double stayed[3];
    double end;
};

static struct thirds cut(const struct blocks *blocks, const double *axis, size_t end)
{
    struct thirds thirds = {.end = axis[end]};
    double third = (axis[end] - axis[0]) / 3;
    for (int k = 0; k < 3; k++) {
        thirds.begin[k] = axis[0] + third * k;
        double to = k == 2 ? blocks->stays[end] : stays_at(blocks, axis, axis[0] + third * (k + 1));
        thirds.stayed[k] = to - stays_at(blocks, axis, thirds.begin[k]);
    }
    return thirds;
}

/* Has nothing stayed for long? In time and in operations; where there was no work at all since, for
 * twice as long as the growth had taken. */
static bool has_stopped(const struct blocks *blocks, const struct rises *rises, double grown,
                        double noise)
{
    size_t end = rises->end - 1;
    double little = fmax(grown / 50, fmin(3 * noise, grown / 12));
    double since_x = blocks->x[end] - rises->last_x;
    double since_work = blocks->operations[end] - rises->last_work;
    bool has_work = blocks->operations[end] > blocks->operations[0];
    bool is_idle = since_x > 2 * (rises->last_x - blocks->x[0]);
    if (since_x > 3 * rises->pause_x &&
        (!has_work || is_idle || since_work > 3 * rises->pause_work))
        return true;
    return cut(blocks, blocks->x, end).stayed[2] < little &&
           (!has_work || is_idle || cut(blocks, blocks->operations, end).stayed[2] < little);
}

/* Less stayed in each third than in the one before, and in the last less than 0.4 of the first; by
 * more than chance would have it, were the rises, but for the largest, shuffled. */
static bool slows_on(const struct blocks *blocks, const double *axis, size_t end, double noise)
{
    struct thirds thirds = cut(blocks, axis, end);
    double first = thirds.stayed[0];
    double last = thirds.stayed[2];
    double chance = 0;
    double most = 0;
    for (size_t j = 1; j <= end; j++) {
        double rise = blocks->stays[j] - blocks->stays[j - 1];
        if (axis[j] <= thirds.begin[1] || axis[j] > thirds.begin[2])
            chance += rise * rise;
        most = fmax(most, rise * rise);
    }
    chance = fmax(0, chance - most);
    return last < 0.4 * first && thirds.stayed[1] < 0.8 * first && first - last > 3 * noise &&
           first - last > 2 * sqrt(chance);
}

static bool is_slowing(const struct blocks *blocks, const struct rises *rises, double noise)
{
    size_t end = rises->end - 1;
    bool has_work = blocks->operations[end] > blocks->operations[0];
    return slows_on(blocks, blocks->x, end, noise) &&
           (!has_work || slows_on(blocks, blocks->operations, end, noise));
}

/* A few buffers more, each at a time of its own, such as the pages of an allocator that warms up:
 * it cannot be told whether they become rarer. */
static bool is_a_handful(const struct blocks *blocks, const struct rises *rises)
{
    double more = blocks->buffers[blocks->count - 1] - blocks->buffers[0];
    return rises->count < FEW && more >= 1 && more < FEW;
}

/* ---- one stretch ---- */

/* The first bin after a jump, up or down, that nothing before and after reaches across, and that is
 * half of all there is between the least and the most; 0: none. */
static size_t find_jump(const struct bins *bins)
{
    double low_after[BINS_MAX];
    double high_after[BINS_MAX];
    size_t end = bins->count - 1;
    low_after[end] = bins->low[end];
    high_after[end] = bins->high[end];
    for (size_t b = end; b-- > 0;) {
        low_after[b] = fmin(bins->low[b], low_after[b + 1]);
        high_after[b] = fmax(bins->high[b], high_after[b + 1]);
    }
    double least = (high_after[0] - low_after[0]) / 2;
    double low = bins->low[0];
    double high = bins->high[0];
    size_t at = 0;
    for (size_t b = 1; b < bins->count; b++) {
        double gap = fmax(low_after[b] - high, low - high_after[b]);
        if (gap > 0 && gap >= least) {
            least = gap;
            at = b;
        }
        low = fmin(low, bins->low[b]);
        high = fmax(high, bins->high[b]);
    }
    return at;
}

/* What an operation adds, by the later half of those that were done. While the first are done, what
 * is in use for some at a time comes up, and what is kept once for all: a rise that ends. */
static void tell_operations(const struct blocks *blocks, struct bl_trend_finding *finding)
{
    double half = (blocks->operations[0] + blocks->operations[blocks->count - 1]) / 2;
    size_t from = 0;
    while (from < blocks->count && blocks->operations[from] <= half)
        from++;
    finding->worked = blocks->count - from;
    if (finding->worked < BL_TREND_WORKED_MIN)
        return;
    finding->per_operation = slope_of(blocks->operations + from, blocks->y + from, finding->worked);
    finding->count_per_operation =
        slope_of(blocks->operations + from, blocks->buffers + from, finding->worked);
}

/* Does what the blocks hold rise, and how? STEADY stands for no. */
static enum bl_trend judge_rise(const struct blocks *blocks, double fall,
                                struct bl_trend_finding *finding)
{
    size_t end = blocks->count - 1;
    struct test test = test_trend(blocks->x, blocks->y, blocks->count);
    double noise = local_spread(blocks);
    double grown = blocks->stays[end] - blocks->stays[0];
    double quantum = fmax(grown / 100, fmin(3 * noise, grown / 10));
    struct rises rises = find_rises(blocks, quantum > 0 ? quantum : 1);
    bool keeps_all = grown > 0 && fall <= 0.1 * grown;
    bool is_certain =
        test.z > Z_RISING && test.low > 0 &&
        test.slope * (blocks->x[end] - blocks->x[0]) > 2 * residual_spread(blocks, test.slope);
    /* too few for the test's level: by chance n of them rise in one of n! lines */
    bool is_even = blocks->count < 12 && blocks->count >= EVEN_MIN && test.is_monotone &&
                   rises.count + 1 >= blocks->count;
    finding->per_s = test.slope;
    finding->low_per_s = test.low;
    finding->high_per_s = test.high;
    finding->stayed_bytes = grown;
    finding->rises = rises.count;
    finding->floor_bytes = blocks->y[end];
    finding->count_per_s = slope_of(blocks->x, blocks->buffers, blocks->count);
    tell_operations(blocks, finding);
    finding->step_bytes = slope_of(blocks->buffers, blocks->y, blocks->count);
    finding->is_step_exact = is_same_step(blocks, finding->step_bytes);
    if (!keeps_all && !is_certain && !is_even)
        return test.z > Z_UNSURE && test.low > 0 ? BL_TREND_UNKNOWN : BL_TREND_STEADY;
    if (grown <= 0 || has_stopped(blocks, &rises, grown, noise))
        return BL_TREND_STEADY;
    if (rises.count < RISES_MIN && rises.count + 1 < blocks->count)
        return BL_TREND_UNKNOWN;
    if (is_a_handful(blocks, &rises))
        return BL_TREND_UNKNOWN;
    return is_slowing(blocks, &rises, noise) ? BL_TREND_SATURATING : BL_TREND_GROWING;
}

/* By more than is left to chance, and than matters: a low is seen as low as a sample was near. */
static bool bottoms_rise(const double *at, const struct falls *falls, double fall)
{
    size_t count = falls->count < BLOCKS_MAX ? falls->count : BLOCKS_MAX;
    struct test test = test_trend(at, falls->bottom, count);
    return test.z > 1.6 && test.slope * (at[count - 1] - at[0]) > fall / 10;
}

/* Does it rise and fall back to the same floor again and again, slowly enough to be seen to? */
static bool is_sawtooth(const struct bins *bins)
{
    struct falls falls;
    double off[BINS_MAX];
    double bottoms[BINS_MAX];
    double spacing_off;
    double fall = deepest_fall(bins);
    find_falls(bins, fall / 2, &falls);
    if (falls.count < 3 || !is_smooth(bins))
        return false;
    memcpy(bottoms, falls.bottom, falls.count * sizeof(*bottoms));
    double bottom = median(bottoms, falls.count);
    for (size_t i = 0; i < falls.count; i++)
        off[i] = fabs(falls.bottom[i] - bottom);
    if (median(off, falls.count) >= fall / 10 || fall < bottom / 5)
        return false;
    size_t up = 0;
    for (size_t b = 0; b < bins->count; b++)
        up += bins->last[b] > bottom + fall / 4;
    if (up < bins->count / 4) /* spikes */
        return false;
    for (size_t i = 0; i < falls.count && i < BLOCKS_MAX; i++)
        off[i] = (double)falls.at[i];
    if (bottoms_rise(off, &falls, fall))
        return false;
    double spacing = spacing_of(&falls, &spacing_off);
    return spacing_off < spacing * (falls.count >= 6 ? 0.2 : 0.08) ||
           steepness_of(&falls, spacing) < 0.25;
}

/* Floors of the bins as they are, or upside down. */
static enum bl_trend judge_bins(const struct bins *bins, struct bl_trend_finding *finding)
{
    struct blocks blocks;
    struct falls falls;
    size_t width = 1;
    double spacing_off;
    double fall = deepest_fall(bins);
    double change = bins->low[bins->count - 1] - bins->low[0];
    find_falls(bins, fall / 8, &falls);
    if (falls.count >= 2 && fall > 0.1 * change)
        width = 1 + (size_t)ceil(1.5 * spacing_of(&falls, &spacing_off));
    if (width > bins->count / 8 && autocorrelation(bins->last, bins->count) < 0.5)
        width = bins->count / 8; /* nothing lasts longer than a bin: any stretch has its floor */
    fill_blocks(bins, width, &blocks);
    if (blocks.count < BLOCKS_MIN)
        return BL_TREND_UNKNOWN;
    return judge_rise(&blocks, fall, finding);
}

static void judge_stretch(const struct bl_trend_line *line, uint64_t from_ns, uint64_t to_ns,
                          int depth, struct bl_trend_finding *finding)
{
    struct bins bins;
    *finding = (struct bl_trend_finding){.from_ns = from_ns, .to_ns = to_ns};
    fill_bins(line, from_ns, to_ns, &bins);
    if (bins.count < BL_TREND_TURNS_MIN)
        return;
    size_t jump = find_jump(&bins);
    if (jump > 0 && depth < DEPTH_MAX) {
        uint64_t width_ns = (to_ns - from_ns) / bins.count;
        judge_stretch(line, from_ns + width_ns * (jump + 1), to_ns, depth + 1, finding);
        return;
    }
    struct bl_trend_finding down = *finding;
    finding->trend = judge_bins(&bins, finding);
    if (finding->trend == BL_TREND_GROWING || finding->trend == BL_TREND_SATURATING)
        return;
    bool is_wave = is_sawtooth(&bins);
    turn_over(&bins);
    enum bl_trend falling = judge_bins(&bins, &down);
    if (falling == BL_TREND_GROWING || falling == BL_TREND_SATURATING) {
        finding->trend = BL_TREND_SHRINKING;
        finding->per_s = -down.per_s;
        finding->low_per_s = -down.high_per_s;
        finding->high_per_s = -down.low_per_s;
        finding->count_per_s = down.count_per_s;
    } else if (is_wave) {
        finding->trend = BL_TREND_SAWTOOTH;
    }
}

static double highest_before(const struct bl_trend_line *line, uint64_t t_ns)
{
    double highest = 0;
    for (size_t i = 0; i < line->count && line->points[i].t_ns < t_ns; i++)
        highest = fmax(highest, (double)line->points[i].max_bytes);
    return highest;
}

void bl_trend_judge(const struct bl_trend_line *line, struct bl_trend_finding *ret_finding)
{
    static const unsigned parts[] = {4, 16};
    *ret_finding = (struct bl_trend_finding){.trend = BL_TREND_UNKNOWN};
    if (line->count == 0)
        return;
    uint64_t begin_ns = line->points[0].t_ns;
    uint64_t end_ns = line->points[line->count - 1].t_ns;
    if (line->end_ns > end_ns)
        end_ns = line->end_ns;
    judge_stretch(line, begin_ns, end_ns, 0, ret_finding);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        struct bl_trend_finding late;
        uint64_t from_ns = end_ns - (end_ns - begin_ns) / parts[i];
        if (ret_finding->trend == BL_TREND_GROWING)
            return;
        judge_stretch(line, from_ns, end_ns, 0, &late);
        bool is_faster =
            ret_finding->trend != BL_TREND_SATURATING || late.per_s > ret_finding->per_s;
        if (late.trend == BL_TREND_GROWING && is_faster &&
            late.floor_bytes > highest_before(line, from_ns))
            *ret_finding = late;
        if (late.trend == BL_TREND_STEADY && ret_finding->trend == BL_TREND_UNKNOWN)
            *ret_finding = late;
    }
    /* waves too quick for the bins of a long line */
    uint64_t turns = BINS_MAX;
    while (ret_finding->trend == BL_TREND_STEADY && turns * line->interval_ns < end_ns - begin_ns) {
        struct bins bins;
        fill_bins(line, end_ns - turns * line->interval_ns, end_ns, &bins);
        if (bins.count >= BL_TREND_TURNS_MIN && is_sawtooth(&bins))
            ret_finding->trend = BL_TREND_SAWTOOTH;
        turns *= 4;
    }
}
