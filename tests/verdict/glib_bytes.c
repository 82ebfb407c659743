/* GLib's GBytes: bodies of requests that filters share. */
#include "corpus.h"

#include <glib.h>

#include <pthread.h>
#include <setjmp.h>
#include <string.h>

#define BODY_BYTES 1024

CORPUS_FUNCTION static GBytes *read_body(void)
{
    static const char text[BODY_BYTES] = "body";
    return g_bytes_new(text, sizeof(text)); /* @body */
}

CORPUS_FUNCTION static void end_request(GBytes *body)
{
    g_bytes_unref(body); /* @end */
}

CORPUS_FUNCTION static unsigned checksum(GBytes *body)
{
    gsize size;
    const unsigned char *bytes = g_bytes_get_data(body, &size);
    unsigned sum = 0;
    for (gsize i = 0; i < size; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

/* ---- the incident: every second request is cached, and the copy is never given back ---- */

static GPtrArray *cached;
static pthread_mutex_t cached_lock = PTHREAD_MUTEX_INITIALIZER;

CORPUS_FUNCTION static void cache_filter(GBytes *body)
{
    GBytes *copy = g_bytes_ref(body); /* @cache-retain */
    pthread_mutex_lock(&cached_lock);
    g_ptr_array_add(cached, copy);
    pthread_mutex_unlock(&cached_lock);
}

static void request_of_the_incident(long number)
{
    GBytes *body = read_body();
    if (number % 2 == 0)
        cache_filter(body);
    end_request(body);
}

static void incident(void)
{
    cached = g_ptr_array_new();
    corpus_serve(request_of_the_incident);
}

/* ---- an error path that returns without the release that all others do ---- */

CORPUS_FUNCTION static bool join_filter(GBytes *body, bool is_broken)
{
    GBytes *copy = g_bytes_ref(body); /* @join-retain */
    checksum(copy);
    if (is_broken)
        return false;
    g_bytes_unref(copy); /* @join-release */
    return true;
}

static void request_with_error_path(long number)
{
    GBytes *body = read_body();
    join_filter(body, corpus_is_unlucky(number));
    end_request(body);
}

static void error_path(void)
{
    corpus_serve(request_with_error_path);
}

/* The errors come in the first tenth of the run only. */
static void request_with_early_errors(long number)
{
    GBytes *body = read_body();
    join_filter(body, number <= corpus.requests / 10 && corpus_is_unlucky(number));
    end_request(body);
}

static void early_errors(void)
{
    corpus_serve(request_with_early_errors);
    corpus_ask();
}

/* ---- the same in an event loop, whose connections stay open ---- */

#define CONNECTIONS 5
#define CLOSED      2

static void *connections[CONNECTIONS];

static void open_connection(void *at)
{
    *(void **)at = g_byte_array_new(); /* @connection */
}

static void handle_request(void *number)
{
    request_with_error_path((long)number);
}

/* It closes connections itself: all that its handlers do seems to be done inside of that. */
static void event_loop(void)
{
    for (long event = 0; event < CONNECTIONS + CLOSED + corpus.requests; event++) {
        void (*handler)(void *data) = handle_request;
        void *data = (void *)(event - CONNECTIONS - CLOSED + 1);
        if (event < CONNECTIONS) {
            handler = open_connection;
            data = &connections[event];
        } else if (event < CONNECTIONS + CLOSED) {
            handler = (GDestroyNotify)g_byte_array_unref;
            data = connections[event - CONNECTIONS];
        }
        handler(data);
    }
}

/* ---- a body that a request forgets altogether ---- */

static void request_with_early_return(long number)
{
    GBytes *body = read_body();
    if (checksum(body) == 0 || corpus_is_unlucky(number))
        return;
    end_request(body);
}

static void early_return(void)
{
    corpus_serve(request_with_early_return);
}

static void request_with_copy(long number)
{
    (void)number;
    g_bytes_ref(read_body());
}

static void forgotten_copies(void)
{
    corpus_serve(request_with_copy);
}

/* ---- wrappers: acquires and releases that differ only by who called ---- */

CORPUS_FUNCTION static GBytes *hold(GBytes *body)
{
    return g_bytes_ref(body); /* @hold */
}

CORPUS_FUNCTION static void drop(GBytes *body)
{
    g_bytes_unref(body); /* @drop */
}

CORPUS_FUNCTION static void access_log(GBytes *body)
{
    GBytes *held = hold(body); /* @access-log */
    checksum(held);
    drop(held);
}

CORPUS_FUNCTION static void audit_log(GBytes *body, bool is_full)
{
    GBytes *held = hold(body); /* @audit-log */
    checksum(held);
    if (is_full)
        return;
    drop(held); /* @audit-drop */
}

CORPUS_FUNCTION static void mirror(GBytes *body)
{
    GBytes *held = hold(body); /* @mirror */
    checksum(held);
}

static void request_through_wrappers(long number)
{
    GBytes *body = read_body();
    access_log(body);
    audit_log(body, corpus_is_unlucky(number));
    end_request(body);
}

static void wrapper(void)
{
    corpus_serve(request_through_wrappers);
}

static void request_through_two_bad_wrappers(long number)
{
    GBytes *body = read_body();
    access_log(body);
    if (number % 2 == 0)
        audit_log(body, corpus_is_unlucky(number));
    else if (number % 5 == 0)
        mirror(body);
    end_request(body);
}

static void two_wrappers(void)
{
    corpus_serve(request_through_two_bad_wrappers);
}

/* ---- ownership that moves to another thread by a queue ---- */

static GAsyncQueue *queue;
static char stop_mark;

CORPUS_FUNCTION static void send_body(GBytes *body)
{
    g_async_queue_push(queue, g_bytes_ref(body)); /* @push */
}

CORPUS_FUNCTION static void write_out(GBytes *body, bool is_closed)
{
    checksum(body);
    if (is_closed)
        return;          /* the connection is gone, and the body is forgotten */
    g_bytes_unref(body); /* @written */
}

static gpointer consume(gpointer unused)
{
    gpointer body;
    for (long number = 1; (body = g_async_queue_pop(queue)) != &stop_mark; number++)
        write_out(body, corpus_is_unlucky(number));
    return unused;
}

static void request_to_queue(long number)
{
    GBytes *body = read_body();
    (void)number;
    send_body(body);
    end_request(body);
}

static void queued(void)
{
    queue = g_async_queue_new();
    GThread *consumer = g_thread_new("writer", consume, NULL);
    corpus_serve(request_to_queue);
    g_async_queue_push(queue, &stop_mark);
    g_thread_join(consumer);
    g_async_queue_unref(queue);
}

/* ---- references in containers ---- */

CORPUS_FUNCTION static void collect_chunk(GPtrArray *chunks, GBytes *body)
{
    g_ptr_array_add(chunks, g_bytes_ref(body)); /* @chunk */
}

/* An array that was made without a function that frees its elements. */
static void request_with_chunks(long number)
{
    GPtrArray *chunks = corpus_is_unlucky(number)
                            ? g_ptr_array_new()
                            : g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    for (int i = 0; i < 3; i++) {
        GBytes *body = read_body();
        collect_chunk(chunks, body);
        end_request(body);
    }
    g_ptr_array_free(chunks, TRUE); /* @chunks-freed */
}

static void pointer_array(void)
{
    corpus_serve(request_with_chunks);
}

static GHashTable *by_name;

CORPUS_FUNCTION static void remember(long number, GBytes *body)
{
    /* the value that was there is lost: the table does not own its values */
    g_hash_table_insert(by_name, GINT_TO_POINTER(number % 50 + 1), g_bytes_ref(body)); /* @insert */
}

static void request_to_table(long number)
{
    GBytes *body = read_body();
    remember(number, body);
    end_request(body);
}

static void hash_table(void)
{
    GHashTableIter iter;
    gpointer value;
    by_name = g_hash_table_new(NULL, NULL);
    corpus_serve(request_to_table);
    g_hash_table_iter_init(&iter, by_name);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        g_bytes_unref(value); /* @table-cleared */
    g_hash_table_unref(by_name);
}

/* A queue that is emptied at the end, but for what was marked as urgent. */
static void request_to_list(long number)
{
    static GQueue waiting = G_QUEUE_INIT;
    GBytes *body = read_body();
    g_queue_push_tail(&waiting, g_bytes_ref(body)); /* @enqueue */
    end_request(body);
    if (waiting.length < 20)
        return;
    while (!g_queue_is_empty(&waiting)) {
        GBytes *next = g_queue_pop_head(&waiting);
        checksum(next);
        if (!corpus_is_unlucky(number))
            g_bytes_unref(next); /* @dequeued */
    }
}

static void list_queue(void)
{
    corpus_serve(request_to_list);
}

/* ---- two bugs, at times in one buffer ---- */

CORPUS_FUNCTION static void keep_for_retry(GBytes *body)
{
    checksum(g_bytes_ref(body)); /* @retry */
}

CORPUS_FUNCTION static void keep_for_trace(GBytes *body)
{
    checksum(g_bytes_ref(body)); /* @trace */
}

static void request_with_two_bugs(long number)
{
    GBytes *body = read_body();
    if (number % 10 == 0)
        keep_for_retry(body);
    if (number % 15 == 0)
        keep_for_trace(body);
    end_request(body);
}

static void overlap(void)
{
    corpus_serve(request_with_two_bugs);
}

/* The same, but both places give back what they take when nothing goes wrong. */
CORPUS_FUNCTION static void compress(GBytes *body, bool is_incompressible)
{
    GBytes *input = g_bytes_ref(body); /* @compress */
    checksum(input);
    if (!is_incompressible)
        g_bytes_unref(input); /* @compressed */
}

CORPUS_FUNCTION static void encrypt(GBytes *body, bool is_keyless)
{
    GBytes *input = g_bytes_ref(body); /* @encrypt */
    checksum(input);
    if (!is_keyless)
        g_bytes_unref(input); /* @encrypted */
}

static void request_through_two_filters(long number)
{
    GBytes *body = read_body();
    compress(body, number % 10 == 0);
    encrypt(body, number % 25 == 0);
    end_request(body);
}

static void overlap_of_error_paths(void)
{
    corpus_serve(request_through_two_filters);
}

/* ---- over-release ---- */

CORPUS_FUNCTION static void fail_request(GBytes *body)
{
    g_bytes_unref(body); /* @failed */
}

static void request_released_twice(long number)
{
    GBytes *body = read_body();
    checksum(body);
    if (corpus_is_unlucky(number))
        fail_request(body);
    end_request(body); /* @twice */
}

static void over_release(void)
{
    corpus_serve(request_released_twice);
}

/* ---- a parser that jumps out of its function ---- */

static void parse(GBytes *body, jmp_buf *failed, bool is_broken)
{
    checksum(body);
    if (is_broken)
        longjmp(*failed, 1);
}

CORPUS_FUNCTION static void parse_guarded(GBytes *body, bool is_broken)
{
    jmp_buf failed;
    if (setjmp(failed) != 0)
        return;
    GBytes *input = g_bytes_ref(body); /* @parse-retain */
    parse(input, &failed, is_broken);
    g_bytes_unref(input); /* @parse-release */
}

static void request_with_jump(long number)
{
    GBytes *body = read_body();
    parse_guarded(body, corpus_is_unlucky(number));
    end_request(body);
}

static void long_jump(void)
{
    corpus_serve(request_with_jump);
}

/* ---- a callback that should have given back what it was handed ---- */

struct job {
    GBytes *body;
    bool is_cancelled;
};

CORPUS_FUNCTION static gboolean on_idle(gpointer data)
{
    struct job *job = data;
    if (job->is_cancelled)
        return G_SOURCE_REMOVE;
    checksum(job->body);
    g_bytes_unref(job->body); /* @idle-release */
    return G_SOURCE_REMOVE;
}

CORPUS_FUNCTION static void schedule(GBytes *body, bool is_cancelled)
{
    struct job *job = g_new(struct job, 1);
    *job = (struct job){g_bytes_ref(body), is_cancelled}; /* @schedule */
    g_idle_add_full(G_PRIORITY_DEFAULT, on_idle, job, g_free);
}

static void request_with_callback(long number)
{
    GBytes *body = read_body();
    schedule(body, corpus_is_unlucky(number));
    end_request(body);
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static void callback(void)
{
    corpus_serve(request_with_callback);
}

/* ---- references of one long-lived buffer ---- */

static GBytes *error_page;

CORPUS_FUNCTION static void answer_with_error(bool is_aborted)
{
    GBytes *page = g_bytes_ref(error_page); /* @page-retain */
    checksum(page);
    if (!is_aborted)
        g_bytes_unref(page); /* @page-release */
}

static void request_of_shared(long number)
{
    GBytes *body = read_body();
    answer_with_error(corpus_is_unlucky(number));
    end_request(body);
}

static void shared(void)
{
    error_page = g_bytes_new_static("not found", 9);
    corpus_serve(request_of_shared);
    g_bytes_unref(error_page); /* @page-end */
}

/* ---- stale: a few requests hang while all others go through ---- */

static void *hang(void *body)
{
    corpus_pass_ms(60000);
    end_request(body);
    return NULL;
}

static void request_that_may_hang(long number)
{
    pthread_t thread;
    GBytes *body = read_body();
    if (corpus_is_unlucky(number))
        CORPUS_NEED(pthread_create(&thread, NULL, hang, body) == 0);
    else
        end_request(body);
}

static void stale(void)
{
    corpus_serve(request_that_may_hang);
    corpus_pass_ms(10500);
    corpus.every = 0;
    corpus_serve(request_that_may_hang);
    corpus_ask();
}

/* ---- plain blocks of the heap are forgotten beside ---- */

CORPUS_FUNCTION static char *format_date(void)
{
    return g_strdup_printf("%s", "Sun, 22 Nov 2026 12:00:00 GMT"); /* @date */
}

static void request_with_date(long number)
{
    GBytes *body = read_body();
    char *date = format_date();
    if (number % 4 != 0)
        g_free(date);
    join_filter(body, corpus_is_unlucky(number));
    end_request(body);
}

static void heap_beside(void)
{
    corpus_serve(request_with_date);
}

/* ---- what memory in time shows: the helper looks often, and there are enough of its looks ---- */

/* Names that are interned for good: new ones come for the first third, then only known ones. */
#define NAMES 64

static GHashTable *names;

CORPUS_FUNCTION static GBytes *intern(long name)
{
    GBytes *known = g_hash_table_lookup(names, GINT_TO_POINTER(name + 1));
    if (known)
        return known;
    known = g_bytes_new(&name, sizeof(name)); /* @intern */
    g_hash_table_insert(names, GINT_TO_POINTER(name + 1), known);
    return known;
}

static void request_with_name(long number)
{
    long newest = number * 3 * NAMES / corpus.requests;
    GBytes *body = read_body();
    checksum(intern(newest < NAMES ? newest : number % NAMES));
    end_request(body);
    corpus_pass_ms(10);
}

static void interned(void)
{
    names = g_hash_table_new(NULL, NULL);
    corpus_serve(request_with_name);
    corpus_ask();
}

/* Sessions come twice as often as they go: what grows is in use, the oldest go first. */
static GQueue sessions = G_QUEUE_INIT;

CORPUS_FUNCTION static GBytes *new_session(long number)
{
    return g_bytes_new(&number, sizeof(number)); /* @new-session */
}

static void request_with_session(long number)
{
    g_queue_push_tail(&sessions, new_session(number));
    if (number % 2 == 0)
        g_bytes_unref(g_queue_pop_head(&sessions));
    corpus_pass_ms(10);
}

static void backlog(void)
{
    corpus_serve(request_with_session);
    corpus_ask();
    g_queue_clear_full(&sessions, (GDestroyNotify)g_bytes_unref);
}

/* Requests that nothing ever ends, while others do: asked as they are served. */
static void request_that_never_ends(long number)
{
    GBytes *body = read_body();
    end_request(body);
    if (corpus_is_unlucky(number))
        new_session(number);
    corpus_pass_ms(5);
}

static void never_ended(void)
{
    corpus_serve(request_that_never_ends);
    corpus_ask();
}

/* What a program makes for its threads in its first moments, and keeps. */
CORPUS_FUNCTION static GBytes *arena_of_thread(long number)
{
    return g_bytes_new(&number, sizeof(number)); /* @arena */
}

static GBytes *volatile arenas_of_threads[24];

static void arenas(void)
{
    for (long i = 0; i < 24; i++)
        arenas_of_threads[i] = arena_of_thread(i);
    corpus_ask();
    corpus_serve(request_that_never_ends);
    corpus_ask();
}

/* One buffer that is kept to be used again, on the way of those that are released. */
static GBytes *volatile last_body;

static void request_that_keeps_the_first(long number)
{
    GBytes *body = read_body();
    checksum(body);
    if (number % 10 == 0)
        corpus_pass_ms(2); /* not all in one moment, of which no order could be told */
    if (number == corpus.requests / 2)
        last_body = body;
    else
        end_request(body);
}

static void kept_for_again(void)
{
    corpus_serve(request_that_keeps_the_first);
    corpus_pass_ms(10500);
    corpus_serve(request_with_early_return);
    corpus_ask();
}

/* All of them within a tick of the clock or a few, however fast. */
static void request_that_keeps_the_very_first(long number)
{
    GBytes *body = read_body();
    checksum(body);
    if (number == 1)
        last_body = body;
    else
        end_request(body);
}

static void kept_at_once(void)
{
    corpus_serve(request_that_keeps_the_very_first);
}

/* ---- clean: threads share, replace, cut and convert what they take from each other ---- */

#define SHELVES 2

static struct shelf {
    pthread_mutex_t lock;
    GBytes *body;
} shelves[SHELVES];

static GBytes *exchange_on(struct shelf *shelf, GBytes *body)
{
    pthread_mutex_lock(&shelf->lock);
    GBytes *before = shelf->body;
    shelf->body = body;
    pthread_mutex_unlock(&shelf->lock);
    return before;
}

static GBytes *share_from(struct shelf *shelf)
{
    pthread_mutex_lock(&shelf->lock);
    GBytes *body = shelf->body ? g_bytes_ref(shelf->body) : NULL;
    pthread_mutex_unlock(&shelf->lock);
    return body;
}

static void replace_on(struct shelf *shelf, GBytes *body)
{
    GBytes *before = exchange_on(shelf, body);
    if (before)
        g_bytes_unref(before);
}

static void request_of_exchange(long number)
{
    unsigned choice = (unsigned)number * 2654435761u >> 8;
    struct shelf *shelf = &shelves[choice / 8 % SHELVES];
    struct shelf *next = &shelves[(choice / 8 + 1) % SHELVES];
    GBytes *body = choice % 2 ? share_from(shelf) : exchange_on(shelf, NULL);
    gsize size;
    if (!body) {
        replace_on(shelf, g_bytes_new(&number, sizeof(number)));
        return;
    }
    switch (choice / 2 % 4) {
    case 0:
        g_bytes_unref(body);
        break;
    case 1:
        g_free(g_bytes_unref_to_data(body, &size));
        break;
    case 2:
        replace_on(next, g_bytes_new_from_bytes(body, 0, 1));
        g_bytes_unref(body);
        break;
    default:
        g_byte_array_unref(g_bytes_unref_to_array(body));
    }
}

static void exchange(void)
{
    for (size_t i = 0; i < SHELVES; i++)
        CORPUS_NEED(pthread_mutex_init(&shelves[i].lock, NULL) == 0);
    corpus_serve(request_of_exchange);
    for (size_t i = 0; i < SHELVES; i++)
        replace_on(&shelves[i], NULL);
}

/* One that is forgotten, and says where it is. */
static void one_address(void)
{
    GBytes *body = read_body();
    for (int i = 0; i < 3; i++)
        join_filter(body, i == 2);
    end_request(body);
    printf("%p\n", (void *)body);
    fflush(stdout);
    corpus_ask();
}

static const struct corpus_case cases[] = {
    {"incident", incident},
    {"error_path", error_path},
    {"early_errors", early_errors},
    {"event_loop", event_loop},
    {"early_return", early_return},
    {"forgotten_copies", forgotten_copies},
    {"wrapper", wrapper},
    {"two_wrappers", two_wrappers},
    {"queued", queued},
    {"pointer_array", pointer_array},
    {"hash_table", hash_table},
    {"list_queue", list_queue},
    {"overlap", overlap},
    {"overlap_of_error_paths", overlap_of_error_paths},
    {"over_release", over_release},
    {"long_jump", long_jump},
    {"callback", callback},
    {"shared", shared},
    {"stale", stale},
    {"heap_beside", heap_beside},
    {"interned", interned},
    {"backlog", backlog},
    {"never_ended", never_ended},
    {"arenas", arenas},
    {"kept_for_again", kept_for_again},
    {"kept_at_once", kept_at_once},
    {"exchange", exchange},
    {"one_address", one_address},
};

CORPUS_MAIN(cases)
