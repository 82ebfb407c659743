#!/usr/bin/python3
"""CPU time that each tracker adds to a malloc+free pair some 25 frames deep, and its memory.

Every round runs all variants one after the other, so that a change of the machine's mood hits all.
A variant's figure is the median of its rounds; what it adds is the median of the differences to
the plain program in the same round. CPU time is the process's own over the timed pairs, all its
threads included. heaptrack needs a second process to make sense of what the first one writes: it is
measured as users run it, with both (all its processes over N pairs, less the same with one pair),
and in the program alone.
"""
import glob
import json
import os
import resource
import subprocess
import sys
import tempfile

import bench_common as common

PAIRS = os.path.join(common.BUILD, 'tests', 'bench', 'pairs')
TITLES = {
    'plain': 'plain',
    'bufleak': 'bufleak',
    'heaptrack': 'heaptrack',
    'heaptrack-raw': 'in the program',
    'lsan': 'LSan, cut stacks',
    'lsan-fp': 'LSan, whole stacks',
}
LSAN = {'LSAN_OPTIONS': 'leak_check_at_exit=0'}


class BenchError(Exception):
    pass


def command_of(variant, directory):
    """Returns (command, environment) that runs pairs under this variant."""
    if variant == 'bufleak':
        return [PAIRS], common.shim_environment(directory)
    if variant.startswith('heaptrack'):
        raw = ['--raw'] if variant == 'heaptrack-raw' else []
        return (['heaptrack'] + raw + ['-o', os.path.join(directory, 'data'), PAIRS],
                common.clean_environment(TMPDIR=directory))
    if variant.startswith('lsan'):
        return [f'{PAIRS}-{variant}'], common.clean_environment(**LSAN)
    return [PAIRS], common.clean_environment()


def ledger_bytes(directory):
    """Disk blocks of the ledger itself; the snapshot at exit is a copy and does not count."""
    return sum(os.stat(path).st_blocks * 512
               for path in glob.glob(os.path.join(directory, '*.ledger')))


def measure(variant, threads, live, pairs, order):
    """One run; its data goes to a temporary directory and away with it."""
    with tempfile.TemporaryDirectory(prefix='bufleak-bench.') as directory:
        command, environment = command_of(variant, directory)
        command = command + [str(threads), str(live), str(pairs), order]
        before = children_cpu_ns()
        run = subprocess.run(command, env=environment, capture_output=True, text=True,
                             stdin=subprocess.DEVNULL, timeout=600, check=False)
        lines = [line for line in run.stdout.splitlines() if line.startswith('{"cpu_ns"')]
        if run.returncode != 0 or len(lines) != 1:
            raise BenchError(f'{" ".join(command)} ended with {run.returncode}:\n'
                             f'{run.stdout}{run.stderr}')
        result = json.loads(lines[0])
        result['tree_cpu_ns'] = children_cpu_ns() - before
        result['ledger_bytes'] = ledger_bytes(directory)
        if variant == 'bufleak' and result['ledger_bytes'] == 0:
            raise BenchError('the shim left no ledger: what was measured did not track')
        return result


def children_cpu_ns():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


def ns_per_pair(variant, threads, live, pairs, order):
    result = measure(variant, threads, live, pairs, order)
    if variant != 'heaptrack':
        return result['cpu_ns'] / result['pairs']
    start = measure(variant, threads, live, threads, order)
    return (result['tree_cpu_ns'] - start['tree_cpu_ns']) / (result['pairs'] - start['pairs'])


def measure_setting(variants, rounds, setting, pairs):
    threads, live, order = setting
    samples = {variant: [] for variant in variants}
    for number in range(rounds):
        for variant in variants:
            common.progress(f'{threads} threads, {live:,} live, {order}: '
                            f'round {number + 1} of {rounds}, {TITLES[variant]}')
            samples[variant].append(ns_per_pair(variant, threads, live, pairs, order))
    return samples


def summarize(setting, samples):
    threads, live, order = setting
    plain = samples['plain']
    row = {'threads': threads, 'live': live, 'order': order, 'variants': {}}
    for variant, values in samples.items():
        added = [value - base for value, base in zip(values, plain)]
        row['variants'][variant] = {
            'ns_per_pair': common.median(values),
            'added_ns': common.median(added),
            'added_spread_ns': common.spread(added),
            'rounds_ns': values,
        }
    if 'bufleak' in samples and 'heaptrack' in samples:
        peer = row['variants']['heaptrack']['added_ns']
        row['ratio_to_heaptrack'] = row['variants']['bufleak']['added_ns'] / peer
    return row


