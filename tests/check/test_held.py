#!/usr/bin/python3
"""What check says of leaks that could be told twice, or in two ways that exclude each other."""
import json
import os
import subprocess
import sys
import tempfile
import traceback

CLI = os.environ['BL_CLI']
PROFILE = '''class counted
    library libcounted.so*
    count   field:0:4
    alloc   counted_new    handle=result size=arg1:4
    retain  counted_ref
    release counted_unref
'''
FORGOTTEN = 40


def check(victim, *words):
    """(the groups by class, what is said)"""
    with tempfile.TemporaryDirectory(prefix='bufleak-held.') as home:
        out = os.path.join(home, 'check.json')
        profile = os.path.join(home, 'held.profile')
        with open(profile, 'w', encoding='utf-8') as file:
            file.write(PROFILE)
        environment = {k: v for k, v in os.environ.items()
                       if not k.startswith(('GITHUB_', 'GITLAB_'))}
        environment.update(BUFLEAK_SHIM=os.environ['BL_SHIM'], TMPDIR=home, LC_ALL='C')
        done = subprocess.run([CLI, 'check', '--json', out, '--profiles', 'auto,' + profile, '--',
                               os.environ[victim], *words], env=environment, text=True,
                              capture_output=True, cwd=home, timeout=60, check=False)
        assert done.returncode == 23, (done.returncode, done.stdout, done.stderr)
        with open(out, encoding='utf-8') as file:
            report = json.load(file)
    groups = {}
    for group in report['groups']:
        assert group['class'] not in groups, report['groups']
        groups[group['class']] = group
    return groups, done.stdout + done.stderr


def some_are_lost_and_some_held():
    """of buffers of one place, some lost and some held, both are told with their numbers"""
    groups, said = check('BL_VICTIM', 'mixed')
    group = groups['counted']
    lost, held = group['lost_count'], group['held_count']
    assert group['count'] == FORGOTTEN == lost + held, group
    assert held in (FORGOTTEN // 2, FORGOTTEN // 2 + 1), group
    assert f'and nothing leads to {lost} of them any more' in said, said
    assert f'({held} of them) ' in said and 'kept' in group['held_by'], said


def what_is_accused_is_not_lost_with_others():
    """a buffer that is accused is not counted once more with the block that leads to it"""
    groups, said = check('BL_VICTIM', 'within')
    assert groups['counted']['count'] == FORGOTTEN, groups
    assert groups['heap']['count'] in (FORGOTTEN - 1, FORGOTTEN), groups
    assert groups['heap']['indirect_count'] == 0, groups['heap']
    assert groups['heap']['indirect_bytes'] == 0, groups['heap']
    assert 'lost with them' not in said, said


def parts_are_counted_once():
    """what leaked buffers of several tests hold is counted as held, and not with them"""
    groups, _ = check('BL_PARTS')
    group = groups['bufferevent']
    assert 'evbuffer' not in groups, groups
    assert group['count'] == FORGOTTEN and group['indirect_count'] == 2 * FORGOTTEN, group
    shares = {share['test']: share['count'] for share in group['shares']}
    assert shares == {'first': FORGOTTEN // 2, 'second': FORGOTTEN // 2}, group


def main():
    failed = 0
    claims = [some_are_lost_and_some_held, what_is_accused_is_not_lost_with_others,
              *([parts_are_counted_once] if 'BL_PARTS' in os.environ else [])]
    print(f'1..{len(claims)}')
    for number, claim in enumerate(claims, 1):
        try:
            claim()
            print(f'ok {number} - {claim.__doc__}')
        except Exception:  # pylint: disable=broad-except
            failed += 1
            traceback.print_exc()
            print(f'not ok {number} - {claim.__doc__}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
