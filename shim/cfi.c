#include "cfi.h"
#include "sigsafe.h"

#include <dlfcn.h>
#include <string.h>

#define POPULATE_WRITE 23 /* MADV_POPULATE_WRITE, from Linux 5.14 on; others refuse it */

#define REG_RBP 6u
#define REG_RSP 7u
#define REG_RA  16u

/* DW_EH_PE_* pointer encodings */
#define PE_OMIT     0xffu
#define PE_PCREL    0x10u
#define PE_DATAREL  0x30u
#define PE_INDIRECT 0x80u

uint64_t bl_cfi_cache[BL_CFI_SETS][2] BL_ALIGNED(4096);

struct reader {
    const uint8_t *at;
    const uint8_t *end;
};

enum rule_kind { RULE_SAME, RULE_OFFSET, RULE_EXPRESSION, RULE_UNDEFINED, RULE_OTHER };

struct rule {
    enum rule_kind kind;
    int64_t offset;
    struct reader expression;
};

struct row {
    uint64_t cfa_register;
    int64_t cfa_offset;
    bool cfa_is_expression;
    struct reader cfa_expression;
    struct rule rbp;
    struct rule ra;
};

struct cie {
    uint64_t code_align;
    int64_t data_align;
    uint8_t pointer_encoding;
    bool signal_frame;
    bool augmented; /* 'z' */
    struct reader program;
};

#define STATES_MAX 8u

struct machine {
    const struct cie *cie;
    struct row row;
    struct row initial;
    struct row stack[STATES_MAX];
    unsigned depth;
    bool failed;
};

static uint64_t read_fixed(struct reader *r, unsigned bytes)
{
    uint64_t value = 0;
    if ((size_t)(r->end - r->at) < bytes) {
        r->at = r->end;
        return 0;
    }
    memcpy(&value, r->at, bytes);
    r->at += bytes;
    return value;
}

static uint64_t read_uleb(struct reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; r->at < r->end; shift += 7) {
        uint8_t byte = *r->at++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            break;
    }
    return value;
}

static int64_t read_sleb(struct reader *r)
{
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte = 0;
    while (r->at < r->end) {
        byte = *r->at++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
        if (!(byte & 0x80))
            break;
    }
    if (shift < 64 && (byte & 0x40))
        value |= ~0ull << shift;
    return (int64_t)value;
}

static uint64_t read_encoded(struct reader *r, uint8_t encoding)
{
    uint64_t here = (uint64_t)(uintptr_t)r->at;
    uint64_t value;
    switch (encoding & 0x0f) {
    case 0x01:
        value = read_uleb(r);
        break;
    case 0x02:
        value = read_fixed(r, 2);
        break;
    case 0x03:
        value = read_fixed(r, 4);
        break;
    case 0x09:
        value = (uint64_t)read_sleb(r);
        break;
    case 0x0a:
        value = (uint64_t)(int64_t)(int16_t)read_fixed(r, 2);
        break;
    case 0x0b:
        value = (uint64_t)(int64_t)(int32_t)read_fixed(r, 4);
        break;
    default:
        value = read_fixed(r, 8);
        break;
    }
    return (encoding & 0x70) == PE_PCREL ? value + here : value;
}

static struct reader read_block(struct reader *r)
{
    uint64_t length = read_uleb(r);
    uint64_t room = (uint64_t)(r->end - r->at);
    struct reader block = {r->at, r->at + (length < room ? length : room)};
    r->at = block.end;
    return block;
}

/* Body of the CIE or FDE whose length field is at p. */
static struct reader entry_body(const uint8_t *p)
{
    struct reader r = {p, p + 4};
    uint64_t length = read_fixed(&r, 4);
    return (struct reader){r.at, r.at + (length < 0xfffffff0u ? length : 0)};
}

static bool parse_augmentation(struct reader *r, const char *augmentation, struct cie *cie)
{
    if (*augmentation == '\0')
        return true;
    if (*augmentation != 'z')
        return false;
    cie->augmented = true;
    struct reader data = read_block(r);
    for (const char *a = augmentation + 1; *a; a++) {
        if (*a == 'R') {
            cie->pointer_encoding = (uint8_t)read_fixed(&data, 1);
        } else if (*a == 'L') {
            read_fixed(&data, 1);
        } else if (*a == 'P') {
            uint8_t encoding = (uint8_t)read_fixed(&data, 1);
            read_encoded(&data, encoding);
        } else if (*a == 'S') {
            cie->signal_frame = true;
        } else {
            return false;
        }
    }
    return true;
}

