/*
 * JUnit's XML: a case for each test that was named, and one for each process, so that a leak fails
 * the test that made it.
 */
#include "leakcheck.h"

#include "text.h"

#include <libxml/xmlwriter.h>
#include <stdlib.h>
#include <string.h>

/* A named test, or a process as a whole. */
struct unit {
    const char *test; /* NULL: what no test of the process made */
    const char *suite;
    const char *name;
    size_t process;
    bool is_whole; /* the process itself */
};

struct units {
    struct unit *list;
    size_t count;
};

static void add_unit(struct units *units, struct unit unit)
{
    for (size_t i = 0; !unit.is_whole && i < units->count; i++)
        if (units->list[i].test == unit.test)
            return;
    units->list = bl_leaks_memory(units->list, (units->count + 1) * sizeof(*units->list));
    units->list[units->count++] = unit;
}

static void collect_units(const struct bl_check *check, struct units *units)
{
    for (size_t i = 0; i < bl_leaks_process_count(check->leaks); i++) {
        const struct bl_leak_process *process = bl_leaks_process(check->leaks, i);
        if (process->is_ignored)
            continue;
        add_unit(units, (struct unit){.test = process->test,
                                      .suite = process->comm,
                                      .name = process->test ? process->test : process->command,
                                      .process = i,
                                      .is_whole = !process->test});
    }
    for (size_t i = 0; i < bl_leaks_count(check->leaks); i++) {
        const struct bl_leak *leak = bl_leaks_at(check->leaks, i);
        for (size_t k = 0; k < leak->share_count; k++)
            if (leak->shares[k].test)
                add_unit(units,
                         (struct unit){
                             .test = leak->shares[k].test,
                             .suite = bl_leaks_process(check->leaks, leak->shares[k].process)->comm,
                             .name = leak->shares[k].test,
                             .process = leak->shares[k].process});
    }
}

/* What of a leak this unit made: false for nothing. */
static bool find_share(const struct unit *unit, const struct bl_leak *leak,
                       struct bl_leak_share *ret_share)
{
    *ret_share = (struct bl_leak_share){.count = 0};
    for (size_t i = 0; i < leak->share_count; i++) {
        const struct bl_leak_share *share = &leak->shares[i];
        if (unit->test ? share->test != unit->test
                       : share->test != NULL || share->process != unit->process)
            continue;
        ret_share->count += share->count;
        ret_share->bytes += share->bytes;
    }
    return ret_share->count > 0;
}

static size_t count_failures(const struct bl_check *check, const struct unit *unit)
{
    size_t count = 0;
    struct bl_leak_share share;
    for (size_t i = 0; i < bl_leaks_count(check->leaks); i++)
        count += bl_leaks_at(check->leaks, i)->fate == BL_LEAK_FAILS &&
                 find_share(unit, bl_leaks_at(check->leaks, i), &share);
    return count;
}

static void attribute(xmlTextWriterPtr xml, const char *name, const char *value)
{
    xmlTextWriterWriteAttribute(xml, BAD_CAST name, BAD_CAST value);
}

static void number(xmlTextWriterPtr xml, const char *name, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    attribute(xml, name, text);
}

static void seconds(xmlTextWriterPtr xml, uint64_t ns)
{
    char text[32];
    snprintf(text, sizeof(text), "%llu.%03llu", (unsigned long long)(ns / 1000000000u),
             (unsigned long long)(ns / 1000000u % 1000u));
    attribute(xml, "time", text);
}

static void write_leak(xmlTextWriterPtr xml, const struct bl_check *check,
                       const struct bl_leak *leak, const struct bl_leak_share *share)
{
    char headline[512];
    char message[768];
    char place[1400];
    char part[BL_TEXT_NUMBER];
    bl_check_headline(leak, headline, sizeof(headline));
    snprintf(message, sizeof(message), "%s%s%s%s", headline,
             share->count < leak->count ? " (of these " : "",
             share->count < leak->count ? bl_text_count(part, share->count) : "",
             share->count < leak->count ? " here)" : "");
    xmlTextWriterStartElement(xml, BAD_CAST "failure");
    attribute(xml, "type", leak->verdict);
    attribute(xml, "message", message);
    xmlTextWriterWriteString(xml, BAD_CAST "\n");
    for (size_t i = 0; i < leak->blame.count; i++) {
        bl_check_place(check, &leak->blame.frames[i], place, sizeof(place));
        xmlTextWriterWriteString(xml, BAD_CAST place);
        xmlTextWriterWriteString(xml, BAD_CAST "\n");
    }
    if (leak->text) {
        xmlTextWriterWriteString(xml, BAD_CAST leak->text);
        xmlTextWriterWriteString(xml, BAD_CAST "\n");
    }
    xmlTextWriterEndElement(xml);
}

