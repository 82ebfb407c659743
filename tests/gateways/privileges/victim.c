/*
 * A process that changes what it is while it holds memory. Its arguments are done in order:
 *
 *   alloc COUNT   allocates that many blocks and keeps them
 *   daemon        daemon(3): forks, leaves its terminal, closes its output
 *   user UID      becomes that user for good, with the group of the same number
 *   chroot DIR    makes DIR its root
 *   close-all     closes every descriptor above the standard three
 *
 * Then it names itself "ready" and waits; SIGTERM ends it with status 0. A failed step ends it with
 * the step's number.
 */
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define BLOCK_BYTES 72

static volatile void *last_block;

static int keep_blocks(const char *count_text)
{
    for (long left = atol(count_text); left > 0; left--) {
        void *block = malloc(BLOCK_BYTES); /* blocks born here */

        if (block == NULL) {
            return -1;
        }
        memset(block, 1, BLOCK_BYTES);
        last_block = block;
    }
    return 0;
}

static int become(const char *uid_text)
{
    uid_t uid = (uid_t)atol(uid_text);

    if (setgroups(0, NULL) != 0 || setgid((gid_t)uid) != 0) {
        return -1;
    }
    return setuid(uid);
}

static int enter(const char *dir)
{
    return chroot(dir) == 0 ? chdir("/") : -1;
}

static int close_all(void)
{
    return close_range(3, ~0u, 0);
}

/* Number of arguments the step used, or 0 if it failed. */
static int do_step(char **arg)
{
    if (strcmp(arg[0], "daemon") == 0) {
        return daemon(0, 0) == 0 ? 1 : 0;
    }
    if (strcmp(arg[0], "close-all") == 0) {
        return close_all() == 0 ? 1 : 0;
    }
    if (arg[1] == NULL) {
        return 0;
    }
    if (strcmp(arg[0], "alloc") == 0) {
        return keep_blocks(arg[1]) == 0 ? 2 : 0;
    }
    if (strcmp(arg[0], "user") == 0) {
        return become(arg[1]) == 0 ? 2 : 0;
    }
    if (strcmp(arg[0], "chroot") == 0) {
        return enter(arg[1]) == 0 ? 2 : 0;
    }
    return 0;
}

int main(int argc, char **argv)
{
    sigset_t term;
    int number;

    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    for (int i = 1; i < argc;) {
        int used = do_step(&argv[i]);

        if (used == 0) {
            return i;
        }
        i += used;
    }
    prctl(PR_SET_NAME, "ready");
    while (sigwait(&term, &number) != 0) {
    }
    return 0;
}
