#include "java_reach.h"
#include "arena.h"
#include "bytebuf_hooks.h"
#include "clock.h"
#include "counters.h"
#include "guard.h"
#include "hotspot.h"
#include "java_classes.h"
#include "ledger.h"
#include "ref_reach.h"
#include "sigsafe.h"

#include <string.h>

#define FIRST_ROOM (1u << 16)
#define CLASS_TAG  1
/* A buffer that is being born is recorded before its object has its number. */
#define MIN_AGE_NS 250000000u
#define TICK_NS    10000000u /* of the clock of events, at most */

/* What the walk finds: numbers of buffers. */
struct finds {
    uint64_t *ids;
    size_t count;
    size_t room;
    bool oom;
};

/* In the virtual machine's own thread, while all others stand still. */
static void add(struct finds *finds, uint64_t id)
{
    if (finds->count == finds->room && !finds->oom) {
        size_t room = finds->room ? finds->room * 2 : FIRST_ROOM;
        bl_guard_enter_internal();
        uint64_t *grown = bl_arena_map(room * sizeof *grown);
        if (grown && finds->ids) {
            memcpy(grown, finds->ids, finds->count * sizeof *grown);
            bl_arena_unmap(finds->ids, finds->room * sizeof *grown);
        }
        bl_guard_leave_internal();
        finds->oom = !grown;
        if (grown) {
            finds->ids = grown;
            finds->room = room;
        }
    }
    if (!finds->oom)
        finds->ids[finds->count++] = id;
}

static jint JNICALL on_field(jvmtiHeapReferenceKind kind, const jvmtiHeapReferenceInfo *info,
                             jlong class_tag, jlong *object_tag, jvalue value,
                             jvmtiPrimitiveType type, void *finds)
{
    (void)kind;
    (void)info;
    (void)object_tag;
    if (class_tag == CLASS_TAG && type == JVMTI_PRIMITIVE_TYPE_LONG &&
        bl_bytebuf_hooks_is_id(value.j))
        add(finds, (uint64_t)value.j);
    return 0;
}

/* Tags, or untags, the classes of counted buffers: the walk passes by all others. */
static void tag_class(jvmtiEnv *vm, JNIEnv *env, jclass class, jlong tag)
{
    if (bl_bytebuf_hooks_counts(env, class))
        (*vm)->SetTag(vm, class, tag);
}

static void note(struct bl_java_counts *java, uint64_t begun_ns, uint64_t collected_ns,
                 uint64_t walked_ns)
{
    bl_store_relaxed(&java->reach_gc_ns, collected_ns - begun_ns);
    bl_store_relaxed(&java->reach_walk_ns, walked_ns - collected_ns);
    bl_store_release(&java->reach_ns, begun_ns);
}

bool bl_java_reach_find(jvmtiEnv *vm, JNIEnv *env, uint8_t class_number)
{
    static const jvmtiHeapCallbacks callbacks = {.primitive_field_callback = on_field};
    struct finds finds = {0};
    struct bl_ref_reach found;
    if (!bl_java_classes_each(vm, env, tag_class, CLASS_TAG))
        return false;
    uint64_t begun_ns = bl_clock_event_ns();
    uint64_t gc_ns = bl_clock_read(CLOCK_MONOTONIC);
    bool done = (*vm)->ForceGarbageCollection(vm) == JVMTI_ERROR_NONE;
    uint64_t walk_ns = bl_clock_read(CLOCK_MONOTONIC);
    done = done && (*vm)->IterateThroughHeap(vm, JVMTI_HEAP_FILTER_CLASS_UNTAGGED, NULL, &callbacks,
                                             &finds) == JVMTI_ERROR_NONE;
    uint64_t end_ns = bl_clock_read(CLOCK_MONOTONIC);
    bl_java_classes_each(vm, env, tag_class, 0);
    done = done && !finds.oom;
    if (done) {
        bl_ref_reach_begin(class_number);
        for (size_t i = 0; i < finds.count; i++)
            bl_ref_reach_hold(finds.ids[i], class_number);
        found = bl_ref_reach_end(class_number, begun_ns - MIN_AGE_NS);
        bl_store_relaxed(&bl_header->java.reach_held, found.held);
        bl_store_relaxed(&bl_header->java.reach_lost, found.lost);
        note(&bl_header->java, gc_ns, walk_ns, end_ns);
    }
    if (finds.ids)
        bl_arena_unmap(finds.ids, finds.room * sizeof *finds.ids);
    return done;
}

/* ---- at the machine's end ---- */

/* The threads of ZGC and Shenandoah have ended before anybody is told of the machine's end: who
 * asks for a collection then would wait for ever. */
static bool is_collecting_at_end(void)
{
    static const char *const collectors[] = {"UseSerialGC", "UseParallelGC", "UseG1GC"};
    for (size_t i = 0; i < BL_ARRAY_LENGTH(collectors); i++) {
        const volatile bool *is_used = bl_hotspot_flag(collectors[i]);
        if (is_used && *is_used)
            return true;
    }
    return false;
}

bool bl_java_reach_is_possible(uint8_t class_number)
{
    struct bl_live_sums sums = bl_counters_sum(class_number);
    return sums.allocs > sums.frees && is_collecting_at_end();
}

void bl_java_reach_wait(uint8_t class_number)
{
    uint32_t word = 0;
    uint64_t old_ns = bl_ref_reach_youngest(class_number) + MIN_AGE_NS + TICK_NS;
    uint64_t now_ns = bl_clock_event_ns();
    if (now_ns >= old_ns)
        return;
    uint64_t left_ns =
        old_ns - now_ns < MIN_AGE_NS + TICK_NS ? old_ns - now_ns : MIN_AGE_NS + TICK_NS;
    struct timespec left = {.tv_nsec = (long)left_ns};
    bl_sys_futex_wait(&word, 0, &left);
}
