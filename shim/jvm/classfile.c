#include "classfile.h"

#include <string.h>

/* constant tags of the class file format, chapter 4.4 of the Java VM specification */
enum {
    TAG_UTF8 = 1,
    TAG_INTEGER = 3,
    TAG_FLOAT = 4,
    TAG_LONG = 5,
    TAG_DOUBLE = 6,
    TAG_CLASS = 7,
    TAG_STRING = 8,
    TAG_FIELD = 9,
    TAG_METHOD = 10,
    TAG_INTERFACE_METHOD = 11,
    TAG_NAME_AND_TYPE = 12,
    TAG_METHOD_HANDLE = 15,
    TAG_METHOD_TYPE = 16,
    TAG_DYNAMIC = 17,
    TAG_INVOKE_DYNAMIC = 18,
    TAG_MODULE = 19,
    TAG_PACKAGE = 20,
};

#define MAGIC           0xcafebabeu
#define CONSTANTS_MAX   65535u
#define CODE_MAX        65535u
#define ACC_STATIC      0x0008u
#define PREFIX_STACK    8u /* words of operand stack that a prefix may use */
#define FRAME_SAME_MAX  63u
#define FRAME_ITEM_MAX  127u
#define FRAME_ITEM_LONG 247u
#define FRAME_SAME_LONG 251u
#define FRAME_FULL      255u
#define ITEM_OBJECT     7u
#define ITEM_NEW        8u
#define ITEM_LAST       8u

bool bl_classfile_text_is(struct bl_classfile_text t, const char *text)
{
    return t.length == strlen(text) && memcmp(t.text, text, t.length) == 0;
}

bool bl_classfile_text_begins(struct bl_classfile_text t, const char *text)
{
    size_t length = strlen(text);
    return t.length >= length && memcmp(t.text, text, length) == 0;
}

/* ---- reading: once something is out of bounds, everything reads as 0 ---- */

struct source {
    const uint8_t *at;
    const uint8_t *end;
    bool broken;
};

static const uint8_t *take(struct source *s, size_t length)
{
    const uint8_t *at = s->at;
    if (s->broken || length > (size_t)(s->end - s->at)) {
        s->broken = true;
        return NULL;
    }
    s->at += length;
    return at;
}

