#include "inlines.h"

#include "hash.h"
#include "readable.h"

#include <dwarf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NESTED_MAX 16 /* namespaces and classes */

/* Code of one function; it can be in several pieces. */
struct piece {
    Dwarf_Addr start;
    Dwarf_Addr end;
    Dwarf_Off function;
};

struct unit {
    Dwarf_Off offset; /* of its entry; the key */
    struct piece *pieces;
    size_t count;
    size_t room;
    UT_hash_handle hh;
};

struct answer {
    Dwarf_Addr address; /* the key */
    size_t count;
    uint64_t *calls;
    UT_hash_handle hh;
};

struct bl_inlines {
    struct unit *units;
    struct answer *answers;
};

struct bl_inlines *bl_inlines_create(void)
{
    return calloc(1, sizeof(struct bl_inlines));
}

void bl_inlines_destroy(struct bl_inlines *inlines)
{
    struct unit *unit;
    struct unit *next_unit;
    struct answer *answer;
    struct answer *next_answer;
    if (!inlines)
        return;
    HASH_ITER (hh, inlines->units, unit, next_unit) {
        HASH_DEL(inlines->units, unit); // NOLINT(clang-analyzer-unix.Malloc): the next is known
        free(unit->pieces);
        free(unit);
    }
    HASH_ITER (hh, inlines->answers, answer, next_answer) {
        HASH_DEL(inlines->answers, answer); // NOLINT(clang-analyzer-unix.Malloc): as above
        free(answer->calls);
        free(answer);
    }
    free(inlines);
}

/* ---- the functions of a unit ---- */

static bool add_piece(struct unit *unit, struct piece piece)
{
    if (unit->count == unit->room) {
        size_t room = unit->room ? unit->room * 2 : 64;
        struct piece *grown = realloc(unit->pieces, room * sizeof(*grown));
        if (!grown)
            return false;
        unit->pieces = grown;
        unit->room = room;
    }
    unit->pieces[unit->count++] = piece;
    return true;
}

static bool add_function(struct unit *unit, Dwarf_Die *function)
{
    Dwarf_Addr base;
    struct piece piece = {.function = dwarf_dieoffset(function)};
    ptrdiff_t at = 0;
    while ((at = dwarf_ranges(function, at, &base, &piece.start, &piece.end)) > 0)
        if (piece.end > piece.start && !add_piece(unit, piece))
            return false;
    return true;
}

static bool has_functions(int tag)
{
    return tag == DW_TAG_namespace || tag == DW_TAG_class_type || tag == DW_TAG_structure_type ||
           tag == DW_TAG_union_type || tag == DW_TAG_module;
}

static bool add_functions(struct unit *unit, Dwarf_Die *parent, int depth)
{
    Dwarf_Die die;
    bool done = true;
    if (depth == NESTED_MAX || dwarf_child(parent, &die) != 0)
        return true;
    do {
        int tag = dwarf_tag(&die);
        if (tag == DW_TAG_subprogram)
            done = add_function(unit, &die);
        else if (has_functions(tag))
            done = add_functions(unit, &die, depth + 1);
    } while (done && dwarf_siblingof(&die, &die) == 0);
    return done;
}

static int compare_pieces(const void *left, const void *right)
{
    const struct piece *a = left;
    const struct piece *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    /* code that has two names, in assembly: libdw finds the first, and of equal ones we the last */
    return a->function > b->function ? -1 : a->function < b->function;
}

static struct unit *find_unit(struct bl_inlines *inlines, Dwarf_Die *die)
{
    Dwarf_Off offset = dwarf_dieoffset(die);
    struct unit *unit;
    HASH_FIND(hh, inlines->units, &offset, sizeof(offset), unit);
    if (unit)
        return unit;
    unit = calloc(1, sizeof(*unit));
    if (!unit)
        return NULL;
    unit->offset = offset;
    if (!add_functions(unit, die, 0)) {
        free(unit->pieces);
        free(unit);
        return NULL;
    }
    if (unit->count > 1)
        qsort(unit->pieces, unit->count, sizeof(*unit->pieces), compare_pieces);
    HASH_ADD(hh, inlines->units, offset, sizeof(unit->offset), unit);
    return unit;
}

