#include "render_parts.h"

#include "balance.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 4096 /* of one buffer */

static const char *op_text(uint16_t op)
{
    static const char *const names[] = {"?",
                                        "allocated",
                                        "retained",
                                        "released",
                                        "ended",
                                        "released when it was gone",
                                        "resized",
                                        "handed over",
                                        "ended with its owner",
                                        "retained and released in one call",
                                        "freed, though referenced"};
    return names[op <= BL_OP_FREED ? op : 0];
}

const char *bl_render_json_op(uint16_t op)
{
    static const char *const names[] = {"?",         "alloc",        "retain", "release",
                                        "end",       "over-release", "resize", "transfer",
                                        "owner-end", "balanced",     "freed"};
    return names[op <= BL_OP_FREED ? op : 0];
}

static void thread_text(const struct bl_view *view, uint32_t number, char *out, size_t size)
{
    const struct bl_thread *thread = bl_reader_thread(view->reader, number);
    char name[64] = "";
    if (!thread) {
        snprintf(out, size, "thread unknown");
        return;
    }
    bl_text_printable(name, sizeof(name), thread->name,
                      strnlen(thread->name, sizeof(thread->name)));
    snprintf(out, size, "thread %u%s%s%s", thread->tid, *name ? " (" : "", name, *name ? ")" : "");
}

static uint64_t since(uint64_t later, uint64_t earlier)
{
    return later > earlier ? later - earlier : 0;
}

static uint32_t class_of(uint64_t word)
{
    return (uint32_t)(word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK);
}

static void write_buffer_title(FILE *out, const struct bl_view *view, uint64_t word,
                               uint64_t address, uint64_t birth_ns)
{
    char bytes[BL_TEXT_NUMBER];
    char age[BL_TEXT_NUMBER];
    fprintf(out, "\nbuffer 0x%llx · %s · %s · %s old", (unsigned long long)address,
            bl_model_class_name(view->model, class_of(word)),
            bl_text_bytes(bytes, word >> BL_LIVE_SIZE_SHIFT),
            bl_text_age(age, since(view->model->now_ns, birth_ns)));
}

static void write_event(FILE *out, const struct bl_view *view, const struct bl_event *event,
                        size_t number, uint64_t birth_ns)
{
    char age[BL_TEXT_NUMBER];
    char count[BL_TEXT_NUMBER];
    char thread[128];
    char times[BL_TEXT_NUMBER + 16] = "";
    thread_text(view, event->thread, thread, sizeof(thread));
    if (event->folded > 1)
        snprintf(times, sizeof(times), " %s times, the latest",
                 bl_text_count(count, event->folded));
    fprintf(out, "\n%4zu. %s%s +%s · %d reference%s after it · %s\n", number, op_text(event->op),
            times, bl_text_age(age, since(event->time_ns, birth_ns)), event->count_after,
            event->count_after == 1 ? "" : "s", thread);
    bl_render_text_stack(out, view, event->stack);
}

/* The buffer that the object ends with; NULL: it has none. */
static const struct bl_object *find_owner(const struct bl_view *view,
                                          const struct bl_object *object)
{
    size_t count;
    const struct bl_tracked *tracked = bl_reader_objects(view->reader, &count);
    for (size_t i = 0; object->owner && i < count; i++)
        if (tracked[i].number == object->owner)
            return &tracked[i].object;
    return NULL;
}

static void write_owner(FILE *out, const struct bl_view *view, const struct bl_object *object)
{
    const struct bl_object *owner = find_owner(view, object);
    if (owner)
        fprintf(out, "     ends with %s 0x%llx, in which it was allocated\n",
                bl_model_class_name(view->model, class_of(owner->word)),
                (unsigned long long)owner->address);
    else if (object->flags & BL_OBJECT_OWNER_UNKNOWN)
        fprintf(out, "     what it was allocated in was not seen: it may have ended with that\n");
}

