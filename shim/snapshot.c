#include "snapshot.h"
#include "clock.h"
#include "dir.h"
#include "frees.h"
#include "guard.h"
#include "ledger.h"
#include "limit.h"
#include "live.h"
#include "losses.h"
#include "reach.h"
#include "references.h"
#include "sigsafe.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define GROWTHS_MAX 16 /* a ledger's parts double as it grows: more cannot come in between */

/* in the helper's hands */
static struct {
    unsigned char *map;
    uint64_t length;
    int fd;
    char part[BL_DIR_NAME_MAX];
} draft = {.fd = -1};

bool bl_snapshot_owns_fd(int fd)
{
    return fd == draft.fd && !bl_sys_few_descriptors; /* else its number is the helper's alone */
}

static void file_name(struct bl_text *t, char *buffer, size_t size, const char *base,
                      uint32_t number)
{
    bl_text_init(t, buffer, size);
    bl_text_str(t, base);
    bl_text_str(t, ".");
    bl_text_u64(t, number);
}

static void set_header(struct bl_header *h, enum bl_reason reason, uint32_t number, bool inexact)
{
    h->snapshot_number = number;
    h->snapshot_reason = (uint32_t)reason;
    h->snapshot_ns = bl_clock_read(CLOCK_MONOTONIC);
    h->flags |= inexact ? BL_FLAG_INEXACT : 0u;
}

/* Whoever has just slept is given the processor for longer than what follows takes; after the first
 * copy its turn may be over, and a busy machine would stop it where everybody waits for it. */
static const struct timespec breath = {.tv_nsec = 1000000};

/* False: the ledger has grown meanwhile and does not fit. */
static bool copy_stopped(enum bl_reason reason, uint32_t number, bool reaches)
{
    /* As it changes: for the pages alone, which the kernel would give one by one while all wait. */
    if (bl_ledger_copy(draft.map, draft.length, true) > draft.length)
        return false;
    bl_sys4(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&breath, 0);
    uint64_t since = bl_clock_read(CLOCK_MONOTONIC);
    bl_refs_lock();
    bl_frees_lock();
    bl_live_lock();
    bool fits = bl_ledger_copy(draft.map, draft.length, true) <= draft.length;
    set_header((void *)draft.map, reason, number, false);
    if (fits && reaches)
        bl_reach_freeze(draft.map, draft.length, since);
    bl_live_unlock();
    bl_frees_unlock();
    bl_refs_unlock();
    if (fits && reason == BL_REASON_LIMIT)
        bl_limit_note_taken();
    return fits;
}

static bool map_draft(int flags)
{
    draft.length = bl_ledger_length();
    if (bl_sys_reserve(draft.fd, 0, draft.length) != 0)
        return false;
    draft.map = bl_sys_map(draft.length, PROT_READ | PROT_WRITE, MAP_SHARED | flags, draft.fd, 0);
    return draft.map != NULL;
}

static void unmap_draft(void)
{
    unsigned char *map = draft.map;
    draft.map = NULL;
    bl_sys_unmap(map, draft.length);
}

/* What was appended since the stop is copied as well, and may need more room. */
static int copy_rest(void)
{
    for (uint32_t i = 0; i < GROWTHS_MAX; i++) {
        if (bl_ledger_copy(draft.map, draft.length, false) <= draft.length)
            return 0;
        unmap_draft();
        if (!map_draft(0))
            return -ENOSPC;
    }
    return -EAGAIN;
}

static int write_all(int fd, const unsigned char *from, uint64_t length, uint64_t offset)
{
    while (length > 0) {
        long n = bl_sys4(SYS_pwrite64, fd, (long)from, (long)length, (long)offset);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        from += n;
        offset += (uint64_t)n;
        length -= (uint64_t)n;
    }
    return 0;
}

/* Without memory for a second mapping: writes the ledger out as it changes. */
static int write_running(enum bl_reason reason, uint32_t number)
{
    struct bl_header header = *bl_header;
    bl_losses_add(BL_LOSS_snapshots_inexact, 1);
    set_header(&header, reason, number, true);
    int error = write_all(draft.fd, (void *)&header, sizeof header, 0);
    const struct bl_extent *extents =
        (const void *)((const unsigned char *)bl_header + BL_EXTENTS_OFFSET);
    uint32_t chunk[BL_SECTION_COUNT] = {0};
    if (!error)
        error = write_all(draft.fd, (const void *)extents, BL_EXTENTS_MAX * sizeof *extents,
                          BL_EXTENTS_OFFSET);
    for (uint32_t i = 0; !error && i < header.extents_used; i++) {
        const unsigned char *from = bl_chunks[extents[i].section][chunk[extents[i].section]++];
        if (!(extents[i].flags & BL_EXTENT_PRIVATE))
            error =
                write_all(draft.fd, from, (uint64_t)extents[i].pages * BL_PAGE, extents[i].offset);
    }
    return error;
}

static int fill_draft(enum bl_reason reason, uint32_t number, bool reaches)
{
    for (uint32_t i = 0; i < GROWTHS_MAX; i++) {
        draft.length = bl_ledger_length();
        int error = bl_sys_reserve(draft.fd, 0, draft.length);
        if (error)
            return error;
        if (!map_draft(MAP_POPULATE))
            return write_running(reason, number);
        if (copy_stopped(reason, number, reaches)) {
            if (reaches) {
                bl_reach_thaw();
                bl_reach_finish();
            }
            return copy_rest();
        }
        unmap_draft();
    }
    return -EAGAIN;
}

static void drop_draft(void)
{
    unsigned char *map = draft.map;
    int fd = draft.fd;
    draft.map = NULL;
    draft.fd = -1;
    if (map)
        bl_sys_unmap(map, draft.length);
    if (fd >= 0)
        bl_sys_close(fd);
}

int bl_snapshot_write(const char *base, enum bl_reason reason, uint32_t number, uint32_t flags)
{
    bool reaches = (flags & BL_DUMP_REACH) && bl_reach_begin();
    char name[BL_DIR_NAME_MAX];
    struct bl_text t;
    file_name(&t, name, sizeof name, base, number);
    file_name(&t, draft.part, sizeof draft.part, base, number);
    bl_text_str(&t, ".part");
    int fd = bl_dir_create_file(draft.part);
    int error = fd < 0 ? fd : 0;
    if (!error) {
        draft.fd = fd;
        error = fill_draft(reason, number, reaches);
        drop_draft();
        if (!error)
            error = bl_dir_rename(draft.part, name);
        if (error)
            bl_dir_unlink(draft.part);
    }
    if (reaches)
        bl_reach_cancel();
    if (error)
        bl_losses_add(BL_LOSS_snapshots_failed, 1);
    else if (number > BL_SNAPSHOTS_KEPT) {
        file_name(&t, name, sizeof name, base, number - BL_SNAPSHOTS_KEPT);
        bl_dir_unlink(name);
    }
    return error;
}

void bl_snapshot_abandon(void)
{
    if (bl_load_relaxed(&draft.fd) >= 0)
        bl_dir_unlink(draft.part);
}

void bl_snapshot_after_fork(void)
{
    drop_draft();
}
