#include "bytebuf_class.h"
#include "sigsafe.h"

#include <string.h>

/* instructions */
enum {
    NOP = 0x00,
    ICONST_M1 = 0x02,
    ICONST_1 = 0x04,
    LCONST_0 = 0x09,
    ILOAD = 0x15,
    ALOAD = 0x19,
    ILOAD_1 = 0x1b,
    ALOAD_0 = 0x2a,
    DUP = 0x59,
    INEG = 0x74,
    GETFIELD = 0xb4,
    PUTFIELD = 0xb5,
    INVOKEVIRTUAL = 0xb6,
    INVOKESTATIC = 0xb8,
    INVOKEINTERFACE = 0xb9,
    ARRAYLENGTH = 0xbe,
    INSTANCEOF = 0xc1,
};

#define ACC_STATIC    0x0008u
#define ACC_TRANSIENT 0x0080u
#define ACC_NATIVE    0x0100u
#define ACC_SYNTHETIC 0x1000u

#define PACKAGE  "netty/buffer/"
#define REACTOR  "reactor/core/publisher/FluxOnAssembly$OnAssembly"
#define COUNTING PACKAGE "AbstractReferenceCountedByteBuf"
#define CLEANER  "netty/util/internal/CleanableDirectBuffer" /* since 4.2.2: has a buffer() */
#define NAME_MAX 256u

/* Where a class finds the size of the memory it is given. */
enum size_of { SIZE_NONE, SIZE_INT, SIZE_ARRAY, SIZE_BUFFER };

static const struct known_class {
    const char *name;
    enum bl_bytebuf_kind kind;
    const char *method; /* that is given the memory, or the other buffer */
    const char *type;   /* its beginning */
    enum size_of size;
    uint8_t variable;     /* the one to tell; INT: 0 = to be found by the type */
    const char *at_first; /* the method's name in versions that have none of that */
} known_classes[] = {
    {COUNTING, BL_BYTEBUF_COUNTING, NULL, NULL, SIZE_NONE, 0, NULL},
    /* chunk, [buffer,] handle, offset, length … */
    {PACKAGE "PooledByteBuf", BL_BYTEBUF_SIZING, "init0", "(", SIZE_INT, 0, "init"},
    {PACKAGE "UnpooledHeapByteBuf", BL_BYTEBUF_SIZING, "setArray", "([B)V", SIZE_ARRAY, 1, NULL},
    {PACKAGE "UnpooledDirectByteBuf", BL_BYTEBUF_SIZING, "setByteBuffer", "(Ljava/nio/ByteBuffer;",
     SIZE_BUFFER, 1, NULL},
    /* before 4.1.17 the unsafe ones were no kind of the former */
    {PACKAGE "UnpooledUnsafeDirectByteBuf", BL_BYTEBUF_SIZING, "setByteBuffer",
     "(Ljava/nio/ByteBuffer;", SIZE_BUFFER, 1, NULL},
    /* unwrapped, chunk, reader, writer, start, length … */
    {PACKAGE "AdaptivePoolingAllocator$AdaptiveByteBuf", BL_BYTEBUF_SIZING, "init", "(", SIZE_INT,
     6, NULL},
    {PACKAGE "CompositeByteBuf", BL_BYTEBUF_HOLDING, "newComponent", "(L", SIZE_NONE, 1, NULL},
    /* unwrapped, wrapped … */
    {PACKAGE "AbstractPooledDerivedByteBuf", BL_BYTEBUF_DERIVING, "init", "(L", SIZE_NONE, 2, NULL},
    {"netty/handler/codec/http/HttpRequestDecoder", BL_BYTEBUF_SERVING, "createMessage",
     "([Ljava/lang/String;)", SIZE_NONE, 0, NULL},
    {"netty/util/internal/OutOfDirectMemoryError", BL_BYTEBUF_FAILING, "<init>", "(", SIZE_NONE, 0,
     NULL},
    {REACTOR "Subscriber", BL_BYTEBUF_PASSED, NULL, NULL, SIZE_NONE, 0, NULL},
    {REACTOR "ConditionalSubscriber", BL_BYTEBUF_PASSED, NULL, NULL, SIZE_NONE, 0, NULL},
};

