/*
 * An output filter for Apache httpd that has each answer audited by a thread of its own, and that
 * forgets a reference on one path. The tests load it into the distribution's apache2 and ask
 * bufleak which reference was not given back, and by whom.
 *
 *   BodyAudit on              in a directory or location; off by default
 *   SetHandler body-audit     shows what the process that answers has audited
 *
 * The body of an answer is joined, as it passes by, into one GBytes, which belongs to the request
 * and is given back when the request's pool is destroyed. It is retained once more for the auditor,
 * whose thread takes it from a queue, adds up its bytes and gives it back: the reference changes
 * hands between threads. The answer carries the number of the process in X-Child.
 *
 * The defect: a client that sends "X-No-Audit" does not want to be audited. The filter has retained
 * the body by then, and returns: one GBytes per such request is never freed. With BODY_AUDIT_FIXED
 * it is given back there.
 *
 * Runs in all worker threads at once; what they share is the queue, and the totals, which the
 * auditor alone writes.
 */
#include <httpd.h>

#include <http_config.h>
#include <http_protocol.h>
#include <http_request.h>

#include <apr_buckets.h>
#include <apr_strings.h>
#include <util_filter.h>

#include <glib.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define FILTER_NAME  "BODY_AUDIT"
#define HANDLER_NAME "body-audit"

extern module AP_MODULE_DECLARE_DATA body_audit_module;

struct dir_conf {
    int enabled; /* -1: not said */
};

/* Lives in the request's pool. */
struct joined {
    GByteArray *parts; /* until the end of the body */
    GBytes *body;      /* from then on */
};

static GAsyncQueue *audits; /* of GBytes, one reference each */
static GThread *auditor;
static GBytes *last_audit; /* ends the auditor */
static gint audited_count;
static gint audited_sum; /* of all their bytes, modulo 2^24 */

/* ---- the auditor ---- */

static gpointer audit_all(gpointer unused)
{
    GBytes *body;

    (void)unused;
    while ((body = g_async_queue_pop(audits)) != last_audit) {
        gsize length;
        const guint8 *data = g_bytes_get_data(body, &length);
        gint sum = g_atomic_int_get(&audited_sum);

        for (gsize i = 0; i < length; i++) {
            sum = (sum + data[i]) & 0xffffff;
        }
        g_atomic_int_set(&audited_sum, sum);
        g_bytes_unref(body); /* audited body given back here */
        g_atomic_int_inc(&audited_count);
    }
    return NULL;
}

static apr_status_t stop_auditor(void *unused)
{
    (void)unused;
    g_async_queue_push(audits, last_audit);
    g_thread_join(auditor);
    g_async_queue_unref(audits);
    g_bytes_unref(last_audit);
    return APR_SUCCESS;
}

