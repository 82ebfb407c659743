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

/* ---- the same, in answers of which the latest are kept: all values end where those leave ---- */

static json_t *latest[64];

CORPUS_FUNCTION static void keep_answer(json_t *answer, long number)
{
    json_t **place = &latest[number % 64];
    json_decref(*place); /* @answer-leaves */
    *place = answer;
}

static void request_kept(long number)
{
    json_t *answer = json_object();
    json_t *name = json_string("day"); /* @kept-string */
    json_object_set(answer, "name", name);
    if (!corpus_is_unlucky(number))
        json_decref(name);
    keep_answer(answer, number);
}

static void kept_answers(void)
{
    corpus_serve(request_kept);
    for (int i = 0; i < 64; i++)
        json_decref(latest[i]);
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

/* ---- borrowed values, kept by a reference of one's own ---- */

static json_t *settings;
static json_t *seen[8];

CORPUS_FUNCTION static void look_up(long number, bool is_hasty)
{
    json_t *value = json_object_get(settings, number % 2 ? "colour" : "size"); /* borrowed */
    json_incref(value);
    json_t **place = &seen[number % 8];
    if (!is_hasty)
        json_decref(*place);
    *place = value;
}

static void request_with_settings(long number)
{
    look_up(number, false);
    json_t *list = json_object_get(settings, "list");
    json_array_append(list, seen[number % 8]);
    json_array_append_new(list, json_integer(number));
    if (json_array_size(list) > 100)
        json_array_clear(list);
}

static void borrowed(void)
{
    settings = json_loads("{\"colour\": \"red\", \"size\": [1, 2.5, null], \"list\": []}", 0, NULL);
    CORPUS_NEED(settings);
    corpus_serve(request_with_settings);
    for (int i = 0; i < 8; i++)
        json_decref(seen[i]);
    json_decref(settings);
}

/* ---- a document is parsed; one of its parts is kept, and holds nothing else ---- */

CORPUS_FUNCTION static json_t *parse(void)
{
    static const char text[] = "{\"user\": {\"name\": \"x\", \"roles\": [\"a\"]}, \"n\": 1}";
    json_t *document = json_loads(text, 0, NULL); /* @parsed */
    CORPUS_NEED(document);
    return document;
}

static void request_with_document(long number)
{
    json_t *document = parse();
    json_t *user = json_incref(json_object_get(document, "user"));
    json_decref(document);
    if (!corpus_is_unlucky(number))
        json_decref(user); /* @user-end */
}

static void document(void)
{
    corpus_serve(request_with_document);
}

static void request_with_whole_document(long number)
{
    json_t *whole = parse();
    if (!corpus_is_unlucky(number))
        json_decref(whole); /* @whole-end */
}

static void whole_document(void)
{
    corpus_serve(request_with_whole_document);
}

/* ---- packed with "O" for what should have been "o", and unpacked for good ---- */

static void request_with_pack(long number)
{
    json_t *name = json_string("x"); /* @packed */
    json_t *answer = json_pack(corpus_is_unlucky(number) ? "{s:O}" : "{s:o}", "name", name);
    json_t *found = NULL;
    CORPUS_NEED(answer && json_unpack(answer, "{s:O}", "name", &found) == 0 && found == name);
    json_decref(found);
    json_decref(answer); /* @pack-end */
}

static void pack(void)
{
    corpus_serve(request_with_pack);
}

/* ---- an answer's list is kept for good here, and a value of the answer there ---- */

static json_t *named[16];

static void keep_named(json_t *answer, long number)
{
    json_decref(named[number % 16]);
    named[number % 16] = json_incref(answer);
}

CORPUS_FUNCTION static json_t *pack_answer(long number)
{
    return json_pack("{s:i, s:[s, s]}", "n", (int)number, "names", "a", "b"); /* @answer */
}

CORPUS_FUNCTION static void name_colour(json_t *answer, bool is_hasty)
{
    json_t *colour = json_string("red"); /* @colour */
    json_object_set(answer, "colour", colour);
    if (!is_hasty)
        json_decref(colour);
}

CORPUS_FUNCTION static void look_at_names(json_t *answer, bool is_hasty)
{
    json_t *names = json_incref(json_object_get(answer, "names"));
    if (!is_hasty)
        json_decref(names);
}

static void request_with_names(long number)
{
    json_t *answer = pack_answer(number);
    name_colour(answer, corpus_is_unlucky(number));
    look_at_names(answer, corpus_is_unlucky(number + 3));
    keep_named(answer, number);
    json_decref(answer);
}

static void names(void)
{
    corpus_serve(request_with_names);
    for (int i = 0; i < 16; i++)
        json_decref(named[i]);
}

static const struct corpus_case cases[] = {
    {"set_without_new", set_without_new},
    {"kept_answers", kept_answers},
    {"early_return", early_return},
    {"shared", shared},
    {"borrowed", borrowed},
    {"document", document},
    {"whole_document", whole_document},
    {"pack", pack},
    {"names", names},
};

CORPUS_MAIN(cases)
