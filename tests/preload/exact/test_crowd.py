#!/usr/bin/python3
"""Ten thousand blocks left among a million by four threads: every figure exact, run after run."""
import sys

import harness
from harness import expect

RUNS = 3


def check_paths(visit):
    """By whole stacks: both callers of the sites, each with what stays through it."""
    files = {site['file'] for site in visit.expected['sites']} | {'crowd.h'}
    for path in visit.expected['paths']:
        groups = [group for group in visit.by_stack['groups']
                  if any(harness.is_function(frame['function'], path['function'])
                         and harness.base(frame['file']) in files
                         for frame in group['alloc']['frames'])]
        found = (sum(group['count'] for group in groups), sum(group['bytes'] for group in groups))
        expect(found == (path['count'], path['bytes']),
               f'through {path["function"]}: reported {found}, '
               f'expected {(path["count"], path["bytes"])}')


def check_total(visit):
    total = sum(site['count'] for site in visit.expected['sites'])
    expect(total == 10000, f'the victim left {total} blocks')
    heap = next(c for c in visit.by_stack['classes'] if c['name'] == 'heap')
    expect(heap['allocs'] >= visit.expected['allocs'],
           f'{heap["allocs"]} allocations counted of {visit.expected["allocs"]}')
    live = sum(group['count'] for group in visit.by_stack['groups'])
    expect(heap['live_count'] == live,
           f'class heap says {heap["live_count"]} live, its groups add up to {live}')


def check_sites_are_groups(visit):
    """By site: one group for each, and its innermost shown frame is the call itself."""
    for site in visit.expected['sites']:
        groups = [group for group in visit.by_site['groups']
                  if (frame := harness.own_frame(group, {site['file']})) is not None
                  and frame['line'] == site['line']]
        wanted = 1 if site['count'] > 0 else 0
        expect(len(groups) == wanted,
               f'{site["function"]}:{site["line"]}: {len(groups)} groups by site, not {wanted}')


def check(name):
    for _ in range(RUNS):
        visit = harness.Visit([harness.victim(name)])
        harness.compare(visit.by_stack['groups'], visit.expected['sites'])
        harness.compare(visit.by_site['groups'], visit.expected['sites'])
        check_paths(visit)
        check_total(visit)
        check_sites_are_groups(visit)


def c_functions():
    """10,000 blocks left among 1,000,000 by C functions in 4 threads are exact, 3 runs of 3."""
    check('crowd_c')


def cxx_operators():
    """10,000 objects left among 1,000,000 by operator new in 4 threads are exact, 3 runs of 3."""
    check('crowd_cxx')


if __name__ == '__main__':
    sys.exit(harness.main(c_functions, cxx_operators))
