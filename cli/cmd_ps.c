#include "commands.h"

#include "args.h"
#include "ledgers.h"
#include "model.h"
#include "proc.h"
#include "reader.h"
#include "term.h"
#include "text.h"

#include <errno.h>
#include <glob.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "Usage: bufleak ps [OPTIONS]\n"
    "Lists tracked programs and the ledgers that ended ones left, newest first.\n"
    "\n"
    "  --all                 also ledgers of programs that replaced themselves (exec)\n"
    "  --prune               delete the ledgers and snapshots of programs that have ended\n"
    "  --older-than AGE      with --prune: only of those that ended that long ago\n"
    "  --all-dead            with --prune: of all that have ended (the default)\n"
    "  --format text|json    how to write the list (default text)\n"
    "  --help                this text\n";

static const struct option long_options[] = {
    {"help", no_argument, NULL, BL_ARGS_HELP},
    {"all", no_argument, NULL, BL_ARGS_OWN},
    {"prune", no_argument, NULL, BL_ARGS_OWN + 1},
    {"older-than", required_argument, NULL, BL_ARGS_OWN + 2},
    {"all-dead", no_argument, NULL, BL_ARGS_OWN + 3},
    {"format", required_argument, NULL, BL_ARGS_OWN + 4},
    {NULL, 0, NULL, 0}};

struct request {
    bool wants_help;
    bool all;
    bool prune;
    bool all_dead;
    bool is_json;
    uint64_t older_than_ns;
};

/* One line of the list: a ledger, or a snapshot whose ledger is gone. */
struct row {
    const struct bl_ledger_file *file;
    char comm[64];
    pid_t pid;
    uint32_t parent_pid; /* 0: not forked from a tracked process */
    enum bl_process_state state;
    bool may_be_hidden;
    uint64_t age_ns;   /* how long it ran, or runs */
    uint64_t ended_ns; /* how long ago it ended */
    uint64_t start_realtime_ns;
    uint64_t live_count;
    uint64_t live_bytes;
    bool is_estimate; /* of a sampled heap */
    uint64_t ledger_bytes;
    unsigned snapshots;
    unsigned marks;
    char path[PATH_MAX]; /* printable */
    char problem[256];   /* why nothing else is known; "" */
};

#define HEAP 0u /* its class, the only one that is sampled */

struct listing {
    struct bl_ledger_list files;
    struct row *rows;
    size_t count;
};

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t before(uint64_t now, uint64_t then)
{
    return now > then ? now - then : 0;
}

/* How long ago the program ended: by its own word, else by the last change of its file. */
static uint64_t ended_since(const struct bl_header *header, const struct stat *status)
{
    uint64_t changed = (uint64_t)status->st_mtim.tv_sec * 1000000000u;
    if (header->end_ns > 0 && bl_proc_is_this_boot(header))
        return before(clock_ns(CLOCK_MONOTONIC), header->end_ns);
    return before(clock_ns(CLOCK_REALTIME), changed);
}

static void fill_from_reader(struct row *row, const struct bl_reader *reader,
                             const struct stat *status)
{
    const struct bl_header *header = bl_reader_header(reader);
    struct bl_proc process;
    bool is_running = bl_proc_find_writer(header, &process);
    row->pid = is_running ? process.pid : (pid_t)header->pid;
    row->parent_pid = header->flags & BL_FLAG_FORKED ? header->parent_pid : 0;
    row->may_be_hidden = !is_running && bl_proc_may_be_hidden(header);
    row->start_realtime_ns = header->start_realtime_ns;
    bl_text_printable(row->comm, sizeof(row->comm), header->comm,
                      strnlen(header->comm, sizeof(header->comm)));
    if (header->state == BL_STATE_RUNNING && !is_running)
        row->state = BL_PROCESS_KILLED;
    else
        row->state = bl_model_state_of(header, is_running);
    uint64_t marks = header->published[BL_SECTION_MARKS];
    row->marks = marks < BL_MARKS_MAX ? (unsigned)marks : BL_MARKS_MAX;
    uint64_t last = is_running ? clock_ns(CLOCK_MONOTONIC)
                               : (header->end_ns ? header->end_ns : header->heartbeat_ns);
    row->age_ns = before(last, header->start_ns);
    if (!is_running)
        row->ended_ns = ended_since(header, status);
    uint32_t classes = bl_reader_count(reader, BL_SECTION_CLASSES);
    for (uint32_t i = 0; i < classes && i < BL_CLASSES_MAX; i++) {
        struct bl_counter sum = bl_reader_counter(reader, i);
        int64_t count = (int64_t)(sum.allocs - sum.frees);
        int64_t bytes = (int64_t)(sum.alloc_bytes - sum.free_bytes);
        row->live_count += count > 0 ? (uint64_t)count : 0;
        row->live_bytes += bytes > 0 ? (uint64_t)bytes : 0;
    }
}

