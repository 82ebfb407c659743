#include "leakcheck.h"

#include "text.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Shells, compilers and what drives them: they leave much to exit, and nobody asks about them. Also
 * the loader's own tool, which is static and looks for libraries on behalf of others. */
static const char *const ignored_by_default[] = {"sh",
                                                 "bash",
                                                 "dash",
                                                 "zsh",
                                                 "ksh*",
                                                 "mksh",
                                                 "fish",
                                                 "busybox",
                                                 "make",
                                                 "gmake",
                                                 "ninja",
                                                 "samu",
                                                 "cmake",
                                                 "ctest",
                                                 "meson",
                                                 "libtool",
                                                 "gcc*",
                                                 "g++*",
                                                 "cc",
                                                 "c++",
                                                 "cc1*",
                                                 "collect2",
                                                 "as",
                                                 "ld",
                                                 "ld.*",
                                                 "lto*",
                                                 "clang*",
                                                 "rustc",
                                                 "cargo",
                                                 "go",
                                                 "ccache",
                                                 "sccache",
                                                 "distcc",
                                                 "pkg-config",
                                                 "pkgconf",
                                                 "dpkg-architectu*",
                                                 "x86_64-linux-gnu-*",
                                                 "ldconfig",
                                                 "*/pkg/tool/*/compile",
                                                 "*/pkg/tool/*/link",
                                                 "*/pkg/tool/*/asm"};

/* What makefiles and scripts of tests are written with, where it is the system's: several of these
 * forget much, and nobody asks about them either, unless one of them is the command. */
static const char *const tools[] = {
    "[",       "ar",           "awk",       "basename", "bzip2",    "cat",   "chmod",    "cmp",
    "comm",    "cp",           "cut",       "date",     "dd",       "diff",  "dirname",  "du",
    "echo",    "egrep",        "env",       "expr",     "false",    "fgrep", "file",     "find",
    "gawk",    "getconf",      "git",       "grep",     "gzip",     "head",  "hostname", "id",
    "install", "join",         "kill",      "ln",       "ls",       "m4",    "mawk",     "md5sum",
    "mkdir",   "mktemp",       "mv",        "nawk",     "nm",       "nproc", "objcopy",  "objdump",
    "od",      "original-awk", "paste",     "patch",    "pgrep",    "pkill", "printf",   "ps",
    "pwd",     "ranlib",       "readelf",   "readlink", "realpath", "rm",    "rmdir",    "sed",
    "seq",     "sha1sum",      "sha256sum", "sleep",    "sort",     "stat",  "strip",    "tail",
    "tar",     "tee",          "test",      "timeout",  "touch",    "tput",  "tr",       "true",
    "uname",   "uniq",         "wc",        "which",    "xargs",    "xz"};

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* NULL: it is none, or the one that was asked for. */
static const char *find_tool(const struct bl_check *check, const struct bl_check_names *names)
{
    static const char *const places[] = {"/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/"};
    const char *base = base_of(names->exe);
    bool is_system = false;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        is_system |= (size_t)(base - names->exe) == strlen(places[i]) &&
                     strncmp(names->exe, places[i], strlen(places[i])) == 0;
    if (!is_system || (check->command && strcmp(base_of(check->command[0]), names->comm) == 0))
        return NULL;
    for (size_t i = 0; i < sizeof(tools) / sizeof(tools[0]); i++)
        if (strcmp(tools[i], base) == 0)
            return tools[i];
    return NULL;
}

/* The pattern that matches; NULL: none does. */
static const char *find_in(const struct bl_patterns *patterns, const struct bl_check_names *names)
{
    const char *base = base_of(names->exe);
    for (size_t i = 0; i < patterns->count; i++)
        if (bl_suppress_glob(patterns->list[i], names->comm) ||
            bl_suppress_glob(patterns->list[i], base) ||
            (*names->script && bl_suppress_glob(patterns->list[i], names->script)))
            return patterns->list[i];
    return NULL;
}

