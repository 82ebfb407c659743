/*
 * A check for people: the worst first, and one line last that says it all.
 */
#include "leakcheck.h"

#include "term.h"
#include "text.h"

#include <string.h>

#define FRAMES_SHOWN 8
#define TESTS_SHOWN  5

struct pen {
    FILE *out;
    struct bl_term term;
    const struct bl_check *check;
};

static const char *style(const struct pen *pen, enum bl_style which)
{
    return bl_term_style(&pen->term, which);
}

/* Up to main, or what a thread began with: what the C library did before is no news. */
static size_t length_of(const struct bl_leak_stack *stack)
{
    size_t length = stack->count;
    for (size_t i = 0; i < stack->count; i++)
        if (stack->frames[i].function && strcmp(stack->frames[i].function, "main") == 0)
            return i + 1;
    while (length > 1 && (stack->frames[length - 1].is_runtime ||
                          (stack->frames[length - 1].function &&
                           strcmp(stack->frames[length - 1].function, "_start") == 0)))
        length--;
    return length;
}

/* Frames from the first that is no runtime library's on. */
static void write_stack(const struct pen *pen, const struct bl_leak_stack *stack)
{
    size_t first = 0;
    char place[1400];
    char fitted[1400];
    while (first + 1 < stack->count && stack->frames[first].is_runtime)
        first++;
    size_t length = length_of(stack);
    size_t end = length < first + FRAMES_SHOWN ? length : first + FRAMES_SHOWN;
    for (size_t i = first; i < end; i++) {
        bl_check_place(pen->check, &stack->frames[i], place, sizeof(place));
        bl_text_fit(fitted, sizeof(fitted), place, pen->term.width > 20 ? pen->term.width - 8 : 0,
                    true);
        fprintf(pen->out, "       %s\n", fitted);
    }
    if (end < length)
        fprintf(pen->out, "       … %zu more\n", length - end);
}

static void write_site(const struct pen *pen, const char *label, const struct bl_leak_stack *stack)
{
    char place[1400];
    size_t first = 0;
    if (stack->count == 0)
        return;
    while (first + 1 < stack->count && stack->frames[first].is_runtime)
        first++;
    bl_check_place(pen->check, &stack->frames[first], place, sizeof(place));
    fprintf(pen->out, "     %-16s %s\n", label, place);
}

static void write_assembled(const struct pen *pen, const struct bl_leak *leak)
{
    for (size_t i = 0; i < leak->assembled_count; i++)
        fprintf(pen->out, "     %-16s %s\n",
                leak->assembled[i].is_of_source ? "assembled behind" : "assembled at",
                leak->assembled[i].text);
    if (leak->assembled_others > 0)
        fprintf(pen->out, "     %-16s and %zu more\n", "", leak->assembled_others);
}

static void write_tests(const struct pen *pen, const struct bl_leak *leak)
{
    size_t named = 0;
    char count[BL_TEXT_NUMBER];
    for (size_t i = 0; i < leak->share_count; i++) {
        if (!leak->shares[i].test || named++ >= TESTS_SHOWN)
            continue;
        fprintf(pen->out, "     %-16s %s (%s)\n", named == 1 ? "made by test" : "",
                leak->shares[i].test, bl_text_count(count, leak->shares[i].count));
    }
    if (named > TESTS_SHOWN)
        fprintf(pen->out, "     %-16s and %zu more\n", "", named - TESTS_SHOWN);
}

/* "in gw[12]" or "in 5 processes: gw[12] …" */
static void write_processes(const struct pen *pen, const struct bl_leak *leak)
{
    size_t distinct = 0;
    const struct bl_leak_process *first = NULL;
    for (size_t i = 0; i < leak->share_count; i++) {
        bool is_new = true;
        for (size_t k = 0; k < i; k++)
            is_new &= leak->shares[k].process != leak->shares[i].process;
        distinct += is_new;
        if (!first)
            first = bl_leaks_process(pen->check->leaks, leak->shares[i].process);
    }
    if (!first)
        return;
    fprintf(pen->out, "     %-16s %s[%u]", "in", first->comm, first->pid);
    if (distinct > 1)
        fprintf(pen->out, " and %zu other process%s", distinct - 1, distinct == 2 ? "" : "es");
    fprintf(pen->out, "\n");
}

