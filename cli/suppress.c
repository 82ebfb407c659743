#include "suppress.h"

#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum frame_kind { FRAME_FUNCTION, FRAME_OBJECT, FRAME_SOURCE, FRAME_ANY };

struct frame_rule {
    enum frame_kind kind;
    char *pattern;
};

#define KIND_DEFINITE  1u
#define KIND_INDIRECT  2u
#define KIND_POSSIBLE  4u
#define KIND_REACHABLE 8u

struct bl_suppress_rule {
    char *pattern; /* LeakSanitizer's; NULL: frames */
    char *class_name;
    char *verdict;
    char *reach;
    char *process;
    char *within;     /* of the module; NULL: any */
    char *of_process; /* the name itself; NULL: any */
    uint64_t max_count;
    uint64_t max_bytes;
    struct frame_rule *frames;
    size_t frame_count;
    unsigned kinds;
    const char *limited_key; /* of the leak that was last measured by the limits; NULL: none */
    bool was_within;
};

struct bl_suppressions {
    struct bl_suppression *list;
    size_t count;
};

/* Where the parser is. */
struct place {
    const char *name;
    const char *line_start;
    const char *at;
    size_t line;
};

bool bl_suppress_glob(const char *pattern, const char *text)
{
    const char *star = NULL;
    const char *resume = text;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

/* LeakSanitizer's: anywhere in the text, unless ^ or $ say otherwise; ? stands for itself. */
static bool matches_part(const char *pattern, const char *text)
{
    bool from_start = *pattern == '^';
    size_t length = strlen(pattern += from_start);
    bool to_end = length > 0 && pattern[length - 1] == '$';
    length -= to_end;
    for (bool is_first = true;; is_first = false) {
        const char *star = memchr(pattern, '*', length);
        size_t part = star ? (size_t)(star - pattern) : length;
        const char *found = text;
        bool is_last = !star;
        if (is_last && to_end) {
            size_t left = strlen(text);
            return left >= part && (left == part || !is_first || !from_start) &&
                   strncmp(text + left - part, pattern, part) == 0;
        }
        while (strncmp(found, pattern, part) != 0) {
            if (*found == '\0' || (is_first && from_start))
                return false;
            found++;
        }
        if (is_last)
            return true;
        text = found + part;
        pattern += part + 1;
        length -= part + 1;
    }
}

static int fail(const struct place *place, struct bl_error *error, const char *what)
{
    return bl_error_set(error, "%s:%zu:%zu: %s", place->name, place->line,
                        (size_t)(place->at - place->line_start) + 1, what);
}

/* For people and JSON: whatever bytes the file has. */
static char *copy_printable(const char *text, size_t length)
{
    size_t size = 4 * length + 1;
    char *copied = bl_leaks_memory(NULL, size);
    bl_text_printable(copied, size, text, length);
    return copied;
}

static char *copy(const char *text, size_t length)
{
    char *copied = bl_leaks_memory(NULL, length + 1);
    memcpy(copied, text, length);
    copied[length] = '\0';
    return copied;
}

int bl_suppressions_create(struct bl_suppressions **ret_suppressions, struct bl_error *error)
{
    *ret_suppressions = calloc(1, sizeof(**ret_suppressions));
    return *ret_suppressions ? 0 : bl_error_set(error, "not enough memory for suppressions");
}

static void free_rule(struct bl_suppress_rule *rule)
{
    for (size_t i = 0; i < rule->frame_count; i++)
        free(rule->frames[i].pattern);
    free(rule->frames);
    free(rule->pattern);
    free(rule->class_name);
    free(rule->verdict);
    free(rule->reach);
    free(rule->process);
    free(rule->of_process);
    free(rule->within);
    free(rule);
}

void bl_suppressions_destroy(struct bl_suppressions *suppressions)
{
    if (!suppressions)
        return;
    for (size_t i = 0; i < suppressions->count; i++) {
        free(suppressions->list[i].text);
        free(suppressions->list[i].file);
        free_rule(suppressions->list[i].rule);
    }
    free(suppressions->list);
    free(suppressions);
}

static struct bl_suppress_rule *new_rule(void)
{
    struct bl_suppress_rule *rule = bl_leaks_memory(NULL, sizeof(*rule));
    *rule = (struct bl_suppress_rule){.max_count = UINT64_MAX,
                                      .max_bytes = UINT64_MAX,
                                      .kinds = KIND_DEFINITE | KIND_INDIRECT | KIND_POSSIBLE |
                                               KIND_REACHABLE};
    return rule;
}

static void add(struct bl_suppressions *suppressions, const struct place *place, size_t line,
                char *text, struct bl_suppress_rule *rule)
{
    suppressions->list = bl_leaks_memory(suppressions->list,
                                         (suppressions->count + 1) * sizeof(*suppressions->list));
    suppressions->list[suppressions->count++] =
        (struct bl_suppression){.text = text,
                                .file = copy_printable(place->name, strlen(place->name)),
                                .line = line,
                                .rule = rule};
}

static int take_limit(struct place *place, const char *value, bool is_size, uint64_t *out,
                      struct bl_error *error)
{
    if (is_size ? bl_text_parse_size(value, out) : bl_text_parse_number(value, UINT64_MAX, out))
        return 0;
    return fail(place, error,
                is_size ? "max-bytes takes a size such as 512, 64K, 1M"
                        : "max-count takes a number");
}

/* One KEY=VALUE of leak[…]. */
static int take_qualifier(struct place *place, struct bl_suppress_rule *rule, const char *end,
                          struct bl_error *error)
{
    static const char *const keys[] = {"class=", "verdict=", "reach=", "process=", "within="};
    char **const fields[] = {&rule->class_name, &rule->verdict, &rule->reach, &rule->process,
                             &rule->within};
    size_t length = (size_t)(end - place->at);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        size_t key = strlen(keys[i]);
        if (length < key || strncmp(place->at, keys[i], key) != 0)
            continue;
        free(*fields[i]);
        *fields[i] = copy(place->at + key, length - key);
        return 0;
    }
    bool is_size = strncmp(place->at, "max-bytes=", 10) == 0;
    if (!is_size && strncmp(place->at, "max-count=", 10) != 0)
        return fail(place, error,
                    "unknown qualifier (accepted: class=, verdict=, reach=, process=, "
                    "within=, max-count=, max-bytes=)");
    char *value = copy(place->at + 10, length > 10 ? length - 10 : 0);
    int outcome =
        take_limit(place, value, is_size, is_size ? &rule->max_bytes : &rule->max_count, error);
    free(value);
    return outcome;
}

