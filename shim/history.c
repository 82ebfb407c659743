#include "history.h"
#include "losses.h"
#include "slab.h"
#include "stacks.h"
#include "table.h"
#include "threads.h"

#define HISTORY_MAX 24u /* distinct operations kept of one buffer */
static_assert(HISTORY_MAX <= UINT8_MAX, "bl_object.event_count");
#define NEAR_CALLS     8u /* at most, from an operation to the call that holds its partner */
#define ROOM_WANTED    8u /* events, to stop looking for more */
#define LIFECYCLES_MAX (1u << 14) /* distinct lifecycles kept, all classes together */
#define EVICT_SAMPLES  16u
static_assert(sizeof(struct bl_event) == 32, "two to a cache line: see events");

static struct bl_slab events = {.section = BL_SECTION_EVENTS,
                                .link_offset = offsetof(struct bl_event, next),
                                .spares = BL_SPARES_EVENTS,
                                .group = 2, /* one cache line */
                                .used = 1};

BL_INLINE struct bl_event *event_at(uint32_t n)
{
    return bl_ledger_at(BL_SECTION_EVENTS, n);
}

/* ---- operations ---- */

static int16_t clamp16(int32_t value)
{
    if (value > INT16_MAX)
        return INT16_MAX;
    return (int16_t)(value < INT16_MIN ? INT16_MIN : value);
}

static bool is_of(const struct bl_event *event, uint16_t op, const struct bl_ref_event *e)
{
    return event->op == op && event->stack == e->stack && event->delta == e->delta;
}

/* Most operations on what lives shortly are new to it: that no event of its list can be theirs
 * shows in the object itself, without a look at the list, which other threads may have written. An
 * operation whose bit is set may be in the list; what leaves it leaves its bit. */
BL_INLINE uint64_t scatter(uint16_t op, uint32_t stack, int32_t delta)
{
    return ((uint64_t)stack << 32 | ((uint32_t)delta * 8u + op)) * 0x9E3779B97F4A7C15u;
}

BL_INLINE uint32_t bit_of(uint16_t op, const struct bl_ref_event *e)
{
    uint32_t bit = (uint32_t)(scatter(op, e->stack, e->delta) >> 40) * 24u >> 24;
    return 1u << (8 + bit);
}

/* Of 128. */
BL_INLINE uint32_t fine_bit_of(uint16_t op, uint32_t stack, int32_t delta)
{
    return (uint32_t)(scatter(op, stack, delta) >> 33 & 127u);
}

/* bl_object.event_count, and above it event_bits: read and written as one. */
BL_INLINE uint32_t *kept_of(struct bl_object *o)
{
    static_assert(offsetof(struct bl_object, event_count) % 4 == 0 &&
                      offsetof(struct bl_object, event_bits) ==
                          offsetof(struct bl_object, event_count) + 1 &&
                      sizeof o->event_count + sizeof o->event_bits == 4,
                  "they are one word");
    return (uint32_t *)(void *)&o->event_count;
}

/* The bits are of events, where there are any: before, the birth keeps something else there. */
BL_INLINE uint32_t kept_in(struct bl_object *o)
{
    uint32_t kept = *kept_of(o);
    return (uint8_t)kept > 0 ? kept : 0;
}

/* What lives long has a long list, and the same few operations over and over. A thread remembers
 * where it found its own. An event stays in its object's list until the object ends, which serial
 * tells, or until some history is made anew, which lists counts. */
#define NOTED_BEHIND 2u /* events that are looked at in any case */
static uint32_t lists = 1;

static struct bl_noted *noted_place(const struct bl_object *o, uint16_t op,
                                    const struct bl_ref_event *e)
{
    struct bl_thread_state *t = bl_tls.thread;
    uint64_t key = (uint64_t)(uintptr_t)o / sizeof *o ^ (uint64_t)e->stack << 24 ^ op;
    return t ? &t->noted[key * 0x9E3779B97F4A7C15u >> 57 & (BL_NOTED - 1)] : NULL;
}

static struct bl_event *find_noted(const struct bl_noted *noted, const struct bl_object *o,
                                   uint16_t op, const struct bl_ref_event *e)
{
    bool is_it = noted->object == o && noted->serial == o->serial && noted->stack == e->stack &&
                 noted->delta == e->delta && noted->op == op &&
                 noted->lists == bl_load_relaxed(&lists);
    return is_it ? event_at(noted->event) : NULL;
}

