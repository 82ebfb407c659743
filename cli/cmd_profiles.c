#include "commands.h"

#include "args.h"
#include "hooks.h"
#include "profile.h"
#include "profile_file.h"
#include "reader.h"
#include "target.h"
#include "text.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: bufleak profiles list\n"
    "       bufleak profiles show NAME\n"
    "       bufleak profiles check FILE …\n"
    "       bufleak profiles explain [--format text|json] [TARGET]\n"
    "Profiles name the functions that allocate, retain and release a class of buffers.\n"
    "\n"
    "  list          the built-in profiles and the classes in each\n"
    "  show NAME     the text of a built-in profile: a start for one's own\n"
    "  check FILE    say what is wrong in a profile, with line and column\n"
    "  explain       per function of the profiles applied in a program: how it is hooked, and\n"
    "                what is therefore unseen. TARGET as for `bufleak report`\n"
    "\n"
    "  --format text|json    of explain (default text)\n"
    "  --help                this text\n"
    "\n"
    "The format is described in bufleak-profile(5).\n";

static const struct option long_options[] = {{"help", no_argument, NULL, BL_ARGS_HELP},
                                             {"format", required_argument, NULL, BL_ARGS_OWN},
                                             {NULL, 0, NULL, 0}};

/* ---- list, show ---- */

static void list_class(void *context, const struct bl_profile_class *c)
{
    printf("%-14s %-18s %s\n", (const char *)context, c->name, c->library);
}

static int list_profiles(void)
{
    printf("%-14s %-18s %s\n", "PROFILE", "CLASS", "LIBRARY");
    for (const struct bl_profile_builtin *b = bl_profile_builtins; b->name; b++) {
        struct bl_profile_sink sink = {.context = (void *)(uintptr_t)b->name,
                                       .on_class = list_class};
        bl_profile_parse(b->text, strlen(b->text), &sink);
    }
    return BL_CODE_FINE;
}

static int show(const char *name, struct bl_error *error)
{
    for (const struct bl_profile_builtin *b = bl_profile_builtins; b->name; b++)
        if (strcmp(b->name, name) == 0) {
            fputs(b->text, stdout);
            return BL_CODE_FINE;
        }
    bl_error_set(error, "there is no built-in profile %s; `bufleak profiles list` shows them",
                 name);
    return BL_CODE_FAILED;
}

/* ---- check ---- */

#define ERRORS_SHOWN 20u

struct check {
    const char *path;
    unsigned classes;
    unsigned functions;
    unsigned requests;
    unsigned errors;
};

static void count_class(void *context, const struct bl_profile_class *c)
{
    (void)c;
    ((struct check *)context)->classes++;
}

static void count_function(void *context, const struct bl_profile_function *f)
{
    (void)f;
    ((struct check *)context)->functions++;
}

static void count_request(void *context, const struct bl_profile_request *r)
{
    (void)r;
    ((struct check *)context)->requests++;
}

static void say_error(void *context, unsigned line, unsigned column, const char *what)
{
    struct check *check = context;
    if (check->errors++ < ERRORS_SHOWN)
        bl_say("%s:%u:%u: %s", check->path, line, column, what);
}

/* 1: the file has errors, which were said. */
static int check_file(const char *path, char *buffer, struct bl_error *error)
{
    struct check check = {.path = path};
    struct bl_profile_sink sink = {.context = &check,
                                   .on_class = count_class,
                                   .on_function = count_function,
                                   .on_request = count_request,
                                   .on_error = say_error};
    size_t length = 0;
    if (bl_profile_file_read(path, buffer, &length, error) < 0)
        return -1;
    if (bl_profile_parse(buffer, length, &sink) > 0 ||
        bl_profile_shared(buffer, length, say_error, &check) > 0) {
        if (check.errors > ERRORS_SHOWN)
            bl_say("%s: and %u more errors", path, check.errors - ERRORS_SHOWN);
        return 1;
    }
    if (check.classes + check.requests == 0)
        return bl_error_set(error, "%s names no class: a profile begins with `class NAME`", path);
    printf("%s: %u class%s, %u function%s\n", path, check.classes, check.classes == 1 ? "" : "es",
           check.functions, check.functions == 1 ? "" : "s");
    return 0;
}

