class tight
    library libtight.so*
    end zero
    alloc   tight_new    handle=result
    retain  tight_ref    handle=arg1
    release tight_unref  handle=arg1
