# libevent 2.1. The public functions take and give references by internal ones, which the libraries
# export for each other.

class evbuffer
    library libevent-2.1.so* libevent_core-2.1.so*
    own libevent*-2.1.so*
    count field:72:4
    end zero
    alloc   evbuffer_new                 handle=result
    retain  evbuffer_incref_             handle=arg1
    retain  evbuffer_incref_and_lock_    handle=arg1
    # evbuffer_free calls it
    release evbuffer_decref_and_unlock_  handle=arg1

class bufferevent
    library libevent-2.1.so* libevent_core-2.1.so*
    own libevent*-2.1.so*
    count field:460:4
    end zero
    # sockets, pairs, filters and TLS all begin with it
    alloc   bufferevent_init_common_        handle=arg1 when=zero
    retain  bufferevent_incref              handle=arg1
    retain  bufferevent_incref_and_lock_    handle=arg1
    # bufferevent_free and bufferevent_decref call it
    release bufferevent_decref_and_unlock_  handle=arg1
