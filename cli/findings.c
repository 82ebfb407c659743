#include "judge.h"

#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEW 3u /* buffers: little evidence */

static void add_reference(struct bl_finding *finding, enum bl_item_kind kind, uint32_t frame,
                          uint64_t count, bool is_blamed)
{
    size_t smallest = 0;
    for (size_t i = 0; i < finding->reference_count; i++) {
        struct bl_reference *known = &finding->references[i];
        if (known->kind == kind && known->frame == frame && known->is_blamed == is_blamed) {
            known->count += count;
            return;
        }
        if (known->count < finding->references[smallest].count)
            smallest = i;
    }
    size_t at = finding->reference_count;
    if (at == BL_FINDING_REFERENCES) {
        if (!is_blamed && finding->references[smallest].count >= count)
            return;
        at = smallest;
    } else {
        finding->reference_count++;
    }
    finding->references[at] =
        (struct bl_reference){.kind = kind, .frame = frame, .count = count, .is_blamed = is_blamed};
}

static int compare_references(const void *left, const void *right)
{
    const struct bl_reference *a = left;
    const struct bl_reference *b = right;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return a->frame < b->frame ? -1 : a->frame > b->frame;
}

/* Distinct stacks of the group's blamed items or births, and the one of most buffers. */
static uint32_t heaviest(const struct bl_judge *judge, size_t first, size_t end, bool of_births,
                         uint64_t *ret_stacks)
{
    uint32_t frame = 0;
    uint64_t most = 0;
    *ret_stacks = 0;
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        const struct bl_item *item = of_births || decision->item == BL_JUDGE_NONE
                                         ? bl_decision_birth(judge, decision)
                                         : &judge->histories->items[decision->item];
        uint64_t count = 0;
        bool is_first = true;
        if (!item)
            continue;
        for (size_t k = first; k < end && k < first + 512; k++) {
            const struct bl_decision *other = &judge->decisions[k];
            const struct bl_item *its = of_births || other->item == BL_JUDGE_NONE
                                            ? bl_decision_birth(judge, other)
                                            : &judge->histories->items[other->item];
            if (!its || bl_callers_whole(judge->callers, its->callers) !=
                            bl_callers_whole(judge->callers, item->callers))
                continue;
            is_first &= k >= i;
            count += other->object_count;
        }
        *ret_stacks += is_first;
        if (count > most || frame == 0) {
            most = count;
            frame = bl_judge_site(judge, item);
        }
    }
    return frame;
}

/* ---- the release that is expected ---- */

struct tally {
    uint32_t chain;
    uint32_t frame;
    uint64_t count;
};

static bool passes(const struct bl_judge *judge, const struct bl_item *item, uint32_t chain)
{
    size_t depth;
    const struct bl_caller *frames = bl_callers_frames(judge->callers, item->callers, &depth);
    for (size_t i = 0; i < depth; i++)
        if (frames[i].chain == chain)
            return true;
    return false;
}

/* Is the release there in the leaked history as well? Then it is not the one that is missing. */
static bool has_release(const struct bl_judge *judge, const struct bl_pattern *live,
                        const struct bl_item *release)
{
    const struct bl_item *items = bl_pattern_items(judge->histories, live);
    uint32_t whole = bl_callers_whole(judge->callers, release->callers);
    for (uint32_t i = 0; i < live->item_count; i++)
        if (items[i].kind == BL_ITEM_RELEASE && items[i].units >= release->units &&
            bl_callers_whole(judge->callers, items[i].callers) == whole)
            return true;
    return false;
}

#define TALLIES 64

static size_t add_tally(struct tally *tallies, size_t count, struct tally one)
{
    for (size_t i = 0; i < count; i++) {
        if (tallies[i].chain == one.chain) {
            tallies[i].count += one.count;
            return count;
        }
    }
    if (count < TALLIES)
        tallies[count++] = one;
    return count;
}

