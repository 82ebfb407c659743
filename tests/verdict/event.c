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

/* ---- what a buffer holds moves into another one, and the empty one is forgotten ---- */

CORPUS_FUNCTION static struct evbuffer *read_body(void)
{
    struct evbuffer *body = evbuffer_new(); /* @body */
    CORPUS_NEED(body && evbuffer_add(body, "a body", 6) == 0);
    return body;
}

static void request_that_moves(long number)
{
    struct evbuffer *answer = new_answer();
    struct evbuffer *body = read_body();
    CORPUS_NEED(evbuffer_add_buffer(answer, body) == 0);
    CORPUS_NEED(evbuffer_prepend_buffer(body, answer) == 0);
    CORPUS_NEED(evbuffer_remove_buffer(body, answer, 9) == 9);
    if (!corpus_is_unlucky(number))
        evbuffer_free(body); /* @body-end */
    end_answer(answer);
}

static void moves(void)
{
    corpus_serve(request_that_moves);
}

/* ---- foreign memory that a buffer refers to, and gives back by a function ---- */

static void give_back_body(const void *data, size_t length, void *body)
{
    (void)data;
    (void)length;
    evbuffer_free(body); /* @given-back */
}

CORPUS_FUNCTION static void refer(struct evbuffer *answer, struct evbuffer *body)
{
    size_t length = evbuffer_get_length(body);
    CORPUS_NEED(evbuffer_add_reference(answer, evbuffer_pullup(body, -1), length, give_back_body,
                                       body) == 0);
}

static void request_that_refers(long number)
{
    struct evbuffer *answer = new_answer();
    refer(answer, read_body());
    if (!corpus_is_unlucky(number))
        end_answer(answer);
}

static void foreign(void)
{
    corpus_serve(request_that_refers);
}

/* ---- a copy that shares the chains of another buffer, and holds it by that ---- */

CORPUS_FUNCTION static struct evbuffer *share(struct evbuffer *body)
{
    struct evbuffer *copy = evbuffer_new(); /* @copy */
    CORPUS_NEED(copy && evbuffer_add_buffer_reference(copy, body) == 0);
    return copy;
}

static void request_with_copy(long number)
{
    struct evbuffer *body = read_body();
    struct evbuffer *copy = share(body);
    evbuffer_free(body);
    if (!corpus_is_unlucky(number))
        evbuffer_free(copy); /* @copy-end */
}

static void multicast(void)
{
    corpus_serve(request_with_copy);
}

/* ---- connections that are freed in their own callbacks, at once or deferred ---- */

static void on_read(struct bufferevent *connection, void *number)
{
    struct evbuffer *input = bufferevent_get_input(connection);
    evbuffer_drain(input, evbuffer_get_length(input));
    if (!corpus_is_unlucky((long)number))
        bufferevent_free(connection); /* @free-in-callback */
}

static void request_with_callback(long number)
{
    struct bufferevent *peers[2];
    int options = number % 2 ? BEV_OPT_DEFER_CALLBACKS : 0;
    CORPUS_NEED(bufferevent_pair_new(base, options, peers) == 0); /* @pair */
    bufferevent_setcb(peers[1], on_read, NULL, NULL, (void *)number);
    bufferevent_enable(peers[1], EV_READ);
    bufferevent_write(peers[0], "question", 8);
    event_base_loop(base, EVLOOP_NONBLOCK);
    bufferevent_free(peers[0]); /* @peer-end */
}

static void in_callback(void)
{
    run_on_base(request_with_callback);
}

/* ---- a filter over a connection that it ends with itself ---- */

static enum bufferevent_filter_result pass(struct evbuffer *from, struct evbuffer *to,
                                           ev_ssize_t limit, enum bufferevent_flush_mode mode,
                                           void *data)
{
    (void)limit;
    (void)mode;
    (void)data;
    return evbuffer_add_buffer(to, from) == 0 ? BEV_OK : BEV_ERROR;
}