static bool parse_cie(const uint8_t *p, struct cie *ret_cie)
{
    struct reader r = entry_body(p);
    struct cie cie = {.pointer_encoding = 0};
    if (read_fixed(&r, 4) != 0)
        return false;
    uint64_t version = read_fixed(&r, 1);
    if (version != 1 && version != 3)
        return false;
    const char *augmentation = (const char *)r.at;
    r.at += strnlen(augmentation, (size_t)(r.end - r.at)) + 1;
    if (r.at >= r.end)
        return false;
    cie.code_align = read_uleb(&r);
    cie.data_align = read_sleb(&r);
    uint64_t ra = version == 1 ? read_fixed(&r, 1) : read_uleb(&r);
    if (ra != REG_RA || !parse_augmentation(&r, augmentation, &cie))
        return false;
    cie.program = r;
    *ret_cie = cie;
    return true;
}

static struct rule *rule_of(struct row *row, uint64_t reg)
{
    if (reg == REG_RBP)
        return &row->rbp;
    return reg == REG_RA ? &row->ra : NULL;
}

static void set_rule(struct machine *m, uint64_t reg, enum rule_kind kind, int64_t offset)
{
    struct rule *rule = rule_of(&m->row, reg);
    if (rule)
        *rule = (struct rule){.kind = kind, .offset = offset};
}

static void restore_rule(struct machine *m, uint64_t reg)
{
    struct rule *rule = rule_of(&m->row, reg);
    if (rule)
        *rule = *rule_of(&m->initial, reg);
}

static void set_cfa(struct machine *m, uint64_t reg, int64_t offset)
{
    m->row.cfa_register = reg;
    m->row.cfa_offset = offset;
    m->row.cfa_is_expression = false;
}

static void set_expression(struct machine *m, struct reader *r, uint64_t reg, enum rule_kind kind)
{
    struct rule *rule = rule_of(&m->row, reg);
    struct reader block = read_block(r);
    if (rule)
        *rule = (struct rule){.kind = kind, .expression = block};
}

static void push_state(struct machine *m)
{
    if (m->depth < STATES_MAX)
        m->stack[m->depth++] = m->row;
    else
        m->failed = true;
}

static void pop_state(struct machine *m)
{
    if (m->depth > 0)
        m->row = m->stack[--m->depth];
    else
        m->failed = true;
}

/* The extended opcodes that define the CFA. Returns false if op is not one. */
static bool step_cfa(struct machine *m, struct reader *r, uint8_t op)
{
    int64_t align = m->cie->data_align;
    uint64_t reg;
    switch (op) {
    case 0x0c: /* def_cfa */
        reg = read_uleb(r);
        set_cfa(m, reg, (int64_t)read_uleb(r));
        return true;
    case 0x0d: /* def_cfa_register */
        set_cfa(m, read_uleb(r), m->row.cfa_offset);
        return true;
    case 0x0e: /* def_cfa_offset */
        set_cfa(m, m->row.cfa_register, (int64_t)read_uleb(r));
        return true;
    case 0x0f: /* def_cfa_expression */
        m->row.cfa_is_expression = true;
        m->row.cfa_expression = read_block(r);
        return true;
    case 0x12: /* def_cfa_sf */
        reg = read_uleb(r);
        set_cfa(m, reg, read_sleb(r) * align);
        return true;
    case 0x13: /* def_cfa_offset_sf */
        set_cfa(m, m->row.cfa_register, read_sleb(r) * align);
        return true;
    default:
        return false;
    }
}

