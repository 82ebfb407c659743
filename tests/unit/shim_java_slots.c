/* Slots of libjvm: the helper thread may look at them while they are found. */
#include "shim_start.h"

#include "jvm/java_slots.h"

#include <link.h>

static unsigned asked;

/* Called in the middle of noting a slot, where the helper thread may look as well. */
void *dlsym(void *handle, const char *name)
{
    (void)handle;
    (void)name;
    asked++;
    bl_java_slots_look();
    return NULL;
}

static int arm(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    (void)data;
    if (*info->dlpi_name)
        bl_java_slots_arm(info->dlpi_name);
    return 0;
}

START_TEST(a_slot_is_not_looked_at_before_it_is_known_where_it_is)
{
    dl_iterate_phdr(arm, NULL);
    ck_assert_uint_gt(asked, 1);
    bl_java_slots_look();
}
END_TEST

RUN_SUITE("shim java slots", a_slot_is_not_looked_at_before_it_is_known_where_it_is)
