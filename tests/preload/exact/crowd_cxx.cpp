// Ten thousand objects left among a million, by operator new in its forms. See crowd.h.
#include "crowd.h"

#include <new>

namespace
{

enum kind {
    KIND_NEW = 1,
    KIND_NEW_ARRAY,
    KIND_NEW_NOTHROW,
    KIND_NEW_ARRAY_NOTHROW,
    KIND_NEW_ALIGNED,
    KIND_NEW_ARRAY_ALIGNED,
    KIND_NEW_ALIGNED_NOTHROW,
    KINDS = KIND_NEW_ALIGNED_NOTHROW,
    SITES,
};

struct sized_block : block {
    uint32_t size;
};

constexpr std::align_val_t wide{256};
struct site sites[SITES];

NOINLINE void *by_new(size_t size)
{
    void *block = AT(&sites[KIND_NEW], ::operator new(size));
    return must(block);
}

NOINLINE void *by_new_array(size_t size)
{
    void *block = AT(&sites[KIND_NEW_ARRAY], ::operator new[](size));
    return must(block);
}

NOINLINE void *by_new_nothrow(size_t size)
{
    void *block = AT(&sites[KIND_NEW_NOTHROW], ::operator new(size, std::nothrow));
    return must(block);
}

NOINLINE void *by_new_array_nothrow(size_t size)
{
    void *block = AT(&sites[KIND_NEW_ARRAY_NOTHROW], ::operator new[](size, std::nothrow));
    return must(block);
}

NOINLINE void *by_new_aligned(size_t size)
{
    void *block = AT(&sites[KIND_NEW_ALIGNED], ::operator new(size, wide));
    return must(block);
}

NOINLINE void *by_new_array_aligned(size_t size)
{
    void *block = AT(&sites[KIND_NEW_ARRAY_ALIGNED], ::operator new[](size, wide));
    return must(block);
}

NOINLINE void *by_new_aligned_nothrow(size_t size)
{
    void *block = AT(&sites[KIND_NEW_ALIGNED_NOTHROW], ::operator new(size, wide, std::nothrow));
    return must(block);
}

} // namespace

static struct block *make_block(unsigned kind, size_t size)
{
    static void *(*const makers[])(size_t) = {
        nullptr,
        by_new,
        by_new_array,
        by_new_nothrow,
        by_new_array_nothrow,
        by_new_aligned,
        by_new_array_aligned,
        by_new_aligned_nothrow,
    };
    sized_block *block = static_cast<sized_block *>(makers[kind](size));
    block->kind = static_cast<unsigned char>(kind);
    block->size = static_cast<uint32_t>(size);
    return block;
}

static void end_block(struct block *block)
{
    size_t size = static_cast<sized_block *>(block)->size;
    switch (block->kind) {
    case KIND_NEW:
        ::operator delete(block, size);
        break;
    case KIND_NEW_NOTHROW:
        ::operator delete(block, std::nothrow);
        break;
    case KIND_NEW_ARRAY:
        ::operator delete[](block);
        break;
    case KIND_NEW_ARRAY_NOTHROW:
        ::operator delete[](block, size);
        break;
    case KIND_NEW_ALIGNED:
        ::operator delete(block, wide);
        break;
    case KIND_NEW_ARRAY_ALIGNED:
        ::operator delete[](block, wide);
        break;
    case KIND_NEW_ALIGNED_NOTHROW:
        ::operator delete(block, size, wide);
        break;
    default:
        abort();
    }
}

static void note_leak(unsigned kind, size_t size)
{
    leak(&sites[kind], size);
}

int main()
{
    run_crowd(KINDS);
    print_crowd(sites, SITES, __FILE__);
    return 0;
}
