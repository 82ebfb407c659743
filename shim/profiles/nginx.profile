# nginx: functions of the executable. What is made in a pool ends with the pool.

request nginx ngx_http_free_request

class ngx-pool
    library nginx
    end destroy
    alloc   ngx_create_pool   handle=result size=arg1
    clear   ngx_reset_pool    handle=arg1
    destroy ngx_destroy_pool  handle=arg1

class ngx-temp-buf
    library nginx
    end destroy
    alloc ngx_create_temp_buf  handle=result size=arg2 owner=arg1

# Links of chains are given back to their pool by a macro: one that is handed out again had ended.
class ngx-chain-link
    library nginx
    end destroy
    recycles
    alloc ngx_alloc_chain_link  handle=result owner=arg1