/* The server's signals are for the server's threads. */
static void start_auditor(apr_pool_t *pool, server_rec *server)
{
    sigset_t all;
    sigset_t old;

    (void)server;
    audits = g_async_queue_new();
    last_audit = g_bytes_new_static("", 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    auditor = g_thread_new("auditor", audit_all, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    apr_pool_cleanup_register(pool, NULL, stop_auditor, apr_pool_cleanup_null);
}

/* ---- the filter ---- */

static void hand_to_auditor(request_rec *r, GBytes *body)
{
    GBytes *copy = g_bytes_ref(body); /* body retained for the auditor here */

    if (apr_table_get(r->headers_in, "X-No-Audit") != NULL) {
#ifdef BODY_AUDIT_FIXED
        g_bytes_unref(copy);
#endif
        return;
    }
    g_async_queue_push(audits, copy);
}

static apr_status_t end_of_request(void *data)
{
    struct joined *joined = data;

    g_clear_pointer(&joined->parts, g_byte_array_unref);
    g_clear_pointer(&joined->body, g_bytes_unref);
    return APR_SUCCESS;
}

static void begin(ap_filter_t *filter)
{
    struct joined *joined = apr_pcalloc(filter->r->pool, sizeof(*joined));

    joined->parts = g_byte_array_new();
    apr_pool_cleanup_register(filter->r->pool, joined, end_of_request, apr_pool_cleanup_null);
    apr_table_setn(filter->r->headers_out, "X-Child", apr_itoa(filter->r->pool, (int)getpid()));
    filter->ctx = joined;
}

static apr_status_t join(struct joined *joined, apr_bucket *bucket)
{
    const char *data;
    apr_size_t length;
    apr_status_t status = apr_bucket_read(bucket, &data, &length, APR_BLOCK_READ);

    if (status == APR_SUCCESS) {
        g_byte_array_append(joined->parts, (const guint8 *)data, (guint)length);
    }
    return status;
}

static apr_status_t audit_filter(ap_filter_t *filter, apr_bucket_brigade *brigade)
{
    struct joined *joined;

    if (filter->ctx == NULL) {
        begin(filter);
    }
    joined = filter->ctx;
    for (apr_bucket *bucket = APR_BRIGADE_FIRST(brigade);
         bucket != APR_BRIGADE_SENTINEL(brigade) && joined->parts != NULL;
         bucket = APR_BUCKET_NEXT(bucket)) {
        if (APR_BUCKET_IS_EOS(bucket)) {
            joined->body = g_byte_array_free_to_bytes(joined->parts);
            joined->parts = NULL;
            hand_to_auditor(filter->r, joined->body);
        } else if (!APR_BUCKET_IS_METADATA(bucket)) {
            apr_status_t status = join(joined, bucket);
            if (status != APR_SUCCESS) {
                return status;
            }
        }
    }
    return ap_pass_brigade(filter->next, brigade);
}

static void insert_filter(request_rec *r)
{
    const struct dir_conf *conf = ap_get_module_config(r->per_dir_config, &body_audit_module);

    if (conf->enabled > 0 && r->main == NULL) {
        ap_add_output_filter(FILTER_NAME, NULL, r, r->connection);
    }
}

static int show_totals(request_rec *r)
{
    if (r->handler == NULL || strcmp(r->handler, HANDLER_NAME) != 0) {
        return DECLINED;
    }
    ap_set_content_type(r, "text/plain");
    ap_rprintf(r, "%d %d %d\n", (int)getpid(), g_atomic_int_get(&audited_count),
               g_atomic_int_get(&audited_sum));
    return OK;
}

/* ---- configuration ---- */

static void *create_dir_conf(apr_pool_t *pool, char *directory)
{
    struct dir_conf *conf = apr_pcalloc(pool, sizeof(*conf));

    (void)directory;
    conf->enabled = -1;
    return conf;
}

static void *merge_dir_conf(apr_pool_t *pool, void *outer, void *inner)
{
    const struct dir_conf *base = outer;
    const struct dir_conf *more = inner;
    struct dir_conf *conf = apr_pcalloc(pool, sizeof(*conf));

    conf->enabled = more->enabled >= 0 ? more->enabled : base->enabled;
    return conf;
}

static const char *set_enabled(cmd_parms *command, void *data, int flag)
{
    struct dir_conf *conf = data;

    (void)command;
    conf->enabled = flag;
    return NULL;
}

static const command_rec commands[] = {
    AP_INIT_FLAG("BodyAudit", set_enabled, NULL, ACCESS_CONF, "whether answers are audited"),
    {.name = NULL},
};

static void register_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_child_init(start_auditor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_insert_filter(insert_filter, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(show_totals, NULL, NULL, APR_HOOK_MIDDLE);
    ap_register_output_filter(FILTER_NAME, audit_filter, NULL, AP_FTYPE_CONTENT_SET);
}

module AP_MODULE_DECLARE_DATA body_audit_module = {
    STANDARD20_MODULE_STUFF,
    .create_dir_config = create_dir_conf,
    .merge_dir_config = merge_dir_conf,
    .cmds = commands,
    .register_hooks = register_hooks,
};
