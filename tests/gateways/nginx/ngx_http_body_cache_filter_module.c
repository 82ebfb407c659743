/*
 * An nginx filter that joins each request body into one GBytes and answers with its checksum, and
 * that forgets a reference to it on one path, as filters do. The tests load it into the
 * distribution's own nginx and ask bufleak which reference was not given back, and by whom.
 *
 *   body_cache on;      in http, server or location; off by default
 *
 * A body with a known length is joined, as it arrives, into one GBytes, which belongs to the
 * request and is given back by the request's cleanup. When it is complete it is retained once more,
 * for the cached copy: that is what would be sent again, were the backend to fail, so it is kept
 * until the backend has answered. The answer then carries its CRC-32 in X-Body-Crc32.
 *
 * The defect: a client that sends "Cache-Control: no-store" forbids the cached copy. The filter
 * then drops its pointer, so that nothing later uses the copy, but not the reference: one GBytes
 * per such request is never freed. Two variants are made of the same source:
 *
 *   BODY_CACHE_FIXED          gives the reference back on that path
 *   BODY_CACHE_NEVER_EMPTIED  gives it back on no path
 *
 * Runs in the worker's only thread; errors end the request with 500.
 */
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <glib.h>

struct request_state {
    u_char *joined; /* of size_bytes, while the body arrives */
    size_t used_bytes;
    size_t size_bytes;
    GBytes *body;   /* when it is complete */
    GBytes *cached; /* NULL before that, after the answer, and after it was forbidden */
};

struct location_conf {
    ngx_flag_t enabled;
};

extern ngx_module_t ngx_http_body_cache_filter_module;
static ngx_http_request_body_filter_pt next_body_filter;
static ngx_http_output_header_filter_pt next_header_filter;

static void cache_body(struct request_state *state)
{
    state->cached = g_bytes_ref(state->body); /* cached copy retained here */
}

static void empty_cache(struct request_state *state)
{
#ifndef BODY_CACHE_NEVER_EMPTIED
    if (state->cached != NULL) {
        g_bytes_unref(state->cached); /* cached copy given back here */
    }
#endif
    state->cached = NULL;
}

static void join(struct request_state *state, const ngx_buf_t *buf)
{
    size_t length = (size_t)(buf->last - buf->pos);

    if (length > state->size_bytes - state->used_bytes) {
        length = state->size_bytes - state->used_bytes;
    }
    ngx_memcpy(state->joined + state->used_bytes, buf->pos, length);
    state->used_bytes += length;
}

static void end_of_request(void *data)
{
    struct request_state *state = data;

    empty_cache(state);
    g_clear_pointer(&state->body, g_bytes_unref);
    g_clear_pointer(&state->joined, g_free);
}

static struct request_state *request_state_create(ngx_http_request_t *r)
{
    struct request_state *state = ngx_pcalloc(r->pool, sizeof(*state));
    ngx_http_cleanup_t *cleanup = ngx_http_cleanup_add(r, 0);

    if (state == NULL || cleanup == NULL) {
        return NULL;
    }
    state->size_bytes = (size_t)r->headers_in.content_length_n;
    state->joined = g_try_malloc(state->size_bytes);
    if (state->joined == NULL) {
        return NULL;
    }
    cleanup->handler = end_of_request;
    cleanup->data = state;
    ngx_http_set_ctx(r, state, ngx_http_body_cache_filter_module);
    return state;
}

static int header_is(const ngx_table_elt_t *header, const char *name, const char *value)
{
    return header->key.len == strlen(name) && header->value.len == strlen(value) &&
           ngx_strncasecmp(header->key.data, (u_char *)name, header->key.len) == 0 &&
           ngx_strncasecmp(header->value.data, (u_char *)value, header->value.len) == 0;
}

static int client_forbids_caching(ngx_http_request_t *r)
{
    ngx_list_part_t *part;
    ngx_table_elt_t *headers;

    for (part = &r->headers_in.headers.part; part != NULL; part = part->next) {
        headers = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (header_is(&headers[i], "Cache-Control", "no-store")) {
                return 1;
            }
        }
    }
    return 0;
}

