#include "ledger.h"
#include "dir.h"
#include "lock.h"
#include "losses.h"

#include <errno.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>

/* Those after them get their first extent when a class needs it. */
#define SECTIONS_AT_START (BL_SECTION_HOOKS + 1u)
#define RANGES_MAX        (BL_EXTENTS_MAX + 1u)

struct range {
    unsigned char *start;
    uint64_t length;
};

unsigned char *bl_chunks[BL_SECTION_COUNT][BL_CHUNKS_MAX];
static struct bl_header early_header BL_ALIGNED(8);
struct bl_header *bl_header = &early_header;

static struct bl_lock lock = BL_LOCK_INIT; /* BL_RANK_LEDGER: all below */
static struct bl_extent *extents;
static uint32_t chunk_count[BL_SECTION_COUNT];
static struct range ranges[RANGES_MAX]; /* mappings of the file (or, without one, of memory) */
static uint32_t range_count;
static uint64_t file_length;
static struct bl_own_fd file = BL_OWN_FD_NONE;
static char file_name[BL_DIR_NAME_MAX];

/* the copy made for a child between the fork handlers */
static struct {
    unsigned char *map;
    uint64_t length;
    int fd;
    char name[BL_DIR_NAME_MAX]; /* empty: not in the directory */
} heir = {.fd = -1};

const char *bl_ledger_name(void)
{
    return file_name;
}

bool bl_ledger_owns_fd(int fd)
{
    return bl_own_fd_is(&file, fd);
}

uint64_t bl_ledger_length(void)
{
    return bl_load_acquire(&file_length);
}

void bl_ledger_vacate_fd(int fd)
{
    bl_lock_take(&lock);
    bl_own_fd_vacate(&file, fd);
    bl_lock_give(&lock);
}

static uint32_t chunk_pages(enum bl_section s, uint32_t chunk)
{
    const struct bl_geometry g = bl_geometry[s];
    uint32_t log2 = chunk == 0 ? g.first : g.first + chunk - 1u;
    if (log2 > g.last)
        log2 = g.last;
    return (uint32_t)(((uint64_t)g.record_bytes << log2) / BL_PAGE);
}

static uint64_t initial_length(void)
{
    uint64_t pages = BL_EXTENTS_END / BL_PAGE;
    for (enum bl_section s = 0; s < SECTIONS_AT_START; s++)
        pages += chunk_pages(s, 0);
    return pages * BL_PAGE;
}

