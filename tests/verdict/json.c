/* jansson: documents that are parsed, built and passed on. */
#include "corpus.h"

#include <jansson.h>

/* ---- json_object_set takes a reference of its own; json_object_set_new would not ---- */

static void request_with_set(long number)
{
    json_t *answer = json_object();
    json_t *name = json_string("night"); /* @string */
    if (corpus_is_unlucky(number))
        json_object_set(answer, "name", name);
    else
        json_object_set_new(answer, "name", name);
    json_decref(answer); /* @answer-end */
}

static void set_without_new(void)
{
    corpus_serve(request_with_set);
}

/* ---- an array that is forgotten where something fails ---- */

static void request_with_list(long number)
{
    json_t *list = json_array(); /* @list */
    if (corpus_is_unlucky(number))
        return;
    json_decref(list); /* @list-end */
}

static void early_return(void)
{
    corpus_serve(request_with_list);
}

/* ---- clean: references by macros that nobody sees ---- */

static void request_that_shares(long number)
{
    json_t *shared = json_string("value");
    json_t *answer = json_pack("{s:i, s:O}", "number", (int)number, "shared", shared);
    json_t *copy = json_deep_copy(answer);
    json_incref(answer);
    json_decref(shared);
    json_decref(copy);
    json_decref(answer);
    json_decref(answer);
}

static void shared(void)
{
    corpus_serve(request_that_shares);
}

static const struct corpus_case cases[] = {
    {"set_without_new", set_without_new},
    {"early_return", early_return},
    {"shared", shared},
};

CORPUS_MAIN(cases)
