/*
 * What is concluded about a group of unreleased buffers, and the evidence for it.
 */
#ifndef BL_VERDICT_H
#define BL_VERDICT_H

#include "histories.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Worst first. */
enum bl_verdict {
    BL_VERDICT_MISSING_RELEASE,
    BL_VERDICT_NEVER_RELEASED,
    BL_VERDICT_OVER_RELEASE,
    BL_VERDICT_STALE,
    BL_VERDICT_UNRELEASED, /* the evidence does not carry more */
};

/* Why a buffer is only called unreleased. */
enum bl_ground {
    BL_GROUND_ACCUSED, /* it is called more */
    BL_GROUND_IN_USE,
    BL_GROUND_HANDS,   /* at the end a thread was at work on what the same call made */
    BL_GROUND_CUT_OFF, /* part of work that the end of the process cut off */
    BL_GROUND_YOUNG,
    BL_GROUND_OLD, /* older than siblings became, but not by much, or not for long */
    BL_GROUND_STEADY,
    BL_GROUND_FILLING, /* ever fewer of them */
    BL_GROUND_ONCE,    /* each the only one on its path */
    BL_GROUND_SET_UP,  /* nothing like them was ever released, nor have they come again and again */
    BL_GROUND_FEW,     /* far older than siblings became, but one or two */
    BL_GROUND_MOVING,
    BL_GROUND_OVERFLOW,
    BL_GROUND_DRIFTED,
    BL_GROUND_INHERITED,
    BL_GROUND_SETTLED,
    BL_GROUND_UNSEEN,  /* born before or beside what was seen */
    BL_GROUND_LASTING, /* made to stay, as the profile says */
    BL_GROUND_MIXED,   /* references of one buffer, given back here and there */
    BL_GROUND_UNEXPLAINED,
    BL_GROUND_OWNED,        /* left to their owners, which are alive */
    BL_GROUND_OWNER_UNSEEN, /* they may have ended with it */
    BL_GROUND_PARTIAL,      /* calls that end buffers of the class go unseen */
    BL_GROUND_PART,
    BL_GROUND_COUNT,
};

/* Could another acquire of the same buffers be blamed as well? */
enum bl_rival {
    BL_RIVAL_NONE,
    BL_RIVAL_BIRTH, /* the birth, were it not for the habits of who makes a buffer */
    BL_RIVAL_ANY,
};

struct bl_reference {
    enum bl_item_kind kind;
    uint32_t frame; /* the site: the stack from there on */
    uint64_t count; /* references, of all buffers of the finding */
    bool is_blamed;
};

#define BL_FINDING_REFERENCES 16
#define BL_FINDING_PARTS      12

/* Buffers of another class that a leaked one holds, and that go with it. */
struct bl_part {
    uint32_t class_number;
    uint64_t count;
    uint64_t bytes;
    uint64_t estimate; /* of them: what siblings held does not tell how many of those it holds */
};

struct bl_finding {
    enum bl_verdict verdict;
    enum bl_ground ground;
    double confidence;
    enum bl_item_kind blame_kind;
    uint32_t blame_frame; /* the site of most of its buffers; 0: unknown */
    uint32_t chain_frame; /* that frame or a caller of it: so far out it takes to tell them from
                             others that passed the site; 0: unknown */
    uint64_t blame_stacks;
    uint32_t
        suspect_frame; /* of what is not accused: the site of the acquire that would be; 0: none */
    uint32_t alloc_frame;
    uint64_t alloc_stacks;
    uint64_t oldest_address; /* the handle of its oldest buffer */
    uint64_t refs_min;       /* references of a buffer that are not given back */
    uint64_t refs_max;
    /* buffers that passed the blamed acquire, and those that did not */
    uint64_t leaked;
    uint64_t passed;
    uint64_t other_leaked;
    uint64_t other_passed;
    uint64_t kept; /* references taken at the blamed acquire that were not given back */
    uint64_t taken;
    uint64_t siblings; /* completed ones that the verdict was drawn from */
    uint64_t sibling_p99_ns;
    uint64_t oldest_ns;
    bool is_growing; /* its site's memory grows, and it with it */
    uint64_t shared; /* buffers that are in another finding as well: two references are missing */
    uint32_t expected_frame;    /* where siblings give the reference back; 0: unknown */
    uint32_t expected_stack;    /* whole, by one of the ways to it */
    uint64_t expected_count;    /* siblings, or references */
    bool is_expected_of_helper; /* the site there, or of the end, serves several callers */
    bool is_expected_of_itself; /* no sibling gave it back there, but the buffer other references */
    /* Its class's references are taken and given back where no call is seen. Then nothing is said
     * of them: how many are left, and where siblings gave back the one that is missing. */
    bool is_uncounted;
    uint32_t
        ended_frame; /* of such siblings, where the last reference was given back; 0: unknown */
    uint64_t ended_count;
    struct bl_reference references[BL_FINDING_REFERENCES];
    size_t reference_count;
    struct bl_part parts[BL_FINDING_PARTS];
    size_t part_count;
    struct bl_part other_parts;  /* of all further classes together */
    uint64_t other_part_classes; /* which they are, a bit for each number */
    uint64_t held_beside;        /* so many like these are parts of other findings */
    bool may_be_held; /* and most of these may be as well, if those hold more than siblings */
    char text[512];   /* the evidence in words */
    enum bl_rival rival;
    bool is_ended;   /* the process has, in whatever way */
    bool is_doubted; /* an over-release of what may have lived: calls were missed */
    bool is_killed;  /* in the middle of its work */
    bool are_latest; /* each is the last of its place, where one ends before the next is made */
    char note[384];  /* what limits it; "" */
};

static_assert(BL_CLASSES_MAX <= 64, "a bit for each class");

static inline bool bl_finding_has_other(const struct bl_finding *finding, uint32_t class_number)
{
    return finding->other_part_classes >> class_number % BL_CLASSES_MAX & 1;
}

static inline unsigned bl_finding_other_classes(const struct bl_finding *finding)
{
    return (unsigned)__builtin_popcountll(finding->other_part_classes);
}

/* Of BL_GROUND_OLD: are they much older, but only for seconds? */
static inline bool bl_finding_is_far_behind(const struct bl_finding *finding)
{
    return finding->siblings > 0 && finding->oldest_ns >= 10 * finding->sibling_p99_ns;
}

/* "missing-release", as in the JSON. */
const char *bl_verdict_name(enum bl_verdict verdict);

#endif
