#include "balance.h"

#include "callers.h"
#include "histories.h"

#include <stdlib.h>
#include <string.h>

struct builder {
    struct bl_balance *balance;
    size_t room;
    uint32_t *slots; /* by parent and place: node number, 0 is empty */
    size_t slot_room;
};

static uint64_t hash_node(uint32_t parent, uint32_t place)
{
    uint64_t value = (uint64_t)parent << 32 | place;
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93ull;
    return value ^ value >> 32;
}

static bool grow(struct builder *builder)
{
    struct bl_balance *balance = builder->balance;
    if (balance->count < builder->room)
        return true;
    size_t room = builder->room ? builder->room * 2 : 256;
    struct bl_balance_node *nodes = realloc(balance->nodes, room * sizeof(*nodes));
    if (nodes)
        balance->nodes = nodes;
    uint32_t *slots = calloc(room * 2, sizeof(*slots));
    if (!nodes || !slots) {
        free(slots);
        return false;
    }
    for (size_t i = 1; i < balance->count; i++) {
        uint64_t at = hash_node(nodes[i].parent, nodes[i].place);
        while (slots[at & (room * 2 - 1)])
            at++;
        slots[at & (room * 2 - 1)] = (uint32_t)i;
    }
    free(builder->slots);
    builder->slots = slots;
    builder->slot_room = room * 2;
    builder->room = room;
    return true;
}

/* The child of a node for a call, made when it is new; 0 without memory. */
static uint32_t find_child(struct builder *builder, uint32_t parent, const struct bl_caller *caller)
{
    if (!grow(builder))
        return 0;
    struct bl_balance *balance = builder->balance;
    uint64_t at = hash_node(parent, caller->place);
    uint32_t number;
    while ((number = builder->slots[at & (builder->slot_room - 1)])) {
        if (balance->nodes[number].parent == parent &&
            balance->nodes[number].place == caller->place)
            return number;
        at++;
    }
    number = (uint32_t)balance->count++;
    balance->nodes[number] = (struct bl_balance_node){.frame = caller->frame,
                                                      .place = caller->place,
                                                      .parent = parent,
                                                      .next = balance->nodes[parent].first};
    balance->nodes[parent].first = number;
    builder->slots[at & (builder->slot_room - 1)] = number;
    return number;
}

static bool add_item(struct builder *builder, const struct bl_callers *callers,
                     const struct bl_item *item, uint64_t count)
{
    size_t depth;
    const struct bl_caller *frames = bl_callers_frames(callers, item->callers, &depth);
    uint64_t units = item->units * count;
    uint32_t number = 0;
    for (size_t i = depth + 1; i-- > 0;) {
        struct bl_balance_node *node = &builder->balance->nodes[number];
        if (bl_item_is_acquire(item))
            node->acquired += units;
        else
            node->released += units;
        if (i == 0)
            break;
        number = find_child(builder, number, &frames[i - 1]);
        if (number == 0)
            return false;
    }
    return true;
}

static bool is_wanted(const struct bl_model *model, const struct bl_model_options *options,
                      uint32_t class_number)
{
    return !options->class_name ||
           strcmp(bl_model_class_name(model, class_number), options->class_name) == 0;
}

/* Of what was done with the buffers, is something to be kept? */
static bool is_kept(const struct bl_model_options *options, const struct bl_item *items,
                    uint32_t count)
{
    for (uint32_t i = 0; options->keep_stack && i < count; i++)
        if (options->keep_stack(options->keep_context, items[i].stack))
            return true;
    return !options->keep_stack;
}

static bool add_all(struct builder *builder, const struct bl_histories *all,
                    const struct bl_callers *callers, const struct bl_model *model,
                    const struct bl_model_options *options)
{
    if (!grow(builder))
        return false;
    builder->balance->nodes[0] = (struct bl_balance_node){0};
    builder->balance->count = 1;
    for (size_t i = 0; i < all->live_count; i++) {
        const struct bl_pattern *pattern = &all->live[i];
        const struct bl_item *items = bl_pattern_items(all, pattern);
        if (pattern->doubt == BL_DOUBT_GHOST || !is_wanted(model, options, pattern->class_number) ||
            !is_kept(options, items, pattern->item_count))
            continue;
        builder->balance->buffers += pattern->count;
        for (uint32_t k = 0; k < pattern->item_count; k++)
            if (!add_item(builder, callers, &items[k], pattern->count))
                return false;
    }
    return true;
}

static uint64_t left_at(const struct bl_balance_node *node)
{
    return node->acquired > node->released ? node->acquired - node->released
                                           : node->released - node->acquired;
}

static int compare_children(const void *left, const void *right, void *context)
{
    const struct bl_balance_node *nodes = context;
    const struct bl_balance_node *a = &nodes[*(const uint32_t *)left];
    const struct bl_balance_node *b = &nodes[*(const uint32_t *)right];
    if (left_at(a) != left_at(b))
        return left_at(a) > left_at(b) ? -1 : 1;
    if (a->acquired != b->acquired)
        return a->acquired > b->acquired ? -1 : 1;
    return a < b ? -1 : a > b;
}

static bool sort_children(struct bl_balance *balance)
{
    uint32_t *children = calloc(balance->count + 1, sizeof(*children));
    for (size_t i = 0; children && i < balance->count; i++) {
        size_t count = 0;
        for (uint32_t child = balance->nodes[i].first; child; child = balance->nodes[child].next)
            children[count++] = child;
        if (count < 2)
            continue;
        qsort_r(children, count, sizeof(*children), compare_children, balance->nodes);
        balance->nodes[i].first = children[0];
        for (size_t k = 0; k < count; k++)
            balance->nodes[children[k]].next = k + 1 < count ? children[k + 1] : 0;
    }
    free(children);
    return children != NULL;
}

int bl_balance_create(struct bl_balance **ret_balance, const struct bl_reader *reader,
                      const struct bl_model *model, const struct bl_model_options *options,
                      struct bl_error *error)
{
    struct bl_callers *callers = NULL;
    struct bl_histories *histories = NULL;
    struct builder builder = {.balance = calloc(1, sizeof(struct bl_balance))};
    if (!builder.balance)
        return bl_error_set(error, "not enough memory for the tree");
    int outcome = bl_callers_create(&callers, reader, NULL, options, error);
    if (outcome == 0)
        outcome = bl_histories_create(&histories, reader, callers, model->now_ns,
                                      options->min_age_ns, error);
    if (outcome == 0 &&
        (!add_all(&builder, histories, callers, model, options) || !sort_children(builder.balance)))
        outcome = bl_error_set(error, "not enough memory for the tree");
    bl_histories_destroy(histories);
    bl_callers_destroy(callers);
    free(builder.slots);
    if (outcome < 0)
        bl_balance_destroy(builder.balance);
    else
        *ret_balance = builder.balance;
    return outcome;
}

void bl_balance_destroy(struct bl_balance *balance)
{
    if (!balance)
        return;
    free(balance->nodes);
    free(balance);
}
