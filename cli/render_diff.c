#include "render_diff.h"

#include "direct.h"
#include "pen.h"
#include "render_parts.h"
#include "text.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#define STACK_LINES  6
#define SHORT_RUN_NS 1000000000ull

static const char letters[2] = {'A', 'B'};

struct pen {
    FILE *out;
    struct bl_term term;
    const struct bl_diff_view *view;
    const struct bl_diff *diff;
};

static const char *style(const struct pen *pen, enum bl_style which)
{
    return bl_term_style(&pen->term, which);
}

static void pad_left(FILE *out, const char *text, size_t width)
{
    size_t used = bl_text_width(text);
    fprintf(out, "%*s%s", (int)(width > used ? width - used : 0), "", text);
}

/* "+1,204", "−3", "0" */
static const char *signed_count(char *out, int64_t value)
{
    char number[BL_TEXT_NUMBER];
    bl_text_count(number, value < 0 ? (uint64_t)-value : (uint64_t)value);
    snprintf(out, BL_TEXT_NUMBER + 4, "%s%s", value > 0 ? "+" : value < 0 ? "−" : "", number);
    return out;
}

static const char *signed_bytes(char *out, int64_t value)
{
    char number[BL_TEXT_NUMBER];
    bl_text_bytes(number, value < 0 ? (uint64_t)-value : (uint64_t)value);
    snprintf(out, BL_TEXT_NUMBER + 4, "%s%s", value > 0 ? "+" : value < 0 ? "−" : "", number);
    return out;
}

/* "+1.20 KiB/s"; what is slower than a byte a second is told by the hour. */
static const char *rate_text(char *out, double bytes_per_s, bool has_sign)
{
    char number[BL_TEXT_NUMBER];
    double value = fabs(bytes_per_s);
    const char *unit = "s";
    const char *sign = bytes_per_s < 0 ? "−" : has_sign && value > 0 ? "+" : "";
    if (value > 0 && value < 1) {
        value *= 3600;
        unit = "h";
    }
    bl_text_bytes(number, value < 1e18 ? (uint64_t)(value + 0.5) : (uint64_t)1e18);
    snprintf(out, BL_TEXT_NUMBER + 8, "%s%s/%s", sign, number, unit);
    return out;
}

/* Over the whole run of a program that ran for a moment, a rate says nothing. */
static bool has_rate(const struct bl_diff *diff)
{
    return diff->has_rate &&
           (diff->is_same_process || (diff->sides[0].model->uptime_ns >= SHORT_RUN_NS &&
                                      diff->sides[1].model->uptime_ns >= SHORT_RUN_NS));
}

/* ---- the head ---- */

static void write_side(const struct pen *pen, int side)
{
    const struct bl_view *view = &pen->view->sides[side];
    char age[BL_TEXT_NUMBER];
    char moment[128];
    bool is_running = view->model->state == BL_PROCESS_RUNNING;
    bl_view_moment(moment, sizeof(moment), view->header, view->model->state);
    if (pen->view->marks[side])
        snprintf(moment, sizeof(moment), "mark \"%s\"", pen->view->marks[side]);
    fprintf(pen->out, "%s%c  %s[%d]%s · %s %s · %s\n", style(pen, BL_STYLE_BOLD), letters[side],
            view->comm, (int)view->pid, style(pen, BL_STYLE_PLAIN), is_running ? "up" : "ran",
            bl_text_age(age, view->model->uptime_ns), moment);
}

