/*
 * A small gateway of which there are several builds: as it was; with its lines and addresses moved
 * (SHIFTED) and one function no longer inlined; and with its leak repaired as well (FIXED). It does
 * what its standard input says and answers every line with "ok".
 *   serve N      N requests: a header each, which is kept, and a body, which is forgotten
 *   burst N      N blocks at a place of their own, kept until "calm"
 *   calm
 *   exit N
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEPT_MAX 100000

static void *volatile kept[KEPT_MAX]; /* else the compiler leaves out what nobody reads */
static unsigned kept_count;
static void *volatile burst[KEPT_MAX];
static unsigned burst_count;

#ifdef SHIFTED
#define MAYBE_INLINE __attribute__((noinline))

/* Pushes everything after it to other lines and addresses. */
static __attribute__((noinline)) unsigned checksum(const unsigned char *text, unsigned length)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < length; i++) {
        sum = (sum << 5) ^ (sum >> 27) ^ text[i];
        if (sum % 3 == 0)
            sum += length;
        else
            sum -= i;
    }
    return sum;
}
#line 1000
#else
#define MAYBE_INLINE inline __attribute__((always_inline))
#endif

static void keep(void *block)
{
    if (kept_count < KEPT_MAX)
        kept[kept_count++] = block;
}

static __attribute__((noinline)) void *copy_text(const char *text, size_t size)
{
    char *copy = malloc(size);
    memset(copy, text[0], size);
    return copy;
}

static MAYBE_INLINE void *make_body(void)
{
    char *body = malloc(1000);
    memset(body, 'b', 1000);
    return body;
}

static __attribute__((noinline)) void on_request(void)
{
    keep(copy_text("header", 100)); // NOLINT(clang-analyzer-unix.Malloc): kept where nobody looks
    void *body = make_body();       // NOLINT(clang-analyzer-unix.Malloc)
#ifdef FIXED
    free(body);
#else
    keep(body);
#endif
} // NOLINT(clang-analyzer-unix.Malloc)

static __attribute__((noinline)) void take_burst(unsigned count)
{
    for (unsigned i = 0; i < count && burst_count < KEPT_MAX; i++)
        // NOLINTNEXTLINE(clang-analyzer-unix.Malloc)
        burst[burst_count++] = malloc(64);
}

static void obey(const char *line)
{
    unsigned count = 0;
    int code;
    if (sscanf(line, "serve %u", &count) == 1)
        for (unsigned i = 0; i < count; i++)
            on_request();
    else if (sscanf(line, "burst %u", &count) == 1)
        take_burst(count);
    else if (strncmp(line, "calm", 4) == 0)
        while (burst_count > 0)
            free(burst[--burst_count]);
    else if (sscanf(line, "exit %d", &code) == 1)
        exit(code);
}

int main(void)
{
    char line[256];
    setvbuf(stdout, NULL, _IOLBF, 0);
#ifdef SHIFTED
    if (checksum((const unsigned char *)"gateway", 7) == 0)
        return 1;
#endif
    printf("ready %d\n", (int)getpid());
    while (fgets(line, sizeof(line), stdin)) {
        obey(line);
        puts("ok");
    }
    return 0;
}
