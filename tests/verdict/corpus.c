#include "corpus.h"

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 16

struct corpus_options corpus = {.requests = 1, .every = 0, .threads = 1};

struct share {
    void (*request)(long number);
    long first;
    pthread_t thread;
};

static void *serve_share(void *argument)
{
    const struct share *share = argument;
    for (long number = share->first; number <= corpus.requests; number += corpus.threads)
        share->request(number);
    return NULL;
}

void corpus_serve(void (*request)(long number))
{
    struct share shares[THREADS_MAX];
    if (corpus.threads == 1) {
        serve_share(&(struct share){.request = request, .first = 1});
        return;
    }
    for (long i = 0; i < corpus.threads; i++) {
        shares[i] = (struct share){.request = request, .first = i + 1};
        CORPUS_NEED(pthread_create(&shares[i].thread, NULL, serve_share, &shares[i]) == 0);
    }
    for (long i = 0; i < corpus.threads; i++)
        CORPUS_NEED(pthread_join(shares[i].thread, NULL) == 0);
}

void corpus_pass_ms(long milliseconds)
{
    struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0)
        ;
}

void corpus_ask(void)
{
    char answer;
    CORPUS_NEED(write(STDOUT_FILENO, "ask\n", 4) == 4);
    CORPUS_NEED(read(STDIN_FILENO, &answer, 1) == 1);
}

static long number_of(const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);
    CORPUS_NEED(*text != '\0' && *end == '\0' && number >= 0);
    return number;
}

int corpus_main(const struct corpus_case *cases, size_t count, int argc, char **argv)
{
    if (argc > 2)
        corpus.requests = number_of(argv[2]);
    if (argc > 3)
        corpus.every = number_of(argv[3]);
    if (argc > 4)
        corpus.threads = number_of(argv[4]);
    CORPUS_NEED(corpus.threads >= 1 && corpus.threads <= THREADS_MAX);
    for (size_t i = 0; argc > 1 && i < count; i++) {
        if (strcmp(argv[1], cases[i].name) != 0)
            continue;
        cases[i].run();
        return 0;
    }
    fprintf(stderr, "usage: %s CASE [REQUESTS [EVERY [THREADS]]]\n", argv[0]);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "    %s\n", cases[i].name);
    return 2;
}
