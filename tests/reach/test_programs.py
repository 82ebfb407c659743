"""Programs as they are installed: what is lost at their end, beside valgrind.

Both find the same in all of them; LeakSanitizer, preloaded, crashes in git, sqlite3 and perl, and
takes old pointers on nginx's stack for its blocks.
"""
import shutil
import sys

import tools

PROGRAMS = [
    ['git', '--version'], ['curl', '--version'], ['/usr/bin/python3', '-c', 'print(1)'],
    ['sqlite3', ':memory:', 'select 1'], ['ls', '-l', '/'], ['bash', '-c', 'true'],
    ['openssl', 'version'], ['perl', '-e', 'print 1'], ['nginx', '-t'],
]


def check(command):
    """Returns what is wrong, and what was found."""
    found = tools.Bufleak(command)
    reaches = found.reaches()
    if len(reaches) != 1 or reaches[0]['outcome'] != 'done' or reaches[0]['child_status'] != 0:
        return f'{len(reaches)} answers: {reaches}', ''
    if reaches[0]['blocks'] != reaches[0]['live']:
        return f'{reaches[0]["blocks"]} blocks of {reaches[0]["live"]}', ''
    lost = tools.lost_by_bufleak(reaches[0])
    valgrind = tools.lost_by_valgrind(command)
    note = f'{lost} lost of {reaches[0]["blocks"]}, valgrind {valgrind}'
    return f'not as valgrind: {note}' if valgrind and valgrind[0] != lost else '', note


def main():
    programs = [p for p in PROGRAMS if shutil.which(p[0])]
    failed = len(programs) < 4
    print(f'TAP version 13\n1..{len(programs)}')
    for number, command in enumerate(programs, 1):
        wrong, note = check(command)
        failed = failed or bool(wrong)
        print(f'{"not ok" if wrong else "ok"} {number} - {" ".join(command)}\n# {wrong or note}',
              flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
