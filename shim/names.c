#include "names.h"
#include "ledger.h"
#include "lock.h"
#include "losses.h"

#include <string.h>

static struct bl_lock lock = BL_LOCK_INIT; /* BL_RANK_NAMES */

/* Offset for an entry of `bytes` bytes at or after `at` that lies within one chunk. */
static uint32_t place(uint32_t at, uint32_t bytes)
{
    struct bl_chunk_position first = bl_ledger_locate(BL_SECTION_NAMES, at);
    struct bl_chunk_position last = bl_ledger_locate(BL_SECTION_NAMES, at + bytes - 1);
    return first.chunk == last.chunk ? at : at + bytes - 1 - last.record;
}

uint32_t bl_names_add(const char *text, size_t length)
{
    if (length > 4096)
        length = 4096;
    uint32_t bytes = ((uint32_t)sizeof(struct bl_name) + (uint32_t)length + 1u + 3u) & ~3u;
    bl_lock_take(&lock);
    uint64_t used = bl_header->published[BL_SECTION_NAMES];
    uint32_t at = place(used < 4 ? 4u : (uint32_t)used, bytes);
    bool ok = used < (1u << 30) && bl_ledger_ensure(BL_SECTION_NAMES, at + bytes) == 0;
    if (ok) {
        struct bl_name *name = bl_ledger_at(BL_SECTION_NAMES, at);
        name->length = (uint32_t)length;
        memcpy(name->text, text, length);
        name->text[length] = '\0';
        bl_ledger_publish(BL_SECTION_NAMES, at + bytes);
    }
    bl_lock_give(&lock);
    if (!ok)
        bl_losses_add(BL_LOSS_names_dropped, 1);
    return ok ? at : 0;
}

uint32_t bl_names_add_str(const char *text)
{
    return bl_names_add(text, strlen(text));
}

const char *bl_names_text(uint32_t name)
{
    uint64_t used = bl_load_acquire(&bl_header->published[BL_SECTION_NAMES]);
    if (name == 0 || name + sizeof(struct bl_name) > used)
        return NULL;
    const struct bl_name *known = bl_ledger_at(BL_SECTION_NAMES, name);
    return known->text;
}

bool bl_names_equal(uint32_t name, const char *text)
{
    size_t length = strlen(text);
    uint64_t used = bl_load_acquire(&bl_header->published[BL_SECTION_NAMES]);
    if (name == 0 || name + sizeof(struct bl_name) + length > used)
        return false;
    const struct bl_name *known = bl_ledger_at(BL_SECTION_NAMES, name);
    return known->length == length && memcmp(known->text, text, length) == 0;
}

void bl_names_lock(void)
{
    bl_lock_take(&lock);
}

void bl_names_unlock(void)
{
    bl_lock_give(&lock);
}

void bl_names_reset_lock(void)
{
    bl_lock_reset(&lock);
}
