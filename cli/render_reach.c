/*
 * Lost and held, as text and JSON: what the run found, and the way from a buffer to what keeps it.
 */
#include "holders.h"
#include "pen.h"
#include "render_parts.h"

#include "text.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_TEXT 5
#define STEPS_JSON 64

static json_t *whole_number(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

/* Where a holder was allocated. */
static void describe_block(const struct bl_view *view, uint32_t number, char *out, size_t size)
{
    const struct bl_live *live = bl_reach_live(view->reaches, number);
    uint32_t frames[BL_MODEL_FRAMES_MAX];
    char site[1024];
    char bytes[BL_TEXT_NUMBER];
    uint32_t frame = 0;
    size_t count =
        live ? bl_model_stack(view->reader, live->stack, frames, BL_MODEL_FRAMES_MAX) : 0;
    for (size_t i = 0; i < count && !frame; i++) {
        size_t inlined;
        const struct bl_symbol *symbols = bl_symbols_frame(view->symbols, frames[i], &inlined);
        if (symbols && !bl_model_is_runtime(symbols->path))
            frame = frames[i];
    }
    bl_render_text_site(view, frame ? frame : count ? frames[0] : 0, site, sizeof(site));
    snprintf(out, size, "a block of %s from %s",
             bl_text_bytes(bytes, live ? live->word >> BL_LIVE_SIZE_SHIFT : 0), site);
}

static void describe_thread(const struct bl_view *view, const struct bl_reach_root *root, char *out,
                            size_t size)
{
    char name[64] = "";
    const struct bl_thread *thread = bl_reader_thread(view->reader, root->thread);
    if (thread)
        bl_text_printable(name, sizeof(name), thread->name,
                          strnlen(thread->name, sizeof(thread->name)));
    snprintf(out, size, "thread %u%s%s%s", root->tid, *name ? " (" : "", name, *name ? ")" : "");
}

static void describe_global(const struct bl_view *view, const struct bl_reach_root *root, char *out,
                            size_t size)
{
    struct bl_variable variable;
    char inside[32] = "";
    const char *module = bl_symbols_module(view->symbols, root->module);
    if (!bl_symbols_variable(view->symbols, root->module, root->offset, &variable)) {
        snprintf(out, size, "%s+0x%llx (global)", module, (unsigned long long)root->offset);
        return;
    }
    if (variable.inside > 0)
        snprintf(inside, sizeof(inside), "+%llu", (unsigned long long)variable.inside);
    if (*variable.file && variable.line > 0)
        snprintf(out, size, "%s:%d `%s`%s (global)", variable.file, variable.line, variable.name,
                 inside);
    else
        snprintf(out, size, "%s `%s`%s (global)", module, variable.name, inside);
}

static void describe_frame(const struct bl_view *view, const struct bl_reach_root *root, char *out,
                           size_t size)
{
    char thread[128];
    char where[768];
    size_t count;
    const struct bl_symbol *symbol =
        root->module ? bl_symbols_code(view->symbols, root->module, root->offset, &count) : NULL;
    describe_thread(view, root, thread, sizeof(thread));
    if (!symbol) {
        snprintf(out, size, "the stack of %s", thread);
        return;
    }
    const struct bl_symbol *outermost = &symbol[count - 1];
    if (outermost->function)
        snprintf(where, sizeof(where), "%s", outermost->function);
    else
        snprintf(where, sizeof(where), "%s+0x%llx", outermost->module,
                 (unsigned long long)outermost->offset);
    snprintf(out, size, "the stack frame of %s, %s", where, thread);
}

void bl_render_text_root(const struct bl_view *view, const struct bl_reach_root *root, char *out,
                         size_t size)
{
    char text[768] = "";
    switch (root->kind) {
    case BL_ROOT_GLOBAL:
        describe_global(view, root, out, size);
        return;
    case BL_ROOT_STACK:
        describe_frame(view, root, out, size);
        return;
    case BL_ROOT_REGISTER:
    case BL_ROOT_TLS:
        describe_thread(view, root, text, sizeof(text));
        snprintf(out, size, "%s of %s",
                 root->kind == BL_ROOT_TLS ? "thread-local data" : "a register", text);
        return;
    case BL_ROOT_REGION:
        bl_reader_name_text(view->reader, root->name, text, sizeof(text));
        snprintf(out, size, "a mapped region%s%s, at 0x%llx", *text ? " of " : "", text,
                 (unsigned long long)root->slot);
        return;
    case BL_ROOT_LOADER:
        snprintf(out, size, "the dynamic loader, which made it for itself");
        return;
    case BL_ROOT_MOVING:
        snprintf(out, size, "a block that was just being reallocated");
        return;
    case BL_ROOT_EARLY:
        snprintf(out, size, "a block from before tracking began");
        return;
    case BL_ROOT_KERNEL:
        snprintf(out, size, "the kernel, as a thread's alternate signal stack");
        return;
    default:
        snprintf(out, size, "memory at 0x%llx", (unsigned long long)root->slot);
        return;
    }
}

static void write_step(const struct bl_pen *pen, const char *label, const char *text)
{
    fprintf(pen->out, "     %-22s ", label);
    bl_pen_wrap(pen, text, 28, 30);
    fprintf(pen->out, "\n");
}

/* The root first, which is what keeps the rest. */
static void write_path(const struct bl_pen *pen, uint32_t number)
{
    struct bl_reach_step steps[STEPS_TEXT];
    char text[1600];
    size_t length = bl_reach_path(pen->view->reaches, number, steps, STEPS_TEXT);
    size_t stored = length < STEPS_TEXT ? length : STEPS_TEXT;
    for (size_t i = stored; i-- > 0;) {
        char described[1200];
        if (steps[i].root)
            bl_render_text_root(pen->view, steps[i].root, described, sizeof(described));
        else
            describe_block(pen->view, steps[i].block, described, sizeof(described));
        if (steps[i].root)
            snprintf(text, sizeof(text), "%s", described);
        else
            snprintf(text, sizeof(text), "%s, at +%llu", described,
                     (unsigned long long)steps[i].slot);
        write_step(pen, i == stored - 1 ? "held by" : "", text);
        if (length > STEPS_TEXT && i == STEPS_TEXT / 2) {
            snprintf(text, sizeof(text), "… %zu more holders …", length - STEPS_TEXT);
            write_step(pen, "", text);
        }
    }
}

static void write_lost(const struct bl_pen *pen, const struct bl_group *group)
{
    const struct bl_reach_sums *reach = &group->reach;
    char lost[BL_TEXT_NUMBER];
    char all[BL_TEXT_NUMBER];
    char part[BL_TEXT_NUMBER];
    char text[512];
    char with[160] = "";
    struct bl_reach_of of = bl_reach_of(pen->view->reaches, reach->lost_example);
    uint64_t leaders = reach->lost - reach->indirect;
    if (leaders == 0)
        describe_block(pen->view, of.leader, text, sizeof(text));
    if (leaders > 0 && reach->indirect > 0)
        snprintf(with, sizeof(with), ", %s of them only with others that are lost",
                 bl_text_count(part, reach->indirect));
    else if (leaders == 0)
        snprintf(with, sizeof(with), ", with %.140s", text);
    snprintf(text, sizeof(text), "%s of %s: no pointer to %s is left%s",
             bl_text_count(lost, reach->lost), bl_text_count(all, group->recorded),
             reach->lost == 1 ? "it" : "them", with);
    write_step(pen, "lost", text);
}

/* What the garbage collector of a virtual machine says of them. */
static void write_collected(const struct bl_pen *pen, const struct bl_group *group)
{
    const struct bl_reach_sums *reach = &group->reach;
    char part[BL_TEXT_NUMBER];
    char all[BL_TEXT_NUMBER];
    char text[256];
    bl_text_count(all, group->recorded);
    if (reach->collected > 0) {
        snprintf(text, sizeof(text), "%s of %s: collected by the garbage collector, unreleased",
                 bl_text_count(part, reach->collected), all);
        write_step(pen, "lost", text);
    }
    if (reach->reachable > 0) {
        snprintf(text, sizeof(text), "%s of %s: still reachable from Java objects",
                 bl_text_count(part, reach->reachable), all);
        write_step(pen, "held", text);
    }
}

static const char *spread_note(const struct bl_view *view, uint32_t number)
{
    struct bl_reach_step steps[2];
    size_t length = bl_reach_path(view->reaches, number, steps, 2);
    const struct bl_reach_step *last = length ? &steps[length < 2 ? 0 : 1] : NULL;
    return last && last->root && last->root->kind == BL_ROOT_GLOBAL ? "and other data of it"
                                                                    : "and other threads";
}

bool bl_render_text_share(const struct bl_view *view, const struct bl_holder *holder, char *out,
                          size_t size)
{
    char bytes[BL_TEXT_NUMBER];
    char all[BL_TEXT_NUMBER];
    char others[BL_TEXT_NUMBER];
    const char *spread = holder->is_spread ? spread_note(view, holder->example) : "";
    if (holder->holders > 1)
        snprintf(out, size, "%s%sholds %s of %s, the rest is held by %s other%s", spread,
                 *spread ? "; " : "", bl_text_bytes(bytes, holder->bytes),
                 bl_text_bytes(all, holder->of_bytes), bl_text_count(others, holder->holders - 1),
                 holder->holders == 2 ? "" : "s");
    else
        snprintf(out, size, "%s", spread);
    return *out != '\0';
}

static void write_holder(const struct bl_pen *pen, const struct bl_reach_sums *reach)
{
    struct bl_holder holder = bl_holders_heaviest(pen->view->reaches, pen->view->symbols, reach);
    char share[192];
    char text[200];
    if (!holder.example)
        return;
    write_path(pen, holder.example);
    if (!bl_render_text_share(pen->view, &holder, share, sizeof(share)))
        return;
    snprintf(text, sizeof(text), "(%s)", share);
    write_step(pen, "", text);
}

void bl_render_text_held_by(const struct bl_pen *pen, const struct bl_group *group)
{
    const struct bl_reach_sums *reach = &group->reach;
    write_collected(pen, group);
    if (reach->lost > reach->collected)
        write_lost(pen, group);
    write_holder(pen, reach);
    if (reach->held > 0 && reach->interior == reach->held)
        write_step(pen, "", "(only by pointers into its middle)");
}

/* "1 thread was not stopped: its registers were not seen" */
static void write_degraded(const struct bl_pen *pen, const struct bl_reach_run *run)
{
    char number[BL_TEXT_NUMBER];
    if (run->threads_degraded > 0)
        fprintf(pen->out, "  %s thread%s could not be stopped: %s registers were not seen\n",
                bl_text_count(number, run->threads_degraded), run->threads_degraded == 1 ? "" : "s",
                run->threads_degraded == 1 ? "its" : "their");
    if (run->flags & BL_REACH_OTHER_ALLOCATOR)
        fprintf(pen->out, "  the allocator is not the C library's: what lies beside the blocks is "
                          "not seen\n");
}

static uint64_t milliseconds(uint64_t ns)
{
    return (ns + 500000) / 1000000;
}

/* Beside what is said of the heap. */
static void write_java(const struct bl_pen *pen)
{
    const struct bl_java_counts *java = &pen->view->header->java;
    char lost[BL_TEXT_NUMBER];
    char held[BL_TEXT_NUMBER];
    char gc[BL_TEXT_NUMBER];
    char walk[BL_TEXT_NUMBER];
    char ago[BL_TEXT_NUMBER];
    uint64_t now_ns = pen->view->model->now_ns;
    if (java->reach_ns == 0)
        return;
    fprintf(pen->out,
            "\nreach of Java's buffers, %s before: %s collected unreleased, %s still reachable\n"
            "  the collection took %s, and the program stood still for %s more\n",
            bl_text_age(ago, now_ns > java->reach_ns ? now_ns - java->reach_ns : 0),
            bl_text_count(lost, java->reach_lost), bl_text_count(held, java->reach_held),
            bl_text_age(gc, java->reach_gc_ns), bl_text_age(walk, java->reach_walk_ns));
}

static void describe_stale(const struct bl_pen *pen, const struct bl_reach_run *run, char *out,
                           size_t size)
{
    char ago[BL_TEXT_NUMBER];
    uint64_t now_ns = pen->view->model->now_ns;
    snprintf(out, size,
             "it was asked for %s before, and that answer is dropped, as pointers change; the "
             "snapshot of that dump keeps it",
             bl_text_age(ago, now_ns > run->stopped_ns ? now_ns - run->stopped_ns : 0));
}

void bl_render_text_reach(const struct bl_pen *pen)
{
    write_java(pen);
    const struct bl_reach_run *run = pen->view->reaches ? bl_reaches_run(pen->view->reaches) : NULL;
    char why[320];
    char numbers[4][BL_TEXT_NUMBER];
    if (!run)
        return;
    if (!bl_reaches_known(pen->view->reaches, why, sizeof(why))) {
        if (bl_reaches_stale(pen->view->reaches))
            describe_stale(pen, run, why, sizeof(why));
        fprintf(pen->out, "\nlost or held is unknown:");
        bl_pen_wrap(pen, why, 24, 2);
        fprintf(pen->out, "\n");
        return;
    }
    fprintf(pen->out, "\nreach: %s of %s heap blocks lost, %s",
            bl_text_count(numbers[0], run->leaders + run->indirect),
            bl_text_count(numbers[1], run->blocks), bl_text_bytes(numbers[2], run->lost_bytes));
    if (run->indirect > 0)
        fprintf(pen->out, " (%s of them with others)", bl_text_count(numbers[3], run->indirect));
    fprintf(pen->out, "; %s held", bl_text_count(numbers[0], run->held + run->interior));
    if (run->interior > 0)
        fprintf(pen->out, ", %s only by pointers into them",
                bl_text_count(numbers[1], run->interior));
    fprintf(pen->out, "\n  %u thread%s stopped for %llu ms, %s of roots, %s\n",
            run->threads_stopped, run->threads_stopped == 1 ? "" : "s",
            (unsigned long long)milliseconds(run->pause_ns),
            bl_text_bytes(numbers[2], run->root_bytes),
            run->method == BL_REACH_BY_CLONE ? "marked in a copy of the process"
                                             : "marked in the process itself");
    write_degraded(pen, run);
}

json_t *bl_render_json_reach(const struct bl_view *view)
{
    const struct bl_reach_run *run = bl_reaches_run(view->reaches);
    char why[320];
    bool is_known = bl_reaches_known(view->reaches, why, sizeof(why));
    json_t *object = json_pack(
        "{s:s, s:o, s:s, s:o, s:o, s:o, s:o}", "outcome",
        is_known                          ? "done"
        : bl_reaches_stale(view->reaches) ? "stale"
                                          : "failed",
        "why", is_known ? json_null() : json_string(why), "method",
        run->method == BL_REACH_BY_CLONE ? "clone" : "in-process", "pause_ns",
        whole_number(run->pause_ns), "locked_ns", whole_number(run->locked_ns), "total_ns",
        whole_number(run->total_ns), "child_status", json_integer(run->child_status));
    if (!object)
        return NULL;
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {
        {"threads", run->threads},
        {"threads_stopped", run->threads_stopped},
        {"threads_degraded", run->threads_degraded},
        {"regions", run->regions},
        {"root_bytes", run->root_bytes},
        {"heap_bytes", run->heap_bytes},
        {"blocks", run->blocks},
        {"held", run->held},
        {"interior", run->interior},
        {"lost", run->leaders},
        {"lost_indirectly", run->indirect},
        {"lost_bytes", run->lost_bytes},
    };
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        json_object_set_new(object, counts[i].name, whole_number(counts[i].value));
    json_object_set_new(object, "other_allocator",
                        json_boolean(run->flags & BL_REACH_OTHER_ALLOCATOR));
    return object;
}

static json_t *make_step(const struct bl_view *view, const struct bl_reach_step *step)
{
    char text[1200];
    const struct bl_live *live = step->block ? bl_reach_live(view->reaches, step->block) : NULL;
    if (step->root)
        bl_render_text_root(view, step->root, text, sizeof(text));
    else
        describe_block(view, step->block, text, sizeof(text));
    json_t *object = json_pack(
        "{s:s, s:s, s:o, s:o}", "kind", step->root ? bl_reach_kind_name(step->root->kind) : "block",
        "text", text, "slot", whole_number(step->slot), "inside", whole_number(step->inside));
    if (live)
        json_object_set_new(object, "frames", bl_render_json_frames(view, live->stack));
    if (step->root && step->root->tid)
        json_object_set_new(object, "tid", whole_number(step->root->tid));
    return object;
}

/* From the nearest holder to the root. */
static json_t *make_path(const struct bl_view *view, uint32_t number)
{
    struct bl_reach_step steps[STEPS_JSON];
    json_t *array = json_array();
    size_t length = number ? bl_reach_path(view->reaches, number, steps, STEPS_JSON) : 0;
    for (size_t i = 0; i < length && i < STEPS_JSON; i++)
        json_array_append_new(array, make_step(view, &steps[i]));
    return array;
}

void bl_render_json_held_by(json_t *object, const struct bl_view *view,
                            const struct bl_group *group)
{
    const struct bl_reach_sums *reach = &group->reach;
    bool is_known = view->reaches && bl_reaches_known(view->reaches, NULL, 0);
    json_object_set_new(object, "reach",
                        json_string(bl_reach_state_name(bl_reach_state_of(reach))));
    if (!is_known && reach->collected + reach->reachable == 0)
        return;
    json_object_set_new(object, "reach_counts",
                        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "collected",
                                  whole_number(reach->collected), "reachable",
                                  whole_number(reach->reachable), "lost", whole_number(reach->lost),
                                  "lost_bytes", whole_number(reach->lost_bytes), "lost_indirectly",
                                  whole_number(reach->indirect), "held", whole_number(reach->held),
                                  "interior", whole_number(reach->interior), "unknown",
                                  whole_number(reach->unknown)));
    struct bl_holder holder = bl_holders_heaviest(view->reaches, view->symbols, reach);
    json_object_set_new(object, "held_by", make_path(view, holder.example));
    if (holder.example)
        json_object_set_new(
            object, "held_by_counts",
            json_pack("{s:o, s:o, s:o, s:o}", "holders", whole_number(holder.holders), "buffers",
                      whole_number(holder.count), "bytes", whole_number(holder.bytes), "of_bytes",
                      whole_number(holder.of_bytes)));
}
