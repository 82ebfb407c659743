#!/usr/bin/python3
"""A function that puts another buffer in place of a shared one gives back a reference to it."""
import json
import os
import sys

import tracked
from tracked import at

VICTIM = os.environ['BL_VICTIM']
ROUNDS = 1000
THREADS = 4


def run(what):
    said, report = tracked.run([VICTIM, what, ROUNDS])
    table = report.table('av-buffer')
    assert table['over_releases'] == 0, table
    for loss in ('counts_drifted', 'events_unknown', 'buffers_replaced', 'objects_dropped'):
        assert report.losses()[loss] == 0, (loss, report.losses()[loss])
    return json.loads(said), report


def leaks_are_named(what, verdict, op, buffer_bytes):
    said, report = run(what)
    accused = [g for g in report.accused() if g['class'] == 'av-buffer']
    assert [(g['verdict'], g['count'], g['blame']['op']) for g in accused] == \
        [(verdict, said['leaked'], op)], accused
    assert accused[0]['bytes'] == buffer_bytes * said['leaked'], accused[0]['bytes']
    assert at(accused[0]['blame']['frames']) == ('victim_avbuffer.c', said['leak_line']), accused


def a_clean_run():
    """Nothing is left and no count drifts, when four threads make shared buffers writable and
    resize them."""
    said, report = run('clean')
    assert said['leaked'] == 0
    table = report.table('av-buffer')
    assert table['live_count'] == 0, table
    # shared, its copy, its resized copy, a thread's own; the one for all is copied twice a round
    assert table['allocs'] == THREADS * (5 * ROUNDS + 1) + 1, table
    assert report.of_class('av-buffer') == [], report.of_class('av-buffer')


def a_forgotten_copy():
    """What av_buffer_make_writable put in place is named where it was called."""
    leaks_are_named('copy', 'missing-release', 'alloc', 100)


def a_forgotten_grown_one():
    """What av_buffer_realloc put in place, and then resized in place, is named with its size."""
    leaks_are_named('grown', 'missing-release', 'alloc', 500)


def a_forgotten_reference():
    """A reference is named among others that such functions gave back."""
    leaks_are_named('shared', 'missing-release', 'retain', 100)


if __name__ == '__main__':
    sys.exit(tracked.main(a_clean_run, a_forgotten_copy, a_forgotten_grown_one,
                          a_forgotten_reference))
