#!/usr/bin/python3
"""Verdicts on GObject and GIO."""
import sys

from corpus import Case, Leak, main

NOTHING = {'g-bytes': 0, 'g-object': 0}

CASES = [
    Case('an item that a model hands out is forgotten one time in ten',
         'get_item', 1000, 10, leaks=[
             Leak('missing-release', 'g-object', 'get-item', 100, of=100, release='',
                  alloc='channel')],
         unreleased=NOTHING),
    Case('a signal handler keeps what it was called for',
         'signal_handler', 2000, 100, leaks=[
             Leak('missing-release', 'g-object', 'handler', 20, of=20, release='',
                  others=(0, 1980), alloc='action')],
         unreleased=NOTHING),
    Case('a weak reference is made strong and forgotten one time in a thousand',
         'weak', 10000, 1000, leaks=[
             Leak('missing-release', 'g-object', 'weak-get', 10, of=10000,
                  release='weak-release', holds={'g-bytes': 10})],
         unreleased=NOTHING),
    Case('a leaked session holds its key, its peer and its channels',
         'cascade', 1000, 10, leaks=[
             Leak('missing-release', 'g-object', 'session', 100, of=1000, release='session-end',
                  released=900, holds={'g-bytes': 100, 'g-object': 300})],
         unreleased=NOTHING),
    Case('a session that always leaks, with all that it holds',
         'cascade', 500, 1, leaks=[
             Leak('never-released', 'g-object', 'session', 500, of=500, release='',
                  holds={'g-bytes': 500}, confidence=(0, 0.5)),
             # nothing ever ended that could show who holds whom: confidence says so
             Leak('never-released', 'g-object', 'store', 500, confidence=(0, 0.1)),
             Leak('missing-release', 'g-object', 'peer', 500, confidence=(0, 0.1)),
             Leak('missing-release', 'g-object', 'append', 500, confidence=(0, 0.1))],
         unreleased=NOTHING),
    Case('a leaked stream holds its key, but not what its user forgot of the same key',
         'stream_and_own', 1000, 50, leaks=[
             Leak('missing-release', 'g-object', 'stream', 20, of=1000, release='stream-end',
                  released=980, holds={'g-bytes': 20}),
             Leak('missing-release', 'g-bytes', 'look-retain', 20, refs=2,
                  release='look-release')],
         unreleased=NOTHING),
    Case('clean: types, singletons and what they set up', 'singletons', 2000),
    Case('clean: objects that save themselves from their first disposal',
         'resurrection', 2000, unreleased=NOTHING),
    Case('clean: four threads share a few objects',
         'counted_by_threads', 40000, threads=4, unreleased=NOTHING),
]

if __name__ == '__main__':
    sys.exit(main('gobject', CASES))
