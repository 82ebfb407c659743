/*
 * Callbacks that end with the release, as GLib calls them: built as they are optimized, the release
 * is a jump and the callback leaves no frame. The same source without such jumps is the other
 * program.
 */
#include "corpus.h"

#include <glib.h>

static GMainLoop *loop;
static long number;

CORPUS_FUNCTION static GBytes *read_body(void)
{
    static const char text[256] = "body";
    return g_bytes_new(text, sizeof(text)); /* @body */
}

CORPUS_FUNCTION static void done(void *body)
{
    g_bytes_unref(body); /* @done */
}

static gboolean write_reply(void *body)
{
    (void)body;
    return G_SOURCE_REMOVE;
}

CORPUS_FUNCTION static void reply_later(GBytes *body, GDestroyNotify notify)
{
    g_idle_add_full(G_PRIORITY_HIGH, write_reply, g_bytes_ref(body), notify); /* @retain */
}

/* After the replies, which have a higher priority. */
static gboolean finish(void *nothing)
{
    (void)nothing;
    g_main_loop_quit(loop);
    return G_SOURCE_REMOVE;
}

/* A third is not given back, as where somebody forgot the callback. */
static void serve(GDestroyNotify notify)
{
    GBytes *body = read_body();
    GDestroyNotify chosen = number % 3 == 0 ? NULL : notify;
    reply_later(body, chosen);
    g_bytes_unref(body); /* @end */
    if (++number == corpus.requests)
        g_idle_add(finish, NULL);
}

static gboolean serve_by_callback(void *nothing)
{
    (void)nothing;
    serve(done);
    return number < corpus.requests;
}

static gboolean serve_by_release(void *nothing)
{
    (void)nothing;
    serve((GDestroyNotify)g_bytes_unref);
    return number < corpus.requests;
}

static void run_loop(GSourceFunc request)
{
    loop = g_main_loop_new(NULL, FALSE);
    g_idle_add(request, NULL);
    g_main_loop_run(loop); /* @loop */
    g_main_loop_unref(loop);
}

static void callback(void)
{
    run_loop(serve_by_callback);
}

static void release(void)
{
    run_loop(serve_by_release);
}

static const struct corpus_case cases[] = {{"callback", callback}, {"release", release}};

CORPUS_MAIN(cases)
