#include "profile_events.h"
#include "clock.h"
#include "losses.h"
#include "references.h"
#include "stacks.h"
#include "track.h"

#include <errno.h>
#include <string.h>

BL_NOINLINE static uint64_t value_of(const struct bl_place *p, const struct bl_hook_call *call,
                                     uint64_t handle)
{
    struct bl_profile_call c = {.args = call->args,
                                .stack_args = call->stack_args,
                                .result = call->result,
                                .handle = handle};
    uint64_t value = 0;
    return bl_profile_value(p, &c, &value) ? value : 0;
}

/* 0: there is none. Most places are a number, an argument as it is, or none. */
BL_INLINE uint64_t value_at(const struct bl_place *p, const struct bl_hook_call *call,
                            uint64_t handle)
{
    if (p->where == BL_WHERE_CONST)
        return (uint64_t)p->n;
    if (p->where == BL_WHERE_NONE)
        return 0;
    if (p->where == BL_WHERE_ARG && p->derefs == 0 && p->width == 0 && p->n >= 1 && p->n <= 6)
        return call->args[p->n - 1];
    return value_of(p, call, handle);
}

/* Does this call count? Conditions on the result hold where there is none yet. */
BL_INLINE bool applies(const struct bl_watched *w, const struct bl_hook_call *call, uint64_t handle,
                       unsigned asked)
{
    int result = (int)call->result;
    unsigned when = w->f.when & asked;
    if (BL_LIKELY(when == 0))
        return true;
    if ((when & BL_WHEN_ZERO && result != 0) || (when & BL_WHEN_NONZERO && result == 0) ||
        (when & BL_WHEN_NONNEGATIVE && result < 0))
        return false;
    if (when & BL_WHEN_FIELD && (int32_t)value_at(&w->class->field, call, handle) <= 0)
        return false;
    return !(when & BL_WHEN_NEW) || !bl_refs_known(handle, w->class->number);
}

static struct bl_ref_event make_event(const struct bl_watched *w, uint64_t handle, uint64_t sp)
{
    return (struct bl_ref_event){
        .handle = handle,
        .time_ns = bl_threads_event_ns(),
        .thread = bl_tls.thread ? bl_tls.thread->number : 0,
        .class_number = w->class->number,
        .sp = sp,
    };
}

/* ---- calls under way ---- */

static bool gives_back(enum bl_role role)
{
    return role == BL_ROLE_RELEASE || role == BL_ROLE_DESTROY || role == BL_ROLE_STEAL;
}

static bool is_followed(const struct bl_watched *w)
{
    const struct bl_profile_function *f = &w->f;
    return f->role == BL_ROLE_REPLACE || f->role == BL_ROLE_STEAL ||
           (f->role == BL_ROLE_RESIZE && f->into.where != BL_WHERE_NONE) ||
           ((f->role == BL_ROLE_DESTROY || f->role == BL_ROLE_CLEAR) && !f->pre &&
            !(f->when & BL_WHEN_RESULT));
}

static struct bl_token token_of(const struct bl_under_way *u)
{
    return (struct bl_token){
        .record = u->record, .serial = u->serial, .class_number = u->class_number};
}

/* It was left before its end was seen. */
static void abandon(const struct bl_under_way *u)
{
    const struct bl_watched *w = u->function;
    if (u->record == 0)
        return;
    struct bl_ref_event e = make_event(w, u->handle, u->sp);
    e.stack = bl_stacks_keep(u->stack);
    if (w->f.role == BL_ROLE_DESTROY)
        bl_refs_finish_destroy(&e, token_of(u));
    else if (w->f.role == BL_ROLE_CLEAR)
        bl_refs_finish_clear(&e, token_of(u));
    else if (w->f.role == BL_ROLE_REPLACE || w->f.role == BL_ROLE_STEAL)
        bl_refs_finish_replace(&e, token_of(u), false);
    else if (w->f.role == BL_ROLE_RESIZE)
        bl_refs_finish_move(&e, token_of(u), 0, 0);
}

/* Forgets calls whose frames have been left. sp: of the caller of a function that begins. */
static void drop_left(uint64_t sp)
{
    if (BL_UNLIKELY(bl_tls.beyond_sp != 0) && bl_tls.beyond_sp <= sp)
        bl_tls.beyond_sp = 0;
    while (bl_tls.under_way_count > 0 && bl_tls.under_way[bl_tls.under_way_count - 1].sp <= sp)
        abandon(&bl_tls.under_way[--bl_tls.under_way_count]);
}

