/* Rewritten entries: what the function does and what the hook is told. */
#include "shim_start.h"
#include "capture.h"
#include "conf.h"
#include "hook_entry.h"
#include "hook_relocate.h"
#include "shim_hook_victim.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fenv.h>
#include <link.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define FRAMES_MAX 64

/* linux/prctl.h of newer kernels */
#define SET_MDWE         65
#define REFUSE_EXEC_GAIN 1

struct seen {
    unsigned pre;
    unsigned post;
    struct bl_hook_call at_pre;
    struct bl_hook_call at_post;
    uint64_t stack[4];
    uint64_t stack_post[4];
};

static struct seen seen;

/* Leaves nothing of what a function may clobber. */
static void clobber(void)
{
    __asm__ volatile("pcmpeqd %%xmm0, %%xmm0\n\tpcmpeqd %%xmm1, %%xmm1\n\t"
                     "pcmpeqd %%xmm2, %%xmm2\n\tpcmpeqd %%xmm3, %%xmm3\n\t"
                     "pcmpeqd %%xmm4, %%xmm4\n\tpcmpeqd %%xmm5, %%xmm5\n\t"
                     "pcmpeqd %%xmm6, %%xmm6\n\tpcmpeqd %%xmm7, %%xmm7\n\t"
                     "pcmpeqd %%xmm8, %%xmm8\n\tpcmpeqd %%xmm9, %%xmm9\n\t"
                     "pcmpeqd %%xmm10, %%xmm10\n\tpcmpeqd %%xmm11, %%xmm11\n\t"
                     "pcmpeqd %%xmm12, %%xmm12\n\tpcmpeqd %%xmm13, %%xmm13\n\t"
                     "pcmpeqd %%xmm14, %%xmm14\n\tpcmpeqd %%xmm15, %%xmm15\n\t"
                     "mov $-2, %%rax\n\tmov %%rax, %%rcx\n\tmov %%rax, %%rdx\n\t"
                     "mov %%rax, %%rsi\n\tmov %%rax, %%rdi\n\tmov %%rax, %%r8\n\t"
                     "mov %%rax, %%r9\n\tmov %%rax, %%r10\n\tmov %%rax, %%r11\n\t"
                     :
                     :
                     : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "xmm0", "xmm1",
                       "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                       "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

static void on_pre(void *context, const struct bl_hook_call *call)
{
    struct seen *s = context;
    s->pre++;
    s->at_pre = *call;
    memcpy(s->stack, call->stack_args, sizeof s->stack);
    clobber();
}

static void on_post(void *context, const struct bl_hook_call *call)
{
    struct seen *s = context;
    s->post++;
    s->at_post = *call;
    memcpy(s->stack_post, call->stack_args, sizeof s->stack_post);
    clobber();
}

static const struct bl_hook_spec pre_only = {.pre = on_pre, .context = &seen};
static const struct bl_hook_spec post_only = {.post = on_post, .context = &seen, .stack_words = 8};
static const struct bl_hook_spec both = {
    .pre = on_pre, .post = on_post, .context = &seen, .stack_words = 8};

static void init(void)
{
    const char *why = "";
    if (bl_hook_entry_init(&why) != 0)
        ck_abort_msg("entry hooks are not available: %s", why);
}

static void install(const char *name, const struct bl_hook_spec *spec)
{
    const char *why = "";
    size_t size = 0;
    uint64_t address = bl_hook_entry_find("libunit-hook-victim.so", name, &size);
    if (!address)
        ck_abort_msg("%s is not found", name);
    if (bl_hook_entry_install(address, size, spec, &why) != 0)
        ck_abort_msg("%s is refused: %s", name, why);
}

/* ---- heads ---- */

struct head {
    const char *name;
    uint64_t (*function)(uint64_t);
    uint64_t argument;
    uint64_t result;
};

#define HEAD(name, argument, result) {#name, name, argument, result},
static const struct head heads[] = {HV_HOOKABLE(HEAD)};

/* Two entries of the list may be the same function. */
static void install_heads(const struct bl_hook_spec *spec)
{
    init();
    for (size_t i = 0; i < BL_ARRAY_LENGTH(heads); i++) {
        if (i == 0 || heads[i].function != heads[i - 1].function)
            install(heads[i].name, spec);
    }
}

static unsigned calls_of(const struct head *h)
{
    return strcmp(h->name, "hv_asm_recursive") == 0 ? (unsigned)h->argument + 1 : 1;
}

START_TEST(every_head_works_under_a_pre_hook)
{
    for (size_t i = 0; i < BL_ARRAY_LENGTH(heads); i++)
        ck_assert_uint_eq(heads[i].function(heads[i].argument), heads[i].result);
    install_heads(&pre_only);
    for (size_t i = 0; i < BL_ARRAY_LENGTH(heads); i++) {
        const struct head *h = &heads[i];
        memset(&seen, 0, sizeof seen);
        uint64_t result = h->function(h->argument);
        if (result != h->result || seen.pre != calls_of(h))
            ck_abort_msg("%s(%lu) is %lu, %u calls seen", h->name, (unsigned long)h->argument,
                         (unsigned long)result, seen.pre);
    }
}
END_TEST

START_TEST(every_head_works_under_a_post_hook_which_sees_its_result)
{
    install_heads(&both);
    for (size_t i = 0; i < BL_ARRAY_LENGTH(heads); i++) {
        const struct head *h = &heads[i];
        memset(&seen, 0, sizeof seen);
        uint64_t result = h->function(h->argument);
        if (result != h->result || seen.pre != calls_of(h) || seen.post != calls_of(h) ||
            seen.at_post.result != h->result || seen.at_post.args[0] != h->argument)
            ck_abort_msg("%s(%lu) is %lu, %u and %u calls seen", h->name,
                         (unsigned long)h->argument, (unsigned long)result, seen.pre, seen.post);
    }
}
END_TEST

START_TEST(every_head_that_cannot_move_is_refused_with_its_cause_and_left_alone)
{
    static const struct {
        const char *name;
        const char *cause;
    } refused[] = {
#define REFUSED(name, cause) {#name, cause},
        HV_REFUSED(REFUSED)};
    init();
    for (size_t i = 0; i < BL_ARRAY_LENGTH(refused); i++) {
        const char *why = "";
        size_t size = 0;
        uint8_t before[16];
        uint64_t address = bl_hook_entry_find("libunit-hook-victim.so", refused[i].name, &size);
        ck_assert_uint_ne(address, 0);
        memcpy(before, (void *)address, sizeof before);
        int result = bl_hook_entry_install(address, size, &pre_only, &why);
        if (result == 0 || strcmp(why, refused[i].cause) != 0)
            ck_abort_msg("%s: %d, %s", refused[i].name, result, why);
        ck_assert_mem_eq((void *)address, before, sizeof before);
    }
}
END_TEST

START_TEST(a_branch_into_a_head_is_known_also_when_it_was_displaced)
{
    const char *why = "";
    uint64_t entered = (uint64_t)(uintptr_t)hv_asm_entered_when_hooked;
    init();
    install("hv_asm_enters_when_hooked", &both);
    ck_assert_int_eq(bl_hook_entry_install(entered, 0, &both, &why), -1);
    ck_assert_str_eq(why, "branch into its head from elsewhere");
    ck_assert_uint_eq(hv_asm_enters_when_hooked(5), 6);
    ck_assert_uint_eq(hv_asm_entered_when_hooked(5), 6);
    ck_assert_uint_eq(seen.post, 1);
}
END_TEST

START_TEST(a_function_that_only_returns_is_read_without_a_decoder)
{
    static const struct {
        uint8_t code[16];
        size_t bytes;
        size_t at; /* of the return */
        const char *cause;
    } functions[] = {
        {{0xc3, 0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84}, 12, 0, NULL},
        {{0xc3, 0x90, 0x90, 0x66, 0x90}, 5, 0, NULL},
        {{0xc3, 0xcc, 0xcc, 0xcc, 0xcc}, 5, 0, NULL},
        {{0xc3}, 5, 0, NULL},
        {{0xc3, 0x0f, 0x1f, 0x44, 0, 0}, 6, 0, NULL},
        {{0xf3, 0x0f, 0x1e, 0xfa, 0xc3, 0x0f, 0x1f, 0x40, 0}, 9, 4, NULL},
        {{0x90, 0xc3, 0x90, 0x90, 0x90, 0x90}, 6, 0, "more than a return"},
        {{0xf3, 0x0f, 0x1e, 0xfa, 0x90, 0xc3}, 12, 0, "more than a return"},
        {{0xc3, 0x90, 0x90, 0x90}, 4, 0, "too short"},
        {{0xc3, 0x90, 0x55, 0x90, 0x90}, 5, 0, "too short"},
        {{0xc3, 0x90, 0x0f, 0x1f}, 4, 0, "too short"},
        {{0xc3, 0x0f, 0x1f, 0xc0, 0x90}, 5, 0, "too short"},
        {{0xc3, 0x0f, 0x05, 0x90, 0x90}, 5, 0, "too short"},
    };
    for (size_t i = 0; i < BL_ARRAY_LENGTH(functions); i++) {
        uint64_t address = (uint64_t)(uintptr_t)functions[i].code;
        const struct bl_hook_function f = {.address = address,
                                           .limit = address + functions[i].bytes};
        struct bl_hook_head head = {.count = 0};
        const char *why = NULL;
        int result = bl_hook_relocate_read_return(&f, &head, &why);
        ck_assert_msg((result == 0) == (functions[i].cause == NULL), "function %zu: %d", i, result);
        if (result != 0) {
            ck_assert_str_eq(why, functions[i].cause);
            continue;
        }
        ck_assert_uint_eq(head.at, address + functions[i].at);
        ck_assert(head.ends && head.count == 1 && head.length == 1);
    }
}
END_TEST

START_TEST(a_size_that_is_not_known_is_found)
{
    init();
    for (size_t i = 0; i < BL_ARRAY_LENGTH(heads); i++) {
        const char *why = "";
        if (i > 0 && heads[i].function == heads[i - 1].function)
            continue;
        uint64_t address =
            bl_hook_entry_find("libunit-hook-victim.so", heads[i].name, &(size_t){0});
        if (bl_hook_entry_install(address, 0, &both, &why) != 0)
            ck_abort_msg("%s: %s", heads[i].name, why);
    }
    for (size_t i = 0; i < BL_ARRAY_LENGTH(heads); i++)
        ck_assert_uint_eq(heads[i].function(heads[i].argument), heads[i].result);
    const char *why = "";
    uint64_t address = (uint64_t)(uintptr_t)hv_asm_into_head;
    ck_assert_int_eq(bl_hook_entry_install(address, 0, &both, &why), -1);
    ck_assert_str_eq(why, "branch into its head");
}
END_TEST

/* ---- signatures ---- */

static void check_integers(void)
{
    memset(&seen, 0, sizeof seen);
    ck_assert_uint_eq(hv_nine(1, 2, 3, 4, 5, 6, 7, 8, 9), 285);
    for (unsigned i = 0; seen.pre && i < 6; i++)
        ck_assert_uint_eq(seen.at_pre.args[i], i + 1);
    for (unsigned i = 0; seen.pre && i < 3; i++)
        ck_assert_uint_eq(seen.stack[i], i + 7);
    for (unsigned i = 0; seen.post && i < 3; i++)
        ck_assert_uint_eq(seen.stack_post[i], i + 7);
    if (seen.post)
        ck_assert_uint_eq(seen.at_post.result, 285);
    struct hv_big big = hv_big_of(10, 3);
    ck_assert_uint_eq(big.word[6], 28);
    ck_assert_uint_eq(hv_take_big(big, 2), 2 * (28 * 10 + 112 * 3));
}

static void check_floats(void)
{
    char text[256];
    ck_assert(hv_doubles(1, 2, 3, 4, 5, 6, 7, 8, 9, 15) == 300);
    ck_assert(hv_long_double(1.5L, 3, 0.25L) == 4.75L);
    int n = hv_print(text, "%d %s %.2f %d %d %d %.1f %lu %.3Lf", 1, "two", 3.25, 4, 5, 6, 7.5, 8ul,
                     9.125L);
    ck_assert_str_eq(text, "1 two 3.25 4 5 6 7.5 8 9.125");
    ck_assert_int_eq(n, 28);
    struct hv_pair pair = hv_pair_of(7, 9);
    ck_assert(pair.a == 21 && pair.b == 45);
    struct hv_mixed mixed = hv_mixed_of(7, 9);
    ck_assert(mixed.a == 3.5 && mixed.b == 45);
    ck_assert_uint_eq(hv_factorial(10), 3628800);
    ck_assert_uint_eq(hv_tail(5), 720);
}

static const char *const signatures[] = {
    "hv_nine",     "hv_doubles", "hv_long_double", "hv_print",     "hv_pair_of",
    "hv_mixed_of", "hv_big_of",  "hv_take_big",    "hv_factorial", "hv_tail"};

static void check_signatures(const struct bl_hook_spec *spec)
{
    init();
    for (size_t i = 0; i < BL_ARRAY_LENGTH(signatures); i++)
        install(signatures[i], spec);
    check_integers();
    check_floats();
}

START_TEST(every_signature_works_under_a_pre_hook)
{
    check_signatures(&pre_only);
    ck_assert_uint_eq(seen.pre, 25);
}
END_TEST

START_TEST(every_signature_works_under_a_post_hook)
{
    check_signatures(&post_only);
    ck_assert_uint_eq(seen.post, 25);
}
END_TEST

START_TEST(every_signature_works_under_both_hooks)
{
    check_signatures(&both);
    ck_assert_uint_eq(seen.pre, 25);
    ck_assert_uint_eq(seen.post, 25);
}
END_TEST

START_TEST(as_few_stack_words_as_the_function_takes_are_enough)
{
    struct bl_hook_spec spec = both;
    init();
    spec.stack_words = 3;
    install("hv_nine", &spec);
    spec.stack_words = 0;
    install("hv_pair_of", &spec);
    spec.stack_words = 256;
    install("hv_print", &spec);
    check_integers();
    check_floats();
}
END_TEST

START_TEST(no_register_is_lost_that_the_function_itself_keeps)
{
    init();
    ck_assert_uint_eq(hv_asm_registers(hv_asm_keeps), 0);
    ck_assert_uint_gt(hv_asm_registers((uint64_t(*)(uint64_t))(uintptr_t)clobber), 20);
    install("hv_asm_keeps", &pre_only);
    ck_assert_uint_eq(hv_asm_registers(hv_asm_keeps), 0);
    ck_assert_uint_eq(seen.pre, 1);
}
END_TEST

START_TEST(no_register_is_lost_in_a_post_hook_either)
{
    init();
    install("hv_asm_keeps", &both);
    ck_assert_uint_eq(hv_asm_registers(hv_asm_keeps), 0);
    ck_assert_uint_eq(seen.pre, 1);
    ck_assert_uint_eq(seen.post, 1);
}
END_TEST

START_TEST(errno_and_the_rounding_mode_are_as_they_were)
{
    init();
    install("hv_nine", &both);
    fesetround(FE_UPWARD);
    errno = 4321;
    check_integers();
    ck_assert_int_eq(errno, 4321);
    ck_assert_int_eq(fegetround(), FE_UPWARD);
}
END_TEST

/* ---- stacks ---- */

struct trace {
    void *pcs[FRAMES_MAX];
    int count;
};

static struct trace at_pre_hook;
static struct trace at_post_hook;
static struct trace under_function;
static struct trace walked;

static void take(struct trace *t)
{
    t->count = backtrace(t->pcs, FRAMES_MAX);
}

static void trace_pre(void *context, const struct bl_hook_call *call)
{
    (void)context;
    struct bl_thread_state *t = bl_threads_current();
    struct bl_walk walk;
    bool exact;
    take(&at_pre_hook);
    bl_capture_walk(t, &call->origin, BL_DEPTH_MAX, &walk);
    walked.count = (int)(walk.known + walk.fresh);
    for (int i = 0; i < walked.count; i++)
        walked.pcs[i] = (void *)bl_capture_pc(t, &walk, (uint32_t)i, &exact);
    seen.at_pre = *call;
}

static void trace_post(void *context, const struct bl_hook_call *call)
{
    (void)context;
    (void)call;
    take(&at_post_hook);
}

static uint64_t trace_under(void *context)
{
    (void)context;
    take(&under_function);
    return 5;
}

/* The outer frames of t, from the caller of the function on, are those of here. */
static void check_outer(const struct trace *t, const struct trace *here, const void *caller_pc)
{
    int at = 0;
    while (at < t->count && t->pcs[at] != caller_pc)
        at++;
    ck_assert_int_lt(at, t->count);
    ck_assert_int_ge(here->count, 4);
    ck_assert_int_eq(t->count - at, here->count);
    /* frame 0 differs: it is this call and that */
    ck_assert_mem_eq(t->pcs + at + 1, here->pcs + 1, (size_t)(here->count - 1) * sizeof(void *));
}

static BL_NOINLINE void call_and_compare(void)
{
    struct trace here;
    ck_assert_uint_eq(hv_call(trace_under, NULL), 6);
    here.count = backtrace(here.pcs, FRAMES_MAX);
    const void *caller = (void *)seen.at_pre.origin.pc;
    check_outer(&at_pre_hook, &here, caller);
    check_outer(&walked, &here, caller);
    check_outer(&under_function, &here, caller);
    if (at_post_hook.count)
        check_outer(&at_post_hook, &here, caller);
    ck_assert_uint_eq(seen.at_pre.origin.rbp, (uint64_t)(uintptr_t)__builtin_frame_address(0));
}

START_TEST(a_stack_taken_in_a_pre_hook_or_under_the_function_is_complete)
{
    const struct bl_hook_spec spec = {.pre = trace_pre};
    start_core();
    init();
    install("hv_call", &spec);
    call_and_compare();
}
END_TEST

START_TEST(a_stack_taken_in_a_post_hook_or_under_the_function_is_complete)
{
    const struct bl_hook_spec spec = {.pre = trace_pre, .post = trace_post, .stack_words = 8};
    start_core();
    init();
    install("hv_call", &spec);
    call_and_compare();
    ck_assert_int_gt(at_post_hook.count, 0);
}
END_TEST

static uint64_t jump_out(void *context)
{
    return hv_jump(*(jmp_buf *)context, 7);
}

START_TEST(longjmp_leaves_hooked_functions)
{
    static jmp_buf to;
    init();
    install("hv_call", &both);
    install("hv_jump", &both);
    for (unsigned i = 0; i < 1000; i++) {
        int value = setjmp(to);
        if (value == 0)
            hv_call(jump_out, &to);
        ck_assert_int_eq(value, 7);
    }
    ck_assert_uint_eq(seen.pre, 2000);
    ck_assert_uint_eq(seen.post, 0);
    check_integers();
}
END_TEST

static void check_exceptions(const struct bl_hook_spec *spec)
{
    int destroyed = 0;
    init();
    install("hv_throw", spec);
    install("hv_throw_over", spec);
    for (unsigned i = 1; i <= 100; i++) {
        ck_assert_int_eq(hv_catch(i, &destroyed), 1);
        ck_assert_int_eq(destroyed, (int)i);
    }
    ck_assert_int_eq(hv_catch(0, &destroyed), 0);
}

START_TEST(exceptions_pass_functions_with_pre_hooks)
{
    check_exceptions(&pre_only);
    ck_assert_uint_eq(seen.pre, 202);
}
END_TEST

START_TEST(exceptions_pass_functions_with_post_hooks_which_are_skipped)
{
    check_exceptions(&both);
    ck_assert_uint_eq(seen.pre, 202);
    ck_assert_uint_eq(seen.post, 2);
}
END_TEST

static void *cancelled(void *context)
{
    uint64_t (*wait)(void *) = context;
    hv_call(wait, NULL);
    return NULL;
}

static int reached_cancellation; /* atomic */

static uint64_t wait_for_cancellation(void *context)
{
    __atomic_store_n(&reached_cancellation, 1, __ATOMIC_RELEASE);
    while (!context)
        pause();
    return 0;
}

START_TEST(a_thread_can_be_cancelled_under_a_post_hook)
{
    pthread_t thread;
    void *result = NULL;
    init();
    install("hv_call", &both);
    pthread_create(&thread, NULL, cancelled, (void *)(uintptr_t)wait_for_cancellation);
    while (!__atomic_load_n(&reached_cancellation, __ATOMIC_ACQUIRE))
        sched_yield();
    pthread_cancel(thread);
    pthread_join(thread, &result);
    ck_assert_ptr_eq(result, PTHREAD_CANCELED);
}
END_TEST

/* ---- which functions ---- */

START_TEST(an_address_is_hooked_once)
{
    const char *why = "";
    uint64_t address = (uint64_t)(uintptr_t)hv_nine;
    init();
    install("hv_nine", &pre_only);
    ck_assert_int_eq(bl_hook_entry_install(address, 0, &pre_only, &why), -1);
    ck_assert_str_eq(why, "hooked already");
    check_integers();
    ck_assert_uint_eq(seen.pre, 1);
}
END_TEST

START_TEST(what_is_no_function_is_refused)
{
    const char *why = "";
    const struct bl_hook_spec none = {0};
    const struct bl_hook_spec wide = {.post = on_post, .stack_words = 1000};
    uint64_t nine = (uint64_t)(uintptr_t)hv_nine;
    ck_assert_int_eq(bl_hook_entry_install(nine, 0, &pre_only, &why), -1);
    ck_assert_str_eq(why, "entry hooks are not available");
    init();
    ck_assert_int_eq(bl_hook_entry_install((uint64_t)(uintptr_t)&seen, 0, &pre_only, &why), -1);
    ck_assert_str_eq(why, "not in a loaded object");
    ck_assert_int_eq(bl_hook_entry_install(nine, 0, &none, &why), -1);
    ck_assert_str_eq(why, "nothing to call");
    ck_assert_int_eq(bl_hook_entry_install(nine, 0, &wide, &why), -1);
    ck_assert_str_eq(why, "too many stack arguments");
}
END_TEST

static BL_NOINLINE uint64_t local_function(uint64_t a)
{
    __asm__ volatile("");
    return a * 3 + 4;
}

START_TEST(names_are_found_in_libraries_and_the_executable_exported_or_local)
{
    size_t size = 0;
    uint64_t local = (uint64_t)(uintptr_t)local_function;
    ck_assert_uint_eq(bl_hook_entry_find("", "local_function", &size), local);
    ck_assert_uint_gt(size, 0);
    ck_assert_uint_eq(bl_hook_entry_find(NULL, "hv_nine", &size), (uint64_t)(uintptr_t)hv_nine);
    ck_assert_uint_eq(bl_hook_entry_find("libunit-hook-victim.so", "plus_hundred", &size) % 32, 0);
    ck_assert_uint_ne(bl_hook_entry_find("libunit-hook-victim.so", "plus_hundred", &size), 0);
    ck_assert_uint_eq(bl_hook_entry_find("libunit-hook-victim.so", "hv_none", &size), 0);
    ck_assert_uint_eq(bl_hook_entry_find("libc.so.6", "hv_nine", &size), 0);
    ck_assert_uint_eq(bl_hook_entry_find("libnone.so", "hv_nine", &size), 0);
    init();
    const char *why = "";
    uint64_t (*volatile again)(uint64_t) = local_function;
    ck_assert_int_eq(bl_hook_entry_install(local, 0, &both, &why), 0);
    ck_assert_uint_eq(again(2), 10);
    ck_assert_uint_eq(seen.post, 1);
}
END_TEST

START_TEST(a_function_chosen_at_run_time_is_found_as_chosen)
{
    static const char *const names[] = {"memcpy", "strlen", "strchr", "memset"};
    for (size_t i = 0; i < BL_ARRAY_LENGTH(names); i++) {
        uint64_t chosen = (uint64_t)(uintptr_t)dlsym(RTLD_DEFAULT, names[i]);
        ck_assert_uint_eq(bl_hook_entry_find("libc.so.6", names[i], &(size_t){0}), chosen);
    }
    const char *why = "";
    init();
    uint64_t address = bl_hook_entry_find("libc.so.6", "strchr", &(size_t){0});
    ck_assert_int_eq(bl_hook_entry_install(address, 0, &pre_only, &why), 0);
    const char *text = "a text";
    char *(*volatile search)(const char *, int) = strchr;
    ck_assert_ptr_eq(search(text, 't'), text + 2);
    ck_assert_uint_ge(seen.pre, 1);
}
END_TEST

/* ---- circumstances ---- */

START_TEST(pages_that_are_never_writable_and_executable_are_no_hindrance)
{
    if (prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) != 0)
        return; /* a kernel before 6.3 */
    check_signatures(&both);
    ck_assert_uint_eq(seen.post, 25);
}
END_TEST

START_TEST(a_process_that_has_changed_its_user_can_still_hook)
{
    init();
    install("hv_nine", &both);
    ck_assert_int_eq(setresgid(65534, 65534, 65534), 0);
    ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
    ck_assert_int_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1, 0);
    install("hv_take_big", &both);
    check_integers();
    ck_assert_uint_eq(seen.post, 2);
}
END_TEST

