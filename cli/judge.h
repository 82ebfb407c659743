/*
 * What the parts of the verdict share: the case file.
 *
 * judge.c makes decisions: about some objects of one pattern, who is to blame or why nobody is;
 * left.c tells it which of them are in use, gone.c which nobody has any more;
 * paths.c tells it what the buffers of one path show together, agree.c compares the guesses,
 * turns.c takes back what is only not due yet. owned.c, held.c and cascade.c, which made.c and
 * splitting.c help, find what a leaked buffer holds, taken.c folds it under that, grouping.c puts
 * decisions that blame the same acquire together, settle.c takes back what only looks guilty,
 * course.c tells it how a group came to be, hands.c what was in use at the end, cut_off.c which
 * work the end cut off, findings.c writes each group up.
 */
#ifndef BL_JUDGE_H
#define BL_JUDGE_H

#include "callers.h"
#include "compare.h"
#include "counts.h"
#include "error.h"
#include "growth.h"
#include "histories.h"
#include "lasting.h"
#include "model.h"
#include "order.h"
#include "reader.h"
#include "rivals.h"
#include "symbols.h"
#include "verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* In finding_of: as a part of what one of its buffers holds. */
#define BL_JUDGE_AS_PART 0x80000000u
#define BL_JUDGE_NONE    UINT32_MAX
/* Owners are looked for twice. As many decisions as there were may be split off by who holds what
 * (splits_left), and either time each that was not made by its owners' number may be split once. */
#define BL_SPLITTING_ROOM 5u
#define BL_JUDGE_WORK     (1ull << 29) /* items compared, then the rest is not judged */
#define BL_JUDGE_TICK_NS  10000000ull  /* births are stamped by a clock of a few milliseconds */
#define BL_JUDGE_SECOND   1000000000ull

/* How a history was compared with those that ended well. */
enum bl_likeness {
    BL_LIKENESS_EQUAL,   /* apart from what is missing, the same was done by the same callers */
    BL_LIKENESS_SITES,   /* the same, called from elsewhere */
    BL_LIKENESS_GUESSED, /* some of it was explained by similarity, or there was none to compare */
};

/* What the siblings of a live pattern say: the completed ones that were born at the same site. */
struct bl_study {
    const struct bl_pattern *best; /* NULL: there is none to compare with */
    struct bl_difference difference;
    uint64_t sibling_count;
    /* those that began as this one did, on the most similar path */
    uint64_t part_count;
    uint32_t part_cost;
    bool is_beginning;
    struct bl_lifetimes lifetimes; /* of those */
    uint64_t lived_ns;             /* by all of them */
    struct bl_order order;
    uint64_t p99_ns;
    uint64_t longest_ns; /* of all siblings */
    bool is_cut;         /* too much work */
};

/* What nothing was done with for so long is called stale, where 99 of 100 siblings lived less than
 * that. However long the others have outlived them: what a session keeps for some seconds is on the
 * same way as what ends in a millisecond, and until the first of those ends nothing tells them
 * from leaks. */
static inline uint64_t bl_judge_far_ns(uint64_t p99_ns)
{
    return 10 * p99_ns > 10 * BL_JUDGE_SECOND ? 10 * p99_ns : 10 * BL_JUDGE_SECOND;
}

/* One reason to accuse the objects of one pattern, or to leave them in peace. */
struct bl_decision {
    uint32_t pattern;
    size_t first_object;
    size_t object_count;
    enum bl_verdict verdict;
    enum bl_ground ground;
    uint32_t item; /* blamed, or the birth: index in histories->items */
    uint64_t units;
    uint32_t expected;      /* the release that siblings have: index in histories->items */
    uint64_t given_in_turn; /* by it, of buffers that something else keeps: see turns.c */
    uint64_t siblings;
    uint64_t sibling_p99_ns;
    uint64_t sibling_longest_ns; /* of all born at its site */
    double steadiness;           /* of BL_GROUND_STEADY: that it is no chance; 0: not tested */
    enum bl_likeness likeness;
    bool is_open;    /* blamed by its own history: no other one tells */
    bool is_guessed; /* nothing ended well on its path; blamed by others that are not quite like it
                      */
    bool is_led_on;  /* that, and those did the same but for what is blamed: bl_difference */
    enum bl_rival rival;
    uint32_t chain; /* of the group */
    uint32_t owner; /* decision whose objects hold these, or BL_JUDGE_NONE */
    bool is_owner_seen;
    bool is_beyond_owner; /* more references than an owner that is not leaked would have */
    bool is_left_behind;  /* by the order of births and ends; not set of all that were */
    bool is_latest;    /* nothing younger was made there, where one ends before the next is made */
    bool is_passed_by; /* siblings did what these did last after the release that these lack */
    bool is_unmatched; /* nothing that was born at its site has ended yet, nor was its reference
                        * given back in turn of others */
    uint64_t held_beside; /* so many like these are held by leaked buffers, which hold no more */
    bool may_be_held;     /* these too, unless the leaked ones hold no more than siblings did */
    bool is_estimate;     /* how many its owners hold is not known, only about how many */
    bool is_repeated;     /* its objects are in another decision that counts more */
    bool is_named_holder; /* by what is live: the ledger says what it holds */
    bool names_holder;    /* one of its buffers at least */
};

