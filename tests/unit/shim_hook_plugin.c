/* A library that calls its own functions before anybody else can: in its constructor. */
#include <stdint.h>

/* volatile: else a compiler may run the constructor itself */
volatile uint64_t hv_plugin_calls;

uint64_t hv_plugin_work(uint64_t n);
uint64_t (*hv_plugin_pointer)(uint64_t) = hv_plugin_work;

__attribute__((noinline)) uint64_t hv_plugin_work(uint64_t n)
{
    hv_plugin_calls++;
    return n + hv_plugin_calls;
}

__attribute__((constructor)) static void begin(void)
{
    for (uint64_t i = 0; i < 7; i++)
        hv_plugin_work(i);
}
