/*
 * Names and lines for the frames of a ledger, by elfutils.
 *
 * A module's file is used only when its build-id is the one the ledger recorded: a program that was
 * upgraded since gives module+offset, not a wrong name. Looked up where the ledger says, under the
 * process's own root while it runs, where the caller says, and by build-id (also through
 * debuginfod, when DEBUGINFOD_URLS is set). Modules are opened and frames looked up on first need,
 * and kept.
 *
 * Strings are printable, belong to the bl_symbols and live as long as it does.
 */
#ifndef BL_SYMBOLS_H
#define BL_SYMBOLS_H

#include "error.h"
#include "proc.h"
#include "reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bl_symbols;

/* One function at one place; several for one frame when functions were inlined. */
struct bl_symbol {
    const char *function; /* NULL: unknown */
    const char *file;     /* NULL: unknown */
    int line;
    bool inlined;         /* into the next of the same frame */
    bool is_managed;      /* of a Java method */
    bool is_bytecode;     /* of one without lines: the offset is the index of its bytecode */
    const char *module;   /* base name; "?" when unknown */
    const char *path;     /* of the module */
    const char *build_id; /* in hexadecimal, "" when it has none */
    uint64_t offset;      /* in the module's ELF addresses */
};

/* `process`: the running writer of the ledger, or NULL. */
int bl_symbols_create(struct bl_symbols **ret_symbols, const struct bl_reader *reader,
                      const struct bl_proc *process, struct bl_error *error);
void bl_symbols_destroy(struct bl_symbols *symbols);

/* Goes on with a later reading of the same ledger, in which what was known has kept its numbers. */
int bl_symbols_follow(struct bl_symbols *symbols, const struct bl_reader *reader,
                      struct bl_error *error);

/* Modules that were opened and frames that were looked up, kept for the next process that has the
 * same files: those with a build-id, some 100 of them. One bl_symbols at a time may use it. */
struct bl_symbols_store;
struct bl_symbols_store *bl_symbols_store_create(void); /* NULL without memory */
/* Modules that are kept now. */
size_t bl_symbols_store_count(const struct bl_symbols_store *store);
/* After every bl_symbols that used it. */
void bl_symbols_store_destroy(struct bl_symbols_store *store);
/* Before the first frame is asked for. What bl_symbols_look_in was told must be the same for all.
 */
void bl_symbols_share(struct bl_symbols *symbols, struct bl_symbols_store *store);

/* Says nothing on stderr about symbols that take their time: somebody has drawn there. */
void bl_symbols_be_quiet(struct bl_symbols *symbols);

#define BL_SYMBOLS_PATHS_MAX 16

/* Somewhere else to look for the files of modules: a file, or a directory that has them under their
 * paths or names. For a module without a build-id the name must be the same. `path` is borrowed;
 * false when there are BL_SYMBOLS_PATHS_MAX already. Before the first frame is asked for. */
bool bl_symbols_look_in(struct bl_symbols *symbols, const char *path);

/* The functions at a frame, innermost first; at least one. Those that come first and are inlined
 * from a header of the system are left out. NULL without memory. */
const struct bl_symbol *bl_symbols_frame(struct bl_symbols *symbols, uint32_t frame,
                                         size_t *ret_count);

/* The calls that were inlined around a frame, each a number, innermost first; see inlines.h.
 * Without debug information there are none, nor in a frame of Java. */
const uint64_t *bl_symbols_inlined(struct bl_symbols *symbols, uint32_t frame, size_t *ret_count);

/* A variable that covers an address of a module's data, printable and NUL-terminated, with its file
 * and line where they are known; false when there is none. */
struct bl_variable {
    char name[256];
    char file[256]; /* "": unknown */
    int line;
    uint64_t inside; /* how far into it */
};
bool bl_symbols_variable(struct bl_symbols *symbols, uint32_t module, uint64_t offset,
                         struct bl_variable *ret_variable);
/* Where the symbol that covers the address starts, and its size; false when there is none. */
bool bl_symbols_extent(struct bl_symbols *symbols, uint32_t module, uint64_t offset,
                       uint64_t *ret_start, uint64_t *ret_size);
/* Bytes of a module's file at the address. False: there is no such file, or nothing there. */
bool bl_symbols_bytes(struct bl_symbols *symbols, uint32_t module, uint64_t offset, uint8_t *out,
                      size_t size);
/* The functions at an address of a module's code that is not a frame of the ledger. NULL without
 * memory. */
const struct bl_symbol *bl_symbols_code(struct bl_symbols *symbols, uint32_t module,
                                        uint64_t offset, size_t *ret_count);

/* Module names for groups by module; "?" when unknown. */
const char *bl_symbols_module(struct bl_symbols *symbols, uint32_t module);

/* Modules whose file is not the one the process ran (so that no names were taken from it). Returns
 * the path of the n-th of those that were needed, NULL after the last. */
const char *bl_symbols_mismatch(const struct bl_symbols *symbols, size_t n);

#endif
