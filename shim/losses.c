#include "losses.h"

static uint64_t early[BL_LOSSES_MAX];
uint64_t *bl_losses_at = early;

void bl_losses_attach(uint64_t *counters)
{
    if (bl_losses_at == early) {
        for (unsigned i = 0; i < BL_LOSSES_MAX; i++)
            bl_add_relaxed(&counters[i], early[i]);
    }
    bl_losses_at = counters;
}

void bl_losses_detach(void)
{
    for (unsigned i = 0; i < BL_LOSSES_MAX; i++)
        early[i] = 0;
    bl_losses_at = early;
}
