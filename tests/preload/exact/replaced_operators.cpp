// A program's own operator new and delete, in their plain form alone: the others come from the
// standard library and call these. Each block begins with a header, so that what delete is given is
// not what malloc gave.
#include <cstdlib>
#include <new>

static constexpr size_t header = 32;

void *operator new(size_t size)
{
    char *block = static_cast<char *>(malloc(size + header));
    if (!block)
        throw std::bad_alloc();
    return block + header;
}

// Frees something of its own before the block: the block's end is still to be noted.
void operator delete(void *object) noexcept
{
    void *other = malloc(64);
    __asm__ volatile("" : "+r"(other) : : "memory");
    free(other);
    free(static_cast<char *>(object) - header);
}
