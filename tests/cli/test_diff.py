#!/usr/bin/python3
"""diff between moments, processes and builds of real programs under the shim."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import unittest

from common import BUILD, CLI, CliTest, VICTIM as MARKER, WRITER, main, until

BEFORE, SHIFTED, FIXED = (BUILD / 'tests' / 'cli' / f'diff_{name}'
                          for name in ('before', 'shifted', 'fixed'))
BYTES = BUILD / 'tests' / 'preload' / 'references' / 'victim_bytes'


class DiffTest(CliTest):
    def diff(self, *arguments):
        return json.loads(self.bufleak('diff', '--format', 'json', *arguments).stdout)

    def text(self, *arguments):
        return self.bufleak('diff', *arguments).stdout

    def row_of(self, diff, function, **wanted):
        """The one row whose innermost frame is in this function."""
        found = [r for r in diff['groups'] if r['frames'] and r['frames'][0]['function'] == function
                 and all(r[key] == value for key, value in wanted.items())]
        self.assertEqual(len(found), 1, f'{function}: {len(found)} rows')
        return found[0]

    def serve(self, program, requests, *more):
        victim = self.victim(program=program)
        for order in (f'serve {requests}', *more):
            victim.do(order)
        return victim

    def ledger_of(self, pid):
        return next(self.ledgers.glob(f'*.{pid}.*.ledger'))


class Moments(DiffTest):
    def test_two_snapshots_show_what_changed_and_how_fast(self):
        victim = self.serve(BEFORE, 10, 'burst 5')
        first = self.bufleak('dump', victim.pid).stdout.strip()
        victim.do('serve 20')
        victim.do('calm')
        second = self.bufleak('dump', victim.pid).stdout.strip()
        diff = self.diff(first, second)
        self.assertTrue(diff['same_process'])
        self.assertGreater(diff['elapsed_ns'], 0)
        row = self.row_of(diff, 'copy_text')
        self.assertEqual((row['change'], row['matched_by']), ('grown', 'offset'))
        self.assertEqual((row['a']['count'], row['b']['count']), (10, 30))
        self.assertEqual((row['count_change'], row['bytes_change']), (20, 2000))
        self.assertAlmostEqual(row['bytes_per_s'], 2000 / (diff['elapsed_ns'] / 1e9),
                               delta=row['bytes_per_s'] / 1000)
        self.assertEqual(self.row_of(diff, 'take_burst')['change'], 'gone')
        self.assertIsNone(self.row_of(diff, 'take_burst')['b'])
        self.assertEqual(diff['summary']['grown']['bytes_change'], 22000)
        heap = next(c for c in diff['classes'] if c['name'] == 'heap')
        self.assertEqual(heap['count_change'], 35)
        self.assertEqual(heap['bytes_change'], 22000 - 5 * 64)
        text = self.text(first, second)
        self.assertRegex(text, r'one process, B \S+ later than A; rates are over that time')
        self.assertRegex(text, r'grown · heap · 10 → 30 buffers \(\+20\), 1000 B → 2.93 KiB '
                               r'\(\+1.95 KiB\) · \+\S+ \w+/s')

    def test_a_moment_is_named_by_number_and_a_pid_is_now(self):
        victim = self.serve(BEFORE, 10)
        self.bufleak('dump', victim.pid)
        victim.do('serve 10')
        self.bufleak('dump', victim.pid)
        victim.do('serve 10')
        counts = lambda *sides: [self.row_of(self.diff(*sides), 'copy_text')[s]['count']
                                 for s in 'ab']
        self.assertEqual(counts(f'{victim.pid}@1', f'{victim.pid}@2'), [10, 20])
        self.assertEqual(counts(f'{victim.pid}@1', victim.pid), [10, 30])
        ledger = self.ledger_of(victim.pid)
        self.assertEqual(counts(f'{ledger}@2', ledger), [20, 30])

    def test_backwards_is_said(self):
        victim = self.serve(BEFORE, 10)
        self.bufleak('dump', victim.pid)
        victim.do('serve 10')
        diff = self.diff(victim.pid, f'{victim.pid}@1')
        self.assertLess(diff['elapsed_ns'], 0)
        row = self.row_of(diff, 'copy_text')
        self.assertEqual((row['change'], row['count_change']), ('shrunk', -10))
        self.assertAlmostEqual(row['bytes_per_s'], -1000 / (-diff['elapsed_ns'] / 1e9),
                               delta=-row['bytes_per_s'] / 1000)
        heap = next(c for c in diff['classes'] if c['name'] == 'heap')
        self.assertLess(heap['bytes_change'], 0)
        self.assertLess(heap['bytes_per_s'], 0)
        text = self.text(victim.pid, f'{victim.pid}@1')
        self.assertIn('B is the earlier one', text)
        self.assertRegex(text, r'shrunk · heap · .*\(−\S+ \w+\) · −\S+ \w+/s\n')

    def test_one_moment_twice_is_unchanged(self):
        victim = self.serve(BEFORE, 10)
        path = self.bufleak('dump', victim.pid).stdout.strip()
        diff = self.diff(path, path)
        self.assertEqual({r['change'] for r in diff['groups']}, {'unchanged'})
        self.assertEqual(diff['elapsed_ns'], 0)
        self.assertIsNone(self.row_of(diff, 'copy_text')['bytes_per_s'])

    def test_killed_processes_are_compared(self):
        victims = [self.serve(BEFORE, count) for count in (10, 25)]
        for victim in victims:
            victim.process.kill()
            victim.process.wait()
        diff = self.diff(*(v.pid for v in victims))
        self.assertEqual([diff[side]['state'] for side in 'ab'], ['killed'] * 2)
        self.assertFalse(diff['same_process'])
        self.assertEqual(self.row_of(diff, 'copy_text')['count_change'], 15)


class Builds(DiffTest):
    def test_a_rebuilt_program_is_matched_by_function(self):
        old = self.serve(BEFORE, 10, 'burst 5')
        new = self.serve(SHIFTED, 10, 'burst 7')
        diff = self.diff(old.pid, new.pid)
        row = self.row_of(diff, 'copy_text')
        self.assertEqual((row['change'], row['matched_by']), ('unchanged', 'function'))
        # inlined in one build and not in the other
        row = self.row_of(diff, 'make_body')
        self.assertEqual((row['change'], row['a']['count'], row['b']['count']),
                         ('unchanged', 10, 10))
        row = self.row_of(diff, 'take_burst')
        self.assertEqual((row['change'], row['count_change']), ('grown', 2))
        lines = [self.report('--match', '^copy_text$', v.pid)['groups'][0]['alloc']['frames'][0]
                 for v in (old, new)]
        self.assertNotEqual(lines[0]['line'], lines[1]['line'])
        self.assertNotEqual(lines[0]['offset'], lines[1]['offset'])
        self.assertNotEqual(lines[0]['build_id'], lines[1]['build_id'])

    def test_by_stack_the_chain_of_functions_matches(self):
        old, new = self.serve(BEFORE, 10), self.serve(SHIFTED, 12)
        diff = self.diff('--group', 'stack', old.pid, new.pid)
        rows = [r for r in diff['groups']
                if 'copy_text' in [f['function'] for f in r['frames']]]
        self.assertEqual([(r['change'], r['count_change']) for r in rows], [('grown', 2)])

    def test_a_leak_that_is_repaired_is_gone(self):
        old, new = self.serve(BEFORE, 10), self.serve(FIXED, 10)
        diff = self.diff(old.pid, new.pid)
        self.assertEqual(self.row_of(diff, 'make_body')['change'], 'gone')
        self.assertEqual(self.row_of(diff, 'copy_text')['change'], 'unchanged')
        self.assertIn('allocated at (as in A)\n       make_body', self.text(old.pid, new.pid))

    def test_one_build_is_compared_without_any_names(self):
        program = self.home / 'stripped'
        subprocess.run(['strip', '-o', program, BEFORE], check=True)
        a, b = (self.serve(program, count) for count in (10, 15))
        diff = self.diff('--match', 'stripped', a.pid, b.pid)
        changes = [r['count_change'] for r in diff['groups'] if r['change'] != 'unchanged']
        self.assertEqual(changes, [5, 5])
        self.assertEqual({r['matched_by'] for r in diff['groups']}, {'offset'})
        self.assertEqual({r['frames'][0]['function'] for r in diff['groups']}, {None})

    def test_an_unnamed_place_of_another_build_is_not_guessed(self):
        names = (self.home / 'old' / 'gateway', self.home / 'new' / 'gateway')
        for name, program in zip(names, (BEFORE, SHIFTED)):
            name.parent.mkdir()
            subprocess.run(['strip', '-o', name, program], check=True)
        old, new = (self.serve(name, 10) for name in names)
        diff = self.diff('--match', 'gateway', old.pid, new.pid)
        self.assertEqual({r['matched_by'] for r in diff['groups']}, {'unnamed'})
        self.assertEqual({r['change'] for r in diff['groups']}, {'new', 'gone'})
        self.assertIn('comparable within one build only', self.text(old.pid, new.pid))
        # the files with names lie elsewhere
        diff = self.diff('--symbols', BEFORE, '--symbols', SHIFTED, old.pid, new.pid)
        self.assertEqual(self.row_of(diff, 'copy_text')['change'], 'unchanged')

    def test_an_upgrade_in_place_is_said_and_symbols_help(self):
        program = self.home / 'gateway'
        shutil.copy(BEFORE, program)
        old = self.serve(program, 10)
        old.process.kill()
        old.process.wait()
        program.unlink()
        shutil.copy(SHIFTED, program)
        new = self.serve(program, 12)
        self.assertIn(f'no names in A from {program}', self.text(old.pid, new.pid))
        attic = self.home / 'attic'
        attic.mkdir()
        shutil.copy(BEFORE, attic / 'gateway')
        diff = self.diff('--symbols', attic, old.pid, new.pid)
        self.assertEqual(self.row_of(diff, 'copy_text')['count_change'], 2)
        self.assertNotIn('no names', self.text('--symbols', attic, old.pid, new.pid))


@unittest.skipUnless(BYTES.exists(), 'built without GLib')
class Verdicts(DiffTest):
    def forget(self, requests, every):
        """A ledger of a program that forgets a reference to every n-th buffer."""
        before = set(self.ledgers.glob('*.ledger')) if self.ledgers.exists() else set()
        env = dict(self.env, LD_PRELOAD=str(BUILD / 'shim' / 'libbufleak.so'),
                   BUFLEAK_OPTIONS='quiet=1')
        subprocess.run([BYTES, str(requests), str(every), '1'], env=env, check=True,
                       stdout=subprocess.DEVNULL)
        return (set(self.ledgers.glob('*.ledger')) - before).pop()

    def verdict_row(self, diff):
        rows = [r for r in diff['groups'] if r['class'] == 'g-bytes']
        self.assertEqual(len(rows), 1, rows)
        return rows[0]

    def test_a_repaired_release_is_said_to_be_fixed(self):
        leaky, repaired = self.forget(5000, 10), self.forget(5000, 0)
        row = self.verdict_row(self.diff(leaky, repaired))
        self.assertEqual(row['change'], 'fixed')
        self.assertEqual(row['lost_verdict'], {
            'fixed': True, 'verdict': 'missing-release', 'accused_a': 500, 'released_a': 4500,
            'released_b': 5000, 'sample': False, 'luck': row['lost_verdict']['luck'],
            'trend_b': None})
        self.assertLess(row['lost_verdict']['luck'], 1e-9)
        self.assertEqual((row['op'], row['frames'][0]['function']), ('retain', 'filter_join'))
        text = self.text(leaky, repaired)
        self.assertIn('1. fixed · missing release · g-bytes · −500 buffers, −500.00 KiB', text)
        self.assertIn('in A 500 of 5,000 that passed here leaked; in B 5,000 passed, none did', text)

    def test_too_little_traffic_proves_nothing(self):
        leaky, idle, brief = self.forget(5000, 10), self.forget(0, 0), self.forget(20, 0)
        for other, reason in ((idle, 'none passed'), (brief, 'only 20 passed')):
            row = self.verdict_row(self.diff(leaky, other))
            self.assertEqual(row['change'], 'gone')
            self.assertFalse(row['lost_verdict']['fixed'])
            text = self.text(leaky, other)
            self.assertIn(reason, text)
            self.assertIn('whether it is fixed cannot be told', text)
            self.assertNotIn('fixed ·', text)

    def test_a_new_leak_is_a_new_verdict_and_comes_first(self):
        clean, leaky = self.forget(5000, 0), self.forget(5000, 10)
        diff = self.diff(clean, leaky)
        row = self.verdict_row(diff)
        self.assertEqual(diff['groups'][0], row)
        self.assertEqual((row['change'], row['b']['verdict']), ('new', 'missing-release'))
        self.assertIsNone(row['lost_verdict'])

    def test_a_leak_that_stays_is_not_fixed(self):
        diff = self.diff(self.forget(5000, 10), self.forget(5000, 20))
        row = self.verdict_row(diff)
        self.assertEqual((row['change'], row['count_change']), ('shrunk', -250))
        self.assertEqual(row['b']['verdict'], 'missing-release')


class Growth(DiffTest):
    def growing(self, program, functions):
        """A process in which the ledger shows that these functions' memory grows."""
        self.env['BUFLEAK_OPTIONS'] = 'quiet=1:interval=50ms'
        victim = self.victim(program=program)

        def look():
            for _ in range(20):
                victim.do('serve 1')
            sites = json.loads(self.bufleak('top', '--once', '--format', 'json', victim.pid).stdout)
            found = {s['function']: s['verdict'] for s in sites['sites']}
            return all(found.get(name) == 'growing' for name in functions)
        until(look, f'{functions} grow')
        return victim

    def test_what_grew_and_is_freed_now_is_fixed(self):
        old = self.growing(BEFORE, ['make_body', 'copy_text'])
        new = self.serve(FIXED, 200)
        diff = self.diff(old.pid, new.pid)
        body = self.row_of(diff, 'make_body')
        self.assertEqual((body['change'], body['a']['verdict']), ('fixed', 'growing'))
        self.assertTrue(body['lost_verdict']['sample'])
        self.assertGreater(body['lost_verdict']['released_b'], 0)
        # it still does, only not for long enough to be sure
        header = self.row_of(diff, 'copy_text')
        self.assertFalse(header['lost_verdict']['fixed'])
        text = self.text(old.pid, new.pid)
        self.assertRegex(text, r'\. fixed · growing · heap · −')
        self.assertRegex(text, r'in A it grew by \+.*; in B \d+ of a sample passed,\s+none did')

    def test_what_paused_and_went_on_is_not_fixed(self):
        victim = self.growing(BEFORE, ['copy_text'])
        self.bufleak('dump', victim.pid)

        def is_quiet():
            report = self.report('--live', '--match', '^copy_text$', victim.pid)
            return report['groups'][0]['verdict'] == 'steady'
        until(is_quiet, 'it pauses')
        victim.do('serve 50')
        row = self.row_of(self.diff(f'{victim.pid}@1', victim.pid), 'copy_text')
        self.assertEqual((row['change'], row['count_change']), ('grown', 50))
        row = self.row_of(self.diff(victim.pid, f'{victim.pid}@1'), 'copy_text')
        self.assertEqual((row['change'], row['count_change']), ('shrunk', -50))

    def test_what_still_grows_is_not_fixed(self):
        old, new = (self.growing(program, ['copy_text']) for program in (BEFORE, SHIFTED))
        row = self.row_of(self.diff(old.pid, new.pid), 'copy_text')
        self.assertEqual([row[side]['verdict'] for side in 'ab'], ['growing', 'growing'])
        self.assertIsNone(row['lost_verdict'])


