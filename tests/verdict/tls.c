/* OpenSSL: certificates, keys, sessions and connections of a TLS server in memory. */
#include "corpus.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
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

/* ---- a key that many certificates hold and many users look up ---- */

static STACK_OF(X509) * issued;

CORPUS_FUNCTION static X509 *make_issue(void)
{
    X509 *issue = X509_new();
    CORPUS_NEED(issue && X509_set_pubkey(issue, key) == 1);
    return issue;
}

CORPUS_FUNCTION static void keep_issue(X509 *issue)
{
    CORPUS_NEED(sk_X509_push(issued, issue) > 0);
    if (sk_X509_num(issued) < 50)
        return;
    sk_X509_pop_free(issued, X509_free); /* @issued-end */
    issued = sk_X509_new_null();
}

static void request_with_issue(long number)
{
    bool is_unlucky = corpus_is_unlucky(number);
    X509 *issue = make_issue();
    CORPUS_NEED(bits_of(issue, is_unlucky) == 256);
    if (is_unlucky)
        X509_free(issue);
    else
        keep_issue(issue);
}

static void issue_all(void (*request)(long number))
{
    key = EVP_EC_gen("P-256");
    issued = sk_X509_new_null();
    CORPUS_NEED(key && issued);
    corpus_serve(request);
    sk_X509_pop_free(issued, X509_free);
    EVP_PKEY_free(key);
}

static void issuer(void)
{
    issue_all(request_with_issue);
}

/* Some of the key are forgotten by themselves, and others with certificates that hold them. */
CORPUS_FUNCTION static void hold_issue(X509 *issue, bool is_hasty)
{
    X509_up_ref(issue); /* @hold-issue */
    if (!is_hasty)
        keep_issue(issue);
}

static void request_with_held_issue(long number)
{
    X509 *issue = make_issue();
    CORPUS_NEED(bits_of(issue, corpus_is_unlucky(number)) == 256);
    hold_issue(issue, corpus_is_unlucky(number + corpus.every / 2));
    X509_free(issue);
}

static void held_issue(void)
{
    issue_all(request_with_held_issue);
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

/* ---- a chain of BIOs of which only the first is given back ---- */

CORPUS_FUNCTION static BIO *open_decoder(void)
{
    BIO *filter = BIO_new(BIO_f_base64());
    BIO *source = BIO_new_mem_buf("SGVsbG8K", -1); /* @chained */
    CORPUS_NEED(filter && source);
    BIO_set_flags(filter, BIO_FLAGS_BASE64_NO_NL);
    return BIO_push(filter, source);
}

CORPUS_FUNCTION static void close_decoder(BIO *chain, bool is_hasty)
{
    if (is_hasty)
        BIO_free(chain); /* @first-end */
    else
        BIO_free_all(chain); /* @chain-end */
}

static void request_with_chain(long number)
{
    char text[16];
    BIO *chain = open_decoder();
    CORPUS_NEED(BIO_read(chain, text, sizeof(text)) > 0);
    close_decoder(chain, corpus_is_unlucky(number));
}

static void chain(void)
{
    corpus_serve(request_with_chain);
}

/* ---- a BIO that a connection and its program share ---- */

CORPUS_FUNCTION static void attach(SSL *connection, BIO *wire)
{
    BIO_up_ref(wire); /* @attach */
    SSL_set0_rbio(connection, wire);
    BIO_up_ref(wire); /* @attach-other */
    SSL_set0_wbio(connection, wire);
}

static void request_with_wire(long number)
{
    SSL *connection = SSL_new(client);
    BIO *wire = BIO_new(BIO_s_mem()); /* @wire */
    CORPUS_NEED(connection && wire);
    attach(connection, wire);
    SSL_free(connection);
    if (!corpus_is_unlucky(number))
        BIO_free(wire); /* @wire-end */
}

static void shared_wire(void)
{
    set_up();
    corpus_serve(request_with_wire);
    tear_down();
}

/* ---- a list of certificates whose members are forgotten ---- */

static void request_with_list(long number)
{
    STACK_OF(X509) *list = sk_X509_new_null();
    for (int i = 0; i < 3; i++) {
        X509 *copy = X509_dup(certificate); /* @listed */
        CORPUS_NEED(copy && sk_X509_push(list, copy) > 0);
    }
    STACK_OF(X509) *other = X509_chain_up_ref(list);
    sk_X509_pop_free(other, X509_free); /* @other-end */
    if (corpus_is_unlucky(number))
        sk_X509_free(list);
    else
        sk_X509_pop_free(list, X509_free); /* @list-end */
}

static void list(void)
{
    set_up();
    corpus_serve(request_with_list);
    tear_down();
}

/* ---- the certificates of a chain are taken once more, and forgotten ---- */

static STACK_OF(X509) * served;

CORPUS_FUNCTION static STACK_OF(X509) * chain_of(void)
{
    return X509_chain_up_ref(served); /* @chain-of */
}

static void request_with_served_chain(long number)
{
    STACK_OF(X509) *mine = chain_of();
    CORPUS_NEED(sk_X509_num(mine) == 2);
    if (corpus_is_unlucky(number))
        sk_X509_free(mine);
    else
        sk_X509_pop_free(mine, X509_free); /* @chain-of-end */
}

static void served_chain(void)
{
    set_up();
    served = sk_X509_new_null();
    for (int i = 0; i < 2; i++)
        CORPUS_NEED(sk_X509_push(served, X509_dup(certificate)) > 0);
    corpus_serve(request_with_served_chain);
    sk_X509_pop_free(served, X509_free);
    tear_down();
}

/* ---- certificates and keys that are read from text ---- */

static char *certificate_text;
static char *key_text;
static long certificate_length;
static long key_length;

CORPUS_FUNCTION static X509 *parse_certificate(void)
{
    BIO *input = BIO_new_mem_buf(certificate_text, (int)certificate_length);
    X509 *parsed = PEM_read_bio_X509(input, NULL, NULL, NULL); /* @parsed-certificate */
    CORPUS_NEED(parsed);
    BIO_free(input);
    return parsed;
}

CORPUS_FUNCTION static EVP_PKEY *parse_key(void)
{
    BIO *input = BIO_new_mem_buf(key_text, (int)key_length);
    EVP_PKEY *parsed = PEM_read_bio_PrivateKey(input, NULL, NULL, NULL); /* @parsed-key */
    CORPUS_NEED(parsed);
    BIO_free(input);
    return parsed;
}

static void request_with_text(long number)
{
    X509 *peer = parse_certificate();
    EVP_PKEY *own = parse_key();
    /* borrowed: not to be given back */
    CORPUS_NEED(EVP_PKEY_eq(X509_get0_pubkey(peer), own) == 1);
    if (number % 2 == 0 || !corpus_is_unlucky(number / 2 + 1))
        EVP_PKEY_free(own); /* @parsed-key-end */
    if (number % 2 == 1 || !corpus_is_unlucky(number / 2))
        X509_free(peer); /* @parsed-certificate-end */
}

static void text(void)
{
    set_up();
    BIO *output[2] = {BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem())};
    CORPUS_NEED(PEM_write_bio_X509(output[0], certificate) == 1);
    CORPUS_NEED(PEM_write_bio_PrivateKey(output[1], key, NULL, NULL, 0, NULL, NULL) == 1);
    certificate_length = BIO_get_mem_data(output[0], &certificate_text);
    key_length = BIO_get_mem_data(output[1], &key_text);
    corpus_serve(request_with_text);
    BIO_free_all(output[0]);
    BIO_free_all(output[1]);
    tear_down();
}