static void *map_file(int fd, uint64_t offset, uint64_t length, int flags)
{
    if (fd < 0)
        return bl_sys_map(length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return bl_sys_map(length, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, offset);
}

static int open_memfd(void)
{
    int fd = (int)bl_sys3(SYS_memfd_create, (long)BL_MEMFD_NAME, MFD_CLOEXEC, 0);
    return fd < 0 ? fd : bl_sys_move_high(fd);
}

/* Reserves and maps length bytes of fd (-1: of memory). Returns NULL when refused. */
static unsigned char *reserve_and_map(int fd, uint64_t length, int flags)
{
    if (fd >= 0 && bl_sys_reserve(fd, 0, length) < 0)
        return NULL;
    return map_file(fd, 0, length, flags);
}

struct backing {
    unsigned char *map;
    int fd;
    bool named;
};

/* A file of `length` bytes in the directory, else a memfd, else memory. map NULL: none of them. */
static struct backing make_backing(const char *name, uint64_t length, bool try_file, int flags)
{
    struct backing b = {NULL, -1, false};
    if (try_file) {
        b.fd = bl_dir_create_file(name);
        b.map = b.fd < 0 ? NULL : reserve_and_map(b.fd, length, flags);
        b.named = b.map != NULL;
        if (b.fd >= 0 && !b.map) {
            bl_sys_close(b.fd);
            bl_dir_unlink(name);
        }
    }
    if (!b.map) {
        bl_losses_add(BL_LOSS_ledger_no_file, 1);
        b.fd = open_memfd();
        b.map = b.fd < 0 ? NULL : reserve_and_map(b.fd, length, flags);
        if (b.fd >= 0 && !b.map)
            bl_sys_close(b.fd);
    }
    if (!b.map) {
        b.fd = -1;
        b.map = map_file(-1, 0, length, 0);
    }
    return b;
}

/* Enters the extent that starts at `at` as the next chunk of s. */
static void enter_chunk(enum bl_section s, unsigned char *at, uint64_t offset, uint16_t flags)
{
    uint32_t n = bl_header->extents_used;
    uint32_t pages = chunk_pages(s, chunk_count[s]);
    extents[n] = (struct bl_extent){
        .offset = offset, .pages = pages, .section = (uint16_t)s, .flags = flags};
    bl_store_release(&bl_chunks[s][chunk_count[s]], at);
    chunk_count[s]++;
    bl_store_release(&bl_header->extents_used, n + 1);
}

static void remember_name(const char *name, bool named)
{
    struct bl_text t;
    bl_text_init(&t, file_name, sizeof file_name);
    bl_text_str(&t, named ? name : "");
}

/* A file without a name cannot be opened anew: what comes is in memory then. */
static void keep_file(int fd, bool named)
{
    bl_own_fd_keep(&file, fd);
    if (!named && file.fd == BL_FD_ASIDE)
        file.fd = BL_FD_NONE;
}

int bl_ledger_create(const char *name, bool try_file)
{
    uint64_t length = initial_length();
    struct backing b = make_backing(name, length, try_file, 0);
    if (!b.map)
        return -ENOMEM;
    keep_file(b.fd, b.named);
    file_length = length;
    remember_name(name, b.named);
    ranges[0] = (struct range){b.map, length};
    range_count = 1;
    struct bl_header *header = (void *)b.map;
    extents = (void *)(b.map + BL_EXTENTS_OFFSET);
    memcpy(header, bl_header, sizeof *header);
    header->extents_used = 0;
    bl_header = header;
    uint64_t offset = BL_EXTENTS_END;
    for (enum bl_section s = 0; s < BL_SECTION_COUNT; s++)
        chunk_count[s] = 0;
    for (enum bl_section s = 0; s < SECTIONS_AT_START; s++) {
        uint64_t bytes = (uint64_t)chunk_pages(s, 0) * BL_PAGE;
        enter_chunk(s, b.map + offset, offset, 0);
        offset += bytes;
    }
    bl_losses_attach(header->losses);
    header->version = BL_VERSION_FORMAT;
    header->header_size = sizeof *header;
    return 0;
}

/* -1: none. One that was closed behind our back, or is not kept open, is opened anew. */
static int file_descriptor_locked(void)
{
    if (file.fd == BL_FD_NONE || bl_own_fd_valid(&file))
        return file.fd;
    int fd = *file_name ? bl_dir_open_file(file_name) : -1;
    if (fd >= 0 && !bl_own_fd_refers(&file, fd)) {
        bl_sys_close(fd);
        fd = -1;
    }
    if (fd >= 0 && bl_sys_few_descriptors)
        return fd;
    file.fd = fd < 0 ? BL_FD_NONE : fd;
    return file.fd;
}

static unsigned char *extend_file_locked(uint64_t bytes)
{
    int fd = file_descriptor_locked();
    unsigned char *at = NULL;
    if (fd >= 0 && bl_sys_reserve(fd, file_length, bytes) == 0)
        at = map_file(fd, file_length, bytes, 0);
    if (fd >= 0 && bl_sys_few_descriptors)
        bl_sys_close(fd);
    return at;
}

static int grow_in_file_locked(enum bl_section s, uint64_t bytes)
{
    unsigned char *at = extend_file_locked(bytes);
    if (!at)
        return -ENOSPC;
    ranges[range_count++] = (struct range){at, bytes};
    enter_chunk(s, at, file_length, 0);
    bl_store_release(&file_length, file_length + bytes);
    return 0;
}

static int grow_in_memory_locked(enum bl_section s, uint64_t bytes)
{
    unsigned char *at = map_file(-1, 0, bytes, 0);
    if (!at) {
        bl_losses_add(BL_LOSS_arena_failures, 1);
        return -ENOMEM;
    }
    bl_losses_add(BL_LOSS_ledger_private_bytes, bytes);
    enter_chunk(s, at, 0, BL_EXTENT_PRIVATE);
    return 0;
}

static int grow_locked(enum bl_section s)
{
    uint64_t bytes = (uint64_t)chunk_pages(s, chunk_count[s]) * BL_PAGE;
    if (bl_header->extents_used >= BL_EXTENTS_MAX || range_count >= RANGES_MAX)
        return -ENOSPC;
    if (s == BL_SECTION_CLASSES)
        return -ENOSPC;
    int error = grow_in_file_locked(s, bytes);
    return error ? grow_in_memory_locked(s, bytes) : 0;
}

int bl_ledger_ensure(enum bl_section s, uint32_t count)
{
    if (count == 0)
        return 0;
    uint32_t chunk = bl_ledger_locate(s, count - 1).chunk;
    if (BL_LIKELY(chunk < BL_CHUNKS_MAX && bl_load_acquire(&bl_chunks[s][chunk])))
        return 0;
    int error = 0;
    bl_lock_take(&lock);
    while (!error && chunk_count[s] <= chunk)
        error = grow_locked(s);
    bl_lock_give(&lock);
    return error;
}

static bool is_hot(uint32_t section)
{
    return section == BL_SECTION_LIVE || section == BL_SECTION_COUNTERS ||
           section == BL_SECTION_CLASSES || section == BL_SECTION_OBJECTS ||
           section == BL_SECTION_EVENTS || section == BL_SECTION_LIFECYCLES ||
           section == BL_SECTION_FREE_PATHS;
}

/* How long a file with these extents is. */
static uint64_t length_of(const struct bl_extent *list, uint32_t count)
{
    uint64_t length = BL_EXTENTS_END;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t end = list[i].offset + (uint64_t)list[i].pages * BL_PAGE;
        if (!(list[i].flags & BL_EXTENT_PRIVATE) && end > length)
            length = end;
    }
    return length;
}

