# jansson. json_incref and json_decref are compiled into their callers; the last one calls
# json_delete. Strings that the parser makes are not seen, the objects and arrays they are in are.

class json
    library libjansson.so*
    count field:8:8
    inlined
    adopts
    end destroy
    alloc   json_object           handle=result
    alloc   json_array            handle=result
    # json_string and json_stringn, and what copies strings, end in one of these two
    alloc   json_string_nocheck   handle=result
    alloc   json_stringn_nocheck  handle=result
    alloc   json_sprintf          handle=result optional
    alloc   json_vsprintf         handle=result optional
    alloc   json_integer          handle=result
    alloc   json_real             handle=result
    destroy json_delete           handle=arg1
