class deep
    library libdeep.so
    alloc   deep_new        size=32
    alloc   deep_part       owner=arg1 size=32
    retain  deep_ref
    release deep_unref
    release deep_drop       wraps
    destroy deep_destroy    post
    clear   deep_clear      post
    replace deep_swap       handle=*arg1 into=arg2
    steal   deep_steal      when=nonzero
    steal   deep_steal_copy
    resize  deep_resize     into=result size=128
