#!/usr/bin/python3
"""A profile file that is wrong or not there: the program runs on with the others, and it is told once
on stderr, in the report and by `profiles explain`."""
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile

import tracked

VICTIM = os.environ['BL_VICTIM']
PROFILE = os.environ['BL_PROFILE']
REQUESTS = 20
NOBODY = 65534
with open(PROFILE, encoding='utf-8') as whole:
    GOOD = whole.read()
LINES = len(GOOD.splitlines())


class Run:
    """What a program said, and its ledgers by its name; ask: what is asked of each of these."""

    def __init__(self, profiles, command=None, quiet=0, user=None,
                 ask=(('profiles', 'explain', '--format', 'json'),)):
        with tempfile.TemporaryDirectory(prefix='bufleak-files.') as directory:
            os.chmod(directory, 0o700)
            if user is not None:
                os.chown(directory, user, user)
            env = {k: v for k, v in os.environ.items() if not k.startswith(('BUFLEAK', 'LD_'))}
            env.update(LD_PRELOAD=tracked.SHIM, BUFLEAK_DIR=directory,
                       BUFLEAK_OPTIONS=f'quiet={quiet}:profiles=auto,{profiles}')
            done = subprocess.run(command or [VICTIM, 'clean', str(REQUESTS), '1'], env=env,
                                  capture_output=True, text=True, timeout=tracked.LIMIT,
                                  user=user, group=user, check=False)
            assert done.returncode == 0, done
            self.stdout = done.stdout
            self.stderr = done.stderr
            self.said = [line for line in done.stderr.splitlines() if ': profile ' in line]
            self.ledgers = {name.split('.')[0]: [tracked.cli(*words, os.path.join(directory, name))
                                                 for words in ask]
                            for name in os.listdir(directory)}

    def only(self):
        assert len(self.ledgers) == 1, self.ledgers.keys()
        return next(iter(self.ledgers.values()))


REPORT = ('report', '--format', 'json')
EVERYTHING = (REPORT, ('report',), ('profiles', 'explain'),
              ('profiles', 'explain', '--format', 'json'))


@contextlib.contextmanager
def scratch(text=None, name='x.profile'):
    """The path of a file in a directory of its own; text None: it is not made."""
    with tempfile.TemporaryDirectory(prefix='bufleak-profile.') as directory:
        os.chmod(directory, 0o755)
        path = os.path.join(directory, name)
        if text is not None:
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
        yield path


def expect_told(path, why, line=None, column=None, mistakes=1, user=None):
    """By the one line on stderr, and by all that reads the ledger, in which nothing else is amiss."""
    run = Run(path, user=user, ask=EVERYTHING)
    place = f':{line}:{column}' if line else ''
    more = f'; and {mistakes - 1} more mistake{"s" * (mistakes > 2)}' if mistakes > 1 else ''
    end = 'what has a mistake is left out' if line else 'it is not applied'
    assert len(run.said) == 1, run.stderr
    assert re.fullmatch(
        rf'bufleak: [a-z_]+\[\d+\]: profile {re.escape(path)}{place}: {why}{more}; '
        rf'{end}; check it with: bufleak profiles check {re.escape(path)}', run.said[0]), run.said
    report, text, explained, hooks = run.only()
    report, hooks = tracked.Report(report), json.loads(hooks)
    [row] = report.json['profiles_broken']
    assert (row['file'], row['line'], row['column'], row['mistakes']) == (path, line, column,
                                                                          mistakes), row
    assert re.fullmatch(why, row['why']), row
    assert hooks['profiles_broken'] == [row], hooks['profiles_broken']
    assert report.losses()['profiles_broken'] == 1, report.losses()
    assert report.losses()['hooks_refused'] == 0, report.losses()
    flat = ' '.join(text.split())
    place = f'line {line}, column {column}: ' if line else ''
    assert re.search(rf'profile {re.escape(path)}: {place}{why}', flat), flat
    assert re.search(rf'^profile {re.escape(path)}: {place}{why}.*; (what has a mistake|it) was',
                     explained, re.M), explained
    assert 'none of its libraries is there' not in explained, explained
    quiet = Run(path, quiet=1, user=user)
    assert quiet.stderr == '' and quiet.stdout == run.stdout, (quiet.stderr, quiet.stdout)
    assert json.loads(quiet.only()[0])['profiles_broken'] == [row], quiet.only()
    return report


def missing():
    """A file that is not there."""
    with scratch() as path:
        expect_told(path, 'No such file or directory')


