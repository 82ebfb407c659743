#include "profile.h"

#include <string.h>

/* Bytes of the file: words are what blanks separate, `#` where a word could begin starts a comment.
 * The text is not trusted: it need not end in NUL and may hold any bytes. */
struct span {
    const char *start;
    size_t length;
};

/* Functions of a class of which a second line is noticed. */
#define NAMED_MAX 128

struct parser {
    const struct bl_profile_sink *sink;
    const char *line_start;
    const char *at; /* the next byte of the line */
    const char *end;
    unsigned line;
    int errors;
    bool in_class;       /* a class line was read */
    bool class_broken;   /* its head has an error: its functions are left out */
    bool class_reported; /* its head is complete */
    bool has_alloc;      /* of the class */
    bool has_end;        /* something ends its buffers */
    bool has_unowned;    /* an alloc whose buffers have no owner to end with */
    bool ends_named;     /* an `end` line was read */
    bool tells_kind;     /* an alloc with kind= */
    unsigned class_line; /* where it is */
    unsigned class_column;
    uint32_t classes;     /* reported */
    uint32_t class_index; /* of the one that is read */
    uint32_t kind_count;
    struct kind {
        struct span name;
        struct span value;
    } kinds[BL_PROFILE_KINDS_MAX];
    uint32_t seen_count;
    struct span seen[BL_PROFILE_CLASSES_MAX]; /* names of the classes so far */
    uint32_t named_count;
    struct span named[NAMED_MAX]; /* functions of the class that are hooked, so far */
    unsigned settings;            /* of the function so far: which were said, see is_first */
    struct bl_profile_class class;
    struct bl_profile_function function;
};

/* ---- errors ---------------------------------------------------------------------------------- */

struct message {
    char text[320];
    size_t used;
};

static void put(struct message *m, const char *text, size_t length)
{
    size_t room = sizeof(m->text) - 1 - m->used;
    if (length > room)
        length = room;
    memcpy(m->text + m->used, text, length);
    m->used += length;
    m->text[m->used] = '\0';
}

/* What the file says, fit for a terminal: 40 bytes at most, anything but ASCII as '?'. */
static void put_word(struct message *m, struct span word)
{
    size_t shown = word.length > 40 ? 40 : word.length;
    put(m, "`", 1);
    for (size_t i = 0; i < shown; i++) {
        char c = word.start[i];
        put(m, c > ' ' && c < 0x7f ? &c : "?", 1);
    }
    if (shown < word.length)
        put(m, "...", 3);
    put(m, "`", 1);
}

static void report(struct parser *p, unsigned line, unsigned column, const char *what)
{
    if (p->errors < INT32_MAX)
        p->errors++;
    if (p->sink->on_error)
        p->sink->on_error(p->sink->context, line, column, what);
}

static unsigned column_of(const struct parser *p, const char *at)
{
    return (unsigned)(at - p->line_start) + 1;
}

/* before `word` after. An empty word stands for what is missing; where it is not asked for, for the
 * end of the line, and is not shown. */
static bool refuse(struct parser *p, struct span word, const char *before, const char *after)
{
    struct message m = {.used = 0};
    size_t length = strlen(before);
    put(&m, before, length);
    if (word.length > 0)
        put_word(&m, word);
    else if (length > 0 && before[length - 1] == ' ')
        put(&m, "nothing", 7);
    put(&m, after, strlen(after));
    report(p, p->line, column_of(p, word.start), m.text);
    return false;
}

/* ---- words ----------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of the line; of length 0 at its end. */
static struct span next_word(struct parser *p)
{
    while (p->at < p->end && is_blank(*p->at))
        p->at++;
    struct span word = {.start = p->at};
    if (p->at < p->end && *p->at == '#')
        return word;
    while (p->at < p->end && !is_blank(*p->at))
        p->at++;
    word.length = (size_t)(p->at - word.start);
    return word;
}

static bool is_word(struct span word, const char *text)
{
    return word.length == strlen(text) && memcmp(word.start, text, word.length) == 0;
}

static bool starts_with(struct span word, const char *text)
{
    return word.length >= strlen(text) && memcmp(word.start, text, strlen(text)) == 0;
}

