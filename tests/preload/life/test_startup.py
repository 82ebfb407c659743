#!/usr/bin/python3
"""What comes before the shim is ready, and beside it."""
import os

import ledger
from torture import (Skipped, environment, expect, expect_equal, ledger_directory, main, run,
                     the_ledger, victim)

JEMALLOC = '/usr/lib/x86_64-linux-gnu/libjemalloc.so.2'


def built(name):
    return os.path.join(os.path.dirname(victim('')), name)


def leaks(found):
    return sum(1 for buffer in found.live() if buffer.size == 4001)


def early(preload, after, losses):
    with ledger_directory() as directory:
        alone = run([victim('startup'), 'early'], environment(preload=preload, after=after))
        result = run([victim('startup'), 'early'],
                     environment(directory, preload=preload, after=after))
        expect_equal((result.returncode, result.stdout, result.stderr),
                     (alone.returncode, alone.stdout, alone.stderr), 'status and output')
        expect_equal(alone.stdout, '327 given back\n', 'the victim alone')
        found = ledger.Ledger(the_ledger(directory)).check()
        expect_equal(leaks(found), 100, 'leaks')
        for name, least in losses.items():
            expect(found.header.losses.get(name, 0) >= least, f'losses {found.header.losses}')


def before_the_constructor():
    """Blocks of 1 byte to 64 MiB from a constructor before the shim's are given back after it."""
    early([], [built('libearly.so')], {'blocks_before_start': 300})


def inside_dlsym():
    """The same from inside the dlsym that finds malloc: there is none yet."""
    with ledger_directory() as directory:
        result = run([victim('startup'), 'early'],
                     environment(directory, preload=[built('libearly_dlsym.so')]))
        expect_equal((result.returncode, result.stdout, result.stderr),
                     (0, '327 given back\n', ''), 'status and output')
        expect_equal(leaks(ledger.Ledger(the_ledger(directory)).check()), 100, 'leaks')


def interposition():
    """malloc and all the others resolve to the shim, whoever asks."""
    with ledger_directory() as directory:
        result = run([victim('startup'), 'whose'], environment(directory))
    lines = result.stdout.splitlines()
    expect_equal((result.returncode, len(lines)), (0, 34), 'status and lines')
    for line in lines:
        expect(line.endswith('libbufleak.so'), line)


def jemalloc_beside():
    """With jemalloc preloaded, before or after, its blocks are tracked and it serves them."""
    if not os.path.exists(JEMALLOC):
        raise Skipped('there is none')
    steady = os.environ['BL_STEADY']
    plain = run([steady], environment())
    for preload, after in (([], [JEMALLOC]), ([JEMALLOC], [])):
        with ledger_directory() as directory:
            result = run([steady], environment(directory, preload=preload, after=after))
            expect_equal((result.returncode, result.stdout, result.stderr),
                         (plain.returncode, plain.stdout, ''), 'status and output')
            found = ledger.Ledger(the_ledger(directory)).check()
            if after:  # before us, it takes the calls and we see none
                expect_equal(sum(b.size == 777 for b in found.live()), 1000, 'leaks')
                expect_equal(found.hooks()['malloc'][2], JEMALLOC, 'who serves malloc')


def static_tls():
    """The shim fits beside other users of static TLS, and can be loaded late by dlopen or fails."""
    late = ('import ctypes, os\n'
            'try:\n'
            f'    ctypes.CDLL({os.environ["BL_SHIM"]!r})\n'
            '    print("loaded")\n'
            'except OSError as error:\n'
            '    print("refused", "static TLS" in str(error))\n')
    with ledger_directory() as directory:
        env = environment(BUFLEAK_DIR=directory, BUFLEAK_OPTIONS='quiet=1')
        result = run(['/usr/bin/python3', '-c', late], env)
    expect(result.returncode == 0 and result.stdout in ('loaded\n', 'refused True\n'),
           f'{result.returncode}: {result.stdout}{result.stderr}')


if __name__ == '__main__':
    raise SystemExit(main([before_the_constructor, inside_dlsym, interposition, jemalloc_beside,
                           static_tls]))