static int take_qualifiers(struct place *place, struct bl_suppress_rule *rule, const char *end,
                           struct bl_error *error)
{
    for (place->at++;;) {
        const char *stop = place->at;
        while (stop < end && *stop != ',' && *stop != ']')
            stop++;
        if (stop == end)
            return fail(place, error, "the ] of leak[ is missing");
        if (take_qualifier(place, rule, stop, error) < 0)
            return -1;
        place->at = stop + 1;
        if (*stop == ']')
            return 0;
    }
}

static int take_lsan(struct bl_suppressions *suppressions, struct place *place, const char *end,
                     struct bl_error *error)
{
    const char *start = place->at;
    if (strncmp(place->at, "leak", 4) != 0 || !strchr(":[", place->at[4]))
        return fail(place, error,
                    "unknown suppression (accepted: leak:PATTERN, "
                    "leak[QUALIFIERS]:PATTERN, or valgrind's in braces)");
    struct bl_suppress_rule *rule = new_rule();
    place->at += 4;
    int outcome = *place->at == '[' ? take_qualifiers(place, rule, end, error) : 0;
    if (outcome == 0 && *place->at != ':')
        outcome = fail(place, error, "a : is missing before the pattern");
    if (outcome == 0 && ++place->at == end)
        outcome = fail(place, error, "the pattern is empty");
    if (outcome < 0) {
        free_rule(rule);
        return -1;
    }
    rule->pattern = copy(place->at, (size_t)(end - place->at));
    add(suppressions, place, place->line, copy_printable(start, (size_t)(end - start)), rule);
    return 0;
}

/* The next line without blanks around it; false at the end. Skips comments and empty lines. */
static bool next_line(struct place *place, const char **next, const char **ret_end)
{
    while (**next) {
        place->line_start = *next;
        const char *end = place->line_start + strcspn(place->line_start, "\n");
        place->line++;
        *next = *end ? end + 1 : end;
        place->at = place->line_start;
        while (place->at < end && strchr(" \t\r", *place->at))
            place->at++;
        while (end > place->at && strchr(" \t\r", end[-1]))
            end--;
        if (place->at == end || *place->at == '#')
            continue;
        *ret_end = end;
        return true;
    }
    return false;
}

