/*
 * Cascades: a leaked buffer holds others, which are not released because it is not. They are no bug
 * of their own, and are folded under their owner.
 *
 * Where the ledger does not say which buffer holds which, these show it. Siblings that ended
 * well: the release that is missing happens inside the release of the owner, so the one cannot be
 * without the other. An owner's siblings are those that were made alike: where one call makes lists
 * and strings, and strings are seen to end inside the end of lists, no string holds any. And the
 * birth: see made.h. Either way there must be enough owners for the parts: where each owner that
 * ended gave back just as many, a leaked one holds as many and no more, and what is left over is
 * told by itself.
 */
#include "held.h"
#include "judge.h"
#include "made.h"
#include "nearness.h"
#include "releases.h"
#include "rest.h"

#include <stdlib.h>
#include <string.h>

#define DECISIONS_MAX 2048u /* pairs of them are looked at; further ones stay what they are */
#define SLACK         2     /* an owner may hold so many times what siblings held on average */
#define ENCLOSING_MAX 16u   /* releases around one, of completed buffers */
#define EXACT_LEAST   16u   /* owners that each held just as many: so will the others */
#define TALLIES_MAX   256u
#define SIBLINGS_MAX  64u        /* histories of siblings, the most common first */
#define CHOICE_WORK   (1u << 24) /* births looked at, then the most numerous is chosen */

/* What has been folded of one kind under owners that are released at one stack. */
struct tally {
    struct bl_kind kind;
    uint32_t stack;
    uint64_t units;
};

/* How many references the owners of some parts may hold. */
struct holdable {
    struct bl_kind kind; /* of what is counted: the parts' own, or all of their class */
    uint64_t most;
    bool is_exact; /* each owner that ended held as many as any other: `exact` is all they hold */
    uint64_t exact;
};

struct search {
    struct bl_judge *judge;
    struct bl_releases *releases;
    uint32_t count; /* of decisions looked at */
    bool *is_owner; /* by decision, of the part that was asked for last */
    struct tally tallies[TALLIES_MAX];
    size_t tally_count;
    size_t choice_work;
};

static size_t count_of(const struct bl_judge *judge)
{
    return judge->decision_count < DECISIONS_MAX ? judge->decision_count : DECISIONS_MAX;
}

static struct bl_kind kind_of(const struct search *search, const struct bl_decision *decision)
{
    return bl_releases_kind(search->releases, bl_decision_class(search->judge, decision),
                            bl_decision_birth(search->judge, decision));
}

/* Is an object blamed that others share, which lacks references of some of them? It may be theirs
 * in turn; of what it holds itself that says nothing. */
static bool is_shared(const struct bl_judge *judge, const struct bl_decision *decision)
{
    return bl_decision_kept(judge, decision) > 1 && decision->object_count == 1;
}

/* Does the ledger say what the owner's buffers hold, and of none of the part's who holds it? Then
 * nobody of that class does: a slice has the one buffer that it is a slice of, and no other. */
static bool is_held_by_nobody(const struct bl_decision *part, const struct bl_decision *owner)
{
    return owner->is_named_holder && !part->names_holder;
}

bool bl_decision_may_own(const struct bl_judge *judge, uint32_t part, uint32_t owner)
{
    return bl_decision_may_be_part(&judge->decisions[owner]) &&
           (bl_decision_is_accused(&judge->decisions[part]) ||
            !is_shared(judge, &judge->decisions[owner])) &&
           judge->decisions[owner].pattern != judge->decisions[part].pattern &&
           !(bl_decision_class(judge, &judge->decisions[part]) ==
                 bl_decision_class(judge, &judge->decisions[owner]) &&
             is_held_by_nobody(&judge->decisions[part], &judge->decisions[owner])) &&
           bl_decision_birth(judge, &judge->decisions[owner]) &&
           !bl_decision_is_owned_by(judge, owner, part);
}

/* ---- released by the owner's release ---- */

/* A release that a part lacks, and one that it would have happened inside of. */
struct place {
    uint32_t release; /* index in histories->items */
    uint32_t stack;
};

/* Of one class, is the part of another kind than its owner? Then kinds tell who holds how many of
 * which: what lies in a list is no list. Else all of a class count, whatever way it was made. */
static bool are_kinds_apart(const struct search *search, struct bl_kind part, struct bl_kind owner)
{
    return part.class_number == owner.class_number &&
           (part.site != owner.site || part.inner != owner.inner) &&
           bl_releases_know(search->releases, part) && bl_releases_know(search->releases, owner);
}

