#include "hook_relocate.h"
#include "sigsafe.h"

#include <Zydis/Zydis.h>
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#define ENDBR64_BYTES    4u
#define INSTRUCTION_MAX  15u
#define ARCH_SHSTK_QUERY 0x5005 /* ARCH_SHSTK_STATUS of newer kernels' headers */
#define NOP_OPCODE       0x90
#define RET_OPCODE       0xc3

static ZydisDecoder decoder;
static __typeof__(&ZydisDecoderDecodeInstruction) decode_instruction;
static bool shadow_stack;

/* An address in code that is mapped: what the decoder reads and a jump refers to. */
static const uint8_t *code_at(uint64_t address)
{
    return (const uint8_t *)(uintptr_t)address; // NOLINT(performance-no-int-to-ptr)
}

static int refuse(const char *why, const char **ret_why)
{
    *ret_why = why;
    return -1;
}

/* The structures are those of the headers, so the library must be of their version. */
static void *open_library(void)
{
    char name[32];
    struct bl_text t;
    bl_text_init(&t, name, sizeof name);
    bl_text_str(&t, "libZydis.so.");
    bl_text_u64(&t, ZYDIS_VERSION_MAJOR(ZYDIS_VERSION));
    bl_text_str(&t, ".");
    bl_text_u64(&t, ZYDIS_VERSION_MINOR(ZYDIS_VERSION));
    return dlopen(name, RTLD_NOW | RTLD_LOCAL);
}

/* A displaced call returns to an address that no call has pushed. */
static bool has_shadow_stack(void)
{
    uint64_t features = 0;
    return bl_sys3(SYS_arch_prctl, ARCH_SHSTK_QUERY, (long)&features, 0) == 0 && (features & 1);
}

int bl_hook_relocate_init(const char **ret_why)
{
    int saved = errno;
    void *library = open_library();
    __typeof__(&ZydisDecoderInit) init = NULL;
    if (library) {
        *(void **)(void *)&init = dlsym(library, "ZydisDecoderInit");
        *(void **)(void *)&decode_instruction = dlsym(library, "ZydisDecoderDecodeInstruction");
    }
    errno = saved;
    if (!init || !decode_instruction)
        return refuse("libZydis is not installed", ret_why);
    if (!ZYAN_SUCCESS(init(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)))
        return refuse("libZydis does not know this machine", ret_why);
    shadow_stack = has_shadow_stack();
    return 0;
}

static bool decode(uint64_t address, uint64_t limit, ZydisDecodedInstruction *ret_instruction)
{
    if (address >= limit)
        return false;
    uint64_t length = limit - address < INSTRUCTION_MAX ? limit - address : INSTRUCTION_MAX;
    return ZYAN_SUCCESS(
        decode_instruction(&decoder, NULL, code_at(address), length, ret_instruction));
}

static bool is_relative_branch(const ZydisDecodedInstruction *z)
{
    return z->raw.imm[0].is_relative && (z->meta.category == ZYDIS_CATEGORY_COND_BR ||
                                         z->meta.category == ZYDIS_CATEGORY_UNCOND_BR ||
                                         z->meta.category == ZYDIS_CATEGORY_CALL);
}

static bool ends_control(const ZydisDecodedInstruction *z)
{
    return z->meta.category == ZYDIS_CATEGORY_UNCOND_BR || z->meta.category == ZYDIS_CATEGORY_RET ||
           z->mnemonic == ZYDIS_MNEMONIC_UD2 || z->mnemonic == ZYDIS_MNEMONIC_HLT ||
           z->mnemonic == ZYDIS_MNEMONIC_INT3;
}

static bool is_rip_relative(const ZydisDecodedInstruction *z)
{
    return (z->attributes & ZYDIS_ATTRIB_HAS_MODRM) && z->raw.modrm.mod == 0 &&
           z->raw.modrm.rm == 5;
}

static uint64_t branch_target(uint64_t address, const ZydisDecodedInstruction *z)
{
    return address + z->length + (uint64_t)z->raw.imm[0].value.s;
}

/* ---- which instruction, and may it move ---- */

