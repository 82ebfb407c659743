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

static const struct corpus_case cases[] = {
    {"error_path", error_path},
    {"cascade", cascade},
    {"buffer_pool", buffer_pool},
};

CORPUS_MAIN(cases)
