#include "callers.h"

#include "called.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

enum part {
    PART_CALLER = 1,
    PART_OWN,     /* asked for with --own */
    PART_LIBRARY, /* of the class, or a runtime library */
    PART_SHIM,
};

/* Open addressing; slots hold index + 1 into arrays that the owner keeps. */
struct table {
    uint32_t *slots;
    size_t room; /* a power of two */
};

struct chain {
    uint32_t parent;
    uint32_t place;
};

struct place {
    uint32_t module;
    uint64_t offset;
    bool is_managed;
    struct bl_nest nest; /* of a managed one */
};

/* in the offset of a place: */
#define INLINED    (1ull << 63) /* it is the number of a call, and no code */
#define BY_POINTER (1ull << 62) /* of what was called through a pointer there */

struct entry {
    uint32_t class_number;
    uint32_t stack;
    bool is_release;
    uint32_t first; /* in callers */
    uint32_t count;
    uint32_t inner;
    uint32_t entry;   /* place + 1 */
    uint32_t pointer; /* the same; 0: none */
    uint32_t call;    /* chain of all frames but what was called through a pointer */
};

struct bl_callers {
    const struct bl_reader *reader;
    struct bl_symbols *symbols; /* NULL: none */
    const struct bl_model_options *options;
    uint32_t module_count;
    uint32_t *module_same;
    uint8_t *parts[BL_CLASSES_MAX]; /* enum part by module; NULL: not needed yet */

    struct bl_caller *callers;
    size_t caller_count;
    size_t caller_room;
    struct entry *entries;
    size_t entry_count;
    size_t entry_room;
    struct table by_stack;
    struct chain *chains; /* 0 is no chain */
    size_t chain_count;
    size_t chain_room;
    struct table by_chain;
    struct place *places;
    size_t place_count;
    size_t place_room;
    struct table by_place;
    struct bl_nesting *nesting;
};

static uint64_t mix(uint64_t value)
{
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93ull;
    return value ^ value >> 32;
}

/* Room for one more of `count`: the array, moved perhaps; NULL without memory. */
static void *grow(void *array, size_t *room, size_t count, size_t size)
{
    if (count < *room)
        return array;
    size_t wanted = *room ? *room * 2 : 256;
    void *grown = realloc(array, wanted * size);
    if (grown)
        *room = wanted;
    return grown;
}

/* Makes place for one more of `count`; the hash of an index is asked back. */
static bool grow_table(struct table *table, size_t count, const struct bl_callers *callers,
                       uint64_t (*hash)(const struct bl_callers *, uint32_t))
{
    if (count * 2 < table->room)
        return true;
    size_t room = table->room ? table->room * 2 : 512;
    uint32_t *slots = calloc(room, sizeof(*slots));
    if (!slots)
        return false;
    for (size_t i = 0; i < count; i++) {
        uint64_t at = hash(callers, (uint32_t)i);
        while (slots[at & (room - 1)])
            at++;
        slots[at & (room - 1)] = (uint32_t)i + 1;
    }
    free(table->slots);
    table->slots = slots;
    table->room = room;
    return true;
}

static uint64_t hash_pair(uint64_t a, uint64_t b)
{
    return mix(mix(a) + b);
}

static uint64_t hash_place(const struct bl_callers *callers, uint32_t index)
{
    return hash_pair(callers->places[index].module, callers->places[index].offset);
}

static uint64_t hash_chain(const struct bl_callers *callers, uint32_t index)
{
    return hash_pair(callers->chains[index].parent, callers->chains[index].place);
}

static uint64_t hash_entry(const struct bl_callers *callers, uint32_t index)
{
    const struct entry *entry = &callers->entries[index];
    return hash_pair(entry->class_number * 2 + entry->is_release, entry->stack);
}

