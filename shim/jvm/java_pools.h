/*
 * What a Java program counts of its direct memory itself: usedDirectMemory() and maxDirectMemory()
 * of each copy of Netty, and the JDK's buffer pool "direct", whose limit is
 * -XX:MaxDirectMemorySize.
 *
 * By default each counts what the other does not: Netty its own memory where it may free it without
 * the JDK, the pool everything else. They are read by calling Netty and by looking into
 * java.nio.Bits, which is what the pool's bean does; never before those classes are initialised by
 * the program.
 *
 * Owns: bl_header.direct. Threads: add by any of Java's; read by one at a time, attached to the
 * machine. Needs the guard, as internal. Errors: a class that does not look as it should is left
 * out.
 */
#ifndef BL_JAVA_POOLS_H
#define BL_JAVA_POOLS_H

#include "compiler.h"

#include <jvmti.h>

/* io/netty/util/internal/PlatformDependent, shaded or not; or java/nio/Bits. */
bool bl_java_pools_is_counter(const char *name, size_t length);
/* Such a class, prepared or further. */
void bl_java_pools_add(JNIEnv *env, jclass class, const char *name, size_t length);
void bl_java_pools_read(jvmtiEnv *vm, JNIEnv *env);
/* One of them has come within a tenth of its limit since it was last further away. */
bool bl_java_pools_is_near_limit(void);

#endif
