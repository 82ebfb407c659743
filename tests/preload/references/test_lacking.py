#!/usr/bin/python3
"""A profile that lacks functions: what was not seen must not become an accusation, and what was done
too often is named all the same."""
import os
import sys
import tempfile

import tracked

FUNCTIONS = (('alloc', 'thing_new'), ('alloc', 'thing_open'), ('retain', 'thing_ref'),
             ('retain', 'thing_grab'), ('release', 'thing_unref'), ('release', 'thing_drop'))
PROGRAMS = os.environ['BL_PROGRAMS']
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'lacking', 'victim_lacking.c')
COUNT = 400


def line_of(mark):
    with open(SOURCE, encoding='utf-8') as lines:
        return next(n for n, line in enumerate(lines, 1) if f'/* @{mark} */' in line)


def report_on(library, level, missing, what, every):
    with tempfile.NamedTemporaryFile('w', suffix='.profile') as profile:
        profile.write(f'class thing\n    library lib{library}.so\n')
        profile.writelines(f'    {role} {name}\n' for role, name in FUNCTIONS
                           if name not in missing)
        profile.flush()
        victim = os.path.join(PROGRAMS, f'victim-{library}.{level}')
        said, report = tracked.run([victim, what, COUNT, every],
                                   options=f'quiet=1:profiles={profile.name}',
                                   MALLOC_PERTURB_='0')
    assert said == 'done\n', said
    return report


def lacks(report):
    return [hook['why'] for hook in report.json['hooks'] if hook['class'] == 'thing' and
            'may lack a function that retains or allocates' in (hook['why'] or '')]


def nobody(report, unmatched):
    """No verdict, and the profile is what is told of."""
    assert not report.accused(), report.accused()
    assert report.losses()['releases_unmatched'] == unmatched, report.losses()
    assert report.table('thing')['over_releases'] == 0, report.table('thing')
    assert len(lacks(report)) == 1, report.json['hooks']


def only(report, count, mark, is_sure):
    [group] = report.accused()
    assert (group['verdict'], group['count']) == ('over-release', count), group
    assert tracked.at(group['blame']['frames']) == ('victim_lacking.c', line_of(mark)), group
    evidence = group['evidence']
    assert ('may lack' in (evidence['note'] or '')) is not is_sure, evidence
    assert (group['confidence'] > 0.8) is is_sure and (group['confidence'] < 0.4) is not is_sure, \
        group
    assert ('as far as seen' in evidence['text']) is not is_sure, evidence


def nothing(report):
    """Neither the program nor the profile is told of."""
    assert not report.accused() and not lacks(report), (report.accused(), report.json['hooks'])
    assert report.losses()['releases_unmatched'] == 0, report.losses()


def opened(report):
    unmatched = report.losses()['releases_unmatched']
    assert unmatched > 0, report.losses()
    nobody(report, unmatched)


def grabbed_and_twice(report):
    """Each second of them once too often, which is certain: its block was gone by then."""
    twice = report.table('thing')['over_releases']
    only(report, twice, 'twice', True)
    assert len(lacks(report)) == 1, report.json['hooks']


def unjudged(report, count, every):
    """Where all end by what is not seen. Else it is known how others ended."""
    accused = report.accused()
    assert not accused if every == 1 else len(accused) <= 1, accused
    assert report.table('thing')['live_count'] == count, report.table('thing')


def forgotten(report, count):
    [group] = report.accused()
    assert group['count'] == count, group
    assert group['verdict'] in ('missing-release', 'never-released'), group


def cases(some, every):
    """What is claimed, of which library, what its profile lacks, what is done, what is told."""
    grab, open_, drop = 'thing_grab', 'thing_open', 'thing_drop'
    return [
        ('references that were grabbed unseen are given back', 'lacking', (grab,), 'grab',
         lambda report: nobody(report, 2 * some)),
        ('what lives on with a reference that was grabbed unseen is no certainty', 'lacking',
         (grab,), 'keep', lambda report: only(report, some, 'finish-shared', False)),
        ('what was opened unseen where another had ended is no dead one', 'lacking', (open_,),
         'open', opened),
        ('what was dropped unseen is not forgotten', 'lacking', (drop,), 'drop', nothing),
        ('what others are released by is missing: nobody tells what this one lacks', 'lacking',
         (drop,), 'forget', lambda report: unjudged(report, some, every)),
        ('forgotten, and the profile is whole', 'lacking', (), 'forget',
         lambda report: forgotten(report, some)),
        ('released twice, by a whole profile', 'lacking', (), 'twice',
         lambda report: only(report, some, 'twice', True)),
        ('released twice, and the profile lacks what is not called', 'lacking', (grab, open_),
         'twice', lambda report: only(report, some, 'twice', True)),
        ('grabbed unseen, and some of those released twice', 'lacking', (grab,), 'grab-twice',
         grabbed_and_twice),
        ('nothing is wrong, and the profile is whole', 'lacking', (), 'grab', nothing),
        ('kept by its library after the end, and released twice', 'lacking-keeping', (), 'twice',
         lambda report: only(report, some, 'twice', False)),
    ]


# no block begins at the handle: only how many they are tells
INSIDE = (('nearly all were grabbed unseen, inside their blocks', ('thing_grab',), 'keep', 1,
           lambda report: only(report, COUNT, 'finish-shared', False)),
          ('some were released twice, inside their blocks', (), 'twice', 7,
           lambda report: only(report, (COUNT + 6) // 7, 'twice', True)))


def claim(text, library, level, missing, what, every, check):
    def run():
        check(report_on(library, level, missing, what, every))
    run.__doc__ = f'-O{level}, 1 of {every}: {text}'
    return run


def claims():
    for level in (0, 2):
        for every in (1, 7):
            for text, library, missing, what, check in cases((COUNT + every - 1) // every, every):
                yield claim(text, library, level, missing, what, every, check)
        for text, missing, what, every, check in INSIDE:
            yield claim(text, 'lacking-inside', level, missing, what, every, check)


if __name__ == '__main__':
    sys.exit(tracked.main(*claims()))
