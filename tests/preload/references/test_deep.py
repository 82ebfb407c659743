#!/usr/bin/python3
"""Functions of a profile inside one another, deeper than they can be followed: nobody is accused of
what the library does right, what cannot be told is counted as lost, and when all has been left
mistakes are named as ever. The library's memory and counts tell nothing: only the calls do."""
import os
import sys

import tracked

FOLLOWED, DEEP, DEEPER = 7, 12, 60
TIMES = 40
RIGHT = {
    'destroy': 'what is destroyed, with what it owns and releases itself',
    'clear': 'what is cleared, with what it owns and releases itself',
    'steal': 'what is stolen, if it is',
    'steal-nothing': 'what is not stolen after all, and is released later',
    'steal-copy': 'what is stolen by a release',
    'swap': 'what replaces another and is released by both who have it',
    'resize': 'what moves and is released where it is then',
    'drop': 'what is released by a call that stands for another',
}
LOSSES = ('events_dropped', 'events_unknown')
# whose effect cannot be told where they are not followed
UNSURE = ('steal', 'steal-nothing', 'swap', 'resize', 'drop')


def dig(name, depth):
    texts = []
    said, report = tracked.run([os.environ['BL_VICTIM'], name, depth],
                               look=lambda path: texts.append(tracked.cli('report', path)),
                               options=f"quiet=1:profiles={os.environ['BL_PROFILE']}")
    assert said == 'done\n', said
    return report, texts[0]


def verdicts(report):
    return [(group['verdict'], group['count']) for group in report.of_class('deep')]


def nobody_is_accused(name, depth):
    def check():
        report, text = dig(name, depth)
        row = report.table('deep')
        assert not verdicts(report), verdicts(report)
        assert (row['over_releases'], row['live_count']) == (0, 0), row
        lost = {key: report.losses()[key] for key in LOSSES if report.losses()[key]}
        if depth <= FOLLOWED:
            assert not lost, lost
        elif name in UNSURE:
            assert lost['events_dropped'] == TIMES * (2 if name == 'swap' else 1), lost
            assert 'calls nested too deep' in text, text
        else:
            assert lost['events_unknown'], lost
    check.__doc__ = f'{depth} deep: {RIGHT[name]}'
    return check


def mistakes_are_named(name, depth, wanted):
    def check():
        report, _ = dig(name, depth)
        assert verdicts(report) == [wanted], verdicts(report)
        assert report.losses()['events_dropped'] == 0, report.losses()
    check.__doc__ = f'{depth} deep and left, {name}: {wanted[1]} of {wanted[0]}'
    return check


if __name__ == '__main__':
    sys.exit(tracked.main(
        *(nobody_is_accused(name, depth) for name in RIGHT for depth in (FOLLOWED, DEEP)),
        nobody_is_accused('destroy', DEEPER),
        *(mistakes_are_named(name, depth, wanted) for depth in (FOLLOWED, DEEP) for name, wanted in (
            ('twice', ('over-release', TIMES)),
            ('jump', ('over-release', TIMES)),
            ('leak', ('missing-release', TIMES // 4))))))
