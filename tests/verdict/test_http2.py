#!/usr/bin/python3
"""Verdicts on nghttp2's sessions."""
import sys

from corpus import Case, Leak, main

CASES = [
    Case('a session is forgotten one time in ten',
         'early_return', 2000, 10, leaks=[
             Leak('missing-release', 'nghttp2-session', 'session', 200, of=2000,
                  release='session-end', released=1800)]),
    Case('clean: sessions', 'early_return', 2000, unreleased={'nghttp2-session': 0}),
]

if __name__ == '__main__':
    sys.exit(main('http2', CASES))
