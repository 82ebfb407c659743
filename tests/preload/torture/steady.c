/*
 * Computes the same text in every run, by way of many allocations in two threads, then leaks a
 * known number of blocks and ends with status 7, or 8 where memory is short: steady [wait]. With
 * `wait` it says its pid first and goes on at a line.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NODES 20000

struct node {
    struct node *left;
    struct node *right;
    uint64_t key;
    char *text;
};

static void *must(void *block)
{
    if (!block)
        _exit(8);
    return block;
}

static void insert(struct node **root, uint64_t key)
{
    while (*root)
        root = key < (*root)->key ? &(*root)->left : &(*root)->right;
    *root = must(calloc(1, sizeof **root));
    (*root)->key = key;
    (*root)->text = must(malloc(16 + key % 100));
    snprintf((*root)->text, 16 + key % 100, "%lu", (unsigned long)key);
    (*root)->text = must(realloc((*root)->text, strlen((*root)->text) + 1));
}

static uint64_t fold_and_free(struct node *n, uint64_t hash)
{
    if (!n)
        return hash;
    hash = fold_and_free(n->left, hash);
    for (const char *c = n->text; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    struct node *right = n->right;
    free(n->text);
    free(n);
    return fold_and_free(right, hash);
}

static void *compute(void *seed)
{
    struct node *root = NULL;
    uint64_t state = (uintptr_t)seed;
    for (unsigned i = 0; i < NODES; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        insert(&root, state >> 20);
    }
    uint64_t *result = must(malloc(sizeof *result));
    *result = fold_and_free(root, 14695981039346656037u);
    return result;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    void *other = NULL;
    if (argc > 1 && strcmp(argv[1], "wait") == 0) {
        printf("%d\n", (int)getpid());
        fflush(stdout);
        if (getchar() != '\n')
            return 1;
    }
    int error = pthread_create(&thread, NULL, compute, (void *)1);
    if (error)
        return error == EAGAIN ? 8 : 2; /* no room for its stack */
    uint64_t *own = compute((void *)2);
    pthread_join(thread, &other);
    void *volatile leak = NULL;
    for (unsigned i = 0; i < 1000; i++)
        leak = malloc(777);
    (void)leak;
    printf("%016lx %016lx\n", (unsigned long)*own, (unsigned long)*(uint64_t *)other);
    return 7;
}