static struct span after(struct span word, size_t length)
{
    return (struct span){word.start + length, word.length - length};
}

/* Splits at the first c; ret_rest is what follows it. False: there is none. */
static bool split(struct span word, char c, struct span *ret_first, struct span *ret_rest)
{
    const char *at = memchr(word.start, c, word.length);
    if (!at)
        return false;
    *ret_first = (struct span){word.start, (size_t)(at - word.start)};
    *ret_rest = after(word, ret_first->length + 1);
    return true;
}

static bool parse_number(struct span word, int64_t max, int64_t *ret_value)
{
    int64_t value = 0;
    if (word.length == 0)
        return false;
    for (size_t i = 0; i < word.length; i++) {
        char c = word.start[i];
        if (c < '0' || c > '9' || value > (max - (c - '0')) / 10)
            return false;
        value = value * 10 + (c - '0');
    }
    *ret_value = value;
    return true;
}

static bool is_end_of_line(struct parser *p)
{
    struct span word = next_word(p);
    return word.length == 0 || refuse(p, word, "unexpected ", ": nothing more is expected here");
}

/* Names of functions and classes: what C and C++ symbols are made of. */
static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '$' || c == '@';
}

static bool take_name(struct parser *p, struct span word, char *out, const char *what)
{
    struct message m = {.used = 0};
    put(&m, what, strlen(what));
    if (word.length == 0) {
        put(&m, " is missing", 11);
        return refuse(p, word, m.text, "");
    }
    if (word.length >= BL_PROFILE_NAME_MAX) {
        put(&m, " is longer than 63 bytes: ", 26);
        return refuse(p, word, m.text, "");
    }
    for (size_t i = 0; i < word.length; i++)
        if (!is_name_byte(word.start[i])) {
            put(&m, " may hold letters, digits and _ - . $ @ only, not as ", 53);
            return refuse(p, word, m.text, "");
        }
    memcpy(out, word.start, word.length);
    out[word.length] = '\0';
    return true;
}

/* ---- places ---------------------------------------------------------------------------------- */

static bool parse_width(struct span word, struct bl_place *place)
{
    int64_t width;
    if (!parse_number(word, 8, &width) || (width & (width - 1)) != 0 || width == 0)
        return false;
    place->width = (uint8_t)width;
    return true;
}

static bool parse_argument(struct span word, int64_t *ret_number)
{
    return starts_with(word, "arg") &&
           parse_number(after(word, 3), BL_PROFILE_ARGS_MAX, ret_number) && *ret_number > 0;
}

/* field:OFFSET:WIDTH */
static bool parse_field(struct span word, struct bl_place *place)
{
    struct span offset;
    struct span width;
    place->where = BL_WHERE_FIELD;
    return starts_with(word, "field:") && split(after(word, 6), ':', &offset, &width) &&
           parse_number(offset, 65535, &place->n) && parse_width(width, place);
}

/* [*]argN[:WIDTH], [*]result[:WIDTH], argN*argM[:WIDTH] */
static bool parse_operand(struct span word, struct bl_place *place)
{
    struct span first;
    struct span rest;
    if (split(word, ':', &first, &rest)) {
        if (!parse_width(rest, place))
            return false;
        word = first;
    }
    while (word.length > 0 && *word.start == '*' && place->derefs < BL_PROFILE_DEREFS_MAX) {
        place->derefs++;
        word = after(word, 1);
    }
    if (is_word(word, "result")) {
        place->where = BL_WHERE_RESULT;
        return true;
    }
    if (place->derefs == 0 && split(word, '*', &first, &rest)) {
        place->where = BL_WHERE_PRODUCT;
        return parse_argument(first, &place->n) && parse_argument(rest, &place->m);
    }
    place->where = BL_WHERE_ARG;
    return parse_argument(word, &place->n);
}

static bool is_pointer_place(const struct bl_place *place)
{
    return (place->where == BL_WHERE_ARG || place->where == BL_WHERE_RESULT) && place->width == 0;
}

