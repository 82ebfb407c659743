#!/usr/bin/python3
"""check: what leaked fails, what did not passes, and what was not looked at is never a pass."""
import json
import os
import pathlib
import shutil
import subprocess

from common import BUILD, CLI, LIMIT, CliTest, main

PROGRAMS = BUILD / 'tests' / 'cli'


class CheckTest(CliTest):
    def setUp(self):
        super().setUp()
        for name in ('GITHUB_ACTIONS', 'GITHUB_STEP_SUMMARY', 'GITLAB_CI', 'BUFLEAK_TEST',
                     'PYTEST_CURRENT_TEST'):
            self.env.pop(name, None)
        self.env['TMPDIR'] = str(self.home)

    def check(self, *arguments, code=0, env=None, **more):
        """Runs check; its JSON, and the finished process as .done of it."""
        out = self.home / 'check.json'
        out.unlink(missing_ok=True)
        done = subprocess.run([str(CLI), 'check', '--json', str(out), *map(str, arguments)],
                              env=env or self.env, text=True, capture_output=True, timeout=LIMIT,
                              **more)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.done = done
        self.assertEqual(list(self.home.glob('bufleak-check-*')), [], 'ledgers are removed')
        return json.loads(out.read_text()) if out.exists() else None


class Running(CheckTest):
    def test_a_failure_of_the_command_is_passed_on(self):
        self.check('--allow-unknown', '--', PROGRAMS / 'check_before', 'exit', '7', code=7)
        self.check('--', PROGRAMS / 'check_before', 'raise', '15', code=128 + 15)
        self.check('--', '/nonexistent', code=127)
        self.check('--', '/etc/passwd', code=126)

    def test_nothing_tracked_is_an_error(self):
        program = self.home / 'static'
        subprocess.run(['gcc', '-static', '-x', 'c', '-', '-o', program], check=True, text=True,
                       input='int main(void) { return 0; }')
        result = self.check('--', program, code=1)
        self.assertEqual(result['outcome'], 'nothing-checked')
        self.assertIn('static', self.done.stderr)
        result = self.check('--', 'sh', '-c', f'exec {program}', code=1)
        self.assertEqual(result['outcome'], 'nothing-checked')
        self.assertIn('not tracked', self.done.stderr)

    def test_shells_are_left_out_unless_asked_for(self):
        result = self.check('--', 'sh', '-c', 'exit 0', code=1)
        self.assertEqual(result['outcome'], 'nothing-checked')
        self.assertIn('--processes', self.done.stderr)
        result = self.check('--allow-unknown', '--processes', 'sh',
                            '--processes', 'dash', '--', 'sh', '-c', 'exit 0')
        self.assertEqual([p['judged'] for p in result['processes']], [True])

    def test_ignored_processes_are_not_judged(self):
        result = self.check('--ignore-process', 'check_b*', '--', PROGRAMS / 'check_before', code=1)
        self.assertEqual(result['outcome'], 'nothing-checked')
        self.assertTrue(result['processes'][0]['ignored'])

    def test_mistakes_are_told_with_line_and_column(self):
        bad = self.home / 'bad.supp'
        bad.write_text('# fine\nleak:fine\n  leek:wrong\n')
        self.bufleak('check', '--suppressions', bad, 'true', code=1)
        self.assertIn(f'{bad}:3:3: ', self.bufleak('check', '--suppressions', bad, 'true',
                                                   code=1).stderr)
        bad.write_text('{\n  name\n  Memcheck:Leak\n  fun:main\n')
        self.assertIn(f'{bad}:1:1: ', self.bufleak('check', '--suppressions', bad, 'true',
                                                   code=1).stderr)
        bad.write_text('leak[class=heap,colour=red]:x\n')
        self.assertIn(f'{bad}:1:17: ', self.bufleak('check', '--suppressions', bad, 'true',
                                                    code=1).stderr)
        bad.write_text('{"leaks": [}')
        self.assertIn(f'{bad}:1:', self.bufleak('check', '--baseline', bad, 'true', code=1).stderr)
        for arguments in (['--allow', 'heap:count=x'], ['--tolerance', 'much'], ['--repeat', '0'],
                          ['--error-exitcode', '256'], ['--update-baseline'], []):
            self.bufleak('check', *arguments, *(['true'] if arguments else []), code=2)


if __name__ == '__main__':
    main()