/* A name that a process gives itself is not asked here. */
static const char *find_by_default(const struct bl_check_names *names)
{
    const char *base = base_of(names->exe);
    for (size_t i = 0; i < sizeof(ignored_by_default) / sizeof(ignored_by_default[0]); i++) {
        const char *pattern = ignored_by_default[i];
        if (bl_suppress_glob(pattern, strchr(pattern, '/') ? names->exe : base) ||
            (*names->script && bl_suppress_glob(pattern, names->script)))
            return pattern;
    }
    return NULL;
}

static void name_unmatched(const struct bl_patterns *patterns, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "by --processes, which does not match it:");
    for (size_t i = 0; i < patterns->count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, " %s", patterns->list[i]);
}

bool bl_check_leaves_out(const struct bl_check *check, const struct bl_check_names *names,
                         char *out, size_t size)
{
    const char *pattern = find_in(&check->ignored, names);
    *out = '\0';
    if (pattern) {
        snprintf(out, size, "by --ignore-process %s", pattern);
        return true;
    }
    if (check->processes.count > 0) {
        if (!find_in(&check->processes, names))
            name_unmatched(&check->processes, out, size);
        return *out != '\0';
    }
    pattern = find_by_default(names);
    if (pattern)
        snprintf(out, size,
                 "by the built-in name %s (shells, compilers, make): --processes PATTERN says "
                 "which to check",
                 pattern);
    const char *tool = pattern ? NULL : find_tool(check, names);
    if (tool)
        snprintf(out, size,
                 "by the built-in name %s (tools of the system): --processes PATTERN says which to "
                 "check",
                 tool);
    return pattern || tool;
}

static int refuse_allowance(const char *text, struct bl_error *error)
{
    return bl_error_set(error,
                        "--allow does not accept \"%s\": give [CLASS:]count=N, bytes=SIZE or "
                        "growth=SIZE, several separated by commas",
                        text);
}

static bool take_limit(struct bl_allowance *allowance, const char *item)
{
    uint64_t size;
    if (strncmp(item, "count=", 6) == 0)
        return allowance->has_count = bl_text_parse_number(item + 6, UINT64_MAX, &allowance->count);
    if (strncmp(item, "bytes=", 6) == 0)
        return allowance->has_bytes = bl_text_parse_size(item + 6, &allowance->bytes);
    if (strncmp(item, "growth=", 7) != 0 || !bl_text_parse_size(item + 7, &size))
        return false;
    allowance->growth_bytes = (double)size;
    return allowance->has_growth = true;
}

int bl_check_take_allowance(struct bl_check *check, const char *text, struct bl_error *error)
{
    const char *colon = strchr(text, ':');
    const char *rest = colon ? colon + 1 : text;
    if (check->allowance_count == BL_CHECK_ALLOWANCES)
        return bl_error_set(error, "--allow may be given %d times at most", BL_CHECK_ALLOWANCES);
    struct bl_allowance *allowance = &check->allowances[check->allowance_count];
    *allowance = (struct bl_allowance){.class_name = ""};
    if (colon && (colon == text || (size_t)(colon - text) >= sizeof(allowance->class_name)))
        return refuse_allowance(text, error);
    if (colon)
        memcpy(allowance->class_name, text, (size_t)(colon - text));
    if (!*rest)
        return refuse_allowance(text, error);
    while (*rest) {
        char item[64];
        size_t length = strcspn(rest, ",");
        if (length >= sizeof(item))
            return refuse_allowance(text, error);
        memcpy(item, rest, length);
        item[length] = '\0';
        if (!take_limit(allowance, item))
            return refuse_allowance(text, error);
        rest += length + (rest[length] == ',');
    }
    check->allowance_count++;
    return 0;
}

/* What is more than the baseline has, in the worst run. */
static struct bl_sum excess_of(const struct bl_leak *leak)
{
    struct bl_sum sum = {.leaks = 1, .count = leak->run_count, .bytes = leak->run_bytes};
    if (leak->baseline != BL_LEAK_GROWN)
        return sum;
    sum.count -= leak->known_count < sum.count ? leak->known_count : sum.count;
    sum.bytes -= leak->known_bytes < sum.bytes ? leak->known_bytes : sum.bytes;
    return sum;
}

