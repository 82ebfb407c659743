#include "fitting.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define NEARLY       16  /* one in so many references may be missing */
#define MANY         64  /* references taken at one place: their number is evidence */
#define RELEASES_MAX 16u /* more have too many sums */
#define TOGETHER_MAX 4u  /* releases that give back what one acquire took */
#define TRIES_MAX    64u /* of one history */

/* Pairs in the making. */
struct making {
    const struct bl_fitting *of;
    uint64_t *left;
    struct bl_pair *pairs;
    size_t count;
    double unlike; /* see struct badness */
};

/* How unlikely an explanation is, the weightiest first. */
struct badness {
    uint32_t open; /* acquires out of balance */
    uint32_t ways; /* of acquires, how they are given back */
    uint32_t pairs;
    double unlike; /* less for each reference whose pair is likely, the likelier the more */
};

/* Releases, as indices into the items, whose number is exactly an acquire's. */
struct sum {
    uint32_t acquire;
    uint32_t count;
    uint32_t releases[TOGETHER_MAX];
};

struct search {
    const struct bl_fitting *of;
    uint32_t releases[RELEASES_MAX];
    uint32_t release_count;
    struct sum tried;
    struct sum best; /* count 0: none is better */
    struct badness badness;
    uint32_t tries;
    uint64_t *work;
};

static void begin(const struct bl_fitting *fitting, uint64_t left[BL_HISTORY_ITEMS])
{
    for (uint32_t i = 0; i < fitting->item_count; i++)
        left[i] = fitting->items[i].kind == BL_ITEM_OVER_RELEASE ? 0 : fitting->items[i].units;
}

static void put(struct making *making, uint32_t acquire, uint32_t release, uint64_t rank)
{
    uint64_t *from = &making->left[acquire];
    uint64_t *to = &making->left[release];
    uint64_t units = *from < *to ? *from : *to;
    if (units == 0)
        return;
    making->unlike -= (double)units / (double)(rank + 1);
    *from -= units;
    *to -= units;
    making->pairs[making->count++] =
        (struct bl_pair){.acquire = acquire, .release = release, .units = units};
}

static void put_likeliest(struct making *making)
{
    for (size_t i = 0; i < making->of->wanted_count; i++)
        put(making, making->of->wanted[i].acquire, making->of->wanted[i].release, i);
}

/* The pair by which an acquire that is out of balance anyway holds all of a release, if it is just
 * what another one lacks to be balanced. */
static struct bl_pair *find_fitting(const struct making *making, uint32_t acquire)
{
    for (size_t i = 0; i < making->count; i++) {
        struct bl_pair *pair = &making->pairs[i];
        if (pair->acquire != acquire && making->left[pair->acquire] > 0 &&
            pair->units == making->left[acquire] &&
            pair->units == making->of->items[pair->release].units)
            return pair;
    }
    return NULL;
}

/* Did it give back nearly all it took, but not all? */
static bool is_nearly(const struct making *making, uint32_t item)
{
    const struct bl_item *acquire = &making->of->items[item];
    return bl_item_is_acquire(acquire) && making->left[item] > 0 &&
           making->left[item] <= acquire->units / NEARLY;
}

/* Where one gave back nearly all it took, and the rest was put down to another that lacks more, it
 * is put right. */
static void concentrate(struct making *making)
{
    for (uint32_t i = 0; i < making->of->item_count; i++) {
        struct bl_pair *pair = is_nearly(making, i) ? find_fitting(making, i) : NULL;
        if (!pair)
            continue;
        making->left[pair->acquire] += pair->units;
        making->left[i] = 0;
        pair->acquire = i;
    }
}

static struct badness badness_of(const struct making *making)
{
    const struct bl_fitting *fitting = making->of;
    uint8_t ways[BL_HISTORY_ITEMS] = {0};
    struct badness badness = {.pairs = (uint32_t)making->count, .unlike = making->unlike};
    for (size_t i = 0; i < making->count; i++)
        ways[making->pairs[i].acquire] |= fitting->is_by_library[making->pairs[i].release] ? 2 : 1;
    for (uint32_t i = 0; i < fitting->item_count; i++) {
        badness.open += bl_item_is_acquire(&fitting->items[i]) && making->left[i] > 0;
        badness.ways += (ways[i] & 1) + (ways[i] >> 1);
    }
    return badness;
}

static bool is_less(const struct badness *a, const struct badness *b)
{
    if (a->open != b->open)
        return a->open < b->open;
    if (a->ways != b->ways)
        return a->ways < b->ways;
    return a->pairs != b->pairs ? a->pairs < b->pairs : a->unlike < b->unlike;
}

/* How far down in the list of wanted pairs one is; its length: it is not among them. */
static size_t rank_of(const struct bl_fitting *fitting, uint32_t acquire, uint32_t release)
{
    size_t rank = 0;
    while (rank < fitting->wanted_count &&
           (fitting->wanted[rank].acquire != acquire || fitting->wanted[rank].release != release))
        rank++;
    return rank;
}