/* Of a sampled heap only some blocks were counted: what they stand for takes all their sizes. */
static void estimate(struct row *row, int fd)
{
    struct bl_reader *reader = NULL;
    struct bl_error ignored;
    double count;
    double bytes;
    if (bl_reader_create(&reader, fd, row->file->path, BL_READER_ALL, &ignored) < 0)
        return;
    struct bl_counter heap = bl_reader_counter(reader, HEAP);
    bl_model_estimate(reader, HEAP, &count, &bytes);
    row->live_count += (uint64_t)(count + 0.5) - (heap.allocs - heap.frees);
    row->live_bytes += (uint64_t)(bytes + 0.5) - (heap.alloc_bytes - heap.free_bytes);
    row->is_estimate = true;
    bl_reader_destroy(reader);
}

static void fill_row(struct row *row)
{
    struct bl_reader *reader = NULL;
    struct bl_error error = {""};
    struct stat status;
    row->pid = (pid_t)row->file->pid;
    row->ledger_bytes = (uint64_t)row->file->size;
    bl_text_printable(row->path, sizeof(row->path), row->file->path, strlen(row->file->path));
    int fd = bl_ledgers_open(row->file->path, false);
    if (fd < 0 || fstat(fd, &status) < 0)
        bl_error_set(&error, "cannot open: %s", strerror(fd < 0 ? -fd : errno));
    else if (bl_reader_create(&reader, fd, row->file->path, BL_READER_SUMMARY, &error) == 0)
        fill_from_reader(row, reader, &status);
    if (reader && bl_reader_header(reader)->sample_bytes > 1)
        estimate(row, fd);
    if (*error.text)
        bl_text_printable(row->problem, sizeof(row->problem), error.text, strlen(error.text));
    bl_reader_destroy(reader);
    if (fd >= 0)
        close(fd);
}

/* Files are sorted: the ledger of a program comes right before its snapshots. */
static int make_rows(struct listing *listing, struct bl_error *error)
{
    listing->rows = calloc(listing->files.count + 1, sizeof(*listing->rows));
    if (!listing->rows)
        return bl_error_set(error, "not enough memory for the list");
    struct row *row = NULL;
    for (size_t i = 0; i < listing->files.count; i++) {
        const struct bl_ledger_file *file = &listing->files.files[i];
        bool is_new = !row || row->file->pid != file->pid || row->file->start_us != file->start_us;
        if (is_new) {
            row = &listing->rows[listing->count++];
            row->file = file;
            fill_row(row);
        }
        row->snapshots += file->snapshot > 0;
    }
    return 0;
}

/* Root sees the ledgers of everybody at their default places. */
static void scan_others(struct bl_ledger_list *files, const char *own)
{
    static const char *const patterns[] = {"/tmp/bufleak-*", "/run/user/*/bufleak"};
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        glob_t found = {0};
        if (glob(patterns[i], GLOB_ONLYDIR, NULL, &found) != 0)
            continue;
        for (size_t k = 0; k < found.gl_pathc; k++) {
            struct bl_error ignored;
            if (strcmp(found.gl_pathv[k], own) != 0)
                bl_ledgers_scan(files, found.gl_pathv[k], &ignored);
        }
        globfree(&found);
    }
}

