#include "hook_entry.h"
#include "hook_code.h"
#include "hook_elf.h"
#include "hook_relocate.h"
#include "table.h"

#include <link.h>
#include <string.h>

#define HOOKS_MAX       32768u
#define STUB_BYTES      32u /* 19, and the trampoline stays aligned */
#define SLOT_BYTES      (STUB_BYTES + BL_HOOK_TRAMPOLINE_MAX)
#define STACK_WORDS_MAX 256u
#define JUMP_OPCODE     0xe9u
#define NOP_OPCODE      0x90

struct hook {
    struct bl_hook_spec spec;
    uint64_t address;                        /* key */
    uint64_t at;                             /* of the jump */
    uint64_t slot;                           /* stub, then trampoline */
    uint64_t branches[BL_HOOK_BRANCHES_MAX]; /* of displaced instructions; 0 = none */
    UT_hash_handle hh;
    bool oom;
};

/* What a thunk goes on with; in rax and rdx. */
struct next {
    uint64_t trampoline;
    uint64_t stack_words;
};

static struct hook *hooks; /* by the number that a stub pushes; those of the stubs come last */
static uint32_t hook_count;
static uint32_t stub_count;
static bool is_ready; /* entries can be rewritten */
static struct hook *by_address;
static void (*on_change)(void);

_Static_assert(offsetof(struct bl_hook_call, args) == 0, "hook_thunks.S: CALL_RDI");
_Static_assert(offsetof(struct bl_hook_call, stack_args) == 48, "hook_thunks.S: CALL_STACK_ARGS");
_Static_assert(offsetof(struct bl_hook_call, result) == 56, "hook_thunks.S: CALL_RESULT");
_Static_assert(offsetof(struct bl_hook_call, origin.pc) == 64, "hook_thunks.S: CALL_PC");
_Static_assert(offsetof(struct bl_hook_call, origin.sp) == 72, "hook_thunks.S: CALL_SP");
_Static_assert(offsetof(struct bl_hook_call, origin.rbp) == 80, "hook_thunks.S: CALL_RBP");

/* hook_thunks.S: stubs and resolvers, and where each stub goes on */
extern const uint8_t bl_hook_stubs[BL_HOOK_STUBS][STUB_BYTES];
extern void (*bl_hook_stub_thunks[BL_HOOK_STUBS])(void);
#define RESOLVER_OFFSET 16u
_Static_assert(HOOKS_MAX == 32768 && BL_HOOK_STUBS == 512 && STUB_BYTES == 32,
               "hook_thunks.S: FIRST_STUB, STUBS");

void bl_hook_thunk_pre(void);
void bl_hook_thunk_post(void);
struct next bl_hook_run_pre(uint32_t number, const struct bl_hook_call *call);
void bl_hook_run_post(uint32_t number, const struct bl_hook_call *call);

/* Called by the thunks. */
struct next bl_hook_run_pre(uint32_t number, const struct bl_hook_call *call)
{
    const struct hook *h = &hooks[number];
    if (h->spec.pre)
        h->spec.pre(h->spec.context, call);
    return (struct next){h->slot + STUB_BYTES, h->spec.stack_words};
}

void bl_hook_run_post(uint32_t number, const struct bl_hook_call *call)
{
    const struct hook *h = &hooks[number];
    h->spec.post(h->spec.context, call);
}

static bool has_table(void)
{
    if (!hooks)
        hooks = bl_arena_map((HOOKS_MAX + BL_HOOK_STUBS) * sizeof *hooks);
    return hooks != NULL;
}

int bl_hook_entry_init(const char **ret_why)
{
    if (!is_ready && bl_hook_relocate_init(ret_why) != 0)
        return -1;
    *ret_why = "no memory";
    is_ready = has_table();
    return is_ready ? 0 : -1;
}

static struct hook *find_hook(uint64_t address)
{
    struct hook *h = NULL;
    HASH_FIND(hh, by_address, &address, sizeof address, h);
    return h;
}

static struct hook *add_hook(uint64_t address)
{
    struct hook *h = &hooks[hook_count];
    *h = (struct hook){.address = address};
    HASH_ADD(hh, by_address, address, sizeof h->address, h);
    if (h->oom)
        return NULL;
    hook_count++;
    return h;
}

/* push number; jmp [rip]; address of the thunk */
static void write_stub(uint8_t *code, uint32_t number, void (*thunk)(void))
{
    static const uint8_t jmp_memory[6] = {0xff, 0x25};
    uint64_t target = (uint64_t)(uintptr_t)thunk;
    memset(code, 0xcc, STUB_BYTES);
    code[0] = 0x68;
    memcpy(code + 1, &number, sizeof number);
    memcpy(code + 5, jmp_memory, sizeof jmp_memory);
    memcpy(code + 11, &target, sizeof target);
}

static void jump_to(const struct hook *h, uint8_t code[BL_HOOK_JUMP_BYTES])
{
    int32_t displacement = (int32_t)(h->slot - (h->at + BL_HOOK_JUMP_BYTES));
    code[0] = JUMP_OPCODE;
    memcpy(code + 1, &displacement, sizeof displacement);
}

/* False for the text of a library that was unloaded and came back to its old place. */
static bool is_in_place(const struct hook *h, uint64_t limit)
{
    uint8_t code[BL_HOOK_JUMP_BYTES];
    jump_to(h, code);
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    return h->slot && h->at + sizeof code <= limit &&
           memcmp((const void *)(uintptr_t)h->at, code, sizeof code) == 0;
}