/* The function whose code an address is; false: none is known. */
static bool find_function(const struct unit *unit, Dwarf_Addr address, Dwarf_Off *ret_function)
{
    size_t low = 0;
    size_t high = unit->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (unit->pieces[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || address >= unit->pieces[low - 1].end)
        return false;
    *ret_function = unit->pieces[low - 1].function;
    return true;
}

/* ---- the calls around an address ---- */

/* The next scope further in that an address is in. */
static bool enter(Dwarf_Die *scope, Dwarf_Addr address)
{
    Dwarf_Die die;
    if (dwarf_child(scope, &die) != 0)
        return false;
    do {
        int tag = dwarf_tag(&die);
        if ((tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block ||
             tag == DW_TAG_try_block || tag == DW_TAG_catch_block) &&
            dwarf_haspc(&die, address) > 0) {
            *scope = die;
            return true;
        }
    } while (dwarf_siblingof(&die, &die) == 0);
    return false;
}

/* What a function, inlined or not, is a copy of. */
static Dwarf_Off origin_of(Dwarf_Die *function)
{
    Dwarf_Attribute attribute;
    Dwarf_Die origin;
    if (dwarf_formref_die(dwarf_attr(function, DW_AT_abstract_origin, &attribute), &origin))
        return dwarf_dieoffset(&origin);
    return dwarf_dieoffset(function);
}

/* The inlined functions at an address of a function, outermost first. A function inside itself is
 * no call that anybody wrote: compilers split off the part of it that is seldom run, and put that
 * back. */
static size_t find_inlined(Dwarf_Die *function, Dwarf_Addr address, Dwarf_Die *out)
{
    size_t count = 0;
    Dwarf_Die scope = *function;
    Dwarf_Off around = origin_of(function);
    while (count < BL_INLINES_MAX && enter(&scope, address)) {
        if (dwarf_tag(&scope) != DW_TAG_inlined_subroutine || origin_of(&scope) == around)
            continue;
        around = origin_of(&scope);
        out[count++] = scope;
    }
    return count;
}

static bool is_called_in_system(Dwarf_Die *unit, Dwarf_Die *inlined)
{
    Dwarf_Attribute attribute;
    Dwarf_Word file;
    Dwarf_Files *files;
    size_t count;
    return dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attribute), &file) == 0 &&
           dwarf_getsrcfiles(unit, &files, &count) == 0 && file < count &&
           bl_readable_is_of_system(dwarf_filesrc(files, file, NULL, NULL));
}

/* How many are left, of `count` outermost first, without the innermost that are the system's. */
static size_t without_system(Dwarf_Die *unit, Dwarf_Addr address, Dwarf_Die *inlined, size_t count)
{
    Dwarf_Line *line = count > 0 ? dwarf_getsrc_die(unit, address) : NULL;
    bool is_of_system = line && bl_readable_is_of_system(dwarf_linesrc(line, NULL, NULL));
    while (count > 0 && is_of_system)
        is_of_system = is_called_in_system(unit, &inlined[--count]);
    return count;
}

static size_t find_calls(const struct unit *known, Dwarf_Die *unit, Dwarf_Addr address,
                         uint64_t calls[BL_INLINES_MAX])
{
    Dwarf_Off offset;
    Dwarf_Die function;
    Dwarf_Die inlined[BL_INLINES_MAX];
    Dwarf *dwarf = dwarf_cu_getdwarf(unit->cu);
    if (!find_function(known, address, &offset) || !dwarf_offdie(dwarf, offset, &function))
        return 0;
    size_t count = find_inlined(&function, address, inlined);
    count = without_system(unit, address, inlined, count);
    for (size_t i = 0; i < count; i++)
        calls[i] = dwarf_dieoffset(&inlined[count - 1 - i]);
    return count;
}

size_t bl_inlines_functions(struct bl_inlines *inlines, Dwarf_Die *unit, Dwarf_Addr address,
                            Dwarf_Die out[BL_INLINES_MAX + 1])
{
    const struct unit *known = find_unit(inlines, unit);
    Dwarf_Off offset;
    size_t count = 0;
    if (!known || !find_function(known, address, &offset) ||
        !dwarf_offdie(dwarf_cu_getdwarf(unit->cu), offset, &out[0]))
        return 0;
    Dwarf_Die scope = out[0];
    while (count < BL_INLINES_MAX && enter(&scope, address))
        if (dwarf_tag(&scope) == DW_TAG_inlined_subroutine)
            out[++count] = scope;
    for (size_t i = 0; i < (count + 1) / 2; i++) {
        Dwarf_Die outer = out[i];
        out[i] = out[count - i];
        out[count - i] = outer;
    }
    return count + 1;
}

/* NULL without memory. */
static struct answer *look_up(struct bl_inlines *inlines, Dwarf_Die *unit, Dwarf_Addr address)
{
    uint64_t calls[BL_INLINES_MAX];
    const struct unit *known = find_unit(inlines, unit);
    size_t count = known ? find_calls(known, unit, address, calls) : 0;
    struct answer *answer = calloc(1, sizeof(*answer));
    uint64_t *kept = calloc(count + 1, sizeof(*kept));
    if (!answer || !kept) {
        free(answer);
        free(kept);
        return NULL;
    }
    memcpy(kept, calls, count * sizeof(*kept));
    *answer = (struct answer){.address = address, .count = count, .calls = kept};
    HASH_ADD(hh, inlines->answers, address, sizeof(answer->address), answer);
    return answer;
}

const uint64_t *bl_inlines_find(struct bl_inlines *inlines, Dwarf_Die *unit, Dwarf_Addr address,
                                size_t *ret_count)
{
    struct answer *answer;
    HASH_FIND(hh, inlines->answers, &address, sizeof(address), answer);
    if (!answer)
        answer = look_up(inlines, unit, address);
    *ret_count = answer ? answer->count : 0;
    return answer ? answer->calls : NULL;
}
