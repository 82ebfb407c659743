/*
 * Ways to hold a block and to lose one: cases NAME runs one, then exits with the blocks as they
 * are.
 */
#include "cases.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE     4096
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void *(*volatile real_malloc)(size_t) = malloc;

void *plant(size_t size)
{
    void *p = real_malloc(size);
    if (!p)
        abort();
    memset(p, 0, size);
    return p;
}

struct node *plant_list(int count)
{
    struct node *first = NULL;
    while (count-- > 0) {
        struct node *node = plant(sizeof(*node));
        node->next = first;
        first = node;
    }
    return first;
}

__attribute__((noinline)) void burn(void)
{
    volatile char waste[32768];
    memset((void *)waste, 0, sizeof(waste));
    __asm__ volatile("pxor %%xmm0, %%xmm0\n pxor %%xmm1, %%xmm1\n pxor %%xmm2, %%xmm2\n"
                     "pxor %%xmm3, %%xmm3\n pxor %%xmm4, %%xmm4\n pxor %%xmm5, %%xmm5\n"
                     "pxor %%xmm6, %%xmm6\n pxor %%xmm7, %%xmm7\n pxor %%xmm8, %%xmm8\n"
                     "xor %%eax, %%eax\n xor %%ecx, %%ecx\n xor %%edx, %%edx\n"
                     "xor %%esi, %%esi\n xor %%edi, %%edi\n" ::
                         : "rax", "rcx", "rdx", "rsi", "rdi", "xmm0", "xmm1", "xmm2", "xmm3",
                           "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "memory");
}

unsigned long disguise(const void *p)
{
    return ~(unsigned long)p;
}

static void *volatile held; /* a global of the program */
static void *volatile table[64];

/* ---- lost ---- */

static void list(void)
{
    plant_list(3);
}

static void ring(void)
{
    struct node *first = plant_list(3);
    first->next->next->next = first;
}

static void one(void)
{
    plant(40);
}

static void points_to_itself(void)
{
    struct node *node = plant(sizeof(*node));
    node->next = node;
}

static void doubly_linked(void)
{
    struct node *a = plant(sizeof(*a));
    struct node *b = plant(sizeof(*b));
    a->next = b;
    b->next = a;
    a->payload = plant(100);
}

static void *plant_tree(int depth)
{
    struct node *node = plant(sizeof(*node));
    if (depth > 1) {
        node->next = plant_tree(depth - 1);
        node->payload = plant_tree(depth - 1);
    }
    return node;
}

static void tree(void)
{
    plant_tree(9);
}

static void freed_holder(void)
{
    struct node *node = plant(sizeof(*node));
    node->payload = plant(100);
    held = node;
    free(node);
}

static void freed_big_holder(void)
{
    void **big = plant(1 << 20);
    big[1000] = plant(100);
    held = big;
    free(big);
}

static void freed_by_realloc(void)
{
    void **p = plant(4096);
    p[200] = plant(100);
    p = realloc(p, 64); /* the slot is cut off */
    held = p;
}

static void heap_top(void)
{
    plant(24);
}

static void before_a_free_chunk(void)
{
    void *a = plant(1048);
    void *b = plant(1048);
    void *c = plant(1048);
    (void)a;
    held = c;
    free(b);
}

static void big_lost(void)
{
    void **big = plant(100 << 20);
    big[5] = plant(10);
}

static void big_held(void)
{
    void **big = plant(100 << 20);
    big[5] = plant(10);
    held = big;
}

static void aligned(void)
{
    void *p = NULL;
    void *q = NULL;
    if (posix_memalign(&p, 4096, 100) || posix_memalign(&q, 1 << 21, 1 << 22))
        abort();
    held = p;
    memset(q, 0, 4096);
}

static void cycles_that_meet(void)
{
    struct node *a = plant_list(2);
    struct node *b = plant_list(2);
    a->next->next = a;
    b->next->next = b;
    a->payload = b;
}

/* ---- held ---- */

/* Most of it is behind the table, and what is held first, and lies first, is not. */
static void by_two_globals(void)
{
    for (int i = 0; i < 40; i++) {
        void *block = plant(64);
        if (i == 0)
            held = block;
        else
            table[i] = block;
    }
}

static void by_global(void)
{
    held = plant_list(3);
}

static void by_static(void)
{
    static void *volatile kept;
    kept = plant_list(3);
}

static void by_array(void)
{
    for (size_t i = 0; i < COUNT(table); i++)
        table[i] = plant(32);
}

static void by_local(void)
{
    struct node *volatile first = plant_list(2);
    burn();
    exit(first == NULL);
}

static void interior(void)
{
    held = (char *)plant(100) + 40;
}

static void tagged_low(void)
{
    held = (char *)plant(96) + 3;
}

static void tagged_high(void)
{
    held = (void *)((uintptr_t)plant(96) | 0x5aull << 56);
}

static void xored(void)
{
    held = (void *)((uintptr_t)plant(96) ^ 0x5555555555555555ull);
}

static void packed(void)
{
    static struct {
        char tag;
        void *pointer;
    } __attribute__((packed)) volatile odd;
    odd.pointer = plant(96);
}

static void by_epoll(void)
{
    int pipes[2];
    int fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    if (fd < 0 || pipe(pipes) < 0)
        abort();
    event.data.ptr = plant(96);
    if (epoll_ctl(fd, EPOLL_CTL_ADD, pipes[0], &event) < 0)
        abort();
    event.data.ptr = NULL;
}

static void one_past_the_end(void)
{
    held = (char *)plant(96) + 96 + 16;
}

static void hash_chains(void)
{
    for (int i = 0; i < 300; i++) {
        struct node *node = plant(sizeof(*node));
        node->payload = plant(16);
        node->next = table[i % (int)COUNT(table)];
        table[i % (int)COUNT(table)] = node;
    }
}

static void grown_array(void)
{
    void **array = NULL;
    for (int i = 0; i < 500; i++) {
        array = realloc(array, ((size_t)i + 1) * sizeof(*array));
        array[i] = plant(8);
    }
    held = array;
}

/* ---- regions ---- */

static void **map(int prot, int flags, int fd)
{
    void **p = mmap(NULL, 16 * PAGE, prot, flags, fd, 0);
    if (p == MAP_FAILED)
        abort();
    return p;
}

static void by_private_region(void)
{
    map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1)[100] = plant(50);
}

