/*
 * An nginx handler that keeps a journal of its requests in pools, chains and temporary buffers, as
 * nginx's modules do, and that forgets some of them. The tests load it into the distribution's own
 * nginx.
 *
 *   journal;      in a location: answers every request with 200 and the name of its entry
 *
 * For each request an entry is made in a pool of its own: two links of a chain with a temporary
 * buffer each. It is destroyed with its pool as soon as it has been written out. The answer itself
 * is a link and a buffer in the request's pool, which nginx destroys. A draft of each entry is made
 * before in a pool that is reset for the next one and destroyed as the worker ends.
 *
 * The defects: what is asked with ?lost keeps its entry, and nobody knows it any more; for ?kept a
 * buffer and a link are made in the pool of the worker's cycle, which lives as long as the worker.
 * JOURNAL_FIXED destroys the first and makes the second in the request's pool.
 */
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#define ENTRY_BYTES 200
#define NAME_BYTES  32

extern ngx_module_t ngx_http_journal_module;

static ngx_chain_t *append(ngx_pool_t *pool, ngx_chain_t *behind)
{
    ngx_chain_t *link = ngx_alloc_chain_link(pool); /* entry's link made here */

    if (link != NULL) {
        link->buf = ngx_create_temp_buf(pool, ENTRY_BYTES); /* entry's buffer made here */
        link->next = behind;
    }
    return link != NULL && link->buf != NULL ? link : NULL;
}

static void write_entry(ngx_http_request_t *r, ngx_chain_t *entry)
{
    for (ngx_chain_t *link = entry; link != NULL; link = link->next) {
        link->buf->last = ngx_snprintf(link->buf->pos, ENTRY_BYTES, "%V\n", &r->uri);
    }
}

static ngx_pool_t *draft_pool;

static ngx_int_t draft_entry(ngx_http_request_t *r)
{
    if (draft_pool == NULL) {
        draft_pool = ngx_create_pool(1024, ngx_cycle->log); /* drafts' pool made here */
    } else {
        ngx_reset_pool(draft_pool);
    }
    if (draft_pool == NULL) {
        return NGX_ERROR;
    }
    ngx_chain_t *link = ngx_alloc_chain_link(draft_pool); /* draft's link made here */

    if (link == NULL) {
        return NGX_ERROR;
    }
    link->next = NULL;
    link->buf = ngx_create_temp_buf(draft_pool, ENTRY_BYTES); /* draft's buffer made here */
    if (link->buf == NULL) {
        return NGX_ERROR;
    }
    write_entry(r, link);
    return NGX_OK;
}

static void end_drafts(ngx_cycle_t *cycle)
{
    (void)cycle;
    if (draft_pool != NULL) {
        ngx_destroy_pool(draft_pool);
    }
}

static ngx_int_t keep_entry(ngx_http_request_t *r, ngx_flag_t lost)
{
    ngx_pool_t *pool = ngx_create_pool(1024, r->connection->log); /* entry's pool made here */

    if (pool == NULL) {
        return NGX_ERROR;
    }
    ngx_chain_t *entry = append(pool, NULL);
    entry = entry != NULL ? append(pool, entry) : NULL;
    if (entry != NULL) {
        write_entry(r, entry);
    }
#ifdef JOURNAL_FIXED
    lost = 0;
#endif
    if (!lost) {
        ngx_destroy_pool(pool); /* entry's pool destroyed here */
    }
    return entry != NULL ? NGX_OK : NGX_ERROR;
}

static ngx_int_t keep_name(ngx_http_request_t *r)
{
#ifdef JOURNAL_FIXED
    ngx_pool_t *pool = r->pool;
#else
    ngx_pool_t *pool = ngx_cycle->pool;
#endif
    ngx_buf_t *name = ngx_create_temp_buf(pool, NAME_BYTES); /* name kept here */
    ngx_chain_t *link = ngx_alloc_chain_link(pool);          /* name's link kept here */

    if (name == NULL || link == NULL) {
        return NGX_ERROR;
    }
    link->buf = name;
    name->last = ngx_snprintf(name->pos, NAME_BYTES, "%V", &r->uri);
    return NGX_OK;
}

static ngx_int_t answer(ngx_http_request_t *r)
{
    ngx_chain_t *body = ngx_alloc_chain_link(r->pool);

    if (body == NULL || (body->buf = ngx_create_temp_buf(r->pool, NAME_BYTES)) == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    body->next = NULL;
    body->buf->last = ngx_snprintf(body->buf->pos, NAME_BYTES, "%V", &r->uri);
    body->buf->last_buf = 1;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = body->buf->last - body->buf->pos;
    ngx_int_t rc = ngx_http_send_header(r);
    return rc == NGX_ERROR || rc > NGX_OK || r->header_only ? rc : ngx_http_output_filter(r, body);
}

static ngx_flag_t asks(ngx_http_request_t *r, const char *what)
{
    return r->args.len == ngx_strlen(what) && ngx_strncmp(r->args.data, what, r->args.len) == 0;
}

static ngx_int_t handle(ngx_http_request_t *r)
{
    ngx_int_t rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }
    if (draft_entry(r) != NGX_OK || keep_entry(r, asks(r, "lost")) != NGX_OK ||
        (asks(r, "kept") && keep_name(r) != NGX_OK)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return answer(r);
}

static char *set_journal(ngx_conf_t *cf, ngx_command_t *command, void *conf)
{
    ngx_http_core_loc_conf_t *location =
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    (void)command;
    (void)conf;
    location->handler = handle;
    return NGX_CONF_OK;
}

static ngx_command_t commands[] = {
    {ngx_string("journal"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS, set_journal, 0, 0, NULL},
    ngx_null_command,
};

static ngx_http_module_t module_context = {.postconfiguration = NULL};

ngx_module_t ngx_http_journal_module = {
    NGX_MODULE_V1,           .ctx = &module_context,     .commands = commands,
    .type = NGX_HTTP_MODULE, .exit_process = end_drafts,
};

/* What load_module looks up in the file. */
static char own_name[] = "ngx_http_journal_module";

ngx_module_t *ngx_modules[] = {&ngx_http_journal_module, NULL};
char *ngx_module_names[] = {own_name, NULL};
