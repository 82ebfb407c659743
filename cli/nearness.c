#include "nearness.h"

#include <math.h>
#include <stdlib.h>

#define ASKED_MAX 64u /* objects of a part that stand for all */
#define NEARLY    16u /* one in so many may be farther away */
#define CHANCE    0.01

static int compare_numbers(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static void add_births(const struct bl_judge *judge, const struct bl_decision *decision,
                       uint32_t *births, size_t *count)
{
    for (size_t i = 0; i < decision->object_count; i++)
        births[(*count)++] = judge->histories->objects[decision->first_object + i].birth;
}

uint32_t *bl_nearness_births(const struct bl_judge *judge, const bool *is_chosen, size_t count,
                             size_t *ret_births)
{
    size_t room = 1;
    *ret_births = 0;
    for (size_t i = 0; i < count; i++)
        room += is_chosen[i] ? judge->decisions[i].object_count : 0;
    uint32_t *births = malloc(room * sizeof(*births));
    for (size_t i = 0; births && i < count; i++)
        if (is_chosen[i])
            add_births(judge, &judge->decisions[i], births, ret_births);
    if (births && *ret_births > 1)
        qsort(births, *ret_births, sizeof(*births), compare_numbers);
    return births;
}

uint32_t bl_nearness_distance(const uint32_t *births, size_t count, uint32_t birth)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (births[middle] < birth)
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t after = low < count ? births[low] - birth : UINT32_MAX;
    uint32_t before = low > 0 ? birth - births[low - 1] : UINT32_MAX;
    return before < after ? before : after;
}

/* Those that stand for all, evenly spread. */
static size_t ask(const struct bl_judge *judge, const struct bl_decision *part,
                  uint32_t asked[ASKED_MAX])
{
    size_t count = part->object_count < ASKED_MAX ? part->object_count : ASKED_MAX;
    for (size_t i = 0; i < count; i++)
        asked[i] =
            judge->histories->objects[part->first_object + i * part->object_count / count].birth;
    return count;
}

static bool measure(const struct bl_judge *judge, uint32_t number, const uint32_t *asked,
                    size_t asked_count, uint32_t *ret_distances)
{
    const struct bl_decision *decision = &judge->decisions[number];
    size_t count = 0;
    uint32_t *births = malloc((decision->object_count + 1) * sizeof(*births));
    if (!births)
        return false;
    add_births(judge, decision, births, &count);
    if (count > 1)
        qsort(births, count, sizeof(*births), compare_numbers);
    for (size_t i = 0; i < asked_count; i++)
        ret_distances[i] = bl_nearness_distance(births, count, asked[i]);
    free(births);
    return true;
}

void bl_choice_add(struct bl_choice *choice, uint32_t number, uint64_t many)
{
    if (choice->count == BL_CHOICE_MAX)
        return;
    choice->numbers[choice->count++] = number;
    if (many <= choice->most)
        return;
    choice->most = many;
    choice->numbers[choice->count - 1] = choice->numbers[0];
    choice->numbers[0] = number;
}

uint32_t bl_choice_nearest(const struct bl_judge *judge, const struct bl_decision *part,
                           const struct bl_choice *choice)
{
    const uint32_t *numbers = choice->numbers;
    size_t count = choice->count;
    uint32_t asked[ASKED_MAX];
    uint32_t nearest[ASKED_MAX];
    size_t asked_count = ask(judge, part, asked);
    uint32_t(*distances)[ASKED_MAX] = calloc(count + 1, sizeof(*distances));
    uint32_t chosen = BL_JUDGE_NONE;
    size_t most = 0;
    bool could = distances != NULL;
    for (size_t n = 0; could && n < count; n++)
        could = measure(judge, numbers[n], asked, asked_count, distances[n]);
    for (size_t i = 0; could && i < asked_count; i++) {
        nearest[i] = UINT32_MAX;
        for (size_t n = 0; n < count; n++)
            nearest[i] = distances[n][i] < nearest[i] ? distances[n][i] : nearest[i];
    }
    for (size_t n = 0; could && n < count; n++) {
        size_t votes = 0;
        for (size_t i = 0; i < asked_count; i++)
            votes += distances[n][i] == nearest[i];
        if (votes > most) {
            most = votes;
            chosen = numbers[n];
        }
    }
    free(distances);
    return chosen;
}

/* Births of the process that are spanned by some. */
static double span_of(const struct bl_judge *judge)
{
    uint32_t oldest = UINT32_MAX;
    uint32_t youngest = 0;
    for (size_t i = 0; i < judge->histories->object_count; i++) {
        uint32_t birth = judge->histories->objects[i].birth;
        oldest = birth < oldest ? birth : oldest;
        youngest = birth > youngest ? birth : youngest;
    }
    return youngest > oldest ? (double)(youngest - oldest) + 1 : 1;
}

bool bl_nearness_is_no_chance(const struct bl_judge *judge, const struct bl_decision *part,
                              const bool *is_chosen, size_t count)
{
    uint32_t asked[ASKED_MAX];
    size_t asked_count = ask(judge, part, asked);
    size_t owner_count;
    uint32_t *births = bl_nearness_births(judge, is_chosen, count, &owner_count);
    if (!births || owner_count == 0 || asked_count == 0) {
        free(births);
        return false;
    }
    for (size_t i = 0; i < asked_count; i++)
        asked[i] = bl_nearness_distance(births, owner_count, asked[i]);
    free(births);
    qsort(asked, asked_count, sizeof(*asked), compare_numbers);
    size_t near = asked_count - asked_count / NEARLY;
    /* the share of all births that are as near to one of them */
    double share = (double)owner_count * (2.0 * asked[near - 1] + 1) / span_of(judge);
    return pow(fmin(share, 1), (double)near) <= CHANCE;
}