/* The few bits of an object do not tell much of a list of twenty. A thread keeps more of them for
 * the lists that it had to look at, and looks only at what is new since. Of a short list the events
 * are looked at themselves. */
#define SHORT_LIST 6u
static bool may_be_walked(const struct bl_object *o, uint16_t op, const struct bl_ref_event *e)
{
    struct bl_thread_state *t = bl_tls.thread;
    if (BL_UNLIKELY(!t))
        return true;
    uint32_t place = (uint32_t)((uint64_t)(uintptr_t)o / sizeof *o);
    struct bl_walked *w = &t->walked[place & (BL_WALKED - 1)];
    uint32_t now = bl_load_relaxed(&lists);
    if (w->object != o || w->serial != o->serial || w->lists != now)
        *w = (struct bl_walked){.object = o, .serial = o->serial, .lists = now};
    uint32_t n = o->events;
    for (uint32_t i = 0; n != w->newest && n < bl_load_relaxed(&events.used) && i < HISTORY_MAX;
         i++) {
        const struct bl_event *event = event_at(n);
        uint32_t bit = fine_bit_of(event->op, event->stack, event->delta);
        w->bits[bit / 64] |= 1ull << bit % 64;
        n = event->next;
    }
    w->newest = o->events;
    uint32_t bit = fine_bit_of(op, e->stack, e->delta);
    return w->bits[bit / 64] >> bit % 64 & 1;
}

static struct bl_event *find_event(const struct bl_object *o, uint16_t op,
                                   const struct bl_ref_event *e)
{
    struct bl_noted *noted = NULL;
    struct bl_event *event;
    if (o->event_count > SHORT_LIST && !may_be_walked(o, op, e))
        return NULL;
    uint32_t n = o->events;
    for (uint32_t i = 0; n && n < bl_load_relaxed(&events.used) && i < HISTORY_MAX; i++) {
        if (i == NOTED_BEHIND && (noted = noted_place(o, op, e)) != NULL &&
            (event = find_noted(noted, o, op, e)) != NULL)
            return event;
        event = event_at(n);
        if (is_of(event, op, e)) {
            if (noted)
                *noted = (struct bl_noted){.object = o,
                                           .serial = o->serial,
                                           .lists = bl_load_relaxed(&lists),
                                           .stack = e->stack,
                                           .event = n,
                                           .delta = e->delta,
                                           .op = op};
            return event;
        }
        n = event->next;
    }
    return NULL;
}

/* ---- room in a full history ----
 *
 * What lives long, as an element of a pipeline or a context does, is retained and released in
 * passing from ever more places. A retain and a release inside one and the same call of some
 * function cancel each other: such pairs leave a history that is full, and one event counts them.
 * What is left sums up to the same references. */

struct item {
    uint32_t number; /* of its event; 0: the operation that found no room */
    uint32_t left;   /* operations that have not been cancelled */
    uint32_t calls[NEAR_CALLS];
    int32_t delta;
    uint16_t op;
};

struct room {
    struct item items[HISTORY_MAX + 1];
    uint32_t count;
    uint32_t gone;     /* events that nothing is left of */
    uint32_t pairs;    /* cancelled */
    uint32_t balanced; /* event that counts such pairs; 0: none yet */
};

static void add_item(struct room *r, uint32_t number, const struct bl_event *e)
{
    uint64_t frames = bl_load_acquire(&bl_header->published[BL_SECTION_FRAMES]);
    struct item *item = &r->items[r->count++];
    uint32_t stack = e->stack;
    *item = (struct item){.number = number, .left = e->folded, .delta = e->delta, .op = e->op};
    for (uint32_t i = 0; i < NEAR_CALLS && stack && stack < frames; i++) {
        const struct bl_frame *frame = bl_ledger_at(BL_SECTION_FRAMES, stack);
        stack = frame->parent;
        item->calls[i] = stack;
    }
    if (e->op == BL_OP_BALANCED)
        r->balanced = number;
}

static void read_room(struct room *r, const struct bl_object *o, const struct bl_event *incoming)
{
    r->count = r->gone = r->pairs = r->balanced = 0;
    for (uint32_t n = o->events; n && n < bl_load_relaxed(&events.used) && r->count < HISTORY_MAX;
         n = event_at(n)->next)
        add_item(r, n, event_at(n));
    add_item(r, 0, incoming);
}

