#include "judge.h"

#include <stdlib.h>
#include <string.h>

void bl_findings_add_reference(struct bl_finding *finding, enum bl_item_kind kind, uint32_t frame,
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

void bl_findings_sort_references(struct bl_finding *finding)
{
    if (finding->reference_count > 1)
        qsort(finding->references, finding->reference_count, sizeof(finding->references[0]),
              compare_references);
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
            frame = bl_judge_shown_site(judge, bl_decision_class(judge, decision), item);
        }
    }
    return frame;
}

static void count_evidence(const struct bl_judge *judge, const struct bl_decision *decision,
                           const struct bl_scope *scope, struct bl_finding *finding)
{
    uint32_t class_number = bl_decision_class(judge, decision) % BL_CLASSES_MAX;
    const struct bl_class_count *class = &judge->counts->classes[class_number];
    const struct bl_count here = bl_counts_of(judge->counts, scope);
    uint64_t all = class->completed + class->accused;
    finding->leaked = here.buffers[BL_PASS_BLAMED];
    finding->passed = here.buffers[BL_PASS_ANY];
    finding->taken = here.taken;
    finding->kept = here.kept;
    finding->other_passed = all > here.buffers[BL_PASS_ANY] ? all - here.buffers[BL_PASS_ANY] : 0;
    finding->other_leaked = class->accused > here.buffers[BL_PASS_ACCUSED]
                                ? class->accused - here.buffers[BL_PASS_ACCUSED]
                                : 0;
}

/* Is a decision about the same objects as the one before it? What was left in peace first, and what
 * was settled, may be different ones of one pattern. */
static bool is_about_same(const struct bl_judge *judge, size_t first, size_t i)
{
    const struct bl_decision *a = &judge->decisions[i];
    return i > first && a[-1].pattern == a->pattern && a[-1].first_object == a->first_object;
}

static void collect_references(const struct bl_judge *judge, size_t first, size_t end,
                               struct bl_finding *finding)
{
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        const struct bl_pattern *live = &judge->histories->live[decision->pattern];
        bool is_repeated = is_about_same(judge, first, i);
        for (uint32_t k = 0; k < live->item_count; k++) {
            uint32_t number = live->first_item + k;
            const struct bl_item *item = &judge->histories->items[number];
            bool is_blamed = bl_decision_is_accused(decision) && number == decision->item;
            if (is_repeated && !is_blamed)
                continue;
            bl_findings_add_reference(finding, item->kind,
                                      bl_judge_shown_site(judge, live->class_number, item),
                                      item->units * decision->object_count, is_blamed);
        }
    }
    bl_findings_sort_references(finding);
}

static const struct bl_object *record_of(const struct bl_judge *judge,
                                         const struct bl_history_object *object)
{
    size_t count;
    return &bl_reader_objects(judge->reader, &count)[object->index].object;
}

static uint64_t address_of(const struct bl_judge *judge, const struct bl_history_object *object)
{
    return record_of(judge, object)->address;
}

/* A buffer whose handle lies in a heap block is held as the block is. */
static void count_reach(const struct bl_judge *judge, const struct bl_history_object *object,
                        struct bl_group *group)
{
    const struct bl_reaches *reaches = judge->options->reaches;
    if (bl_reach_count_object(record_of(judge, object), object->bytes, &group->reach))
        return;
    uint32_t block = reaches ? bl_reach_find(reaches, address_of(judge, object)) : 0;
    bl_reach_count(reaches, block, object->bytes, &group->reach);
}

static void add_references(struct bl_finding *finding, bool is_first, uint64_t units)
{
    if (is_first || units < finding->refs_min)
        finding->refs_min = units;
    if (units > finding->refs_max)
        finding->refs_max = units;
}

/* A history that is not whole does not tell how many references are left; the shim counted them. */
static uint64_t left_of(const struct bl_judge *judge, const struct bl_decision *decision,
                        size_t index, uint64_t units)
{
    size_t count;
    const struct bl_tracked *all = bl_reader_objects(judge->reader, &count);
    int32_t refs = all[judge->histories->objects[index].index].object.refs;
    return decision->ground == BL_GROUND_OVERFLOW && refs > 0 ? (uint64_t)refs : units;
}

static bool is_old_enough(const struct bl_judge *judge, const struct bl_history_object *object)
{
    uint64_t now_ns = judge->model->now_ns;
    uint64_t age_ns = now_ns > object->birth_ns ? now_ns - object->birth_ns : 0;
    return age_ns >= judge->options->min_age_ns;
}

