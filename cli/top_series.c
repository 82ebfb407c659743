#include "top_series.h"

#define RATE_NS 60000000000ull /* a rate is of the latest minute */

/* The change over the latest minute, or over as much of it as there is. */
static bool find_rate(const struct bl_line *line, double *ret_per_s)
{
    const struct bl_point *first = &line->points[0];
    const struct bl_point *last = &line->points[line->count - 1];
    uint64_t from_ns = last->t_ns > RATE_NS ? last->t_ns - RATE_NS : 0;
    if (from_ns < first->t_ns)
        from_ns = first->t_ns;
    const struct bl_point *then = bl_line_at(line, from_ns);
    if (!then || last->t_ns <= from_ns)
        return false;
    double seconds = (double)(last->t_ns - from_ns) / 1e9;
    *ret_per_s = ((double)last->bytes - (double)then->bytes) / seconds;
    return true;
}

static void fill_sparks(struct bl_top_time *time, const struct bl_growth *growth, uint64_t now_ns,
                        uint64_t span_ns)
{
    uint64_t from_ns = now_ns > span_ns ? now_ns - span_ns : 0;
    time->spark_count = BL_TOP_SPARKS;
    for (size_t i = 0; i < BL_TOP_SPARKS; i++) {
        double share = (double)(i + 1) / BL_TOP_SPARKS;
        uint64_t t_ns = from_ns + (uint64_t)(share * (double)(now_ns - from_ns));
        const struct bl_point *point = bl_line_at(growth->line, t_ns);
        time->sparks[i] = point ? (double)point->bytes * growth->byte_weight : -1;
    }
}

void bl_top_series_fill(struct bl_top_time *time, const struct bl_growth *growth, uint64_t now_ns,
                        uint64_t span_ns)
{
    *time = (struct bl_top_time){
        .trend = bl_trend_name(BL_TREND_UNKNOWN), .bytes_per_request = -1, .to_limit_s = -1};
    if (!growth || !growth->line || growth->line->count == 0)
        return;
    time->trend = bl_trend_name(growth->found.trend);
    time->to_limit_s = growth->to_limit_s;
    if (growth->found.trend == BL_TREND_GROWING) {
        bl_growth_text(growth, time->growth, sizeof(time->growth));
        time->step_bytes = growth->step_bytes;
        if (growth->has_per_request)
            time->bytes_per_request = growth->bytes_per_request;
    }
    time->has_rate = find_rate(growth->line, &time->bytes_per_s);
    time->bytes_per_s *= growth->byte_weight;
    fill_sparks(time, growth, now_ns, span_ns);
}
