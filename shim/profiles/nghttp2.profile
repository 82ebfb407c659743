# nghttp2. A server hands its answer to each request over once, over HTTP/2 only.

request libnghttp2.so* nghttp2_submit_response

# Header names and values. The library makes them by functions that cannot be seen; a program meets
# them first when it retains one. A count of -1 marks a static one, which is not counted.
class nghttp2-rcbuf
    library libnghttp2.so*
    count field:32:4
    end zero
    adopts
    retain  nghttp2_rcbuf_incref  handle=arg1 when=field
    release nghttp2_rcbuf_decref  handle=arg1 when=field

class nghttp2-session
    library libnghttp2.so*
    end destroy
    # those without 3 in their name call them
    alloc   nghttp2_session_client_new3  handle=*arg1 when=zero
    alloc   nghttp2_session_server_new3  handle=*arg1 when=zero
    destroy nghttp2_session_del          handle=arg1
