#!/usr/bin/python3
"""Verdicts on nghttp2's sessions."""
import sys

from corpus import Case, Leak, main

CASES = [
    Case('a session is forgotten one time in ten',
         'early_return', 2000, 10, leaks=[
             Leak('missing-release', 'nghttp2-session', 'session', 200, of=2000,
                  release='session-end', released=1800)]),
    Case('a header value that a filter keeps is forgotten one time in twenty',
         'headers', 90, 20, leaks=[
             Leak('missing-release', 'nghttp2-rcbuf', 'keep-value', 4, of=180,
                  release='drop-value', released=176)]),
    Case('clean: header values that a filter keeps for a while', 'headers', 90,
         unreleased={'nghttp2-rcbuf': 0, 'nghttp2-session': 0}),
    Case('clean: sessions', 'early_return', 2000, unreleased={'nghttp2-session': 0}),
    Case('the session of a connection is forgotten one time in ten',
         'own_sessions', 1000, 10, leaks=[
             Leak('missing-release', 'nghttp2-session', 'served', 100, of=1000,
                  release='served-end')]),
    Case('clean: values that outlive their session', 'own_sessions', 1000,
         unreleased={'nghttp2-session': 0, 'nghttp2-rcbuf': 0}),
]

if __name__ == '__main__':
    sys.exit(main('http2', CASES))