/* UINT32_MAX without memory, as the two below. */
static uint32_t intern_place(struct bl_callers *callers, uint32_t module, uint64_t offset)
{
    if (!grow_table(&callers->by_place, callers->place_count, callers, hash_place))
        return UINT32_MAX;
    uint64_t at = hash_pair(module, offset);
    uint32_t slot;
    while ((slot = callers->by_place.slots[at & (callers->by_place.room - 1)])) {
        if (callers->places[slot - 1].module == module &&
            callers->places[slot - 1].offset == offset)
            return slot - 1;
        at++;
    }
    void *grown =
        grow(callers->places, &callers->place_room, callers->place_count, sizeof(*callers->places));
    if (!grown)
        return UINT32_MAX;
    callers->places = grown;
    uint32_t index = (uint32_t)callers->place_count++;
    callers->places[index] = (struct place){.module = module, .offset = offset};
    callers->by_place.slots[at & (callers->by_place.room - 1)] = index + 1;
    return index;
}

static uint32_t intern_chain(struct bl_callers *callers, uint32_t parent, uint32_t place)
{
    if (!grow_table(&callers->by_chain, callers->chain_count, callers, hash_chain))
        return UINT32_MAX;
    uint64_t at = hash_pair(parent, place);
    uint32_t slot;
    while ((slot = callers->by_chain.slots[at & (callers->by_chain.room - 1)])) {
        if (callers->chains[slot - 1].parent == parent && callers->chains[slot - 1].place == place)
            return slot - 1;
        at++;
    }
    void *grown =
        grow(callers->chains, &callers->chain_room, callers->chain_count, sizeof(*callers->chains));
    if (!grown)
        return UINT32_MAX;
    callers->chains = grown;
    uint32_t index = (uint32_t)callers->chain_count++;
    callers->chains[index] = (struct chain){.parent = parent, .place = place};
    callers->by_chain.slots[at & (callers->by_chain.room - 1)] = index + 1;
    return index;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool bl_callers_matches(const char *patterns, const char *path)
{
    char one[256];
    while (*patterns) {
        size_t length = strcspn(patterns, " ");
        if (length > 0 && length < sizeof(one)) {
            memcpy(one, patterns, length);
            one[length] = '\0';
            if (fnmatch(one, base_name(path), 0) == 0 || fnmatch(one, path, 0) == 0)
                return true;
        }
        patterns += length + strspn(patterns + length, " ");
    }
    return false;
}

static bool is_like(const char *pattern, const char *path)
{
    return fnmatch(pattern, path, 0) == 0 || fnmatch(pattern, base_name(path), 0) == 0;
}

static bool is_own(const struct bl_model_options *options, const char *path)
{
    for (size_t i = 0; i < options->own_count; i++)
        if (is_like(options->own[i], path))
            return true;
    return false;
}

const char *bl_callers_unknown_own(const struct bl_reader *reader,
                                   const struct bl_model_options *options)
{
    char path[4096];
    for (size_t i = 0; i < options->own_count; i++) {
        bool is_known = false;
        for (uint32_t k = 1; k < bl_reader_count(reader, BL_SECTION_MODULES) && !is_known; k++) {
            const struct bl_module *module = bl_reader_module(reader, k);
            if (!module || module->flags & BL_MODULE_SHIM)
                continue;
            bl_reader_name_text(reader, module->path_name, path, sizeof(path));
            is_known = is_like(options->own[i], path);
        }
        if (!is_known)
            return options->own[i];
    }
    return NULL;
}

static uint8_t part_of(const struct bl_callers *callers, const char *library, uint32_t number)
{
    const struct bl_module *module = bl_reader_module(callers->reader, number);
    char path[4096];
    if (!module)
        return PART_CALLER;
    if (module->flags & BL_MODULE_SHIM)
        return PART_SHIM;
    bl_reader_name_text(callers->reader, module->path_name, path, sizeof(path));
    if (is_own(callers->options, path))
        return PART_OWN;
    if (bl_model_is_runtime(path) || bl_callers_matches(library, path))
        return PART_LIBRARY;
    return PART_CALLER;
}

/* What each module is for one class; NULL without memory. */
static const uint8_t *parts_of(struct bl_callers *callers, uint32_t class_number)
{
    uint32_t index = class_number % BL_CLASSES_MAX;
    if (callers->parts[index])
        return callers->parts[index];
    const struct bl_class *class = bl_reader_class(callers->reader, class_number);
    char library[1024] = "";
    uint8_t *parts = calloc(callers->module_count + 1u, 1);
    if (!parts)
        return NULL;
    if (class)
        bl_reader_name_text(callers->reader, class->own_modules, library, sizeof(library));
    for (uint32_t i = 0; i < callers->module_count; i++)
        parts[i] = part_of(callers, library, i);
    callers->parts[index] = parts;
    return parts;
}

/* A library that was closed and opened again has two entries. */
static int find_same_modules(struct bl_callers *callers, struct bl_error *error)
{
    callers->module_count = bl_reader_count(callers->reader, BL_SECTION_MODULES);
    callers->module_same = calloc(callers->module_count + 1u, sizeof(*callers->module_same));
    if (!callers->module_same)
        return bl_error_set(error, "not enough memory for %u modules", callers->module_count);
    for (uint32_t i = 1; i < callers->module_count; i++) {
        uint32_t same = bl_model_first_same_module(callers->reader, i);
        callers->module_same[i] = same < i ? callers->module_same[same] : i;
    }
    return 0;
}

int bl_callers_create(struct bl_callers **ret_callers, const struct bl_reader *reader,
                      struct bl_symbols *symbols, const struct bl_model_options *options,
                      struct bl_error *error)
{
    struct bl_callers *callers = calloc(1, sizeof(*callers));
    if (!callers)
        return bl_error_set(error, "not enough memory for the stacks");
    callers->reader = reader;
    callers->symbols = symbols;
    callers->options = options;
    callers->nesting = bl_nesting_create();
    int outcome = callers->nesting ? find_same_modules(callers, error)
                                   : bl_error_set(error, "not enough memory for the stacks");
    /* chain 0 is the empty one, parent of nothing: each class has its own first parent */
    if (outcome == 0 && intern_chain(callers, 0, 0) == UINT32_MAX)
        outcome = bl_error_set(error, "not enough memory for the stacks");
    if (outcome < 0)
        bl_callers_destroy(callers);
    else
        *ret_callers = callers;
    return outcome;
}

void bl_callers_destroy(struct bl_callers *callers)
{
    if (!callers)
        return;
    for (size_t i = 0; i < BL_CLASSES_MAX; i++)
        free(callers->parts[i]);
    free(callers->module_same);
    free(callers->callers);
    free(callers->entries);
    free(callers->by_stack.slots);
    free(callers->chains);
    free(callers->by_chain.slots);
    free(callers->places);
    free(callers->by_place.slots);
    bl_nesting_destroy(callers->nesting);
    free(callers);
}

/* Where nothing in a stack of Java methods is the caller's own, the framework that called the
 * library's innermost package says more than what that does inside. */
static size_t skip_package(const struct bl_callers *callers, const uint32_t *all, size_t total)
{
    const struct bl_frame *frame = total > 0 ? bl_reader_frame(callers->reader, all[0]) : NULL;
    if (!frame || !(frame->module & BL_FRAME_MANAGED))
        return 0;
    uint32_t package = frame->module & BL_FRAME_MODULE_MASK;
    for (size_t i = 1; i < total; i++) {
        frame = bl_reader_frame(callers->reader, all[i]);
        if (frame && (frame->module & BL_FRAME_MODULE_MASK) != package)
            return i;
    }
    return 0;
}

static void note_nest(struct bl_callers *callers, struct place *place)
{
    size_t length = 0;
    const char *name = bl_reader_name(callers->reader, (uint32_t)place->offset, &length);
    if (place->is_managed || !name)
        return;
    place->is_managed = true;
    place->nest = bl_nesting_find(callers->nesting, name, strnlen(name, length));
}

/* UINT32_MAX without memory. */
static uint32_t place_of(struct bl_callers *callers, uint32_t number)
{
    const struct bl_frame *frame = bl_reader_frame(callers->reader, number);
    uint32_t module = frame ? frame->module & BL_FRAME_MODULE_MASK : 0;
    uint32_t place = intern_place(callers, callers->module_same[module], frame ? frame->offset : 0);
    if (frame && frame->module & BL_FRAME_MANAGED && place != UINT32_MAX)
        note_nest(callers, &callers->places[place]);
    return place;
}

static struct bl_nest nest_of(const struct bl_callers *callers, uint32_t place)
{
    return place == UINT32_MAX ? (struct bl_nest){0} : callers->places[place].nest;
}

/* The calls that were inlined around a frame, with their places; returns how many there are now. */
static size_t add_inlined(struct bl_callers *callers, uint32_t number, struct bl_caller *out,
                          size_t count)
{
    const struct bl_frame *frame = bl_reader_frame(callers->reader, number);
    size_t inlined = 0;
    const uint64_t *calls =
        callers->symbols ? bl_symbols_inlined(callers->symbols, number, &inlined) : NULL;
    for (size_t i = 0; calls && frame && i < inlined && count < BL_CALLERS_DEPTH; i++) {
        uint32_t module = callers->module_same[frame->module & BL_FRAME_MODULE_MASK];
        out[count++] = (struct bl_caller){
            .frame = number, .place = intern_place(callers, module, calls[i] | INLINED)};
    }
    return count;
}

/* The caller's own frames, without chains; when there is none, all but the shim's. */
static size_t own_frames(struct bl_callers *callers, const uint8_t *parts, uint32_t stack,
                         struct bl_caller *out)
{
    uint32_t all[BL_MODEL_FRAMES_MAX];
    size_t total = bl_model_stack(callers->reader, stack, all, BL_MODEL_FRAMES_MAX);
    size_t count = 0;
    size_t first = 0;
    for (size_t pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < total && pass == 0; i++) {
            const struct bl_frame *frame = bl_reader_frame(callers->reader, all[i]);
            if (frame && parts[frame->module & BL_FRAME_MODULE_MASK] == PART_OWN) {
                first = i;
                break;
            }
        }
        if (pass > 0)
            first = skip_package(callers, all, total);
        uint32_t inside = (uint32_t)first;
        for (size_t i = first; i < total && count < BL_CALLERS_DEPTH; i++) {
            const struct bl_frame *frame = bl_reader_frame(callers->reader, all[i]);
            inside++;
            if (!frame ||
                (pass == 0 && parts[frame->module & BL_FRAME_MODULE_MASK] == PART_LIBRARY))
                continue;
            uint32_t place = place_of(callers, all[i]);
            out[count++] = (struct bl_caller){.frame = all[i],
                                              .place = place,
                                              .inside = inside - 1,
                                              .nest = nest_of(callers, place)};
            inside = 0;
            if (pass == 0)
                count = add_inlined(callers, all[i], out, count);
        }
        if (count > 0)
            break;
    }
    return count;
}

