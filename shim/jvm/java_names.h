/*
 * Java methods as the ledger names them: a module for each package, and one text for each method
 * with its source file.
 *
 * Equal names are one entry, whatever class loader a class came by: a stack is the same place when
 * it reads the same. Frames of classes that the VM makes up as it goes (lambdas' carriers, method
 * handles' forms, calls of foreign functions) are left out, and numbers it gives out in the order
 * of need are cut off names: they differ from run to run.
 *
 * Owns: the entries and the methods' line tables, in the arena, for good: the VM never uses the id
 * of a method again. Threads: Java's own, in the VM's live phase; BL_RANK_JAVA inside, never across
 * a call into the VM. Needs the guard, as internal (the VM allocates). Errors: a method that cannot
 * be named is "?".
 */
#ifndef BL_JAVA_NAMES_H
#define BL_JAVA_NAMES_H

#include "compiler.h"

#include <jvmti.h>

struct bl_java_place {
    uint32_t module;  /* with BL_FRAME_MANAGED */
    bool is_hidden;   /* no frame for people */
    bool is_internal; /* what is born in it is part of Netty's own works, not a buffer in use */
    uint64_t offset;  /* as in bl_frame */
};

void bl_java_names_locate(jvmtiEnv *vm, JNIEnv *env, jmethodID method, jlocation at,
                          struct bl_java_place *ret_place);

#endif
