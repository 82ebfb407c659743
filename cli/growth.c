#include "growth.h"

#include "callers.h"
#include "text.h"
#include "verdict.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct builder {
    struct bl_growth_set *set;
    const struct bl_reader *reader;
    const struct bl_series_set *series;
    const struct bl_model *model;
    struct bl_error *error;
};

const char *bl_growth_limit_name(enum bl_growth_limit limit)
{
    static const char *const names[] = {[BL_GROWTH_NO_LIMIT] = NULL,
                                        [BL_GROWTH_LIMIT_OPTION] = "limit",
                                        [BL_GROWTH_LIMIT_CGROUP] = "cgroup",
                                        [BL_GROWTH_LIMIT_ADDRESS_SPACE] = "address-space",
                                        [BL_GROWTH_LIMIT_DIRECT] = "direct"};
    return names[limit];
}

static bool is_up(const struct bl_growth *growth)
{
    return growth->found.trend == BL_TREND_GROWING || growth->found.trend == BL_TREND_SATURATING;
}

/* ---- one line ---- */

/* Work that was done: requests that ended, or buffers of a class that were taken and given back.
 * Not all that were taken, since those that stay would make their own growth look like work; but
 * where next to none are given back, they are all there is. */
static bool counts_kept(const struct bl_line *of)
{
    const struct bl_point *last = &of->points[of->count - 1];
    return of->kind != BL_SERIES_CLASS || last->count > last->total / 10 * 9;
}

/* The work that another line tells of, at the times of the points of `line`. */
static double *operations_at(const struct bl_line *line, const struct bl_line *of)
{
    double *operations = calloc(line->count + 1, sizeof(*operations));
    bool with_kept = counts_kept(of);
    double done = 0;
    size_t at = 0;
    for (size_t i = 0; operations && i < line->count; i++) {
        while (at + 1 < of->count && of->points[at + 1].t_ns <= line->points[i].t_ns)
            at++;
        const struct bl_point *point = &of->points[at];
        done = fmax(done, (double)point->total - (with_kept ? 0 : (double)point->count));
        operations[i] = done;
    }
    return operations;
}

/* A site has a sample for each round over the live tables, which may take several turns. */
static uint64_t interval_of(const struct builder *builder, const struct bl_line *line)
{
    const struct bl_header *header = bl_reader_header(builder->reader);
    uint64_t interval_ns = header->interval_ns ? header->interval_ns : 1000000000u;
    if (line->kind != BL_SERIES_SITE || header->round_ns < interval_ns)
        return interval_ns;
    return interval_ns * (1 + header->round_ns / interval_ns);
}

static int judge(const struct builder *builder, const struct bl_line *line,
                 const struct bl_line *operations, struct bl_trend_finding *ret_finding)
{
    double *at = operations ? operations_at(line, operations) : NULL;
    if (operations && !at)
        return bl_error_set(builder->error, "not enough memory for the growth");
    struct bl_trend_line trend_line = {.points = line->points,
                                       .count = line->count,
                                       .operations = at,
                                       .interval_ns = interval_of(builder, line)};
    bl_trend_judge(&trend_line, ret_finding);
    free(at);
    return 0;
}

/* What a request adds: of equal buffers a whole number, if it is close to one. */
static void take_per_request(struct bl_growth *growth, const struct bl_trend_finding *by_request)
{
    double count = by_request->count_per_operation;
    double whole = round(count);
    growth->has_per_request = true;
    growth->count_per_request = count;
    growth->bytes_per_request = by_request->per_operation;
    if (growth->is_step_exact && whole >= 1 && fabs(count - whole) < 0.02 * whole) {
        growth->count_per_request = whole;
        growth->bytes_per_request = whole * (double)growth->step_bytes;
    }
}