/* How many calls lead from the innermost one that holds both to the farther of the two. A stack's
 * number is above its callers'. */
static uint32_t distance(const struct item *a, const struct item *b)
{
    uint32_t i = 0;
    uint32_t k = 0;
    while (i < NEAR_CALLS && k < NEAR_CALLS && a->calls[i] && b->calls[k]) {
        if (a->calls[i] == b->calls[k])
            return (i > k ? i : k) + 1;
        if (a->calls[i] > b->calls[k])
            i++;
        else
            k++;
    }
    return UINT32_MAX;
}

static void cancel(struct room *r, struct item *retain, struct item *release)
{
    uint32_t pairs = retain->left < release->left ? retain->left : release->left;
    retain->left -= pairs;
    release->left -= pairs;
    r->pairs += pairs;
    r->gone += retain->left == 0 && retain->number;
    r->gone += release->left == 0 && release->number;
}

/* The nearest first, those that are farther apart only as far as there is need. */
static void cancel_pairs(struct room *r)
{
    for (uint32_t calls = 1; calls <= NEAR_CALLS && r->gone < ROOM_WANTED; calls++) {
        for (uint32_t i = 0; i < r->count; i++) {
            struct item *a = &r->items[i];
            for (uint32_t k = 0; k < r->count && a->op == BL_OP_RETAIN && a->left > 0; k++) {
                struct item *b = &r->items[k];
                if (b->op == BL_OP_RELEASE && b->left > 0 && b->delta == -a->delta &&
                    distance(a, b) <= calls)
                    cancel(r, a, b);
            }
        }
    }
}

/* The reader sees by the generation that the list is another one. */
static void renew_generation(struct bl_object *o)
{
    const uint64_t mask = BL_LIVE_GENERATION_MASK << BL_LIVE_GENERATION_SHIFT;
    uint64_t next = (o->word + (1ull << BL_LIVE_GENERATION_SHIFT)) & mask;
    bl_store_release(&o->word, (o->word & ~mask) | next);
}

/* Links what is left; one of the events that went counts the pairs, the others are free. */
static void write_room(struct room *r, struct bl_object *o, uint64_t now_ns)
{
    uint32_t kept = 0;
    uint32_t head = 0;
    renew_generation(o);
    bl_add_relaxed(&lists, 1);
    for (uint32_t i = r->count; i-- > 0;) {
        uint32_t n = r->items[i].number;
        if (n && r->items[i].left == 0 && r->balanced) {
            bl_slab_give(&events, n);
            continue;
        }
        if (!n)
            continue;
        struct bl_event *e = event_at(n);
        if (r->items[i].left == 0) {
            *e = (struct bl_event){.op = BL_OP_BALANCED};
            r->balanced = n;
        } else {
            bl_store_relaxed(&e->folded, r->items[i].left);
        }
        e->next = head;
        head = n;
        kept++;
    }
    struct bl_event *balanced = event_at(r->balanced);
    balanced->time_ns = now_ns;
    bl_store_relaxed(&balanced->folded, balanced->folded + r->pairs);
    bl_store_release(&o->events, head);
    bl_store_relaxed(&o->event_count, (uint8_t)kept);
}

enum outcome { FULL, ROOM, CANCELLED };

/* CANCELLED: the operation itself had its partner. */
static enum outcome make_room(struct bl_object *o, enum bl_op op, const struct bl_ref_event *e)
{
    struct room r;
    const struct bl_event incoming = {
        .stack = e->stack, .delta = e->delta, .folded = 1, .op = (uint16_t)op};
    if ((o->event_overflow & (o->event_overflow - 1)) != 0) /* in vain of late: ever more seldom */
        return FULL;
    read_room(&r, o, &incoming);
    cancel_pairs(&r);
    bool cancelled = r.items[r.count - 1].left == 0;
    /* one record is for the event that counts pairs, one for the operation */
    if (r.gone + (r.balanced != 0) + cancelled < 2)
        return FULL;
    write_room(&r, o, e->time_ns);
    return cancelled ? CANCELLED : ROOM;
}

