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

/* Does the stack lead through such a function? Of a retain, through one that lasts for retains. */
bool bl_lasting_covers(const struct bl_lasting *lasting, uint32_t stack, bool is_birth);

#endif
