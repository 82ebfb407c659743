#include "ledger_synth.h"

#include "sample_code.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const size_t record_sizes[BL_SECTION_COUNT] = {
    [BL_SECTION_NAMES] = 1,
    [BL_SECTION_MODULES] = sizeof(struct bl_module),
    [BL_SECTION_FRAMES] = sizeof(struct bl_frame),
    [BL_SECTION_THREADS] = sizeof(struct bl_thread),
    [BL_SECTION_CLASSES] = sizeof(struct bl_class),
    [BL_SECTION_COUNTERS] = sizeof(struct bl_counters),
    [BL_SECTION_LIVE] = sizeof(struct bl_live),
    [BL_SECTION_HOOKS] = sizeof(struct bl_hook),
    [BL_SECTION_OBJECTS] = sizeof(struct bl_object),
    [BL_SECTION_EVENTS] = sizeof(struct bl_event),
    [BL_SECTION_LIFECYCLES] = sizeof(struct bl_lifecycle),
    [BL_SECTION_SERIES] = sizeof(struct bl_series),
    [BL_SECTION_SAMPLES] = sizeof(struct bl_samples),
    [BL_SECTION_MARKS] = sizeof(struct bl_mark),
    [BL_SECTION_BOUNDARIES] = sizeof(struct bl_boundary),
    [BL_SECTION_FREE_PATHS] = sizeof(struct bl_free_path),
    [BL_SECTION_REACH] = sizeof(struct bl_reach),
    [BL_SECTION_REACH_ROOTS] = sizeof(struct bl_reach_root),
    [BL_SECTION_REACH_RUN] = sizeof(struct bl_reach_run),
    [BL_SECTION_ASSEMBLIES] = sizeof(struct bl_assembly),
};

static void die(const char *what)
{
    perror(what);
    abort();
}

/* Room doubles, so that a million records are not copied a million times. */
static size_t room_for(size_t length)
{
    size_t room = 4096;
    while (room < length)
        room *= 2;
    return room;
}

static uint32_t append(struct synth *synth, enum bl_section section, const void *bytes,
                       size_t length)
{
    size_t at = synth->sections[section].length;
    uint8_t *grown = synth->sections[section].data;
    if (at == 0 || room_for(at + length) > room_for(at))
        grown = realloc(grown, room_for(at + length));
    if (!grown)
        die("realloc");
    memcpy(grown + at, bytes, length);
    synth->sections[section].data = grown;
    synth->sections[section].length = at + length;
    return (uint32_t)(at / record_sizes[section]);
}

struct synth *synth_create(void)
{
    static const struct bl_module no_module;
    static const struct bl_frame root;
    static const struct bl_thread no_thread;
    static const struct bl_live no_live;
    static const struct bl_object no_object;
    static const struct bl_event no_event;
    static const struct bl_lifecycle no_lifecycle;
    static const struct bl_free_path no_path;
    struct synth *synth = calloc(1, sizeof(*synth));
    if (!synth)
        die("calloc");
    struct bl_header *header = &synth->header;
    memcpy(header->magic, BL_MAGIC, sizeof(header->magic));
    header->version = BL_VERSION_FORMAT;
    header->header_size = sizeof(*header);
    header->pid = 4242;
    header->state = BL_STATE_EXITED;
    header->exit_kind = BL_EXIT_EXIT;
    header->start_realtime_ns = 1700000000123456789ull;
    header->start_ns = 1000000000;
    header->end_ns = 752000000000;
    header->depth_frames = 64;
    header->sample_bytes = 1;
    header->signal = 10;
    memcpy(header->comm, "gateway", 8);
    memcpy(header->tool_version, BL_VERSION, sizeof(BL_VERSION));
    append(synth, BL_SECTION_NAMES, "\0\0\0", 4);
    append(synth, BL_SECTION_MODULES, &no_module, sizeof(no_module));
    append(synth, BL_SECTION_FRAMES, &root, sizeof(root));
    append(synth, BL_SECTION_THREADS, &no_thread, sizeof(no_thread));
    append(synth, BL_SECTION_LIVE, &no_live, sizeof(no_live));
    append(synth, BL_SECTION_OBJECTS, &no_object, sizeof(no_object));
    append(synth, BL_SECTION_EVENTS, &no_event, sizeof(no_event));
    append(synth, BL_SECTION_LIFECYCLES, &no_lifecycle, sizeof(no_lifecycle));
    append(synth, BL_SECTION_FREE_PATHS, &no_path, sizeof(no_path));
    return synth;
}

