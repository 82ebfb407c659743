"""What the tests of the command line share: a private ledger directory, a program to track, and
calls of bufleak whose output is given back."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = pathlib.Path(os.environ['BUFLEAK_BUILD'])
CLI = pathlib.Path(os.environ.get('BUFLEAK_CLI', BUILD / 'cli' / 'bufleak'))  # e.g. one with ASan
SHIM = BUILD / 'shim' / 'libbufleak.so'
VICTIM = BUILD / 'tests' / 'cli' / 'cli_victim'
WRITER = BUILD / 'tests' / 'cli' / 'write_ledger'
LIMIT = int(os.environ.get('BUFLEAK_TEST_LIMIT', 300))  # seconds after which anything here is taken to hang


def until(condition, what):
    """Waits for a condition; its true value is the result."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f'{what}: not within {LIMIT} s')


class Victim:
    """The obedient program, with the shim preloaded or started by what `before` says."""

    def __init__(self, env, before=(), program=VICTIM, **more):
        self.process = subprocess.Popen([*before, str(program)], env=env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        bufsize=1, **more)
        first = self.process.stdout.readline().split()
        if not first:
            raise AssertionError(f'the program did not start: {self.process.stderr.read()}')
        self.pid = int(first[1])

    def do(self, order, answer='ok'):
        self.process.stdin.write(order + '\n')
        self.process.stdin.flush()
        line = self.process.stdout.readline().strip()
        while line != answer and not line.startswith(answer + ' '):
            if not line:
                raise AssertionError(f'no answer to {order!r}')
            line = self.process.stdout.readline().strip()
        return line

    def end(self, order=None):
        """Lets it end; returns its exit code and what it wrote on stderr."""
        if order:
            self.process.stdin.write(order + '\n')
        _, errors = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, errors

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                stream.close()
        self.process.wait()


class CliTest(unittest.TestCase):
    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix='bufleak-cli-'))
        self.addCleanup(shutil.rmtree, self.home, True)
        self.ledgers = self.home / 'ledgers'
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith('BUFLEAK_') and k not in ('LD_PRELOAD', 'DEBUGINFOD_URLS', 'COLUMNS')}
        self.env.update(BUFLEAK_DIR=str(self.ledgers), BUFLEAK_SHIM=str(SHIM), LC_ALL='C.UTF-8')

    def bufleak(self, *arguments, code=0, env=None, **more):
        """Runs bufleak; its exit code must be as said, and an error one line."""
        done = subprocess.run([str(CLI), *map(str, arguments)], env=env or self.env, text=True,
                              capture_output=True, timeout=LIMIT, **more)
        self.assertEqual(done.returncode, code, f'{arguments}: {done.stderr}')
        if code in (1, 2):
            self.assertEqual(done.stdout, '')
            lines = done.stderr.splitlines()
            self.assertEqual(len([l for l in lines if l.startswith('bufleak: ')]), len(lines), lines)
            self.assertLessEqual(len(lines), 1 + ('reading' in done.stderr), lines)
        return done

    def refuse(self, expected, *arguments, code=1, **more):
        done = self.bufleak(*arguments, code=code, **more)
        self.assertIn(expected, done.stderr)

    def report(self, *arguments, **more):
        return json.loads(self.bufleak('report', '--format', 'json', *arguments, **more).stdout)

    def victim(self, before=(), preload=True, **more):
        env = dict(self.env)
        if preload:
            env['LD_PRELOAD'] = str(SHIM)
            env.setdefault('BUFLEAK_OPTIONS', 'quiet=1')
        victim = Victim(env, before, **more)
        self.addCleanup(victim.kill)
        return victim

    def group_of(self, report, function):
        """The one group whose innermost own frame is in this function."""
        found = [g for g in report['groups']
                 if any(f['function'] == function for f in g['alloc']['frames'])]
        self.assertEqual(len(found), 1, f'{function}: {len(found)} groups')
        return found[0]


def main():
    unittest.main(verbosity=2, module=sys.modules['__main__'])
