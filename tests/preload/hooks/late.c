/* A module that a program loads: it makes buffers of a real library as it is loaded, and more when
 * it is asked to. Half of what late_work makes is given back, and all of the constructor's. The
 * functions are those where buffers are born, not others that call these inside the library. */
#include <stddef.h>

#if defined(OF_GLIB)
#include <glib.h>
typedef GBytes *buffer;
static buffer make(void)
{
    return g_bytes_new_with_free_func("late", 4, NULL, NULL);
}
static void end(buffer b)
{
    g_bytes_unref(b);
}
#elif defined(OF_APR)
#include <apr_general.h>
#include <apr_pools.h>
typedef apr_pool_t *buffer;
static buffer make(void)
{
    apr_pool_t *pool = NULL;
    apr_pool_create_ex(&pool, NULL, NULL, NULL);
    return pool;
}
static void end(buffer b)
{
    apr_pool_destroy(b);
}
#else
#include <libavutil/buffer.h>
typedef AVBufferRef *buffer;
static void nothing(void *opaque, uint8_t *data)
{
    (void)opaque;
    (void)data;
}
static buffer make(void)
{
    static uint8_t data[4];
    return av_buffer_create(data, sizeof data, nothing, NULL, 0);
}
static void end(buffer b)
{
    av_buffer_unref(&b);
}
#endif

static buffer kept[1000];

__attribute__((constructor)) static void begin(void)
{
#ifdef OF_APR
    apr_initialize();
#endif
    end(make());
}

int late_work(int count);
int late_work(int count)
{
    int left = 0;
    for (int i = 0; i < count; i++) {
        kept[i] = make();
        if (i % 2 == 0)
            end(kept[i]);
        else
            left++;
    }
    return left;
}
