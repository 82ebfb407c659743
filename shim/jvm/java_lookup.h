/*
 * What Java code looks up by name: java.lang.foreign's default lookup, and native libraries' own.
 *
 * The virtual machine asks the loader for a symbol of one library, and so gets the C library's own
 * malloc and free, past everything that was preloaded. A block that is taken or freed by those is
 * not seen, or seen to live for ever. libjvm's JVM_FindLibraryEntry is hooked: where it finds the
 * very function that ours would pass the call on to, Java gets what the whole process sees under
 * that name, which is ours; any other answer is left as it is.
 *
 * Threads: arm under the loader's serialization, before the machine runs. Errors: it is listed as a
 * hook of the heap with the reason, and such memory stays unseen.
 */
#ifndef BL_JAVA_LOOKUP_H
#define BL_JAVA_LOOKUP_H

/* no_hooks_why: NULL, or why no function can be hooked. */
void bl_java_lookup_arm(const char *libjvm, const char *no_hooks_why);

#endif