START_TEST(a_forked_child_keeps_the_hooks_and_sets_its_own)
{
    uint8_t before[8];
    init();
    install("hv_nine", &both);
    memcpy(before, (void *)(uintptr_t)hv_take_big, sizeof before);
    pid_t child = fork();
    if (child == 0) {
        install("hv_take_big", &both);
        check_integers();
        _exit(seen.post == 2 && seen.pre == 2 ? 0 : 1);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_mem_eq((void *)(uintptr_t)hv_take_big, before, sizeof before);
    check_integers();
    ck_assert_uint_eq(seen.post, 1);
}
END_TEST

static uint64_t thread_calls; /* atomic */

static void count_call(void *context, const struct bl_hook_call *call)
{
    (void)call;
    __atomic_add_fetch((uint64_t *)context, 1, __ATOMIC_RELAXED);
}

static void *work(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < 20000; i++) {
        if (hv_factorial(10) != 3628800)
            return &seen;
    }
    return NULL;
}

START_TEST(threads_may_be_in_hooks_at_once)
{
    const struct bl_hook_spec spec = {
        .pre = count_call, .post = count_call, .context = &thread_calls, .stack_words = 8};
    pthread_t threads[4];
    init();
    install("hv_factorial", &spec);
    for (unsigned i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, work, NULL);
    for (unsigned i = 0; i < 4; i++) {
        void *wrong = NULL;
        pthread_join(threads[i], &wrong);
        ck_assert_ptr_null(wrong);
    }
    ck_assert_uint_eq(thread_calls, 4ull * 20000 * 10 * 2);
}
END_TEST

