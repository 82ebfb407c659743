#include "ledger_scenes.h"

struct synth *scene_gateway(void)
{
    struct synth *synth = synth_create();
    uint32_t heap = synth_class(synth, "heap");
    uint32_t mmap = synth_class(synth, "mmap");
    uint32_t gw =
        synth_module(synth, "/opt/gone/gateway", "\x01\x23\x45\x67\x89", 5, BL_MODULE_MAIN);
    uint32_t libc = synth_module(synth, "/opt/gone/libc.so.6", "\xfe\xdc", 2, 0);
    uint32_t plugin = synth_module(synth, "/opt/gone/cache \xff\n.so", NULL, 0, 0);
    uint32_t worker = synth_thread(synth, 4250, "worker/0");
    uint32_t start = synth_frame(synth, 0, libc, 0x27000);
    uint32_t loop = synth_frame(synth, start, gw, 0x1100);
    uint32_t other = synth_frame(synth, start, gw, 0x1200);
    uint32_t filter = synth_frame(synth, loop, plugin, 0x500);
    uint32_t filter_other = synth_frame(synth, other, plugin, 0x500);
    uint32_t copy = synth_frame(synth, filter, libc, 0x90000);
    uint32_t cut = synth_frame(synth, 0, gw | BL_FRAME_TRUNCATED, 0x2000);
    for (uint32_t i = 0; i < 1204; i++)
        synth_live(synth, heap, 1024, i % 3 ? copy : filter_other, worker,
                   3 * SCENE_SECOND + i * SCENE_SECOND / 2);
    synth_live(synth, heap, 500, synth_frame(synth, cut, gw, 0x2100), worker,
               SCENE_END - 250000000);
    synth_live(synth, mmap, 1 << 20, 0, 0, SCENE_END - SCENE_SECOND);
    synth_ended(synth, heap, 3980121, 3980121ull * 77);
    uint32_t done = synth_frame(synth, loop, gw, 0x3000);
    uint32_t fail = synth_frame(synth, synth_frame(synth, loop, gw, 0x3100), libc, 0x91000);
    synth_free_path(synth, copy, done, 1037, BL_OP_END);
    synth_free_path(synth, copy, fail, 3, BL_OP_END);
    synth_free_path(synth, filter_other, done, 40, BL_OP_RESIZE);
    synth_hook(synth, "malloc", heap, BL_HOOK_SYMBOL, NULL);
    synth_hook(synth, "pvalloc", heap, BL_HOOK_NONE, "the program has no such function");
    return synth;
}

struct synth *scene_incident(void)
{
    struct synth *synth = synth_create();
    uint32_t heap = synth_class(synth, "heap");
    uint32_t class = synth_class(synth, "gst-buffer");
    uint32_t gw = synth_module(synth, "/opt/gone/gateway", "\x01\x23", 2, BL_MODULE_MAIN);
    uint32_t library = synth_module(synth, "/opt/gone/libgst.so.1", "\x45", 1, 0);
    uint32_t thread = synth_thread(synth, 4250, "worker/0");
    uint32_t request = synth_frame(synth, synth_frame(synth, 0, gw, 0x1000), gw, 0x402);
    uint32_t read = synth_frame(synth, synth_frame(synth, request, gw, 0x377), library, 0x10);
    uint32_t join = synth_frame(synth, synth_frame(synth, request, gw, 0x131), gw, 0x88);
    uint32_t drop = synth_frame(synth, synth_frame(synth, request, gw, 0x140), gw, 0x99);
    uint32_t end = synth_frame(synth, request, gw, 0x441);
    uint32_t again = synth_frame(synth, request, gw, 0x499);
    synth_refcounted(synth, class, "libgst.so*");
    for (uint64_t i = 0; i < 1204; i++) {
        uint64_t birth = 3 * SCENE_SECOND + i * SCENE_SECOND / 2;
        struct synth_op ops[] = {
            {.op = BL_OP_ALLOC, .stack = read, .delta = 1, .time_ns = birth, .thread = thread},
            {.op = BL_OP_RETAIN, .stack = join, .delta = 1, .time_ns = birth + 1000000},
            {.op = BL_OP_RETAIN, .stack = request, .delta = 1, .folded = 2, .time_ns = birth},
            {.op = BL_OP_RELEASE, .stack = request, .delta = -1, .folded = 2, .time_ns = birth},
            {.op = BL_OP_RELEASE, .stack = end, .delta = -1, .time_ns = birth + 3000000}};
        synth_object(synth, class, 1024, birth, ops, 5);
    }
    struct synth_op kept[] = {{.op = BL_OP_ALLOC, .stack = read, .delta = 1},
                              {.op = BL_OP_RETAIN, .stack = join, .delta = 1},
                              {.op = BL_OP_RELEASE, .stack = drop, .delta = -1},
                              {.op = BL_OP_END, .stack = end, .delta = -1}};
    struct synth_op plain[] = {{.op = BL_OP_ALLOC, .stack = read, .delta = 1},
                               {.op = BL_OP_END, .stack = end, .delta = -1}};
    struct synth_op over[] = {{.op = BL_OP_ALLOC, .stack = read, .delta = 1},
                              {.op = BL_OP_END, .stack = end, .delta = -1},
                              {.op = BL_OP_OVER_RELEASE, .stack = again, .delta = -1}};
    synth_lifecycle(synth, class, 20, 5000000, SCENE_END - SCENE_SECOND, kept, 4);
    synth_lifecycle(synth, class, 19200, 5000000, SCENE_END - SCENE_SECOND, plain, 2);
    synth_lifecycle(synth, class, 1, 5000000, SCENE_END - SCENE_SECOND, over, 3);
    struct synth_op busy[] = {{.op = BL_OP_ALLOC, .stack = read, .delta = 1, .thread = thread}};
    synth_object(synth, class, 512, SCENE_END - 1000000, busy, 1);
    synth_live(synth, heap, 64, end, thread, 5 * SCENE_SECOND);
    return synth;
}
