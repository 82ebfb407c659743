#!/usr/bin/python3
"""Commands as they are installed, under check, beside valgrind and LeakSanitizer.

A command passes, or fails only for leaks that one of the two others finds at the same place; what
valgrind finds lost and check does not is in DIFFERENCES with the reason, and in README.md. Every
command runs under check; beside the others when there is time (BL_TEST_LONG=1), when it is one of
those that are always asked, and whenever it fails. Results are TAP, a line a command.
"""
import collections
import concurrent.futures
import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

import table

SHIM = os.environ['BL_SHIM']
CLI = os.environ['BL_CLI']
LONG = os.environ.get('BL_TEST_LONG') == '1'
LIMIT = 300
AT_ONCE = 2
PAGE = 0xfff

# What valgrind finds lost and check does not: pattern of command lines, of "module:function" of one of
# the innermost frames, why. README.md tells them.
DIFFERENCES = [
    ('^(mktemp|pr) ', '^(mktemp|pr):', 'an old copy in the frame that exit runs its handlers in'),
]


class Leak(collections.namedtuple('Leak', 'count indirect frames fate kind', defaults=['heap'])):
    """Blocks lost at one place, and those lost with them as check folds them; (module, function, the
    return address within its page) from the innermost frame that is not the tool's. kind: class;
    what is none of the heap's is told from the caller of its library on."""

    @property
    def place(self):
        return self.frames[0] if self.frames else ('', None, 0)

    def __str__(self):
        where = ' < '.join(f'{f or "?"}@{m}' for m, f, _ in self.frames[:4])
        more = f' and {self.indirect} with them' if self.indirect else ''
        return f'{self.count}{more} at {where}' + (f' ({self.fate})' if self.fate else '')


def environment(here, **more):
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(('BUFLEAK_', 'LSAN_', 'ASAN_', 'MALLOC_', 'GIT', 'BL_'))
            and name not in ('LD_PRELOAD', 'GITHUB_ACTIONS', 'DEBUGINFOD_URLS', 'XDG_CACHE_HOME')}
    # as check does it for what it runs: a slab of GLib's allocator is one block to all of them
    kept.update(LC_ALL='C.UTF-8', G_SLICE='always-malloc', HOME=f'{here}/home', GIT_CONFIG_NOSYSTEM='1', **more)
    return kept


def run(words, command, here, **more):
    return subprocess.run(words, cwd=here, env=environment(here, **more), input=command.input or 'some input\n',
                          capture_output=True, text=True, errors='replace', timeout=LIMIT, check=False)


# ---- the three tools ----

def by_check(words, command, here):
    out = here / 'bufleak.json'
    done = run([CLI, 'check', '--json', str(out), '--processes', '*', '--', *words], command, here,
               BUFLEAK_SHIM=SHIM, TMPDIR=str(here))
    if not out.exists():
        raise AssertionError(f'check ended with {done.returncode}: {done.stderr[-400:]}')
    result = json.loads(out.read_text())
    leaks = []
    for group in result['groups']:
        frames = tuple((os.path.basename(f['module'] or ''), f['function'], f['offset'] & PAGE)
                       for f in group['blame']['frames'])
        leaks.append(Leak(group['count'], group['indirect_count'], frames, group['fate'], group['class']))
    return done, result, leaks


def frames_of_valgrind(error):
    stack = error.find('stack')
    frames = [(os.path.basename(f.findtext('obj') or ''), f.findtext('fn'), int(f.findtext('ip'), 16) + 1 & PAGE)
              for f in stack.findall('frame')]
    return tuple(f for f in frames if not f[0].startswith('vgpreload'))


def by_valgrind(words, command, here):
    """Leaks, or None where the tool is not here."""
    if not shutil.which('valgrind'):
        return None
    run(['valgrind', '--leak-check=full', '--show-leak-kinds=definite,indirect', '--num-callers=30', '--xml=yes',
         '--trace-children=yes', '--child-silent-after-fork=no', f'--xml-file={here}/valgrind.%p.xml', *words],
        command, here)
    leaks = []
    for path in glob.glob(f'{here}/valgrind.*.xml'):
        try:
            root = xml.etree.ElementTree.parse(path).getroot()
        except xml.etree.ElementTree.ParseError:
            continue  # of a process that was replaced by exec
        for error in root.findall('error'):
            if error.findtext('kind') in ('Leak_DefinitelyLost', 'Leak_IndirectlyLost'):
                blocks = int(error.find('xwhat').findtext('leakedblocks'))
                leaks.append(Leak(blocks, 0, frames_of_valgrind(error), ''))
    return leaks


def by_lsan(words, command, here):
    """Leaks, or None: it is not here, or did not come to an answer (it crashes in some programs)."""
    found = sorted(glob.glob('/usr/lib/gcc/x86_64-linux-gnu/*/liblsan.so'))
    if not found:
        return None
    done = run(words, command, here, LD_PRELOAD=found[-1], LSAN_OPTIONS='report_objects=0')
    if done.returncode < 0 or 'encountered a fatal error' in done.stderr:
        return None
    leaks = []
    for text in re.split(r'\n(?=(?:Direct|Indirect) leak of )', done.stderr)[1:]:
        frames = tuple((os.path.basename(module), name if name and name[0] != '<' else None, int(offset, 16) + 1 & PAGE)
                       for name, module, offset in re.findall(
                           r'^ +#\d+ 0x[0-9a-f]+ +(?:in (.+?) )?(?:\S+:\d+(?::\d+)? )?'
                           r'\(([^+)]+)\+0x([0-9a-f]+)\)', text, re.M))
        frames = tuple(f for f in frames if not f[0].startswith('liblsan'))
        leaks.append(Leak(int(re.search(r'in (\d+) object', text)[1]), 0, frames, ''))
    return leaks