/* Where the siblings that passed the blamed acquire gave the reference back, most often. */
static void find_expected(struct bl_judge *judge, const struct bl_decision *decision,
                          struct bl_finding *finding)
{
    const struct bl_pattern *live = &judge->histories->live[decision->pattern];
    struct tally tallies[TALLIES];
    uint64_t left[BL_HISTORY_ITEMS];
    size_t count = 0;
    for (size_t i = 0; i < judge->histories->completed_count; i++) {
        const struct bl_pattern *sibling = &judge->histories->completed[i];
        const struct bl_item *items = bl_pattern_items(judge->histories, sibling);
        const struct bl_pair *pairs;
        bool is_candidate = false;
        if (sibling->class_number != live->class_number)
            continue;
        for (uint32_t k = 0; k < sibling->item_count && !is_candidate; k++)
            is_candidate =
                bl_item_is_acquire(&items[k]) && passes(judge, &items[k], decision->chain);
        if (!is_candidate || bl_compare_work(judge->compare) > 2 * BL_JUDGE_WORK)
            continue;
        size_t made = bl_compare_pair(judge->compare, sibling, false, left, &pairs);
        for (size_t k = 0; k < made; k++) {
            const struct bl_item *release = &items[pairs[k].release];
            if (passes(judge, &items[pairs[k].acquire], decision->chain) &&
                !has_release(judge, live, release))
                count = add_tally(
                    tallies, count,
                    (struct tally){.chain = bl_callers_whole(judge->callers, release->callers),
                                   .frame = bl_judge_site(judge, release),
                                   .count = sibling->count});
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (tallies[i].count <= finding->expected_count)
            continue;
        finding->expected_count = tallies[i].count;
        finding->expected_frame = tallies[i].frame;
    }
}

/* ---- words ---- */

static double rate_of(double leaked, double passed)
{
    return (leaked + 1) / (passed + 2);
}

static double confidence_of(const struct bl_finding *finding, bool is_exact)
{
    double with = rate_of((double)finding->leaked, (double)finding->passed);
    double without = rate_of((double)finding->other_leaked, (double)finding->other_passed);
    double confidence = with - without;
    if (finding->expected_count > 0) {
        double lacking = rate_of((double)finding->leaked, (double)finding->leaked) -
                         rate_of(0, (double)finding->expected_count);
        confidence = lacking > confidence ? lacking : confidence;
    }
    if (!is_exact)
        confidence *= 2.0 / 3;
    if (finding->verdict == BL_VERDICT_STALE)
        confidence /= 2;
    return confidence > 0 ? confidence : 0;
}

static const char *const ground_texts[BL_GROUND_COUNT] = {
    [BL_GROUND_ACCUSED] = "",
    [BL_GROUND_IN_USE] = "in use: so far the same was done with them as with others that were "
                         "released, and they are no older than those became",
    [BL_GROUND_YOUNG] = "too young to be judged: nothing like them has ended yet",
    [BL_GROUND_OLD] = "older than released ones with the same operations became, but not by much",
    [BL_GROUND_STEADY] = "all made early and none since, while the program went on: a pool, a "
                         "cache or start-up; the evidence does not carry more",
    [BL_GROUND_ONCE] = "each was made or retained once on its path: start-up or a singleton; the "
                       "evidence does not carry more",
    [BL_GROUND_MOVING] = "in use: their references changed while they were read",
    [BL_GROUND_OVERFLOW] = "their histories are too long to be kept whole; the evidence does not "
                           "carry more",
    [BL_GROUND_DRIFTED] = "their own reference count is not the one that was seen: some calls "
                          "were missed; not judged",
    [BL_GROUND_INHERITED] = "from the parent of this process; judged there",
    [BL_GROUND_SETTLED] = "every reference that was seen was given back: one that was not seen "
                          "keeps them",
    [BL_GROUND_UNSEEN] = "their birth was not seen, so neither were all references taken",
    [BL_GROUND_UNEXPLAINED] = "the evidence does not carry more",
    [BL_GROUND_PART] = "held by leaked buffers of another class",
};

static void write_evidence(struct bl_finding *finding, const char *class_name)
{
    char a[BL_TEXT_NUMBER];
    char b[BL_TEXT_NUMBER];
    char c[BL_TEXT_NUMBER];
    char d[BL_TEXT_NUMBER];
    char age[BL_TEXT_NUMBER];
    if (finding->verdict == BL_VERDICT_UNRELEASED) {
        snprintf(finding->text, sizeof(finding->text), "%s", ground_texts[finding->ground]);
        return;
    }
    if (finding->verdict == BL_VERDICT_STALE)
        snprintf(finding->text, sizeof(finding->text),
                 "%s of %s that passed here; 99%% of %s that were released lived less than %s",
                 bl_text_count(a, finding->leaked), bl_text_count(b, finding->passed),
                 bl_text_count(c, finding->siblings), bl_text_age(age, finding->sibling_p99_ns));
    else
        snprintf(finding->text, sizeof(finding->text),
                 "%s of %s that passed here leaked; %s of %s that did not",
                 bl_text_count(a, finding->leaked), bl_text_count(b, finding->passed),
                 bl_text_count(c, finding->other_leaked), bl_text_count(d, finding->other_passed));
    if (finding->verdict != BL_VERDICT_STALE && finding->other_passed == 0)
        *strchr(finding->text, ';') = '\0';
    if (finding->passed == finding->leaked && finding->other_passed == finding->other_leaked)
        snprintf(finding->note, sizeof(finding->note),
                 "little evidence: no %s buffer has been released yet to compare with", class_name);
    else if (finding->leaked < FEW)
        snprintf(finding->note, sizeof(finding->note), "little evidence: only %s buffer%s",
                 bl_text_count(a, finding->leaked), finding->leaked == 1 ? "" : "s");
}

/* ---- findings ---- */

static void count_evidence(const struct bl_judge *judge, const struct bl_decision *decision,
                           struct bl_finding *finding)
{
    uint32_t class_number = bl_decision_class(judge, decision) % BL_CLASSES_MAX;
    uint64_t all = judge->completed_total[class_number] + judge->accused_total[class_number];
    uint32_t chain = decision->chain;
    finding->leaked = judge->blamed[chain];
    finding->passed = judge->passed[chain];
    finding->other_passed = all > finding->passed ? all - finding->passed : 0;
    finding->other_leaked = judge->accused_total[class_number] > judge->accused[chain]
                                ? judge->accused_total[class_number] - judge->accused[chain]
                                : 0;
}

static void collect_references(const struct bl_judge *judge, size_t first, size_t end,
                               struct bl_finding *finding)
{
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        const struct bl_pattern *live = &judge->histories->live[decision->pattern];
        bool is_repeated = i > first && judge->decisions[i - 1].pattern == decision->pattern;
        for (uint32_t k = 0; k < live->item_count; k++) {
            uint32_t number = live->first_item + k;
            const struct bl_item *item = &judge->histories->items[number];
            bool is_blamed = bl_decision_is_accused(decision) && number == decision->item;
            if (is_repeated && !is_blamed)
                continue;
            add_reference(finding, item->kind, bl_judge_site(judge, item),
                          item->units * decision->object_count, is_blamed);
        }
    }
    if (finding->reference_count > 1)
        qsort(finding->references, finding->reference_count, sizeof(finding->references[0]),
              compare_references);
}

