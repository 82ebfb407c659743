/*
 * SARIF 2.1.0, for code scanning. What is known or suppressed is a result like any other, marked as
 * unchanged or suppressed: a result that is left out is taken for fixed, and comes back as a new
 * alert. Lines are those of today; what makes an alert the same is the fingerprint, our identity.
 */
#include "leakcheck.h"

#include "check_json.h"
#include "text.h"

#include <string.h>

#define SCHEMA "https://json.schemastore.org/sarif-2.1.0.json"

static const struct {
    const char *id;
    const char *name;
    const char *text;
} rules[] = {
    {"lost", "LostBuffer", "A buffer that nothing in the process leads to any more."},
    {"missing-release", "MissingRelease",
     "A reference that was taken and never given back, where others are."},
    {"never-released", "NeverReleased", "Buffers that are never given back."},
    {"over-release", "OverRelease", "A reference that was given back more often than taken."},
    {"stale", "StaleBuffer", "A buffer far older than its siblings became."},
    {"growing", "GrowsPerIteration", "Buffers of which each iteration leaves more."},
    {"unreleased", "UnreleasedBuffer", "A buffer that was not given back."},
};

static size_t rule_of(const struct bl_leak *leak)
{
    size_t count = sizeof(rules) / sizeof(rules[0]);
    if (strcmp(leak->verdict, "unreleased") == 0 && leak->reach == BL_LEAK_LOST)
        return 0;
    for (size_t i = 0; i < count; i++)
        if (strcmp(rules[i].id, leak->verdict) == 0)
            return i;
    return count - 1;
}

static json_t *make_rules(void)
{
    json_t *array = json_array();
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        json_array_append_new(array,
                              json_pack("{s:s, s:s, s:{s:s}, s:{s:s}}", "id", rules[i].id, "name",
                                        rules[i].name, "shortDescription", "text", rules[i].text,
                                        "defaultConfiguration", "level", "error"));
    return array;
}

/* A URI of a path: everything but what is plain is escaped. */
static void write_uri(char *out, size_t size, const char *path)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "-._~/+";
    size_t used = 0;
    for (const char *at = path; *at && used + 4 < size; at++) {
        if (strchr(plain, *at))
            out[used++] = *at;
        else
            used += (size_t)snprintf(out + used, size - used, "%%%02X", (unsigned char)*at);
    }
    out[used] = '\0';
}

static json_t *make_physical(const struct bl_check *check, const struct bl_leak_frame *frame)
{
    char escaped[4096];
    char uri[4200];
    const char *file = bl_check_relative(check, frame->file);
    bool is_absolute = *file == '/';
    write_uri(escaped, sizeof(escaped), file);
    snprintf(uri, sizeof(uri), "%s%s", is_absolute ? "file://" : "", escaped);
    json_t *artifact = json_pack("{s:s}", "uri", uri);
    if (!is_absolute)
        json_object_set_new(artifact, "uriBaseId", json_string("SRCROOT"));
    json_t *physical = json_pack("{s:o}", "artifactLocation", artifact);
    if (frame->line > 0)
        json_object_set_new(physical, "region", json_pack("{s:i}", "startLine", frame->line));
    return physical;
}

static json_t *make_location(const struct bl_check *check, const struct bl_leak_frame *frame)
{
    json_t *location = json_object();
    char name[1400];
    if (frame->file)
        json_object_set_new(location, "physicalLocation", make_physical(check, frame));
    if (frame->function)
        snprintf(name, sizeof(name), "%s", frame->function);
    else
        snprintf(name, sizeof(name), "%s+0x%llx", frame->module, (unsigned long long)frame->offset);
    json_object_set_new(location, "logicalLocations",
                        json_pack("[{s:s, s:s}]", "fullyQualifiedName", name, "kind",
                                  frame->function ? "function" : "module"));
    return location;
}

static json_t *make_stack(const struct bl_check *check, const char *text,
                          const struct bl_leak_stack *stack)
{
    json_t *frames = json_array();
    for (size_t i = 0; i < stack->count; i++)
        json_array_append_new(frames, json_pack("{s:o, s:s}", "location",
                                                make_location(check, &stack->frames[i]), "module",
                                                stack->frames[i].module));
    return json_pack("{s:{s:s}, s:o}", "message", "text", text, "frames", frames);
}

static json_t *make_stacks(const struct bl_check *check, const struct bl_leak *leak)
{
    static const char *const ops[] = {"allocated here", "retained here", "released here"};
    json_t *stacks = json_array();
    json_array_append_new(stacks, make_stack(check, ops[leak->op], &leak->blame));
    if (leak->op != BL_LEAK_ALLOC && leak->alloc.count > 0)
        json_array_append_new(stacks, make_stack(check, "allocated here", &leak->alloc));
    if (leak->expected.count > 0)
        json_array_append_new(stacks, make_stack(check, "expected release", &leak->expected));
    return stacks;
}

