"""Runs programs without the shim and with it, and reads what their ledgers say of references.

A claim is a function; its first docstring line says what it claims, and it raises Failed where that
does not hold. Results are TAP on stdout.
"""
import collections
import glob
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import traceback

SHIM = os.environ['BL_SHIM']
CLI = os.environ['BL_CLI']
TIMEOUT_S = 100
OBJECTS = 8  # section of struct bl_object
OBJECT = struct.Struct('<QQQIIiIIIIIIi')
HAS_FIELD, GHOST = 0x1, 0x4

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'preload', 'torture'))
import ledger  # noqa: E402  pylint: disable=wrong-import-position,import-error

Outcome = collections.namedtuple('Outcome', 'status stdout stderr files')


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def expect(condition, text):
    if not condition:
        raise Failed(text)


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skipped(f'{program} is not installed')


def need_elements(*names):
    need('gst-launch-1.0', 'gst-inspect-1.0')
    for name in names:
        if subprocess.run(['gst-inspect-1.0', '--exists', name], check=False).returncode != 0:
            raise Skipped(f'GStreamer has no element {name} here')


def environment(**extra):
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(('BUFLEAK_', 'LD_PRELOAD', 'MALLOC_', 'GST_', 'G_'))}
    return {**kept, 'LC_ALL': 'C', **extra}


def run_in(directory, command, env):
    done = subprocess.run(command, cwd=directory, env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=TIMEOUT_S, check=False)
    files = {}
    for path in sorted(glob.glob(os.path.join(directory, '**'), recursive=True)):
        if os.path.isfile(path):
            with open(path, 'rb') as content:
                files[os.path.relpath(path, directory)] = hashlib.sha256(content.read()).hexdigest()
    return Outcome(done.returncode, done.stdout, done.stderr, files)


class Tracked:
    """One process's ledger and the report on it."""

    def __init__(self, path):
        report = subprocess.run([CLI, 'report', '--format', 'json', path], capture_output=True,
                                timeout=TIMEOUT_S, check=True)
        self.report = json.loads(report.stdout)
        self.comm = self.report['process']['comm']
        self.losses = self.report['losses']
        self.classes = {c['name']: c for c in self.report['classes']}
        ledger.RECORD_BYTES[OBJECTS] = OBJECT.size
        self.ledger = ledger.Ledger(path)

    def verdicts(self):
        return [g for g in self.report['groups'] if g['verdict'] not in ('unreleased', 'steady')]

    def counts(self):
        """(address, references seen, its own count) of every live buffer that has one."""
        for _, data in self.ledger.chunks(OBJECTS):
            for record in OBJECT.iter_unpack(data or b''):
                word, address, refs, flags, own = (record[0], record[1], record[5], record[11],
                                                   record[12])
                if word & 1 and flags & HAS_FIELD and not flags & GHOST:
                    yield address, refs, own

    def check(self, unknown=0):
        """Drift is 0, at the end and for each live buffer. Returns how many were compared."""
        where = f'{self.comm}: {({n: v for n, v in self.losses.items() if v})}'
        expect(self.losses['counts_drifted'] == 0, f'counts drifted: {where}')
        expect(self.losses['events_unknown'] <= unknown, f'events of unknown buffers: {where}')
        off = [entry for entry in self.counts() if entry[1] != entry[2]]
        expect(not off, f'{len(off)} live buffers have another count than seen: {off[:5]} {where}')
        return sum(1 for _ in self.counts())

    def check_nobody_accused(self):
        told = [(g['verdict'], g['class'], g['count'], g['evidence']['text'],
                 [f['function'] or f['module'] for f in g['blame']['frames'][:4]])
                for g in self.verdicts()]
        expect(not told, f'{self.comm}: {told}')


def ledgers_in(directory, comm):
    found = [Tracked(path) for path in sorted(glob.glob(os.path.join(directory, '*.ledger')))]
    wanted = [tracked for tracked in found if tracked.comm == comm]
    expect(wanted, f'no ledger of {comm}, but of {[t.comm for t in found]}')
    return wanted


def tracked_environment(directory, options='quiet=1'):
    return environment(LD_PRELOAD=SHIM, BUFLEAK_DIR=directory, BUFLEAK_OPTIONS=options)


def compare(command, comm=None, before=None, status=0):
    """Runs it both ways in empty directories; everything must be the same. Returns its ledgers."""
    outcomes = []
    with tempfile.TemporaryDirectory(prefix='bufleak-pipelines.') as top:
        places = {name: os.path.join(top, name) for name in ('plain', 'tracked', 'ledgers')}
        for place in places.values():
            os.mkdir(place, 0o700)
        for name in ('plain', 'tracked'):
            if before:
                before(places[name])
            env = tracked_environment(places['ledgers']) if name == 'tracked' else environment()
            outcomes.append(run_in(places[name], command, env))
        plain, tracked = outcomes
        expect(plain.status == status, f'{command[0]} ended with {plain.status}: '
                                       f'{plain.stderr.decode(errors="replace")[-800:]}')
        for field in Outcome._fields:
            expect(getattr(plain, field) == getattr(tracked, field),
                   f'{field} differs: {getattr(plain, field)!r:.300} and '
                   f'{getattr(tracked, field)!r:.300}')
        return ledgers_in(places['ledgers'], (comm or os.path.basename(command[0]))[:15])


def main(*claims):
    print(f'1..{len(claims)}', flush=True)
    failures = 0
    for number, claim in enumerate(claims, 1):
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
            print(name, *text.splitlines()[:40], sep='\n# ', file=sys.stderr, flush=True)
    return 1 if failures else 0