static void write_unit(xmlTextWriterPtr xml, const struct bl_check *check, const struct unit *unit)
{
    const struct bl_leak_process *process = bl_leaks_process(check->leaks, unit->process);
    struct bl_leak_share share;
    xmlTextWriterStartElement(xml, BAD_CAST "testcase");
    attribute(xml, "classname", unit->suite);
    attribute(xml, "name", unit->name);
    seconds(xml, unit->is_whole ? process->duration_ns : 0);
    for (size_t i = 0; i < bl_leaks_count(check->leaks); i++) {
        const struct bl_leak *leak = bl_leaks_at(check->leaks, i);
        if (leak->fate == BL_LEAK_FAILS && find_share(unit, leak, &share))
            write_leak(xml, check, leak, &share);
    }
    if (process->is_unknown && unit->is_whole && !check->allows_unknown) {
        xmlTextWriterStartElement(xml, BAD_CAST "error");
        attribute(xml, "type", "unknown");
        attribute(xml, "message", process->why_not ? process->why_not : "it could not be judged");
        xmlTextWriterEndElement(xml);
    }
    if (process->is_partial && !process->is_unknown && unit->is_whole)
        xmlTextWriterWriteFormatElement(xml, BAD_CAST "system-out", "seen in part: %s",
                                        process->why_not);
    xmlTextWriterEndElement(xml);
}

static void write_untracked(xmlTextWriterPtr xml, const struct bl_check *check)
{
    for (size_t i = 0; i < check->untracked_count; i++) {
        bool is_error = check->outcome == BL_CHECK_NOTHING || !check->allows_untracked;
        xmlTextWriterStartElement(xml, BAD_CAST "testcase");
        attribute(xml, "classname", "not tracked");
        attribute(xml, "name", check->untracked[i].comm);
        xmlTextWriterStartElement(xml, BAD_CAST(is_error ? "error" : "skipped"));
        attribute(xml, "message", check->untracked[i].why);
        xmlTextWriterEndElement(xml);
        xmlTextWriterEndElement(xml);
    }
}

/* What was to be looked at, and was in no process. */
static void write_missing(xmlTextWriterPtr xml, const struct bl_check *check)
{
    for (size_t i = 0; i < check->wanted_count; i++) {
        const struct bl_wanted *wanted = &check->wanted[i];
        if (wanted->was_tracked)
            continue;
        xmlTextWriterStartElement(xml, BAD_CAST "testcase");
        attribute(xml, "classname", "profile never seen");
        attribute(xml, "name", wanted->profile);
        xmlTextWriterStartElement(xml, BAD_CAST(check->allows_unknown ? "skipped" : "error"));
        xmlTextWriterWriteFormatAttribute(xml, BAD_CAST "message", "class %s %s",
                                          wanted->class_name, wanted->why);
        xmlTextWriterEndElement(xml);
        xmlTextWriterEndElement(xml);
    }
}

static void write_suite(xmlTextWriterPtr xml, const struct bl_check *check,
                        const struct units *units)
{
    char start[BL_TEXT_NUMBER];
    size_t failures = 0;
    size_t errors = 0;
    bool is_error = check->outcome == BL_CHECK_NOTHING || !check->allows_untracked;
    for (size_t i = 0; i < units->count; i++) {
        const struct bl_leak_process *process =
            bl_leaks_process(check->leaks, units->list[i].process);
        failures += count_failures(check, &units->list[i]) > 0;
        errors += process->is_unknown && units->list[i].is_whole && !check->allows_unknown;
    }
    xmlTextWriterStartElement(xml, BAD_CAST "testsuite");
    attribute(xml, "name", "bufleak");
    number(xml, "tests", units->count + check->untracked_count + check->missing);
    number(xml, "failures", failures);
    number(xml, "errors",
           errors + (is_error ? check->untracked_count : 0) +
               (check->allows_unknown ? 0 : check->missing));
    number(xml, "skipped",
           (is_error ? 0 : check->untracked_count) + (check->allows_unknown ? check->missing : 0));
    seconds(xml, check->duration_ns);
    attribute(xml, "timestamp", bl_text_time(start, check->start_ns));
    for (size_t i = 0; i < units->count; i++)
        write_unit(xml, check, &units->list[i]);
    write_untracked(xml, check);
    write_missing(xml, check);
    xmlTextWriterEndElement(xml);
}

int bl_check_write_junit(FILE *out, const struct bl_check *check, struct bl_error *error)
{
    struct units units = {.list = NULL};
    xmlBufferPtr buffer = xmlBufferCreate();
    xmlTextWriterPtr xml = buffer ? xmlNewTextWriterMemory(buffer, 0) : NULL;
    int outcome = xml ? 0 : bl_error_set(error, "not enough memory to write JUnit's XML");
    if (xml) {
        collect_units(check, &units);
        xmlTextWriterSetIndent(xml, 1);
        xmlTextWriterStartDocument(xml, NULL, "UTF-8", NULL);
        xmlTextWriterStartElement(xml, BAD_CAST "testsuites");
        write_suite(xml, check, &units);
        if (xmlTextWriterEndDocument(xml) < 0)
            outcome = bl_error_set(error, "not enough memory to write JUnit's XML");
        xmlFreeTextWriter(xml);
        fputs((const char *)xmlBufferContent(buffer), out);
    }
    if (buffer)
        xmlBufferFree(buffer);
    free(units.list);
    return outcome;
}