static json_t *make_message(const struct bl_leak *leak)
{
    char headline[512];
    char text[1024];
    char held[BL_TEXT_NUMBER];
    char some[64] = "";
    bl_check_headline(leak, headline, sizeof(headline));
    if (leak->held_by && leak->lost_count > 0)
        snprintf(some, sizeof(some), "%s of them ", bl_text_count(held, leak->held_count));
    snprintf(text, sizeof(text), "%s%s%s%s%s%s%s", headline, leak->text ? ": " : "",
             leak->text ? leak->text : "", leak->held_by ? "; " : "", some,
             leak->held_by ? "held by " : "", leak->held_by ? leak->held_by : "");
    return json_pack("{s:s}", "text", text);
}

static const char *state_of(const struct bl_check *check, const struct bl_leak *leak)
{
    if (!check->baseline_path || leak->baseline == BL_LEAK_NO_BASELINE)
        return NULL;
    return leak->baseline == BL_LEAK_NEW     ? "new"
           : leak->baseline == BL_LEAK_GROWN ? "updated"
                                             : "unchanged";
}

static json_t *make_result(const struct bl_check *check, const struct bl_leak *leak)
{
    size_t rule = rule_of(leak);
    const struct bl_leak_frame *place = bl_leak_place(leak);
    const char *state = state_of(check, leak);
    json_t *result = json_pack(
        "{s:s, s:i, s:s, s:o, s:{s:s}, s:I}", "ruleId", rules[rule].id, "ruleIndex", (int)rule,
        "level", leak->fate == BL_LEAK_FAILS ? "error" : "note", "message", make_message(leak),
        "partialFingerprints", "bufleakIdentity/v1", leak->id, "occurrenceCount",
        (json_int_t)(leak->count > INT32_MAX ? INT32_MAX : leak->count));
    if (!result)
        return NULL;
    if (leak->count == 0)
        json_object_set_new(result, "occurrenceCount", json_integer(1));
    if (place)
        json_object_set_new(result, "locations", json_pack("[o]", make_location(check, place)));
    json_object_set_new(result, "stacks", make_stacks(check, leak));
    if (state)
        json_object_set_new(result, "baselineState", json_string(state));
    if (leak->suppressed_by)
        json_object_set_new(result, "suppressions",
                            json_pack("[{s:s, s:s}]", "kind", "external", "justification",
                                      leak->suppressed_by->text));
    return result;
}

/* Those of the baseline that are gone: SARIF has a word for them. */
static json_t *make_absent(const struct bl_baseline_entry *entry)
{
    char text[512];
    snprintf(text, sizeof(text), "fixed: %s, %s at %s", entry->class_name, entry->verdict,
             entry->function_count > 0 ? entry->functions[0] : "?");
    return json_pack("{s:s, s:s, s:s, s:{s:s}, s:{s:s}}", "ruleId",
                     *entry->verdict ? entry->verdict : "unreleased", "level", "none",
                     "baselineState", "absent", "message", "text", text, "partialFingerprints",
                     "bufleakIdentity/v1", entry->id);
}

static json_t *make_invocation(const struct bl_check *check)
{
    char start[BL_TEXT_NUMBER];
    char end[BL_TEXT_NUMBER];
    json_t *notes = json_array();
    for (size_t i = 0; i < check->untracked_count; i++) {
        char text[512];
        snprintf(text, sizeof(text), "%s[%d] was not tracked: %s", check->untracked[i].comm,
                 (int)check->untracked[i].pid, check->untracked[i].why);
        json_array_append_new(
            notes, json_pack("{s:s, s:{s:s}}", "level", "warning", "message", "text", text));
    }
    return json_pack("{s:b, s:i, s:s, s:s, s:o}", "executionSuccessful",
                     check->outcome == BL_CHECK_PASSED || check->outcome == BL_CHECK_LEAKS,
                     "exitCode", check->command_code, "startTimeUtc",
                     bl_text_time(start, check->start_ns), "endTimeUtc",
                     bl_text_time(end, check->start_ns + check->duration_ns),
                     "toolExecutionNotifications", notes);
}

int bl_check_write_sarif(FILE *out, const struct bl_check *check, struct bl_error *error)
{
    json_t *results = json_array();
    for (size_t i = 0; i < bl_leaks_count(check->leaks); i++)
        json_array_append_new(results, make_result(check, bl_leaks_at(check->leaks, i)));
    for (size_t i = 0; i < check->baseline.count; i++)
        if (!check->baseline.entries[i].leak)
            json_array_append_new(results, make_absent(&check->baseline.entries[i]));
    json_t *run = json_pack(
        "{s:{s:{s:s, s:s, s:o}}, s:o, s:o, s:s, s:{s:{s:{s:s}}}}", "tool", "driver", "name",
        "bufleak", "version", BL_VERSION, "rules", make_rules(), "results", results, "invocations",
        json_pack("[o]", make_invocation(check)), "columnKind", "utf16CodeUnits",
        "originalUriBaseIds", "SRCROOT", "description", "text", "The root of the sources");
    return bl_check_json_write(out,
                               json_pack("{s:s, s:s, s:o}", "$schema", SCHEMA, "version", "2.1.0",
                                         "runs", json_pack("[o]", run)),
                               error);
}