static void by_shared_region(void)
{
    map(PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1)[100] = plant(50);
}

static void by_read_only_region(void)
{
    void **p = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    p[100] = plant(50);
    mprotect((void *)p, 16 * PAGE, PROT_READ);
}

static void by_memfd(void)
{
    int fd = memfd_create("cases", 0);
    if (fd < 0 || ftruncate(fd, 16 * PAGE) < 0)
        abort();
    map(PROT_READ | PROT_WRITE, MAP_SHARED, fd)[100] = plant(50);
}

static void beyond_a_truncated_memfd(void)
{
    int fd = memfd_create("cases", 0);
    if (fd < 0 || ftruncate(fd, 16 * PAGE) < 0)
        abort();
    map(PROT_READ | PROT_WRITE, MAP_SHARED, fd)[100] = plant(50);
    if (ftruncate(fd, PAGE) < 0) /* reading further on would be SIGBUS */
        abort();
}

static void sparse_region(void)
{
    size_t size = 1ull << 36;
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED)
        abort();
    *(void **)(void *)(p + size / 2) = plant(50);
}

static void unmapped_region(void)
{
    void **p = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    p[100] = plant(50);
    munmap((void *)p, 16 * PAGE);
}

static void dontfork_region(void)
{
    void **p = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    madvise((void *)p, 16 * PAGE, MADV_DONTFORK);
    held = plant(50);
}

/* ---- threads ---- */

static atomic_int ready;
static int never[2]; /* nobody writes to it */

static void wait_ready(int count)
{
    while (atomic_load(&ready) < count)
        sched_yield();
}

