/*
 * Made-up processes that more than one test looks at.
 */
#ifndef LEDGER_SCENES_H
#define LEDGER_SCENES_H

#include "ledger_synth.h"

#define SCENE_SECOND 1000000000ull
#define SCENE_END    (752 * SCENE_SECOND) /* when they ended */

/* Heap blocks on some stacks, siblings that were freed, a mapping, hooks. */
struct synth *scene_gateway(void);
/* The incident: a retain without its release, with a second class that is in flight and a release
 * too many. */
struct synth *scene_incident(void);

#endif