static bool starts(const struct place *place, const char *end, const char *word)
{
    size_t length = strlen(word);
    return (size_t)(end - place->at) >= length && strncmp(place->at, word, length) == 0;
}

static int take_kinds(struct place *place, const char *end, struct bl_suppress_rule *rule,
                      struct bl_error *error)
{
    static const struct {
        const char *name;
        unsigned kinds;
    } kinds[] = {{"definite", KIND_DEFINITE},
                 {"indirect", KIND_INDIRECT},
                 {"possible", KIND_POSSIBLE},
                 {"reachable", KIND_REACHABLE},
                 {"all", 15},
                 {"none", 0}};
    rule->kinds = 0;
    for (place->at += strlen("match-leak-kinds:"); place->at < end;) {
        size_t length = 0;
        bool is_known = false;
        while (place->at < end && strchr(", \t", *place->at))
            place->at++;
        while (place->at + length < end && !strchr(", \t", place->at[length]))
            length++;
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
            if (strlen(kinds[i].name) != length || strncmp(place->at, kinds[i].name, length) != 0)
                continue;
            rule->kinds |= kinds[i].kinds;
            is_known = true;
        }
        if (!is_known)
            return fail(place, error,
                        "unknown leak kind (accepted: definite, indirect, possible, "
                        "reachable, all, none)");
        place->at += length;
    }
    return 0;
}

static int take_frame(struct place *place, const char *end, struct bl_suppress_rule *rule,
                      struct bl_error *error)
{
    static const char *const words[] = {"fun:", "obj:", "src:", "..."};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!starts(place, end, words[i]))
            continue;
        rule->frames =
            bl_leaks_memory(rule->frames, (rule->frame_count + 1) * sizeof(*rule->frames));
        rule->frames[rule->frame_count++] = (struct frame_rule){
            .kind = (enum frame_kind)i,
            .pattern = copy(place->at + 4 - (i == 3), (size_t)(end - place->at) - 4 + (i == 3))};
        return 0;
    }
    return fail(place, error, "unknown frame (accepted: fun:, obj:, src:, ...)");
}

/* Is this one for leaks? "Memcheck:Leak", or several tools before the colon. */
static bool is_for_leaks(const struct place *place, const char *end)
{
    const char *colon = memchr(place->at, ':', (size_t)(end - place->at));
    bool for_memcheck = false;
    for (const char *at = place->at; colon && at < colon; at++)
        for_memcheck |= strncmp(at, "Memcheck", 8) == 0;
    return for_memcheck && end - colon == 5 && strncmp(colon, ":Leak", 5) == 0;
}

static int take_valgrind(struct bl_suppressions *suppressions, struct place *place,
                         const char **next, struct bl_error *error)
{
    const char *end;
    struct place opened = *place;
    if (!next_line(place, next, &end) || *place->at == '}')
        return fail(&opened, error, "a suppression in braces begins with its name");
    char *name = copy_printable(place->at, (size_t)(end - place->at));
    struct bl_suppress_rule *rule = new_rule();
    int outcome = 0;
    bool is_closed = false;
    bool is_leak = next_line(place, next, &end) && is_for_leaks(place, end);
    while (outcome == 0 && !is_closed && next_line(place, next, &end)) {
        is_closed = *place->at == '}';
        if (is_closed || !is_leak)
            continue;
        if (starts(place, end, "match-leak-kinds:"))
            outcome = take_kinds(place, end, rule, error);
        else
            outcome = take_frame(place, end, rule, error);
    }
    if (outcome == 0 && !is_closed)
        outcome = fail(&opened, error, "the } of this suppression is missing");
    if (outcome == 0 && is_leak) {
        add(suppressions, place, opened.line, name, rule);
        return 0;
    }
    free(name);
    free_rule(rule);
    return outcome;
}

int bl_suppressions_parse(struct bl_suppressions *suppressions, const char *name, const char *text,
                          bool is_builtin, struct bl_error *error)
{
    struct place place = {.name = name};
    const char *next = text;
    const char *end;
    size_t first = suppressions->count;
    while (next_line(&place, &next, &end)) {
        int outcome = *place.at == '{' ? take_valgrind(suppressions, &place, &next, error)
                                       : take_lsan(suppressions, &place, end, error);
        if (outcome < 0)
            return -1;
    }
    for (size_t i = first; i < suppressions->count; i++)
        suppressions->list[i].is_builtin = is_builtin;
    return 0;
}

