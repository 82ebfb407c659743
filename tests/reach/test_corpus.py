"""Every case under bufleak, valgrind and LeakSanitizer: what is lost, and where they differ, why.

TRUTH says how many blocks no pointer is left to, for who knows the program. bufleak must find what
FOUND says, or else that; LeakSanitizer must not be nearer to the truth; valgrind's answer is
bufleak's, or the case is in DIFFERENCES with the reason. README.md beside this file tells them all.
"""
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import tools

CASES = os.environ['BL_CASES']

TRUTH = {
    'list': 3, 'ring': 3, 'one': 1, 'points-to-itself': 1, 'doubly-linked': 3, 'tree': 511,
    'cycles-that-meet': 4, 'freed-holder': 1, 'freed-big-holder': 1, 'freed-by-realloc': 1,
    'heap-top': 1, 'before-a-free-chunk': 1, 'big-lost': 2, 'aligned': 1, 'unmapped-region': 1,
    'by-closed-plugin': 1, 'ended': 2, 'ended-with-tls': 1, 'other-arena': 3, 'address-info': 3,
    'forgotten-at-exit': 1, 'by-underscore-exit': 3, 'by-quick-exit': 3, 'in-a-forked-child': 3,
    'string-lost': 2, 'shared-pointer': 1, 'aligned-new': 1, 'stale-copy': 1,
    'from-a-littered-stack': 1,
}

# What each case is an example of.
KINDS = {
    'threads': ['by-local', 'by-a-thread', 'four-blocked', 'signals-blocked-by-system-call', 'in-sigwait',
                'in-vfork', 'ended', 'argument-of-thread', 'other-arena', 'in-a-forked-child'],
    'thread-local data': ['by-tls', 'by-tls-of-another', 'by-plugin-tls', 'by-plugin-tls-of-another',
                          'ended-with-tls'],
    'keys': ['low-key', 'high-key', 'low-key-of-another', 'high-key-of-another'],
    'pointers in registers only': ['register-of-a-spinner', 'register-of-a-reader', 'vector-register',
                                   'register-behind-blocked-signals'],
    'in mapped regions': ['by-private-region', 'by-shared-region', 'by-read-only-region', 'by-memfd',
                          'beyond-a-truncated-memfd', 'sparse-region', 'unmapped-region',
                          'dontfork-region'],
    'interior pointers': ['interior', 'big-held', 'one-past-the-end', 'multiple-inheritance'],
    'tagged and hidden pointers': ['tagged-low', 'tagged-high', 'xored', 'packed', 'by-epoll'],
    'cyclic structures': ['ring', 'points-to-itself', 'doubly-linked', 'cycles-that-meet'],
    'dangling pointers': ['freed-holder', 'freed-big-holder', 'freed-by-realloc', 'heap-top',
                          'before-a-free-chunk', 'by-closed-plugin'],
    'stale stacks': ['stale-copy', 'from-a-littered-stack', 'string-lost', 'ended'],
    'stacks elsewhere': ['stack-in-a-block', 'on-alternate-stack', 'alternate-stack-alone',
                         'coroutine-in-a-block', 'coroutine-in-a-region'],
    'ways to end': ['freed-at-exit', 'forgotten-at-exit', 'by-underscore-exit', 'by-quick-exit'],
}

# Where bufleak does not find the truth.
FOUND = {
    'tagged-high': (1, 'the pointer has a tag in its top byte: no pointer, to a conservative marker'),
    'xored': (1, 'the pointer is hidden'),
    'packed': (1, 'the pointer stands at an odd address, which no marker looks at'),
    'by-epoll': (1, 'only the kernel has the pointer'),
    'one-past-the-end': (1, 'a pointer behind a block does not hold it'),
    'stale-copy': (0, 'an old copy in an array that is not filled yet counts as a pointer'),
}

# Where bufleak must not answer, and what it says.
UNKNOWN = {'register-behind-blocked-signals': '1 thread could not be stopped'}

