# FFmpeg. An AVBuffer is what AVBufferRefs share: the first word of an AVBufferRef points to it.

class av-buffer
    library libavutil.so*
    own libavcodec.so* libavformat.so* libavfilter.so* libavdevice.so* libswscale.so* libswresample.so*
    count field:16:4
    end zero
    # av_buffer_alloc, av_buffer_allocz and new entries of a pool come from it
    alloc   av_buffer_create         handle=*result size=arg2
    # holds a copy of it
    alloc   av_buffer_pool_get       handle=*result size=field:8:8
    retain  av_buffer_ref            handle=*arg1
    # av_buffer_replace calls both
    release av_buffer_unref          handle=**arg1
    # count down themselves when they put another buffer in place
    replace av_buffer_make_writable  handle=**arg1
    replace av_buffer_realloc        handle=**arg1 size=arg2 when=nonnegative

class av-frame
    library libavutil.so*
    own libavcodec.so* libavformat.so* libavfilter.so* libavdevice.so* libswscale.so* libswresample.so*
    end destroy
    # the codec wrapped_avframe makes frames of its own, which av_frame_free frees
    adopts
    # av_frame_clone calls it
    alloc   av_frame_alloc  handle=result
    destroy av_frame_free   handle=*arg1

class av-packet
    library libavcodec.so*
    own libavutil.so* libavformat.so* libavfilter.so* libavdevice.so* libswscale.so* libswresample.so*
    end destroy
    # av_packet_clone calls it
    alloc   av_packet_alloc  handle=result
    destroy av_packet_free   handle=*arg1