static uint32_t take_number(struct source *s, size_t bytes)
{
    const uint8_t *at = take(s, bytes);
    uint32_t value = 0;
    for (size_t i = 0; at && i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

static uint8_t take_1(struct source *s)
{
    return (uint8_t)take_number(s, 1);
}

static uint16_t take_2(struct source *s)
{
    return (uint16_t)take_number(s, 2);
}

static uint32_t take_4(struct source *s)
{
    return take_number(s, 4);
}

/* ---- writing: the room is known to suffice, or the output is given up ---- */

struct sink {
    uint8_t *start;
    uint8_t *at;
    uint8_t *end;
    bool full;
};

static void put(struct sink *s, const void *bytes, size_t length)
{
    if (s->full || length > (size_t)(s->end - s->at)) {
        s->full = true;
        return;
    }
    if (length > 0)
        memcpy(s->at, bytes, length);
    s->at += length;
}

static void put_number(struct sink *s, uint32_t value, size_t bytes)
{
    uint8_t text[4];
    for (size_t i = 0; i < bytes; i++)
        text[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
    put(s, text, bytes);
}

static void put_1(struct sink *s, uint32_t value)
{
    put_number(s, value, 1);
}

static void put_2(struct sink *s, uint32_t value)
{
    put_number(s, value, 2);
}

static void put_4(struct sink *s, uint32_t value)
{
    put_number(s, value, 4);
}

static void set_4(uint8_t *at, uint32_t value)
{
    for (size_t i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * (3 - i));
}

/* ---- constants ---- */

/* Bytes after the tag; 0: unknown. Of UTF8 without the text. */
static size_t constant_size(uint8_t tag)
{
    switch (tag) {
    case TAG_UTF8:
    case TAG_CLASS:
    case TAG_STRING:
    case TAG_METHOD_TYPE:
    case TAG_MODULE:
    case TAG_PACKAGE:
        return 2;
    case TAG_METHOD_HANDLE:
        return 3;
    case TAG_INTEGER:
    case TAG_FLOAT:
    case TAG_FIELD:
    case TAG_METHOD:
    case TAG_INTERFACE_METHOD:
    case TAG_NAME_AND_TYPE:
    case TAG_DYNAMIC:
    case TAG_INVOKE_DYNAMIC:
        return 4;
    case TAG_LONG:
    case TAG_DOUBLE:
        return 8;
    default:
        return 0;
    }
}

static bool take_constants(struct bl_classfile *c, struct source *s, uint32_t *offsets)
{
    c->constant_count = take_2(s);
    memset(offsets, 0, (c->constant_count + 1u) * sizeof *offsets);
    for (uint32_t i = 1; i < c->constant_count && !s->broken; i++) {
        offsets[i] = (uint32_t)(s->at - c->in);
        uint8_t tag = take_1(s);
        size_t size = constant_size(tag);
        if (size == 0)
            return false;
        if (tag == TAG_UTF8)
            take(s, take_2(s));
        else
            take(s, size);
        i += tag == TAG_LONG || tag == TAG_DOUBLE;
    }
    return !s->broken;
}

/* The constant's bytes after the tag, if it is one of that kind. */
static const uint8_t *constant(const struct bl_classfile *c, uint32_t number, uint8_t tag)
{
    if (number == 0 || number >= c->constant_count || c->offsets[number] == 0 ||
        c->in[c->offsets[number]] != tag)
        return NULL;
    return c->in + c->offsets[number] + 1;
}

static uint16_t number_at(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static struct bl_classfile_text text_of(const struct bl_classfile *c, uint32_t number)
{
    const uint8_t *at = constant(c, number, TAG_UTF8);
    if (!at)
        return (struct bl_classfile_text){"", 0};
    return (struct bl_classfile_text){(const char *)at + 2, number_at(at)};
}

bool bl_classfile_parse(struct bl_classfile *c, const void *in, size_t length, uint32_t *offsets)
{
    struct source s = {in, (const uint8_t *)in + length, false};
    *c = (struct bl_classfile){.in = in, .in_length = length, .offsets = offsets};
    c->why = "this is no class file";
    if (take_4(&s) != MAGIC)
        return false;
    take_4(&s); /* version */
    c->why = "the class file has constants of an unknown kind";
    if (!take_constants(c, &s, offsets))
        return false;
    c->constants_end = (size_t)(s.at - c->in);
    take_2(&s); /* access */
    c->this_class = take_2(&s);
    const uint8_t *class = constant(c, c->this_class, TAG_CLASS);
    c->why = "the class file is cut";
    if (s.broken || !class)
        return false;
    c->name = text_of(c, number_at(class));
    c->why = NULL;
    return true;
}

static uint16_t add_constant(struct bl_classfile *c, uint8_t tag, const void *bytes, size_t length)
{
    uint32_t number = c->constant_count + c->added_count;
    if (c->added_length + 1 + length > sizeof c->added || number >= CONSTANTS_MAX) {
        c->why = "the class has no room for more constants";
        return 0;
    }
    c->added[c->added_length] = tag;
    memcpy(c->added + c->added_length + 1, bytes, length);
    c->added_length += 1 + length;
    c->added_count++;
    return (uint16_t)number;
}

static uint16_t add_pair(struct bl_classfile *c, uint8_t tag, uint16_t a, uint16_t b)
{
    const uint8_t bytes[4] = {(uint8_t)(a >> 8), (uint8_t)a, (uint8_t)(b >> 8), (uint8_t)b};
    return add_constant(c, tag, bytes, tag == TAG_CLASS ? 2 : 4);
}

uint16_t bl_classfile_add_text(struct bl_classfile *c, const char *text, size_t length)
{
    uint8_t bytes[256];
    if (length > sizeof bytes - 2) {
        c->why = "a name is too long";
        return 0;
    }
    bytes[0] = (uint8_t)(length >> 8);
    bytes[1] = (uint8_t)length;
    memcpy(bytes + 2, text, length);
    return add_constant(c, TAG_UTF8, bytes, 2 + length);
}

uint16_t bl_classfile_add_class(struct bl_classfile *c, const char *name, size_t length)
{
    return add_pair(c, TAG_CLASS, bl_classfile_add_text(c, name, length), 0);
}

static uint16_t add_reference(struct bl_classfile *c, uint8_t tag, uint16_t owner, const char *name,
                              const char *type)
{
    uint16_t name_number = bl_classfile_add_text(c, name, strlen(name));
    uint16_t type_number = bl_classfile_add_text(c, type, strlen(type));
    return add_pair(c, tag, owner, add_pair(c, TAG_NAME_AND_TYPE, name_number, type_number));
}

uint16_t bl_classfile_add_field(struct bl_classfile *c, uint16_t owner, const char *name,
                                const char *type)
{
    return add_reference(c, TAG_FIELD, owner, name, type);
}

uint16_t bl_classfile_add_method(struct bl_classfile *c, uint16_t owner, const char *name,
                                 const char *type)
{
    return add_reference(c, TAG_METHOD, owner, name, type);
}

uint16_t bl_classfile_add_interface_method(struct bl_classfile *c, uint16_t owner, const char *name,
                                           const char *type)
{
    return add_reference(c, TAG_INTERFACE_METHOD, owner, name, type);
}

/* ---- stack maps ---- */

/* Copies the types of some variables or operands; the place of a `new` moves. */
static bool move_items(struct source *s, struct sink *out, uint32_t count, uint32_t shift)
{
    for (uint32_t i = 0; i < count; i++) {
        uint8_t kind = take_1(s);
        put_1(out, kind);
        if (kind > ITEM_LAST)
            return false;
        if (kind == ITEM_OBJECT)
            put_2(out, take_2(s));
        else if (kind == ITEM_NEW)
            put_2(out, take_2(s) + shift);
    }
    return !s->broken;
}

/* Only the first frame's distance is from the start of the code; those of the others are from the
 * frame before. */
static bool move_frame(struct source *s, struct sink *out, bool is_first, uint32_t shift)
{
    uint32_t add = is_first ? shift : 0;
    uint8_t kind = take_1(s);
    bool has_item = kind > FRAME_SAME_MAX && kind <= FRAME_ITEM_MAX;
    if (kind <= FRAME_ITEM_MAX) {
        uint32_t distance = (kind & FRAME_SAME_MAX) + add;
        if (distance <= FRAME_SAME_MAX) {
            put_1(out, (kind & ~FRAME_SAME_MAX) | distance);
        } else {
            put_1(out, has_item ? FRAME_ITEM_LONG : FRAME_SAME_LONG);
            put_2(out, distance);
        }
        return move_items(s, out, has_item, shift);
    }
    if (kind < FRAME_ITEM_LONG)
        return false;
    put_1(out, kind);
    put_2(out, take_2(s) + add);
    if (kind == FRAME_ITEM_LONG)
        return move_items(s, out, 1, shift);
    if (kind <= FRAME_SAME_LONG)
        return !s->broken;
    if (kind < FRAME_FULL)
        return move_items(s, out, kind - FRAME_SAME_LONG, shift);
    for (int part = 0; part < 2; part++) { /* variables, then operands */
        uint32_t count = take_2(s);
        put_2(out, count);
        if (!move_items(s, out, count, shift))
            return false;
    }
    return true;
}

static bool move_stack_map(struct source *s, struct sink *out, uint32_t shift)
{
    uint32_t count = take_2(s);
    put_2(out, count);
    for (uint32_t i = 0; i < count; i++) {
        if (!move_frame(s, out, i == 0, shift))
            return false;
    }
    return !s->broken;
}

/* ---- code ---- */

/* What begins with the method goes on doing so. */
static uint32_t moved(uint32_t pc, uint32_t shift)
{
    return pc == 0 ? 0 : pc + shift;
}

static bool move_lines(struct source *s, struct sink *out, uint32_t shift)
{
    uint32_t count = take_2(s);
    put_2(out, count);
    for (uint32_t i = 0; i < count; i++) {
        put_2(out, moved(take_2(s), shift));
        put_2(out, take_2(s));
    }
    return !s->broken;
}

/* LocalVariableTable and LocalVariableTypeTable */
static bool move_variables(struct source *s, struct sink *out, uint32_t shift)
{
    uint32_t count = take_2(s);
    put_2(out, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t start = take_2(s);
        uint32_t length = take_2(s);
        put_2(out, moved(start, shift));
        put_2(out, start == 0 ? length + shift : length);
        const uint8_t *rest = take(s, 6);
        if (rest)
            put(out, rest, 6);
    }
    return !s->broken;
}

static bool move_attribute(struct source *s, struct sink *out, struct bl_classfile_text name,
                           uint32_t shift)
{
    if (bl_classfile_text_is(name, "LineNumberTable"))
        return move_lines(s, out, shift);
    if (bl_classfile_text_is(name, "LocalVariableTable") ||
        bl_classfile_text_is(name, "LocalVariableTypeTable"))
        return move_variables(s, out, shift);
    if (bl_classfile_text_is(name, "StackMapTable"))
        return move_stack_map(s, out, shift);
    put(out, s->at, (size_t)(s->end - s->at));
    return true;
}

static bool is_dropped(struct bl_classfile_text name)
{
    return bl_classfile_text_is(name, "RuntimeVisibleTypeAnnotations") ||
           bl_classfile_text_is(name, "RuntimeInvisibleTypeAnnotations");
}

static bool move_attributes(const struct bl_classfile *c, struct source *s, struct sink *out,
                            uint32_t shift)
{
    uint32_t count = take_2(s);
    uint32_t kept = 0;
    uint8_t *count_at = out->at;
    put_2(out, count);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t name = take_2(s);
        uint32_t length = take_4(s);
        const uint8_t *body = take(s, length);
        if (!body)
            return false;
        if (is_dropped(text_of(c, name)))
            continue;
        struct source inner = {body, body + length, false};
        put_2(out, name);
        uint8_t *length_at = out->at;
        put_4(out, 0);
        if (!move_attribute(&inner, out, text_of(c, name), shift) || out->full)
            return false;
        set_4(length_at, (uint32_t)(out->at - length_at - 4));
        kept++;
    }
    if (out->full || s->broken)
        return false;
    count_at[0] = (uint8_t)(kept >> 8);
    count_at[1] = (uint8_t)kept;
    return true;
}

/* The body of a Code attribute. */
static bool move_code(const struct bl_classfile *c, struct source *s, struct sink *out,
                      const uint8_t *prefix, uint32_t shift)
{
    uint16_t stack = take_2(s);
    uint16_t variables = take_2(s);
    uint32_t length = take_4(s);
    const uint8_t *code = take(s, length);
    if (!code || length + shift > CODE_MAX)
        return false;
    put_2(out, stack > PREFIX_STACK ? stack : PREFIX_STACK);
    put_2(out, variables);
    put_4(out, length + shift);
    put(out, prefix, shift);
    put(out, code, length);
    uint32_t handlers = take_2(s);
    put_2(out, handlers);
    for (uint32_t i = 0; i < handlers; i++) {
        for (int place = 0; place < 3; place++) /* start, end, handler: never of the prefix */
            put_2(out, take_2(s) + shift);
        put_2(out, take_2(s)); /* type */
    }
    return move_attributes(c, s, out, shift);
}

/* ---- members ---- */

static void copy_attributes(struct source *s, struct sink *out)
{
    uint32_t count = take_2(s);
    put_2(out, count);
    for (uint32_t i = 0; i < count && !s->broken; i++) {
        put_2(out, take_2(s));
        uint32_t length = take_4(s);
        const uint8_t *body = take(s, length);
        put_4(out, length);
        if (body)
            put(out, body, length);
    }
}

static bool copy_with_prefix(const struct bl_classfile *c, struct source *s, struct sink *out,
                             const uint8_t *prefix, uint32_t shift)
{
    uint32_t count = take_2(s);
    put_2(out, count);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t name = take_2(s);
        uint32_t length = take_4(s);
        const uint8_t *body = take(s, length);
        if (!body)
            return false;
        put_2(out, name);
        uint8_t *length_at = out->at;
        put_4(out, length);
        if (!bl_classfile_text_is(text_of(c, name), "Code")) {
            put(out, body, length);
            continue;
        }
        struct source inner = {body, body + length, false};
        if (!move_code(c, &inner, out, prefix, shift) || out->full)
            return false;
        set_4(length_at, (uint32_t)(out->at - length_at - 4));
    }
    return !s->broken;
}

static void copy_fields(struct source *s, struct sink *out, const uint16_t (*added)[2],
                        const struct bl_classfile_edit *edit)
{
    uint32_t count = take_2(s);
    put_2(out, count + (uint32_t)edit->field_count);
    for (uint32_t i = 0; i < count && !s->broken; i++) {
        for (int part = 0; part < 3; part++) /* access, name, type */
            put_2(out, take_2(s));
        copy_attributes(s, out);
    }
    for (size_t i = 0; i < edit->field_count; i++) {
        put_2(out, edit->fields[i].access);
        put_2(out, added[i][0]);
        put_2(out, added[i][1]);
        put_2(out, 0);
    }
}

static bool copy_methods(const struct bl_classfile *c, struct source *s, struct sink *out,
                         const uint16_t (*added)[2], const struct bl_classfile_edit *edit,
                         uint32_t *ret_edited)
{
    uint8_t prefix[BL_CLASSFILE_PREFIX_MAX];
    uint32_t count = take_2(s);
    put_2(out, count + (uint32_t)edit->method_count);
    for (uint32_t i = 0; i < count && !s->broken; i++) {
        uint16_t access = take_2(s);
        uint16_t name = take_2(s);
        uint16_t type = take_2(s);
        put_2(out, access);
        put_2(out, name);
        put_2(out, type);
        size_t shift = 0;
        if (!(access & ACC_STATIC)) /* a prefix may use `this` */
            shift = edit->prefix(edit->context, text_of(c, name), text_of(c, type), prefix);
        if (shift == 0)
            copy_attributes(s, out);
        else if (!copy_with_prefix(c, s, out, prefix, (uint32_t)shift))
            return false;
        *ret_edited += shift > 0;
    }
    for (size_t i = 0; i < edit->method_count; i++) {
        put_2(out, edit->methods[i].access);
        put_2(out, added[i][0]);
        put_2(out, added[i][1]);
        put_2(out, 0);
    }
    return !s->broken;
}

#define MEMBERS_MAX 8u

static bool name_members(struct bl_classfile *c, const struct bl_classfile_member *members,
                         size_t count, uint16_t numbers[MEMBERS_MAX][2])
{
    for (size_t i = 0; i < count && i < MEMBERS_MAX; i++) {
        numbers[i][0] = bl_classfile_add_text(c, members[i].name, strlen(members[i].name));
        numbers[i][1] = bl_classfile_add_text(c, members[i].type, strlen(members[i].type));
    }
    return count <= MEMBERS_MAX && !c->why;
}

static void copy_head(const struct bl_classfile *c, struct sink *out)
{
    put(out, c->in, 8);
    put_2(out, c->constant_count + c->added_count);
    put(out, c->in + 10, c->constants_end - 10);
    put(out, c->added, c->added_length);
}

size_t bl_classfile_write(struct bl_classfile *c, const struct bl_classfile_edit *edit,
                          uint8_t *out, uint32_t *ret_edited)
{
    uint16_t fields[MEMBERS_MAX][2] = {0};
    uint16_t methods[MEMBERS_MAX][2] = {0};
    struct source s = {c->in + c->constants_end, c->in + c->in_length, false};
    struct sink sink = {out, out, out + c->in_length + BL_CLASSFILE_GROWTH, false};
    *ret_edited = 0;
    if (!name_members(c, edit->fields, edit->field_count, fields) ||
        !name_members(c, edit->methods, edit->method_count, methods))
        return 0;
    copy_head(c, &sink);
    for (int part = 0; part < 3; part++) /* access, this, super */
        put_2(&sink, take_2(&s));
    uint32_t interfaces = take_2(&s);
    put_2(&sink, interfaces);
    for (uint32_t i = 0; i < interfaces; i++)
        put_2(&sink, take_2(&s));
    copy_fields(&s, &sink, (const uint16_t(*)[2])fields, edit);
    c->why = "the code of a method is not understood";
    if (!copy_methods(c, &s, &sink, (const uint16_t(*)[2])methods, edit, ret_edited))
        return 0;
    copy_attributes(&s, &sink);
    if (s.broken || s.at != s.end || sink.full)
        return 0;
    c->why = NULL;
    return (size_t)(sink.at - out);
}
