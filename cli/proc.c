#include "proc.h"

#include "text.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (16u << 20)

/* A whole file of /proc, NUL-terminated; these have no size to ask for. */
static char *read_proc_file(pid_t pid, const char *name, size_t *ret_length)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    size_t room = 4096;
    size_t length = 0;
    char *text = malloc(room + 1);
    while (text) {
        ssize_t got = read(fd, text + length, room - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        length += (size_t)got;
        if (length < room)
            continue;
        room *= 2;
        char *grown = room <= FILE_BYTES_MAX ? realloc(text, room + 1) : NULL;
        if (!grown)
            break;
        text = grown;
    }
    close(fd);
    if (text)
        text[length] = '\0';
    *ret_length = length;
    return text;
}

/* The name in parentheses may itself hold spaces and parentheses: the last ')' ends it. */
static bool parse_stat(const char *text, struct bl_proc *proc)
{
    const char *open_mark = strchr(text, '(');
    const char *close_mark = strrchr(text, ')');
    if (!open_mark || !close_mark || close_mark < open_mark)
        return false;
    bl_text_printable(proc->comm, sizeof(proc->comm), open_mark + 1,
                      (size_t)(close_mark - open_mark - 1));
    int ppid;
    unsigned long long ticks;
    if (sscanf(close_mark + 1,
               " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &proc->state, &ppid, &ticks) != 3)
        return false;
    proc->ppid = ppid;
    proc->start_ticks = ticks;
    return true;
}

static void parse_status(const char *text, struct bl_proc *proc)
{
    unsigned effective;
    const char *line = strstr(text, "\nUid:");
    if (line && sscanf(line, "\nUid: %*u %u", &effective) == 1)
        proc->uid = effective;
    line = strstr(text, "\nNSpid:");
    if (!line)
        return;
    line += strlen("\nNSpid:");
    while (proc->ns_pid_count < BL_PROC_NS_DEPTH && (*line == '\t' || *line == ' ')) {
        char *end;
        long number = strtol(line, &end, 10);
        if (end == line)
            break;
        proc->ns_pids[proc->ns_pid_count++] = (pid_t)number;
        line = end;
    }
}

static uint64_t namespace_of(pid_t pid)
{
    char path[64];
    struct stat status;
    snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
    return stat(path, &status) == 0 ? status.st_ino : 0;
}

int bl_proc_read(pid_t pid, struct bl_proc *ret_proc)
{
    struct bl_proc proc = {.pid = pid};
    size_t length;
    char *text = read_proc_file(pid, "stat", &length);
    bool known = text && parse_stat(text, &proc);
    free(text);
    if (!known)
        return -ESRCH;
    text = read_proc_file(pid, "status", &length);
    if (text)
        parse_status(text, &proc);
    free(text);
    proc.pid_namespace = namespace_of(pid);
    *ret_proc = proc;
    return 0;
}

char *bl_proc_environ(pid_t pid, const char *name)
{
    size_t length;
    size_t name_length = strlen(name);
    char *text = read_proc_file(pid, "environ", &length);
    char *value = NULL;
    for (size_t at = 0; text && at < length; at += strlen(text + at) + 1) {
        if (strncmp(text + at, name, name_length) == 0 && text[at + name_length] == '=') {
            value = strdup(text + at + name_length + 1);
            break;
        }
    }
    free(text);
    return value;
}

static bool at_secure(pid_t pid)
{
    size_t length;
    bool secure = false;
    char *text = read_proc_file(pid, "auxv", &length);
    for (size_t at = 0; text && at + sizeof(Elf64_auxv_t) <= length; at += sizeof(Elf64_auxv_t)) {
        Elf64_auxv_t entry;
        memcpy(&entry, text + at, sizeof(entry));
        if (entry.a_type == AT_SECURE)
            secure = entry.a_un.a_val != 0;
    }
    free(text);
    return secure;
}

/* No program interpreter asked for: nothing reads LD_PRELOAD. */
static bool is_static(pid_t pid)
{
    char path[64];
    Elf64_Ehdr header;
    bool has_interpreter = false;
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is_elf = pread(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
                  memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
                  header.e_ident[EI_CLASS] == ELFCLASS64 &&
                  header.e_phentsize == sizeof(Elf64_Phdr);
    for (unsigned i = 0; is_elf && i < header.e_phnum; i++) {
        Elf64_Phdr segment;
        off_t offset = (off_t)(header.e_phoff + i * sizeof(segment));
        if (pread(fd, &segment, sizeof(segment), offset) == (ssize_t)sizeof(segment))
            has_interpreter |= segment.p_type == PT_INTERP;
    }
    close(fd);
    return is_elf && !has_interpreter;
}

/* -1 when the process is not ours to look at. One that is ending has no maps, which can be read. */
static int maps_have_shim(pid_t pid)
{
    size_t length;
    char *maps = read_proc_file(pid, "maps", &length);
    int found = maps ? strstr(maps, "/libbufleak") != NULL : -1;
    free(maps);
    return found;
}

/* A line ends with the inode and the path, as the process sees it. Devices are not compared: those
 * of some file systems differ from what stat says. */
bool bl_proc_maps_file(pid_t pid, ino_t inode, const char *name)
{
    char wanted[32];
    size_t length;
    bool found = false;
    char *maps = read_proc_file(pid, "maps", &length);
    snprintf(wanted, sizeof(wanted), " %llu ", (unsigned long long)inode);
    for (char *line = maps; line && *line && !found;) {
        char *end = line + strcspn(line, "\n");
        char *next = *end ? end + 1 : end;
        *end = '\0';
        const char *slash = strrchr(line, '/');
        found = slash && strcmp(slash + 1, name) == 0 && strstr(line, wanted);
        line = next;
    }
    free(maps);
    return found;
}

bool bl_proc_has_shim(pid_t pid)
{
    return maps_have_shim(pid) == 1;
}

enum bl_proc_preload bl_proc_preload_state(pid_t pid)
{
    /* the mapping first: a program that rewrites its title writes over its environment */
    int mapped = maps_have_shim(pid);
    if (mapped == 1)
        return BL_PROC_MAPPED;
    if (mapped < 0)
        return BL_PROC_UNREADABLE;
    char *preload = bl_proc_environ(pid, "LD_PRELOAD");
    bool named = preload && strstr(preload, "libbufleak");
    free(preload);
    if (!named)
        return BL_PROC_NO_PRELOAD;
    if (is_static(pid))
        return BL_PROC_STATIC;
    return at_secure(pid) ? BL_PROC_AT_SECURE : BL_PROC_NOT_MAPPED;
}

bool bl_proc_is_below(pid_t pid, pid_t root)
{
    struct bl_proc process;
    for (int depth = 0; depth < 256 && pid > 0; depth++) {
        if (pid == root)
            return true;
        if (bl_proc_read(pid, &process) < 0)
            return false;
        pid = process.ppid;
    }
    return false;
}

struct family {
    struct relation {
        pid_t pid;
        pid_t parent;
        bool is_below;
    } * members;
    size_t count;
    size_t room;
};

static bool visit_member(pid_t pid, void *context)
{
    struct family *family = context;
    struct bl_proc process = {0};
    size_t length;
    char *text = read_proc_file(pid, "stat", &length);
    bool known = text && parse_stat(text, &process) && process.state != 'Z';
    free(text);
    if (!known)
        return true;
    if (family->count == family->room) {
        size_t room = family->room ? family->room * 2 : 256;
        struct relation *grown = realloc(family->members, room * sizeof(*grown));
        if (!grown)
            return false;
        family->members = grown;
        family->room = room;
    }
    family->members[family->count++] = (struct relation){.pid = pid, .parent = process.ppid};
    return true;
}

static bool is_known(const struct family *family, pid_t pid)
{
    for (size_t i = 0; i < family->count; i++)
        if (family->members[i].pid == pid)
            return family->members[i].is_below;
    return false;
}

size_t bl_proc_descendants(pid_t root, pid_t **ret_pids)
{
    struct family family = {0};
    bl_proc_each(visit_member, &family);
    size_t found = 0;
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < family.count; i++) {
            struct relation *member = &family.members[i];
            if (member->is_below || (member->parent != root && !is_known(&family, member->parent)))
                continue;
            member->is_below = true;
            changed = true;
            found++;
        }
    }
    pid_t *pids = calloc(found + 1, sizeof(*pids));
    size_t count = 0;
    for (size_t i = 0; pids && i < family.count; i++)
        if (family.members[i].is_below)
            pids[count++] = family.members[i].pid;
    free(family.members);
    *ret_pids = pids;
    return count;
}

const char *bl_proc_preload_text(enum bl_proc_preload state)
{
    switch (state) {
    case BL_PROC_AT_SECURE:
        return "the kernel dropped LD_PRELOAD (setuid, file capabilities or other credentials: "
               "AT_SECURE)";
    case BL_PROC_STATIC:
        return "a static executable: it has no loader that reads LD_PRELOAD";
    case BL_PROC_NOT_MAPPED:
        return "its environment names libbufleak.so, but the library is not loaded";
    case BL_PROC_NO_PRELOAD:
    case BL_PROC_MAPPED:
    case BL_PROC_UNREADABLE:
        break;
    }
    return NULL;
}

bool bl_proc_boot_id(uint8_t ret_id[16])
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    char text[64];
    size_t filled = 0;
    if (!file)
        return false;
    bool got = fgets(text, sizeof(text), file) != NULL;
    fclose(file);
    for (const char *at = text; got && *at && filled < 16;) {
        unsigned byte;
        if (*at == '-') {
            at++;
            continue;
        }
        if (sscanf(at, "%2x", &byte) != 1)
            break;
        ret_id[filled++] = (uint8_t)byte;
        at += 2;
    }
    return filled == 16;
}

