/*
 * What the services that run tests show beside the code: GitHub's annotations and summary, GitLab's
 * code quality; and suppressions for those who want the leaks out of the way.
 */
#include "leakcheck.h"

#include "check_json.h"
#include "text.h"

#include <string.h>

#define UNKNOWN_SHOWN 10 /* processes, in a summary */
#define ANNOTATIONS   50 /* GitHub shows no more than some dozens of a step */

/* Commands to GitHub are lines: % and line ends are escaped, in properties : and , as well. */
static void write_escaped(FILE *out, const char *text, bool is_property)
{
    for (; *text; text++) {
        bool is_special = strchr("%\r\n", *text) || (is_property && strchr(":,", *text));
        if (is_special)
            fprintf(out, "%%%02X", (unsigned char)*text);
        else
            fputc(*text, out);
    }
}

static void annotate(FILE *out, const struct bl_check *check, const struct bl_leak *leak)
{
    const struct bl_leak_frame *place = bl_leak_place(leak);
    char headline[512];
    char where[1400] = "an unknown place";
    bl_check_headline(leak, headline, sizeof(headline));
    if (place)
        bl_check_place(check, place, where, sizeof(where));
    fputs("::error ", out);
    if (place && place->file) {
        fputs("file=", out);
        write_escaped(out, bl_check_relative(check, place->file), true);
        if (place->line > 0)
            fprintf(out, ",line=%d", place->line);
        fputc(',', out);
    }
    fputs("title=leak (bufleak)::", out);
    write_escaped(out, headline, false);
    fputs(" at ", out);
    write_escaped(out, where, false);
    fputc('\n', out);
}

int bl_check_write_github(FILE *out, const struct bl_check *check, struct bl_error *error)
{
    size_t written = 0;
    char summary[1024];
    (void)error;
    for (size_t i = 0; i < bl_leaks_count(check->leaks) && written < ANNOTATIONS; i++) {
        if (bl_leaks_at(check->leaks, i)->fate != BL_LEAK_FAILS)
            continue;
        annotate(out, check, bl_leaks_at(check->leaks, i));
        written++;
    }
    if (check->outcome == BL_CHECK_NOTHING || check->outcome == BL_CHECK_UNKNOWN) {
        bl_check_summary(check, summary, sizeof(summary));
        fputs("::error title=bufleak::", out);
        write_escaped(out, summary, false);
        fputc('\n', out);
    }
    return 0;
}

static json_t *make_issue(const struct bl_check *check, const struct bl_leak *leak)
{
    char text[1024];
    const struct bl_leak_frame *place = bl_leak_place(leak);
    const char *file = place && place->file ? bl_check_relative(check, place->file) : NULL;
    bl_check_headline(leak, text, sizeof(text));
    return json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:{s:i}}}", "description", text, "check_name",
                     leak->verdict, "fingerprint", leak->id, "severity",
                     leak->fate == BL_LEAK_FAILS ? "major" : "info", "location", "path",
                     file    ? file
                     : place ? place->module
                             : "unknown",
                     "lines", "begin", place && place->line > 0 ? place->line : 1);
}

int bl_check_write_gitlab(FILE *out, const struct bl_check *check, struct bl_error *error)
{
    json_t *issues = json_array();
    for (size_t i = 0; i < bl_leaks_count(check->leaks); i++) {
        const struct bl_leak *leak = bl_leaks_at(check->leaks, i);
        if (leak->fate == BL_LEAK_FAILS || leak->fate == BL_LEAK_KNOWN)
            json_array_append_new(issues, make_issue(check, leak));
    }
    return bl_check_json_write(out, issues, error);
}

/* A cell of a table. */
static void write_cell(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("|\\`*_<>[]", *text))
            fputc('\\', out);
        fputc(*text == '\n' ? ' ' : *text, out);
    }
}

static void write_row(FILE *out, const struct bl_check *check, const struct bl_leak *leak)
{
    char text[512];
    char place[1400] = "?";
    const struct bl_leak_frame *frame = bl_leak_place(leak);
    bl_check_headline(leak, text, sizeof(text));
    if (frame)
        bl_check_place(check, frame, place, sizeof(place));
    fputs("| ", out);
    write_cell(out, text);
    fputs(" | ", out);
    write_cell(out, place);
    fprintf(out, " | %s |\n",
            leak->fate != BL_LEAK_FAILS       ? bl_leak_fate_name(leak->fate)
            : leak->baseline == BL_LEAK_GROWN ? "grown"
            : check->baseline_path            ? "new"
                                              : "fails");
}

static void write_unknown(FILE *out, const struct bl_check *check)
{
    size_t shown = 0;
    for (size_t i = 0; i < bl_leaks_process_count(check->leaks); i++) {
        const struct bl_leak_process *process = bl_leaks_process(check->leaks, i);
        if (!process->is_unknown || shown++ >= UNKNOWN_SHOWN)
            continue;
        fputs(shown == 1 ? "\nUnknown:\n\n- " : "- ", out);
        write_cell(out, process->command);
        fputs(": ", out);
        write_cell(out, process->why_not ? process->why_not : "?");
        fputc('\n', out);
    }
    if (shown > UNKNOWN_SHOWN)
        fprintf(out, "- and %zu more\n", shown - UNKNOWN_SHOWN);
}

int bl_check_write_markdown(FILE *out, const struct bl_check *check, struct bl_error *error)
{
    char summary[1024];
    size_t shown = 0;
    (void)error;
    bl_check_summary(check, summary, sizeof(summary));
    bool is_well = check->outcome == BL_CHECK_PASSED && check->command_code == 0;
    fprintf(out, "### %s bufleak check\n\n", is_well ? "✅" : "❌");
    write_cell(out, summary);
    fputs("\n\n", out);
    for (size_t i = 0; i < bl_leaks_count(check->leaks); i++) {
        const struct bl_leak *leak = bl_leaks_at(check->leaks, i);
        if (leak->fate == BL_LEAK_SUPPRESSED || leak->fate == BL_LEAK_NOTED)
            continue;
        if (shown++ == 0)
            fputs("| leak | at | |\n|---|---|---|\n", out);
        write_row(out, check, leak);
    }
    write_unknown(out, check);
    for (size_t i = 0; i < check->untracked_count; i++) {
        fputs(i == 0 ? "\nNot tracked:\n\n- " : "- ", out);
        write_cell(out, check->untracked[i].comm);
        fputs(": ", out);
        write_cell(out, check->untracked[i].why);
        fputc('\n', out);
    }
    return 0;
}

int bl_check_write_suppressions(FILE *out, const struct bl_check *check, struct bl_error *error)
{
    (void)error;
    for (size_t i = 0; i < bl_leaks_count(check->leaks); i++)
        if (bl_leaks_at(check->leaks, i)->fate == BL_LEAK_FAILS)
            bl_suppressions_write(out, check->leaks, bl_leaks_at(check->leaks, i));
    return 0;
}
