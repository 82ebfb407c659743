"""What the torture and life tests share: victims under the shim, and TAP.

A test program is a list of functions; each makes one claim, its first docstring line, and raises
Failed where the claim does not hold.
"""
import contextlib
import ctypes
import json
import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import ledger

SCALE = float(os.environ.get('BUFLEAK_TEST_SCALE', '1'))
PATIENCE_S = 20  # for what must come; reached only when it does not
libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def expect(condition, text):
    if not condition:
        raise Failed(text)


def expect_equal(found, wanted, what):
    expect(found == wanted, f'{what}: {found!r}, expected {wanted!r}')


def scaled(count):
    return max(1, int(count * SCALE))


def victim(name):
    return os.environ['BL_VICTIMS'] + name


def environment(directory=None, options='', preload=(), after=(), **extra):
    """directory None: without the shim."""
    strip = ('BUFLEAK_DIR', 'BUFLEAK_OPTIONS', 'LD_PRELOAD', 'MALLOC_', 'XDG_RUNTIME_DIR')
    env = {k: v for k, v in os.environ.items() if not k.startswith(strip)}
    if directory is not None:
        env['LD_PRELOAD'] = ':'.join([*preload, os.environ['BL_SHIM'], *after])
        env['BUFLEAK_DIR'] = directory
        env['BUFLEAK_OPTIONS'] = options or 'quiet=1'
    elif preload or after:
        env['LD_PRELOAD'] = ':'.join([*preload, *after])
    env.update(extra)
    return env


@contextlib.contextmanager
def ledger_directory():
    with tempfile.TemporaryDirectory(prefix='bufleak-torture.') as directory:
        yield directory


def run(command, env, timeout=PATIENCE_S, **more):
    options = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
    options.update(more)
    return subprocess.run(command, env=env, text=True, timeout=timeout, check=False, **options)


def wait_until(condition, what, timeout=PATIENCE_S):
    """Polls something that cannot be waited for; returns its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f'waited {timeout} s in vain for {what}')
        time.sleep(0.002)


class Running:
    """A victim that talks: a line at a time on stdout, commands on stdin."""

    def __init__(self, command, env, **options):
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
                                        **options)
        self.pid = self.process.pid
        self.pending = b''

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def line(self):
        """The next line; what there is when stdout ends."""
        while b'\n' not in self.pending:
            ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
            expect(ready, f'victim {self.pid} says nothing more than {self.pending}')
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                break
            self.pending += data
        text, _, self.pending = self.pending.partition(b'\n')
        return text.decode()

    def tell(self, text=''):
        with contextlib.suppress(BrokenPipeError):  # it may have died of what the test did
            self.process.stdin.write(text.encode() + b'\n')

    def end(self):
        """Closes stdin and returns (status, rest of stdout, stderr)."""
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, (self.pending + out).decode(), err.decode()


def the_ledger(directory, pid=None):
    found = [path for path in ledger.find(directory)[0]
             if pid is None or f'.{pid}.' in os.path.basename(path)]
    expect(len(found) == 1, f'one ledger expected, found {found}')
    return found[0]


def descriptors(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


def request_dump(path):
    """As ledger_format.h tells a requester; from one requester at a time."""
    with open(path, 'r+b') as f, mmap.mmap(f.fileno(), 4096) as page:
        def word(name):
            return ctypes.c_uint32.from_buffer(page, ledger.FIELDS[name][0])
        requests, wake, served = word('dump_requests'), word('wake'), word('dump_served')
        requests.value += 1
        wanted = requests.value
        wake.value += 1
        libc.syscall(202, ctypes.byref(wake), 1, 2**31 - 1, None, None, 0)
        wait_until(lambda: served.value == wanted, f'dump {wanted} of {path}')
        error = ledger.read_header(path).snapshot_error
        del requests, wake, served
        return error


def report(target):
    command = [os.environ['BL_CLI'], 'report', '--format', 'json', target]
    result = run(command, environment())
    expect(result.returncode == 0, f'{command} ended with {result.returncode}: {result.stderr}')
    return json.loads(result.stdout)


def is_root():
    return os.geteuid() == 0


def need_root(why):
    if not is_root():
        raise Skipped(f'only root can {why}')


def status_of(result):
    """A status that a person can read: 7, or SIGTERM."""
    code = result if isinstance(result, int) else result.returncode
    return signal.Signals(-code).name if code < 0 else code


def main(tests):
    only = sys.argv[1:]
    tests = [t for t in tests if not only or t.__name__ in only]
    print(f'TAP version 13\n1..{len(tests)}', flush=True)
    failures = 0
    for number, test in enumerate(tests, 1):
        claim = (test.__doc__ or test.__name__).split('\n')[0].rstrip('.').replace('#', '')
        began = time.monotonic()
        try:
            test()
            print(f'ok {number} - {claim}')
        except Skipped as why:
            print(f'ok {number} - {claim} # SKIP {why}')
        except Exception as error:  # pylint: disable=broad-except
            failures += 1
            print(f'not ok {number} - {claim}')
            detail = str(error) if isinstance(error, Failed) else traceback.format_exc()
            for text in detail.splitlines():
                print(f'# {text}')
        print(f'# {test.__name__}: {time.monotonic() - began:.1f} s', flush=True)
    return 1 if failures else 0
