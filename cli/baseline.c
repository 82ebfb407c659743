#include "baseline.h"

#include "identity.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *kind_name(enum bl_leak_kind kind)
{
    static const char *const names[] = {"left", "over-release", "growing"};
    return names[kind];
}

static void free_entry(struct bl_baseline_entry *entry)
{
    for (size_t k = 0; k < entry->function_count; k++)
        free(entry->functions[k]);
    free(entry->functions);
    free(entry->class_name);
    free(entry->kind);
    free(entry->blamed);
    free(entry->verdict);
    free(entry->module);
}

void bl_baseline_deinit(struct bl_baseline *baseline)
{
    for (size_t i = 0; i < baseline->count; i++)
        free_entry(&baseline->entries[i]);
    free(baseline->entries);
    *baseline = (struct bl_baseline){.entries = NULL};
}

static char *copy_printable(const char *text)
{
    size_t size = 4 * strlen(text) + 1;
    char *copied = bl_leaks_memory(NULL, size);
    bl_text_printable(copied, size, text, strlen(text));
    return copied;
}

static char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return copy_printable(text ? text : "");
}

static uint64_t number_of(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

static void read_functions(struct bl_baseline_entry *entry, const json_t *functions)
{
    size_t count = json_array_size(functions);
    entry->functions = bl_leaks_memory(NULL, (count + 1) * sizeof(*entry->functions));
    for (size_t i = 0; i < count; i++) {
        const char *function = json_string_value(json_array_get(functions, i));
        entry->functions[entry->function_count++] = copy_printable(function ? function : "?");
    }
}

static int read_entry(struct bl_baseline *baseline, const json_t *object, const char *path,
                      struct bl_error *error)
{
    const char *id = json_string_value(json_object_get(object, "id"));
    if (!id || strlen(id) != 16 || strspn(id, "0123456789abcdef") != 16 ||
        !json_is_integer(json_object_get(object, "count")) ||
        json_integer_value(json_object_get(object, "count")) < 0)
        return bl_error_set(error,
                            "the baseline %s: leak number %zu has no id of 16 digits or no count",
                            path, baseline->count + 1);
    struct bl_baseline_entry *entry = &baseline->entries[baseline->count++];
    *entry = (struct bl_baseline_entry){.class_name = text_of(object, "class"),
                                        .kind = text_of(object, "kind"),
                                        .blamed = text_of(object, "blamed"),
                                        .verdict = text_of(object, "verdict"),
                                        .module = text_of(object, "module"),
                                        .count = number_of(object, "count"),
                                        .bytes = number_of(object, "bytes")};
    memcpy(entry->id, id, sizeof(entry->id));
    read_functions(entry, json_object_get(object, "functions"));
    return 0;
}

/* What a merge left twice, once: the larger. */
static void take_each_once(struct bl_baseline *baseline)
{
    size_t kept = 0;
    for (size_t i = 0; i < baseline->count; i++) {
        struct bl_baseline_entry *entry = &baseline->entries[i];
        struct bl_baseline_entry *twin = baseline->entries;
        while (twin < &baseline->entries[kept] && strcmp(twin->id, entry->id) != 0)
            twin++;
        if (twin == &baseline->entries[kept]) {
            baseline->entries[kept++] = *entry;
            continue;
        }
        twin->count = entry->count > twin->count ? entry->count : twin->count;
        twin->bytes = entry->bytes > twin->bytes ? entry->bytes : twin->bytes;
        free_entry(entry);
    }
    baseline->count = kept;
}

static int read_entries(struct bl_baseline *baseline, const json_t *root, const char *path,
                        struct bl_error *error)
{
    const json_t *list = json_object_get(root, "leaks");
    if (!json_is_array(list) || json_integer_value(json_object_get(root, "schema")) != 1)
        return bl_error_set(error, "%s is no baseline: it has no \"schema\": 1 and \"leaks\"",
                            path);
    baseline->entries =
        bl_leaks_memory(NULL, (json_array_size(list) + 1) * sizeof(*baseline->entries));
    for (size_t i = 0; i < json_array_size(list); i++)
        if (read_entry(baseline, json_array_get(list, i), path, error) < 0)
            return -1;
    take_each_once(baseline);
    return 0;
}

/* Takes the root, NULL for what is no JSON. */
static int take_root(struct bl_baseline *baseline, json_t *root, const json_error_t *why,
                     const char *path, struct bl_error *error)
{
    *baseline = (struct bl_baseline){.entries = NULL};
    if (!root)
        return bl_error_set(error, "%s:%d:%d: no baseline: %s", path, why->line, why->column,
                            why->text);
    int outcome = read_entries(baseline, root, path, error);
    json_decref(root);
    if (outcome < 0)
        bl_baseline_deinit(baseline);
    return outcome;
}

int bl_baseline_parse(struct bl_baseline *baseline, const char *name, const char *text, size_t size,
                      struct bl_error *error)
{
    json_error_t why;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
    return take_root(baseline, root, &why, name, error);
}

/* Where a merge left both sides; 0: nowhere. */
static size_t find_conflict(const char *path)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    size_t number = 0;
    bool found = false;
    while (file && !found && getline(&line, &size, file) > 0) {
        number++;
        found = strncmp(line, "<<<<<<< ", 8) == 0;
    }
    free(line);
    if (file)
        fclose(file);
    return found ? number : 0;
}

