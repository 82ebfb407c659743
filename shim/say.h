/*
 * One line on the stderr of the start, if it is still there.
 *
 * Descriptor 2 may be a client's socket by the time there is something to say. A regular file or a
 * terminal is kept as a duplicate of our own; a pipe or socket is not, because whoever reads it
 * waits for its last writer: there, descriptor 2 is used if it is still the same pipe, else
 * silence. So it is with all where descriptors are few. Threads: any; one write per line. Signal
 * context: safe. Allocates nothing.
 */
#ifndef BL_SAY_H
#define BL_SAY_H

#include "sigsafe.h"

/* Remembers descriptor 2. */
void bl_say_init(bool quiet);
/* How a line about a process begins: its name and number. comm has 16 bytes at most. */
void bl_say_begin(struct bl_text *line, char *buffer, size_t size, const char *comm, uint32_t pid);
/* Adds a newline and writes the line. */
void bl_say(struct bl_text *line);
/* Options of the command line are wrong: said also when quiet, which they may have set. */
void bl_say_always(struct bl_text *line);
bool bl_say_owns_fd(int fd);
void bl_say_vacate_fd(int fd);

#endif