int bl_suppressions_parse_of(struct bl_suppressions *suppressions, const char *name,
                             const char *text, const char *comm, struct bl_error *error)
{
    size_t first = suppressions->count;
    int outcome = bl_suppressions_parse(suppressions, name, text, true, error);
    for (size_t i = first; i < suppressions->count; i++) {
        struct bl_suppress_rule *rule = suppressions->list[i].rule;
        suppressions->list[i].is_builtin = true;
        free(rule->of_process);
        rule->of_process = copy(comm, strlen(comm));
    }
    return outcome;
}

int bl_suppressions_read(struct bl_suppressions *suppressions, const char *path,
                         struct bl_error *error)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t size = 0;
    ssize_t length = file ? getdelim(&text, &size, '\0', file) : -1;
    if (length < 0) {
        bool is_empty = file && feof(file) && !ferror(file);
        int code = errno;
        if (file)
            fclose(file);
        free(text);
        return is_empty ? 0
                        : bl_error_set(error, "cannot read suppressions from %s: %s", path,
                                       strerror(code));
    }
    fclose(file);
    bool is_text = text[length - 1] != '\0';
    int outcome = is_text ? bl_suppressions_parse(suppressions, path, text, false, error)
                          : bl_error_set(error, "%s: it has a zero byte: no suppressions", path);
    free(text);
    return outcome;
}

static bool frame_has(const char *pattern, const struct bl_leak_frame *frame)
{
    return (frame->function && matches_part(pattern, frame->function)) ||
           (frame->file && matches_part(pattern, frame->file)) ||
           matches_part(pattern, frame->module) || matches_part(pattern, frame->path);
}

/* Where a module is named, the frames up to the one that matches must be its, or those of
 * libraries that allocate for others: what it called back allocates for itself. */
static bool stack_has(const struct bl_suppress_rule *rule, const struct bl_leak_stack *stack)
{
    for (size_t i = 0; i < stack->count; i++) {
        const struct bl_leak_frame *frame = &stack->frames[i];
        bool is_inside = !rule->within || bl_suppress_glob(rule->within, frame->module);
        if (is_inside && frame_has(rule->pattern, frame))
            return true;
        if (!is_inside && !frame->is_runtime)
            return false;
    }
    return false;
}

static bool matches_frame(const struct frame_rule *rule, const struct bl_leak_frame *frame)
{
    char place[4200];
    switch (rule->kind) {
    case FRAME_FUNCTION:
        return frame->function && bl_suppress_glob(rule->pattern, frame->function);
    case FRAME_OBJECT:
        return bl_suppress_glob(rule->pattern, frame->path);
    case FRAME_SOURCE:
        snprintf(place, sizeof(place), "%s:%d", frame->file ? frame->file : "", frame->line);
        return frame->file && (bl_suppress_glob(rule->pattern, place) ||
                               bl_suppress_glob(rule->pattern, frame->file));
    case FRAME_ANY:
        break;
    }
    return true;
}

/* The allocation function itself is the shim's frame, which no stack here has. */
static bool is_allocator(const struct frame_rule *rule)
{
    static const char *const names[] = {"malloc",
                                        "calloc",
                                        "realloc",
                                        "memalign",
                                        "valloc",
                                        "posix_memalign",
                                        "_Znwm",
                                        "_Znam",
                                        "_ZnwmRKSt9nothrow_t",
                                        "_ZnamRKSt9nothrow_t",
                                        "aligned_alloc",
                                        "reallocarray"};
    for (size_t i = 0; rule->kind == FRAME_FUNCTION && i < sizeof(names) / sizeof(names[0]); i++)
        if (bl_suppress_glob(rule->pattern, names[i]))
            return true;
    return false;
}

/* "..." stands for any number of frames. The first that fits is as good as any other, as nothing
 * after the last rule matters: so what was chosen before a "..." is never taken back. */
