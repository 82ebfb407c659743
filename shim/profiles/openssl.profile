# OpenSSL 3. NULL may be given to every release; it does nothing.

class openssl-bio
    library libcrypto.so.3
    own libssl.so*
    count field:88:4
    end zero
    # BIO_new and all other constructors call it
    alloc   BIO_new_ex  handle=result
    retain  BIO_up_ref  handle=arg1
    # BIO_vfree is it; BIO_free_all calls it for each of a chain
    release BIO_free    handle=arg1

class openssl-x509
    library libcrypto.so.3
    own libssl.so*
    count field:192:4
    end zero
    # certificates inside PKCS#7, CMS and PKCS#12 structures are made by their decoders
    adopts
    alloc   X509_new      handle=result
    alloc   X509_new_ex   handle=result
    alloc   X509_dup      handle=result
    # given a certificate to fill, they return it
    alloc   d2i_X509      handle=result when=new
    alloc   d2i_X509_bio  handle=result when=new
    alloc   d2i_X509_fp   handle=result when=new
    retain  X509_up_ref   handle=arg1
    release X509_free     handle=arg1
    # a store keeps its certificates, and with them their keys, and gives them back itself
    lasting X509_STORE_add_cert
    lasting X509_load_cert_crl_file_ex

class openssl-pkey
    library libcrypto.so.3
    own libssl.so*
    count field:48:4
    end zero
    alloc   EVP_PKEY_new     handle=result
    retain  EVP_PKEY_up_ref  handle=arg1
    release EVP_PKEY_free    handle=arg1

class openssl-ssl
    library libssl.so.3
    own libcrypto.so*
    count field:2528:4
    end zero
    alloc   SSL_new     handle=result
    retain  SSL_up_ref  handle=arg1
    release SSL_free    handle=arg1

class openssl-ssl-ctx
    library libssl.so.3
    own libcrypto.so*
    count field:164:4
    end zero
    # SSL_CTX_new calls it
    alloc   SSL_CTX_new_ex  handle=result
    retain  SSL_CTX_up_ref  handle=arg1
    release SSL_CTX_free    handle=arg1

class openssl-session
    library libssl.so.3
    own libcrypto.so*
    count field:720:4
    end zero
    # TLS 1.3 copies a session for each ticket by a function that cannot be seen
    adopts
    alloc   SSL_SESSION_new     handle=result
    alloc   SSL_SESSION_dup     handle=result
    retain  SSL_SESSION_up_ref  handle=arg1
    release SSL_SESSION_free    handle=arg1
    # the cache of a context keeps its sessions, and gives them back itself, or its end does
    lasting SSL_CTX_add_session
    lasting SSL_CTX_remove_session
    lasting SSL_CTX_flush_sessions
    lasting SSL_CTX_free
