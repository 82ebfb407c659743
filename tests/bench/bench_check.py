#!/usr/bin/python3
"""What a whole test suite costs under `bufleak check`: GLib's installed tests (Debian's
libglib2.0-tests), all in one run, in turns without anything and under check with its default options.
Told are the time that passed, the processor time of all processes and the command line's own, which
tests ended otherwise, and where most of the difference is. Tests that do not end in time without
anything are left out of both."""
import fnmatch
import json
import os
import pathlib
import re
import resource
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import bench_common as common

CLI = os.path.join(common.BUILD, 'cli', 'bufleak')
TESTS = pathlib.Path('/usr/share/installed-tests/glib')


def installed(patterns):
    """(name, command line) of those chosen."""
    for path in sorted(TESTS.glob('*.test')):
        if any(fnmatch.fnmatch(path.stem, pattern) for pattern in patterns):
            yield path.stem, re.search(r'^Exec=(.*)$', path.read_text(), re.M)[1]


def run_one(line, limit):
    """Its exit code, None: it was ended for taking too long; the seconds of its processors, and those
    that passed."""
    begun = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(shlex.split(line), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            code = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = None
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return code, cpu, time.monotonic() - begun


def run_all(path):
    """The suite's runner: one test after the other, as the file says, which takes the outcomes."""
    job = json.loads(pathlib.Path(path).read_text())
    job['outcomes'] = {name: run_one(line, job['limit']) for name, line in job['tests']}
    pathlib.Path(path).write_text(json.dumps(job))


def measure(tests, limit, home, tool):
    """Wall and processor seconds of the whole suite, and the outcomes."""
    path = os.path.join(home, 'job.json')
    pathlib.Path(path).write_text(json.dumps({'tests': tests, 'limit': limit}))
    os.makedirs(os.path.join(home, 'home'), exist_ok=True)
    # a slab of GLib's allocator is one block to check, which sets this as well
    environment = common.clean_environment(HOME=f'{home}/home', TMPDIR=home, G_SLICE='always-malloc')
    with open(os.path.join(home, 'said'), 'w+', encoding='utf-8', errors='replace') as said:
        begun = time.monotonic()
        process = subprocess.Popen([*tool, sys.executable, '-B', __file__, '--job', path], env=environment,
                                   stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
        wall = time.monotonic() - begun
        said.seek(0)
        summary = said.read().strip().rsplit('\n', 1)[-1]
    job = json.loads(pathlib.Path(path).read_text())
    if 'outcomes' not in job:
        raise SystemExit(f'bench: the suite did not run: {summary}')
    return {'wall': wall, 'cpu': used.ru_utime + used.ru_stime, 'outcomes': job['outcomes'], 'summary': summary}


def leave_out(turn):
    """Those that did not end in time: what they used is no part of the suite."""
    slow = {name for name, (code, _, _) in turn['outcomes'].items() if code is None}
    for name in slow:
        _, cpu, wall = turn['outcomes'].pop(name)
        turn['cpu'] -= cpu
        turn['wall'] -= wall
    return slow


def compare(rounds, options):
    """Medians over the rounds, and what is to be said of single tests."""
    def of(tool, key):
        return [turn[tool][key] for turn in rounds]

    def cpu_of(tool, name):
        return statistics.median(turn[tool]['outcomes'][name][1] for turn in rounds)

    names = [name for name in rounds[0]['check']['outcomes']
             if all(name in turn[tool]['outcomes'] for turn in rounds for tool in turn)]
    result = {'tests': len(names), 'rounds': len(rounds), 'machine': common.machine()}
    for key in ('wall', 'cpu'):
        result[key] = {tool: common.median(of(tool, key)) for tool in ('plain', 'check')}
        result[key]['ratio'] = statistics.median(c / p for p, c in zip(of('plain', key), of('check', key)))
    result['otherwise'] = sorted({(name, turn['plain']['outcomes'][name][0], turn['check']['outcomes'][name][0])
                                  for turn in rounds for name in names if turn['plain']['outcomes'][name][0]
                                  != turn['check']['outcomes'][name][0]}, key=str)
    excess = sorted(((cpu_of('check', name) - cpu_of('plain', name), name) for name in names), reverse=True)
    result['most'] = [{'test': name, 'plain': cpu_of('plain', name), 'check': cpu_of('check', name)}
                      for _, name in excess[:options.most]]
    result['summary'] = rounds[-1]['check']['summary']
    return result


def show(result, left_out):
    print(f"{result['tests']} tests, {result['rounds']} rounds, load {result['machine']['load_1m']}")
    common.show_table(['seconds', 'plain', 'under check', 'ratio'],
                      [[what, f"{result[key]['plain']:.1f}", f"{result[key]['check']:.1f}",
                        f"{result[key]['ratio']:.2f}"] for key, what in (('wall', 'passed'), ('cpu', 'processors'))])
    print()
    common.show_table(['most in', 'plain', 'under check', 'more'],
                      [[m['test'], f"{m['plain']:.2f}", f"{m['check']:.2f}", f"{m['check'] - m['plain']:.2f}"]
                       for m in result['most']])
    print()
    for name, plain, check in result['otherwise']:
        print(f'{name} ended with {plain}, under check with {check}')
    if left_out:
        print(f'left out, they do not end in time without anything: {" ".join(sorted(left_out))}')
    print(result['summary'])


def main():
    parser = common.parser(__doc__)
    parser.set_defaults(rounds=1)
    parser.add_argument('--limit', type=float, default=60, help='seconds for a test without anything; four '
                        'times that under check (default 60)')
    parser.add_argument('--most', type=common.positive, default=10, help='tests to list (default 10)')
    parser.add_argument('--job', help='(the runner itself)')
    parser.add_argument('patterns', nargs='*', default=['*'], help='names of tests (default all)')
    options = parser.parse_args()
    if options.job:
        run_all(options.job)
        return 0
    tests = list(installed(options.patterns or ['*']))
    if not tests or not common.have_shim():
        raise SystemExit("bench: there are no such tests: GLib's are in Debian's libglib2.0-tests")
    rounds, left_out = [], set()
    for number in range(options.rounds):
        turn = {}
        for tool, words in (('plain', []), ('check', [CLI, 'check', '--'])):
            common.progress(f'round {number + 1} of {options.rounds}, {tool}')
            with tempfile.TemporaryDirectory(prefix='bufleak-suite.', ignore_cleanup_errors=True) as home:
                chosen = [test for test in tests if test[0] not in left_out]
                turn[tool] = measure(chosen, options.limit * (4 if words else 1), home, words)
            if tool == 'plain':
                left_out |= leave_out(turn[tool])
        rounds.append(turn)
    common.progress_done()
    result = compare(rounds, options)
    if options.json:
        print(json.dumps({**result, 'left_out': sorted(left_out)}, indent=1))
    else:
        show(result, left_out)
    return 0


if __name__ == '__main__':
    sys.exit(main())
