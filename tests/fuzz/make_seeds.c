/* Writes the seeds of the corpus: whole ledgers in the fuzzer's compact form. */
#include "ledger_synth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void pack(FILE *out, const uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t run = 0;
        while (at + run < size && bytes[at + run] == 0 && run < 65535)
            run++;
        if (run > 3) {
            fprintf(out, "Z%c%c", (char)(run & 0xff), (char)(run >> 8));
            at += run;
        } else if (bytes[at] == 'Z') {
            fwrite("Z\0\0", 1, 3, out);
            at++;
        } else {
            fputc(bytes[at++], out);
        }
    }
}

static void write_seed(const char *directory, const char *name, char options, struct synth *synth)
{
    char path[4096];
    size_t size;
    uint8_t *bytes = synth_bytes(synth, &size);
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *out = fopen(path, "we");
    if (!out)
        abort();
    fputc(options, out);
    pack(out, bytes, size);
    fclose(out);
    free(bytes);
}

static struct synth *make(void)
{
    struct synth *synth = synth_create();
    uint32_t heap = synth_class(synth, "heap");
    uint32_t mmap = synth_class(synth, "mmap");
    uint32_t program = synth_module(synth, "/nowhere/gateway", "abcdefgh", 8, BL_MODULE_MAIN);
    uint32_t libc = synth_module(synth, "/nowhere/libc.so.6", "ijklmnop", 8, 0);
    uint32_t shim = synth_module(synth, "/nowhere/libbufleak.so", NULL, 0, BL_MODULE_SHIM);
    uint32_t thread = synth_thread(synth, 77, "worker");
    uint32_t outer = synth_frame(synth, 0, program | BL_FRAME_TRUNCATED, 0x1000);
    uint32_t site = synth_frame(synth, outer, program, 0x1100);
    uint32_t copy = synth_frame(synth, site, libc | BL_FRAME_EXACT, 0x2000);
    uint32_t leaf = synth_frame(synth, copy, shim, 0x10);
    for (uint64_t i = 0; i < 6; i++)
        synth_live(synth, i % 2 ? heap : mmap, i * 100, i % 3 ? leaf : site, thread,
                   i * 1000000000);
    synth_ended(synth, heap, 10, 1000);
    synth_hook(synth, "malloc", heap, BL_HOOK_SYMBOL, NULL);
    synth_hook(synth, "signal:USR1", heap, BL_HOOK_NONE, "taken");
    return synth;
}

/* Histories of every verdict. */
static struct synth *make_histories(void)
{
    struct synth *synth = synth_create();
    uint32_t class = synth_class(synth, "buf");
    uint32_t part = synth_class(synth, "mem");
    uint32_t program = synth_module(synth, "/nowhere/gateway", "abcdefgh", 8, BL_MODULE_MAIN);
    uint32_t library = synth_module(synth, "/nowhere/libbuf.so", "ijklmnop", 8, 0);
    uint32_t loop = synth_frame(synth, 0, program, 0x1000);
    uint32_t make_at = synth_frame(synth, loop, program, 0x100);
    uint32_t keep_at = synth_frame(synth, make_at, program, 0x200);
    uint32_t drop_at = synth_frame(synth, loop, program, 0x300);
    uint32_t inside = synth_frame(synth, make_at, library, 0x10);
    synth_refcounted(synth, class, "libbuf.so*");
    synth_refcounted(synth, part, "libbuf.so*");
    struct synth_op ops[] = {{BL_OP_ALLOC, make_at, 1, 2000000000, 0, 1},
                             {BL_OP_RETAIN, keep_at, 1, 2000000001, 0, 2},
                             {BL_OP_RELEASE, drop_at, -1, 2000000002, 0, 1},
                             {BL_OP_RELEASE, keep_at, -1, 2000000003, 0, 1},
                             {BL_OP_END, loop, -1, 2000000004, 0, 1},
                             {BL_OP_OVER_RELEASE, make_at, -1, 2000000005, 0, 1}};
    for (uint64_t i = 0; i < 4; i++) {
        synth_object(synth, class, 100, (2 + i) * 1000000000, ops, 3);
        synth_object(synth, class, 100, (2 + i) * 1000000000, ops, 1);
        struct synth_op birth = {BL_OP_ALLOC, inside, 1, 2000000000, 0, 1};
        synth_object(synth, part, 10, (2 + i) * 1000000000, &birth, 1);
    }
    synth_lifecycle(synth, class, 40, 1000000, 700000000000, ops, 5);
    synth_lifecycle(synth, class, 30, 1000000, 700000000000, ops + 4, 1);
    synth_lifecycle(synth, class, 1, 1000000, 700000000000, ops, 6);
    return synth;
}

