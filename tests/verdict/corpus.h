/*
 * The verdict corpus: small servers over real libraries. Each case is a program of its own that
 * forgets something in a known place, or only looks as if it did; cases.py says what a right report
 * is. A line that a report must name ends in a comment with its mark: "@name".
 *
 *   PROGRAM CASE [REQUESTS [EVERY [THREADS]]]
 *
 * Threads: corpus_serve calls the request from `threads` of them. Errors: a call that fails ends
 * the program with status 1.
 */
#ifndef CORPUS_H
#define CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct corpus_case {
    const char *name;
    void (*run)(void);
};

/* From the command line. */
struct corpus_options {
    long requests;
    long every; /* one request in so many goes wrong; 0: none */
    long threads;
};
extern struct corpus_options corpus;

#define CORPUS_MAIN(cases)                                                                         \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return corpus_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);                   \
    }

int corpus_main(const struct corpus_case *cases, size_t count, int argc, char **argv);

/* Serves all requests, numbered from 1, spread evenly over the threads. */
void corpus_serve(void (*request)(long number));

/* Does this request go wrong? */
static inline bool corpus_is_unlucky(long number)
{
    return corpus.every > 0 && number % corpus.every == 0;
}

/* Time goes by: how long buffers live is part of some cases. */
void corpus_pass_ms(long milliseconds);

/* A report on the running process is made while this waits. */
void corpus_ask(void);

/* Ends the program unless what had to hold did. */
#define CORPUS_NEED(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* What reports name stays a function of its own, also beside one that does the same. */
#ifdef __clang__
#define CORPUS_FUNCTION __attribute__((noinline))
#else
#define CORPUS_FUNCTION __attribute__((noipa))
#endif

#endif