static const char *read_conditional(struct bl_hook_instruction *i, const ZydisDecodedInstruction *z)
{
    bool near = z->opcode_map == ZYDIS_OPCODE_MAP_0F && (z->opcode & 0xf0) == 0x80;
    bool brief = z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (z->opcode & 0xf0) == 0x70;
    if (!near && !brief)
        return "loop instruction in its head";
    i->move = BL_HOOK_MOVE_JCC;
    i->condition = z->opcode & 0x0f;
    return NULL;
}

static const char *read_call(struct bl_hook_instruction *i, const ZydisDecodedInstruction *z)
{
    if (shadow_stack)
        return "call in its head, and the process has a shadow stack";
    if (z->raw.imm[0].is_relative) {
        i->move = BL_HOOK_MOVE_CALL;
        return NULL;
    }
    /* the pushed return address moves rsp */
    bool by_register = z->raw.modrm.mod == 3;
    if (z->opcode != 0xff || z->raw.modrm.reg != 2 || !(by_register || is_rip_relative(z)))
        return "indirect call in its head";
    i->move = BL_HOOK_MOVE_CALL_INDIRECT;
    i->modrm_at = z->raw.modrm.offset;
    return NULL;
}

static const char *read_operands(struct bl_hook_instruction *i, const ZydisDecodedInstruction *z)
{
    if (is_rip_relative(z)) {
        if (z->raw.disp.size != 32 || (z->attributes & ZYDIS_ATTRIB_HAS_ADDRESSSIZE))
            return "operand relative to EIP in its head";
        i->operand_at = z->raw.disp.offset;
        i->target = i->address + z->length + (uint64_t)z->raw.disp.value;
    }
    if (is_relative_branch(z))
        i->target = branch_target(i->address, z);
    else if (z->raw.imm[0].is_relative)
        return "branch of a rare kind in its head";
    return NULL;
}

/* Returns the cause why the instruction cannot move, NULL if it can. */
static const char *read_instruction(struct bl_hook_instruction *i, const ZydisDecodedInstruction *z)
{
    i->length = z->length;
    const char *why = read_operands(i, z);
    if (why)
        return why;
    if (z->meta.category == ZYDIS_CATEGORY_COND_BR)
        return read_conditional(i, z);
    if (z->meta.category == ZYDIS_CATEGORY_CALL)
        return read_call(i, z);
    if (z->meta.category == ZYDIS_CATEGORY_UNCOND_BR && z->raw.imm[0].is_relative)
        i->move = BL_HOOK_MOVE_JMP;
    return NULL;
}

/* ---- the whole function ---- */

/* Between two functions: nop of any length, int3, or zero. */
static bool is_padding(uint64_t start, uint64_t end, uint64_t limit)
{
    ZydisDecodedInstruction z;
    while (start < end) {
        if (start >= limit)
            return false;
        uint8_t first = *code_at(start);
        if (first == 0 || first == 0xcc)
            start++;
        else if (decode(start, limit, &z) && z.mnemonic == ZYDIS_MNEMONIC_NOP)
            start += z.length;
        else
            return false;
    }
    return true;
}

static bool is_endbr64(uint64_t at)
{
    static const uint8_t endbr64[ENDBR64_BYTES] = {0xf3, 0x0f, 0x1e, 0xfa};
    return memcmp(code_at(at), endbr64, ENDBR64_BYTES) == 0;
}

static const char *read_head(const struct bl_hook_function *f, struct bl_hook_head *h)
{
    uint64_t end = f->size && f->address + f->size < f->limit ? f->address + f->size : f->limit;
    if (f->address >= end)
        return "no code";
    h->at = f->address;
    if (end - h->at > ENDBR64_BYTES && is_endbr64(h->at))
        h->at += ENDBR64_BYTES;
    if (*code_at(h->at) == 0xcc)
        return "breakpoint of a debugger at its entry";
    while (h->length < BL_HOOK_JUMP_BYTES && !h->ends) {
        ZydisDecodedInstruction z;
        if (h->at + h->length >= end)
            return "too short";
        struct bl_hook_instruction *i = &h->instructions[h->count++];
        i->address = h->at + h->length;
        if (!decode(i->address, end, &z))
            return "undecodable";
        const char *why = read_instruction(i, &z);
        if (why)
            return why;
        h->length += z.length;
        bool calls = z.meta.category == ZYDIS_CATEGORY_CALL;
        if (calls && h->length < BL_HOOK_JUMP_BYTES)
            return "call within its head";
        h->ends = calls || ends_control(&z);
    }
    if (h->length < BL_HOOK_JUMP_BYTES &&
        !is_padding(h->at + h->length, h->at + BL_HOOK_JUMP_BYTES, f->limit))
        return "too short";
    return NULL;
}

