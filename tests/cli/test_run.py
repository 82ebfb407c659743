#!/usr/bin/python3
"""run: the program's exit code is kept, and what it and its children did is reported."""
import json
import os
import re
import shutil
import signal
import subprocess

from common import BUILD, CLI, LIMIT, SHIM, VICTIM, CliTest, main, until


class Run(CliTest):
    def run_victim(self, *options, **more):
        return self.victim(before=[CLI, 'run', *options, '--'], preload=False, **more)

    def read_until(self, victim, part):
        """The first line on stderr that has this in it."""
        for line in victim.process.stderr:
            if part in line:
                return line
        raise AssertionError(f'stderr ended without {part!r}')

    def test_exit_codes_are_the_programs(self):
        self.bufleak('run', 'true')
        self.assertEqual(self.bufleak('run', '--', 'sh', '-c', 'exit 7', code=7).returncode, 7)
        self.bufleak('run', 'sh', '-c', 'kill -TERM $$', code=128 + 15)
        self.bufleak('run', 'sh', '-c', 'kill -SEGV $$', code=128 + 11)
        self.assertIn('No such file', self.bufleak('run', '/nonexistent', code=127).stderr)
        self.assertIn('Permission denied', self.bufleak('run', '/etc/passwd', code=126).stderr)

    def test_output_and_input_are_the_programs(self):
        done = subprocess.run([CLI, 'run', 'cat'], env=self.env, input='through\n', text=True,
                              capture_output=True, timeout=LIMIT, check=True)
        self.assertEqual(done.stdout, 'through\n')

    def test_it_says_how_to_ask_and_reports_at_exit(self):
        victim = self.run_victim()
        victim.do('leak 50 100')
        code, errors = victim.end('exit 4')
        self.assertEqual(code, 4)
        self.assertIn(f'[{victim.pid}]; kill -USR1 {victim.pid} or bufleak dump {victim.pid} for a '
                      'report', errors.splitlines()[0])
        self.assertIn('exited with status 4', errors)
        self.assertRegex(errors, r'unreleased · heap · 50 buffers, 4\.88 KiB')
        self.assertRegex(errors, r'leak_blocks +\S*victim\.c:\d+')

    def test_each_snapshot_is_reported(self):
        out = self.home / 'reports'
        victim = self.run_victim('--output', out, '--exit-report', 'none')
        victim.do('leak 10 100')
        os.kill(victim.pid, signal.SIGUSR1)
        until(lambda: 'snapshot 1 (SIGUSR1)' in out.read_text(), 'the first report')
        victim.do('leak 5 100')
        self.bufleak('dump', victim.pid)
        until(lambda: 'snapshot 2 (dump)' in out.read_text(), 'the second report')
        self.assertEqual(victim.end('exit 0')[0], 0)
        self.assertEqual(re.findall(r'leak_blocks', out.read_text()).count('leak_blocks'), 2)
        self.assertNotIn('exited', out.read_text())

    def test_a_shared_signal_does_both_and_is_said(self):
        victim = self.run_victim()
        victim.do('handle')
        os.kill(victim.pid, signal.SIGUSR1)
        self.assertEqual(victim.process.stdout.readline(), 'signal\n')
        until(lambda: list(self.ledgers.glob('*.ledger.1')), 'the snapshot')
        _, errors = victim.end('exit 0')
        self.assertIn('snapshot 1 (SIGUSR1)', errors)
        self.assertIn('handles this signal too', errors)

    def test_a_daemons_shared_signal_is_said_while_it_runs(self):
        victim = self.run_victim()
        daemon = int(victim.do('daemon', 'daemon').split()[1])
        victim.do('handle')
        self.assertIn(f'[{daemon}]', self.read_until(victim, 'handles this signal too'))
        victim.end('exit 0')

    def test_signals_are_passed_on(self):
        victim = self.run_victim()
        victim.process.send_signal(signal.SIGTERM)
        self.assertEqual(victim.process.wait(timeout=LIMIT), 128 + signal.SIGTERM)

    def test_children_have_their_own_report_or_line(self):
        victim = self.run_victim()
        victim.do('fork 3 10')
        victim.do('fork 500 1000')
        _, errors = victim.end('exit 0')
        self.assertRegex(errors, r'exited with status 5: 3 buffers, 30 B unreleased')
        self.assertRegex(errors, r'unreleased · heap · 500 buffers')
        full = self.run_victim('--exit-report', 'full')
        full.do('fork 3 10')
        self.assertRegex(full.end('exit 0')[1], r'unreleased · heap · 3 buffers, 30 B')

    def test_json_is_one_document_per_process(self):
        out = self.home / 'reports'
        victim = self.run_victim('--output', out, '--format', 'json')
        victim.do('fork 3 10')
        victim.do('leak 4 10')
        victim.end('exit 0')
        text = out.read_text()
        decoder, documents = json.JSONDecoder(), []
        while text.strip():
            document, end = decoder.raw_decode(text.lstrip())
            documents.append(document)
            text = text.lstrip()[end:]
        self.assertEqual(sorted(d['process']['exit_status'] for d in documents), [0, 5])
        parent = next(d for d in documents if d['process']['pid'] == victim.pid)
        self.assertEqual(self.group_of(parent, 'leak_blocks')['count'], 4)

    def test_a_daemon_is_followed_to_its_end(self):
        victim = self.run_victim()
        daemon = int(victim.do('daemon', 'daemon').split()[1])
        victim.do('leak 300 1000')
        self.assertIn('1 process it left is still tracked', self.read_until(victim, 'has ended'))
        self.assertIsNone(victim.process.poll())
        code, errors = victim.end('exit 9')
        self.assertEqual(code, 0)
        self.assertIn(f'[{daemon}]', errors)
        self.assertRegex(errors, r'unreleased · heap · 300 buffers')

    def test_a_daemon_gets_the_signals_once_its_parent_is_gone(self):
        victim = self.run_victim()
        victim.do('daemon', 'daemon')
        self.read_until(victim, 'has ended')
        victim.process.send_signal(signal.SIGTERM)
        self.assertEqual(victim.process.wait(timeout=LIMIT), 0)

    def test_options_reach_the_program(self):
        env = dict(self.env, BUFLEAK_OPTIONS='depth=3:signal=USR2', LD_PRELOAD='libm.so.6')
        done = self.bufleak('run', '--depth', '5', '--no-follow', '--quiet', '0', '--', 'sh', '-c',
                            'echo $BUFLEAK_OPTIONS; tr "\\0" "\\n" </proc/$$/environ | '
                            'grep ^LD_PRELOAD=', env=env)
        options, preload = done.stdout.splitlines()
        self.assertEqual(sorted(options.split(':')), ['depth=5', 'follow=0', 'quiet=0', 'signal=USR2'])
        self.assertEqual(preload, f'LD_PRELOAD={SHIM}:libm.so.6')
        self.assertIn('kill -USR2', done.stderr)

    def test_a_run_too_short_for_growth_per_call_says_how_to_get_it(self):
        program = BUILD / 'tests' / 'cli' / 'diff_before'
        run = ('run', '--interval', '5m', '--per', 'on_request', '--', program)
        done = self.bufleak(*run, input='serve 300\n')
        self.assertRegex(done.stdout + done.stderr,
                         r'on_request was called 300 times; growth per call takes 24 samples: let '
                         r'it run longer(, or interval=\d+m?s)?\n')
        done = self.bufleak('run', '--', program, input='serve 300\n')
        self.assertNotIn('growth per call', done.stdout + done.stderr)

    def test_what_returns_next_to_never_tells_no_growth_per_call(self):
        program = BUILD / 'tests' / 'cli' / 'diff_before'
        self.env['BUFLEAK_OPTIONS'] = 'quiet=1:per=main:interval=10ms'
        victim = self.victim(program=program)

        def heap():
            victim.do('serve 1')
            report = json.loads(self.bufleak('report', '--format', 'json', victim.pid).stdout)
            growth, = (c['growth'] for c in report['classes'] if c['name'] == 'heap')
            return growth['trend'] == 'growing' and growth
        growth = until(heap, 'growth')
        self.assertIsNone(growth['bytes_per_request'])
        text = self.bufleak('report', victim.pid).stdout
        self.assertIn('main has returned 0 times; growth per call takes at least 5\n', text)
        self.assertNotIn('for each main', text)

    def test_help_lists_each_option_once(self):
        for command in ('run', 'report', 'check', 'diff', 'top', 'ps', 'mark', 'dump'):
            lines = self.bufleak(command, '--help').stdout.splitlines()
            options = [l.split()[0] for l in lines if l.startswith('  --')]
            self.assertEqual(sorted(options), sorted(set(options)), command)

    def test_growth_is_told_by_the_calls_of_one_function(self):
        self.refuse('the name of one function', 'run', '--per', 'a,b', 'true', code=2)

    def test_the_shim_must_be_found(self):
        self.refuse('BUFLEAK_SHIM', 'run', 'true', env=dict(self.env, BUFLEAK_SHIM='/nonexistent'))
        spaced = self.home / 'a b'
        spaced.mkdir()
        shutil.copy(SHIM, spaced)
        self.refuse('spaces', 'run', 'true',
                    env=dict(self.env, BUFLEAK_SHIM=str(spaced / SHIM.name)))

    def test_a_setuid_child_is_named(self):
        if os.geteuid() != 0:
            self.skipTest('needs root to make a setuid program')
        os.chmod(self.home, 0o755)
        program = self.home / 'setuid'
        shutil.copy(VICTIM, program)
        os.chown(program, 65534, 65534)
        os.chmod(program, 0o6755)
        victim = self.run_victim()
        victim.do(f'exec {program}', 'ready')
        victim.do('leak 1 1')
        self.assertIn('setuid', self.read_until(victim, 'AT_SECURE'))
        code, errors = victim.end('exit 2')
        self.assertEqual(code, 2)
        self.assertIn('not in these reports: setuid', errors)

    def test_a_static_program_is_named(self):
        program = self.home / 'static'
        done = subprocess.run(['gcc', '-static', '-w', '-x', 'c', '-', '-o', program], check=False,
                              input='int main(void) { return 6; }', text=True, capture_output=True)
        if done.returncode != 0:
            self.skipTest('no static C library here')
        self.assertIn('was not tracked', self.bufleak('run', program, code=6).stderr)

    def test_nothing_is_left_behind(self):
        victim = self.run_victim()
        victim.do('fork 3 10')
        runner = victim.process.pid
        for _ in range(20):
            victim.do('fork 1 1')
        descriptors = len(os.listdir(f'/proc/{runner}/fd'))
        for _ in range(20):
            victim.do('fork 1 1')
        until(lambda: len(os.listdir(f'/proc/{runner}/fd')) <= descriptors, 'descriptors closed')
        with open(f'/proc/{runner}/task/{runner}/children', encoding='utf-8') as file:
            children = file.read().split()
        self.assertEqual(children, [str(victim.pid)])
        victim.end('exit 0')


if __name__ == '__main__':
    main()
