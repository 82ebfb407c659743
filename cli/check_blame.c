/*
 * Which test started a process that was not told by its environment, as of system(3): the one that
 * its parent ran at that time, by the times at which the parent's threads ran tests.
 */
#include "check_request.h"

#include "ledgers.h"
#include "reader.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEPTH_MAX 64 /* parents of parents that are asked */

/* A process, and the moment at which it may have been running a test. */
struct asked {
    uint32_t pid;
    uint64_t start_ns;    /* CLOCK_MONOTONIC: when its child began */
    uint64_t realtime_ns; /* the same */
};

/* Whoever forked it may have ended before it could ask who its parent is. */
static uint32_t starter_of(const struct bl_header *header)
{
    return header->flags & BL_FLAG_FORKED && header->parent_pid ? header->parent_pid : header->ppid;
}

/* What its threads ran, and when. */
static size_t read_spans(struct bl_leaks *leaks, const struct bl_reader *reader,
                         struct bl_check_span **ret_spans)
{
    char text[512];
    uint32_t threads = bl_reader_count(reader, BL_SECTION_THREADS);
    struct bl_check_span *spans = bl_leaks_memory(NULL, (threads + 1u) * sizeof(*spans));
    size_t count = 0;
    for (uint32_t i = 1; i < threads; i++) {
        const struct bl_thread *thread = bl_reader_thread(reader, i);
        if (!thread || !bl_reader_name_text(reader, thread->test_name, text, sizeof(text)))
            continue;
        bool has_ended = thread->flags & BL_THREAD_ENDED;
        spans[count++] = (struct bl_check_span){.from_ns = thread->start_ns,
                                                .to_ns = has_ended ? thread->end_ns : UINT64_MAX,
                                                .test = bl_leaks_text(leaks, text)};
    }
    *ret_spans = spans;
    return count;
}

/* The one test that was run then. False: several were, or none. */
static bool find_in_spans(const struct bl_check_span *spans, size_t count, uint64_t when_ns,
                          bool *ret_several, const char **ret_test)
{
    *ret_test = NULL;
    *ret_several = false;
    for (size_t i = 0; i < count && !*ret_several; i++) {
        if (when_ns < spans[i].from_ns || when_ns > spans[i].to_ns)
            continue;
        *ret_several = *ret_test && *ret_test != spans[i].test;
        *ret_test = *ret_several ? NULL : spans[i].test;
    }
    return *ret_test;
}

/* The one with this number that began last before the child did. */
static const struct bl_run_process *find_process(const struct bl_session *session,
                                                 const struct asked *asked)
{
    const struct bl_run_process *found = NULL;
    for (size_t i = session->tree.count; i-- > 0 && !found;) {
        const struct bl_run_process *process = &session->tree.processes[i];
        if (process->pid == asked->pid && process->start_us <= asked->realtime_ns / 1000)
            found = process;
    }
    return found;
}

static const struct bl_check_tested *find_ended(const struct bl_check_request *request,
                                                const struct bl_run_process *process)
{
    for (size_t i = request->tested_count; i-- > 0;) {
        const struct bl_check_tested *tested = &request->tested[i];
        if (tested->pid == process->pid && tested->start_us == process->start_us)
            return tested;
    }
    return NULL;
}

/* False: it ran no test, and was told none; *asked is who started it. */
static bool ask(struct bl_check_request *request, const struct bl_run_process *process,
                struct asked *asked, const char **ret_test)
{
    struct bl_header header;
    struct bl_error ignored;
    struct bl_reader *reader = NULL;
    char text[512];
    bool several = false;
    int fd = bl_ledgers_open(process->path, false);
    *ret_test = NULL;
    if (fd < 0 || bl_reader_read_header(fd, process->path, &header, &ignored) < 0) {
        if (fd >= 0)
            close(fd);
        return true;
    }
    bool has_test = header.tests_named > 0 || header.test_name != 0;
    if (has_test &&
        bl_reader_create(&reader, fd, process->path, BL_READER_SUMMARY, &ignored) == 0) {
        struct bl_check_span *spans;
        size_t count = read_spans(request->check.leaks, reader, &spans);
        if (!find_in_spans(spans, count, asked->start_ns, &several, ret_test) && !several &&
            bl_reader_name_text(reader, header.test_name, text, sizeof(text)) && *text)
            *ret_test = bl_leaks_text(request->check.leaks, text);
        free(spans);
    }
    bl_reader_destroy(reader);
    close(fd);
    *asked = (struct asked){.pid = starter_of(&header),
                            .start_ns = header.start_ns,
                            .realtime_ns = header.start_realtime_ns};
    return *ret_test || several;
}

static const char *find_test(struct bl_check_request *request, struct asked asked)
{
    const char *test = NULL;
    bool several = false;
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        const struct bl_run_process *process = find_process(&request->session, &asked);
        const struct bl_check_tested *ended = process ? find_ended(request, process) : NULL;
        if (ended) {
            bool is_clear =
                find_in_spans(ended->spans, ended->span_count, asked.start_ns, &several, &test);
            return is_clear || several ? test : ended->test;
        }
        if (!process || !process->path || ask(request, process, &asked, &test))
            break;
    }
    return test;
}

/* What it was before it became this program, whose parent may have ended meanwhile; else who
 * started it. */
static struct asked whom_to_ask(const struct bl_check_request *request,
                                const struct bl_header *header)
{
    struct asked before = {.pid = header->pid,
                           .start_ns = header->start_ns,
                           .realtime_ns = header->start_realtime_ns - 1000};
    const struct bl_run_process *process = find_process(&request->session, &before);
    const struct bl_check_tested *ended = process ? find_ended(request, process) : NULL;
    if (ended && ended->was_replaced)
        return before;
    return (struct asked){.pid = starter_of(header),
                          .start_ns = header->start_ns,
                          .realtime_ns = header->start_realtime_ns};
}

const char *bl_check_find_test(struct bl_check_request *request, const struct bl_target *target)
{
    const struct bl_header *header = &target->header;
    const struct asked asked = whom_to_ask(request, header);
    /* what one was told is in its ledger, and in the environment of its children */
    const char *test = header->test_name == 0 ? find_test(request, asked) : NULL;
    struct bl_check_tested tested = {
        .pid = header->pid, .test = test, .was_replaced = header->state == BL_STATE_EXECED};
    const char *slash = strrchr(target->path, '/');
    uint32_t pid;
    uint32_t snapshot;
    bl_ledgers_parse_name(slash ? slash + 1 : target->path, &pid, &tested.start_us, &snapshot);
    struct bl_reader *reader = NULL;
    struct bl_error ignored;
    if (header->tests_named > 0 &&
        bl_reader_create(&reader, target->fd, target->path, BL_READER_SUMMARY, &ignored) == 0)
        tested.span_count = read_spans(request->check.leaks, reader, &tested.spans);
    bl_reader_destroy(reader);
    request->tested =
        bl_leaks_memory(request->tested, (request->tested_count + 1) * sizeof(*request->tested));
    request->tested[request->tested_count++] = tested;
    return test;
}

void bl_check_forget_tests(struct bl_check_request *request)
{
    for (size_t i = 0; i < request->tested_count; i++)
        free(request->tested[i].spans);
    free(request->tested);
}