/* A branch of its own to the entry, or into what the jump replaces. A call of the entry is
 * recursion. */
static bool enters_head(const struct bl_hook_function *f, const struct bl_hook_head *h,
                        uint64_t target, bool call)
{
    if (target == f->address || target == h->at)
        return !call;
    return target > f->address && target < h->at + BL_HOOK_JUMP_BYTES;
}

static const char *scan_body(const struct bl_hook_function *f, const struct bl_hook_head *h)
{
    uint64_t end = f->size && f->address + f->size < f->limit ? f->address + f->size : f->limit;
    uint64_t furthest = f->address;
    ZydisDecodedInstruction z;
    for (uint64_t at = f->address; at < end; at += z.length) {
        if (!decode(at, end, &z))
            return "undecodable";
        if (is_relative_branch(&z)) {
            bool call = z.meta.category == ZYDIS_CATEGORY_CALL;
            uint64_t target = branch_target(at, &z);
            if (enters_head(f, h, target, call))
                return "branch into its head";
            if (!call && target > furthest && target < end)
                furthest = target;
        }
        if (!f->size && ends_control(&z) && at >= furthest)
            break; /* what follows was not seen to be reached: the next function, or data */
    }
    return NULL;
}

/* memcpy of glibc is entered three bytes behind its entry, from a mempcpy not far before it. */
static const char *scan_near(const struct bl_hook_function *f, const struct bl_hook_head *h,
                             uint64_t start, uint64_t end)
{
    ZydisDecodedInstruction z;
    for (uint64_t at = start; at < end && decode(at, end, &z); at += z.length) {
        if (is_relative_branch(&z) && enters_head(f, h, branch_target(at, &z), true))
            return "branch into its head from elsewhere";
    }
    return NULL;
}

/* ---- without a decoder ---- */

/* Bytes of a nop as assemblers pad with: 90, 0f 1f with an operand in memory, prefixes before it.
 * 0: it is none. */
static uint64_t nop_length(uint64_t at, uint64_t limit)
{
    uint64_t start = at;
    while (at < limit && (*code_at(at) == 0x66 || *code_at(at) == 0x2e))
        at++;
    if (at < limit && *code_at(at) == NOP_OPCODE)
        return at + 1 - start;
    if (at + 3 > limit || code_at(at)[0] != 0x0f || code_at(at)[1] != 0x1f)
        return 0;
    uint8_t mode = code_at(at)[2] >> 6;
    uint8_t base = code_at(at)[2] & 7;
    if (mode == 3 || (mode == 0 && base >= 4))
        return 0; /* no padding looks so */
    return at + 3 + (base == 4) + (mode == 1 ? 1u : mode == 2 ? 4u : 0u) - start;
}

int bl_hook_relocate_read_return(const struct bl_hook_function *f, struct bl_hook_head *ret_head,
                                 const char **ret_why)
{
    struct bl_hook_head h = {.at = f->address, .length = 1, .ends = true, .count = 1};
    if (f->limit - h.at > ENDBR64_BYTES && is_endbr64(h.at))
        h.at += ENDBR64_BYTES;
    uint64_t end = h.at + 1;
    h.instructions[0] = (struct bl_hook_instruction){.address = h.at, .length = 1};
    if (f->address >= f->limit || *code_at(h.at) != RET_OPCODE)
        return refuse("more than a return", ret_why);
    for (uint64_t length = 1; end < h.at + BL_HOOK_JUMP_BYTES; end += length) {
        if (end < f->limit && (*code_at(end) == 0 || *code_at(end) == 0xcc))
            length = 1;
        else
            length = nop_length(end, f->limit);
        if (length == 0)
            return refuse("too short", ret_why);
    }
    *ret_head = h;
    return 0;
}

