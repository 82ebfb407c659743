#!/usr/bin/python3
"""Verdicts on programs made by chance (generated.py), each against what it says of itself.

A clean program is accused of nothing. Of each bug the acquire is named by its line and its callers,
with the exact number of buffers, nothing that they hold, and no release but one of its own. Two
things alone may be said otherwise, and both with a note that begins with "little evidence" (or,
where it is the birth's reference that is forgotten, says that it may be that one):

- Where two references of a buffer are always taken and given back together, nothing shows which of
  them lacks its release. Then another acquire of the same buffers may be named, if the release that
  is expected is the right one.
- Where no buffer of a path ended well (a bug that always happens, a pool that is kept), one acquire
  or another of the path may be named; of a single bug with the exact number of buffers. The pool
  itself may be called never released: that it is.

Callers of one helper that forget equally often may be one finding, with all their buffers. And of
what was forgotten last, as few may be missing as the report says are in use, a third at most.

With --inlined the functions are compiled into their callers, as an optimizing compiler does: what is
said must not depend on that.

    test_generated.py [--inlined] [SEED | FIRST-LAST]...
"""
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile

from generated import Program

SHIM = os.environ['BL_SHIM']
CLI = os.environ['BL_CLI']
LIBRARY = os.environ['BL_LIBRARY']
PROFILE = os.environ['BL_PROFILE']
SOURCES = os.path.dirname(os.path.abspath(__file__))
CC = os.environ.get('BL_CC', 'cc').split()
LIMIT_S = 100
AT_ONCE = 2
IS_INLINED = '--inlined' in sys.argv[1:]
# Of the first eighty those that are told rightly, of the others something is told with too much
# confidence; and some that once were.
USUAL = ('1-17 19-81 130 151 176 196 199 202 213 216 236 286 312 317 345 407 428 458 460 462 481 498 '
         '525 586 712')
# Not those that always forget two references together: what is said of the second is too sure.
USUAL_INLINED = '1-13 15-17 19-50 53-81 130 151 176 196 286 345 428'
ACCUSATIONS = ('missing-release', 'never-released', 'over-release', 'stale')


def run(program, directory):
    """Returns (what it forgot by use, report)."""
    source = os.path.join(directory, 'program.c')
    binary = os.path.join(directory, 'program')
    with open(source, 'w', encoding='utf-8') as text:
        text.write(program.text())
    subprocess.run([*CC, '-O2' if IS_INLINED else '-O1', '-g', '-fno-optimize-sibling-calls', '-I',
                    os.path.join(SOURCES, 'counted'), '-o', binary, source, LIBRARY,
                    f'-Wl,-rpath,{os.path.dirname(LIBRARY)}', '-pthread'], check=True,
                   timeout=LIMIT_S)
    ledgers = os.path.join(directory, 'ledgers')
    os.mkdir(ledgers, 0o700)
    said = subprocess.run([binary], env={
        **os.environ, 'LD_PRELOAD': SHIM, 'BUFLEAK_DIR': ledgers,
        'BUFLEAK_OPTIONS': f'quiet=1:profiles={PROFILE}'}, check=True, timeout=LIMIT_S,
        capture_output=True, text=True)
    if said.stderr:
        raise AssertionError(said.stderr)
    forgotten = [tuple(map(int, line.split())) for line in said.stdout.splitlines()]
    path = os.path.join(ledgers, os.listdir(ledgers)[0])
    report = subprocess.run([CLI, 'report', '--format', 'json', '--top', '0', path], check=True,
                            timeout=LIMIT_S, capture_output=True, text=True)
    return forgotten, json.loads(report.stdout)


def lines_of(frames):
    return tuple(frame['line'] for frame in frames)


def show(group):
    evidence = group['evidence']
    return (f"{group['verdict']} at {lines_of(group['blame']['frames'])} count {group['count']} "
            f"refs {group['refs']} shared {group['shared']} expected "
            f"{lines_of(group['expected_release']['frames'])} holds "
            f"{[part['count'] for part in group['holds']]}: {evidence['text']} "
            f"[{evidence.get('note')}] conf {group['confidence']:.2f}")


def starts(lines, beginning):
    return lines[:len(beginning)] == beginning


def is_at(group, use):
    return bool(use.taken) and starts(lines_of(group['blame']['frames']), use.taken)


def expected_of(group):
    return lines_of(group['expected_release']['frames'])


def is_expected(group, use):
    return any(starts(expected_of(group), lines) for lines in use.given)


def is_unsure(group):
    return (group['evidence']['note'] or '').startswith('little evidence')


