"""Runs the cases of one program of the corpus under the shim and compares the reports with what a
right one says.

A test file holds a list of Case and calls main(). Nothing but what is listed may be accused: a
verdict too many fails a case as one that is missing does. Lines are found by the marks in the
program's source ("/* @mark */"), so that counts and names are all that is written down.

Results are TAP on stdout, one line a case.
"""
import concurrent.futures
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

SHIM = os.environ['BL_SHIM']
CLI = os.environ['BL_CLI']
PROGRAMS = os.environ['BL_PROGRAMS']
SOURCES = os.path.dirname(os.path.abspath(__file__))
LIMIT_S = 100
AT_ONCE = 3
TOLD_MAX = 12

ACCUSATIONS = ('missing-release', 'never-released', 'over-release', 'stale')
TOLD = ACCUSATIONS + ('growing', 'steady')


class Wrong(Exception):
    pass


@dataclasses.dataclass
class Leak:
    """A group of a report. None: not looked at."""
    verdict: str
    kind: str  # class
    at: str  # mark of the blamed line
    count: int  # buffers
    refs: int = 1  # of each buffer, at most; None: that it is not known
    leaked: int = None  # those that passed the blamed acquire and are blamed on it; None: count
    of: int = None  # buffers that passed the blamed acquire
    others: tuple = None  # (leaked, all) of those that did not
    release: str = None  # mark of the expected release; '': none is to be named
    released: int = None  # siblings that were released there
    ended: str = None  # mark of the line where siblings whose counting is not seen ended
    ended_count: int = None  # those of them that did
    callers: tuple = ()  # marks of the lines that called, innermost first
    alloc: str = None  # mark of the birth
    releases: tuple = None  # marks of all releases that are shown, most frequent first
    holds: dict = None  # buffers of which classes are folded under it
    size: int = None  # bytes, all together
    shared: int = 0  # buffers that are in another group as well
    confidence: tuple = None  # at least, at most
    note: str = ''  # part of the caveat
    is_chance: bool = False  # whether it is told depends on when the program ran


@dataclasses.dataclass
class Case:
    claim: str
    name: str
    requests: int = 1
    every: int = 0
    threads: int = 1
    leaks: list = dataclasses.field(default_factory=list)
    # what is only unreleased: class to count; classes that are not named may have any
    unreleased: dict = dataclasses.field(default_factory=dict)
    steady: dict = dataclasses.field(default_factory=dict)  # the same of what is steady
    growing: dict = dataclasses.field(default_factory=dict)
    # the same for each time that the program asks, before it ends
    asked: list = dataclasses.field(default_factory=list)
    status: int = 0
    options: tuple = ()  # of the report
    environment: dict = dataclasses.field(default_factory=dict)
    # the reports of processes that it forked, by comm and in the order of their start
    children: list = dataclasses.field(default_factory=list)
    # over-releases are the program's own noise on stderr; no other case may say anything
    is_loud: bool = False
    # some of its calls cannot be seen, and the report says so
    losses: tuple = ()
    check: object = None  # called with the report
    variant: str = ''  # of the program: the same source, built otherwise


@dataclasses.dataclass
class Asked:
    leaks: list = dataclasses.field(default_factory=list)
    unreleased: dict = dataclasses.field(default_factory=dict)
    steady: dict = dataclasses.field(default_factory=dict)
    growing: dict = dataclasses.field(default_factory=dict)


def marks_of(program):
    """{mark: (file, line)} of a program's source."""
    marks = {}
    path = os.path.join(SOURCES, program + '.c')
    with open(path, encoding='utf-8') as lines:
        for number, line in enumerate(lines, 1):
            for mark in re.findall(r'/\* @([a-z0-9-]+) \*/', line):
                if mark in marks:
                    raise Wrong(f'{program}.c:{number}: mark {mark} is there twice')
                marks[mark] = (program + '.c', number)
    return marks


def place_of(frame):
    return (os.path.basename(frame['file'] or frame['module']), frame['line'])


def show(group):
    """A group in one line, for whoever has to find out what went wrong."""
    def site(frames):
        return '%s:%s' % place_of(frames[0]) if frames else '-'
    evidence = group['evidence']
    return (f"{group['verdict']} {group['class']} at {site(group['blame']['frames'])} "
            f"({group['blame']['op']}) count {group['count']} refs {group['refs']} "
            f"conf {group['confidence']:.3f} expected {site(group['expected_release']['frames'])} "
            f"holds {group.get('holds')} shared {group.get('shared')}: {evidence['text']}"
            f" [{evidence.get('note')}]")


