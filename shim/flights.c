#include "flights.h"

BL_COLD struct bl_flight_sums bl_flights_of(uint64_t key)
{
    struct bl_flight_sums sums = {0};
    for (const struct bl_thread_state *t = bl_threads_all(); t; t = t->next) {
        uint32_t count = bl_load_acquire(&t->flight_count);
        for (uint32_t i = 0; i < count && i < BL_FLIGHTS; i++) {
            int32_t delta = bl_load_relaxed(&t->flights[i].delta);
            if (bl_load_relaxed(&t->flights[i].key) != key)
                continue;
            if (delta > 0)
                sums.up += delta;
            else
                sums.down -= delta;
        }
    }
    return sums;
}