void synth_destroy(struct synth *synth)
{
    for (int i = 0; i < BL_SECTION_COUNT; i++)
        free(synth->sections[i].data);
    free(synth);
}

uint32_t synth_name(struct synth *synth, const char *text, size_t length)
{
    uint32_t prefix = (uint32_t)length;
    uint32_t at = append(synth, BL_SECTION_NAMES, &prefix, sizeof(prefix));
    append(synth, BL_SECTION_NAMES, text, length);
    append(synth, BL_SECTION_NAMES, "\0\0\0\0", 4 - length % 4);
    return at;
}

uint32_t synth_module(struct synth *synth, const char *path, const void *build_id,
                      uint32_t build_id_length, uint32_t flags)
{
    struct bl_module module = {.path_name = synth_name(synth, path, strlen(path)),
                               .build_id_length = build_id_length,
                               .flags = flags};
    if (build_id_length > 0)
        memcpy(module.build_id, build_id, build_id_length);
    return append(synth, BL_SECTION_MODULES, &module, sizeof(module));
}

uint32_t synth_frame(struct synth *synth, uint32_t parent, uint32_t module, uint64_t offset)
{
    struct bl_frame frame = {.parent = parent, .module = module, .offset = offset};
    return append(synth, BL_SECTION_FRAMES, &frame, sizeof(frame));
}

uint32_t synth_thread(struct synth *synth, uint32_t tid, const char *name)
{
    struct bl_thread thread = {.tid = tid};
    memcpy(thread.name, name, strnlen(name, sizeof(thread.name)));
    return append(synth, BL_SECTION_THREADS, &thread, sizeof(thread));
}

uint32_t synth_class(struct synth *synth, const char *name)
{
    static const struct bl_counters zero;
    struct bl_class class = {.name = synth_name(synth, name, strlen(name))};
    append(synth, BL_SECTION_COUNTERS, &zero, sizeof(zero));
    return append(synth, BL_SECTION_CLASSES, &class, sizeof(class));
}

void synth_hook(struct synth *synth, const char *function, uint32_t class_number, uint32_t method,
                const char *why)
{
    struct bl_hook hook = {.function_name = synth_name(synth, function, strlen(function)),
                           .class_number = class_number,
                           .method = method};
    if (why)
        hook.why_name = synth_name(synth, why, strlen(why));
    append(synth, BL_SECTION_HOOKS, &hook, sizeof(hook));
}

void synth_lasting(struct synth *synth, const char *path, uint32_t start, uint32_t bytes,
                   uint32_t flags)
{
    struct bl_hook hook = {.function_name = synth_name(synth, "set_up", 6),
                           .module_name = synth_name(synth, path, strlen(path)),
                           .method = BL_HOOK_LASTING,
                           .code_start = start,
                           .code_bytes = bytes,
                           .flags = flags};
    append(synth, BL_SECTION_HOOKS, &hook, sizeof(hook));
}

void *synth_record(struct synth *synth, enum bl_section section, uint32_t number)
{
    return synth->sections[section].data + number * record_sizes[section];
}

