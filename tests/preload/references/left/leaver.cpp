// Leaves each function of the library while it is under way, by longjmp and by an exception:
//   PROGRAM CASE jump|throw
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

struct thing;
extern "C" {
thing *left_new();
thing *left_part(thing *owner);
void left_ref(thing *t);
void left_unref(thing *t, void (*leave)());
void left_destroy(thing *t, void (*leave)());
void left_clear(thing *t, void (*leave)());
void left_swap(thing **place, thing *other, void (*leave)());
void *left_steal(thing *t, void (*leave)());
thing *left_resize(thing *t, void (*leave)());
void left_lose(thing *t);
}

static jmp_buf way_out;
static bool jumps;

static void leave()
{
    if (jumps)
        longjmp(way_out, 1); // NOLINT(cert-err52-cpp): what is tried here
    throw std::runtime_error("out");
}

// Calls what leaves; ends the program if it comes back.
template <typename Call> __attribute__((noinline)) static void leaving(Call call)
{
    if (jumps) {
        if (setjmp(way_out) == 0) { // NOLINT(cert-err52-cpp)
            call();
            abort();
        }
        return;
    }
    try {
        call();
    } catch (const std::runtime_error &) {
        return;
    }
    abort();
}

static void release()
{
    thing *t = left_new();
    leaving([&] { left_unref(t, leave); });
}

static void destroy()
{
    thing *t = left_new();
    left_ref(t);
    leaving([&] { left_destroy(t, leave); });
}

static void clear()
{
    thing *t = left_new();
    left_part(t);
    left_part(t);
    leaving([&] { left_clear(t, leave); });
}

// Then it is lost without a release, which the call that was left has not made.
static void swap()
{
    thing *t = left_new();
    thing *other = left_new();
    leaving([&] { left_swap(&t, other, leave); });
    left_ref(other);
    left_lose(t);
}

static void steal()
{
    thing *t = left_new();
    leaving([&] { left_steal(t, leave); });
    left_ref(left_new());
    left_lose(t);
}

static void resize()
{
    thing *t = left_new();
    leaving([&] { left_resize(t, leave); });
    left_unref(t, nullptr);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)();
    } cases[] = {{"release", release}, {"destroy", destroy}, {"clear", clear},
                 {"swap", swap},       {"steal", steal},     {"resize", resize}};
    if (argc != 3)
        return 2;
    jumps = strcmp(argv[2], "jump") == 0;
    for (const auto &one : cases) {
        if (strcmp(one.name, argv[1]) != 0)
            continue;
        for (int i = 0; i < 10; i++)
            one.run();
        left_ref(left_new()); // what is under way is looked at again
        puts("done");
        return 0;
    }
    return 2;
}