/* How many references the owner's objects may hold to such parts, when theirs is given back at
 * `stack`; 0: it is no release of its siblings. Known is how many those that ended held together.
 * Where that is a multiple of their number, each is taken to have held as many. */
static uint64_t add_holdable(const struct search *search, const struct bl_decision *part,
                             const struct bl_decision *owner, struct place place,
                             struct holdable *holdable)
{
    uint32_t stack = place.stack;
    struct bl_kind part_kind = kind_of(search, part);
    struct bl_kind owner_kind = kind_of(search, owner);
    if (!bl_releases_has(search->releases, stack, owner_kind) ||
        !bl_releases_are_by_owners(search->releases, part_kind.class_number,
                                   owner_kind.class_number, stack))
        return 0;
    bool is_apart = are_kinds_apart(search, part_kind, owner_kind);
    part_kind.is_any = owner_kind.is_any = !is_apart;
    uint64_t parts = bl_releases_count(search->releases, part_kind, stack, true);
    uint64_t owners = bl_releases_count(search->releases, owner_kind, stack, false);
    if (owners == 0)
        return 0;
    /* of one class the owners themselves are among them, unless what lies between left no frame */
    if (!is_apart && part_kind.class_number == owner_kind.class_number &&
        search->judge->histories->items[place.release].stack != stack)
        parts -= owners < parts ? owners : parts;
    uint64_t most = (parts + owners - 1) / owners * SLACK * owner->object_count;
    holdable->kind = part_kind;
    holdable->most += most;
    holdable->is_exact &= parts % owners == 0 && owners >= EXACT_LEAST;
    holdable->exact += parts / owners * owner->object_count;
    return most;
}

/* What is made at one place is of one kind, and holds no other of it. */
static bool are_made_alike(const struct bl_judge *judge, uint32_t part, uint32_t owner)
{
    const struct bl_item *a = bl_decision_birth(judge, &judge->decisions[part]);
    const struct bl_item *b = bl_decision_birth(judge, &judge->decisions[owner]);
    return a && b && a->site == b->site;
}

/* Does the library lie between a release and the one at `stack` that it seems to be inside of? A
 * function that ends by jumping into the release leaves no frame: what it did before then seems to
 * be done inside. */
static bool is_inside_library(const struct bl_judge *judge, const struct bl_item *release,
                              uint32_t stack)
{
    size_t depth;
    const struct bl_caller *frames = bl_callers_frames(judge->callers, release->callers, &depth);
    for (size_t i = 0; i < depth; i++)
        if (frames[i].frame == stack)
            return i == 0 || frames[i].inside > 0;
    return true;
}

/* Leaked buffers with different histories can all be owners: those that the parts were born nearest
 * to stand for them, or the most numerous. */
static uint32_t choose(struct search *search, const struct bl_decision *part,
                       const struct bl_choice *choice)
{
    const struct bl_judge *judge = search->judge;
    if (choice->count == 0)
        return BL_JUDGE_NONE;
    for (size_t i = 0; i < choice->count; i++)
        search->choice_work += judge->decisions[choice->numbers[i]].object_count;
    if (choice->count == 1 || part->units > 1 || search->choice_work > CHOICE_WORK)
        return choice->numbers[0];
    uint32_t nearest = bl_choice_nearest(judge, part, choice);
    return nearest != BL_JUDGE_NONE ? nearest : choice->numbers[0];
}

/* One in use counts as an owner, but excuses nobody by itself: where it was released by a call that
 * ended in a jump, its release seems to be its caller's, an event loop's for one, and everything to
 * happen inside. */
static uint32_t find_releaser_at(struct search *search, uint32_t number, struct place place,
                                 struct holdable *holdable)
{
    const struct bl_decision *decisions = search->judge->decisions;
    bool is_accused = bl_decision_is_accused(&decisions[number]);
    const struct bl_item *release = &search->judge->histories->items[place.release];
    bool may_be_of_class = is_inside_library(search->judge, release, place.stack);
    struct bl_choice choice = {.count = 0};
    *holdable = (struct holdable){.is_exact = true};
    for (uint32_t j = 0; j < search->count; j++) {
        search->is_owner[j] = false;
        if (!bl_decision_may_own(search->judge, number, j) ||
            (release->stack == place.stack && are_made_alike(search->judge, number, j)) ||
            (!may_be_of_class && bl_decision_class(search->judge, &decisions[number]) ==
                                     bl_decision_class(search->judge, &decisions[j])))
            continue;
        uint64_t more = add_holdable(search, &decisions[number], &decisions[j], place, holdable);
        search->is_owner[j] = more > 0;
        if (more > 0 && (!is_accused || bl_decision_is_leaked(search->judge, j)))
            bl_choice_add(&choice, j, more);
    }
    return choose(search, &decisions[number], &choice);
}

