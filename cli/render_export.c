/*
 * The facts of a ledger as JSON lines: one object each, nothing judged, for programs that do their
 * own arithmetic.
 *
 * A line says by `type` what it is. What a line refers to stands before it: the process first, then
 * classes, each stack before the first line that has its number, and last a line that counts the
 * others, so that a stream that was cut short can be told. Only one line is in memory at a time.
 */
#include "render_parts.h"

#include "text.h"

#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 4096 /* of one buffer */

struct writer {
    FILE *out;
    const struct bl_view *view;
    const struct bl_export_options *options;
    uint8_t *has_stack; /* by frame number: was it written? */
    uint32_t stack_count;
    struct bl_event *events;
    uint64_t stacks;
    uint64_t buffers;
    uint64_t lifecycles;
};

static json_t *integer(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static uint64_t since(uint64_t later, uint64_t earlier)
{
    return later > earlier ? later - earlier : 0;
}

/* False without memory. */
static bool put(const struct writer *writer, json_t *line)
{
    bool done = bl_render_json_put(writer->out, "", line);
    fputc('\n', writer->out);
    return done;
}

static bool put_process(const struct writer *writer)
{
    json_t *line =
        json_pack("{s:s, s:i, s:s}", "type", "process", "schema", 1, "tool", "bufleak " BL_VERSION);
    json_t *process = bl_render_json_process(writer->view);
    bool done = line && process && json_object_update_missing(line, process) == 0;
    json_decref(process);
    if (done)
        return put(writer, line);
    json_decref(line);
    return false;
}

static bool is_wanted_class(const struct writer *writer, uint32_t number)
{
    const char *wanted = writer->options->class_name;
    return !wanted || strcmp(bl_model_class_name(writer->view->model, number), wanted) == 0;
}

static bool put_classes(const struct writer *writer)
{
    const struct bl_model *model = writer->view->model;
    bool done = true;
    for (size_t i = 0; done && i < model->class_count; i++) {
        const struct bl_class_sums *sums = &model->classes[i];
        if (!is_wanted_class(writer, sums->number))
            continue;
        done = put(writer,
                   json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "type", "class",
                             "name", sums->name, "live_count", integer(sums->live_count),
                             "live_bytes", integer(sums->live_bytes), "peak_bytes",
                             integer(sums->peak_bytes), "allocs", integer(sums->allocs), "retains",
                             integer(sums->retains), "releases", integer(sums->releases), "ended",
                             integer(sums->ended), "over_releases", integer(sums->over_releases)));
    }
    return done;
}

/* A stack's number is that of its innermost frame in the ledger. */
static bool put_stack(struct writer *writer, uint32_t stack)
{
    if (stack == 0 || stack >= writer->stack_count || writer->has_stack[stack])
        return true;
    writer->has_stack[stack] = 1;
    writer->stacks++;
    return put(writer, json_pack("{s:s, s:o, s:o}", "type", "stack", "stack", integer(stack),
                                 "frames", bl_render_json_frames(writer->view, stack)));
}

static json_t *make_stack(const struct writer *writer, uint32_t stack)
{
    return stack > 0 && stack < writer->stack_count ? integer(stack) : json_null();
}

static json_t *make_thread(const struct writer *writer, uint32_t number)
{
    const struct bl_thread *thread = bl_reader_thread(writer->view->reader, number);
    return thread ? integer(thread->tid) : json_null();
}

static json_t *make_address(uint64_t address)
{
    char text[2 + 16 + 1];
    snprintf(text, sizeof(text), "0x%llx", (unsigned long long)address);
    return json_string(text);
}

static json_t *make_buffer(const struct writer *writer, const char *type,
                           const struct bl_live *record, const struct bl_reach_sums *reach)
{
    const struct bl_view *view = writer->view;
    uint32_t number = (uint32_t)(record->word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK);
    return json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:s}", "type", type, "class",
        bl_model_class_name(view->model, number), "address", make_address(record->address), "bytes",
        integer(record->word >> BL_LIVE_SIZE_SHIFT), "age_ns",
        integer(since(view->model->now_ns, record->birth_ns)), "thread",
        make_thread(writer, record->thread), "stack", make_stack(writer, record->stack), "reach",
        bl_reach_state_name(bl_reach_state_of(reach)));
}

static bool is_wanted(const struct writer *writer, const struct bl_live *record)
{
    uint32_t number = (uint32_t)(record->word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK);
    return is_wanted_class(writer, number) &&
           since(writer->view->model->now_ns, record->birth_ns) >= writer->options->min_age_ns;
}

static bool put_plain_buffers(struct writer *writer)
{
    size_t count;
    bool done = true;
    const struct bl_live *live = bl_reader_live(writer->view->reader, &count);
    const uint32_t *numbers = bl_reader_live_numbers(writer->view->reader);
    for (size_t i = 0; done && i < count; i++) {
        struct bl_reach_sums reach = {0};
        if (!is_wanted(writer, &live[i]))
            continue;
        bl_reach_count(writer->view->reaches, numbers[i], live[i].word >> BL_LIVE_SIZE_SHIFT,
                       &reach);
        done = put_stack(writer, live[i].stack) &&
               put(writer, make_buffer(writer, "buffer", &live[i], &reach));
        writer->buffers++;
    }
    return done;
}