struct bl_judge {
    struct bl_histories *histories;
    struct bl_callers *callers; /* whatever is called one's own: judged is the same every time */
    struct bl_callers *shown;   /* with --own; those above without */
    struct bl_compare *compare;
    struct bl_lasting *lasting;
    const struct bl_reader *reader;
    struct bl_symbols *symbols; /* NULL: none */
    struct bl_model *model;
    const struct bl_model_options *options;
    const struct bl_growth_set *growth;    /* NULL: none */
    struct bl_model_options plain_options; /* of callers, which borrows them */
    uint32_t *growth_chains;               /* by growth->sites: chain of the site */
    struct bl_error *error;
    bool is_final;     /* nothing will be released any more */
    bool is_killed;    /* nothing will be, but it was in the middle of its work */
    uint64_t guard_ns; /* younger ones without siblings are not judged */
    uint64_t activity_end_ns;
    uint32_t main_thread;
    struct bl_paths *paths;     /* what buffers that came on one path tell together: paths.c */
    struct bl_hands *hands;     /* NULL: nobody has asked */
    struct bl_cut_off *cut_off; /* NULL: nobody has asked */

    struct bl_decision *decisions;
    size_t decision_count;
    size_t decision_room;
    size_t splits_left;

    struct bl_counts *counts;
    uint32_t *object_groups; /* per history object: accused groups it is in */
    uint32_t *finding_of;    /* by index in bl_reader_objects: + 1, and BL_JUDGE_AS_PART */
    struct bl_finding *findings;
    size_t finding_count;
    struct bl_group *groups;
    size_t group_count;
};

struct bl_span {
    uint64_t count;
    uint64_t oldest_birth_ns;
    uint64_t youngest_birth_ns;
    uint64_t latest_event_ns;
};

/* Are references to buffers of a class taken and given back where no call is seen? Then of all its
 * releases the last one is known, which need not be of the reference that the birth gave. */
static inline bool bl_judge_is_uncounted(const struct bl_judge *judge, uint32_t class_number)
{
    const struct bl_class *class = bl_reader_class(judge->reader, class_number);
    return class && class->flags & BL_CLASS_INLINED;
}

static inline bool bl_decision_is_accused(const struct bl_decision *decision)
{
    return decision->verdict != BL_VERDICT_UNRELEASED;
}

static inline uint32_t bl_decision_class(const struct bl_judge *judge,
                                         const struct bl_decision *decision)
{
    return judge->histories->live[decision->pattern].class_number;
}

static inline const struct bl_item *bl_decision_birth(const struct bl_judge *judge,
                                                      const struct bl_decision *decision)
{
    return bl_pattern_birth(judge->histories, &judge->histories->live[decision->pattern]);
}

/* Of the references that one buffer took at what is blamed, those left: of a buffer that nobody
 * ever gave back the birth answers for all, but has taken only its own. */
static inline uint64_t bl_decision_kept(const struct bl_judge *judge,
                                        const struct bl_decision *decision)
{
    uint64_t taken = judge->histories->items[decision->item].units;
    return decision->units < taken ? decision->units : taken;
}

/* Is it the owner, or held by it, or by what it holds? */
static inline bool bl_decision_is_owned_by(const struct bl_judge *judge, uint32_t decision,
                                           uint32_t owner)
{
    while (decision != BL_JUDGE_NONE && decision != owner)
        decision = judge->decisions[decision].owner;
    return decision == owner;
}

/* What is not accused only because its birth was not seen is leaked where what holds it is. */
static inline bool bl_decision_is_leaked(const struct bl_judge *judge, uint32_t number)
{
    const struct bl_decision *decision = &judge->decisions[number];
    while (decision->ground == BL_GROUND_UNSEEN && decision->owner != BL_JUDGE_NONE)
        decision = &judge->decisions[decision->owner];
    return bl_decision_is_accused(decision);
}

static inline uint32_t bl_judge_site(const struct bl_judge *judge, const struct bl_item *item)
{
    size_t depth;
    return bl_callers_frames(judge->callers, item->callers, &depth)->frame;
}