/* How many requests ended while the growth was looked at. */
static uint64_t ended_in(const struct bl_line *requests, const struct bl_trend_finding *found)
{
    const struct bl_point *first = bl_line_at(requests, found->from_ns);
    const struct bl_point *last = bl_line_at(requests, found->to_ns);
    first = first ? first : &requests->points[0];
    return last && last->total > first->total ? last->total - first->total : 0;
}

static double confidence_of(const struct builder *builder, const struct bl_growth *growth)
{
    const struct bl_trend_finding *found = &growth->found;
    double rises = (double)found->rises;
    double turns =
        (double)(found->to_ns - found->from_ns) / (double)interval_of(builder, growth->line);
    if (found->trend == BL_TREND_GROWING)
        return rises / (rises + 4);
    return found->trend == BL_TREND_STEADY ? turns / (turns + BL_TREND_TURNS_MIN) : 0;
}

static int fill(const struct builder *builder, struct bl_growth *growth, const struct bl_line *line)
{
    const struct bl_line *work =
        bl_series_find(builder->series, BL_SERIES_CLASS, line->class_number);
    *growth =
        (struct bl_growth){.line = line, .to_limit_s = -1, .byte_weight = 1, .count_weight = 1};
    if (judge(builder, line, work, &growth->found) < 0)
        return -1;
    growth->confidence = confidence_of(builder, growth);
    if (growth->found.step_bytes >= 1) {
        growth->step_bytes = (uint64_t)(growth->found.step_bytes + 0.5);
        growth->is_step_exact = growth->found.is_step_exact;
    }
    const struct bl_line *requests = builder->set->requests;
    if (requests && is_up(growth) && ended_in(requests, &growth->found) >= BL_GROWTH_REQUESTS_MIN) {
        struct bl_trend_finding by_request = {.trend = BL_TREND_UNKNOWN};
        if (judge(builder, line, requests, &by_request) < 0)
            return -1;
        if (by_request.worked >= BL_TREND_WORKED_MIN)
            take_per_request(growth, &by_request);
    }
    return 0;
}

/* ---- a class by its sites ---- */

struct sum {
    size_t count;
    double per_s;
    double low_per_s;
    double high_per_s;
    double count_per_s;
    double bytes_per_request;
    double count_per_request;
    const struct bl_growth *largest;
};

static struct sum sum_of_sites(const struct bl_growth_set *set, uint32_t class_number)
{
    struct sum sum = {0};
    for (size_t i = 0; i < set->site_count; i++) {
        const struct bl_growth *site = &set->sites[i];
        if (!site->line || site->line->class_number != class_number ||
            site->found.trend != BL_TREND_GROWING)
            continue;
        sum.count++;
        sum.per_s += site->found.per_s;
        sum.low_per_s += site->found.low_per_s;
        sum.high_per_s += site->found.high_per_s;
        sum.count_per_s += site->found.count_per_s;
        sum.bytes_per_request += site->bytes_per_request;
        sum.count_per_request += site->count_per_request;
        if (!sum.largest || site->found.per_s > sum.largest->found.per_s)
            sum.largest = site;
    }
    return sum;
}

/* Its growing sites tell more of a class than its own line, which has all others' noise. */
static void take_sites(struct bl_growth_set *set, uint32_t class_number)
{
    struct bl_growth *class = &set->classes[class_number];
    struct sum sum = sum_of_sites(set, class_number);
    if (sum.count == 0 || class->found.trend == BL_TREND_SHRINKING)
        return;
    if (class->found.trend != BL_TREND_GROWING)
        class->confidence = sum.largest->confidence;
    class->is_of_sites = true;
    class->found.trend = BL_TREND_GROWING;
    class->found.per_s = sum.per_s;
    class->found.low_per_s = sum.low_per_s;
    class->found.high_per_s = sum.high_per_s;
    class->found.count_per_s = sum.count_per_s;
    if (sum.largest->found.per_s >= 0.8 * sum.per_s) {
        class->step_bytes = sum.largest->step_bytes;
        class->is_step_exact = sum.largest->is_step_exact;
    } else if (sum.count_per_s > 0) {
        class->step_bytes = (uint64_t)(sum.per_s / sum.count_per_s + 0.5);
        class->is_step_exact = false;
    }
    class->has_per_request = sum.largest->has_per_request;
    class->bytes_per_request = sum.bytes_per_request;
    class->count_per_request = sum.count_per_request;
}

