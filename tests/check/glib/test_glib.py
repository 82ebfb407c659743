#!/usr/bin/python3
"""GLib's installed tests under check, beside valgrind.

Each test must end under check as it does without; what is called lost must be lost to valgrind at the
same place, and as many, or the test is in VARIES or DIFFERS with the reason. Those of SAMPLE
always run, all of them with BL_TEST_LONG=1; patterns of names as arguments choose among all. Results are
TAP, a line a test.
"""
import concurrent.futures
import glob
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'commands'))
import table  # noqa: E402
import test_commands  # noqa: E402
from test_commands import LONG  # noqa: E402

TESTS = pathlib.Path('/usr/share/installed-tests/glib')
LIMIT = 30  # seconds for a test by itself

# With leaks and without.
SAMPLE = ['error', 'hash', 'mapping', 'private']

# How much is lost differs from run to run, and why.
VARIES = dict.fromkeys(('cancellable', 'gdbus-peer', 'gdbus-proxy-threads', 'gdbus-server-auth', 'gdbus-subscribe',
                        'gmenumodel', 'gsubprocess'), 'its threads or processes race')

# Where the two do not agree, and why; README.md tells more.
DIFFERS = {'onceinit': 'what only the stacks of ended threads point to is reachable to valgrind',
           'task': 'two processes end inside a call that does not need its argument any more'}


def commands():
    for path in sorted(TESTS.glob('*.test')):
        yield table.Command(re.search(r'^Exec=(.*)$', path.read_text(), re.M)[1], path.stem)


def run(words, here, limit, **more):
    """Its exit code, or None: it took too long, and was ended with all that it started."""
    with subprocess.Popen(words, cwd=here, env=test_commands.environment(here, TMPDIR=str(here), **more),
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            return process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None


def by_valgrind(words, here):
    """Its exit code, or None where it did not come to an end, and what is lost in the processes that ended by
    themselves."""
    code = run(['valgrind', '--leak-check=full', '--show-leak-kinds=definite,indirect', '--num-callers=40',
                '--xml=yes', '--trace-children=yes', '--child-silent-after-fork=no', '--vgdb=no',
                f'--xml-file={here}/valgrind.%p.xml', *words], here, LIMIT * 10)
    leaks = []
    for path in glob.glob(f'{here}/valgrind.*.xml'):
        try:
            root = xml.etree.ElementTree.parse(path).getroot()
        except xml.etree.ElementTree.ParseError:
            continue  # of a process that was replaced by exec
        if root.find('fatal_signal') is None:
            for error in root.findall('error'):
                if error.findtext('kind') in ('Leak_DefinitelyLost', 'Leak_IndirectlyLost'):
                    blocks = int(error.find('xwhat').findtext('leakedblocks'))
                    leaks.append(test_commands.Leak(blocks, 0, test_commands.frames_of_valgrind(error), ''))
    return code, leaks


def by_check(words, command, here):
    """Its exit code, and leaks that are lost, with how many frames of valgrind's may be inside the place:
    a counted buffer is told by the call that made it, not by the one that it got its memory from."""
    done, result, leaks = test_commands.by_check(words, command, here)
    lost = [(leak, 1 if group['class'] == 'heap' else 6) for leak, group in zip(leaks, result['groups'])
            if group['reach'] == 'lost']
    return done, result, lost


def has(leaks, leak, frames):
    """Some of these are lost at the same place; a library goes by its name in one and its file's in the other."""
    def place(frame):
        return (frame[0].split('.so')[0], frame[1] or frame[2])
    return any(place(leak.place) in map(place, other.frames[:frames]) for other in leaks)


def try_one(command, home):
    """What is wrong, and a line of what each found."""
    words = shlex.split(command.line)
    places = {}
    note = ''
    for tool in ('plain', 'check', 'valgrind'):
        places[tool] = home / f'{command.of}-{tool}'
        (places[tool] / 'home').mkdir(parents=True)
    code = run(words, places['plain'], LIMIT)
    if code is None:
        return [], f'not in {LIMIT} s without anything'
    code = 128 - code if code < 0 else code
    _, result, leaks = by_check(words, command, places['check'])
    wrong = []
    if result['command_code'] != code:
        wrong.append(f'it ends with {code}, under check with {result["command_code"]}')
    other_code, valgrind = by_valgrind(words, places['valgrind'])
    if other_code is None:
        return wrong, f'not in {LIMIT * 10} s under valgrind'
    if other_code not in (code, 128 - code):  # its own time limits, on a busy machine
        return wrong, f'not compared, it ends with {other_code} under valgrind, with {code} without'
    differences = [f'only check calls lost: {leak}' for leak, frames in leaks if not has(valgrind, leak, frames)]
    mine = sum(leak.count + leak.indirect for leak, _ in leaks)
    others = sum(leak.count for leak in valgrind)
    if mine != others and command.of not in VARIES:
        differences.append(f'check calls {mine} blocks lost, valgrind {others}')
    if differences and command.of in DIFFERS:
        differences = []
        note = f', {DIFFERS[command.of]}'
    wrong += differences
    for place in places.values():
        shutil.rmtree(place, ignore_errors=True)
    return wrong, f'lost: check {mine}, valgrind {others}{note}'


def main():
    chosen = [c for c in commands() if not c.program.endswith('.py') and (
        any(re.fullmatch(p, c.of) for p in sys.argv[1:]) if sys.argv[1:] else LONG or c.of in SAMPLE)]
    if not chosen or not shutil.which('valgrind'):
        print("1..0 # SKIP GLib's installed tests or valgrind are missing")
        return 0
    failed = 0
    print(f'TAP version 13\n1..{len(chosen)}', flush=True)
    with tempfile.TemporaryDirectory(prefix='bufleak-glib.') as home, \
            concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(try_one, command, pathlib.Path(home)) for command in chosen]
        for number, (command, job) in enumerate(zip(chosen, jobs), 1):
            try:
                wrong, note = job.result()
            except (AssertionError, OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
                wrong, note = [f'{type(error).__name__}: {error}'], ''
            failed += bool(wrong)
            print(f'{"not ok" if wrong else "ok"} {number} - {command.of}')
            for text in (*wrong, note):
                print('# ' + text.replace('\n', ' '), flush=True)
            for text in wrong:  # which is shown once more in the end
                print(f'{command.of}: {text}', file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