/* The place + 1 at which the library called through a pointer what gave back the reference; 0: it
 * did not, or that is not known. */
static uint32_t find_pointer(struct bl_callers *callers, uint32_t class_number, uint32_t stack)
{
    const struct bl_frame *frame = bl_reader_frame(callers->reader, stack);
    if (!frame || !callers->symbols ||
        !bl_called_by_pointer(callers->symbols, callers->reader, class_number, stack))
        return 0;
    uint32_t module = callers->module_same[frame->module & BL_FRAME_MODULE_MASK];
    return intern_place(callers, module, frame->offset | BY_POINTER) + 1;
}

/* Puts what was called through a pointer before the site: it is inside of all there. */
static size_t add_callee(struct bl_caller *frames, size_t count, uint32_t place)
{
    memmove(frames + 1, frames, count * sizeof(*frames));
    frames[0].place = place;
    frames[1].inside = 0;
    return count + 1;
}

/* The chain of the frames inside the site, outermost first. */
static uint32_t intern_inner(struct bl_callers *callers, uint32_t stack,
                             const struct bl_caller *site, uint32_t *ret_entry)
{
    uint32_t all[BL_MODEL_FRAMES_MAX];
    size_t total =
        site->frame ? bl_model_stack(callers->reader, stack, all, BL_MODEL_FRAMES_MAX) : 0;
    uint32_t chain = intern_chain(callers, UINT32_MAX - 1, 0);
    *ret_entry = 0;
    for (size_t i = site->inside < total ? site->inside : total; i-- > 0;) {
        uint32_t place = place_of(callers, all[i]);
        chain = place == UINT32_MAX ? UINT32_MAX : intern_chain(callers, chain, place);
        if (chain == UINT32_MAX)
            break;
        if (*ret_entry == 0)
            *ret_entry = place + 1;
    }
    return chain;
}