/* Complete before it is in the list. */
BL_INLINE bool add_event(struct bl_object *o, enum bl_op op, const struct bl_ref_event *e,
                         uint32_t kept)
{
    uint32_t n = bl_slab_take(&events);
    if (BL_UNLIKELY(!n))
        return false;
    struct bl_event *event = event_at(n);
    event->time_ns = e->time_ns;
    event->next = o->events;
    bl_store_relaxed(&event->stack, e->stack); /* read by a sweep */
    event->thread = e->thread;
    event->delta = e->delta;
    event->folded = 1;
    event->op = (uint16_t)op;
    event->count_after = clamp16(o->refs);
    bl_store_release(&o->events, n);
    bl_store_relaxed(kept_of(o), kept + 1);
    return true;
}

static void fold(struct bl_event *event, const struct bl_object *o, const struct bl_ref_event *e)
{
    event->time_ns = e->time_ns;
    event->thread = e->thread;
    event->count_after = clamp16(o->refs);
    bl_store_relaxed(&event->folded, event->folded + 1);
}

/* An operation that may be in the list, or for which there is no room. */
BL_NOINLINE static void note_slowly(struct bl_object *o, enum bl_op op,
                                    const struct bl_ref_event *e, uint32_t bit)
{
    struct bl_event *event = kept_in(o) & bit ? find_event(o, (uint16_t)op, e) : NULL;
    if (event) {
        fold(event, o, e);
        return;
    }
    enum outcome outcome = o->event_count >= HISTORY_MAX ? make_room(o, op, e) : ROOM;
    if (outcome == CANCELLED || (outcome == ROOM && add_event(o, op, e, kept_in(o) | bit)))
        return;
    if (o->event_overflow < UINT16_MAX)
        o->event_overflow++;
    bl_losses_add(outcome == ROOM ? BL_LOSS_events_dropped : BL_LOSS_events_overflow, 1);
}

void bl_history_note(struct bl_object *o, enum bl_op op, const struct bl_ref_event *e)
{
    uint32_t bit = bit_of((uint16_t)op, e);
    uint32_t kept = kept_in(o);
    bool is_new = !(kept & bit) && (uint8_t)kept < HISTORY_MAX;
    if (BL_UNLIKELY(!is_new || !add_event(o, op, e, kept | bit)))
        note_slowly(o, op, e, bit);
}

/* The events of an object, newest first. */
struct list {
    uint32_t count;
    uint32_t numbers[HISTORY_MAX];
    struct bl_event *events[HISTORY_MAX];
};

BL_INLINE void read_list(uint32_t head, struct list *l)
{
    uint32_t used = bl_load_relaxed(&events.used);
    uint32_t count = 0;
    for (uint32_t n = head; n && n < used && count < HISTORY_MAX; count++) {
        l->numbers[count] = n;
        l->events[count] = event_at(n);
        n = l->events[count]->next;
    }
    l->count = count;
}

BL_INLINE void drop_list(const struct list *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        bl_store_relaxed(&l->events[i]->stack, 0); /* keeps no stack any more */
    bl_slab_give_all(&events, l->numbers, l->count);
}

void bl_history_drop(uint32_t head)
{
    struct list l;
    read_list(head, &l);
    drop_list(&l);
}

/* ---- lifecycles ---- */

struct lifecycle_entry {
    UT_hash_handle hh;
    uint64_t key;
    uint32_t record;
    bool oom;
};

static struct bl_lock lifecycle_lock = BL_LOCK_INIT; /* BL_RANK_REFS, inside a shard: all below */
static struct lifecycle_entry *lifecycles;
static uint32_t lifecycle_used = 1;
static uint32_t lifecycle_hand = 1;

BL_INLINE struct bl_lifecycle *lifecycle_at(uint32_t n)
{
    return bl_ledger_at(BL_SECTION_LIFECYCLES, n);
}