static bool take_pointer(struct parser *p, struct span word, struct bl_place *ret_place)
{
    struct bl_place place = {.where = BL_WHERE_NONE};
    if (!parse_operand(word, &place) || !is_pointer_place(&place))
        return refuse(p, word, "no such place for a handle: ",
                      " (accepted: result, arg1 to arg38, with up to three * before it for what it "
                      "points to)");
    *ret_place = place;
    return true;
}

static bool take_quantity(struct parser *p, struct span word, struct bl_place *ret_place)
{
    struct bl_place place = {.where = BL_WHERE_NONE};
    bool known;
    if (word.length > 0 && *word.start >= '0' && *word.start <= '9') {
        place.where = BL_WHERE_CONST;
        known = parse_number(word, INT64_MAX / 2, &place.n);
    } else if (starts_with(word, "field:")) {
        known = parse_field(word, &place);
    } else {
        known = parse_operand(word, &place);
    }
    if (!known)
        return refuse(p, word, "no such quantity: ",
                      " (accepted: a number, argN, *argN, result, argN*argM, each also with :1 :2 "
                      ":4 :8 bytes, or field:OFFSET:WIDTH)");
    *ret_place = place;
    return true;
}

/* ---- the head of a class --------------------------------------------------------------------- */

/* Checked when the line was read: a name, and a number or a name. */
static void make_kind(const struct parser *p, const struct kind *kind,
                      struct bl_profile_class *ret_class)
{
    int64_t value = 0;
    memcpy(ret_class->name, kind->name.start, kind->name.length);
    ret_class->name[kind->name.length] = '\0';
    ret_class->kind_of = p->class_index;
    if (parse_number(kind->value, INT64_MAX, &value))
        ret_class->kind_value = (uint64_t)value;
    else
        memcpy(ret_class->kind_variable, kind->value.start, kind->value.length);
}

static void report_class(struct parser *p)
{
    if (!p->in_class || p->class_reported)
        return;
    p->class_reported = true;
    if (p->class.library[0] == '\0' && !p->class_broken) {
        report(p, p->class_line, p->class_column,
               "the class has no `library` line: which files hold its functions?");
        p->class_broken = true;
    }
    if (p->class_broken)
        return;
    p->class.kind_of = BL_PROFILE_NO_CLASS;
    p->class_index = p->classes;
    p->classes += 1 + p->kind_count;
    if (!p->sink->on_class)
        return;
    p->sink->on_class(p->sink->context, &p->class);
    for (uint32_t i = 0; i < p->kind_count; i++) {
        struct bl_profile_class kind = p->class;
        make_kind(p, &p->kinds[i], &kind);
        p->sink->on_class(p->sink->context, &kind);
    }
}

/* What can only be said when all of a class was read. */
static void end_class(struct parser *p)
{
    report_class(p);
    if (!p->in_class || p->class_broken || p->class.bytecode)
        return;
    if (!p->has_alloc && !p->class.adopts)
        report(p, p->class_line, p->class_column,
               "the class has no `alloc` function, so nothing would be recorded: name one, or say "
               "`adopts` where births cannot be seen");
    else if (!p->has_end && (p->has_unowned || !p->has_alloc))
        report(p, p->class_line, p->class_column,
               "nothing ends the buffers of the class: name a `release` or `destroy` function, or "
               "an `owner=` to end with");
    if (p->kind_count > 0 && !p->tells_kind)
        report(p, p->class_line, p->class_column,
               "the class has kinds, and no `alloc` says by `kind=` which one it makes");
}

static bool is_among(const struct span *words, uint32_t count, struct span word)
{
    for (uint32_t i = 0; i < count; i++)
        if (words[i].length == word.length && memcmp(words[i].start, word.start, word.length) == 0)
            return true;
    return false;
}

static bool is_new_class(struct parser *p, struct span word)
{
    if (is_word(word, "heap"))
        return refuse(p, word, "the class ", " is that of all heap blocks: choose another name");
    if (is_among(p->seen, p->seen_count, word))
        return refuse(p, word, "the class ", " stands twice in this file");
    if (p->seen_count == BL_PROFILE_CLASSES_MAX)
        return refuse(p, word, "no room for ", ": a file holds 62 classes at most");
    p->seen[p->seen_count++] = word;
    return true;
}

