#!/usr/bin/python3
"""Verdicts on GBytes that filters share."""
import sys

from corpus import Asked, Case, Leak, main

BODY = 1024
# the helper looks at the memory often enough for a short run
OFTEN = {'BUFLEAK_OPTIONS': 'quiet=1:interval=50ms'}

CASES = [
    Case('the incident: a copy for a cache, never given back',
         'incident', 5000, leaks=[
             Leak('missing-release', 'g-bytes', 'cache-retain', 2500, of=2500, others=(0, 2500),
                  release='', alloc='body', size=2500 * BODY, releases=('end',),
                  confidence=(0.94, 1))],
         unreleased={'g-bytes': 0}),
    Case('the incident from four threads',
         'incident', 5000, threads=4, leaks=[
             Leak('missing-release', 'g-bytes', 'cache-retain', 2500, of=2500,
                  others=(0, 2500))], unreleased={'g-bytes': 0}),
    Case('an error path forgets one in ten',
         'error_path', 5000, 10, leaks=[
             Leak('missing-release', 'g-bytes', 'join-retain', 500, of=5000, others=(0, 0),
                  release='join-release', released=4500, confidence=(0.95, 1))],
         unreleased={'g-bytes': 0}),
    Case('an error path forgets one in a thousand',
         'error_path', 30000, 1000, leaks=[
             Leak('missing-release', 'g-bytes', 'join-retain', 30, of=30000,
                  release='join-release', released=29970, confidence=(0.9, 1))],
         unreleased={'g-bytes': 0}),
    Case('an error path forgets one in a thousand, in four threads',
         'error_path', 40000, 1000, 4, leaks=[
             Leak('missing-release', 'g-bytes', 'join-retain', 40, of=40000,
                  release='join-release', released=39960)],
         unreleased={'g-bytes': 0}),
    Case('an error path that was taken for the first tenth of the run only',
         'early_errors', 12000, 20, asked=[
             Asked(leaks=[Leak('missing-release', 'g-bytes', 'join-retain', 60, of=12000,
                               release='join-release', released=11940)],
                   unreleased={'g-bytes': 0}, steady={'g-bytes': 0})],
         leaks=[Leak('missing-release', 'g-bytes', 'join-retain', 60, of=12000,
                     release='join-release', released=11940)],
         unreleased={'g-bytes': 0}, steady={'g-bytes': 0}),
    Case('an error path that was taken four times in the beginning, by four threads',
         'early_errors', 40000, 1000, 4, leaks=[
             Leak('missing-release', 'g-bytes', 'join-retain', 4, of=40000,
                  release='join-release', released=39996)],
         asked=[Asked(leaks=[Leak('missing-release', 'g-bytes', 'join-retain', 4)])],
         unreleased={'g-bytes': 0}, steady={'g-bytes': 0}),
    Case('connections that stay open do not excuse what an event loop forgets',
         'event_loop', 6000, 20, leaks=[
             Leak('missing-release', 'g-bytes', 'join-retain', 300, of=6000,
                  release='join-release', released=5700)],
         unreleased={'g-bytes': 0}, steady={'g-array': 3}),
    Case('an early return forgets the body itself',
         'early_return', 5000, 100, leaks=[
             Leak('missing-release', 'g-bytes', 'body', 50, of=5000, release='end',
                  released=4950)],
         unreleased={'g-bytes': 0}),
    Case('an early return always forgets the body: nothing was ever released',
         'early_return', 300, 1, leaks=[
             Leak('never-released', 'g-bytes', 'body', 300, of=300, release='',
                  confidence=(0.3, 0.6), note='little evidence')],
         unreleased={'g-bytes': 0}),
    Case('of a body that nobody ever gives back the birth is named, for all its references',
         'forgotten_copies', 300, leaks=[
             Leak('never-released', 'g-bytes', 'body', 300, refs=2, of=300, release='',
                  confidence=(0.3, 0.6), note='little evidence')],
         unreleased={'g-bytes': 0}),
    Case('of two callers of a wrapper, the one that forgets is named',
         'wrapper', 4000, 10, leaks=[
             Leak('missing-release', 'g-bytes', 'hold', 400, of=4000, callers=('audit-log',),
                  release='drop', released=3600)],
         unreleased={'g-bytes': 0}),
    Case('two callers of a wrapper that forget in their own ways are two findings',
         'two_wrappers', 10000, 50, leaks=[
             Leak('missing-release', 'g-bytes', 'hold', 200, of=5000, callers=('audit-log',),
                  release='drop', released=4800),
             Leak('missing-release', 'g-bytes', 'hold', 1000, of=1000, callers=('mirror',),
                  release='')],
         unreleased={'g-bytes': 0}),
    Case('what another thread forgets is blamed where it was handed over',
         'queued', 5000, 20, leaks=[
             Leak('missing-release', 'g-bytes', 'push', 250, of=5000, release='written',
                  released=4750)],
         unreleased={'g-bytes': 0}),
    Case('what another thread forgets of four producers',
         'queued', 8000, 100, 4, leaks=[
             Leak('missing-release', 'g-bytes', 'push', 80, of=8000, release='written',
                  released=7920)],
         unreleased={'g-bytes': 0}),
    Case('an array that does not own its elements forgets all of them',
         'pointer_array', 1000, 10, leaks=[
             Leak('missing-release', 'g-bytes', 'chunk', 300, of=3000, release='chunks-freed',
                  released=2700)],
         unreleased={'g-bytes': 0}),
    Case('a table forgets the values that it replaces',
         'hash_table', 2000, leaks=[
             Leak('missing-release', 'g-bytes', 'insert', 1950, of=2000, release='table-cleared',
                  released=50)],
         unreleased={'g-bytes': 0}),
    Case('a batch taken from a queue is forgotten now and then',
         'list_queue', 5000, 500, leaks=[
             Leak('missing-release', 'g-bytes', 'enqueue', 200, of=5000, release='dequeued',
                  released=4800)],
         unreleased={'g-bytes': 0}),
    Case('two bugs, at times in one buffer, are two findings',
         'overlap', 3000, leaks=[
             Leak('missing-release', 'g-bytes', 'retry', 300, of=300, shared=100, release='',
                  others=(100, 2700)),
             Leak('missing-release', 'g-bytes', 'trace', 200, of=200, shared=100, release='',
                  others=(200, 2800))],
         unreleased={'g-bytes': 0}),
    Case('two error paths, at times of one buffer, are two findings',
         'overlap_of_error_paths', 5000, leaks=[
             Leak('missing-release', 'g-bytes', 'compress', 500, of=5000, shared=100,
                  release='compressed'),
             Leak('missing-release', 'g-bytes', 'encrypt', 200, of=5000, shared=100,
                  release='encrypted')],
         unreleased={'g-bytes': 0}),
    Case('a buffer that an error path and its owner both release',
         'over_release', 1000, 50, is_loud=True, leaks=[
             Leak('over-release', 'g-bytes', 'end', 20, of=1000, refs=0, callers=('twice',),
                  releases=('end', 'failed'), alloc='body')],
         unreleased={'g-bytes': 0}),
    Case('a jump over the release',
         'long_jump', 2000, 40, leaks=[
             Leak('missing-release', 'g-bytes', 'parse-retain', 50, of=2000,
                  release='parse-release', released=1950)],
         unreleased={'g-bytes': 0}),
    Case('a callback that forgets what it was handed',
         'callback', 2000, 40, leaks=[
             Leak('missing-release', 'g-bytes', 'schedule', 50, of=2000, release='idle-release',
                  released=1950)],
         unreleased={'g-bytes': 0}),
    Case('references of one long-lived buffer are forgotten',
         'shared', 5000, 10, leaks=[
             Leak('missing-release', 'g-bytes', 'page-retain', 1, refs=500,
                  release='page-release', released=4500, confidence=(0.5, 0.9))],
         unreleased={'g-bytes': 0}),
    Case('requests that hang are stale, by what the others took',
         'stale', 400, 100, asked=[
             Asked(leaks=[Leak('stale', 'g-bytes', 'body', 4, release='end')],
                   unreleased={'g-bytes': 0})],
         leaks=[Leak('missing-release', 'g-bytes', 'body', 4, of=800, others=(0, 0),
                    release='end')]),
    Case('clean: names that are interned for good, new ones for a third of the run',
         'interned', 400, asked=[Asked(unreleased={'g-bytes': 0}, steady={'g-bytes': 64})],
         environment=OFTEN, unreleased={'g-bytes': 0}, steady={'g-bytes': 64}),
    Case('clean: sessions that come twice as often as they go are growing, and no leak',
         'backlog', 400, asked=[Asked(growing={'g-bytes': 200}, unreleased={'g-bytes': 0})],
         environment=OFTEN),
    Case('what nothing ever releases is named while the program runs',
         'never_ended', 600, 10, asked=[
             Asked(leaks=[Leak('never-released', 'g-bytes', 'new-session', 60, of=60,
                               others=(0, 600))])],
         leaks=[Leak('never-released', 'g-bytes', 'new-session', 60, of=60, others=(0, 600))],
         environment=OFTEN),
    Case('clean: what a process makes for its threads in its first moments',
         'arenas', 200, asked=[Asked(unreleased={'g-bytes': 24}), Asked(steady={'g-bytes': 24})],
         steady={'g-bytes': 24}),
    Case('clean: one that is kept to be used again on the way of those that are released',
         'kept_for_again', 400, asked=[Asked(unreleased={'g-bytes': 1})],
         leaks=[Leak('missing-release', 'g-bytes', 'body', 1, of=800, release='end',
                     note='little evidence')]),
    Case('clean: of many in one moment the first is kept',
         'kept_at_once', 400, unreleased={'g-bytes': 1}),
    Case('clean: threads share, replace, cut and convert what they take from each other',
         'exchange', 400000, 0, 4, unreleased={'g-bytes': 0, 'g-array': 0}),
    Case('plain blocks that are forgotten beside are listed, not judged',
         'heap_beside', 4000, 10, leaks=[
             Leak('missing-release', 'g-bytes', 'join-retain', 400, of=4000,
                  release='join-release')],
         unreleased={'g-bytes': 0}),
]

if __name__ == '__main__':
    sys.exit(main('glib_bytes', CASES))
