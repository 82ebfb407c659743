# GStreamer 1.x: everything that is a GstMiniObject: buffers, memories, events, caps, queries and
# messages each as a class, and the others, such as samples and tag lists, as one. GstObject is a
# GObject: see the profile glib.

class gst-mini-object
    library libgstreamer-1.0.so*
    own libgst*-1.0.so* libgobject-2.0.so* libglib-2.0.so*
    count field:8:4
    end zero
    # the buffer of a pool is taken up again while it is disposed of
    revives
    # told apart by the type that an object is initialised with
    kind    gst-buffer   _gst_buffer_type
    kind    gst-memory   _gst_memory_type
    kind    gst-event    _gst_event_type
    kind    gst-caps     _gst_caps_type
    kind    gst-query    _gst_query_type
    kind    gst-message  _gst_message_type
    # every kind's constructor initialises its object with this one; they are in GLib's slices
    alloc   gst_mini_object_init   handle=arg1 size=0 kind=arg3 post
    # gst_buffer_ref and its like, steal, take and replace go through these
    retain  gst_mini_object_ref    handle=arg1
    release gst_mini_object_unref  handle=arg1
    # the registry, kept until gst_deinit
    lasting gst_update_registry
    # one reference stays with the static caps
    lasting gst_static_caps_get    births
    # made on the first question, and parts of the caps from then on
    lasting gst_caps_get_features  births
    # what a plugin sets up while it is loaded it keeps: none is ever unloaded
    lasting gst_plugin_load_by_name
    lasting gst_plugin_load_file
