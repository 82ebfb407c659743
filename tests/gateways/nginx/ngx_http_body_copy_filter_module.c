/*
 * An nginx filter that keeps a copy of each request body and answers with the copy's checksum, and
 * that forgets the copy on one path, as filters do. The tests load it into the distribution's own
 * nginx and ask bufleak where the memory went.
 *
 *   body_copy on;      in http, server or location; off by default
 *
 * A body with a known length is copied, as it arrives, into one block of the C heap. When it is
 * complete, its CRC-32 goes into the response header X-Body-Crc32. The copy belongs to the request
 * and is freed by the request's cleanup.
 *
 * The defect: a client that sends "Cache-Control: no-store" forbids keeping the copy. The filter
 * then lets go of its pointer, so that nothing later uses the copy, and leaves. The cleanup finds
 * no pointer any more, and one block per such request is never freed. With BODY_COPY_FIXED the
 * block is freed there.
 *
 * Runs in the worker's only thread; one copy per request; errors end the request with 500.
 */
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <stdlib.h>

struct body_copy {
    size_t used_bytes;
    size_t size_bytes;
    u_char data[];
};

struct request_state {
    struct body_copy *copy; /* NULL before the body, and after it was forbidden to be kept */
    unsigned complete : 1;
};

struct location_conf {
    ngx_flag_t enabled;
};

extern ngx_module_t ngx_http_body_copy_filter_module;
static ngx_http_request_body_filter_pt next_body_filter;
static ngx_http_output_header_filter_pt next_header_filter;

static struct body_copy *body_copy_create(size_t size_bytes)
{
    struct body_copy *copy = malloc(sizeof(*copy) + size_bytes); /* body copy born here */

    if (copy != NULL) {
        copy->used_bytes = 0;
        copy->size_bytes = size_bytes;
    }
    return copy;
}

static void body_copy_append(struct body_copy *copy, const ngx_buf_t *buf)
{
    size_t length = (size_t)(buf->last - buf->pos);

    if (length > copy->size_bytes - copy->used_bytes) {
        length = copy->size_bytes - copy->used_bytes;
    }
    ngx_memcpy(copy->data + copy->used_bytes, buf->pos, length);
    copy->used_bytes += length;
}

static void free_copy_at_end_of_request(void *data)
{
    struct request_state *state = data;

    free(state->copy);
    state->copy = NULL;
}

static struct request_state *request_state_create(ngx_http_request_t *r)
{
    struct request_state *state = ngx_pcalloc(r->pool, sizeof(*state));
    ngx_http_cleanup_t *cleanup = ngx_http_cleanup_add(r, 0);

    if (state == NULL || cleanup == NULL) {
        return NULL;
    }
    cleanup->handler = free_copy_at_end_of_request;
    cleanup->data = state;
    state->copy = body_copy_create((size_t)r->headers_in.content_length_n);
    if (state->copy == NULL) {
        return NULL;
    }
    ngx_http_set_ctx(r, state, ngx_http_body_copy_filter_module);
    return state;
}

static int header_is(const ngx_table_elt_t *header, const char *name, const char *value)
{
    return header->key.len == strlen(name) && header->value.len == strlen(value) &&
           ngx_strncasecmp(header->key.data, (u_char *)name, header->key.len) == 0 &&
           ngx_strncasecmp(header->value.data, (u_char *)value, header->value.len) == 0;
}

static int client_forbids_keeping(ngx_http_request_t *r)
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
    state->complete = 1;
    if (client_forbids_keeping(r)) {
#ifdef BODY_COPY_FIXED
        free(state->copy);
#endif
        state->copy = NULL;
    }
}

static ngx_int_t body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    struct location_conf *conf = ngx_http_get_module_loc_conf(r, ngx_http_body_copy_filter_module);
    struct request_state *state = ngx_http_get_module_ctx(r, ngx_http_body_copy_filter_module);

    if (!conf->enabled || r != r->main || r->headers_in.content_length_n <= 0) {
        return next_body_filter(r, in);
    }
    if (state == NULL) {
        state = request_state_create(r);
        if (state == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    for (ngx_chain_t *link = in; link != NULL && !state->complete; link = link->next) {
        body_copy_append(state->copy, link->buf);
        if (link->buf->last_buf) {
            body_is_complete(r, state);
        }
    }
    return next_body_filter(r, in);
}

static ngx_int_t header_filter(ngx_http_request_t *r)
{
    struct request_state *state = ngx_http_get_module_ctx(r, ngx_http_body_copy_filter_module);
    ngx_table_elt_t *header;
    u_char *text;

    if (state == NULL || !state->complete || state->copy == NULL || r != r->main) {
        return next_header_filter(r);
    }
    header = ngx_list_push(&r->headers_out.headers);
    text = ngx_pnalloc(r->pool, sizeof("00000000"));
    if (header == NULL || text == NULL) {
        return NGX_ERROR;
    }
    header->hash = 1;
    ngx_str_set(&header->key, "X-Body-Crc32");
    header->value.data = text;
    header->value.len =
        (size_t)(ngx_sprintf(text, "%08xD",
                             ngx_crc32_long(state->copy->data, state->copy->used_bytes)) -
                 text);
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
    {ngx_string("body_copy"),
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

ngx_module_t ngx_http_body_copy_filter_module = {
    NGX_MODULE_V1,
    .ctx = &module_context,
    .commands = commands,
    .type = NGX_HTTP_MODULE,
};

/* What load_module looks up in the file: the modules, their names, and where they belong in the
 * order of filters (before the copy filter, like every filter that is not part of nginx). */
extern char *ngx_module_order[];
static char own_name[] = "ngx_http_body_copy_filter_module";
static char successor_name[] = "ngx_http_copy_filter_module";

ngx_module_t *ngx_modules[] = {&ngx_http_body_copy_filter_module, NULL};
char *ngx_module_names[] = {own_name, NULL};
char *ngx_module_order[] = {own_name, successor_name, NULL};
