# Apache Portable Runtime 1.x. What is made in a pool ends with the pool at the latest.

class apr-pool
    library libapr-1.so*
    own libaprutil-1.so*
    end destroy
    # apr_pool_create is it, with the global pool as parent if there is none
    alloc   apr_pool_create_ex            handle=*arg1 owner=arg2 when=zero
    # apr_pool_create_core_ex is it
    alloc   apr_pool_create_unmanaged_ex  handle=*arg1 when=zero
    # both run what was registered to clean up, and destroy the pools below
    clear   apr_pool_clear                handle=arg1 post
    destroy apr_pool_destroy              handle=arg1 post

# What buckets are taken from, usually one a connection.
class apr-bucket-alloc
    library libaprutil-1.so*
    own libapr-1.so*
    end destroy
    alloc   apr_bucket_alloc_create_ex  handle=result
    # calls the one above, and lets the pool clean up
    alloc   apr_bucket_alloc_create     handle=result owner=arg1
    destroy apr_bucket_alloc_destroy    handle=arg1

# Buckets, and the small structures that several buckets share.
class apr-bucket
    library libaprutil-1.so*
    own libapr-1.so*
    end destroy
    alloc   apr_bucket_alloc  handle=result size=arg1 owner=arg2
    # also by the apr_bucket_destroy macro
    destroy apr_bucket_free   handle=arg1

class apr-brigade
    library libaprutil-1.so*
    own libapr-1.so*
    end destroy
    alloc   apr_brigade_create   handle=result owner=arg1
    destroy apr_brigade_destroy  handle=arg1
