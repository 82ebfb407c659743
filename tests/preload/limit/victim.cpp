/* Programs at their limit. What lives is known from bufleak.h at the start and counted from there;
 * whenever an allocation fails or succeeds it is checked that it had to. argv: way, limit in bytes.
 */
#include "bufleak.h"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <new>
#include <pthread.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(2, "line %d: not %s\n", __LINE__, #condition);                                 \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static uint64_t limit;
static uint64_t live; /* bytes of class heap */

struct block {
    char *p;
    size_t size;
    int kind; /* 0 free, 1 delete, 2 delete aligned, 3 delete[] */
};
static block blocks[100000];
static size_t count;

static uint64_t measure()
{
    return bufleak_checkpoint("").live_bytes;
}

/* ---- every function, at random, against the count ---- */

static char *take_new(size_t size, bool nothrow, bool array)
{
    if (nothrow)
        return static_cast<char *>(
            array ? operator new[](size, std::nothrow) : operator new(size, std::nothrow));
    try {
        return static_cast<char *>(array ? operator new[](size) : operator new(size));
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
}

static char *take_aligned(size_t size, bool nothrow)
{
    const std::align_val_t alignment{64};
    if (nothrow)
        return static_cast<char *>(operator new(size, alignment, std::nothrow));
    try {
        return static_cast<char *>(operator new(size, alignment));
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
}

static block take(unsigned way, size_t size)
{
    void *p = nullptr;
    errno = 0;
    switch (way % 12) {
    case 0:
        return {static_cast<char *>(malloc(size)), size, 0};
    case 1:
        return {static_cast<char *>(calloc(size, 1)), size, 0};
    case 2:
        return {static_cast<char *>(realloc(nullptr, size)), size, 0};
    case 3:
        return {static_cast<char *>(reallocarray(nullptr, size, 1)), size, 0};
    case 4: {
        void *untouched = &p;
        p = untouched;
        int error = posix_memalign(&p, 64, size);
        CHECK(errno == 0 && (error == 0 || error == ENOMEM));
        CHECK(error == 0 || p == untouched);
        errno = error;
        return {error ? nullptr : static_cast<char *>(p), size, 0};
    }
    case 5:
        return {static_cast<char *>(aligned_alloc(64, size)), size, 0};
    case 6:
        return {static_cast<char *>(memalign(32, size)), size, 0};
    case 7:
        return {static_cast<char *>(valloc(size)), size, 0};
    case 8:
        return {take_new(size, false, way & 16), size, way & 16 ? 3 : 1};
    case 9:
        return {take_new(size, true, way & 16), size, way & 16 ? 3 : 1};
    default:
        return {take_aligned(size, way & 1), size, 2};
    }
}

static void give(block b)
{
    if (b.kind == 0)
        free(b.p);
    else if (b.kind == 1)
        operator delete(b.p);
    else if (b.kind == 3)
        operator delete[](b.p);
    else
        operator delete (b.p, std::align_val_t{64});
    live -= b.size;
}

static uint64_t random_state = 88172645463325252u;
static uint64_t random_number()
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static uint64_t failures;

static void grow(block *b, size_t size)
{
    errno = 0;
    char first = b->size > 0 ? b->p[0] : 0;
    void *p = realloc(b->p, size);
    bool fits = live - b->size + size <= limit;
    CHECK((p != nullptr) == fits);
    CHECK(p || errno == ENOMEM);
    if (!p) {
        failures++;
        CHECK(b->size == 0 || b->p[0] == first);
        return;
    }
    live += size - b->size;
    *b = {static_cast<char *>(p), size, 0};
    b->p[0] = static_cast<char>(size);
}

static void family()
{
    live = measure();
    for (int i = 0; i < 200000; i++) {
        uint64_t r = random_number();
        size_t size = 1 + (r >> 20) % 5000;
        size_t at = count ? (r >> 8) % count : 0;
        if (count && r % 10 == 0 && blocks[at].kind == 0) {
            grow(&blocks[at], size);
        } else if (count && r % 10 < 4) {
            give(blocks[at]);
            blocks[at] = blocks[--count];
        } else {
            block b = take(static_cast<unsigned>(r >> 40), size);
            bool fits = live + size <= limit;
            CHECK((b.p != nullptr) == fits);
            CHECK(b.p || b.kind || errno == ENOMEM);
            failures += !fits;
            if (!b.p)
                continue;
            b.p[0] = static_cast<char>(size);
            live += size;
            blocks[count++] = b;
        }
    }
    CHECK(failures > 1000);
    CHECK(measure() == live);
    /* to the byte */
    CHECK(!malloc(limit - live + 1) && errno == ENOMEM);
    CHECK(malloc(limit - live) && measure() == limit);
    CHECK(malloc(0) && operator new(0, std::nothrow) && !malloc(1));
    volatile size_t half = SIZE_MAX / 2;
    CHECK(!calloc(half, 3) && errno == ENOMEM);
    void *unused = nullptr;
    CHECK(posix_memalign(&unused, 3, 100) == EINVAL);
    printf("failed %llu\n", static_cast<unsigned long long>(failures));
}

/* ---- four threads ---- */

static std::atomic<uint64_t> kept_bytes;
static std::atomic<bool> wrong;
static pthread_barrier_t barrier;

/* Comes and goes for a while, then only takes until nothing fits. What all threads have is in
 * kept_bytes after each taking, and before each giving: never more than the limit. */
static void crowd_thread(unsigned seed, unsigned turns)
{
    uint64_t state = 0x9e3779b97f4a7c15u * (seed + 1);
    void *own[64] = {};
    size_t sizes[64] = {};
    for (unsigned i = 0; i < turns; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        unsigned slot = state >> 33 & 63;
        kept_bytes -= sizes[slot];
        free(own[slot]);
        sizes[slot] = 16 * (1 + (state >> 40) % 512);
        own[slot] =
            state & 1u << 20 ? malloc(sizes[slot]) : operator new(sizes[slot], std::nothrow);
        if (!own[slot])
            sizes[slot] = 0;
        if ((kept_bytes += sizes[slot]) > limit)
            wrong = true;
    }
    pthread_barrier_wait(&barrier);
    while (malloc(16))
        ;
    if (errno != ENOMEM)
        wrong = true;
    pthread_barrier_wait(&barrier); /* all have found it full */
    pthread_barrier_wait(&barrier); /* and it has been measured */
}

static void crowd()
{
    std::thread threads[4];
    pthread_barrier_init(&barrier, nullptr, 5);
    for (unsigned i = 0; i < 4; i++)
        threads[i] = std::thread(crowd_thread, i, 100000u);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    uint64_t now = measure();
    CHECK(now <= limit && limit - now < 16);
    pthread_barrier_wait(&barrier);
    for (auto &t : threads)
        t.join();
    CHECK(!wrong);
}

/* ---- what programs do about it ---- */

static int handled;
static char *kept_block;
static void *reserve;

static void give_reserve()
{
    handled++;
    free(reserve);
    reserve = nullptr;
    if (handled > 1)
        std::set_new_handler(nullptr);
}

static void handler()
{
    reserve = malloc(100000);
    std::set_new_handler(give_reserve);
    for (live = measure(); live + 1000 <= limit; live += 1000)
        CHECK(malloc(1000));
    char *p = new char[50000]; /* the reserve makes room */
    CHECK(p && handled == 1);
    bool thrown = false;
    try {
        kept_block = new char[60000];
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    CHECK(thrown && handled == 2);
}

/* The incident on a desk: a server whose requests need a body; where there is none it answers 503,
 * gives back what the request has, and goes on. */
struct request {
    char *head;
    char *body;
};

static bool serve(size_t bytes, bool leaks)
{
    request r = {static_cast<char *>(malloc(200)), nullptr};
    bool done = false;
    if (r.head && (r.body = static_cast<char *>(malloc(bytes)))) {
        memset(r.body, 1, bytes);
        done = true;
        if (!leaks)
            free(r.body);
    }
    free(r.head);
    return done;
}

static void server()
{
    int served = 0;
    while (serve(10000, true))
        served++;
    for (int i = 0; i < 10; i++)
        CHECK(!serve(10000, true)); /* fails again and again, and loses nothing more */
    CHECK(serve(1000, false));
    printf("served %d\n", served);
}

/* Twice the limit and more, in steps. */
static void beyond()
{
    for (live = measure(); live < 2 * limit + limit / 4; live += 10000) {
        void *p = malloc(10000);
        CHECK(p);
        memset(p, 1, 10000);
        usleep(1000); /* the helper looks whenever it is asked, one ask at a time */
    }
}

/* The same by four threads that do nothing else. */
static void hurry()
{
    std::thread threads[4];
    for (auto &t : threads)
        t = std::thread([] {
            for (uint64_t taken = 0; taken < limit / 4 * 9 / 4; taken += 1000)
                CHECK(malloc(1000));
        });
    for (auto &t : threads)
        t.join();
}

static void in_child()
{
    for (live = measure(); live + 1000 <= limit; live += 1000)
        CHECK(malloc(1000));
    pid_t child = fork();
    if (child == 0) {
        uint64_t inherited = measure();
        CHECK(inherited == live && !malloc(limit - live + 1) && malloc(limit - live));
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void sampled()
{
    uint64_t taken = 0;
    while (taken < 4 * limit && malloc(1000))
        taken += 1000;
    printf("taken %llu\n", static_cast<unsigned long long>(taken));
}

int main(int argc, char **argv)
{
    static char buffer[4096];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    CHECK(argc == 3);
    limit = strtoull(argv[2], nullptr, 10);
    const struct {
        const char *name;
        void (*run)();
    } ways[] = {{"family", family}, {"crowd", crowd}, {"handler", handler}, {"server", server},
                {"beyond", beyond}, {"hurry", hurry}, {"fork", in_child},   {"sampled", sampled}};
    for (const auto &way : ways) {
        if (strcmp(way.name, argv[1]) == 0)
            way.run();
    }
    fputs("done\n", stdout);
    return 0;
}
