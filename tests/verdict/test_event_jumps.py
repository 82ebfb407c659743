#!/usr/bin/python3
"""Verdicts on libevent's connections that are freed by their callbacks' last call, which leaves no
frame of the callback; and the same where it does.

What is blamed is the same for both. Where the release is expected the callback is named, or the
call that it was inside of.
"""
import sys

from corpus import Case, Leak, main


def by_pointer(report):
    expected = [group['expected_release'] for group in report['groups']
                if group['class'] == 'bufferevent']
    assert expected and all(one['by_pointer'] for one in expected), expected


def by_frame(report):
    expected = [group['expected_release'] for group in report['groups']
                if group['class'] == 'bufferevent']
    assert expected and not any(one['by_pointer'] for one in expected), expected


def both(claim, name, at, jump, requests=2000, every=10):
    """`jump`: the call that the callback was inside of."""
    forgotten = requests // every
    for variant, release, check in (('', jump, by_pointer), ('-whole', 'on-event', by_frame)):
        yield Case(f'{claim}{variant and ", and has its frame"}', name, requests, every, leaks=[
            Leak('missing-release', 'bufferevent', at, forgotten, of=requests, release=release,
                 released=requests - forgotten, holds={'evbuffer': 2 * forgotten})],
            check=check, variant=variant)


def clean(claim, name):
    for variant in ('', '-whole'):
        yield Case(f'clean: {claim}', name, 2000, unreleased={'bufferevent': 0, 'evbuffer': 0},
                   variant=variant)


CASES = [
    *both('a callback that ends with the release forgets one connection in ten, as the other end '
          'is retained and given back', 'retained', 'pair', 'second-loop'),
    *both('the same one time in seven', 'retained', 'pair', 'second-loop', 3000, 7),
    *both('the same without other references', 'plain', 'pair', 'second-loop'),
    *both('the same of connections that are all freed so', 'by_socket', 'accept', 'loop'),
    *clean('the other end is retained and given back', 'retained'),
    *clean('it is so at times', 'retained_at_times'),
    *clean('there are no other references', 'plain'),
    *clean('all are freed by their callbacks', 'by_socket'),
]

if __name__ == '__main__':
    sys.exit(main('event_jumps', CASES))
