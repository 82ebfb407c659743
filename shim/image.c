#include "image.h"
#include "sigsafe.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#define TEXT_MAX    (64u << 20) /* address space, not memory: what is not filled is not there */
#define LINE_LEAST  40u
#define PATH_COLUMN 5 /* blanks before it */

static void *room_for(uint64_t bytes)
{
    return bl_sys_map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                      -1, 0);
}

static uint64_t parse_hex(const char **at)
{
    uint64_t value = 0;
    for (;; ++*at) {
        char c = **at;
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        else
            return value;
    }
}

/* "start-end perms offset device inode   path" with its newline turned into a NUL. */
static bool parse_line(struct bl_image *image, char *line, struct bl_region *ret_region)
{
    const char *at = line;
    struct bl_region r = {.start = parse_hex(&at)};
    if (*at++ != '-')
        return false;
    r.end = parse_hex(&at);
    if (strlen(at) < 6)
        return false;
    r.readable = at[1] == 'r';
    r.writable = at[2] == 'w';
    r.shared = at[4] == 's';
    at += 6;
    r.offset = parse_hex(&at);
    for (int column = 0; column < 2 && *at; column++) { /* device and inode */
        while (*at == ' ')
            at++;
        while (*at && *at != ' ')
            at++;
    }
    while (*at == ' ')
        at++;
    if (*at)
        r.path = (uint32_t)(at - image->text);
    *ret_region = r;
    return r.start < r.end;
}

static long read_text(char *text)
{
    long fd = bl_sys4(SYS_openat, AT_FDCWD, (long)"/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
    long used = 1; /* position 0 is "no path" */
    long n = 0;
    if (fd < 0)
        return fd;
    while (used < (long)TEXT_MAX - 8192 &&
           ((n = bl_sys3(SYS_read, fd, (long)(text + used), (long)TEXT_MAX - 1 - used)) > 0 ||
            n == -EINTR))
        used += n > 0 ? n : 0;
    bl_sys_close((int)fd);
    return n < 0 ? n : used;
}

static int read_regions(struct bl_image *image)
{
    image->text = room_for(TEXT_MAX);
    if (!image->text)
        return -ENOMEM;
    long length = read_text(image->text);
    if (length < 0)
        return (int)length;
    image->regions = room_for((uint64_t)length / LINE_LEAST * sizeof *image->regions + BL_PAGE);
    if (!image->regions)
        return -ENOMEM;
    for (char *line = image->text + 1; line < image->text + length;) {
        char *end = memchr(line, '\n', (size_t)(image->text + length - line));
        if (!end)
            break;
        *end = '\0';
        if (parse_line(image, line, &image->regions[image->region_count]))
            image->region_count++;
        line = end + 1;
    }
    return image->region_count ? 0 : -ENODATA;
}

static const struct bl_region *region_at(const struct bl_image *image, uint64_t address)
{
    uint32_t low = 0;
    uint32_t high = image->region_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (image->regions[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < image->region_count && image->regions[low].start <= address ? &image->regions[low]
                                                                             : NULL;
}

const struct bl_region *bl_image_region(const struct bl_image *image, uint64_t address)
{
    return region_at(image, address);
}

static bool is_readable(const struct bl_image *image, uint64_t start, uint64_t bytes)
{
    const struct bl_region *r = region_at(image, start);
    return r && r->readable && bytes <= r->end - start;
}

static const void *at_address(uint64_t address)
{
    return (const void *)(uintptr_t)address; // NOLINT(performance-no-int-to-ptr)
}

static void take_build_id(const struct bl_image *image, uint64_t start, uint64_t bytes,
                          struct bl_object_file *o)
{
    uint64_t at = start;
    if (!is_readable(image, start, bytes))
        return;
    while (bytes - (at - start) > sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *n = at_address(at);
        uint64_t text = at + sizeof *n + ((n->n_namesz + 3ull) & ~3ull);
        uint64_t next = text + ((n->n_descsz + 3ull) & ~3ull);
        if (next > start + bytes)
            return;
        if (n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 && !o->build_id_length) {
            o->build_id_length = n->n_descsz < BL_BUILD_ID_MAX ? n->n_descsz : BL_BUILD_ID_MAX;
            memcpy(o->build_id, at_address(text), o->build_id_length);
        }
        at = next;
    }
}

static void take_segments(const struct bl_image *image, const ElfW(Phdr) * ph, unsigned count,
                          struct bl_object_file *o)
{
    bool first = true;
    for (unsigned i = 0; i < count; i++) {
        if (ph[i].p_type != PT_LOAD)
            continue;
        if (first)
            o->bias = o->start - (ph[i].p_vaddr & ~(uint64_t)(BL_PAGE - 1));
        first = false;
        if (o->bias + ph[i].p_vaddr + ph[i].p_memsz > o->end)
            o->end = o->bias + ph[i].p_vaddr + ph[i].p_memsz;
    }
    for (unsigned i = 0; i < count && !first; i++) {
        if (ph[i].p_type == PT_NOTE)
            take_build_id(image, o->bias + ph[i].p_vaddr, ph[i].p_memsz, o);
        if (ph[i].p_type == PT_TLS)
            o->tls_bytes = ph[i].p_memsz + ph[i].p_align;
    }
}

static void read_object(struct bl_image *image, const struct bl_region *r)
{
    if (image->object_count == BL_IMAGE_OBJECTS || r->offset != 0 || !r->path || !r->readable ||
        r->shared || r->end - r->start < sizeof(ElfW(Ehdr)))
        return;
    const char *path = bl_image_path(image, r->path);
    const ElfW(Ehdr) *elf = at_address(r->start);
    if ((path[0] != '/' && strcmp(path, "[vdso]") != 0) || strncmp(path, "/dev/", 5) == 0 ||
        memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 || elf->e_phentsize != sizeof(ElfW(Phdr)))
        return;
    if (elf->e_phoff + (uint64_t)elf->e_phnum * sizeof(ElfW(Phdr)) > r->end - r->start)
        return;
    struct bl_object_file *o = &image->objects[image->object_count];
    *o = (struct bl_object_file){.start = r->start, .path = r->path};
    take_segments(image, at_address(r->start + elf->e_phoff), elf->e_phnum, o);
    if (o->end > o->start)
        image->object_count++;
}

int bl_image_read(struct bl_image *image)
{
    int error = read_regions(image);
    if (error)
        return error;
    image->objects = room_for(BL_IMAGE_OBJECTS * sizeof *image->objects);
    if (!image->objects)
        return -ENOMEM;
    for (uint32_t i = 0; i < image->region_count; i++)
        read_object(image, &image->regions[i]);
    return 0;
}

const struct bl_object_file *bl_image_object(const struct bl_image *image, uint64_t address)
{
    uint32_t low = 0;
    uint32_t high = image->object_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (image->objects[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || address >= image->objects[low - 1].end)
        return NULL;
    return &image->objects[low - 1];
}

bool bl_image_is_named(const struct bl_image *image, const struct bl_object_file *object,
                       const char *name)
{
    const char *path = bl_image_path(image, object->path);
    const char *slash = strrchr(path, '/');
    return strncmp(slash ? slash + 1 : path, name, strlen(name)) == 0;
}