static int make_listing(struct listing *listing, bool with_others, struct bl_error *error)
{
    char own[PATH_MAX];
    const char *given = getenv("BUFLEAK_DIR");
    if (bl_ledgers_directory(own, sizeof(own), error) < 0 ||
        bl_ledgers_scan(&listing->files, own, error) < 0)
        return -1;
    if (with_others && geteuid() == 0 && !(given && *given))
        scan_others(&listing->files, own);
    bl_ledgers_sort(&listing->files);
    return make_rows(listing, error);
}

static const char *state_name(const struct row *row)
{
    if (*row->problem)
        return "unreadable";
    if (row->may_be_hidden)
        return "unknown";
    switch (row->state) {
    case BL_PROCESS_RUNNING:
        return "running";
    case BL_PROCESS_EXITED:
        return "exited";
    case BL_PROCESS_KILLED:
        return "killed";
    case BL_PROCESS_REPLACED:
        break;
    }
    return "replaced";
}

/* A process whose environment asks for the shim and that goes without it. */
struct untracked {
    pid_t pid;
    char comm[64];
    const char *why;
};

struct untracked_list {
    struct untracked *items;
    size_t count;
};

static bool visit_process(pid_t pid, void *context)
{
    struct untracked_list *list = context;
    const char *why = bl_proc_preload_text(bl_proc_preload_state(pid));
    struct bl_proc process;
    if (!why || bl_proc_read(pid, &process) < 0)
        return true;
    struct untracked *grown = realloc(list->items, (list->count + 1) * sizeof(*grown));
    if (!grown)
        return false;
    list->items = grown;
    struct untracked *item = &grown[list->count++];
    *item = (struct untracked){.pid = pid, .why = why};
    memcpy(item->comm, process.comm, sizeof(item->comm));
    return true;
}

static json_t *row_to_json(const struct row *row)
{
    char start[BL_TEXT_NUMBER];
    return json_pack(
        "{s:i, s:s, s:s, s:s, s:I, s:o, s:I, s:I, s:b, s:I, s:i, s:i, s:s, s:o, s:o}", "pid",
        (int)row->pid, "comm", row->comm, "state", state_name(row), "start",
        bl_text_time(start, row->start_realtime_ns), "uptime_ns", (json_int_t)row->age_ns,
        "ended_ns",
        row->state == BL_PROCESS_RUNNING ? json_null() : json_integer((json_int_t)row->ended_ns),
        "live_count", (json_int_t)row->live_count, "live_bytes", (json_int_t)row->live_bytes,
        "estimate", row->is_estimate, "ledger_bytes", (json_int_t)row->ledger_bytes, "snapshots",
        (int)row->snapshots, "marks", (int)row->marks, "ledger", row->path, "forked_from",
        row->parent_pid ? json_integer(row->parent_pid) : json_null(), "problem",
        *row->problem ? json_string(row->problem) : json_null());
}

static bool is_shown(const struct row *row, bool all)
{
    return all || row->state != BL_PROCESS_REPLACED || *row->problem;
}

static int write_json(const struct listing *listing, const struct untracked_list *untracked,
                      bool all, struct bl_error *error)
{
    json_t *processes = json_array();
    json_t *others = json_array();
    for (size_t i = 0; i < listing->count; i++)
        if (is_shown(&listing->rows[i], all))
            json_array_append_new(processes, row_to_json(&listing->rows[i]));
    for (size_t i = 0; i < untracked->count; i++)
        json_array_append_new(
            others, json_pack("{s:i, s:s, s:s}", "pid", (int)untracked->items[i].pid, "comm",
                              untracked->items[i].comm, "why", untracked->items[i].why));
    json_t *root = json_pack("{s:i, s:s, s:o, s:o}", "schema", 1, "tool", "bufleak " BL_VERSION,
                             "processes", processes, "untracked", others);
    int outcome = root ? json_dumpf(root, stdout, JSON_INDENT(2)) : -1;
    json_decref(root);
    putchar('\n');
    return outcome < 0 ? bl_error_set(error, "cannot write the list") : 0;
}

#define WIDE_COLUMNS   96 /* before the path, with all columns */
#define NARROW_COLUMNS 66 /* without the ledger's size and the numbers of snapshots and marks */

