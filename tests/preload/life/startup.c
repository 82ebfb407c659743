/* What a program finds at its start: startup early | whose. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *volatile kept;

static void show(const char *name, void *function)
{
    Dl_info info;
    if (function && dladdr(function, &info) && info.dli_fname)
        printf("%s %s\n", name, info.dli_fname);
    else
        printf("%s ?\n", name);
}

#define SHOW(name) show(#name, dlsym(RTLD_DEFAULT, #name))

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "early") == 0) {
        int (*give_back)(void) = NULL;
        *(void **)(void *)&give_back = dlsym(RTLD_DEFAULT, "early_give_back");
        printf("%d given back\n", give_back ? give_back() : -3);
        for (int i = 0; i < 100; i++)
            kept = malloc(4001);
        return 0;
    }
    show("malloc by address", (void *)&malloc);
    show("free by address", (void *)&free);
    show("fork by address", (void *)&fork);
    SHOW(malloc);
    SHOW(calloc);
    SHOW(realloc);
    SHOW(reallocarray);
    SHOW(free);
    SHOW(posix_memalign);
    SHOW(aligned_alloc);
    SHOW(memalign);
    SHOW(valloc);
    SHOW(pvalloc);
    SHOW(malloc_usable_size);
    SHOW(_Znwm);
    SHOW(_Znam);
    SHOW(_ZdlPv);
    SHOW(_ZdaPvm);
    SHOW(mmap);
    SHOW(munmap);
    SHOW(mremap);
    SHOW(fork);
    SHOW(execve);
    SHOW(_exit);
    SHOW(quick_exit);
    SHOW(abort);
    SHOW(pthread_create);
    SHOW(dlclose);
    SHOW(close);
    SHOW(dup2);
    SHOW(sigaction);
    SHOW(signal);
    SHOW(setuid);
    SHOW(unshare);
    return 0;
}
