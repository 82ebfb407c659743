/* GLib's arrays and variants: messages that are read, built and passed on. */
#include "corpus.h"

#include <glib.h>

#include <string.h>

CORPUS_FUNCTION static GByteArray *new_frame(void)
{
    return g_byte_array_sized_new(256); /* @frame */
}

CORPUS_FUNCTION static void end_frame(GByteArray *frame)
{
    g_byte_array_unref(frame); /* @frame-end */
}

CORPUS_FUNCTION static GVariant *new_message(long number)
{
    GVariantBuilder builder;
    g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
    g_variant_builder_add(&builder, "{sv}", "number", g_variant_new_int64(number));
    g_variant_builder_add(&builder, "{sv}", "path", g_variant_new_string("/index"));
    g_variant_builder_add(&builder, "{sv}", "host", g_variant_new_string("localhost"));
    return g_variant_ref_sink(g_variant_builder_end(&builder));
}

/* ---- an array that is forgotten where a frame is too long ---- */

static void request_with_long_frame(long number)
{
    GByteArray *frame = new_frame();
    g_byte_array_append(frame, (const guint8 *)"head", 4);
    if (corpus_is_unlucky(number))
        return;
    g_byte_array_append(frame, (const guint8 *)"tail", 4);
    end_frame(frame);
}

static void long_frame(void)
{
    corpus_serve(request_with_long_frame);
}

/* ---- g_array_free with FALSE gives out the content; the array itself goes, the content stays ----
 */

CORPUS_FUNCTION static char *take_content(GByteArray *frame)
{
    return (char *)g_byte_array_free(frame, FALSE);
}

static void request_that_keeps_content(long number)
{
    GByteArray *frame = new_frame();
    g_byte_array_append(frame, (const guint8 *)"data", 4);
    char *content = take_content(frame);
    if (!corpus_is_unlucky(number))
        g_free(content);
}

static void kept_content(void)
{
    corpus_serve(request_that_keeps_content);
}

/* ---- a lookup that hands out a reference ---- */

CORPUS_FUNCTION static bool is_for_us(GVariant *message)
{
    GVariant *host = g_variant_lookup_value(message, "host", NULL); /* @lookup */
    bool is_ours = strcmp(g_variant_get_string(host, NULL), "localhost") == 0;
    return is_ours; /* whoever reads the reference knows that the value is a new one */
}

static void request_with_lookup(long number)
{
    GVariant *message = new_message(number);
    is_for_us(message);
    g_variant_unref(message);
}

static void lookup(void)
{
    corpus_serve(request_with_lookup);
}

/* ---- leaving g_variant_iter_loop early forgets what it had just handed out ---- */

CORPUS_FUNCTION static bool find_key(GVariant *message, const char *wanted)
{
    GVariantIter iter;
    const char *key;
    GVariant *value;
    g_variant_iter_init(&iter, message);
    while (g_variant_iter_loop(&iter, "{&sv}", &key, &value)) /* @loop */
        if (strcmp(key, wanted) == 0)
            return true;
    return false;
}

static void request_with_loop(long number)
{
    GVariant *message = new_message(number);
    find_key(message, corpus_is_unlucky(number) ? "path" : "cookie");
    g_variant_unref(message); /* @message-end */
}

static void iterated(void)
{
    corpus_serve(request_with_loop);
}

/* ---- three bugs of three classes in one program ---- */

CORPUS_FUNCTION static void log_body(GBytes *body)
{
    g_bytes_ref(body); /* @log-body */
}

CORPUS_FUNCTION static void log_frame(GByteArray *frame)
{
    g_byte_array_ref(frame); /* @log-frame */
}

CORPUS_FUNCTION static void log_message(GVariant *message)
{
    g_variant_ref(message); /* @log-message */
}

static void request_with_three_bugs(long number)
{
    GBytes *body = g_bytes_new_static("body", 4);
    GByteArray *frame = new_frame();
    GVariant *message = new_message(number);
    if (number % 4 == 0)
        log_body(body);
    if (number % 10 == 0)
        log_frame(frame);
    if (number % 100 == 0)
        log_message(message);
    g_bytes_unref(body);
    end_frame(frame);
    g_variant_unref(message);
}

static void three_bugs(void)
{
    corpus_serve(request_with_three_bugs);
}

/* ---- content that changes hands: nothing is wrong here ---- */

static void request_that_hands_over(long number)
{
    GByteArray *frame = new_frame();
    g_byte_array_append(frame, (const guint8 *)"body", 4);
    GBytes *body = g_byte_array_free_to_bytes(frame);
    GBytes *part = g_bytes_new_from_bytes(body, 1, 2);
    GVariant *message = g_variant_new_from_bytes(G_VARIANT_TYPE_BYTESTRING, body, TRUE);
    g_variant_ref_sink(message);
    GBytes *again = g_variant_get_data_as_bytes(message);
    g_bytes_unref(part);
    g_variant_unref(message);
    if (number % 2 == 0) {
        g_bytes_unref(again);
        g_byte_array_unref(g_bytes_unref_to_array(body));
    } else {
        g_bytes_unref(body);
        g_bytes_unref(again);
    }
}

static void hand_over(void)
{
    corpus_serve(request_that_hands_over);
}

/* ---- a queue of frees: batches are freed when they are full, the last one at the end ---- */

#define BATCH 100

static GPtrArray *graveyard;

CORPUS_FUNCTION static void free_later(GByteArray *frame)
{
    g_ptr_array_add(graveyard, frame);
    if (graveyard->len == BATCH)
        g_ptr_array_set_size(graveyard, 0);
}

