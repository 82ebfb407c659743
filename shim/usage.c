#include "usage.h"
#include "lock.h"
#include "sigsafe.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#define PATH_BYTES   1024u
#define PAGE_BYTES   4096u
#define LIMIT_IS_MAX (1ull << 60)

struct controller {
    const char *mount;
    const char *limit;
    const char *usage;
};

static const struct controller version_2[] = {
    {"/sys/fs/cgroup", "/memory.max", "/memory.current"},
    {"/sys/fs/cgroup/unified", "/memory.max", "/memory.current"},
};
static const struct controller version_1 = {"/sys/fs/cgroup/memory", "/memory.limit_in_bytes",
                                            "/memory.usage_in_bytes"};

enum file { STATM, CGROUP, LEADER, FILES };

static struct bl_lock lock = BL_LOCK_INIT; /* held for one read: vacate moves the descriptors */
static struct bl_own_fd files[FILES] = {BL_OWN_FD_NONE, BL_OWN_FD_NONE, BL_OWN_FD_NONE};
static uint64_t cgroup_limit_bytes;

static void open_file(enum file which, const char *directory, const char *name)
{
    char path[PATH_BYTES + 64];
    struct bl_text t;
    bl_text_init(&t, path, sizeof path);
    bl_text_str(&t, directory);
    bl_text_str(&t, name);
    long fd = bl_sys4(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0);
    bl_own_fd_set(&files[which], fd < 0 ? -1 : bl_sys_move_high((int)fd));
}

static long read_file(enum file which, char *buffer, size_t size)
{
    long n = -1;
    bl_lock_take(&lock);
    if (bl_own_fd_valid(&files[which]))
        n = bl_sys4(SYS_pread64, files[which].fd, (long)buffer, (long)size - 1, 0);
    bl_lock_give(&lock);
    buffer[n > 0 ? n : 0] = '\0';
    return n;
}

/* For the search, which runs alone: not on a thread's stack, which may be small. */
static char lines[4096];
static char cgroup[PATH_BYTES];
static char place[PATH_BYTES];
static char least[PATH_BYTES];

/* False: there is no such file. "max", or a number as large, is no limit: 0. */
static bool read_limit(const char *directory, const char *name, uint64_t *ret_limit)
{
    char file[PATH_BYTES + 64];
    char text[64];
    const char *digits = text;
    struct bl_text t;
    bl_text_init(&t, file, sizeof file);
    bl_text_str(&t, directory);
    bl_text_str(&t, name);
    if (bl_sys_read_file(file, text, sizeof text) <= 0)
        return false;
    if (!bl_parse_u64(&digits, ret_limit) || *ret_limit >= LIMIT_IS_MAX)
        *ret_limit = 0;
    return true;
}

static bool has_word(const char *list, size_t length, const char *word)
{
    size_t word_length = strlen(word);
    while (length > 0) {
        const char *comma = memchr(list, ',', length);
        size_t part = comma ? (size_t)(comma - list) : length;
        if (part == word_length && memcmp(list, word, part) == 0)
            return true;
        list += part + (comma != NULL);
        length -= part + (comma != NULL);
    }
    return word_length == 0;
}

/* Into cgroup: that of the line of /proc/self/cgroup, NUMBER:CONTROLLERS:PATH, which has the
 * controller; "" is version 2's only line. */
static bool find_path(const char *controller)
{
    for (const char *line = lines; *line;) {
        size_t length = strcspn(line, "\n");
        const char *list = memchr(line, ':', length);
        const char *end = list ? memchr(list + 1, ':', length - (size_t)(list + 1 - line)) : NULL;
        size_t list_length = end ? (size_t)(end - list - 1) : 0;
        bool is_it =
            end && (*controller || list_length == 0) && has_word(list + 1, list_length, controller);
        if (is_it) {
            struct bl_text t;
            bl_text_init(&t, cgroup, sizeof cgroup);
            bl_text_bytes(&t, end + 1, length - (size_t)(end + 1 - line));
            return true;
        }
        line += length + (line[length] == '\n');
    }
    return false;
}

