#!/usr/bin/python3
"""report, dump and ps on real processes under the shim."""
import json
import os
import pty
import random
import shutil
import signal
import struct
import subprocess

from common import CLI, LIMIT, SHIM, VICTIM, CliTest, Victim, main, until

COUNTERS = 5  # BL_SECTION_COUNTERS


class Reports(CliTest):
    def test_a_running_process_is_reported_exactly(self):
        victim = self.victim()
        victim.do('leak 1204 100')
        victim.do('strings 7')
        report = self.report(victim.pid)
        self.assertEqual(report['process']['state'], 'running')
        self.assertEqual(report['process']['reason'], 'live')
        self.assertEqual(report['process']['pid'], victim.pid)
        blocks = self.group_of(report, 'leak_blocks')
        self.assertEqual((blocks['count'], blocks['bytes']), (1204, 120400))
        frame = blocks['alloc']['frames'][0]
        self.assertEqual(frame['function'], 'leak_blocks')
        self.assertTrue(frame['file'].endswith('victim.c'), frame)
        source = open(os.path.join(os.path.dirname(__file__), 'victim.c'), encoding='utf-8')
        with source:
            line = source.read().splitlines()[frame['line'] - 1]
        self.assertIn('malloc(size)', line)
        self.assertEqual(self.group_of(report, 'leak_strings')['count'], 7)
        victim.do('free')
        report = self.report(victim.pid)
        self.assertFalse([g for g in report['groups']
                          if g['alloc']['frames'][0]['function'] == 'leak_blocks'])

    def test_nothing_is_older_than_the_run(self):
        for _ in range(5):
            report = self.report(self.victim().pid)
            oldest = max(g['oldest_ns'] for g in report['groups'])
            self.assertGreater(oldest, 0)
            self.assertLessEqual(oldest, report['process']['uptime_ns'])

    def test_text_has_the_numbers_of_the_json(self):
        victim = self.victim()
        victim.do('leak 1204 1024')
        text = self.bufleak('report', victim.pid).stdout
        self.assertRegex(text.splitlines()[0], rf'^bufleak \S+ · \S+\[{victim.pid}\] · up .* · live$')
        self.assertIn('1. unreleased · heap · 1,204 buffers, 1.18 MiB · oldest', text)
        self.assertRegex(text, r'\n       leak_blocks +\S*victim\.c:\d+\n')

    def test_a_library_that_allocates_is_named_by_the_function_that_was_called(self):
        victim = self.victim()
        victim.do('leak 1 100')
        text = self.bufleak('report', '--all', victim.pid).stdout
        # what fgets reads into: it is several calls of the C library's own from there to malloc
        self.assertRegex(text, r'allocated at, through \S+ \(libc\.so\S*\)\n'
                               r' {7}main +\S*victim\.c:\d+\n')

    def test_a_snapshot_is_preferred_and_live_overrides(self):
        victim = self.victim()
        victim.do('leak 10 100')
        path = self.bufleak('dump', victim.pid).stdout.strip()
        self.assertTrue(path.endswith('.ledger.1'), path)
        victim.do('leak 5 100')
        self.assertEqual(self.group_of(self.report(victim.pid), 'leak_blocks')['count'], 10)
        report = self.report('--live', victim.pid)
        self.assertEqual(self.group_of(report, 'leak_blocks')['count'], 15)
        self.assertEqual(self.report(path)['process']['reason'], 'dump')
        self.assertEqual(self.report(path)['process']['snapshot'], 1)
        ledger = path[:-2]
        self.assertEqual(self.group_of(self.report(ledger), 'leak_blocks')['count'], 15)

    def test_a_number_after_an_at_is_that_snapshot(self):
        victim = self.victim()
        for n in range(2):
            victim.do('leak 3 100')
            self.bufleak('dump', victim.pid)
        victim.do('leak 3 100')
        ledger, = self.ledgers.glob('*.ledger')
        for n in (1, 2):
            for target in (f'{victim.pid}@{n}', f'{ledger}@{n}'):
                report = self.report(target)
                self.assertEqual(report['process']['snapshot'], n)
                self.assertEqual(self.group_of(report, 'leak_blocks')['count'], 3 * n)
                self.assertIn(f'snapshot {n} (dump)', self.bufleak('top', '--once', target).stdout)
        self.refuse('has no snapshot 3', 'report', f'{victim.pid}@3')
        self.refuse('bufleak diff ', 'report', f'{victim.pid}@warm')
        self.refuse('is a snapshot', 'mark', f'{victim.pid}@1', 'x')
        odd = self.home / 'a@1'
        odd.write_bytes(ledger.read_bytes())
        self.assertEqual(self.report(odd)['process']['snapshot'], 0)

    def test_a_signal_makes_a_snapshot(self):
        victim = self.victim()
        victim.do('leak 10 100')
        os.kill(victim.pid, signal.SIGUSR1)
        until(lambda: list(self.ledgers.glob('*.ledger.1')), 'snapshot 1')
        report = self.report(victim.pid)
        self.assertEqual(report['process']['reason'], 'signal')
        self.assertIn('snapshot 1 (SIGUSR1)', self.bufleak('report', victim.pid).stdout)

    def test_ended_and_killed_processes(self):
        victim = self.victim()
        victim.do('leak 10 100')
        self.bufleak('dump', victim.pid)
        victim.do('leak 20 100')
        self.assertEqual(victim.end('exit 3')[0], 3)
        report = self.report(victim.pid)
        self.assertEqual(report['process']['state'], 'exited')
        self.assertEqual(report['process']['reason'], 'exit')
        self.assertEqual(report['process']['exit_status'], 3)
        self.assertEqual(self.group_of(report, 'leak_blocks')['count'], 30)
        report = self.report('--snapshot', 1, victim.pid)
        self.assertEqual(self.group_of(report, 'leak_blocks')['count'], 10)
        victim = self.victim()
        victim.do('leak 40 100')
        victim.process.kill()
        victim.process.wait()
        report = self.report(victim.pid)
        self.assertEqual(report['process']['state'], 'killed')
        self.assertEqual(self.group_of(report, 'leak_blocks')['count'], 40)

    def test_what_the_disk_has_of_a_ledger_when_the_power_goes_is_read(self):
        """Pages that were not written are zero; the file's length and first page are there."""
        victim = self.victim()
        victim.do('leak 20000 100')
        self.bufleak('mark', victim.pid, 'warm')
        victim.do('strings 500')
        path, = self.ledgers.glob('*.ledger')
        whole = path.read_bytes()
        victim.kill()
        self.assertEqual(self.report(path)['losses']['buffers_missing'], 0)
        pages = len(whole) // 4096
        for seed in range(8):
            chance = random.Random(seed)
            first = chance.randrange(pages // 4, pages)
            lost = (range(first, pages) if seed % 2 else
                    [n for n in range(1, pages) if chance.random() < 0.1 * (1 + seed % 3)])
            torn = bytearray(whole)
            for page in lost:
                torn[page * 4096:(page + 1) * 4096] = bytes(4096)
            if seed % 4 == 1:
                torn = torn[:first * 4096 + 1000]  # nor was the length
            path.write_bytes(torn)
            done = subprocess.run([CLI, 'report', '--format', 'json', path], env=self.env,
                                  capture_output=True, text=True, timeout=LIMIT, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ''))
            report = json.loads(done.stdout)
            self.assertEqual(report['process']['state'], 'killed')
            seen = sum(g['count'] for g in report['groups'])
            self.assertLessEqual(seen, 25000)
            counted = sum(c['live_count'] for c in report['classes'])
            if counted > seen + 100:
                self.assertGreaterEqual(report['losses']['buffers_missing'], counted - seen - 100)
                self.assertIn('was written to the disk', ' '.join(
                    self.bufleak('report', path).stdout.split()))
            for command in (['top', '--once'], ['diff', path], ['ps']):
                self.bufleak(*command, *([] if command == ['ps'] else [path]))
        torn = bytearray(whole)
        for offset, pages, section, _ in struct.iter_unpack('<QIHH', whole[4096:20480]):
            if section == COUNTERS:
                torn[offset:offset + pages * 4096] = bytes(pages * 4096)
        path.write_bytes(torn)
        self.assertGreaterEqual(self.report(path)['losses']['buffers_uncounted'], 20000)
        self.assertIn('in the file and not counted', ' '.join(
            self.bufleak('report', path).stdout.split()))
        self.assertIn('incomplete: see report', self.bufleak('top', '--once', path).stdout)

    def test_the_newest_is_taken_and_named(self):
        self.victim().do('leak 1 1')
        second = self.victim()
        second.do('leak 2 1')
        done = self.bufleak('report')
        self.assertIn(f'.{second.pid}.', done.stderr)
        self.assertIn(f'[{second.pid}]', done.stdout)

    def test_a_replaced_program_has_no_names(self):
        copy = self.home / 'program'
        shutil.copy(VICTIM, copy)
        victim = self.victim(program=copy)
        victim.do('leak 10 100')
        copy.unlink()
        shutil.copy('/bin/true', copy)
        text = self.bufleak('report', victim.pid).stdout
        self.assertIn('no names from', text)
        self.assertIn('build-id', text)
        self.assertNotIn('leak_blocks', text)

    def test_filters(self):
        victim = self.victim()
        victim.do('leak 10 1000')
        victim.do('strings 9')
        only = self.report('--match', '^leak_strings$', victim.pid)['groups']
        self.assertEqual([g['count'] for g in only], [9])
        only = self.report('--min-bytes', '9K', victim.pid)['groups']
        self.assertTrue(only and all(g['bytes'] >= 9216 for g in only))
        self.assertEqual(self.report('--min-age', '1h', victim.pid)['groups'], [])
        self.assertEqual(len(self.report('--top', 1, victim.pid)['groups']), 1)
        self.refuse('no class gst', 'report', '--class', 'gst', victim.pid)
        sizes = self.report('--group', 'size', '--match', 'leak_blocks', victim.pid)['groups']
        self.assertEqual([g['key'] for g in sizes], [{'size': 1000}])


