"""Runs a program under bufleak, valgrind and a preloaded LeakSanitizer, and says what each finds lost."""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

SHIM = os.environ['BL_SHIM']
CLI = os.environ['BL_CLI']
LIMIT = 120


def clean_environment(**more):
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(('BUFLEAK_', 'LSAN_', 'ASAN_', 'MALLOC_'))
                   and name != 'LD_PRELOAD'}
    environment.update(more)
    return environment


def run(command, environment, **more):
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors='replace', timeout=LIMIT, check=False, **more)


def report(ledger, *options):
    found = run([CLI, 'report', '--format', 'json', '--top', '0', *options, ledger], clean_environment())
    if found.returncode != 0:
        raise AssertionError(f'report {ledger}: {found.stderr}')
    return json.loads(found.stdout)


class Bufleak:
    """What one run left: exit status, and the report of each process that ended by itself."""

    def __init__(self, command, options='', environment=None, launcher=(), **more):
        with tempfile.TemporaryDirectory(prefix='bufleak-reach.') as directory:
            os.chmod(directory, 0o700)
            settings = clean_environment(
                LD_PRELOAD=SHIM, BUFLEAK_DIR=directory,
                BUFLEAK_OPTIONS='reach=exit:quiet=1' + (':' + options if options else ''))
            settings.update(environment or {})
            done = run([*launcher, *command], settings, **more)
            self.status = done.returncode
            self.output = done.stdout
            self.errors = done.stderr
            self.reports = [report(path) for path in sorted(glob.glob(directory + '/*.ledger'))]

    def reaches(self):
        """Of the processes that ended by exit: replaced ones, and launchers, leave no answer."""
        return [dict(r['reach'], live=sum(c['live_count'] for c in r['classes']
                                          if c['name'] == 'heap')) for r in self.reports
                if r['process']['comm'] not in ('strace', 'unshare', 'setpriv') and r['process']['state'] == 'exited' and not r['process']['replaced_by_exec']
                and 'reach' in r]


def lost_by_bufleak(reach):
    return reach['lost'] + reach['lost_indirectly']


def lost_by_valgrind(command):
    """(definitely and indirectly, possibly) lost blocks; None without the tool."""
    if not shutil.which('valgrind'):
        return None
    with tempfile.TemporaryDirectory(prefix='bufleak-reach.') as directory:
        run(['valgrind', '--leak-check=full', '--trace-children=no',
             f'--log-file={directory}/log.%p', *command], clean_environment())
        sums = {}
        for path in glob.glob(directory + '/log.*'):
            with open(path, encoding='utf-8', errors='replace') as log:
                for kind, count in re.findall(
                        r'(definitely|indirectly|possibly) lost: [\d,]+ bytes in ([\d,]+) blocks',
                        log.read()):
                    sums[kind] = sums.get(kind, 0) + int(count.replace(',', ''))
        if not glob.glob(directory + '/log.*'):
            return None
    return sums.get('definitely', 0) + sums.get('indirectly', 0), sums.get('possibly', 0)


def find_lsan():
    found = sorted(glob.glob('/usr/lib/gcc/x86_64-linux-gnu/*/liblsan.so'))
    return found[-1] if found else None


def lost_by_lsan(command):
    """Lost blocks; None: it is not here, or did not come to an answer (it crashes in some programs)."""
    lsan = find_lsan()
    if not lsan:
        return None
    done = run(command, clean_environment(LD_PRELOAD=lsan, LSAN_OPTIONS='report_objects=0'))
    found = re.search(r'SUMMARY: LeakSanitizer: \d+ byte\(s\) leaked in (\d+) allocation', done.stderr)
    if found:
        return int(found[1])
    crashed = done.returncode < 0 or 'LeakSanitizer has encountered a fatal error' in done.stderr
    return None if crashed else 0


def main(tests):
    """Runs the tests that are named, or all; a test returns why it is skipped. The exit code."""
    chosen = [t for t in tests if len(sys.argv) == 1 or t.__name__ in sys.argv[1:]]
    failed = 0
    print(f'TAP version 13\n1..{len(chosen)}', flush=True)
    for number, test in enumerate(chosen, 1):
        try:
            skipped = test()
            print(f'ok {number} - {test.__doc__.strip()}' + (f' # SKIP {skipped}' if skipped else ''),
                  flush=True)
        except (AssertionError, KeyError, IndexError, OSError, subprocess.TimeoutExpired) as error:
            failed += 1
            print(f'not ok {number} - {test.__doc__.strip()}', flush=True)
            for line in f'{type(error).__name__}: {error}'.splitlines():
                print(f'# {line}', flush=True)
    return 1 if failed else 0
