// operator new and delete in every form, and what the standard library allocates for its caller.
// Each form of new leaves some blocks; each form of delete ends some.
#include "victim.h"

#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

namespace
{

enum {
    BY_NEW,
    BY_NEW_ARRAY,
    BY_NEW_NOTHROW,
    BY_NEW_ARRAY_NOTHROW,
    BY_NEW_ALIGNED,
    BY_NEW_ARRAY_ALIGNED,
    BY_NEW_ALIGNED_NOTHROW,
    BY_NEW_ARRAY_ALIGNED_NOTHROW,
    BY_NEW_OBJECT,
    BY_NEW_OBJECTS,
    BY_NEW_WIDE_OBJECT,
    BY_VECTOR,
    BY_STRING,
    BY_SHARED,
    FOR_DELETE,
    BY_FAILING,
    SITES,
};

struct site sites[SITES];
constexpr std::align_val_t wide{128};

struct object {
    char bytes[40];
};

struct alignas(64) wide_object {
    char bytes[192];
};

void check(bool good, int line)
{
    if (good)
        return;
    fprintf(stderr, "family_cxx: line %d: not so\n", line);
    exit(3);
}

bool is_wide(void *block)
{
    return (reinterpret_cast<uintptr_t>(block) & 127) == 0;
}

NOINLINE void take_plain()
{
    for (size_t i = 1; i <= 5; i++) {
        void *block = AT(&sites[BY_NEW], ::operator new(10 * i));
        must(block);
        leak(&sites[BY_NEW], 10 * i);
        block = AT(&sites[BY_NEW_ARRAY], ::operator new[](20 * i));
        must(block);
        leak(&sites[BY_NEW_ARRAY], 20 * i);
        block = AT(&sites[BY_NEW_NOTHROW], ::operator new(30 * i, std::nothrow));
        must(block);
        leak(&sites[BY_NEW_NOTHROW], 30 * i);
        block = AT(&sites[BY_NEW_ARRAY_NOTHROW], ::operator new[](40 * i, std::nothrow));
        must(block);
        leak(&sites[BY_NEW_ARRAY_NOTHROW], 40 * i);
    }
}

NOINLINE void take_aligned()
{
    for (size_t i = 1; i <= 3; i++) {
        void *block = AT(&sites[BY_NEW_ALIGNED], ::operator new(50 * i, wide));
        check(is_wide(must(block)), __LINE__);
        leak(&sites[BY_NEW_ALIGNED], 50 * i);
        block = AT(&sites[BY_NEW_ARRAY_ALIGNED], ::operator new[](60 * i, wide));
        check(is_wide(must(block)), __LINE__);
        leak(&sites[BY_NEW_ARRAY_ALIGNED], 60 * i);
        block = AT(&sites[BY_NEW_ALIGNED_NOTHROW], ::operator new(70 * i, wide, std::nothrow));
        check(is_wide(must(block)), __LINE__);
        leak(&sites[BY_NEW_ALIGNED_NOTHROW], 70 * i);
        block =
            AT(&sites[BY_NEW_ARRAY_ALIGNED_NOTHROW], ::operator new[](80 * i, wide, std::nothrow));
        check(is_wide(must(block)), __LINE__);
        leak(&sites[BY_NEW_ARRAY_ALIGNED_NOTHROW], 80 * i);
    }
}

NOINLINE void take_objects()
{
    for (int i = 0; i < 7; i++) {
        object *one = AT(&sites[BY_NEW_OBJECT], new object);
        must(one);
        leak(&sites[BY_NEW_OBJECT], sizeof(object));
        object *three = AT(&sites[BY_NEW_OBJECTS], new object[3]);
        must(three);
        leak(&sites[BY_NEW_OBJECTS], 3 * sizeof(object));
        wide_object *aligned = AT(&sites[BY_NEW_WIDE_OBJECT], new wide_object);
        must(aligned);
        leak(&sites[BY_NEW_WIDE_OBJECT], sizeof(wide_object));
    }
}

using numbers = std::vector<int>;
using shared_object = std::shared_ptr<object>;

// The containers' own frames are between operator new and the caller, most of them inlined.
NOINLINE void take_containers(size_t i)
{
    alignas(numbers) static char places[3][3][64];
    void *place = places[i - 1][0];
    numbers *vector = AT(&sites[BY_VECTOR], new (place) numbers(100 * i));
    must(vector->data());
    leak(&sites[BY_VECTOR], 100 * i * sizeof(int));

    place = places[i - 1][1];
    std::string *string = AT(&sites[BY_STRING], new (place) std::string(200 * i, 's'));
    must(&(*string)[0]);
    leak(&sites[BY_STRING], 200 * i + 1);

    place = places[i - 1][2];
    auto *shared = AT(&sites[BY_SHARED], new (place) shared_object(std::make_shared<object>()));
    must(shared->get());
    leak_within(&sites[BY_SHARED], sizeof(object) + 1, sizeof(object) + 64);
}

NOINLINE void *make()
{
    void *block = AT(&sites[FOR_DELETE], ::operator new(96));
    return must(block);
}

NOINLINE void *make_array()
{
    void *block = AT(&sites[FOR_DELETE], ::operator new[](96));
    return must(block);
}

NOINLINE void *make_wide()
{
    void *block = AT(&sites[FOR_DELETE], ::operator new(96, wide));
    return must(block);
}

NOINLINE void *make_array_wide()
{
    void *block = AT(&sites[FOR_DELETE], ::operator new[](96, wide));
    return must(block);
}

NOINLINE void release_all_ways()
{
    for (int i = 0; i < 20; i++) {
        ::operator delete(make());
        ::operator delete (make(), size_t{96});
        ::operator delete(make(), std::nothrow);
        ::operator delete(make_wide(), wide);
        ::operator delete (make_wide(), size_t{96}, wide);
        ::operator delete(make_wide(), wide, std::nothrow);
        ::operator delete[](make_array());
        ::operator delete[](make_array(), size_t{96});
        ::operator delete[](make_array(), std::nothrow);
        ::operator delete[](make_array_wide(), wide);
        ::operator delete[](make_array_wide(), size_t{96}, wide);
        ::operator delete[](make_array_wide(), wide, std::nothrow);
    }
    ::operator delete(static_cast<void *>(nullptr));
    ::operator delete[](static_cast<void *>(nullptr));
}

size_t too_much()
{
    size_t size = PTRDIFF_MAX;
    __asm__ volatile("" : "+r"(size));
    return size;
}

int handler_calls;

// Gives up at the second call, as a handler does that could free something once.
void give_up()
{
    if (++handler_calls == 2)
        std::set_new_handler(nullptr);
}

NOINLINE void fail_all_ways()
{
    bool thrown = false;
    try {
        must(AT(&sites[BY_FAILING], ::operator new(too_much())));
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    check(thrown, __LINE__);
    check(::operator new(too_much(), std::nothrow) == nullptr, __LINE__);
    check(::operator new[](too_much(), wide, std::nothrow) == nullptr, __LINE__);

    std::set_new_handler(give_up);
    thrown = false;
    try {
        must(::operator new[](too_much()));
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    check(thrown && handler_calls == 2, __LINE__);
}

// What is thrown is allocated by the runtime and released when it was caught.
NOINLINE void throw_and_catch()
{
    for (int i = 0; i < 100; i++) {
        try {
            throw std::runtime_error("a text too long to fit into the string object itself");
        } catch (const std::runtime_error &error) {
            check(error.what()[0] == 'a', __LINE__);
        }
    }
}

} // namespace

// With any argument nothing is asked for that cannot be had: mimalloc's operator new, being written
// in C, aborts instead of throwing.
int main(int argc, char **)
{
    take_plain();
    take_aligned();
    take_objects();
    for (size_t i = 1; i <= 3; i++)
        take_containers(i);
    release_all_ways();
    if (argc == 1)
        fail_all_ways();
    throw_and_catch();
    printf("{");
    print_sites(sites, SITES, __FILE__);
    printf("}\n");
    return 0;
}