/* One that each run leaves is one that can be looked for; one of few runs depends on something. */
static void write_runs(const struct pen *pen, const struct bl_leak *leak)
{
    char least[BL_TEXT_NUMBER];
    char most[BL_TEXT_NUMBER];
    uint64_t runs = pen->check->runs;
    if (runs < 2)
        return;
    bl_text_count(least, leak->run_least);
    bl_text_count(most, leak->run_count);
    fprintf(pen->out, "     %-16s %llu of %llu, %s", "in runs", (unsigned long long)leak->runs_seen,
            (unsigned long long)runs, least);
    if (leak->run_least < leak->run_count)
        fprintf(pen->out, " to %s", most);
    fprintf(pen->out, " in each%s\n", leak->runs_seen < runs ? ": not in all of them" : "");
}

static void write_fate(const struct pen *pen, const struct bl_leak *leak)
{
    char known[BL_TEXT_NUMBER];
    char now[BL_TEXT_NUMBER];
    if (leak->baseline == BL_LEAK_GROWN)
        fprintf(pen->out, "     %-16s from %s to %s\n", "grown",
                bl_text_count(known, leak->known_count), bl_text_count(now, leak->run_count));
    if (leak->suppressed_by)
        fprintf(pen->out, "     %-16s %s:%zu: %s\n", "suppressed by", leak->suppressed_by->file,
                leak->suppressed_by->line, leak->suppressed_by->text);
}

/* Of leaks of one place some may be lost and others held. */
static const char *what_is_wrong(const struct bl_leak *leak, char *room, size_t size)
{
    char lost[BL_TEXT_NUMBER];
    if (leak->kind == BL_LEAK_OVER_RELEASE)
        return " too often";
    if (leak->kind == BL_LEAK_GROWING)
        return ", more with each iteration";
    if (leak->reach != BL_LEAK_LOST)
        return ", and not given back";
    if (leak->held_count == 0)
        return ", and nothing leads to it any more";
    snprintf(room, size, ", and nothing leads to %s of them any more",
             bl_text_count(lost, leak->lost_count));
    return room;
}

static void write_held_by(const struct pen *pen, const struct bl_leak *leak)
{
    char held[BL_TEXT_NUMBER];
    if (!leak->held_by)
        return;
    fprintf(pen->out, "     %-16s ", "held by");
    if (leak->lost_count > 0)
        fprintf(pen->out, "(%s of them) ", bl_text_count(held, leak->held_count));
    fprintf(pen->out, "%s\n", leak->held_by);
}

static void write_leak(const struct pen *pen, const struct bl_leak *leak, size_t number)
{
    char headline[512];
    char wrong[96];
    static const char *const words[] = {"", " · allowed", " · known", " · suppressed",
                                        " · not counted: held, and may be given back yet"};
    bl_check_headline(leak, headline, sizeof(headline));
    fprintf(pen->out, "\n%s%zu. %s%s%s%s\n",
            style(pen, leak->fate == BL_LEAK_FAILS ? BL_STYLE_BAD : BL_STYLE_DIM), number, headline,
            words[leak->fate],
            leak->baseline == BL_LEAK_NEW && pen->check->baseline_path ? " · new" : "",
            style(pen, BL_STYLE_PLAIN));
    static const char *const ops[] = {"allocated here", "retained here", "released here"};
    fprintf(pen->out, "     %s%s%s:\n", ops[leak->op], what_is_wrong(leak, wrong, sizeof(wrong)),
            leak->has_more_stacks ? " (one of several stacks)" : "");
    write_stack(pen, &leak->blame);
    if (leak->text)
        fprintf(pen->out, "     %-16s %s\n", "evidence", leak->text);
    if (leak->op != BL_LEAK_ALLOC)
        write_site(pen, "allocated at", &leak->alloc);
    write_site(pen, "expected release", &leak->expected);
    write_assembled(pen, leak);
    write_held_by(pen, leak);
    write_tests(pen, leak);
    write_processes(pen, leak);
    write_runs(pen, leak);
    write_fate(pen, leak);
    fprintf(pen->out, "     %-16s %s\n", "id", leak->id);
}

/* An own frame, where none has a name. */
static const struct bl_leak_frame *find_nameless(const struct bl_leak_stack *stack)
{
    const struct bl_leak_frame *found = NULL;
    for (size_t i = 0; i < stack->count; i++) {
        const struct bl_leak_frame *frame = &stack->frames[i];
        if (frame->is_runtime || frame->is_system)
            continue;
        if (frame->function)
            return NULL;
        if (!found)
            found = frame;
    }
    return found;
}