/* The buffers of a group that are asked for, each once. */
static void add_buffers(struct bl_judge *judge, size_t first, size_t end, struct bl_group *group,
                        struct bl_finding *finding)
{
    struct bl_span span = bl_grouping_span(judge, first, end);
    uint64_t youngest_birth_ns = 0;
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        uint64_t units = decision->units;
        bool is_repeated = is_about_same(judge, first, i);
        for (size_t k = i + 1; k < end && is_about_same(judge, first, k); k++)
            units += judge->decisions[k].units;
        if (is_repeated)
            continue;
        for (size_t k = 0; k < decision->object_count; k++) {
            size_t index = decision->first_object + k;
            if (!is_old_enough(judge, &judge->histories->objects[index]))
                continue;
            if (judge->histories->objects[index].birth_ns > youngest_birth_ns)
                youngest_birth_ns = judge->histories->objects[index].birth_ns;
            add_references(finding, group->count == 0, left_of(judge, decision, index, units));
            group->bytes += judge->histories->objects[index].bytes;
            group->count++;
            count_reach(judge, &judge->histories->objects[index], group);
            if (judge->histories->objects[index].birth_ns == span.oldest_birth_ns)
                finding->oldest_address = address_of(judge, &judge->histories->objects[index]);
            finding->shared += bl_decision_is_accused(decision) && judge->object_groups[index] > 1;
        }
    }
    group->recorded = group->count;
    group->oldest_ns = judge->model->now_ns > span.oldest_birth_ns
                           ? judge->model->now_ns - span.oldest_birth_ns
                           : 0;
    group->youngest_ns =
        judge->model->now_ns > youngest_birth_ns ? judge->model->now_ns - youngest_birth_ns : 0;
    finding->oldest_ns = group->oldest_ns;
    if (finding->ground == BL_GROUND_INHERITED) {
        group->inherited = group->count;
        group->inherited_bytes = group->bytes;
    }
}

static bool is_matched(const struct bl_judge *judge, size_t first, size_t end)
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

/* Who asks for one class is told as well what holds buffers of it. */
static bool is_class_shown(const struct bl_judge *judge, const struct bl_group *group)
{
    bool is_shown = bl_judge_shows(judge, group->class_number);
    for (size_t i = 0; i < group->finding->part_count; i++)
        is_shown |= bl_judge_shows(judge, group->finding->parts[i].class_number);
    for (uint32_t number = 0; number < BL_CLASSES_MAX; number++)
        is_shown |= bl_finding_has_other(group->finding, number) && bl_judge_shows(judge, number);
    return is_shown;
}

/* An accusation is never replaced by less. */
static void note_finding(const struct bl_judge *judge, const struct bl_finding *finding,
                         const struct bl_decision *decision, uint32_t as_part)
{
    for (size_t k = 0; k < decision->object_count; k++) {
        uint32_t index = judge->histories->objects[decision->first_object + k].index;
        uint32_t known = judge->finding_of[index] & ~BL_JUDGE_AS_PART;
        if (known == 0 || judge->findings[known - 1].verdict == BL_VERDICT_UNRELEASED)
            judge->finding_of[index] = ((uint32_t)(finding - judge->findings) + 1) | as_part;
    }
}

static void add_part(struct bl_finding *finding, const struct bl_judge *judge,
                     const struct bl_decision *decision)
{
    note_finding(judge, finding, decision, BL_JUDGE_AS_PART);
    uint32_t class_number = bl_decision_class(judge, decision);
    struct bl_part *part = NULL;
    for (size_t i = 0; i < finding->part_count; i++)
        if (finding->parts[i].class_number == class_number)
            part = &finding->parts[i];
    if (!part && finding->part_count == BL_FINDING_PARTS) {
        finding->other_part_classes |= 1ull << class_number % BL_CLASSES_MAX;
        part = &finding->other_parts;
    }
    if (!part) {
        part = &finding->parts[finding->part_count++];
        *part = (struct bl_part){.class_number = class_number};
    }
    part->count += decision->object_count;
    part->estimate += decision->is_estimate ? decision->object_count : 0;
    for (size_t k = 0; k < decision->object_count; k++)
        part->bytes += judge->histories->objects[decision->first_object + k].bytes;
}

/* Of buffers that lack two releases, is the other one a part of the same owner? Those about one
 * pattern follow each other. */
static bool is_part_known(const struct bl_decision *parts, const struct bl_decision *owners,
                          size_t which)
{
    for (size_t p = which; p-- > 0 && parts[p].pattern == parts[which].pattern;)
        if (parts[p].first_object == parts[which].first_object &&
            owners[p].pattern == owners[which].pattern && owners[p].item == owners[which].item &&
            owners[p].verdict == owners[which].verdict)
            return true;
    return false;
}

