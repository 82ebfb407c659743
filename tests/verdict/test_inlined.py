#!/usr/bin/python3
"""Verdicts on small functions that were all compiled into one."""
import sys

from corpus import Case, Leak, main


def tells_which(report):
    """That the functions are one to the machine is no reason not to know."""
    notes = [group['evidence']['note'] for group in report['groups']
             if group['verdict'] == 'missing-release']
    assert not any('evidence which' in (note or '') for note in notes), notes


CASES = [
    Case('clean', 'nothing', 2000, unreleased={'g-bytes': 0}),
    Case('what one of them forgets one time in 300 is told by its name',
         'rarely_sent', 2000, leaks=[
             Leak('missing-release', 'g-bytes', 'send', 6, of=2000, callers=('sending',),
                  release='sent', released=1994)],
         unreleased={'g-bytes': 0}, check=tells_which),
    Case('what one of them always forgets too', 'never_noted', 2000, leaks=[
        Leak('missing-release', 'g-bytes', 'note', 2000, of=2000, callers=('noting',),
             alloc='parse')],
         unreleased={'g-bytes': 0}, check=tells_which),
    Case('what is given back later, in another of them', 'sometimes_waiting', 2000, leaks=[
        Leak('missing-release', 'g-bytes', 'wait', 200, of=2000)],
         unreleased={'g-bytes': 0}, check=tells_which),
    Case('an owner that forgets', 'sometimes_dropped', 2000, leaks=[
        Leak('missing-release', 'g-bytes', 'parse', 200, of=2000, callers=('request',),
             release='drop', released=1800)],
         unreleased={'g-bytes': 0}, check=tells_which),
    Case('one that forgets rarely beside one that always does', 'rarely_evicted_never_noted', 2000,
         leaks=[
             Leak('missing-release', 'g-bytes', 'note', 2000, of=2000, shared=6),
             Leak('missing-release', 'g-bytes', 'put', 6, of=2000, shared=6)],
         unreleased={'g-bytes': 0}, check=tells_which),
    Case('two that sometimes forget', 'two_of_many', 2000, leaks=[
        Leak('missing-release', 'g-bytes', 'send', 285, of=2000, release='sent', shared=28),
        Leak('missing-release', 'g-bytes', 'note', 200, of=2000, release='noted', shared=28)],
         unreleased={'g-bytes': 0}, check=tells_which),
]

if __name__ == '__main__':
    sys.exit(main('inlined', CASES))