__attribute__((format(printf, 2, 3))) static void write_note(const struct pen *pen,
                                                             const char *format, ...)
{
    va_list arguments;
    fprintf(pen->out, "   %s", style(pen, BL_STYLE_BAD));
    va_start(arguments, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is the line above
    vfprintf(pen->out, format, arguments);
    fprintf(pen->out, "%s\n", style(pen, BL_STYLE_PLAIN));
    va_end(arguments);
}

/* What "a request" is below. */
static void write_requests(const struct pen *pen)
{
    const struct bl_diff *diff = pen->diff;
    uint64_t a = diff->requests[0];
    uint64_t b = diff->requests[1];
    char counts[2][BL_TEXT_NUMBER];
    if (!diff->has_requests)
        return;
    if (diff->is_same_process)
        fprintf(pen->out, "   %s requests between them (%s)\n",
                bl_text_count(counts[0], a < b ? b - a : a - b), diff->request_name);
    else
        fprintf(pen->out, "   %s → %s requests (%s)\n", bl_text_count(counts[0], a),
                bl_text_count(counts[1], b), diff->request_name);
}

static void write_relation(const struct pen *pen)
{
    const struct bl_diff *diff = pen->diff;
    char age[BL_TEXT_NUMBER];
    uint64_t a = diff->sides[0].model->uptime_ns;
    uint64_t b = diff->sides[1].model->uptime_ns;
    if (!diff->is_same_process)
        fprintf(pen->out, "   two processes%s\n",
                has_rate(diff) ? "; rates are over the run of each" : "");
    else if (diff->elapsed_ns == 0)
        fprintf(pen->out, "   the same moment of one process\n");
    else
        fprintf(pen->out, "   one process, B %s %s than A; rates are over that time\n",
                bl_text_age(age, diff->elapsed_ns), diff->is_backwards ? "earlier" : "later");
    write_requests(pen);
    if (pen->view->marks[0] || pen->view->marks[1])
        fprintf(pen->out, "   ≥: of a place that was not followed in time, what lives still\n");
    if (diff->is_backwards)
        write_note(pen, "B is the earlier one: what is called new here is gone since");
    if (!diff->is_same_process && (a > 2 * b || b > 2 * a))
        write_note(pen, "one ran much longer than the other: %s",
                   has_rate(diff) ? "compare rates, not counts"
                                  : "their counts tell little, and it was too short for a rate");
}

/* "direct memory  netty 16.00 MiB of 64.00 MiB → 48.00 MiB of 64.00 MiB": by the position of the
 * counters, which a process keeps; of two processes they are the same where the program is. */
static void write_direct(const struct pen *pen)
{
    struct bl_direct_row rows[2][BL_DIRECT_MAX];
    size_t counts[2];
    for (int side = 0; side < 2; side++)
        counts[side] = bl_direct_rows(pen->view->sides[side].reader, NULL, rows[side]);
    for (size_t i = 0; i < counts[0]; i++) {
        for (size_t k = 0; k < counts[1]; k++) {
            const struct bl_direct_row *a = &rows[0][i];
            const struct bl_direct_row *b = &rows[1][k];
            char before[128];
            char after[128];
            if (strcmp(a->name, b->name) != 0 || a->kind == BL_DIRECT_NETTY_IDLE ||
                b->kind == BL_DIRECT_NETTY_IDLE)
                continue;
            bl_direct_use_text(a, before, sizeof(before));
            bl_direct_use_text(b, after, sizeof(after));
            fprintf(pen->out, "   direct memory, %s: %s → %s\n", a->name, before, after);
            break;
        }
    }
}

/* What either side does not contain, before anybody draws conclusions. */
static void write_limits(const struct pen *pen)
{
    for (int side = 0; side < 2; side++) {
        const struct bl_view *view = &pen->view->sides[side];
        const uint64_t *losses = view->header->losses;
        char size[BL_TEXT_NUMBER];
        if (view->model->is_sampled)
            write_note(pen, "%c is an estimate: one block per %s of the heap was recorded",
                       letters[side], bl_text_bytes(size, view->header->sample_bytes));
        if (view->header->flags & BL_FLAG_INEXACT)
            write_note(pen, "%c was copied while the program ran on: single buffers may be off",
                       letters[side]);
        if (losses[BL_LOSS_buffers_no_memory] || losses[BL_LOSS_buffers_no_space] ||
            losses[BL_LOSS_objects_dropped] || view->model->buffers_unreadable ||
            view->model->buffers_missing || view->model->buffers_uncounted ||
            bl_reader_damage(view->reader) || bl_reader_lost_bytes(view->reader))
            write_note(pen, "%c is not complete: `bufleak report` tells what is missing",
                       letters[side]);
    }
}

/* ---- classes ---- */

struct column {
    size_t width;
    size_t from; /* columns of terminal that it takes to show it; 0: always */
};

enum { COUNT_A, COUNT_B, COUNT_CHANGE, BYTES_A, BYTES_B, BYTES_CHANGE, RATE, COLUMNS };

static const struct column columns[COLUMNS] = {{10, 60}, {10, 60}, {10, 0},  {11, 80},
                                               {11, 80}, {12, 0},  {24, 104}};

static void write_cells(const struct pen *pen, const char *const cells[COLUMNS])
{
    for (size_t i = 0; i < COLUMNS; i++) {
        if ((pen->term.width > 0 && pen->term.width < columns[i].from) ||
            (i == RATE && !has_rate(pen->diff)))
            continue;
        fputc(' ', pen->out);
        pad_left(pen->out, cells[i], columns[i].width);
    }
    fputc('\n', pen->out);
}

static void write_class(const struct pen *pen, const struct bl_diff_class *class, size_t name_width)
{
    char count[2][BL_TEXT_NUMBER] = {"-", "-"};
    char bytes[2][BL_TEXT_NUMBER] = {"-", "-"};
    char count_change[BL_TEXT_NUMBER + 4];
    char bytes_change[BL_TEXT_NUMBER + 4];
    char rates[2][BL_TEXT_NUMBER + 8];
    char rate[2 * sizeof(rates)];
    for (int side = 0; side < 2; side++) {
        if (class->sums[side]) {
            bl_text_count(count[side], class->sums[side]->live_count);
            bl_text_bytes(bytes[side], class->sums[side]->live_bytes);
        }
        rate_text(rates[side], class->bytes_per_s[side], pen->diff->is_same_process);
    }
    if (pen->diff->is_same_process)
        snprintf(rate, sizeof(rate), "%s", rates[1]);
    else
        snprintf(rate, sizeof(rate), "%s → %s", rates[0], rates[1]);
    fprintf(pen->out, "%s%*s", class->name, (int)(name_width - bl_text_width(class->name)), "");
    write_cells(pen,
                (const char *[]){count[0], count[1],
                                 signed_count(count_change, class->count_change), bytes[0],
                                 bytes[1], signed_bytes(bytes_change, class->bytes_change), rate});
}

/* A class that no buffer was ever of is not worth a line. */
static bool was_used(const struct bl_diff_class *class)
{
    return (class->sums[0] && class->sums[0]->allocs > 0) ||
           (class->sums[1] && class->sums[1]->allocs > 0);
}

static void write_classes(const struct pen *pen)
{
    size_t name_width = 11;
    for (size_t i = 0; i < pen->diff->class_count; i++) {
        size_t width = bl_text_width(pen->diff->classes[i].name);
        name_width = width > name_width ? width : name_width;
    }
    fprintf(pen->out, "\n%s%-*s", style(pen, BL_STYLE_DIM), (int)name_width, "class");
    write_cells(pen, (const char *[]){"live A", "live B", "change", "bytes A", "bytes B", "change",
                                      "rate"});
    fputs(style(pen, BL_STYLE_PLAIN), pen->out);
    for (size_t i = 0; i < pen->diff->class_count; i++)
        if (was_used(&pen->diff->classes[i]))
            write_class(pen, &pen->diff->classes[i], name_width);
}

/* ---- rows ---- */

static void write_summary(const struct pen *pen)
{
    const char *before = "\n";
    char count[BL_TEXT_NUMBER];
    char bytes[BL_TEXT_NUMBER + 4];
    for (int i = 0; i < BL_CHANGE_COUNT; i++) {
        const struct bl_diff_total *total = &pen->diff->totals[i];
        if (total->rows == 0)
            continue;
        fprintf(pen->out, "%s%s %s", before, bl_text_count(count, total->rows),
                bl_diff_change_name((enum bl_change)i));
        if (total->bytes_change != 0)
            fprintf(pen->out, " (%s)", signed_bytes(bytes, total->bytes_change));
        before = ", ";
    }
    if (pen->diff->below > 0)
        fprintf(pen->out, "%s%s changed by less than asked for", before,
                bl_text_count(count, pen->diff->below));
    else if (*before == '\n')
        fprintf(pen->out, "\nneither has unreleased buffers to compare");
    fputc('\n', pen->out);
}

static const char *verdict_text(uint32_t rank)
{
    static const char *const names[] = {"missing release", "never released", "over-release",
                                        "stale",           "growing",        "unreleased",
                                        "steady"};
    return names[rank <= BL_MODEL_RANK_STEADY ? rank : BL_MODEL_RANK_PLAIN];
}

static bool is_accused(const struct bl_diff_part *part)
{
    return part->rank < BL_MODEL_RANK_PLAIN;
}

static void write_verdicts(const struct pen *pen, const struct bl_diff_row *row)
{
    const struct bl_diff_part *a = &row->part[0];
    const struct bl_diff_part *b = &row->part[1];
    if (is_accused(a) || is_accused(b))
        fprintf(pen->out, " · %s", verdict_text(is_accused(b) ? b->rank : a->rank));
    if (a->group && is_accused(b) && a->rank != b->rank)
        fprintf(pen->out, " (was %s)", verdict_text(a->rank));
}

/* "10 → 25 buffers (+15), 1000 B → 2.44 KiB (+1.46 KiB)" */
static void write_numbers(const struct pen *pen, const struct bl_diff_row *row)
{
    char count[2][BL_TEXT_NUMBER + 4];
    char bytes[2][BL_TEXT_NUMBER + 4];
    char count_change[BL_TEXT_NUMBER + 4];
    char bytes_change[BL_TEXT_NUMBER + 4];
    const char *sign = row->change == BL_CHANGE_NEW ? "+" : "−";
    for (int side = 0; side < 2; side++) {
        const char *least = row->part[side].is_least ? "≥" : "";
        char number[BL_TEXT_NUMBER];
        snprintf(count[side], sizeof(count[side]), "%s%s", least,
                 bl_text_count(number, row->part[side].count));
        snprintf(bytes[side], sizeof(bytes[side]), "%s%s", least,
                 bl_text_bytes(number, row->part[side].bytes));
    }
    if (!row->part[0].group || !row->part[1].group) {
        int side = row->part[0].group ? 0 : 1;
        fprintf(pen->out, " · %s%s buffer%s, %s%s", sign, count[side],
                row->part[side].count == 1 ? "" : "s", sign, bytes[side]);
        return;
    }
    fprintf(pen->out, " · %s → %s buffers (%s), %s → %s (%s)", count[0], count[1],
            signed_count(count_change, row->count_change), bytes[0], bytes[1],
            signed_bytes(bytes_change, row->bytes_change));
}

/* "+1,024 B", "−0.25 B" */
static const char *signed_step(char *out, double bytes, bool has_sign)
{
    char number[BL_TEXT_NUMBER];
    double value = fabs(bytes);
    const char *sign = bytes < 0 ? "−" : has_sign && value > 0 ? "+" : "";
    if (value >= 100 || value == floor(value))
        snprintf(out, BL_TEXT_NUMBER + 8, "%s%s B", sign,
                 bl_text_count(number, value < 1e18 ? (uint64_t)(value + 0.5) : (uint64_t)1e18));
    else
        snprintf(out, BL_TEXT_NUMBER + 8, "%s%.3g B", sign, value);
    return out;
}

static void write_per_request(const struct pen *pen, const struct bl_diff_row *row)
{
    char steps[2][BL_TEXT_NUMBER + 8];
    if (!pen->diff->has_requests)
        return;
    if (pen->diff->is_same_process)
        fprintf(pen->out, " · %s a request", signed_step(steps[0], row->bytes_per_request, true));
    else
        fprintf(pen->out, " · %s → %s a request",
                signed_step(steps[0], row->part[0].bytes_per_request, false),
                signed_step(steps[1], row->part[1].bytes_per_request, false));
}

static void write_rate(const struct pen *pen, const struct bl_diff_row *row)
{
    char rates[2][BL_TEXT_NUMBER + 8];
    if (!has_rate(pen->diff))
        return;
    if (pen->diff->is_same_process)
        fprintf(pen->out, " · %s", rate_text(rates[0], row->bytes_per_s, true));
    else
        fprintf(pen->out, " · %s → %s", rate_text(rates[0], row->part[0].bytes_per_s, false),
                rate_text(rates[1], row->part[1].bytes_per_s, false));
}

static const char *where_text(const struct bl_finding *finding)
{
    if (!finding || finding->verdict == BL_VERDICT_UNRELEASED ||
        finding->blame_kind == BL_ITEM_ALLOC)
        return "allocated at";
    return finding->blame_kind == BL_ITEM_RETAIN ? "retained at" : "released at";
}

/* "it grew by +96/min, +1,024 B each" or "500 of 5,000 that passed here leaked" */
static void describe_fault(const struct bl_diff_row *row, char *out, size_t size)
{
    char leaked[BL_TEXT_NUMBER];
    char all[BL_TEXT_NUMBER];
    char growth[128];
    if (row->part[0].rank == BL_MODEL_RANK_GROWING) {
        bl_growth_text(row->part[0].group->growth, growth, sizeof(growth));
        snprintf(out, size, "in A it grew by %s", growth);
        return;
    }
    snprintf(out, size, "in A %s of %s that passed here leaked",
             bl_text_count(leaked, row->part[0].count),
             bl_text_count(all, row->part[0].count + row->passed[0]));
}

/* Why a verdict is called fixed, or why its absence is not enough for that. */
static void write_luck(const struct pen *pen, const struct bl_diff_row *row)
{
    char fault[256];
    char after[BL_TEXT_NUMBER];
    char text[768];
    const char *since = pen->diff->is_same_process ? "since then" : "in B";
    const char *of_sample = row->is_sample ? " of a sample" : "";
    if (!row->was_accused)
        return;
    describe_fault(row, fault, sizeof(fault));
    bl_text_count(after, row->passed[1]);
    if (row->trend)
        snprintf(text, sizeof(text), "%s; in B it is %s", fault,
                 bl_trend_name(row->trend->found.trend));
    else if (row->change == BL_CHANGE_FIXED)
        snprintf(text, sizeof(text), "%s; %s %s%s passed, none did", fault, since, after,
                 of_sample);
    else if (row->passed[1] == 0)
        snprintf(text, sizeof(text), "%s; %s none passed: whether it is fixed cannot be told",
                 fault, since);
    else
        snprintf(text, sizeof(text),
                 "%s; %s only %s%s passed and none did, which has a chance of %.0f %% without a "
                 "fix: whether it is fixed cannot be told",
                 fault, since, after, of_sample, row->luck * 100);
    fprintf(pen->out, "     ");
    bl_render_text_wrapped(pen->out, text, 5);
    fputc('\n', pen->out);
}

static void write_place(const struct pen *pen, const struct bl_diff_row *row)
{
    int side = row->part[1].group ? 1 : 0;
    const struct bl_diff_part *part = &row->part[side];
    enum bl_group_by group_by = pen->diff->sides[side].model->group_by;
    char count[BL_TEXT_NUMBER];
    if (group_by != BL_GROUP_SITE && group_by != BL_GROUP_STACK)
        return;
    uint32_t frame = group_by == BL_GROUP_SITE ? part->group->site : part->group->stack;
    fprintf(pen->out, "     %s%s\n", where_text(part->group->finding),
            side == 0 ? " (as in A)" : "");
    bl_render_text_callers(pen->out, &pen->view->sides[side], frame, STACK_LINES);
    struct bl_pen report_pen = bl_pen_of(pen->out, &pen->view->sides[side]);
    bl_render_text_assembled(&report_pen, part->group);
    if (part->groups > 1)
        fprintf(pen->out, "     %sand at %s more place%s in it%s\n", style(pen, BL_STYLE_DIM),
                bl_text_count(count, part->groups - 1), part->groups == 2 ? "" : "s",
                style(pen, BL_STYLE_PLAIN));
    if (row->matched_by == BL_ORIGIN_UNNAMED)
        fprintf(pen->out,
                "     %sno name for this place: it is comparable within one build only%s\n",
                style(pen, BL_STYLE_DIM), style(pen, BL_STYLE_PLAIN));
}

static void write_row(const struct pen *pen, size_t index)
{
    const struct bl_diff_row *row = &pen->diff->rows[index];
    int side = row->part[1].group ? 1 : 0;
    fprintf(pen->out, "\n%s%zu. %s", style(pen, BL_STYLE_BOLD), index + 1,
            bl_diff_change_name(row->change));
    write_verdicts(pen, row);
    fprintf(pen->out, " · %s%s", row->class_name, style(pen, BL_STYLE_PLAIN));
    bl_render_text_key(pen->out, &pen->view->sides[side], row->part[side].group);
    write_numbers(pen, row);
    write_rate(pen, row);
    write_per_request(pen, row);
    fputc('\n', pen->out);
    write_luck(pen, row);
    write_place(pen, row);
}

static bool has_verdict(const struct bl_diff_row *row)
{
    return is_accused(&row->part[0]) || is_accused(&row->part[1]);
}

/* What changed without a verdict, where other rows have one. */
static void write_line(const struct pen *pen, const struct bl_diff_row *row)
{
    int side = row->part[1].group ? 1 : 0;
    const struct bl_group *group = row->part[side].group;
    size_t width = pen->term.width;
    char count[BL_TEXT_NUMBER + 4];
    char bytes[BL_TEXT_NUMBER + 4];
    char place[1280];
    char fitted[1280];
    bl_render_text_site(&pen->view->sides[side], group->site, place, sizeof(place));
    bl_text_fit(fitted, sizeof(fitted), place, width > 60 ? width - 52 : 0, true);
    fputc(' ', pen->out);
    pad_left(pen->out, signed_count(count, row->count_change), 8);
    fprintf(pen->out, "  %-14s ", row->class_name);
    pad_left(pen->out, signed_bytes(bytes, row->bytes_change), 12);
    fprintf(pen->out, "  %-7s %s\n", bl_diff_change_name(row->change), fitted);
}

/* Rows with a verdict come first; the others are a line each then, unless all is asked for. */
static void write_rows(const struct pen *pen)
{
    const struct bl_diff *diff = pen->diff;
    char count[BL_TEXT_NUMBER];
    size_t changed = 0;
    bool in_lines = false;
    for (size_t i = 0; i < diff->row_count; i++) {
        const struct bl_diff_row *row = &diff->rows[i];
        bool is_line =
            !pen->view->sides[0].show_all && has_verdict(&diff->rows[0]) && !has_verdict(row);
        if (row->change == BL_CHANGE_UNCHANGED)
            continue;
        changed += i >= diff->shown;
        if (i >= diff->shown)
            continue;
        if (is_line && !in_lines)
            fprintf(pen->out, "\nchanged as well, without a verdict (--all shows the stacks):\n");
        in_lines |= is_line;
        if (is_line)
            write_line(pen, row);
        else
            write_row(pen, i);
    }
    if (changed > 0)
        fprintf(pen->out, "\n%s%s more that changed (--top 0 shows all)%s\n",
                style(pen, BL_STYLE_DIM), bl_text_count(count, changed),
                style(pen, BL_STYLE_PLAIN));
}

static void write_mismatches(const struct pen *pen)
{
    const char *path;
    for (int side = 0; side < 2; side++)
        for (size_t n = 0; (path = bl_symbols_mismatch(pen->diff->sides[side].symbols, n)); n++)
            fprintf(pen->out,
                    "\nno names in %c from %s: the file is another build now; with its debug\n"
                    "information installed, or --symbols, its places can be compared\n",
                    letters[side], path);
}

void bl_render_diff_text(FILE *out, const struct bl_diff_view *view)
{
    struct pen pen = {.out = out, .term = bl_term_of(out), .view = view, .diff = view->diff};
    fprintf(out, "bufleak %s · diff\n", BL_VERSION);
    write_side(&pen, 0);
    write_side(&pen, 1);
    write_relation(&pen);
    write_direct(&pen);
    write_limits(&pen);
    write_classes(&pen);
    write_summary(&pen);
    write_rows(&pen);
    write_mismatches(&pen);
    fflush(out);
}
