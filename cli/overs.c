/*
 * Over-releases: what released a buffer that was gone, with the release before it. They are put
 * together as leaks are: by the frames that it takes to tell those who release too often from those
 * who do not.
 */
#include "judge.h"

#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One item that is a release too many. */
struct over {
    const struct bl_pattern *pattern;
    uint32_t item;
    uint32_t chain;
    enum bl_ghost ghost;
};

struct overs {
    struct over *list;
    size_t count;
    struct bl_counts *counts; /* of releases */
};

static void collect(const struct bl_judge *judge, struct overs *overs,
                    const struct bl_pattern *patterns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct bl_item *items = bl_pattern_items(judge->histories, &patterns[i]);
        for (uint32_t k = 0; k < patterns[i].item_count; k++) {
            uint32_t item = patterns[i].first_item + k;
            if (items[k].kind != BL_ITEM_OVER_RELEASE)
                continue;
            overs->list[overs->count++] =
                (struct over){.pattern = &patterns[i], .item = item, .ghost = patterns[i].ghost};
            bl_counts_blame(overs->counts, item, patterns[i].count, items[k].units);
            bl_counts_next(overs->counts);
        }
    }
}

static int compare_overs(const void *left, const void *right)
{
    const struct over *a = left;
    const struct over *b = right;
    if (a->pattern->class_number != b->pattern->class_number)
        return a->pattern->class_number < b->pattern->class_number ? -1 : 1;
    if (a->chain != b->chain)
        return a->chain < b->chain ? -1 : 1;
    if (a->ghost != b->ghost)
        return a->ghost < b->ghost ? -1 : 1;
    return a->item < b->item ? -1 : a->item > b->item;
}

static void sort(struct overs *overs)
{
    if (overs->count > 1)
        qsort(overs->list, overs->count, sizeof(*overs->list), compare_overs);
}

#define SO_MANY 10u /* buffers, of which nearly all were released too often */

/* A program that does so to nearly every buffer would hardly have come that far: where nothing
 * could be looked at, that many tell of calls which were not seen. */
static bool are_nearly_all(const struct bl_judge *judge, const struct overs *overs, uint32_t number)
{
    uint64_t unknown = 0;
    for (size_t i = 0; i < overs->count; i++)
        if (overs->list[i].pattern->class_number == number &&
            overs->list[i].ghost == BL_GHOST_UNKNOWN)
            unknown += overs->list[i].pattern->count;
    for (size_t i = 0; i < judge->model->class_count; i++)
        if (judge->model->classes[i].number == number)
            return unknown >= SO_MANY && unknown >= judge->model->classes[i].ended * 9 / 10;
    return false;
}

/* They are sorted by class. */
static void look_at_unknown(const struct bl_judge *judge, struct overs *overs)
{
    uint32_t class_number = UINT32_MAX;
    bool are_all = false;
    for (size_t i = 0; i < overs->count; i++) {
        if (overs->list[i].pattern->class_number != class_number) {
            class_number = overs->list[i].pattern->class_number;
            are_all = are_nearly_all(judge, overs, class_number);
        }
        if (overs->list[i].ghost == BL_GHOST_UNKNOWN)
            overs->list[i].ghost = are_all ? BL_GHOST_UNKNOWN : BL_GHOST_GONE;
    }
}

/* By class, chain and whether they may have lived. */
static int make_overs(struct bl_judge *judge, struct overs *overs)
{
    const struct bl_histories *all = judge->histories;
    overs->list = calloc(all->item_count + 1, sizeof(*overs->list));
    if (!overs->list)
        return bl_judge_out_of_memory(judge);
    if (bl_counts_create(&overs->counts, all, judge->callers, judge->reader, BL_COUNTS_RELEASES,
                         judge->error) < 0)
        return -1;
    bl_counts_restart(overs->counts);
    for (size_t i = 0; i < all->live_count; i++)
        bl_counts_accuse(overs->counts, &all->live[i], all->live[i].count);
    collect(judge, overs, all->live, all->live_count);
    collect(judge, overs, all->completed, all->completed_count);
    bl_counts_finish(overs->counts);
    for (size_t i = 0; i < overs->count; i++)
        overs->list[i].chain = bl_counts_choose(overs->counts, overs->list[i].item);
    sort(overs);
    look_at_unknown(judge, overs);
    sort(overs);
    return 0;
}