/* What was folded before of the kind at the stack; NULL: too many are remembered. */
static struct tally *find_tally(struct search *search, struct bl_kind kind, uint32_t stack)
{
    for (size_t i = 0; i < search->tally_count; i++)
        if (bl_kind_is_same(search->tallies[i].kind, kind) && search->tallies[i].stack == stack)
            return &search->tallies[i];
    if (search->tally_count == TALLIES_MAX)
        return NULL;
    search->tallies[search->tally_count] = (struct tally){kind, stack, 0};
    return &search->tallies[search->tally_count++];
}

/* Do the owners hold all of a part? Where it is known how many they hold, they hold no more: what
 * is left over was forgotten by itself, and becomes a decision of its own. */
static bool is_held(struct search *search, uint32_t number, uint32_t stack,
                    const struct holdable *holdable)
{
    struct bl_judge *judge = search->judge;
    const struct bl_decision *part = &judge->decisions[number];
    uint64_t each = part->units;
    uint64_t units = part->object_count * each;
    struct tally *tally =
        holdable->is_exact && each > 0 ? find_tally(search, holdable->kind, stack) : NULL;
    judge->decisions[number].is_estimate = !tally;
    judge->decisions[number].may_be_held = false;
    if (!tally)
        return units <= holdable->most;
    uint64_t left = holdable->exact > tally->units ? holdable->exact - tally->units : 0;
    if (units > left && bl_decision_is_accused(part) && part->object_count > 1 &&
        bl_splitting_keep(judge, number, left / each, search->is_owner, search->count))
        units = judge->decisions[number].object_count * each; /* it can have been moved */
    else if (units > left && left == 0 && tally->units > 0) {
        bl_splitting_note(judge, number, search->is_owner, search->count);
        return false;
    } else if (units > holdable->most)
        return false;
    else
        judge->decisions[number].is_estimate = units > left;
    tally->units += units;
    return true;
}

/* The owner inside whose release, the innermost of all, one of the part's would have happened. A
 * function that ends by jumping into the next leaves no frame: then the part's release seems to be
 * at the same place as its owner's. That is believed of an object that many owners share, as
 * anything else could have been released there by itself. */
static uint32_t find_releaser_of(struct search *search, uint32_t number, uint32_t release,
                                 struct holdable *holdable, uint32_t *ret_stack)
{
    const struct bl_judge *judge = search->judge;
    uint32_t stacks[ENCLOSING_MAX + 1];
    stacks[0] = judge->histories->items[release].stack;
    size_t count =
        1 + bl_releases_enclosing(search->releases, stacks[0], stacks + 1, ENCLOSING_MAX);
    for (size_t i = judge->decisions[number].units > 1 ? 0 : 1; i < count; i++) {
        struct place place = {release, stacks[i]};
        uint32_t owner = find_releaser_at(search, number, place, holdable);
        *ret_stack = stacks[i];
        if (owner != BL_JUDGE_NONE)
            return owner;
    }
    return BL_JUDGE_NONE;
}

/* The owner inside whose release a sibling ended that did what the live one did, whatever else it
 * took and gave back. */
static uint32_t find_releaser_like(struct search *search, uint32_t number,
                                   const struct bl_pattern *completed)
{
    const struct bl_judge *judge = search->judge;
    const struct bl_decision *part = &judge->decisions[number];
    struct bl_rest rest;
    if (!bl_rest_of(judge->histories, &judge->histories->live[part->pattern], completed, &rest) ||
        rest.released != rest.acquired + part->units)
        return BL_JUDGE_NONE;
    for (size_t i = 0; i < rest.count; i++) {
        struct holdable holdable;
        uint32_t stack;
        uint32_t owner = rest.releases[i] != part->expected
                             ? find_releaser_of(search, number, rest.releases[i], &holdable, &stack)
                             : BL_JUDGE_NONE;
        if (owner != BL_JUDGE_NONE && part->object_count * part->units <= holdable.most &&
            bl_nearness_is_no_chance(judge, part, search->is_owner, search->count))
            return owner;
    }
    return BL_JUDGE_NONE;
}

