# Apache Portable Runtime 1.x. What is made in a pool ends with the pool at the latest.

class apr-pool
    library libapr-1.so*
    own libaprutil-1.so*
    end destroy
    alloc   apr_pool_create_ex            handle=*arg1 when=zero
    # apr_pool_create_core_ex is it
    alloc   apr_pool_create_unmanaged_ex  handle=*arg1 when=zero
    clear   apr_pool_clear                handle=arg1
    # destroys the pools below by calling itself
    destroy apr_pool_destroy              handle=arg1

# What buckets are taken from, usually one a connection.
class apr-bucket-alloc
    library libaprutil-1.so*
    own libapr-1.so*
    end destroy
    alloc   apr_bucket_alloc_create_ex  handle=result
    # calls the one above
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
