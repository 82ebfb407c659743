/*
 * What the shim asks a profile: whether a file is meant, and the values of a call.
 */
#include "profile.h"

#include <string.h>

static bool matches_one(const char *pattern, size_t length, const char *name)
{
    /* the usual two-pointer walk: on a mismatch the latest `*` takes one byte more */
    const char *end = pattern + length;
    const char *star = NULL;
    const char *retry = NULL;
    while (*name) {
        if (pattern < end && *pattern == '*') {
            star = ++pattern;
            retry = name;
        } else if (pattern < end && *pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star;
            name = ++retry;
        } else {
            return false;
        }
    }
    while (pattern < end && *pattern == '*')
        pattern++;
    return pattern == end;
}

bool bl_profile_matches(const char *patterns, const char *file_name)
{
    while (*patterns) {
        size_t length = strcspn(patterns, " ");
        if (length > 0 && matches_one(patterns, length, file_name))
            return true;
        patterns += length + strspn(patterns + length, " ");
    }
    return false;
}

bool bl_profile_matches_one(const char *pattern, size_t length, const char *file_name)
{
    return matches_one(pattern, length, file_name);
}

static uint64_t load(uint64_t address, unsigned width)
{
    uint64_t value = 0; /* little-endian: the low bytes come first */
    memcpy(&value, (const void *)(uintptr_t)address, width); // NOLINT(performance-no-int-to-ptr)
    return value;
}

static uint64_t argument(const struct bl_profile_call *call, int64_t number)
{
    return number <= 6 ? call->args[number - 1] : call->stack_args[number - 7];
}

static uint64_t low_bytes(uint64_t value, unsigned width)
{
    return width == 0 || width >= 8 ? value : value & ((UINT64_C(1) << (8 * width)) - 1);
}

bool bl_profile_value(const struct bl_place *place, const struct bl_profile_call *call,
                      uint64_t *ret_value)
{
    uint64_t value;
    switch (place->where) {
    case BL_WHERE_CONST:
        *ret_value = (uint64_t)place->n;
        return true;
    case BL_WHERE_RESULT:
        value = call->result;
        break;
    case BL_WHERE_ARG:
        value = argument(call, place->n);
        break;
    case BL_WHERE_PRODUCT:
        *ret_value = low_bytes(argument(call, place->n), place->width) *
                     low_bytes(argument(call, place->m), place->width);
        return true;
    case BL_WHERE_FIELD:
        if (call->handle == 0)
            return false;
        *ret_value = load(call->handle + (uint64_t)place->n, place->width);
        return true;
    case BL_WHERE_NONE:
    default:
        return false;
    }
    for (unsigned i = 0; i < place->derefs; i++) {
        if (value == 0)
            return false;
        value = load(value, 8);
    }
    *ret_value = low_bytes(value, place->width);
    return true;
}
