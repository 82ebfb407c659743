#include "pairing.h"

#include "cut_off.h"
#include "hands.h"
#include "judge.h"

#include <stdlib.h>
#include <string.h>

struct bl_pairing {
    struct bl_finding *findings;
    uint32_t *finding_of; /* index + 1 */
    size_t object_count;
};

static uint32_t find_main_thread(const struct bl_reader *reader)
{
    uint32_t count = bl_reader_count(reader, BL_SECTION_THREADS);
    for (uint32_t i = count; i-- > 1;) {
        const struct bl_thread *thread = bl_reader_thread(reader, i);
        if (thread && !(thread->flags & BL_THREAD_TEST) &&
            thread->tid == bl_reader_header(reader)->pid)
            return i;
    }
    return 0;
}

static uint64_t latest(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The last thing that was seen of the program. */
static uint64_t find_activity_end(const struct bl_judge *judge)
{
    uint64_t end_ns = 0;
    size_t count;
    const struct bl_live *live = bl_reader_live(judge->reader, &count);
    for (size_t i = 0; i < count; i++)
        end_ns = latest(end_ns, live[i].birth_ns);
    for (size_t i = 0; i < judge->histories->object_count; i++)
        end_ns = latest(end_ns, judge->histories->objects[i].birth_ns);
    for (size_t i = 0; i < judge->histories->live_count; i++)
        end_ns = latest(end_ns, judge->histories->live[i].latest_ns);
    for (size_t i = 0; i < judge->histories->completed_count; i++)
        end_ns = latest(end_ns, judge->histories->completed[i].latest_ns);
    return end_ns;
}

static bool is_final(const struct bl_judge *judge)
{
    const struct bl_header *header = bl_reader_header(judge->reader);
    if (header->snapshot_number > 0)
        return header->snapshot_reason == BL_REASON_EXIT;
    return judge->model->state == BL_PROCESS_EXITED || judge->model->state == BL_PROCESS_REPLACED;
}

/* The sites that were followed in time are the caller's innermost frames. */
static int prepare_growth(struct bl_judge *judge)
{
    if (!judge->growth || judge->growth->site_count == 0)
        return 0;
    judge->growth_chains = calloc(judge->growth->site_count, sizeof(*judge->growth_chains));
    if (!judge->growth_chains)
        return bl_judge_out_of_memory(judge);
    for (size_t i = 0; i < judge->growth->site_count; i++) {
        const struct bl_line *line = judge->growth->sites[i].line;
        uint32_t number = bl_callers_find(judge->callers, line->class_number, line->stack);
        if (number == UINT32_MAX)
            return bl_judge_out_of_memory(judge);
        judge->growth_chains[i] = bl_callers_site(judge->callers, number);
    }
    return 0;
}

static int prepare_callers(struct bl_judge *judge)
{
    judge->plain_options = *judge->options;
    judge->plain_options.own_count = 0;
    if (bl_callers_create(&judge->callers, judge->reader, judge->symbols, &judge->plain_options,
                          judge->error) < 0)
        return -1;
    judge->shown = judge->callers;
    if (judge->options->own_count == 0)
        return 0;
    judge->shown = NULL;
    return bl_callers_create(&judge->shown, judge->reader, NULL, judge->options, judge->error);
}

static int prepare(struct bl_judge *judge)
{
    if (prepare_callers(judge) < 0 ||
        bl_histories_create(&judge->histories, judge->reader, judge->callers, judge->model->now_ns,
                            0, judge->error) < 0 ||
        bl_gone_mark(judge) < 0 ||
        bl_compare_create(&judge->compare, judge->histories, judge->callers, judge->error) < 0 ||
        bl_lasting_create(&judge->lasting, judge->reader, judge->error) < 0)
        return -1;
    judge->is_final = is_final(judge);
    judge->is_killed = judge->model->state == BL_PROCESS_KILLED &&
                       bl_reader_header(judge->reader)->snapshot_number == 0;
    judge->guard_ns = judge->model->uptime_ns / 10 < BL_JUDGE_SECOND ? judge->model->uptime_ns / 10
                                                                     : BL_JUDGE_SECOND;
    judge->activity_end_ns = find_activity_end(judge);
    judge->main_thread = find_main_thread(judge->reader);
    if (bl_counts_create(&judge->counts, judge->histories, judge->callers, judge->reader,
                         BL_COUNTS_ACQUIRES, judge->error) < 0)
        return -1;
    judge->object_groups =
        calloc(judge->histories->object_count + 1, sizeof(*judge->object_groups));
    size_t count;
    bl_reader_objects(judge->reader, &count);
    judge->finding_of = calloc(count + 1, sizeof(*judge->finding_of));
    if (!judge->object_groups || !judge->finding_of)
        return bl_judge_out_of_memory(judge);
    return 0;
}

static size_t count_over_release_items(const struct bl_histories *histories)
{
    size_t count = 0;
    for (size_t i = 0; i < histories->item_count; i++)
        count += histories->items[i].kind == BL_ITEM_OVER_RELEASE;
    return count;
}

static int judge_everything(struct bl_judge *judge)
{
    if (prepare(judge) < 0 || prepare_growth(judge) < 0 || bl_judge_decide(judge) < 0 ||
        bl_paths_agree(judge) < 0 || bl_judge_agree(judge) < 0 || bl_turns_take_back(judge) < 0)
        return -1;
    judge->splits_left = judge->decision_count;
    size_t room = judge->decision_count * BL_SPLITTING_ROOM +
                  count_over_release_items(judge->histories) + judge->model->class_count;
    judge->findings = calloc(room + 1, sizeof(*judge->findings));
    judge->groups = calloc(room + 1, sizeof(*judge->groups));
    if (!judge->findings || !judge->groups)
        return bl_judge_out_of_memory(judge);
    if (bl_findings_make(judge) < 0 || bl_overs_make(judge) < 0)
        return -1;
    return bl_model_add_groups(judge->model, judge->groups, judge->group_count, judge->options,
                               judge->error);
}

int bl_pairing_create(struct bl_pairing **ret_pairing, const struct bl_reader *reader,
                      struct bl_symbols *symbols, const struct bl_growth_set *growth,
                      struct bl_model *model, const struct bl_model_options *options,
                      struct bl_error *error)
{
    struct bl_pairing *pairing = calloc(1, sizeof(*pairing));
    if (!pairing)
        return bl_error_set(error, "not enough memory for the verdict");
    struct bl_judge judge = {.reader = reader,
                             .symbols = symbols,
                             .growth = growth,
                             .model = model,
                             .options = options,
                             .error = error};
    int outcome = judge_everything(&judge);
    pairing->findings = judge.findings;
    pairing->finding_of = judge.finding_of;
    bl_reader_objects(reader, &pairing->object_count);
    bl_compare_destroy(judge.compare);
    bl_lasting_destroy(judge.lasting);
    bl_histories_destroy(judge.histories);
    if (judge.shown != judge.callers)
        bl_callers_destroy(judge.shown);
    bl_callers_destroy(judge.callers);
    free(judge.growth_chains);
    free(judge.decisions);
    bl_counts_destroy(judge.counts);
    bl_hands_destroy(judge.hands);
    bl_cut_off_destroy(judge.cut_off);
    bl_paths_destroy(judge.paths);
    free(judge.object_groups);
    free(judge.groups);
    if (outcome < 0)
        bl_pairing_destroy(pairing);
    else
        *ret_pairing = pairing;
    return outcome;
}

void bl_pairing_destroy(struct bl_pairing *pairing)
{
    if (!pairing)
        return;
    free(pairing->findings);
    free(pairing->finding_of);
    free(pairing);
}

const struct bl_finding *bl_pairing_finding_of(const struct bl_pairing *pairing, size_t object)
{
    if (!pairing->finding_of || object >= pairing->object_count || pairing->finding_of[object] == 0)
        return NULL;
    return &pairing->findings[(pairing->finding_of[object] & ~BL_JUDGE_AS_PART) - 1];
}

bool bl_pairing_is_part(const struct bl_pairing *pairing, size_t object)
{
    return pairing->finding_of && object < pairing->object_count &&
           pairing->finding_of[object] & BL_JUDGE_AS_PART;
}