struct rewriting {
    struct bl_classfile *class;
    const struct known_class *known;
    const char *method; /* of the class, that tells */
    uint16_t id;        /* field */
    uint16_t born;      /* methods */
    uint16_t counted;   /* of the three */
    uint16_t told;
    uint16_t remaining;
    uint16_t cleaned;  /* the cleaner's buffer() */
    uint16_t counting; /* class, of the same copy of Netty */
    char cleaner[NAME_MAX];
    unsigned lives; /* methods found that begin one, that retain, that release */
    unsigned retains;
    unsigned releases;
};

static const struct known_class *find_known(const char *name, size_t length)
{
    for (size_t i = 0; i < BL_ARRAY_LENGTH(known_classes); i++) {
        size_t n = strlen(known_classes[i].name);
        if (length >= n && memcmp(name + length - n, known_classes[i].name, n) == 0 &&
            (length == n || name[length - n - 1] == '/'))
            return &known_classes[i];
    }
    return NULL;
}

enum bl_bytebuf_kind bl_bytebuf_kind(const char *name, size_t length)
{
    const struct known_class *known = find_known(name, length);
    return known ? known->kind : BL_BYTEBUF_NONE;
}

static bool notes(enum bl_bytebuf_kind kind)
{
    return kind == BL_BYTEBUF_SERVING || kind == BL_BYTEBUF_FAILING;
}

static bool tells_of_other(enum bl_bytebuf_kind kind)
{
    return kind == BL_BYTEBUF_HOLDING || kind == BL_BYTEBUF_DERIVING;
}

/* ---- prefixes ---- */

static size_t put_op(uint8_t *out, size_t at, uint8_t op)
{
    out[at] = op;
    return at + 1;
}

static size_t put_op_2(uint8_t *out, size_t at, uint8_t op, uint16_t operand)
{
    out[at] = op;
    out[at + 1] = (uint8_t)(operand >> 8);
    out[at + 2] = (uint8_t)operand;
    return at + 3;
}

static size_t pad(uint8_t *out, size_t at)
{
    while (at % 4 != 0)
        at = put_op(out, at, NOP);
    return at;
}

/* this.id = born(0), or born(this.id). In a constructor this comes before the superclass's, which
 * a field of the class itself may. */
static size_t begin_life(const struct rewriting *r, bool is_first, uint8_t *out)
{
    size_t at = put_op(out, 0, ALOAD_0);
    if (is_first) {
        at = put_op(out, at, LCONST_0);
    } else {
        at = put_op(out, at, DUP);
        at = put_op_2(out, at, GETFIELD, r->id);
    }
    at = put_op_2(out, at, INVOKESTATIC, r->born);
    at = put_op_2(out, at, PUTFIELD, r->id);
    return pad(out, at);
}

/* counted(this.id, 1 or n or -1 or -n) */
static size_t change_count(const struct rewriting *r, bool is_release, bool has_number,
                           uint8_t *out)
{
    size_t at = put_op(out, 0, ALOAD_0);
    at = put_op_2(out, at, GETFIELD, r->id);
    if (has_number)
        at = put_op(out, at, ILOAD_1);
    else
        at = put_op(out, at, is_release ? ICONST_M1 : ICONST_1);
    if (has_number && is_release)
        at = put_op(out, at, INEG);
    at = put_op_2(out, at, INVOKESTATIC, r->counted);
    return pad(out, at);
}

static size_t counting_prefix(struct rewriting *r, struct bl_classfile_text name,
                              struct bl_classfile_text type, uint8_t *out)
{
    bool is_retain = bl_classfile_text_is(name, "retain");
    bool is_release = bl_classfile_text_is(name, "release");
    /* retain() is there a second time, as the interface has it; that one calls the first */
    bool is_own = is_release || (is_retain && type.length > 8 &&
                                 memcmp(type.text + type.length - 8, "ByteBuf;", 8) == 0);
    bool has_number = bl_classfile_text_begins(type, "(I)");
    if (bl_classfile_text_is(name, "<init>")) {
        r->lives |= 1;
        return begin_life(r, true, out);
    }
    if (bl_classfile_text_is(name, "resetRefCnt") || bl_classfile_text_is(name, "setRefCnt")) {
        r->lives |= 2;
        return begin_life(r, false, out);
    }
    if (!is_own || !(has_number || bl_classfile_text_begins(type, "()")))
        return 0;
    r->retains += is_retain;
    r->releases += is_release;
    return change_count(r, is_release, has_number, out);
}

