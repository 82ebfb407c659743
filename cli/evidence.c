/*
 * What a verdict rests on: confidence and words. How confidence is computed is said in
 * pairing.h and in bufleak-report(1).
 */
#include "judge.h"

#include "text.h"

#include <stdio.h>
#include <string.h>

#define FEW          3u  /* little evidence */
#define NOT_MANY     10u /* left, of those that few others are compared with */
#define TEXT_MAX     sizeof(((struct bl_finding *)0)->text)
#define STALE_SHARE  0.5 /* they may still be released, unless ever more of them are not */
#define LATEST_SHARE 0.5 /* what is kept until the next one comes looks the same */
#define HELD_SHARE   0.5 /* what other leaked ones hold looks the same, if they hold more */

/* Laplace's rule of succession. */
double bl_evidence_rate(uint64_t leaked, uint64_t passed)
{
    return ((double)leaked + 1) / ((double)passed + 2);
}

/* Those that did what is missing here, or, if that is not known, ended at all. */
static uint64_t siblings_given(const struct bl_finding *finding)
{
    return finding->expected_count + finding->ended_count;
}

double bl_evidence_confidence(const struct bl_finding *finding, double likeness)
{
    double with = bl_evidence_rate(finding->kept, finding->taken);
    double without = bl_evidence_rate(finding->other_leaked, finding->other_passed);
    double confidence = with - without;
    uint64_t given = siblings_given(finding);
    if (given > 0) {
        double lacking =
            bl_evidence_rate(finding->kept, finding->kept) - bl_evidence_rate(0, given);
        confidence = lacking > confidence ? lacking : confidence;
    }
    confidence *= likeness;
    if (finding->verdict == BL_VERDICT_STALE && !finding->is_growing)
        confidence *= STALE_SHARE;
    if (finding->are_latest)
        confidence *= LATEST_SHARE;
    if (finding->may_be_held)
        confidence *= HELD_SHARE;
    return confidence > 0 ? confidence : 0;
}

static const char *const ground_texts[BL_GROUND_COUNT] = {
    [BL_GROUND_ACCUSED] = "",
    [BL_GROUND_IN_USE] = "in use: so far the same was done with them as with others that were "
                         "released, and as many younger ones had gone before those",
    [BL_GROUND_HANDS] =
        "a thread was still at work at the end, last on them or on what was made by "
        "the same call, which it may hold",
    [BL_GROUND_CUT_OFF] =
        "part of work that the end of the process cut off: at the end something was still being "
        "made in each, or each was alone of its kind in what it was allocated in",
    [BL_GROUND_YOUNG] = "too young to be judged: nothing that the same was done with has ended yet",
    [BL_GROUND_OLD] = "older than released ones with the same operations became, but not by much",
    [BL_GROUND_STEADY] = "all made early and none since, while the program went on: a pool, a "
                         "cache or start-up",
    [BL_GROUND_FILLING] = "nothing like them was ever released, but ever fewer were made as the "
                          "program went on: a pool or a cache that fills",
    [BL_GROUND_SET_UP] =
        "nothing like them was ever released, but neither have they come again and "
        "again as the program went on: what it sets up for itself looks the same; "
        "a later report can tell",
    [BL_GROUND_FEW] =
        "far older than released ones with the same operations became, but too few to "
        "tell a leak from what is kept to be used again",
    [BL_GROUND_ONCE] = "each was made or retained once on its path: start-up or a singleton; the "
                       "evidence does not carry more",
    [BL_GROUND_MOVING] = "in use: their references changed while they were read",
    [BL_GROUND_OVERFLOW] = "their histories are too long to be kept whole; the evidence does not "
                           "carry more",
    [BL_GROUND_DRIFTED] = "their own reference count is not the one that was seen: some calls "
                          "were missed; not judged",
    [BL_GROUND_INHERITED] = "from the parent of this process; judged there",
    [BL_GROUND_SETTLED] = "every reference that was seen was given back: one that was not seen "
                          "keeps them",
    [BL_GROUND_UNSEEN] = "their birth was not seen, so neither were all references taken",
    [BL_GROUND_LASTING] = "made to stay until the end: inside a function that the profile calls "
                          "lasting",
    [BL_GROUND_MIXED] = "of the references that each was given here again and again, more were "
                        "given back at other places than are left: which of its references those "
                        "are is not known",
    [BL_GROUND_UNEXPLAINED] = "the evidence does not carry more",
    [BL_GROUND_OWNED] = "left to what they were allocated in: they end with it, and it is alive",
    [BL_GROUND_OWNER_UNSEEN] =
        "what they were allocated in was not seen, so neither was whether it "
        "has ended, and they with it; not judged",
    [BL_GROUND_PARTIAL] = "some calls that release them go unseen: others like them ended so, or "
                          "none in another way; not judged",
    [BL_GROUND_PART] = "held by other buffers that are not judged: they end with them",
};