static void block(void)
{
    char byte;
    atomic_fetch_add(&ready, 1);
    if (read(never[0], &byte, 1) < 0)
        abort();
}

static void start(void *(*routine)(void *), void *argument)
{
    pthread_t thread;
    if (never[0] == 0 && pipe(never) < 0)
        abort();
    if (pthread_create(&thread, NULL, routine, argument) != 0)
        abort();
}

static __thread void *volatile local;

static void by_tls(void)
{
    local = plant(70);
}

static void *hold_in_tls(void *unused)
{
    (void)unused;
    local = plant(70);
    burn();
    block();
    return NULL;
}

static void by_tls_of_another(void)
{
    start(hold_in_tls, NULL);
    wait_ready(1);
}

static void *plugin_symbol(const char *name)
{
    static void *plugin;
    if (!plugin)
        plugin = dlopen(getenv("REACH_PLUGIN"), RTLD_NOW);
    void *symbol = plugin ? dlsym(plugin, name) : NULL;
    if (!symbol)
        abort();
    return symbol;
}

static void by_plugin(void)
{
    void (*keep)(void *) = NULL;
    *(void **)(void *)&keep = plugin_symbol("plugin_keep");
    keep(plant(90));
}

static void by_plugin_tls(void)
{
    void (*keep)(void *) = NULL;
    *(void **)(void *)&keep = plugin_symbol("plugin_keep_tls");
    keep(plant(90));
}

static void *hold_in_plugin_tls(void *unused)
{
    (void)unused;
    by_plugin_tls();
    burn();
    block();
    return NULL;
}

static void by_plugin_tls_of_another(void)
{
    start(hold_in_plugin_tls, NULL);
    wait_ready(1);
}

static void by_closed_plugin(void)
{
    void *plugin = dlopen(getenv("REACH_PLUGIN"), RTLD_NOW);
    void (*keep)(void *) = NULL;
    if (!plugin)
        abort();
    *(void **)(void *)&keep = dlsym(plugin, "plugin_keep");
    keep(plant(90));
    dlclose(plugin);
}

static void by_key(int number)
{
    pthread_key_t key = 0;
    for (int i = 0; i <= number; i++)
        if (pthread_key_create(&key, NULL) != 0)
            abort();
    pthread_setspecific(key, plant(60));
}

static void low_key(void)
{
    by_key(3);
}

static void high_key(void)
{
    by_key(50);
}

static void *hold_in_key(void *number)
{
    by_key((int)(intptr_t)number);
    burn();
    block();
    return NULL;
}

static void low_key_of_another(void)
{
    start(hold_in_key, (void *)3);
    wait_ready(1);
}

static void high_key_of_another(void)
{
    start(hold_in_key, (void *)50);
    wait_ready(1);
}

enum { SPINS = 1, DEAF };

static void block_signals_by_system_call(void)
{
    uint64_t all = ~0ull;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof(all));
}

static void *hold_in_rbx(void *how)
{
    if (how == (void *)DEAF)
        block_signals_by_system_call();
    register void *p __asm__("rbx") = plant(80);
    burn();
    __asm__ volatile("" : "+r"(p));
    atomic_fetch_add(&ready, 1);
    if (how == (void *)SPINS) {
        for (;;)
            __asm__ volatile("pause" : "+r"(p));
    }
    long fd = never[0];
    char byte;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(SYS_read), "D"(fd), "S"(&byte), "d"(1), "r"(p)
                     : "rcx", "r11", "memory");
    return p;
}

static void register_of_a_spinner(void)
{
    start(hold_in_rbx, (void *)SPINS);
    wait_ready(1);
}

static void register_of_a_reader(void)
{
    start(hold_in_rbx, NULL);
    wait_ready(1);
}

static void register_behind_blocked_signals(void)
{
    start(hold_in_rbx, (void *)DEAF);
    wait_ready(1);
}

static void *hold_in_xmm(void *unused)
{
    void *p = plant(80);
    (void)unused;
    __asm__ volatile("movq %0, %%xmm9" ::"r"(p) : "xmm9");
    p = NULL;
    burn();
    atomic_fetch_add(&ready, 1);
    for (;;)
        __asm__ volatile("pause" ::: "memory");
    return NULL;
}

