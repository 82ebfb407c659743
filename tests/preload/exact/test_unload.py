#!/usr/bin/python3
"""Blocks made by a library that was unloaded since are still blamed on that library."""
import sys

import harness
from harness import expect

LIBRARIES = {'first_take': 'libplugin_first.so', 'other_take': 'libplugin_other.so'}


def visit_unload():
    visit = harness.Visit([harness.victim('unload'), *map(harness.victim, LIBRARIES.values())])
    expect(visit.expected['same_place'],
           f'no second library came to the first one\'s place in {visit.expected["tries"]} tries')
    return visit


def figures_exact():
    """Two libraries at one address, both unloaded: count, bytes, function and line are exact."""
    visit = visit_unload()
    harness.compare(visit.by_stack['groups'], visit.expected['sites'])


def right_library():
    """Two libraries at one address, both unloaded: each frame names the library it was in."""
    visit = visit_unload()
    seen = set()
    for group in visit.by_stack['groups']:
        frames = group['alloc']['frames']
        for frame, caller in zip(frames, frames[1:]):
            name = harness.bare_name(frame['function'])
            if name not in LIBRARIES:
                continue
            seen.add(name)
            for of_library in (frame, caller):
                module = harness.base(of_library['module'])
                expect(module == LIBRARIES[name],
                       f'{of_library["function"]} is said to be in {module}, '
                       f'not in {LIBRARIES[name]}')
            expect(harness.is_function(caller['function'], 'plugin_take'),
                   f'{name} was called by plugin_take, not by {caller["function"]}')
    expect(seen == set(LIBRARIES), f'found frames of {sorted(seen)} only')


if __name__ == '__main__':
    sys.exit(harness.main(figures_exact, right_library))