int bl_baseline_read(struct bl_baseline *baseline, const char *path, bool may_be_missing,
                     struct bl_error *error)
{
    json_error_t why;
    *baseline = (struct bl_baseline){.entries = NULL};
    if (access(path, F_OK) < 0 && errno == ENOENT && may_be_missing)
        return 0;
    struct stat status;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        return bl_error_set(error, "cannot read the baseline %s: it is a directory", path);
    if (access(path, R_OK) < 0)
        return bl_error_set(error, "cannot read the baseline %s: %s; --update-baseline makes one",
                            path, strerror(errno));
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
    size_t conflict = root ? 0 : find_conflict(path);
    if (conflict > 0)
        return bl_error_set(error,
                            "%s:%zu: no baseline: a merge left a conflict in it; keep the leaks of "
                            "both sides",
                            path, conflict);
    return take_root(baseline, root, &why, path, error);
}

static bool is_above(uint64_t now, uint64_t known, double share, uint64_t more)
{
    return (double)now > (double)known * (1 + share) + (double)more;
}

static void judge(struct bl_leak *leak, const struct bl_tolerance *tolerance)
{
    bool grew = is_above(leak->run_count, leak->known_count, tolerance->share, tolerance->count);
    leak->baseline = grew ? BL_LEAK_GROWN : BL_LEAK_UNCHANGED;
}

static void match(struct bl_baseline_entry *entry, struct bl_leak *leak,
                  const struct bl_tolerance *tolerance)
{
    entry->leak = leak;
    leak->known_count = entry->count;
    leak->known_bytes = entry->bytes;
    judge(leak, tolerance);
}

/* Also where the leak is more than what it was found to be before: what two functions leave is one
 * leak once both are inlined into their caller. */
static void match_alike(struct bl_baseline_entry *entry, struct bl_leak *leak,
                        const struct bl_tolerance *tolerance)
{
    entry->leak = leak;
    entry->is_alike = true;
    leak->is_alike = true;
    leak->known_count += entry->count;
    leak->known_bytes += entry->bytes;
    judge(leak, tolerance);
}

static bool is_alike(const struct bl_baseline_entry *entry, const struct bl_leak *leak,
                     size_t difference)
{
    if (strcmp(entry->class_name, leak->class_name) != 0 ||
        strcmp(entry->kind, kind_name(leak->kind)) != 0 ||
        strcmp(entry->blamed, bl_leak_op_name(leak->op)) != 0)
        return false;
    return bl_identity_is_alike((const char *const *)entry->functions, entry->function_count,
                                leak->functions, leak->function_count, difference);
}

/* New, or found to be another one already: what is added to it may explain that it grew. */
static bool is_open(const struct bl_leak *leak, bool may_have_grown)
{
    return leak->baseline == BL_LEAK_NEW ||
           (leak->baseline == BL_LEAK_GROWN && (leak->is_alike || may_have_grown));
}

/* Only where it is the one and only that it can be. */
static struct bl_leak *find_alike(const struct bl_baseline_entry *entry,
                                  const struct bl_leaks *leaks, size_t difference,
                                  bool may_have_grown)
{
    struct bl_leak *found = NULL;
    for (size_t i = 0; i < bl_leaks_count(leaks); i++) {
        struct bl_leak *leak = bl_leaks_at(leaks, i);
        if (!is_open(leak, may_have_grown) || !is_alike(entry, leak, difference))
            continue;
        if (found)
            return NULL;
        found = leak;
    }
    return found;
}

/* Once one is known, it may be clear which another one is. */
static void find_all_alike(struct bl_baseline *baseline, const struct bl_leaks *leaks,
                           const struct bl_tolerance *tolerance, size_t difference,
                           bool may_have_grown)
{
    bool found = true;
    while (found) {
        found = false;
        for (size_t k = 0; k < baseline->count; k++) {
            struct bl_baseline_entry *entry = &baseline->entries[k];
            struct bl_leak *leak =
                entry->leak ? NULL : find_alike(entry, leaks, difference, may_have_grown);
            if (leak)
                match_alike(entry, leak, tolerance);
            found = found || leak;
        }
    }
}

