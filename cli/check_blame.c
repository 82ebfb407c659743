/*
 * Which test started a process that was not told by its environment, as of system(3): the one that
 * its parent ran at that time, by the times at which the parent's threads ran tests.
 */
#include "check_request.h"

#include "ledgers.h"
#include "reader.h"

#include <string.h>
#include <unistd.h>

#define DEPTH_MAX 64 /* parents of parents that are asked */

/* A process, and the moment at which it may have been running a test. */
struct asked {
    uint32_t pid;
    uint64_t start_ns;    /* CLOCK_MONOTONIC: when its child began */
    uint64_t realtime_ns; /* the same */
};

static bool ran_then(const struct bl_thread *thread, uint64_t when_ns)
{
    return thread->test_name != 0 && thread->start_ns <= when_ns &&
           (!(thread->flags & BL_THREAD_ENDED) || thread->end_ns >= when_ns);
}

/* The one test of the process's threads at that time. */
static const char *find_among_threads(struct bl_leaks *leaks, const struct bl_reader *reader,
                                      uint64_t when_ns, bool *ret_several)
{
    char text[512];
    const char *found = NULL;
    uint32_t count = bl_reader_count(reader, BL_SECTION_THREADS);
    *ret_several = false;
    for (uint32_t i = 1; i < count; i++) {
        const struct bl_thread *thread = bl_reader_thread(reader, i);
        if (!thread || !ran_then(thread, when_ns) ||
            !bl_reader_name_text(reader, thread->test_name, text, sizeof(text)))
            continue;
        const char *name = bl_leaks_text(leaks, text);
        *ret_several |= found && found != name;
        found = name;
    }
    return *ret_several ? NULL : found;
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
        if (tested->pid == process->pid && tested->start_ns / 1000 == process->start_us)
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
        *ret_test = find_among_threads(request->check.leaks, reader, asked->start_ns, &several);
        if (!*ret_test && !several &&
            bl_reader_name_text(reader, header.test_name, text, sizeof(text)) && *text)
            *ret_test = bl_leaks_text(request->check.leaks, text);
    }
    bl_reader_destroy(reader);
    close(fd);
    *asked = (struct asked){
        .pid = header.ppid, .start_ns = header.start_ns, .realtime_ns = header.start_realtime_ns};
    return *ret_test || several;
}

static const char *find_test(struct bl_check_request *request, struct asked asked)
{
    const char *test = NULL;
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        const struct bl_run_process *process = find_process(&request->session, &asked);
        const struct bl_check_tested *ended = process ? find_ended(request, process) : NULL;
        if (ended)
            return ended->test;
        if (!process || !process->path || ask(request, process, &asked, &test))
            break;
    }
    return test;
}

const char *bl_check_find_test(struct bl_check_request *request, const struct bl_target *target)
{
    const struct bl_header *header = &target->header;
    const struct asked asked = {.pid = header->ppid,
                                .start_ns = header->start_ns,
                                .realtime_ns = header->start_realtime_ns};
    /* what one was told is in its ledger, and in the environment of its children */
    const char *test = header->test_name == 0 ? find_test(request, asked) : NULL;
    request->tested =
        bl_leaks_memory(request->tested, (request->tested_count + 1) * sizeof(*request->tested));
    request->tested[request->tested_count++] = (struct bl_check_tested){
        .pid = header->pid, .start_ns = header->start_realtime_ns, .test = test};
    return test;
}
