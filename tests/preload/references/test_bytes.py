#!/usr/bin/python3
"""A reference of a real library's buffer that is taken and never given back is named, and its
siblings are not accused."""
import json
import os
import subprocess
import sys
import tempfile

SHIM = os.environ['BL_SHIM']
CLI = os.environ['BL_CLI']
VICTIM = os.environ['BL_VICTIM']
STEALER = os.environ['BL_STEALER']
LIMIT = 60


def run_victim(*command, **variables):
    """Returns (what the victim says, the report on its ledger)."""
    with tempfile.TemporaryDirectory(prefix='bufleak-references.') as directory:
        environment = {**os.environ, 'LD_PRELOAD': SHIM, 'BUFLEAK_DIR': directory,
                       'BUFLEAK_OPTIONS': 'quiet=1', **variables}
        os.chmod(directory, 0o700)
        victim = subprocess.run([str(word) for word in command], timeout=LIMIT, env=environment,
                                capture_output=True, text=True, check=True)
        ledgers = [name for name in os.listdir(directory) if name.endswith('.ledger')]
        assert len(ledgers) == 1, ledgers
        report = subprocess.run([CLI, 'report', '--format', 'json',
                                 os.path.join(directory, ledgers[0])], timeout=LIMIT,
                                capture_output=True, text=True, check=True)
        return json.loads(victim.stdout or '{}'), json.loads(report.stdout)


def of_class(report, name='g-bytes'):
    return [group for group in report['groups'] if group['class'] == name]


def at(frames):
    """(file, line) of the first frame that has one."""
    return next(((os.path.basename(f['file']), f['line']) for f in frames if f['file']), None)


def leaks_are_named(requests, every, threads):
    said, report = run_victim(VICTIM, requests, every, threads)
    groups = of_class(report)
    assert sum(group['count'] for group in groups) == said['forgotten'], groups
    assert sum(group['bytes'] for group in groups) == said['bytes'], groups
    for group in groups:
        assert group['verdict'] == 'missing-release', group['verdict']
        assert group['blame']['op'] == 'retain', group['blame']
        assert at(group['blame']['frames']) == ('victim_bytes.c', said['retain_line']), group
        if every > 1:
            assert at(group['expected_release']['frames']) == \
                ('victim_bytes.c', said['release_line']), group['expected_release']
    table = next(c for c in report['classes'] if c['name'] == 'g-bytes')
    assert table['live_count'] == said['forgotten'], table
    assert table['over_releases'] == 0, table
    assert report['losses']['counts_drifted'] == 0, report['losses']


def a_clean_run_accuses_nobody():
    said, report = run_victim(VICTIM, 20000, 0, 4)
    assert said['forgotten'] == 0
    assert of_class(report) == [], of_class(report)


def content_is_taken(**variables):
    buffers = 20000
    _, report = run_victim(STEALER, buffers, **variables)
    table = next(c for c in report['classes'] if c['name'] == 'g-bytes')
    seen = {key: table[key] for key in ('allocs', 'retains', 'releases', 'live_count',
                                        'over_releases')}
    assert seen == {'allocs': buffers, 'retains': buffers, 'releases': 2 * buffers,
                    'live_count': 0, 'over_releases': 0}, seen
    for loss in ('counts_drifted', 'events_unknown', 'buffers_replaced', 'events_dropped'):
        assert report['losses'][loss] == 0, (loss, report['losses'][loss])


CLAIMS = {
    'a path that always forgets is named, exact to the buffer': lambda: leaks_are_named(5000, 1, 1),
    'one in ten is named, with the release that its siblings have':
        lambda: leaks_are_named(20000, 10, 1),
    'one in a thousand is named, with the release that its siblings have':
        lambda: leaks_are_named(50000, 1000, 1),
    'four threads at once change nothing of it': lambda: leaks_are_named(20000, 100, 4),
    'a clean run accuses nobody': a_clean_run_accuses_nobody,
    'content is taken out by two threads at once, with the last reference or not':
        content_is_taken,
    'the same where each buffer is a block of the heap':
        lambda: content_is_taken(G_SLICE='always-malloc'),
}


def main():
    failed = 0
    print(f'1..{len(CLAIMS)}')
    for number, (claim, check) in enumerate(CLAIMS.items(), 1):
        try:
            check()
            print(f'ok {number} - {claim}')
        except (AssertionError, subprocess.SubprocessError, KeyError, StopIteration) as error:
            failed += 1
            print(f'not ok {number} - {claim}\n# {str(error)[:600]!r}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