class Terminals(CliTest):
    def on_terminal(self, *arguments, **variables):
        """What bufleak shows on a terminal of 60 columns."""
        master, slave = pty.openpty()
        env = {name: value for name, value in self.env.items() if name != 'NO_COLOR'}
        env.update(COLUMNS='60', TERM='xterm', **variables)
        subprocess.run([CLI, *map(str, arguments)], env=env, stdout=slave, check=True, timeout=LIMIT,
                       stderr=subprocess.DEVNULL)
        os.close(slave)
        shown = b''
        try:
            while piece := os.read(master, 65536):
                shown += piece
        except OSError:  # the other side is closed
            pass
        os.close(master)
        return shown.decode().replace('\r', '')

    def test_colour_and_width_fit(self):
        victim = self.victim()
        victim.do('leak 10 1000')
        for command in (['report', victim.pid], ['ps']):
            shown = self.on_terminal(*command)
            self.assertIn('\x1b[', shown)
            plain = self.on_terminal(*command, NO_COLOR='1')
            self.assertNotIn('\x1b', plain)
            for line in plain.splitlines():
                if not line.startswith(('bufleak', '1. ', '2. ', '3. ', '     a')):
                    self.assertLessEqual(len(line), 66, line)
        self.assertNotIn('\x1b', self.bufleak('report', victim.pid).stdout)