/* ---- libraries that come and go ---- */

static unsigned changes;
static const char *late_refusal;

static void hook_plugin(void)
{
    size_t size = 0;
    changes++;
    uint64_t address = bl_hook_entry_find("libunit-hook-plugin.so", "hv_plugin_work", &size);
    if (address)
        bl_hook_entry_install(address, size, &both, &late_refusal);
}

START_TEST(a_library_that_arrives_late_is_hooked_before_its_constructors_each_time)
{
    const char *why = "";
    init();
    ck_assert_int_eq(bl_hook_entry_watch(hook_plugin, &why), 0);
    for (unsigned i = 1; i <= 5; i++) {
        memset(&seen, 0, sizeof seen);
        void *plugin = dlopen(PLUGIN, RTLD_NOW | RTLD_LOCAL);
        ck_assert_ptr_nonnull(plugin);
        if (seen.pre != 7 || seen.post != 7)
            ck_abort_msg("%u and %u of 7 calls seen, round %u: %s", seen.pre, seen.post, i,
                         late_refusal);
        uint64_t (**work_of)(uint64_t) = dlsym(plugin, "hv_plugin_pointer");
        ck_assert_uint_eq((*work_of)(1), 9);
        ck_assert_uint_eq(seen.post, 8);
        ck_assert_int_eq(dlclose(plugin), 0);
        ck_assert_uint_eq(changes, 2 * i);
    }
}
END_TEST