static bool is_kept(const struct bl_judge *judge, const struct over *over)
{
    const struct bl_model_options *options = judge->options;
    const struct bl_item *items = bl_pattern_items(judge->histories, over->pattern);
    if (!options->keep_stack)
        return true;
    for (uint32_t i = 0; i < over->pattern->item_count; i++)
        if (options->keep_stack(options->keep_context, items[i].stack))
            return true;
    return false;
}

static void add_over(struct bl_judge *judge, const struct over *over, struct bl_group *group,
                     struct bl_finding *finding)
{
    const struct bl_pattern *pattern = over->pattern;
    const struct bl_item *items = bl_pattern_items(judge->histories, pattern);
    const struct bl_item *item = &judge->histories->items[over->item];
    finding->leaked += pattern->count * item->units;
    group->count += pattern->count;
    group->recorded += pattern->count;
    group->bytes += pattern->lifecycle ? 0 : pattern->bytes;
    for (uint32_t i = 0; i < pattern->item_count; i++)
        bl_findings_add_reference(finding, items[i].kind,
                                  bl_judge_shown_site(judge, pattern->class_number, &items[i]),
                                  items[i].units * pattern->count, &items[i] == item);
}

static void write_text(struct bl_finding *finding, const char *of)
{
    char a[BL_TEXT_NUMBER];
    char b[BL_TEXT_NUMBER];
    bl_text_count(a, finding->leaked);
    if (finding->passed > finding->leaked)
        snprintf(finding->text, sizeof(finding->text), "%s of %s releases here %s of %s", a,
                 bl_text_count(b, finding->passed), finding->leaked == 1 ? "was" : "were", of);
    else
        snprintf(finding->text, sizeof(finding->text), "%s release%s of %s", a,
                 finding->leaked == 1 ? "" : "s", of);
    /* that it happened is no guess */
    finding->confidence = bl_evidence_rate(finding->leaked, finding->leaked);
}

/* Every other buffer that was gone has its end in its history. */
static bool is_of_null(const struct bl_judge *judge, const struct bl_pattern *pattern)
{
    const struct bl_item *items = bl_pattern_items(judge->histories, pattern);
    bool only = pattern->doubt == BL_DOUBT_GHOST;
    for (uint32_t i = 0; i < pattern->item_count; i++)
        only &= items[i].kind == BL_ITEM_OVER_RELEASE || items[i].stack == 0;
    return only;
}

static bool is_of_one_group(const struct over *a, const struct over *b)
{
    return a->chain == b->chain && a->ghost == b->ghost;
}

/* The library knows of references that were not seen, or keeps what has ended. */
static void doubt(struct bl_finding *finding, enum bl_ghost ghost)
{
    bool is_one = finding->leaked == 1;
    finding->is_doubted = true;
    finding->confidence /= 3;
    if (ghost == BL_GHOST_UNKNOWN)
        snprintf(finding->note, sizeof(finding->note),
                 "little evidence: nearly every buffer of the class was released so; the profile "
                 "may lack a function that retains or allocates");
    else
        snprintf(finding->note, sizeof(finding->note),
                 "little evidence: %s still there, and %s; the profile may lack a function that "
                 "retains or allocates, or the library keeps what has ended",
                 is_one ? "its heap block was" : "their heap blocks were",
                 is_one ? "this release did not free it" : "these releases did not free them");
}

