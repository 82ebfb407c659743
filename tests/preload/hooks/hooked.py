"""Runs programs with every exported function of some libraries hooked.

A claim is a function; its first docstring line says what it claims, and it raises Failed where that
does not hold. Results are TAP on stdout.
"""
import collections
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import traceback

TIMEOUT_S = 60
LIBRARIES = '/usr/lib/x86_64-linux-gnu'
EXECUTABLE = '-'

Hooked = collections.namedtuple('Hooked', 'stdout stderr counts refused')


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


def own_program(name):
    path = os.path.join(os.environ['BL_PROGRAMS'], 'hooks-' + name)
    if not os.path.exists(path):
        raise Skipped(f'{name} was not built: its library is not installed')
    return path


def library(name):
    found = glob.glob(os.path.join(LIBRARIES, name))
    if not found:
        raise Skipped(f'{name} is not installed')
    return found[0]


def exported(path):
    """Names of the functions an object exports, in their default version."""
    listing = subprocess.run(['nm', '-D', '--defined-only', path], capture_output=True, text=True,
                             check=True, timeout=TIMEOUT_S).stdout
    names = set()
    for line in listing.splitlines():
        _, kind, name = line.split(' ', 2)
        bare = name.split('@')[0]
        if kind in 'TWi' and ('@' not in name or '@@' in name) and bare not in ('_init', '_fini'):
            names.add(bare)
    return sorted(names)


def run(command, env=None, **options):
    result = subprocess.run(command, env={**os.environ, 'LC_ALL': 'C', **(env or {})},
                            stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S,
                            check=False, **options)
    expect(result.returncode == 0, f'{" ".join(command)} ended with {result.returncode}: '
                                   f'{result.stderr.decode(errors="replace")[-2000:]}')
    return result


def read_counts(path):
    counts, refused = {}, {}
    with open(path, encoding='utf-8') as lines:
        for line in lines:
            _, name, value = line.rstrip('\n').split(' ', 2)
            if value.startswith('refused '):
                refused[name] = value[len('refused '):]
            else:
                counts[name] = int(value)
    return counts, refused


def run_hooked(command, functions, mode, env=None, **options):
    """functions: pairs of object ("-" the executable) and name."""
    with tempfile.TemporaryDirectory(prefix='bufleak-hooks.') as directory:
        names, out = os.path.join(directory, 'list'), os.path.join(directory, 'out')
        with open(names, 'w', encoding='utf-8') as listing:
            listing.writelines(f'{where} {name}\n' for where, name in functions)
        preload = {'LD_PRELOAD': os.environ['BL_HOOK_ALL'], 'HOOK_ALL_LIST': names,
                   'HOOK_ALL_MODE': mode, 'HOOK_ALL_OUT': out}
        result = run(command, {**(env or {}), **preload}, **options)
        expect(os.path.exists(out), f'{" ".join(command)}: no counts were written: '
                                    f'{result.stderr.decode(errors="replace")}')
        return Hooked(result.stdout, result.stderr, *read_counts(out))


def main(*claims):
    print(f'1..{len(claims)}', flush=True)
    failures = 0
    for number, claim in enumerate(claims, 1):
        name = f'{number} - {claim.__doc__.strip().splitlines()[0].rstrip(".")}'
        try:
            note = claim()
            if note:
                print(f'# {note}')
            print(f'ok {name}', flush=True)
        except Skipped as reason:
            print(f'ok {name} # SKIP {reason}', flush=True)
        except Exception as error:  # pylint: disable=broad-except; any error is a failed claim
            failures += 1
            text = str(error) if isinstance(error, Failed) else traceback.format_exc()
            print(f'not ok {name}', flush=True)
            print(name, *text.splitlines()[:60], sep='\n# ', file=sys.stderr, flush=True)
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit('hooked.py is imported by the tests')
