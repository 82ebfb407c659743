#include "clock.h"

uint64_t bl_clock_floor_ns;
