#!/usr/bin/python3
"""What an open `bufleak top` costs the process it looks at: processor time for each pair of malloc
and free of a target under full load, in turns without top and with it."""
import json
import os
import pty
import statistics
import subprocess
import tempfile
import threading
import time

import bench_common as common
from bench_report import CLI, MANY, ask


class Top:
    """Open in a terminal of its own, whose picture is read and dropped."""

    def __init__(self, pid, environment):
        self.screen, terminal = pty.openpty()
        self.process = subprocess.Popen([CLI, 'top', str(pid)], env={**environment, 'TERM': 'xterm',
                                        'LINES': '24', 'COLUMNS': '80'}, stdin=terminal,
                                        stdout=terminal, stderr=terminal, start_new_session=True)
        os.close(terminal)
        self.bytes = 0
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        try:
            while data := os.read(self.screen, 65536):
                self.bytes += len(data)
        except OSError:  # the terminal has closed
            pass

    def close(self):
        os.write(self.screen, b'q')
        self.process.wait(timeout=30)
        self.reader.join()
        os.close(self.screen)
        if self.process.returncode != 0 or self.bytes == 0:
            raise SystemExit(f'bench: top ended with {self.process.returncode}, '
                             f'{self.bytes} bytes on the screen')


def cost(process, seconds):
    """Nanoseconds of processor time for each pair."""
    cpu, pairs = ask(process, 'cpu')
    time.sleep(seconds)
    cpu_after, pairs_after = ask(process, 'cpu')
    return (cpu_after - cpu) / (pairs_after - pairs)


def main():
    parser = common.parser(__doc__)
    parser.add_argument('--seconds', type=float, default=3, help='of each turn (default 3)')
    parser.add_argument('--threads', type=common.positive, default=1)
    parser.add_argument('--buffers', type=common.positive, default=100000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='bufleak-bench-') as directory:
        environment = common.shim_environment(directory)
        process = subprocess.Popen([MANY, str(options.buffers), '10000', str(options.threads)],
                                   env=environment, text=True, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        pid = int(process.stdout.readline().split()[1])
        without, beside = [], []
        cost(process, 1)
        for turn in range(options.rounds):
            common.progress(f'round {turn + 1}')
            without.append(cost(process, options.seconds))
            top = Top(pid, environment)
            time.sleep(0.5)  # it opens: not part of what is measured
            beside.append(cost(process, options.seconds))
            top.close()
        process.stdin.close()
        process.wait()
    common.progress_done()
    ratios = [b / a for a, b in zip(without, beside)]
    result = {'machine': common.machine(), 'without_ns': without, 'beside_top_ns': beside,
              'ratio': statistics.median(ratios)}
    if options.json:
        print(json.dumps(result, indent=1))
        return
    print(f'{options.threads} thread(s) under full load, {options.rounds} turns, '
          f'load {result["machine"]["load_1m"]}')
    common.show_table(['processor time a pair', 'median', 'spread'], [
        ['without top', f'{common.median(without):.1f} ns', f'{common.spread(without):.1f} ns'],
        ['with top open', f'{common.median(beside):.1f} ns', f'{common.spread(beside):.1f} ns'],
        ['ratio, median of the turns', f'{result["ratio"]:.3f}', f'{common.spread(ratios):.3f}']])


if __name__ == '__main__':
    main()