static void write_object(FILE *out, const struct bl_view *view, const struct bl_tracked *tracked,
                         const struct bl_event *events, size_t count)
{
    const struct bl_object *object = &tracked->object;
    char number[BL_TEXT_NUMBER];
    write_buffer_title(out, view, object->word, object->address, object->birth_ns);
    if (object->flags & BL_OBJECT_GHOST)
        fprintf(out, " · gone, and released again");
    else
        fprintf(out, " · %d reference%s", object->refs, object->refs == 1 ? "" : "s");
    if (object->flags & BL_OBJECT_FIELD)
        fprintf(out, ", its own count is %d", object->field);
    fprintf(out, "\n");
    write_owner(out, view, object);
    if (tracked->is_moving)
        fprintf(out, "     its history changed while it was read: ask again, or take a snapshot\n");
    if (object->event_overflow > 0)
        fprintf(out, "     %s operation%s missing: the history was full\n",
                bl_text_count(number, object->event_overflow),
                object->event_overflow == 1 ? " is" : "s are");
    for (size_t i = count; i-- > 0;)
        write_event(out, view, &events[i], count - i, object->birth_ns);
}

static void write_live(FILE *out, const struct bl_view *view, const struct bl_live *live)
{
    char thread[128];
    thread_text(view, live->thread, thread, sizeof(thread));
    write_buffer_title(out, view, live->word, live->address, live->birth_ns);
    fprintf(out, " · allocated by %s\n", thread);
    bl_render_text_stack(out, view, live->stack);
}

