#include "counted.h"

#include <stdlib.h>

struct element {
    struct counted *buffer;
    struct element *next;
};

struct counted_list {
    struct element *first;
    int gives_back;
};

static void *need(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

__attribute__((visibility("default"))) struct counted *counted_new(int bytes)
{
    struct counted *buffer = need(calloc(1, sizeof(*buffer) + (unsigned)bytes));
    buffer->refs = 1;
    return buffer;
}

__attribute__((visibility("default"))) struct counted *counted_ref(struct counted *buffer)
{
    __atomic_add_fetch(&buffer->refs, 1, __ATOMIC_RELAXED);
    return buffer;
}

__attribute__((visibility("default"))) void counted_unref(struct counted *buffer)
{
    if (__atomic_sub_fetch(&buffer->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free(buffer);
}

__attribute__((visibility("default"))) struct counted_list *counted_list_new(int gives_back)
{
    struct counted_list *list = need(calloc(1, sizeof(*list)));
    list->gives_back = gives_back;
    return list;
}

__attribute__((visibility("default"))) void counted_list_add(struct counted_list *list,
                                                             struct counted *buffer)
{
    struct element *element = need(calloc(1, sizeof(*element)));
    element->buffer = buffer;
    element->next = list->first;
    list->first = element;
}

__attribute__((visibility("default"))) void counted_list_free(struct counted_list *list)
{
    while (list->first) {
        struct element *element = list->first;
        list->first = element->next;
        if (list->gives_back)
            counted_unref(element->buffer);
        free(element);
    }
    free(list);
}