static bool matches_stack(const struct frame_rule *rules, size_t rule_count,
                          const struct bl_leak_frame *frames, size_t frame_count)
{
    size_t rule = 0;
    size_t frame = 0;
    size_t after_any = SIZE_MAX; /* the rule to go back to, and where it is to be tried next */
    size_t resume = 0;
    while (rule < rule_count) {
        if (rules[rule].kind == FRAME_ANY) {
            after_any = ++rule;
            resume = frame;
        } else if (frame < frame_count && matches_frame(&rules[rule], &frames[frame])) {
            rule++;
            frame++;
        } else if (after_any != SIZE_MAX && resume < frame_count) {
            rule = after_any;
            frame = ++resume;
        } else {
            return false;
        }
    }
    return true;
}

static bool matches_valgrind(const struct bl_suppress_rule *rule, const struct bl_leak *leak)
{
    static const unsigned kinds[] = {[BL_LEAK_UNKNOWN] = KIND_POSSIBLE,
                                     [BL_LEAK_LOST] = KIND_DEFINITE | KIND_INDIRECT | KIND_POSSIBLE,
                                     [BL_LEAK_HELD] = KIND_REACHABLE};
    const struct bl_leak_stack *stack = leak->alloc.count > 0 ? &leak->alloc : &leak->blame;
    if (!(rule->kinds & kinds[leak->reach]))
        return false;
    bool begins_inside = rule->frame_count > 0 && is_allocator(rule->frames);
    return (begins_inside &&
            matches_stack(rule->frames + 1, rule->frame_count - 1, stack->frames, stack->count)) ||
           matches_stack(rule->frames, rule->frame_count, stack->frames, stack->count);
}

static bool matches_processes(const char *pattern, const struct bl_leaks *leaks,
                              const struct bl_leak *leak)
{
    for (size_t i = 0; i < leak->share_count; i++)
        if (!bl_suppress_glob(pattern, bl_leaks_process(leaks, leak->shares[i].process)->comm))
            return false;
    return true;
}

static bool is_of(const char *comm, const struct bl_leaks *leaks, const struct bl_leak *leak)
{
    for (size_t i = 0; i < leak->share_count; i++)
        if (strcmp(comm, bl_leaks_process(leaks, leak->shares[i].process)->comm) != 0)
            return false;
    return true;
}

static bool matches(const struct bl_suppress_rule *rule, const struct bl_leaks *leaks,
                    const struct bl_leak *leak)
{
    if ((rule->class_name && !bl_suppress_glob(rule->class_name, leak->class_name)) ||
        (rule->verdict && !bl_suppress_glob(rule->verdict, leak->verdict)) ||
        (rule->reach && !bl_suppress_glob(rule->reach, bl_leak_reach_name(leak->reach))) ||
        (rule->process && !matches_processes(rule->process, leaks, leak)) ||
        (rule->of_process && !is_of(rule->of_process, leaks, leak)))
        return false;
    if (!rule->pattern)
        return matches_valgrind(rule, leak);
    return stack_has(rule, &leak->blame) || stack_has(rule, &leak->alloc);
}

/* What all stacks that match left together, in the run that left most. */
static bool measure(const struct bl_suppress_rule *rule, const struct bl_leaks *leaks,
                    const char *key)
{
    struct bl_leak all = {.key = key};
    uint64_t runs = 0;
    for (const struct bl_leak *one = bl_leaks_first(leaks, key); one; one = one->more) {
        for (size_t i = 0; matches(rule, leaks, one) && i < one->share_count; i++) {
            uint64_t run = bl_leaks_process(leaks, one->shares[i].process)->run;
            runs = run > runs ? run : runs;
            bl_leaks_add_share(&all, &one->shares[i]);
        }
    }
    bl_leaks_count_runs(leaks, &all, runs);
    free(all.shares);
    return all.run_count <= rule->max_count && all.run_bytes <= rule->max_bytes;
}

static bool is_within(struct bl_suppress_rule *rule, const struct bl_leaks *leaks,
                      const struct bl_leak *leak)
{
    if (rule->max_count == UINT64_MAX && rule->max_bytes == UINT64_MAX)
        return true;
    if (rule->limited_key != leak->key)
        rule->was_within = measure(rule, leaks, leak->key);
    rule->limited_key = leak->key;
    return rule->was_within;
}

