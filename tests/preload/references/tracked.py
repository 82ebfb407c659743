"""Runs victims under the shim and reads the reports on them. Results are TAP on stdout."""
import json
import os
import subprocess
import sys
import tempfile

SHIM = os.environ['BL_SHIM']
CLI = os.environ['BL_CLI']
LIMIT = 60


class Report:
    def __init__(self, text):
        self.json = json.loads(text)

    def accused(self):
        """Groups with a verdict that blames somebody."""
        return [g for g in self.json['groups'] if g['class'] != 'heap' and
                g['verdict'] not in ('unreleased', 'growing', 'steady')]

    def of_class(self, name):
        return [group for group in self.json['groups'] if group['class'] == name]

    def table(self, name):
        """The class's row of counts; None if it has none."""
        return next((c for c in self.json['classes'] if c['name'] == name), None)

    def losses(self):
        return self.json['losses']


def at(frames):
    """(file, line) of the first frame that has one."""
    return next(((os.path.basename(f['file']), f['line']) for f in frames if f['file']), None)


def cli(*arguments):
    return subprocess.run([CLI, *map(str, arguments)], timeout=LIMIT, capture_output=True,
                          text=True, check=True).stdout


def run(command, look=None, options='quiet=1', preload=SHIM, **environment):
    """Returns (what the victim says on stdout, the report on its ledger). look: called with the
    path of the ledger."""
    with tempfile.TemporaryDirectory(prefix='bufleak-references.') as directory:
        os.chmod(directory, 0o700)
        variables = {**os.environ, 'LD_PRELOAD': preload, 'BUFLEAK_DIR': directory,
                     'BUFLEAK_OPTIONS': options, **environment}
        victim = subprocess.run([str(word) for word in command], timeout=LIMIT, env=variables,
                                capture_output=True, text=True, check=False)
        assert victim.returncode == 0, (victim.returncode, victim.stdout, victim.stderr)
        ledgers = [name for name in os.listdir(directory) if name.endswith('.ledger')]
        assert len(ledgers) == 1, ledgers
        path = os.path.join(directory, ledgers[0])
        if look:
            look(path)
        return victim.stdout, Report(cli('report', '--format', 'json', path))


def main(*claims):
    """A claim is a function; its docstring says what it claims."""
    failed = 0
    print(f'1..{len(claims)}', flush=True)
    for number, claim in enumerate(claims, 1):
        text = ' '.join(claim.__doc__.split()).rstrip('.')
        try:
            claim()
            print(f'ok {number} - {text}', flush=True)
        except (AssertionError, subprocess.SubprocessError, KeyError, StopIteration,
                TypeError) as error:
            failed += 1
            print(f'not ok {number} - {text}', flush=True)
            print(f'# {text}: {type(error).__name__}: {str(error)[:2000]}', file=sys.stderr)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit('tracked.py is imported by the tests')
