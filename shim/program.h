/*
 * Programs about to be executed that will go without the shim, noted by name in the ledger.
 *
 * A static program has no loader that obeys LD_PRELOAD, of a set-user-ID one the kernel asks the
 * loader to ignore it: such a program leaves no ledger, and may have ended before anybody looks.
 * What is noted is what the file says just before; one that cannot be read is taken for an ordinary
 * one. Threads: any. Signal context: safe, also in a vfork child, whose memory is the parent's: the
 * note is then in the parent's ledger. Allocates nothing. Errors: what does not fit is counted.
 */
#ifndef BL_PROGRAM_H
#define BL_PROGRAM_H

#include "ledger_format.h"

#include <stdint.h>

struct bl_program {
    enum bl_exec_reason reason;
    char comm[16];
    char path[80];
    struct bl_exec *noted;
};

/* The file that execveat(2) would take. Every field is set. */
void bl_program_look_at(struct bl_program *program, int directory, const char *path, int flags);
/* The same of a name that is searched for in PATH, as execvp(3) does. */
void bl_program_look_up(struct bl_program *program, const char *file);

/* Calls it by another path, where it was looked at by a descriptor. */
void bl_program_name(struct bl_program *program, const char *path);

/* Notes it, if it will go without the shim. */
void bl_program_note(struct bl_program *program, uint32_t pid);
/* The call that should have started it failed. */
void bl_program_forget(struct bl_program *program);

#endif
