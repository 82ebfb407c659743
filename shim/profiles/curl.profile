# libcurl handles, of any of its builds.

class curl-easy
    library libcurl.so* libcurl-gnutls.so* libcurl-nss.so*
    end destroy
    alloc   curl_easy_init       handle=result
    alloc   curl_easy_duphandle  handle=result
    destroy curl_easy_cleanup    handle=arg1

class curl-multi
    library libcurl.so* libcurl-gnutls.so* libcurl-nss.so*
    end destroy
    alloc   curl_multi_init     handle=result
    # refuses a multi handle it is called back from
    destroy curl_multi_cleanup  handle=arg1

class curl-share
    library libcurl.so* libcurl-gnutls.so* libcurl-nss.so*
    end destroy
    alloc   curl_share_init     handle=result
    destroy curl_share_cleanup  handle=arg1

class curl-slist
    library libcurl.so* libcurl-gnutls.so* libcurl-nss.so*
    end destroy
    # returns the list it is given, except that of an empty one it is the first element
    alloc   curl_slist_append    handle=result when=new
    destroy curl_slist_free_all  handle=arg1

class curl-mime
    library libcurl.so* libcurl-gnutls.so* libcurl-nss.so*
    end destroy
    alloc   curl_mime_init  handle=result optional
    destroy curl_mime_free  handle=arg1 optional

class curl-url
    library libcurl.so* libcurl-gnutls.so* libcurl-nss.so*
    end destroy
    alloc   curl_url          handle=result optional
    alloc   curl_url_dup      handle=result optional
    destroy curl_url_cleanup  handle=arg1 optional