BL_INLINE uint64_t scramble(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* A sum, so that the order does not count. */
BL_INLINE uint64_t multiset_hash(const struct bl_object *o, const struct list *l,
                                 uint8_t class_number)
{
    uint64_t sum = scramble((uint64_t)o->stack << 16 | (uint64_t)class_number << 8 | BL_OP_ALLOC);
    for (uint32_t i = 0; i < l->count; i++) {
        const struct bl_event *e = l->events[i];
        uint64_t what = (uint64_t)e->stack << 24 | (uint64_t)(e->delta & 0xffff) << 8 | e->op;
        if (BL_LIKELY(e->op != BL_OP_BALANCED))
            sum += scramble(what) * e->folded;
    }
    return scramble(sum + o->event_overflow) | 1;
}

/* The least useful of a few: seen least often, then longest ago. Its record is free afterwards. */
static uint32_t evict_locked(void)
{
    uint32_t victim = 0;
    for (uint32_t i = 0; i < EVICT_SAMPLES; i++) {
        lifecycle_hand = lifecycle_hand + 1 < lifecycle_used ? lifecycle_hand + 1 : 1;
        const struct bl_lifecycle *c = lifecycle_at(lifecycle_hand);
        const struct bl_lifecycle *v = victim ? lifecycle_at(victim) : NULL;
        if (!v || c->count < v->count || (c->count == v->count && c->last_ns < v->last_ns))
            victim = lifecycle_hand;
    }
    struct bl_lifecycle *v = lifecycle_at(victim);
    struct lifecycle_entry *e = NULL;
    HASH_FIND(hh, lifecycles, &v->hash, sizeof v->hash, e);
    if (e) {
        HASH_DEL(lifecycles, e);
        bl_arena_free(e, sizeof *e);
    }
    bl_store_release(&v->count, 0);
    bl_history_drop(v->events);
    bl_losses_add(BL_LOSS_lifecycles_dropped, 1);
    return victim;
}

static uint32_t take_lifecycle_locked(void)
{
    if (lifecycle_used >= LIFECYCLES_MAX)
        return evict_locked();
    if (bl_ledger_ensure(BL_SECTION_LIFECYCLES, lifecycle_used + 1) != 0)
        return lifecycle_used > 1 ? evict_locked() : 0;
    uint32_t n = lifecycle_used++;
    memset(lifecycle_at(n), 0, sizeof(struct bl_lifecycle));
    bl_ledger_publish(BL_SECTION_LIFECYCLES, lifecycle_used);
    return n;
}

static uint32_t bucket_of(uint64_t value, uint32_t buckets)
{
    uint32_t bucket = value ? (uint32_t)(64 - __builtin_clzll(value) + 1) / 2 : 0;
    return bucket < buckets ? bucket : buckets - 1;
}

/* What ended of those born on one stack, whatever was done with them. A few stacks share a place:
 * then the last one has it, and the order of its births and ends is known from there on. */
#define PLACES 4096u

static struct place {
    uint32_t stack;
    uint32_t newest; /* birth of the youngest that ended */
    uint32_t end;    /* births of the process when the latest of them ended */
} places[PLACES];    /* under lifecycle_lock */

/* Is a birth later than another? There are fewer than 2^31 between them. */
BL_INLINE bool is_later(uint32_t birth, uint32_t than)
{
    return (int32_t)(birth - than) > 0;
}

static struct place *place_of_locked(uint32_t stack)
{
    struct place *p = &places[stack * 0x9E3779B1u >> 20 & (PLACES - 1)];
    if (p->stack != stack)
        *p = (struct place){.stack = stack};
    return p;
}

static void count_order_locked(struct bl_lifecycle *c, const struct bl_object *o, uint32_t births)
{
    struct place *p = place_of_locked(o->stack);
    bool is_first = p->end == 0;
    uint32_t lag = !is_first && is_later(p->newest, o->birth) ? p->newest - o->birth : 0;
    uint32_t lived = births - o->birth;
    if (c->count == 0 || lived < c->lived_least)
        c->lived_least = lived;
    c->lived += lived;
    c->outlasted += !is_first && !is_later(o->birth, p->end);
    c->lags[bucket_of(lag, BL_LAG_BUCKETS)]++;
    if (lag > c->lag_most)
        c->lag_most = lag;
    if (c->count == 0 || is_later(o->birth, c->newest)) {
        c->span += c->count == 0 ? 0 : o->birth - c->newest;
        c->newest = o->birth;
        c->newest_ns = o->birth_ns;
    }
    if (is_first || is_later(o->birth, p->newest))
        p->newest = o->birth;
    p->end = births;
}

static void count_lifecycle(struct bl_lifecycle *c, uint64_t lifetime_ns, uint64_t size,
                            uint64_t now_ns)
{
    if (c->count == 0 || lifetime_ns < c->min_ns)
        c->min_ns = lifetime_ns;
    if (lifetime_ns > c->max_ns)
        c->max_ns = lifetime_ns;
    c->total_ns += lifetime_ns;
    c->bytes += size;
    c->first_ns = c->count == 0 ? now_ns : c->first_ns;
    c->last_ns = now_ns;
    c->ends_ns += now_ns > c->first_ns ? now_ns - c->first_ns : 0;
    c->histogram[bucket_of(lifetime_ns / 1000, BL_LIFETIME_BUCKETS)]++;
    bl_store_release(&c->count, c->count + 1);
}

/* A lifecycle not known yet: the object's events become its exemplar. 0: no room. */
static uint32_t new_lifecycle_locked(const struct bl_object *o, uint8_t class_number, uint64_t hash)
{
    struct lifecycle_entry *e = bl_arena_alloc(sizeof *e);
    uint32_t n = e ? take_lifecycle_locked() : 0;
    if (n) {
        *e = (struct lifecycle_entry){.key = hash, .record = n};
        HASH_ADD(hh, lifecycles, key, sizeof e->key, e);
    }
    if (!n || e->oom) {
        bl_arena_free(e, sizeof *e);
        bl_losses_add(BL_LOSS_lifecycles_dropped, 1);
        return 0;
    }
    struct bl_lifecycle *c = lifecycle_at(n);
    memset(c, 0, sizeof *c);
    c->hash = hash;
    c->class_number = class_number;
    c->overflow = o->event_overflow;
    c->events = o->events;
    c->event_count = o->event_count;
    c->alloc_stack = o->stack;
    bl_stacks_keep(o->stack);
    return n;
}

/* Where the thread found it the last time: one that has been evicted, and is another's since, shows
 * it. */
BL_INLINE bool is_where_found(const struct bl_lived *lived, uint64_t hash)
{
    if (lived->hash != hash || lived->record >= lifecycle_used)
        return false;
    const struct bl_lifecycle *c = lifecycle_at(lived->record);
    return c->hash == hash && c->count > 0;
}

/* 0: it is not known. A thread remembers the records of its latest, two at a place, the later one
 * first. */
static uint32_t find_lifecycle_locked(uint64_t hash)
{
    struct bl_thread_state *t = bl_tls.thread;
    struct bl_lived *lived = t ? &t->lived[hash >> 32 & (BL_LIVED - 2)] : NULL;
    if (BL_LIKELY(lived && is_where_found(&lived[0], hash)))
        return lived[0].record;
    if (BL_LIKELY(lived && is_where_found(&lived[1], hash)))
        return lived[1].record;
    struct lifecycle_entry *e = NULL;
    HASH_FIND(hh, lifecycles, &hash, sizeof hash, e);
    if (e && lived) {
        lived[1] = lived[0];
        lived[0] = (struct bl_lived){.hash = hash, .record = e->record};
    }
    return e ? e->record : 0;
}

void bl_history_complete(const struct bl_object *o, uint8_t class_number, uint64_t size,
                         struct bl_moment now)
{
    struct list l;
    read_list(o->events, &l);
    uint64_t hash = multiset_hash(o, &l, class_number);
    bl_lock_take(&lifecycle_lock);
    uint32_t n = find_lifecycle_locked(hash);
    bool is_new = n == 0;
    if (BL_UNLIKELY(is_new))
        n = new_lifecycle_locked(o, class_number, hash);
    if (BL_LIKELY(n)) {
        struct bl_lifecycle *c = lifecycle_at(n);
        uint64_t lifetime_ns = now.time_ns > o->birth_ns ? now.time_ns - o->birth_ns : 0;
        count_order_locked(c, o, now.births);
        count_lifecycle(c, lifetime_ns, size, now.time_ns);
    }
    bl_lock_give(&lifecycle_lock);
    if (BL_LIKELY(!is_new || !n))
        drop_list(&l);
}

/* ---- locks ---- */

void bl_history_lock(void)
{
    bl_lock_take(&lifecycle_lock);
    bl_lock_take(&events.lock);
}

void bl_history_unlock(void)
{
    bl_lock_give(&events.lock);
    bl_lock_give(&lifecycle_lock);
}

void bl_history_reset_lock(void)
{
    bl_lock_reset(&events.lock);
    bl_lock_reset(&lifecycle_lock);
}

void bl_history_reset(void)
{
    lifecycles = NULL;
    lifecycle_used = 1;
    lifecycle_hand = 1;
    memset(places, 0, sizeof places);
    bl_add_relaxed(&lists, 1);
    bl_slab_reset(&events);
}