/* Siblings that did the same can have ended in several ways: by themselves mostly, but where they
 * were left to it, by their owner. That these were left to it as well is shown by their births,
 * each near to an owner's. */
static uint32_t find_other_releaser(struct search *search, uint32_t number)
{
    const struct bl_judge *judge = search->judge;
    const struct bl_decision *part = &judge->decisions[number];
    const struct bl_item *birth = bl_decision_birth(judge, part);
    uint32_t owner = BL_JUDGE_NONE;
    size_t count = 0;
    const uint32_t *siblings =
        birth ? bl_compare_siblings(judge->compare, bl_decision_class(judge, part), birth->site,
                                    &count)
              : NULL;
    for (size_t i = 0; owner == BL_JUDGE_NONE && i < count && i < SIBLINGS_MAX; i++)
        owner = find_releaser_like(search, number, &judge->histories->completed[siblings[i]]);
    return owner;
}

static uint32_t find_releaser(struct search *search, uint32_t number)
{
    struct bl_decision *part = &search->judge->decisions[number];
    struct holdable holdable;
    uint32_t stack;
    uint32_t owner = part->expected != BL_JUDGE_NONE
                         ? find_releaser_of(search, number, part->expected, &holdable, &stack)
                         : BL_JUDGE_NONE;
    if (owner != BL_JUDGE_NONE)
        return is_held(search, number, stack, &holdable) ? owner : BL_JUDGE_NONE;
    owner = find_other_releaser(search, number);
    part->is_estimate |= owner != BL_JUDGE_NONE;
    return owner;
}

/* ---- all of them ---- */

/* An owner that is itself a part of something else answers for nothing; one that is left in peace
 * takes what is accused with it. */
static void resolve(struct bl_judge *judge, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct bl_decision *part = &judge->decisions[i];
        while (part->owner != BL_JUDGE_NONE && judge->decisions[part->owner].owner != BL_JUDGE_NONE)
            part->owner = judge->decisions[part->owner].owner;
    }
    for (size_t i = 0; i < count; i++) {
        struct bl_decision *part = &judge->decisions[i];
        if (part->owner != BL_JUDGE_NONE && !bl_decision_is_accused(part) &&
            !bl_decision_is_accused(&judge->decisions[part->owner]))
            part->owner = BL_JUDGE_NONE;
    }
}

static bool is_to_be_asked(const struct bl_decision *decision)
{
    return bl_decision_may_be_part(decision) && decision->owner == BL_JUDGE_NONE &&
           decision->held_beside == 0;
}

/* What is made before the call that makes its owner has returned is the owner's for certain,
 * whoever else may seem to have given it back. */
static void ask_for_maker(const struct search *search, struct bl_made *made, uint32_t number)
{
    struct bl_decision *decision = &search->judge->decisions[number];
    bool is_estimate = decision->owner != BL_JUDGE_NONE && decision->is_estimate;
    if (!bl_decision_may_be_part(decision) || (decision->owner != BL_JUDGE_NONE && !is_estimate))
        return;
    struct bl_maker maker = bl_made_find(made, number);
    if (maker.owner == BL_JUDGE_NONE || (is_estimate && !maker.is_inside))
        return;
    decision->owner = maker.owner;
    decision->is_estimate = false;
    decision->held_beside = 0;
}

/* What lies between, and is known by that alone, is asked first; what nothing like it has ended of
 * yet, so that the release that it lacks is another kind's, last. */
enum turn { TURN_UNSEEN, TURN_KNOWN, TURN_UNKNOWN };

static enum turn turn_of(const struct search *search, const struct bl_decision *decision)
{
    if (decision->ground == BL_GROUND_UNSEEN)
        return TURN_UNSEEN;
    return bl_releases_know(search->releases, kind_of(search, decision)) ? TURN_KNOWN
                                                                         : TURN_UNKNOWN;
}

static void ask_for_releasers(struct search *search, enum turn turn)
{
    struct bl_judge *judge = search->judge;
    for (uint32_t i = 0; i < search->count; i++)
        if (is_to_be_asked(&judge->decisions[i]) && turn_of(search, &judge->decisions[i]) == turn) {
            uint32_t owner = find_releaser(search, i);
            judge->decisions[i].owner = owner; /* they can have been moved */
        }
}