/* Makes a copy's header and directory tell of all that has been appended since. */
static uint32_t renew_rest(struct bl_header *copy, struct bl_extent *layout)
{
    for (enum bl_section s = 0; s < BL_SECTION_COUNT; s++) {
        if (!is_hot(s))
            copy->published[s] = bl_load_acquire(&bl_header->published[s]);
    }
    copy->extents_used = bl_load_acquire(&bl_header->extents_used);
    memcpy(layout, extents, BL_EXTENTS_MAX * sizeof *extents);
    return copy->extents_used;
}

uint64_t bl_ledger_copy(unsigned char *to, uint64_t length, bool hot)
{
    uint64_t copied[BL_SECTION_COUNT] = {0};
    uint32_t chunk[BL_SECTION_COUNT] = {0};
    uint32_t used = bl_load_acquire(&bl_header->extents_used);
    if (hot) {
        memcpy(to, bl_header, sizeof *bl_header);
        memcpy(to + BL_EXTENTS_OFFSET, extents, BL_EXTENTS_MAX * sizeof *extents);
    }
    struct bl_header *copy = (void *)to;
    if (!hot)
        used = renew_rest(copy, (void *)(to + BL_EXTENTS_OFFSET));
    for (uint32_t i = 0; i < used; i++) {
        const struct bl_extent *e = &extents[i];
        uint64_t bytes = (uint64_t)e->pages * BL_PAGE;
        uint64_t filled = copy->published[e->section] * bl_geometry[e->section].record_bytes;
        const unsigned char *from = bl_chunks[e->section][chunk[e->section]++];
        uint64_t want = filled > copied[e->section] ? filled - copied[e->section] : 0;
        copied[e->section] += bytes;
        if (want > bytes)
            want = bytes;
        if (is_hot(e->section) == hot && !(e->flags & BL_EXTENT_PRIVATE) &&
            e->offset + want <= length)
            memcpy(to + e->offset, from, want);
    }
    return length_of((const void *)(to + BL_EXTENTS_OFFSET), copy->extents_used);
}

void bl_ledger_each_range(void (*visit)(void *context, uint64_t start, uint64_t end), void *context)
{
    uint32_t chunk[BL_SECTION_COUNT] = {0};
    for (uint32_t i = 0; i < range_count; i++) {
        uint64_t start = (uint64_t)(uintptr_t)ranges[i].start;
        visit(context, start, start + ranges[i].length);
    }
    for (uint32_t i = 0; i < bl_load_acquire(&bl_header->extents_used); i++) {
        uint64_t start =
            (uint64_t)(uintptr_t)bl_chunks[extents[i].section][chunk[extents[i].section]++];
        if (extents[i].flags & BL_EXTENT_PRIVATE)
            visit(context, start, start + (uint64_t)extents[i].pages * BL_PAGE);
    }
}

void bl_ledger_chunks_in(const unsigned char *copy, enum bl_section s,
                         const unsigned char *ret_chunks[BL_CHUNKS_MAX])
{
    const struct bl_header *header = (const void *)copy;
    const struct bl_extent *layout = (const void *)(copy + BL_EXTENTS_OFFSET);
    uint32_t chunk = 0;
    for (uint32_t i = 0; i < header->extents_used && i < BL_EXTENTS_MAX; i++) {
        if (layout[i].section != s)
            continue;
        bool is_private = layout[i].flags & BL_EXTENT_PRIVATE;
        ret_chunks[chunk] = is_private ? bl_chunks[s][chunk] : copy + layout[i].offset;
        chunk++;
    }
}

/* Memory in time, marks in it, and what its threads and memory held, are the parent's own. */
static bool is_for_child(uint32_t section)
{
    return section != BL_SECTION_SERIES && section != BL_SECTION_SAMPLES &&
           section != BL_SECTION_MARKS && section != BL_SECTION_REACH &&
           section != BL_SECTION_REACH_ROOTS && section != BL_SECTION_REACH_RUN;
}

static uint64_t heir_length(void)
{
    uint64_t length = BL_EXTENTS_END;
    for (uint32_t i = 0; i < bl_header->extents_used; i++) {
        if (is_for_child(extents[i].section) && !(extents[i].flags & BL_EXTENT_PRIVATE))
            length += (uint64_t)extents[i].pages * BL_PAGE;
    }
    return length;
}

