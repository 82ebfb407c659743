/*
 * Looks at a process again and again in a thread of its own, so that the picture answers its keys
 * while a look takes its time.
 *
 * A light look is made every interval and a full one every BL_TOP_FULL_NS; each not before the look
 * before it has been paid for: after a look that took a second, nothing is done for twenty. Of a
 * process that has ended, one full look is made. The thread blocks all signals.
 */
#ifndef BL_TOP_FEED_H
#define BL_TOP_FEED_H

#include "error.h"
#include "top_look.h"

#include <stdbool.h>
#include <stdint.h>

#define BL_TOP_FULL_NS 10000000000ull

struct bl_top_feed;

/* Borrows the target and the options. */
int bl_top_feed_create(struct bl_top_feed **ret_feed, const struct bl_target *target,
                       const struct bl_model_options *options, uint64_t interval_ns,
                       const struct bl_top_wish *wish, struct bl_error *error);

/* Ends the thread; one that is busy for longer than a moment is left behind, with all it uses, for
 * the end of the program. False when that was so. */
bool bl_top_feed_destroy(struct bl_top_feed *feed);

/* Becomes readable when there is something to take. */
int bl_top_feed_fd(const struct bl_top_feed *feed);

/* The newest frame, which is the caller's; NULL: there is none since the last. When a look failed,
 * its reason is in `error`. */
struct bl_top_frame *bl_top_feed_take(struct bl_top_feed *feed, struct bl_error *error);

/* What the next frames are to show; the first of them comes at once, from what is known. */
void bl_top_feed_ask(struct bl_top_feed *feed, const struct bl_top_wish *wish);

/* No looks until it is asked to go on. */
void bl_top_feed_pause(struct bl_top_feed *feed, bool is_paused);

#endif