/* The group of the overs from `first` to `end`, all of one class and chain. */
static void make_group(struct bl_judge *judge, const struct overs *overs, size_t first, size_t end)
{
    const struct over *over = &overs->list[first];
    const struct bl_item *birth = bl_pattern_birth(judge->histories, over->pattern);
    uint64_t most = 0;
    bool kept = false;
    bool is_null = true;
    struct bl_finding *finding = &judge->findings[judge->finding_count];
    struct bl_group *group = &judge->groups[judge->group_count];
    memset(finding, 0, sizeof(*finding));
    finding->verdict = BL_VERDICT_OVER_RELEASE;
    finding->blame_kind = BL_ITEM_OVER_RELEASE;
    finding->alloc_stacks = birth && birth->kind == BL_ITEM_ALLOC && birth->stack;
    finding->alloc_frame =
        finding->alloc_stacks ? bl_judge_shown_site(judge, over->pattern->class_number, birth) : 0;
    *group = (struct bl_group){.class_number = over->pattern->class_number,
                               .rank = BL_VERDICT_OVER_RELEASE,
                               .finding = finding};
    for (size_t i = first; i < end; i++) {
        const struct bl_item *item = &judge->histories->items[overs->list[i].item];
        uint32_t frame = bl_judge_shown_site(judge, over->pattern->class_number, item);
        add_over(judge, &overs->list[i], group, finding);
        kept |= is_kept(judge, &overs->list[i]);
        is_null &= is_of_null(judge, overs->list[i].pattern);
        finding->blame_stacks += i == first || frame != finding->blame_frame;
        if (i == first || overs->list[i].pattern->count > most)
            finding->blame_frame = frame;
        most = overs->list[i].pattern->count > most ? overs->list[i].pattern->count : most;
    }
    finding->passed = overs->counts->chains[over->chain].taken;
    finding->chain_frame = finding->blame_frame;
    group->stack = finding->blame_frame;
    group->site = finding->blame_frame;
    group->stack_count = finding->blame_stacks;
    bl_findings_sort_references(finding);
    write_text(finding, is_null                        ? "NULL"
                        : over->ghost != BL_GHOST_GONE ? "a buffer that was gone, as far as seen"
                                                       : "a buffer that was gone");
    if (over->ghost != BL_GHOST_GONE)
        doubt(finding, over->ghost);
    judge->finding_count++;
    if (kept && group->bytes >= judge->options->min_bytes &&
        bl_judge_shows(judge, group->class_number))
        judge->group_count++;
}

/* Those that were counted, but whose stacks belong to no history that was kept. */
static void add_counted(struct bl_judge *judge, const struct bl_class_sums *class, uint64_t seen)
{
    const struct bl_model_options *options = judge->options;
    if (class->over_releases <= seen || options->keep_stack || options->min_bytes > 0 ||
        !bl_judge_shows(judge, class->number))
        return;
    struct bl_finding *finding = &judge->findings[judge->finding_count++];
    memset(finding, 0, sizeof(*finding));
    finding->verdict = BL_VERDICT_OVER_RELEASE;
    finding->blame_kind = BL_ITEM_OVER_RELEASE;
    finding->leaked = class->over_releases - seen;
    finding->passed = finding->leaked;
    write_text(finding, "a buffer that was gone");
    judge->groups[judge->group_count++] = (struct bl_group){.class_number = class->number,
                                                            .count = finding->leaked,
                                                            .rank = BL_VERDICT_OVER_RELEASE,
                                                            .finding = finding};
    snprintf(finding->note, sizeof(finding->note), "no stack was kept of these");
}

static uint64_t count_seen(const struct bl_judge *judge, const struct overs *overs, uint32_t number)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < overs->count; i++)
        if (overs->list[i].pattern->class_number == number)
            seen +=
                overs->list[i].pattern->count * judge->histories->items[overs->list[i].item].units;
    return seen;
}

int bl_overs_make(struct bl_judge *judge)
{
    struct overs overs = {0};
    int outcome = make_overs(judge, &overs);
    for (size_t i = 0; outcome == 0 && i < overs.count;) {
        size_t end = i + 1;
        while (end < overs.count && is_of_one_group(&overs.list[i], &overs.list[end]))
            end++;
        make_group(judge, &overs, i, end);
        i = end;
    }
    for (size_t i = 0; outcome == 0 && i < judge->model->class_count; i++) {
        const struct bl_class_sums *class = &judge->model->classes[i];
        add_counted(judge, class, count_seen(judge, &overs, class->number));
    }
    bl_counts_destroy(overs.counts);
    free(overs.list);
    return outcome;
}
