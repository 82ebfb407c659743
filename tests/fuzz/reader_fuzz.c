/*
 * Whatever the bytes, a ledger is either refused with one line or read, grouped and rendered: no
 * crash, no endless loop, no read outside a record.
 *
 * The input is the file in a compact form, because most of a ledger is empty pages: runs of zeros
 * are written as 'Z' and a 16-bit count. The first byte chooses how the ledger is shown.
 */
#include "ledger_synth.h"
#include "report.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILE_MAX (1u << 18)

static size_t unpack(const uint8_t *data, size_t size, uint8_t *out)
{
    size_t used = 0;
    for (size_t at = 0; at < size && used < FILE_MAX;) {
        if (data[at] != 'Z' || at + 2 >= size) {
            out[used++] = data[at++];
            continue;
        }
        size_t run = data[at + 1] | (size_t)data[at + 2] << 8;
        if (run == 0) {
            out[used++] = 'Z'; /* the letter itself */
        } else {
            size_t room = FILE_MAX - used;
            memset(out + used, 0, run < room ? run : room);
            used += run < room ? run : room;
        }
        at += 3;
    }
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    if (size == 0)
        return 0;
    if (!nowhere)
        nowhere = fopen("/dev/null", "we");
    uint8_t *file = malloc(FILE_MAX);
    if (!file || !nowhere)
        abort();
    size_t length = unpack(data + 1, size - 1, file);
    struct bl_target target = {.path = strdup("fuzz.ledger"), .fd = synth_file(file, length)};
    struct bl_report_options options = {.model.group_by = (enum bl_group_by)(data[0] % 6),
                                        .is_json = data[0] & 0x40,
                                        .show_hooks = true,
                                        .show_tree = (data[0] & 0x30) == 0x10,
                                        .has_buffer = (data[0] & 0x30) == 0x20,
                                        .buffer = 0x500040,
                                        .match = data[0] & 0x80 ? "a" : NULL};
    struct bl_error error = {""};
    int outcome = bl_report_write(nowhere, &target, &options, &error);
    if ((outcome < 0) != (*error.text != '\0') || strchr(error.text, '\n'))
        abort();
    bl_target_deinit(&target);
    free(file);
    return 0;
}