uint32_t synth_live(struct synth *synth, uint32_t class_number, uint64_t size, uint32_t stack,
                    uint32_t thread, uint64_t birth_ns)
{
    uint32_t number = (uint32_t)(synth->sections[BL_SECTION_LIVE].length / sizeof(struct bl_live));
    struct bl_live live = {.word = BL_LIVE_BIT | (uint64_t)class_number << BL_LIVE_CLASS_SHIFT |
                                   size << BL_LIVE_SIZE_SHIFT,
                           .address = 0x10000 + number * 64ull,
                           .birth_ns = birth_ns,
                           .stack = stack,
                           .thread = thread};
    struct bl_counters *counters = synth_record(synth, BL_SECTION_COUNTERS, class_number);
    counters->shard[number % BL_SHARDS].allocs++;
    counters->shard[number % BL_SHARDS].alloc_bytes += size;
    return append(synth, BL_SECTION_LIVE, &live, sizeof(live));
}

void synth_ended(struct synth *synth, uint32_t class_number, uint64_t count, uint64_t bytes)
{
    struct bl_counters *counters = synth_record(synth, BL_SECTION_COUNTERS, class_number);
    /* allocated under one shard, released under another, as threads do */
    counters->shard[1].allocs += count;
    counters->shard[1].alloc_bytes += bytes;
    counters->shard[2].frees += count;
    counters->shard[2].free_bytes += bytes;
}

void synth_refcounted(struct synth *synth, uint32_t class_number, const char *own_modules)
{
    uint32_t name = synth_name(synth, own_modules, strlen(own_modules));
    struct bl_class *class = synth_record(synth, BL_SECTION_CLASSES, class_number);
    class->flags |= BL_CLASS_REFCOUNTED;
    class->own_modules = name;
}

/* Appends the operations, oldest first, as a list; returns its newest and counts. A birth is no
 * event. */
static uint32_t append_events(struct synth *synth, const struct synth_op *ops, size_t count,
                              struct bl_counter *counter, uint64_t weight)
{
    uint32_t newest = 0;
    int32_t refs = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t folded = ops[i].folded ? ops[i].folded : 1;
        refs += ops[i].delta * (int32_t)folded;
        if (ops[i].op == BL_OP_ALLOC)
            continue;
        struct bl_event event = {.time_ns = ops[i].time_ns,
                                 .next = newest,
                                 .stack = ops[i].stack,
                                 .thread = ops[i].thread,
                                 .delta = ops[i].delta,
                                 .folded = folded,
                                 .op = (uint16_t)ops[i].op,
                                 .count_after = (int16_t)refs};
        newest = append(synth, BL_SECTION_EVENTS, &event, sizeof(event));
        counter->retains += ops[i].op == BL_OP_RETAIN ? folded * weight : 0;
        counter->releases +=
            ops[i].op == BL_OP_RELEASE || ops[i].op == BL_OP_END ? folded * weight : 0;
        counter->over_releases += ops[i].op == BL_OP_OVER_RELEASE ? folded * weight : 0;
    }
    return newest;
}

/* A birth each microsecond, somewhere in the process. */
static uint32_t birth_number(uint64_t birth_ns)
{
    return (uint32_t)(birth_ns / 1000);
}

uint32_t synth_object(struct synth *synth, uint32_t class_number, uint64_t size, uint64_t birth_ns,
                      const struct synth_op *ops, size_t count)
{
    struct bl_counters *counters = synth_record(synth, BL_SECTION_COUNTERS, class_number);
    struct bl_counter *counter = &counters->shard[3];
    int32_t refs = 0;
    for (size_t i = 0; i < count; i++)
        refs += ops[i].delta * (int32_t)(ops[i].folded ? ops[i].folded : 1);
    uint32_t births = count > 0 && ops[0].op == BL_OP_ALLOC;
    uint32_t newest = append_events(synth, ops, count, counter, 1);
    uint32_t number =
        (uint32_t)(synth->sections[BL_SECTION_OBJECTS].length / sizeof(struct bl_object));
    counter->allocs++;
    counter->alloc_bytes += size;
    struct bl_object object = {.word = BL_LIVE_BIT | (uint64_t)class_number << BL_LIVE_CLASS_SHIFT |
                                       size << BL_LIVE_SIZE_SHIFT,
                               .address = 0x500000 + number * 64ull,
                               .birth_ns = birth_ns,
                               .birth = birth_number(birth_ns),
                               .stack = count > 0 ? ops[0].stack : 0,
                               .thread = count > 0 ? ops[0].thread : 0,
                               .refs = refs,
                               .events = newest,
                               .event_count = (uint8_t)(count - births)};
    return append(synth, BL_SECTION_OBJECTS, &object, sizeof(object));
}