/* UINT32_MAX without memory. The same place under two classes is two chains: they are counted
 * apart.
 */
static uint32_t intern_frames(struct bl_callers *callers, uint32_t class_number,
                              struct bl_caller *frames, size_t count)
{
    uint32_t chain = intern_chain(callers, UINT32_MAX, class_number);
    for (size_t i = 0; i < count; i++) {
        if (frames[i].place == UINT32_MAX || chain == UINT32_MAX)
            return UINT32_MAX;
        chain = intern_chain(callers, chain, frames[i].place);
        frames[i].chain = chain;
    }
    return chain;
}

static bool add_entry(struct bl_callers *callers, uint32_t class_number, uint32_t stack,
                      bool is_release, const uint8_t *parts)
{
    struct bl_caller frames[BL_CALLERS_DEPTH];
    size_t count = own_frames(callers, parts, stack, frames);
    struct entry entry = {.class_number = class_number,
                          .stack = stack,
                          .is_release = is_release,
                          .first = (uint32_t)callers->caller_count};
    if (count == 0)
        frames[count++] = (struct bl_caller){.place = place_of(callers, 0)};
    entry.inner = intern_inner(callers, stack, &frames[0], &entry.entry);
    entry.call = intern_frames(callers, class_number, frames, count);
    if (entry.inner == UINT32_MAX || entry.call == UINT32_MAX)
        return false;
    if (is_release && frames[0].inside > 0 && count < BL_CALLERS_DEPTH)
        entry.pointer = find_pointer(callers, class_number, stack);
    if (entry.pointer) {
        count = add_callee(frames, count, entry.pointer - 1);
        if (intern_frames(callers, class_number, frames, count) == UINT32_MAX)
            return false;
    }
    entry.count = (uint32_t)count;
    void *grown;
    for (uint32_t i = 0; i < entry.count; i++) {
        grown = grow(callers->callers, &callers->caller_room, callers->caller_count,
                     sizeof(*callers->callers));
        if (!grown)
            return false;
        callers->callers = grown;
        callers->callers[callers->caller_count++] = frames[i];
    }
    grown = grow(callers->entries, &callers->entry_room, callers->entry_count,
                 sizeof(*callers->entries));
    if (!grown)
        return false;
    callers->entries = grown;
    callers->entries[callers->entry_count++] = entry;
    return true;
}