/* What is only left in peace because it is young, or its birth was not seen, goes with a leaked
 * owner as well, and may be one. */
static inline bool bl_decision_may_be_part(const struct bl_decision *decision)
{
    return bl_decision_is_accused(decision) || decision->ground == BL_GROUND_IN_USE ||
           decision->ground == BL_GROUND_UNSEEN;
}

/* The site as it is told. */
static inline uint32_t bl_judge_shown_site(const struct bl_judge *judge, uint32_t class_number,
                                           const struct bl_item *item)
{
    size_t depth;
    uint32_t number = judge->shown == judge->callers
                          ? item->callers
                          : bl_callers_find(judge->shown, class_number, item->stack);
    return number == UINT32_MAX ? bl_judge_site(judge, item)
                                : bl_callers_frames(judge->shown, number, &depth)->frame;
}

/* Filters choose what is shown. Judged is all there is: what a buffer is held by, and what others
 * like it did, is the same for everybody who asks. */
static inline bool bl_judge_shows(const struct bl_judge *judge, uint32_t class_number)
{
    return !judge->options->class_name ||
           strcmp(bl_model_class_name(judge->model, class_number), judge->options->class_name) == 0;
}

static inline int bl_judge_out_of_memory(struct bl_judge *judge)
{
    bl_error_set(judge->error, "not enough memory for the verdict");
    return -1;
}

/* Marks the objects that nobody has any more. */
int bl_gone_mark(struct bl_judge *judge);

void bl_study_siblings(struct bl_judge *judge, const struct bl_pattern *live,
                       struct bl_study *study);
/* Were as many in use at all times, as far as the clock tells? */
bool bl_study_is_always_there(const struct bl_study *study, size_t many);

/* Of some objects, those that siblings left behind, by the order of births and ends: see left.c. */
struct bl_left {
    uint32_t lag;    /* all that lag as much or more are left behind */
    size_t count;    /* of them; 0: none is */
    size_t together; /* of them, born within as many births as all the others were */
    size_t lagging;  /* of all that were asked about: a sibling that was born later has ended */
};

int bl_left_find(const struct bl_judge *judge, size_t first, size_t count,
                 const struct bl_study *study, struct bl_left *ret_left);
/* Are the others, which are not far behind, left over as well? */
bool bl_left_are_others(const struct bl_study *study, const struct bl_left *left, size_t others);
/* Are they the youngest, and no more than were in use at once on average? */
bool bl_left_are_next(const struct bl_study *study, const struct bl_left *left, size_t others);

/* Puts those of some objects first that are not in use, as siblings tell, and says whether any is
 * left behind. Returns how many they are; -1 without memory. */
int64_t bl_judge_find_left(struct bl_judge *judge, size_t first, size_t count,
                           const struct bl_study *study, bool *ret_is_behind);
/* NULL without memory, which the error says. Moves the others. */
struct bl_decision *bl_judge_add(struct bl_judge *judge, struct bl_decision decision);
/* Fills judge->decisions. */
int bl_judge_decide(struct bl_judge *judge);
/* What is known of the paths whose buffers never ended well: which release belongs to which
 * acquire, as they tell together. */
int bl_paths_learn(struct bl_judge *judge);
void bl_paths_destroy(struct bl_paths *paths);
/* Has no buffer ended well that came on the path of a live pattern? */
bool bl_paths_is_open(const struct bl_judge *judge, uint32_t pattern);
/* Finds the paths whose buffers, compared with others that are not quite like them, were put down
 * to different acquires: they are to be told by themselves. Returns whether there are any. */
bool bl_paths_find_torn(struct bl_judge *judge);
bool bl_paths_is_torn(const struct bl_judge *judge, uint32_t pattern);
/* Has a live pattern no release, and are references taken at an item of it again and again, by this
 * buffer or by another one of its path? */
bool bl_paths_is_flow(const struct bl_judge *judge, uint32_t pattern, const struct bl_item *item);
/* How the history of a live pattern ends. */
enum bl_ends bl_paths_ends(const struct bl_judge *judge, uint32_t pattern);
/* One mistake explains more than two: of the acquires that may lack a release in all buffers of a
 * path, one is blamed for all. */
int bl_paths_agree(struct bl_judge *judge);
/* Puts right what was guessed of single histories and others contradict. */
int bl_judge_agree(struct bl_judge *judge);
/* Takes back what buffers lack only because its turn has not come yet: see turns.c. */
int bl_turns_take_back(struct bl_judge *judge);
/* When what an item stands for was last done with a buffer; 0: its history does not tell. */
uint64_t bl_turns_time(const struct bl_judge *judge, const struct bl_object *record,
                       const struct bl_item *item);

