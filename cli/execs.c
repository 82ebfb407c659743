#include "execs.h"

#include "text.h"

#include <string.h>

bool bl_execs_describe(const struct bl_exec *exec, struct bl_exec_row *ret_row)
{
    static const char *const reasons[] = {
        [BL_EXEC_STATIC] = "is a static program: it has no loader that obeys LD_PRELOAD",
        [BL_EXEC_SECURE] = "runs with other credentials (setuid or file capabilities): the kernel "
                           "dropped LD_PRELOAD (AT_SECURE)",
        [BL_EXEC_CLASS] = "is made for another word size or machine than the shim"};
    if (exec->count == 0 || exec->reason >= sizeof(reasons) / sizeof(reasons[0]) ||
        !reasons[exec->reason])
        return false;
    *ret_row =
        (struct bl_exec_row){.why = reasons[exec->reason], .pid = exec->pid, .count = exec->count};
    bl_text_printable(ret_row->comm, sizeof(ret_row->comm), exec->comm,
                      strnlen(exec->comm, sizeof(exec->comm)));
    bl_text_printable(ret_row->path, sizeof(ret_row->path), exec->path,
                      strnlen(exec->path, sizeof(exec->path)));
    return true;
}

bool bl_execs_read(const struct bl_header *header, uint32_t index, struct bl_exec_row *ret_row)
{
    return index < BL_EXECS_MAX && bl_execs_describe(&header->execs[index], ret_row);
}

json_t *bl_execs_make_json(const struct bl_header *header)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < BL_EXECS_MAX; i++) {
        struct bl_exec_row row;
        if (bl_execs_read(header, i, &row))
            json_array_append_new(array,
                                  json_pack("{s:s, s:s, s:s, s:I, s:I}", "comm", row.comm, "path",
                                            row.path, "why", row.why, "pid", (json_int_t)row.pid,
                                            "count", (json_int_t)row.count));
    }
    return array;
}
