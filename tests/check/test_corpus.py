#!/usr/bin/python3
"""The corpus of verdict cases through check: each that leaks fails with the right identity, the
right verdict and nothing else, each that is clean passes. Results are TAP, a line a case."""
import concurrent.futures
import importlib
import json
import os
import subprocess
import sys
import tempfile

SOURCES = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.path.join(SOURCES, '..', 'verdict')
sys.path.insert(0, CORPUS)
import corpus  # noqa: E402  pylint: disable=wrong-import-position

PROGRAMS = sys.argv[1:]
# What the verdicts need not tell, but is lost: the function that forgets it
LOST = {('glib_values', 'kept_content'): 'request_that_keeps_content',
        ('glib_values', 'long_history'): 'request_with_long_history'}
# What may be lost: GStreamer loses a plugin where it looks for all of them anew, which the others give
# back by gst_deinit; this one ends without it. Where that is called the library loses one itself
MAY_BE_LOST = {('gst', 'state_change'): 'gst_update_registry',
               ('gst', 'early_return_to_end'): 'g_object_new'}


def cases_of(program):
    return importlib.import_module('test_' + program).CASES


def run_check(program, case, home):
    out = os.path.join(home, 'check.json')
    environment = {k: v for k, v in os.environ.items() if not k.startswith(('GITHUB_', 'GITLAB_'))}
    environment.update(BUFLEAK_SHIM=corpus.SHIM, TMPDIR=home, LC_ALL='C', **case.environment)
    done = subprocess.run(
        # of what is clean nothing may even be told as held and never released
        [corpus.CLI, 'check', '--json', out, *([] if expected_leaks(case) else ['--held']), '--',
         os.path.join(corpus.PROGRAMS, 'verdict-' + program), case.name, str(case.requests),
         str(case.every), str(case.threads)],
        env=environment, input='\n' * 64, text=True, capture_output=True, cwd=home,
        timeout=corpus.LIMIT_S)
    with open(out, encoding='utf-8') as file:
        return done, json.load(file)


def expected_leaks(case):
    return [leak for one in (case, *case.children) for leak in one.leaks]


def find(groups, leak, marks):
    """Groups of this leak: class, kind and blamed line, and the function in the identity."""
    file, line = marks[leak.at]
    found = []
    for group in groups:
        frames = group['blame']['frames']
        places = {(os.path.basename(f['file'] or ''), f['line']) for f in frames[:12]}
        if group['class'] == leak.kind and (file, line) in places and group['verdict'] == leak.verdict:
            function = next(f['function'] for f in frames
                            if (os.path.basename(f['file'] or ''), f['line']) == (file, line))
            if function and function in group['key']:
                found.append(group)
    return found


def compare(program, case, done, result):
    marks = corpus.marks_of(program)
    failing = [g for g in result['groups'] if g['fate'] == 'fails']
    leaks = expected_leaks(case)
    wrong = []
    explained = []
    for leak in leaks:
        found = find(failing, leak, marks)
        if not found:
            wrong.append(f'{leak.verdict} of {leak.kind} at {leak.at} is not there')
        explained += [id(g) for g in found]
    # memory of theirs that is lost beside is the same mistake; all else is an accusation
    counted = {leak.kind for leak in leaks}
    lost = LOST.get((program, case.name))
    if lost and not any(lost in group['functions'] for group in failing):
        wrong.append(f'the heap blocks that {lost} loses are not there')
    allowed = {lost, MAY_BE_LOST.get((program, case.name))} - {None}
    for group in failing:
        if allowed & set(group['functions']):
            continue
        if id(group) not in explained and not (leaks and group['class'] == 'heap') and \
                not (group['class'] in counted and group['reach'] == 'lost'):
            wrong.append(f"not expected: {group['verdict']} {group['reach']} {group['key']}")
    code = case.status or (23 if failing else 0)
    if done.returncode != code:
        wrong.append(f'ended with {done.returncode}, expected {code}: {done.stderr[-400:]}')
    if case.status == 0 and (leaks or lost) and done.returncode != 23:
        wrong.append('it leaks and passed')
    return wrong


def run_case(job):
    program, case = job
    with tempfile.TemporaryDirectory(prefix='bufleak-corpus.') as home:
        try:
            return compare(program, case, *run_check(program, case, home))
        except (corpus.Wrong, OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
            return [f'{type(error).__name__}: {error}']


def main():
    jobs = [(program, case) for program in PROGRAMS for case in cases_of(program)
            if not case.options]
    failed = 0
    print(f'1..{len(jobs)}')
    with concurrent.futures.ThreadPoolExecutor(corpus.AT_ONCE) as pool:
        for number, (job, wrong) in enumerate(zip(jobs, pool.map(run_case, jobs)), 1):
            failed += bool(wrong)
            print(f"{'not ok' if wrong else 'ok'} {number} - {job[0]} {job[1].name}: {job[1].claim}")
            for text in wrong:
                print('# ' + text.replace('\n', ' '))
            sys.stdout.flush()
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