class Judge:
    def __init__(self, program, forgotten, report):
        self.program = program
        self.forgotten = forgotten
        self.accused = [group for group in report['groups'] if group['class'] == 'counted' and
                        group['verdict'] in ACCUSATIONS]
        self.in_use = sum(group['count'] for group in report['groups'] if
                          group['class'] == 'counted' and
                          group['evidence']['text'].startswith('in use'))
        self.wrong = []
        self.merged = []

    def complain(self, text):
        self.wrong.append(text)

    def fits(self, count, buffers):
        """Those in use at the end are not accused yet."""
        return max(buffers - self.in_use, buffers * 2 // 3) <= count <= buffers

    def uses_with(self, use):
        """The uses of the same buffers."""
        for path in self.program.paths:
            if use is path.owner or use in path.uses:
                return [path.owner, *path.uses]
        raise AssertionError(use)

    def is_of_birth(self, group, use):
        """Does the report say that it can be the birth, and is that the use?"""
        return ('unless it is the birth' in (group['evidence']['note'] or '') and
                use is self.uses_with(use)[0])

    def find(self, use):
        """The groups that tell of a use: those at its acquire; or, where the report says that it
        cannot tell which reference it is, those at another acquire of the same buffers, as long as
        the release that they name is the use's."""
        mine = [group for group in self.accused if is_at(group, use)]
        if mine:
            return mine
        return [group for group in self.accused if
                (is_unsure(group) or self.is_of_birth(group, use)) and
                any(is_at(group, other) for other in self.uses_with(use)) and
                (not expected_of(group) or is_expected(group, use))]

    def is_open(self, use):
        """Did no buffer of its path end well, so that only structure can tell?"""
        uses = self.uses_with(use)
        path = next(path for path in self.program.paths if path.owner is uses[0])
        return path.pooled or any(one.every == 1 and one.chance == 100 for one in uses)

    def check_use(self, use, buffers):
        mine = self.find(use)
        if self.is_open(use):
            self.check_open(use, buffers)
            return
        if not mine or not self.fits(sum(group['count'] for group in mine), buffers):
            merged = self.find_merged(use)
            if merged:
                return
        if not mine:
            self.complain(f'nothing is said of use {use.number} ({use.kind}) at {use.taken}')
            return
        for group in mine:
            self.accused.remove(group)
            if group['holds']:
                self.complain(f'use {use.number} holds what it does not')
            if expected_of(group) and not is_expected(group, use) and not is_unsure(group):
                self.complain(f'use {use.number}: a release is expected at {expected_of(group)}')
        if len(mine) > 1:
            self.complain(f'use {use.number} is told {len(mine)} times')
        count = sum(group['count'] for group in mine)
        if not self.fits(count, buffers):
            self.complain(f'use {use.number}: {count} buffers, expected {buffers}')

    def find_merged(self, use):
        """Callers of one helper that forget equally often are one finding."""
        alike = [one for one in self.program.uses if one.taken and one.taken[0] == use.taken[0] and
                 self.forgotten[one.number][0] > 0]
        count = sum(self.forgotten[one.number][0] for one in alike)
        for group in self.accused:
            if len(alike) > 1 and self.fits(group['count'], count) and \
                    any(is_at(group, one) for one in alike):
                self.merged.append(group)
                return group
        return None

    def check_open(self, use, buffers):
        """Each group at an acquire of the path is right, or says that it cannot tell; of a single
        bug the buffers are exact."""
        uses = self.uses_with(use)
        bugs = [one for one in uses if self.forgotten[one.number][0] > 0]
        mine = [group for group in self.accused if any(is_at(group, one) for one in uses)]
        if not mine and use is bugs[0]:
            self.complain(f'nothing is said of use {use.number} ({use.kind}) at {use.taken}')
        for group in mine:
            self.accused.remove(group)
            if not is_unsure(group) and not any(is_at(group, one) or self.is_of_birth(group, one)
                                                for one in bugs):
                self.complain(f'use {use.number} is taken for certain: {show(group)}')
        if len(bugs) == 1 and not self.fits(sum(group['count'] for group in mine), buffers):
            self.complain(f'use {use.number}: not {buffers} buffers')

    def is_true(self, group):
        """A pool was never released, and with nothing to compare it with it may be said so."""
        return (group['verdict'] == 'never-released' and is_unsure(group) and
                lines_of(group['blame']['frames'])[0] == self.program.pool_line and
                group['refs'] == 1)

    def run(self):
        all_accused = [show(group) for group in self.accused]
        for use in self.program.uses:
            buffers = self.forgotten[use.number][0]
            if buffers > 0:
                self.check_use(use, buffers)
        for group in self.accused:
            if group not in self.merged and not self.is_true(group):
                self.complain('not expected: ' + show(group))
        if self.wrong:
            self.wrong += ['the report says: ' + text for text in all_accused]
            self.wrong += [f'use {u.number} {u.kind} taken {u.taken} given {u.given} '
                           f'{u.chance}% x{u.times} every {u.every} forgot '
                           f'{self.forgotten[u.number]}' for u in self.program.uses]
            self.wrong += [f'path {p.number} owner {p.owner.number} pooled {p.pooled} uses '
                           f'{[u.number for u in p.uses]}' for p in self.program.paths]
        return self.wrong


def try_seed(seed):
    program = Program(seed, is_inlined=IS_INLINED)
    with tempfile.TemporaryDirectory(prefix='bufleak-generated.') as directory:
        forgotten, report = run(program, directory)
    return Judge(program, forgotten, report).run()


def try_all(seeds):
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        yield from zip(seeds, pool.map(try_seed, seeds))


def seeds_of(arguments):
    for argument in list(arguments) or (USUAL_INLINED if IS_INLINED else USUAL).split():
        first, _, last = argument.partition('-')
        yield from range(int(first), int(last or first) + 1)


def main():
    seeds = list(seeds_of(one for one in sys.argv[1:] if one != '--inlined'))
    failed = 0
    print(f'1..{len(seeds)}')
    for number, (seed, wrong) in enumerate(try_all(seeds), 1):
        failed += bool(wrong)
        print(f"{'not ok' if wrong else 'ok'} {number} - seed {seed}")
        for text in wrong:
            print(f'# {text}')
            print(f'seed {seed}: {text}', file=sys.stderr)  # which is shown once more in the end
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
