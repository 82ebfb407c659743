/* GStreamer: buffers, memories, caps, events and messages that go through a filter of ours. */
#include "corpus.h"

#include <gst/gst.h>

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define FRAME_BYTES  512
#define SOURCE_BYTES 256 /* of a frame of the pipeline, whose offset counts bytes */

static GstPad *source;
static GstPad *sink;
static long served;

CORPUS_FUNCTION static GstBuffer *new_frame(void)
{
    GstBuffer *frame = gst_buffer_new_allocate(NULL, FRAME_BYTES, NULL); /* @frame */
    gst_buffer_memset(frame, 0, 0, FRAME_BYTES);
    return frame;
}

CORPUS_FUNCTION static void end_frame(GstBuffer *frame)
{
    gst_buffer_unref(frame); /* @frame-end */
}

/* Two pads of ours, linked: what is pushed into the one comes out of the other's function. */
static void open_pads(GstPadChainFunction chain, GstPadEventFunction event)
{
    GstSegment segment;
    source = gst_pad_new("src", GST_PAD_SRC);
    sink = gst_pad_new("sink", GST_PAD_SINK);
    gst_pad_set_chain_function(sink, chain);
    if (event)
        gst_pad_set_event_function(sink, event);
    CORPUS_NEED(gst_pad_set_active(source, TRUE) && gst_pad_set_active(sink, TRUE));
    CORPUS_NEED(gst_pad_link(source, sink) == GST_PAD_LINK_OK);
    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_pad_push_event(source, gst_event_new_stream_start("corpus"));
    GstCaps *caps = gst_caps_new_simple("video/x-raw", "width", G_TYPE_INT, 64, NULL); /* @caps */
    gst_pad_push_event(source, gst_event_new_caps(caps));
    gst_caps_unref(caps);
    gst_pad_push_event(source, gst_event_new_segment(&segment));
}

static void close_pads(void)
{
    gst_pad_push_event(source, gst_event_new_eos());
    gst_pad_set_active(source, FALSE);
    gst_pad_set_active(sink, FALSE);
    gst_object_unref(source);
    gst_object_unref(sink);
}

static void push_frame(long number)
{
    served = number;
    CORPUS_NEED(gst_pad_push(source, new_frame()) == GST_FLOW_OK);
}

/* ---- a chain function that returns without the buffer it was given ---- */

static GstFlowReturn chain_with_early_return(GstPad *pad, GstObject *parent, GstBuffer *frame)
{
    (void)pad;
    (void)parent;
    if (corpus_is_unlucky(served))
        return GST_FLOW_OK;
    end_frame(frame);
    return GST_FLOW_OK;
}

static void early_return(void)
{
    open_pads(chain_with_early_return, NULL);
    corpus_serve(push_frame);
    close_pads();
}

/* The library is ended as well, and with it its own reference of the allocator. */
static void early_return_to_end(void)
{
    early_return();
    gst_deinit();
}

/* ---- a probe that keeps the last key frame, and forgets the one before ---- */

static GstBuffer *key_frame;

CORPUS_FUNCTION static void keep_key_frame(GstBuffer *frame)
{
    key_frame = gst_buffer_ref(frame); /* @key-frame */
}

static GstPadProbeReturn on_frame(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    (void)pad;
    (void)data;
    if (corpus_is_unlucky(served))
        keep_key_frame(GST_PAD_PROBE_INFO_BUFFER(info));
    return GST_PAD_PROBE_OK;
}

static GstFlowReturn chain(GstPad *pad, GstObject *parent, GstBuffer *frame)
{
    (void)pad;
    (void)parent;
    end_frame(frame);
    return GST_FLOW_OK;
}

static void probe(void)
{
    open_pads(chain, NULL);
    gst_pad_add_probe(source, GST_PAD_PROBE_TYPE_BUFFER, on_frame, NULL, NULL);
    corpus_serve(push_frame);
    close_pads();
}

/* ---- the caps of a pad are handed out with a reference ---- */

CORPUS_FUNCTION static int width_of(GstPad *pad, bool is_hasty)
{
    int width = 0;
    GstCaps *caps = gst_pad_get_current_caps(pad); /* @current-caps */
    gst_structure_get_int(gst_caps_get_structure(caps, 0), "width", &width);
    if (!is_hasty)
        gst_caps_unref(caps); /* @current-caps-end */
    return width;
}

static GstFlowReturn chain_with_caps(GstPad *pad, GstObject *parent, GstBuffer *frame)
{
    (void)parent;
    width_of(pad, corpus_is_unlucky(served));
    end_frame(frame);
    return GST_FLOW_OK;
}

static void current_caps(void)
{
    open_pads(chain_with_caps, NULL);
    corpus_serve(push_frame);
    close_pads();
}

/* ---- a memory that is taken out of its buffer ---- */

CORPUS_FUNCTION static gsize look_inside(GstBuffer *frame, bool is_hasty)
{
    GstMemory *memory = gst_buffer_get_memory(frame, 0); /* @memory */
    gsize size = gst_memory_get_sizes(memory, NULL, NULL);
    if (!is_hasty)
        gst_memory_unref(memory); /* @memory-end */
    return size;
}

