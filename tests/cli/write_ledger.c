/* Writes a made-up ledger for tests that need one without a tracked process:
 *   write_ledger FILE [PID]            a small ledger of an ended process
 *   write_ledger FILE huge             a million live buffers on 100,000 stacks
 *   write_ledger FILE profile          with the hooks of a profile
 *   write_ledger FILE histories        a million buffers with 4,000 different histories
 *   write_ledger FILE sizeless         three buffers of no bytes
 *   write_ledger FILE hostile          with names that mean something to readers of reports
 *   write_ledger FILE managed          a block that a Java method took
 *   write_ledger FILE growing          memory in time, for a minute
 *   write_ledger FILE prefixes         frames whose names begin with those of others
 *   write_ledger FILE gateway|incident a scene of ledger_scenes.h */
#include "ledger_scenes.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_small(struct synth *synth, uint32_t heap, uint32_t program)
{
    uint32_t outer = synth_frame(synth, 0, program, 0x1000);
    uint32_t inner = synth_frame(synth, outer, program, 0x2000);
    for (uint64_t i = 0; i < 10; i++)
        synth_live(synth, heap, 100, inner, 0, 2000000000 + i);
    synth_ended(synth, heap, 5, 500);
}

static void add_huge(struct synth *synth, uint32_t heap, uint32_t program)
{
    uint32_t root = synth_frame(synth, 0, program, 0x1000);
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t parent = root;
        for (uint32_t depth = 0; depth < 20; depth++)
            parent = synth_frame(synth, parent, program, 0x2000 + i * 32 + depth);
        for (uint32_t k = 0; k < 100; k++) {
            uint32_t leaf = synth_frame(synth, parent, program, 0x900000 + k * 8);
            for (uint64_t n = 0; n < 10; n++)
                synth_live(synth, heap, 64, leaf, 0, 2000000000 + n);
        }
    }
}

static uint32_t name_of(struct synth *synth, const char *text)
{
    return synth_name(synth, text, strlen(text));
}

/* The functions of one class, each hooked in another way, among those of the heap. */
static void add_profile(struct synth *synth, uint32_t heap)
{
    uint32_t widget = synth_class(synth, "widget");
    struct bl_class *class = synth_record(synth, BL_SECTION_CLASSES, widget);
    class->flags = BL_CLASS_REFCOUNTED;
    uint32_t profile = name_of(synth, "mine");
    uint32_t module = name_of(synth, "libwidget.so.1");
    class = synth_record(synth, BL_SECTION_CLASSES, widget);
    class->profile_name = profile;
    synth_hook(synth, "malloc", heap, BL_HOOK_SYMBOL, NULL);
    synth_hook(synth, "widget_new", widget, BL_HOOK_ENTRY, NULL);
    synth_hook(synth, "widget_ref", widget, BL_HOOK_IMPORT, NULL);
    synth_hook(synth, "widget_unref", widget, BL_HOOK_NONE, "too short");
    for (uint32_t i = 1; i <= 3; i++) {
        struct bl_hook *hook = synth_record(synth, BL_SECTION_HOOKS, i);
        hook->module_name = module;
    }
}

static void add_histories(struct synth *synth, uint32_t program)
{
    uint32_t class = synth_class(synth, "buf");
    uint32_t root = synth_frame(synth, 0, program, 0x1000);
    synth_refcounted(synth, class, "libbuf.so*");
    for (uint64_t kind = 0; kind < 4000; kind++) {
        struct synth_op ops[8];
        uint32_t parent = synth_frame(synth, root, program, 0x2000 + kind % 40);
        for (uint32_t depth = 0; depth < 12; depth++)
            parent = synth_frame(synth, parent, program, 0x3000 + depth);
        for (uint32_t k = 0; k < 8; k++)
            ops[k] = (struct synth_op){
                .op = k == 0  ? BL_OP_ALLOC
                      : k % 2 ? BL_OP_RETAIN
                              : BL_OP_RELEASE,
                .stack = synth_frame(synth, parent, program, 0x4000 + kind * (k % 3) + k),
                .delta = k == 0 || k % 2 ? 1 : -1,
                .folded = 1 + (uint32_t)kind % (k + 1),
                .time_ns = 2000000000 + k};
        for (uint64_t n = 0; n < 250; n++)
            synth_object(synth, class, 100, 2000000000 + kind * 1000000 + n, ops, 8);
        ops[7].op = BL_OP_END;
        ops[7].delta = -1;
        synth_lifecycle(synth, class, 10 + kind, 1000000, 700000000000, ops, 8);
    }
}

