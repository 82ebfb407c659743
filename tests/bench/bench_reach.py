#!/usr/bin/python3
"""What telling lost from held costs a running program: how long its threads stand still.

    scripts/bench reach [ROUNDS]

A program with three threads that allocate, a million live blocks (and then 1 GiB beside them, which
another thread writes to) is asked ROUNDS times (default 9). Beside it the same heap under a preloaded
LeakSanitizer, whose check stops every thread for as long as it marks: __lsan_do_recoverable_leak_check.
"""
import os
import re
import subprocess
import sys
import tempfile
import time

BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'build')
SHIM = os.path.join(BUILD, 'shim', 'libbufleak.so')
CLI = os.path.join(BUILD, 'cli', 'bufleak')
LIVE = os.path.join(BUILD, 'tests', 'reach', 'reach_live')

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'reach'))
os.environ.setdefault('BL_SHIM', SHIM)
os.environ.setdefault('BL_CLI', CLI)
import tools  # noqa: E402


def median(values):
    return sorted(values)[len(values) // 2]


def longest(process):
    """How long one allocation of its threads has taken at most since it was asked last, in ns."""
    process.stdin.write('longest\n')
    process.stdin.flush()
    return int(process.stdout.readline())


def under_bufleak(blocks, ballast, rounds):
    reaches = []
    with tempfile.TemporaryDirectory(prefix='bufleak-bench.') as directory:
        os.chmod(directory, 0o700)
        settings = tools.clean_environment(LD_PRELOAD=SHIM, BUFLEAK_DIR=directory,
                                           BUFLEAK_OPTIONS='quiet=1', REACH_BLOCKS=str(blocks),
                                           REACH_BALLAST=str(ballast))
        with subprocess.Popen([LIVE, 'heap'], env=settings, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            for _ in range(rounds):
                longest(process)
                found = tools.run([CLI, 'dump', '--reach', '--timeout', '60s', str(process.pid)],
                                  tools.clean_environment(BUFLEAK_DIR=directory))
                path = found.stdout.strip()
                waited = longest(process)
                reach = tools.report(path)['reach']
                longest(process)
                time.sleep(reach['total_ns'] / 1e9)
                reaches.append(dict(reach, waited_ns=waited, alone_ns=longest(process)))
                os.unlink(path)
            process.communicate()
    for reach in reaches:
        if reach['outcome'] != 'done' or reach['child_status'] or reach['blocks'] < blocks:
            raise SystemExit(f'bench: {reach}')
    return reaches


def under_lsan(blocks, ballast, rounds):
    lsan = tools.find_lsan()
    if not lsan:
        return None
    settings = tools.clean_environment(LD_PRELOAD=lsan, LSAN_OPTIONS='log_threads=0',
                                       REACH_BLOCKS=str(blocks), REACH_BALLAST=str(ballast),
                                       REACH_LSAN=str(rounds))
    done = tools.run([LIVE, 'heap'], settings)
    return [int(n) for n in re.findall(r'^check (\d+)$', done.stdout, re.M)]


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    print(f'{rounds} times each; threads stopped, locks held, longest allocation seen by a thread '
          '(and in as long a time without a question), answer there: median (most), ms')
    for name, blocks, ballast in (('1,000,000 blocks', 1000000, 0),
                                  ('the same and 1 GiB', 1000000, 1024)):
        reaches = under_bufleak(blocks, ballast, rounds)
        columns = []
        for key in ('pause_ns', 'locked_ns', 'waited_ns', 'alone_ns', 'total_ns'):
            values = [r[key] / 1e6 for r in reaches]
            columns.append(f'{median(values):8.1f} ({max(values):.1f})')
        print(f'{name:22} bufleak        ' + '  '.join(columns))
        checks = under_lsan(blocks, ballast, rounds)
        if checks:
            values = [n / 1e6 for n in checks]
            print(f'{"":22} LeakSanitizer  {median(values):8.1f} ({max(values):.1f})')
        else:
            print(f'{"":22} LeakSanitizer  none')


if __name__ == '__main__':
    main()
