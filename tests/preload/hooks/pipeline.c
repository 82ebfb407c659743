/* A GStreamer pipeline of the core's own elements to its end: file, tee, queues, two files. */
#include <gst/gst.h>

int main(int argc, char **argv)
{
    GError *error = NULL;
    gst_init(&argc, &argv);
    if (argc != 3)
        return 2;
    GstElement *pipeline = gst_parse_launch(argv[1], &error);
    if (error || !pipeline) {
        g_printerr("%s\n", error ? error->message : "no pipeline");
        return 1;
    }
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    GstBus *bus = gst_element_get_bus(pipeline);
    GstMessage *message =
        gst_bus_timed_pop_filtered(bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
    gboolean ended = GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS;
    g_print("%s %s\n", argv[2], ended ? "ended" : "failed");
    gst_message_unref(message);
    gst_object_unref(bus);
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(pipeline);
    gst_deinit();
    return ended ? 0 : 1;
}