class Comparison:
    """One report against what was expected of it."""

    def __init__(self, report, marks):
        self.groups = report['groups']
        self.classes = {one['name']: one for one in report['classes']}
        self.marks = marks
        self.wrong = []

    def expect(self, what, seen, wanted):
        if seen != wanted:
            self.wrong.append(f'{what}: {seen}, expected {wanted}')

    def find(self, leak):
        wanted = self.marks[leak.at]
        callers = [self.marks[mark] for mark in leak.callers]
        found = []
        for group in self.groups:
            frames = group['blame']['frames']
            if group['verdict'] == leak.verdict and group['class'] == leak.kind and frames and \
                    [place_of(f) for f in frames[:1 + len(callers)]] == [wanted] + callers:
                found.append(group)
        if len(found) == 1:
            return found[0]
        if leak.is_chance and not found:
            return None
        self.wrong.append(f'{len(found)} times {leak.verdict} of {leak.kind} at {leak.at} '
                          f'({wanted[0]}:{wanted[1]}), expected once')
        return None

    def compare_release(self, leak, group):
        frames = group['expected_release']['frames']
        if leak.release == '':
            self.expect(f'{leak.at}: expected release', [place_of(f) for f in frames[:1]], [])
        elif leak.release is not None:
            self.expect(f'{leak.at}: expected release', [place_of(f) for f in frames[:1]],
                        [self.marks[leak.release]])
        if leak.released is not None:
            self.expect(f'{leak.at}: released there', group['expected_release']['count'],
                        leak.released)

    def compare_ended(self, leak, group):
        if leak.ended is not None:
            self.expect(f'{leak.at}: ended', [place_of(f) for f in group['ended_at']['frames'][:1]],
                        [self.marks[leak.ended]])
        if leak.ended_count is not None:
            self.expect(f'{leak.at}: ended there', group['ended_at']['count'], leak.ended_count)

    def compare_group(self, leak, group):
        evidence = group['evidence']
        self.expect(f'{leak.at}: buffers', group['count'], leak.count)
        self.expect(f'{leak.at}: references', group['refs'], leak.refs)
        self.expect(f'{leak.at}: shared', group['shared'], leak.shared)
        self.expect(f'{leak.at}: leaked', evidence['leaked'],
                    leak.count if leak.leaked is None else leak.leaked)
        if leak.of is not None:
            self.expect(f'{leak.at}: passed', evidence['leaked'] + evidence['completed'], leak.of)
        if leak.others is not None:
            self.expect(f'{leak.at}: others', (evidence['others_leaked'],
                        evidence['others_leaked'] + evidence['others_completed']), leak.others)
        if leak.alloc is not None:
            self.expect(f'{leak.at}: born', [place_of(f) for f in group['alloc']['frames'][:1]],
                        [self.marks[leak.alloc]])
        if leak.releases is not None:
            self.expect(f'{leak.at}: releases',
                        [place_of(one['frames'][0]) for one in group['releases']],
                        [self.marks[mark] for mark in leak.releases])
        if leak.size is not None:
            self.expect(f'{leak.at}: bytes', group['bytes'], leak.size)
        self.expect(f'{leak.at}: holds', {one['class']: one['count'] for one in group['holds']},
                    leak.holds or {})
        if leak.confidence and \
                not leak.confidence[0] <= group['confidence'] <= leak.confidence[1]:
            self.wrong.append(f"{leak.at}: confidence {group['confidence']}, expected "
                              f'{leak.confidence[0]} to {leak.confidence[1]}')
        if leak.note not in (evidence['note'] or ''):
            self.wrong.append(f"{leak.at}: note {evidence['note']!r} without {leak.note!r}")
        self.compare_release(leak, group)
        self.compare_ended(leak, group)

    def compare_numbers(self, group):
        """No more can have leaked than were there, nor be surer than certain."""
        for part, whole in re.findall(r'([\d,]+) of ([\d,]+)', group['evidence']['text']):
            if int(part.replace(',', '')) > int(whole.replace(',', '')):
                self.wrong.append(f'{part} of {whole}: {show(group)}')
        if not 0 <= group['confidence'] <= 1:
            self.wrong.append(f'no confidence: {show(group)}')

    def run(self, expected):
        leaks = expected.leaks
        for group in self.groups:
            self.compare_numbers(group)
        known = []
        for leak in leaks:
            group = self.find(leak)
            if group is None:
                continue
            known.append(id(group))
            self.compare_group(leak, group)
        for group in self.groups:
            if group['verdict'] in ACCUSATIONS and id(group) not in known:
                self.wrong.append(f'not expected: {show(group)}')
        for verdict in ('unreleased', 'steady', 'growing'):
            for kind, count in getattr(expected, verdict).items():
                self.expect(f'{verdict} {kind}', sum(
                    group['count'] for group in self.groups
                    if group['class'] == kind and group['verdict'] == verdict), count)
        if self.wrong:
            told = [group for group in self.groups if group['verdict'] in TOLD or
                    (group['class'] != 'heap' and group['count'] > 5)]
            self.wrong += ['the report says: ' + show(group) for group in told[:TOLD_MAX]]
        return self.wrong


