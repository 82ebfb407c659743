/* Calls that block, for live.c: each for ever, but in_epoll_pwait2, which waits for wait_ns and
 * returns 0 then. Any thread; an unexpected failure is -1. */
#ifndef LIVE_CALLS_H
#define LIVE_CALLS_H

#include <stdint.h>

int in_write(void);
int in_connect(void);
int in_open_of_fifo(void);
int in_record_lock(void);
int in_waitid(void);
int in_recvmsg(void);
int in_splice(void);
int in_signalfd(void);
int in_epoll_pwait2(uint64_t wait_ns);

#endif
