/*
 * What lives, by site: the helper thread looks over the live tables and adds up, so that sites cost
 * the application's threads nothing.
 *
 * A look over everything is a round. It takes one turn of the helper in all but large programs: a
 * turn reads 262,144 records (8 MiB of live table) for each second of interval, at least 4,096, and
 * as many as a 60th of all, whichever is more. Measured: 1.3 ms for 262,144 records, and a stack
 * that is seen for the first time costs as much as four. At the end of a round each followed site
 * gets a sample; so a site of a program with a million live buffers has one every four seconds, and
 * always at least one a minute (at interval=1s).
 *
 * Followed are at most BL_SITES_FOLLOWED: first those with most bytes now and in 64 rounds at their
 * present speed; a quarter of the places is for those that keep reaching new highs, which is what a
 * slow leak in a big program does. A site keeps its place until another has twice its worth.
 *
 * At most 16,383 sites are told apart; when they are nearly full, those of which nothing lives and
 * that are not followed are forgotten.
 *
 * Owns: one record for each site, in private memory, 2 bytes for each frame of the trie to find it
 * by a stack; both are wiped by the kernel in a forked child. Threads: the helper only. Needs the
 * guard. Errors: what finds no room is counted in sites_dropped.
 */
#ifndef BL_SITES_H
#define BL_SITES_H

#include "compiler.h"

#define BL_SITES_FOLLOWED 128u

/* One turn of the helper. */
void bl_sites_turn(uint64_t now_ns, uint64_t interval_ns);
/* Calls `see` for the stack of each site. */
void bl_sites_see_stacks(void (*see)(uint32_t stack));
/* The frame's number will be another one's. */
void bl_sites_forget(uint32_t frame);
/* In a forked child, whose series start anew. */
void bl_sites_reset(void);

#endif
