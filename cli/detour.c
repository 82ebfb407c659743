#include "detour.h"

/* May something have been left out between two calls, and be there in the other one's? */
static bool is_gap(const struct bl_caller *inner, const struct bl_caller *between,
                   const struct bl_caller *outer)
{
    return inner->nest.method && between->nest.method && outer->nest.method;
}

/* Site and outermost frame are equal, and all frames of a are in b, in order. */
bool bl_detour_is(const struct bl_callers *callers, uint32_t a, uint32_t b)
{
    size_t a_last;
    size_t b_last;
    size_t i = 1;
    if (bl_callers_whole(callers, a) == bl_callers_whole(callers, b))
        return true;
    const struct bl_caller *one = bl_callers_frames(callers, a, &a_last);
    const struct bl_caller *other = bl_callers_frames(callers, b, &b_last);
    if (--a_last == 0 || --b_last < a_last || one[0].place != other[0].place ||
        one[a_last].place != other[b_last].place)
        return false;
    for (size_t k = 1; k < b_last; k++) {
        if (i < a_last && one[i].place == other[k].place)
            i++;
        else if (!is_gap(&one[i - 1], &other[k], &one[i]))
            return false;
    }
    return i == a_last;
}
