#include "view.h"

const char *bl_view_reason(const struct bl_view *view)
{
    const struct bl_header *header = view->header;
    /* the last state of a process that has ended is its exit snapshot */
    if (header->snapshot_number == 0)
        return view->model->state == BL_PROCESS_RUNNING ? "live" : "exit";
    switch (header->snapshot_reason) {
    case BL_REASON_SIGNAL:
        return "signal";
    case BL_REASON_DUMP:
        return "dump";
    case BL_REASON_EXIT:
        return "exit";
    case BL_REASON_LIMIT:
        return "limit";
    default:
        return "live";
    }
}

const char *bl_view_state(const struct bl_view *view)
{
    switch (view->model->state) {
    case BL_PROCESS_RUNNING:
        return "running";
    case BL_PROCESS_KILLED:
        return "killed";
    case BL_PROCESS_EXITED:
    case BL_PROCESS_REPLACED:
        break;
    }
    return "exited";
}