/* ---- limits ---- */

static void consider(struct bl_growth *growth, enum bl_growth_limit limit, uint64_t limit_bytes,
                     uint64_t used_bytes, double per_s)
{
    if (limit_bytes == 0 || per_s <= 0)
        return;
    double left = limit_bytes > used_bytes ? (double)(limit_bytes - used_bytes) : 0;
    double to_limit_s = left / per_s;
    if (growth->to_limit_s < 0 || to_limit_s < growth->to_limit_s) {
        growth->to_limit_s = to_limit_s;
        growth->limit = limit;
    }
}

static double mean_per_s(const struct bl_line *line, uint64_t from_ns, uint64_t to_ns)
{
    const struct bl_point *from = bl_line_at(line, from_ns);
    const struct bl_point *to = bl_line_at(line, to_ns);
    if (!from || !to || to->t_ns <= from->t_ns)
        return 0;
    return ((double)to->bytes - (double)from->bytes) / ((double)(to->t_ns - from->t_ns) / 1e9);
}

/* What is limited is more than the class, and has a line of its own. Where that rises in steps too
 * few to tell, it is taken to rise in both halves of the time in which the class grew. */
static double faster(const struct bl_growth *whole, const struct bl_growth *class)
{
    double per_s = class->found.per_s;
    uint64_t from_ns = class->found.from_ns;
    uint64_t to_ns = class->found.to_ns;
    uint64_t middle_ns = from_ns + (to_ns - from_ns) / 2;
    if (!whole->line)
        return per_s;
    if (whole->found.trend == BL_TREND_GROWING)
        return fmax(per_s, whole->found.per_s);
    return fmax(per_s, fmin(mean_per_s(whole->line, from_ns, middle_ns),
                            mean_per_s(whole->line, middle_ns, to_ns)));
}

static void find_limit(const struct builder *builder, const struct bl_class_sums *sums)
{
    const struct bl_header *header = bl_reader_header(builder->reader);
    struct bl_growth_set *set = builder->set;
    struct bl_growth *growth = &set->classes[sums->number];
    if (growth->found.trend != BL_TREND_GROWING)
        return;
    double per_s = growth->found.per_s;
    if (strcmp(sums->name, "heap") == 0)
        consider(growth, BL_GROWTH_LIMIT_OPTION, header->limit_bytes, sums->live_bytes, per_s);
    if (strncmp(sums->name, "netty-", 6) == 0)
        consider(growth, BL_GROWTH_LIMIT_DIRECT, header->direct_limit_bytes, sums->live_bytes,
                 per_s);
    consider(growth, BL_GROWTH_LIMIT_CGROUP, header->cgroup_limit_bytes, header->cgroup_bytes,
             faster(&set->cgroup, growth));
    consider(growth, BL_GROWTH_LIMIT_ADDRESS_SPACE, header->address_space_limit_bytes,
             header->address_space_bytes, faster(&set->address_space, growth));
}

/* A sampled ledger followed sampled blocks only. */
static void scale(struct bl_growth *growth, double bytes, double count, uint64_t recorded_bytes,
                  uint64_t recorded)
{
    if (!growth->line || recorded == 0 || recorded_bytes == 0)
        return;
    double factor = bytes / (double)recorded_bytes;
    double count_factor = count / (double)recorded;
    growth->byte_weight *= factor;
    growth->count_weight *= count_factor;
    growth->found.per_s *= factor;
    growth->found.low_per_s *= factor;
    growth->found.high_per_s *= factor;
    growth->found.floor_bytes *= factor;
    growth->found.stayed_bytes *= factor;
    growth->bytes_per_request *= factor;
    growth->found.count_per_s *= count_factor;
    growth->count_per_request *= count_factor;
}