uint32_t synth_lifecycle(struct synth *synth, uint32_t class_number, uint64_t count,
                         uint64_t lifetime_ns, uint64_t last_ns, const struct synth_op *ops,
                         size_t op_count)
{
    struct bl_counters *counters = synth_record(synth, BL_SECTION_COUNTERS, class_number);
    struct bl_counter *counter = &counters->shard[4];
    uint32_t births = op_count > 0 && ops[0].op == BL_OP_ALLOC;
    unsigned bucket = 0;
    while (bucket + 1 < BL_LIFETIME_BUCKETS && lifetime_ns >= 1000ull << (2 * bucket))
        bucket++;
    struct bl_lifecycle life = {.hash = synth->sections[BL_SECTION_LIFECYCLES].length * 77,
                                .count = count,
                                .bytes = count * 100,
                                .min_ns = lifetime_ns / 2,
                                .max_ns = lifetime_ns,
                                .total_ns = lifetime_ns * count,
                                .last_ns = last_ns,
                                .events = append_events(synth, ops, op_count, counter, count),
                                .event_count = (uint32_t)op_count - births,
                                .class_number = class_number,
                                .alloc_stack = births ? ops[0].stack : 0};
    life.histogram[bucket] = (uint32_t)count;
    /* one request after the other */
    life.newest_ns = last_ns > lifetime_ns ? last_ns - lifetime_ns : 0;
    life.newest = birth_number(life.newest_ns);
    life.span = life.newest - birth_number(synth->header.start_ns);
    life.lags[0] = (uint32_t)count;
    counter->allocs += count;
    counter->alloc_bytes += life.bytes;
    counter->frees += count;
    counter->free_bytes += life.bytes;
    return append(synth, BL_SECTION_LIFECYCLES, &life, sizeof(life));
}

uint32_t synth_series(struct synth *synth, enum bl_series_kind kind, uint32_t class_number,
                      uint32_t stack, uint64_t since_ns)
{
    static const struct bl_series none;
    struct bl_series series = {.kind = (uint32_t)kind,
                               .class_number = class_number,
                               .stack = stack,
                               .site = stack,
                               .since_ns = since_ns};
    if (synth->sections[BL_SECTION_SERIES].length == 0)
        append(synth, BL_SECTION_SERIES, &none, sizeof(none));
    return append(synth, BL_SECTION_SERIES, &series, sizeof(series));
}

/* Into a block, as many as fit. */
static size_t fill_block(struct bl_samples *block, const struct bl_sample *samples, size_t count)
{
    uint64_t base_ns = block->base_ns;
    struct bl_sample last = {0};
    uint32_t step = 0;
    uint32_t used = 0;
    uint32_t n = 0;
    block->base_ns = base_ns + samples[0].after * block->unit_ns;
    for (; n < count; n++) {
        uint8_t code[BL_SAMPLE_CODE_MAX];
        uint64_t tenth = samples[n].bytes / 10;
        struct bl_coarse_sample sample = {.last = samples[n],
                                          .min_bytes = samples[n].bytes - tenth,
                                          .max_bytes = samples[n].bytes + tenth};
        uint32_t length = bl_sample_encode(code, block->level, n, step, &last, &sample);
        if (length > sizeof(block->code) - used)
            break;
        memcpy(block->code + used, code, length);
        used += length;
        step = n > 0 ? samples[n].after - samples[n - 1].after : 0;
        last = samples[n];
        block->head = (uint64_t)(samples[n].after - samples[0].after) << 32 | used;
    }
    return n;
}