/* The last character of the name of a class that begins here, else where it was. */
static size_t end_of_name(struct bl_classfile_text type, size_t at)
{
    if (at < type.length && type.text[at] == 'L')
        while (at < type.length && type.text[at] != ';')
            at++;
    return at;
}

/* The second int after the first long: its variable. Long takes two, and so does `this` one. */
static uint8_t variable_of_length(struct bl_classfile_text type)
{
    uint8_t variable = 1;
    for (size_t i = 1; i < type.length && type.text[i] != ')'; i++) {
        i = end_of_name(type, i);
        if (i < type.length && type.text[i] == 'J') {
            bool fits = i + 2 < type.length && memcmp(type.text + i + 1, "II", 2) == 0;
            return fits ? (uint8_t)(variable + 3) : 0;
        }
        variable++;
    }
    return 0;
}

/* The type of what a variable has when the method is called, 'L', '[', 'I' …; 0: nothing. */
static char type_of_variable(struct bl_classfile_text type, uint8_t variable)
{
    uint8_t at = 1;
    for (size_t i = 1; i < type.length && type.text[i] != ')' && at <= variable; i++) {
        char begin = type.text[i];
        while (i < type.length && type.text[i] == '[')
            i++;
        i = end_of_name(type, i);
        if (at == variable)
            return begin;
        at = (uint8_t)(at + (begin == 'J' || begin == 'D' ? 2 : 1));
    }
    return 0;
}

/* Which variable has what is to be told; 0: none. The same method has other parameters in other
 * versions, and a class with the wrong one would be refused when it is used. */
static uint8_t variable_to_tell(const struct known_class *known, struct bl_classfile_text type)
{
    char wanted = known->size == SIZE_INT ? 'I' : known->size == SIZE_ARRAY ? '[' : 'L';
    uint8_t variable = known->variable ? known->variable : variable_of_length(type);
    if (variable && type_of_variable(type, variable) == wanted)
        return variable;
    /* at first a derived buffer was given the one that it is of, and no other */
    return known->kind == BL_BYTEBUF_DERIVING && type_of_variable(type, 1) == wanted ? 1 : 0;
}

/* noted() */
static size_t noting_prefix(const struct rewriting *r, uint8_t *out)
{
    return pad(out, put_op_2(out, 0, INVOKESTATIC, r->told));
}

/* passed(this), where a signal or a demand goes through it */
static size_t passing_prefix(const struct rewriting *r, struct bl_classfile_text name, uint8_t *out)
{
    static const char *const methods[] = {"onNext",  "onError", "onComplete", "onSubscribe",
                                          "request", "cancel",  "poll",       "tryOnNext"};
    for (size_t i = 0; i < BL_ARRAY_LENGTH(methods); i++)
        if (bl_classfile_text_is(name, methods[i]))
            return pad(out, put_op_2(out, put_op(out, 0, ALOAD_0), INVOKESTATIC, r->told));
    return 0;
}

static bool is_given_cleaner(const struct rewriting *r, struct bl_classfile_text type)
{
    size_t length = strlen(r->cleaner);
    return length > 0 && type.length > length + 3 && memcmp(type.text, "(L", 2) == 0 &&
           memcmp(type.text + 2, r->cleaner, length) == 0 && type.text[2 + length] == ';';
}

/* ..., buffer -> ..., its size; a cleaner has the buffer */
static size_t measure_buffer(const struct rewriting *r, bool is_cleaner, uint8_t *out, size_t at)
{
    if (is_cleaner) {
        at = put_op_2(out, at, INVOKEINTERFACE, r->cleaned);
        at = put_op(out, at, 1);
        at = put_op(out, at, 0);
    }
    return put_op_2(out, at, INVOKEVIRTUAL, r->remaining);
}