def read_report(target, options=()):
    result = subprocess.run([CLI, 'report', '--format', 'json', '--top', '0', *options, target],
                            capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if result.returncode != 0:
        raise Wrong(f'bufleak report {target}: {result.stderr.strip()}')
    return json.loads(result.stdout)


def compare(report, expected, marks, when):
    return [f'{when}: {text}' for text in Comparison(report, marks).run(expected)]


class Run:
    """One program, from its start to its end, and what it left."""

    def __init__(self, program, case, directory):
        self.case = case
        self.marks = marks_of(program)
        self.directory = directory
        environment = {**os.environ, 'LD_PRELOAD': SHIM, 'BUFLEAK_DIR': directory,
                       'BUFLEAK_OPTIONS': 'quiet=1', 'LC_ALL': 'C', **case.environment}
        self.process = subprocess.Popen(
            [os.path.join(PROGRAMS, 'verdict-' + program + case.variant), case.name, str(case.requests),
             str(case.every), str(case.threads)],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, cwd=directory)

    def answer(self):
        """Reports on the running process as often as it asks."""
        wrong = []
        asked = 0
        for line in self.process.stdout:
            if line != b'ask\n':
                raise Wrong(f'the program says {line!r}')
            if asked < len(self.case.asked):
                report = read_report(str(self.process.pid), ('--live', *self.case.options))
                wrong += compare(report, self.case.asked[asked], self.marks, f'asked {asked + 1}')
            asked += 1
            self.process.stdin.write(b'\n')
            self.process.stdin.flush()
        if asked != len(self.case.asked):
            wrong.append(f'the program asked {asked} times, expected {len(self.case.asked)}')
        return wrong

    def finish(self):
        said = self.process.stderr.read().decode(errors='replace')
        status = self.process.wait(timeout=LIMIT_S)
        if status != self.case.status:
            raise Wrong(f'ended with {status}, expected {self.case.status}: {said[-500:]}')
        if said and not self.case.is_loud:
            raise Wrong(f'said on stderr: {said[-500:]}')

    def ledgers(self):
        """Of the process, then of its children in the order of their start."""
        found = []
        for name in os.listdir(self.directory):
            parts = re.fullmatch(r'.*\.(\d+)\.(\d+)\.ledger', name)
            if parts:
                is_child = int(parts[1]) != self.process.pid
                found.append((is_child, int(parts[2]), os.path.join(self.directory, name)))
        return [path for _, _, path in sorted(found)]

    def compare_ends(self):
        ledgers = self.ledgers()
        expected = [self.case, *self.case.children]
        if len(ledgers) != len(expected):
            raise Wrong(f'{len(ledgers)} ledgers, expected {len(expected)}')
        wrong = []
        for number, (ledger, one) in enumerate(zip(ledgers, expected)):
            report = read_report(ledger, self.case.options)
            wrong += compare(report, one, self.marks,
                             f'child {number}' if number else 'at its end')
            wrong += [f'{loss}: {report["losses"][loss]}' for loss in
                      ('buffers_replaced', 'counts_drifted', 'objects_dropped',
                       'references_damaged')
                      if (report['losses'][loss] > 0) != (loss in getattr(one, 'losses', ()))]
            if self.case.check and number == 0:
                self.case.check(report)
        return wrong

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()


def run_case(program, case):
    """What is wrong, as a list of texts."""
    with tempfile.TemporaryDirectory(prefix='bufleak-verdict.') as directory:
        run = None
        try:
            run = Run(program, case, directory)
            wrong = run.answer()
            run.finish()
            return wrong + run.compare_ends()
        except (Wrong, AssertionError, OSError, KeyError, subprocess.SubprocessError) as error:
            return [f'{type(error).__name__}: {error}']
        finally:
            if run:
                run.stop()


def main(program, cases):
    chosen = [case for case in cases if len(sys.argv) < 2 or case.name in sys.argv[1:]]
    failed = 0
    print(f'1..{len(chosen)}')
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = pool.map(lambda case: run_case(program, case), chosen)
        for number, (case, wrong) in enumerate(zip(chosen, outcomes), 1):
            failed += bool(wrong)
            print(f"{'not ok' if wrong else 'ok'} {number} - {case.name}: {case.claim}")
            for text in wrong:
                print(f'# {text}')
                print(f'{case.name}: {text}', file=sys.stderr)  # which is shown once more in the end
            sys.stdout.flush()
    return 1 if failed else 0
