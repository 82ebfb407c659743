/*
 * What the options of a Java virtual machine say before it starts. Owns nothing; any thread. The
 * machine also reads the environment and files; of these the environment is looked at.
 */
#ifndef BL_JAVA_OPTIONS_H
#define BL_JAVA_OPTIONS_H

#include <jni.h>
#include <stdbool.h>

/* Is this run, or may it be, to write an archive of classes (CDS, AOT)? HotSpot does not do that
 * with an agent in it: it ends with an error, at once. */
bool bl_java_options_archive(const JavaVMInitArgs *args);

#endif