static void begin_class(struct parser *p, struct span keyword)
{
    end_class(p);
    struct span word = next_word(p);
    memset(&p->class, 0, sizeof(p->class));
    p->class.ends_by_free = true;
    p->class.zero_is_end = true;
    p->in_class = true;
    p->class_reported = p->has_alloc = p->has_end = p->has_unowned = p->ends_named = false;
    p->tells_kind = false;
    p->kind_count = p->named_count = 0;
    p->class_line = p->line;
    p->class_column = column_of(p, word.length > 0 ? word.start : keyword.start);
    p->class_broken =
        !take_name(p, word, p->class.name, "the name of a class") || !is_end_of_line(p);
    if (p->class_broken)
        return;
    p->class_broken = !is_new_class(p, word);
}

/* The rest of the line, one blank between words, is added to a list. */
static bool take_patterns(struct parser *p, char *list)
{
    struct span word = next_word(p);
    size_t used = strlen(list);
    if (word.length == 0)
        return refuse(p, word, "file name patterns are missing, such as libfoo.so*", "");
    for (; word.length > 0; word = next_word(p)) {
        if (memchr(word.start, '/', word.length) || memchr(word.start, '\0', word.length))
            return refuse(p, word, "", " is not a pattern for a file name without its directory");
        if (used + (used > 0) + word.length >= BL_PROFILE_LIST_MAX)
            return refuse(p, word, "the patterns of the line take more than 511 bytes: ", "");
        if (used > 0)
            list[used++] = ' ';
        memcpy(list + used, word.start, word.length);
        used += word.length;
        list[used] = '\0';
    }
    return true;
}

static bool take_count_field(struct parser *p)
{
    struct span word = next_word(p);
    struct bl_place place = {.where = BL_WHERE_NONE};
    if (p->class.field.where != BL_WHERE_NONE)
        return refuse(p, word, "a second `count` line: ", "");
    if (!parse_field(word, &place))
        return refuse(p, word,
                      "where the object's own count is: field:OFFSET:WIDTH, WIDTH 1, 2, 4 "
                      "or 8, such as field:24:4, not ",
                      "");
    p->class.field = place;
    return is_end_of_line(p);
}

static bool take_end(struct parser *p)
{
    struct span word = next_word(p);
    if (p->ends_named)
        return refuse(p, word, "a second `end` line: ", "");
    p->ends_named = true;
    if (is_word(word, "zero"))
        p->class.zero_is_end = true;
    else if (is_word(word, "destroy"))
        p->class.zero_is_end = false;
    else
        return refuse(p, word, "what ends a buffer: `zero` or `destroy`, not ", "");
    return is_end_of_line(p);
}

/* kind NAME NUMBER, kind NAME VARIABLE */
static bool take_kind(struct parser *p)
{
    char name[BL_PROFILE_NAME_MAX];
    int64_t number;
    struct kind kind = {.name = next_word(p)};
    if (!take_name(p, kind.name, name, "the name of a kind"))
        return false;
    kind.value = next_word(p);
    if (!parse_number(kind.value, INT64_MAX, &number) &&
        !take_name(p, kind.value, name, "the number, or the library's variable, that tells it"))
        return false;
    if (p->kind_count == BL_PROFILE_KINDS_MAX)
        return refuse(p, kind.name, "no room for ", ": a class has 16 kinds at most");
    if (!is_new_class(p, kind.name))
        return false;
    p->kinds[p->kind_count++] = kind;
    return is_end_of_line(p);
}

/* A word that needs nothing after it: the only ones left. */
static bool take_flag(struct parser *p, struct span keyword)
{
    const struct {
        const char *word;
        bool *flag;
        bool value;
    } flags[] = {
        {"revives", &p->class.revives, true},   {"adopts", &p->class.adopts, true},
        {"recycles", &p->class.recycles, true}, {"inlined", &p->class.inlined, true},
        {"bytecode", &p->class.bytecode, true}, {"outlives-block", &p->class.ends_by_free, false}};
    for (size_t i = 0; i < BL_ARRAY_LENGTH(flags); i++)
        if (is_word(keyword, flags[i].word)) {
            *flags[i].flag = flags[i].value;
            return is_end_of_line(p);
        }
    return false;
}