static uint32_t find(struct bl_callers *callers, uint32_t class_number, uint32_t stack,
                     bool is_release)
{
    const uint8_t *parts = parts_of(callers, class_number);
    if (!parts || !grow_table(&callers->by_stack, callers->entry_count, callers, hash_entry))
        return UINT32_MAX;
    uint64_t at = hash_pair(class_number * 2 + is_release, stack);
    uint32_t slot;
    while ((slot = callers->by_stack.slots[at & (callers->by_stack.room - 1)])) {
        const struct entry *entry = &callers->entries[slot - 1];
        if (entry->class_number == class_number && entry->stack == stack &&
            entry->is_release == is_release)
            return slot - 1;
        at++;
    }
    if (!add_entry(callers, class_number, stack, is_release, parts))
        return UINT32_MAX;
    callers->by_stack.slots[at & (callers->by_stack.room - 1)] = (uint32_t)callers->entry_count;
    return (uint32_t)callers->entry_count - 1;
}

uint32_t bl_callers_find(struct bl_callers *callers, uint32_t class_number, uint32_t stack)
{
    return find(callers, class_number, stack, false);
}

uint32_t bl_callers_find_release(struct bl_callers *callers, uint32_t class_number, uint32_t stack)
{
    return find(callers, class_number, stack, true);
}