/* What ends a name, a line or an element for those who read a report by program. */
static void add_hostile(struct synth *synth)
{
    uint32_t class = synth_class(synth, "a;b <script>alert(1)</script>");
    uint32_t module = synth_module(synth, "/x/lib \"&';\n\x1b[31m<b>.so", "\x01", 1, 0);
    uint32_t stack = synth_frame(synth, synth_frame(synth, 0, module, 0x10), module, 0x20);
    synth_live(synth, class, 70, stack, 0, 2000000000);
}

static void add_managed(struct synth *synth, uint32_t heap)
{
    static const char name[] = "app.Cache.put\0Cache.java";
    uint32_t package = synth_module(synth, "app", NULL, 0, BL_MODULE_MANAGED);
    uint64_t method = synth_name(synth, name, sizeof(name) - 1) | 39ull << 32;
    uint32_t frame = synth_frame(synth, 0, package | BL_FRAME_MANAGED, method);
    synth_live(synth, heap, 8192, frame, 0, 2000000000);
}

static void add_growing(struct synth *synth, uint32_t heap, uint32_t program)
{
    struct bl_sample samples[60];
    uint32_t series = synth_series(synth, BL_SERIES_CLASS, heap, 0, SCENE_SECOND);
    for (uint32_t i = 0; i < 60; i++)
        samples[i] = (struct bl_sample){
            .bytes = 1000 * (i + 1), .total = 10 * (i + 1), .count = 10 * (i + 1), .after = i};
    synth_samples(synth, series, 0, SCENE_SECOND, SCENE_SECOND, samples, 60);
    add_small(synth, heap, program);
}

static void add_prefixes(struct synth *synth, uint32_t heap, uint32_t program)
{
    uint32_t one = synth_frame(synth, 0, program, 0x1);
    uint32_t sixteen = synth_frame(synth, 0, program, 0x10);
    uint32_t stacks[] = {one, sixteen, synth_frame(synth, sixteen, program, 0x5),
                         synth_frame(synth, one, program, 0x5)};
    for (size_t i = 0; i < sizeof(stacks) / sizeof(stacks[0]); i++)
        synth_live(synth, heap, 100, stacks[i], 0, 2000000000 + i);
}

static bool write_scene(const char *path, const char *name)
{
    struct synth *synth = strcmp(name, "gateway") == 0    ? scene_gateway()
                          : strcmp(name, "incident") == 0 ? scene_incident()
                                                          : NULL;
    if (!synth)
        return false;
    synth_write(synth, path);
    synth_destroy(synth);
    return true;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return EXIT_FAILURE;
    if (argc > 2 && write_scene(argv[1], argv[2]))
        return EXIT_SUCCESS;
    struct synth *synth = synth_create();
    uint32_t heap = synth_class(synth, "heap");
    uint32_t program = synth_module(synth, "/nowhere/gateway", "abcdefgh", 8, BL_MODULE_MAIN);
    if (argc > 2 && strcmp(argv[2], "huge") == 0)
        add_huge(synth, heap, program);
    else if (argc > 2 && strcmp(argv[2], "histories") == 0)
        add_histories(synth, program);
    else if (argc > 2 && strcmp(argv[2], "sizeless") == 0)
        for (uint64_t i = 0; i < 3; i++)
            synth_live(synth, heap, 0, synth_frame(synth, 0, program, 0x1000), 0, 2000000000 + i);
    else if (argc > 2 && strcmp(argv[2], "managed") == 0)
        add_managed(synth, heap);
    else if (argc > 2 && strcmp(argv[2], "growing") == 0)
        add_growing(synth, heap, program);
    else if (argc > 2 && strcmp(argv[2], "prefixes") == 0)
        add_prefixes(synth, heap, program);
    else if (argc > 2 && strcmp(argv[2], "hostile") == 0)
        add_hostile(synth);
    else
        add_small(synth, heap, program);
    if (argc > 2 && strcmp(argv[2], "profile") == 0)
        add_profile(synth, heap);
    if (argc > 2 && atoi(argv[2]) > 0)
        synth->header.pid = (uint32_t)atoi(argv[2]);
    synth_write(synth, argv[1]);
    synth_destroy(synth);
    return EXIT_SUCCESS;
}
