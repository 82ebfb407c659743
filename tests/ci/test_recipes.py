#!/usr/bin/python3
"""The recipes of this directory do what they say: their commands are taken out of them and run."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cli'))
from common import CLI, LIMIT, SHIM  # noqa: E402
from test_check import CheckTest  # noqa: E402

HERE = pathlib.Path(__file__).parent


class Recipes(CheckTest):
    def setUp(self):
        super().setUp()
        self.work = self.home / 'work'
        self.work.mkdir()
        for name in ('Makefile', 'program.c'):
            shutil.copy(HERE / name, self.work)
        self.env['PATH'] = f'{CLI.parent}:{self.env["PATH"]}'

    def run_lines(self, lines, code=0, **environment):
        """As the services do: each line by a shell, until one fails."""
        for line in lines:
            done = subprocess.run(['sh', '-c', line], cwd=self.work, text=True, timeout=LIMIT,
                                  capture_output=True, env=dict(self.env, **environment))
            if done.returncode != 0:
                break
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def commands_of(self, name, pattern):
        lines = re.findall(pattern, (HERE / name).read_text(), re.M)
        self.assertTrue(any('bufleak check' in line for line in lines), lines)
        return lines

    def life(self, lines, **environment):
        """Without a baseline it says so, with one it passes, without the leak in it it fails."""
        self.run_lines(lines, code=1, **environment)
        self.run_lines(['make update-leaks'], **environment)
        done = self.run_lines(lines, **environment)
        baseline = self.work / 'leaks.json'
        self.assertEqual([e['functions'][0] for e in json.loads(baseline.read_text())['leaks']],
                         ['forget'])
        baseline.write_text('{"schema": 1, "leaks": []}')
        return done, self.run_lines(lines, code=23, **environment)

    def test_github(self):
        summary = self.home / 'summary.md'
        lines = self.commands_of('github.yml', r'^ +run: (.*)$')
        _, failed = self.life(lines, GITHUB_ACTIONS='true', GITHUB_STEP_SUMMARY=str(summary))
        self.assertIn('::error file=program.c,line=', failed.stdout)
        self.assertEqual(json.loads((self.work / 'leaks.sarif').read_text())['version'], '2.1.0')
        self.assertIn('forget', summary.read_text())

    def test_gitlab(self):
        lines = self.commands_of('gitlab.yml', r'^    - (.*)$')
        self.life(lines, GITLAB_CI='true')
        issues = json.loads((self.work / 'gl-code-quality-report.json').read_text())
        self.assertEqual([issue['location']['path'] for issue in issues], ['program.c'])
        subprocess.run(['xmllint', '--noout', self.work / 'leaks.xml'], check=True)

    def test_make(self):
        self.run_lines(['make check'])
        self.run_lines(['make check-leaks'], code=2)
        self.run_lines(['make update-leaks', 'make check-leaks'])
        (self.work / 'leaks.json').write_text('{"schema": 1, "leaks": []}')
        done = self.run_lines(['make check-leaks'], code=2)
        self.assertIn('Error 23', done.stderr)

    def test_a_container(self):
        self.run_lines(['make'])
        done = subprocess.run(['unshare', '--user', '--map-root-user', '--pid', '--fork', 'true'],
                              capture_output=True, timeout=LIMIT)
        if done.returncode != 0:
            self.skipTest('namespaces cannot be made here')
        out = self.work / 'leaks.json'
        self.run_lines([f'{HERE}/container --json {out} -- make check'], code=23)
        result = json.loads(out.read_text())
        self.assertEqual([g['functions'][0] for g in result['groups']], ['forget'])

    def test_a_drop_in_for_systemd(self):
        text = (HERE / 'bufleak.conf').read_text()
        self.run_lines(['make'])
        pairs = dict(line.split('=', 1) for line in re.findall(r'^Environment=(.*)$', text, re.M))
        directory = f'/run/{re.search("^RuntimeDirectory=(.*)$", text, re.M)[1]}'
        self.assertEqual(pairs['BUFLEAK_DIR'], directory)
        self.assertEqual(pathlib.Path(pairs['LD_PRELOAD']).name, SHIM.name)
        # what the unit would do, with this build and a directory that is ours
        pairs.update(LD_PRELOAD=str(SHIM), BUFLEAK_DIR=str(self.ledgers))
        self.ledgers.mkdir(mode=0o700)
        subprocess.run([self.work / 'program'], check=True, timeout=LIMIT,
                       env=dict(self.env, **pairs))
        stop = re.search(r'^ExecStopPost=-/usr/bin/(.*)$', text, re.M)[1]
        self.assertRegex(self.run_lines([stop]).stdout, r'1 of 1: no pointer to it is left')


if __name__ == '__main__':
    unittest.main(verbosity=2)