const struct bl_caller *bl_callers_frames(const struct bl_callers *callers, uint32_t number,
                                          size_t *ret_count)
{
    const struct entry *entry = &callers->entries[number];
    *ret_count = entry->count;
    return &callers->callers[entry->first];
}

uint32_t bl_callers_whole(const struct bl_callers *callers, uint32_t number)
{
    const struct entry *entry = &callers->entries[number];
    return callers->callers[entry->first + entry->count - 1].chain;
}

uint32_t bl_callers_site(const struct bl_callers *callers, uint32_t number)
{
    return callers->callers[callers->entries[number].first].chain;
}

uint32_t bl_callers_inner(const struct bl_callers *callers, uint32_t number)
{
    return callers->entries[number].inner;
}

uint32_t bl_callers_call(const struct bl_callers *callers, uint32_t number)
{
    return callers->entries[number].call;
}

uint32_t bl_callers_pointer(const struct bl_callers *callers, uint32_t number)
{
    return callers->entries[number].pointer;
}

uint32_t bl_callers_entry(const struct bl_callers *callers, uint32_t number)
{
    return callers->entries[number].entry;
}

/* The innermost method of a that a lambda of b stands in, or the other way round, or that both
 * stand in lambdas of: among the frames that only one has. */
struct kin {
    bool is_any;
    size_t a_frames; /* up to the method or lambda, with it */
    size_t b_frames;
};

static struct kin find_kin(const struct bl_caller *a, size_t a_count, const struct bl_caller *b,
                           size_t b_count)
{
    for (size_t i = 0; i < a_count; i++)
        for (size_t k = 0; a[i].nest.around && k < b_count; k++)
            if (a[i].nest.around == b[k].nest.around && a[i].nest.method != b[k].nest.method)
                return (struct kin){true, i + 1, k + 1};
    return (struct kin){.is_any = false};
}

/* Leaves of two stacks the frames that only one has; returns how many both have. */
static uint32_t leave_out_shared(const struct bl_caller *a, size_t *a_count,
                                 const struct bl_caller *b, size_t *b_count)
{
    uint32_t shared = 0;
    for (; *a_count > 0 && *b_count > 0 && a[*a_count - 1].place == b[*b_count - 1].place;
         shared++) {
        --*a_count;
        --*b_count;
    }
    return shared;
}

struct bl_fork bl_callers_fork(const struct bl_callers *callers, uint32_t a, uint32_t b)
{
    size_t a_count;
    size_t b_count;
    struct bl_fork fork = {0};
    const struct bl_caller *a_frames = bl_callers_frames(callers, a, &a_count);
    const struct bl_caller *b_frames = bl_callers_frames(callers, b, &b_count);
    fork.shared = leave_out_shared(a_frames, &a_count, b_frames, &b_count);
    struct kin kin = find_kin(a_frames, a_count, b_frames, b_count);
    if (kin.is_any) {
        fork.shared += (uint32_t)(a_count - kin.a_frames);
        a_count = kin.a_frames;
        b_count = kin.b_frames;
    }
    fork.a_frames = (uint32_t)a_count;
    fork.b_frames = (uint32_t)b_count;
    /* those between its outermost frame and the shared ones lie inside the latter */
    for (size_t i = 0; i < b_count + (fork.shared > 0 && !kin.is_any); i++)
        fork.b_library += b_frames[i].inside;
    return fork;
}

uint32_t bl_callers_distance(const struct bl_callers *callers, uint32_t a, uint32_t b)
{
    size_t a_count;
    size_t b_count;
    const struct bl_caller *a_frames = bl_callers_frames(callers, a, &a_count);
    const struct bl_caller *b_frames = bl_callers_frames(callers, b, &b_count);
    leave_out_shared(a_frames, &a_count, b_frames, &b_count);
    struct kin kin = find_kin(a_frames, a_count, b_frames, b_count);
    return (uint32_t)(kin.is_any ? kin.a_frames + kin.b_frames : a_count + b_count);
}

uint32_t bl_callers_chain_count(const struct bl_callers *callers)
{
    return (uint32_t)callers->chain_count;
}
