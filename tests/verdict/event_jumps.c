/*
 * libevent's callbacks that end with the release: built as they are optimized, it is a jump, and
 * the callback leaves no frame. The same source without such jumps is the other program, in which
 * the same is forgotten.
 */
#include "corpus.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include <sys/socket.h>
#include <unistd.h>

static struct event_base *base;
static long number;

static void read_all(struct bufferevent *peer, void *nothing)
{
    (void)nothing;
    struct evbuffer *input = bufferevent_get_input(peer);
    evbuffer_drain(input, evbuffer_get_length(input));
}

/* The peer is done. */
CORPUS_FUNCTION static void on_event(struct bufferevent *peer, short what, void *nothing)
{
    (void)what;
    (void)nothing;
    if (corpus_is_unlucky(number))
        return;
    bufferevent_free(peer); /* @on-event */
}

static void loop_once(void)
{
    event_base_loop(base, EVLOOP_NONBLOCK); /* @loop */
}

/* ---- both ends of a connection in memory: one is freed here, the other by its callback ---- */

CORPUS_FUNCTION static void make_pair(struct bufferevent *pair[2])
{
    CORPUS_NEED(bufferevent_pair_new(base, BEV_OPT_DEFER_CALLBACKS, pair) == 0); /* @pair */
    bufferevent_setcb(pair[1], read_all, NULL, on_event, NULL);
    bufferevent_enable(pair[0], EV_READ | EV_WRITE);
    bufferevent_enable(pair[1], EV_READ | EV_WRITE);
}

static void serve_pair(long request, bool is_retained)
{
    struct bufferevent *pair[2];
    number = request;
    make_pair(pair);
    bufferevent_write(pair[0], "hello", 5);
    loop_once();
    if (is_retained)
        bufferevent_incref(pair[0]);
    bufferevent_flush(pair[0], EV_WRITE, BEV_FINISHED); /* @flush */
    event_base_loop(base, EVLOOP_NONBLOCK);             /* @second-loop */
    if (is_retained)
        bufferevent_decref(pair[0]);
    bufferevent_free(pair[0]); /* @pair-end */
    loop_once();
}

static void request_retained(long request)
{
    serve_pair(request, true);
}

static void request_retained_at_times(long request)
{
    serve_pair(request, request % 3 == 0);
}

static void request_plain(long request)
{
    serve_pair(request, false);
}

/* ---- connections that are made alike, and all freed by their callbacks ---- */

CORPUS_FUNCTION static struct bufferevent *accept_one(int fd)
{
    int options = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;
    struct bufferevent *peer = bufferevent_socket_new(base, fd, options); /* @accept */
    CORPUS_NEED(peer);
    bufferevent_setcb(peer, read_all, NULL, on_event, NULL);
    bufferevent_enable(peer, EV_READ);
    return peer;
}

static void request_by_socket(long request)
{
    int fds[2];
    number = request;
    CORPUS_NEED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    struct bufferevent *peer = accept_one(fds[0]);
    CORPUS_NEED(write(fds[1], "hello", 5) == 5);
    close(fds[1]);
    loop_once();
    loop_once();
    loop_once();
    if (corpus_is_unlucky(number))
        bufferevent_disable(peer, EV_READ);
}

static void run(void (*request)(long))
{
    base = event_base_new();
    corpus_serve(request);
    event_base_free(base);
}

static void retained(void)
{
    run(request_retained);
}

static void retained_at_times(void)
{
    run(request_retained_at_times);
}

static void plain(void)
{
    run(request_plain);
}

static void by_socket(void)
{
    run(request_by_socket);
}

static const struct corpus_case cases[] = {
    {"retained", retained},
    {"retained_at_times", retained_at_times},
    {"plain", plain},
    {"by_socket", by_socket},
};

CORPUS_MAIN(cases)
