"""Runs victims under the shim and compares what they say with what the report says.

A test program is a list of functions; each makes one claim, its first docstring line, and raises
Failed where the claim does not hold. Results are TAP on stdout.
"""
import collections
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import traceback

VICTIM_TIMEOUT_S = 120

# Losses that would make a figure inexact. The others (truncated or unrooted stacks of some other
# library's, blocks of before the start) do not concern blocks that the victims make.
FORBIDDEN_LOSSES = (
    'events_reentrant', 'buffers_no_memory', 'buffers_no_space', 'buffers_replaced',
    'stacks_dropped', 'modules_dropped', 'names_dropped', 'threads_dropped', 'arena_failures',
    'frees_unknown',
    'ledger_private_bytes', 'ledger_no_file', 'capture_busy',
)

Book = collections.namedtuple('Book', 'count least most')


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def expect(condition, text):
    if not condition:
        raise Failed(text)


def environment(**extra):
    names = ('BUFLEAK_', 'LD_PRELOAD', 'MALLOC_', 'GLIBC_TUNABLES')
    kept = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    kept.update(extra)
    return kept


def shim_environment(directory, beside=()):
    """beside: further libraries to preload, after the shim."""
    return environment(LD_PRELOAD=':'.join([os.environ['BL_SHIM'], *beside]),
                       BUFLEAK_DIR=directory, BUFLEAK_OPTIONS='quiet=1')


def run(command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=VICTIM_TIMEOUT_S, check=False, **options)


def the_ledger(directory):
    ledgers = glob.glob(os.path.join(directory, '*.ledger'))
    expect(len(ledgers) == 1, f'one ledger expected, found {ledgers}')
    return ledgers[0]


def report(ledger, group):
    """The JSON report of all that is in the ledger."""
    command = [os.environ['BL_CLI'], 'report', '--format', 'json', '--group', group, ledger]
    result = run(command, env=environment(LC_ALL='C.UTF-8'))
    expect(result.returncode == 0, f'{" ".join(command)} ended with {result.returncode}: '
                                   f'{result.stderr}')
    return json.loads(result.stdout)


class Visit:
    """One run of a victim under the shim: what it expects, and the reports of its ledger."""

    def __init__(self, command, beside=()):
        with tempfile.TemporaryDirectory(prefix='bufleak-exact.') as directory:
            victim = run(command, env=shim_environment(directory, beside))
            expect(victim.returncode == 0, f'{command[0]} ended with {victim.returncode}: '
                                           f'{victim.stdout[:200]}{victim.stderr}')
            expect(victim.stderr == '', f'{command[0]} wrote to stderr: {victim.stderr}')
            self.expected = json.loads(victim.stdout)
            ledger = the_ledger(directory)
            self.by_stack = report(ledger, 'stack')
            self.by_site = report(ledger, 'site')
        self.check_losses()

    def check_losses(self):
        losses = self.by_stack['losses']
        bad = {name: losses[name] for name in FORBIDDEN_LOSSES if losses.get(name)}
        expect(not bad, f'losses that make the figures inexact: {bad}')


def is_function(reported, wanted):
    """The report may show a C++ name whole: scope, template arguments, parameters."""
    if reported is None:
        return False
    return re.match(r'(?:.*::)?' + re.escape(wanted) + r'(?:\[abi:\w+\])?(?:\(.*)?$',
                    reported) is not None


def base(path):
    return os.path.basename(path) if path else None


def own_frame(group, files):
    """The innermost frame in the victim's own source, which is the site of the allocation."""
    for frame in group['alloc']['frames']:
        if base(frame['file']) in files:
            return frame
    return None


def bare_name(function):
    """by_new for "(anonymous namespace)::by_new(unsigned long)"."""
    text = re.sub(r'\(anonymous namespace\)::', '', function or '?')
    return text.split('(')[0].split('::')[-1]


def books_of(groups, files):
    """Sums the groups by the victim's own frame: (function, file, line) -> Book."""
    books = {}
    for group in groups:
        frame = own_frame(group, files)
        if frame is None:
            continue
        place = (bare_name(frame['function']), base(frame['file']), frame['line'])
        had = books.get(place, Book(0, 0, 0))
        books[place] = Book(had.count + group['count'], had.least + group['bytes'],
                            had.most + group['bytes'])
    return books


def expected_books(sites):
    return {(s['function'], s['file'], s['line']): Book(s['count'], s['bytes'], s['bytes_most'])
            for s in sites if s['count'] > 0}


def show_place(place):
    return f'{place[0]} {place[1]}:{place[2]}'


def compare(groups, sites):
    """Every site exact, and nothing else reported from the functions that hold the sites."""
    wanted = expected_books(sites)
    functions = {site['function'] for site in sites}
    found = books_of(groups, {site['file'] for site in sites})
    problems = []
    for place, book in wanted.items():
        got = found.get(place)
        if got is None:
            problems.append(f'{show_place(place)}: not reported, expected {book.count} blocks')
        elif got.count != book.count or not book.least <= got.least <= book.most:
            problems.append(f'{show_place(place)}: reported {got.count} blocks, {got.least} bytes; '
                            f'expected {book.count} blocks, {book.least}–{book.most} bytes')
    for place, got in found.items():
        if place not in wanted and place[0] in functions:
            problems.append(f'{show_place(place)}: reported {got.count} blocks, {got.least} bytes; '
                            'all were released or none made')
    expect(not problems, '\n'.join(problems))


def main(*claims):
    """Runs the claims and reports them as TAP. Returns the exit status."""
    print(f'1..{len(claims)}', flush=True)
    failures = 0
    for number, claim in enumerate(claims, 1):
        # What the claim says, in words.
        name = f'{number} - {claim.__doc__.strip().splitlines()[0].rstrip(".")}'
        try:
            claim()
            print(f'ok {name}', flush=True)
        except Skipped as reason:
            print(f'ok {name} # SKIP {reason}', flush=True)
        except Exception as error:  # pylint: disable=broad-except; any error is a failed claim
            failures += 1
            text = str(error) if isinstance(error, Failed) else traceback.format_exc()
            print(f'not ok {name}', flush=True)
            # meson shows what a TAP program writes to stderr.
            print(name, *text.splitlines()[:60], sep='\n# ', file=sys.stderr, flush=True)
    return 1 if failures else 0


def victim(name):
    return os.path.join(os.environ['BL_VICTIMS'], name)


if __name__ == '__main__':
    sys.exit('harness.py is imported by the tests')