class Marks(DiffTest):
    def mark(self, pid, name, **more):
        return self.bufleak('mark', pid, name, **more)

    def counts(self, diff, function):
        rows = [r for r in diff['groups'] if r['frames'][0]['function'] == function]
        return [(r['change'], r['count_change']) for r in rows]

    def test_what_stayed_between_two_marks_is_told(self):
        victim = self.serve(BEFORE, 10, 'burst 5')
        self.assertEqual(self.mark(victim.pid, 'warm').stdout,
                         f'diff_before[{victim.pid}]: marked "warm"\n')
        victim.do('serve 20')
        victim.do('calm')
        self.mark(victim.pid, 'after load')
        victim.do('serve 40')
        diff = self.diff(f'{victim.pid}@warm', f'{victim.pid}@after load')
        self.assertEqual([diff[side]['mark'] for side in 'ab'], ['warm', 'after load'])
        self.assertTrue(diff['same_process'])
        heap = next(c for c in diff['classes'] if c['name'] == 'heap')
        self.assertEqual((heap['count_change'], heap['bytes_change']), (35, 22000 - 5 * 64))
        self.assertEqual(self.counts(diff, 'make_body'), [('grown', 20)])
        self.assertEqual(self.counts(diff, 'copy_text'), [('grown', 20)])
        diff = self.diff(f'{victim.pid}@after load', victim.pid)
        self.assertEqual(self.counts(diff, 'make_body'), [('grown', 40)])
        self.assertIn('mark "after load"', self.text(f'{victim.pid}@after load', victim.pid))

    def test_marks_outlive_their_program_and_are_listed(self):
        victim = self.serve(BEFORE, 10)
        self.mark(victim.pid, 'warm')
        victim.do('serve 20')
        victim.process.kill()
        victim.process.wait()
        diff = self.diff(f'{victim.pid}@warm', victim.pid)
        self.assertEqual(diff['b']['state'], 'killed')
        self.assertEqual(self.counts(diff, 'make_body'), [('grown', 20)])
        self.assertEqual([m['name'] for m in self.report(victim.pid)['marks']], ['warm'])
        self.assertRegex(self.bufleak('report', victim.pid).stdout,
                         r'(?m)^marks: warm, \S+ before$')
        listed = json.loads(self.bufleak('ps', '--format', 'json').stdout)['processes']
        self.assertEqual([p['marks'] for p in listed], [1])
        self.refuse('is no longer running', 'mark', victim.pid, 'late')

    def test_marks_of_two_builds_are_compared(self):
        victims = []
        for program, more in ((BEFORE, 10), (SHIFTED, 15)):
            victim = self.serve(program, 5)
            self.mark(victim.pid, 'warm')
            victim.do(f'serve {more}')
            self.mark(victim.pid, 'loaded')
            victims.append(victim)
        diff = self.diff(*(f'{v.pid}@loaded' for v in victims))
        self.assertEqual(self.counts(diff, 'make_body'), [('grown', 5)])
        diff = self.diff(*(f'{v.pid}@warm' for v in victims))
        self.assertEqual(self.counts(diff, 'make_body'), [('unchanged', 0)])

    def test_many_at_once_are_all_set(self):
        victim = self.serve(BEFORE, 1)
        marks = [subprocess.Popen([CLI, 'mark', str(victim.pid), f'mark {n}'], env=self.env,
                                  stdout=subprocess.PIPE) for n in range(10)]
        for mark in marks:
            mark.communicate(timeout=60)
            self.assertEqual(mark.returncode, 0)
        names = {m['name'] for m in self.report(victim.pid)['marks']}
        self.assertEqual(names, {f'mark {n}' for n in range(10)})

    def test_the_box_of_a_dead_requester_is_taken_over(self):
        victim = self.serve(BEFORE, 1)
        gone = subprocess.Popen(['true'])
        gone.wait()
        with open(self.ledger_of(victim.pid), 'r+b') as ledger:
            ledger.seek(1120)  # mark_owner
            ledger.write(gone.pid.to_bytes(4, 'little'))
        self.mark(victim.pid, 'mine')
        self.assertEqual([m['name'] for m in self.report(victim.pid)['marks']], ['mine'])

    def test_bad_names_and_targets_are_refused(self):
        victim = self.serve(BEFORE, 1)
        for name in ('', '12', 'a@b', '#3', 'x' * 48, 'a\nb', b'\xff'):
            done = subprocess.run([CLI, 'mark', str(victim.pid), name], env=self.env,
                                  capture_output=True, timeout=60)
            self.assertEqual(done.returncode, 2, name)
            self.assertIn(b'NAME does not accept', done.stderr)
        self.refuse('a target and a name', 'mark', victim.pid, code=2)
        self.refuse('no process 4194303', 'mark', '4194303', 'warm')
        path = self.bufleak('dump', victim.pid).stdout.strip()
        self.refuse('is a snapshot', 'mark', path, 'warm')
        os.kill(victim.pid, signal.SIGSTOP)
        until(lambda: ') T ' in pathlib.Path(f'/proc/{victim.pid}/stat').read_text('utf-8'), 'stop')
        self.refuse('it is stopped', 'mark', victim.pid, 'warm')


    def test_a_mark_is_found_by_any_name_or_by_its_number(self):
        names = ('warm', 'a@b', '123', '', '#1', 'twice', 'twice')
        victim = self.victim(program=MARKER)
        for name in names:
            victim.do(f'mark {name}')
            victim.do('leak 1 100')
        diff = lambda moment: next(
            c['count_change'] for c in self.diff(f'{victim.pid}@{moment}', victim.pid)['classes']
            if c['name'] == 'heap')
        self.assertEqual([m['number'] for m in self.report(victim.pid)['marks']], list(range(1, 8)))
        for number in range(1, 8):
            self.assertEqual(diff(f'#{number}'), 8 - number, number)
        self.assertEqual([diff(name) for name in ('warm', 'a@b', 'twice')], [7, 6, 1])
        ledger = self.ledger_of(victim.pid)
        self.assertEqual(self.diff(f'{ledger}@a@b', ledger)['a']['mark'], 'a@b')
        self.assertEqual(self.diff('@a@b', victim.pid)['a']['mark'], 'a@b')
        self.refuse('has no mark cold; it has: twice, #5 "#1", #4 "", #3 "123", a@b, warm', 'diff',
                    f'{victim.pid}@cold', victim.pid)
        self.assertEqual(self.diff(f'{victim.pid}@#3', victim.pid)['a']['mark'], '123')
        self.refuse('has no snapshot 123; its mark "123" is @#3\n', 'diff', f'{victim.pid}@123',
                    victim.pid)
        self.refuse('has no snapshot 124\n', 'diff', f'{victim.pid}@124', victim.pid)
        self.refuse('has no mark #9;', 'diff', f'{victim.pid}@#9', victim.pid)
        self.assertRegex(self.bufleak('report', victim.pid).stdout,
                         r'marks: 2 earlier · #3 "123", \S+ before · #4 "", \S+ before · '
                         r'#5 "#1", \S+ before · #6 "twice", \S+ before · twice, \S+ before')

    def test_too_many_names_are_counted(self):
        victim = self.victim(program=MARKER)
        for number in range(60):
            victim.do(f'mark mark of some length {number}')
        done = self.bufleak('diff', f'{victim.pid}@cold', victim.pid, code=1)
        self.assertRegex(done.stderr, r'it has: mark of some length 59, .* and \d+ more$')


