class left
    library libleft.so
    count   field:0:8
    alloc   left_new      size=32
    alloc   left_part     owner=arg1 size=32
    retain  left_ref
    release left_unref
    destroy left_destroy  post
    clear   left_clear    post
    replace left_swap     handle=*arg1 into=arg2
    resize  left_resize   into=result size=128
    steal   left_steal