/* ---- all ---- */

static void name_of(const struct builder *builder, const struct bl_line *line, char *out,
                    size_t size)
{
    bl_reader_name_text(builder->reader, line->boundary->function_name, out, size);
}

static int find_requests(struct builder *builder, const char *per)
{
    struct bl_growth_set *set = builder->set;
    char known[512] = "";
    bool asked = false; /* when the program was started */
    for (size_t i = 0; i < builder->series->line_count; i++) {
        const struct bl_line *line = &builder->series->lines[i];
        char name[sizeof(set->request_name)];
        if (line->kind != BL_SERIES_BOUNDARY)
            continue;
        name_of(builder, line, name, sizeof(name));
        size_t used = strlen(known);
        snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "", name);
        uint64_t total = line->points[line->count - 1].total;
        bool is_asked = line->boundary->flags & BL_BOUNDARY_ASKED;
        bool is_it =
            per ? strcmp(per, name) == 0
            : asked || is_asked
                ? is_asked
                : total > 0 && (!set->requests ||
                                total > set->requests->points[set->requests->count - 1].total);
        if (!is_it)
            continue;
        asked |= is_asked && !per;
        set->requests = line;
        snprintf(set->request_name, sizeof(set->request_name), "%s", name);
    }
    if (per && !set->requests)
        return bl_error_set(builder->error,
                            "calls of %s were not counted in this process; counted were: %s. Start "
                            "it with per=%s in BUFLEAK_OPTIONS",
                            per, *known ? known : "none", per);
    return 0;
}

static int fill_sites(struct builder *builder)
{
    struct bl_growth_set *set = builder->set;
    set->sites = calloc(builder->series->line_count + 1, sizeof(*set->sites));
    if (!set->sites)
        return bl_error_set(builder->error, "not enough memory for the growth");
    for (size_t i = 0; i < builder->series->line_count; i++) {
        const struct bl_line *line = &builder->series->lines[i];
        if (line->kind != BL_SERIES_SITE || line->until_ns != 0)
            continue;
        if (fill(builder, &set->sites[set->site_count], line) < 0)
            return -1;
        set->site_count++;
    }
    return 0;
}

static int fill_one(struct builder *builder, struct bl_growth *growth, enum bl_series_kind kind,
                    uint32_t class_number)
{
    const struct bl_line *line = bl_series_find(builder->series, kind, class_number);
    growth->to_limit_s = -1;
    return line ? fill(builder, growth, line) : 0;
}

static int fill_direct(struct builder *builder)
{
    for (uint32_t i = 0; i < BL_DIRECT_MAX; i++) {
        struct bl_growth *growth = &builder->set->direct[i];
        const struct bl_line *line = bl_series_find_direct(builder->series, i);
        growth->to_limit_s = -1;
        if (line && fill(builder, growth, line) < 0)
            return -1;
    }
    return 0;
}

static int build(struct builder *builder, const char *per)
{
    struct bl_growth_set *set = builder->set;
    const struct bl_model *model = builder->model;
    if (find_requests(builder, per) < 0 || fill_sites(builder) < 0 ||
        fill_one(builder, &set->rss, BL_SERIES_RSS, 0) < 0 ||
        fill_one(builder, &set->cgroup, BL_SERIES_CGROUP, 0) < 0 ||
        fill_one(builder, &set->address_space, BL_SERIES_ADDRESS_SPACE, 0) < 0 ||
        fill_direct(builder) < 0)
        return -1;
    for (size_t i = 0; i < model->class_count; i++) {
        const struct bl_class_sums *sums = &model->classes[i];
        struct bl_growth *growth = &set->classes[sums->number];
        if (fill_one(builder, growth, BL_SERIES_CLASS, sums->number) < 0)
            return -1;
        take_sites(set, sums->number);
        if (model->is_sampled)
            scale(growth, (double)sums->live_bytes, (double)sums->live_count, sums->recorded_bytes,
                  sums->recorded);
        find_limit(builder, sums);
    }
    return 0;
}