/* The buffers of a group, each once. */
static void add_buffers(struct bl_judge *judge, size_t first, size_t end, struct bl_group *group,
                        struct bl_finding *finding)
{
    struct bl_span span = bl_grouping_span(judge, first, end);
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        uint64_t units = decision->units;
        bool is_repeated = i > first && judge->decisions[i - 1].pattern == decision->pattern;
        for (size_t k = i + 1; k < end && judge->decisions[k].pattern == decision->pattern; k++)
            units += judge->decisions[k].units;
        if (is_repeated)
            continue;
        finding->refs_min = i == first || units < finding->refs_min ? units : finding->refs_min;
        finding->refs_max = units > finding->refs_max ? units : finding->refs_max;
        for (size_t k = 0; k < decision->object_count; k++) {
            size_t index = decision->first_object + k;
            group->bytes += judge->histories->objects[index].bytes;
            group->count++;
            finding->shared += bl_decision_is_accused(decision) && judge->object_groups[index] > 1;
        }
    }
    group->recorded = group->count;
    group->oldest_ns = judge->model->now_ns > span.oldest_birth_ns
                           ? judge->model->now_ns - span.oldest_birth_ns
                           : 0;
    group->youngest_ns = judge->model->now_ns > span.youngest_birth_ns
                             ? judge->model->now_ns - span.youngest_birth_ns
                             : 0;
    if (finding->ground == BL_GROUND_INHERITED) {
        group->inherited = group->count;
        group->inherited_bytes = group->bytes;
    }
}

