/* The same in C++, where objects are pointed to in other ways. */
#include "cases.h"

#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace
{

struct first_base {
    virtual ~first_base() = default;
    long a = 1;
};

struct second_base {
    virtual ~second_base() = default;
    long b = 2;
};

struct both : first_base, second_base {
    void *payload = plant(20);
};

struct counted {
    ~counted()
    {
        value = 0;
    }
    long value = 1;
};

second_base *volatile by_second;
counted *volatile counted_array;
std::vector<std::string> *volatile strings;
std::shared_ptr<both> shared;
std::map<int, std::string> tree;

void multiple_inheritance()
{
    by_second = new both;
}

void array_with_cookie()
{
    counted_array = new counted[10];
}

// NOLINTBEGIN(clang-analyzer-deadcode.DeadStores,clang-analyzer-cplusplus.NewDeleteLeaks): lost on
// purpose
void string_lost()
{
    auto *volatile lost = new std::string(100, 'x');
    lost = nullptr;
}
// NOLINTEND(clang-analyzer-deadcode.DeadStores,clang-analyzer-cplusplus.NewDeleteLeaks)

void vector_of_strings()
{
    strings = new std::vector<std::string>(20, std::string(64, 'y'));
}

void shared_pointer()
{
    shared = std::make_shared<both>();
}

void map_of_strings()
{
    for (int i = 0; i < 50; i++)
        tree[i] = std::string(40, 'z');
}

// NOLINTBEGIN(clang-analyzer-deadcode.DeadStores,clang-analyzer-cplusplus.NewDeleteLeaks): lost on
// purpose
void aligned_new()
{
    static void *volatile kept;
    kept = ::operator new(100, std::align_val_t(256));
    void *volatile lost = ::operator new(100, std::align_val_t(64));
    lost = nullptr;
}
// NOLINTEND(clang-analyzer-deadcode.DeadStores,clang-analyzer-cplusplus.NewDeleteLeaks)

} // namespace

extern "C" const reach_case cpp_cases[] = {
    {"multiple-inheritance", multiple_inheritance, false},
    {"array-with-cookie", array_with_cookie, false},
    {"string-lost", string_lost, false},
    {"vector-of-strings", vector_of_strings, false},
    {"shared-pointer", shared_pointer, false},
    {"map-of-strings", map_of_strings, false},
    {"aligned-new", aligned_new, false},
    {nullptr, nullptr, false},
};
