#!/usr/bin/python3
"""Verdicts on APR's pools."""
import sys

from corpus import Case, Leak, main

CASES = [
    Case('the pool of a request is forgotten one time in ten',
         'early_return', 2000, 10, leaks=[
             Leak('missing-release', 'apr-pool', 'pool', 200, of=2000, release='pool-end',
                  released=1800)]),
    Case('a bucket that was taken out of its brigade is forgotten one time in ten',
         'brigade', 2000, 10, leaks=[
             Leak('missing-release', 'apr-bucket', 'bucket', 200, of=6000,
                  # where most of the others were given back
                  release='cleanup')]),
    Case('clean: buckets that go from brigade to brigade', 'brigade_to_brigade', 2000,
         unreleased={'apr-bucket': 0, 'apr-brigade': 0}),
    Case('clean: what requests forgot ends with the pool above', 'arena', 2000, 10),
    Case('a pool is made below the wrong one, which stays, one time in ten',
         'sub_pools', 2000, 10, leaks=[
             Leak('missing-release', 'apr-pool', 'scratch', 200, release='request-end',
                  holds={'apr-pool': 200})]),
    Case('clean: pools below pools', 'sub_pools', 2000),
    Case('a pool of which no clean-up knows is forgotten one time in ten',
         'clean_up', 2000, 10, leaks=[
             Leak('missing-release', 'apr-pool', 'scratch', 200, of=2000, release='by-cleanup')]),
    Case('clean: pools that a clean-up ends', 'clean_up', 2000),
    Case('a part of what was split is forgotten one time in ten, and keeps what all parts share',
         'parts', 2000, 10, leaks=[
             Leak('missing-release', 'apr-bucket', 'cut', 200, of=2000, release='parts-end'),
             Leak('missing-release', 'apr-bucket', 'chunk', 200, of=2000, release='parts-end')]),
    Case('clean: parts that share their bytes', 'parts', 2000,
         unreleased={'apr-bucket': 0, 'apr-brigade': 0}),
    Case('a brigade in a pool that stays is forgotten one time in ten',
         'brigade_in_root', 2000, 10, leaks=[
             Leak('missing-release', 'apr-brigade', 'brigade', 200, of=2000,
                  release='brigade-end')]),
    Case('clean: brigades in a pool that stays', 'brigade_in_root', 2000),
    Case('clean: what a connection has in use that is open, and silent, at the end',
         'silent_connection', 2000, threads=2),
    Case('what connections have in use is forgotten one time in ten',
         'silent_connection', 2000, 10, threads=2, leaks=[
             Leak('missing-release', 'apr-bucket', 'network', 200, release='network-end')]),
    Case('clean: pools of connections that were busy until the server stopped',
         'stopped', 2000, threads=2),
    Case('the pool of a connection is forgotten one time in a hundred, by two threads',
         'closed', 600, 100, threads=2, leaks=[
             Leak('missing-release', 'apr-pool', 'connection', 6, of=600,
                  release='connection-end',
                  holds={'apr-bucket': 6, 'apr-bucket-alloc': 6})]),
    Case('clean: pools of connections by two threads', 'closed', 600, threads=2),
]

if __name__ == '__main__':
    sys.exit(main('apr', CASES))