/* What the group's buffers hold. Owners are named by (pattern, item): positions have changed. */
static void add_parts(struct bl_judge *judge, size_t first, size_t end,
                      const struct bl_decision *parts, const struct bl_decision *owners,
                      size_t part_count, struct bl_finding *finding)
{
    for (size_t p = 0; p < part_count; p++)
        for (size_t i = first; i < end && !is_part_known(parts, owners, p); i++)
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
        if (!item ||
            bl_judge_shown_site(judge, bl_decision_class(judge, decision), item) != blame_frame)
            continue;
        size_t depth;
        const struct bl_caller *frames = bl_callers_frames(judge->callers, item->callers, &depth);
        for (size_t k = 0; k < depth; k++)
            if (frames[k].chain == decision->chain)
                return bl_model_frames_inside(judge->reader, item->stack, frames[k].frame) >
                               bl_model_frames_inside(judge->reader, item->stack, blame_frame)
                           ? frames[k].frame
                           : blame_frame;
    }
    return blame_frame;
}

/* What the comparisons behind a group are worth, on average. */
static double likeness_of(const struct bl_judge *judge, size_t first, size_t end)
{
    static const double worth[] = {
        [BL_LIKENESS_EQUAL] = 1, [BL_LIKENESS_SITES] = 0.95, [BL_LIKENESS_GUESSED] = 2.0 / 3};
    double sum = 0;
    double buffers = 0;
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        sum += worth[decision->likeness] * (double)decision->object_count;
        buffers += (double)decision->object_count;
    }
    return buffers > 0 ? sum / buffers : 1;
}

static bool is_on_way(const struct bl_judge *judge, const struct bl_decision *decision,
                      const struct bl_scope *scope)
{
    const struct bl_item *item = &judge->histories->items[decision->item];
    return bl_callers_inner(judge->callers, item->callers) == scope->inner;
}

/* What would have been accused, with its counts: whoever knows the program can tell more from them.
 */
static void count_suspicion(const struct bl_judge *judge, size_t first, size_t end,
                            struct bl_finding *finding)
{
    const struct bl_decision *decision = &judge->decisions[first];
    if (decision->item == BL_JUDGE_NONE || !bl_evidence_is_suspect(finding->ground))
        return;
    const struct bl_item *item = &judge->histories->items[decision->item];
    struct bl_scope scope = bl_counts_scope(
        judge->counts, bl_callers_site(judge->callers, item->callers), decision->item);
    scope.is_inner = false;
    for (size_t i = first; i < end; i++)
        if (judge->decisions[i].item == BL_JUDGE_NONE ||
            judge->histories->items[judge->decisions[i].item].site != item->site)
            return;
    count_evidence(judge, decision, &scope, finding);
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *one = &judge->decisions[i];
        finding->leaked += one->object_count;
        finding->passed += one->object_count;
        finding->kept += bl_decision_kept(judge, one) * one->object_count;
        finding->taken += judge->histories->items[one->item].units * one->object_count;
    }
    finding->suspect_frame = bl_judge_shown_site(judge, bl_decision_class(judge, decision), item);
    finding->blame_kind = item->kind;
}

static uint32_t rank_of(const struct bl_decision *decision)
{
    if (bl_decision_is_accused(decision))
        return (uint32_t)decision->verdict;
    return decision->steadiness > 0 ? BL_MODEL_RANK_STEADY : BL_MODEL_RANK_PLAIN;
}

/* What is certain of most of its buffers is taken to be so of all: one mistake explains them. */
static enum bl_rival find_rival(const struct bl_judge *judge, size_t first, size_t end)
{
    uint64_t buffers[BL_RIVAL_ANY + 1] = {0};
    for (size_t i = first; i < end; i++)
        buffers[judge->decisions[i].rival] += judge->decisions[i].object_count;
    if (buffers[BL_RIVAL_ANY] >= buffers[BL_RIVAL_BIRTH] + buffers[BL_RIVAL_NONE])
        return BL_RIVAL_ANY;
    return buffers[BL_RIVAL_NONE] > buffers[BL_RIVAL_BIRTH] + buffers[BL_RIVAL_ANY]
               ? BL_RIVAL_NONE
               : BL_RIVAL_BIRTH;
}

/* Can most of its buffers be what other leaked ones hold? */
static bool may_be_held(const struct bl_judge *judge, size_t first, size_t end)
{
    uint64_t buffers[2] = {0};
    for (size_t i = first; i < end; i++)
        buffers[judge->decisions[i].may_be_held] += judge->decisions[i].object_count;
    return buffers[true] > buffers[false];
}

