/*
 * Asks a running process for a snapshot or a mark through its ledger, without a signal; and makes
 * the snapshot from outside when nobody in the process can.
 *
 * Writes nothing to the ledger but the control words of its header.
 */
#ifndef BL_CONTROL_H
#define BL_CONTROL_H

#include "error.h"
#include "target.h"

#include <stdbool.h>
#include <stdint.h>

enum bl_control_outcome {
    BL_CONTROL_SERVED = 0,    /* by the process itself: exact */
    BL_CONTROL_NO_ANSWER = 1, /* within the time given, or there is nobody to answer */
};

/* Requests a snapshot, with what `flags` (BL_DUMP_*) ask for, and waits for it. Returns an outcome
 * above, with *ret_path allocated when it was served; -1 when the process could not write it, has
 * ended, or must not be asked. */
int bl_control_request(const struct bl_target *target, uint32_t flags, uint64_t timeout_ns,
                       char **ret_path, struct bl_error *error);

/* At most BL_MARK_NAME - 1 bytes of printable text without @, and not a number: so that it breaks
 * no line, and PID@NAME can be read. */
bool bl_control_is_mark_name(const char *name);

/* Has the process set a mark of that name and waits for it; what is born once this has returned
 * counts as born after it. BL_CONTROL_SERVED or
 * BL_CONTROL_NO_ANSWER; -1 when the process could not, has ended, or must not be asked. */
int bl_control_mark(const struct bl_target *target, const char *name, uint64_t timeout_ns,
                    struct bl_error *error);

/* What to do before the program ends because a ledger was cut short under it: whoever changed the
 * terminal puts it right. NULL: nothing. */
void bl_control_at_bus_error(void (*cleanup)(void));

/* Copies the ledger as the next snapshot while the process runs on. *ret_path is allocated. */
int bl_control_copy(const struct bl_target *target, char **ret_path, struct bl_error *error);

#endif