/* The path gets what the terminal has left. */
static void write_path(const struct bl_term *term, const char *path)
{
    char fitted[PATH_MAX];
    bool is_narrow = term->width > 0 && term->width < WIDE_COLUMNS + 40;
    size_t used = is_narrow ? NARROW_COLUMNS : WIDE_COLUMNS;
    if (term->width > 0 && term->width < used + 8)
        return;
    bl_text_fit(fitted, sizeof(fitted), path, term->width > 0 ? term->width - used : 0, true);
    printf("  %s", fitted);
}

static void write_columns(const struct bl_term *term, const char *const texts[8])
{
    bool is_narrow = term->width > 0 && term->width < WIDE_COLUMNS + 40;
    printf("%-8s %-16s %-9s %-14s %12s", texts[0], texts[1], texts[2], texts[3], texts[4]);
    if (!is_narrow)
        printf(" %11s %9s %5s", texts[5], texts[6], texts[7]);
}

static void write_row(const struct bl_term *term, const struct row *row)
{
    char pid[BL_TEXT_NUMBER];
    char since[BL_TEXT_NUMBER + 16];
    char number[BL_TEXT_NUMBER];
    char size[BL_TEXT_NUMBER];
    char unreleased[BL_TEXT_NUMBER + 1];
    char snapshots[BL_TEXT_NUMBER];
    char marks[BL_TEXT_NUMBER];
    snprintf(pid, sizeof(pid), "%d", (int)row->pid);
    if (*row->problem) {
        printf("%-8s %-16s %s\n", pid, "?", row->problem);
        return;
    }
    if (row->state == BL_PROCESS_RUNNING)
        snprintf(since, sizeof(since), "up %s", bl_text_age(number, row->age_ns));
    else
        snprintf(since, sizeof(since), "%s ago", bl_text_age(number, row->ended_ns));
    snprintf(snapshots, sizeof(snapshots), "%u", row->snapshots);
    snprintf(marks, sizeof(marks), "%u", row->marks);
    snprintf(unreleased, sizeof(unreleased), "%s%s", row->is_estimate ? "~" : "",
             bl_text_bytes(number, row->live_bytes));
    write_columns(term, (const char *[]){pid, row->comm, state_name(row), since, unreleased,
                                         bl_text_bytes(size, row->ledger_bytes), snapshots, marks});
    write_path(term, row->path);
    putchar('\n');
}

static void write_text(const struct listing *listing, const struct untracked_list *untracked,
                       bool all)
{
    struct bl_term term = bl_term_of(stdout);
    size_t hidden = 0;
    fputs(bl_term_style(&term, BL_STYLE_DIM), stdout);
    write_columns(&term, (const char *[]){"PID", "NAME", "STATE", "UP OR ENDED", "UNRELEASED",
                                          "LEDGER", "SNAPSHOTS", "MARKS"});
    write_path(&term, "PATH");
    printf("%s\n", bl_term_style(&term, BL_STYLE_PLAIN));
    for (size_t i = 0; i < listing->count; i++) {
        if (is_shown(&listing->rows[i], all))
            write_row(&term, &listing->rows[i]);
        else
            hidden++;
    }
    if (hidden > 0)
        printf("%zu more of programs that replaced themselves (--all shows them)\n", hidden);
    for (size_t i = 0; i < untracked->count; i++)
        printf("%-8d %-16s not tracked: %s\n", (int)untracked->items[i].pid,
               untracked->items[i].comm, untracked->items[i].why);
}

struct pruned {
    json_t *removed;
    uint64_t bytes;
    size_t files;
};

static void remove_row(const struct listing *listing, const struct row *row, struct pruned *pruned)
{
    for (size_t i = 0; i < listing->files.count; i++) {
        const struct bl_ledger_file *file = &listing->files.files[i];
        if (file->pid != row->file->pid || file->start_us != row->file->start_us)
            continue;
        int outcome = bl_ledgers_remove(file->path, &pruned->bytes);
        if (outcome < 0) {
            bl_say("cannot delete %s: %s", file->path, strerror(-outcome));
            continue;
        }
        pruned->files++;
        json_array_append_new(pruned->removed, json_string(file->path));
        bl_ledgers_remove_spool(file->path);
    }
}

