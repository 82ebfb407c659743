/*
 * The caller's own part of a stack: what is left without the shim, the runtime libraries and the
 * modules of the class's own library. Its innermost frame is the site.
 *
 * Two stacks are the same place when their callers' frames are: which way a library took inside is
 * nothing its user can change. For comparing, every innermost part of such a stack (the site; the
 * site and its caller; …) has one number, its chain id: equal ids, equal frames. A library that
 * was unloaded and loaded again keeps its places.
 *
 * A call that was inlined is a frame as any other, as far as symbols tell: what the compiler put
 * into one function was written as several, and which of them took a reference and which gave it
 * back is the same in every build. Such frames come outward of the one that they were inlined
 * around, have its frame number and the call as their place. The site is never one of them: it is
 * where the code is.
 *
 * A lambda of Java is as near to the method that its source stands in as if that called it (see
 * nesting.h), whoever does.
 *
 * A release can have been called through a pointer from inside the library (called.h): by itself,
 * or by a callback that ended by jumping to it and left no frame. What was called so stands before
 * the site then, as a frame of the caller's would, and its place is that of the call: two releases
 * made through different pointers are not the same thing only because one call of the caller's led
 * to both. Whose it is, the caller's or the library's, is not known here (ways.h).
 *
 * Everything is computed on first need and kept. Owns what it allocates; borrows the reader and
 * the symbols.
 */
#ifndef BL_CALLERS_H
#define BL_CALLERS_H

#include "error.h"
#include "model.h"
#include "nesting.h"
#include "reader.h"
#include "symbols.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BL_CALLERS_DEPTH 256 /* own frames of one stack; further callers are not compared */

struct bl_callers;

struct bl_caller {
    uint32_t frame;  /* frame number: the stack from here on outward */
    uint32_t place;  /* equal for equal module and offset, or inlined call */
    uint32_t chain;  /* id of the frames from the site to this one */
    uint32_t inside; /* frames that were left out between the one before, or the event, and this; of
                      * those inside the site, before what stands for the callee of a pointer */
    struct bl_nest nest;
};

/* own, own_count: as in bl_model_options; the site is the innermost frame of such a module.
 * symbols: NULL, and inlined calls are no frames. */
int bl_callers_create(struct bl_callers **ret_callers, const struct bl_reader *reader,
                      struct bl_symbols *symbols, const struct bl_model_options *options,
                      struct bl_error *error);
void bl_callers_destroy(struct bl_callers *callers);

/* A number for the caller's frames of a stack; UINT32_MAX without memory. */
uint32_t bl_callers_find(struct bl_callers *callers, uint32_t class_number, uint32_t stack);
/* The same where a reference was given back. */
uint32_t bl_callers_find_release(struct bl_callers *callers, uint32_t class_number, uint32_t stack);

/* The frames of a number that bl_callers_find gave, innermost first; at least one, whose frame is
 * 0 when no stack was recorded. The pointer is good until the next bl_callers_find. */
const struct bl_caller *bl_callers_frames(const struct bl_callers *callers, uint32_t number,
                                          size_t *ret_count);

/* Id of all frames; of the site alone. */
uint32_t bl_callers_whole(const struct bl_callers *callers, uint32_t number);
uint32_t bl_callers_site(const struct bl_callers *callers, uint32_t number);

/* Id of the library's frames inside the site; equal ids, equal frames. Not below the chain count.
 */
uint32_t bl_callers_inner(const struct bl_callers *callers, uint32_t number);

/* The place in the library that the site called, the outermost of those inside it; 0: the site did
 * it itself. */
uint32_t bl_callers_entry(const struct bl_callers *callers, uint32_t number);

/* Of a release, the place in the library that called through a pointer what made it; 0: it was not
 * called so, or that is not known. */
uint32_t bl_callers_pointer(const struct bl_callers *callers, uint32_t number);

/* Id of all frames but that of what was called through a pointer. */
uint32_t bl_callers_call(const struct bl_callers *callers, uint32_t number);

/* Steps from one site up to the caller they have in common and down to the other. */
uint32_t bl_callers_distance(const struct bl_callers *callers, uint32_t a, uint32_t b);

/* Where two stacks part, seen from outside. */
struct bl_fork {
    uint32_t shared; /* frames of callers that both have, or that a method of a has in whose source
                      * the one of b stands */
    uint32_t a_frames; /* frames of callers that only one has */
    uint32_t b_frames;
    uint32_t b_library; /* the library's frames among and inside these */
};

struct bl_fork bl_callers_fork(const struct bl_callers *callers, uint32_t a, uint32_t b);

/* Does a path, or its base name, match one of some patterns separated by blanks? */
bool bl_callers_matches(const char *patterns, const char *path);

/* The first of the options' own patterns that no module of the file is like; NULL: there is none.
 */
const char *bl_callers_unknown_own(const struct bl_reader *reader,
                                   const struct bl_model_options *options);

/* Ids are below this. */
uint32_t bl_callers_chain_count(const struct bl_callers *callers);

#endif
