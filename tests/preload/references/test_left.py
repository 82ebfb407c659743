#!/usr/bin/python3
"""Functions of a profile that are left while they are under way, by longjmp and by an exception:
what they had not done yet is not counted, and what they were about to end has ended."""
import os
import sys

import tracked

COUNTED = ('allocs', 'retains', 'releases', 'over_releases', 'live_count')
# beside the last one of each run, which lives with two references
ROWS = {
    'release': ('a release has given back the reference', dict(allocs=10, releases=10)),
    'destroy': ('a buffer that is being destroyed has ended',
                dict(allocs=10, retains=10, releases=10)),
    'clear': ('what the cleared one owned has ended, and it stays',
              dict(allocs=30, releases=20, live_count=10)),
    'swap': ('nothing was replaced; its end is not seen',
             dict(allocs=20, retains=10, releases=10, live_count=10, counts_drifted=10)),
    'steal': ('nothing was given back; its end is not seen',
              dict(allocs=20, retains=10, releases=10, live_count=10, counts_drifted=10)),
    'resize': ('nothing has moved', dict(allocs=10, releases=10)),
}


def claim(name, way):
    text, wanted = ROWS[name]

    def check():
        said, report = tracked.run([os.environ['BL_VICTIM'], name, way],
                                   options=f"quiet=1:profiles={os.environ['BL_PROFILE']}",
                                   MALLOC_PERTURB_='0')
        assert said == 'done\n', said
        row = {key: report.table('left')[key] - (key in ('allocs', 'retains', 'live_count'))
               for key in COUNTED}
        row.update({key: report.losses()[key] for key in
                    ('counts_drifted', 'events_unknown', 'events_dropped', 'buffers_replaced')})
        found = {key: count for key, count in row.items() if count}
        assert found == wanted, f'{name}, {way}: {found}, not {wanted}'
    check.__doc__ = f'{name} left by {way}: {text}'
    return check


if __name__ == '__main__':
    sys.exit(tracked.main(*(claim(name, way) for name in ROWS for way in ('jump', 'throw'))))
