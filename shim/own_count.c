#include "own_count.h"
#include "hook_list.h"
#include "losses.h"

static void note(struct bl_object *o, const struct bl_own *own)
{
    bool drifted = (o->flags & BL_OBJECT_DRIFTED) != 0;
    o->field = own->after;
    o->flags |= BL_OBJECT_FIELD;
    if (own->drifts == drifted)
        return;
    o->flags ^= BL_OBJECT_DRIFTED;
    bl_losses_add(BL_LOSS_counts_drifted, own->drifts ? 1 : (uint64_t)-1);
}

struct bl_flight_sums bl_own_in_flight(uint8_t class_number, uint64_t handle)
{
    return bl_flights_of(bl_own_key_of(handle, class_number));
}

/* after: as it was read with the flights known, and perhaps done by now. */
static struct bl_own explain(int32_t refs, int32_t after, struct bl_flight_sums flights)
{
    bool drifts = after < refs - flights.up || after > refs + flights.down;
    return (struct bl_own){
        .known = true, .drifts = drifts, .after = drifts ? after : refs, .read = after};
}

void bl_own_note(struct bl_object *o, int32_t own, struct bl_flight_sums flights)
{
    struct bl_own explained = explain(o->refs, own, flights);
    note(o, &explained);
}

BL_NOINLINE struct bl_own bl_own_explain(const struct bl_own_field *field, uint8_t class_number,
                                         struct bl_object *o, const struct bl_ref_event *e)
{
    /* looked up before the count is read once more, so that nothing is missed that is done
     * meanwhile */
    struct bl_flight_sums flights = bl_own_in_flight(class_number, e->handle);
    struct bl_own own = explain(o->refs, bl_own_read(field, e).after, flights);
    note(o, &own);
    return own;
}

void bl_own_may_lose(uint8_t class_number, const struct bl_ref_event *e)
{
    if (bl_tls.thread)
        bl_flights_add(bl_tls.thread, bl_own_key_of(e->handle, class_number), -e->delta, e->sp);
}

int32_t bl_own_at_birth(struct bl_own_field *field, uint8_t class_number,
                        const struct bl_ref_event *e)
{
    struct bl_own own = bl_own_read(field, e);
    if (!own.known || !e->through)
        return e->delta;
    if (!bl_load_relaxed(&field->checked)) {
        bl_store_relaxed(&field->checked, 1);
        if (own.after != e->delta) {
            bl_store_relaxed(&field->width, 0);
            bl_hook_list_set_flags(class_number, BL_CLASS_FIELD_DROPPED);
        }
    }
    return own.after > 0 && bl_load_relaxed(&field->width) ? own.after : e->delta;
}
