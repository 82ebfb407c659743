/* Two tests, each of which forgets connections with all that they hold. */
#include <bufleak.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdlib.h>

#define REQUESTS 400
#define EVERY    10

static __attribute__((noinline)) void serve(struct event_base *base, int number)
{
    struct bufferevent *connection = bufferevent_socket_new(base, -1, 0);
    if (!connection)
        abort();
    if (number % EVERY != 0)
        bufferevent_free(connection);
}

int main(void)
{
    static const char *const names[] = {"first", "second"};
    struct event_base *base = event_base_new();
    if (!base)
        return 1;
    for (int i = 0; i < REQUESTS; i++) {
        bufleak_test_begin(names[i >= REQUESTS / 2]);
        serve(base, i);
        bufleak_test_end();
    }
    event_base_free(base);
    return 0;
}
