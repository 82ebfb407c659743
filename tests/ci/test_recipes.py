#!/usr/bin/python3
"""The recipes of this directory do what they say: they are read as their services read them, and their
commands are run."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cli'))
from common import CLI, LIMIT, SHIM  # noqa: E402
from test_check import CheckTest  # noqa: E402

HERE = pathlib.Path(__file__).parent


class Recipes(CheckTest):
    def setUp(self):
        super().setUp()
        self.work = self.home / 'work'
        self.work.mkdir()
        for name in ('Makefile', 'program.c', 'meson.build', 'CMakeLists.txt',
                     '../../scripts/adapters/bufleak.cmake'):
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

    def commands_of(self, name):
        """Those that its comment says."""
        lines = re.findall(r'^#     (.*)$', (HERE / name).read_text(), re.M)
        self.assertTrue(any('bufleak check' in line for line in lines), lines)
        return lines

    def load(self, name):
        return yaml.safe_load((HERE / name).read_text())

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
        recipe = self.load('github.yml')
        self.assertEqual(recipe[True], ['push', 'pull_request'])  # YAML 1.1 takes "on" for true
        job = recipe['jobs']['leaks']
        self.assertEqual(job['permissions'], {'contents': 'read', 'security-events': 'write'})
        lines = [step['run'] for step in job['steps'] if 'run' in step]
        upload, = [step for step in job['steps'] if 'upload-sarif' in step.get('uses', '')]
        self.assertEqual((upload['if'], upload['with']['sarif_file']), ('always()', 'leaks.sarif'))
        _, failed = self.life(lines, GITHUB_ACTIONS='true', GITHUB_STEP_SUMMARY=str(summary))
        self.assertIn('::error file=program.c,line=', failed.stdout)
        self.assertEqual(json.loads((self.work / 'leaks.sarif').read_text())['version'], '2.1.0')
        self.assertIn('forget', summary.read_text())

    def test_gitlab(self):
        job = self.load('gitlab.yml')['leaks']
        self.life(job['script'], GITLAB_CI='true')
        self.assertEqual(job['artifacts'], {'when': 'always', 'reports': {
            'junit': 'leaks.xml', 'codequality': 'gl-code-quality-report.json'}})
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

    def test_meson(self):
        *before, last = self.commands_of('meson.build')
        self.run_lines(before)
        done = self.run_lines([last], code=1)
        self.assertRegex(done.stdout, r'forgets +FAIL .* exit status 23')
        self.assertRegex(done.stdout, r'remembers +OK')

    def test_ctest(self):
        # as it lies in a clone; from here on as a project would take it
        self.run_lines([f'cmake -S {HERE} -B {self.home}/in-place'])
        *before, last = self.commands_of('CMakeLists.txt')
        self.run_lines(before)
        self.run_lines([last], code=1)  # there is no baseline yet
        (self.work / 'leaks.json').write_text('{"schema": 1, "leaks": []}')
        done = self.run_lines([last.replace(' -- ', ' --junit leaks.xml -- ')], code=23)
        self.assertIn('100% tests passed', done.stdout)
        names = subprocess.run(['xmllint', '--xpath', '//testcase[failure]/@name', 'leaks.xml'], check=True,
                               cwd=self.work, capture_output=True, text=True).stdout
        self.assertEqual(names.split(), ['name="forgets"'])
        self.run_lines([last.replace(' -- ', ' --update-baseline -- '), last])

    def test_a_container_with_nothing_else_in_it(self):
        root = self.home / 'root'
        self.run_lines(['make'])
        for path in (CLI, SHIM, self.work / 'program'):
            needed = subprocess.run(['ldd', path], check=True, capture_output=True, text=True).stdout
            for library in re.findall(r'(/\S+) \(0x', needed):
                (root / library[1:]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(library, root / library[1:])
        for name, path in (('opt/bufleak', CLI), ('opt/libbufleak.so', SHIM), ('program', self.work / 'program')):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, root / name)
        for name in ('proc', 'tmp'):
            (root / name).mkdir()
        command = ['unshare', '--user', '--map-root-user', '--mount', '--pid', '--fork',
                   f'--mount-proc={root}/proc', 'chroot', root]
        if subprocess.run([*command, '/opt/bufleak', '--version'], capture_output=True).returncode != 0:
            self.skipTest('namespaces cannot be made here')
        done = subprocess.run([*command, '/opt/bufleak', 'check', '--json', '/tmp/leaks.json', '--', '/program'],
                              env={'PATH': os.environ['PATH'], 'BUFLEAK_SHIM': '/opt/libbufleak.so'}, capture_output=True, text=True,
                              timeout=LIMIT)
        self.assertEqual(done.returncode, 23, done.stderr)
        result = json.loads((root / 'tmp' / 'leaks.json').read_text())
        self.assertEqual([(g['functions'][0], g['reach']) for g in result['groups']], [('forget', 'lost')])

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

    def test_systemd_takes_the_drop_in(self):
        if not shutil.which('systemd-analyze'):
            self.skipTest('there is no systemd')
        (self.home / 'gateway.service.d').mkdir()
        (self.home / 'gateway.service').write_text('[Service]\nExecStart=/bin/true\n')

        def verify(text):
            (self.home / 'gateway.service.d' / 'bufleak.conf').write_text(text)
            return subprocess.run(['systemd-analyze', 'verify', 'gateway.service'], text=True, timeout=LIMIT,
                                  capture_output=True, env=dict(self.env, SYSTEMD_UNIT_PATH=f'{self.home}:')).stderr

        text = (HERE / 'bufleak.conf').read_text()
        said = verify(text)
        self.assertEqual([line for line in said.splitlines() if 'bufleak.conf' in line], [])
        # it does look
        self.assertIn('bufleak.conf', verify(text.replace('RuntimeDirectory=', 'RunTimeDirectory=')))

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
