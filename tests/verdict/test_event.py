#!/usr/bin/python3
"""Verdicts on libevent's buffers."""
import sys

from corpus import Case, Leak, Wrong, main


def is_estimate(count):
    def check(report):
        seen = [part['estimate'] for group in report['groups'] for part in group.get('holds', ())]
        if seen != [count]:
            raise Wrong(f'of what is held, estimates are {seen}, expected {count}')
    return check


def is_sure(report):
    for group in report['groups']:
        if str(group['evidence'].get('note')).startswith('little evidence'):
            raise Wrong(f"{group['evidence']['note']}")


CASES = [
    Case('an answer is forgotten one time in ten',
         'early_return', 3000, 10, leaks=[
             Leak('missing-release', 'evbuffer', 'answer', 300, of=3000, release='answer-end',
                  released=2700)]),
    Case('an answer is forgotten one time in a thousand, in four threads',
         'early_return', 40000, 1000, 4, leaks=[
             Leak('missing-release', 'evbuffer', 'answer', 40, of=40000, release='answer-end',
                  released=39960)]),
    Case('a connection is forgotten one time in ten, with its two buffers',
         'connection', 2000, 10, leaks=[
             Leak('missing-release', 'bufferevent', 'accept', 200, of=2000, release='hang-up',
                  released=1800, holds={'evbuffer': 400})]),
    Case('a timer keeps its reference of a connection one time in a thousand',
         'timer', 20000, 1000, leaks=[
             Leak('missing-release', 'bufferevent', 'arm', 20, of=20000, release='disarm',
                  released=19980, holds={'evbuffer': 40})]),
    Case('clean: connections that are peers of each other', 'connected_peers', 2000,
         unreleased={'bufferevent': 0, 'evbuffer': 0}),
    Case('clean: chains that several buffers share', 'shared_chains', 3000,
         unreleased={'evbuffer': 0}),
    Case('a buffer whose content was moved is forgotten one time in ten',
         'moves', 3000, 10, leaks=[
             Leak('missing-release', 'evbuffer', 'body', 300, of=3000, release='body-end',
                  released=2700)]),
    Case('clean: what buffers hold moves to and fro', 'moves', 3000, unreleased={'evbuffer': 0}),
    Case('an answer that refers to a body is forgotten one time in ten',
         'foreign', 3000, 10, leaks=[
             Leak('missing-release', 'evbuffer', 'answer', 300, of=3000, release='answer-end',
                  released=2700, holds={'evbuffer': 300})], check=is_estimate(0)),
    Case('what an answer holds is an estimate where too few others ended to tell for sure',
         'foreign', 15, 5, leaks=[
             Leak('missing-release', 'evbuffer', 'answer', 3, of=15, release='answer-end',
                  released=12, holds={'evbuffer': 3}, note='is estimated of 3 buffers')],
         check=is_estimate(3)),
    Case('clean: bodies that are given back when the answer ends', 'foreign', 3000,
         unreleased={'evbuffer': 0}),
    Case('bodies that are forgotten by themselves are no part of the answers that hold others',
         'foreign_and_own', 3000, 10, leaks=[
             Leak('missing-release', 'evbuffer', 'answer', 300, of=2700, release='answer-end',
                  released=2400, holds={'evbuffer': 300}),
             Leak('missing-release', 'evbuffer', 'body', 300, of=2700, release='given-back',
                  released=2400, confidence=(0.8, 1))], check=is_sure),
    Case('what forgotten answers may hold beyond what others did is little evidence',
         'adds_more', 3000, 10, leaks=[
             Leak('missing-release', 'evbuffer', 'answer', 300, of=3000, release='answer-end',
                  released=2700, holds={'evbuffer': 300}),
             Leak('missing-release', 'evbuffer', 'body', 300, release='given-back',
                  confidence=(0, 0.5), note='little evidence: other leaked buffers hold 300')]),
    Case('so it is where they were added elsewhere',
         'adds_error', 3000, 10, leaks=[
             Leak('missing-release', 'evbuffer', 'answer', 300, of=3000, release='answer-end',
                  released=2700, holds={'evbuffer': 300}),
             Leak('missing-release', 'evbuffer', 'body', 300, release='given-back',
                  confidence=(0, 0.5), note='little evidence: other leaked buffers hold such')]),
    Case('a copy that shares chains is forgotten one time in ten, and holds their buffer',
         'multicast', 3000, 10, leaks=[
             Leak('missing-release', 'evbuffer', 'copy', 300, of=3000, release='copy-end',
                  released=2700, holds={'evbuffer': 300})]),
    Case('clean: copies that outlive the buffers whose chains they share', 'multicast', 3000,
         unreleased={'evbuffer': 0}),
    Case('a connection is forgotten in its callback one time in ten',
         'in_callback', 2000, 10, leaks=[
             Leak('missing-release', 'bufferevent', 'pair', 200, of=2000,
                  release='free-in-callback', released=1800, holds={'evbuffer': 400})]),
    Case('clean: connections that are freed in their callbacks', 'in_callback', 2000,
         unreleased={'bufferevent': 0, 'evbuffer': 0}),
    Case('a filter is forgotten one time in ten, with the connection that it would end',
         'filter', 2000, 10, leaks=[
             Leak('missing-release', 'bufferevent', 'filter', 200, of=2000, release='filter-end',
                  released=1800, holds={'bufferevent': 200, 'evbuffer': 800})]),
    Case('clean: filters that end with what is below them', 'filter', 2000,
         unreleased={'bufferevent': 0, 'evbuffer': 0}),
    Case('one end of a pipe is forgotten one time in ten, the other one in seven',
         'two_ends', 2000, 10, leaks=[
             Leak('missing-release', 'bufferevent', 'ends', 200, release='end-end',
                  holds={'evbuffer': 400}),
             Leak('missing-release', 'bufferevent', 'hold-end', 286, of=2000,
                  release='hold-end-end', holds={'evbuffer': 572})]),
    Case('both ends are forgotten in the same requests',
         'two_ends', 2001, 7, leaks=[
             Leak('missing-release', 'bufferevent', 'ends', 285, release='end-end',
                  holds={'evbuffer': 570}),
             Leak('missing-release', 'bufferevent', 'hold-end', 286, of=2001,
                  release='hold-end-end', holds={'evbuffer': 572})]),
    Case('clean: both ends of pipes, deferred', 'two_ends', 2000,
         unreleased={'bufferevent': 0, 'evbuffer': 0}),
]

if __name__ == '__main__':
    sys.exit(main('event', CASES))