/* ..., other -> ..., other, whether it has a count of its own */
static size_t ask_kind(const struct rewriting *r, uint8_t variable, uint8_t *out, size_t at)
{
    at = put_op(out, at, ALOAD);
    at = put_op(out, at, variable);
    return put_op_2(out, at, INSTANCEOF, r->counting);
}

/* sized(this, length), or holds(this, other, whether it has a count of its own) */
static size_t telling_prefix(const struct rewriting *r, struct bl_classfile_text name,
                             struct bl_classfile_text type, uint8_t *out)
{
    const struct known_class *known = r->known;
    if (known->kind == BL_BYTEBUF_PASSED)
        return passing_prefix(r, name, out);
    bool is_cleaner = known->size == SIZE_BUFFER && is_given_cleaner(r, type);
    if (!bl_classfile_text_is(name, r->method) ||
        !(is_cleaner || bl_classfile_text_begins(type, known->type)))
        return 0;
    if (notes(known->kind))
        return noting_prefix(r, out);
    uint8_t variable = variable_to_tell(known, type);
    if (variable == 0)
        return 0;
    size_t at = put_op(out, 0, ALOAD_0);
    at = put_op(out, at, known->size == SIZE_INT ? ILOAD : ALOAD);
    at = put_op(out, at, variable);
    if (known->size == SIZE_ARRAY)
        at = put_op(out, at, ARRAYLENGTH);
    if (known->size == SIZE_BUFFER)
        at = measure_buffer(r, is_cleaner, out, at);
    if (tells_of_other(known->kind))
        at = ask_kind(r, variable, out, at);
    at = put_op_2(out, at, INVOKESTATIC, r->told);
    return pad(out, at);
}

static size_t prefix_of(void *context, struct bl_classfile_text name, struct bl_classfile_text type,
                        uint8_t out[BL_CLASSFILE_PREFIX_MAX])
{
    struct rewriting *r = context;
    return r->known->kind == BL_BYTEBUF_COUNTING ? counting_prefix(r, name, type, out)
                                                 : telling_prefix(r, name, type, out);
}

/* ---- classes ---- */

#define NATIVE (ACC_STATIC | ACC_NATIVE | ACC_SYNTHETIC)

static const struct bl_classfile_member id_field = {BL_BYTEBUF_ID_FIELD, "J",
                                                    ACC_TRANSIENT | ACC_SYNTHETIC};
static const struct bl_classfile_member counting_methods[] = {
    {BL_BYTEBUF_BORN, BL_BYTEBUF_BORN_TYPE, NATIVE},
    {BL_BYTEBUF_COUNTED, BL_BYTEBUF_COUNTED_TYPE, NATIVE},
};
static const struct bl_classfile_member sizing_method = {BL_BYTEBUF_SIZED, BL_BYTEBUF_SIZED_TYPE,
                                                         NATIVE};
static const struct bl_classfile_member holding_method = {BL_BYTEBUF_HOLDS, BL_BYTEBUF_HOLDS_TYPE,
                                                          NATIVE};

static const struct bl_classfile_member noting_method = {BL_BYTEBUF_NOTED, BL_BYTEBUF_NOTED_TYPE,
                                                         NATIVE};

static const struct bl_classfile_member passing_method = {BL_BYTEBUF_PASSES, BL_BYTEBUF_PASSES_TYPE,
                                                          NATIVE};

static const struct bl_classfile_member *method_to_tell(enum bl_bytebuf_kind kind)
{
    if (notes(kind))
        return &noting_method;
    if (kind == BL_BYTEBUF_PASSED)
        return &passing_method;
    return kind == BL_BYTEBUF_SIZING ? &sizing_method : &holding_method;
}

