/*
 * Which addresses are code that the Java VM made: compiled methods, the interpreter, its stubs.
 *
 * The VM tells of each piece, a moment after it made it. A return address that lies in none of them
 * and in no library is one that the VM has put in place of the real one (a frame that waits to be
 * taken back to the interpreter), or of code we have not been told of yet: such a stack cannot be
 * known by its addresses.
 *
 * Owns: a sorted array, in the arena. Threads: any; BL_RANK_JAVA inside. Needs the guard. Errors:
 * code that cannot be kept is unknown.
 */
#ifndef BL_JAVA_CODE_H
#define BL_JAVA_CODE_H

#include "compiler.h"

enum bl_java_code {
    BL_JAVA_CODE_NONE,
    BL_JAVA_CODE_INTERPRETER,
    BL_JAVA_CODE_COMPILED,
    BL_JAVA_CODE_STUB,
};

/* Bounds of the interpreter; relaxed atomics, start = end = 0 before it is known. */
extern uint64_t bl_java_interpreter_start;
extern uint64_t bl_java_interpreter_end;

BL_INLINE bool bl_java_code_is_interpreter(uint64_t pc)
{
    uint64_t start = bl_load_relaxed(&bl_java_interpreter_start);
    return pc - start < bl_load_relaxed(&bl_java_interpreter_end) - start;
}

void bl_java_code_add(uint64_t start, uint64_t size, enum bl_java_code kind);
/* No longer there, as far as it is known. */
void bl_java_code_remove(uint64_t start);
enum bl_java_code bl_java_code_of(uint64_t pc);

#endif