void synth_samples(struct synth *synth, uint32_t series, uint32_t level, uint64_t base_ns,
                   uint64_t unit_ns, const struct bl_sample *samples, size_t count)
{
    static const struct bl_samples none;
    if (synth->sections[BL_SECTION_SAMPLES].length == 0)
        append(synth, BL_SECTION_SAMPLES, &none, sizeof(none));
    for (size_t at = 0; at < count;) {
        struct bl_samples block = {.serial = synth->sections[BL_SECTION_SAMPLES].length /
                                             sizeof(struct bl_samples),
                                   .base_ns = base_ns,
                                   .unit_ns = unit_ns,
                                   .series = series,
                                   .level = level};
        at += fill_block(&block, samples + at, count - at);
        append(synth, BL_SECTION_SAMPLES, &block, sizeof(block));
    }
}

uint32_t synth_mark(struct synth *synth, const char *name, enum bl_mark_kind kind, uint64_t time_ns)
{
    struct bl_mark mark = {
        .serial = synth->sections[BL_SECTION_MARKS].length / sizeof(struct bl_mark) + 1,
        .time_ns = time_ns,
        .kind = (uint32_t)kind,
        .class_count = 1};
    memcpy(mark.name, name, strnlen(name, sizeof(mark.name) - 1));
    const struct bl_counters *counters = synth_record(synth, BL_SECTION_COUNTERS, 0);
    for (size_t i = 0; i < BL_SHARDS; i++) {
        const struct bl_counter *shard = &counters->shard[i];
        mark.classes[0].live_bytes += shard->alloc_bytes - shard->free_bytes;
        mark.classes[0].live_count += shard->allocs - shard->frees;
        mark.classes[0].allocs += shard->allocs;
        mark.classes[0].ended += shard->frees;
    }
    return append(synth, BL_SECTION_MARKS, &mark, sizeof(mark));
}

uint32_t synth_boundary(struct synth *synth, const char *function, uint64_t completed)
{
    struct bl_boundary boundary = {.completed = completed,
                                   .function_name = synth_name(synth, function, strlen(function))};
    return append(synth, BL_SECTION_BOUNDARIES, &boundary, sizeof(boundary));
}

static struct bl_reach *reach_of(struct synth *synth, uint32_t live)
{
    static const struct bl_reach none;
    while (synth->sections[BL_SECTION_REACH].length <
           synth->sections[BL_SECTION_LIVE].length / sizeof(struct bl_live) * sizeof(none))
        append(synth, BL_SECTION_REACH, &none, sizeof(none));
    struct bl_reach *reach = synth_record(synth, BL_SECTION_REACH, live);
    reach->check = bl_reach_check(synth_record(synth, BL_SECTION_LIVE, live));
    return reach;
}

void synth_reach(struct synth *synth, uint32_t live, enum bl_reach_grade grade, uint32_t holder,
                 uint64_t slot)
{
    struct bl_reach *reach = reach_of(synth, live);
    reach->grade = (uint8_t)grade;
    reach->holder = holder;
    reach->slot = slot;
}

void synth_reach_root(struct synth *synth, uint32_t live, const struct bl_reach_root *root)
{
    static const struct bl_reach_root none;
    struct bl_reach *reach = reach_of(synth, live);
    if (synth->sections[BL_SECTION_REACH_ROOTS].length == 0)
        append(synth, BL_SECTION_REACH_ROOTS, &none, sizeof(none));
    reach->grade = BL_REACH_EXACT;
    reach->is_root = 1;
    reach->holder = append(synth, BL_SECTION_REACH_ROOTS, root, sizeof(*root));
    reach->slot = root->slot;
}

