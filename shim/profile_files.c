#include "profile_files.h"
#include "arena.h"
#include "dir.h"
#include "hook_list.h"
#include "ledger.h"
#include "profile.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MISTAKE_BYTES 320u
#define LINE_BYTES    2048u

/* What is wrong with a file: the first of its mistakes. Never freed. */
struct mistake {
    struct mistake *next;
    const char *path;
    unsigned line; /* 0: of the whole file */
    unsigned column;
    unsigned count;
    char why[MISTAKE_BYTES];
};

static struct mistake *first;
static struct mistake **last = &first;

static void add_mistake(const char *path, unsigned line, unsigned column, const char *why)
{
    struct mistake *m = bl_arena_alloc(sizeof *m);
    struct bl_text t;
    if (!m)
        return;
    *m = (struct mistake){.path = path, .line = line, .column = column, .count = 1};
    bl_text_init(&t, m->why, sizeof m->why);
    bl_text_str(&t, why);
    *last = m;
    last = &m->next;
}

static void list(const struct mistake *m)
{
    bl_hook_list_add(&(struct bl_hook_note){.function = "profile",
                                            .method = BL_HOOK_PROFILE,
                                            .why = m->why,
                                            .module = m->path,
                                            .code_start = m->line,
                                            .code_bytes = m->column,
                                            .flags = m->count});
}

static bool refuse(const char *path, const char *why)
{
    struct mistake **place = last;
    add_mistake(path, 0, 0, why);
    if (*place)
        list(*place);
    return false;
}

/* ---- reading ---- */

/* Text of errno that is not translated, and needs no lock. */
static const char *why_of(const char *path, long error)
{
    if (error == -ENOENT && !strchr(path, '/'))
        return "there is neither a built-in profile nor a file of this name";
    const char *text = strerrordesc_np((int)-error);
    return text ? text : "it cannot be read";
}

static long read_whole(int fd, char *text, size_t size)
{
    size_t used = 0;
    long n = 1;
    while (used < size && n != 0) {
        n = bl_sys3(SYS_read, fd, (long)(text + used), (long)(size - used));
        if (n < 0 && n != -EINTR)
            return n;
        used += n > 0 ? (size_t)n : 0;
    }
    return (long)used;
}