static bool is_of(const struct bl_allowance *allowance, const struct bl_leak *leak)
{
    return !*allowance->class_name || bl_suppress_glob(allowance->class_name, leak->class_name);
}

/* Growth is allowed leak by leak, the rest in sum. */
static bool is_within(const struct bl_check *check, const struct bl_allowance *allowance)
{
    struct bl_sum sum = {.leaks = 0};
    for (size_t i = 0; i < bl_leaks_count(check->leaks); i++) {
        const struct bl_leak *leak = bl_leaks_at(check->leaks, i);
        if (leak->fate != BL_LEAK_FAILS || leak->kind == BL_LEAK_GROWING || !is_of(allowance, leak))
            continue;
        struct bl_sum excess = excess_of(leak);
        sum.count += excess.count;
        sum.bytes += excess.bytes;
    }
    return (!allowance->has_count || sum.count <= allowance->count) &&
           (!allowance->has_bytes || sum.bytes <= allowance->bytes);
}

static bool is_growth_within(const struct bl_allowance *allowance, const struct bl_leak *leak)
{
    return allowance->has_growth && leak->bytes_per_iteration <= allowance->growth_bytes;
}

/* A leak is allowed when an allowance covers it and every one that covers it holds. */
static void allow(struct bl_check *check)
{
    bool holds[BL_CHECK_ALLOWANCES] = {false};
    for (size_t i = 0; i < check->allowance_count; i++)
        holds[i] = is_within(check, &check->allowances[i]);
    for (size_t k = 0; k < bl_leaks_count(check->leaks); k++) {
        struct bl_leak *leak = bl_leaks_at(check->leaks, k);
        bool is_covered = false;
        bool is_over = false;
        for (size_t i = 0; i < check->allowance_count && leak->fate == BL_LEAK_FAILS; i++) {
            const struct bl_allowance *allowance = &check->allowances[i];
            bool is_growth = leak->kind == BL_LEAK_GROWING;
            if (!is_of(allowance, leak) ||
                (is_growth ? !allowance->has_growth
                           : !allowance->has_count && !allowance->has_bytes))
                continue;
            is_covered = true;
            is_over |= is_growth ? !is_growth_within(allowance, leak) : !holds[i];
        }
        if (is_covered && !is_over)
            leak->fate = BL_LEAK_ALLOWED;
    }
}

static void suppress(struct bl_check *check)
{
    for (size_t i = 0; i < bl_leaks_count(check->leaks); i++) {
        struct bl_leak *leak = bl_leaks_at(check->leaks, i);
        leak->suppressed_by = bl_suppressions_find(check->suppressions, check->leaks, leak);
        if (leak->suppressed_by)
            leak->fate = BL_LEAK_SUPPRESSED;
    }
    bl_leaks_join(check->leaks);
}

static void compare(struct bl_check *check)
{
    if (!check->baseline_path)
        return;
    bl_baseline_compare(&check->baseline, check->leaks, &check->tolerance);
    for (size_t i = 0; i < bl_leaks_count(check->leaks); i++) {
        struct bl_leak *leak = bl_leaks_at(check->leaks, i);
        if (leak->baseline == BL_LEAK_UNCHANGED)
            leak->fate = BL_LEAK_KNOWN;
    }
    for (size_t i = 0; i < check->baseline.count; i++)
        check->fixed += check->baseline.entries[i].leak == NULL;
}

/* What would fail is about to be in the baseline. */
static void know_all(const struct bl_check *check)
{
    for (size_t i = 0; i < bl_leaks_count(check->leaks); i++) {
        struct bl_leak *leak = bl_leaks_at(check->leaks, i);
        if (leak->fate == BL_LEAK_FAILS)
            leak->fate = BL_LEAK_KNOWN;
    }
}

