/*
 * The ELF symbols of one module, to be found by address.
 *
 * libdwfl looks through the whole table each time, which takes minutes where thousands of places in
 * a module of 60,000 symbols are asked for (a Java virtual machine). Here they are sorted once, and
 * what is found is what libdwfl finds: a global one before a local one, the nearest start, the
 * stronger binding, the smaller size. Symbols without a size are left to libdwfl.
 *
 * The module must stay open as long as the index is used. One thread.
 */
#ifndef BL_SYMBOL_INDEX_H
#define BL_SYMBOL_INDEX_H

#include <elfutils/libdwfl.h>
#include <stdbool.h>

struct bl_symbol_index;

/* NULL without memory, or if there are no symbols. */
struct bl_symbol_index *bl_symbol_index_create(Dwfl_Module *file);
void bl_symbol_index_destroy(struct bl_symbol_index *index); /* NULL ok */

/* The raw name of the symbol at an address of the module as libdwfl has it; NULL: there is none. */
const char *bl_symbol_index_find(const struct bl_symbol_index *index, Dwfl_Module *file,
                                 GElf_Addr address, GElf_Off *ret_inside, GElf_Sym *ret_symbol);

/* A name that C reserves for libraries, and no mangled one of C++. */
static inline bool bl_symbol_index_is_reserved(const char *name)
{
    return name[0] == '_' && name[1] != 'Z';
}

/* What users call the function at an address that its library calls `inner`: an exported symbol
 * there, whose name is in that (__libc_malloc is malloc). Only where the inner name is reserved.
 * NULL: there is none. */
const char *bl_symbol_index_public(const struct bl_symbol_index *index, Dwfl_Module *file,
                                   GElf_Addr address, const char *inner, char *out, size_t size);

#endif
