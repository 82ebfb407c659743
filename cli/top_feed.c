#include "top_feed.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define PAY_BACK 20           /* times the cost of a look until the next */
#define LEAVE_NS 300000000ull /* how long to wait for a thread that is busy */

struct bl_top_feed {
    struct bl_top_looker *looker; /* of the thread alone */
    uint64_t interval_ns;
    int fd;
    pthread_t thread;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t wake;  /* on the monotonic clock */
    struct bl_top_wish wish;
    bool has_new_wish;
    bool is_paused;
    bool is_stopping;
    struct bl_top_frame *frame;
    struct bl_error error;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
                             .tv_nsec = (long)(ns % 1000000000u)};
}

/* When the next look of each kind is due. */
struct plan {
    uint64_t light_ns;
    uint64_t full_ns;
    bool is_over; /* the process has ended and was judged: nothing changes any more */
};

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Makes one look and hands its frame over. */
static void look(struct bl_top_feed *feed, struct plan *plan, enum bl_top_depth depth,
                 const struct bl_top_wish *wish)
{
    struct bl_top_frame *frame = NULL;
    struct bl_error error = {""};
    uint64_t begin_ns = now_ns();
    int outcome = bl_top_look(feed->looker, depth, wish, &frame, &error);
    uint64_t end_ns = now_ns();
    uint64_t rest_ns = (end_ns - begin_ns) * PAY_BACK;
    if (depth != BL_TOP_AGAIN)
        plan->light_ns = end_ns + later(feed->interval_ns, rest_ns);
    if (depth == BL_TOP_FULL)
        plan->full_ns = end_ns + later(BL_TOP_FULL_NS, rest_ns);
    if (frame && !frame->is_live && depth != BL_TOP_AGAIN) {
        plan->is_over = depth == BL_TOP_FULL;
        plan->full_ns = plan->is_over ? UINT64_MAX : end_ns;
    }
    pthread_mutex_lock(&feed->lock);
    struct bl_top_frame *old = frame ? feed->frame : NULL;
    if (frame)
        feed->frame = frame;
    if (outcome < 0)
        feed->error = error;
    pthread_mutex_unlock(&feed->lock);
    bl_top_frame_destroy(old);
    uint64_t one = 1;
    if (write(feed->fd, &one, sizeof(one)) < 0)
        return; /* it is readable already */
}

/* Waits until something is due; false when the thread is to end. */
static bool await(struct bl_top_feed *feed, const struct plan *plan, enum bl_top_depth *ret_depth,
                  struct bl_top_wish *ret_wish)
{
    bool is_due = false;
    pthread_mutex_lock(&feed->lock);
    while (!feed->is_stopping && !is_due) {
        uint64_t now = now_ns();
        uint64_t next_ns = plan->light_ns < plan->full_ns ? plan->light_ns : plan->full_ns;
        bool is_idle = feed->is_paused || plan->is_over;
        is_due = true;
        if (!is_idle && plan->full_ns <= now) {
            *ret_depth = BL_TOP_FULL;
        } else if (!is_idle && plan->light_ns <= now) {
            *ret_depth = BL_TOP_LIGHT;
        } else if (feed->has_new_wish) {
            *ret_depth = BL_TOP_AGAIN;
        } else if (is_idle) {
            is_due = false;
            pthread_cond_wait(&feed->wake, &feed->lock);
        } else {
            struct timespec until = timespec_of(next_ns);
            is_due = false;
            pthread_cond_timedwait(&feed->wake, &feed->lock, &until);
        }
    }
    feed->has_new_wish = false;
    *ret_wish = feed->wish;
    bool is_stopping = feed->is_stopping;
    pthread_mutex_unlock(&feed->lock);
    return !is_stopping;
}

static void *feed_main(void *context)
{
    struct bl_top_feed *feed = context;
    struct plan plan = {.light_ns = 0};
    struct bl_top_wish wish = feed->wish;
    enum bl_top_depth depth;
    /* something to see first, then the verdicts */
    look(feed, &plan, BL_TOP_LIGHT, &wish);
    while (await(feed, &plan, &depth, &wish))
        look(feed, &plan, depth, &wish);
    return NULL;
}

static int start(struct bl_top_feed *feed)
{
    pthread_condattr_t attributes;
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_mutex_init(&feed->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&feed->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int code = pthread_create(&feed->thread, NULL, feed_main, feed);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return code;
}

static void release(struct bl_top_feed *feed)
{
    bl_top_looker_destroy(feed->looker);
    bl_top_frame_destroy(feed->frame);
    if (feed->fd >= 0)
        close(feed->fd);
    free(feed);
}

int bl_top_feed_create(struct bl_top_feed **ret_feed, const struct bl_target *target,
                       const struct bl_model_options *options, uint64_t interval_ns,
                       const struct bl_top_wish *wish, struct bl_error *error)
{
    struct bl_top_feed *feed = calloc(1, sizeof(*feed));
    if (!feed)
        return bl_error_set(error, "not enough memory");
    feed->interval_ns = interval_ns;
    feed->wish = *wish;
    feed->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int code = feed->fd < 0 ? errno : 0;
    int outcome = 0;
    if (code == 0)
        outcome = bl_top_looker_create(&feed->looker, target, options, error);
    if (code == 0 && outcome == 0)
        code = start(feed);
    if (code != 0)
        outcome = bl_error_set(error, "cannot start to look at the process: %s", strerror(code));
    if (outcome < 0)
        release(feed);
    else
        *ret_feed = feed;
    return outcome;
}

bool bl_top_feed_destroy(struct bl_top_feed *feed)
{
    struct timespec until;
    if (!feed)
        return true;
    pthread_mutex_lock(&feed->lock);
    feed->is_stopping = true;
    pthread_cond_signal(&feed->wake);
    pthread_mutex_unlock(&feed->lock);
    until = timespec_of(now_ns() + LEAVE_NS);
    if (pthread_clockjoin_np(feed->thread, NULL, CLOCK_MONOTONIC, &until) != 0)
        return false;
    pthread_cond_destroy(&feed->wake);
    pthread_mutex_destroy(&feed->lock);
    release(feed);
    return true;
}

int bl_top_feed_fd(const struct bl_top_feed *feed)
{
    return feed->fd;
}

struct bl_top_frame *bl_top_feed_take(struct bl_top_feed *feed, struct bl_error *error)
{
    uint64_t count;
    if (read(feed->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        return NULL;
    pthread_mutex_lock(&feed->lock);
    struct bl_top_frame *frame = feed->frame;
    feed->frame = NULL;
    if (*feed->error.text)
        *error = feed->error;
    feed->error.text[0] = '\0';
    pthread_mutex_unlock(&feed->lock);
    return frame;
}

void bl_top_feed_ask(struct bl_top_feed *feed, const struct bl_top_wish *wish)
{
    pthread_mutex_lock(&feed->lock);
    feed->wish = *wish;
    feed->has_new_wish = true;
    pthread_cond_signal(&feed->wake);
    pthread_mutex_unlock(&feed->lock);
}

void bl_top_feed_pause(struct bl_top_feed *feed, bool is_paused)
{
    pthread_mutex_lock(&feed->lock);
    feed->is_paused = is_paused;
    pthread_cond_signal(&feed->wake);
    pthread_mutex_unlock(&feed->lock);
}