void bl_baseline_compare(struct bl_baseline *baseline, const struct bl_leaks *leaks,
                         const struct bl_tolerance *tolerance)
{
    for (size_t i = 0; i < bl_leaks_count(leaks); i++) {
        struct bl_leak *leak = bl_leaks_at(leaks, i);
        leak->baseline = leak->fate == BL_LEAK_FAILS ? BL_LEAK_NEW : BL_LEAK_NO_BASELINE;
        for (size_t k = 0; k < baseline->count; k++) {
            if (strcmp(baseline->entries[k].id, leak->id) != 0)
                continue;
            if (leak->baseline == BL_LEAK_NO_BASELINE)
                baseline->entries[k].leak = leak; /* not for it to decide, and not gone either */
            else
                match(&baseline->entries[k], leak, tolerance);
        }
    }
    for (int may_have_grown = 0; may_have_grown < 2; may_have_grown++)
        for (size_t difference = 0; difference <= BL_IDENTITY_DIFFERENCE; difference++)
            find_all_alike(baseline, leaks, tolerance, difference, may_have_grown);
}

static json_t *make_entry(const struct bl_leak *leak)
{
    const char *at = strchr(leak->key, ':');
    const char *start = at;
    json_t *functions = json_array();
    while (start && start > leak->key && start[-1] != ' ')
        start--;
    for (size_t i = 0; i < leak->function_count; i++)
        json_array_append_new(functions, json_string(leak->functions[i]));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s%, s:o}", "id", leak->id, "class",
                     leak->class_name, "kind", kind_name(leak->kind), "blamed",
                     bl_leak_op_name(leak->op), "verdict", leak->verdict, "count",
                     (json_int_t)leak->run_count, "bytes", (json_int_t)leak->run_bytes, "module",
                     start ? start : "", start ? (size_t)(at - start) : (size_t)0, "functions",
                     functions);
}

static int compare_keys(const void *left, const void *right)
{
    return strcmp((*(const struct bl_leak *const *)left)->key,
                  (*(const struct bl_leak *const *)right)->key);
}

static bool write_entries(FILE *file, const struct bl_leaks *leaks)
{
    size_t count = 0;
    const struct bl_leak **sorted =
        bl_leaks_memory(NULL, (bl_leaks_count(leaks) + 1) * sizeof(const struct bl_leak *));
    for (size_t i = 0; i < bl_leaks_count(leaks); i++)
        if (bl_leaks_at(leaks, i)->fate != BL_LEAK_SUPPRESSED &&
            bl_leaks_at(leaks, i)->fate != BL_LEAK_NOTED)
            sorted[count++] = bl_leaks_at(leaks, i);
    if (count > 1)
        qsort(sorted, count, sizeof(const struct bl_leak *), compare_keys);
    fputs("{\"schema\": 1, \"tool\": \"bufleak\", \"leaks\": [", file);
    bool done = true;
    for (size_t i = 0; done && i < count; i++) {
        json_t *entry = make_entry(sorted[i]);
        fputs(i > 0 ? ",\n" : "\n", file);
        done = entry && json_dumpf(entry, file, JSON_INDENT(1)) == 0;
        json_decref(entry);
    }
    fputs(count > 0 ? "\n]}\n" : "]}\n", file);
    free(sorted);
    return done && !ferror(file);
}

static bool write_to(const char *path, int flags, const struct bl_leaks *leaks)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (fd >= 0 && !file)
        close(fd);
    bool done = file && write_entries(file, leaks);
    if (file && fclose(file) != 0)
        done = false;
    return done;
}

/* The file as it was keeps its permissions. */
static void keep_mode(const char *part, const char *path)
{
    struct stat status;
    if (stat(path, &status) == 0)
        chmod(part, status.st_mode & 0777);
}

/* In one step where that can be, also beside others that do the same. */
int bl_baseline_write(const char *path, const struct bl_leaks *leaks, struct bl_error *error)
{
    char real[PATH_MAX];
    char part[PATH_MAX + 64];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (!realpath(path, real))
        snprintf(real, sizeof(real), "%s", path);
    /* processes of containers may have the same number */
    snprintf(part, sizeof(part), "%s.%d.%lld%09ld.part", real, (int)getpid(), (long long)now.tv_sec,
             now.tv_nsec);
    bool done = write_to(part, O_EXCL, leaks);
    int code = errno;
    if (done) {
        keep_mode(part, real);
        done = rename(part, real) == 0;
        code = errno;
    }
    unlink(part);
    /* a file that is mounted, or in a directory where nothing may be made */
    if (!done && (code == EBUSY || code == EACCES || code == EROFS || code == EPERM)) {
        done = write_to(real, O_TRUNC, leaks);
        code = errno;
    }
    return done ? 0 : bl_error_set(error, "cannot write the baseline %s: %s", path, strerror(code));
}
