#!/usr/bin/python3
"""From `dump` to report on many live buffers by many stacks: how long the snapshot stops the
application's threads, how long the report takes cold, beside heaptrack_print on the same work."""
import contextlib
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import bench_common as common

MANY = os.path.join(common.BUILD, 'tests', 'bench', 'many')
CLI = os.path.join(common.BUILD, 'cli', 'bufleak')
CALM_S = 0.5


def cool(*paths):
    """What was read of these files is read anew, as after a while without them."""
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


@contextlib.contextmanager
def started(options, environment, before=(), more=()):
    work = [str(options.buffers), str(options.stacks), *more]
    process = subprocess.Popen([*before, MANY, *work], env=environment, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    try:
        for line in process.stdout:  # heaptrack speaks first
            if line.startswith('ready'):
                process.target = int(line.split()[1])
                break
        yield process
    finally:
        process.stdin.close()
        process.stdout.read()
        process.wait()


def ask(process, what):
    process.stdin.write(what + '\n')
    process.stdin.flush()
    return [int(word) for word in process.stdout.readline().split()]


def timed(*command, environment):
    start = time.monotonic()
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return time.monotonic() - start, done.stdout


def real_time():
    """What puts the target's threads, the shim's too, before all others' work: a pause is then the
    shim's own and not the scheduler's. Nothing where that is not allowed."""
    if subprocess.run(['chrt', '-f', '1', 'true'], stderr=subprocess.DEVNULL).returncode == 0:
        return ('chrt', '-f', '1')
    print('bench: no real-time priority here; pauses hold what others did meanwhile',
          file=sys.stderr)
    return ()


def measure_ours(options, directory, before=(), more=()):
    environment = common.shim_environment(directory)
    rows = []
    with started(options, environment, before, more) as process:
        for turn in range(options.rounds):
            common.progress(f'bufleak{" with priority" * bool(before)}, round {turn + 1}')
            ask(process, 'gap')
            time.sleep(CALM_S)
            calm_us, _ = ask(process, 'gap')
            dump_s, path = timed(CLI, 'dump', str(process.target), environment=environment)
            pause_us, beats = ask(process, 'gap')
            path = path.strip()
            cool(path, CLI, MANY)
            report_s, text = timed(CLI, 'report', path, environment=environment)
            rows.append({'calm_us': calm_us, 'dump_s': dump_s, 'pause_us': pause_us, 'beats': beats,
                         'report_s': report_s, 'lines': text.count('\n')})
            if not text.startswith('bufleak '):
                raise SystemExit('bench: that is no report')
    return rows


def measure_heaptrack(options, directory):
    if not shutil.which('heaptrack') or not shutil.which('heaptrack_print'):
        print('bench: heaptrack is not installed; measuring the rest', file=sys.stderr)
        return []
    common.progress('heaptrack')
    base = os.path.join(directory, 'heaptrack')
    with started(options, common.clean_environment(), ('heaptrack', '-o', base)):
        pass
    data, = glob.glob(base + '*')
    seconds = []
    for turn in range(options.rounds):
        common.progress(f'heaptrack_print, round {turn + 1}')
        cool(data, shutil.which('heaptrack_print'), MANY)
        took, _ = timed('heaptrack_print', data, environment=common.clean_environment())
        seconds.append(took)
    return seconds


def main():
    parser = common.parser(__doc__)
    parser.add_argument('--buffers', type=common.positive, default=1000000)
    parser.add_argument('--stacks', type=common.positive, default=100000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='bufleak-bench-') as directory:
        ours = measure_ours(options, directory, real_time())
        plain = measure_ours(options, directory, more=('0', 'plain'))
        theirs = measure_heaptrack(options, directory)
    common.progress_done()
    result = {'machine': common.machine(), 'buffers': options.buffers, 'stacks': options.stacks,
              'rounds': ours, 'rounds_without_priority': plain, 'heaptrack_print_s': theirs}
    if options.json:
        print(json.dumps(result, indent=1))
        return
    print(f'{options.buffers:,} live buffers by {options.stacks:,} stacks, '
          f'{options.rounds} rounds, load {result["machine"]["load_1m"]}')

    def row(name, values, unit):
        return [name, *(f'{f(values):,.2f} {unit}' for f in (min, common.median, max))]
    table = [row('slowest malloc+free, calm', [r['calm_us'] / 1000 for r in ours], 'ms'),
             row('slowest malloc+free, during dump', [r['pause_us'] / 1000 for r in ours], 'ms'),
             row('the same without priority, calm', [r['calm_us'] / 1000 for r in plain], 'ms'),
             row('without priority, during dump', [r['pause_us'] / 1000 for r in plain], 'ms'),
             row('dump', [r['dump_s'] for r in ours], 's'),
             row('report, cold', [r['report_s'] for r in ours + plain], 's')]
    if theirs:
        table.append(row('heaptrack_print, cold', theirs, 's'))
    common.show_table(['', 'least', 'median', 'most'], table)


if __name__ == '__main__':
    main()
