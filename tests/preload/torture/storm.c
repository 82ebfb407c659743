/*
 * A loaded target: storm load | threads N | forks N EXECUTABLE.
 *   load     four threads allocate until a line comes on stdin
 *   threads  N threads come and go, four at a time
 *   forks    N children by fork from two threads; they return, _exit or exec in turn
 * Says "ready" first, and at the end how many descriptors are open and that no child is left.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 300

static int stop;
static const char *program;

static void use_heap(unsigned rounds, uint64_t seed)
{
    void *slots[SLOTS] = {0};
    while (rounds-- > 0 && !__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        void **s = &slots[(seed >> 33) % SLOTS];
        if (*s && (seed >> 50 & 1)) {
            *s = realloc(*s, 1 + (seed >> 40) % 2000);
        } else {
            free(*s);
            *s = malloc(1 + (seed >> 40) % 2000);
        }
    }
    for (unsigned i = 0; i < SLOTS; i++)
        free(slots[i]);
}

static void *load(void *number)
{
    use_heap(~0u, (uintptr_t)number + 1);
    return NULL;
}

static void *come_and_go(void *number)
{
    use_heap(20, (uintptr_t)number);
    return NULL;
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        count++;
    if (d)
        closedir(d);
    return count - 3; /* ., .. and its own */
}

static int run_load(void)
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++) {
        if (pthread_create(&threads[i], NULL, load, (void *)i))
            return 3;
    }
    puts("ready");
    fflush(stdout);
    while (getchar() != '\n')
        continue;
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    return 0;
}

static int run_threads(unsigned count)
{
    for (unsigned i = 0; i < count; i += 4) {
        pthread_t threads[4];
        for (uintptr_t k = 0; k < 4; k++) {
            if (pthread_create(&threads[k], NULL, come_and_go, (void *)(i + k)))
                return 3;
        }
        for (unsigned k = 0; k < 4; k++)
            pthread_join(threads[k], NULL);
    }
    return 0;
}

static void be_child(unsigned number)
{
    free(malloc(number + 1));
    if (number % 4 == 0)
        _exit(7);
    if (number % 4 == 1)
        exit(7);
    if (number % 4 == 2) {
        execl(program, program, (char *)NULL);
        _exit(99);
    }
    use_heap(50, number);
    quick_exit(7);
}

struct forker {
    unsigned first;
    unsigned count;
    unsigned bad;
};

static void *fork_children(void *p)
{
    struct forker *f = p;
    for (unsigned i = 0; i < f->count; i++) {
        pid_t pid = fork();
        int status = 0;
        if (pid == 0)
            be_child(f->first + i);
        if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
            WEXITSTATUS(status) != ((f->first + i) % 4 == 2 ? 0 : 7))
            f->bad++;
        use_heap(5, i);
    }
    return NULL;
}

static int run_forks(unsigned count)
{
    pthread_t thread;
    struct forker halves[2] = {{0, count / 2, 0}, {count / 2, count - count / 2, 0}};
    if (pthread_create(&thread, NULL, fork_children, &halves[0]))
        return 3;
    fork_children(&halves[1]);
    pthread_join(thread, NULL);
    printf("%u bad\n", halves[0].bad + halves[1].bad);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
    int error = 2;
    program = argc > 3 ? argv[3] : "/bin/true";
    int before = open_descriptors();
    if (argc > 1 && strcmp(argv[1], "load") == 0)
        error = run_load();
    else if (argc > 1 && strcmp(argv[1], "threads") == 0)
        error = run_threads(count);
    else if (argc > 1 && strcmp(argv[1], "forks") == 0)
        error = run_forks(count);
    int left = open_descriptors() - before;
    int child = waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD ? 0 : 1;
    printf("%d descriptors more, %d children\n", left, child);
    return error;
}
