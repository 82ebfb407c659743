/*
 * A check as JSON: the schema of a report's groups, with what a check knows beside.
 */
#include "leakcheck.h"

#include "check_json.h"
#include "text.h"

#include <string.h>

json_t *bl_check_json_number(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

json_t *bl_check_json_text(const char *text)
{
    return text ? json_string(text) : json_null();
}

json_t *bl_check_json_line(int line)
{
    return line > 0 ? json_integer(line) : json_null();
}

int bl_check_json_write(FILE *out, json_t *root, struct bl_error *error)
{
    bool done = root && json_dumpf(root, out, JSON_INDENT(1)) == 0;
    json_decref(root);
    fputc('\n', out);
    return done || ferror(out) ? 0 : bl_error_set(error, "not enough memory to write the check");
}

static json_t *make_frame(const struct bl_check *check, const struct bl_leak_frame *frame)
{
    return json_pack("{s:o, s:o, s:o, s:s, s:o, s:b}", "function",
                     bl_check_json_text(frame->function), "file",
                     bl_check_json_text(bl_check_relative(check, frame->file)), "line",
                     bl_check_json_line(frame->line), "module", frame->module, "offset",
                     bl_check_json_number(frame->offset), "inlined", frame->is_inlined ? 1 : 0);
}

static json_t *make_frames(const struct bl_check *check, const struct bl_leak_stack *stack)
{
    json_t *array = json_array();
    for (size_t i = 0; i < stack->count; i++)
        json_array_append_new(array, make_frame(check, &stack->frames[i]));
    return array;
}

static json_t *make_shares(const struct bl_check *check, const struct bl_leak *leak)
{
    json_t *array = json_array();
    for (size_t i = 0; i < leak->share_count; i++) {
        const struct bl_leak_share *share = &leak->shares[i];
        json_array_append_new(
            array,
            json_pack("{s:o, s:o, s:o, s:o}", "pid",
                      bl_check_json_number(bl_leaks_process(check->leaks, share->process)->pid),
                      "test", bl_check_json_text(share->test), "count",
                      bl_check_json_number(share->count), "bytes",
                      bl_check_json_number(share->bytes)));
    }
    return array;
}

static json_t *make_functions(const struct bl_leak *leak)
{
    json_t *array = json_array();
    for (size_t i = 0; i < leak->function_count; i++)
        json_array_append_new(array, json_string(leak->functions[i]));
    return array;
}

static json_t *make_assembled(const struct bl_leak *leak)
{
    json_t *array = json_array();
    for (size_t i = 0; i < leak->assembled_count; i++)
        json_array_append_new(array,
                              json_pack("{s:s, s:s, s:o}", "text", leak->assembled[i].text, "of",
                                        leak->assembled[i].is_of_source ? "source" : "operator",
                                        "events", bl_check_json_number(leak->assembled[i].events)));
    return array;
}

static json_t *make_suppression(const struct bl_suppression *suppression)
{
    if (!suppression)
        return json_null();
    return json_pack("{s:s, s:s, s:o}", "text", suppression->text, "file", suppression->file,
                     "line", bl_check_json_number(suppression->line));
}

static json_t *make_group(const struct bl_check *check, const struct bl_leak *leak)
{
    const struct bl_leak_stack *alloc = leak->alloc.count > 0 ? &leak->alloc : &leak->blame;
    const char *baseline = check->baseline_path ? bl_leak_baseline_name(leak->baseline) : NULL;
    json_t *group = json_pack(
        "{s:s, s:s, s:f, s:o, s:o, s:s, s:o}", "class", leak->class_name, "verdict", leak->verdict,
        "confidence", leak->confidence, "count", bl_check_json_number(leak->count), "bytes",
        bl_check_json_number(leak->bytes), "reach", bl_leak_reach_name(leak->reach), "refs",
        leak->refs > 0 ? bl_check_json_number(leak->refs) : json_null());
    if (!group)
        return NULL;
    json_object_set_new(group, "blame",
                        json_pack("{s:s, s:o}", "op", bl_leak_op_name(leak->op), "frames",
                                  make_frames(check, &leak->blame)));
    json_object_set_new(group, "alloc", json_pack("{s:o}", "frames", make_frames(check, alloc)));
    json_object_set_new(group, "expected_release",
                        json_pack("{s:o}", "frames", make_frames(check, &leak->expected)));
    json_object_set_new(group, "evidence",
                        json_pack("{s:o}", "text", bl_check_json_text(leak->text)));
    json_object_set_new(group, "suppressed_by", make_suppression(leak->suppressed_by));
    json_object_set_new(group, "baseline", bl_check_json_text(baseline));
    json_object_set_new(group, "known_count", bl_check_json_number(leak->known_count));
    json_object_set_new(group, "fate", json_string(bl_leak_fate_name(leak->fate)));
    json_object_set_new(group, "id", json_string(leak->id));
    json_object_set_new(group, "key", json_string(leak->key));
    json_object_set_new(group, "functions", make_functions(leak));
    json_object_set_new(group, "lost_count", bl_check_json_number(leak->lost_count));
    json_object_set_new(group, "held_count", bl_check_json_number(leak->held_count));
    json_object_set_new(group, "indirect_count", bl_check_json_number(leak->indirect_count));
    json_object_set_new(group, "indirect_bytes", bl_check_json_number(leak->indirect_bytes));
    json_object_set_new(group, "held_by", bl_check_json_text(leak->held_by));
    json_object_set_new(group, "assembled", make_assembled(leak));
    json_object_set_new(group, "per_iteration",
                        leak->kind == BL_LEAK_GROWING
                            ? json_pack("{s:f, s:f}", "count", leak->count_per_iteration, "bytes",
                                        leak->bytes_per_iteration)
                            : json_null());
    json_object_set_new(group, "runs",
                        json_pack("{s:o, s:o, s:o, s:o}", "of", bl_check_json_number(check->runs),
                                  "seen", bl_check_json_number(leak->runs_seen), "least",
                                  bl_check_json_number(leak->run_least), "most",
                                  bl_check_json_number(leak->run_count)));
    json_object_set_new(group, "shares", make_shares(check, leak));
    return group;
}

static json_t *make_process(const struct bl_leak_process *process)
{
    static const char *const ends[] = {"exited", "killed", "running"};
    char start[BL_TEXT_NUMBER];
    return json_pack(
        "{s:o, s:s, s:s, s:o, s:s, s:s, s:o, s:b, s:b, s:b, s:b, s:o, s:o, s:o, s:o}", "pid",
        bl_check_json_number(process->pid), "comm", process->comm, "command", process->command,
        "test", bl_check_json_text(process->test), "start", bl_text_time(start, process->start_ns),
        "state", ends[process->end], "exit_status",
        process->end == BL_PROCESS_END_EXIT ? json_integer(process->status) : json_null(),
        "ignored", process->is_ignored ? 1 : 0, "judged", process->is_judged ? 1 : 0, "partial",
        process->is_partial ? 1 : 0, "unknown", process->is_unknown ? 1 : 0, "why",
        bl_check_json_text(process->why_not), "unknown_count",
        bl_check_json_number(process->unknown_count), "unknown_bytes",
        bl_check_json_number(process->unknown_bytes), "leaked",
        bl_check_json_number(process->leak_count));
}

static json_t *make_fixed(const struct bl_check *check)
{
    json_t *array = json_array();
    for (size_t i = 0; i < check->baseline.count; i++) {
        const struct bl_baseline_entry *entry = &check->baseline.entries[i];
        if (entry->leak)
            continue;
        json_t *functions = json_array();
        for (size_t k = 0; k < entry->function_count; k++)
            json_array_append_new(functions, json_string(entry->functions[k]));
        json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:o}", "id", entry->id, "class",
                                               entry->class_name, "verdict", entry->verdict,
                                               "functions", functions));
    }
    return array;
}

