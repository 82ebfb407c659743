#!/usr/bin/python3
"""A target that is killed at any moment leaves a ledger that is right."""
import mmap
import os
import random
import struct
import tempfile
import time

import ledger
from torture import (Failed, Running, environment, expect, ledger_directory, main, report, scaled,
                     the_ledger, victim)

THREADS = 4
ACCOUNT = struct.Struct('<4q32x')


def kill_once(number, book, page, directory, seen):
    page[:] = bytes(len(page))
    command = [victim('churn'), book.name]
    with Running(command, environment(directory)) as churn:
        expect(churn.line() == 'ready', 'the victim did not start')
        path = the_ledger(directory)
        base_count, base_bytes = ledger.Ledger(path).totals()
        struct.pack_into('<I', page, 0, 1)
        time.sleep(random.random() * 0.04)  # the moment is what is tested
        churn.process.kill()
        churn.process.wait()
    found = ledger.Ledger(path).check()
    accounts = [ACCOUNT.unpack_from(page, 64 + i * ACCOUNT.size) for i in range(THREADS)]
    count = base_count + sum(a[0] for a in accounts)
    total = base_bytes + sum(a[1] for a in accounts)
    flying = [a[2] for a in accounts if a[2] >= 0]
    live_count, live_bytes = found.totals()
    counted = found.counters()
    seen['operations'] += sum(a[3] for a in accounts)
    seen['flying'] += len(flying)
    # A thread killed between its two stores of the book's figures counts as in flight too.
    slack = THREADS
    expect(abs(live_count - count) <= slack,
           f'kill {number}: {live_count} buffers live, the victim had {count}')
    expect(abs(live_bytes - total) <= sum(flying),
           f'kill {number}: {live_bytes} bytes live, the victim had {total}, in flight {flying}')
    by_counters = counted['allocs'] - counted['frees']
    expect(abs(by_counters - live_count) <= slack,
           f'kill {number}: counters say {by_counters}, records {live_count}')
    expect(found.header.state == ledger.RUNNING, 'a killed process must not be marked as ended')
    if number % 10 == 0:
        shown = report(path)
        expect(shown['process']['state'] == 'killed', f'the report says {shown["process"]}')
        heap = [c for c in shown['classes'] if c['name'] == 'heap'][0]
        expect(abs(heap['live_count'] - live_count) <= slack,
               f'kill {number}: the report has {heap}, the records {live_count}, {live_bytes}')
    os.unlink(path)


def killed_anywhere():
    """200 kills at random moments: the ledger opens and agrees but for what was in flight."""
    seen = {'operations': 0, 'flying': 0}
    with tempfile.NamedTemporaryFile() as book, ledger_directory() as directory:
        book.truncate(4096)
        with mmap.mmap(book.fileno(), 4096) as page:
            for number in range(scaled(200)):
                kill_once(number, book, page, directory, seen)
    print(f'# {seen["operations"]} operations, {seen["flying"]} in flight when killed')
    if seen['operations'] < 1000 * scaled(200):
        raise Failed(f'too little was done to be a test: {seen}')


if __name__ == '__main__':
    raise SystemExit(main([killed_anywhere]))