static bool is_inner(const struct bl_watched *w, uint64_t handle)
{
    for (uint32_t i = 0; i < bl_tls.under_way_count; i++) {
        const struct bl_under_way *u = &bl_tls.under_way[i];
        if (u->wraps && u->handle == handle && u->gives_back == gives_back(w->f.role))
            return true;
    }
    return false;
}

/* What steals calls the release of its class unless it takes the content out. */
static void tell_stealing(uint64_t handle)
{
    for (uint32_t i = 0; i < bl_tls.under_way_count; i++) {
        if (bl_tls.under_way[i].handle == handle)
            bl_tls.under_way[i].released = true;
    }
}

/* There must be room. */
static void set_under_way(const struct bl_watched *w, const struct bl_ref_event *e,
                          struct bl_token token)
{
    bl_tls.under_way[bl_tls.under_way_count++] =
        (struct bl_under_way){.handle = e->handle,
                              .sp = e->sp,
                              .function = w,
                              .record = token.record,
                              .serial = token.serial,
                              .stack = e->stack,
                              .delta = e->delta,
                              .class_number = token.class_number,
                              .wraps = w->f.wraps,
                              .gives_back = gives_back(w->f.role)};
}

/* ---- calls under way for which there is no room ----
 *
 * Lists and trees that are destroyed by recursion nest as deep as they are. Calls beyond the room
 * are not followed: what is certain to have happened by the time they end is noted as they begin,
 * and of buffers to which they may do this or that nothing more is told (bl_refs_forget). While the
 * outermost of them is under way, the thread's releases of what has ended may be their own, and are
 * no over-releases (references.c). */

static bool is_full(void)
{
    return bl_tls.under_way_count == BL_UNDER_WAY;
}

/* The outermost has the highest address: it is there still if one is set, see drop_left. */
static void go_beyond(uint64_t sp)
{
    if (bl_tls.beyond_sp == 0)
        bl_tls.beyond_sp = sp;
}

static void begin_beyond(const struct bl_watched *w, const struct bl_ref_event *e)
{
    if (w->f.role == BL_ROLE_DESTROY)
        bl_refs_end(e);
    else if (w->f.role == BL_ROLE_CLEAR)
        bl_refs_clear(e);
    else if (w->f.role != BL_ROLE_STEAL || w->f.when & BL_WHEN_RESULT || !bl_refs_release_last(e))
        bl_refs_forget(e);
    go_beyond(e->sp);
}

/* What it took a reference to, or made in the owner that it cleared. */
static void end_beyond(const struct bl_watched *w, const struct bl_hook_call *call)
{
    uint64_t handle = value_at(&w->f.handle, call, 0);
    if (!applies(w, call, handle, ~BL_WHEN_NEW))
        return;
    struct bl_ref_event e = make_event(w, handle, call->origin.sp);
    e.stack = bl_track_stack_entered(&call->origin);
    if (w->f.role == BL_ROLE_CLEAR) {
        bl_refs_clear(&e);
    } else if (w->f.role == BL_ROLE_REPLACE) {
        e.handle = value_at(&w->f.into, call, handle);
        bl_refs_forget(&e);
    }
}

/* ---- functions that are looked at once ---- */

static bool is_kind(const struct bl_watched_kind *kind, uint64_t value)
{
    if (!kind->is_variable)
        return kind->value == value;
    const void *variable = bl_load_relaxed(&kind->variable);
    uint64_t its = 0; /* little-endian: the low bytes come first */
    if (variable)
        memcpy(&its, variable, kind->width);
    return variable && its == value;
}

/* The class of what an alloc makes. */
static uint8_t class_of(const struct bl_watched *w, const struct bl_hook_call *call,
                        uint64_t handle)
{
    const struct bl_watched_class *class = w->class;
    if (BL_LIKELY(w->f.kind.where == BL_WHERE_NONE))
        return class->number;
    uint64_t value = value_at(&w->f.kind, call, handle);
    for (uint32_t i = 0; i < class->kind_count; i++) {
        if (is_kind(&class->kinds[i], value))
            return class->kinds[i].class_number;
    }
    return class->number;
}

static void note_birth(const struct bl_watched *w, struct bl_ref_event *e,
                       const struct bl_hook_call *call)
{
    bool told = w->f.size.where != BL_WHERE_NONE;
    const struct bl_ref_birth birth = {.size = told ? value_at(&w->f.size, call, e->handle)
                                                    : BL_REF_SIZE_OF_BLOCK,
                                       .owner = value_at(&w->f.owner, call, e->handle),
                                       .beside = value_at(&w->f.beside, call, e->handle)};
    e->class_number = class_of(w, call, e->handle);
    bl_refs_birth(e, &birth);
}