static void request_with_late_free(long number)
{
    GByteArray *frame = new_frame();
    g_byte_array_append(frame, (const guint8 *)&number, sizeof(number));
    free_later(frame);
    if (number % 500 == 0)
        corpus_pass_ms(10);
}

static void delayed_free(void)
{
    graveyard = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
    corpus_serve(request_with_late_free);
    corpus_ask();
    g_ptr_array_free(graveyard, TRUE);
}

/* ---- a pool that is warmed at the start, lends its frames out and keeps them for good ---- */

#define POOL 32

static GQueue pool = G_QUEUE_INIT;

CORPUS_FUNCTION static GByteArray *borrow(void)
{
    GByteArray *frame = g_queue_pop_head(&pool);
    g_byte_array_set_size(frame, 0);
    return frame;
}

static void request_with_pool(long number)
{
    GByteArray *frame = borrow();
    GByteArray *scratch = new_frame();
    g_byte_array_append(frame, (const guint8 *)&number, sizeof(number));
    g_byte_array_append(scratch, frame->data, frame->len);
    end_frame(scratch);
    g_queue_push_tail(&pool, frame);
    if (number % 100 == 0)
        corpus_pass_ms(20);
}

static void warm_pool(void)
{
    for (int i = 0; i < POOL; i++)
        g_queue_push_tail(&pool, g_byte_array_sized_new(4096));
    corpus_serve(request_with_pool);
}

/* ---- a pool that keeps what comes back until it is full, and frees the rest ---- */

CORPUS_FUNCTION static void give_back(GByteArray *frame)
{
    if (pool.length < POOL)
        g_queue_push_tail(&pool, frame);
    else
        end_frame(frame);
}

static void request_with_free_list(long number)
{
    GByteArray *frames[8];
    GBytes *body = g_bytes_new(&number, sizeof(number));
    /* every hundredth needs more than one at a time */
    int count = number % 100 == 0 ? 8 : 1;
    for (int i = 0; i < count; i++) {
        frames[i] = g_queue_pop_head(&pool);
        if (!frames[i])
            frames[i] = new_frame();
        g_byte_array_append(frames[i], g_bytes_get_data(body, NULL), sizeof(number));
    }
    g_bytes_unref(body);
    for (int i = 0; i < count; i++)
        give_back(frames[i]);
    if (number % 100 == 0)
        corpus_pass_ms(20);
}

static void free_list(void)
{
    corpus_serve(request_with_free_list);
}

/* ---- clean: calls that nobody can see, compiled into the callers ---- */

/* What a GBytes looks like inside, as one who must not know it might. */
struct inside {
    gconstpointer data;
    gsize size;
    gint count;
    GDestroyNotify free;
    gpointer user_data;
};

static void end_unseen(GBytes *bytes)
{
    struct inside *inside = (struct inside *)bytes;
    inside->free(inside->user_data);
    g_slice_free(struct inside, inside);
}

static void request_that_ends_unseen(long number)
{
    GBytes *body = g_bytes_new(&number, sizeof(number));
    GBytes *kept = g_bytes_ref(body);
    g_bytes_unref(kept);
    end_unseen(body);
}

static void unseen_ends(void)
{
    corpus_serve(request_that_ends_unseen);
}

static GBytes *volatile kept_unseen[4096]; /* never read: without volatile no store is made */

CORPUS_FUNCTION static void count_unseen(GBytes *bytes, int delta)
{
    g_atomic_int_add(&((struct inside *)bytes)->count, delta);
}

static void request_with_unseen_counts(long number)
{
    GBytes *body = g_bytes_new(&number, sizeof(number));
    if (number % 3 == 0) {
        count_unseen(body, 2);
        g_bytes_unref(body);
        g_bytes_unref(body);
    } else if (number % 3 == 1) {
        g_bytes_ref(body);
        g_bytes_ref(body);
        count_unseen(body, -2);
    } else {
        count_unseen(body, 1);
        g_bytes_ref(body);
        count_unseen(body, -1);
        g_bytes_unref(body);
    }
    /* some that drifted stay for good */
    if (number % 30 < 2)
        kept_unseen[number % 4096] = body;
    else
        g_bytes_unref(body);
}

static void unseen_counts(void)
{
    corpus_serve(request_with_unseen_counts);
}

/* ---- more different operations on one buffer than are kept ---- */

CORPUS_FUNCTION static void retain_at(GBytes *body, int depth)
{
    if (depth > 0)
        retain_at(body, depth - 1);
    else
        g_bytes_ref(body);
}

CORPUS_FUNCTION static void release_at(GBytes *body, int depth)
{
    if (depth > 0)
        release_at(body, depth - 1);
    else
        g_bytes_unref(body);
}

static void request_with_long_history(long number)
{
    GBytes *body = g_bytes_new(&number, sizeof(number));
    for (int depth = 0; depth < 40; depth++)
        retain_at(body, depth);
    for (int round = 0; round < 100; round++) {
        retain_at(body, round % 40);
        release_at(body, round % 40);
    }
    for (int depth = 0; depth < 40; depth++)
        release_at(body, depth);
    if (!corpus_is_unlucky(number))
        g_bytes_unref(body);
}

static void long_history(void)
{
    corpus_serve(request_with_long_history);
}

static const struct corpus_case cases[] = {
    {"long_frame", long_frame},
    {"kept_content", kept_content},
    {"lookup", lookup},
    {"iterated", iterated},
    {"three_bugs", three_bugs},
    {"hand_over", hand_over},
    {"delayed_free", delayed_free},
    {"warm_pool", warm_pool},
    {"free_list", free_list},
    {"unseen_ends", unseen_ends},
    {"unseen_counts", unseen_counts},
    {"long_history", long_history},
};

CORPUS_MAIN(cases)