int bl_hook_relocate_read(const struct bl_hook_function *f, struct bl_hook_head *ret_head,
                          const char **ret_why)
{
    struct bl_hook_head h = {0};
    const char *why = read_head(f, &h);
    if (!why)
        why = scan_body(f, &h);
    if (!why)
        why = scan_near(f, &h, f->before, f->address);
    if (!why)
        why = scan_near(f, &h, f->limit, f->behind);
    if (why)
        return refuse(why, ret_why);
    *ret_head = h;
    return 0;
}

unsigned bl_hook_relocate_branches(const struct bl_hook_head *head,
                                   uint64_t ret_targets[BL_HOOK_BRANCHES_MAX])
{
    unsigned count = 0;
    for (unsigned n = 0; n < head->count && count < BL_HOOK_BRANCHES_MAX; n++) {
        enum bl_hook_move move = head->instructions[n].move;
        if (move == BL_HOOK_MOVE_JCC || move == BL_HOOK_MOVE_JMP)
            ret_targets[count++] = head->instructions[n].target;
    }
    return count;
}

/* ---- writing it anew ---- */

struct emitter {
    uint64_t at; /* where code[0] will be */
    uint8_t *code;
    size_t length;
    bool unreached;
};

static void emit(struct emitter *e, const void *bytes, size_t length)
{
    memcpy(e->code + e->length, bytes, length);
    e->length += length;
}

/* The 32-bit displacement at code[place] of an instruction that ends at code[end]. */
static void set_displacement(struct emitter *e, size_t place, size_t end, uint64_t target)
{
    int64_t distance = (int64_t)(target - (e->at + end));
    int32_t displacement = (int32_t)distance;
    e->unreached |= displacement != distance;
    memcpy(e->code + place, &displacement, sizeof displacement);
}

static void emit_branch(struct emitter *e, const void *opcode, size_t opcode_length,
                        uint64_t target)
{
    emit(e, opcode, opcode_length);
    e->length += sizeof(int32_t);
    set_displacement(e, e->length - sizeof(int32_t), e->length, target);
}

static void emit_jmp(struct emitter *e, uint64_t target)
{
    emit_branch(e, "\xe9", 1, target);
}

static size_t emit_copy(struct emitter *e, const struct bl_hook_instruction *i)
{
    size_t start = e->length;
    emit(e, code_at(i->address), i->length);
    if (i->operand_at)
        set_displacement(e, start + i->operand_at, e->length, i->target);
    return start;
}

/* push [rip + behind the jmp]; jmp target; the return address */
static void emit_call(struct emitter *e, const struct bl_hook_instruction *i)
{
    size_t push = e->length;
    emit(e, "\xff\x35\0\0\0\0", 6);
    if (i->move == BL_HOOK_MOVE_CALL) {
        emit_jmp(e, i->target);
    } else {
        size_t start = emit_copy(e, i);
        e->code[start + i->modrm_at] ^= 6u << 3; /* from FF /2, call, to FF /4, jmp */
    }
    set_displacement(e, push + 2, push + 6, e->at + e->length);
    uint64_t back = i->address + i->length;
    emit(e, &back, sizeof back);
}

static void emit_instruction(struct emitter *e, const struct bl_hook_instruction *i)
{
    const uint8_t jcc[2] = {0x0f, (uint8_t)(0x80u | i->condition)};
    switch (i->move) {
    case BL_HOOK_MOVE_COPY:
        emit_copy(e, i);
        break;
    case BL_HOOK_MOVE_JCC:
        emit_branch(e, jcc, sizeof jcc, i->target);
        break;
    case BL_HOOK_MOVE_JMP:
        emit_jmp(e, i->target);
        break;
    case BL_HOOK_MOVE_CALL:
    case BL_HOOK_MOVE_CALL_INDIRECT:
        emit_call(e, i);
        break;
    }
}

int bl_hook_relocate_write(const struct bl_hook_head *head, uint64_t at, uint8_t *code,
                           size_t *ret_length, const char **ret_why)
{
    struct emitter e = {.at = at, .code = code};
    for (unsigned n = 0; n < head->count; n++)
        emit_instruction(&e, &head->instructions[n]);
    if (!head->ends)
        emit_jmp(&e, head->at + head->length);
    if (e.unreached)
        return refuse("operand out of reach of any free address space", ret_why);
    *ret_length = e.length;
    return 0;
}