static bool is_kept(const struct bl_judge *judge, size_t first, size_t end)
{
    const struct bl_model_options *options = judge->options;
    if (!options->keep_stack)
        return true;
    for (size_t i = first; i < end; i++) {
        const struct bl_item *birth = bl_decision_birth(judge, &judge->decisions[i]);
        uint32_t item = judge->decisions[i].item;
        if ((birth && options->keep_stack(options->keep_context, birth->stack)) ||
            (item != BL_JUDGE_NONE &&
             options->keep_stack(options->keep_context, judge->histories->items[item].stack)))
            return true;
    }
    return false;
}

static void add_part(struct bl_finding *finding, const struct bl_judge *judge,
                     const struct bl_decision *decision)
{
    uint32_t class_number = bl_decision_class(judge, decision);
    struct bl_part *part = NULL;
    for (size_t i = 0; i < finding->part_count; i++)
        if (finding->parts[i].class_number == class_number)
            part = &finding->parts[i];
    if (!part && finding->part_count == BL_FINDING_PARTS)
        return;
    if (!part) {
        part = &finding->parts[finding->part_count++];
        *part = (struct bl_part){.class_number = class_number};
    }
    part->count += decision->object_count;
    for (size_t k = 0; k < decision->object_count; k++)
        part->bytes += judge->histories->objects[decision->first_object + k].bytes;
}

/* What the group's buffers hold. Owners are named by (pattern, item): positions have changed. */
static void add_parts(struct bl_judge *judge, size_t first, size_t end,
                      const struct bl_decision *parts, const struct bl_decision *owners,
                      size_t part_count, struct bl_finding *finding)
{
    for (size_t p = 0; p < part_count; p++)
        for (size_t i = first; i < end; i++)
            if (judge->decisions[i].pattern == owners[p].pattern &&
                judge->decisions[i].item == owners[p].item &&
                judge->decisions[i].verdict == owners[p].verdict)
                add_part(finding, judge, &parts[p]);
}

/* The outermost frame that the group's buffers are told from others by, in the stack that is shown.
 */
static uint32_t find_chain_frame(const struct bl_judge *judge, size_t first, size_t end,
                                 uint32_t blame_frame)
{
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        const struct bl_item *item = decision->item == BL_JUDGE_NONE
                                         ? bl_decision_birth(judge, decision)
                                         : &judge->histories->items[decision->item];
        if (!item || bl_judge_site(judge, item) != blame_frame)
            continue;
        size_t depth;
        const struct bl_caller *frames = bl_callers_frames(judge->callers, item->callers, &depth);
        for (size_t k = 0; k < depth; k++)
            if (frames[k].chain == decision->chain)
                return frames[k].frame;
    }
    return blame_frame;
}

