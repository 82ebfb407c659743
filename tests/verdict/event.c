/* libevent: buffers. */
#include "corpus.h"

#include <event2/buffer.h>

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

static const struct corpus_case cases[] = {
    {"early_return", early_return},
    {"shared_chains", shared_chains},
};

CORPUS_MAIN(cases)
