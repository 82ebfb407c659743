/*
 * Leaks blocks of sizes of their own and says for each what glibc's backtrace() has at that place,
 * as SIZE PATH+OFFSET ...: oracle PLUGIN PLUGIN. The first frame is where the block is made, by
 * another call of the same function.
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <pthread.h>
#include <stdexcept>
#include <vector>

static unsigned long next_size = 5001;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *volatile kept;

static void print_frame(void *pc)
{
    Dl_info info;
    struct link_map *map = nullptr;
    void *before = static_cast<char *>(pc) - 1;
    if (dladdr1(before, &info, reinterpret_cast<void **>(&map), RTLD_DL_LINKMAP) && map)
        printf(" %s+%lx", map->l_name[0] ? map->l_name : "self",
               static_cast<unsigned long>(reinterpret_cast<uintptr_t>(pc) - map->l_addr));
    else
        printf(" ?");
}

/* Called right beside the malloc of `size`; its own frame is not shown. */
extern "C" __attribute__((noinline)) void oracle_show(unsigned long size)
{
    void *pcs[256];
    int n = backtrace(pcs, 256);
    pthread_mutex_lock(&lock);
    printf("%lu", size);
    for (int i = 1; i < n; i++)
        print_frame(pcs[i]);
    puts("");
    pthread_mutex_unlock(&lock);
}

extern "C" unsigned long oracle_size(void)
{
    return __atomic_fetch_add(&next_size, 2, __ATOMIC_RELAXED);
}

#define HERE()                                                                                     \
    do {                                                                                           \
        unsigned long size_ = oracle_size();                                                       \
        kept = malloc(size_);                                                                      \
        oracle_show(size_);                                                                        \
    } while (0)

struct Cleaner {
    ~Cleaner()
    {
        HERE();
    }
};

static __attribute__((noinline)) void thrower(int depth)
{
    Cleaner cleaner;
    HERE();
    if (depth == 0)
        throw std::runtime_error("thrown");
    thrower(depth - 1);
    HERE();
}

static __attribute__((noinline)) void catcher(int depth)
{
    try {
        thrower(depth);
    } catch (const std::exception &e) {
        HERE();
        if (depth > 2)
            catcher(depth - 2);
    }
    HERE();
}

static __attribute__((noinline)) void rethrower(int depth)
{
    try {
        catcher(depth);
        thrower(depth);
    } catch (...) {
        HERE();
        try {
            throw;
        } catch (const std::exception &e) {
            HERE();
        }
    }
}

static __attribute__((noinline)) int compare(const void *a, const void *b)
{
    if (*static_cast<const int *>(a) == 3)
        HERE();
    return *static_cast<const int *>(a) - *static_cast<const int *>(b);
}

static void through_libc(void)
{
    int values[] = {5, 3, 1, 4, 2};
    qsort(values, 5, sizeof values[0], compare);
}

static void *in_thread(void *depth)
{
    for (int i = 0; i < 10; i++)
        rethrower(static_cast<int>(reinterpret_cast<intptr_t>(depth)) + i % 3);
    return nullptr;
}

typedef void plugin_fn(void (*)(void));

static void from_plugin(void)
{
    HERE();
    through_libc();
}

/* Loads one library after another at the same place; their frames are of other sizes. */
static bool use_plugins(const char *const *paths)
{
    uintptr_t places[2] = {0, 0};
    bool again = false;
    for (int i = 0; i < 20; i++) {
        void *library = dlopen(paths[i % 2], RTLD_NOW | RTLD_LOCAL);
        if (!library)
            return false;
        struct link_map *map = static_cast<struct link_map *>(library);
        places[i % 2] = map->l_addr;
        plugin_fn *enter = reinterpret_cast<plugin_fn *>(dlsym(library, "plugin_enter"));
        enter(from_plugin);
        enter(from_plugin);
        again |= places[0] == places[1];
        dlclose(library);
    }
    fprintf(stderr, "%s\n", again ? "same place" : "other places");
    return true;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    for (int i = 0; i < 20; i++)
        rethrower(i % 7);
    through_libc();
    std::vector<pthread_t> threads(4);
    for (size_t i = 0; i < threads.size(); i++)
        pthread_create(&threads[i], nullptr, in_thread, reinterpret_cast<void *>(i));
    for (pthread_t thread : threads)
        pthread_join(thread, nullptr);
    return use_plugins(argv + 1) ? 20 : 3;
}