static void make_finding(struct bl_judge *judge, size_t first, size_t end, struct bl_group *group,
                         struct bl_finding *finding)
{
    const struct bl_decision *decision = &judge->decisions[first];
    bool is_exact = true;
    finding->verdict = decision->verdict;
    finding->ground = decision->ground;
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *one = &judge->decisions[i];
        is_exact &= one->is_exact;
        finding->siblings += one->siblings;
        if (one->sibling_p99_ns > finding->sibling_p99_ns)
            finding->sibling_p99_ns = one->sibling_p99_ns;
    }
    finding->alloc_frame = heaviest(judge, first, end, true, &finding->alloc_stacks);
    finding->blame_frame = finding->alloc_frame;
    finding->blame_stacks = finding->alloc_stacks;
    if (bl_decision_is_accused(decision))
        finding->blame_frame = heaviest(judge, first, end, false, &finding->blame_stacks);
    finding->chain_frame = find_chain_frame(judge, first, end, finding->blame_frame);
    finding->blame_kind = decision->item == BL_JUDGE_NONE
                              ? BL_ITEM_ALLOC
                              : judge->histories->items[decision->item].kind;
    add_buffers(judge, first, end, group, finding);
    collect_references(judge, first, end, finding);
    if (bl_decision_is_accused(decision)) {
        count_evidence(judge, decision, finding);
        find_expected(judge, decision, finding);
        finding->confidence = confidence_of(finding, is_exact);
    }
    group->class_number = bl_decision_class(judge, decision);
    write_evidence(finding, bl_model_class_name(judge->model, group->class_number));
    group->stack = finding->blame_frame;
    group->site = finding->blame_frame;
    group->stack_count = finding->blame_stacks;
    group->rank = finding->verdict;
}

static void count_groups_of_objects(struct bl_judge *judge)
{
    for (size_t i = 0; i < judge->decision_count;) {
        size_t end = bl_grouping_end(judge, i);
        for (size_t k = i; k < end && bl_decision_is_accused(&judge->decisions[i]); k++) {
            const struct bl_decision *decision = &judge->decisions[k];
            if (k > i && judge->decisions[k - 1].pattern == decision->pattern)
                continue;
            for (size_t n = 0; n < decision->object_count; n++)
                judge->object_groups[decision->first_object + n]++;
        }
        i = end;
    }
}

int bl_findings_make(struct bl_judge *judge)
{
    struct bl_decision *parts = calloc(judge->decision_count + 1, sizeof(*parts));
    struct bl_decision *owners = calloc(judge->decision_count + 1, sizeof(*owners));
    int outcome = parts && owners ? 0 : bl_judge_out_of_memory(judge);
    size_t part_count = 0;
    if (outcome == 0) {
        part_count = bl_grouping_sort(judge, parts, owners);
        count_groups_of_objects(judge);
    }
    for (size_t i = 0; outcome == 0 && i < judge->decision_count;) {
        size_t end = bl_grouping_end(judge, i);
        struct bl_finding *finding = &judge->findings[judge->finding_count];
        struct bl_group *group = &judge->groups[judge->group_count];
        memset(finding, 0, sizeof(*finding));
        *group = (struct bl_group){.finding = finding};
        make_finding(judge, i, end, group, finding);
        add_parts(judge, i, end, parts, owners, part_count, finding);
        if (group->bytes >= judge->options->min_bytes && is_kept(judge, i, end)) {
            judge->finding_count++;
            judge->group_count++;
        }
        i = end;
    }
    free(parts);
    free(owners);
    return outcome;
}

/* ---- over-releases ---- */

/* The group of over-releases at a site, made when it is new. */
static struct bl_group *over_release_group(struct bl_judge *judge, uint32_t class_number,
                                           uint32_t frame, const struct bl_item *birth)
{
    for (size_t i = 0; i < judge->group_count; i++) {
        struct bl_group *group = &judge->groups[i];
        if (group->finding->verdict == BL_VERDICT_OVER_RELEASE &&
            group->class_number == class_number && group->finding->blame_frame == frame)
            return group;
    }
    bool has_alloc = birth && birth->kind == BL_ITEM_ALLOC;
    struct bl_finding *finding = &judge->findings[judge->finding_count++];
    struct bl_group *group = &judge->groups[judge->group_count++];
    *finding = (struct bl_finding){.verdict = BL_VERDICT_OVER_RELEASE,
                                   .blame_kind = BL_ITEM_OVER_RELEASE,
                                   .blame_frame = frame,
                                   .chain_frame = frame,
                                   .blame_stacks = 1,
                                   .alloc_frame = has_alloc ? bl_judge_site(judge, birth) : 0,
                                   .alloc_stacks = has_alloc};
    *group = (struct bl_group){.class_number = class_number,
                               .stack = frame,
                               .site = frame,
                               .stack_count = 1,
                               .rank = BL_VERDICT_OVER_RELEASE,
                               .finding = finding};
    return group;
}

