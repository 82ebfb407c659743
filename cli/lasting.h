/*
 * What stays to the end by intent: buffers that are born, and references that are taken, inside a
 * function which a profile calls lasting, such as the one that sets up a registry.
 *
 * Owns what it allocates; borrows the reader.
 */
#ifndef BL_LASTING_H
#define BL_LASTING_H

#include "error.h"
#include "reader.h"

#include <stdbool.h>
#include <stdint.h>

struct bl_lasting;

int bl_lasting_create(struct bl_lasting **ret_lasting, const struct bl_reader *reader,
                      struct bl_error *error);
void bl_lasting_destroy(struct bl_lasting *lasting);

/* Does the stack lead through such a function? Of a retain, through one that lasts for retains.
 * Returns one more than the number of the class whose profile names it; 0: it does not. A release
 * inside such a function gives back what was taken inside those of the same class. */
uint32_t bl_lasting_covers(const struct bl_lasting *lasting, uint32_t stack, bool is_birth);

#endif
