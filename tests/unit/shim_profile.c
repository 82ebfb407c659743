/* Profiles: the text format, and the built-in ones. */
#include "shim_start.h"
#include "profile.h"

#include <sys/mman.h>

#define SEEN_MAX 64

struct seen {
    int classes;
    int functions;
    int requests;
    struct bl_profile_request request;
    int errors;
    struct bl_profile_class class[SEEN_MAX];
    struct bl_profile_function function[SEEN_MAX];
    unsigned line;
    unsigned column;
    char what[512]; /* of the first error */
};

static void take_class(void *context, const struct bl_profile_class *c)
{
    struct seen *s = context;
    if (s->classes < SEEN_MAX)
        s->class[s->classes] = *c;
    s->classes++;
}

static void take_function(void *context, const struct bl_profile_function *f)
{
    struct seen *s = context;
    ck_assert_int_lt((int)f->class_index, s->classes);
    if (s->functions < SEEN_MAX)
        s->function[s->functions] = *f;
    s->functions++;
}

static void take_request(void *context, const struct bl_profile_request *r)
{
    struct seen *s = context;
    s->request = *r;
    s->requests++;
}

static void take_error(void *context, unsigned line, unsigned column, const char *what)
{
    struct seen *s = context;
    if (s->errors++ > 0)
        return;
    s->line = line;
    s->column = column;
    snprintf(s->what, sizeof s->what, "%s", what);
}

static int parse_bytes(const char *text, size_t length, struct seen *s)
{
    struct bl_profile_sink sink = {s, take_class, take_function, take_error, take_request};
    memset(s, 0, sizeof *s);
    int errors = bl_profile_parse(text, length, &sink);
    ck_assert_int_eq(errors, s->errors);
    return errors;
}

static void parse_well(const char *text, struct seen *s)
{
    parse_bytes(text, strlen(text), s);
    ck_assert_msg(s->errors == 0, "%u:%u: %s", s->line, s->column, s->what);
}

/* The first error is at this place and says this. */
static void refuse(const char *text, unsigned line, unsigned column, const char *what)
{
    struct seen s;
    ck_assert_msg(parse_bytes(text, strlen(text), &s) > 0, "taken: %s", text);
    ck_assert_msg(strstr(s.what, what) != NULL, "%s: says %s", text, s.what);
    ck_assert_msg(s.line == line && s.column == column, "%s: at %u:%u", text, s.line, s.column);
}

/* A text that ends where a guard page begins, so that a read beyond its end is a crash. */
#define ROOM 16384u

struct guarded {
    char *end;
};