static struct bl_finding *finding_of(const struct bl_judge *judge, const struct bl_group *group)
{
    return &judge->findings[group->finding - judge->findings];
}

static void add_over_release(struct bl_judge *judge, const struct bl_pattern *pattern,
                             const struct bl_item *item)
{
    const struct bl_item *items = bl_pattern_items(judge->histories, pattern);
    struct bl_group *group =
        over_release_group(judge, pattern->class_number, bl_judge_site(judge, item),
                           bl_pattern_birth(judge->histories, pattern));
    struct bl_finding *finding = finding_of(judge, group);
    finding->leaked += pattern->count * item->units;
    finding->passed += pattern->count * item->units;
    group->count += pattern->count;
    group->recorded += pattern->count;
    group->bytes += pattern->lifecycle ? 0 : pattern->bytes;
    for (uint32_t i = 0; i < pattern->item_count; i++)
        add_reference(finding, items[i].kind, bl_judge_site(judge, &items[i]),
                      items[i].units * pattern->count, &items[i] == item);
}

static void add_over_releases_of(struct bl_judge *judge, const struct bl_pattern *patterns,
                                 size_t count, size_t room)
{
    for (size_t i = 0; i < count; i++) {
        const struct bl_item *items = bl_pattern_items(judge->histories, &patterns[i]);
        if (!bl_judge_wants(judge, patterns[i].class_number))
            continue;
        for (uint32_t k = 0; k < patterns[i].item_count; k++)
            if (items[k].kind == BL_ITEM_OVER_RELEASE && judge->group_count < room)
                add_over_release(judge, &patterns[i], &items[k]);
    }
}

/* Those that were counted, but whose stacks belong to no history that was kept. */
static void add_counted(struct bl_judge *judge, const struct bl_class_sums *class, size_t room)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < judge->group_count; i++)
        if (judge->groups[i].finding->verdict == BL_VERDICT_OVER_RELEASE &&
            judge->groups[i].class_number == class->number)
            seen += judge->groups[i].finding->leaked;
    if (class->over_releases <= seen || judge->group_count >= room ||
        !bl_judge_wants(judge, class->number))
        return;
    struct bl_finding *finding = &judge->findings[judge->finding_count++];
    memset(finding, 0, sizeof(*finding));
    finding->verdict = BL_VERDICT_OVER_RELEASE;
    finding->blame_kind = BL_ITEM_OVER_RELEASE;
    finding->leaked = class->over_releases - seen;
    finding->passed = finding->leaked;
    judge->groups[judge->group_count++] = (struct bl_group){.class_number = class->number,
                                                            .count = finding->leaked,
                                                            .rank = BL_VERDICT_OVER_RELEASE,
                                                            .finding = finding};
    snprintf(finding->note, sizeof(finding->note), "no stack was kept of these");
}

void bl_findings_add_over_releases(struct bl_judge *judge, size_t room)
{
    size_t first = judge->group_count;
    char number[BL_TEXT_NUMBER];
    add_over_releases_of(judge, judge->histories->live, judge->histories->live_count, room);
    add_over_releases_of(judge, judge->histories->completed, judge->histories->completed_count,
                         room);
    for (size_t i = 0; i < judge->model->class_count; i++)
        add_counted(judge, &judge->model->classes[i], room);
    for (size_t i = first; i < judge->group_count; i++) {
        struct bl_finding *finding = finding_of(judge, &judge->groups[i]);
        if (finding->reference_count > 1)
            qsort(finding->references, finding->reference_count, sizeof(finding->references[0]),
                  compare_references);
        finding->confidence = rate_of((double)finding->leaked, (double)finding->leaked);
        snprintf(finding->text, sizeof(finding->text), "%s release%s of a buffer that was gone",
                 bl_text_count(number, finding->leaked), finding->leaked == 1 ? "" : "s");
    }
}
