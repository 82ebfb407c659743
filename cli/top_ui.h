/*
 * The live view on a terminal, with ncurses: keys, what is picked, and drawing.
 *
 * One thread; the looks are made by another (top_feed.h). Signals are let in while it waits only.
 * Whatever ends it, the terminal is as it was: `q`, Ctrl-C, SIGTERM, SIGHUP, or a terminal that is
 * gone.
 */
#ifndef BL_TOP_UI_H
#define BL_TOP_UI_H

#include "error.h"
#include "model.h"
#include "render_top.h"
#include "target.h"

#include <stdint.h>

struct bl_top_run {
    struct bl_target *target; /* deinited here: a look that is still busy may go on using it */
    const struct bl_model_options *model;
    uint64_t interval_ns;
    uint64_t window_ns;
    enum bl_top_sort sort;
    const char *filter; /* NULL: none */
};

/* Returns 0; the number of a signal that ended it and is not Ctrl-C; -1 with a message. */
int bl_top_ui_run(const struct bl_top_run *run, struct bl_error *error);

/* Can the locale's characters be other than ASCII? */
bool bl_top_ui_is_ascii(void);

#endif