/* Where the profile does not expect it. */
static void note_null(const struct bl_watched *w, struct bl_ref_event *e)
{
    e->delta = -1;
    if (gives_back(w->f.role))
        bl_refs_release_null(e);
    else if (w->f.role == BL_ROLE_RETAIN)
        bl_losses_add(BL_LOSS_events_unknown, 1);
}

static void note(const struct bl_watched *w, struct bl_ref_event *e,
                 const struct bl_hook_call *call)
{
    switch (w->f.role) {
    case BL_ROLE_ALLOC:
        note_birth(w, e, call);
        break;
    case BL_ROLE_RETAIN:
        bl_refs_retain(e);
        break;
    case BL_ROLE_RELEASE:
        e->delta = -e->delta;
        tell_stealing(e->handle);
        bl_refs_release(e);
        break;
    case BL_ROLE_DESTROY:
        e->delta = 0;
        bl_refs_end(e);
        break;
    case BL_ROLE_CLEAR:
        e->delta = 0;
        bl_refs_clear(e);
        break;
    case BL_ROLE_RESIZE:
        bl_refs_resize(e, value_at(&w->f.size, call, e->handle));
        break;
    case BL_ROLE_TRANSFER:
        bl_refs_transfer(e, value_at(&w->f.into, call, e->handle));
        break;
    case BL_ROLE_REPLACE: /* followed */
    case BL_ROLE_STEAL:
    case BL_ROLE_LASTING:
    case BL_ROLE_COUNT:
    default:
        break;
    }
}

/* One that stands for the calls inside it must be known to them: else it and they would count. */
static void note_call(const struct bl_watched *w, struct bl_ref_event *e,
                      const struct bl_hook_call *call)
{
    bool counts = w->f.role == BL_ROLE_RETAIN || w->f.role == BL_ROLE_RELEASE;
    if (!e->handle)
        note_null(w, e);
    else if (BL_UNLIKELY(w->f.wraps && counts && is_full()))
        bl_refs_forget(e);
    else
        note(w, e, call);
    if (w->f.wraps && is_full())
        go_beyond(e->sp);
    else if (w->f.wraps)
        set_under_way(w, e, (struct bl_token){.record = 0});
}

static void on_call(void *context, const struct bl_hook_call *call)
{
    const struct bl_watched *w = context;
    uint64_t handle = value_at(&w->f.handle, call, 0);
    int64_t count = (int64_t)value_at(&w->f.count, call, handle);
    if ((!handle && w->f.null_ok) || count == 0 || !bl_track_enter())
        return;
    int saved = errno;
    drop_left(call->origin.sp);
    if (!is_inner(w, handle) && applies(w, call, handle, ~0u)) {
        struct bl_ref_event e = make_event(w, handle, call->origin.sp);
        e.stack = bl_track_stack_entered(&call->origin);
        e.delta = (int32_t)count;
        e.through = !w->f.pre;
        note_call(w, &e, call);
    }
    errno = saved;
    bl_track_leave();
}

/* ---- functions that are followed ---- */

static void begin(const struct bl_watched *w, struct bl_ref_event *e,
                  const struct bl_hook_call *call)
{
    struct bl_token token = {.record = 0};
    bool known = false;
    if (w->f.role == BL_ROLE_STEAL)
        e->delta = -(int32_t)value_at(&w->f.count, call, e->handle);
    if (BL_UNLIKELY(is_full())) {
        begin_beyond(w, e);
        return;
    }
    if (w->f.role == BL_ROLE_DESTROY)
        known = bl_refs_begin(BL_REFS_DESTROY, e, &token);
    else if (w->f.role == BL_ROLE_CLEAR)
        known = bl_refs_begin(BL_REFS_CLEAR, e, &token);
    else if (w->f.role == BL_ROLE_RESIZE)
        known = bl_refs_begin(BL_REFS_MOVE, e, &token);
    else if (w->f.role == BL_ROLE_STEAL)
        known = bl_refs_begin(BL_REFS_REPLACE, e, &token);
    else if (e->handle) {
        e->delta = -(int32_t)value_at(&w->f.count, call, e->handle);
        known = bl_refs_begin(BL_REFS_REPLACE, e, &token);
    }
    if (known || w->f.role == BL_ROLE_REPLACE || w->f.wraps)
        set_under_way(w, e, token);
}