static void count_processes(struct bl_check *check)
{
    for (size_t i = 0; i < bl_leaks_process_count(check->leaks); i++) {
        const struct bl_leak_process *process = bl_leaks_process(check->leaks, i);
        check->judged += process->is_judged;
        check->unknown += process->is_unknown;
        check->partial += process->is_partial && !process->is_unknown;
        check->left_out += process->is_ignored;
    }
}

void bl_check_decide(struct bl_check *check)
{
    suppress(check);
    for (size_t i = 0; i < bl_leaks_count(check->leaks); i++)
        bl_leaks_count_runs(check->leaks, bl_leaks_at(check->leaks, i), check->runs);
    compare(check);
    allow(check);
    if (check->updates_baseline)
        know_all(check);
    bl_leaks_sort(check->leaks);
    count_processes(check);
    for (size_t i = 0; i < bl_leaks_count(check->leaks); i++) {
        const struct bl_leak *leak = bl_leaks_at(check->leaks, i);
        struct bl_sum *sum = &check->fates[leak->fate];
        sum->leaks++;
        sum->count += leak->count + leak->indirect_count;
        sum->bytes += leak->bytes + leak->indirect_bytes;
    }
    check->missing = 0;
    for (size_t i = 0; i < check->wanted_count; i++)
        check->missing += !check->wanted[i].was_tracked;
    if (check->fates[BL_LEAK_FAILS].leaks > 0)
        check->outcome = BL_CHECK_LEAKS;
    else if (check->judged == 0)
        check->outcome = BL_CHECK_NOTHING;
    else if ((check->unknown + check->missing > 0 && !check->allows_unknown) ||
             (check->untracked_count > 0 && !check->allows_untracked))
        check->outcome = BL_CHECK_UNKNOWN;
    else
        check->outcome = BL_CHECK_PASSED;
    check->is_baseline_due =
        check->updates_baseline && check->outcome == BL_CHECK_PASSED && check->command_code == 0;
}

int bl_check_code(const struct bl_check *check, int leaks_code)
{
    if (check->command_code != 0)
        return check->command_code;
    switch (check->outcome) {
    case BL_CHECK_PASSED:
        return BL_CODE_FINE;
    case BL_CHECK_LEAKS:
        return leaks_code;
    case BL_CHECK_NOTHING:
    case BL_CHECK_UNKNOWN:
        break;
    }
    return BL_CODE_FAILED;
}

static size_t add_part(char *out, size_t size, size_t used, const char *text)
{
    int more = snprintf(out + used, size - used, "%s%s", used > 0 ? ", " : "", text);
    return more > 0 && used + (size_t)more < size ? used + (size_t)more : used;
}

static size_t add_sum(char *out, size_t size, size_t used, const struct bl_sum *sum,
                      const char *what)
{
    char text[160];
    char count[BL_TEXT_NUMBER];
    char bytes[BL_TEXT_NUMBER];
    if (sum->leaks == 0)
        return used;
    snprintf(text, sizeof(text), "%llu %s (%s buffer%s, %s)", (unsigned long long)sum->leaks, what,
             bl_text_count(count, sum->count), sum->count == 1 ? "" : "s",
             bl_text_bytes(bytes, sum->bytes));
    return add_part(out, size, used, text);
}