int bl_growth_create(struct bl_growth_set **ret_set, const struct bl_reader *reader,
                     const struct bl_series_set *series, const struct bl_model *model,
                     const char *per, struct bl_error *error)
{
    struct bl_growth_set *set = calloc(1, sizeof(*set));
    if (!set)
        return bl_error_set(error, "not enough memory for the growth");
    struct builder builder = {
        .set = set, .reader = reader, .series = series, .model = model, .error = error};
    if (build(&builder, per) < 0) {
        bl_growth_destroy(set);
        return -1;
    }
    *ret_set = set;
    return 0;
}

void bl_growth_destroy(struct bl_growth_set *set)
{
    if (!set)
        return;
    free(set->sites);
    free(set);
}

/* ---- groups ---- */

/* Of two lines of one site (its module was loaded twice) the longer. */
static struct bl_growth *find_growth(struct bl_growth_set *set, const uint32_t *chains,
                                     uint32_t chain)
{
    struct bl_growth *found = NULL;
    for (size_t i = 0; i < set->site_count; i++)
        if (chains[i] == chain && (!found || set->sites[i].line->count > found->line->count))
            found = &set->sites[i];
    return found;
}

/* Is this site's growth explained by a verdict on the history of its buffers? */
static bool is_accused_elsewhere(const struct bl_model *model, const struct bl_growth *growth)
{
    for (size_t i = 0; i < model->group_count; i++)
        if (model->groups[i].growth == growth && model->groups[i].rank < BL_MODEL_RANK_GROWING)
            return true;
    return false;
}

/* Is the growth of its site the group's? It has come lately, and is most of what came. */
static bool explains(const struct bl_model *model, const struct bl_group *group)
{
    const struct bl_trend_finding *found = &group->growth->found;
    uint64_t judged_ns = found->to_ns - found->from_ns;
    double grown = found->count_per_s * (double)judged_ns / 1e9;
    return !group->finding ||
           (group->youngest_ns + found->from_ns + judged_ns / 2 <= model->now_ns &&
            2 * (double)group->count >= grown);
}

/* What is in use, or left to others, is no pool that filled. */
static bool may_be_steady(const struct bl_group *group)
{
    if (!group->finding)
        return true;
    enum bl_ground ground = group->finding->ground;
    return ground == BL_GROUND_ONCE || ground == BL_GROUND_FILLING || ground == BL_GROUND_SET_UP ||
           ground == BL_GROUND_YOUNG;
}

static void rank_groups(struct bl_model *model)
{
    for (size_t i = 0; i < model->group_count; i++) {
        struct bl_group *group = &model->groups[i];
        const struct bl_growth *growth = group->growth;
        if (!growth || group->rank != BL_MODEL_RANK_PLAIN || group->inherited == group->count)
            continue;
        if (growth->found.trend == BL_TREND_GROWING && !is_accused_elsewhere(model, growth) &&
            explains(model, group))
            group->rank = BL_MODEL_RANK_GROWING;
        else if (growth->found.trend == BL_TREND_STEADY && may_be_steady(group))
            group->rank = BL_MODEL_RANK_STEADY;
    }
}

static int join(struct bl_growth_set *set, struct bl_model *model, struct bl_callers *callers,
                uint32_t *chains)
{
    for (size_t i = 0; i < set->site_count; i++) {
        const struct bl_line *line = set->sites[i].line;
        uint32_t number = bl_callers_find(callers, line->class_number, line->stack);
        if (number == UINT32_MAX)
            return -1;
        chains[i] = bl_callers_site(callers, number);
    }
    for (size_t i = 0; i < model->group_count; i++) {
        struct bl_group *group = &model->groups[i];
        uint32_t stack = group->finding ? group->finding->alloc_frame : group->stack;
        uint32_t number = bl_callers_find(callers, group->class_number, stack);
        if (number == UINT32_MAX)
            return -1;
        struct bl_growth *growth = find_growth(set, chains, bl_callers_site(callers, number));
        group->growth = growth;
        if (growth && model->is_sampled)
            scale(growth, (double)group->bytes, (double)group->count, group->recorded_bytes,
                  group->recorded);
    }
    return 0;
}

