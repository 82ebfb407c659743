#include "verdict.h"

const char *bl_verdict_name(enum bl_verdict verdict)
{
    static const char *const names[] = {
        [BL_VERDICT_MISSING_RELEASE] = "missing-release",
        [BL_VERDICT_NEVER_RELEASED] = "never-released",
        [BL_VERDICT_OVER_RELEASE] = "over-release",
        [BL_VERDICT_STALE] = "stale",
        [BL_VERDICT_UNRELEASED] = "unreleased",
    };
    return names[verdict];
}