class Requests(DiffTest):
    def setUp(self):
        super().setUp()
        self.env['BUFLEAK_OPTIONS'] = 'quiet=1:per=on_request:interval=50ms'

    def serve(self, program, requests, *more):
        """It has been sampled when there are requests to be counted by."""
        victim = super().serve(program, requests, *more)
        until(lambda: self.diff(victim.pid, victim.pid)['requests'], 'requests are sampled')
        return victim

    def test_between_two_moments_growth_is_told_per_request(self):
        victim = self.serve(BEFORE, 10)
        self.bufleak('dump', victim.pid)
        self.bufleak('mark', victim.pid, 'warm')
        victim.do('serve 40')
        for moment in ('1', 'warm'):
            diff = self.diff(f'{victim.pid}@{moment}', victim.pid)
            self.assertEqual(diff['requests'], {'function': 'on_request', 'a': 10, 'b': 50})
            body = self.row_of(diff, 'make_body')
            self.assertEqual((body['bytes_per_request'], body['count_per_request']), (1000, 1))
            self.assertIsNone(body['a']['bytes_per_request'])
        text = self.text(f'{victim.pid}@1', victim.pid)
        self.assertIn('   40 requests between them (on_request)\n', text)
        self.assertRegex(text, r'grown · heap · .* · \+1,000 B a request\n')

    def test_backwards_the_signs_agree(self):
        victim = self.serve(BEFORE, 10)
        self.bufleak('dump', victim.pid)
        victim.do('serve 40')
        row = self.row_of(self.diff(victim.pid, f'{victim.pid}@1'), 'make_body')
        self.assertEqual((row['bytes_per_request'], row['count_per_request']), (-1000, -1))
        self.assertIn('· −1,000 B a request\n', self.text(victim.pid, f'{victim.pid}@1'))

    def test_of_two_processes_each_has_its_own(self):
        old, new = self.serve(BEFORE, 10), self.serve(SHIFTED, 40, 'burst 10')
        diff = self.diff(old.pid, new.pid)
        self.assertEqual(diff['requests'], {'function': 'on_request', 'a': 10, 'b': 40})
        row = self.row_of(diff, 'make_body')
        self.assertEqual([row[side]['bytes_per_request'] for side in 'ab'], [1000, 1000])
        self.assertIsNone(row['bytes_per_request'])
        burst = self.row_of(diff, 'take_burst')
        self.assertEqual(burst['b']['bytes_per_request'], 16)
        text = self.text(old.pid, new.pid)
        self.assertIn('10 → 40 requests (on_request)', text)
        self.assertIn('1,000 B → 1,000 B a request', text)

    def test_nothing_is_said_where_one_side_counted_none(self):
        old = self.serve(BEFORE, 10)
        self.env['BUFLEAK_OPTIONS'] = 'quiet=1'
        new = DiffTest.serve(self, BEFORE, 40)
        for pair in ((old.pid, new.pid), (new.pid, old.pid)):
            diff = self.diff(*pair)
            self.assertIsNone(diff['requests'])
            self.assertIsNone(self.row_of(diff, 'make_body')['a']['bytes_per_request'])
            self.assertNotIn('request', self.text(*pair).replace('on_request', ''))
        self.refuse('calls of on_request were not counted in this process', 'diff', '--per',
                    'on_request', old.pid, new.pid)