/* Does an instruction that another hook has displaced branch to what the jump would replace? */
static bool is_entered_from_hooks(const struct bl_hook_head *head)
{
    for (uint32_t n = 0; n < hook_count; n++) {
        for (unsigned i = 0; i < BL_HOOK_BRANCHES_MAX; i++) {
            if (hooks[n].branches[i] - head->at - 1 < BL_HOOK_JUMP_BYTES - 1)
                return true;
        }
    }
    return false;
}

static int set_hook(struct hook *h, const struct bl_hook_head *head, const char **ret_why)
{
    uint8_t code[SLOT_BYTES];
    uint8_t jump[BL_HOOK_HEAD_MAX];
    size_t length;
    if (bl_hook_relocate_write(head, h->slot + STUB_BYTES, code + STUB_BYTES, &length, ret_why))
        return -1;
    h->at = head->at;
    write_stub(code, (uint32_t)(h - hooks), h->spec.post ? bl_hook_thunk_post : bl_hook_thunk_pre);
    /* The rest of the last instruction would make no sense to who decodes on. */
    memset(jump, NOP_OPCODE, sizeof jump);
    jump_to(h, jump);
    size_t replaced = head->length > BL_HOOK_JUMP_BYTES ? head->length : BL_HOOK_JUMP_BYTES;
    memset(h->branches, 0, sizeof h->branches);
    bl_hook_relocate_branches(head, h->branches);
    *ret_why = "its code cannot be written";
    if (bl_hook_code_write(h->slot, code, STUB_BYTES + length) != 0 ||
        bl_hook_code_write(h->at, jump, replaced) != 0)
        return -1;
    return 0;
}

static const char *objection(uint64_t address, const struct bl_hook_spec *spec)
{
    const struct hook *known = find_hook(address);
    if (!spec->pre && !spec->post)
        return "nothing to call";
    if (spec->stack_words > STACK_WORDS_MAX)
        return "too many stack arguments";
    if (!known && hook_count == HOOKS_MAX)
        return "too many hooks";
    return NULL;
}

typedef int read_fn(const struct bl_hook_function *f, struct bl_hook_head *ret_head,
                    const char **ret_why);

static int install(uint64_t address, size_t size, const struct bl_hook_spec *spec, read_fn *read,
                   const char **ret_why)
{
    struct bl_hook_extent extent;
    struct bl_hook_head head;
    *ret_why = objection(address, spec);
    if (*ret_why)
        return -1;
    *ret_why = "not in a loaded object";
    if (!bl_hook_elf_extent(address, &extent))
        return -1;
    const struct bl_hook_function f = {.address = address,
                                       .size = size,
                                       .limit = extent.limit,
                                       .before = extent.before,
                                       .behind = extent.behind};
    struct hook *h = find_hook(address);
    *ret_why = "hooked already";
    if (h && is_in_place(h, f.limit))
        return -1;
    if (read(&f, &head, ret_why) != 0)
        return -1;
    *ret_why = "branch into its head from elsewhere";
    if (is_entered_from_hooks(&head))
        return -1;
    *ret_why = "no memory";
    if (!h && !(h = add_hook(address)))
        return -1;
    *ret_why = "no free address space within 2 GiB";
    if (!h->slot && !(h->slot = bl_hook_code_reserve(address, SLOT_BYTES)))
        return -1;
    h->spec = *spec;
    return set_hook(h, &head, ret_why);
}

int bl_hook_entry_install(uint64_t address, size_t size, const struct bl_hook_spec *spec,
                          const char **ret_why)
{
    *ret_why = "entry hooks are not available";
    return is_ready ? install(address, size, spec, bl_hook_relocate_read, ret_why) : -1;
}

bool bl_hook_entry_is_hooked(uint64_t address)
{
    struct bl_hook_extent extent;
    const struct hook *h = find_hook(address);
    return h && bl_hook_elf_extent(address, &extent) && is_in_place(h, extent.limit);
}

int bl_hook_entry_stub(uint64_t address, const struct bl_hook_spec *spec, struct bl_hook_stub *stub,
                       const char **ret_why)
{
    *ret_why = "no memory";
    if (!has_table())
        return -1;
    *ret_why = "too many hooks";
    if (!stub->entry && stub_count == BL_HOOK_STUBS)
        return -1;
    if (!stub->entry) {
        stub->entry = (uint64_t)(uintptr_t)bl_hook_stubs[stub_count++];
        stub->resolver = stub->entry + RESOLVER_OFFSET;
    }
    uint64_t n = (stub->entry - (uint64_t)(uintptr_t)bl_hook_stubs) / STUB_BYTES;
    hooks[HOOKS_MAX + n].spec = *spec;
    hooks[HOOKS_MAX + n].slot = address - STUB_BYTES; /* there is no trampoline to go to */
    bl_hook_stub_thunks[n] = spec->post ? bl_hook_thunk_post : bl_hook_thunk_pre;
    return 0;
}

uint64_t bl_hook_entry_find(const char *path, const char *name, size_t *ret_size)
{
    return bl_hook_elf_find(path, name, ret_size);
}

/* The loader calls this before and after each change of its list. After: objects are mapped, not
 * relocated, and no thread can be in them. */
static void loader_changes(void *context, const struct bl_hook_call *call)
{
    (void)context;
    (void)call;
    if (_r_debug.r_state == RT_CONSISTENT)
        on_change();
}

int bl_hook_entry_watch(void (*changed)(void), const char **ret_why)
{
    const struct bl_hook_spec spec = {.pre = loader_changes};
    on_change = changed;
    *ret_why = "no memory";
    if (!has_table())
        return -1;
    return install(_r_debug.r_brk, 0, &spec,
                   is_ready ? bl_hook_relocate_read : bl_hook_relocate_read_return, ret_why);
}