/* Siblings that were freed: here and there, by realloc, and half written. */
static struct synth *make_free_paths(void)
{
    struct synth *synth = synth_create();
    uint32_t heap = synth_class(synth, "heap");
    uint32_t program = synth_module(synth, "/nowhere/gateway", "abcdefgh", 8, BL_MODULE_MAIN);
    uint32_t libc = synth_module(synth, "/nowhere/libc.so.6", "ijklmnop", 8, 0);
    uint32_t loop = synth_frame(synth, 0, program, 0x1000);
    uint32_t born = synth_frame(synth, loop, program, 0x100);
    uint32_t other = synth_frame(synth, born, program, 0x100);
    uint32_t inside = synth_frame(synth, born, libc, 0x10);
    for (uint64_t i = 0; i < 4; i++)
        synth_live(synth, heap, 100, i % 2 ? born : inside, 0, 2000000000);
    for (uint64_t i = 0; i < 6; i++)
        synth_free_path(synth, i < 5 ? born : other, synth_frame(synth, loop, program, 0x200 + i),
                        i + 1, i % 2 ? BL_OP_END : BL_OP_RESIZE);
    uint32_t torn = synth_free_path(synth, other, inside, 3, BL_OP_END);
    struct bl_free_path *path = synth_record(synth, BL_SECTION_FREE_PATHS, torn);
    path->free_stack = 1;
    return synth;
}

int main(int argc, char **argv)
{
    const char *directory = argc > 1 ? argv[1] : ".";
    struct synth *synth = make();
    write_seed(directory, "plain", 0, synth);
    write_seed(directory, "json-stacks", 0x41, synth);
    write_seed(directory, "match", (char)0x80, synth);
    for (char by = 2; by < 6; by++) {
        char name[16];
        snprintf(name, sizeof(name), "group-%d", by);
        write_seed(directory, name, by, synth);
    }
    synth->extent_pages = 1;
    write_seed(directory, "small-extents", 0, synth);
    synth->header.sample_bytes = 4096;
    synth->header.flags = BL_FLAG_FORKED | BL_FLAG_INEXACT;
    synth->header.forked_ns = 2000000000;
    synth->header.snapshot_number = 3;
    synth->header.losses[5] = 9;
    write_seed(directory, "sampled-fork-snapshot", 0, synth);
    synth->header.version = 2;
    write_seed(directory, "newer", 0, synth);
    synth_destroy(synth);
    synth = make_histories();
    write_seed(directory, "histories", 0, synth);
    write_seed(directory, "histories-json", 0x42, synth);
    write_seed(directory, "histories-tree", 0x10, synth);
    write_seed(directory, "histories-buffer", 0x60, synth);
    synth->header.state = BL_STATE_RUNNING;
    write_seed(directory, "histories-live", 0, synth);
    synth_destroy(synth);
    synth = make_free_paths();
    write_seed(directory, "free-paths", 0, synth);
    write_seed(directory, "free-paths-stacks-json", 0x41, synth);
    synth_destroy(synth);
    synth = synth_create();
    write_seed(directory, "empty", 0x40, synth);
    synth_destroy(synth);
    return 0;
}