/* What a baseline cannot do. */
static void write_nameless(const struct pen *pen)
{
    const struct bl_check *check = pen->check;
    for (size_t i = 0; i < bl_leaks_count(check->leaks) && check->baseline_path; i++) {
        const struct bl_leak *leak = bl_leaks_at(check->leaks, i);
        const struct bl_leak_frame *frame = find_nameless(&leak->blame);
        if ((leak->fate != BL_LEAK_FAILS && !check->updates_baseline) || !frame)
            continue;
        fprintf(pen->out,
                "%s has no symbols: its leaks are known by places in this build alone; --symbols "
                "finds those that were stripped\n",
                frame->module);
        return;
    }
}

static void write_fixed(const struct pen *pen)
{
    const struct bl_baseline *baseline = &pen->check->baseline;
    for (size_t i = 0; i < baseline->count; i++) {
        const struct bl_baseline_entry *entry = &baseline->entries[i];
        if (entry->leak)
            continue;
        fprintf(pen->out, "fixed: %s %s at %s (id %s): %s\n", entry->class_name, entry->verdict,
                entry->function_count > 0 ? entry->functions[0] : "?", entry->id,
                pen->check->is_baseline_due ? "taken out of the baseline"
                                            : "--update-baseline takes it out");
    }
}

static bool is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Unknown for the same reason, by name and test. */
static bool is_alike(const struct bl_leak_process *a, const struct bl_leak_process *b)
{
    return a->is_unknown && b->is_unknown && is_same(a->comm, b->comm) &&
           is_same(a->test, b->test) && is_same(a->why_not, b->why_not);
}

/* With all that are like it and come after it, once. */
static void write_unknown(const struct pen *pen, size_t first)
{
    const struct bl_leaks *leaks = pen->check->leaks;
    const struct bl_leak_process *process = bl_leaks_process(leaks, first);
    char bytes[BL_TEXT_NUMBER];
    uint64_t others = 0;
    uint64_t count = 0;
    uint64_t size = 0;
    for (size_t i = 0; i < first; i++)
        if (is_alike(bl_leaks_process(leaks, i), process))
            return;
    for (size_t i = first; i < bl_leaks_process_count(leaks); i++) {
        const struct bl_leak_process *other = bl_leaks_process(leaks, i);
        if (!is_alike(other, process))
            continue;
        others += i > first;
        count += other->unknown_count;
        size += other->unknown_bytes;
    }
    fprintf(pen->out, "unknown: %s[%u]", process->comm, process->pid);
    if (others > 0)
        fprintf(pen->out, " and %llu more", (unsigned long long)others);
    if (process->test)
        fprintf(pen->out, " of test %s", process->test);
    if (count > 0)
        fprintf(pen->out, ": of %llu blocks (%s) it is not known whether they are lost",
                (unsigned long long)count, bl_text_bytes(bytes, size));
    fprintf(pen->out, ": %s\n", process->why_not ? process->why_not : "?");
}

static void write_unknown_advice(const struct pen *pen)
{
    const struct bl_check *check = pen->check;
    size_t killed = 0;
    for (size_t i = 0; i < bl_leaks_process_count(check->leaks); i++) {
        const struct bl_leak_process *process = bl_leaks_process(check->leaks, i);
        killed += process->is_unknown && process->end == BL_PROCESS_END_SIGNAL;
    }
    if (check->unknown == 0 || check->allows_unknown)
        return;
    if (killed > 0)
        fprintf(pen->out,
                "%zu did not come to exit(), where a process is looked at: where a test ends one "
                "by SIGTERM, let that have a handler which calls it\n",
                killed);
    fprintf(pen->out, "what is unknown is no pass: --allow-unknown lets that pass, "
                      "--ignore-process PATTERN leaves a name out\n");
}