/* Of a process that has ended nothing is in use any more, nor will a later report be. */
static const char *text_of(const struct bl_finding *finding)
{
    if (finding->is_killed && finding->ground == BL_GROUND_IN_USE)
        return "in use when the process was killed, or forgotten: in the middle of the work the "
               "two "
               "look the same; a report after some more work, or after a normal end, can tell";
    if (finding->is_ended && finding->ground == BL_GROUND_IN_USE)
        return "in use at the end: until then the same had been done with them as with others that "
               "were released, and as many younger ones had gone before those";
    if (finding->is_ended && finding->ground == BL_GROUND_SET_UP)
        return "nothing like them was ever released, but neither had they come again and again as "
               "the program went on: what it sets up for itself looks the same";
    return ground_texts[finding->ground];
}

/* How long 99 of 100 lived at most; no clock is finer. */
static const char *write_lifetime(char text[BL_TEXT_NUMBER], const struct bl_finding *finding)
{
    uint64_t p99_ns = finding->sibling_p99_ns;
    return bl_text_age(text, p99_ns > 1000000 ? p99_ns : 1000000);
}

static void write_stale(struct bl_finding *finding)
{
    char a[BL_TEXT_NUMBER];
    char b[BL_TEXT_NUMBER];
    char c[BL_TEXT_NUMBER];
    char age[BL_TEXT_NUMBER];
    snprintf(finding->text, TEXT_MAX,
             "%s of %s that passed here; 99%% of %s that were released lived less than %s",
             bl_text_count(a, finding->leaked), bl_text_count(b, finding->passed),
             bl_text_count(c, finding->siblings), write_lifetime(age, finding));
}

static void write_leaked(struct bl_finding *finding, size_t used, const char *where,
                         const char *leaked)
{
    char a[BL_TEXT_NUMBER];
    char b[BL_TEXT_NUMBER];
    used += (size_t)snprintf(finding->text + used, TEXT_MAX - used, "%s of %s that passed %s %s",
                             bl_text_count(a, finding->leaked), bl_text_count(b, finding->passed),
                             where, leaked);
    if (finding->kept > finding->leaked && used < TEXT_MAX)
        used += (size_t)snprintf(finding->text + used, TEXT_MAX - used,
                                 ", %s of %s references taken %s", bl_text_count(a, finding->kept),
                                 bl_text_count(b, finding->taken), where);
    if (finding->other_passed > 0 && used < TEXT_MAX)
        snprintf(finding->text + used, TEXT_MAX - used, "; %s of %s that did not",
                 bl_text_count(a, finding->other_leaked), bl_text_count(b, finding->other_passed));
}

bool bl_evidence_is_suspect(enum bl_ground ground)
{
    return ground == BL_GROUND_STEADY || ground == BL_GROUND_FILLING || ground == BL_GROUND_ONCE ||
           ground == BL_GROUND_SET_UP || ground == BL_GROUND_FEW || ground == BL_GROUND_HANDS ||
           ground == BL_GROUND_OLD || ground == BL_GROUND_CUT_OFF;
}

/* Much older than siblings became, but not for so long that it would be told as stale. */
static size_t write_far_behind(struct bl_finding *finding)
{
    char count[BL_TEXT_NUMBER];
    char age[BL_TEXT_NUMBER];
    char limit[BL_TEXT_NUMBER];
    size_t used = (size_t)snprintf(
        finding->text, TEXT_MAX,
        "left behind by younger ones: 99%% of %s that were released lived less than %s; but ",
        bl_text_count(count, finding->siblings), write_lifetime(age, finding));
    if (used >= TEXT_MAX)
        return used;
    bl_text_age(limit, bl_judge_far_ns(finding->sibling_p99_ns));
    return used +
           (size_t)snprintf(
               finding->text + used, TEXT_MAX - used,
               finding->is_killed
                   ? "the process was killed before they had been idle for %s: what it would "
                     "have released later looks the same"
                   : "they have not been idle for %s, and what is kept for some seconds looks "
                     "the same: a later report can tell",
               limit);
}

/* Why nobody is accused, and how it looks at the acquire that would be. */
static void write_ground(struct bl_finding *finding)
{
    char a[BL_TEXT_NUMBER];
    char b[BL_TEXT_NUMBER];
    bool is_released = finding->ground == BL_GROUND_STEADY && finding->siblings > 0;
    size_t used = finding->ground == BL_GROUND_OLD && bl_finding_is_far_behind(finding)
                      ? write_far_behind(finding)
                      : (size_t)snprintf(finding->text, TEXT_MAX, "%s%s", text_of(finding),
                                         is_released ? ", or forgotten only then: others that were "
                                                       "made there were released"
                                                     : "");
    if (!finding->suspect_frame || used + 2 >= TEXT_MAX)
        return;
    used += (size_t)snprintf(finding->text + used, TEXT_MAX - used, " (");
    if (finding->taken > finding->passed && finding->kept <= finding->leaked)
        snprintf(finding->text + used, TEXT_MAX - used, "%s of %s references taken there are left",
                 bl_text_count(a, finding->kept), bl_text_count(b, finding->taken));
    else
        write_leaked(finding, used, "there", finding->leaked == 1 ? "is left" : "are left");
    used = strlen(finding->text);
    snprintf(finding->text + used, TEXT_MAX - used, ")");
}

