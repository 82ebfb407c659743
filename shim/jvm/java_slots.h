/*
 * Whether somebody has put functions of its own in the place of malloc's.
 *
 * Profilers of native memory, such as async-profiler's nativemem, write the addresses of their own
 * functions where loaded libraries have that of malloc or free, and pass the calls on to the C
 * library's, past everything that was preloaded. Then blocks are not seen, or seen to live for
 * ever. libjvm's own slots tell it: what is in them is what the whole process sees under that name,
 * or still the way there. The first other thing is listed as a hook of the heap, with its library.
 *
 * Threads: arm under the loader's serialization, before the machine runs; look any, also
 * meanwhile.
 * Needs the guard. Signal context: no. Errors: nothing is noticed.
 */
#ifndef BL_JAVA_SLOTS_H
#define BL_JAVA_SLOTS_H

void bl_java_slots_arm(const char *libjvm);
void bl_java_slots_look(void);

#endif