static void make(struct making *making, const struct sum *sum)
{
    const struct bl_fitting *fitting = making->of;
    making->count = 0;
    making->unlike = 0;
    begin(fitting, making->left);
    for (uint32_t i = 0; i < sum->count; i++)
        put(making, sum->acquire, sum->releases[i],
            rank_of(fitting, sum->acquire, sum->releases[i]));
    put_likeliest(making);
    concentrate(making);
}

static void try_sum(struct search *search, struct making *making)
{
    if (search->tries == TRIES_MAX)
        return;
    search->tries++;
    *search->work += search->of->wanted_count;
    make(making, &search->tried);
    struct badness badness = badness_of(making);
    if (!is_less(&badness, &search->badness))
        return;
    search->badness = badness;
    search->best = search->tried;
}

/* Tries all sets of releases, from the first one on, that together are just as many. */
static void try_all(struct search *search, struct making *making, uint32_t first, uint64_t wanted)
{
    struct sum *tried = &search->tried;
    *search->work += search->release_count;
    for (uint32_t i = first; i < search->release_count && tried->count < TOGETHER_MAX; i++) {
        const struct bl_item *release = &search->of->items[search->releases[i]];
        if (release->units > wanted || release->order < search->of->items[tried->acquire].order)
            continue;
        tried->releases[tried->count++] = search->releases[i];
        if (release->units == wanted)
            try_sum(search, making);
        else
            try_all(search, making, i + 1, wanted - release->units);
        tried->count--;
    }
}

static bool can_want(const struct bl_fitting *fitting, uint32_t acquire)
{
    for (size_t i = 0; i < fitting->wanted_count; i++)
        if (fitting->wanted[i].acquire == acquire)
            return true;
    return false;
}

/* Puts one acquire together with releases that are just as many, if that explains more. */
static void balance_many(struct making *making, uint64_t *work)
{
    const struct bl_fitting *fitting = making->of;
    struct search search = {.of = fitting, .badness = badness_of(making), .work = work};
    bool is_lacking = false;
    search.badness.unlike = -INFINITY; /* likeness alone is no reason to think again */
    for (uint32_t i = 0; i < fitting->item_count; i++) {
        is_lacking |= is_nearly(making, i) && fitting->items[i].units >= MANY;
        if (fitting->items[i].kind != BL_ITEM_RELEASE || fitting->is_known[i])
            continue;
        if (search.release_count == RELEASES_MAX)
            return;
        search.releases[search.release_count++] = i;
    }
    if (!is_lacking)
        return;
    for (uint32_t i = 0; i < fitting->item_count; i++) {
        if (!bl_item_is_acquire(&fitting->items[i]) || fitting->is_known[i] ||
            fitting->items[i].units < MANY || !can_want(fitting, i))
            continue;
        search.tried = (struct sum){.acquire = i};
        try_all(&search, making, 0, fitting->items[i].units);
    }
    make(making, &search.best);
}

/* ---- each release one acquire's ---- */

static bool is_any_split(const struct making *making)
{
    for (size_t i = 0; i < making->count; i++)
        if (making->pairs[i].units < making->of->items[making->pairs[i].release].units)
            return true;
    return false;
}

/* Puts every release down to one acquire, as a whole. Returns whether that leaves over few
 * references, of acquires only. */
static bool make_whole(struct making *making, uint64_t *work)
{
    const struct bl_fitting *fitting = making->of;
    begin(fitting, making->left);
    *work += fitting->wanted_count;
    for (size_t i = 0; i < fitting->wanted_count; i++) {
        const struct bl_pair *wanted = &fitting->wanted[i];
        uint64_t units = fitting->items[wanted->release].units;
        if (making->left[wanted->release] == units && making->left[wanted->acquire] >= units)
            put(making, wanted->acquire, wanted->release, i);
    }
    for (uint32_t i = 0; i < fitting->item_count; i++)
        if (making->left[i] > 0 && !is_nearly(making, i))
            return false;
    return true;
}

/* What is given back here by its taker and there by the library is not given back by the library
 * now and then as well, only because its taker forgot some: then two acquires lack references. */
static void keep_whole(struct making *making, uint64_t *work)
{
    uint64_t left[BL_HISTORY_ITEMS];
    struct bl_pair pairs[BL_HISTORY_ITEMS];
    struct making whole = {.of = making->of, .left = left, .pairs = pairs};
    if (!is_any_split(making) || !make_whole(&whole, work) ||
        badness_of(&whole).ways >= badness_of(making).ways)
        return;
    memcpy(making->left, left, making->of->item_count * sizeof(left[0]));
    memcpy(making->pairs, pairs, whole.count * sizeof(pairs[0]));
    making->count = whole.count;
}

size_t bl_fitting_pairs(const struct bl_fitting *fitting, bool is_open,
                        uint64_t left[BL_HISTORY_ITEMS], struct bl_pair *pairs, uint64_t *work)
{
    struct making making = {.of = fitting, .left = left, .pairs = pairs};
    begin(fitting, left);
    put_likeliest(&making);
    if (is_open) {
        concentrate(&making);
        balance_many(&making, work);
        keep_whole(&making, work);
    }
    return making.count;
}