static int check_files(int count, char **paths, struct bl_error *error)
{
    char *buffer = malloc(BL_PROFILE_FILE_MAX + 1);
    if (!buffer) {
        bl_error_set(error, "not enough memory");
        return BL_CODE_FAILED;
    }
    int code = BL_CODE_FINE;
    for (int i = 0; i < count && *error->text == '\0'; i++)
        if (check_file(paths[i], buffer, error) != 0)
            code = BL_CODE_FAILED;
    free(buffer);
    return code;
}

/* ---- explain ---- */

/* A hook of a profile, its names printable. */
struct row {
    struct bl_hook_row hook;
    char class[128];
    char profile[128];
};

/* False for what belongs to no profile: the heap's own functions. */
static bool read_row(const struct bl_reader *reader, uint32_t number, struct row *row)
{
    if (!bl_hooks_read(reader, number, &row->hook))
        return false;
    const struct bl_class *class = bl_reader_class(reader, row->hook.class_number);
    if (!class || class->profile_name == 0)
        return false;
    bl_reader_name_text(reader, class->profile_name, row->profile, sizeof(row->profile));
    return bl_reader_name_text(reader, class->name, row->class, sizeof(row->class));
}

/* What is not seen, and why. */
static void write_row(const struct row *row)
{
    const struct bl_hook_row *hook = &row->hook;
    if (!*hook->unseen && !*hook->why)
        printf("  %-32s %s\n", hook->function, hook->method);
    else if (!*hook->unseen || !*hook->why)
        printf("  %-32s %-8s  %s%s\n", hook->function, hook->method,
               *hook->unseen ? "not seen: " : "", *hook->unseen ? hook->unseen : hook->why);
    else
        printf("  %-32s %-8s  not seen: %s (%s)\n", hook->function, hook->method, hook->unseen,
               hook->why);
}

/* Whether libraries that are loaded later are looked at. */
static void write_watch(const struct bl_reader *reader)
{
    struct bl_hook_row hook;
    for (uint32_t i = 0; i < bl_hooks_count(reader); i++)
        if (bl_hooks_read(reader, i, &hook) && hook.is_none && strcmp(hook.function, "dlopen") == 0)
            printf("libraries that were loaded later were not looked at: %s\n", hook.why);
}

/* The profile files that something is wrong with. */
static bool write_broken(const struct bl_reader *reader, bool is_after_rows)
{
    struct bl_hook_row hook;
    char text[640];
    bool any = false;
    for (uint32_t i = 0; i < bl_hooks_count(reader); i++) {
        if (!bl_hooks_read(reader, i, &hook) || !hook.is_profile)
            continue;
        bl_hooks_say_mistakes(&hook, text, sizeof(text));
        printf("%sprofile %s: %s; %s\n", is_after_rows && !any ? "\n" : "", hook.module, text,
               hook.line > 0 ? "what has a mistake was left out" : "it was not applied");
        any = true;
    }
    return any;
}

/* The classes of the user's own files that nothing is tracked of. */
static bool write_missing(const struct bl_reader *reader, bool is_after_rows)
{
    struct bl_hook_row hook;
    char why[640];
    bool any = false;
    for (uint32_t i = 0; i < bl_hooks_count(reader); i++) {
        if (!bl_hooks_read(reader, i, &hook) || !hook.is_wanted ||
            !bl_hooks_why_missing(reader, &hook, why, sizeof(why)))
            continue;
        printf("%sprofile %s: class %s %s\n", is_after_rows && !any ? "\n" : "", hook.module,
               hook.function, why);
        any = true;
    }
    return any;
}

static void write_rows(const struct bl_reader *reader)
{
    uint32_t count = bl_hooks_count(reader);
    uint32_t functions = 0;
    uint32_t whole = 0;
    uint32_t class_number = UINT32_MAX;
    struct row row;
    for (uint32_t i = 0; i < count; i++) {
        if (!read_row(reader, i, &row))
            continue;
        if (functions++ == 0 || row.hook.class_number != class_number)
            printf("%s%s (profile %s, %s)\n", functions > 1 ? "\n" : "", row.class, row.profile,
                   *row.hook.module ? row.hook.module : "the executable");
        class_number = row.hook.class_number;
        whole += *row.hook.unseen == '\0';
        write_row(&row);
    }
    bool is_broken = write_broken(reader, functions > 0);
    is_broken |= write_missing(reader, functions > 0 && !is_broken);
    if (functions == 0)
        puts(is_broken ? "no other profile was applied"
                       : "no profile was applied: none of its libraries is there, or "
                         "profiles=none was given");
    else
        printf("\n%u function%s, %u seen wherever %s called from\n", functions,
               functions == 1 ? "" : "s", whole, whole == 1 ? "it is" : "they are");
    write_watch(reader);
}