static void write_note(struct bl_finding *finding, const char *class_name)
{
    char a[BL_TEXT_NUMBER];
    bool is_own = siblings_given(finding) > 0;
    if (finding->may_be_held)
        snprintf(finding->note, sizeof(finding->note),
                 "little evidence: other leaked buffers hold %s%s, and hold these as well if they "
                 "hold more than those that were released did",
                 finding->held_beside > 0 ? bl_text_count(a, finding->held_beside) : "such",
                 finding->held_beside > 0 ? " more like these" : "");
    else if (finding->passed == finding->leaked && finding->other_passed == finding->other_leaked &&
             !is_own)
        snprintf(finding->note, sizeof(finding->note),
                 "little evidence: no %s buffer has been released yet to compare with", class_name);
    else if (finding->rival == BL_RIVAL_ANY)
        snprintf(finding->note, sizeof(finding->note),
                 "little evidence which reference it is: another one that was taken of these "
                 "buffers fits as well");
    else if (finding->verdict == BL_VERDICT_STALE && finding->is_killed && !finding->is_growing)
        snprintf(finding->note, sizeof(finding->note),
                 "the process was killed: what it would have released later looks the same");
    else if (finding->verdict == BL_VERDICT_STALE)
        snprintf(
            finding->note, sizeof(finding->note),
            finding->is_growing
                ? "they become ever more: a missing release"
                : "they may still be released; at the end of the process it would be a missing "
                  "release");
    else if (finding->are_latest)
        snprintf(finding->note, sizeof(finding->note),
                 "little evidence: %s; what is kept there until the next one comes looks the same",
                 finding->leaked == 1 ? "it is the last one made there"
                                      : "each is the last one made at its place");
    else if (finding->kept < FEW)
        snprintf(finding->note, sizeof(finding->note), "little evidence: only %s buffer%s",
                 bl_text_count(a, finding->leaked), finding->leaked == 1 ? "" : "s");
    else if (is_own && siblings_given(finding) < FEW && finding->kept < NOT_MANY)
        snprintf(finding->note, sizeof(finding->note),
                 "little evidence: only %s like them gave it back",
                 bl_text_count(a, siblings_given(finding)));
    else if (finding->kept >= finding->taken && !is_own)
        snprintf(
            finding->note, sizeof(finding->note),
            "no reference taken here was ever given back: always forgotten, or kept by a cache "
            "that is never emptied; dump --reach tells what holds them");
}

/* Beside whatever else is noted: the birth could be blamed as well. */
static void add_birth(struct bl_finding *finding)
{
    size_t used = strlen(finding->note);
    snprintf(finding->note + used, sizeof(finding->note) - used,
             "%sunless it is the birth's own reference that was forgotten: which release gave back "
             "which of the two, only habit tells",
             used > 0 ? "; " : "");
}

/* Beside whatever else is noted: which of its references it is nobody has seen. */
static void add_uncounted(struct bl_finding *finding, const char *class_name)
{
    size_t used = strlen(finding->note);
    snprintf(
        finding->note + used, sizeof(finding->note) - used,
        "%slittle evidence which reference it is: those to %s buffers are taken and given back "
        "inside their users' code, where nothing is seen of it",
        used > 0 ? "; " : "", class_name);
}

/* Beside whatever else is noted: others of the like are held by leaked buffers. */
static void add_held(struct bl_finding *finding)
{
    char a[BL_TEXT_NUMBER];
    size_t used = strlen(finding->note);
    snprintf(
        finding->note + used, sizeof(finding->note) - used,
        "%s%s more like these %s what other leaked buffers hold, if they hold as many as those "
        "that were released did",
        used > 0 ? "; " : "", bl_text_count(a, finding->held_beside),
        finding->held_beside == 1 ? "is" : "are");
}

void bl_evidence_write(struct bl_finding *finding, const char *class_name)
{
    if (finding->verdict == BL_VERDICT_UNRELEASED) {
        write_ground(finding);
        return;
    }
    if (finding->verdict == BL_VERDICT_STALE)
        write_stale(finding);
    else
        write_leaked(finding, 0, "here", "leaked");
    write_note(finding, class_name);
    if (finding->is_uncounted)
        add_uncounted(finding, class_name);
    else if (finding->rival == BL_RIVAL_BIRTH)
        add_birth(finding);
    if (finding->held_beside > 0 && !finding->may_be_held)
        add_held(finding);
}

void bl_evidence_note_parts(struct bl_finding *finding)
{
    char a[BL_TEXT_NUMBER];
    uint64_t estimate = 0;
    size_t used = strlen(finding->note);
    for (size_t i = 0; i < finding->part_count; i++)
        estimate += finding->parts[i].estimate;
    estimate += finding->other_parts.estimate;
    if (estimate == 0 || finding->verdict == BL_VERDICT_UNRELEASED)
        return;
    snprintf(
        finding->note + used, sizeof(finding->note) - used,
        "%swhat they hold is estimated of %s buffer%s, at most so many, by what siblings held: "
        "whether some were forgotten by themselves is not known",
        used > 0 ? "; " : "", bl_text_count(a, estimate), estimate == 1 ? "" : "s");
}
