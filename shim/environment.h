/*
 * The environment that a followed program needs: the preload, the options, and what it is a test
 * of.
 *
 * Servers strip it: nginx starts its new binary with TZ and little else. With follow=1, what is
 * missing is added to the environment of the program that is executed, and only there; the
 * process's own is not touched. A program that a marked test starts is told that test, unless the
 * caller names another one. Owns static texts, made once in the constructor. Threads, signal
 * context: lookups are async-signal-safe, also in a vfork child. Allocates nothing: the caller
 * brings the vector.
 */
#ifndef BL_ENVIRONMENT_H
#define BL_ENVIRONMENT_H

#include "compiler.h"

/* follow false: nothing will ever be missing. */
void bl_environment_init(bool follow);
/* How many entries the vector for this environment needs, with its NULL; 0 = it is complete. test:
 * what the calling thread runs; NULL: none. */
size_t bl_environment_size(char *const envp[], const char *test);
/* Fills a vector of that size. text holds what is not kept anywhere else: the test, cut to
 * BL_ENVIRONMENT_TEST bytes, and the joined LD_PRELOAD, if there is one to join. */
#define BL_ENVIRONMENT_TEXT 4096u
#define BL_ENVIRONMENT_TEST 512u
void bl_environment_fill(char *const envp[], const char *test, char **ret_envp,
                         char text[BL_ENVIRONMENT_TEXT]);

#endif