/* ---- a cache of sessions that forgets what it evicts, and a peer's certificate ---- */

#define CACHED 4

static SSL_SESSION *cache[CACHED];

CORPUS_FUNCTION static void remember(SSL_SESSION *session)
{
    SSL_SESSION_up_ref(session); /* @remember */
    cache[0] = session;
}

CORPUS_FUNCTION static void evict(bool is_hasty)
{
    if (cache[CACHED - 1] && !is_hasty)
        SSL_SESSION_free(cache[CACHED - 1]); /* @evict */
    for (int i = CACHED - 1; i > 0; i--)
        cache[i] = cache[i - 1];
    cache[0] = NULL;
}

CORPUS_FUNCTION static void look_at_peer(SSL *connection, bool is_hasty)
{
    X509 *peer = SSL_get1_peer_certificate(connection); /* @peer */
    CORPUS_NEED(peer);
    if (!is_hasty)
        X509_free(peer); /* @peer-end */
}

static void handshake_with_cache(long number)
{
    struct pair pair = shake_hands();
    evict(corpus_is_unlucky(number));
    remember(SSL_get_session(pair.client));
    SSL_free(pair.server);
    end_client(pair.client);
}

static void session_cache(void)
{
    set_up();
    corpus_serve(handshake_with_cache);
    for (int i = 0; i < CACHED; i++)
        evict(false);
    tear_down();
}

static void handshake_with_peer(long number)
{
    struct pair pair = shake_hands();
    look_at_peer(pair.client, corpus_is_unlucky(number));
    SSL_free(pair.server);
    end_client(pair.client);
}

static void peer(void)
{
    set_up();
    corpus_serve(handshake_with_peer);
    tear_down();
}

/* A connection is forgotten, and before that some of its certificate. */
#define LOOKS 60

static void handshake_with_looks(long number)
{
    bool is_unlucky = corpus_is_unlucky(number);
    struct pair pair = shake_hands();
    for (int i = 0; i < LOOKS; i++)
        look_at_peer(pair.client, is_unlucky && i % 20 == 19);
    SSL_free(pair.server);
    if (!is_unlucky)
        end_client(pair.client);
}

static void connection_and_peer(void)
{
    set_up();
    corpus_serve(handshake_with_looks);
    tear_down();
}

/* ---- sessions that the library hands to a callback, which keeps them by returning 1 ---- */

static bool keeps_sessions;
static bool is_unlucky_now;

static int on_session(SSL *connection, SSL_SESSION *session)
{
    (void)connection;
    if (!keeps_sessions)
        return 0;
    if (!is_unlucky_now)
        SSL_SESSION_free(session); /* @handed-end */
    return 1;
}

