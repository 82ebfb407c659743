#include "called.h"

#include "hooks.h"

#define END BL_CALLED_BYTES

/* ff /2, with the addressing form (mod, and rm or, for 4, a byte more) that makes it so long. */
static bool is_pointer_call(const uint8_t *code, size_t length)
{
    const uint8_t *call = code + END - length;
    if (call[0] != 0xff || (call[1] >> 3 & 7) != 2)
        return false;
    unsigned mod = call[1] >> 6;
    unsigned rm = call[1] & 7;
    static const size_t displacement[] = {0, 1, 4, 0};
    if (mod == 0 && rm == 5)
        return false; /* a slot of the module's own */
    if (mod == 0 && rm == 4 && length > 2 && (call[2] & 7) == 5)
        return length == 7;
    return length == 2 + (mod != 3 && rm == 4 ? 1u : 0u) + displacement[mod];
}

bool bl_called_is_by_pointer(const uint8_t code[BL_CALLED_BYTES])
{
    bool is_direct = code[END - 5] == 0xe8;
    bool is_of_slot = code[END - 6] == 0xff && code[END - 5] == 0x15;
    for (size_t length = 2; length <= END; length++)
        if (is_pointer_call(code, length))
            return !is_direct && !is_of_slot;
    return false;
}

static bool has_functions(const struct bl_reader *reader, uint32_t class_number)
{
    struct bl_hook_row row;
    for (uint32_t i = 0; i < bl_hooks_count(reader); i++)
        if (bl_hooks_read(reader, i, &row) && row.class_number == class_number && !row.is_profile &&
            !row.is_wanted && !row.is_none)
            return true;
    return false;
}

bool bl_called_by_pointer(struct bl_symbols *symbols, const struct bl_reader *reader,
                          uint32_t class_number, uint32_t stack)
{
    const struct bl_frame *frame = bl_reader_frame(reader, stack);
    uint8_t code[BL_CALLED_BYTES];
    if (!frame || frame->module & (BL_FRAME_EXACT | BL_FRAME_MANAGED) || frame->offset < END)
        return false;
    return bl_symbols_bytes(symbols, frame->module & BL_FRAME_MODULE_MASK, frame->offset - END,
                            code, sizeof(code)) &&
           bl_called_is_by_pointer(code) && has_functions(reader, class_number);
}