static void request_with_filter(long number)
{
    struct bufferevent *below = accept_one();
    struct bufferevent *filter =
        bufferevent_filter_new(below, pass, pass, BEV_OPT_CLOSE_ON_FREE, NULL, NULL); /* @filter */
    CORPUS_NEED(filter && bufferevent_write(filter, "answer", 6) == 0);
    if (!corpus_is_unlucky(number))
        bufferevent_free(filter); /* @filter-end */
}

static void filter(void)
{
    run_on_base(request_with_filter);
}

/* ---- bodies that are forgotten, some with the answers that refer to them and some by themselves
 */

static void request_that_gives_up(long number)
{
    struct evbuffer *body = read_body();
    if (number % corpus.every == corpus.every / 2)
        return;
    struct evbuffer *answer = new_answer();
    refer(answer, body);
    if (!corpus_is_unlucky(number))
        end_answer(answer);
}

static void foreign_and_own(void)
{
    corpus_serve(request_that_gives_up);
}

/* ---- answers that are forgotten on an error path, which adds another body to them before */

CORPUS_FUNCTION static void add_bodies(struct evbuffer *answer, long bodies)
{
    for (long i = 0; i < bodies; i++)
        refer(answer, read_body());
}

static void request_that_adds_more(long number)
{
    struct evbuffer *answer = new_answer();
    add_bodies(answer, corpus_is_unlucky(number) ? 2 : 1);
    if (!corpus_is_unlucky(number))
        end_answer(answer);
}

static void adds_more(void)
{
    corpus_serve(request_that_adds_more);
}

static void request_that_adds_an_error(long number)
{
    struct evbuffer *answer = new_answer();
    refer(answer, read_body());
    if (corpus_is_unlucky(number)) {
        refer(answer, read_body());
        return;
    }
    end_answer(answer);
}

static void adds_error(void)
{
    corpus_serve(request_that_adds_an_error);
}

/* ---- of two ends of a pipe one is forgotten here and the other there ---- */

static void on_end(struct bufferevent *end, short what, void *number)
{
    (void)what;
    if (!corpus_is_unlucky((long)number))
        bufferevent_free(end); /* @end-end */
}

CORPUS_FUNCTION static void hold_end(struct bufferevent *end, bool is_hasty)
{
    bufferevent_incref(end); /* @hold-end */
    bufferevent_flush(end, EV_WRITE, BEV_FINISHED);
    event_base_loop(base, EVLOOP_NONBLOCK);
    if (!is_hasty)
        bufferevent_decref(end); /* @hold-end-end */
}

static void request_with_ends(long number)
{
    struct bufferevent *ends[2];
    CORPUS_NEED(bufferevent_pair_new(base, BEV_OPT_DEFER_CALLBACKS, ends) == 0); /* @ends */
    bufferevent_setcb(ends[1], NULL, NULL, on_end, (void *)number);
    bufferevent_enable(ends[0], EV_READ | EV_WRITE);
    bufferevent_enable(ends[1], EV_READ | EV_WRITE);
    bufferevent_write(ends[0], "hello", 5);
    event_base_loop(base, EVLOOP_NONBLOCK);
    hold_end(ends[0], corpus.every > 0 && number % 7 == 5);
    bufferevent_free(ends[0]);
    event_base_loop(base, EVLOOP_NONBLOCK);
}

static void two_ends(void)
{
    run_on_base(request_with_ends);
}

static const struct corpus_case cases[] = {
    {"early_return", early_return},
    {"shared_chains", shared_chains},
    {"connection", connection},
    {"timer", timer},
    {"connected_peers", connected_peers},
    {"moves", moves},
    {"foreign", foreign},
    {"foreign_and_own", foreign_and_own},
    {"adds_more", adds_more},
    {"adds_error", adds_error},
    {"multicast", multicast},
    {"in_callback", in_callback},
    {"filter", filter},
    {"two_ends", two_ends},
};

CORPUS_MAIN(cases)
