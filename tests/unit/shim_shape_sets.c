/* The list of sets: one per way that meson.build compiles shim_shapes.c. */
#include "shim_shapes.h"

#define X(name) extern shape_fn *const name[SHAPES_EACH];
SHAPE_SETS(X)
#undef X

#define X(name) name,
shape_fn *const *const shape_sets[] = {SHAPE_SETS(X)};
#undef X
const unsigned shape_set_count = sizeof shape_sets / sizeof *shape_sets;
