/*
 * Unloading. dlopen is not interposed: its search path depends on who calls it.
 */
#include "real.h"
#include "track.h"

#include <errno.h>

BL_EXPORT int dlclose(void *handle);
BL_EXPORT int dlclose(void *handle)
{
    if (!bl_real_ready())
        return 0;
    int result = bl_real.dlclose(handle);
    int saved = errno;
    if (bl_track_begun)
        bl_track_unloaded();
    errno = saved;
    return result;
}
