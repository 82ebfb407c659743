# GStreamer 1.x: everything that is a GstMiniObject (buffers, memories, events, caps, queries,
# messages, samples, tag lists). GstObject is a GObject: see the profile glib.

class gst-mini-object
    library libgstreamer-1.0.so*
    own libgst*-1.0.so* libgobject-2.0.so* libglib-2.0.so*
    count field:8:4
    end zero
    # the buffer of a pool is taken up again while it is disposed of
    revives
    # every kind's constructor initialises its object with this one
    alloc   gst_mini_object_init   handle=arg1 post
    # gst_buffer_ref and its like, steal, take and replace go through these
    retain  gst_mini_object_ref    handle=arg1
    release gst_mini_object_unref  handle=arg1
