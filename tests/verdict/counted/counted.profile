class counted
    library libcounted.so*
    count   field:0:4
    alloc   counted_new    handle=result size=arg1:4
    retain  counted_ref
    release counted_unref
