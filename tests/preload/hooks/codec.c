/* Sound coded and decoded by FFmpeg's libraries, written to stdout. */
#include <libavcodec/avcodec.h>
#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <stdio.h>

#define FRAMES  200
#define SAMPLES 4096

static void check(int result, const char *what)
{
    if (result >= 0 || result == AVERROR(EAGAIN) || result == AVERROR_EOF)
        return;
    fprintf(stderr, "%s: %s\n", what, av_err2str(result));
    exit(1);
}

static AVCodecContext *open_codec(const AVCodec *codec, const AVCodecContext *like)
{
    AVCodecContext *c = avcodec_alloc_context3(codec);
    c->sample_rate = 44100;
    c->sample_fmt = AV_SAMPLE_FMT_S16;
    av_channel_layout_default(&c->ch_layout, 2);
    c->thread_count = 1;
    if (like) {
        AVCodecParameters *parameters = avcodec_parameters_alloc();
        check(avcodec_parameters_from_context(parameters, like), "parameters");
        check(avcodec_parameters_to_context(c, parameters), "parameters");
        avcodec_parameters_free(&parameters);
    } else {
        check(av_opt_set_int(c, "compression_level", 5, 0), "option");
        c->frame_size = SAMPLES;
    }
    check(avcodec_open2(c, codec, NULL), "open");
    return c;
}

static void decode(AVCodecContext *decoder, AVPacket *packet, AVFrame *frame)
{
    check(avcodec_send_packet(decoder, packet), "send packet");
    while (avcodec_receive_frame(decoder, frame) == 0) {
        fwrite(frame->data[0], 4, (size_t)frame->nb_samples, stdout);
        av_frame_unref(frame);
    }
}

static void encode(AVCodecContext *encoder, AVCodecContext *decoder, AVFrame *in, AVFrame *out)
{
    AVPacket *packet = av_packet_alloc();
    check(avcodec_send_frame(encoder, in), "send frame");
    while (avcodec_receive_packet(encoder, packet) == 0) {
        fwrite(packet->data, 1, (size_t)packet->size, stdout);
        decode(decoder, packet, out);
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
}

static void fill(AVFrame *frame, const AVCodecContext *c, int number)
{
    frame->nb_samples = c->frame_size;
    frame->format = c->sample_fmt;
    frame->pts = (int64_t)number * c->frame_size;
    check(av_channel_layout_copy(&frame->ch_layout, &c->ch_layout), "layout");
    check(av_frame_get_buffer(frame, 0), "buffer");
    int16_t *samples = (void *)frame->data[0];
    for (int i = 0; i < 2 * frame->nb_samples; i++)
        samples[i] = (int16_t)((i * number) % 9973 + (i * i) % 127);
}

int main(void)
{
    AVCodecContext *encoder = open_codec(avcodec_find_encoder(AV_CODEC_ID_FLAC), NULL);
    AVCodecContext *decoder = open_codec(avcodec_find_decoder(AV_CODEC_ID_FLAC), encoder);
    AVFrame *in = av_frame_alloc();
    AVFrame *out = av_frame_alloc();
    for (int number = 0; number < FRAMES; number++) {
        fill(in, encoder, number);
        encode(encoder, decoder, in, out);
        av_frame_unref(in);
    }
    encode(encoder, decoder, NULL, out);
    decode(decoder, NULL, out);
    av_frame_free(&in);
    av_frame_free(&out);
    avcodec_free_context(&encoder);
    avcodec_free_context(&decoder);
    return 0;
}
