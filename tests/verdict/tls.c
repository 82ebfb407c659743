/* OpenSSL: certificates, keys, sessions and connections of a TLS server in memory. */
#include "corpus.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

static EVP_PKEY *key;
static X509 *certificate;
static SSL_CTX *server;
static SSL_CTX *client;

static void make_certificate(void)
{
    key = EVP_EC_gen("P-256");
    certificate = X509_new();
    CORPUS_NEED(key && certificate);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_pubkey(certificate, key);
    CORPUS_NEED(X509_sign(certificate, key, EVP_sha256()) > 0);
}

static void set_up(void)
{
    make_certificate();
    server = SSL_CTX_new(TLS_server_method());
    client = SSL_CTX_new(TLS_client_method());
    CORPUS_NEED(SSL_CTX_use_certificate(server, certificate) == 1);
    CORPUS_NEED(SSL_CTX_use_PrivateKey(server, key) == 1);
}

static void tear_down(void)
{
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    X509_free(certificate); /* @certificate-end */
    EVP_PKEY_free(key);
}

/* ---- a memory BIO that is forgotten where the input is bad ---- */

static void request_with_bio(long number)
{
    BIO *input = BIO_new_mem_buf("GET / HTTP/1.1\r\n", -1); /* @bio */
    CORPUS_NEED(input);
    if (corpus_is_unlucky(number))
        return;
    BIO_free(input); /* @bio-end */
}

static void early_return(void)
{
    corpus_serve(request_with_bio);
}

/* ---- the public key of a certificate is handed out with a reference ---- */

CORPUS_FUNCTION static int bits_of(X509 *peer, bool is_hasty)
{
    EVP_PKEY *public = X509_get_pubkey(peer); /* @get-pubkey */
    int bits = EVP_PKEY_get_bits(public);
    if (!is_hasty)
        EVP_PKEY_free(public); /* @pubkey-end */
    return bits;
}

static void request_with_key(long number)
{
    CORPUS_NEED(bits_of(certificate, corpus_is_unlucky(number)) == 256);
}

static void public_key(void)
{
    set_up();
    corpus_serve(request_with_key);
    tear_down();
}

/* ---- a certificate that several hold ---- */

CORPUS_FUNCTION static void check_name(X509 *peer, bool is_wrong)
{
    X509_up_ref(peer); /* @up-ref */
    if (is_wrong)
        return;
    X509_free(peer); /* @up-ref-end */
}

static void request_with_certificate(long number)
{
    check_name(certificate, corpus_is_unlucky(number));
}

static void held_certificate(void)
{
    set_up();
    corpus_serve(request_with_certificate);
    tear_down();
}

/* ---- handshakes: the client's connection, its session or nothing is forgotten ---- */

struct pair {
    SSL *client;
    SSL *server;
};

CORPUS_FUNCTION static SSL *open_client(void)
{
    return SSL_new(client); /* @client */
}

CORPUS_FUNCTION static void end_client(SSL *connection)
{
    SSL_free(connection); /* @client-end */
}

static struct pair shake_hands(void)
{
    struct pair pair = {open_client(), SSL_new(server)};
    BIO *near = NULL;
    BIO *far = NULL;
    CORPUS_NEED(pair.client && pair.server && BIO_new_bio_pair(&near, 0, &far, 0) == 1);
    SSL_set_bio(pair.client, near, near);
    SSL_set_bio(pair.server, far, far);
    SSL_set_connect_state(pair.client);
    SSL_set_accept_state(pair.server);
    for (int i = 0; i < 10; i++) {
        SSL_do_handshake(pair.client); /* @handshake */
        SSL_do_handshake(pair.server);
    }
    CORPUS_NEED(SSL_is_init_finished(pair.client) && SSL_is_init_finished(pair.server));
    return pair;
}

CORPUS_FUNCTION static long lifetime_of(SSL *connection, bool is_hasty)
{
    SSL_SESSION *session = SSL_get1_session(connection); /* @get1-session */
    long seconds = SSL_SESSION_get_timeout(session);
    if (!is_hasty)
        SSL_SESSION_free(session); /* @session-end */
    return seconds;
}

static void handshake_with_session(long number)
{
    struct pair pair = shake_hands();
    lifetime_of(pair.client, corpus_is_unlucky(number));
    SSL_free(pair.server);
    end_client(pair.client);
}

static void session(void)
{
    set_up();
    corpus_serve(handshake_with_session);
    tear_down();
}

static void handshakes(void)
{
    session();
}

static const struct corpus_case cases[] = {
    {"early_return", early_return},
    {"public_key", public_key},
    {"held_certificate", held_certificate},
    {"session", session},
    {"handshakes", handshakes},
};

CORPUS_MAIN(cases)