/* The extended opcodes that set a register's rule. */
static void step_register(struct machine *m, struct reader *r, uint8_t op)
{
    int64_t align = m->cie->data_align;
    uint64_t reg = op == 0x0a || op == 0x0b || op == 0x00 || op == 0x2e ? 0 : read_uleb(r);
    switch (op) {
    case 0x00: /* nop */
        break;
    case 0x05: /* offset_extended */
        set_rule(m, reg, RULE_OFFSET, (int64_t)read_uleb(r) * align);
        break;
    case 0x06: /* restore_extended */
        restore_rule(m, reg);
        break;
    case 0x07: /* undefined */
        set_rule(m, reg, RULE_UNDEFINED, 0);
        break;
    case 0x08: /* same_value */
        set_rule(m, reg, RULE_SAME, 0);
        break;
    case 0x09: /* register */
        read_uleb(r);
        set_rule(m, reg, RULE_OTHER, 0);
        break;
    case 0x0a:
        push_state(m);
        break;
    case 0x0b:
        pop_state(m);
        break;
    case 0x10: /* expression */
        set_expression(m, r, reg, RULE_EXPRESSION);
        break;
    case 0x11: /* offset_extended_sf */
        set_rule(m, reg, RULE_OFFSET, read_sleb(r) * align);
        break;
    case 0x14: /* val_offset */
        read_uleb(r);
        set_rule(m, reg, RULE_OTHER, 0);
        break;
    case 0x15: /* val_offset_sf */
        read_sleb(r);
        set_rule(m, reg, RULE_OTHER, 0);
        break;
    case 0x16: /* val_expression */
        set_expression(m, r, reg, RULE_OTHER);
        break;
    case 0x2e: /* GNU_args_size */
        read_uleb(r);
        break;
    case 0x2f: /* GNU_negative_offset_extended */
        set_rule(m, reg, RULE_OFFSET, -((int64_t)read_uleb(r) * align));
        break;
    default:
        m->failed = true;
        break;
    }
}

/* How far an advance opcode moves the location; 0 for all others, which must not be consumed. */
static bool step_advance(struct machine *m, struct reader *r, uint8_t op, uint64_t *location)
{
    uint64_t delta;
    if ((op & 0xc0) == 0x40)
        delta = op & 0x3f;
    else if (op == 0x02)
        delta = read_fixed(r, 1);
    else if (op == 0x03)
        delta = read_fixed(r, 2);
    else if (op == 0x04)
        delta = read_fixed(r, 4);
    else
        return false;
    *location += delta * m->cie->code_align;
    return true;
}

/* Runs the program until the row for `target` is complete. */
static void run_program(struct machine *m, struct reader r, uint64_t location, uint64_t target)
{
    while (r.at < r.end && !m->failed) {
        uint8_t op = *r.at++;
        if (step_advance(m, &r, op, &location)) {
            if (location > target)
                return;
        } else if (op == 0x01) { /* set_loc */
            location = read_encoded(&r, m->cie->pointer_encoding);
            if (location > target)
                return;
        } else if ((op & 0xc0) == 0x80) {
            set_rule(m, op & 0x3f, RULE_OFFSET, (int64_t)read_uleb(&r) * m->cie->data_align);
        } else if ((op & 0xc0) == 0xc0) {
            restore_rule(m, op & 0x3f);
        } else if (!step_cfa(m, &r, op)) {
            step_register(m, &r, op);
        }
    }
}

static bl_cfi_rule encode(enum bl_cfi_type type, int64_t cfa, int64_t slot)
{
    if (cfa % 8 || slot % 8 || cfa / 8 > 16383 || cfa / 8 < -16384 || slot / 8 > 2047 ||
        slot / 8 < -2048)
        return BL_CFI_HARD;
    return (uint32_t)type | ((uint32_t)(cfa / 8) & 0x7fffu) << 3 |
           ((uint32_t)(slot / 8) & 0xfffu) << 18;
}

/* DW_OP_breg6 k [; DW_OP_deref]: the two expressions that compilers emit for realigned frames. */
static bool parse_rbp_relative(struct reader e, bool deref, int64_t *ret_offset)
{
    if (e.at >= e.end || *e.at++ != 0x76)
        return false;
    *ret_offset = read_sleb(&e);
    if (deref)
        return e.end - e.at == 1 && *e.at == 0x06;
    return e.at == e.end;
}