static bool is_class_word(struct span word)
{
    static const char *const words[] = {"library", "own",      "count",         "end",
                                        "kind",    "revives",  "adopts",        "recycles",
                                        "inlined", "bytecode", "outlives-block"};
    for (size_t i = 0; i < BL_ARRAY_LENGTH(words); i++)
        if (is_word(word, words[i]))
            return true;
    return false;
}

/* Words that describe the class. */
static void take_class_line(struct parser *p, struct span keyword)
{
    bool fine = false;
    if (!p->in_class || p->class_reported) {
        refuse(p, keyword, "",
               p->in_class ? " must stand before the functions of its class"
                           : " stands before the first `class` line");
        return;
    }
    if (is_word(keyword, "library"))
        fine = take_patterns(p, p->class.library);
    else if (is_word(keyword, "own"))
        fine = take_patterns(p, p->class.own);
    else if (is_word(keyword, "count"))
        fine = take_count_field(p);
    else if (is_word(keyword, "end"))
        fine = take_end(p);
    else if (is_word(keyword, "kind"))
        fine = take_kind(p);
    else
        fine = take_flag(p, keyword);
    p->class_broken |= !fine;
}

/* ---- functions ------------------------------------------------------------------------------- */

static const char *const role_names[BL_ROLE_COUNT] = {
    [BL_ROLE_ALLOC] = "alloc",       [BL_ROLE_RETAIN] = "retain", [BL_ROLE_RELEASE] = "release",
    [BL_ROLE_DESTROY] = "destroy",   [BL_ROLE_RESIZE] = "resize", [BL_ROLE_REPLACE] = "replace",
    [BL_ROLE_TRANSFER] = "transfer", [BL_ROLE_STEAL] = "steal",   [BL_ROLE_CLEAR] = "clear",
    [BL_ROLE_LASTING] = "lasting",
};

const char *bl_profile_role_name(enum bl_role role)
{
    return (unsigned)role < BL_ROLE_COUNT ? role_names[role] : NULL;
}

/* What the words of a function line have said, where the default depends on it. */
struct said {
    bool pre;
    bool post;
};

static bool take_when(struct parser *p, struct span value)
{
    static const struct {
        const char *name;
        unsigned flag;
    } conditions[] = {{"zero", BL_WHEN_ZERO},
                      {"nonzero", BL_WHEN_NONZERO},
                      {"nonnegative", BL_WHEN_NONNEGATIVE},
                      {"field", BL_WHEN_FIELD},
                      {"new", BL_WHEN_NEW}};
    size_t which = 0;
    while (which < BL_ARRAY_LENGTH(conditions) && !is_word(value, conditions[which].name))
        which++;
    if (which == BL_ARRAY_LENGTH(conditions))
        return refuse(p, value,
                      "no such condition: ", " (accepted: zero, nonzero, nonnegative, field, new)");
    p->function.when |= conditions[which].flag;
    unsigned never = BL_WHEN_ZERO | BL_WHEN_NONZERO;
    return (p->function.when & never) != never ||
           refuse(p, value, "", " never holds together with the condition before it");
}

static bool take_null(struct parser *p, struct span value)
{
    p->function.null_ok = is_word(value, "ignored");
    return p->function.null_ok || is_word(value, "unexpected") ||
           refuse(p, value, "a NULL handle is `ignored` or `unexpected`, not ", "");
}

static bool take_stack_words(struct parser *p, struct span value)
{
    int64_t words;
    if (!parse_number(value, 256, &words))
        return refuse(p, value, "the number of stack arguments is 0 to 256, not ", "");
    p->function.stack_words = (unsigned)words;
    return true;
}

/* when= may stand several times. */
static bool is_first(struct parser *p, struct span key)
{
    static const char *const names[] = {"handle",   "size", "count", "into",       "owner",
                                        "owner-of", "kind", "null",  "stack-words"};
    for (unsigned i = 0; i < BL_ARRAY_LENGTH(names); i++) {
        if (!is_word(key, names[i]))
            continue;
        if (p->settings & 1u << i)
            return refuse(p, key, "a second ", "");
        p->settings |= 1u << i;
    }
    return true;
}

