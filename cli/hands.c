/*
 * What threads had in their hands when the process ended.
 *
 * A process ends without waiting for all of its threads. What one of them was working on then is
 * left behind and no leak. Two things show it. The buffers of a group are few, no older than
 * siblings became, and such a thread did something with each; it had not ended, if younger siblings
 * left them behind. Many, that lack a reference which nobody ever gave back, are not in the hands
 * of more threads than those that did something with them. Or a thread that had not ended did the
 * last thing that was seen of it with some buffers, and those are all that were ever made at their
 * place: then the call that made them has made nothing that was leaked before, and what else it
 * made hangs on them. A thread that leaks again and again has only the last one in its hands; nor
 * does it hold one buffer by more references than it can take before it gives the first back.
 */
#include "hands.h"
#include "judge.h"

#include <stdlib.h>

#define HELD_AT_ONCE 4u  /* buffers made at one place, by a thread */
#define PARTS_MOST   16u /* of one group, that hang on what is held; more are no single call's */
#define HISTORY_MAX  64u /* events looked at */
#define PLACES_MAX   64u /* where held buffers were made; further ones are not looked at */

/* Where buffers were made that a thread had in its hands. */
struct place {
    uint32_t class_number;
    uint32_t stack;
    uint32_t call; /* frame of the caller's call that made them */
    uint64_t oldest_birth_ns;
    uint64_t youngest_birth_ns;
    uint64_t held;
    uint64_t born;
};

struct bl_hands {
    struct place places[PLACES_MAX];
    size_t place_count;
    uint64_t *latest_ns; /* by thread: its last event, of those that were still at work */
    uint32_t thread_count;
    uint64_t at_work; /* threads */
};

static bool is_of_worker(const struct bl_judge *judge, uint32_t thread)
{
    return thread != 0 && thread != judge->main_thread;
}

static size_t read_events(const struct bl_judge *judge, const struct bl_object *record,
                          struct bl_event events[HISTORY_MAX])
{
    return bl_reader_history(judge->reader, record->events, record->event_count, events,
                             HISTORY_MAX);
}

static const struct bl_object *record_of(const struct bl_judge *judge,
                                         const struct bl_history_object *object)
{
    size_t count;
    return &bl_reader_objects(judge->reader, &count)[object->index].object;
}

/* ---- as siblings do ---- */

static bool is_at_work(const struct bl_judge *judge, uint32_t number)
{
    const struct bl_thread *thread = bl_reader_thread(judge->reader, number);
    return thread && is_of_worker(judge, number) && !(thread->flags & BL_THREAD_ENDED);
}

static bool is_touched_by(const struct bl_judge *judge, const struct bl_history_object *object,
                          bool (*is_wanted)(const struct bl_judge *, uint32_t))
{
    struct bl_event events[HISTORY_MAX];
    const struct bl_object *record = record_of(judge, object);
    size_t kept = read_events(judge, record, events);
    for (size_t i = 0; i < kept; i++)
        if (is_wanted(judge, events[i].thread))
            return true;
    return is_wanted(judge, record->thread) || is_wanted(judge, object->thread);
}

/* Has anybody ever given back a reference that was taken where these took theirs? */
static bool has_any_ended(const struct bl_judge *judge, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        if (bl_compare_has_ended(judge->compare,
                                 judge->histories->items[judge->decisions[i].item].site))
            return true;
    return false;
}

static void mark_touching(const struct bl_judge *judge, const struct bl_history_object *object,
                          uint8_t *threads)
{
    struct bl_event events[HISTORY_MAX];
    const struct bl_object *record = record_of(judge, object);
    size_t kept = read_events(judge, record, events);
    for (size_t i = 0; i < kept; i++)
        if (bl_reader_thread(judge->reader, events[i].thread))
            threads[events[i].thread] = 1;
    if (bl_reader_thread(judge->reader, record->thread))
        threads[record->thread] = 1;
}

/* Threads other than the main one that did something with any of a group; UINT64_MAX without
 * memory. */
static uint64_t count_touching(const struct bl_judge *judge, size_t first, size_t end)
{
    uint32_t all = bl_reader_count(judge->reader, BL_SECTION_THREADS);
    uint8_t *threads = calloc(all + 1u, sizeof(*threads));
    uint64_t count = 0;
    if (!threads)
        return UINT64_MAX;
    for (size_t i = first; i < end; i++)
        for (size_t k = 0; k < judge->decisions[i].object_count; k++)
            mark_touching(judge, &judge->histories->objects[judge->decisions[i].first_object + k],
                          threads);
    for (uint32_t i = 1; i < all; i++)
        count += threads[i] && is_of_worker(judge, i);
    free(threads);
    return count;
}

