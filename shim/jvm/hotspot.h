/*
 * What HotSpot tells about itself: the tables it exports for debuggers (gHotSpotVMStructs).
 *
 * Threads: any. Calls the loader. Errors: a machine without the tables is none that we know.
 */
#ifndef BL_HOTSPOT_H
#define BL_HOTSPOT_H

#include "compiler.h"

/* Before anything else, with libjvm's path. False: it is not HotSpot. */
bool bl_hotspot_open(const char *libjvm);
/* The machine's option of that name, true or false; NULL: it has none such. */
const volatile bool *bl_hotspot_flag(const char *name);

#endif
