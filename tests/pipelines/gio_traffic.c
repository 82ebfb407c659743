/*
 * A GLib program with nothing planted in it: what a service over GIO does, in small, and everything
 * given back at its end.
 *   gio_traffic DIRECTORY CLIENTS
 * Clients in threads of their own send records to a threaded socket service on loopback, which
 * sends them back compressed; files are written, read and listed asynchronously; tasks run in
 * GLib's thread pool. Prints what came of it, the same in every run.
 */
#include <gio/gio.h>

#include <stdio.h>
#include <stdlib.h>

#define RECORDS 50
#define FILES   40

static GMainLoop *loop;
static int pending;
static char **results; /* one of each file */

/* GLib's own threads give back what they held a moment after they have told of a result: the
 * program ends when nobody is left who would. */
static int alive;

static void on_gone(gpointer unused, GObject *where_it_was)
{
    (void)unused;
    (void)where_it_was;
    g_atomic_int_add(&alive, -1);
}

static void watch(gpointer object)
{
    g_atomic_int_inc(&alive);
    g_object_weak_ref(object, on_gone, NULL);
}

/* ---- the service ---- */

static GBytes *compress(GBytes *plain)
{
    GConverter *deflate = G_CONVERTER(g_zlib_compressor_new(G_ZLIB_COMPRESSOR_FORMAT_ZLIB, 6));
    GOutputStream *memory = g_memory_output_stream_new_resizable();
    GOutputStream *out = g_converter_output_stream_new(memory, deflate);
    g_output_stream_write_all(out, g_bytes_get_data(plain, NULL), g_bytes_get_size(plain), NULL,
                              NULL, NULL);
    g_output_stream_close(out, NULL, NULL);
    GBytes *packed = g_memory_output_stream_steal_as_bytes(G_MEMORY_OUTPUT_STREAM(memory));
    g_object_unref(out);
    g_object_unref(memory);
    g_object_unref(deflate);
    return packed;
}

static GBytes *decompress(GBytes *packed)
{
    GConverter *inflate = G_CONVERTER(g_zlib_decompressor_new(G_ZLIB_COMPRESSOR_FORMAT_ZLIB));
    GInputStream *memory = g_memory_input_stream_new_from_bytes(packed);
    GInputStream *in = g_converter_input_stream_new(memory, inflate);
    GByteArray *all = g_byte_array_new();
    GBytes *part;
    while ((part = g_input_stream_read_bytes(in, 512, NULL, NULL)) && g_bytes_get_size(part) > 0) {
        g_byte_array_append(all, g_bytes_get_data(part, NULL), (guint)g_bytes_get_size(part));
        g_bytes_unref(part);
    }
    g_clear_pointer(&part, g_bytes_unref);
    g_object_unref(in);
    g_object_unref(memory);
    g_object_unref(inflate);
    return g_byte_array_free_to_bytes(all);
}

static GBytes *receive(GDataInputStream *in)
{
    guint32 length = g_data_input_stream_read_uint32(in, NULL, NULL);
    return length > 0 ? g_input_stream_read_bytes(G_INPUT_STREAM(in), length, NULL, NULL) : NULL;
}

static void send(GDataOutputStream *out, GBytes *record)
{
    g_data_output_stream_put_uint32(out, record ? (guint32)g_bytes_get_size(record) : 0, NULL,
                                    NULL);
    if (record)
        g_output_stream_write_bytes(G_OUTPUT_STREAM(out), record, NULL, NULL);
}

static gboolean on_connection(GThreadedSocketService *service, GSocketConnection *connection,
                              GObject *source, gpointer unused)
{
    (void)service;
    (void)source;
    (void)unused;
    GIOStream *stream = G_IO_STREAM(connection);
    GDataInputStream *in = g_data_input_stream_new(g_io_stream_get_input_stream(stream));
    GDataOutputStream *out = g_data_output_stream_new(g_io_stream_get_output_stream(stream));
    GBytes *record;
    watch(connection);
    while ((record = receive(in))) {
        GBytes *packed = compress(record);
        send(out, packed);
        g_bytes_unref(packed);
        g_bytes_unref(record);
    }
    g_object_unref(in);
    g_object_unref(out);
    return TRUE;
}