static void vector_register(void)
{
    start(hold_in_xmm, NULL);
    wait_ready(1);
}

static void *hold_on_stack(void *argument)
{
    struct node *volatile first = plant_list(2);
    burn();
    if (argument)
        block_signals_by_system_call();
    block();
    return first;
}

static void four_blocked(void)
{
    for (int i = 0; i < 4; i++)
        start(hold_on_stack, NULL);
    wait_ready(4);
}

static void signals_blocked_by_system_call(void)
{
    start(hold_on_stack, (void *)1);
    wait_ready(1);
}

static void *wait_for_signal(void *unused)
{
    struct node *volatile first = plant_list(2);
    sigset_t all;
    int number;
    (void)unused;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    burn();
    atomic_fetch_add(&ready, 1);
    sigwait(&all, &number);
    return first;
}

static void in_sigwait(void)
{
    start(wait_for_signal, NULL);
    wait_ready(1);
}

static void *end_with_list(void *unused)
{
    struct node *volatile first = plant_list(2);
    (void)unused;
    return first ? NULL : first;
}

static void ended(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, end_with_list, NULL) != 0)
        abort();
    pthread_join(thread, NULL);
}

static void *end_with_tls(void *unused)
{
    (void)unused;
    local = plant(70);
    return NULL;
}

static void ended_with_tls(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, end_with_tls, NULL) != 0)
        abort();
    pthread_join(thread, NULL);
}

static void *lose_in_arena(void *unused)
{
    (void)unused;
    ring();
    held = plant_list(2);
    burn();
    block();
    return NULL;
}

static void other_arena(void)
{
    start(lose_in_arena, NULL);
    wait_ready(1);
}

static void *take_argument(void *argument)
{
    struct node *volatile mine = argument;
    block();
    return mine;
}

static void argument_of_thread(void)
{
    for (int i = 0; i < 8; i++)
        start(take_argument, plant_list(2));
    wait_ready(8);
}

static void *on_own_stack(void *argument)
{
    struct node *volatile first = plant_list(2);
    (void)argument;
    block();
    return first;
}

static void stack_in_a_block(void)
{
    pthread_t thread;
    pthread_attr_t attr;
    void *stack = NULL;
    if (pipe(never) < 0 || posix_memalign(&stack, PAGE, 256 << 10) != 0)
        abort();
    held = stack;
    pthread_attr_init(&attr);
    pthread_attr_setstack(&attr, stack, 256 << 10);
    if (pthread_create(&thread, &attr, on_own_stack, NULL) != 0)
        abort();
    wait_ready(1);
}

static void on_signal(int number)
{
    struct node *volatile first = plant_list(2);
    (void)number;
    block();
    held = first;
}

static void *run_on_alternate(void *unused)
{
    struct node *volatile below = plant_list(2);
    stack_t stack = {.ss_sp = plant(65536), .ss_size = 65536};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    (void)unused;
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR2, &action, NULL);
    pthread_kill(pthread_self(), SIGUSR2);
    return below;
}

static void on_alternate_stack(void)
{
    start(run_on_alternate, NULL);
    wait_ready(1);
}

static void alternate_stack_alone(void)
{
    stack_t stack = {.ss_sp = plant(65536), .ss_size = 65536};
    sigaltstack(&stack, NULL);
}

// NOLINTBEGIN(clang-analyzer-*): that is the case
static void *fork_and_wait(void *unused)
{
    struct node *volatile first = plant_list(2);
    (void)unused;
    burn();
    atomic_fetch_add(&ready, 1);
    if (vfork() == 0) {
        struct pollfd none;
        poll(&none, 0, 3000);
        _exit(0);
    }
    return first;
}

// NOLINTEND(clang-analyzer-*)

static void in_vfork(void)
{
    start(fork_and_wait, NULL);
    wait_ready(1);
    usleep(100000); /* nothing tells from outside that it is in vfork by now */
}

/* ---- coroutines ---- */

