#!/usr/bin/python3
"""Verdicts where every birth, retain and release goes through one function."""
import sys

from corpus import Case, Leak, main


def tells_that_it_is_unsure(report):
    notes = [group['evidence']['note'] for group in report['groups']
             if group['verdict'] == 'missing-release']
    assert notes and all(note.startswith('little evidence which') for note in notes), notes


CASES = [
    Case('of three references some buffers lose one and some two: each is counted',
         'lost_twice', 900, leaks=[
             Leak('missing-release', 'g-bytes', 'keep', 100, refs=2, of=900, callers=('use',),
                  release='drop', holds={})],
         unreleased={'g-bytes': 0}),
    Case('an owner that forgets is not taken for the balanced pair inside',
         'owner', 2000, 10, leaks=[
             Leak('missing-release', 'g-bytes', 'make', 200, of=2000, callers=('owner',),
                  release='drop', released=1800)],
         unreleased={'g-bytes': 0}),
    Case('an owner that always forgets neither', 'owner', 600, 1, leaks=[
        Leak('never-released', 'g-bytes', 'make', 600, of=600, callers=('owner',),
             note='little evidence')],
         unreleased={'g-bytes': 0}),
    Case('of two kept side by side the evidence cannot tell which, and says so',
         'side_by_side', 1000, 10, leaks=[
             Leak('missing-release', 'g-bytes', 'keep', 100, of=1000, release='drop',
                  note='little evidence which')],
         unreleased={'g-bytes': 0}, check=tells_that_it_is_unsure),
    Case('what a consumer forgets, retained without the helper',
         'consumer', 2000, 20, leaks=[
             Leak('missing-release', 'g-bytes', 'inline-ref', 100, of=2000, release='drop')],
         unreleased={'g-bytes': 0}),
    Case('a pool that is kept to the end is no part of what its buffers lose',
         'pool_and_losses', 5000, leaks=[
             Leak('missing-release', 'g-bytes', 'keep', 25, callers=('pool-keep',))]),
    Case('clean: references that end in any order', 'disorder', 2000,
         unreleased={'g-bytes': 0}),
]

if __name__ == '__main__':
    sys.exit(main('helpers', CASES))
