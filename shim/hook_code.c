#include "hook_code.h"
#include "sigsafe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define POOLS_MAX  64u
#define POOL_BYTES (256u << 10)
/* Distance to the neighbours: they may want to grow in place. */
#define POOL_MARGIN (64u << 10)
#define PROBE_STEP  (1u << 20)
/* Of the 2 GiB that a displacement spans: what a displaced instruction refers to lies around its
 * function, and must be reached from the pool as well. */
#define REACH     0x70000000u
#define PAGE_MASK 4095u

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

struct pool {
    uint64_t start;
    uint64_t used; /* bytes */
};

static struct pool pools[POOLS_MAX];
static unsigned pool_count;
static long batch_fd = -1; /* /proc/self/mem, between begin and end */

static bool within_reach(uint64_t start, uint64_t address)
{
    uint64_t distance = start > address ? start - address : address - start;
    return distance < REACH;
}

/* Pages at start if nothing is there or next to it. */
static bool map_at(uint64_t start)
{
    uint64_t low = start - POOL_MARGIN;
    long length = (long)(POOL_BYTES + 2 * POOL_MARGIN);
    long got = bl_sys6(SYS_mmap, (long)low, length, PROT_READ | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got < 0 && got > -4096)
        return false;
    if ((uint64_t)got != low) { /* a kernel before 4.17 takes the address for a hint */
        bl_sys3(SYS_munmap, got, length, 0);
        return false;
    }
    bl_sys3(SYS_munmap, (long)low, POOL_MARGIN, 0);
    bl_sys3(SYS_munmap, (long)(start + POOL_BYTES), POOL_MARGIN, 0);
    return true;
}

/* Below first: above an executable lies the heap, above the libraries the stack, and both grow
 * towards what is put there. Where it must be above, then as far away from them as can be. */
static uint64_t find_place(uint64_t address)
{
    uint64_t base = address & ~(uint64_t)(PROBE_STEP - 1);
    for (uint64_t down = PROBE_STEP; down < REACH && down + PROBE_STEP <= base;
         down += PROBE_STEP) {
        if (map_at(base - down))
            return base - down;
    }
    for (uint64_t up = (REACH & ~(uint64_t)(PROBE_STEP - 1)) - PROBE_STEP; up > 0;
         up -= PROBE_STEP) {
        if (map_at(base + up))
            return base + up;
    }
    return 0;
}

static struct pool *add_pool(uint64_t address)
{
    if (pool_count == POOLS_MAX)
        return NULL;
    uint64_t start = find_place(address);
    if (!start)
        return NULL;
    pools[pool_count] = (struct pool){.start = start};
    return &pools[pool_count++];
}

uint64_t bl_hook_code_reserve(uint64_t address, size_t bytes)
{
    struct pool *found = NULL;
    bytes = (bytes + 15u) & ~(size_t)15u;
    for (unsigned i = 0; i < pool_count && !found; i++) {
        if (within_reach(pools[i].start, address) && POOL_BYTES - pools[i].used >= bytes)
            found = &pools[i];
    }
    if (!found)
        found = add_pool(address);
    if (!found)
        return 0;
    uint64_t at = found->start + found->used;
    found->used += bytes;
    return at;
}

static long open_memory(void)
{
    return bl_sys4(SYS_openat, AT_FDCWD, (long)"/proc/self/mem", O_RDWR | O_CLOEXEC, 0);
}

void bl_hook_code_begin(void)
{
    batch_fd = open_memory();
}

void bl_hook_code_end(void)
{
    if (batch_fd >= 0)
        bl_sys_close((int)batch_fd);
    batch_fd = -1;
}

/* The kernel writes where the process itself must not: as a debugger sets a breakpoint. */
static long write_by_file(uint64_t at, const void *code, size_t length)
{
    long fd = batch_fd >= 0 ? batch_fd : open_memory();
    if (fd < 0)
        return fd;
    long written = bl_sys4(SYS_pwrite64, fd, (long)code, (long)length, (long)at);
    if (fd != batch_fd)
        bl_sys_close((int)fd);
    if (written < 0)
        return written;
    return written == (long)length ? 0 : -EIO;
}

/* Executable all the while: the way over RW could end without the right to execute. */
static long write_by_protection(uint64_t at, const void *code, size_t length)
{
    uint64_t start = at & ~(uint64_t)PAGE_MASK;
    long pages = (long)(((at + length + PAGE_MASK) & ~(uint64_t)PAGE_MASK) - start);
    long r = bl_sys3(SYS_mprotect, (long)start, pages, PROT_READ | PROT_WRITE | PROT_EXEC);
    if (r < 0)
        return r;
    memcpy((void *)(uintptr_t)at, code, length); // NOLINT(performance-no-int-to-ptr)
    bl_sys3(SYS_mprotect, (long)start, pages, PROT_READ | PROT_EXEC);
    return 0;
}

/* valgrind runs translations of code and would go on with those of the old: its client request
 * "discard translations" (0x1002), which changes nothing outside of valgrind. */
static void discard_translations(uint64_t at, size_t length)
{
    const uint64_t request[6] = {0x1002, at, length};
    uint64_t result = 0;
    __asm__ volatile("rolq $3, %%rdi\n\trolq $13, %%rdi\n\trolq $61, %%rdi\n\trolq $51, %%rdi\n\t"
                     "xchgq %%rbx, %%rbx"
                     : "+d"(result)
                     : "a"(request)
                     : "cc", "memory");
}

int bl_hook_code_write(uint64_t at, const void *code, size_t length)
{
    long r = write_by_file(at, code, length);
    if (r < 0)
        r = write_by_protection(at, code, length);
    if (r == 0)
        discard_translations(at, length);
    return (int)r;
}
