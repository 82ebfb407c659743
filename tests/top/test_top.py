#!/usr/bin/python3
"""The live view in a real terminal: what is on the screen, and what becomes of the terminal."""
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import unittest

from common import BUILD, CLI, LIMIT, CliTest, main, until

BEFORE = BUILD / 'tests' / 'cli' / 'diff_before'
BYTES = BUILD / 'tests' / 'preload' / 'references' / 'victim_bytes'
KEYS = 'q quit  enter open  s sort  / filter  p pause  w time  d dump  m mark  h help'


class Terminal:
    """A terminal of tmux, on a server of its own, in which one command runs."""
    numbers = itertools.count()

    def __init__(self, test, command, width=80, height=24, **variables):
        self.socket = test.home / f'tmux{next(self.numbers)}'
        env = {name: value for name, value in test.env.items()
               if name not in ('TMUX', 'TMUX_PANE', 'NO_COLOR', 'COLUMNS', 'LINES')}
        env.update({'LC_ALL': 'C.UTF-8', **variables})
        self.env = env
        test.addCleanup(self.end)
        # the window stays after the command has ended
        self.tmux('-f', '/dev/null', 'new-session', '-d', '-x', str(width), '-y', str(height),
                  f'{command}; exec cat')

    def tmux(self, *arguments):
        done = subprocess.run(['tmux', '-S', str(self.socket), *arguments], env=self.env, text=True,
                              capture_output=True, timeout=LIMIT, check=False)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def end(self):
        subprocess.run(['tmux', '-S', str(self.socket), 'kill-server'], env=self.env, check=False,
                       stderr=subprocess.DEVNULL, timeout=LIMIT)

    def screen(self, *how):
        return self.tmux('capture-pane', '-p', *how)

    def lines(self):
        return self.screen().splitlines()

    def press(self, *keys):
        self.tmux('send-keys', *keys)

    def type(self, text):
        self.tmux('send-keys', '-l', text)

    def resize(self, width, height):
        self.tmux('resize-window', '-x', str(width), '-y', str(height))

    def until(self, *texts):
        """Waits until all of these are on the screen, which is the result."""
        def look():
            screen = self.screen()
            return screen if all(re.search(text, screen, re.M) for text in texts) else None
        try:
            return until(look, f'{texts} on the screen')
        except AssertionError as error:
            raise AssertionError(f'{error}:\n{self.screen()}') from None

    def format(self, what):
        return self.tmux('display-message', '-p', what).strip()


class TopTest(CliTest):
    def setUp(self):
        super().setUp()
        if not shutil.which('tmux'):
            self.fail('tmux is missing, see scripts/setup test')

    def serve(self, requests, *more):
        victim = self.victim(program=BEFORE)
        for order in (f'serve {requests}', *more):
            victim.do(order)
        return victim

    def top(self, *arguments, width=80, height=24, after='', **variables):
        command = ' '.join(shlex.quote(str(a)) for a in (CLI, 'top', *arguments))
        return Terminal(self, f'echo before; {command}; echo left with $?{after}', width, height,
                        **variables)

    def once(self, *arguments):
        return json.loads(self.bufleak('top', '--once', '--format', 'json', *arguments).stdout)

    def forget(self, requests, every):
        """The ledger of a program that forgot a reference to every n-th buffer."""
        before = set(self.ledgers.glob('*.ledger')) if self.ledgers.exists() else set()
        env = dict(self.env, LD_PRELOAD=str(BUILD / 'shim' / 'libbufleak.so'),
                   BUFLEAK_OPTIONS='quiet=1')
        subprocess.run([BYTES, str(requests), str(every), '1'], env=env, check=True,
                       stdout=subprocess.DEVNULL)
        return (set(self.ledgers.glob('*.ledger')) - before).pop()