static bool take_setting(struct parser *p, struct span key, struct span value)
{
    struct bl_profile_function *f = &p->function;
    if (!is_first(p, key))
        return false;
    if (is_word(key, "handle"))
        return take_pointer(p, value, &f->handle);
    if (is_word(key, "into"))
        return take_pointer(p, value, &f->into);
    if (is_word(key, "owner"))
        return take_pointer(p, value, &f->owner);
    if (is_word(key, "owner-of"))
        return take_pointer(p, value, &f->beside);
    if (is_word(key, "kind"))
        return take_quantity(p, value, &f->kind);
    if (is_word(key, "size"))
        return take_quantity(p, value, &f->size);
    if (is_word(key, "count"))
        return take_quantity(p, value, &f->count);
    if (is_word(key, "when"))
        return take_when(p, value);
    if (is_word(key, "null"))
        return take_null(p, value);
    if (is_word(key, "stack-words"))
        return take_stack_words(p, value);
    return refuse(p, key, "unknown setting ",
                  " (accepted: handle=, size=, count=, into=, owner=, owner-of=, kind=, when=, "
                  "null=, stack-words=)");
}

static bool take_function_word(struct parser *p, struct span word, struct said *said)
{
    struct span key;
    struct span value;
    if (split(word, '=', &key, &value))
        return take_setting(p, key, value);
    if (is_word(word, "pre"))
        return said->pre = true;
    if (is_word(word, "post"))
        return said->post = true;
    if (is_word(word, "wraps"))
        return p->function.wraps = true;
    if (is_word(word, "optional"))
        return p->function.optional = true;
    if (is_word(word, "births") && p->function.role == BL_ROLE_LASTING)
        return p->function.births = true;
    return refuse(p, word, "unknown word ",
                  " (accepted: pre, post, wraps, optional, or a setting such as handle=arg1)");
}

static bool needs_result(const struct bl_profile_function *f)
{
    return (f->when & BL_WHEN_RESULT) != 0 || f->handle.where == BL_WHERE_RESULT ||
           f->size.where == BL_WHERE_RESULT || f->count.where == BL_WHERE_RESULT ||
           f->into.where == BL_WHERE_RESULT || f->owner.where == BL_WHERE_RESULT ||
           f->beside.where == BL_WHERE_RESULT || f->kind.where == BL_WHERE_RESULT;
}

static bool is_observed_after(enum bl_role role)
{
    return role == BL_ROLE_ALLOC || role == BL_ROLE_RESIZE || role == BL_ROLE_REPLACE;
}

static bool settle_moment(struct parser *p, struct span name, const struct said *said)
{
    struct bl_profile_function *f = &p->function;
    bool compares = f->role == BL_ROLE_RESIZE || f->role == BL_ROLE_REPLACE;
    if (said->pre && said->post)
        return refuse(p, name, "", " cannot be observed `pre` and `post` both");
    if (said->pre && (needs_result(f) || compares))
        return refuse(p, name, "", " cannot be `pre`: what it returns or leaves is needed");
    f->pre = said->pre || (!said->post && !is_observed_after(f->role) && !needs_result(f));
    /* what is given a pointer to the pointer mostly calls the release that is given the pointer */
    f->wraps |= f->role == BL_ROLE_RELEASE && f->pre && f->handle.derefs == 1;
    if (f->wraps && !f->pre && (f->role != BL_ROLE_DESTROY || needs_result(f)))
        return refuse(p, name, "", " `wraps` calls inside it, so it cannot be observed after them");
    return true;
}

