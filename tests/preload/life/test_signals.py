#!/usr/bin/python3
"""The application's own use of the snapshot signal is as without the shim."""
import os
import signal

import ledger
from torture import (Running, environment, expect, expect_equal, ledger_directory, main, run,
                     status_of, the_ledger, victim, wait_until)

USR1, USR2, RT = int(signal.SIGUSR1), int(signal.SIGUSR2), 40
SITUATIONS = {
    'info': 'SA_SIGINFO handlers get number, code, sender and value',
    'flags': 'flags and masks are shown back as they were set',
    'resethand': 'SA_RESETHAND shows the default after one call',
    'nodefer': 'SA_NODEFER nests, its absence does not',
    'mask': 'sa_mask holds other signals back until the handler has returned',
    'alternate': 'SA_ONSTACK runs on the alternate stack, its absence does not',
    'signal': 'signal() returns what was before',
    'sysv': 'sysv_signal and bsd_signal',
    'sigset': 'sigset, sigignore and siginterrupt',
    'restart': 'reads are restarted or interrupted as asked',
    'wait': 'sigwait, sigwaitinfo and sigtimedwait get every signal',
    'signalfd': 'signalfd gets every signal',
    'suspend': 'sigsuspend runs the handler once',
    'inherit': 'fork, vfork and posix_spawn with exec inherit an ignored signal and no handler',
    'bad': 'bad numbers are refused with the same errno',
}


def make(what):
    def test():
        for number in (USR1, USR2, RT):
            alone = run([victim('signals'), str(number), what], environment())
            with ledger_directory() as directory:
                result = run([victim('signals'), str(number), what],
                             environment(directory, 'quiet=1:interval=10ms'))
            expect_equal(alone.returncode, 20, 'the victim alone')
            expect_equal((status_of(result), result.stdout, result.stderr),
                         (status_of(alone), alone.stdout, alone.stderr), f'signal {number}')
    test.__doc__ = SITUATIONS[what]
    test.__name__ = what
    return test


def answered(directory):
    return wait_until(lambda: ledger.find(directory)[1], 'a snapshot')


def held(what, options, act, number=USR1):
    """Runs until the victim waits, acts, and returns the rest of what it says."""
    with ledger_directory() as directory:
        env = environment(directory, options)
        with Running([victim('signals'), str(number), what], env) as target:
            while target.line() != 'waiting':
                continue
            act(target, directory)
            target.tell()
            status, out, err = target.end()
            return status, out, err, ledger.read_header(the_ledger(directory))


def blocked_everywhere():
    """A signal that every thread blocks is answered by a snapshot all the same."""
    def act(target, directory):
        os.kill(target.pid, USR1)
        answered(directory)
    status, out, err, _ = held('blocked', 'quiet=1:interval=10ms', act)
    expect_equal((status, out, err), (20, 'calls 0\n', ''), 'the end')


def blocked_and_handled():
    """Blocked and handled: answered, and the handler still runs once when it is unblocked."""
    def act(target, directory):
        os.kill(target.pid, USR1)
        answered(directory)
    status, out, err, header = held('blocked_handled', 'quiet=1:interval=10ms', act)
    expect_equal((status, out, err), (20, 'calls 0\ncalls 1\n', ''), 'the end')
    expect_equal(header.snapshots, 1, 'snapshots')


def both_happen():
    """Where the application handles the signal both happen, each time."""
    def act(target, directory):
        for count in range(1, 6):
            os.kill(target.pid, USR1)
            wait_until(lambda: len(ledger.find(directory)[1]) == count, 'the snapshot')
    status, out, _, header = held('handled', 'quiet=1', act)
    expect_equal((status, out), (20, 'calls 5\n'), 'the end')
    expect_equal(header.signal_requests, 5, 'requests')


def other_signal():
    """signal=USR2: that one is answered, and USR1 is the default's again."""
    def act(target, directory):
        os.kill(target.pid, USR2)
        answered(directory)
        os.kill(target.pid, USR1)
    status, _, _, header = held('idle', 'quiet=1:signal=USR2', act)
    expect_equal(status_of(status), 'SIGUSR1', 'status')
    expect_equal(header.signal, USR2, 'signal in the ledger')


def real_time_signal():
    """signal=RTMIN+6: the real-time signal is answered."""
    def act(target, directory):
        os.kill(target.pid, signal.SIGRTMIN + 6)
        answered(directory)
    status, _, _, _ = held('idle', 'quiet=1:signal=RTMIN+6', act)
    expect_equal(status, 20, 'status')


def no_signal():
    """signal=none: USR1 does what it does without the shim."""
    def act(target, directory):
        os.kill(target.pid, USR1)
    status, _, _, header = held('idle', 'quiet=1:signal=none', act)
    expect_equal(status_of(status), 'SIGUSR1', 'status')
    expect_equal((header.signal, header.snapshots), (0, 0), 'ledger')


def bad_signal():
    """A bad signal is said, and USR1 is answered."""
    def act(target, directory):
        os.kill(target.pid, USR1)
        answered(directory)
    for bad in ('KILL', 'nonsense', '99', '33'):
        status, _, err, _ = held('idle', f'quiet=1:signal={bad}', act)
        expect_equal(status, 20, 'status')
        expect(f"'signal={bad}'" in err and 'accepted: a signal name' in err, f'stderr: {err}')


def ended_meanwhile():
    """Of a signal just before the end there is a snapshot or a word."""
    for _ in range(20):
        with ledger_directory() as directory:
            result = run(['/bin/sh', '-c', 'kill -USR1 $$; exit 3'],
                         environment(directory, 'quiet=0'))
            expect_equal(status_of(result), 3, 'the end')
            expect(ledger.find(directory)[1] or
                   'ended while a snapshot was asked for' in result.stderr,
                   f'no snapshot, and no word but {result.stderr!r}')


def inherited_ignore():
    """A process that starts with the signal ignored sees it so, and answers."""
    def act(target, directory):
        os.kill(target.pid, USR1)
        answered(directory)
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        alone = run([victim('signals'), str(USR1), 'show'], environment())
        with ledger_directory() as directory:
            result = run([victim('signals'), str(USR1), 'show'], environment(directory))
        expect_equal(result.stdout, alone.stdout, 'what it sees')
        expect('ignore' in alone.stdout, f'the victim alone: {alone.stdout}')
        status, _, _, _ = held('idle', 'quiet=1', act)
        expect_equal(status, 20, 'status')
    finally:
        signal.signal(signal.SIGUSR1, before)


if __name__ == '__main__':
    raise SystemExit(main([make(what) for what in SITUATIONS] + [
        blocked_everywhere, blocked_and_handled, both_happen, other_signal, real_time_signal,
        no_signal, bad_signal, ended_meanwhile, inherited_ignore]))