static ucontext_t outside;
static ucontext_t inside;

static void routine(void)
{
    struct node *volatile first = plant_list(3);
    swapcontext(&inside, &outside);
    held = first;
}

static void coroutine(void *stack)
{
    getcontext(&inside);
    inside.uc_stack.ss_sp = stack;
    inside.uc_stack.ss_size = 65536;
    inside.uc_link = &outside;
    makecontext(&inside, routine, 0);
    swapcontext(&outside, &inside);
}

static void coroutine_in_a_block(void)
{
    coroutine(plant(65536));
}

static void coroutine_in_a_region(void)
{
    coroutine(mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

/* ---- libc ---- */

static void open_file(void)
{
    FILE *file = fopen("/etc/passwd", "r");
    if (!file || fgetc(file) == EOF)
        abort();
}

static void address_info(void)
{
    struct addrinfo *info = NULL;
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_family = AF_INET};
    if (getaddrinfo("127.0.0.1", "80", &hints, &info) != 0)
        abort();
}

static void environment(void)
{
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof(name), "CASE_%d", i);
        setenv(name, "value", 1);
    }
    putenv(strcpy(plant(32), "PUT=1"));
}

static void line_buffer(void)
{
    static char *volatile kept;
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen("/etc/passwd", "r");
    if (!file || getline(&line, &size, file) < 0)
        abort();
    kept = line;
    fclose(file);
}

/* ---- ends ---- */

static void free_held(void)
{
    free(held);
    held = NULL;
}

static void freed_at_exit(void)
{
    held = plant(100);
    atexit(free_held);
}

static void forget_held(void)
{
    held = NULL;
}

static void forgotten_at_exit(void)
{
    held = plant(100);
    atexit(forget_held);
}

static void by_underscore_exit(void)
{
    list();
    burn();
    _exit(0);
}

/* The block's address stands all over the stack that is not in use any more. */
static __attribute__((noinline)) void litter(void)
{
    void *volatile waste[512];
    void *block = plant(100);
    for (size_t i = 0; i < COUNT(waste); i++)
        waste[i] = block;
    __asm__ volatile("" : : "r"(waste) : "memory");
}

static void from_a_littered_stack(void)
{
    litter();
    _exit(0);
}

static void by_quick_exit(void)
{
    list();
    burn();
    quick_exit(0);
}