static json_t *make_row(const struct row *row)
{
    const struct bl_hook_row *hook = &row->hook;
    return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s?, s:s?}", "class", row->class, "profile",
                     row->profile, "function", hook->function, "method", hook->method, "module",
                     *hook->module ? hook->module : NULL, "why", *hook->why ? hook->why : NULL,
                     "unseen", *hook->unseen ? hook->unseen : NULL);
}

static int write_rows_json(const struct bl_reader *reader, struct bl_error *error)
{
    json_t *hooks = json_array();
    struct row row;
    uint32_t count = bl_hooks_count(reader);
    for (uint32_t i = 0; i < count; i++)
        if (read_row(reader, i, &row))
            json_array_append_new(hooks, make_row(&row));
    json_t *root =
        json_pack("{s:i, s:s, s:o, s:o, s:o}", "schema", 1, "tool", "bufleak " BL_VERSION, "hooks",
                  hooks, "profiles_broken", bl_hooks_make_mistakes(reader), "profiles_missing",
                  bl_hooks_make_missing(reader));
    int outcome = root ? json_dumpf(root, stdout, JSON_INDENT(2)) : -1;
    json_decref(root);
    putchar('\n');
    return outcome < 0 ? bl_error_set(error, "cannot write the list") : 0;
}

static int explain(const char *argument, bool is_json, struct bl_error *error)
{
    struct bl_target target;
    struct bl_target_choice choice = {.argument = argument, .ledger_only = true};
    struct bl_reader *reader = NULL;
    if (bl_target_open(&choice, &target, error) < 0)
        return BL_CODE_FAILED;
    if (target.was_searched)
        bl_say("reading %s", target.path);
    int outcome = bl_reader_create(&reader, target.fd, target.path, BL_READER_SUMMARY, error);
    if (outcome == 0) {
        if (is_json)
            outcome = write_rows_json(reader, error);
        else
            write_rows(reader);
        bl_reader_destroy(reader);
    }
    bl_target_deinit(&target);
    return outcome < 0 ? BL_CODE_FAILED : BL_CODE_FINE;
}

/* ---- the command ---- */

static int misuse(struct bl_error *error, const char *what)
{
    bl_error_set(error, "%s; see `bufleak profiles --help`", what);
    return BL_CODE_USAGE;
}

static int run(int count, char **words, bool is_json, struct bl_error *error)
{
    if (count == 0)
        return misuse(error, "profiles needs one of list, show, check, explain");
    const char *verb = words[0];
    if (is_json && strcmp(verb, "explain") != 0)
        return misuse(error, "--format goes with `profiles explain`");
    if (strcmp(verb, "list") == 0)
        return count > 1 ? misuse(error, "`profiles list` takes no argument") : list_profiles();
    if (strcmp(verb, "show") == 0)
        return count == 2 ? show(words[1], error)
                          : misuse(error, "`profiles show` takes the name of one profile");
    if (strcmp(verb, "check") == 0)
        return count > 1 ? check_files(count - 1, words + 1, error)
                         : misuse(error, "`profiles check` needs a file");
    if (strcmp(verb, "explain") == 0)
        return count > 2 ? misuse(error, "`profiles explain` takes one target")
                         : explain(count == 2 ? words[1] : NULL, is_json, error);
    bl_error_set(error, "profiles knows list, show, check and explain, not %s", verb);
    return BL_CODE_USAGE;
}

int bl_cmd_profiles(int argc, char **argv, struct bl_error *error)
{
    bool is_json = false;
    int code;
    while ((code = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        if (code == '?' || code == ':')
            return bl_args_refuse(error, code, argv, "profiles");
        if (code == BL_ARGS_HELP) {
            fputs(help, stdout);
            return BL_CODE_FINE;
        }
        is_json = strcmp(optarg, "json") == 0;
        if (!is_json && strcmp(optarg, "text") != 0) {
            bl_args_bad_value(error, "--format", optarg, "text or json");
            return BL_CODE_USAGE;
        }
    }
    return run(argc - optind, argv + optind, is_json, error);
}
