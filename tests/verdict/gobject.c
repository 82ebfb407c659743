/* GObject and GIO: sessions, models, signals. */
#include "corpus.h"

#include <gio/gio.h>

/* ---- a session holds its peer, its key and a list of channels ---- */

#define TYPE_SESSION (session_get_type())
G_DECLARE_FINAL_TYPE(Session, session, CORPUS, SESSION, GObject)

struct _Session {
    GObject parent;
    GBytes *key;
    GObject *peer;
    GListStore *channels;
};

G_DEFINE_TYPE(Session, session, G_TYPE_OBJECT)

static void session_finalize(GObject *object)
{
    Session *session = CORPUS_SESSION(object);
    g_bytes_unref(session->key);    /* @key-end */
    g_clear_object(&session->peer); /* @peer-end */
    g_clear_object(&session->channels);
    G_OBJECT_CLASS(session_parent_class)->finalize(object);
}

static void session_class_init(SessionClass *class)
{
    G_OBJECT_CLASS(class)->finalize = session_finalize;
}

static void session_init(Session *session)
{
    session->key = g_bytes_new_static("secret", 6); /* @key */
}

CORPUS_FUNCTION static Session *new_session(void)
{
    return g_object_new(TYPE_SESSION, NULL); /* @session */
}

CORPUS_FUNCTION static void end_session(Session *session)
{
    g_object_unref(session); /* @session-end */
}

/* ---- a getter that hands out a reference ---- */

CORPUS_FUNCTION static void log_first_channel(Session *session)
{
    GObject *channel = g_list_model_get_item(G_LIST_MODEL(session->channels), 0); /* @get-item */
    g_assert(channel != NULL);
}

CORPUS_FUNCTION static void add_channel(Session *session)
{
    GObject *channel = g_object_new(G_TYPE_OBJECT, NULL); /* @channel */
    if (!session->channels)
        session->channels = g_list_store_new(G_TYPE_OBJECT); /* @store */
    g_list_store_append(session->channels, channel);         /* @append */
    g_object_unref(channel);                                 /* @channel-added */
}

static void request_with_channel(long number)
{
    Session *session = new_session();
    add_channel(session);
    if (corpus_is_unlucky(number))
        log_first_channel(session);
    end_session(session);
}

static void get_item(void)
{
    corpus_serve(request_with_channel);
}

/* ---- a signal handler that keeps what it was called for ---- */

CORPUS_FUNCTION static void on_notify(GObject *object, GParamSpec *spec, gpointer data)
{
    (void)spec;
    (void)data;
    g_object_ref(object); /* @handler */
}

static void request_with_signal(long number)
{
    GSimpleAction *action = g_simple_action_new("stop", NULL); /* @action */
    if (corpus_is_unlucky(number))
        g_signal_connect(action, "notify::enabled", G_CALLBACK(on_notify), NULL);
    g_simple_action_set_enabled(action, FALSE);
    g_object_unref(action); /* @action-end */
}

static void signal_handler(void)
{
    corpus_serve(request_with_signal);
}

/* ---- a weak reference that is made strong and forgotten ---- */

CORPUS_FUNCTION static bool is_alive(GWeakRef *weak, bool is_hasty)
{
    Session *session = g_weak_ref_get(weak); /* @weak-get */
    if (!session)
        return false;
    if (is_hasty)
        return true;
    g_object_unref(session); /* @weak-release */
    return true;
}

static void request_with_weak(long number)
{
    GWeakRef weak;
    Session *session = new_session();
    g_weak_ref_init(&weak, session);
    is_alive(&weak, corpus_is_unlucky(number));
    g_weak_ref_clear(&weak);
    end_session(session);
}

static void weak(void)
{
    corpus_serve(request_with_weak);
}

/* ---- cascades: a leaked session holds its key, its peer and its channels ---- */

CORPUS_FUNCTION static void set_peer(Session *session, GObject *peer)
{
    session->peer = g_object_ref(peer); /* @peer */
}

static void request_of_session(long number)
{
    Session *session = new_session();
    GObject *peer = g_object_new(G_TYPE_OBJECT, NULL); /* @peer-born */
    set_peer(session, peer);
    g_object_unref(peer);
    add_channel(session);
    if (corpus_is_unlucky(number))
        return;
    end_session(session);
}

static void cascade(void)
{
    corpus_serve(request_of_session);
}