/* ---- clients ---- */

struct client {
    guint16 port;
    int number;
    GThread *thread;
    char *digest;
};

static GBytes *make_record(int client, int number)
{
    GVariantBuilder builder;
    g_variant_builder_init(&builder, G_VARIANT_TYPE("a{sv}"));
    g_variant_builder_add(&builder, "{sv}", "client", g_variant_new_int32(client));
    g_variant_builder_add(&builder, "{sv}", "number", g_variant_new_int32(number));
    char *text = g_strnfill(100 + (gsize)number * 17, (char)('a' + number % 26));
    g_variant_builder_add(&builder, "{sv}", "body", g_variant_new_take_string(text));
    GVariant *record = g_variant_ref_sink(g_variant_builder_end(&builder));
    GBytes *bytes = g_variant_get_data_as_bytes(record);
    g_variant_unref(record);
    return bytes;
}

static void digest_record(GChecksum *sum, GBytes *plain)
{
    GVariant *record =
        g_variant_ref_sink(g_variant_new_from_bytes(G_VARIANT_TYPE("a{sv}"), plain, FALSE));
    GVariantIter iter;
    const char *key;
    GVariant *value;
    g_variant_iter_init(&iter, record);
    while (g_variant_iter_next(&iter, "{&sv}", &key, &value)) {
        char *text = g_variant_print(value, TRUE);
        g_checksum_update(sum, (const guchar *)text, -1);
        g_free(text);
        g_variant_unref(value);
    }
    g_variant_unref(record);
}

static gpointer run_client(gpointer argument)
{
    struct client *c = argument;
    GSocketClient *client = g_socket_client_new();
    GInetAddress *loopback = g_inet_address_new_loopback(G_SOCKET_FAMILY_IPV4);
    GSocketAddress *address = g_inet_socket_address_new(loopback, c->port);
    GSocketConnection *connection =
        g_socket_client_connect(client, G_SOCKET_CONNECTABLE(address), NULL, NULL);
    if (!connection)
        exit(1);
    watch(address);
    watch(client);
    GIOStream *stream = G_IO_STREAM(connection);
    GDataInputStream *in = g_data_input_stream_new(g_io_stream_get_input_stream(stream));
    GDataOutputStream *out = g_data_output_stream_new(g_io_stream_get_output_stream(stream));
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
    for (int i = 0; i < RECORDS; i++) {
        GBytes *record = make_record(c->number, i);
        send(out, record);
        GBytes *packed = receive(in);
        GBytes *plain = decompress(packed);
        if (!g_bytes_equal(plain, record))
            exit(1);
        digest_record(sum, plain);
        g_bytes_unref(plain);
        g_bytes_unref(packed);
        g_bytes_unref(record);
    }
    send(out, NULL);
    c->digest = g_strdup(g_checksum_get_string(sum));
    g_checksum_free(sum);
    g_object_unref(in);
    g_object_unref(out);
    g_io_stream_close(stream, NULL, NULL);
    g_object_unref(connection);
    g_object_unref(address);
    g_object_unref(loopback);
    g_object_unref(client);
    return NULL;
}

