# GLib and GObject, 2.74 and compatible. Births are hooked at the one function through which every
# constructor goes; calls inside the libraries are direct and seen at the functions' entries. Where
# objects are carved out of GLib's slices, the block at their address is not theirs: size=0, unknown.

class g-bytes
    library libglib-2.0.so*
    own libgobject-2.0.so* libgio-2.0.so* libgst*-1.0.so*
    count field:16:4
    end zero
    # g_bytes_new, _take, _static and _from_bytes end in it
    alloc   g_bytes_new_with_free_func  handle=result size=arg2
    retain  g_bytes_ref                 handle=arg1
    release g_bytes_unref               handle=arg1
    # takes the content and frees the GBytes itself, without g_bytes_unref, if it holds the last
    # reference; g_bytes_unref_to_array calls it
    steal   g_bytes_unref_to_data       handle=arg1

# GArray and GByteArray: the second is the first by another name.
class g-array
    library libglib-2.0.so*
    own libgobject-2.0.so* libgio-2.0.so* libgst*-1.0.so*
    count field:24:4
    end zero
    alloc   g_array_sized_new  handle=result size=0
    retain  g_array_ref        handle=arg1
    release g_array_unref      handle=arg1
    # drops one reference; the others keep an array that is empty
    release g_array_free       handle=arg1

class g-object
    library libgobject-2.0.so*
    own libglib-2.0.so* libgio-2.0.so* libgst*-1.0.so*
    count field:8:4
    # g_object_unref calls dispose before it counts down, and dispose may revive the object
    end destroy
    revives
    # also makes GParamSpecs and others that are no GObject: these have no count of 1 there yet
    alloc   g_type_create_instance  handle=result size=0 when=field
    retain  g_object_ref            handle=arg1
    release g_object_unref          handle=arg1
    destroy g_type_free_instance    handle=arg1
    # what a type's class holds, such as the pad templates of GStreamer's elements, is never unloaded
    lasting g_type_class_ref
    # GIO's own, made when they are first asked for
    lasting g_network_monitor_get_default   births
    lasting g_proxy_resolver_get_default    births
    lasting g_resolver_get_default          births
    lasting g_tls_backend_get_default       births
    lasting g_vfs_get_default               births
    lasting g_vfs_get_local                 births

class g-variant
    library libglib-2.0.so*
    own libgobject-2.0.so* libgio-2.0.so* libgst*-1.0.so*
    count field:52:4
    end zero
    # every serialised value ends in the first, every one made of children in the next
    alloc   g_variant_new_from_bytes   handle=result size=0
    alloc   g_variant_new_variant      handle=result size=0
    alloc   g_variant_new_maybe        handle=result size=0
    alloc   g_variant_new_array        handle=result size=0
    alloc   g_variant_new_tuple        handle=result size=0
    alloc   g_variant_new_dict_entry   handle=result size=0
    alloc   g_variant_new_strv         handle=result size=0
    alloc   g_variant_new_objv         handle=result size=0
    alloc   g_variant_new_bytestring_array  handle=result size=0
    alloc   g_variant_builder_end      handle=result size=0
    # of a value made of children it returns the child, retained by g_variant_ref
    alloc   g_variant_get_child_value        handle=result size=0 when=new
    retain  g_variant_ref              handle=arg1
    release g_variant_unref            handle=arg1
