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
/* Is it to take classes from an AOT cache, if it can? It takes them before agents are asked. Where
 * the user has told the mode himself, it is his. */
bool bl_java_options_cache(const JavaVMInitArgs *args);

#endif