static GstFlowReturn chain_with_memory(GstPad *pad, GstObject *parent, GstBuffer *frame)
{
    (void)pad;
    (void)parent;
    look_inside(frame, corpus_is_unlucky(served));
    end_frame(frame);
    return GST_FLOW_OK;
}

static void memory(void)
{
    open_pads(chain_with_memory, NULL);
    corpus_serve(push_frame);
    close_pads();
}

/* ---- an event function that swallows what it should give back ---- */

static gboolean swallow(GstPad *pad, GstObject *parent, GstEvent *event)
{
    if (GST_EVENT_TYPE(event) == GST_EVENT_TAG && corpus_is_unlucky(served))
        return TRUE;
    return gst_pad_event_default(pad, parent, event); /* @event-end */
}

static void push_tag(long number)
{
    served = number;
    GstTagList *tags = gst_tag_list_new(GST_TAG_TITLE, "night", NULL); /* @tags */
    GstEvent *event = gst_event_new_tag(tags);                         /* @event */
    gst_pad_push_event(source, event);                                 /* @push-event */
}

static void event(void)
{
    open_pads(chain, swallow);
    corpus_serve(push_tag);
    close_pads();
}

/* ---- messages of a bus ---- */

CORPUS_FUNCTION static void read_bus(GstBus *bus, bool is_hasty)
{
    GstMessage *message = gst_bus_pop(bus); /* @pop */
    if (is_hasty)
        return;
    gst_message_unref(message); /* @message-end */
}

static GstBus *bus;

static void post_message(long number)
{
    GstStructure *text = gst_structure_new("note", "number", G_TYPE_LONG, number, NULL);
    gst_bus_post(bus, gst_message_new_application(NULL, text)); /* @message */
    read_bus(bus, corpus_is_unlucky(number));
}

static void messages(void)
{
    bus = gst_bus_new();
    corpus_serve(post_message);
    gst_object_unref(bus);
}

/* ---- a sample holds its buffer, caps and memory ---- */

static GstCaps *sample_caps;

static void make_sample(long number)
{
    GstBuffer *frame = new_frame();
    GstSample *sample = gst_sample_new(frame, sample_caps, NULL, NULL); /* @sample */
    end_frame(frame);
    if (!corpus_is_unlucky(number))
        gst_sample_unref(sample); /* @sample-end */
}

static void cascade(void)
{
    sample_caps = gst_caps_new_empty_simple("audio/x-raw");
    corpus_serve(make_sample);
    gst_caps_unref(sample_caps);
}

/* ---- a pipeline with threads: tee, two queues, a probe behind one of them ---- */

CORPUS_FUNCTION static void monitor(GstBuffer *frame)
{
    gst_buffer_ref(frame); /* @monitor */
}

static GstPadProbeReturn on_monitored(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    GstBuffer *frame = GST_PAD_PROBE_INFO_BUFFER(info);
    (void)pad;
    (void)data;
    if (corpus_is_unlucky((long)GST_BUFFER_OFFSET(frame) / SOURCE_BYTES + 1))
        monitor(frame);
    return GST_PAD_PROBE_OK;
}

static void run_pipeline(GstPadProbeCallback on_pad)
{
    char line[256];
    GError *error = NULL;
    snprintf(line, sizeof(line),
             "fakesrc num-buffers=%ld sizetype=fixed sizemax=%d ! tee name=t "
             "t. ! queue ! fakesink sync=false t. ! queue ! identity name=m ! fakesink sync=false",
             corpus.requests, SOURCE_BYTES);
    GstElement *pipeline = gst_parse_launch(line, &error);
    CORPUS_NEED(pipeline && !error);
    if (on_pad) {
        GstElement *identity = gst_bin_get_by_name(GST_BIN(pipeline), "m");
        GstPad *pad = gst_element_get_static_pad(identity, "sink");
        gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_pad, NULL, NULL);
        gst_object_unref(pad);
        gst_object_unref(identity);
    }
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    GstBus *messages_of = gst_element_get_bus(pipeline);
    GstMessage *end = gst_bus_timed_pop_filtered(messages_of, GST_CLOCK_TIME_NONE,
                                                 GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
    CORPUS_NEED(end && GST_MESSAGE_TYPE(end) == GST_MESSAGE_EOS);
    gst_message_unref(end);
    gst_object_unref(messages_of);
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(pipeline);
}

static void pipeline(void)
{
    run_pipeline(on_monitored);
}

static void clean_pipeline(void)
{
    run_pipeline(NULL);
}

/* ---- caps of the program's own, that a thread of the pipeline takes for each buffer ---- */

static GstCaps *wanted_caps;
static long passed;

CORPUS_FUNCTION static GstCaps *take_caps(void)
{
    return gst_caps_ref(wanted_caps); /* @own-caps */
}

CORPUS_FUNCTION static void put_caps(GstCaps *caps)
{
    gst_caps_unref(caps); /* @own-caps-end */
}

