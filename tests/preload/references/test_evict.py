#!/usr/bin/python3
"""More distinct lifecycles than are kept: the least useful of them are evicted, which is counted and
said, and what is told of the others stays right."""
import json
import os
import sys

import tracked
from tracked import at

VICTIM = os.environ['BL_VICTIM']
KEPT = 1 << 14
TURNS = 40000


def run():
    texts = []
    said, report = tracked.run([VICTIM, TURNS], lambda path: texts.append(
        tracked.cli('report', '--class', 'g-bytes', path)), options='quiet=1:profiles=glib')
    return json.loads(said), report, texts[0]


def main():
    said, report, text = run()
    evicted = report.losses()['lifecycles_dropped']

    def they_are_counted():
        """Every lifecycle beyond those that are kept is counted as evicted."""
        # each turn's is its own; those of the requests are two, or three
        expected = TURNS + 3 - (KEPT - 1)
        assert expected - 3 <= evicted <= expected + 3, (evicted, expected)

    def it_is_said():
        """The report says so, with the number."""
        assert f'{evicted:,} completed lifecycles' in text, text[:2000]

    def the_leak_is_named():
        """The forgotten reference is named with its line and count, and where others give it back."""
        [group] = report.accused()
        assert (group['class'], group['verdict'], group['blame']['op'], group['count'],
                at(group['blame']['frames'])) == (
                    'g-bytes', 'missing-release', 'retain', said['count'],
                    ('victim_evict.c', said['line'])), group
        assert at(group['expected_release']['frames']) == ('victim_evict.c', said['line'] + 4), group
        # the siblings that ended well were not evicted: one in ten leaks
        evidence = group['evidence']
        assert (evidence['leaked'], evidence['completed']) == (
            said['count'], said['requests'] - said['count']), evidence

    def nothing_else_is():
        """What ended, evicted or not, is accused by nobody and is not left."""
        assert report.table('g-bytes')['live_count'] == said['count'], report.table('g-bytes')

    return tracked.main(they_are_counted, it_is_said, the_leak_is_named, nothing_else_is)


if __name__ == '__main__':
    sys.exit(main())
