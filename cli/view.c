#include "view.h"

#include "text.h"

static const char *reason_of(const struct bl_header *header)
{
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

const char *bl_view_reason(const struct bl_view *view)
{
    /* the last state of a process that has ended is its exit snapshot */
    if (view->header->snapshot_number == 0)
        return view->model->state == BL_PROCESS_RUNNING ? "live" : "exit";
    return reason_of(view->header);
}

void bl_view_moment(char *out, size_t size, const struct bl_header *header,
                    enum bl_process_state state)
{
    char signal[BL_TEXT_NUMBER];
    if (header->snapshot_number > 0) {
        bool by_signal = header->snapshot_reason == BL_REASON_SIGNAL;
        snprintf(out, size, "snapshot %u (%s)", header->snapshot_number,
                 by_signal ? bl_text_signal(signal, header->signal) : reason_of(header));
        return;
    }
    switch (state) {
    case BL_PROCESS_RUNNING:
        snprintf(out, size, "live");
        return;
    case BL_PROCESS_KILLED:
        snprintf(out, size, "killed");
        return;
    case BL_PROCESS_REPLACED:
        snprintf(out, size, "replaced by another program (exec)");
        return;
    case BL_PROCESS_EXITED:
        break;
    }
    if (header->exit_kind == BL_EXIT_ABORT)
        snprintf(out, size, "aborted");
    else
        snprintf(out, size, "exited with status %d", header->exit_status);
}

const char *bl_view_state_name(enum bl_process_state state)
{
    switch (state) {
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

const char *bl_view_state(const struct bl_view *view)
{
    return bl_view_state_name(view->model->state);
}

const char *bl_view_missing_root(const struct bl_view *view, const uint32_t *frames, size_t count)
{
    const struct bl_frame *outermost =
        count > 0 ? bl_reader_frame(view->reader, frames[count - 1]) : NULL;
    if (!outermost)
        return "[no stack]";
    if (outermost->module & BL_FRAME_TRUNCATED)
        return "[cut at the depth]";
    return outermost->module & BL_FRAME_UNROOTED ? "[no unwind information]" : NULL;
}