const struct bl_suppression *bl_suppressions_find(struct bl_suppressions *suppressions,
                                                  const struct bl_leaks *leaks,
                                                  const struct bl_leak *leak)
{
    for (size_t i = 0; i < suppressions->count; i++) {
        struct bl_suppression *one = &suppressions->list[i];
        if (!matches(one->rule, leaks, leak) || !is_within(one->rule, leaks, leak))
            continue;
        one->used++;
        return one;
    }
    return NULL;
}

size_t bl_suppressions_count(const struct bl_suppressions *suppressions)
{
    return suppressions->count;
}

const struct bl_suppression *bl_suppressions_at(const struct bl_suppressions *suppressions,
                                                size_t index)
{
    return &suppressions->list[index];
}

static bool passes(const struct bl_leak_stack *stack, const char *function)
{
    for (size_t i = 0; i < stack->count; i++)
        if (stack->frames[i].function && strcmp(stack->frames[i].function, function) == 0)
            return true;
    return false;
}

static bool is_shared(const struct bl_leaks *leaks, const struct bl_leak *leak,
                      const char *function)
{
    for (size_t i = 0; i < bl_leaks_count(leaks); i++) {
        const struct bl_leak *other = bl_leaks_at(leaks, i);
        if (other != leak && (passes(&other->blame, function) || passes(&other->alloc, function)))
            return true;
    }
    return false;
}

/* The innermost own function that all stacks of the leak and no other leak pass: what many call to
 * allocate would hide theirs as well. Where there is none, the innermost. */
static const struct bl_leak_frame *choose_place(const struct bl_leaks *leaks,
                                                const struct bl_leak *leak)
{
    for (size_t i = 0; i < leak->blame.count; i++) {
        const struct bl_leak_frame *frame = &leak->blame.frames[i];
        if (frame->function && !frame->is_runtime && !frame->is_system && !frame->is_apart &&
            !is_shared(leaks, leak, frame->function))
            return frame;
    }
    return bl_leak_place(leak);
}

void bl_suppressions_write(FILE *out, const struct bl_leaks *leaks, const struct bl_leak *leak)
{
    const struct bl_leak_frame *place = choose_place(leaks, leak);
    char bytes[BL_TEXT_NUMBER];
    bool is_plain = strcmp(leak->verdict, "unreleased") == 0; /* told as the report tells it */
    fprintf(out, "# %s, %s: %llu, %s; %s\n", leak->class_name,
            is_plain ? bl_leak_reach_name(leak->reach) : leak->verdict,
            (unsigned long long)leak->count, bl_text_bytes(bytes, leak->bytes), leak->key);
    if (!place)
        fprintf(out, "# no frame is known: it cannot be suppressed by place\n");
    else if (strcmp(leak->class_name, "heap") == 0)
        fprintf(out, "leak:%s%s%s\n", place->function ? "^" : "",
                place->function ? place->function : place->module, place->function ? "$" : "");
    else
        fprintf(out, "leak[class=%s]:%s%s%s\n", leak->class_name, place->function ? "^" : "",
                place->function ? place->function : place->module, place->function ? "$" : "");
}

/* Each with its reason; each was seen to be needed. What libc, OpenSSL and the C++ runtime keep
 * until the end needs no rule, since their own data hold it; nor does what the loader allocates,
 * which is taken for roots (shim/roots.c). */
static const char builtin[] =
    "# Each holds only for what the library allocates itself: a constructor that the loader runs,\n"
    "# a class_init, a callback or a native method that leaks is the user's.\n"
    "# GLib: when the table of quarks grows, the old one is left to who may be reading it.\n"
    "leak[class=heap,within=libg*-2.0.so*]:^g_quark_\n"
    "leak[class=heap,within=libglib-2.0.so*]:^g_intern_\n"
    "# GStreamer: the list of log functions is copied, and the old one left to who may read it.\n"
    "leak[class=heap,within=libg*.so*]:^gst_debug_add_log_function$\n"
    "# Java: HotSpot keeps pointers in the code that it generates, where they are not aligned,\n"
    "# and marked ones in its queues, so what it holds seems lost.\n"
    "leak[class=heap,within=libjvm.so]:^libjvm.so$\n"
    "# Its launcher replaces its own arguments, and keeps what it made of them or not.\n"
    "leak[class=heap,within=libjli.so]:^libjli.so$\n";

int bl_suppressions_add_builtin(struct bl_suppressions *suppressions, struct bl_error *error)
{
    return bl_suppressions_parse(suppressions, "built in", builtin, true, error);
}