/* Whether objects of the one may be what those of the other hold, as far as these two tell. */
bool bl_decision_may_own(const struct bl_judge *judge, uint32_t part, uint32_t owner);
/* Names the owner of each decision whose objects are held by those of another one, unless it is
 * known; none without memory. */
void bl_cascade_find(struct bl_judge *judge);
/* The same of those that lack one of several references, by what the library took as it made
 * another buffer: see keepers.c. After bl_cascade_find. */
void bl_keepers_find(struct bl_judge *judge);
/* Whether objects that have an owner are left to it, and not judged. */
bool bl_owned_is_left(const struct bl_judge *judge, const struct bl_pattern *live,
                      bool has_siblings);
/* As bl_cascade_find, by the owners that were seen. */
void bl_owned_find(struct bl_judge *judge);
/* Those parts whose owner turned out not to be leaked are decisions of their own again: where the
 * owner was seen, or would have many references of one and the same buffer. Returns how many parts
 * are left. */
size_t bl_owned_restore(struct bl_judge *judge, struct bl_decision *parts,
                        struct bl_decision *owners, size_t count);
/* Is no other decision about the same objects? It would be about others if these were moved. */
bool bl_splitting_is_only_one(const struct bl_judge *judge, uint32_t part);
/* Leaves a decision about a part those `many` of its objects that were born nearest to one of the
 * first `count` decisions' that are `is_owner`, and makes a decision of the others. Returns whether
 * it could. */
bool bl_splitting_keep(struct bl_judge *judge, uint32_t part, size_t many, const bool *is_owner,
                       size_t count);
/* Notes of a decision about what is left over as a whole whether its objects, too, may be held. */
void bl_splitting_note(struct bl_judge *judge, uint32_t part, const bool *is_owner, size_t count);
/* Takes the parts of leaked owners out of the decisions; returns how many. */
size_t bl_cascade_take(struct bl_judge *judge, struct bl_decision *parts,
                       struct bl_decision *owners);

/* Puts back, in peace, those whose owner was not accused in the end; returns how many parts are
 * left. */
size_t bl_cascade_return(struct bl_judge *judge, struct bl_decision *parts,
                         struct bl_decision *owners, size_t count);

void bl_decision_settle(const struct bl_judge *judge, struct bl_decision *decision,
                        enum bl_ground ground);
/* The growth of the site that all of a group were born at; NULL: it was not followed, or there are
 * several. */
const struct bl_growth *bl_course_growth(const struct bl_judge *judge, size_t first, size_t end);
/* Does the site's memory grow, and the group with it? */
bool bl_course_is_growing(const struct bl_growth *growth, struct bl_span span);
/* Was hardly anything done between two moments, of all that the program did? */
bool bl_course_is_moment(const struct bl_judge *judge, uint64_t from_ns, uint64_t to_ns);
/* How a group that nothing was ever released of came: BL_GROUND_ACCUSED is again and again, as the
 * work went on. */
enum bl_ground bl_course_of(const struct bl_judge *judge, size_t first, size_t end);

/* Takes back what was said about groups that look guilty as single buffers only. */
void bl_settle_groups(struct bl_judge *judge);

/* Folds parts under their owners, chooses what each group has in common, sorts decisions by group
 * and counts both sides. parts and owners have room for all decisions; returns how many parts. */
size_t bl_grouping_sort(struct bl_judge *judge, struct bl_decision *parts,
                        struct bl_decision *owners);
/* The decision after the last of a group. */
size_t bl_grouping_end(const struct bl_judge *judge, size_t first);
struct bl_span bl_grouping_span(const struct bl_judge *judge, size_t first, size_t end);

/* The expected release of a group. */
void bl_expected_find(struct bl_judge *judge, size_t first, size_t end,
                      const struct bl_scope *scope, struct bl_finding *finding);

/* (leaked + 1) / (passed + 2) */
double bl_evidence_rate(uint64_t leaked, uint64_t passed);
/* likeness: what the comparisons behind it are worth, at most 1. */
double bl_evidence_confidence(const struct bl_finding *finding, double likeness);
/* Is an acquire suspected of those that are left in peace for this reason? */
bool bl_evidence_is_suspect(enum bl_ground ground);
void bl_evidence_write(struct bl_finding *finding, const char *class_name);
/* Notes beside that what it holds was estimated, if so. */
void bl_evidence_note_parts(struct bl_finding *finding);

/* Writes up the groups; judge->groups and the findings have room for them. */
int bl_findings_make(struct bl_judge *judge);
int bl_overs_make(struct bl_judge *judge);
void bl_findings_add_reference(struct bl_finding *finding, enum bl_item_kind kind, uint32_t frame,
                               uint64_t count, bool is_blamed);
void bl_findings_sort_references(struct bl_finding *finding);

#endif