class Screens(TopTest):
    def test_80_by_24_shows_classes_and_places_and_follows_them(self):
        victim = self.serve(1200)
        terminal = self.top(victim.pid)
        screen = terminal.until(r'heap +2,402 ', r' 1,200 +1\.14 MiB .*make_body diff_victim',
                                r' 1,200 +117\.19 KiB .*copy_text diff_victim')
        lines = screen.splitlines()
        self.assertRegex(lines[0], rf'^bufleak · diff_before\[{victim.pid}\] · up \S+ · live$')
        self.assertRegex(screen, r'(?m)^CLASS +LIVE +BYTES +RATE +TREND +LAST')
        self.assertRegex(screen, r'(?m)^ +COUNT +BYTES +RATE +VERDICT +\d+ PLACES by bytes$')
        self.assertEqual(lines[-1], KEYS)
        self.assertLessEqual(max(map(len, lines)), 80)
        victim.do('serve 300')
        terminal.until(r'heap +3,002 ', r' 1,500 .*make_body', r'[▁▂▃▄▅▆▇█]')

    def test_a_class_and_its_places_are_of_one_moment(self):
        victim = self.serve(100)
        terminal = self.top(victim.pid, '--interval', '100ms')
        terminal.until('make_body', 'copy_text')
        seen = set()
        before = None
        while len(seen) < 4:
            victim.do('serve 20')
            screen = terminal.screen()
            if screen == before:  # drawn to its end
                total = int(re.search(r'(?m)^heap +([\d,]+) ', screen)[1].replace(',', ''))
                places = [int(n.replace(',', ''))
                          for n in re.findall(r'(?m)^[ >]+([\d,]+) .* diff_victim', screen)]
                self.assertAlmostEqual(total, sum(places), delta=2 * 20, msg=screen)
                seen.add(total)
            before = screen

    def test_any_size_is_used_and_a_new_one_redrawn(self):
        victim = self.serve(10)
        terminal = self.top(victim.pid)
        terminal.until('make_body diff_victim.c')
        terminal.resize(140, 40)
        screen = terminal.until('TREND +CLASS +4 PLACES', r'heap +make_body tests/cli/diff_victim')
        self.assertEqual(screen.splitlines()[39], KEYS)
        terminal.resize(60, 12)
        terminal.until(r'\A(?:.*\n){11}q quit', '^heap', r' 10 +9\.77 KiB')
        terminal.resize(20, 4)
        terminal.until(r'\Abufleak · diff_befo…')
        terminal.resize(80, 24)
        terminal.until('make_body diff_victim.c', re.escape(KEYS))

    def test_many_places_scroll(self):
        ledger = self.home / 'huge.ledger'
        subprocess.run([BUILD / 'tests' / 'cli' / 'write_ledger', ledger, 'huge'], check=True)
        terminal = self.top(ledger)
        terminal.until(r'heap +1,000,000 ', '100 PLACES by bytes')

        def whole(before=frozenset()):
            """The places on a screen that is drawn to its end, other ones than before."""
            shown = set(re.findall(r'gateway\+0x\w+', terminal.screen()))
            return shown if len(shown) == 15 and not shown & before else None
        first = until(whole, '15 places')
        terminal.press('End')
        until(lambda: whole(first), '15 other places')
        terminal.press('Home')
        until(lambda: whole() == first, 'the first places again')

    def test_colour_is_for_verdicts_and_not_without_leave(self):
        if not BYTES.exists():
            self.skipTest('built without GLib')
        ledger = self.forget(2000, 10)
        shown = self.top(ledger)
        shown.until(r' 200 +200\.00 KiB .* missing +g-bytes filter_join vic')
        self.assertRegex(shown.screen('-e'), r'\x1b\[[0-9;]*31[0-9;]*m *missing')
        plain = self.top(ledger, NO_COLOR='1')
        plain.until(' missing +g-bytes')
        self.assertNotRegex(plain.screen('-e'), r'\x1b\[[0-9;]*3[0-7]')

    def test_an_ascii_terminal_gets_ascii(self):
        victim = self.serve(10)
        terminal = self.top(victim.pid, LC_ALL='C')
        screen = terminal.until('make_body', re.escape(KEYS))
        self.assertTrue(screen.isascii(), screen)
        terminal.resize(20, 4)  # where names are cut
        screen = terminal.until(r'\Abufleak - diff_befo~')
        self.assertTrue(screen.isascii(), screen)

    def test_a_question_has_its_row_to_itself(self):
        terminal = self.top(self.serve(10).pid)
        terminal.until('make_body')
        terminal.resize(30, 8)
        terminal.until(r'\A(?:.*\n){6} *COUNT')
        terminal.press('m')
        terminal.type('x')
        terminal.until(r'\A(?:.*\n){6}name of the mark: x_$')

    def test_a_terminal_without_a_cursor_to_move_is_refused(self):
        victim = self.serve(10)
        terminal = Terminal(self, f'TERM=dumb {CLI} top {victim.pid}; echo left with $?')
        terminal.until(r'^bufleak: cannot use this terminal \(TERM=dumb\)', '^left with 1$')


