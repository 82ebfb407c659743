#!/usr/bin/python3
"""A release that a callback ends with is not said to be its caller's own.

Results are TAP on stdout, one line a claim.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

from corpus import CLI, PROGRAMS, SHIM, marks_of, place_of

LIMIT_S = 100
REQUESTS = 900
WORDS = 'called: to the release itself, or to a callback that ends by jumping to it'


def reports(program, case):
    """As JSON and as text, of one run."""
    with tempfile.TemporaryDirectory(prefix='bufleak-tail.') as directory:
        env = {k: v for k, v in os.environ.items() if not k.startswith(('BUFLEAK', 'LD_'))}
        env.update(LD_PRELOAD=SHIM, BUFLEAK_DIR=directory, BUFLEAK_OPTIONS='quiet=1')
        subprocess.run([os.path.join(PROGRAMS, program), case, str(REQUESTS)], env=env, check=True,
                       timeout=LIMIT_S)
        [ledger] = glob.glob(os.path.join(directory, '*.ledger'))
        return [subprocess.run([CLI, 'report', *words, ledger], check=True, timeout=LIMIT_S,
                               capture_output=True, text=True).stdout
                for words in (('--format', 'json'), ())]


def expect(program, case, place, by_pointer):
    report, text = reports(program, case)
    marks = marks_of('tail')
    found = [g for g in json.loads(report)['groups']
             if g['class'] == 'g-bytes' and g['verdict'] == 'missing-release']
    places = [(g['count'], place_of(g['blame']['frames'][0])) for g in found]
    assert places == [(REQUESTS // 3, marks['retain'])], places
    expected = found[0]['expected_release']
    assert expected['by_pointer'] == by_pointer, expected['frames'][0]
    assert place_of(expected['frames'][0]) == marks[place], expected['frames'][0]
    flat = ' '.join(text.split())
    assert (WORDS in flat) == by_pointer, text
    if by_pointer:
        assert 'libglib-2.0' in flat.split(WORDS)[0].rsplit('through a pointer that', 1)[1], text


def whole():
    """A callback with a frame of its own is the place, and nothing is said of pointers."""
    expect('verdict-tail-whole', 'callback', 'done', False)


def jumping():
    """One that ends by jumping to the release: the call through a pointer is told."""
    expect('verdict-tail', 'callback', 'loop', True)


def itself():
    """So it is where the release itself is the callback, which looks the same."""
    expect('verdict-tail', 'release', 'loop', True)


def main():
    claims = (whole, jumping, itself)
    failed = 0
    print(f'1..{len(claims)}')
    for number, claim in enumerate(claims, 1):
        try:
            claim()
            print(f'ok {number} - {claim.__doc__}')
        except Exception as error:  # pylint: disable=broad-except; any error is a failed claim
            failed += 1
            print(f'not ok {number} - {claim.__doc__}')
            print(f'{claim.__name__}: {error!r}'[:1000], file=sys.stderr)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