static bool is_alloc_only(struct parser *p, struct span name)
{
    const struct bl_profile_function *f = &p->function;
    if (f->owner.where != BL_WHERE_NONE && f->beside.where != BL_WHERE_NONE)
        return refuse(p, name, "", " cannot have both owner= and owner-of=");
    if (f->kind.where != BL_WHERE_NONE && p->kind_count == 0)
        return refuse(p, name, "", ": kind= needs `kind` lines in the class");
    if (f->role == BL_ROLE_ALLOC)
        return true;
    if (f->owner.where != BL_WHERE_NONE || f->beside.where != BL_WHERE_NONE)
        return refuse(p, name, "", ": owner= and owner-of= are for `alloc` only");
    if (f->kind.where != BL_WHERE_NONE)
        return refuse(p, name, "", ": kind= is for `alloc` only");
    if (f->when & BL_WHEN_NEW)
        return refuse(p, name, "", ": when=new is for `alloc` only");
    return true;
}

/* It is not hooked, so that nothing is known of a call. */
static bool is_plain_lasting(struct parser *p, struct span name, const struct said *said)
{
    const struct bl_profile_function *f = &p->function;
    bool plain = f->handle.where == BL_WHERE_NONE && f->size.where == BL_WHERE_NONE &&
                 f->count.where == BL_WHERE_NONE && f->into.where == BL_WHERE_NONE &&
                 f->owner.where == BL_WHERE_NONE && f->beside.where == BL_WHERE_NONE &&
                 f->kind.where == BL_WHERE_NONE && f->when == 0 && !f->wraps && !said->pre &&
                 !said->post;
    return plain || refuse(p, name, "lasting ", " takes only `births` and `optional`");
}

/* What does not go together. */
static bool settle_function(struct parser *p, struct span name, const struct said *said)
{
    struct bl_profile_function *f = &p->function;
    if (f->role == BL_ROLE_LASTING && !is_plain_lasting(p, name, said))
        return false;
    if (f->handle.where == BL_WHERE_NONE) {
        f->handle.where = f->role == BL_ROLE_ALLOC && !said->pre ? BL_WHERE_RESULT : BL_WHERE_ARG;
        f->handle.n = 1;
    }
    if (f->count.where == BL_WHERE_NONE)
        f->count = (struct bl_place){.where = BL_WHERE_CONST, .n = 1};
    if (f->role == BL_ROLE_TRANSFER && f->into.where == BL_WHERE_NONE)
        return refuse(p, name, "transfer ", " needs into=: which buffer answers from now on?");
    if (f->role == BL_ROLE_RESIZE && f->size.where == BL_WHERE_NONE &&
        f->into.where == BL_WHERE_NONE)
        return refuse(p, name, "resize ", " needs size=, into= or both: what is it that changes?");
    if (f->into.where != BL_WHERE_NONE && f->role != BL_ROLE_TRANSFER &&
        f->role != BL_ROLE_REPLACE && f->role != BL_ROLE_RESIZE)
        return refuse(p, name, "", ": into= is for `transfer`, `replace` and `resize` only");
    if (f->size.where != BL_WHERE_NONE && f->role != BL_ROLE_ALLOC && f->role != BL_ROLE_RESIZE &&
        f->role != BL_ROLE_REPLACE)
        return refuse(p, name, "", ": size= is for `alloc`, `resize` and `replace` only");
    if ((f->when & BL_WHEN_FIELD) && p->class.field.where == BL_WHERE_NONE)
        return refuse(p, name, "", ": when=field needs a `count` line in the class");
    return is_alloc_only(p, name) && settle_moment(p, name, said);
}

/* A function has one hook, so one line of it would be without effect. */
static bool is_new_function(struct parser *p, struct span name)
{
    if (p->function.role == BL_ROLE_LASTING)
        return true;
    if (is_among(p->named, p->named_count, name))
        return refuse(p, name, "the function ", " stands twice in its class");
    if (p->named_count < NAMED_MAX)
        p->named[p->named_count++] = name;
    return true;
}

static void note_function(struct parser *p)
{
    enum bl_role role = p->function.role;
    p->has_alloc |= role == BL_ROLE_ALLOC;
    p->has_unowned |= role == BL_ROLE_ALLOC && p->function.owner.where == BL_WHERE_NONE &&
                      p->function.beside.where == BL_WHERE_NONE;
    p->tells_kind |= p->function.kind.where != BL_WHERE_NONE;
    p->has_end |= role == BL_ROLE_RELEASE || role == BL_ROLE_DESTROY || role == BL_ROLE_STEAL ||
                  role == BL_ROLE_TRANSFER;
}