static GstPadProbeReturn on_checked(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    GstCaps *caps = take_caps();
    (void)pad, (void)info, (void)data;
    if (!corpus_is_unlucky(++passed))
        put_caps(caps);
    return GST_PAD_PROBE_OK;
}

static void own_caps(void)
{
    wanted_caps = gst_caps_new_empty_simple("video/x-raw"); /* @own-caps-birth */
    run_pipeline(on_checked);
}

/* Without its owner's reference. */
static void own_caps_to_end(void)
{
    own_caps();
    gst_caps_unref(wanted_caps);
}

/* ---- clean: as many references, of samples that were made first and are there to the end ---- */

#define REGISTERED 80

static GstSample *registered[REGISTERED];

static void registry(void)
{
    wanted_caps = gst_caps_new_empty_simple("video/x-raw");
    for (int i = 0; i < REGISTERED; i++)
        registered[i] = gst_sample_new(NULL, wanted_caps, NULL, NULL);
    run_pipeline(on_checked);
}

/* ---- clean: GStreamer's own thread holds its pipeline while the program ends ----
 *
 * What changes the state on behalf of a pipeline that is ready is a thread of a pool. The last that
 * it says, when all others can go on, is that it is through; its reference is given back behind
 * that. */

static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told = PTHREAD_COND_INITIALIZER;
static bool is_told;

static void on_log(GstDebugCategory *category, GstDebugLevel level, const char *file,
                   const char *function, int line, GObject *object, GstDebugMessage *message,
                   gpointer data)
{
    (void)category, (void)level, (void)file, (void)function, (void)line, (void)object, (void)data;
    if (strcmp(gst_debug_message_get(message), "state continue done") != 0)
        return;
    pthread_mutex_lock(&told_lock);
    is_told = true;
    pthread_cond_signal(&told);
    pthread_mutex_unlock(&told_lock);
    for (;;)
        pause();
}

static void state_change(void)
{
    gst_debug_remove_log_function(gst_debug_log_default);
    gst_debug_add_log_function(on_log, NULL, NULL);
    gst_debug_set_threshold_for_name("bin", GST_LEVEL_DEBUG);
    gst_debug_set_active(TRUE);
    run_pipeline(NULL);
    pthread_mutex_lock(&told_lock);
    while (!is_told)
        pthread_cond_wait(&told, &told_lock);
    pthread_mutex_unlock(&told_lock);
}

/* ---- clean: a pool whose buffers rise again, and writable copies of shared ones ---- */

static GstBufferPool *pool;

static void request_with_pool(long number)
{
    GstBuffer *frame = NULL;
    CORPUS_NEED(gst_buffer_pool_acquire_buffer(pool, &frame, NULL) == GST_FLOW_OK);
    GstBuffer *shared = gst_buffer_ref(frame);
    frame = gst_buffer_make_writable(frame);
    GST_BUFFER_OFFSET(frame) = (guint64)number;
    gst_buffer_unref(shared);
    gst_buffer_unref(frame);
}

static void buffer_pool(void)
{
    pool = gst_buffer_pool_new();
    GstStructure *config = gst_buffer_pool_get_config(pool);
    gst_buffer_pool_config_set_params(config, NULL, FRAME_BYTES, 4, 16);
    CORPUS_NEED(gst_buffer_pool_set_config(pool, config));
    CORPUS_NEED(gst_buffer_pool_set_active(pool, TRUE));
    corpus_serve(request_with_pool);
    gst_buffer_pool_set_active(pool, FALSE);
    gst_object_unref(pool);
}

/* ---- a pad is handed out with a reference, and holds the template that it was made from ---- */

CORPUS_FUNCTION static GstPadDirection direction_of(GstElement *element, bool is_hasty)
{
    GstPad *pad = gst_element_get_static_pad(element, "sink"); /* @static-pad */
    GstPadDirection direction = GST_PAD_DIRECTION(pad);
    if (!is_hasty)
        gst_object_unref(pad);
    return direction;
}

static void request_with_element(long number)
{
    GstElement *element = gst_element_factory_make("identity", NULL);
    CORPUS_NEED(element && direction_of(element, corpus_is_unlucky(number)) == GST_PAD_SINK);
    gst_object_unref(element);
}

static void static_pad(void)
{
    corpus_serve(request_with_element);
}

static const struct corpus_case cases[] = {
    {"early_return", early_return},
    {"early_return_to_end", early_return_to_end},
    {"probe", probe},
    {"current_caps", current_caps},
    {"memory", memory},
    {"event", event},
    {"messages", messages},
    {"cascade", cascade},
    {"pipeline", pipeline},
    {"own_caps", own_caps},
    {"own_caps_to_end", own_caps_to_end},
    {"registry", registry},
    {"clean_pipeline", clean_pipeline},
    {"state_change", state_change},
    {"buffer_pool", buffer_pool},
    {"static_pad", static_pad},
};

int main(int argc, char **argv)
{
    gst_init(NULL, NULL);
    CORPUS_NEED(gst_plugin_load_file(CORPUS_GST_PLUGINS "/libgstcoreelements.so", NULL));
    return corpus_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