# definitely and indirectly lost, as valgrind has it; it runs all threads on one, knows which memory
# was written, and calls possibly lost what only interior pointers hold.
DIFFERENCES = {
    'stale-copy': 'valgrind knows that the array was not written since',
    'big-lost': 'valgrind takes an unrelated word for a pointer into the 100 MiB: possibly lost',
    'by-read-only-region': 'valgrind looks at memory only that can be written',
    'vector-register': 'valgrind does not look at vector registers of threads',
    'alternate-stack-alone': 'only the kernel has the pointer, and bufleak asks it',
    'environment': "the environment's own array is reached by a pointer into it",
}


def expected(name):
    return FOUND[name][0] if name in FOUND else TRUTH.get(name, 0)


def called_lost(found):
    return [g for report in found.reports for g in report['groups'] if g['reach'] == 'lost']


def check_bufleak(name):
    """Returns what is wrong, and what was found lost."""
    found = tools.Bufleak([CASES, name])
    reaches = found.reaches()
    processes = 2 if name == 'in-a-forked-child' else 1
    if found.status != 0:
        return [f'ended with {found.status}: {found.errors}'], None
    if len(reaches) != processes:
        return [f'{len(reaches)} answers from {processes} processes'], None
    wrong = []
    for reach in reaches:
        graded = sum(reach[k] for k in ('held', 'interior', 'lost', 'lost_indirectly'))
        if name in UNKNOWN:
            if reach['outcome'] != 'failed' or UNKNOWN[name] not in reach['why'] or called_lost(found):
                wrong.append(f'{reach["outcome"]}: {reach["why"]}')
        elif reach['outcome'] != 'done' or reach['method'] != 'clone':
            wrong.append(f'{reach["outcome"]}: {reach["why"]}')
        if reach['child_status'] != 0 or reach['blocks'] != reach['live'] or graded != reach['blocks']:
            wrong.append(f'child status {reach["child_status"]}, {reach["blocks"]} blocks of '
                         f'{reach["live"]}, '
                         f'{graded} graded')
    if name in UNKNOWN:
        return wrong, 0
    lost = sum(tools.lost_by_bufleak(r) for r in reaches)
    if lost != expected(name):
        wrong.append(f'{lost} lost, not {expected(name)}')
    return wrong, lost


def check(name):
    wrong, lost = check_bufleak(name)
    if wrong:
        return name, wrong, ''
    truth = TRUTH.get(name, 0)
    lsan = tools.lost_by_lsan([CASES, name])
    valgrind = tools.lost_by_valgrind([CASES, name])
    if lsan is not None and abs(lsan - truth) < abs(lost - truth):
        wrong.append(f'LeakSanitizer finds {lsan}, which is nearer to {truth} than {lost}')
    # what a stray word in valgrind's own run points into is possibly lost: undecided
    if valgrind is not None and not valgrind[0] <= lost <= sum(valgrind) and name not in DIFFERENCES:
        wrong.append(f'valgrind finds {valgrind[0]} and {valgrind[1]} possibly, not {lost}')
    reason = FOUND.get(name, (0, ''))[1] or DIFFERENCES.get(name, '')
    lost = UNKNOWN.get(name, lost)
    return name, wrong, (f'truth {truth}, bufleak {lost}, LeakSanitizer {lsan}, valgrind {valgrind}'
                         + (f': {reason}' if reason else ''))


def main():
    names = tools.run([CASES], tools.clean_environment()).stdout.split()
    named = set(TRUTH) | set(FOUND) | set(DIFFERENCES) | set(UNKNOWN)
    named = named.union(*KINDS.values())
    with open(os.path.join(os.path.dirname(__file__), 'README.md'), encoding='utf-8') as text:
        told = set(re.findall(r'`([^`]+)`', text.read()))
    unknown = (named - set(names)) | ((set(FOUND) | set(DIFFERENCES) | set(UNKNOWN) | set(KINDS)) - told)
    print(f'TAP version 13\n1..{len(names) + 1}')
    good = not unknown and len(names) >= 50
    print(f'{"ok" if good else "not ok"} 1 - {len(names)} cases {unknown or ""}')
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for number, (name, wrong, note) in enumerate(pool.map(check, names), 2):
            print(f'{"not ok" if wrong else "ok"} {number} - {name}')
            for line in [*wrong, note]:
                print(f'# {line}', flush=True)
            good = good and not wrong
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
