/* FFmpeg: buffers, frames and packets. */
#include "corpus.h"

#include <libavcodec/packet.h>
#include <libavutil/buffer.h>
#include <libavutil/frame.h>

/* ---- a copy that every tenth key frame takes and nobody gives back ---- */

CORPUS_FUNCTION static void show(AVBufferRef *picture, bool is_dropped)
{
    AVBufferRef *shown = av_buffer_ref(picture); /* @show */
    if (is_dropped)
        return;
    av_buffer_unref(&shown); /* @shown */
}

static void request_with_picture(long number)
{
    AVBufferRef *picture = av_buffer_alloc(4096); /* @picture */
    if (number % 2 == 0)
        show(picture, corpus_is_unlucky(number));
    av_buffer_unref(&picture); /* @picture-end */
}

static void error_path(void)
{
    corpus_serve(request_with_picture);
}

/* ---- a packet with its data is forgotten ---- */

static void request_with_packet(long number)
{
    AVPacket *packet = av_packet_alloc(); /* @packet */
    CORPUS_NEED(packet && av_new_packet(packet, 512) == 0);
    if (corpus_is_unlucky(number))
        return;
    av_packet_free(&packet); /* @packet-end */
}

static void cascade(void)
{
    corpus_serve(request_with_packet);
}

/* ---- clean: a pool, and pictures that are made writable ---- */

static AVBufferPool *pool;

static void request_with_pool(long number)
{
    AVBufferRef *picture = av_buffer_pool_get(pool);
    AVBufferRef *shared = av_buffer_ref(picture);
    if (number % 2 == 0)
        CORPUS_NEED(av_buffer_make_writable(&picture) == 0);
    av_buffer_unref(&shared);
    av_buffer_unref(&picture);
}

static void buffer_pool(void)
{
    pool = av_buffer_pool_init(4096, NULL);
    corpus_serve(request_with_pool);
    av_buffer_pool_uninit(&pool);
}

/* ---- frames: a filter clones them, and forgets the clone now and then ---- */

CORPUS_FUNCTION static AVFrame *read_frame(void)
{
    AVFrame *frame = av_frame_alloc(); /* @read-frame */
    CORPUS_NEED(frame);
    frame->format = 0; /* AV_PIX_FMT_YUV420P */
    frame->width = 64;
    frame->height = 16;
    CORPUS_NEED(av_frame_get_buffer(frame, 0) == 0); /* @frame-data */
    return frame;
}

CORPUS_FUNCTION static void sharpen(const AVFrame *frame, bool is_hasty)
{
    AVFrame *copy = av_frame_clone(frame); /* @clone */
    CORPUS_NEED(copy);
    if (is_hasty)
        return;
    av_frame_free(&copy); /* @clone-end */
}

static void request_with_clone(long number)
{
    AVFrame *frame = read_frame();
    sharpen(frame, corpus_is_unlucky(number));
    av_frame_free(&frame); /* @frame-end */
}

static void clone(void)
{
    corpus_serve(request_with_clone);
}

/* ---- the data of frames: one frame stands for all, what it referred to is not given up ---- */

static AVFrame *shown_frame;

CORPUS_FUNCTION static void keep_plane(const AVFrame *frame)
{
    AVBufferRef *plane = av_buffer_ref(frame->buf[0]); /* @keep-plane */
    CORPUS_NEED(plane);
}

static void request_that_shows(long number)
{
    AVFrame *frame = read_frame();
    av_frame_unref(shown_frame);
    CORPUS_NEED(av_frame_ref(shown_frame, frame) == 0);
    if (corpus_is_unlucky(number))
        keep_plane(shown_frame);
    av_frame_free(&frame);
}

static void planes(void)
{
    shown_frame = av_frame_alloc();
    CORPUS_NEED(shown_frame);
    corpus_serve(request_that_shows);
    av_frame_free(&shown_frame);
}

/* ---- frames that are moved: what the other one held is lost ---- */

static AVFrame *last_frame;

static void request_that_moves(long number)
{
    AVFrame *frame = read_frame();
    AVFrame *shown = av_frame_alloc();
    CORPUS_NEED(shown && av_frame_ref(shown, frame) == 0); /* @frame-ref */
    if (!corpus_is_unlucky(number))
        av_frame_unref(last_frame); /* @last-end */
    av_frame_move_ref(last_frame, shown);
    av_frame_free(&shown);
    av_frame_free(&frame);
}

static void moved_over(void)
{
    last_frame = av_frame_alloc();
    CORPUS_NEED(last_frame);
    corpus_serve(request_that_moves);
    av_frame_free(&last_frame);
}

/* ---- packets on the stack, with side data ---- */

static void request_with_side_data(long number)
{
    AVPacket *packet = av_packet_alloc();
    AVPacket *copy = av_packet_alloc();
    CORPUS_NEED(packet && copy && av_new_packet(packet, 300) == 0); /* @packet-data */
    CORPUS_NEED(av_packet_new_side_data(packet, AV_PKT_DATA_NEW_EXTRADATA, 20));
    CORPUS_NEED(av_packet_ref(copy, packet) == 0);     /* @packet-ref */
    CORPUS_NEED(av_packet_make_writable(packet) == 0); /* @packet-writable */
    if (!corpus_is_unlucky(number))
        av_packet_unref(packet); /* @side-end */
    av_packet_move_ref(packet, copy);
    av_packet_free(&packet);
    av_packet_free(&copy);
}

static void side_data(void)
{
    corpus_serve(request_with_side_data);
}

/* ---- buffers of one's own memory, made writable, replaced and grown ---- */

static void free_own(void *opaque, uint8_t *data)
{
    (void)opaque;
    free(data);
}

CORPUS_FUNCTION static AVBufferRef *wrap_own(void)
{
    return av_buffer_create(malloc(1000), 1000, free_own, NULL, 0); /* @own */
}

static AVBufferRef *current;

static void request_with_own(long number)
{
    AVBufferRef *one = wrap_own();
    AVBufferRef *held = av_buffer_ref(one); /* @held */
    CORPUS_NEED(one && held);
    CORPUS_NEED(av_buffer_make_writable(&one) == 0);
    CORPUS_NEED(av_buffer_replace(&current, one) == 0);
    CORPUS_NEED(av_buffer_replace(&current, held) == 0);
    CORPUS_NEED(av_buffer_realloc(&one, 3000) == 0);
    if (!corpus_is_unlucky(number))
        av_buffer_unref(&held); /* @held-end */
    av_buffer_unref(&one);
}

static void own_memory(void)
{
    corpus_serve(request_with_own);
    av_buffer_unref(&current);
}

static const struct corpus_case cases[] = {
    {"error_path", error_path}, {"cascade", cascade},       {"buffer_pool", buffer_pool},
    {"clone", clone},           {"planes", planes},         {"moved_over", moved_over},
    {"side_data", side_data},   {"own_memory", own_memory},
};

CORPUS_MAIN(cases)