/* Two that were born together may each seem to be made inside the call that made the other: so
 * whose release gives back which of them is asked first, of all that this is known of. */
static void find_owners(struct search *search)
{
    struct bl_judge *judge = search->judge;
    ask_for_releasers(search, TURN_UNSEEN);
    ask_for_releasers(search, TURN_KNOWN);
    uint32_t count = (uint32_t)count_of(judge); /* with those that were split off */
    struct bl_made *made = bl_made_create(judge, count);
    for (uint32_t i = 0; made && i < count; i++)
        ask_for_maker(search, made, i);
    bl_made_destroy(made);
    ask_for_releasers(search, TURN_UNKNOWN);
}

/* ---- released later than by the owner's release ---- */

/* Of one sibling, did the release that `last` lacks come after the one that `first` lacks, and
 * inside the library? */
static bool is_released_after(const struct bl_judge *judge, const struct bl_decision *first,
                              const struct bl_decision *last)
{
    const struct bl_histories *all = judge->histories;
    size_t depth;
    if (first->expected == BL_JUDGE_NONE || last->expected == BL_JUDGE_NONE)
        return false;
    const struct bl_item *a = &all->items[first->expected];
    const struct bl_item *b = &all->items[last->expected];
    if (bl_callers_frames(judge->callers, b->callers, &depth)->inside == 0 || b->order <= a->order)
        return false;
    for (size_t i = 0; i < all->completed_count; i++) {
        const struct bl_item *items = bl_pattern_items(all, &all->completed[i]);
        if (a >= items && a < items + all->completed[i].item_count)
            return b >= items && b < items + all->completed[i].item_count;
    }
    return false;
}

/* Was a reference taken by the library itself, and does no history that ended well tell who is to
 * give it back? Then it goes with another one that an owner has, of the same objects or of others
 * that were born as they were. */
static bool is_the_librarys(const struct bl_judge *judge, const struct bl_decision *decision)
{
    const struct bl_item *item = &judge->histories->items[decision->item];
    return decision->is_open && decision->expected == BL_JUDGE_NONE &&
           item->kind == BL_ITEM_RETAIN && bl_callers_entry(judge->callers, item->callers) != 0;
}

static bool are_born_alike(const struct bl_judge *judge, const struct bl_decision *a,
                           const struct bl_decision *b)
{
    const struct bl_item *birth = bl_decision_birth(judge, a);
    const struct bl_item *its = bl_decision_birth(judge, b);
    return birth && its && birth->stack != 0 && birth->stack == its->stack &&
           bl_decision_class(judge, a) == bl_decision_class(judge, b);
}

/* An owner that ends what is below it gives it back twice: what it took, and what its maker left to
 * it. The second time may be long after its own release, when nobody is inside it any more. */
static bool goes_with(const struct bl_judge *judge, const struct bl_decision *held,
                      const struct bl_decision *other)
{
    bool are_same = other->pattern == held->pattern && other->first_object == held->first_object &&
                    other->object_count == held->object_count;
    return (are_same && is_released_after(judge, held, other)) ||
           ((are_same || are_born_alike(judge, held, other)) && is_the_librarys(judge, other));
}

static void follow_owners(struct bl_judge *judge, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct bl_decision *held = &judge->decisions[i];
        if (held->owner == BL_JUDGE_NONE || !bl_decision_is_accused(held))
            continue;
        for (size_t k = 0; k < count; k++) {
            struct bl_decision *other = &judge->decisions[k];
            if (other->owner != BL_JUDGE_NONE || !bl_decision_is_accused(other) ||
                bl_decision_is_owned_by(judge, held->owner, (uint32_t)k) ||
                !goes_with(judge, held, other))
                continue;
            other->owner = held->owner;
            other->is_estimate |= is_the_librarys(judge, other);
        }
    }
}

void bl_cascade_find(struct bl_judge *judge)
{
    size_t count = count_of(judge);
    struct search search = {
        .judge = judge,
        .releases = bl_releases_create(judge->histories, judge->reader, judge->callers),
        .count = (uint32_t)count,
        .is_owner = calloc(count + 1, sizeof(*search.is_owner)),
    };
    bl_held_find(judge, search.releases, count);
    if (search.releases && search.is_owner)
        find_owners(&search);
    follow_owners(judge, count_of(judge));
    bl_releases_destroy(search.releases);
    free(search.is_owner);
    resolve(judge, judge->decision_count);
}
