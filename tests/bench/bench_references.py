#!/usr/bin/python3
"""CPU time that following every reference costs: in a tight loop, and in a GStreamer pipeline.

The loop takes and gives back references some 25 frames deep; what an event costs is the difference
to the plain program in the same round. The pipeline passes audio buffers through tee and two
queues; beside the plain run and bufleak, which keeps every stack of every reference, stands
GStreamer's own tracer `leaks` with check-refs: without stacks, and with full ones on few buffers.
"""
import json
import os
import resource
import subprocess
import sys
import tempfile

import bench_common as common

LOOP = os.path.join(common.BUILD, 'tests', 'bench', 'references')
PIPELINE = ('audiotestsrc num-buffers={} ! tee name=t t. ! queue ! fakesink sync=false '
            't. ! queue ! fakesink sync=false')
TRACERS = {'tracer': 'leaks(check-refs=true)',
           'tracer-stacks': 'leaks(check-refs=true,stack-traces-flags=full)'}
FEW = 500


class BenchError(Exception):
    pass


def run(command, variant):
    """Returns (CPU seconds of the whole process, its stdout)."""
    with tempfile.TemporaryDirectory(prefix='bufleak-bench.') as directory:
        environment = common.clean_environment()
        if variant == 'bufleak':
            environment = common.shim_environment(directory)
        elif variant in TRACERS:
            environment = common.clean_environment(GST_TRACERS=TRACERS[variant])
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, env=environment, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=600, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            raise BenchError(f'{" ".join(command)} ended with {done.returncode}: {done.stderr}')
        if variant == 'bufleak' and not any(n.endswith('.ledger') for n in os.listdir(directory)):
            raise BenchError('the shim left no ledger: what was measured did not track')
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def loop_ns(kind, how, variant, options):
    command = [LOOP, kind, how, str(options.live), str(options.events)]
    result = json.loads(run(command, variant)[1])
    return result['cpu_ns'] / result['events']


def pipeline_s(variant, buffers):
    return run(['gst-launch-1.0', '-q', *PIPELINE.format(buffers).split()], variant)[0]


def in_turns(variants, rounds, what, measure):
    samples = {variant: [] for variant in variants}
    for number in range(rounds):
        for variant in variants if number % 2 else reversed(variants):
            common.progress(f'{what}: round {number + 1} of {rounds}, {variant}')
            samples[variant].append(measure(variant))
    return samples


def summary(samples):
    plain = samples['plain']
    return {variant: {'median': common.median(values),
                      'added': common.median([v - p for v, p in zip(values, plain)]),
                      'ratio': common.median([v / p for v, p in zip(values, plain)])}
            for variant, values in samples.items()}


def measure_all(options):
    report = {'loops': {}}
    for kind in ('bytes', 'object', 'buffer'):
        for how in ('hold', 'life'):
            report['loops'][f'{kind} {how}'] = summary(in_turns(
                ['plain', 'bufleak'], options.rounds, f'{kind} {how}',
                lambda variant, kind=kind, how=how: loop_ns(kind, how, variant, options)))
    report['pipeline'] = summary(in_turns(
        ['plain', 'bufleak', 'tracer'], options.rounds, 'pipeline',
        lambda variant: pipeline_s(variant, options.buffers)))
    report['few'] = summary(in_turns(['plain', 'bufleak', 'tracer-stacks'], 1, 'full stacks',
                                     lambda variant: pipeline_s(variant, FEW)))
    return report


def show(report, options):
    machine = report['machine']
    print(f'references · {machine["cpus"]} × {machine["cpu"]} · load {machine["load_1m"]} · '
          f'{options.rounds} rounds, medians of CPU time\n')
    common.show_table(['an event in a loop', 'plain', 'bufleak adds'],
                      [[name, f'{row["plain"]["median"]:.0f} ns',
                        f'+{row["bufleak"]["added"]:.0f} ns']
                       for name, row in report['loops'].items()])
    for name, buffers in (('pipeline', options.buffers), ('few', FEW)):
        print()
        common.show_table([f'{buffers:,} audio buffers', 'CPU', 'of plain'],
                          [[variant, f'{row["median"]:.2f} s', f'{row["ratio"]:.2f}']
                           for variant, row in report[name].items()])
    print('\nwanted of the pipeline: at most 1.5 of plain, and less than the tracer')


def main():
    parser = common.parser(__doc__.split('\n')[0])
    parser.add_argument('--events', type=common.positive, default=500000, metavar='N',
                        help='rounds of a loop (default 500,000)')
    parser.add_argument('--live', type=common.positive, default=1000, metavar='N',
                        help='buffers that live in a loop (default 1,000)')
    parser.add_argument('--buffers', type=common.positive, default=20000, metavar='N',
                        help='audio buffers through the pipeline (default 20,000)')
    options = parser.parse_args()
    if not common.have_shim():
        return 1
    report = {'machine': common.machine(), 'rounds': options.rounds, **measure_all(options)}
    common.progress_done()
    if options.json:
        json.dump(report, sys.stdout, indent=1)
        print()
    else:
        show(report, options)
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        common.progress_done()
        print(f'bench: {error}', file=sys.stderr)
        sys.exit(1)