static size_t rewrite_counting(struct rewriting *r, uint8_t *out)
{
    struct bl_classfile *c = r->class;
    uint32_t edited;
    r->id = bl_classfile_add_field(c, c->this_class, BL_BYTEBUF_ID_FIELD, "J");
    r->born = bl_classfile_add_method(c, c->this_class, BL_BYTEBUF_BORN, BL_BYTEBUF_BORN_TYPE);
    r->counted =
        bl_classfile_add_method(c, c->this_class, BL_BYTEBUF_COUNTED, BL_BYTEBUF_COUNTED_TYPE);
    const struct bl_classfile_edit edit = {.context = r,
                                           .fields = &id_field,
                                           .field_count = 1,
                                           .methods = counting_methods,
                                           .method_count = BL_ARRAY_LENGTH(counting_methods),
                                           .prefix = prefix_of};
    size_t length = c->why ? 0 : bl_classfile_write(c, &edit, out, &edited);
    if (length > 0 && (r->lives != 3 || r->retains != 2 || r->releases != 2)) {
        c->why = "the class has other methods than those of Netty 4";
        length = 0;
    }
    return length;
}

/* The name of another class of the same copy of Netty. False: it is too long. */
static bool name_beside(const struct rewriting *r, const char *other, char out[NAME_MAX])
{
    size_t root = r->class->name.length - strlen(r->known->name);
    struct bl_text t;
    bl_text_init(&t, out, NAME_MAX);
    bl_text_bytes(&t, r->class->name.text, root);
    bl_text_str(&t, other);
    return root + strlen(other) < NAME_MAX;
}

static void add_measures(struct rewriting *r)
{
    struct bl_classfile *c = r->class;
    r->remaining = bl_classfile_add_method(c, bl_classfile_add_class(c, "java/nio/ByteBuffer", 19),
                                           "remaining", "()I");
    if (!name_beside(r, CLEANER, r->cleaner)) {
        r->cleaner[0] = '\0';
        return;
    }
    r->cleaned = bl_classfile_add_interface_method(
        c, bl_classfile_add_class(c, r->cleaner, strlen(r->cleaner)), "buffer",
        "()Ljava/nio/ByteBuffer;");
}

static void add_kind(struct rewriting *r)
{
    char name[NAME_MAX];
    if (name_beside(r, COUNTING, name))
        r->counting = bl_classfile_add_class(r->class, name, strlen(name));
    else
        r->class->why = "its name is too long";
}

static size_t rewrite_telling(struct rewriting *r, uint8_t *out)
{
    struct bl_classfile *c = r->class;
    const struct bl_classfile_member *method = method_to_tell(r->known->kind);
    uint32_t edited;
    r->told = bl_classfile_add_method(c, c->this_class, method->name, method->type);
    if (r->known->size == SIZE_BUFFER)
        add_measures(r);
    if (tells_of_other(r->known->kind))
        add_kind(r);
    const struct bl_classfile_edit edit = {
        .context = r, .methods = method, .method_count = 1, .prefix = prefix_of};
    size_t length = c->why ? 0 : bl_classfile_write(c, &edit, out, &edited);
    if (length > 0 && edited == 0) {
        c->why = "the method that is to tell is not there";
        length = 0;
    }
    return length;
}

/* A class has the names of its methods as text. */
static const char *method_that_tells(const struct known_class *known, const void *in, size_t length)
{
    bool is_there = known->method && memmem(in, length, known->method, strlen(known->method));
    return known->at_first && !is_there ? known->at_first : known->method;
}

/* By an agent that shows its work to others before us. */
static bool is_rewritten(const void *in, size_t length)
{
    return memmem(in, length, BL_BYTEBUF_MARK, strlen(BL_BYTEBUF_MARK)) != NULL;
}

size_t bl_bytebuf_rewrite(const void *in, size_t length, uint32_t *offsets, uint8_t *out,
                          const char **ret_why)
{
    struct bl_classfile class;
    struct rewriting r = {.class = &class};
    size_t written = 0;
    *ret_why = "it is rewritten already";
    if (is_rewritten(in, length))
        return 0;
    if (bl_classfile_parse(&class, in, length, offsets)) {
        r.known = find_known(class.name.text, class.name.length);
        if (r.known)
            r.method = method_that_tells(r.known, in, length);
        if (!r.known)
            class.why = "its name is another one";
        else
            written = r.known->kind == BL_BYTEBUF_COUNTING ? rewrite_counting(&r, out)
                                                           : rewrite_telling(&r, out);
    }
    *ret_why = class.why;
    return written;
}
