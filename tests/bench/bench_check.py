#!/usr/bin/python3
"""What a whole test suite costs under `bufleak check`: GLib's installed tests (Debian's
libglib2.0-tests), all in one run, several at once, in turns without anything and under check with its
default options. Told are the time that passed, the processor time of all processes and the command line's
own, which tests ended otherwise, and where most of the difference is. Left out are those of LEFT_OUT, and
of both runs those that do not end in time without anything."""
import concurrent.futures
import contextlib
import ctypes
import fnmatch
import json
import os
import pathlib
import re
import select
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


# A benchmark of minutes, and threads that queue for one lock, which takes as long as the scheduler lets
# it, from seconds to more than a minute.
LEFT_OUT = ['performance', '1bit-mutex', 'atomic', 'mutex', 'rec-mutex', 'rwlock']


def installed(patterns):
    """(name, command line) of those chosen."""
    for path in sorted(TESTS.glob('*.test')):
        if any(fnmatch.fnmatch(path.stem, pattern) for pattern in patterns) if patterns else (
                path.stem not in LEFT_OUT):
            yield path.stem, re.search(r'^Exec=(.*)$', path.read_text(), re.M)[1]


def end_all(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def children():
    """Of this process, also those that its tests left to it."""
    with open(f'/proc/{os.getpid()}/task/{os.getpid()}/children', encoding='ascii') as file:
        return [int(pid) for pid in file.read().split()]


def run_one(name, line, limit, home):
    """Its exit code, None: it was ended for taking too long; the seconds of its processors, and those
    that passed."""
    begun = time.monotonic()
    here = os.path.join(home, name)
    os.makedirs(os.path.join(here, 'home'), exist_ok=True)
    environment = {**os.environ, 'HOME': f'{here}/home', 'TMPDIR': here}
    process = subprocess.Popen(shlex.split(line), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=here,
                               stderr=subprocess.DEVNULL, env=environment, start_new_session=True)
    fd = os.pidfd_open(process.pid)
    ended = bool(select.select([fd], [], [], limit)[0])
    os.close(fd)
    if not ended:
        os.killpg(process.pid, signal.SIGKILL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode if ended else None, used.ru_utime + used.ru_stime, time.monotonic() - begun


def run_all(path):
    """The suite's runner: as many tests at once as the file says, in its order, none begun after its
    deadline. What tests leave running stays below it, so that it counts with and without check, and is
    ended with it."""
    job = json.loads(pathlib.Path(path).read_text())
    outcomes = job['outcomes'] = {}
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    deadline = time.monotonic() + job['within']

    def run_next(name, line):
        if time.monotonic() < deadline:
            outcomes[name] = run_one(name, line, job['limit'], os.path.dirname(path))

    with concurrent.futures.ThreadPoolExecutor(job['at_once']) as pool:
        for done in [pool.submit(run_next, name, line) for name, line in job['tests']]:
            done.result()
    while left := children():
        end_all(left)
        with contextlib.suppress(ChildProcessError):
            os.wait()
    pathlib.Path(path).write_text(json.dumps(job))


def measure(tests, options, times, home, tool):
    """Wall and processor seconds of the whole suite, and the outcomes. times: as long as without anything."""
    path = os.path.join(home, 'job.json')
    pathlib.Path(path).write_text(json.dumps({'tests': tests, 'limit': options.limit * times,
                                              'within': options.within * times, 'at_once': options.at_once}))
    environment = common.clean_environment(TMPDIR=home)
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
        turn['cpu'] -= turn['outcomes'].pop(name)[1]
    return slow


def compare(rounds, options):
    """Medians over the rounds, and what is to be said of single tests."""
    def of(tool, key):
        return [turn[tool][key] for turn in rounds]

    def middle(tool, name, which):
        return statistics.median(turn[tool]['outcomes'][name][which] for turn in rounds)

    names = [name for name in rounds[0]['check']['outcomes']
             if all(name in turn[tool]['outcomes'] for turn in rounds for tool in turn)]
    every = {name for turn in rounds for tool in turn for name in turn[tool]['outcomes']}
    result = {'tests': len(names), 'rounds': len(rounds), 'machine': common.machine(), 'most': {}}
    for key in ('wall', 'cpu'):
        result[key] = {tool: common.median(of(tool, key)) for tool in ('plain', 'check')}
        result[key]['ratio'] = statistics.median(c / p for p, c in zip(of('plain', key), of('check', key)))
    result['otherwise'] = sorted({(name, turn['plain']['outcomes'][name][0], turn['check']['outcomes'][name][0])
                                  for turn in rounds for name in names if turn['plain']['outcomes'][name][0]
                                  != turn['check']['outcomes'][name][0]}, key=str)
    for which, key in ((1, 'cpu'), (2, 'wall')):
        used = [{'test': name, 'plain': middle('plain', name, which), 'check': middle('check', name, which)}
                for name in names]
        used.sort(key=lambda each: each['plain'] - each['check'])
        result['most'][key] = used[:options.most]
    result['missed'] = sorted(every - set(names))
    result['summary'] = rounds[-1]['check']['summary']
    return result


def show(result, left_out):
    print(f"{result['tests']} tests, {result['rounds']} rounds, load {result['machine']['load_1m']}")
    common.show_table(['seconds', 'plain', 'under check', 'ratio'],
                      [[what, f"{result[key]['plain']:.1f}", f"{result[key]['check']:.1f}",
                        f"{result[key]['ratio']:.2f}"] for key, what in (('wall', 'passed'), ('cpu', 'processors'))])
    print()
    for key, what in (('cpu', 'processor seconds'), ('wall', 'seconds passed')):
        common.show_table([f'most more {what}', 'plain', 'under check', 'more'],
                          [[m['test'], f"{m['plain']:.2f}", f"{m['check']:.2f}", f"{m['check'] - m['plain']:.2f}"]
                           for m in result['most'][key]])
        print()
    for name, plain, check in result['otherwise']:
        print(f'{name} ended with {plain}, under check with {check}')
    if left_out:
        print(f'left out, they do not end in time without anything: {" ".join(sorted(left_out))}')
    if result['missed']:
        print(f'not begun in every run within the time for all: {" ".join(result["missed"])}')
    print(result['summary'])


def main():
    parser = common.parser(__doc__)
    parser.set_defaults(rounds=1)
    parser.add_argument('--limit', type=float, default=60, help='seconds for a test without anything; four '
                        'times that under check (default 60)')
    parser.add_argument('--within', type=float, default=600, help='seconds for all without anything; what has '
                        'not begun by then is left out and said (default 600; four times that under check)')
    parser.add_argument('-j', '--at-once', type=common.positive, default=os.cpu_count(),
                        help='tests at once (default: a processor each)')
    parser.add_argument('--most', type=common.positive, default=10, help='tests to list (default 10)')
    parser.add_argument('--job', help='(the runner itself)')
    parser.add_argument('patterns', nargs='*', help='names of tests (default all but LEFT_OUT)')
    options = parser.parse_args()
    if options.job:
        run_all(options.job)
        return 0
    tests = list(installed(options.patterns))
    if not tests or not common.have_shim():
        raise SystemExit("bench: there are no such tests: GLib's are in Debian's libglib2.0-tests")
    rounds, left_out = [], set()
    for number in range(options.rounds):
        turn = {}
        for tool, words in (('plain', []), ('check', [CLI, 'check', '--'])):
            common.progress(f'round {number + 1} of {options.rounds}, {tool}')
            with tempfile.TemporaryDirectory(prefix='bufleak-suite.', ignore_cleanup_errors=True) as home:
                chosen = [test for test in tests if test[0] not in left_out]
                turn[tool] = measure(chosen, options, 4 if words else 1, home, words)
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
