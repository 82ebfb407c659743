/* libevent: buffers. */
#include "corpus.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

CORPUS_FUNCTION static struct evbuffer *new_answer(void)
{
    struct evbuffer *answer = evbuffer_new(); /* @answer */
    evbuffer_add_printf(answer, "HTTP/1.1 200 OK\r\n\r\n");
    return answer;
}

CORPUS_FUNCTION static void end_answer(struct evbuffer *answer)
{
    evbuffer_free(answer); /* @answer-end */
}

static void request_with_answer(long number)
{
    struct evbuffer *answer = new_answer();
    if (corpus_is_unlucky(number))
        return;
    end_answer(answer);
}

static void early_return(void)
{
    corpus_serve(request_with_answer);
}

/* ---- clean: chains that several buffers share ---- */

static void request_that_shares(long number)
{
    struct evbuffer *answer = new_answer();
    struct evbuffer *copy = evbuffer_new();
    evbuffer_add_buffer_reference(copy, answer);
    if (number % 2 == 0)
        end_answer(answer);
    evbuffer_drain(copy, 4);
    evbuffer_free(copy);
    if (number % 2 != 0)
        end_answer(answer);
}

static void shared_chains(void)
{
    corpus_serve(request_that_shares);
}

/* ---- a connection that is forgotten, with its two buffers ---- */

static struct event_base *base;

CORPUS_FUNCTION static struct bufferevent *accept_one(void)
{
    return bufferevent_socket_new(base, -1, 0); /* @accept */
}

CORPUS_FUNCTION static void hang_up(struct bufferevent *connection)
{
    bufferevent_free(connection); /* @hang-up */
}

static void request_on_connection(long number)
{
    struct bufferevent *connection = accept_one();
    CORPUS_NEED(connection);
    evbuffer_add_printf(bufferevent_get_output(connection), "HTTP/1.1 200 OK\r\n\r\n");
    if (corpus_is_unlucky(number))
        return;
    hang_up(connection);
}

static void run_on_base(void (*request)(long number))
{
    base = event_base_new();
    CORPUS_NEED(base);
    corpus_serve(request);
    event_base_loop(base, EVLOOP_NONBLOCK);
    event_base_free(base);
}

static void connection(void)
{
    run_on_base(request_on_connection);
}

/* ---- a reference that a timer takes of a connection, and gives up unless it is late ---- */

CORPUS_FUNCTION static void arm(struct bufferevent *connection)
{
    bufferevent_incref(connection); /* @arm */
}

CORPUS_FUNCTION static void disarm(struct bufferevent *connection)
{
    bufferevent_decref(connection); /* @disarm */
}

static void request_with_timer(long number)
{
    struct bufferevent *connection = accept_one();
    CORPUS_NEED(connection);
    arm(connection);
    if (!corpus_is_unlucky(number))
        disarm(connection);
    hang_up(connection);
}

static void timer(void)
{
    run_on_base(request_with_timer);
}

/* ---- clean: two connections that are each other's peer, ended in either order ---- */

static void request_of_peers(long number)
{
    struct bufferevent *peers[2];
    CORPUS_NEED(bufferevent_pair_new(base, 0, peers) == 0);
    bufferevent_write(peers[0], &number, sizeof(number));
    bufferevent_free(peers[number % 2]);
    event_base_loop(base, EVLOOP_NONBLOCK);
    bufferevent_free(peers[1 - number % 2]);
}

static void connected_peers(void)
{
    run_on_base(request_of_peers);
}

static const struct corpus_case cases[] = {
    {"early_return", early_return},       {"shared_chains", shared_chains},
    {"connection", connection},           {"timer", timer},
    {"connected_peers", connected_peers},
};

CORPUS_MAIN(cases)