static json_t *make_unused(const struct bl_check *check)
{
    json_t *array = json_array();
    for (size_t i = 0; i < bl_suppressions_count(check->suppressions); i++) {
        const struct bl_suppression *one = bl_suppressions_at(check->suppressions, i);
        if (!one->is_builtin && one->used == 0)
            json_array_append_new(array, make_suppression(one));
    }
    return array;
}

static json_t *make_untracked(const struct bl_check *check)
{
    json_t *array = json_array();
    for (size_t i = 0; i < check->untracked_count; i++)
        json_array_append_new(array,
                              json_pack("{s:i, s:s, s:o, s:s}", "pid", (int)check->untracked[i].pid,
                                        "comm", check->untracked[i].comm, "count",
                                        bl_check_json_number(check->untracked[i].count), "why",
                                        check->untracked[i].why));
    return array;
}

static json_t *make_wanted(const struct bl_check *check)
{
    json_t *all = json_array();
    for (size_t i = 0; i < check->wanted_count; i++)
        if (!check->wanted[i].was_tracked)
            json_array_append_new(
                all, json_pack("{s:s, s:s, s:s}", "profile", check->wanted[i].profile, "class",
                               check->wanted[i].class_name, "why", check->wanted[i].why));
    return all;
}

static json_t *make_unseen(const struct bl_check *check)
{
    json_t *array = json_array();
    for (size_t i = 0; i < check->unseen_count; i++)
        json_array_append_new(array,
                              json_pack("{s:s, s:s, s:s, s:s}", "profile", check->unseen[i].profile,
                                        "class", check->unseen[i].class_name, "function",
                                        check->unseen[i].function, "why", check->unseen[i].why));
    return array;
}