/* ---- clean: types, singletons and what they set up ---- */

static gpointer make_settings(gpointer unused)
{
    (void)unused;
    return g_object_new(TYPE_SESSION, NULL);
}

CORPUS_FUNCTION static GObject *settings(void)
{
    static GOnce once = G_ONCE_INIT;
    return g_once(&once, make_settings, NULL);
}

static void request_with_singleton(long number)
{
    GObject *held = g_object_ref(settings());
    GFile *file = g_file_new_for_path("/etc/passwd");
    GIcon *icon = g_themed_icon_new("folder");
    g_object_unref(icon);
    g_object_unref(file);
    g_object_unref(held);
    (void)number;
}

static void singletons(void)
{
    g_type_ensure(TYPE_SESSION);
    g_vfs_get_default();
    g_application_set_default(g_application_new("org.example.gateway", 0));
    corpus_serve(request_with_singleton);
}

/* ---- clean: an object that saves itself from its first disposal ---- */

#define TYPE_PHOENIX (phoenix_get_type())
G_DECLARE_FINAL_TYPE(Phoenix, phoenix, CORPUS, PHOENIX, GObject)

struct _Phoenix {
    GObject parent;
    bool has_risen;
};

G_DEFINE_TYPE(Phoenix, phoenix, G_TYPE_OBJECT)

static GAsyncQueue *nest;

static void phoenix_dispose(GObject *object)
{
    Phoenix *phoenix = CORPUS_PHOENIX(object);
    if (!phoenix->has_risen) {
        phoenix->has_risen = true;
        g_async_queue_push(nest, g_object_ref(object));
    }
    G_OBJECT_CLASS(phoenix_parent_class)->dispose(object);
}

static void phoenix_class_init(PhoenixClass *class)
{
    G_OBJECT_CLASS(class)->dispose = phoenix_dispose;
}

static void phoenix_init(Phoenix *phoenix)
{
    phoenix->has_risen = false;
}

static void request_with_phoenix(long number)
{
    (void)number;
    g_object_unref(g_object_new(TYPE_PHOENIX, NULL));
    GObject *risen = g_async_queue_try_pop(nest);
    if (risen)
        g_object_unref(risen);
}

static void resurrection(void)
{
    nest = g_async_queue_new_full(g_object_unref);
    corpus_serve(request_with_phoenix);
    g_async_queue_unref(nest);
}

/* ---- streams over a key that their user retains for himself, too ---- */

CORPUS_FUNCTION static GInputStream *open_stream(GBytes *key)
{
    return g_memory_input_stream_new_from_bytes(key); /* @stream */
}

CORPUS_FUNCTION static void look_at_key(GBytes *key, bool is_hasty)
{
    GBytes *mine = g_bytes_ref(key); /* @look-retain */
    if (!is_hasty)
        g_bytes_unref(mine); /* @look-release */
}

#define LOOKS 20

/* One stream is forgotten in so many, with references of its key that were forgotten before. */
static void request_with_stream(long number)
{
    bool is_unlucky = corpus_is_unlucky(number);
    GBytes *key = g_bytes_new_static("secret", 6); /* @streamed */
    GInputStream *stream = open_stream(key);
    for (int i = 0; i < LOOKS; i++)
        look_at_key(key, is_unlucky && i % 10 == 9);
    g_bytes_unref(key); /* @streamed-end */
    if (!is_unlucky)
        g_object_unref(stream); /* @stream-end */
}

static void stream_and_own(void)
{
    corpus_serve(request_with_stream);
}

/* ---- clean: many threads share a few objects ---- */

static Session *shared[4];

static void request_of_shared(long number)
{
    Session *session = g_object_ref(shared[number % 4]);
    GBytes *key = g_bytes_ref(session->key);
    g_bytes_unref(key);
    g_object_unref(session);
}

static void counted_by_threads(void)
{
    for (int i = 0; i < 4; i++)
        shared[i] = new_session();
    corpus_serve(request_of_shared);
    for (int i = 0; i < 4; i++)
        end_session(shared[i]);
}

static const struct corpus_case cases[] = {
    {"get_item", get_item},
    {"signal_handler", signal_handler},
    {"weak", weak},
    {"cascade", cascade},
    {"singletons", singletons},
    {"resurrection", resurrection},
    {"stream_and_own", stream_and_own},
    {"counted_by_threads", counted_by_threads},
};

CORPUS_MAIN(cases)