static void write_processes_apart(const struct pen *pen)
{
    const struct bl_check *check = pen->check;
    for (size_t i = 0; i < bl_leaks_process_count(check->leaks); i++) {
        const struct bl_leak_process *process = bl_leaks_process(check->leaks, i);
        if (process->is_ignored && (check->outcome == BL_CHECK_NOTHING || check->shows_suppressed))
            fprintf(pen->out, "left out: %s[%u]: %s\n", process->comm, process->pid,
                    process->why_not);
        if (process->is_partial && !process->is_unknown)
            fprintf(pen->out, "seen in part: %s[%u]: %s\n", process->comm, process->pid,
                    process->why_not);
        if (process->is_unknown)
            write_unknown(pen, i);
    }
    write_unknown_advice(pen);
    for (size_t i = 0; i < check->untracked_count; i++) {
        const struct bl_untracked *untracked = &check->untracked[i];
        fprintf(pen->out, "not tracked: %s[%d]", untracked->comm, (int)untracked->pid);
        if (untracked->count > 1)
            fprintf(pen->out, " and %llu more", (unsigned long long)untracked->count - 1);
        fprintf(pen->out, ": %s\n", untracked->why);
    }
    if (check->untracked_count > 0 && check->judged > 0 && !check->allows_untracked)
        fprintf(pen->out, "what is not tracked is not checked: --allow-untracked lets that pass, "
                          "--ignore-process PATTERN leaves a name out\n");
}

static void write_unused(const struct pen *pen)
{
    const struct bl_suppressions *suppressions = pen->check->suppressions;
    for (size_t i = 0; i < bl_suppressions_count(suppressions); i++) {
        const struct bl_suppression *one = bl_suppressions_at(suppressions, i);
        if (!one->is_builtin && one->used == 0)
            fprintf(pen->out, "unused suppression: %s:%zu: %s\n", one->file, one->line, one->text);
    }
}

/* What the user's own profiles ask for, and nobody sees: misspelt, or of another version. */
static void write_unseen(const struct pen *pen)
{
    for (size_t i = 0; i < pen->check->unseen_count; i++) {
        const struct bl_unseen *unseen = &pen->check->unseen[i];
        fprintf(pen->out, "warning: profile %s: %s of class %s is not seen: %s\n", unseen->profile,
                unseen->function, unseen->class_name, unseen->why);
    }
}

/* What the check was told to look at, and has not seen once. */
static void write_wanted(const struct pen *pen)
{
    const struct bl_check *check = pen->check;
    for (size_t i = 0; i < check->wanted_count; i++)
        if (!check->wanted[i].was_tracked)
            fprintf(pen->out, "profile %s: class %s %s in any process\n", check->wanted[i].profile,
                    check->wanted[i].class_name, check->wanted[i].why);
    if (check->missing > 0 && !check->allows_unknown)
        fprintf(pen->out, "a class that is never seen is not checked: --allow-unknown lets that "
                          "pass\n");
}

/* Those that say nothing of what was run: a name that is misspelt, most likely. */
static void write_allowances(const struct pen *pen)
{
    const struct bl_check *check = pen->check;
    for (size_t i = 0; i < check->allowance_count; i++) {
        const struct bl_allowance *allowance = &check->allowances[i];
        bool is_seen = !*allowance->class_name || check->judged == 0;
        for (size_t k = 0; k < check->class_count && !is_seen; k++)
            is_seen = bl_suppress_glob(allowance->class_name, check->classes[k]);
        if (!is_seen)
            fprintf(pen->out, "unused allowance: no process had a class %s\n",
                    allowance->class_name);
        else if (allowance->has_growth && check->iterations == 0)
            fprintf(pen->out,
                    "unused allowance: growth= is of each iteration, and none were seen\n");
    }
}

int bl_check_write_text(FILE *out, const struct bl_check *check, struct bl_error *error)
{
    struct pen pen = {.out = out, .term = bl_term_of(out), .check = check};
    char summary[1024];
    size_t number = 0;
    (void)error;
    for (size_t i = 0; i < bl_leaks_count(check->leaks); i++) {
        const struct bl_leak *leak = bl_leaks_at(check->leaks, i);
        bool is_told = leak->fate == BL_LEAK_FAILS || leak->fate == BL_LEAK_NOTED ||
                       (leak->fate == BL_LEAK_KNOWN && check->updates_baseline);
        if (is_told || check->shows_suppressed)
            write_leak(&pen, leak, ++number);
    }
    if (number > 0)
        fputc('\n', out);
    write_fixed(&pen);
    write_nameless(&pen);
    write_processes_apart(&pen);
    write_unseen(&pen);
    write_wanted(&pen);
    write_unused(&pen);
    write_allowances(&pen);
    bl_check_summary(check, summary, sizeof(summary));
    fprintf(out, "bufleak check: %s%s%s\n",
            style(&pen, check->outcome == BL_CHECK_PASSED ? BL_STYLE_BOLD : BL_STYLE_BAD), summary,
            style(&pen, BL_STYLE_PLAIN));
    return 0;
}