void bl_proc_each(bool (*visit)(pid_t pid, void *context), void *context)
{
    DIR *directory = opendir("/proc");
    if (!directory)
        return;
    struct dirent *entry;
    uint64_t number;
    while ((entry = readdir(directory)))
        if (bl_text_parse_number(entry->d_name, INT32_MAX, &number) &&
            !visit((pid_t)number, context))
            break;
    closedir(directory);
}

static bool is_writer(const struct bl_header *header, const struct bl_proc *proc)
{
    bool same_start =
        header->proc_start_ticks == 0 || header->proc_start_ticks == proc->start_ticks;
    bool same_space = header->pid_namespace == 0 || proc->pid_namespace == 0 ||
                      header->pid_namespace == proc->pid_namespace;
    pid_t own_number = proc->ns_pid_count > 0 ? proc->ns_pids[proc->ns_pid_count - 1] : proc->pid;
    return same_start && same_space && own_number == (pid_t)header->pid && proc->state != 'Z' &&
           proc->state != 'X';
}

struct search {
    const struct bl_header *header;
    struct bl_proc found;
    bool is_found;
};

static bool visit_candidate(pid_t pid, void *context)
{
    struct search *search = context;
    struct bl_proc proc;
    if (bl_proc_read(pid, &proc) == 0 && is_writer(search->header, &proc)) {
        search->found = proc;
        search->is_found = true;
    }
    return !search->is_found;
}