static json_t *make_sums(const struct bl_check *check)
{
    json_t *object = json_object();
    for (size_t i = 0; i <= BL_LEAK_NOTED; i++) {
        const struct bl_sum *sum = &check->fates[i];
        json_object_set_new(object, bl_leak_fate_name((enum bl_leak_fate)i),
                            json_pack("{s:o, s:o, s:o}", "leaks", bl_check_json_number(sum->leaks),
                                      "count", bl_check_json_number(sum->count), "bytes",
                                      bl_check_json_number(sum->bytes)));
    }
    return object;
}

int bl_check_write_json(FILE *out, const struct bl_check *check, struct bl_error *error)
{
    static const char *const outcomes[] = {"passed", "leaks", "nothing-checked", "unknown"};
    char summary[1024];
    json_t *command = json_array();
    json_t *processes = json_array();
    json_t *groups = json_array();
    for (size_t i = 0; check->command[i]; i++) {
        char text[4096];
        bl_text_printable(text, sizeof(text), check->command[i], strlen(check->command[i]));
        json_array_append_new(command, json_string(text));
    }
    for (size_t i = 0; i < bl_leaks_process_count(check->leaks); i++)
        json_array_append_new(processes, make_process(bl_leaks_process(check->leaks, i)));
    for (size_t i = 0; i < bl_leaks_count(check->leaks); i++)
        json_array_append_new(groups, make_group(check, bl_leaks_at(check->leaks, i)));
    bl_check_summary(check, summary, sizeof(summary));
    json_t *root = json_pack(
        "{s:i, s:s, s:s, s:s, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "schema", 1, "tool", "bufleak " BL_VERSION, "outcome", outcomes[check->outcome], "summary",
        summary, "command", command, "command_code", check->command_code, "duration_ns",
        bl_check_json_number(check->duration_ns), "runs", bl_check_json_number(check->runs),
        "iterations", bl_check_json_number(check->iterations), "sums", make_sums(check),
        "processes", processes, "untracked", make_untracked(check), "groups", groups, "fixed",
        make_fixed(check), "unused_suppressions", make_unused(check), "unseen", make_unseen(check),
        "profiles_missing", make_wanted(check));
    return bl_check_json_write(out, root, error);
}