def no_such_name():
    """A name that no built-in profile has."""
    expect_told('glibb', 'there is neither a built-in profile nor a file of this name')


def unreadable():
    """A file that its reader may not read."""
    with scratch(GOOD) as path:
        os.chmod(path, 0)
        expect_told(path, 'Permission denied', user=NOBODY if os.geteuid() == 0 else None)


def no_file():
    """A directory, and a named pipe, which nobody waits for."""
    with scratch() as path:
        os.mkdir(path)
        expect_told(path, 'it is not a file')
    with scratch() as path:
        os.mkfifo(path)
        expect_told(path, 'it is not a file')


def no_profile():
    """An empty file, and one that is too long to be a profile."""
    with scratch('# nothing\n') as path:
        expect_told(path, 'it names no class: a profile begins with `class NAME`')
    with scratch('#' * (256 << 10) + '\n') as path:
        expect_told(path, 'it is no profile: it is longer than 256 KiB')
    with scratch((GOOD + '#' * (256 << 10))[:(256 << 10) - 1] + '\n') as path:
        assert Run(path).said == []


def expect_the_rest(report):
    """Of a file that is right but for what was added at its end."""
    clean = tracked.Report.table(report, 'gadget')
    assert (clean['allocs'], clean['live_count']) == (5 * REQUESTS, 0), clean


def unknown_key():
    """An unknown setting, by line and column; all else in the file is applied."""
    with scratch(GOOD + 'release gadget_nothing handel=arg1\n') as path:
        expect_the_rest(expect_told(path, r'unknown setting `handel` \(accepted: .*\)', LINES + 1,
                                    24))


def syntax():
    """Of several mistakes the first by line and column, and how many more; all else is applied."""
    with scratch(GOOD + '  frobnicate\nrelease gadget_nothing handle=arg99\nclass\n') as path:
        expect_the_rest(expect_told(path, r'unknown word `frobnicate` \(accepted: .*\)', LINES + 1,
                                    3, mistakes=3))


def other_profiles():
    """The files beside it are applied, and each that is wrong has its line."""
    with scratch() as first, scratch('nonsense\n') as second:
        run = Run(f'{first},{PROFILE},{second}', ask=[REPORT])
        assert [line.split(': profile ')[1].split(':')[0] for line in run.said] == [first, second]
        report = tracked.Report(run.only()[0])
        expect_the_rest(report)
        assert [row['file'] for row in report.json['profiles_broken']] == [first, second]


def of_another_library():
    """A class whose library never comes, or has nothing of it, is told by all that reads the ledger."""
    absent = re.sub(r'library libgadget', 'library libnowhere', GOOD)
    with scratch(absent) as path:
        report, text, explained, hooks = Run(path, ask=EVERYTHING).only()
        rows = json.loads(report)['profiles_missing']
        row = rows[0]
        assert len(rows) == 4 and (row['profile'], row['class']) == (path, 'gadget'), row
        assert row['why'].startswith('is not tracked: no libnowhere.so'), row
        assert json.loads(hooks)['profiles_missing'] == rows, hooks
        told = f'profile {path}: class gadget {row["why"]}'
        assert told in ' '.join(text.split()) and told + '\n' in explained, (text, explained)
    with scratch(GOOD) as path:
        report, _, explained, hooks = Run(path, ask=EVERYTHING).only()
        assert 'profiles_missing' not in json.loads(report), report
        assert json.loads(hooks)['profiles_missing'] == [] and 'not tracked' not in explained, hooks


def given_twice():
    """A profile that is given twice, built in or a file, is applied once, and its mistakes told once."""
    with scratch(GOOD + 'frobnicate\n') as path:
        run = Run(f'glib,{path},glib,{path}', ask=EVERYTHING)
        assert len(run.said) == 1, run.stderr
        report, _, explained, _ = run.only()
        report = tracked.Report(report)
        expect_the_rest(report)
        assert len(report.json['profiles_broken']) == 1, report.json['profiles_broken']
        assert report.losses()['hooks_refused'] == 0 and 'hooked already' not in explained, explained


def too_many():
    """A profile for which there is no room."""
    with scratch(GOOD) as path:
        home, name = os.path.split(path)
        run = Run(','.join([f'{home}/{"./" * more}{name}' for more in range(1, 33)] + [path]))
        assert len(run.said) >= 1 and 'no room: there are 32 profiles already' in run.said[-1]
        assert path in run.said[-1], run.said


FORKS = '''
import os, sys
for number in range(3):
    if os.fork() == 0:
        kept = [bytearray(1000) for i in range(100)]
        os._exit(0)
    os.wait()
'''


