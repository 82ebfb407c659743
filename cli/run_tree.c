#include "run_tree.h"

#include "proc.h"
#include "reader.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void bl_run_tree_deinit(struct bl_run_tree *tree)
{
    for (size_t i = 0; i < tree->count; i++)
        free(tree->processes[i].path);
    free(tree->processes);
    *tree = (struct bl_run_tree){0};
}

static struct bl_run_process *add(struct bl_run_tree *tree, const struct bl_ledger_file *file)
{
    if (tree->count == tree->room) {
        size_t room = tree->room ? tree->room * 2 : 64;
        struct bl_run_process *grown = realloc(tree->processes, room * sizeof(*grown));
        if (!grown)
            return NULL;
        tree->processes = grown;
        tree->room = room;
    }
    struct bl_run_process *process = &tree->processes[tree->count++];
    *process = (struct bl_run_process){.start_us = file->start_us, .pid = file->pid};
    return process;
}

struct bl_run_process *bl_run_tree_take(struct bl_run_tree *tree, const struct bl_ledger_file *file)
{
    struct bl_run_process *process = NULL;
    /* from the end: most events are about processes that started last */
    for (size_t i = tree->count; i-- > 0 && !process;)
        if (tree->processes[i].pid == file->pid && tree->processes[i].start_us == file->start_us)
            process = &tree->processes[i];
    if (!process)
        process = add(tree, file);
    if (process && !process->path && file->snapshot == 0)
        process->path = strdup(file->path);
    return process;
}

static void learn_parents(struct bl_run_process *process)
{
    struct bl_header header;
    struct bl_error ignored;
    int fd = process->path && !process->knows_parents ? bl_ledgers_open(process->path, false) : -1;
    if (fd < 0)
        return;
    if (bl_reader_read_header(fd, process->path, &header, &ignored) == 0) {
        struct bl_proc writer;
        process->parents[0] = header.ppid;
        process->parents[1] = header.flags & BL_FLAG_FORKED ? header.parent_pid : 0;
        process->knows_parents = true;
        process->is_member |=
            bl_proc_find_writer(&header, &writer) && bl_proc_is_below(writer.pid, getpid());
    }
    close(fd);
}

static bool is_member_pid(const struct bl_run_tree *tree, uint32_t pid)
{
    if (pid == (uint32_t)getpid())
        return true;
    for (size_t i = 0; pid != 0 && i < tree->count; i++)
        if (tree->processes[i].is_member && tree->processes[i].pid == pid)
            return true;
    return false;
}

/* A process replaced by exec has two ledgers under one number. */
static bool follows_from_others(const struct bl_run_tree *tree,
                                const struct bl_run_process *process)
{
    return is_member_pid(tree, process->pid) ||
           (process->knows_parents &&
            (is_member_pid(tree, process->parents[0]) || is_member_pid(tree, process->parents[1])));
}

bool bl_run_tree_is_member(struct bl_run_tree *tree, struct bl_run_process *process)
{
    if (!process->is_member && bl_proc_is_below((pid_t)process->pid, getpid()))
        process->is_member = true;
    for (bool changed = true; changed && !process->is_member;) {
        changed = false;
        for (size_t i = 0; i < tree->count; i++) {
            struct bl_run_process *other = &tree->processes[i];
            if (other->is_member)
                continue;
            learn_parents(other);
            if (!other->is_member && !follows_from_others(tree, other))
                continue;
            other->is_member = true;
            changed = true;
        }
    }
    return process->is_member;
}