def memory_rows(variants, live):
    """Bytes that each live block costs on top of the plain program's."""
    rows = {}
    plain = measure('plain', 1, live, 1, 'ring')
    for variant in variants:
        common.progress(f'memory: {TITLES[variant]}')
        result = measure(variant, 1, live, 1, 'ring') if variant != 'plain' else plain
        anonymous = (result['anonymous_kib'] - plain['anonymous_kib']) * 1024
        rows[variant] = {
            'live': live,
            'rss_per_buffer': (result['rss_kib'] - plain['rss_kib']) * 1024 / live,
            'private_per_buffer': anonymous / live,
            'ledger_per_buffer': result['ledger_bytes'] / live,
            'total_per_buffer': (anonymous + result['ledger_bytes']) / live,
        }
    return rows


def show(report):
    variants = report['variants']
    machine = report['machine']
    print(f'malloc+free pairs, {report["frames"]} frames deep · {machine["cpus"]} × '
          f'{machine["cpu"]} · load {machine["load_1m"]} · {report["rounds"]} rounds, medians\n')
    header = ['threads  live  order'] + [TITLES[v] for v in variants]
    header += ['÷ heaptrack'] if 'bufleak' in variants and 'heaptrack' in variants else []
    rows = []
    for row in report['settings']:
        cells = [f'{row["threads"]}  {row["live"]:,}  {row["order"]}']
        for variant in variants:
            entry = row['variants'][variant]
            cells.append(f'{entry["ns_per_pair"]:.0f} ns' if variant == 'plain' else
                         f'+{entry["added_ns"]:.0f} ±{entry["added_spread_ns"]:.0f}')
        if 'ratio_to_heaptrack' in row:
            cells.append(f'{row["ratio_to_heaptrack"]:.2f}')
        rows.append(cells)
    common.show_table(header, rows)
    print('\nplain: CPU ns per pair; the others: what they add, ± half the range of the rounds.')
    print('heaptrack: with the process that reads what the program writes; then the program alone.')
    print('LSan without frame pointers records one or two frames; built with them, whole stacks.')

    print(f'\nmemory per live block, {report["memory_live"]:,} live, 1 thread (bytes, on top of '
          'plain)\n')
    rows = [[TITLES[name], f'{entry["private_per_buffer"]:.0f}', f'{entry["ledger_per_buffer"]:.0f}',
             f'{entry["total_per_buffer"]:.0f}', f'{entry["rss_per_buffer"]:.0f}']
            for name, entry in report['memory'].items() if name != 'plain']
    common.show_table(['', 'private', 'ledger', 'both', 'resident'], rows)


def parse():
    options = common.parser(__doc__.split('\n')[0])
    options.add_argument('--pairs', type=common.positive, default=1000000, metavar='N',
                         help='timed pairs in a run (default 1,000,000)')
    options.add_argument('--threads', type=common.positive, nargs='+', default=[1, 2])
    options.add_argument('--live', type=common.positive, nargs='+', default=[1000, 100000],
                         help='blocks that live at a time, over all threads')
    options.add_argument('--order', choices=['ring', 'random'], nargs='+',
                         default=['ring', 'random'], help='which block is replaced next')
    options.add_argument('--variants', choices=list(TITLES), nargs='+', default=list(TITLES))
    options.add_argument('--memory-live', type=common.positive, default=1000000, metavar='N',
                         help='live blocks while memory is measured (default 1,000,000)')
    return options.parse_args()


def main():
    options = parse()
    variants = ['plain'] + [v for v in options.variants if v != 'plain']
    if 'bufleak' in variants and not common.have_shim():
        variants.remove('bufleak')
    frames = measure('plain', 1, 1, 1, 'ring')['frames']
    settings = [(t, l, o) for t in options.threads for l in options.live for o in options.order]
    report = {
        'machine': common.machine(), 'rounds': options.rounds, 'pairs': options.pairs,
        'frames': frames, 'variants': variants,
        'settings': [summarize(s, measure_setting(variants, options.rounds, s, options.pairs))
                     for s in settings],
        'memory': memory_rows(variants, options.memory_live), 'memory_live': options.memory_live,
    }
    common.progress_done()
    if options.json:
        json.dump(report, sys.stdout, indent=1)
        print()
    else:
        show(report)
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except (BenchError, OSError, subprocess.TimeoutExpired) as error:
        common.progress_done()
        print(f'bench: {error}', file=sys.stderr)
        sys.exit(1)