static void on_begin(void *context, const struct bl_hook_call *call)
{
    const struct bl_watched *w = context;
    uint64_t handle = value_at(&w->f.handle, call, 0);
    bool takes_null = w->f.role == BL_ROLE_REPLACE || !w->f.null_ok;
    if ((!handle && !takes_null) || !bl_track_enter())
        return;
    int saved = errno;
    drop_left(call->origin.sp);
    if (!is_inner(w, handle) && applies(w, call, handle, ~(BL_WHEN_RESULT | BL_WHEN_NEW))) {
        struct bl_ref_event e = make_event(w, handle, call->origin.sp);
        e.stack = bl_track_stack_entered(&call->origin);
        if (handle || w->f.role == BL_ROLE_REPLACE)
            begin(w, &e, call);
        else
            note_null(w, &e);
    }
    errno = saved;
    bl_track_leave();
}

/* What was at the handle's place has lost a reference if another buffer is there now. */
static void finish_replace(const struct bl_watched *w, const struct bl_under_way *u,
                           struct bl_ref_event *e, const struct bl_hook_call *call)
{
    bool counts = applies(w, call, u->handle, BL_WHEN_RESULT);
    uint64_t now = value_at(&w->f.handle, call, 0);
    uint64_t into = value_at(&w->f.into, call, now);
    bool replaced = counts && now != u->handle;
    int32_t count = (int32_t)value_at(&w->f.count, call, now);
    e->delta = -count;
    if (u->record)
        bl_refs_finish_replace(e, token_of(u), replaced);
    if (replaced && into) {
        e->handle = into;
        e->delta = count;
        bl_refs_retain(e);
    }
    if (counts && now && w->f.size.where != BL_WHERE_NONE) {
        e->handle = now;
        bl_refs_resize(e, value_at(&w->f.size, call, now));
    }
}

/* It gave back its references itself where it called nothing that does. The buffer may be gone. */
static void finish_steal(const struct bl_watched *w, const struct bl_under_way *u,
                         struct bl_ref_event *e, const struct bl_hook_call *call)
{
    bool counts = applies(w, call, u->handle, BL_WHEN_RESULT);
    e->delta = u->delta;
    if (u->record)
        bl_refs_finish_replace(e, token_of(u), counts && !u->released);
}

static void finish(const struct bl_watched *w, const struct bl_under_way *u,
                   const struct bl_hook_call *call)
{
    struct bl_ref_event e = make_event(w, u->handle, u->sp);
    bool counts = applies(w, call, u->handle, BL_WHEN_RESULT);
    uint64_t into = counts ? value_at(&w->f.into, call, 0) : 0;
    e.stack = bl_stacks_keep(u->stack);
    e.through = true;
    if (w->f.role == BL_ROLE_REPLACE)
        finish_replace(w, u, &e, call);
    else if (w->f.role == BL_ROLE_STEAL)
        finish_steal(w, u, &e, call);
    else if (u->record && w->f.role == BL_ROLE_DESTROY)
        bl_refs_finish_destroy(&e, token_of(u));
    else if (u->record && w->f.role == BL_ROLE_CLEAR)
        bl_refs_finish_clear(&e, token_of(u));
    else if (u->record)
        bl_refs_finish_move(&e, token_of(u), into, value_at(&w->f.size, call, into));
}

static void on_end(void *context, const struct bl_hook_call *call)
{
    const struct bl_watched *w = context;
    if (bl_tls.under_way_count == 0 || !bl_track_enter())
        return;
    int saved = errno;
    struct bl_under_way u = {.sp = 0};
    /* the calls inside it have been left; it is the next */
    while (bl_tls.under_way_count > 0 && u.sp == 0) {
        const struct bl_under_way *top = &bl_tls.under_way[bl_tls.under_way_count - 1];
        if (top->sp > call->origin.sp)
            break;
        bl_tls.under_way_count--;
        if (top->sp == call->origin.sp && top->function == w)
            u = *top;
        else
            abandon(top);
    }
    if (u.sp && is_followed(w))
        finish(w, &u, call);
    else if (bl_tls.beyond_sp != 0 && call->origin.sp <= bl_tls.beyond_sp && is_followed(w))
        end_beyond(w, call);
    if (bl_tls.beyond_sp != 0 && bl_tls.beyond_sp <= call->origin.sp)
        bl_tls.beyond_sp = 0;
    errno = saved;
    bl_track_leave();
}

struct bl_hook_spec bl_profile_events_spec(struct bl_watched *watched)
{
    struct bl_hook_spec spec = {.context = watched, .stack_words = watched->f.stack_words};
    if (is_followed(watched)) {
        spec.pre = on_begin;
        spec.post = on_end;
    } else if (watched->f.pre) {
        spec.pre = on_call;
        /* Called from a frame of the hook's: a last call that it makes by a jump has a frame inside
         * this one, and what its caller calls next does not. */
        spec.post = watched->f.wraps ? on_end : NULL;
    } else {
        spec.post = on_call;
    }
    return spec;
}