static void guarded_init(struct guarded *g)
{
    char *start =
        mmap(NULL, ROOM + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(start, MAP_FAILED);
    g->end = start + ROOM;
    ck_assert_int_eq(mprotect(g->end, 4096, PROT_NONE), 0);
}

static void guarded_deinit(struct guarded *g)
{
    munmap(g->end - ROOM, ROOM + 4096);
}

static const char *guarded_copy(struct guarded *g, const char *text, size_t length)
{
    ck_assert_uint_le(length, ROOM);
    return memcpy(g->end - length, text, length);
}

#define HEAD "class a\nlibrary liba.so*\n"
#define TAIL "alloc a_new\nrelease a_free\n"

START_TEST(every_word_of_the_format_is_understood)
{
    struct seen s;
    parse_well("# a comment\n"
               "class a-1 # another\n"
               "\tlibrary liba.so* libb.so\r\n"
               "\tlibrary libc.so\n"
               "  own libd.so*\n"
               "count field:24:4\nend destroy\nrevives\nadopts\nrecycles\ninlined\noutlives-block\n"
               "alloc n1 handle=*result size=arg1*arg2 owner=**arg9 when=new optional\n"
               "alloc n2 handle=*arg2 size=64 when=zero when=field\n"
               "alloc n3 pre size=field:8:8\n"
               "retain r1 count=arg2:4\n"
               "retain r2 handle=*arg3 post null=unexpected\n"
               "release f1 handle=**arg1 wraps stack-words=0\n"
               "destroy d1\nsteal s1\nclear c1\n"
               "resize z1 into=result size=arg2\n"
               "replace p1 handle=*arg1 into=arg2\n"
               "transfer t1 handle=arg2 into=arg1\n"
               "alloc n4 owner-of=arg2\ndestroy d2 post wraps\n"
               "lasting l1\nlasting l2 births optional",
               &s);
    ck_assert_int_eq(s.classes, 1);
    ck_assert_int_eq(s.functions, 16);
    const struct bl_profile_class *c = &s.class[0];
    ck_assert_str_eq(c->name, "a-1");
    ck_assert_str_eq(c->library, "liba.so* libb.so libc.so");
    ck_assert_str_eq(c->own, "libd.so*");
    ck_assert(c->revives && c->adopts && c->recycles && c->inlined);
    ck_assert(!c->zero_is_end && !c->ends_by_free);
    ck_assert_int_eq(c->field.where, BL_WHERE_FIELD);
    ck_assert_int_eq(c->field.n, 24);
    ck_assert_int_eq(c->field.width, 4);
    const struct bl_profile_function *f = s.function;
    ck_assert(f[0].handle.where == BL_WHERE_RESULT && f[0].handle.derefs == 1 && f[0].optional);
    ck_assert(f[0].size.where == BL_WHERE_PRODUCT && f[0].size.n == 1 && f[0].size.m == 2);
    ck_assert(f[0].owner.where == BL_WHERE_ARG && f[0].owner.n == 9 && f[0].owner.derefs == 2);
    ck_assert_uint_eq(f[0].when, BL_WHEN_NEW);
    ck_assert_uint_eq(f[1].when, BL_WHEN_ZERO | BL_WHEN_FIELD);
    ck_assert(f[1].size.where == BL_WHERE_CONST && f[1].size.n == 64);
    ck_assert(f[2].pre && f[2].handle.where == BL_WHERE_ARG && f[2].handle.n == 1);
    ck_assert(f[2].size.where == BL_WHERE_FIELD && f[2].size.n == 8 && f[2].size.width == 8);
    ck_assert(f[3].count.where == BL_WHERE_ARG && f[3].count.width == 4);
    ck_assert(!f[4].pre && !f[4].null_ok);
    ck_assert(f[5].pre && f[5].wraps && f[5].stack_words == 0 && f[5].handle.derefs == 2);
    ck_assert_int_eq(f[6].role, BL_ROLE_DESTROY);
    ck_assert(f[7].role == BL_ROLE_STEAL && !f[7].wraps);
    ck_assert_int_eq(f[8].role, BL_ROLE_CLEAR);
    ck_assert(f[9].role == BL_ROLE_RESIZE && !f[9].pre && f[9].into.where == BL_WHERE_RESULT);
    ck_assert(f[10].role == BL_ROLE_REPLACE && !f[10].pre && f[10].into.n == 2);
    ck_assert(f[11].role == BL_ROLE_TRANSFER && f[11].pre && f[11].handle.n == 2);
    ck_assert(f[12].beside.where == BL_WHERE_ARG && f[12].beside.n == 2);
    ck_assert_int_eq(f[12].owner.where, BL_WHERE_NONE);
    ck_assert(f[13].role == BL_ROLE_DESTROY && !f[13].pre && f[13].wraps);
    ck_assert(f[14].role == BL_ROLE_LASTING && !f[14].births && !f[14].optional);
    ck_assert(f[15].role == BL_ROLE_LASTING && f[15].births && f[15].optional);
}
END_TEST

START_TEST(what_is_not_said_has_the_documented_defaults)
{
    struct seen s;
    parse_well(HEAD TAIL "retain a_ref\n", &s);
    ck_assert(s.class[0].zero_is_end && s.class[0].ends_by_free);
    ck_assert(!s.class[0].revives && !s.class[0].adopts && !s.class[0].inlined);
    ck_assert_int_eq(s.class[0].field.where, BL_WHERE_NONE);
    ck_assert(s.function[0].handle.where == BL_WHERE_RESULT && !s.function[0].pre);
    for (int i = 0; i < 3; i++) {
        const struct bl_profile_function *f = &s.function[i];
        ck_assert(f->count.where == BL_WHERE_CONST && f->count.n == 1);
        ck_assert(f->null_ok && !f->optional && !f->wraps && f->stack_words == 8 && f->when == 0);
        ck_assert_int_eq(f->size.where, BL_WHERE_NONE);
        ck_assert_int_eq(f->owner.where, BL_WHERE_NONE);
    }
    for (int i = 1; i < 3; i++)
        ck_assert(s.function[i].handle.where == BL_WHERE_ARG && s.function[i].handle.n == 1 &&
                  s.function[i].pre);
}
END_TEST

START_TEST(functions_know_their_class)
{
    struct seen s;
    parse_well("class a\nlibrary a\n" TAIL "class b\nlibrary b\n" TAIL, &s);
    ck_assert_int_eq(s.classes, 2);
    ck_assert_int_eq(s.functions, 4);
    ck_assert_uint_eq(s.function[1].class_index, 0);
    ck_assert_uint_eq(s.function[2].class_index, 1);
}
END_TEST

START_TEST(kinds_follow_the_class_they_are_of)
{
    struct seen s;
    parse_well("class a\nlibrary a\ncount field:8:4\nadopts\n"
               "kind a-one _a_one\nkind a-two 2\n"
               "alloc n kind=arg3:4\nrelease f\n"
               "class b\nlibrary b\n" TAIL,
               &s);
    ck_assert_int_eq(s.classes, 4);
    ck_assert_str_eq(s.class[1].name, "a-one");
    ck_assert_str_eq(s.class[1].kind_variable, "_a_one");
    ck_assert_str_eq(s.class[2].name, "a-two");
    ck_assert_str_eq(s.class[2].kind_variable, "");
    ck_assert_uint_eq(s.class[2].kind_value, 2);
    for (int i = 1; i < 3; i++) {
        ck_assert_uint_eq(s.class[i].kind_of, 0);
        ck_assert(s.class[i].adopts && s.class[i].field.n == 8);
        ck_assert_str_eq(s.class[i].library, "a");
    }
    ck_assert_uint_eq(s.class[0].kind_of, BL_PROFILE_NO_CLASS);
    ck_assert_uint_eq(s.class[3].kind_of, BL_PROFILE_NO_CLASS);
    ck_assert(s.function[0].kind.where == BL_WHERE_ARG && s.function[0].kind.width == 4);
    ck_assert_uint_eq(s.function[1].class_index, 0);
    ck_assert_uint_eq(s.function[2].class_index, 3);
}
END_TEST

START_TEST(requests_belong_to_no_class)
{
    struct seen s;
    parse_well("request nginx* serve_end\n"
               "class c\n library l.so\n end destroy\n alloc a\n request d finish\n destroy f\n",
               &s);
    ck_assert_int_eq(s.requests, 2);
    ck_assert_str_eq(s.request.library, "d");
    ck_assert_str_eq(s.request.function, "finish");
    ck_assert_int_eq(s.classes, 1);
    ck_assert_int_eq(s.functions, 2);
    static const char *const wrong[] = {"request", "request a", "request a/b f",
                                        "request a f more"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        parse_bytes(wrong[i], strlen(wrong[i]), &s);
        ck_assert_int_eq(s.errors, 1);
        ck_assert_int_eq(s.requests, 0);
    }
}
END_TEST

START_TEST(errors_name_the_line_the_column_and_what_is_accepted)
{
    refuse("\n  bogus a\n", 2, 3, "unknown word `bogus` (accepted: class, library");
    refuse("alloc f\n", 1, 1, "before the first `class`");
    refuse("library x\n", 1, 1, "before the first `class`");
    refuse("class\n", 1, 6, "name of a class is missing");
    refuse("class a b\nlibrary l\n" TAIL, 1, 9, "unexpected `b`");
    refuse("class a/b\nlibrary l\n" TAIL, 1, 7, "letters, digits");
    refuse("class a\n" TAIL, 1, 7, "no `library` line");
    refuse(HEAD TAIL "own x\n", 5, 1, "must stand before the functions");
    refuse(HEAD TAIL HEAD TAIL, 5, 7, "stands twice");
    refuse("class heap\nlibrary l\n" TAIL, 1, 7, "all heap blocks");
    refuse("class a\nlibrary\n" TAIL, 2, 8, "patterns are missing");
    refuse("class a\nlibrary /lib/liba.so\n" TAIL, 2, 9, "without its directory");
    refuse(HEAD "count 24 4\n" TAIL, 3, 7, "field:OFFSET:WIDTH");
    refuse(HEAD "count field:24:3\n" TAIL, 3, 7, "field:OFFSET:WIDTH");
    refuse(HEAD "end never\n" TAIL, 3, 5, "`zero` or `destroy`");
    refuse(HEAD "end zero\nend zero\n" TAIL, 4, 5, "a second `end`");
    refuse(HEAD "revives yes\n" TAIL, 3, 9, "unexpected `yes`");
    refuse(HEAD TAIL "retain\n", 5, 7, "name of a function is missing");
    refuse(HEAD TAIL "retain r handel=arg1\n", 5, 10,
           "unknown setting `handel` (accepted: handle=");
    refuse(HEAD TAIL "retain r fast\n", 5, 10, "unknown word `fast` (accepted: pre");
    refuse(HEAD TAIL "retain r handle=arg0\n", 5, 17, "accepted: result, arg1 to arg38");
    refuse(HEAD TAIL "retain r handle=arg39\n", 5, 17, "arg38");
    refuse(HEAD TAIL "retain r handle=****arg1\n", 5, 17, "three *");
    refuse(HEAD TAIL "retain r handle=arg1:4\n", 5, 17, "no such place");
    refuse(HEAD TAIL "retain r handle=7\n", 5, 17, "no such place");
    refuse(HEAD TAIL "retain r count=99999999999999999999\n", 5, 16, "no such quantity");
    refuse(HEAD TAIL "retain r count=\n", 5, 16, "no such quantity");
    refuse(HEAD TAIL "resize r size=arg1*3\n", 5, 15, "no such quantity");
    refuse(HEAD TAIL "resize r size=\n", 5, 15, "no such quantity: nothing (accepted");
    refuse(HEAD TAIL "retain r when=often\n", 5, 15, "accepted: zero, nonzero");
    refuse(HEAD TAIL "retain r null=maybe\n", 5, 15, "`ignored` or `unexpected`");
    refuse(HEAD TAIL "retain r stack-words=-1\n", 5, 22, "0 to 256");
    refuse(HEAD "kind\n" TAIL, 3, 5, "name of a kind is missing");
    refuse(HEAD "kind b\n" TAIL, 3, 7, "variable, that tells it is missing");
    refuse(HEAD "kind b 3,4\n" TAIL, 3, 8, "letters, digits");
    refuse(HEAD "kind b c d\n" TAIL, 3, 10, "unexpected `d`");
    refuse(HEAD "kind a c\n" TAIL, 3, 6, "stands twice");
    refuse(HEAD "kind b c\nkind b d\n" TAIL, 4, 6, "stands twice");
    refuse(HEAD TAIL "kind b c\n", 5, 1, "must stand before the functions");
    refuse(HEAD "kind b c\nalloc n kind=**\nrelease f\n", 4, 14, "no such quantity");
}
END_TEST

START_TEST(contradictions_are_errors)
{
    refuse(HEAD TAIL "retain r handle=arg1 handle=arg2\n", 5, 22, "a second `handle`");
    refuse(HEAD TAIL "retain r null=ignored null=ignored\n", 5, 23, "a second `null`");
    refuse(HEAD TAIL "retain r when=zero when=nonzero\n", 5, 25, "never holds together");
    refuse(HEAD TAIL "retain r size=8\n", 5, 8, "size= is for");
    refuse(HEAD TAIL "retain r\nrelease r\n", 6, 9, "stands twice in its class");
    refuse(HEAD "count field:8:4\ncount field:8:4\n" TAIL, 4, 7, "a second `count`");
    refuse(HEAD "bytecode\nalloc f\n", 4, 7, "has no functions");
    refuse(HEAD TAIL "retain r pre post\n", 5, 8, "`pre` and `post` both");
    refuse(HEAD TAIL "retain r pre when=zero\n", 5, 8, "cannot be `pre`");
    refuse(HEAD TAIL "replace r pre handle=*arg1\n", 5, 9, "cannot be `pre`");
    refuse(HEAD TAIL "transfer t\n", 5, 10, "needs into=");
    refuse(HEAD TAIL "resize t\n", 5, 8, "needs size=, into= or both");
    refuse(HEAD TAIL "resize t handle=arg2 post\n", 5, 8, "needs size=, into= or both");
    refuse(HEAD TAIL "retain r into=arg2\n", 5, 8, "into= is for");
    refuse(HEAD TAIL "retain r owner=arg2\n", 5, 8, "owner= and owner-of= are for");
    refuse(HEAD TAIL "alloc r owner=arg2 owner-of=arg1\n", 5, 7, "both owner= and owner-of=");
    refuse(HEAD TAIL "alloc r kind=arg2\n", 5, 7, "needs `kind` lines");
    refuse(HEAD "kind k v\nalloc n kind=arg1\nrelease f kind=arg1\n", 5, 9, "for `alloc` only");
    refuse(HEAD "kind k v\n" TAIL, 1, 7, "no `alloc` says by `kind=`");
    refuse(HEAD TAIL "release r wraps post\n", 5, 9, "`wraps` calls inside it");
    refuse(HEAD TAIL "release r wraps when=zero\n", 5, 9, "`wraps` calls inside it");
    refuse(HEAD TAIL "retain r when=new\n", 5, 8, "when=new is for");
    refuse(HEAD TAIL "retain r when=field\n", 5, 8, "needs a `count` line");
    refuse(HEAD TAIL "lasting l handle=arg1\n", 5, 9, "takes only");
    refuse(HEAD TAIL "lasting l pre\n", 5, 9, "takes only");
    refuse(HEAD TAIL "retain r births\n", 5, 10, "unknown word");
    refuse(HEAD "release r\n", 1, 7, "no `alloc`");
    refuse(HEAD "alloc n\nretain r\n", 1, 7, "nothing ends");
    refuse(HEAD "alloc n owner=arg1\nalloc m\n", 1, 7, "nothing ends");
    struct seen s;
    parse_well(HEAD "alloc n owner=arg1\n", &s);
}
END_TEST

START_TEST(a_line_with_an_error_is_left_out_and_the_rest_is_read)
{
    struct seen s;
    ck_assert_int_eq(parse_bytes(HEAD "alloc n\nretain r bogus\nrelease f\n",
                                 strlen(HEAD "alloc n\nretain r bogus\nrelease f\n"), &s),
                     1);
    ck_assert_int_eq(s.functions, 2);
    ck_assert_str_eq(s.function[1].name, "f");
    /* a class whose head is wrong takes its functions with it, not the next class */
    const char *text = "class a\nlibrary l\nend never\n" TAIL "class b\nlibrary l\n" TAIL;
    ck_assert_int_eq(parse_bytes(text, strlen(text), &s), 1);
    ck_assert_int_eq(s.classes, 1);
    ck_assert_int_eq(s.functions, 2);
    ck_assert_str_eq(s.class[0].name, "b");
}
END_TEST

START_TEST(limits_are_errors_and_not_cut)
{
    char text[8192];
    char name[80];
    struct seen s;
    memset(name, 'n', sizeof name);
    snprintf(text, sizeof text, HEAD TAIL "retain %.63s\n", name);
    parse_well(text, &s);
    ck_assert_uint_eq(strlen(s.function[2].name), 63);
    snprintf(text, sizeof text, HEAD TAIL "retain %.64s\n", name);
    refuse(text, 5, 8, "longer than 63");
    size_t used = (size_t)snprintf(text, sizeof text, "class a\nlibrary");
    for (unsigned i = 0; i < 7; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, " %.80s", name);
    snprintf(text + used, sizeof text - used, "\n" TAIL);
    refuse(text, 2, 495, "more than 511");
    used = 0;
    for (unsigned i = 0; i <= BL_PROFILE_CLASSES_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "class c%u\nlibrary l\n" TAIL, i);
    refuse(text, 4 * BL_PROFILE_CLASSES_MAX + 1, 7, "62 classes at most");
    used = (size_t)snprintf(text, sizeof text, HEAD);
    for (unsigned i = 0; i <= BL_PROFILE_KINDS_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "kind k%u v\n", i);
    refuse(text, 3 + BL_PROFILE_KINDS_MAX, 6, "16 kinds at most");
}
END_TEST

START_TEST(messages_are_fit_for_a_terminal)
{
    struct seen s;
    const char text[] = "cl\x1b[31m\0ss\xff\n";
    ck_assert_int_eq(parse_bytes(text, sizeof text - 1, &s), 1);
    for (const char *p = s.what; *p; p++)
        ck_assert(*p >= ' ' && *p < 0x7f);
    ck_assert_ptr_nonnull(strstr(s.what, "`cl?[31m?ss?`"));
}
END_TEST

START_TEST(no_byte_beyond_the_text_is_read)
{
    static const char text[] = HEAD "count field:24:4\nalloc n handle=**arg1 size=arg1*arg2:4 "
                                    "when=zero\nrelease f count=field:8:4 wraps # end\n";
    struct guarded g;
    struct seen s;
    guarded_init(&g);
    for (size_t length = 0; length < sizeof text; length++)
        parse_bytes(guarded_copy(&g, text, length), length, &s);
    guarded_deinit(&g);
}
END_TEST

static size_t mutate(char *text, size_t length, uint64_t *random)
{
    static const char bytes[] = " \n\t\r#=:*.,-_0189arg\0\xff\x7f";
    unsigned changes = (unsigned)(next_random(random) % 12);
    for (unsigned i = 0; i < changes && length > 0; i++) {
        size_t at = next_random(random) % length;
        size_t from = next_random(random) % length;
        size_t run = next_random(random) % 24;
        if (run > length - (at > from ? at : from))
            run = 1;
        if (next_random(random) % 3 == 0)
            memmove(text + at, text + from, run);
        else
            text[at] = bytes[next_random(random) % (sizeof bytes - 1)];
    }
    return next_random(random) % 8 == 0 ? next_random(random) % (length + 1) : length;
}

/* Mutants of the built-in profiles: whatever comes out obeys the contract of the header. */
START_TEST(any_bytes_are_read_or_refused)
{
    uint64_t random = 88172645463325252ull;
    struct guarded g;
    struct seen s;
    char text[ROOM];
    guarded_init(&g);
    int refused = 0;
    for (unsigned round = 0; round < 20000; round++) {
        const struct bl_profile_builtin *b = bl_profile_builtins;
        for (uint64_t skip = next_random(&random) % 11; skip > 0 && b[1].name; skip--)
            b++;
        size_t length = strlen(b->text);
        ck_assert_uint_lt(length, sizeof text);
        memcpy(text, b->text, length);
        length = mutate(text, length, &random);
        refused += parse_bytes(guarded_copy(&g, text, length), length, &s) > 0;
        for (int i = 0; i < s.functions && i < SEEN_MAX; i++) {
            const struct bl_profile_function *f = &s.function[i];
            ck_assert(f->name[0] && f->handle.derefs <= BL_PROFILE_DEREFS_MAX);
            ck_assert(f->handle.where == BL_WHERE_RESULT ||
                      (f->handle.n >= 1 && f->handle.n <= (int64_t)BL_PROFILE_ARGS_MAX));
            ck_assert(!f->pre || f->handle.where != BL_WHERE_RESULT);
        }
    }
    /* the mutants were not all trivial, nor all hopeless */
    ck_assert_int_gt(refused, 5000);
    ck_assert_int_lt(refused, 19000);
    guarded_deinit(&g);
}
END_TEST

START_TEST(patterns_match_whole_file_names)
{
    ck_assert(bl_profile_matches("libglib-2.0.so*", "libglib-2.0.so.0.7400.6"));
    ck_assert(bl_profile_matches("libglib-2.0.so*", "libglib-2.0.so"));
    ck_assert(!bl_profile_matches("libglib-2.0.so*", "xlibglib-2.0.so"));
    ck_assert(!bl_profile_matches("nginx", "nginx2"));
    ck_assert(bl_profile_matches("a b *x*y", "0x1x2y"));
    ck_assert(!bl_profile_matches("a b *x*y", "0x1x2yz"));
    ck_assert(bl_profile_matches("a  b", "b"));
    ck_assert(!bl_profile_matches("", ""));
    ck_assert(!bl_profile_matches("a", ""));
    ck_assert(bl_profile_matches("*", ""));
}
END_TEST

struct sought {
    const char *file_name;
    unsigned asked;
};

static bool is_sought(void *context, const char *pattern, size_t length)
{
    struct sought *s = context;
    s->asked++;
    return bl_profile_matches_one(pattern, length, s->file_name);
}

START_TEST(the_files_that_a_text_names_are_found_without_parsing_it)
{
    static const char text[] = "class a # library no.so\n\tlibrary  liba.so*\tlibb.so # libc.so\r\n"
                               "own libo*\nalloc library\nrequest prog done\nlibrary";
    static const struct {
        const char *name;
        bool is_there;
    } files[] = {{"liba.so.1", true}, {"libb.so", true},  {"libo-x", true},
                 {"prog", true},      {"no.so", false},   {"libc.so", false},
                 {"done", false},     {"library", false}, {"libb.so.1", false}};
    for (size_t i = 0; i < BL_ARRAY_LENGTH(files); i++) {
        struct sought s = {.file_name = files[i].name};
        ck_assert_msg(bl_profile_names(text, sizeof text - 1, is_sought, &s) == files[i].is_there,
                      "%s", files[i].name);
        ck_assert_uint_le(s.asked, 4);
    }
    struct sought none = {.file_name = "x"};
    ck_assert(!bl_profile_names(text, 0, is_sought, &none));
}
END_TEST

START_TEST(places_are_read_from_a_call)
{
    uint64_t object[2] = {11, 0xffffffff00000005u};
    uint64_t pointer = (uint64_t)(uintptr_t)object;
    uint64_t slot = (uint64_t)(uintptr_t)&pointer;
    uint64_t empty = 0;
    uint64_t args[6] = {slot, 0, (uint64_t)(uintptr_t)&empty, 0xabcdef0100000003u, 7, 0};
    uint64_t stack[2] = {70, 80};
    struct bl_profile_call call = {args, stack, pointer, pointer};
    uint64_t value = 0;
    static const struct {
        struct bl_place place;
        bool known;
        uint64_t value;
    } cases[] = {
        {{.where = BL_WHERE_NONE}, false, 0},
        {{.where = BL_WHERE_CONST, .n = 64}, true, 64},
        {{.where = BL_WHERE_ARG, .n = 7}, true, 70},
        {{.where = BL_WHERE_ARG, .n = 8}, true, 80},
        {{.where = BL_WHERE_ARG, .n = 4, .width = 4}, true, 3},
        {{.where = BL_WHERE_PRODUCT, .n = 4, .m = 5, .width = 4}, true, 21},
        {{.where = BL_WHERE_ARG, .n = 1, .derefs = 2}, true, 11},
        {{.where = BL_WHERE_RESULT, .derefs = 1}, true, 11},
        {{.where = BL_WHERE_ARG, .n = 2}, true, 0},
        {{.where = BL_WHERE_ARG, .n = 2, .derefs = 1}, false, 0},
        {{.where = BL_WHERE_ARG, .n = 3, .derefs = 1}, true, 0},
        {{.where = BL_WHERE_ARG, .n = 3, .derefs = 2}, false, 0},
        {{.where = BL_WHERE_FIELD, .n = 8, .width = 4}, true, 5},
        {{.where = BL_WHERE_FIELD, .n = 8, .width = 8}, true, 0xffffffff00000005u},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(bl_profile_value(&cases[i].place, &call, &value) == cases[i].known,
                      "case %zu", i);
        ck_assert_msg(!cases[i].known || value == cases[i].value, "case %zu", i);
    }
    call.handle = 0;
    ck_assert(!bl_profile_value(&cases[12].place, &call, &value));
}
END_TEST

START_TEST(built_in_profiles_are_without_error)
{
    struct seen s;
    int profiles = 0;
    for (const struct bl_profile_builtin *b = bl_profile_builtins; b->name; b++, profiles++) {
        parse_bytes(b->text, strlen(b->text), &s);
        ck_assert_msg(s.errors == 0, "%s:%u:%u: %s", b->name, s.line, s.column, s.what);
        ck_assert_int_gt(s.classes + s.requests, 0);
        ck_assert_int_lt(s.functions, SEEN_MAX);
    }
    ck_assert_int_eq(profiles, 14);
}
END_TEST

/* One hook an address: no function may be named by two classes of one library. `lasting` sets none.
 */
static void check_names_differ(const struct bl_profile_function *one,
                               const struct bl_profile_function *other)
{
    if (one->role != BL_ROLE_LASTING && other->role != BL_ROLE_LASTING)
        ck_assert_str_ne(one->name, other->name);
}

START_TEST(built_in_profiles_name_a_function_once)
{
    static struct seen all[16];
    int count = 0;
    for (const struct bl_profile_builtin *b = bl_profile_builtins; b->name; b++, count++)
        parse_well(b->text, &all[count]);
    for (int p = 0; p < count; p++)
        for (int i = 0; i < all[p].functions; i++)
            for (int q = p; q < count; q++)
                for (int k = q == p ? i + 1 : 0; k < all[q].functions; k++)
                    check_names_differ(&all[p].function[i], &all[q].function[k]);
}
END_TEST

RUN_SUITE("shim profile", every_word_of_the_format_is_understood,
          what_is_not_said_has_the_documented_defaults, functions_know_their_class,
          kinds_follow_the_class_they_are_of, requests_belong_to_no_class,
          errors_name_the_line_the_column_and_what_is_accepted, contradictions_are_errors,
          a_line_with_an_error_is_left_out_and_the_rest_is_read, limits_are_errors_and_not_cut,
          messages_are_fit_for_a_terminal, no_byte_beyond_the_text_is_read,
          any_bytes_are_read_or_refused, patterns_match_whole_file_names,
          the_files_that_a_text_names_are_found_without_parsing_it, places_are_read_from_a_call,
          built_in_profiles_are_without_error, built_in_profiles_name_a_function_once)
