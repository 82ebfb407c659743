#!/usr/bin/python3
"""However a process ends: the same for who waits for it, and right in its ledger."""
import ledger
from torture import (Running, environment, expect, expect_equal, ledger_directory, main, run,
                     status_of, the_ledger, victim)

ENDS = {
    'return': (ledger.EXITED, ledger.EXIT, 21),
    'exit': (ledger.EXITED, ledger.EXIT, 22),
    'big_status': (ledger.EXITED, ledger.EXIT, 0x34),
    '_exit': (ledger.EXITED, ledger.UNDERSCORE, 23),
    '_Exit': (ledger.EXITED, ledger.UNDERSCORE, 26),
    'quick_exit': (ledger.EXITED, ledger.QUICK, 27),
    'thread': (ledger.EXITED, ledger.EXIT, 24),
    'thread_after_main': (ledger.EXITED, ledger.EXIT, 25),
    'abort': (ledger.EXITED, ledger.ABORT, None),
    'term': (ledger.RUNNING, 0, None),
    'int': (ledger.RUNNING, 0, None),
    'kill': (ledger.RUNNING, 0, None),
    'usr2': (ledger.RUNNING, 0, None),
    'segv': (ledger.RUNNING, 0, None),
    'double_free': (None, None, None),  # libc's own abort is not seen
}


def make(way):
    def test():
        alone = run([victim('ends'), way], environment())
        with ledger_directory() as directory:
            result = run([victim('ends'), way], environment(directory))
            expect_equal((status_of(result), result.stdout, result.stderr),
                         (status_of(alone), alone.stdout, alone.stderr), 'status and output')
            found = ledger.Ledger(the_ledger(directory)).check()
            state, kind, status = ENDS[way]
            if state is not None:
                expect_equal((found.header.state, found.header.exit_kind), (state, kind), 'state')
            if status is not None:
                expect_equal(found.header.exit_status, status, 'status in the ledger')
            expect_equal(sum(b.size == 4001 for b in found.live()), 1, 'leaks in the ledger')
    test.__doc__ = f'{way}: the same status and output, and the ledger says how'
    test.__name__ = way
    return test


def abort_survived():
    """A process that survives abort() by a longjmp is running, and says how it ended in the end."""
    with ledger_directory() as directory:
        with Running([victim('ends'), 'abort_survived'], environment(directory)) as target:
            expect_equal(target.line(), 'survived', 'the victim')
            target.tell()
            status, _, _ = target.end()
        expect_equal(status, 28, 'status')
        header = ledger.read_header(the_ledger(directory))
        expect_equal((header.state, header.exit_kind, header.exit_status),
                     (ledger.EXITED, ledger.EXIT, 28), 'the end in the ledger')


def only_the_head_speaks():
    """At the end one line on stderr names the ledger; with quiet=1 or at_exit=0 there is none."""
    for options, lines in (('quiet=0', 1), ('quiet=1', 0), ('at_exit=0', 0)):
        with ledger_directory() as directory:
            result = run([victim('ends'), 'exit'], environment(directory, options))
            said = result.stderr.splitlines()
            expect_equal(len(said), lines, f'lines with {options}: {said}')
            if lines:
                expect(the_ledger(directory) in said[0], f'the ledger is not named: {said}')


if __name__ == '__main__':
    raise SystemExit(main([make(way) for way in ENDS] + [abort_survived, only_the_head_speaks]))