/* What the child takes over, moved together. All locks are held: nothing changes meanwhile. */
static void copy_for_child(unsigned char *to)
{
    uint64_t copied[BL_SECTION_COUNT] = {0};
    uint32_t chunk[BL_SECTION_COUNT] = {0};
    struct bl_header *header = (void *)to;
    struct bl_extent *layout = (void *)(to + BL_EXTENTS_OFFSET);
    uint64_t offset = BL_EXTENTS_END;
    uint32_t used = 0;
    memcpy(header, bl_header, sizeof *header);
    for (uint32_t i = 0; i < bl_header->extents_used; i++) {
        struct bl_extent e = extents[i];
        uint64_t bytes = (uint64_t)e.pages * BL_PAGE;
        uint64_t filled = header->published[e.section] * bl_geometry[e.section].record_bytes;
        uint64_t want = filled > copied[e.section] ? filled - copied[e.section] : 0;
        const unsigned char *from = bl_chunks[e.section][chunk[e.section]++];
        copied[e.section] += bytes;
        if (!is_for_child(e.section))
            continue;
        if (!(e.flags & BL_EXTENT_PRIVATE)) {
            memcpy(to + offset, from, want < bytes ? want : bytes);
            e.offset = offset;
            offset += bytes;
        }
        layout[used++] = e;
    }
    header->extents_used = used;
    for (enum bl_section s = 0; s < BL_SECTION_COUNT; s++) {
        if (!is_for_child(s))
            header->published[s] = 0;
    }
}

void bl_ledger_fork_prepare(void)
{
    /* Named anew each time: the child before may not have come to rename its own yet. */
    static uint64_t turn;
    struct bl_text t;
    bl_text_init(&t, heir.name, sizeof heir.name);
    bl_text_str(&t, "fork.");
    bl_text_u64(&t, bl_sys_gettid());
    bl_text_str(&t, ".");
    bl_text_u64(&t, bl_header->start_realtime_ns / 1000 + turn++);
    bl_text_str(&t, ".part");
    heir.length = heir_length();
    struct backing b = make_backing(heir.name, heir.length, bl_dir_is_there(), MAP_POPULATE);
    heir.map = b.map;
    heir.fd = b.fd;
    if (!b.named)
        heir.name[0] = '\0';
    if (b.map)
        copy_for_child(heir.map);
}

void bl_ledger_fork_parent(void)
{
    if (heir.map)
        bl_sys_unmap(heir.map, heir.length);
    if (heir.fd >= 0)
        bl_sys_close(heir.fd);
    heir.map = NULL;
    heir.fd = -1;
}

static void point_chunks_at(unsigned char *map)
{
    uint32_t chunk[BL_SECTION_COUNT] = {0};
    bl_header = (void *)map;
    extents = (void *)(map + BL_EXTENTS_OFFSET);
    for (enum bl_section s = 0; s < BL_SECTION_COUNT; s++) {
        if (!is_for_child(s)) {
            memset(bl_chunks[s], 0, sizeof bl_chunks[s]);
            chunk_count[s] = 0;
        }
    }
    for (uint32_t i = 0; i < bl_header->extents_used; i++) {
        uint32_t c = chunk[extents[i].section]++;
        if (!(extents[i].flags & BL_EXTENT_PRIVATE))
            bl_chunks[extents[i].section][c] = map + extents[i].offset;
    }
}

int bl_ledger_fork_child(const char *name)
{
    if (!heir.map)
        return -ENOMEM;
    point_chunks_at(heir.map);
    bl_losses_attach(bl_header->losses);
    for (uint32_t i = 0; i < range_count; i++)
        bl_sys_unmap(ranges[i].start, ranges[i].length);
    ranges[0] = (struct range){heir.map, heir.length};
    range_count = 1;
    file_length = heir.length;
    bl_own_fd_close(&file);
    keep_file(heir.fd, heir.name[0] != '\0');
    bool named = heir.name[0] && bl_dir_rename(heir.name, name) == 0;
    remember_name(name, named);
    heir.map = NULL;
    heir.fd = -1;
    return 0;
}

void bl_ledger_forget(void)
{
    bl_losses_detach();
    bl_header = &early_header;
    memset(&early_header, 0, sizeof early_header);
    for (uint32_t i = 0; i < range_count; i++)
        bl_sys_unmap(ranges[i].start, ranges[i].length);
    range_count = 0;
    bl_own_fd_close(&file);
    memset(bl_chunks, 0, sizeof bl_chunks);
}

void bl_ledger_lock(void)
{
    bl_lock_take(&lock);
}

void bl_ledger_unlock(void)
{
    bl_lock_give(&lock);
}

void bl_ledger_reset_lock(void)
{
    bl_lock_reset(&lock);
}
