#!/usr/bin/python3
"""What APR's pools and bucket allocators own ends with them: no more, no less."""
import json
import os
import sys

import tracked
from tracked import at

VICTIM = os.environ['BL_VICTIM']
REQUESTS = 3000


def run(what):
    said, report = tracked.run([VICTIM, what, REQUESTS])
    for name in ('apr-pool', 'apr-bucket-alloc', 'apr-bucket', 'apr-brigade'):
        assert report.table(name)['over_releases'] == 0, report.table(name)
    for loss in ('owners_unknown', 'events_unknown', 'buffers_replaced', 'objects_dropped'):
        assert report.losses()[loss] == 0, (loss, report.losses()[loss])
    return json.loads(said), report


def live(report, name):
    return report.table(name)['live_count']


def one_missing_release(what, name):
    said, report = run(what)
    accused = report.accused()
    assert [(g['class'], g['verdict'], g['count']) for g in accused] == \
        [(name, 'missing-release', said['leaked'])], accused
    assert at(accused[0]['blame']['frames']) == ('victim_apr.c', said['leak_line']), accused
    assert at(accused[0]['expected_release']['frames']) == \
        ('victim_apr.c', said['release_line']), accused
    return said, report


def a_clean_run():
    """When pools are destroyed nothing of what they own is left, and nobody is accused: not for what
    a clean-up destroys inside, nor for what it leaves to the pool."""
    said, report = run('clean')
    assert said['leaked'] == 0
    assert report.accused() == [], report.accused()
    # APR's own, the one above and the connection's, which is not used
    assert [live(report, n) for n in ('apr-pool', 'apr-bucket-alloc', 'apr-bucket',
                                      'apr-brigade')] == [3, 1, 0, 0]


def a_forgotten_pool():
    """A forgotten pool is the one finding; what it owns is its part."""
    said, report = one_missing_release('pool', 'apr-pool')
    assert live(report, 'apr-bucket-alloc') == said['leaked'] + 1
    assert live(report, 'apr-pool') == 2 * said['leaked'] + 3
    assert live(report, 'apr-bucket') > 0
    assert report.of_class('apr-bucket') == [], report.of_class('apr-bucket')


def a_forgotten_brigade():
    """A brigade that is not destroyed is named though its pool lives, and its buckets are its
    part."""
    said, report = one_missing_release('brigade', 'apr-brigade')
    assert live(report, 'apr-brigade') == said['leaked']
    assert live(report, 'apr-bucket') == said['leaked']


def a_forgotten_bucket():
    """A bucket that is not given back is named though its allocator lives."""
    said, report = one_missing_release('bucket', 'apr-bucket')
    assert live(report, 'apr-bucket') == said['leaked']


def a_cleared_pool():
    """A pool that is cleared stays, and what it owned is gone."""
    said, report = run('cleared')
    assert said['leaked'] == 0
    assert report.accused() == [], report.accused()
    assert [live(report, n) for n in ('apr-pool', 'apr-bucket-alloc', 'apr-bucket',
                                      'apr-brigade')] == [3, 1, 0, 0]
    assert report.table('apr-pool')['allocs'] == REQUESTS + 3


def every_function():
    """All functions of the profile are hooked at their entries."""
    def look(path):
        hooks = json.loads(tracked.cli('profiles', 'explain', '--format', 'json', path))['hooks']
        ours = [h for h in hooks if h['profile'] == 'apr']
        assert len(ours) == 11, ours
        assert {h['method'] for h in ours} == {'entry'}, ours
    tracked.run([VICTIM, 'clean', 1], look)


if __name__ == '__main__':
    sys.exit(tracked.main(a_clean_run, a_forgotten_pool, a_forgotten_brigade, a_forgotten_bucket,
                          a_cleared_pool, every_function))
