/*
 * What is mapped in this process, as the kernel tells it: regions, and the ELF objects among them.
 *
 * Read in the marking child, of its own frozen memory, without libc or the loader, whose locks may
 * be held by threads that are no more there. Headers of objects are read only where they are
 * mapped.
 *
 * Owns its tables, in pages that are never given back, see trace.h. Threads: one. Signal context:
 * async-signal-safe. Errors: -errno.
 */
#ifndef BL_IMAGE_H
#define BL_IMAGE_H

#include "compiler.h"
#include "ledger_format.h"

struct bl_region {
    uint64_t start;
    uint64_t end;
    uint64_t offset;
    uint32_t path; /* in text; 0: anonymous */
    bool readable;
    bool writable;
    bool shared;
};

struct bl_object_file {
    uint64_t start; /* of its first mapping */
    uint64_t end;   /* of its last segment's memory */
    uint64_t bias;
    uint64_t tls_bytes;
    uint32_t path;
    uint32_t build_id_length;
    uint8_t build_id[BL_BUILD_ID_MAX];
};

#define BL_IMAGE_OBJECTS 2048u

struct bl_image {
    struct bl_region *regions; /* by address */
    uint32_t region_count;
    struct bl_object_file *objects; /* by address */
    uint32_t object_count;
    char *text;
};

int bl_image_read(struct bl_image *image);
BL_INLINE const char *bl_image_path(const struct bl_image *image, uint32_t path)
{
    return image->text + path;
}
/* The region, or the object, that an address lies in; NULL: none. */
const struct bl_region *bl_image_region(const struct bl_image *image, uint64_t address);
const struct bl_object_file *bl_image_object(const struct bl_image *image, uint64_t address);
/* Is the object's file called `name`, or does its name begin so? */
bool bl_image_is_named(const struct bl_image *image, const struct bl_object_file *object,
                       const char *name);

#endif
