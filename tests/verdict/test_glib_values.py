#!/usr/bin/python3
"""Verdicts on GLib's arrays and variants."""
import sys

from corpus import Asked, Case, Leak, main

NOTHING = {'g-bytes': 0, 'g-array': 0, 'g-variant': 0}


def check_long_history(report):
    """What was not kept is counted, and how many references are left is known all the same."""
    assert report['losses']['events_overflow'] > 0
    refs = [group['refs'] for group in report['groups'] if group['class'] == 'g-bytes']
    assert refs == [1], refs


CASES = [
    Case('an array is forgotten one time in a thousand',
         'long_frame', 20000, 1000, leaks=[
             Leak('missing-release', 'g-array', 'frame', 20, of=20000, release='frame-end',
                  released=19980)],
         unreleased=NOTHING),
    Case('content that was taken out of its array is no array any more',
         'kept_content', 2000, 2, unreleased=NOTHING),
    Case('a lookup hands out a reference that is never given back',
         'lookup', 1000, leaks=[
             Leak('missing-release', 'g-variant', 'lookup', 1000, of=1000, release='',
                  holds={'g-bytes': 1000})],
         unreleased=NOTHING),
    Case('a loop over a dictionary that is left early',
         'iterated', 2000, 10, leaks=[
             Leak('missing-release', 'g-variant', 'loop', 200, release='loop',
                  holds={'g-bytes': 200})],
         unreleased=NOTHING),
    Case('three bugs of three classes',
         'three_bugs', 4000, leaks=[
             Leak('missing-release', 'g-bytes', 'log-body', 1000, of=1000),
             Leak('missing-release', 'g-array', 'log-frame', 400, of=400, others=(0, 3600)),
             Leak('missing-release', 'g-variant', 'log-message', 40, of=40,
                  holds={'g-bytes': 240, 'g-variant': 480})],
         unreleased=NOTHING),
    Case('three bugs of three classes in four threads',
         'three_bugs', 8000, threads=4, leaks=[
             Leak('missing-release', 'g-bytes', 'log-body', 2000, of=2000),
             Leak('missing-release', 'g-array', 'log-frame', 800, of=800, others=(0, 7200)),
             Leak('missing-release', 'g-variant', 'log-message', 80, of=80,
                  holds={'g-bytes': 480, 'g-variant': 960})],
         unreleased=NOTHING),
    Case('clean: content changes hands between arrays, bytes and variants',
         'hand_over', 2000, unreleased=NOTHING),
    Case('clean: frees are delayed until a batch is full',
         'delayed_free', 5050, asked=[Asked(unreleased={'g-array': 50})], unreleased=NOTHING),
    Case('clean: a pool that is warmed at the start',
         'warm_pool', 5000, unreleased={'g-array': 0}, steady={'g-array': 32}),
    Case('clean: a free list that fills and stays',
         'free_list', 6000, unreleased={'g-array': 0}, steady={'g-array': 8}),
    Case('clean: ends that are compiled into the program', 'unseen_ends', 3000,
         losses=('buffers_replaced',)),
    Case('clean: counts that are changed by what is compiled into the program', 'unseen_counts',
         3000, losses=('counts_drifted',)),
    Case('clean: the same in four threads', 'unseen_counts', 3000, threads=4,
         losses=('counts_drifted',)),
    Case('a buffer with a longer history than is kept is not judged, but counted', 'long_history',
         200, 10, unreleased={'g-bytes': 20}, check=check_long_history),
]

if __name__ == '__main__':
    sys.exit(main('glib_values', CASES))
