/*
 * Whatever the bytes, suppressions and baselines are read or refused with one line: no crash, no
 * read beyond their end, no rule that takes for ever, nothing that could not be told in JSON.
 */
#include "baseline.h"
#include "identity.h"
#include "suppress.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool condition)
{
    if (!condition)
        abort();
}

static void need_line(const char *text)
{
    need(*text && !strpbrk(text, "\r\n\033"));
}

static const struct bl_leak_frame frames[] = {
    {.function = "g_malloc0",
     .module = "libglib-2.0.so.0",
     .path = "/lib/libglib-2.0.so.0",
     .is_runtime = true},
    {.function = "parse", .file = "src/parse.c", .line = 12, .module = "gw", .path = "/usr/bin/gw"},
    {.module = "gw", .path = "/usr/bin/gw", .offset = 77},
    {.function = "parse", .file = "src/parse.c", .line = 40, .module = "gw", .path = "/usr/bin/gw"},
    {.function = "main", .file = "src/main.c", .line = 3, .module = "gw", .path = "/usr/bin/gw"}};

/* A set with a held and a lost leak, and one without a stack. */
static struct bl_leaks *make_leaks(void)
{
    struct bl_leaks *leaks = NULL;
    struct bl_error error;
    need(bl_leaks_create(&leaks, &error) == 0);
    struct bl_leak_process process = {.pid = 1, .run = 1, .comm = "gw", .command = "gw"};
    struct bl_leak_share share = {
        .process = bl_leaks_add_process(leaks, &process), .count = 3, .bytes = 300};
    for (int i = 0; i < 3; i++) {
        struct bl_leak leak = {.class_name = i == 0 ? "heap" : "g-bytes",
                               .verdict = "unreleased",
                               .reach = (enum bl_leak_reach)i};
        if (i < 2) {
            leak.blame.count = sizeof(frames) / sizeof(frames[0]);
            leak.blame.frames = bl_leaks_memory(NULL, sizeof(frames));
            memcpy(leak.blame.frames, frames, sizeof(frames));
        }
        bl_identity_make(leaks, &leak);
        bl_leaks_count_runs(leaks, bl_leaks_add(leaks, &leak, &share), 1);
    }
    return leaks;
}

static void take_suppressions(const struct bl_leaks *leaks, const char *text)
{
    struct bl_suppressions *suppressions = NULL;
    struct bl_error error = {""};
    need(bl_suppressions_create(&suppressions, &error) == 0);
    if (bl_suppressions_parse(suppressions, "x.supp", text, false, &error) < 0)
        need_line(error.text);
    for (size_t i = 0; i < bl_suppressions_count(suppressions); i++)
        need_line(bl_suppressions_at(suppressions, i)->text);
    for (size_t i = 0; i < bl_leaks_count(leaks); i++) {
        const struct bl_suppression *found =
            bl_suppressions_find(suppressions, leaks, bl_leaks_at(leaks, i));
        need(!found || found->used > 0);
    }
    bl_suppressions_destroy(suppressions);
}

static void take_baseline(const struct bl_leaks *leaks, const char *text, size_t size)
{
    struct bl_baseline baseline;
    struct bl_error error = {""};
    struct bl_tolerance tolerance = {.share = 0.1};
    if (bl_baseline_parse(&baseline, "x.json", text, size, &error) < 0) {
        need_line(error.text);
        need(baseline.count == 0);
        return;
    }
    bl_baseline_compare(&baseline, leaks, &tolerance);
    for (size_t i = 0; i < baseline.count; i++) {
        need(strlen(baseline.entries[i].id) == 16);
        need(!strpbrk(baseline.entries[i].class_name, "\r\n\033"));
        for (size_t k = 0; k < baseline.entries[i].function_count; k++)
            need(!strpbrk(baseline.entries[i].functions[k], "\r\n\033"));
    }
    bl_baseline_deinit(&baseline);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* exactly as long as it is, so that a read beyond is seen */
    char *text = bl_leaks_memory(NULL, size + 1);
    struct bl_leaks *leaks = make_leaks();
    memcpy(text, data, size);
    text[size] = '\0';
    take_suppressions(leaks, text);
    free(text);
    char *bytes = bl_leaks_memory(NULL, size);
    memcpy(bytes, data, size);
    take_baseline(leaks, bytes, size);
    free(bytes);
    bl_leaks_destroy(leaks);
    return 0;
}