static bl_cfi_rule encode_row(const struct row *row)
{
    if (row->ra.kind == RULE_UNDEFINED)
        return BL_CFI_END;
    if (row->ra.kind != RULE_OFFSET || row->ra.offset != -8)
        return BL_CFI_HARD;
    if (row->cfa_is_expression) {
        int64_t cfa;
        int64_t slot;
        if (!parse_rbp_relative(row->cfa_expression, true, &cfa) ||
            row->rbp.kind != RULE_EXPRESSION ||
            !parse_rbp_relative(row->rbp.expression, false, &slot))
            return BL_CFI_HARD;
        return encode(BL_CFI_REALIGN, cfa, slot);
    }
    int64_t slot = 0;
    if (row->rbp.kind == RULE_OFFSET)
        slot = row->rbp.offset;
    else if (row->rbp.kind != RULE_SAME)
        return BL_CFI_HARD;
    if (row->cfa_register == REG_RSP)
        return encode(BL_CFI_RSP, row->cfa_offset, slot);
    if (row->cfa_register == REG_RBP)
        return encode(BL_CFI_RBP, row->cfa_offset, slot);
    return BL_CFI_HARD;
}

/* Interprets the FDE at p for address pc. */
static bl_cfi_rule interpret(const uint8_t *p, uint64_t pc)
{
    struct reader r = entry_body(p);
    const uint8_t *cie_field = r.at;
    uint64_t back = read_fixed(&r, 4);
    struct cie cie;
    if (back == 0 || !parse_cie(cie_field - back, &cie))
        return BL_CFI_HARD;
    uint64_t start = read_encoded(&r, cie.pointer_encoding);
    uint64_t length = read_encoded(&r, cie.pointer_encoding & 0x0f);
    if (pc < start || pc - start >= length)
        return BL_CFI_NONE;
    if (cie.augmented)
        read_block(&r);
    if (cie.signal_frame)
        return BL_CFI_SIGNAL;
    struct machine m = {.cie = &cie};
    run_program(&m, cie.program, 0, UINT64_MAX);
    m.initial = m.row;
    run_program(&m, r, start, pc);
    return m.failed ? BL_CFI_HARD : encode_row(&m.row);
}

/* Finds the FDE of pc in the binary search table of the object's .eh_frame_hdr. */
static const uint8_t *find_fde(const uint8_t *header, uint64_t pc)
{
    struct entry {
        int32_t start;
        int32_t fde;
    };
    /* version 1, table of sdata4 pairs relative to the header: what every linker writes */
    if (header[0] != 1 || header[2] == PE_OMIT || header[3] != (PE_DATAREL | 0x0bu))
        return NULL;
    struct reader r = {header + 4, header + 64};
    read_encoded(&r, header[1] & (uint8_t)~PE_INDIRECT);
    uint64_t count = read_encoded(&r, header[2]);
    const struct entry *table = (const void *)r.at;
    int64_t offset = (int64_t)(pc - (uint64_t)(uintptr_t)header);
    uint64_t low = 0;
    uint64_t high = count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (table[middle].start <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? NULL : header + table[low - 1].fde;
}

static bl_cfi_rule find_rule(uint64_t pc)
{
    struct dl_find_object object;
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    if (_dl_find_object((void *)(uintptr_t)pc, &object) != 0 || !object.dlfo_eh_frame)
        return BL_CFI_NONE;
    const uint8_t *fde = find_fde(object.dlfo_eh_frame, pc);
    return fde ? interpret(fde, pc) : BL_CFI_NONE;
}

BL_NOINLINE bl_cfi_rule bl_cfi_lookup_slow(uint64_t pc)
{
    bl_cfi_rule rule = find_rule(pc - 1);
    if (rule == BL_CFI_NONE)
        return rule; /* generated code comes and goes: not kept */
    uint64_t *set = bl_cfi_cache[pc & (BL_CFI_SETS - 1)];
    uint64_t word = pc >> 13 << 30 | rule;
    bl_store_relaxed(&set[1], bl_load_relaxed(&set[0]));
    bl_store_relaxed(&set[0], word);
    return rule;
}

void bl_cfi_init(void)
{
    bl_sys3(SYS_madvise, (long)(uintptr_t)bl_cfi_cache, sizeof bl_cfi_cache, POPULATE_WRITE);
}

void bl_cfi_flush(void)
{
    for (unsigned i = 0; i < BL_CFI_SETS; i++) {
        bl_store_relaxed(&bl_cfi_cache[i][0], 0);
        bl_store_relaxed(&bl_cfi_cache[i][1], 0);
    }
}