static void take_function(struct parser *p, struct span keyword, enum bl_role role)
{
    struct said said = {false, false};
    if (!p->in_class) {
        refuse(p, keyword, "", " stands before the first `class` line");
        return;
    }
    report_class(p);
    memset(&p->function, 0, sizeof(p->function));
    p->settings = 0;
    p->function.role = role;
    p->function.null_ok = true;
    p->function.stack_words = 8;
    struct span name = next_word(p);
    bool fine =
        take_name(p, name, p->function.name, "the name of a function") && is_new_function(p, name);
    if (fine && p->class.bytecode)
        fine = refuse(p, name, "", ": a class with `bytecode` has no functions");
    for (struct span word = next_word(p); fine && word.length > 0; word = next_word(p))
        fine = take_function_word(p, word, &said);
    fine = fine && settle_function(p, name, &said);
    /* also of a line with an error: that the class has such a function is not in doubt */
    note_function(p);
    if (!fine || p->class_broken)
        return;
    p->function.class_index = p->class_index;
    if (p->sink->on_function)
        p->sink->on_function(p->sink->context, &p->function);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* request PATTERN FUNCTION. Belongs to no class, wherever it stands. */
static void take_request(struct parser *p)
{
    struct bl_profile_request request = {.library = ""};
    struct span library = next_word(p);
    struct span function = next_word(p);
    if (library.length == 0 || library.length >= sizeof request.library ||
        memchr(library.start, '/', library.length) || memchr(library.start, '\0', library.length)) {
        refuse(p, library, "the file name pattern of who completes requests, not ", "");
        return;
    }
    memcpy(request.library, library.start, library.length);
    if (!take_name(p, function, request.function,
                   "the function whose return completes a request") ||
        !is_end_of_line(p))
        return;
    if (p->sink->on_request)
        p->sink->on_request(p->sink->context, &request);
}

/* ---- the file -------------------------------------------------------------------------------- */

static void take_line(struct parser *p)
{
    struct span keyword = next_word(p);
    if (keyword.length == 0)
        return;
    if (is_word(keyword, "class")) {
        begin_class(p, keyword);
        return;
    }
    if (is_word(keyword, "request")) {
        take_request(p);
        return;
    }
    for (unsigned role = 0; role < BL_ROLE_COUNT; role++)
        if (is_word(keyword, role_names[role])) {
            take_function(p, keyword, (enum bl_role)role);
            return;
        }
    if (is_class_word(keyword)) {
        take_class_line(p, keyword);
    } else {
        refuse(
            p, keyword, "unknown word ",
            " (accepted: class, library, own, count, end, kind, revives, adopts, recycles, "
            "inlined, bytecode, outlives-block, alloc, retain, release, destroy, resize, replace, "
            "transfer, steal, clear, lasting, request)");
        p->class_broken |= p->in_class && !p->class_reported;
    }
}

int bl_profile_parse(const char *text, size_t length, const struct bl_profile_sink *sink)
{
    struct parser p = {.sink = sink};
    const char *end = text + length;
    for (const char *line = text; line < end; line = p.end + 1) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        p.line++;
        p.line_start = p.at = line;
        p.end = newline ? newline : end;
        take_line(&p);
    }
    end_class(&p);
    return p.errors;
}

/* ---- the patterns of a file -------------------------------------------------------------------
 */

bool bl_profile_names(const char *text, size_t length, bl_profile_names_fn *is_there, void *context)
{
    struct parser p = {.line = 0};
    const char *end = text + length;
    for (const char *line = text; line < end; line = p.end + 1) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        p.at = line;
        p.end = newline ? newline : end;
        struct span keyword = next_word(&p);
        bool lists = is_word(keyword, "library") || is_word(keyword, "own");
        struct span word = lists || is_word(keyword, "request") ? next_word(&p) : (struct span){0};
        for (; word.length > 0; word = lists ? next_word(&p) : (struct span){0}) {
            if (is_there(context, word.start, word.length))
                return true;
        }
    }
    return false;
}