class Dumps(CliTest):
    def state_of(self, pid):
        with open(f'/proc/{pid}/stat', encoding='utf-8') as file:
            return file.read().rsplit(')', 1)[1].split()[0]

    def test_dump_disturbs_no_handler(self):
        victim = self.victim()
        victim.do('handle')
        self.bufleak('dump', victim.pid)
        self.bufleak('dump', victim.pid)
        self.assertEqual(victim.do('leak 1 1'), 'ok')
        self.assertEqual(len(list(self.ledgers.glob('*.ledger.[12]'))), 2)

    def test_a_stopped_process_is_copied_from_outside(self):
        victim = self.victim()
        victim.do('leak 10 100')
        os.kill(victim.pid, signal.SIGSTOP)
        until(lambda: self.state_of(victim.pid) == 'T', 'stopped')
        done = self.bufleak('dump', victim.pid)
        self.assertIn('copied', done.stderr)
        path = done.stdout.strip()
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        report = self.report(path)
        self.assertTrue(report['process']['inexact'])
        self.assertEqual(self.group_of(report, 'leak_blocks')['count'], 10)
        os.kill(victim.pid, signal.SIGCONT)
        second = self.bufleak('dump', victim.pid).stdout.strip()
        self.assertNotEqual(second, path)
        self.assertFalse(self.report(second)['process']['inexact'])
        self.assertTrue(self.report(path)['process']['inexact'])

    def test_many_at_once_are_all_answered(self):
        victim = self.victim()
        dumps = [subprocess.Popen([CLI, 'dump', str(victim.pid)], env=self.env, text=True,
                                  stdout=subprocess.PIPE) for _ in range(10)]
        for dump in dumps:
            path = dump.communicate(timeout=LIMIT)[0].strip()
            self.assertEqual(dump.returncode, 0)
            self.assertTrue(os.path.exists(path))