static void handshake_with_callback(long number)
{
    is_unlucky_now = corpus_is_unlucky(number);
    struct pair pair = shake_hands();
    SSL_free(pair.server);
    end_client(pair.client);
}

static void session_callback(void)
{
    set_up();
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client, on_session);
    SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION);
    keeps_sessions = true;
    corpus_serve(handshake_with_callback);
    tear_down();
}

/* ---- connections resume the session of the one before, which a callback keeps ---- */

static SSL_SESSION *kept;

static int keep_session(SSL *connection, SSL_SESSION *session)
{
    (void)connection;
    SSL_SESSION_free(kept);
    kept = session;
    return 1;
}

CORPUS_FUNCTION static void exchange(const struct pair *pair)
{
    char text[16];
    for (int i = 0; i < 4; i++) {
        SSL_do_handshake(pair->client);
        SSL_do_handshake(pair->server);
    }
    CORPUS_NEED(SSL_write(pair->server, "hello", 5) == 5);
    CORPUS_NEED(SSL_read(pair->client, text, sizeof(text)) == 5);
}

CORPUS_FUNCTION static void look_at_session(SSL *connection, bool is_hasty)
{
    SSL_SESSION *session = SSL_get1_session(connection); /* @look-at-session */
    if (!is_hasty)
        SSL_SESSION_free(session);
}

static void resume(long number, bool is_forgotten, bool is_hasty)
{
    BIO *near = NULL;
    BIO *far = NULL;
    struct pair pair = {SSL_new(client), SSL_new(server)}; /* @resuming */
    CORPUS_NEED(BIO_new_bio_pair(&near, 0, &far, 0) == 1);
    SSL_set_bio(pair.client, near, near);
    SSL_set_bio(pair.server, far, far);
    SSL_set_connect_state(pair.client);
    SSL_set_accept_state(pair.server);
    if (kept && number % 2)
        SSL_set_session(pair.client, kept);
    exchange(&pair);
    SSL_free(pair.server);
    if (is_forgotten)
        return;
    look_at_session(pair.client, is_hasty);
    SSL_shutdown(pair.client);
    SSL_free(pair.client); /* @resuming-end */
}

static void request_that_resumes(long number)
{
    resume(number, corpus_is_unlucky(number), false);
}

static void request_that_looks(long number)
{
    resume(number, false, corpus_is_unlucky(number));
}

static void run_with_kept_session(void (*request)(long number))
{
    set_up();
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client, keep_session);
    corpus_serve(request);
    SSL_SESSION_free(kept);
    tear_down();
}

static void resumption(void)
{
    run_with_kept_session(request_that_resumes);
}

static void looks(void)
{
    run_with_kept_session(request_that_looks);
}

/* ---- a server's cache keeps its sessions, to the end of the process or of its context ---- */

static void handshake_with_server_cache(long number)
{
    struct pair pair = shake_hands();
    lifetime_of(pair.server, corpus_is_unlucky(number));
    SSL_shutdown(pair.client);
    SSL_shutdown(pair.server);
    SSL_free(pair.server);
    end_client(pair.client);
}

static void server_cache(void)
{
    set_up();
    SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(server, SSL_SESS_CACHE_SERVER);
    corpus_serve(handshake_with_server_cache);
    CORPUS_NEED(SSL_CTX_sess_number(server) >= corpus.requests);
}

static void server_cache_to_end(void)
{
    server_cache();
    tear_down();
}

/* Most are pushed out of it. */
static void small_server_cache(void)
{
    set_up();
    SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(server, SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_cache_size(server, 8);
    corpus_serve(handshake_with_server_cache);
    CORPUS_NEED(SSL_CTX_sess_number(server) <= 8);
}

/* ---- a context that connections hold beyond their own ---- */

static void request_with_context(long number)
{
    SSL_CTX *context = client;
    SSL_CTX_up_ref(context); /* @hold-context */
    SSL *connection = SSL_new(context);
    SSL_CTX *borrowed = SSL_get_SSL_CTX(connection);
    CORPUS_NEED(borrowed == context);
    SSL_free(connection);
    if (!corpus_is_unlucky(number))
        SSL_CTX_free(context); /* @hold-context-end */
}

static void context(void)
{
    set_up();
    corpus_serve(request_with_context);
    tear_down();
}

static const struct corpus_case cases[] = {
    {"early_return", early_return},
    {"public_key", public_key},
    {"held_certificate", held_certificate},
    {"issuer", issuer},
    {"held_issue", held_issue},
    {"session", session},
    {"handshakes", handshakes},
    {"resumption", resumption},
    {"looks", looks},
    {"chain", chain},
    {"shared_wire", shared_wire},
    {"list", list},
    {"served_chain", served_chain},
    {"text", text},
    {"session_cache", session_cache},
    {"peer", peer},
    {"connection_and_peer", connection_and_peer},
    {"session_callback", session_callback},
    {"server_cache", server_cache},
    {"server_cache_to_end", server_cache_to_end},
    {"small_server_cache", small_server_cache},
    {"context", context},
};

CORPUS_MAIN(cases)