class Selections(DiffTest):
    def setUp(self):
        super().setUp()
        self.a = self.serve(BEFORE, 10)
        self.b = self.serve(BEFORE, 20, 'burst 3')

    def test_small_changes_are_left_out_and_counted(self):
        diff = self.diff('--min-bytes', '9K', self.a.pid, self.b.pid)
        self.assertEqual([r['frames'][0]['function'] for r in diff['groups']], ['make_body'])
        self.assertGreaterEqual(diff['summary']['below_min_bytes'], 2)
        self.assertIn('changed by less than asked for',
                      self.text('--min-bytes', '9K', self.a.pid, self.b.pid))

    def test_match_class_and_top(self):
        diff = self.diff('--match', '^copy_text$', self.a.pid, self.b.pid)
        self.assertEqual([r['count_change'] for r in diff['groups']], [10])
        diff = self.diff('--top', 1, self.a.pid, self.b.pid)
        self.assertEqual((len(diff['groups']), diff['groups_total'] > 1), (1, True))
        self.assertIn('(--top 0 shows all)', self.text('--top', 1, self.a.pid, self.b.pid))
        self.refuse('neither ledger has a class gst', 'diff', '--class', 'gst', self.a.pid,
                    self.b.pid)

    def test_other_groups_than_places(self):
        diff = self.diff('--group', 'size', self.a.pid, self.b.pid)
        sizes = {r['key']['size']: r['count_change'] for r in diff['groups']}
        self.assertEqual((sizes[1000], sizes[100], sizes[64]), (10, 10, 3))
        diff = self.diff('--group', 'module', self.a.pid, self.b.pid)
        self.assertEqual([r['count_change'] for r in diff['groups']
                          if r['key']['module'] == 'diff_before'], [23])
        diff = self.diff('--group', 'thread', self.a.pid, self.b.pid)
        self.assertEqual([r['count_change'] for r in diff['groups']
                          if r['key']['name'] == 'diff_before'], [23])
        diff = self.diff('--group', 'age', self.a.pid, self.b.pid)
        self.assertEqual(sum(r['count_change'] for r in diff['groups']), 23)