class Lists(CliTest):
    def processes(self, *arguments):
        return json.loads(self.bufleak('ps', '--format', 'json', *arguments).stdout)

    def test_states_are_told_apart(self):
        running = self.victim()
        running.do('leak 10 1000')
        ended = self.victim()
        ended.end('exit 0')
        killed = self.victim()
        killed.process.kill()
        killed.process.wait()
        states = {p['pid']: p['state'] for p in self.processes()['processes']}
        self.assertEqual(states, {running.pid: 'running', ended.pid: 'exited', killed.pid: 'killed'})
        row = next(p for p in self.processes()['processes'] if p['pid'] == running.pid)
        self.assertGreaterEqual(row['live_bytes'], 10000)

    def test_prune_takes_the_dead_and_leaves_the_living(self):
        running = self.victim()
        self.bufleak('dump', running.pid)
        ended = self.victim()
        self.bufleak('dump', ended.pid)
        ended.end('exit 0')
        before = len(list(self.ledgers.iterdir()))
        self.assertIn('0 files removed', self.bufleak('ps', '--prune', '--older-than', '1h').stdout)
        self.assertEqual(len(list(self.ledgers.iterdir())), before)
        self.assertIn('2 files removed', self.bufleak('ps', '--prune').stdout)
        self.assertEqual({f.name.split('.')[1] for f in self.ledgers.iterdir()}, {str(running.pid)})

    def test_a_replaced_program_is_hidden_without_all(self):
        victim = self.victim()
        victim.do(f'exec {VICTIM}', 'ready')
        self.assertEqual(len(self.processes()['processes']), 1)
        self.assertEqual({p['state'] for p in self.processes('--all')['processes']},
                         {'running', 'replaced'})
        self.assertEqual(self.report(victim.pid)['process']['state'], 'running')

    def test_a_static_program_is_named_as_not_tracked(self):
        program = self.home / 'static'
        source = 'int main(void) { char c; return (int)__builtin_expect(read(0, &c, 1), 0); }'
        done = subprocess.run(['gcc', '-static', '-w', '-x', 'c', '-', '-o', program], check=False,
                              input=source, text=True, capture_output=True)
        if done.returncode != 0:
            self.skipTest('no static C library here')
        child = subprocess.Popen([program], stdin=subprocess.PIPE,
                                 env=dict(self.env, LD_PRELOAD=str(SHIM)))
        self.addCleanup(child.wait)
        self.addCleanup(child.stdin.close)
        mine = lambda: [u for u in self.processes()['untracked'] if u['pid'] == child.pid]
        self.assertIn('static', until(mine, 'untracked')[0]['why'])
        self.refuse('static executable', 'report', child.pid)

    def test_a_setuid_program_is_named_as_not_tracked(self):
        if os.geteuid() != 0:
            self.skipTest('needs root to make a setuid program')
        os.chmod(self.home, 0o755)
        program = self.home / 'setuid'
        shutil.copy(VICTIM, program)
        os.chown(program, 65534, 65534)
        os.chmod(program, 0o6755)
        child = Victim(dict(self.env, LD_PRELOAD=str(SHIM)), program=program)
        self.addCleanup(child.kill)
        mine = [u for u in self.processes()['untracked'] if u['pid'] == child.pid]
        self.assertIn('AT_SECURE', mine[0]['why'])
        self.refuse('AT_SECURE', 'report', child.pid)


if __name__ == '__main__':
    main()
