/*
 * What the groups of two sides are called, so that equal names are the same group.
 *
 * A name is class, what is blamed (an allocation, a retain, a release) and the place in the code:
 * a chain of ids from origin.h, innermost first. A plain group by site has one id. A judged group
 * has as many callers in its name as its verdict was drawn from and as it takes to tell the judged
 * groups of one place apart, on whichever side that is more.
 *
 * Owns what it allocates; borrows both sides.
 */
#ifndef BL_NAMING_H
#define BL_NAMING_H

#include "error.h"
#include "histories.h"
#include "model.h"
#include "origin.h"
#include "reader.h"
#include "symbols.h"
#include "verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bl_diff_side {
    const struct bl_reader *reader;
    const struct bl_model *model;
    struct bl_symbols *symbols;
    const struct bl_growth_set *growth; /* NULL: not known */
    const struct bl_mark *mark;         /* the moment; NULL: that of the model */
};

struct bl_named {
    const struct bl_group *group;
    int side;
    uint32_t class_id;
    const char *class_name;
    enum bl_item_kind kind; /* what is blamed; of an unjudged group its allocation */
    bool is_judged;         /* it has a finding */
    bool is_accused;        /* its rank is worse than "unreleased" */
    bool is_wide;           /* blamed on several stacks */
    uint32_t first;         /* in ids */
    uint32_t count;         /* whole chain */
    uint32_t reach;         /* ids that the verdict was drawn from */
    uint32_t used;          /* ids that belong to the name */
};

struct bl_naming {
    struct bl_origins *origins;
    uint32_t class_ids[2][BL_CLASSES_MAX]; /* by class number */
    struct bl_named *groups;
    size_t count;
    uint32_t *ids;
    size_t id_count;
    size_t id_room;
};

/* Only groups of class_name, if it is not NULL. On failure, too, bl_naming_deinit is due. */
int bl_naming_init(struct bl_naming *naming, const struct bl_diff_side sides[2],
                   bool is_same_process, const char *class_name, struct bl_error *error);
void bl_naming_deinit(struct bl_naming *naming);

/* How many ids two chains have in common, from the innermost on. */
uint32_t bl_naming_common(const struct bl_naming *naming, const struct bl_named *a,
                          const struct bl_named *b);

/* The weakest kind of id in a name says how it can be matched. */
enum bl_origin_kind bl_naming_kind(const struct bl_naming *naming, const struct bl_named *named);

#endif