/* What is no file may block, or have no end. */
static bool open_and_read(const char *path, char *text, size_t *ret_length)
{
    struct stat st = {0};
    long fd =
        bl_sys4(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return refuse(path, why_of(path, fd));
    long n = bl_sys4(SYS_newfstatat, fd, (long)"", (long)&st, AT_EMPTY_PATH);
    bool is_file = n == 0 && S_ISREG(st.st_mode);
    if (is_file)
        n = read_whole((int)fd, text, BL_PROFILE_FILE_MAX + 1);
    bl_sys_close((int)fd);
    if (n < 0)
        return refuse(path, why_of(path, n));
    if (!is_file)
        return refuse(path, "it is not a file");
    if (n > (long)BL_PROFILE_FILE_MAX)
        return refuse(path, "it is no profile: it is longer than 256 KiB");
    *ret_length = (size_t)n;
    return true;
}

/* ---- mistakes in a text ---- */

struct reading {
    const char *path;
    struct mistake *mistake;
    bool has_any; /* something to apply */
};

static void take_error(void *context, unsigned line, unsigned column, const char *what)
{
    struct reading *r = context;
    struct mistake **place = last;
    if (r->mistake) {
        r->mistake->count++;
        return;
    }
    add_mistake(r->path, line, column, what);
    r->mistake = *place;
}

static void take_class(void *context, const struct bl_profile_class *c)
{
    (void)c;
    ((struct reading *)context)->has_any = true;
}

static void take_request(void *context, const struct bl_profile_request *r)
{
    (void)r;
    ((struct reading *)context)->has_any = true;
}

/* What is to be applied, whether or not a library for it ever comes: somebody asked for it. */
static void list_wanted(void *context, const struct bl_profile_class *c)
{
    if (c->kind_of == BL_PROFILE_NO_CLASS && !c->bytecode)
        bl_hook_list_add(&(struct bl_hook_note){
            .function = c->name, .method = BL_HOOK_WANTED, .why = c->library, .module = context});
}

static bool has_something(const char *path, const char *text, size_t length)
{
    struct reading r = {.path = path};
    const struct bl_profile_sink sink = {
        .context = &r, .on_class = take_class, .on_request = take_request, .on_error = take_error};
    int errors = bl_profile_parse(text, length, &sink);
    if (r.mistake)
        list(r.mistake);
    if (errors == 0 && !r.has_any)
        return refuse(path, "it names no class: a profile begins with `class NAME`");
    return r.has_any;
}

/* In the arena: absolute where it is a path, so that what is said of it is true elsewhere too. A
 * bare name that is no file's stays what it is. NULL: no memory. */
static char *name_of(const char *path, size_t length)
{
    char from[BL_DIR_PATH_MAX] = "";
    size_t before = 0;
    long n = *path == '/' ? 0 : bl_sys3(SYS_getcwd, (long)from, sizeof from, 0);
    if (n > 1 && *from == '/') {
        before = n == 2 ? 1 : (size_t)n;
        from[before - 1] = '/';
    }
    char *name = bl_arena_alloc(before + length + 1);
    if (!name)
        return NULL;
    memcpy(name, from, before);
    memcpy(name + before, path, length);
    name[before + length] = '\0';
    bool is_path = memchr(path, '/', length) != NULL;
    return is_path || bl_sys3(SYS_access, (long)name, F_OK, 0) == 0 ? name : name + before;
}

/* Of the files that were asked for. Never freed. */
struct asked {
    const struct asked *next;
    const char *name;
};
static const struct asked *all_asked;

/* Given twice, it is meant once: the second would find that its functions are hooked already. */
static bool was_asked(const char *name)
{
    for (const struct asked *a = all_asked; a; a = a->next)
        if (strcmp(a->name, name) == 0)
            return true;
    struct asked *a = bl_arena_alloc(sizeof *a);
    if (a) {
        *a = (struct asked){.next = all_asked, .name = name};
        all_asked = a;
    }
    return false;
}

bool bl_profile_files_read(const char *path, size_t length, struct bl_profile_text *ret_text)
{
    char *name = name_of(path, length);
    if (name && was_asked(name))
        return false;
    char *text = bl_arena_map(BL_PROFILE_FILE_MAX + 1);
    size_t bytes = 0;
    if (name && !text)
        refuse(name, "no memory");
    if (name && text && open_and_read(name, text, &bytes) && has_something(name, text, bytes)) {
        const struct bl_profile_sink sink = {.context = name, .on_class = list_wanted};
        bl_profile_parse(text, bytes, &sink);
        *ret_text = (struct bl_profile_text){.name = name, .text = text, .length = bytes};
        return true;
    }
    if (text)
        bl_arena_unmap(text, BL_PROFILE_FILE_MAX + 1);
    return false;
}

void bl_profile_files_refuse(const char *name)
{
    refuse(name, "no room: there are 32 profiles already");
}

/* ---- telling ---- */

static uint64_t add_number(uint64_t hash, uint64_t number)
{
    return (hash ^ number) * UINT64_C(0x100000001b3);
}

static uint64_t add_text(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = add_number(hash, (uint8_t)*text);
    return hash;
}

uint64_t bl_profile_files_hash(void)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (const struct mistake *m = first; m; m = m->next) {
        hash = add_text(add_text(hash, m->path), m->why);
        hash = add_number(add_number(add_number(hash, m->line), m->column), m->count);
    }
    return first ? hash | 1 : 0;
}

static void say(const struct mistake *m)
{
    char buffer[LINE_BYTES];
    struct bl_text t;
    bl_say_begin(&t, buffer, sizeof buffer, bl_header->comm, bl_header->pid);
    bl_text_str(&t, "profile ");
    bl_text_str(&t, m->path);
    if (m->line > 0) {
        bl_text_str(&t, ":");
        bl_text_u64(&t, m->line);
        bl_text_str(&t, ":");
        bl_text_u64(&t, m->column);
    }
    bl_text_str(&t, ": ");
    bl_text_str(&t, m->why);
    if (m->count > 1) {
        bl_text_str(&t, "; and ");
        bl_text_u64(&t, m->count - 1);
        bl_text_str(&t, m->count == 2 ? " more mistake" : " more mistakes");
    }
    bl_text_str(&t, m->line > 0
                        ? "; what has a mistake is left out; check it with: bufleak profiles check "
                        : "; it is not applied; check it with: bufleak profiles check ");
    bl_text_str(&t, m->path);
    bl_say(&t);
}

void bl_profile_files_say(void)
{
    for (const struct mistake *m = first; m; m = m->next)
        say(m);
}