static int prune(const struct request *request, struct bl_error *error)
{
    struct listing listing = {0};
    struct pruned pruned = {.removed = json_array()};
    char number[BL_TEXT_NUMBER];
    int outcome = make_listing(&listing, false, error);
    for (size_t i = 0; outcome == 0 && i < listing.count; i++) {
        const struct row *row = &listing.rows[i];
        if (*row->problem) {
            bl_say("left alone: %s", row->problem);
            continue;
        }
        if (row->state == BL_PROCESS_RUNNING || row->may_be_hidden ||
            row->ended_ns < request->older_than_ns)
            continue;
        size_t before_row = pruned.files;
        remove_row(&listing, row, &pruned);
        if (!request->is_json && pruned.files > before_row)
            printf("removed %s[%d] %s: %zu file%s\n", row->comm, (int)row->pid, state_name(row),
                   pruned.files - before_row, pruned.files - before_row == 1 ? "" : "s");
    }
    char own[PATH_MAX];
    if (outcome == 0 && bl_ledgers_directory(own, sizeof(own), error) == 0)
        pruned.files += bl_ledgers_remove_unborn(own, &pruned.bytes);
    if (outcome == 0 && request->is_json) {
        json_t *root = json_pack("{s:i, s:s, s:O, s:I}", "schema", 1, "tool", "bufleak " BL_VERSION,
                                 "removed", pruned.removed, "bytes", (json_int_t)pruned.bytes);
        json_dumpf(root, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(root);
    } else if (outcome == 0) {
        printf("%zu file%s removed, %s\n", pruned.files, pruned.files == 1 ? "" : "s",
               bl_text_bytes(number, pruned.bytes));
    }
    json_decref(pruned.removed);
    free(listing.rows);
    bl_ledgers_deinit(&listing.files);
    return outcome;
}

static int list(const struct request *request, struct bl_error *error)
{
    struct listing listing = {0};
    struct untracked_list untracked = {0};
    int outcome = make_listing(&listing, true, error);
    if (outcome == 0) {
        bl_proc_each(visit_process, &untracked);
        if (request->is_json)
            outcome = write_json(&listing, &untracked, request->all, error);
        else
            write_text(&listing, &untracked, request->all);
    }
    free(untracked.items);
    free(listing.rows);
    bl_ledgers_deinit(&listing.files);
    return outcome;
}

static int take_option(struct request *request, int code, char **argv, struct bl_error *error)
{
    switch (code) {
    case BL_ARGS_HELP:
        request->wants_help = true;
        return 0;
    case BL_ARGS_OWN:
        request->all = true;
        return 0;
    case BL_ARGS_OWN + 1:
        request->prune = true;
        return 0;
    case BL_ARGS_OWN + 2:
        if (bl_text_parse_age(optarg, &request->older_than_ns))
            return 0;
        bl_args_bad_value(error, "--older-than", optarg, "an age such as 10m, 2h, 7d");
        return BL_CODE_USAGE;
    case BL_ARGS_OWN + 3:
        request->all_dead = true;
        return 0;
    case BL_ARGS_OWN + 4:
        request->is_json = strcmp(optarg, "json") == 0;
        if (request->is_json || strcmp(optarg, "text") == 0)
            return 0;
        bl_args_bad_value(error, "--format", optarg, "text or json");
        return BL_CODE_USAGE;
    default:
        return bl_args_refuse(error, code, argv, "ps");
    }
}

int bl_cmd_ps(int argc, char **argv, struct bl_error *error)
{
    struct request request = {0};
    int code;
    while ((code = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        int outcome = take_option(&request, code, argv, error);
        if (outcome != 0)
            return outcome;
    }
    if (request.wants_help) {
        fputs(help, stdout);
        return BL_CODE_FINE;
    }
    if (optind < argc) {
        bl_error_set(error, "ps takes no argument such as %s; see `bufleak ps --help`",
                     argv[optind]);
        return BL_CODE_USAGE;
    }
    if ((request.older_than_ns > 0 || request.all_dead) && !request.prune) {
        bl_error_set(error, "--older-than and --all-dead go with --prune; see `bufleak ps --help`");
        return BL_CODE_USAGE;
    }
    int outcome = request.prune ? prune(&request, error) : list(&request, error);
    return outcome < 0 ? BL_CODE_FAILED : BL_CODE_FINE;
}
