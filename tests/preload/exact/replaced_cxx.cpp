// Uses the operators of replaced_operators.cpp in all their forms.
#include "victim.h"

#include <new>

namespace
{

enum { BY_PLAIN, BY_ARRAY, BY_NOTHROW, BY_ARRAY_NOTHROW, FOR_DELETE, SITES };

struct site sites[SITES];
constexpr size_t header = 32; // as in replaced_operators.cpp

void *kept[40];
size_t kept_count;

NOINLINE void *keep(void *block)
{
    must(block);
    kept[kept_count++] = block;
    return block;
}

NOINLINE void take()
{
    for (size_t i = 1; i <= 5; i++) {
        keep(AT(&sites[BY_PLAIN], ::operator new(10 * i)));
        leak(&sites[BY_PLAIN], 10 * i + header);
        keep(AT(&sites[BY_ARRAY], ::operator new[](20 * i)));
        leak(&sites[BY_ARRAY], 20 * i + header);
        keep(AT(&sites[BY_NOTHROW], ::operator new(30 * i, std::nothrow)));
        leak(&sites[BY_NOTHROW], 30 * i + header);
        keep(AT(&sites[BY_ARRAY_NOTHROW], ::operator new[](40 * i, std::nothrow)));
        leak(&sites[BY_ARRAY_NOTHROW], 40 * i + header);
    }
}

NOINLINE void *make()
{
    return must(AT(&sites[FOR_DELETE], ::operator new(96)));
}

NOINLINE void *make_array()
{
    return must(AT(&sites[FOR_DELETE], ::operator new[](96)));
}

NOINLINE void release_all_ways()
{
    for (int i = 0; i < 20; i++) {
        ::operator delete(make());
        ::operator delete (make(), size_t{96});
        ::operator delete(make(), std::nothrow);
        ::operator delete[](make_array());
        ::operator delete[](make_array(), size_t{96});
        ::operator delete[](make_array(), std::nothrow);
    }
}

} // namespace

int main()
{
    take();
    release_all_ways();
    printf("{");
    print_sites(sites, SITES, __FILE__);
    printf("}\n");
    return 0;
}
