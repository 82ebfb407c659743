/* nghttp2: sessions. */
#include "corpus.h"

#include <nghttp2/nghttp2.h>

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

static const struct corpus_case cases[] = {{"early_return", early_return}};

CORPUS_MAIN(cases)