def once_in_a_tree():
    """Forked children do not repeat it, nor do programs that are executed; with other options they
    say their own."""
    with scratch() as path:
        forks = Run(path, ['/usr/bin/python3', '-S', '-c', FORKS])
        assert len(forks.said) == 1, forks.stderr
        shell = Run(path, ['/bin/sh', '-c', '/bin/true; (/bin/sh -c "/bin/true; :"); '
                                            'exec /bin/ls -d /'])
        assert len(shell.said) == 1 and 'bufleak: sh[' in shell.said[0], shell.stderr
        assert {'sh', 'true', 'ls'} <= shell.ledgers.keys(), shell.ledgers.keys()
        for name, [hooks] in shell.ledgers.items():
            assert [row['file'] for row in json.loads(hooks)['profiles_broken']] == [path], name
        other = Run(path, ['/bin/sh', '-c', f'BUFLEAK_OPTIONS=profiles={path}.2 /bin/true; :'])
        assert [line.split(': ')[2] for line in other.said] == [f'profile {path}',
                                                                f'profile {path}.2'], other.stderr


def by_the_command_line():
    """`bufleak run`, which keeps the program quiet, says it itself; `bufleak check` starts nothing."""
    for command, code, lines in (('run', 0, 3), ('check', 1, 1)):
        with scratch(GOOD + 'frobnicate\n') as path, tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o700)
            env = {k: v for k, v in os.environ.items() if not k.startswith(('BUFLEAK', 'LD_'))}
            done = subprocess.run([tracked.CLI, command, '--profiles', f'auto,{path},glibb,json',
                                   '--', '/bin/true'], timeout=tracked.LIMIT, text=True,
                                  env={**env, 'BUFLEAK_DIR': directory,
                                       'BUFLEAK_SHIM': tracked.SHIM},
                                  capture_output=True, check=False)
            said = [line for line in done.stderr.splitlines() if 'profile' in line and
                    line.startswith('bufleak: ')]
            assert done.returncode == code and len(said) == lines, done
            assert said[0].startswith(f'bufleak: {path}:{LINES + 1}:1: unknown word'), said
            if command == 'run':
                assert 'glibb' in said[1] and 'it is not applied' in said[1], said


def in_another_directory():
    """A path that is not absolute is the one of where the command was started, in children that
    have changed their directory too; without the command, what is told of it is the whole path."""
    with scratch(GOOD) as path, tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o700)
        home, name = os.path.split(path)
        env = {k: v for k, v in os.environ.items() if not k.startswith(('BUFLEAK', 'LD_'))}
        env.update(BUFLEAK_DIR=directory, BUFLEAK_SHIM=tracked.SHIM)
        script = f'cd / && {VICTIM} clean {REQUESTS} 1; :'
        for number, (profiles, inherited) in enumerate((
                (name, ''), (f'./{name}', ''), (None, f'interval=1s:profiles=auto,{name}'),
                (None, f'profiles=./{name},auto:interval=1s'))):
            command = [tracked.CLI, 'run', *(['--profiles', profiles] if profiles else []), '--',
                       '/bin/sh', '-c', script]
            done = subprocess.run(command, timeout=tracked.LIMIT, text=True, cwd=home,
                                  env={**env, 'BUFLEAK_OPTIONS': inherited}, capture_output=True,
                                  check=False)
            assert done.returncode == 0 and 'not applied' not in done.stderr, (number, done)
            for ledger in os.listdir(directory):
                if ledger.startswith(os.path.basename(VICTIM)):
                    hooks = json.loads(tracked.cli('profiles', 'explain', '--format', 'json',
                                                   os.path.join(directory, ledger)))
                    assert not hooks['profiles_broken'], (number, hooks['profiles_broken'])
                    assert [row for row in hooks['hooks'] if row['class'] == 'gadget'], hooks
                os.unlink(os.path.join(directory, ledger))
        env.update(LD_PRELOAD=tracked.SHIM, BUFLEAK_OPTIONS=f'profiles=./{name}')
        done = subprocess.run(['/bin/true'], timeout=tracked.LIMIT, text=True, cwd='/', env=env,
                              capture_output=True, check=False)
        assert f'profile /./{name}: No such file' in done.stderr, done.stderr


if __name__ == '__main__':
    sys.exit(tracked.main(missing, no_such_name, unreadable, no_file, no_profile, unknown_key,
                          syntax, other_profiles, of_another_library,
                          given_twice, too_many, once_in_a_tree, by_the_command_line, in_another_directory))
