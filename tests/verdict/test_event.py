#!/usr/bin/python3
"""Verdicts on libevent's buffers."""
import sys

from corpus import Case, Leak, main

CASES = [
    Case('an answer is forgotten one time in ten',
         'early_return', 3000, 10, leaks=[
             Leak('missing-release', 'evbuffer', 'answer', 300, of=3000, release='answer-end',
                  released=2700)]),
    Case('an answer is forgotten one time in a thousand, in four threads',
         'early_return', 40000, 1000, 4, leaks=[
             Leak('missing-release', 'evbuffer', 'answer', 40, of=40000, release='answer-end',
                  released=39960)]),
    Case('clean: chains that several buffers share', 'shared_chains', 3000,
         unreleased={'evbuffer': 0}),
]

if __name__ == '__main__':
    sys.exit(main('event', CASES))