static json_t *integer(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *make_thread(const struct bl_view *view, uint32_t number)
{
    const struct bl_thread *thread = bl_reader_thread(view->reader, number);
    return thread ? integer(thread->tid) : json_null();
}

static json_t *make_buffer(const struct bl_view *view, uint64_t word, uint64_t address,
                           uint64_t birth_ns)
{
    char text[32];
    snprintf(text, sizeof(text), "0x%llx", (unsigned long long)address);
    return json_pack("{s:s, s:s, s:o, s:o}", "address", text, "class",
                     bl_model_class_name(view->model, class_of(word)), "bytes",
                     integer(word >> BL_LIVE_SIZE_SHIFT), "age_ns",
                     integer(since(view->model->now_ns, birth_ns)));
}

static json_t *make_owner(const struct bl_view *view, const struct bl_object *object)
{
    const struct bl_object *owner = find_owner(view, object);
    char text[32];
    if (!owner)
        return json_null();
    snprintf(text, sizeof(text), "0x%llx", (unsigned long long)owner->address);
    return json_pack("{s:s, s:s}", "address", text, "class",
                     bl_model_class_name(view->model, class_of(owner->word)));
}

static json_t *make_object(const struct bl_view *view, const struct bl_tracked *tracked,
                           const struct bl_event *events, size_t count)
{
    const struct bl_object *object = &tracked->object;
    json_t *buffer = make_buffer(view, object->word, object->address, object->birth_ns);
    json_t *history = json_array();
    for (size_t i = count; i-- > 0;)
        json_array_append_new(history,
                              json_pack("{s:s, s:i, s:o, s:i, s:o, s:o, s:o}", "op",
                                        bl_render_json_op(events[i].op), "delta",
                                        (int)events[i].delta, "times", integer(events[i].folded),
                                        "count_after", (int)events[i].count_after, "after_birth_ns",
                                        integer(since(events[i].time_ns, object->birth_ns)),
                                        "thread", make_thread(view, events[i].thread), "frames",
                                        bl_render_json_frames(view, events[i].stack)));
    json_object_set_new(buffer, "refs", json_integer(object->refs));
    json_object_set_new(buffer, "own_count",
                        object->flags & BL_OBJECT_FIELD ? json_integer(object->field)
                                                        : json_null());
    json_object_set_new(buffer, "overflow", integer(object->event_overflow));
    json_object_set_new(buffer, "owner", make_owner(view, object));
    json_object_set_new(buffer, "history", history);
    return buffer;
}

static json_t *make_live(const struct bl_view *view, const struct bl_live *live)
{
    json_t *buffer = make_buffer(view, live->word, live->address, live->birth_ns);
    json_object_set_new(buffer, "history",
                        json_pack("[{s:s, s:i, s:o, s:o}]", "op", "alloc", "after_birth_ns", 0,
                                  "thread", make_thread(view, live->thread), "frames",
                                  bl_render_json_frames(view, live->stack)));
    return buffer;
}

static int write_document(FILE *out, const struct bl_view *view, const char *key, json_t *value,
                          struct bl_error *error)
{
    json_t *root = json_pack("{s:i, s:s, s:o, s:o}", "schema", 1, "tool", "bufleak " BL_VERSION,
                             "process", bl_render_json_process(view), key, value);
    if (!root)
        return bl_error_set(error, "not enough memory to write the report");
    json_dumpf(root, out, JSON_INDENT(1));
    fputc('\n', out);
    json_decref(root);
    return 0;
}

/* The birth is no event of its own: it goes before the oldest. */
static size_t add_birth(const struct bl_object *object, struct bl_event *events, size_t count)
{
    int64_t given = object->refs;
    for (size_t i = 0; i < count; i++) {
        if (events[i].op == BL_OP_ALLOC)
            return count;
        given -= (int64_t)events[i].delta * events[i].folded;
    }
    if (count == EVENTS_MAX)
        count--;
    given = given < 0 || given > INT16_MAX ? 0 : given;
    events[count] = (struct bl_event){.time_ns = object->birth_ns,
                                      .stack = object->stack,
                                      .thread = object->thread,
                                      .delta = (int32_t)given,
                                      .folded = 1,
                                      .op = BL_OP_ALLOC,
                                      .count_after = (int16_t)given};
    return count + 1;
}

/* The reference-counted buffers with this handle, or in this heap block. Returns how many. */
static size_t render_objects(FILE *out, const struct bl_view *view, uint64_t address,
                             struct bl_event *events, json_t *array)
{
    size_t found = 0;
    size_t count;
    const struct bl_tracked *tracked = bl_reader_objects(view->reader, &count);
    for (size_t i = 0; i < count; i++) {
        const struct bl_object *object = &tracked[i].object;
        if (object->address != address)
            continue;
        size_t length = bl_reader_history(view->reader, object->events, object->event_count, events,
                                          EVENTS_MAX);
        length = add_birth(object, events, length);
        found++;
        if (array)
            json_array_append_new(array, make_object(view, &tracked[i], events, length));
        else
            write_object(out, view, &tracked[i], events, length);
    }
    return found;
}

static bool holds(const struct bl_live *live, uint64_t address)
{
    uint64_t size = live->word >> BL_LIVE_SIZE_SHIFT;
    return address >= live->address && address - live->address < (size ? size : 1);
}

static bool is_recorded(const struct bl_view *view, uint64_t address)
{
    size_t count;
    const struct bl_tracked *tracked = bl_reader_objects(view->reader, &count);
    for (size_t i = 0; i < count; i++)
        if (tracked[i].object.address == address)
            return true;
    const struct bl_live *live = bl_reader_live(view->reader, &count);
    for (size_t i = 0; i < count; i++)
        if (holds(&live[i], address))
            return true;
    return false;
}

/* The plain buffers that hold this address. */
static size_t render_live(FILE *out, const struct bl_view *view, uint64_t address, json_t *array)
{
    size_t found = 0;
    size_t count;
    const struct bl_live *live = bl_reader_live(view->reader, &count);
    for (size_t i = 0; i < count; i++) {
        if (!holds(&live[i], address))
            continue;
        found++;
        if (array)
            json_array_append_new(array, make_live(view, &live[i]));
        else
            write_live(out, view, &live[i]);
    }
    return found;
}

int bl_render_buffer(FILE *out, const struct bl_view *view, uint64_t address, bool is_json,
                     struct bl_error *error)
{
    struct bl_event *events = calloc(EVENTS_MAX, sizeof(*events));
    json_t *array = is_json ? json_array() : NULL;
    if (!events || (is_json && !array)) {
        free(events);
        return bl_error_set(error, "not enough memory for the history");
    }
    size_t found = 0;
    if (is_recorded(view, address)) {
        if (!is_json)
            bl_render_text_title(out, view);
        found = render_objects(out, view, address, events, array);
        found += render_live(out, view, address, array);
    }
    free(events);
    if (found == 0) {
        json_decref(array);
        return bl_error_set(error,
                            "no unreleased buffer is at 0x%llx: it was released, or not recorded",
                            (unsigned long long)address);
    }
    return is_json ? write_document(out, view, "buffers", array, error) : 0;
}

/* ---- the balance tree ---- */

#define CHILDREN_MAX 50
#define DEPTH_MAX    200

struct tree {
    FILE *out;
    const struct bl_view *view;
    const struct bl_balance *balance;
    struct bl_term term;
};

static void write_node(const struct tree *tree, const struct bl_balance_node *node, unsigned indent,
                       bool is_balanced)
{
    char plus[BL_TEXT_NUMBER + 1] = "+";
    char minus[BL_TEXT_NUMBER + 4] = "−";
    char what[512];
    char where[640];
    char line[2048];
    char fitted[2048];
    bl_text_count(plus + 1, node->acquired);
    bl_text_count(minus + strlen(minus), node->released);
    bl_render_text_place(tree->view, node->frame, what, sizeof(what), where, sizeof(where));
    snprintf(line, sizeof(line), "%*s%s  %s%s", (int)indent, "", what, where,
             is_balanced ? "  balanced" : "");
    size_t width = tree->term.width > 40 ? tree->term.width - 22 : 0;
    bl_text_fit(fitted, sizeof(fitted), line, width, false);
    fprintf(tree->out, "%10s %*s%s  %s\n", plus,
            (int)(bl_text_width(minus) < 9 ? 9 - bl_text_width(minus) : 0), "", minus, fitted);
}

static void write_branch(const struct tree *tree, uint32_t parent, unsigned indent, unsigned depth)
{
    const struct bl_balance_node *nodes = tree->balance->nodes;
    size_t shown = 0;
    size_t hidden = 0;
    for (uint32_t child = nodes[parent].first; child; child = nodes[child].next) {
        const struct bl_balance_node *node = &nodes[child];
        bool is_balanced = node->acquired == node->released;
        if (shown == CHILDREN_MAX || depth == DEPTH_MAX) {
            hidden++;
            continue;
        }
        shown++;
        write_node(tree, node, indent, is_balanced);
        if (!is_balanced)
            write_branch(tree, child, indent + 1, depth + 1);
    }
    if (hidden > 0)
        fprintf(tree->out, "%22s%*s… %zu more\n", "", (int)indent, "", hidden);
}

static json_t *make_branch(const struct tree *tree, uint32_t parent, unsigned depth)
{
    const struct bl_balance_node *nodes = tree->balance->nodes;
    json_t *array = json_array();
    for (uint32_t child = nodes[parent].first; child && depth < DEPTH_MAX;
         child = nodes[child].next) {
        const struct bl_balance_node *node = &nodes[child];
        bool is_balanced = node->acquired == node->released;
        json_array_append_new(
            array, json_pack("{s:o, s:o, s:o, s:b, s:o}", "frame",
                             bl_render_json_place(tree->view, node->frame), "acquired",
                             integer(node->acquired), "released", integer(node->released),
                             "balanced", is_balanced ? 1 : 0, "children",
                             is_balanced ? json_array() : make_branch(tree, child, depth + 1)));
    }
    return array;
}

int bl_render_tree(FILE *out, const struct bl_view *view, const struct bl_balance *balance,
                   bool is_json, struct bl_error *error)
{
    struct tree tree = {.out = out, .view = view, .balance = balance, .term = bl_term_of(out)};
    char buffers[BL_TEXT_NUMBER];
    char plus[BL_TEXT_NUMBER];
    char minus[BL_TEXT_NUMBER];
    if (is_json)
        return write_document(out, view, "tree", make_branch(&tree, 0, 0), error);
    bl_render_text_title(out, view);
    fprintf(out,
            "\n%s unreleased buffer%s with histories: %s reference%s taken, %s given back\n"
            "taken and given back per call path, outermost caller first; balanced branches are "
            "folded\n\n",
            bl_text_count(buffers, balance->buffers), balance->buffers == 1 ? "" : "s",
            bl_text_count(plus, balance->nodes[0].acquired),
            balance->nodes[0].acquired == 1 ? "" : "s",
            bl_text_count(minus, balance->nodes[0].released));
    write_branch(&tree, 0, 0, 0);
    return 0;
}