class Keys(TopTest):
    def setUp(self):
        super().setUp()
        self.victim_ = self.serve(100, 'burst 500')
        self.terminal = self.top(self.victim_.pid)
        self.terminal.until('make_body', 'take_burst', 'copy_text')

    def order(self):
        """The functions in the order they are listed."""
        return re.findall(r'(\w+) diff_victim', self.terminal.screen())

    def test_sorting(self):
        self.assertEqual(self.order()[:3], ['make_body', 'take_burst', 'copy_text'])
        self.terminal.press('c')
        self.terminal.until('PLACES by count')
        until(lambda: self.order()[0] == 'take_burst', 'sorted by count')
        self.terminal.press('n')
        self.terminal.until('PLACES by name')
        until(lambda: self.order() == sorted(self.order()), 'sorted by name')
        self.terminal.press('s')
        self.terminal.until('PLACES by bytes')

    def test_filtering(self):
        self.terminal.press('/')
        self.terminal.until('^filter: _$')
        self.terminal.type('BURX')
        self.terminal.press('BSpace')
        self.terminal.until('^filter: BUR_$')
        self.terminal.press('Enter')
        self.terminal.until('1 PLACE by bytes with BUR')
        self.assertEqual(self.order(), ['take_burst'])
        self.terminal.press('Escape')
        self.terminal.until('make_body')
        self.terminal.press('/')
        self.terminal.type('nowhere')
        self.terminal.press('Enter')
        self.terminal.until('nothing like that')

    def test_a_place_opens_with_its_stack_and_history(self):
        self.terminal.press('Down', 'Down', 'Enter')
        screen = self.terminal.until(r'^heap · 500 buffers, 31\.25 KiB', r'^  take_burst +\S+\.c:\d+',
                                     r'^  main +\S+\.c:\d+', 'followed for', r'█.*\n.* now$')
        self.assertIn('31.25 KiB ', screen)
        self.victim_.do('burst 100')
        self.terminal.until(r'^heap · 600 buffers')
        self.victim_.do('calm')
        self.terminal.until('nothing is left of it')
        self.terminal.press('Escape')
        self.terminal.until('PLACES by bytes')

    def test_a_class_opens_too(self):
        self.terminal.press('Up', 'Enter')
        self.terminal.until(r'^heap · 702 buffers', 'followed for')

    def test_a_held_picture_stays(self):
        self.terminal.press('p')
        held = self.terminal.until('paused', 'held; p goes on')
        self.victim_.do('serve 50')
        until(lambda: self.once(self.victim_.pid)['classes'][0]['live_count'] == 802, '50 requests')
        self.assertEqual(self.terminal.screen(), held)
        self.terminal.press('p')
        screen = self.terminal.until(r'heap +802 ')
        self.assertNotIn('paused', screen)

    def test_help_and_back(self):
        self.terminal.press('?')
        self.terminal.until('set a mark, to compare with later')
        self.terminal.press('Escape')
        self.terminal.until(re.escape(KEYS))

    def test_the_time_shown_is_chosen(self):
        self.terminal.press('w')
        self.terminal.until('the latest 1h 0m are shown')
        self.terminal.press('w', 'w')
        self.terminal.until('all the time there is is shown')

    def test_a_snapshot_is_asked_for(self):
        self.terminal.press('d')
        screen = self.terminal.until(r'^snapshot \S+')
        self.assertEqual(len(list(self.ledgers.glob('*.ledger.1'))), 1, screen)
        self.assertIn('reason', self.report('--snapshot', 1, self.victim_.pid)['process'])


    def test_a_mark_is_set(self):
        self.terminal.press('m')
        self.terminal.until('^name of the mark: _$')
        self.terminal.type('a b@c')
        self.terminal.press('Enter')
        self.terminal.until("a mark's name: at most 47 bytes")
        self.terminal.press('m')
        self.terminal.type('wärm')
        self.terminal.press('Enter')
        self.terminal.until('^marked "wärm"$', 'mark "wärm" .* ago')
        self.assertEqual([m['name'] for m in self.once(self.victim_.pid)['marks']], ['wärm'])


