#!/usr/bin/python3
"""Signals, dumps, threads and children by the thousand."""
import os
import signal
import subprocess
import threading
import time

import ledger
from torture import (Failed, Running, descriptors, environment, expect, expect_equal,
                     ledger_directory, main, run, scaled, the_ledger, victim, wait_until)

BUSY_S = 20
QUIET_LOSSES = ('blocks_before_start', 'frees_unknown')
THREAD_NUMBERS_MIN = 8192  # in use before any is given out again: shim/thread_numbers.h


def check_losses(header):
    losses = {k: v for k, v in header.losses.items() if k not in QUIET_LOSSES}
    expect(not losses, f'losses: {losses}')


def signals_and_dumps():
    """100,000 SIGUSR1 and 1,000 dumps against four allocating threads end well."""
    with ledger_directory() as directory:
        with Running([victim('storm'), 'load'], environment(directory)) as target:
            expect_equal(target.line(), 'ready', 'the victim')
            path = the_ledger(directory)
            # the first snapshot may open what stays open
            os.kill(target.pid, signal.SIGUSR1)
            wait_until(lambda: ledger.read_header(path).snapshots > 0, 'the first snapshot')
            before = descriptors(target.pid)
            dumps = subprocess.Popen([victim('poke'), path, str(scaled(1000))],
                                     stdout=subprocess.PIPE, text=True)
            for _ in range(scaled(100000)):
                os.kill(target.pid, signal.SIGUSR1)
            out, _ = dumps.communicate(timeout=50)
            good, longest = out.split()
            expect_equal(int(good), scaled(1000), 'dumps answered')
            print(f'# longest wait for a dump {longest} ms')
            wait_until(lambda: ledger.read_header(path).signal_requests ==
                       ledger.read_header(path).signal_served, 'all signals answered')
            wait_until(lambda: descriptors(target.pid) == before, 'descriptors as before')
            target.tell()
            status, out, err = target.end()
        expect_equal((status, out, err), (0, '0 descriptors more, 0 children\n', ''), 'the end')
        found = ledger.Ledger(path).check()
        header = found.header
        expect_equal(header.dump_served, scaled(1000), 'dumps served')
        expect(header.signal_requests > 0, 'no signal was counted')
        print(f'# {header.signal_requests} signals handled, {header.snapshots} snapshots')
        check_losses(header)
        snapshots = ledger.find(directory)[1]
        expect(len(snapshots) <= 32, f'{len(snapshots)} snapshots are kept')
        for snapshot in snapshots:
            copy = ledger.Ledger(snapshot).check()
            count, total = copy.totals()
            counted = copy.counters()
            expect_equal((counted['allocs'] - counted['frees'],
                          (counted['alloc_bytes'] - counted['free_bytes']) % 2**64),
                         (count, total), f'counters and records of {snapshot}')
        expect_equal(ledger.find(directory)[2], [], 'other files left')


def threads():
    """20,000 threads come and go: all are recorded and nothing of them is left. From some thousands on
    new ones may take the place of those that ended."""
    with ledger_directory() as directory:
        count = scaled(20000) // 4 * 4
        result = run([victim('storm'), 'threads', str(count)], environment(directory))
        expect_equal((result.returncode, result.stdout, result.stderr),
                     (0, '0 descriptors more, 0 children\n', ''), 'the end')
        found = ledger.Ledger(the_ledger(directory)).check()
        recorded = found.header.published(ledger.THREADS)
        expect(recorded >= min(count, THREAD_NUMBERS_MIN), f'{recorded} of {count} threads')
        live, total = found.totals()
        expect(live < 100, f'{live} buffers, {total} bytes are left')
        check_losses(found.header)


class Collector(threading.Thread):
    """Takes the ledgers of ended children away while more come: they would fill the disk."""

    def __init__(self, directory):
        super().__init__()
        self.directory = directory
        self.over = threading.Event()
        self.kinds = {}
        self.bad = []

    def look(self, path):
        header = ledger.read_header(path)
        if header.state == ledger.RUNNING:
            return
        kind = (header.state, header.exit_kind if header.state == ledger.EXITED else 0,
                bool(header.flags & ledger.FORKED))
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if header.losses.keys() - set(QUIET_LOSSES):
            self.bad.append((path, header.losses))
        os.unlink(path)

    def run(self):
        while not self.over.wait(0.05):
            self.once()

    def once(self):
        for path in ledger.find(self.directory)[0]:
            self.look(path)


def forks():
    """5,000 forks from two threads, fewer on a busy machine: each child has its ledger, no zombie."""
    each = scaled(1000) // 8 * 8
    began = time.monotonic()
    programs = 0
    with ledger_directory() as directory:
        collector = Collector(directory)
        collector.start()
        try:
            while programs < 5 and (programs == 0 or time.monotonic() - began < BUSY_S):
                result = run([victim('storm'), 'forks', str(each)], environment(directory))
                expect_equal((result.returncode, result.stdout, result.stderr),
                             (0, '0 bad\n0 descriptors more, 0 children\n', ''), 'the end')
                programs += 1
        finally:
            collector.over.set()
            collector.join()
        collector.once()
        count = programs * each
        print(f'# {count} forks')
        if collector.bad:
            raise Failed(f'losses: {collector.bad[:5]}')
        quarter = count // 4
        wanted = {(ledger.EXITED, ledger.UNDERSCORE, True): quarter,
                  (ledger.EXITED, ledger.EXIT, True): quarter,
                  (ledger.EXITED, ledger.QUICK, True): quarter,
                  (ledger.EXECED, 0, True): quarter,
                  (ledger.EXITED, ledger.EXIT, False): quarter + programs}
        expect_equal(collector.kinds, wanted, 'ledgers')
        expect_equal(ledger.find(directory), ([], [], []), 'files left')


if __name__ == '__main__':
    raise SystemExit(main([signals_and_dumps, threads, forks]))