static void serve(int clients)
{
    GSocketService *service = g_threaded_socket_service_new(8);
    struct client *all = g_new0(struct client, (gsize)clients);
    guint16 port = g_socket_listener_add_any_inet_port(G_SOCKET_LISTENER(service), NULL, NULL);
    g_signal_connect(service, "run", G_CALLBACK(on_connection), NULL);
    g_socket_service_start(service);
    GMainContext *context = g_main_context_default();
    for (int i = 0; i < clients; i++) {
        all[i] = (struct client){.port = port, .number = i};
        all[i].thread = g_thread_new("client", run_client, &all[i]);
    }
    for (int i = 0; i < clients; i++) {
        while (!g_atomic_pointer_get(&all[i].digest))
            g_main_context_iteration(context, FALSE);
        g_thread_join(all[i].thread);
        printf("client %d %s\n", i, all[i].digest);
        g_free(all[i].digest);
    }
    g_socket_service_stop(service);
    g_socket_listener_close(G_SOCKET_LISTENER(service));
    g_object_unref(service);
    g_free(all);
}

/* ---- files and tasks ---- */

static void finish_one(void)
{
    if (--pending == 0)
        g_main_loop_quit(loop);
}

static void in_pool(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    (void)source;
    (void)cancellable;
    g_task_return_pointer(task, g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, data), g_free);
}

static void on_digest(GObject *source, GAsyncResult *result, gpointer number)
{
    (void)source;
    results[GPOINTER_TO_INT(number)] = g_task_propagate_pointer(G_TASK(result), NULL);
    finish_one();
}

static void on_loaded(GObject *source, GAsyncResult *result, gpointer number)
{
    GBytes *content = g_file_load_bytes_finish(G_FILE(source), result, NULL, NULL);
    GTask *task = g_task_new(source, NULL, on_digest, number);
    g_task_set_task_data(task, content, (GDestroyNotify)g_bytes_unref);
    g_task_run_in_thread(task, in_pool);
    g_object_unref(task);
}

static void on_written(GObject *source, GAsyncResult *result, gpointer number)
{
    g_file_replace_contents_finish(G_FILE(source), result, NULL, NULL);
    g_file_load_bytes_async(G_FILE(source), NULL, on_loaded, number);
}

static void on_listed(GObject *source, GAsyncResult *result, gpointer unused)
{
    (void)unused;
    GList *infos = g_file_enumerator_next_files_finish(G_FILE_ENUMERATOR(source), result, NULL);
    goffset bytes = 0;
    for (GList *at = infos; at; at = at->next)
        bytes += g_file_info_get_size(at->data);
    printf("listed %u files, %" G_GOFFSET_FORMAT " bytes\n", g_list_length(infos), bytes);
    g_list_free_full(infos, g_object_unref);
    finish_one();
}

static void write_files(GFile *directory)
{
    pending = FILES;
    results = g_new0(char *, FILES + 1);
    for (int i = 0; i < FILES; i++) {
        char *name = g_strdup_printf("file-%d", i);
        GFile *file = g_file_get_child(directory, name);
        GBytes *content = make_record(i, i);
        watch(file);
        g_file_replace_contents_bytes_async(file, content, NULL, FALSE, G_FILE_CREATE_NONE, NULL,
                                            on_written, GINT_TO_POINTER(i));
        g_bytes_unref(content);
        g_object_unref(file);
        g_free(name);
    }
    g_main_loop_run(loop);
    for (int i = 0; i < FILES; i++)
        printf("file %d %s\n", i, results[i]);
    g_strfreev(results);
}

static void list_files(GFile *directory)
{
    GFileEnumerator *files =
        g_file_enumerate_children(directory, "standard::*", G_FILE_QUERY_INFO_NONE, NULL, NULL);
    pending = 1;
    watch(files);
    g_file_enumerator_next_files_async(files, FILES * 2, G_PRIORITY_DEFAULT, NULL, on_listed, NULL);
    g_main_loop_run(loop);
    g_object_unref(files);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    loop = g_main_loop_new(NULL, FALSE);
    GFile *directory = g_file_new_for_path(argv[1]);
    serve(atoi(argv[2]));
    write_files(directory);
    list_files(directory);
    g_object_unref(directory);
    g_main_loop_unref(loop);
    while (g_atomic_int_get(&alive) > 0)
        g_usleep(1000);
    return 0;
}
