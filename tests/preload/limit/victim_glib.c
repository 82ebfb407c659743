/* GLib at its limit: g_try_malloc says so, g_malloc ends the program. */
#include <glib.h>
#include <stdio.h>

int main(void)
{
    unsigned taken = 0;
    void *room = g_malloc(50000); /* for what it has to say */
    while (g_try_malloc(1000))
        taken++;
    printf("tried %u\n", taken);
    fflush(stdout);
    g_free(room);
    g_malloc(100000);
    return 0;
}