class Samples(DiffTest):
    def test_every_command_shows_the_same_estimates(self):
        """Of blocks of 1,000 B one in about seventeen is recorded; what each command shows is what
        the report does, not what was recorded."""
        self.env['BUFLEAK_OPTIONS'] = 'quiet=1:sample=16K:interval=50ms'
        victim = self.victim(program=BEFORE)

        def look():
            victim.do('serve 200')
            report = self.report(victim.pid)
            return report['groups'][0]['verdict'] == 'growing' and len(report['series']) > 30
        until(look, 'it grows')
        now_ns = self.report(victim.pid)['process']['uptime_ns']
        until(lambda: self.report(victim.pid)['series'][-1]['t_ns'] > now_ns, 'a later sample')
        report = self.report(victim.pid)
        heap = report['classes'][0]
        close = lambda seen, key: self.assertAlmostEqual(seen, heap[key], delta=heap[key] * 0.02)
        self.assertGreater(heap['live_bytes'], 1000000)
        close(report['series'][-1]['live_bytes'], 'live_bytes')
        close(report['series'][-1]['live_count'], 'live_count')
        place = max(report['site_series'], key=lambda s: s['points'][-1]['live_bytes'])
        self.assertEqual(place['frames'][0]['function'],
                         report['groups'][0]['alloc']['frames'][0]['function'])
        self.assertEqual((place['class'], place['until_ns'], place['growth']['trend']),
                         ('heap', None, 'growing'))
        self.assertLessEqual(len(place['points']), 60)
        group = report['groups'][0]
        self.assertAlmostEqual(place['points'][-1]['live_count'], group['count'],
                               delta=group['count'] * 0.02)
        listed = json.loads(self.bufleak('ps', '--format', 'json').stdout)['processes'][0]
        self.assertTrue(listed['estimate'])
        close(listed['live_bytes'], 'live_bytes')
        close(listed['live_count'], 'live_count')
        self.assertRegex(self.bufleak('ps').stdout, r' ~[0-9.]+ MiB ')
        frame = json.loads(self.bufleak('top', '--once', '--format', 'json', victim.pid).stdout)
        shown, = [c for c in frame['classes'] if c['name'] == 'heap']
        self.assertTrue(shown['estimate'])
        close(shown['live_bytes'], 'live_bytes')
        close(shown['sparks'][-1], 'live_bytes')
        rise = report['series'][-1]['live_bytes'] - report['series'][0]['live_bytes']
        seconds = (report['series'][-1]['t_ns'] - report['series'][0]['t_ns']) / 1e9
        self.assertAlmostEqual(shown['bytes_per_s'], rise / seconds, delta=0.3 * rise / seconds)
        close(sum(s['bytes'] for s in frame['sites']), 'live_bytes')
        path = self.bufleak('dump', victim.pid).stdout.strip()
        same = next(c for c in self.diff(path, victim.pid)['classes'] if c['name'] == 'heap')
        close(same['b']['live_bytes'], 'live_bytes')
        self.assertIn('A is an estimate', self.text(path, victim.pid))
        self.bufleak('mark', victim.pid, 'warm')
        self.refuse('only a part of the heap is recorded', 'diff', f'{victim.pid}@warm', victim.pid)