/* Threads other than the main one that were there at a moment or later. */
static uint64_t count_workers(const struct bl_judge *judge, uint64_t moment_ns)
{
    uint64_t count = 0;
    for (uint32_t i = 1; i < bl_reader_count(judge->reader, BL_SECTION_THREADS); i++) {
        const struct bl_thread *thread = bl_reader_thread(judge->reader, i);
        count += thread && is_of_worker(judge, i) &&
                 (!(thread->flags & BL_THREAD_ENDED) || thread->end_ns >= moment_ns);
    }
    return count;
}

/* Are they more than threads can have in their hands? */
static bool are_many(const struct bl_judge *judge, size_t first, size_t end, struct bl_span span)
{
    if (span.count > HELD_AT_ONCE * count_workers(judge, span.oldest_birth_ns))
        return true;
    return span.count > PARTS_MOST && !has_any_ended(judge, first, end) &&
           (span.count - 1) / HELD_AT_ONCE >= count_touching(judge, first, end);
}

/* Has any one of them more references of the blamed acquire than threads can have taken and not
 * given back yet? They are of many passes, and at most the last of each is in somebody's hands. */
static bool are_references_many(const struct bl_judge *judge, size_t first, size_t end,
                                struct bl_span span)
{
    uint64_t most = HELD_AT_ONCE * count_workers(judge, span.oldest_birth_ns);
    most = most > PARTS_MOST ? most : PARTS_MOST;
    for (size_t i = first; i < end; i++)
        if (bl_decision_kept(judge, &judge->decisions[i]) > most)
            return true;
    return false;
}

bool bl_hands_may_hold(const struct bl_judge *judge, size_t first, size_t end)
{
    struct bl_span span = bl_grouping_span(judge, first, end);
    if (!judge->is_final || are_many(judge, first, end, span) ||
        are_references_many(judge, first, end, span))
        return false;
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        uint64_t longest_ns = decision->sibling_longest_ns;
        uint64_t limit_ns = longest_ns + longest_ns / 2 + BL_JUDGE_TICK_NS;
        for (size_t k = 0; k < decision->object_count; k++) {
            const struct bl_history_object *object =
                &judge->histories->objects[decision->first_object + k];
            if (judge->model->now_ns > object->birth_ns + limit_ns ||
                !is_touched_by(judge, object, decision->is_left_behind ? is_at_work : is_of_worker))
                return false;
        }
    }
    return true;
}

/* ---- the last that was seen of a thread ---- */

static void note_latest(struct bl_hands *hands, uint32_t thread, uint64_t time_ns)
{
    if (thread < hands->thread_count && time_ns > hands->latest_ns[thread])
        hands->latest_ns[thread] = time_ns;
}

static void find_latest(const struct bl_judge *judge, struct bl_hands *hands)
{
    struct bl_event events[HISTORY_MAX];
    for (size_t i = 0; i < judge->histories->object_count; i++) {
        const struct bl_object *record = record_of(judge, &judge->histories->objects[i]);
        size_t kept = read_events(judge, record, events);
        note_latest(hands, record->thread, record->birth_ns);
        for (size_t k = 0; k < kept; k++)
            note_latest(hands, events[k].thread, events[k].time_ns);
    }
    for (uint32_t i = 0; i < hands->thread_count; i++) {
        hands->latest_ns[i] = is_at_work(judge, i) ? hands->latest_ns[i] : 0;
        hands->at_work += hands->latest_ns[i] > 0;
    }
}

static bool is_latest(const struct bl_hands *hands, uint32_t thread, uint64_t time_ns)
{
    return thread < hands->thread_count && hands->latest_ns[thread] > 0 &&
           time_ns + BL_JUDGE_TICK_NS >= hands->latest_ns[thread];
}

static bool is_held(const struct bl_judge *judge, const struct bl_hands *hands,
                    const struct bl_object *record)
{
    struct bl_event events[HISTORY_MAX];
    size_t kept = read_events(judge, record, events);
    for (size_t i = 0; i < kept; i++)
        if (is_latest(hands, events[i].thread, events[i].time_ns))
            return true;
    return is_latest(hands, record->thread, record->birth_ns);
}

static struct place *find_place(struct bl_hands *hands, uint32_t class_number, uint32_t stack)
{
    for (size_t i = 0; i < hands->place_count; i++)
        if (hands->places[i].class_number == class_number && hands->places[i].stack == stack)
            return &hands->places[i];
    return NULL;
}