static void in_a_forked_child(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        list();
        burn();
        exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void from_a_thread_main(void)
{
    held = plant_list(3);
}

static void *call_exit(void *unused)
{
    struct node *volatile first = plant_list(2);
    (void)unused;
    exit(first == NULL);
}

static void by_a_thread(void)
{
    from_a_thread_main();
    start(call_exit, NULL);
    for (;;)
        pause();
}

/* What was there when the array was not yet. */
static void fill_stack(void)
{
    void *volatile old[64];
    void *p = plant(100);
    for (size_t i = 0; i < COUNT(old); i++)
        old[i] = p;
}

static void leave_through(void)
{
    void *volatile fresh[96];
    fresh[0] = NULL;
    exit(fresh[0] != NULL);
}

static void stale_copy(void)
{
    fill_stack();
    leave_through();
}

static const struct reach_case cases[] = {
    {"list", list, false},
    {"ring", ring, false},
    {"one", one, false},
    {"points-to-itself", points_to_itself, false},
    {"doubly-linked", doubly_linked, false},
    {"tree", tree, false},
    {"cycles-that-meet", cycles_that_meet, false},
    {"freed-holder", freed_holder, false},
    {"freed-big-holder", freed_big_holder, false},
    {"freed-by-realloc", freed_by_realloc, false},
    {"heap-top", heap_top, false},
    {"before-a-free-chunk", before_a_free_chunk, false},
    {"big-lost", big_lost, false},
    {"big-held", big_held, false},
    {"aligned", aligned, false},
    {"by-global", by_global, false},
    {"by-two-globals", by_two_globals, false},
    {"by-static", by_static, false},
    {"by-array", by_array, false},
    {"by-local", by_local, true},
    {"interior", interior, false},
    {"tagged-low", tagged_low, false},
    {"tagged-high", tagged_high, false},
    {"xored", xored, false},
    {"packed", packed, false},
    {"by-epoll", by_epoll, false},
    {"one-past-the-end", one_past_the_end, false},
    {"hash-chains", hash_chains, false},
    {"grown-array", grown_array, false},
    {"by-private-region", by_private_region, false},
    {"by-shared-region", by_shared_region, false},
    {"by-read-only-region", by_read_only_region, false},
    {"by-memfd", by_memfd, false},
    {"beyond-a-truncated-memfd", beyond_a_truncated_memfd, false},
    {"sparse-region", sparse_region, false},
    {"unmapped-region", unmapped_region, false},
    {"dontfork-region", dontfork_region, false},
    {"by-tls", by_tls, false},
    {"by-tls-of-another", by_tls_of_another, false},
    {"by-plugin", by_plugin, false},
    {"by-plugin-tls", by_plugin_tls, false},
    {"by-plugin-tls-of-another", by_plugin_tls_of_another, false},
    {"by-closed-plugin", by_closed_plugin, false},
    {"low-key", low_key, false},
    {"high-key", high_key, false},
    {"low-key-of-another", low_key_of_another, false},
    {"high-key-of-another", high_key_of_another, false},
    {"register-of-a-spinner", register_of_a_spinner, false},
    {"register-of-a-reader", register_of_a_reader, false},
    {"register-behind-blocked-signals", register_behind_blocked_signals, false},
    {"vector-register", vector_register, false},
    {"four-blocked", four_blocked, false},
    {"signals-blocked-by-system-call", signals_blocked_by_system_call, false},
    {"in-sigwait", in_sigwait, false},
    {"ended", ended, false},
    {"ended-with-tls", ended_with_tls, false},
    {"other-arena", other_arena, false},
    {"argument-of-thread", argument_of_thread, false},
    {"stack-in-a-block", stack_in_a_block, false},
    {"on-alternate-stack", on_alternate_stack, false},
    {"alternate-stack-alone", alternate_stack_alone, false},
    {"in-vfork", in_vfork, false},
    {"coroutine-in-a-block", coroutine_in_a_block, false},
    {"coroutine-in-a-region", coroutine_in_a_region, false},
    {"open-file", open_file, false},
    {"address-info", address_info, false},
    {"environment", environment, false},
    {"line-buffer", line_buffer, false},
    {"freed-at-exit", freed_at_exit, false},
    {"forgotten-at-exit", forgotten_at_exit, false},
    {"by-underscore-exit", by_underscore_exit, true},
    {"from-a-littered-stack", from_a_littered_stack, true},
    {"by-quick-exit", by_quick_exit, true},
    {"in-a-forked-child", in_a_forked_child, false},
    {"by-a-thread", by_a_thread, true},
    {"stale-copy", stale_copy, true},
    {NULL, NULL, false},
};

static const struct reach_case *find(const struct reach_case *in, const char *name)
{
    for (; in->name; in++)
        if (strcmp(in->name, name) == 0)
            return in;
    return NULL;
}

/* Deep down, so that what is left of it is far below what exit uses, and burnt. */
__attribute__((noinline)) static void run_deep(void (*run)(void), int depth)
{
    volatile char room[2048];
    room[0] = 0;
    if (depth > 0)
        run_deep(run, depth - 1);
    else
        run();
    room[1] = room[0];
}

int main(int argc, char **argv)
{
    const struct reach_case *chosen = argc == 2 ? find(cases, argv[1]) : NULL;
    if (!chosen && argc == 2)
        chosen = find(cpp_cases, argv[1]);
    if (!chosen) {
        for (const struct reach_case *c = cases; c->name; c++)
            puts(c->name);
        for (const struct reach_case *c = cpp_cases; c->name; c++)
            puts(c->name);
        return argc != 1;
    }
    if (chosen->ends_itself)
        chosen->run();
    run_deep(chosen->run, 4);
    burn();
    return 0;
}