/* From the cgroup up to the mount: takes the directory with the least limit, else the first. */
static bool search(const struct controller *c)
{
    bool found = false;
    struct bl_text t;
    bl_text_init(&t, place, sizeof place);
    bl_text_str(&t, c->mount);
    size_t mount_length = bl_text_length(&t);
    bl_text_str(&t, strcmp(cgroup, "/") == 0 ? "" : cgroup);
    for (;;) {
        uint64_t limit;
        bool is_one = read_limit(place, c->limit, &limit);
        bool is_less = is_one && limit && (!cgroup_limit_bytes || limit < cgroup_limit_bytes);
        if (is_one && (!found || is_less)) {
            memcpy(least, place, sizeof least);
            cgroup_limit_bytes = limit;
            found = true;
        }
        char *slash = strrchr(place, '/');
        if (strlen(place) <= mount_length || !slash)
            break;
        *slash = '\0';
    }
    if (found)
        open_file(CGROUP, least, c->usage);
    return found;
}

static void look_for_cgroup(void)
{
    cgroup_limit_bytes = 0;
    if (bl_sys_read_file("/proc/self/cgroup", lines, sizeof lines) <= 0)
        return;
    if (find_path("memory") && search(&version_1))
        return;
    for (size_t i = 0; i < BL_ARRAY_LENGTH(version_2) && find_path(""); i++) {
        if (search(&version_2[i]))
            return;
    }
}

static void name_leader(struct bl_text *t, char *path, size_t size)
{
    bl_text_init(t, path, size);
    bl_text_str(t, "/proc/self/task/");
    bl_text_u64(t, bl_sys_getpid());
    bl_text_str(t, "/stat");
}

static void open_own_files(void)
{
    char path[64];
    struct bl_text t;
    bl_lock_reset(&lock);
    for (enum file f = 0; f < FILES && bl_sys_few_descriptors; f++)
        files[f].fd = BL_FD_NONE; /* numbers of another helper's */
    bl_own_fd_close(&files[STATM]);
    bl_own_fd_close(&files[LEADER]);
    open_file(STATM, "/proc/self", "/statm");
    name_leader(&t, path, sizeof path);
    open_file(LEADER, path, "");
}

void bl_usage_open(void)
{
    open_own_files();
    look_for_cgroup();
}

void bl_usage_after_fork(void)
{
    if (!bl_sys_few_descriptors)
        open_own_files();
}

static void read_statm(struct bl_usage *u)
{
    char text[128];
    const char *at = text;
    uint64_t size;
    uint64_t resident;
    if (read_file(STATM, text, sizeof text) <= 0 || !bl_parse_u64(&at, &size) || *at++ != ' ' ||
        !bl_parse_u64(&at, &resident))
        return;
    u->address_space_bytes = size * PAGE_BYTES;
    u->rss_bytes = resident * PAGE_BYTES;
}

void bl_usage_read(struct bl_usage *ret_usage)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    char text[64];
    const char *at = text;
    memset(ret_usage, 0, sizeof *ret_usage);
    read_statm(ret_usage);
    if (read_file(CGROUP, text, sizeof text) > 0)
        bl_parse_u64(&at, &ret_usage->cgroup_bytes);
    ret_usage->cgroup_limit_bytes = cgroup_limit_bytes;
    if (bl_sys4(SYS_prlimit64, 0, RLIMIT_AS, 0, (long)&limit) == 0 &&
        limit.rlim_cur != RLIM_INFINITY)
        ret_usage->address_space_limit_bytes = limit.rlim_cur;
}

long bl_usage_read_leader(char *buffer, size_t size)
{
    char path[64];
    struct bl_text t;
    if (!bl_sys_few_descriptors || bl_own_fd_valid(&files[LEADER]))
        return read_file(LEADER, buffer, size);
    name_leader(&t, path, sizeof path);
    return bl_sys_read_file(path, buffer, size);
}

bool bl_usage_owns_fd(int fd)
{
    for (enum file f = 0; f < FILES && !bl_sys_few_descriptors; f++) {
        if (bl_own_fd_is(&files[f], fd))
            return true;
    }
    return false;
}

void bl_usage_vacate_fd(int fd)
{
    if (bl_sys_few_descriptors)
        return;
    bl_lock_take(&lock);
    for (enum file f = 0; f < FILES; f++)
        bl_own_fd_vacate(&files[f], fd);
    bl_lock_give(&lock);
}