static void body_is_complete(ngx_http_request_t *r, struct request_state *state)
{
    state->body = g_bytes_new_take(state->joined, state->used_bytes); /* body born here */
    state->joined = NULL;
    cache_body(state);
    if (client_forbids_caching(r)) {
#ifdef BODY_CACHE_FIXED
        empty_cache(state);
#endif
        state->cached = NULL;
    }
}

static ngx_int_t body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    struct location_conf *conf = ngx_http_get_module_loc_conf(r, ngx_http_body_cache_filter_module);
    struct request_state *state = ngx_http_get_module_ctx(r, ngx_http_body_cache_filter_module);

    if (!conf->enabled || r != r->main || r->headers_in.content_length_n <= 0) {
        return next_body_filter(r, in);
    }
    if (state == NULL) {
        state = request_state_create(r);
        if (state == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    for (ngx_chain_t *link = in; link != NULL && state->joined != NULL; link = link->next) {
        join(state, link->buf);
        if (link->buf->last_buf) {
            body_is_complete(r, state);
        }
    }
    return next_body_filter(r, in);
}

static ngx_int_t add_checksum(ngx_http_request_t *r, GBytes *body)
{
    ngx_table_elt_t *header = ngx_list_push(&r->headers_out.headers);
    u_char *text = ngx_pnalloc(r->pool, sizeof("00000000"));
    gsize length;
    const u_char *data = g_bytes_get_data(body, &length);

    if (header == NULL || text == NULL) {
        return NGX_ERROR;
    }
    header->hash = 1;
    ngx_str_set(&header->key, "X-Body-Crc32");
    header->value.data = text;
    header->value.len =
        (size_t)(ngx_sprintf(text, "%08xD", ngx_crc32_long((u_char *)data, length)) - text);
    return NGX_OK;
}

/* The backend has answered: the cached copy is not needed any more. */
static ngx_int_t header_filter(ngx_http_request_t *r)
{
    struct request_state *state = ngx_http_get_module_ctx(r, ngx_http_body_cache_filter_module);

    if (state != NULL && state->cached != NULL && r == r->main) {
        if (add_checksum(r, state->cached) != NGX_OK) {
            return NGX_ERROR;
        }
        empty_cache(state);
    }
    return next_header_filter(r);
}

static void *create_location_conf(ngx_conf_t *cf)
{
    struct location_conf *conf = ngx_pcalloc(cf->pool, sizeof(*conf));

    if (conf != NULL) {
        conf->enabled = NGX_CONF_UNSET;
    }
    return conf;
}

static char *merge_location_conf(ngx_conf_t *cf, void *parent, void *child)
{
    struct location_conf *outer = parent;
    struct location_conf *inner = child;

    (void)cf;
    ngx_conf_merge_value(inner->enabled, outer->enabled, 0);
    return NGX_CONF_OK;
}

static ngx_int_t insert_filters(ngx_conf_t *cf)
{
    (void)cf;
    next_body_filter = ngx_http_top_request_body_filter;
    ngx_http_top_request_body_filter = body_filter;
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = header_filter;
    return NGX_OK;
}

static ngx_command_t commands[] = {
    {ngx_string("body_cache"),
     NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_FLAG,
     ngx_conf_set_flag_slot, NGX_HTTP_LOC_CONF_OFFSET, offsetof(struct location_conf, enabled),
     NULL},
    ngx_null_command,
};

static ngx_http_module_t module_context = {
    .postconfiguration = insert_filters,
    .create_loc_conf = create_location_conf,
    .merge_loc_conf = merge_location_conf,
};

ngx_module_t ngx_http_body_cache_filter_module = {
    NGX_MODULE_V1,
    .ctx = &module_context,
    .commands = commands,
    .type = NGX_HTTP_MODULE,
};

/* What load_module looks up in the file: the modules, their names, and where they belong in the
 * order of filters (before the copy filter, like every filter that is not part of nginx). */
extern char *ngx_module_order[];
static char own_name[] = "ngx_http_body_cache_filter_module";
static char successor_name[] = "ngx_http_copy_filter_module";

ngx_module_t *ngx_modules[] = {&ngx_http_body_cache_filter_module, NULL};
char *ngx_module_names[] = {own_name, NULL};
char *ngx_module_order[] = {own_name, successor_name, NULL};