# ---- what differs ----

def is_same(one, other):
    """The same place: one module, and one function, or address where a tool does not know it."""
    if one[0] != other[0]:
        return False
    if one[1] and other[1]:  # of several names of one function each takes another
        return one[1].lstrip('_') == other[1].lstrip('_')
    return one[2] == other[2]


def has(leaks, leak):
    """Of what is lost in a circle any may be told as the one that holds the others, an object of a
    profile's class for one: the other tools know it as a block of the library."""
    return any(is_same(leak.place, frame) for other in leaks or ()
               for frame in (other.frames[:1] if leak.kind == 'heap' else other.frames))


def reason(command, leak):
    frames = [f'{module}:{function}' for module, function, _ in leak.frames[:6]]
    return next((why for line, place, why in DIFFERENCES if re.search(line, command.line)
                 and any(re.search(place, frame) for frame in frames)), None)


def differences(command, leaks, valgrind, lsan):
    """What no reason is known for, and notes."""
    wrong = []
    notes = []
    for leak in leaks:
        by = [name for name, others in (('valgrind', valgrind), ('LeakSanitizer', lsan)) if has(others, leak)]
        notes.append(f'{leak}: {"found by " + " and ".join(by) if by else "found by no other"}')
        if leak.fate == 'fails' and not by:
            wrong.append(f'only check calls lost: {leak}')
    failing = sum(leak.count + leak.indirect for leak in leaks if leak.fate == 'fails')
    most = max((sum(leak.count for leak in found) for found in (valgrind, lsan) if found), default=0)
    if failing > most and not command.varies:
        wrong.append(f'{failing} blocks fail, and another tool finds {most} at most')
    missed = [leak for leak in valgrind or () if not has(leaks, leak)]
    unexplained = [leak for leak in missed if not reason(command, leak)]
    # check tells what is lost with others by its leader only
    if sum(leak.count for leak in unexplained) > sum(leak.indirect for leak in leaks):
        wrong += [f'only valgrind calls lost: {leak}' for leak in unexplained]
    notes += [f'only valgrind calls lost: {leak}: {reason(command, leak) or "it is lost with others"}'
              for leak in missed]
    for leak in lsan or ():
        if not has(leaks, leak):
            notes.append(f'only LeakSanitizer calls lost: {leak}')
    return wrong, notes


def try_one(command, template, home, url, number):
    def fresh(tool):
        here = home / f'{number}-{tool}'
        return table.words_of(command, table.place(template, here, url)), here

    words, here = fresh('check')
    done, result, leaks = by_check(words, command, here)
    failing = [leak for leak in leaks if leak.fate == 'fails']
    wrong = []
    if result['command_code'] != command.status:
        wrong.append(f'the command ended with {result["command_code"]}: {done.stderr[-300:]}')
    code = command.status or (23 if failing else 0)
    if done.returncode != code:
        wrong.append(f'check ended with {done.returncode}, not {code}: {result["summary"]}')
    if any(p['unknown'] for p in result['processes']) or not any(p['judged'] for p in result['processes']):
        wrong.append(f'not all was judged: {result["summary"]}')
    notes = []
    if LONG or command.is_asked or failing:
        words, here = fresh('valgrind')
        valgrind = by_valgrind(words, command, here)
        lsan = None
        if LONG or valgrind is None or any(not has(valgrind, leak) for leak in failing):
            words, here = fresh('lsan')
            lsan = by_lsan(words, command, here)
        more, notes = differences(command, leaks, valgrind, lsan)
        wrong += more
        told = {'check': [l for l in leaks if l.fate != 'noted'], 'valgrind': valgrind, 'LeakSanitizer': lsan}
        notes.insert(0, 'lost: ' + ', '.join(f'{tool} {sum(l.count + l.indirect for l in found)}'
                                             for tool, found in told.items() if found is not None))
    for tool in ('check', 'valgrind', 'lsan'):
        shutil.rmtree(home / f'{number}-{tool}', ignore_errors=True)
    return wrong, notes


def main():
    chosen = [c for c in table.COMMANDS if shutil.which(c.program)
              and (len(sys.argv) == 1 or any(re.search(p, c.line) for p in sys.argv[1:]))]
    failed = 0
    print(f'TAP version 13\n1..{len(chosen)}', flush=True)
    with tempfile.TemporaryDirectory(prefix='bufleak-commands.') as home, table.served() as url, \
            table.template(home) as template, concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(try_one, command, template, pathlib.Path(home), url, number)
                for number, command in enumerate(chosen, 1)]
        for number, (command, job) in enumerate(zip(chosen, jobs), 1):
            try:
                wrong, notes = job.result()
            except (AssertionError, OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
                wrong, notes = [f'{type(error).__name__}: {error}'], []
            failed += bool(wrong)
            print(f'{"not ok" if wrong else "ok"} {number} - {command.line}')
            for text in wrong + notes:
                print('# ' + text.replace('\n', ' '))
            sys.stdout.flush()
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
