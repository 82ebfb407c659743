#include "check_request.h"

#include "leaks.h"
#include "text.h"

#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#define SPACE_LEAST (256ul * 1024) /* bytes: a ledger begins with less */

void bl_check_note_replaced(struct bl_check_request *request, const struct bl_header *header)
{
    request->replaced = bl_leaks_memory(request->replaced,
                                        (request->replaced_count + 1) * sizeof(*request->replaced));
    struct bl_check_replaced *replaced = &request->replaced[request->replaced_count++];
    *replaced =
        (struct bl_check_replaced){.pid = header->pid, .start_ns = header->start_realtime_ns};
    bl_text_printable(replaced->comm, sizeof(replaced->comm), header->comm,
                      strnlen(header->comm, sizeof(header->comm)));
}

void bl_check_look_at_space(struct bl_check_request *request)
{
    struct statvfs space;
    if (statvfs(request->session.env.directory, &space) == 0)
        request->was_full |= space.f_bavail * space.f_frsize < SPACE_LEAST ||
                             (space.f_files > 0 && space.f_favail == 0);
}

void bl_check_take_notes(struct bl_check_request *request, const struct bl_header *header)
{
    for (size_t i = 0; i < BL_EXECS_MAX; i++) {
        const struct bl_exec *exec = &header->execs[i];
        if (exec->reason == BL_EXEC_TRACKED || exec->count == 0)
            continue;
        request->noted =
            bl_leaks_memory(request->noted, (request->noted_count + 1) * sizeof(*request->noted));
        request->noted[request->noted_count++] =
            (struct bl_check_noted){.exec = *exec, .start_ns = header->start_realtime_ns};
    }
}

static void append(struct bl_check *check, const struct bl_untracked *untracked)
{
    check->untracked =
        bl_leaks_memory(check->untracked, (check->untracked_count + 1) * sizeof(*check->untracked));
    check->untracked[check->untracked_count++] = *untracked;
}

static void add_untracked(struct bl_check *check, const struct bl_untracked *untracked,
                          const char *exe)
{
    const struct bl_check_names names = {.comm = untracked->comm, .exe = exe, .script = ""};
    char left_out[512];
    if (bl_check_leaves_out(check, &names, left_out, sizeof(left_out)))
        return;
    append(check, untracked);
}

static void add_unseen(struct bl_check *check, pid_t pid, const char *comm, const char *why)
{
    struct bl_untracked untracked = {.pid = pid, .count = 1, .why = why};
    snprintf(untracked.comm, sizeof(untracked.comm), "%s", comm);
    add_untracked(check, &untracked, comm);
}

static bool is_suspect(const struct bl_session *session, uint32_t pid)
{
    for (size_t i = 0; i < session->suspect_count; i++)
        if (session->suspects[i].pid == (pid_t)pid && session->suspects[i].was_said)
            return true;
    return false;
}

static void add_noted(struct bl_check_request *request, const struct bl_check_noted *noted)
{
    struct bl_exec_row row;
    char why[sizeof(row.path) + 160];
    if (!bl_execs_describe(&noted->exec, &row) ||
        bl_session_has_successor(&request->session, noted->exec.pid, noted->start_ns))
        return;
    struct bl_untracked untracked = {.pid = (pid_t)row.pid, .count = row.count};
    snprintf(untracked.comm, sizeof(untracked.comm), "%s", row.comm);
    snprintf(why, sizeof(why), "%s %s", row.path, row.why);
    untracked.why = bl_leaks_text(request->check.leaks, why);
    add_untracked(&request->check, &untracked, row.path);
}

/* Was it told by who started it? Then the kernel's numbers and names are the same. */
static bool is_noted(const struct bl_check_request *request, uint32_t pid, const char *comm)
{
    for (size_t i = 0; i < request->noted_count; i++) {
        const struct bl_exec *exec = &request->noted[i].exec;
        if (exec->pid == pid || strncmp(exec->comm, comm, sizeof(exec->comm)) == 0)
            return true;
    }
    return false;
}

void bl_check_find_untracked(struct bl_check_request *request)
{
    struct bl_session *session = &request->session;
    struct bl_check *check = &request->check;
    for (size_t i = 0; i < request->noted_count; i++)
        add_noted(request, &request->noted[i]);
    for (size_t i = 0; i < session->suspect_count; i++) {
        const struct bl_suspect *suspect = &session->suspects[i];
        if (suspect->was_said && !is_noted(request, (uint32_t)suspect->pid, suspect->comm))
            add_unseen(check, suspect->pid, suspect->comm, suspect->why);
    }
    for (size_t i = 0; i < request->replaced_count; i++) {
        const struct bl_check_replaced *replaced = &request->replaced[i];
        if (!bl_session_has_successor(session, replaced->pid, replaced->start_ns) &&
            !is_suspect(session, replaced->pid) && !is_noted(request, replaced->pid, ""))
            add_unseen(check, (pid_t)replaced->pid, "(after exec)",
                       "what it became by exec left no ledger: static, set-user-ID, without "
                       "LD_PRELOAD, or run by a user who may not write there");
    }
    if (check->untracked_count > 0)
        return;
    if (request->was_full) {
        /* whatever name they have */
        struct bl_untracked some = {
            .pid = session->child,
            .count = 1,
            .comm = "(some)",
            .why = "the disk with the directory for ledgers was full: set TMPDIR"};
        append(check, &some);
    } else if (bl_leaks_process_count(check->leaks) == 0) {
        add_unseen(check, session->child, session->child_name,
                   "it left no ledger: static, set-user-ID, its LD_PRELOAD was dropped, or its "
                   "user may not write there");
    }
}
