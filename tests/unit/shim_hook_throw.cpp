// Exceptions that pass functions which have hooks.
#include "shim_hook_victim.h"

#include <stdexcept>
#include <string>

namespace
{
struct Noted {
    int *count;
    ~Noted()
    {
        ++*count;
    }
};
} // namespace

extern "C" __attribute__((noinline)) uint64_t hv_throw(uint64_t value)
{
    if (value > 0)
        throw std::runtime_error("thrown " + std::to_string(value));
    return value + 1;
}

/* Destructors of the frame run on the way. */
extern "C" __attribute__((noinline)) uint64_t hv_throw_over(uint64_t value, int *destroyed)
{
    Noted noted{destroyed};
    return hv_throw(value) + 1;
}

extern "C" int hv_catch(uint64_t value, int *destroyed)
{
    try {
        hv_throw_over(value, destroyed);
    } catch (const std::runtime_error &error) {
        return error.what() == "thrown " + std::to_string(value) ? 1 : -1;
    }
    return 0;
}