class Ends(TopTest):
    def test_a_killed_program_stays_on_the_screen(self):
        victim = self.serve(100)
        terminal = self.top(victim.pid)
        terminal.until('· live$', ' 100 .*make_body')
        victim.process.kill()
        victim.process.wait()
        terminal.until('· killed$', ' 100 .*make_body')
        terminal.press('d')
        terminal.until('the program has ended: nobody can be asked')
        again = self.top(victim.pid)
        again.until('· killed$', ' 100 .*make_body', r'heap +202 ')

    def test_reading_changes_nothing(self):
        victim = self.serve(100)
        victim.process.kill()
        victim.process.wait()
        ledger = next(self.ledgers.glob('*.ledger'))
        before = (ledger.read_bytes(), ledger.stat().st_mtime_ns, sorted(self.ledgers.iterdir()))
        terminal = self.top(ledger)
        terminal.until('· killed$', 'make_body')
        terminal.press('Down', 'Enter')
        terminal.until('on_request')
        terminal.press('q')
        terminal.until('left with 0')
        after = (ledger.read_bytes(), ledger.stat().st_mtime_ns, sorted(self.ledgers.iterdir()))
        self.assertEqual(before, after)

    def leave(self, how, status):
        """Ends it; what was on the screen and the terminal's settings must be back."""
        settings = self.home / 'settings'
        before, after = f'{settings}.before', f'{settings}.after'
        victim = self.serve(10)
        command = f'stty -a > {before}; echo before; {CLI} top {victim.pid}; ' \
                  f'echo left with $?; stty -a > {after}; echo gone'
        terminal = Terminal(self, command)
        terminal.until('make_body')
        self.assertEqual(terminal.format('#{alternate_on} #{cursor_flag}'), '1 0')
        how(terminal)
        screen = terminal.until(r'\Abefore$', rf'^left with {status}$', '^gone$')
        self.assertNotIn('make_body', screen)
        self.assertEqual(terminal.format('#{alternate_on} #{cursor_flag}'), '0 1')
        with open(before, encoding='ascii') as one, open(after, encoding='ascii') as other:
            self.assertEqual(one.read(), other.read())

    def test_q_restores_the_terminal(self):
        self.leave(lambda terminal: terminal.press('q'), 0)

    def test_ctrl_c_restores_the_terminal(self):
        self.leave(lambda terminal: terminal.press('C-c'), 0)

    def send(self, terminal, number):
        top = int(subprocess.run(['pgrep', '-f', f'{CLI} top', '-P',
                                  terminal.format('#{pane_pid}')], capture_output=True, text=True,
                                 check=True).stdout.split()[0])
        os.kill(top, number)

    def test_sigterm_restores_the_terminal_and_kills(self):
        self.leave(lambda terminal: self.send(terminal, signal.SIGTERM), 128 + signal.SIGTERM)

    def test_stopping_and_going_on(self):
        victim = self.serve(10)
        terminal = Terminal(self, f'bash --norc -ic "set -m; {CLI} top {victim.pid}; echo back; fg; '
                                  'echo left with \\$?"')
        terminal.until('make_body')
        terminal.press('C-z')
        terminal.until('make_body')
        victim.do('serve 5')
        terminal.until(' 15 .*make_body')
        terminal.press('q')
        terminal.until('^back$', '^left with 0$')

    def test_a_terminal_that_is_gone_ends_it(self):
        victim = self.serve(10)
        terminal = self.top(victim.pid)
        terminal.until('make_body')
        shell = terminal.format('#{pane_pid}')
        top = int(subprocess.run(['pgrep', '-f', f'{CLI} top', '-P', shell], capture_output=True,
                                 text=True, check=True).stdout.split()[0])
        terminal.end()
        until(lambda: not os.path.exists(f'/proc/{top}'), 'top has ended')