int bl_growth_apply(struct bl_growth_set *set, struct bl_model *model,
                    const struct bl_model_options *options, struct bl_error *error)
{
    struct bl_callers *callers = NULL;
    if (model->group_by != BL_GROUP_SITE || options->own_count > 0 || set->site_count == 0)
        return 0;
    uint32_t *chains = calloc(set->site_count, sizeof(*chains));
    if (!chains)
        return bl_error_set(error, "not enough memory for the growth");
    int outcome = bl_callers_create(&callers, model->reader, NULL, options, error);
    if (outcome == 0 && join(set, model, callers, chains) < 0)
        outcome = bl_error_set(error, "not enough memory for the growth");
    if (outcome == 0) {
        rank_groups(model);
        bl_model_sort(model);
    }
    bl_callers_destroy(callers);
    free(chains);
    return outcome;
}

const char *bl_growth_rank_name(uint32_t rank)
{
    if (rank == BL_MODEL_RANK_GROWING)
        return "growing";
    if (rank == BL_MODEL_RANK_STEADY)
        return "steady";
    return rank < BL_MODEL_RANK_GROWING ? bl_verdict_name((enum bl_verdict)rank) : "unreleased";
}

const char *bl_growth_verdict(const struct bl_group *group)
{
    return bl_growth_rank_name(group->rank);
}

/* ---- words ---- */

struct rate {
    double value;
    const char *unit;
};

/* Per minute, as people think of requests, unless that is too small or too large a number. */
static struct rate rate_of(double per_s)
{
    double per_min = per_s * 60;
    if (per_min >= 10000)
        return (struct rate){per_s, "s"};
    if (per_min >= 0.1)
        return (struct rate){per_min, "min"};
    if (per_min * 60 >= 0.1)
        return (struct rate){per_min * 60, "h"};
    return (struct rate){per_min * 1440, "d"};
}

static void count_text(double value, char *out, size_t size)
{
    char digits[BL_TEXT_NUMBER];
    if (value >= 100)
        snprintf(out, size, "%s", bl_text_count(digits, (uint64_t)(value + 0.5)));
    else
        snprintf(out, size, value >= 10 ? "%.1f" : "%.2g", value);
}

static void growing_text(const struct bl_growth *growth, char *out, size_t size)
{
    char number[BL_TEXT_NUMBER];
    char step[BL_TEXT_NUMBER];
    if (growth->found.count_per_s > 0 && growth->step_bytes > 0) {
        struct rate rate = rate_of(growth->found.count_per_s);
        count_text(rate.value, number, sizeof(number));
        snprintf(out, size, "+%s/%s, %s+%s B each", number, rate.unit,
                 growth->is_step_exact ? "" : "about ", bl_text_count(step, growth->step_bytes));
    } else {
        struct rate rate = rate_of(growth->found.per_s / 1024); /* KiB decide */
        double factor = growth->found.per_s > 0 ? rate.value / (growth->found.per_s / 1024) : 0;
        bl_text_bytes(number, (uint64_t)(growth->found.per_s * factor));
        snprintf(out, size, "+%s/%s", number, rate.unit);
    }
}

void bl_growth_text(const struct bl_growth *growth, char *out, size_t size)
{
    if (!growth || !growth->line || growth->found.trend == BL_TREND_UNKNOWN)
        snprintf(out, size, "-");
    else if (growth->found.trend == BL_TREND_GROWING)
        growing_text(growth, out, size);
    else
        snprintf(out, size, "%s", bl_trend_name(growth->found.trend));
}
