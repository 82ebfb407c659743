#!/usr/bin/python3
"""Each function of the malloc family, on each allocator, is recorded exactly."""
import os
import sys

import harness
from harness import Skipped, expect

LIBRARIES = '/usr/lib/x86_64-linux-gnu'
ALLOCATORS = {
    'jemalloc': 'libjemalloc.so.2',
    'tcmalloc': 'libtcmalloc_minimal.so.4',
    'mimalloc': 'libmimalloc.so.2',
}


def c_family():
    """Every C function that allocates, reallocates or frees is recorded exactly."""
    visit = harness.Visit([harness.victim('family')])
    harness.compare(visit.by_stack['groups'], visit.expected['sites'])
    missing = [name for name, found in visit.expected['found'].items() if not found]
    expect(not missing, f'the shim does not define {missing}')


def cxx_family():
    """Every form of operator new and delete, and what containers allocate, is recorded exactly."""
    for name in ('family_cxx', 'family_cxx_plain'):
        visit = harness.Visit([harness.victim(name)])
        harness.compare(visit.by_stack['groups'], visit.expected['sites'])


def cxx_replaced():
    """A program's own plain new and delete that put a header before objects are recorded once."""
    visit = harness.Visit([harness.victim('replaced_cxx')])
    harness.compare(visit.by_stack['groups'], visit.expected['sites'])


def results_unchanged():
    """The family's results, alignment and errno are right without the shim too."""
    for name in ('family', 'family_cxx'):
        result = harness.run([harness.victim(name)], env=harness.environment())
        expect(result.returncode == 0, f'{name}: {result.stderr}')


def check_allocator(name, command, beside):
    visit = harness.Visit(command, beside)
    serving = visit.expected['allocator']
    expect(serving == name, f'{serving} served the victim instead of {name}')
    harness.compare(visit.by_stack['groups'], visit.expected['sites'])


def preloaded(name):
    def claim():
        path = os.path.join(LIBRARIES, ALLOCATORS[name])
        if not os.path.exists(path):
            raise Skipped(f'{path} is not installed')
        check_allocator(name, [harness.victim('allocators')], [path])
        visit = harness.Visit([harness.victim('family_cxx'), 'succeed'], [path])
        harness.compare(visit.by_stack['groups'], visit.expected['sites'])
    claim.__doc__ = f'{name} preloaded beside the shim still serves the target, figures exact.'
    return claim


def linked(name):
    def claim():
        program = harness.victim(f'allocators-{name}')
        if not os.path.exists(program):
            raise Skipped(f'{ALLOCATORS[name]} was not there at build time')
        check_allocator(name, [program], [])
    claim.__doc__ = f'a target linked with {name} keeps it, figures exact.'
    return claim


if __name__ == '__main__':
    sys.exit(harness.main(c_family, cxx_family, cxx_replaced, results_unchanged,
                          *(preloaded(name) for name in ALLOCATORS),
                          *(linked(name) for name in ALLOCATORS)))
