# libgadget, as its users would describe it.
class gadget
    library libgadget.so*
    count   field:16:4
    kind    gadget-blue  1
    kind    gadget-red   gadget_red
    # scale is a floating-point argument and has no number
    alloc   gadget_make    handle=result size=arg4*arg5 kind=arg1:4 stack-words=2
    # calls the one above
    alloc   gadget_open    handle=*arg3 size=arg2 when=zero
    retain  gadget_hold    handle=arg1 count=arg2
    release gadget_drop    handle=arg1
    # calls the one above
    release gadget_forget  handle=*arg1 wraps
    resize  gadget_resize  handle=arg1 into=result size=arg2
    replace gadget_assign  handle=*arg1 into=arg2

class gadget-queue
    library libgadget.so*
    end     destroy
    alloc   gadget_queue_make  handle=result
    destroy gadget_queue_free  handle=arg1

class gadget-arena
    library libgadget.so*
    end     destroy
    alloc   gadget_arena_make   handle=result owner=arg1
    clear   gadget_arena_clear  handle=arg1 post
    destroy gadget_arena_free   handle=arg1 post

class gadget-note
    library libgadget.so*
    end     destroy
    alloc   gadget_note_make  handle=result size=arg2 owner=arg1
    alloc   gadget_note_copy  handle=result owner-of=arg1
    destroy gadget_note_free  handle=arg1
