/* What uses tight: loaded by a program as it runs. Every tenth buffer keeps its second reference.
 */
#include "tight.h"

#define BUFFERS_MAX 1000

int tight_work(int buffers);
int tight_work(int buffers)
{
    static struct tight storage[BUFFERS_MAX];
    static int used;
    int kept = 0;
    for (int i = 0; i < buffers && used < BUFFERS_MAX; i++) {
        struct tight *t = tight_new(&storage[used++]);
        tight_ref(t);
        tight_unref(t);
        if (i % 10 == 0)
            kept++;
        else
            tight_unref(t);
    }
    return kept;
}
