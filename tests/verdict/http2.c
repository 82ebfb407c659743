/* nghttp2: sessions. */
#include "corpus.h"

#include <nghttp2/nghttp2.h>

#include <string.h>

static nghttp2_session_callbacks *callbacks;

CORPUS_FUNCTION static void request_with_session(long number)
{
    nghttp2_session *session;
    CORPUS_NEED(nghttp2_session_server_new(&session, callbacks, NULL) == 0); /* @session */
    if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, NULL, 0) != 0 ||
        corpus_is_unlucky(number))
        return;
    nghttp2_session_del(session); /* @session-end */
}

static void early_return(void)
{
    CORPUS_NEED(nghttp2_session_callbacks_new(&callbacks) == 0);
    corpus_serve(request_with_session);
    nghttp2_session_callbacks_del(callbacks);
}

/* ---- header values that a filter keeps beyond their session's own reference ---- */

#define KEPT 16

struct stream {
    nghttp2_rcbuf *kept[KEPT];
    size_t count;
};

static nghttp2_session *near;
static nghttp2_session *far;
static struct stream stream;

CORPUS_FUNCTION static void keep_value(nghttp2_rcbuf *value)
{
    nghttp2_rcbuf_incref(value); /* @keep-value */
    stream.kept[stream.count++] = value;
}

CORPUS_FUNCTION static void drop_values(bool is_hasty)
{
    for (size_t i = is_hasty ? 1 : 0; i < stream.count; i++)
        nghttp2_rcbuf_decref(stream.kept[i]); /* @drop-value */
    stream.count = 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *data)
{
    (void)session;
    (void)frame;
    (void)flags;
    (void)data;
    if (nghttp2_rcbuf_get_buf(name).base[0] == 'x' && stream.count < KEPT)
        keep_value(value);
    return 0;
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)name,
                        .namelen = strlen(name),
                        .value = (uint8_t *)value,
                        .valuelen = strlen(value),
                        .flags = NGHTTP2_NV_FLAG_NO_INDEX};
}

static void carry(nghttp2_session *from, nghttp2_session *to)
{
    const uint8_t *bytes;
    ssize_t count;
    while ((count = nghttp2_session_mem_send(from, &bytes)) > 0)
        CORPUS_NEED(nghttp2_session_mem_recv(to, bytes, (size_t)count) == count);
    CORPUS_NEED(count == 0);
}

static void request_with_headers(long number)
{
    char text[64];
    snprintf(text, sizeof(text), "number-%ld", number);
    nghttp2_nv headers[] = {header(":method", "GET"), header(":scheme", "http"),
                            header(":path", "/"), header("x-number", text),
                            header("x-agent", "corpus")};
    CORPUS_NEED(nghttp2_submit_request(near, NULL, headers, 5, NULL, NULL) > 0);
    carry(near, far);
    CORPUS_NEED(stream.count == 2);
    drop_values(corpus_is_unlucky(number));
}

static void headers(void)
{
    nghttp2_session_callbacks *of_far;
    CORPUS_NEED(nghttp2_session_callbacks_new(&callbacks) == 0);
    CORPUS_NEED(nghttp2_session_callbacks_new(&of_far) == 0);
    nghttp2_session_callbacks_set_on_header_callback2(of_far, on_header);
    CORPUS_NEED(nghttp2_session_client_new(&near, callbacks, NULL) == 0);
    CORPUS_NEED(nghttp2_session_server_new(&far, of_far, NULL) == 0);
    CORPUS_NEED(nghttp2_submit_settings(near, NGHTTP2_FLAG_NONE, NULL, 0) == 0);
    CORPUS_NEED(nghttp2_submit_settings(far, NGHTTP2_FLAG_NONE, NULL, 0) == 0);
    carry(near, far);
    carry(far, near);
    corpus_serve(request_with_headers);
    nghttp2_session_del(near);
    nghttp2_session_del(far);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_session_callbacks_del(of_far);
}

/* ---- streams that are never answered, in a session that is forgotten ---- */

static nghttp2_session_callbacks *server_callbacks;

CORPUS_FUNCTION static nghttp2_session *serve(void)
{
    nghttp2_session *session;
    CORPUS_NEED(nghttp2_session_server_new(&session, server_callbacks, NULL) == 0); /* @served */
    return session;
}

static void request_on_own_session(long number)
{
    nghttp2_nv headers[] = {header(":method", "GET"), header(":scheme", "http"),
                            header(":path", "/"), header("x-agent", "corpus")};
    CORPUS_NEED(nghttp2_session_client_new(&near, callbacks, NULL) == 0);
    far = serve();
    CORPUS_NEED(nghttp2_submit_settings(near, NGHTTP2_FLAG_NONE, NULL, 0) == 0);
    CORPUS_NEED(nghttp2_submit_request(near, NULL, headers, 4, NULL, NULL) > 0);
    carry(near, far);
    nghttp2_session_del(near);
    if (!corpus_is_unlucky(number))
        nghttp2_session_del(far); /* @served-end */
    drop_values(false);
}

static void own_sessions(void)
{
    CORPUS_NEED(nghttp2_session_callbacks_new(&callbacks) == 0);
    CORPUS_NEED(nghttp2_session_callbacks_new(&server_callbacks) == 0);
    nghttp2_session_callbacks_set_on_header_callback2(server_callbacks, on_header);
    corpus_serve(request_on_own_session);
}

static const struct corpus_case cases[] = {
    {"early_return", early_return}, {"headers", headers}, {"own_sessions", own_sessions}};

CORPUS_MAIN(cases)
