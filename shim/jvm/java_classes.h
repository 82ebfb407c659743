/*
 * Each class that the Java virtual machine has loaded, one after the other.
 *
 * Threads: those of the machine, outside its own callbacks of the collector. Each class is a local
 * reference for as long as it is seen. Errors: false, and none is seen.
 */
#ifndef BL_JAVA_CLASSES_H
#define BL_JAVA_CLASSES_H

#include <jvmti.h>
#include <stdbool.h>

bool bl_java_classes_each(jvmtiEnv *vm, JNIEnv *env,
                          void (*see)(jvmtiEnv *vm, JNIEnv *env, jclass class, jlong context),
                          jlong context);

#endif