class BadInput(DiffTest):
    def test_wrong_usage_is_said(self):
        self.refuse('two targets, not 1', 'diff', '1', code=2)
        self.refuse('two targets, not 3', 'diff', '1', '2', '3', code=2)
        self.refuse('--group', 'diff', '--group', 'colour', '1', '2', code=2)
        self.refuse('--format', 'diff', '--format', 'html', '1', '2', code=2)
        self.refuse('--symbols cannot read /nowhere', 'diff', '--symbols', '/nowhere', '1', '2',
                    code=2)
        self.refuse('unknown option --hooks', 'diff', '--hooks', '1', '2', code=2)
        self.assertIn('Usage: bufleak diff', self.bufleak('diff', '--help').stdout)

    def test_what_is_not_there_is_said(self):
        ledger = self.home / 'a.ledger'
        subprocess.run([WRITER, ledger], check=True)
        self.refuse('no file nothing', 'diff', ledger, 'nothing')
        self.refuse('no process 4194303', 'diff', '4194303', ledger)
        self.refuse('has no snapshot 3', 'diff', f'{ledger}@3', ledger)
        self.refuse('has no mark midnight; it has: none', 'diff', ledger, f'{ledger}@midnight')
        self.refuse('after @ goes the number of a snapshot or the name of a mark', 'diff', ledger,
                    f'{ledger}@')
        self.refuse('leave --group away', 'diff', '--group', 'size', ledger, f'{ledger}@midnight')

    def test_hostile_files_are_refused_or_compared(self):
        good = self.home / 'good.ledger'
        bad = self.home / 'bad.ledger'
        subprocess.run([WRITER, good], check=True)
        content = good.read_bytes()
        bad.write_bytes(b'not a ledger')
        self.refuse('bad.ledger', 'diff', good, bad)
        for at in range(20480, len(content), max(1, len(content) // 50)):
            bad.write_bytes(content[:at] + b'\xff' * 16 + content[at + 16:])
            done = subprocess.run([os.environ.get('BUFLEAK_CLI', BUILD / 'cli' / 'bufleak'), 'diff',
                                   good, bad], env=self.env, capture_output=True, timeout=60)
            self.assertIn(done.returncode, (0, 1), done.stderr)


if __name__ == '__main__':
    main()
