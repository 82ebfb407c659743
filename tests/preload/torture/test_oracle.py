#!/usr/bin/python3
"""Recorded stacks are those of glibc's backtrace(), through exceptions and replaced libraries."""
import os

import ledger
from torture import (environment, expect, expect_equal, ledger_directory, main, run, the_ledger,
                     victim)


def parse(text):
    stacks = {}
    for line in text.splitlines():
        size, *frames = line.split()
        stacks[int(size)] = [tuple(frame.rsplit('+', 1)) for frame in frames]
    return stacks


def through_everything():
    """Exceptions, destructors, rethrows, qsort, threads and libraries that replace each other."""
    plugins = [os.path.join(os.path.dirname(victim('')), f'liboracle_{name}.so')
               for name in ('small', 'large')]
    with ledger_directory() as directory:
        result = run([victim('oracle'), *plugins], environment(directory, 'quiet=1:depth=256'))
        expect_equal((result.returncode, result.stderr), (20, 'same place\n'), 'the victim')
        wanted = parse(result.stdout)
        found = ledger.Ledger(the_ledger(directory)).check()
    stacks = {}
    for buffer in found.live():
        if buffer.size in wanted:
            frames = [frame for frame in found.frames(buffer.stack)
                      if not (frame.path or '').endswith('libbufleak.so')]
            expect(buffer.size not in stacks, f'two blocks of {buffer.size}')
            stacks[buffer.size] = [(os.path.realpath(f.path), f'{f.offset:x}') for f in frames]
    expect_equal(sorted(stacks), sorted(wanted), 'blocks')
    own = os.path.realpath(victim('oracle'))
    for size, frames in wanted.items():
        real = [(own if path == 'self' else os.path.realpath(path), offset)
                for path, offset in frames if not path.endswith('libbufleak.so')]
        expect_equal(stacks[size][1:], real[1:], f'callers of block {size}')
        expect_equal(stacks[size][0][0], real[0][0], f'module of block {size}')
    seen = {path for frames in wanted.values() for path, _ in frames}
    for plugin in plugins:
        expect(plugin in seen, f'{plugin} is on no stack')
    print(f'# {len(wanted)} stacks of up to {max(map(len, wanted.values()))} frames')
    losses = {k: v for k, v in found.header.losses.items() if k.startswith('stacks')}
    expect(not losses, f'losses {losses}')


if __name__ == '__main__':
    raise SystemExit(main([through_everything]))