class Once(TopTest):
    def test_json_has_the_numbers_of_a_report(self):
        victim = self.serve(100, 'burst 7')
        frame = until(lambda: [f for f in [self.once(victim.pid)] if f['classes'][0]['sparks']],
                      'the first samples')[0]
        report = self.report('--live', victim.pid)
        self.assertEqual(frame['process']['pid'], victim.pid)
        self.assertEqual(frame['process']['state'], 'running')
        heap = next(c for c in report['classes'] if c['name'] == 'heap')
        self.assertEqual({k: frame['classes'][0][k] for k in ('live_count', 'live_bytes', 'allocs')},
                         {k: heap[k] for k in ('live_count', 'live_bytes', 'allocs')})
        sites = {s['function']: (s['count'], s['bytes']) for s in frame['sites']}
        self.assertEqual(sites['make_body'], (100, 100000))
        self.assertEqual(sites['take_burst'], (7, 448))
        self.assertEqual(frame['sites_total'], len(frame['sites']))
        self.assertEqual([len(c['sparks']) for c in frame['classes']], [64])

    def test_verdicts_are_rows_and_leave_their_place(self):
        if not BYTES.exists():
            self.skipTest('built without GLib')
        frame = self.once(self.forget(2000, 10))
        rows = [s for s in frame['sites'] if s['class'] == 'g-bytes']
        self.assertEqual([(r['verdict'], r['function'], r['count']) for r in rows],
                         [('missing-release', 'filter_join', 200)])
        self.assertEqual({c['name']: c['verdict'] for c in frame['classes']}['g-bytes'],
                         'missing-release')

    def test_text_fits_and_needs_no_terminal(self):
        victim = self.serve(100)
        text = self.bufleak('top', '--once', '--sort', 'count', '--top', 1, victim.pid).stdout
        self.assertIn('PLACES by count', text)
        self.assertNotIn('\x1b', text)
        self.assertNotIn('quit', text)
        self.assertEqual(len(re.findall('diff_victim', text)), 1)
        only = self.bufleak('top', '--once', '--filter', 'copy_', victim.pid).stdout
        self.assertIn('copy_text', only)
        self.assertNotIn('make_body', only)

    def test_wrong_usage_is_said(self):
        victim = self.serve(1)
        self.refuse('top needs a terminal', 'top', victim.pid)
        self.refuse('go with --once', 'top', '--format', 'json', victim.pid, code=2)
        self.refuse('--sort', 'top', '--sort', 'colour', victim.pid, code=2)
        self.refuse('--interval', 'top', '--interval', '1ms', victim.pid, code=2)
        self.refuse('--window', 'top', '--window', 'soon', victim.pid, code=2)
        self.refuse('one target, not 2', 'top', '1', '2', code=2)
        self.refuse('no process 4194303', 'top', '--once', '4194303')
        self.refuse('no class gst', 'top', '--once', '--class', 'gst', victim.pid)
        bad = self.home / 'bad.ledger'
        bad.write_bytes(b'nothing')
        self.refuse('bad.ledger', 'top', '--once', bad)
        self.assertIn('Usage: bufleak top', self.bufleak('top', '--help').stdout)
        terminal = Terminal(self, f'TERM=nonsense {CLI} top {victim.pid}; echo left with $?')
        terminal.until('cannot use this terminal', 'left with 1')


if __name__ == '__main__':
    main()