bool bl_proc_is_this_boot(const struct bl_header *header)
{
    static const uint8_t unknown[16];
    uint8_t boot[16];
    return memcmp(header->boot_id, unknown, 16) == 0 || !bl_proc_boot_id(boot) ||
           memcmp(header->boot_id, boot, 16) == 0;
}

bool bl_proc_may_be_hidden(const struct bl_header *header)
{
    const uint64_t first_namespace = 0xeffffffc; /* PROC_PID_INIT_INO: sees every process */
    uint64_t ours = namespace_of(getpid());
    return header->state == BL_STATE_RUNNING && bl_proc_is_this_boot(header) &&
           header->pid_namespace != 0 && header->pid_namespace != ours && ours != first_namespace;
}

bool bl_proc_find_writer(const struct bl_header *header, struct bl_proc *ret_proc)
{
    if (header->state != BL_STATE_RUNNING || !bl_proc_is_this_boot(header))
        return false;
    struct search search = {.header = header};
    if (visit_candidate((pid_t)header->pid, &search)) {
        /* in a PID namespace of its own the process has another number here */
        uint64_t ours = namespace_of(getpid());
        if (header->pid_namespace != 0 && header->pid_namespace != ours)
            bl_proc_each(visit_candidate, &search);
    }
    if (search.is_found)
        *ret_proc = search.found;
    return search.is_found;
}