void bl_check_summary(const struct bl_check *check, char *out, size_t size)
{
    static const char *const heads[] = {"passed", "leaks", "error: nothing was checked",
                                        "error: of some processes it is unknown"};
    static const char *const words[] = {"leaks", "allowed", "known", "suppressed", "held"};
    char text[128];
    size_t used = 0;
    bool is_plain = check->command_code == 0;
    if (!is_plain)
        snprintf(text, sizeof(text), "the command failed with %d, %s", check->command_code,
                 heads[check->outcome]);
    used = add_part(out, size, used, is_plain ? heads[check->outcome] : text);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        used = add_sum(out, size, used, &check->fates[i],
                       i == 0 && check->fates[i].leaks == 1 ? "leak" : words[i]);
    if (check->fixed > 0) {
        snprintf(text, sizeof(text), "%zu of the baseline gone", check->fixed);
        used = add_part(out, size, used, text);
    }
    snprintf(text, sizeof(text), "%zu process%s checked", check->judged,
             check->judged == 1 ? "" : "es");
    used = add_part(out, size, used, text);
    if (check->left_out > 0) {
        snprintf(text, sizeof(text), "%zu left out", check->left_out);
        used = add_part(out, size, used, text);
    }
    if (check->unknown > 0) {
        snprintf(text, sizeof(text), "%zu with unknown reach", check->unknown);
        used = add_part(out, size, used, text);
    }
    if (check->missing > 0) {
        snprintf(text, sizeof(text), "%zu class%s of a profile never seen", check->missing,
                 check->missing == 1 ? "" : "es");
        used = add_part(out, size, used, text);
    }
    if (check->partial > 0) {
        snprintf(text, sizeof(text), "%zu seen in part", check->partial);
        used = add_part(out, size, used, text);
    }
    if (check->untracked_count > 0) {
        uint64_t untracked = 0;
        for (size_t i = 0; i < check->untracked_count; i++)
            untracked += check->untracked[i].count;
        snprintf(text, sizeof(text), "%llu not tracked", (unsigned long long)untracked);
        add_part(out, size, used, text);
    }
}

void bl_check_headline(const struct bl_leak *leak, char *out, size_t size)
{
    char count[BL_TEXT_NUMBER];
    char bytes[BL_TEXT_NUMBER];
    char more[160] = "";
    char indirect[BL_TEXT_NUMBER];
    if (leak->indirect_count > 0)
        snprintf(more, sizeof(more), " and %s more %s, %s",
                 bl_text_count(indirect, leak->indirect_count),
                 leak->held_count > 0 ? "that they hold" : "lost with them",
                 bl_text_bytes(bytes, leak->indirect_bytes));
    bool is_plain = strcmp(leak->verdict, "unreleased") == 0;
    const char *reach = bl_leak_reach_name(leak->reach);
    snprintf(out, size, "%s%s%s · %s · %s buffer%s, %s%s", is_plain ? reach : leak->verdict,
             is_plain || leak->reach == BL_LEAK_UNKNOWN ? "" : ", ",
             is_plain || leak->reach == BL_LEAK_UNKNOWN ? "" : reach, leak->class_name,
             bl_text_count(count, leak->count), leak->count == 1 ? "" : "s",
             bl_text_bytes(indirect, leak->bytes), more);
}

const char *bl_check_relative(const struct bl_check *check, const char *file)
{
    static char here[PATH_MAX];
    const char *root = check->source_root;
    if (!file)
        return NULL;
    if (!root && (*here || getcwd(here, sizeof(here))))
        root = here;
    while (strncmp(file, "./", 2) == 0 || strncmp(file, "../", 3) == 0)
        file = strchr(file, '/') + 1; /* as meson and ninja name sources */
    size_t length = root ? strlen(root) : 0;
    if (length > 1 && strncmp(file, root, length) == 0 && file[length] == '/')
        return file + length + 1;
    return file;
}

void bl_check_place(const struct bl_check *check, const struct bl_leak_frame *frame, char *out,
                    size_t size)
{
    const char *file = bl_check_relative(check, frame->file);
    if (frame->function && frame->is_bytecode)
        snprintf(out, size, "%s (%s%sbytecode %llu)", frame->function, file ? file : "",
                 file ? ", " : "", (unsigned long long)frame->offset);
    else if (frame->function && file)
        snprintf(out, size, "%s (%s:%d)", frame->function, file, frame->line);
    else if (frame->function && frame->is_managed)
        snprintf(out, size, "%s", frame->function);
    else if (frame->function)
        snprintf(out, size, "%s (%s+0x%llx)", frame->function, frame->module,
                 (unsigned long long)frame->offset);
    else
        snprintf(out, size, "%s+0x%llx", frame->module, (unsigned long long)frame->offset);
}
