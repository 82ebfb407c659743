/*
 * What the end of the process cut off: regions that were worked in, and what was in them.
 *
 * A region is a buffer that others are allocated in, as a connection's pool is. A server that is
 * told to stop joins its threads and exits; the connections that were open then belong to no thread
 * any more, wait in a queue or a poll set, and nobody goes through those to tear them down. Their
 * regions are left, while the idle ones, which lie in a list, are emptied in whatever order: that
 * younger ones have gone tells nothing of them. Nor does it of what is in such a region, that
 * others of its kind went sooner, in regions where the work went on.
 *
 * Two things show it, both only of regions that a thread other than the main one made. A region was
 * worked in until the end: of all that the process made, hardly anything was made after the last
 * that is in it. One that was forgotten at any other time is left alone from then on. And what is
 * in a region that nobody blames is alone of its kind there: the one that the work had in use. What
 * is forgotten again and again piles up.
 */
#include "cut_off.h"

#include "judge.h"

#include <stdlib.h>

#define HELD_AT_ONCE 4u   /* regions, by a thread */
#define STEPS_MOST   32u  /* from an owner to its owner; the file may say anything, a circle too */
#define SINCE_SHARE  0.25 /* of all that was made */
#define ASKED_MOST   256u /* groups; further ones are not looked at */

/* By number of a tracked buffer. */
struct spot {
    uint32_t owner;
    uint32_t thread; /* that made it; 0: there is none of that number */
    uint32_t latest; /* birth of the youngest that is in it */
    bool is_region;
};

struct bl_cut_off {
    struct spot *spots;
    uint32_t last;
    uint32_t newest; /* birth of all that was made */
    uint32_t first;
    uint32_t asked; /* groups */
    uint64_t at_most;
};

static bool is_younger(uint32_t birth, uint32_t than)
{
    return (int32_t)(birth - than) > 0;
}

static void note_birth(struct bl_cut_off *all, uint32_t birth, bool is_first)
{
    if (is_first || is_younger(birth, all->newest))
        all->newest = birth;
    if (is_first || is_younger(all->first, birth))
        all->first = birth;
}

/* Tells all that a buffer is in that it was made. */
static void note_inside(struct bl_cut_off *all, uint32_t number, uint32_t birth)
{
    uint32_t owner = all->spots[number].owner;
    for (unsigned i = 0; i < STEPS_MOST && owner != 0 && owner <= all->last; i++) {
        struct spot *spot = &all->spots[owner];
        if (!spot->is_region || is_younger(birth, spot->latest))
            spot->latest = birth;
        spot->is_region = true;
        owner = spot->owner;
    }
}

static uint64_t count_workers(const struct bl_judge *judge)
{
    uint64_t count = 0;
    for (uint32_t i = 1; i < bl_reader_count(judge->reader, BL_SECTION_THREADS); i++)
        count += bl_reader_thread(judge->reader, i) && i != judge->main_thread;
    return count;
}

static void look(const struct bl_judge *judge, struct bl_cut_off *all,
                 const struct bl_tracked *tracked, size_t count)
{
    const struct bl_histories *histories = judge->histories;
    for (size_t i = 0; i < count; i++) {
        const struct bl_object *record = &tracked[i].object;
        all->spots[tracked[i].number] =
            (struct spot){.owner = record->owner, .thread = record->thread};
        note_birth(all, record->birth, i == 0);
    }
    for (size_t i = 0; i < count; i++)
        note_inside(all, tracked[i].number, tracked[i].object.birth);
    for (size_t i = 0; i < histories->completed_count; i++)
        note_birth(all, histories->completed[i].lifecycle->newest, count == 0 && i == 0);
    all->at_most = HELD_AT_ONCE * count_workers(judge);
}

/* On first need; NULL without memory. */
static struct bl_cut_off *cut_off_of(struct bl_judge *judge)
{
    size_t count;
    const struct bl_tracked *tracked = bl_reader_objects(judge->reader, &count);
    if (judge->cut_off)
        return judge->cut_off;
    struct bl_cut_off *all = calloc(1, sizeof(*all));
    if (!all)
        return NULL;
    all->last = count > 0 ? tracked[count - 1].number : 0;
    all->spots = calloc((size_t)all->last + 1, sizeof(*all->spots));
    if (!all->spots) {
        free(all);
        return NULL;
    }
    look(judge, all, tracked, count);
    judge->cut_off = all;
    return all;
}