/* What siblings did last is where they ended, and no more is known of the one that is missing. */
static void forget_counts(struct bl_finding *finding)
{
    finding->ended_frame = finding->expected_frame;
    finding->ended_count = finding->expected_count;
    finding->expected_frame = 0;
    finding->expected_stack = 0;
    finding->expected_count = 0;
}

static void make_finding(struct bl_judge *judge, size_t first, size_t end, struct bl_group *group,
                         struct bl_finding *finding)
{
    const struct bl_decision *decision = &judge->decisions[first];
    finding->verdict = decision->verdict;
    finding->ground = decision->ground;
    finding->is_ended = judge->is_final || judge->is_killed;
    finding->is_killed = judge->is_killed;
    finding->are_latest = true;
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *one = &judge->decisions[i];
        finding->siblings += one->siblings;
        finding->are_latest &= one->is_latest;
        finding->held_beside += one->held_beside;
        if (one->sibling_p99_ns > finding->sibling_p99_ns)
            finding->sibling_p99_ns = one->sibling_p99_ns;
    }
    finding->may_be_held = may_be_held(judge, first, end);
    if (bl_decision_is_accused(decision))
        finding->rival = find_rival(judge, first, end);
    finding->alloc_frame = heaviest(judge, first, end, true, &finding->alloc_stacks);
    finding->blame_frame = finding->alloc_frame;
    finding->blame_stacks = finding->alloc_stacks;
    if (bl_decision_is_accused(decision))
        finding->blame_frame = heaviest(judge, first, end, false, &finding->blame_stacks);
    finding->chain_frame = find_chain_frame(judge, first, end, finding->blame_frame);
    if (bl_decision_is_accused(decision))
        finding->blame_kind = judge->histories->items[decision->item].kind;
    add_buffers(judge, first, end, group, finding);
    finding->is_uncounted = bl_judge_is_uncounted(judge, bl_decision_class(judge, decision));
    if (finding->is_uncounted)
        finding->refs_min = finding->refs_max = 0;
    for (size_t i = first; i < end; i++)
        note_finding(judge, finding, &judge->decisions[i], 0);
    collect_references(judge, first, end, finding);
    if (bl_decision_is_accused(decision)) {
        struct bl_scope scope = bl_counts_scope(judge->counts, decision->chain, decision->item);
        for (size_t i = first; i < end; i++)
            scope.is_inner &= is_on_way(judge, &judge->decisions[i], &scope);
        count_evidence(judge, decision, &scope, finding);
        bl_expected_find(judge, first, end, &scope, finding);
        if (finding->is_uncounted)
            forget_counts(finding);
        finding->is_growing = bl_course_is_growing(bl_course_growth(judge, first, end),
                                                   bl_grouping_span(judge, first, end));
        finding->confidence = bl_evidence_confidence(finding, likeness_of(judge, first, end));
    } else {
        count_suspicion(judge, first, end, finding);
    }
    group->class_number = bl_decision_class(judge, decision);
    bl_evidence_write(finding, bl_model_class_name(judge->model, group->class_number));
    group->stack = finding->blame_frame;
    group->site = finding->blame_frame;
    group->stack_count = finding->blame_stacks;
    group->rank = rank_of(decision);
    if (group->rank == BL_MODEL_RANK_STEADY)
        finding->confidence = decision->steadiness;
}

static void count_groups_of_objects(struct bl_judge *judge)
{
    for (size_t i = 0; i < judge->decision_count;) {
        size_t end = bl_grouping_end(judge, i);
        for (size_t k = i; k < end && bl_decision_is_accused(&judge->decisions[i]); k++) {
            const struct bl_decision *decision = &judge->decisions[k];
            if (is_about_same(judge, i, k))
                continue;
            for (size_t n = 0; n < decision->object_count; n++)
                judge->object_groups[decision->first_object + n]++;
        }
        i = end;
    }
}

int bl_findings_make(struct bl_judge *judge)
{
    size_t room = judge->decision_count * BL_SPLITTING_ROOM + 1;
    struct bl_decision *parts = calloc(room, sizeof(*parts));
    struct bl_decision *owners = calloc(room, sizeof(*owners));
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
        bl_evidence_note_parts(finding);
        /* what is not shown stays a finding: buffers are asked for by their address, too */
        judge->finding_count++;
        if (group->count > 0 && group->bytes >= judge->options->min_bytes &&
            is_class_shown(judge, group) && is_matched(judge, i, end))
            judge->group_count++;
        i = end;
    }
    free(parts);
    free(owners);
    return outcome;
}