struct bl_reach_run *synth_reach_run(struct synth *synth, enum bl_reach_outcome outcome,
                                     const char *why)
{
    struct bl_reach_run run = {
        .outcome = (uint32_t)outcome, .method = BL_REACH_BY_CLONE, .flags = BL_REACH_AT_EXIT};
    if (why)
        run.why_name = synth_name(synth, why, strlen(why));
    append(synth, BL_SECTION_REACH_RUN, &run, sizeof(run));
    return synth_record(synth, BL_SECTION_REACH_RUN, 0);
}

uint32_t synth_free_path(struct synth *synth, uint32_t alloc_stack, uint32_t free_stack,
                         uint64_t count, enum bl_op op)
{
    struct bl_free_path path = {.alloc_stack = alloc_stack,
                                .free_stack = free_stack,
                                .count = count,
                                .bytes = count * 100,
                                .op = (uint32_t)op,
                                .check = bl_free_path_check(alloc_stack, free_stack)};
    return append(synth, BL_SECTION_FREE_PATHS, &path, sizeof(path));
}

uint32_t synth_assembly(struct synth *synth, uint32_t stack, const char *text,
                        enum bl_assembly_relation relation, uint32_t count)
{
    static const struct bl_assembly none;
    struct bl_assembly assembly = {.stack = stack,
                                   .name = synth_name(synth, text, strlen(text)),
                                   .relation = (uint32_t)relation,
                                   .count = count};
    if (synth->sections[BL_SECTION_ASSEMBLIES].length == 0)
        append(synth, BL_SECTION_ASSEMBLIES, &none, sizeof(none));
    return append(synth, BL_SECTION_ASSEMBLIES, &assembly, sizeof(assembly));
}

/* Pages of the next extent of a section with `left` bytes to go. */
static uint32_t pages_for(const struct synth *synth, size_t left)
{
    size_t pages = (left + BL_PAGE - 1) / BL_PAGE;
    pages = (pages + 2) / 3 * 3;
    if (synth->extent_pages > 0 && pages > synth->extent_pages)
        pages = synth->extent_pages;
    return (uint32_t)pages;
}

uint8_t *synth_bytes(struct synth *synth, size_t *ret_size)
{
    struct bl_extent extents[BL_EXTENTS_MAX] = {0};
    uint32_t used = 0;
    size_t size = BL_EXTENTS_END;
    uint8_t *file = calloc(1, size);
    for (unsigned s = 0; s < BL_SECTION_COUNT; s++) {
        size_t length = synth->sections[s].length;
        for (size_t at = 0; at < length;) {
            uint32_t pages = pages_for(synth, length - at);
            size_t piece = (size_t)pages * BL_PAGE;
            /* a piece ends at a whole record */
            size_t room = piece / record_sizes[s] * record_sizes[s];
            size_t taken = length - at < room ? length - at : room;
            file = realloc(file, size + piece);
            if (!file || used == BL_EXTENTS_MAX)
                die("extents");
            memset(file + size, 0, piece);
            memcpy(file + size, synth->sections[s].data + at, taken);
            extents[used++] =
                (struct bl_extent){.offset = size, .pages = pages, .section = (uint16_t)s};
            size += piece;
            at += taken;
        }
        synth->header.published[s] = length / record_sizes[s];
    }
    if (!file)
        die("realloc");
    synth->header.extents_used = used;
    memcpy(file, &synth->header, sizeof(synth->header));
    memcpy(file + BL_EXTENTS_OFFSET, extents, sizeof(extents));
    *ret_size = size;
    return file;
}

void synth_write(struct synth *synth, const char *path)
{
    size_t size;
    uint8_t *bytes = synth_bytes(synth, &size);
    FILE *file = fopen(path, "we");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        die(path);
    free(bytes);
}

int synth_file(const void *bytes, size_t size)
{
    int fd = memfd_create("synth", MFD_CLOEXEC);
    if (fd < 0)
        die("memfd_create");
    for (size_t at = 0; at < size;) {
        ssize_t put = pwrite(fd, (const uint8_t *)bytes + at, size - at, (off_t)at);
        if (put < 0)
            die("pwrite");
        at += (size_t)put;
    }
    return fd;
}