/* Oldest first, each with its stack; that is written before. NULL without memory. */
static json_t *make_events(struct writer *writer, uint32_t newest, uint32_t kept, uint64_t birth_ns)
{
    json_t *events = json_array();
    size_t count =
        bl_reader_history(writer->view->reader, newest, kept, writer->events, EVENTS_MAX);
    while (events && count-- > 0) {
        const struct bl_event *event = &writer->events[count];
        json_t *object = json_pack("{s:s, s:i, s:o, s:o}", "op", bl_render_json_op(event->op),
                                   "delta", (int)event->delta, "times", integer(event->folded),
                                   "stack", make_stack(writer, event->stack));
        if (object && birth_ns > 0) { /* of one buffer, not of many that lived alike */
            json_object_set_new(object, "after_birth_ns", integer(since(event->time_ns, birth_ns)));
            json_object_set_new(object, "thread", make_thread(writer, event->thread));
            json_object_set_new(object, "count_after", json_integer(event->count_after));
        }
        if (!put_stack(writer, event->stack) || json_array_append_new(events, object) < 0) {
            json_decref(events);
            return NULL;
        }
    }
    return events;
}

static struct bl_reach_sums reach_of_object(const struct bl_view *view,
                                            const struct bl_object *object)
{
    struct bl_reach_sums reach = {0};
    uint64_t bytes = object->word >> BL_LIVE_SIZE_SHIFT;
    uint32_t block = view->reaches ? bl_reach_find(view->reaches, object->address) : 0;
    if (!bl_reach_count_object(object, bytes, &reach))
        bl_reach_count(view->reaches, block, bytes, &reach);
    return reach;
}

static bool put_object(struct writer *writer, const struct bl_tracked *tracked)
{
    const struct bl_object *object = &tracked->object;
    struct bl_live record = {.word = object->word,
                             .address = object->address,
                             .birth_ns = object->birth_ns,
                             .stack = object->stack,
                             .thread = object->thread};
    bool is_gone = object->flags & BL_OBJECT_GHOST;
    struct bl_reach_sums reach = reach_of_object(writer->view, object);
    if (!is_wanted(writer, &record))
        return true;
    json_t *events = make_events(writer, object->events, object->event_count, object->birth_ns);
    if (!events || !put_stack(writer, object->stack)) {
        json_decref(events);
        return false;
    }
    json_t *line = make_buffer(writer, is_gone ? "over-release" : "buffer", &record, &reach);
    if (!line) {
        json_decref(events);
        return false;
    }
    json_object_set_new(line, "refs", json_integer(object->refs));
    json_object_set_new(line, "own_count",
                        object->flags & BL_OBJECT_FIELD ? json_integer(object->field)
                                                        : json_null());
    json_object_set_new(line, "events_lost", integer(object->event_overflow));
    json_object_set_new(line, "events_moving", json_boolean(tracked->is_moving));
    json_object_set_new(line, "events", events);
    writer->buffers += !is_gone;
    return put(writer, line);
}

static bool put_objects(struct writer *writer)
{
    size_t count;
    bool done = true;
    const struct bl_tracked *tracked = bl_reader_objects(writer->view->reader, &count);
    for (size_t i = 0; done && i < count; i++)
        done = put_object(writer, &tracked[i]);
    return done;
}

static bool put_lifecycle(struct writer *writer, const struct bl_lifecycle *lifecycle)
{
    json_t *events = make_events(writer, lifecycle->events, lifecycle->event_count, 0);
    if (!events || !put_stack(writer, lifecycle->alloc_stack)) {
        json_decref(events);
        return false;
    }
    writer->lifecycles++;
    return put(writer,
               json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "type", "lifecycle",
                         "class", bl_model_class_name(writer->view->model, lifecycle->class_number),
                         "count", integer(lifecycle->count), "bytes", integer(lifecycle->bytes),
                         "min_ns", integer(lifecycle->min_ns), "max_ns", integer(lifecycle->max_ns),
                         "total_ns", integer(lifecycle->total_ns), "stack",
                         make_stack(writer, lifecycle->alloc_stack), "events_lost",
                         integer(lifecycle->overflow), "events", events));
}

static bool put_lifecycles(struct writer *writer)
{
    uint32_t count = bl_reader_count(writer->view->reader, BL_SECTION_LIFECYCLES);
    bool done = true;
    for (uint32_t i = 1; done && i < count; i++) {
        const struct bl_lifecycle *lifecycle = bl_reader_lifecycle(writer->view->reader, i);
        if (lifecycle && is_wanted_class(writer, lifecycle->class_number))
            done = put_lifecycle(writer, lifecycle);
    }
    return done;
}

/* Those that were: a cause for each. */
static bool put_losses(const struct writer *writer)
{
    json_t *losses = bl_render_json_losses(writer->view);
    const char *cause;
    json_t *count;
    bool done = losses != NULL;
    json_object_foreach(losses, cause, count) if (done && json_integer_value(count) > 0) done =
        put(writer, json_pack("{s:s, s:s, s:O}", "type", "loss", "cause", cause, "count", count));
    json_decref(losses);
    return done;
}

static bool put_end(const struct writer *writer)
{
    return put(writer, json_pack("{s:s, s:o, s:o, s:o}", "type", "end", "buffers",
                                 integer(writer->buffers), "lifecycles",
                                 integer(writer->lifecycles), "stacks", integer(writer->stacks)));
}

int bl_render_export(FILE *out, const struct bl_view *view, const struct bl_export_options *options,
                     struct bl_error *error)
{
    uint32_t frames = bl_reader_count(view->reader, BL_SECTION_FRAMES);
    struct writer writer = {.out = out,
                            .view = view,
                            .options = options,
                            .has_stack = calloc((size_t)frames + 1, 1),
                            .stack_count = frames,
                            .events = calloc(EVENTS_MAX, sizeof(*writer.events))};
    bool done = writer.has_stack && writer.events && put_process(&writer) && put_classes(&writer) &&
                put_plain_buffers(&writer) && put_objects(&writer) && put_lifecycles(&writer) &&
                put_losses(&writer) && put_end(&writer);
    free(writer.has_stack);
    free(writer.events);
    return done ? 0 : bl_error_set(error, "not enough memory to write the facts");
}
