/*
 * The parts of leaked owners, once they are known: taken out of the decisions while those are put
 * together in groups, and given back where the owner turns out not to be leaked.
 */
#include "judge.h"

size_t bl_cascade_take(struct bl_judge *judge, struct bl_decision *parts,
                       struct bl_decision *owners)
{
    size_t kept = 0;
    size_t taken = 0;
    for (size_t i = 0; i < judge->decision_count; i++) {
        struct bl_decision *decision = &judge->decisions[i];
        if (decision->owner == BL_JUDGE_NONE)
            continue;
        parts[taken] = *decision;
        owners[taken++] = judge->decisions[decision->owner];
    }
    for (size_t i = 0; i < judge->decision_count; i++)
        if (judge->decisions[i].owner == BL_JUDGE_NONE)
            judge->decisions[kept++] = judge->decisions[i];
    judge->decision_count = kept;
    return taken;
}

/* Is the owner of a part still accused? */
static bool is_owner_accused(const struct bl_judge *judge, const struct bl_decision *owner)
{
    for (size_t i = 0; i < judge->decision_count; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        if (decision->pattern == owner->pattern && decision->item == owner->item &&
            bl_decision_is_accused(decision))
            return true;
    }
    return false;
}

size_t bl_cascade_return(struct bl_judge *judge, struct bl_decision *parts,
                         struct bl_decision *owners, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_owner_accused(judge, &owners[i])) {
            parts[kept] = parts[i];
            owners[kept++] = owners[i];
            continue;
        }
        /* there is room: this is where they came from */
        struct bl_decision *decision = &judge->decisions[judge->decision_count++];
        *decision = parts[i];
        decision->owner = BL_JUDGE_NONE;
        bl_decision_settle(judge, decision, BL_GROUND_PART);
    }
    return kept;
}