static void note_held(const struct bl_judge *judge, struct bl_hands *hands,
                      const struct bl_history_object *object)
{
    const struct bl_pattern *live = &judge->histories->live[object->pattern];
    const struct bl_item *birth = bl_pattern_birth(judge->histories, live);
    if (!birth || birth->stack == 0 || live->doubt != BL_DOUBT_NONE)
        return;
    struct place *place = find_place(hands, live->class_number, birth->stack);
    if (!place && hands->place_count < PLACES_MAX) {
        place = &hands->places[hands->place_count++];
        *place = (struct place){.class_number = live->class_number,
                                .stack = birth->stack,
                                .call = bl_judge_site(judge, birth),
                                .oldest_birth_ns = UINT64_MAX};
    }
    if (!place)
        return;
    place->held++;
    if (object->birth_ns < place->oldest_birth_ns)
        place->oldest_birth_ns = object->birth_ns;
    if (object->birth_ns > place->youngest_birth_ns)
        place->youngest_birth_ns = object->birth_ns;
}

static void count_births(const struct bl_judge *judge, struct bl_hands *hands,
                         const struct bl_pattern *patterns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct bl_item *birth = bl_pattern_birth(judge->histories, &patterns[i]);
        struct place *place =
            birth ? find_place(hands, patterns[i].class_number, birth->stack) : NULL;
        if (place)
            place->born += patterns[i].count;
    }
}

/* Only those places stay of which all that was ever made is held. */
static void keep_whole(struct bl_hands *hands)
{
    size_t kept = 0;
    for (size_t i = 0; i < hands->place_count; i++) {
        const struct place *place = &hands->places[i];
        if (place->held == place->born && place->held <= HELD_AT_ONCE * hands->at_work)
            hands->places[kept++] = *place;
    }
    hands->place_count = kept;
}

static void look(const struct bl_judge *judge, struct bl_hands *hands)
{
    find_latest(judge, hands);
    for (size_t i = 0; hands->at_work > 0 && i < judge->histories->object_count; i++) {
        const struct bl_history_object *object = &judge->histories->objects[i];
        if (is_held(judge, hands, record_of(judge, object)))
            note_held(judge, hands, object);
    }
    count_births(judge, hands, judge->histories->live, judge->histories->live_count);
    count_births(judge, hands, judge->histories->completed, judge->histories->completed_count);
    keep_whole(hands);
}

/* On first need; NULL without memory. */
static const struct bl_hands *hands_of(struct bl_judge *judge)
{
    struct bl_hands *hands = judge->hands;
    if (hands)
        return hands;
    hands = calloc(1, sizeof(*hands));
    if (!hands)
        return NULL;
    hands->thread_count = bl_reader_count(judge->reader, BL_SECTION_THREADS);
    hands->latest_ns = calloc(hands->thread_count + 1u, sizeof(*hands->latest_ns));
    if (!hands->latest_ns) {
        free(hands);
        return NULL;
    }
    look(judge, hands);
    judge->hands = hands;
    return hands;
}

void bl_hands_destroy(struct bl_hands *hands)
{
    if (!hands)
        return;
    free(hands->latest_ns);
    free(hands);
}

/* By the same call, and not by a later one from the same place, as an event loop makes: hardly
 * anything was done between. */
static bool is_made_with_held(struct bl_judge *judge, const struct bl_hands *hands,
                              const struct bl_item *birth, struct bl_span span)
{
    for (size_t i = 0; birth && birth->stack && i < hands->place_count; i++) {
        const struct place *place = &hands->places[i];
        uint64_t from_ns = place->oldest_birth_ns;
        uint64_t to_ns = place->youngest_birth_ns;
        from_ns = span.oldest_birth_ns < from_ns ? span.oldest_birth_ns : from_ns;
        to_ns = span.youngest_birth_ns > to_ns ? span.youngest_birth_ns : to_ns;
        if (bl_model_frames_inside(judge->reader, birth->stack, place->call) > 0 &&
            bl_course_is_moment(judge, from_ns, to_ns))
            return true;
    }
    return false;
}

bool bl_hands_hold(struct bl_judge *judge, size_t first, size_t end)
{
    struct bl_span span = bl_grouping_span(judge, first, end);
    if (!judge->is_final || span.count > PARTS_MOST || are_references_many(judge, first, end, span))
        return false;
    const struct bl_hands *hands = hands_of(judge);
    if (!hands)
        return false;
    for (size_t i = first; i < end; i++)
        if (!is_made_with_held(judge, hands, bl_decision_birth(judge, &judge->decisions[i]), span))
            return false;
    return true;
}