RUN_SUITE("shim hook", every_head_works_under_a_pre_hook,
          every_head_works_under_a_post_hook_which_sees_its_result,
          every_head_that_cannot_move_is_refused_with_its_cause_and_left_alone,
          a_branch_into_a_head_is_known_also_when_it_was_displaced,
          a_function_that_only_returns_is_read_without_a_decoder, a_size_that_is_not_known_is_found,
          every_signature_works_under_a_pre_hook, every_signature_works_under_a_post_hook,
          every_signature_works_under_both_hooks,
          as_few_stack_words_as_the_function_takes_are_enough,
          no_register_is_lost_that_the_function_itself_keeps,
          no_register_is_lost_in_a_post_hook_either, errno_and_the_rounding_mode_are_as_they_were,
          a_stack_taken_in_a_pre_hook_or_under_the_function_is_complete,
          a_stack_taken_in_a_post_hook_or_under_the_function_is_complete,
          longjmp_leaves_hooked_functions, exceptions_pass_functions_with_pre_hooks,
          exceptions_pass_functions_with_post_hooks_which_are_skipped,
          a_thread_can_be_cancelled_under_a_post_hook, an_address_is_hooked_once,
          what_is_no_function_is_refused,
          names_are_found_in_libraries_and_the_executable_exported_or_local,
          a_function_chosen_at_run_time_is_found_as_chosen,
          pages_that_are_never_writable_and_executable_are_no_hindrance,
          a_process_that_has_changed_its_user_can_still_hook,
          a_forked_child_keeps_the_hooks_and_sets_its_own, threads_may_be_in_hooks_at_once,
          a_library_that_arrives_late_is_hooked_before_its_constructors_each_time)
