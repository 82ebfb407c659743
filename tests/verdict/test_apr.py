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
]

if __name__ == '__main__':
    sys.exit(main('apr', CASES))