void bl_cut_off_destroy(struct bl_cut_off *cut_off)
{
    if (!cut_off)
        return;
    free(cut_off->spots);
    free(cut_off);
}

static uint32_t number_of(const struct bl_judge *judge, const struct bl_history_object *object)
{
    size_t count;
    return bl_reader_objects(judge->reader, &count)[object->index].number;
}

static bool is_of_worker(const struct bl_judge *judge, const struct spot *spot)
{
    return spot->thread != 0 && spot->thread != judge->main_thread;
}

/* Is it a region that was worked in until the end? */
static bool is_busy_region(const struct bl_judge *judge, const struct bl_cut_off *all,
                           uint32_t number)
{
    const struct spot *spot = &all->spots[number];
    double since = (double)(all->newest - spot->latest);
    return spot->is_region && is_of_worker(judge, spot) &&
           since <= SINCE_SHARE * ((double)(all->newest - all->first) + 1);
}

/* Marks what is accused in the decisions. */
static void mark_accused(const struct bl_judge *judge, const struct bl_cut_off *all,
                         uint8_t *is_accused)
{
    for (size_t i = 0; i < judge->decision_count; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        for (size_t k = 0; bl_decision_is_accused(decision) && k < decision->object_count; k++) {
            uint32_t number =
                number_of(judge, &judge->histories->objects[decision->first_object + k]);
            if (number <= all->last)
                is_accused[number] = 1;
        }
    }
}

/* Is it in a region of which, nor of what that is in, nobody is blamed? */
static bool is_in_peace(const struct bl_judge *judge, const struct bl_cut_off *all,
                        const uint8_t *is_accused, uint32_t number)
{
    uint32_t owner = all->spots[number].owner;
    if (owner == 0 || owner > all->last || !is_of_worker(judge, &all->spots[owner]))
        return false;
    for (unsigned i = 0; i < STEPS_MOST && owner != 0 && owner <= all->last; i++) {
        if (is_accused[owner])
            return false;
        owner = all->spots[owner].owner;
    }
    return true;
}

static int compare_kinds(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static bool are_different(uint64_t *kinds, size_t count)
{
    if (count > 1)
        qsort(kinds, count, sizeof(*kinds), compare_kinds);
    for (size_t i = 1; i < count; i++)
        if (kinds[i] == kinds[i - 1])
            return false;
    return true;
}

/* Is each in a region in peace, and the only one there of those that were made by the same calls?
 * kinds and is_accused are for use here, with room for all of them and of the process. */
static bool are_alone_with(const struct bl_judge *judge, const struct bl_cut_off *all, size_t first,
                           size_t end, uint64_t *kinds, uint8_t *is_accused)
{
    size_t count = 0;
    mark_accused(judge, all, is_accused);
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        const struct bl_item *birth = bl_decision_birth(judge, decision);
        for (size_t k = 0; k < decision->object_count; k++) {
            uint32_t number =
                number_of(judge, &judge->histories->objects[decision->first_object + k]);
            if (!is_in_peace(judge, all, is_accused, number))
                return false;
            kinds[count++] = (uint64_t)all->spots[number].owner << 32 | (birth ? birth->stack : 0);
        }
    }
    return are_different(kinds, count);
}

static bool are_alone(const struct bl_judge *judge, const struct bl_cut_off *all, size_t first,
                      size_t end, size_t count)
{
    uint64_t *kinds = calloc(count + 1, sizeof(*kinds));
    uint8_t *is_accused = calloc((size_t)all->last + 1, sizeof(*is_accused));
    bool are = kinds && is_accused && are_alone_with(judge, all, first, end, kinds, is_accused);
    free(kinds);
    free(is_accused);
    return are;
}

static bool are_busy_regions(const struct bl_judge *judge, const struct bl_cut_off *all,
                             size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        for (size_t k = 0; k < decision->object_count; k++)
            if (!is_busy_region(
                    judge, all,
                    number_of(judge, &judge->histories->objects[decision->first_object + k])))
                return false;
    }
    return true;
}

bool bl_cut_off_has(struct bl_judge *judge, size_t first, size_t end)
{
    uint64_t count = bl_grouping_span(judge, first, end).count;
    struct bl_cut_off *all = judge->is_final ? cut_off_of(judge) : NULL;
    if (!all || all->asked >= ASKED_MOST || count > all->at_most)
        return false;
    all->asked++;
    return are_busy_regions(judge, all, first, end) || are_alone(judge, all, first, end, count);
}
