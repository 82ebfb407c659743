#!/usr/bin/python3
"""check: what leaked fails, what did not passes, and what was not looked at is never a pass."""
import json
import os
import pathlib
import re
import shutil
import signal
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

    def victim(self, *arguments, program='check_before', **more):
        return self.check(*more.pop('options', ()), '--', PROGRAMS / program, *arguments, **more)

    def names(self, result, fate='fails'):
        """{the function that made the block: how many}"""
        return {next(f for f in g['functions'] if f not in ('make_block', 'run_test', 'main')):
                g['count'] for g in result['groups'] if g['fate'] == fate}


class Running(CheckTest):
    def test_a_failure_of_the_command_is_passed_on(self):
        self.check('--allow-unknown', '--', PROGRAMS / 'check_before', 'exit', '7', code=7)
        self.check('--', PROGRAMS / 'check_before', 'raise', '15', code=128 + 15)
        self.check('--', '/nonexistent', code=127)
        self.check('--', '/etc/passwd', code=126)

    def test_files_that_cannot_be_written_are_told_before_the_run_or_cost_no_report(self):
        ran = self.home / 'ran'
        for option in ('--json', '--junit', '--sarif', '--markdown', '--gitlab', '--output'):
            self.refuse('cannot write /nonexistent/file: ', 'check', option, '/nonexistent/file', '--', 'touch', ran)
        self.refuse('cannot write /nonexistent/file: ', 'check', '--baseline', '/nonexistent/file',
                    '--update-baseline', '--', 'touch', ran)
        self.refuse('cannot write /nonexistent/file: ', 'check', '--gen-suppressions=/nonexistent/file', '--',
                    'touch', ran)
        self.assertFalse(ran.exists())
        said = self.check('--sarif', '/dev/full', '--', PROGRAMS / 'check_before', 'lose', '1', '50', code=1)
        self.assertEqual(said['outcome'], 'leaks')
        self.assertIn('lose_blocks', self.done.stderr)
        self.assertIn('cannot write /dev/full', self.done.stderr)

    def test_a_reader_that_has_gone_costs_the_text_and_nothing_else(self):
        for closed in ('stdout', 'stderr'):
            ends = os.pipe()
            os.close(ends[0])
            report = self.home / 'report.json'
            streams = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, closed: ends[1]}
            done = subprocess.run([CLI, 'check', '--github', '--json', report, '--', PROGRAMS / 'check_before',
                                   'lose', '1', '10'], env=self.env, timeout=LIMIT, **streams)
            os.close(ends[1])
            # what says so may be read by nobody either
            self.assertIn(done.returncode, (1, -signal.SIGPIPE) if closed == 'stderr' else (1,))
            self.assertEqual(json.loads(report.read_text())['outcome'], 'leaks')
            self.assertEqual(list(self.home.glob('bufleak-check-*')), [], 'ledgers are removed')
        # the command's own pipes break as ever
        self.check('--processes', 'check_b*', '--', 'bash', '-c', 'yes | head -1; test ${PIPESTATUS[0]} = 141 && '
                   f'{PROGRAMS}/check_before')

    def test_no_room_for_ledgers_is_no_pass(self):
        small = self.home / 'small'
        small.mkdir()
        mount = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs -o size=8k none "$0" && exec "$@"', small]
        if subprocess.run([*mount, 'true'], capture_output=True).returncode != 0:
            self.skipTest('nothing can be mounted')
        done = subprocess.run([*mount, CLI, 'check', '--processes', 'check_b*', '--', 'sh', '-c',
                               f'{PROGRAMS}/check_before; exit 0'], env=dict(self.env, TMPDIR=str(small)),
                              capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn('was full: set TMPDIR', done.stderr)

    def test_the_summary_is_the_last_line_and_an_end_is_told_once(self):
        self.check('--gen-suppressions', '--', PROGRAMS / 'check_before', 'lose', '1', '50', code=23)
        self.assertIn('\nleak:^', '\n' + self.done.stderr)
        self.assertRegex(self.done.stderr.splitlines()[-1], '^bufleak check: leaks, ')
        with subprocess.Popen([str(CLI), 'check', '--', 'sh', '-c', 'echo here; exec sleep 60'], env=self.env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
            running.stdout.readline()
            running.terminate()
            _, said = running.communicate(timeout=LIMIT)
        self.assertEqual(running.returncode, 128 + signal.SIGTERM)
        self.assertEqual(said.count('was killed by SIGTERM'), 1, said)

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

    def test_an_untracked_process_beside_a_judged_one_is_an_error(self):
        program = self.home / 'unseen'
        subprocess.run(['gcc', '-static', '-x', 'c', '-', '-o', program], check=True, text=True,
                       input='#include <unistd.h>\nint main(void) { char c; return read(0, &c, 1) != 0; }')

        def run(*options, code=0):
            fifo = self.home / 'fifo'
            fifo.unlink(missing_ok=True)
            os.mkfifo(fifo)
            # the static program lives until it was said that it is not tracked
            out = self.home / 'check.json'
            out.unlink(missing_ok=True)
            with subprocess.Popen([str(CLI), 'check', '--json', str(out), *options, '--', 'sh', '-c',
                                   f'{program} < {fifo}; {PROGRAMS}/check_before'], env=self.env,
                                  text=True, stderr=subprocess.PIPE) as running:
                with open(fifo, 'w'):
                    first = running.stderr.readline()
                rest = running.stderr.read()
            self.assertEqual(running.returncode, code, first + rest)
            self.assertIn('unseen[', first)
            return json.loads(out.read_text())['outcome'], rest

        outcome, text = run(code=1)
        self.assertEqual(outcome, 'unknown')
        self.assertIn('--allow-untracked', text)
        self.assertEqual(run('--allow-untracked')[0], 'passed')
        self.assertEqual(run('--ignore-process', 'unseen')[0], 'passed')

    def test_shells_are_left_out_unless_asked_for(self):
        result = self.check('--', 'sh', '-c', 'exit 0', code=1)
        self.assertEqual(result['outcome'], 'nothing-checked')
        self.assertIn('--processes', self.done.stderr)
        result = self.check('--allow-unknown', '--processes', 'sh',
                            '--processes', 'dash', '--', 'sh', '-c', 'exit 0')
        self.assertEqual([p['judged'] for p in result['processes']], [True])

    def test_the_systems_tools_are_left_out_unless_one_is_the_command(self):
        own = pathlib.Path(shutil.copy(PROGRAMS / 'check_before', self.home / 'expr'))
        result = self.check('--', 'sh', '-c', f'expr 1 + 1; {own}; exit 0')
        self.assertEqual(sorted((p['comm'], p['ignored']) for p in result['processes']),
                         [('expr', False), ('expr', True), ('sh', True)])
        self.assertTrue(self.check('--', 'true')['processes'][0]['judged'])
        self.check('--processes', 'true', '--', 'sh', '-c', 'true & exec env true')

    def test_ignored_processes_are_not_judged(self):
        result = self.check('--ignore-process', 'check_b*', '--', PROGRAMS / 'check_before', code=1)
        self.assertEqual(result['outcome'], 'nothing-checked')
        self.assertTrue(result['processes'][0]['ignored'])
        self.assertRegex(self.done.stderr,
                         r'left out: check_before\[\d+\]: by --ignore-process check_b\*')
        self.check('--processes', 'other', '--', PROGRAMS / 'check_before', code=1)
        self.assertRegex(self.done.stderr,
                         r'left out: check_before\[\d+\]: by --processes, which .*: other\n')

    def test_a_script_is_known_by_its_name_and_by_its_interpreters(self):
        name = 'a-name-longer-than-the-kernel-keeps'
        script = self.home / f'{name}.py'
        script.write_text('#!/usr/bin/python3 -B\n')
        script.chmod(0o755)
        python = '/usr/bin/python3'
        ways = {'bang': [script], 'file': [python, '-B', '-W', 'error', script],
                'module': [python, '-B', '-m', name], 'env': ['env', python, script]}
        for way, command in ways.items():
            for pattern in (f'{name}*', 'python3*'):
                with self.subTest(way, pattern=pattern):
                    result = self.check('--ignore-process', pattern, '--', *command, code=1, cwd=self.home)
                    self.assertEqual([p['ignored'] for p in result['processes']], [True])
            self.check('--processes', f'{name}*', '--', *command, cwd=self.home)
        # neither text nor an option is a script
        for command in ([python, '-c', f'"{script}"', script], ['true', script]):
            self.check('--ignore-process', f'{name}*', '--', *command)
        # what the built-in names say of programs they say of scripts
        (self.home / 'meson').write_text('')
        self.check('--', python, self.home / 'meson', code=1)
        self.assertIn('by the built-in name meson', self.done.stderr)

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
        said = self.bufleak('check', '--baseline', bad, 'true', code=1).stderr
        self.assertRegex(said, f'{bad}:1:[0-9]+: no baseline: ')
        bad.write_text('{"schema": 1, "leaks": [\n<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> topic\n]}\n')
        self.assertIn(f'{bad}:2: no baseline: a merge left a conflict', self.bufleak(
            'check', '--baseline', bad, 'true', code=1).stderr)
        self.refuse('it is a directory', 'check', '--baseline', self.home, 'true')
        self.refuse('is to be written twice', 'check', '--json', bad, '--sarif', bad, 'true')
        for arguments in (['--allow', 'heap:count=x'], ['--tolerance', 'much'], ['--repeat', '0'],
                          ['--error-exitcode', '256'], ['--update-baseline'], ['--tolerance', '5'],
                          ['--json', ''], ['--gen-suppressions='], ['--processes', ''], []):
            self.bufleak('check', *arguments, *(['true'] if arguments else []), code=2)

    def test_a_profile_file_that_is_wrong_is_told_before_the_run(self):
        path = self.home / 'my.profile'
        ran = self.home / 'ran'
        good = 'class widget\n    library libwidget.so*\n    alloc   widget_new\n' \
            '    release widget_put\n'
        for content, expected in (
                (None, f'cannot open the profile {path}: '),
                (bytes(range(256)), f'{path}:1:'),
                (good.encode() + b'    retian  widget_ref\n', f'{path}:5:5: unknown word `retian`'),
                (good.encode() + b'class other\n    library libwidget.so*\n    alloc other_new\n'
                 b'    release widget_put\n', f'{path}:8:'),
                (b'# nothing\n', f'{path}:1:1: it names no class')):
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_bytes(content)
            for quiet in ([], ['--quiet']):
                said = self.bufleak('check', '--profiles', f'auto,{path}', *quiet, 'touch', ran,
                                    code=1).stderr
                self.assertTrue(said.startswith(f'bufleak: {expected}'), said)
                self.assertEqual(said.count('\n'), 1, said)
        self.refuse('cannot open the profile gstraemer: ', 'check', '--profiles', 'gstraemer',
                    'touch', ran)
        self.env['BUFLEAK_OPTIONS'] = f'profiles={path}'
        self.refuse('names no class', 'check', 'touch', ran)
        self.assertFalse(ran.exists())
        path.write_text(good)
        self.check('--processes', 'touch', '--', 'touch', ran, code=1)
        self.assertTrue(ran.exists())

    def test_a_class_of_a_profile_file_that_no_process_has_is_no_pass(self):
        profile = self.home / 'my.profile'
        profile.write_text('class widget\n    library libwidgett.so*\n    alloc   widget_new\n'
                           '    release widget_put\n')
        why = 'is not tracked: no libwidgett.so* with a function of it was loaded'
        command = ['--profiles', f'auto,{profile}', '--', 'touch', self.home / 'ran']
        result = self.check('--processes', 'touch', *command, code=1)
        self.assertEqual(result['outcome'], 'unknown')
        self.assertEqual(result['profiles_missing'],
                         [{'profile': str(profile), 'class': 'widget', 'why': why}])
        self.assertIn('1 class of a profile never seen', result['summary'])
        self.assertIn(f'profile {profile}: class widget {why} in any process\n', self.done.stderr)
        report = self.home / 'junit.xml'
        self.check('--processes', 'touch', '--junit', report, *command, code=1)
        self.assertIn(f'class widget {why}', report.read_text())
        result = self.check('--processes', 'touch', '--allow-unknown', *command)
        self.assertEqual(result['outcome'], 'passed')
        self.assertEqual(len(result['profiles_missing']), 1)

    def test_what_the_library_of_a_profile_lacks_is_told(self):
        library = self.home / 'libwidget.so'
        program = self.home / 'widget'
        profile = self.home / 'my.profile'
        for out, source, more in (
                (library, '#include <stdlib.h>\nstruct widget { int rc; };\n'
                          'struct widget *widget_new(void) { struct widget *w = malloc(16);'
                          ' w->rc = 1; return w; }\n'
                          'struct widget *widget_ref(struct widget *w) { w->rc++; return w; }\n'
                          'void widget_put(struct widget *w) { if (--w->rc == 0) free(w); }\n',
                 ['-shared', '-fPIC']),
                (program, 'void *widget_new(void); void *widget_ref(void *); void widget_put(void *);\n'
                          'int main(void) { void *w = widget_new(); widget_ref(w); widget_put(w);'
                          ' widget_put(w); return 0; }\n',
                 ['-L', self.home, '-lwidget', f'-Wl,-rpath,{self.home}'])):
            subprocess.run(['gcc', '-O1', '-g', '-x', 'c', '-', '-o', out, *more], check=True,
                           text=True, input=source)
        text = ('class widget\n    library libwidget.so*\n    alloc   widget_new\n'
                '    retain  widget_ref{}\n    release widget_put\n')
        profile.write_text(text.format(''))
        result = self.check('--profiles', f'auto,{profile}', '--', program)
        self.assertEqual(result['unseen'], [])
        self.assertNotIn('warning', self.done.stderr)
        profile.write_text(text.format('f'))
        # once, however many processes say so
        result = self.check('--repeat', '2', '--profiles', f'auto,{profile}', '--', program)
        why = 'the library has no function of this name'
        self.assertEqual(result['unseen'], [{'profile': str(profile), 'class': 'widget',
                                             'function': 'widget_reff', 'why': why}])
        self.assertEqual(self.done.stderr.count('warning: '), 1)
        self.assertIn(f'warning: profile {profile}: widget_reff of class widget is not seen: {why}\n',
                      self.done.stderr)


class Untracked(CheckTest):
    """Programs that no loader can put the shim into, and that have ended before anybody looked."""
    SOURCE = 'int main(void) { return 0; }'
    WAYS = ('fork', 'vfork', 'spawn', 'spawnp', 'execvp', 'execveat', 'fexecve', 'system',
            'missing-often')

    def build(self, name, *flags, source=SOURCE):
        program = self.home / name
        subprocess.run(['gcc', *flags, '-x', 'c', '-', '-o', program], check=True, text=True,
                       input=source)
        return program

    def start(self, way, program, *more, options=(), code=1, **rest):
        return self.check(*options, '--', PROGRAMS / 'check_starter', way, program, *more, code=code,
                          **rest)

    def named(self, result):
        return {u['comm']: u['count'] for u in result['untracked']}

    def test_a_static_program_is_named_however_it_was_started(self):
        program = self.build('gone_at_once', '-static')
        for way in self.WAYS:
            with self.subTest(way=way):
                result = self.start(way, program)
                self.assertEqual(result['outcome'], 'unknown')
                self.assertEqual(self.named(result), {'gone_at_once': 1})
                self.assertRegex(self.done.stderr, r'not tracked: gone_at_once\[[1-9]\d*\]: '
                                 f'{program} is a static program')
                self.assertEqual(self.start(way, program, code=0, options=['--allow-untracked'])
                                 ['outcome'], 'passed')

    def test_run_and_report_name_it_too(self):
        program = self.build('gone_at_once', '-static')
        for way, started_by in (('spawn', 'check_starter'), ('fork', 'check_starter'), ('shell', 'sh')):
            with self.subTest(way=way):
                command = [PROGRAMS / 'check_starter', way, program, '2']
                if way == 'shell':
                    command = ['sh', '-c', f'{program}; exit 0']
                said = self.bufleak('run', '--exit-report', 'none', '--', *command).stderr
                self.assertRegex(said, r'bufleak: not in these reports: gone_at_once\[[1-9]\d*\]: '
                                 f'{program} is a static program: ')
                found = [report for path in self.ledgers.glob(f'{started_by}.*.ledger')
                         for report in [self.report(path)] if report['untracked']]
                self.assertEqual({u['path'] for report in found for u in report['untracked']}, {str(program)})
                text = self.bufleak('report', *self.ledgers.glob(
                    f'{started_by}.{found[0]["process"]["pid"]}.*.ledger')).stdout
                self.assertRegex(text, r'\nnot tracked:\n  gone_at_once\[\d+\]: ')
                shutil.rmtree(self.ledgers)
        self.assertNotIn('not in these reports', self.bufleak(
            'run', '--', PROGRAMS / 'check_starter', 'fork', self.build('ordinary')).stderr)

    MALLOC = '''
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <stddef.h>
        #include <string.h>
        #if PASSES_ON
        void *malloc(size_t size)
        {
            return ((void *(*)(size_t))dlsym(RTLD_NEXT, "malloc"))(size);
        }
        #else
        static char arena[1 << 22];
        static size_t used;
        void *malloc(size_t size)
        {
            used = (used + 15) / 16 * 16 + size;
            return used > sizeof(arena) ? NULL : &arena[used - size];
        }
        void *calloc(size_t count, size_t size) { return malloc(count * size); }
        void *realloc(void *old, size_t size)
        {
            void *new = malloc(size);
            return old && new ? memmove(new, old, size) : new;
        }
        void free(void *block) {}
        #endif
        int main(void)
        {
            memset(malloc(40), 1, 40);
            return 0;
        }
        '''

    def test_an_allocator_that_comes_before_the_shim_is_no_pass(self):
        """As where jemalloc or tcmalloc is linked in statically."""
        program = self.build('linked', '-rdynamic', '-fno-builtin', '-DPASSES_ON=0', source=self.MALLOC)
        result = self.check('--', program, code=1)
        self.assertEqual(result['outcome'], 'unknown')
        self.assertIn('nothing of its heap was seen', self.done.stderr)
        self.check('--allow-unknown', '--', program)
        said = self.bufleak('run', '--', program).stderr
        self.assertIn('the program brings a malloc of its own', ' '.join(said.split()))

    def test_a_malloc_that_passes_on_to_the_next_is_seen(self):
        program = self.build('passes', '-rdynamic', '-fno-builtin', '-O1', '-DPASSES_ON=1', source=self.MALLOC)
        self.check('--', program, code=23)

    def test_a_heap_of_which_only_a_part_is_seen_is_said(self):
        """As where an allocator is linked in statically, and only operator new comes by."""
        program, allocator = self.home / 'partly', self.home / 'allocator.o'
        subprocess.run(['gcc', '-c', '-fno-builtin', '-DPASSES_ON=0', '-Dmain=not_this', '-x', 'c', '-', '-o', allocator],
                       check=True, text=True, input=self.MALLOC)
        subprocess.run(['g++', '-rdynamic', '-x', 'c++', '-', '-x', 'none', allocator, '-o', program], check=True, text=True,
                       input='int main() { delete new int(7); return 0; }')
        junit = self.home / 'junit.xml'
        result = self.check('--junit', junit, '--', program)
        self.assertEqual([(p['partial'], p['unknown']) for p in result['processes']], [(True, False)])
        self.assertIn('seen in part: partly[', self.done.stderr)
        self.assertIn(', 1 seen in part', self.done.stderr.splitlines()[-1])
        self.assertIn('<system-out>seen in part: ', junit.read_text())
        self.assertEqual([p['partial'] for p in self.victim('keep', '1', '10')['processes']], [False])

    def test_an_abort_is_told_as_one(self):
        program = self.build('aborts', source='#include <stdlib.h>\nchar *volatile p; int main(void) { p = malloc(9); abort(); }')
        process, = self.check('--', program, code=134)['processes']
        self.assertEqual((process['state'], process['exit_status'], process['why']),
                         ('killed', None, 'it aborted, and its end could not be looked at'))

    def test_a_dynamic_program_is_not(self):
        program = self.build('ordinary')
        for way in self.WAYS:
            with self.subTest(way=way):
                self.assertEqual(self.start(way, program, code=0)['untracked'], [])

    def test_every_kind_of_static_program_is_known(self):
        kinds = {'pie': self.build('pie', '-static-pie', '-fPIE'),
                 'bare': self.build('bare', '-static', '-nostdlib', source="""
                     void _start(void) {
                         __asm__("mov $60, %eax; xor %edi, %edi; syscall");
                     }""")}
        if shutil.which('busybox'):
            copy = shutil.copy(shutil.which('busybox'), self.home / 'true')
            if b'statically' in subprocess.run(['ldd', copy], capture_output=True).stderr:
                kinds['true'] = copy
        for name, program in kinds.items():
            self.assertEqual(self.named(self.start('spawn', program)), {name: 1})

    def test_one_of_another_word_size_is_named(self):
        source = 'void _start(void) { __asm__("mov $1, %eax; xor %ebx, %ebx; int $0x80"); }'
        program = self.build('narrow', '-m32', '-static', '-nostdlib', source=source)
        try:
            subprocess.run([program], check=True)
        except OSError:
            self.skipTest('the kernel runs no 32-bit programs')
        self.start('vfork', program)
        self.assertIn('another word size', self.done.stderr)

    def test_scripts_are_named_by_their_own_name_and_their_interpreter(self):
        interpreter = self.build('interpreter', '-static')
        script = self.home / 'script'
        script.write_text(f'#! {interpreter} -x\n')
        outer = self.home / 'outer'
        outer.write_text(f'#!{script}\n')
        for path in (script, outer):
            path.chmod(0o755)
            self.assertEqual(self.named(self.start('vfork', path)), {path.name: 1})
            self.assertIn(f'{interpreter} is a static', self.done.stderr)
        script.write_text('#!/bin/sh\nexit 0\n')
        self.assertEqual(self.start('vfork', script, code=0)['untracked'], [])

    def test_a_set_user_id_program_is_named_unless_it_changes_nothing(self):
        if os.geteuid() != 0:
            self.skipTest('only root gives files to others')
        self.home.chmod(0o755)
        for name, user, mode, secure in (('theirs', 65534, 0o4755, True), ('group', 0, 0o2755, True),
                                         ('mine', 0, 0o4755, False), ('plain', 65534, 0o755, False)):
            program = pathlib.Path(shutil.copy('/bin/true', self.home / name))
            os.chown(program, user, 65534)
            program.chmod(mode)
            with self.subTest(name):
                for way in ('fork', 'vfork', 'spawn'):
                    result = self.start(way, program, code=1 if secure else 0)
                    self.assertEqual(self.named(result), {name: 1} if secure else {})
                    if secure:
                        self.assertIn('AT_SECURE', self.done.stderr)
        # where it gives nothing, the shim comes along
        result = self.check('--', 'setpriv', '--no-new-privs', PROGRAMS / 'check_starter', 'vfork',
                            self.home / 'theirs')
        self.assertEqual(result['untracked'], [])
        self.assertIn('theirs', [p['comm'] for p in result['processes']])

    def test_names_and_default_names_leave_it_out(self):
        program = self.build('ldconfig', '-static')
        self.assertEqual(self.start('vfork', program, code=0)['untracked'], [])
        program = self.build('known', '-static')
        for options in (['--ignore-process', 'kno*'], ['--processes', 'check_starter']):
            self.assertEqual(self.start('vfork', program, options=options, code=0)['untracked'], [])

    def test_many_of_one_name_are_counted_and_what_failed_is_not(self):
        program = self.build('often', '-static')
        self.assertEqual(self.named(self.start('spawn', program, 30)), {'often': 30})
        self.assertRegex(self.done.stderr, r'not tracked: often\[\d+\] and 29 more: ')
        self.assertIn(', 30 not tracked', self.done.stderr)
        image = bytearray(program.read_bytes())
        image[56:58] = b'\0\0'  # no program header: static to look at, and refused by exec
        program.write_bytes(image)
        result = self.check('--', 'python3', '-c', 'import os, sys\n'
                            'try: os.execv(sys.argv[1], sys.argv[1:])\n'
                            'except OSError: pass', program)
        self.assertEqual(self.named(result), {})

    def test_an_environment_without_the_shim_gets_it_back(self):
        program = self.build('stripped')
        result = self.check('--', 'env', '-i', program)
        self.assertIn('stripped', [p['comm'] for p in result['processes'] if p['judged']])
        result = self.check('--', 'env', '-i', self.build('unseen', '-static'), code=1)
        self.assertEqual(self.named(result), {'unseen': 1})

    def test_pythons_subprocess_is_seen(self):
        program = self.build('of_python', '-static')
        result = self.check('--ignore-process', 'python*', '--', 'python3', '-c', 'import subprocess, '
                            'sys; subprocess.run(sys.argv[1:], check=True)', program, code=1)
        self.assertEqual(self.named(result), {'of_python': 1})


class Ending(CheckTest):
    """Who is asked to end ends, judges what it has, and leaves nothing running or half written."""

    def setUp(self):
        super().setUp()
        self.fifo = self.home / 'fifo'
        os.mkfifo(self.fifo)

    def interrupt(self, number, *command, options=(), to_group=False):
        """Starts check, waits for its command to be there, and sends it a signal."""
        out = self.home / 'check.json'
        out.unlink(missing_ok=True)
        with subprocess.Popen([str(CLI), 'check', '--json', out, '--junit', self.home / 'junit.xml',
                               *map(str, options), '--', *map(str, command)], env=self.env, text=True,
                              stderr=subprocess.PIPE, start_new_session=True) as running:
            with open(self.fifo, 'rb'):
                pass  # somebody opened the other end: the command waits for its signal
            pids = [pid for pid, parent in self.parents() if parent == running.pid]
            (os.killpg if to_group else os.kill)(running.pid, number)
            self.text = running.stderr.read()
            code = running.wait(LIMIT)
        self.assertGreater(len(pids), 0)
        for pid in pids:
            self.assertTrue(self.has_ended(pid), 'nothing runs on')
        self.assertEqual(list(self.home.glob('bufleak-check-*')), [], 'ledgers are removed')
        subprocess.run(['xmllint', '--noout', self.home / 'junit.xml'], check=True)
        return code, json.loads(out.read_text())

    @staticmethod
    def has_ended(pid):
        """Whoever adopts it may take a while to notice."""
        try:
            return pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] in 'ZX'
        except OSError:
            return True

    @staticmethod
    def parents():
        """(pid, parent) of every process, also of those that a reaper adopted."""
        for stat in pathlib.Path('/proc').glob('[0-9]*/stat'):
            try:
                text = stat.read_text()
            except OSError:
                continue
            yield int(stat.parent.name), int(text.rpartition(')')[2].split()[1])

    def test_a_signal_is_passed_on_and_its_end_is_the_checks(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            code, result = self.interrupt(number, PROGRAMS / 'check_before', 'keep', '5', '10',
                                          'await', self.fifo)
            self.assertEqual((code, result['command_code']), (128 + number, 128 + number))
            self.assertEqual(result['outcome'], 'unknown')
            self.assertTrue(self.text.splitlines()[-1].startswith(
                f'bufleak check: the command failed with {128 + number}, '))

    def test_a_command_that_ends_well_by_it_is_judged(self):
        code, result = self.interrupt(signal.SIGHUP, PROGRAMS / 'check_before', 'await', self.fifo,
                                      'lose', '3', '10', options=['--repeat', '5'])
        self.assertEqual((code, result['runs']), (23, 1))
        self.assertEqual(self.names(result), {'lose_blocks': 3})

    def test_of_a_shell_nothing_is_left_running(self):
        for number, to_group in ((signal.SIGTERM, False), (signal.SIGINT, True)):
            code, result = self.interrupt(number, 'sh', '-c', f'{PROGRAMS}/check_before await '
                                          f'{self.fifo}; exit 0', to_group=to_group)
            self.assertEqual(code, 128 + number)
            self.assertEqual([p['state'] for p in result['processes'] if not p['ignored']],
                             ['killed'])

    def test_a_daemon_is_ended_with_the_check(self):
        program = [PROGRAMS / 'check_before', 'daemon', self.fifo, 'lose', '2', '10']
        code, result = self.interrupt(signal.SIGTERM, *program, options=['--wait', '5m'])
        self.assertEqual(code, 23, self.text)
        self.assertEqual(self.names(result), {'lose_blocks': 2})

    def test_what_outlives_the_command_is_waited_for_and_stopped(self):
        program = ['--', 'sh', '-c', f'{PROGRAMS}/check_before daemon {self.fifo} lose 2 10 '
                   f'>{os.devnull} 2>&1; cat {self.fifo}']
        result = self.check('--stop', '--wait', '100ms', *program, code=23)
        self.assertEqual(self.names(result), {'lose_blocks': 2})
        result = self.check('--wait', '100ms', *program, code=1)
        self.assertEqual([p['state'] for p in result['processes'] if p['unknown']], ['running'])
        running, = [p['pid'] for p in result['processes'] if p['state'] == 'running']
        os.kill(running, signal.SIGKILL)


class Repeated(CheckTest):
    def test_a_leak_is_told_with_the_runs_that_left_it(self):
        result = self.victim('lose', '3', '100', options=['--repeat', '4'], code=23)
        group, = result['groups']
        self.assertEqual(group['runs'], {'of': 4, 'seen': 4, 'least': 3, 'most': 3})
        self.assertEqual((group['count'], len(result['processes']), result['runs']), (12, 4, 4))
        self.assertRegex(self.done.stderr, r'in runs +4 of 4, 3 in each\n')
        first = self.home / 'first'
        group, = self.victim('once', first, 'lose', '2', '100', options=['--repeat', '3'],
                             code=23)['groups']
        self.assertEqual(group['runs'], {'of': 3, 'seen': 1, 'least': 2, 'most': 2})
        self.assertRegex(self.done.stderr, r'in runs +1 of 3, 2 in each: not in all of them\n')
        self.assertEqual(self.victim('keep', '50', '100', options=['--repeat', '3'])['groups'], [])

    def test_limits_and_the_baseline_hold_for_one_run(self):
        repeat = ['--repeat', '3']
        self.victim('lose', '3', '100', options=[*repeat, '--allow', 'count=3,bytes=300'])
        self.victim('lose', '3', '100', options=[*repeat, '--allow', 'count=2'], code=23)
        baseline = ['--baseline', self.home / 'baseline.json']
        self.victim('lose', '3', '100', options=[*baseline, '--update-baseline'])
        self.victim('lose', '3', '100', options=[*baseline, *repeat])
        self.victim('lose', '4', '100', options=[*baseline, *repeat], code=23)
        self.assertIn('from 3 to 4', self.done.stderr)

    def test_the_first_failure_ends_it(self):
        result = self.victim('once', self.home / 'here', 'exit', '3', options=['--repeat', '4'],
                             code=3)
        self.assertEqual(result['runs'], 1)


class Leaks(CheckTest):
    def test_what_the_program_ignores_is_none(self):
        result = self.victim('ignore', '4', '100', 'lose', '1', '10', code=23)
        self.assertEqual(self.names(result), {'lose_blocks': 1})
        self.assertEqual(self.victim('ignore', '4', '100')['groups'], [])

    def test_counted_buffers_that_are_held_count_on_request(self):
        program = self.home / 'cache'
        flags = subprocess.run(['pkg-config', '--cflags', '--libs', 'glib-2.0'], check=True,
                               capture_output=True, text=True).stdout.split()
        subprocess.run(['gcc', '-g', '-x', 'c', '-', '-o', program, *flags], check=True, text=True,
                       input="""
            #include <glib.h>
            GBytes *cache[40];
            static void fill(void) {
                for (int i = 0; i < 40; i++) {
                    g_usleep(20000);
                    cache[i] = g_bytes_new_static("x", 1);
                }
            }
            int main(void) { fill(); return 0; }""")
        groups = self.check('--', program)['groups']
        self.assertEqual({g['fate'] for g in groups}, {'noted'}, groups)
        self.assertIn('not counted: held', self.done.stderr)
        group, = self.check('--held', '--', program, code=23)['groups']
        self.assertEqual((group['fate'], group['reach'], group['count']), ('fails', 'held', 40))
        self.assertIn('cache', group['held_by'])

    def test_what_threads_lost_is_one_leak_however_late(self):
        program = self.home / 'pool'
        flags = subprocess.run(['pkg-config', '--cflags', '--libs', 'glib-2.0'], check=True,
                               capture_output=True, text=True).stdout.split()
        subprocess.run(['gcc', '-O1', '-g', '-x', 'c', '-', '-o', program, *flags], check=True, text=True,
                       input="""
            #include <glib.h>
            __attribute__((noinline)) static void look(GBytes *bytes, int number) {
                GBytes *mine = g_bytes_ref(bytes);
                if (number % 300 != 299)
                    g_bytes_unref(mine);
            }
            static void work(gpointer data, gpointer unused) {
                GBytes *bytes = data;
                (void)unused;
                look(bytes, *(const int *)g_bytes_get_data(bytes, NULL));
                g_bytes_unref(bytes);
            }
            int main(void) {
                GThreadPool *pool = g_thread_pool_new(work, NULL, 4, TRUE, NULL);
                for (int i = 0; i < 6000; i++)
                    g_thread_pool_push(pool, g_bytes_new(&i, sizeof(i)), NULL);
                g_thread_pool_free(pool, FALSE, TRUE);
                return 0;
            }""")
        known = self.home / 'known.json'
        group, = self.check('--baseline', known, '--update-baseline', '--', program)['groups']
        self.assertEqual((group['verdict'], group['reach'], group['count']), ('missing-release', 'lost', 20))
        self.assertEqual(group['functions'][0], 'look')
        for _ in range(3):
            self.check('--baseline', known, '--', program)

    def test_names_that_are_left_out_are_always_said(self):
        command = ['--', 'sh', '-c', f'{PROGRAMS}/check_before; {PROGRAMS}/check_shifted; true']
        result = self.check('--processes', 'check_b*', *command)
        self.assertEqual({p['comm']: p['why'] for p in result['processes'] if p['ignored']}.keys(),
                         {'sh', 'check_shifted'})
        self.assertIn(', 1 process checked, 2 left out', self.done.stderr)
        self.check('--processes', 'check_b*', '--ignore-process', 'check_shift*', '--show-suppressed',
                   *command)
        self.assertRegex(self.done.stderr, r'left out: check_shifted\[\d+\]: by --ignore-process')
        self.assertRegex(self.done.stderr, r'left out: sh\[\d+\]: by --processes')
    def test_what_nothing_leads_to_fails_and_what_is_held_passes(self):
        result = self.victim('lose', '3', '100', 'keep', '50', '100', code=23)
        self.assertEqual(self.names(result), {'lose_blocks': 3})
        self.assertEqual(result['groups'][0]['bytes'], 300)
        self.assertEqual(self.victim('keep', '50', '100')['groups'], [])
        self.victim('lose', '1', '1', options=['--error-exitcode', '9'], code=9)
        self.victim('lose', '1', '1', 'exit', '3', code=3)

    def test_one_leak_of_several_stacks_says_so(self):
        program = self.home / 'twice'
        source = ('#include <stdlib.h>\nvoid *volatile last;\n'
                  'void lose(void) { last = malloc(70); last = NULL; }\n'
                  'int main(int argc, char **argv) { (void)argv; lose();'
                  ' if (argc > 1) lose(); return 0; }')
        subprocess.run(['gcc', '-O0', '-g', '-x', 'c', '-', '-o', program], check=True, text=True,
                       input=source)
        self.check('--', program, code=23)
        self.assertNotIn('several stacks', self.done.stderr)
        group, = self.check('--', program, 'again', code=23)['groups']
        self.assertEqual(group['count'], 2)
        self.assertIn('(one of several stacks):', self.done.stderr)

    def test_what_is_lost_with_another_is_told_with_it(self):
        group, = self.victim('tree', '4', code=23)['groups']
        self.assertEqual((group['count'], group['bytes'], group['indirect_count'],
                          group['indirect_bytes']), (4, 256, 8, 256))

    def test_children_count_by_process_and_in_sum(self):
        inner = f'{PROGRAMS}/check_before lose 2 10'
        result = self.check('--', 'sh', '-c', f'{inner} & {inner} & {inner}; wait', code=23)
        group, = result['groups']
        self.assertEqual(group['count'], 6)
        self.assertEqual([s['count'] for s in group['shares']], [2, 2, 2])
        self.assertEqual(len({s['pid'] for s in group['shares']}), 3)
        result = self.victim('keep', '5', '10', 'fork', 'lose', '1', '10', code=23)
        self.assertEqual(self.names(result), {'lose_blocks': 1})
        self.assertEqual(sum(p['judged'] for p in result['processes']), 2)

    def test_a_killed_process_is_unknown_and_no_pass(self):
        command = f'{PROGRAMS}/check_before keep 5 10 raise 9; exit 0'
        result = self.check('--', 'sh', '-c', command, code=1)
        self.assertEqual(result['outcome'], 'unknown')
        self.assertIn('killed', self.done.stderr)
        self.check('--allow-unknown', '--', 'sh', '-c', command)
        self.assertNotIn('--allow-unknown', self.done.stderr)
        # as a test ends the daemon that it started: many alike are one line, and what to do another
        command = f'for i in 1 2 3; do {PROGRAMS}/check_before keep 5 10 raise 15; done; exit 0'
        summary = self.home / 'summary.md'
        self.check('--markdown', summary, '--', 'sh', '-c', command, code=1)
        lines = self.done.stderr.splitlines()[-4:]
        self.assertRegex(lines[0], r'^unknown: check_before\[\d+\] and 2 more: .* killed before')
        self.assertRegex(lines[1], r'^3 did not come to exit\(\), .* SIGTERM')
        self.assertIn('--allow-unknown', lines[2])
        self.assertIn(', 3 with unknown reach', lines[3])
        self.assertEqual(summary.read_text().count('killed before'), 3)

    def test_a_last_line_says_it_all(self):
        self.victim('lose', '3', '100', code=23)
        self.assertEqual(self.done.stderr.splitlines()[-1], 'bufleak check: leaks, 1 leak '
                         '(3 buffers, 300 B), 1 process checked')
        self.victim('keep', '3', '100')
        self.assertEqual(self.done.stderr, 'bufleak check: passed, 1 process checked\n')

    def test_ledgers_can_be_kept(self):
        done = self.bufleak('check', '--keep', '--', PROGRAMS / 'check_before', 'lose', '1', '9', code=23)
        place = pathlib.Path(done.stderr.splitlines()[-1].split(' are in ')[1])
        report = self.report(next(place.glob('*.ledger')))
        self.assertEqual(report['process']['comm'], 'check_before')
        shutil.rmtree(place)

    def test_blame_falls_on_the_test_that_leaked_also_at_the_same_time(self):
        result = self.victim('threads', code=23)
        group, = result['groups']
        self.assertEqual([(s['test'], s['count']) for s in group['shares']], [('right', 2)])
        result = self.victim('test', 'one', 'lose', '1', '10', 'test', 'two', 'keep', '1', '10', 'test',
                             'three', 'lose', '2', '10', 'test', '-', 'lose', '4', '10', code=23)
        group, = result['groups']
        self.assertEqual({s['test']: s['count'] for s in group['shares']},
                         {'one': 1, 'three': 2, None: 4})
        group, = self.victim('test', 'parent', 'fork', 'lose', '1', '10', code=23)['groups']
        self.assertEqual(group['shares'][0]['test'], 'parent')
        env = dict(self.env, BUFLEAK_TEST='of the environment')
        group, = self.victim('lose', '1', '10', code=23, env=env)['groups']
        self.assertEqual(group['shares'][0]['test'], 'of the environment')

    def test_growth_with_each_iteration_is_a_leak_and_a_cache_is_none(self):
        group, = self.victim('loop', '24', '100', '12', code=23)['groups']
        self.assertEqual((group['verdict'], group['reach']), ('growing', 'held'))
        self.assertIn('kept', group['held_by'])
        self.assertAlmostEqual(group['per_iteration']['count'], 1, delta=0.2)
        self.assertEqual(self.victim('cache', '24', '100', '12')['groups'], [])
        self.victim('loop', '24', '100', '12', options=['--allow', 'growth=200'])
        self.victim('loop', '24', '100', '12', options=['--allow', 'growth=20'], code=23)

    def test_allowances_are_of_classes_and_in_all(self):
        leak = ['lose', '3', '100', 'other', '1', '50']
        for limits, code in (('count=4', 0), ('count=3', 23), ('bytes=350', 0), ('bytes=349', 23),
                             ('heap:count=4', 0), ('heap:count=4,bytes=349', 23),
                             ('g-bytes:count=9', 23)):
            self.victim(*leak, options=['--allow', limits], code=code)
        self.victim(*leak, options=['--allow', 'heap:count=9', '--allow', 'count=3'], code=23)


class Rules(CheckTest):
    LEAK = ['lose', '3', '100', 'other', '1', '50']

    def test_an_allowance_that_says_nothing_is_told(self):
        self.victim('lose', '3', '100', options=['--allow', 'hepa:count=9', '--allow', 'growth=9'], code=23)
        self.assertIn('unused allowance: no process had a class hepa\n', self.done.stderr)
        self.assertIn('unused allowance: growth=', self.done.stderr)
        self.victim('lose', '3', '100', options=['--allow', 'h*:count=9'])
        self.assertNotIn('unused allowance', self.done.stderr)

    def suppressed(self, text, code=23):
        """Which functions' blocks a file of suppressions takes out."""
        path = self.home / 'rules.supp'
        path.write_text(text)
        result = self.victim(*self.LEAK, options=['--suppressions', path], code=code)
        return set(self.names(result, 'suppressed')), result

    def test_sanitizers_rules_match_function_file_and_module(self):
        for rule, expected in (
                ('leak:lose_other', {'lose_other'}),
                ('leak:^lose_', {'lose_blocks', 'lose_other'}), ('leak:^ose_', set()),
                ('leak:lose_o*r$', {'lose_other'}), ('leak:lose_blo$', set()),
                ('leak:check_victim.c', {'lose_blocks', 'lose_other'}),
                ('leak:/check_before', {'lose_blocks', 'lose_other'}), ('leak:check_after', set()),
                ('# leak:lose_other\n\nleak:lose_blocks', {'lose_blocks'})):
            self.assertEqual(self.suppressed(rule + '\n', 0 if len(expected) > 1 else 23)[0],
                             expected, rule)

    def test_qualifiers_narrow_a_rule(self):
        for words, expected in (
                ('class=heap', {'lose_other'}), ('class=g-*', set()), ('reach=lost', {'lose_other'}),
                ('reach=held', set()), ('process=check_*', {'lose_other'}), ('process=x', set()),
                ('verdict=unreleased,max-count=1', {'lose_other'}), ('max-bytes=49', set())):
            self.assertEqual(self.suppressed(f'leak[{words}]:lose_other\n')[0], expected, words)

    def test_valgrinds_rules_match_from_the_allocation_outward(self):
        head = '{\n   name\n   Memcheck:Leak\n'
        for body, expected in (
                ('fun:malloc\nfun:make_block\nfun:lose_other\n', {'lose_other'}),
                ('fun:malloc\nfun:lose_other\n', set()),
                ('...\nfun:lose_*r\n...\nfun:main\n', {'lose_other'}),
                ('match-leak-kinds: definite\nfun:malloc\nfun:make_block\nfun:lose_other\n',
                 {'lose_other'}),
                ('match-leak-kinds: reachable\n...\nfun:lose_other\n', set()),
                ('...\nobj:*/check_before\nfun:lose_other\n', {'lose_other'}),
                ('...\nsrc:check_after.c:*\nfun:lose_other\n', set())):
            self.assertEqual(self.suppressed(head + body + '}\n')[0], expected, body)
        other = '{\n   other\n   Memcheck:Addr4\n   fun:lose_other\n}\n'
        self.assertEqual(self.suppressed(other)[0], set())

    def test_each_stack_of_a_leak_is_asked_about_for_itself(self):
        # the five functions that a leak is known by are the same from both
        program = self.home / 'stacks'
        steps = ''.join(f'void f{i}(void) {{ f{i - 1}(); }}\n' for i in range(2, 7))
        source = ('#include <stdlib.h>\nvoid *volatile last;\n'
                  'void f1(void) { last = malloc(40); last = NULL; }\n' + steps +
                  'void rare(void) { f6(); }\nvoid common(void) { f6(); }\n'
                  'int main(void) { rare(); for (int i = 0; i < 9; i++) common(); return 0; }\n')
        subprocess.run(['gcc', '-O0', '-g', '-x', 'c', '-', '-o', program], check=True, text=True,
                       input=source)
        rules = self.home / 'stacks.supp'
        baseline = self.home / 'stacks.json'

        def counts(text, *options, code=23):
            rules.write_text(text)
            groups = self.check('--suppressions', rules, *options, '--', program,
                                code=code)['groups']
            self.assertEqual(len({group['id'] for group in groups}), 1)
            return {group['fate']: group['count'] for group in groups}

        apart = {'fails': 9, 'suppressed': 1}
        self.assertEqual(counts('leak:^rare$\n', '--show-suppressed'), apart)
        self.assertRegex(self.done.stderr,
                         r'9 buffers, 360 B\n(.*\n)*.* common .*\n(.*\n)*.*1 buffer, 40 B · suppressed\n'
                         r'(.*\n)*.* rare .*\n(.*\n)* *suppressed by .*:1: leak:\^rare\$\n')
        self.assertNotIn('several stacks', self.done.stderr)
        valgrind = '{\n  few\n  Memcheck:Leak\n  fun:malloc\n  ...\n  fun:rare\n}\n'
        self.assertEqual(counts(valgrind), apart)
        self.assertEqual(counts('leak:^common$\n'), {'fails': 1, 'suppressed': 9})
        self.assertEqual(counts('leak:^f6$\n', code=0), {'suppressed': 10})
        # two rules that have it all: each with its own
        rules.write_text('leak:^rare$\nleak:^common$\n')
        result = self.check('--suppressions', rules, '--', program)
        self.assertEqual([(g['suppressed_by']['text'], g['count']) for g in result['groups']],
                         [('leak:^common$', 9), ('leak:^rare$', 1)])
        # limits are of all that matches, whichever stack it came by
        for rule, expected in (('leak[max-count=1]:^rare$', apart),
                               ('leak[max-count=8]:^common$', {'fails': 10}),
                               ('leak[max-bytes=360]:^common$', {'fails': 1, 'suppressed': 9}),
                               ('leak[max-count=9]:^f6$', {'fails': 10}),
                               ('leak[max-count=10]:^f6$', {'suppressed': 10})):
            self.assertEqual(counts(rule + '\n', code=23 if 'fails' in expected else 0), expected,
                             rule)
        # what is suppressed of a leak is not in the baseline, the rest is
        known = {'known': 9, 'suppressed': 1}
        counts('leak:^rare$\n', '--baseline', baseline, '--update-baseline', code=0)
        self.assertEqual([leak['count'] for leak in json.loads(baseline.read_text())['leaks']], [9])
        self.assertEqual(counts('leak:^rare$\n', '--baseline', baseline, code=0), known)
        self.assertEqual(counts('', '--baseline', baseline), {'fails': 10})
        # a rule that is made for a leak is for all of it
        self.check(f'--gen-suppressions={rules}', '--', program, code=23)
        self.check('--suppressions', rules, '--', program)

    def test_any_number_of_frames_any_number_of_times(self):
        head = '{\n   name\n   Memcheck:Leak\n'
        for body, expected in (
                ('...\nfun:make_block\n...\nfun:lose_other\n...\nfun:main\n...\n', {'lose_other'}),
                ('...\nfun:lose_other\n...\nfun:lose_other\n', set()),
                ('...\nfun:main\n...\nfun:lose_other\n', set()),
                # one that tries every way to place its frames would not end
                ('...\nfun:*\n' * 40 + '...\nfun:nobody\n', set())):
            self.assertEqual(self.suppressed(head + body + '}\n')[0], expected, body)

    def test_hostile_files_are_told_in_one_line(self):
        bad = self.home / 'bad'
        for content in (b'leak:x\0leak:y\n', b'{\n', b'{\nx\nMemcheck:Leak\n...', b'leak', b'leak[',
                        b'leak[]:x', b'leak:', b'leak[max-count=99999999999999999999]:x',
                        b'{\nn\nMemcheck:Leak\nmatch-leak-kinds: \xff\n}\n', b'\x7fELF\1\1'):
            bad.write_bytes(content)
            self.bufleak('check', '--suppressions', bad, 'true', code=1)
        self.bufleak('check', '--suppressions', self.home, 'true', code=1)
        self.bufleak('check', '--suppressions', self.home / 'none', 'true', code=1)
        for content in (b'', b'[]', b'{}', b'{"schema": 2, "leaks": []}', b'{"schema": 1, "leaks": {}}',
                        b'{"schema": 1, "leaks": [{"id": "x", "count": 1}]}', b'[' * 100000,
                        b'{"schema": 1, "leaks": [null]}', b'{"schema": 1, "leaks": "\xff"}',
                        b'{"schema": 1, "schema": 1, "leaks": []}', b'{"schema": 1, "leaks": []} x',
                        b'{"schema": 1, "leaks": [{"id": "0a48b3a06c818279", "count": 1e999}]}',
                        b'{"schema": 1, "leaks": [{"id": "0a48b3a06c818279", "count": -1}]}'):
            bad.write_bytes(content)
            self.bufleak('check', '--baseline', bad, 'true', code=1)
        self.bufleak('check', '--baseline', self.home, 'true', code=1)

    def test_a_program_brings_rules_as_for_leaksanitizer(self):
        source = pathlib.Path(__file__).parent / 'check_victim.c'
        program = self.home / 'brings'
        literal = '#include "%s"\nconst char *__lsan_default_suppressions(void);\n' % source
        plain = literal + ('const char *__lsan_default_suppressions(void) '
                           '{ return "# known\\nleak:lose_other\\n"; }\n')

        def build(compiler, *flags, text=plain, language='c'):
            subprocess.run([compiler, '-g', '-pthread', *flags, '-I',
                            source.parent.parent.parent / 'shim', '-x', language, '-', '-o', program],
                           input=text, text=True, check=True)

        ways = [('gcc', '-O0'), ('gcc', '-O2'), ('gcc', '-O1', '-fcf-protection', '-no-pie', '-fno-pie'),
                ('gcc', '-O0', '-no-pie', '-fno-pie'), ('clang', '-O0'), ('clang', '-O2')]
        for way in ways:
            build(*way)
            result = self.check('--', program, *self.LEAK, code=23)
            self.assertEqual(set(self.names(result)), {'lose_blocks'}, way)
            self.assertEqual(set(self.names(result, 'suppressed')), {'lose_other'}, way)
            self.assertEqual(result['unused_suppressions'], [])
        # what it brings is for itself
        result = self.check('--', 'sh', '-c', f'{program} lose 1 10; {PROGRAMS}/check_before '
                            'other 1 10', code=23)
        self.assertEqual(set(self.names(result)), {'lose_blocks', 'lose_other'})
        # nothing of it is run: what is no literal is told
        build('gcc', '-O0', text=literal + 'const char *__lsan_default_suppressions(void) '
              '{ abort(); return "leak:lose_other"; }\n')
        result = self.check('--', program, *self.LEAK, code=23)
        self.assertEqual(set(self.names(result)), {'lose_blocks', 'lose_other'})
        self.assertIn('does more than return a literal', self.done.stderr)
        build('gcc', text=literal + 'const char *__lsan_default_suppressions(void) '
              '{ return "leek:x"; }\n')
        self.check('--', program, 'lose', '1', '10', code=23)
        self.assertRegex(self.done.stderr, r'__lsan_default_suppressions of .*:1:1: unknown')

    def test_rules_of_leaksanitizers_options_are_read(self):
        if b'__asan_init' in CLI.read_bytes():
            self.skipTest('the sanitizer in this build of the command reads them as its own')
        path = self.home / 'l san.supp'
        path.write_text('leak:lose_other\n')
        for options in (f'suppressions="{path}"', f"verbosity=1:suppressions='{path}':x=y"):
            result = self.victim(*self.LEAK, code=23, env=dict(self.env, LSAN_OPTIONS=options))
            self.assertEqual(set(self.names(result)), {'lose_blocks'})
        path = path.rename(self.home / 'plain')
        env = dict(self.env, LSAN_OPTIONS=f'a=1,suppressions={path} b')
        self.assertEqual(set(self.names(self.victim(*self.LEAK, code=23, env=env))), {'lose_blocks'})
        for options in ('', ':', 'suppressions=', 'x', '=', "suppressions='"):
            self.victim('keep', '1', '10', env=dict(self.env, LSAN_OPTIONS=options))
        env['LSAN_OPTIONS'] = 'suppressions=/nonexistent'
        self.bufleak('check', 'true', code=1, env=env)

    def test_built_in_rules_hide_no_leak_of_what_a_library_calls_back(self):
        lose = ('#include <stdlib.h>\n__attribute__((noinline)) void lose_own(void);'
                'void lose_own(void) { void *volatile p = malloc(77); p = NULL; }\n')
        for name, source, packages in (
                ('once', lose + """
                    #include <openssl/crypto.h>
                    static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
                    int main(void) { return !CRYPTO_THREAD_run_once(&once, lose_own); }""",
                 ['libcrypto']),
                ('class', lose + """
                    #include <glib-object.h>
                    typedef struct { GObject parent; } Thing;
                    typedef struct { GObjectClass parent; } ThingClass;
                    G_DEFINE_TYPE(Thing, thing, G_TYPE_OBJECT)
                    static void thing_class_init(ThingClass *c) { (void)c; lose_own(); }
                    static void thing_init(Thing *t) { (void)t; }
                    int main(void) { g_type_class_ref(thing_get_type()); return 0; }""",
                 ['gobject-2.0'])):
            program = self.home / name
            flags = subprocess.run(['pkg-config', '--cflags', '--libs', *packages], check=True,
                                   capture_output=True, text=True).stdout.split()
            subprocess.run(['gcc', '-g', '-x', 'c', '-', '-o', program, *flags], check=True,
                           text=True, input=source)
            group, = self.check('--', program, code=23)['groups']
            self.assertEqual((group['bytes'], group['functions'][0]), (77, 'lose_own'), name)
        # a constructor that the loader runs
        library = self.home / 'libctor.so'
        subprocess.run(['gcc', '-g', '-shared', '-fPIC', '-x', 'c', '-', '-o', library], check=True,
                       text=True, input=lose + '__attribute__((constructor)) static void begin(void)'
                       '{ lose_own(); }')
        program = self.home / 'loads'
        subprocess.run(['gcc', '-g', '-x', 'c', '-', '-o', program], check=True, text=True,
                       input='#include <dlfcn.h>\nint main(int argc, char **argv)'
                       '{ return argc < 2 || !dlopen(argv[1], RTLD_NOW); }')
        group, = self.check('--', program, library, code=23)['groups']
        self.assertEqual((group['bytes'], group['functions'][0]), (77, 'lose_own'))

    def test_what_glib_frees_to_its_own_allocator_holds_nothing(self):
        program = pathlib.Path('/usr/libexec/installed-tests/glib/bookmarkfile')
        if not program.exists() or not shutil.which('valgrind'):
            self.skipTest('GLib\'s installed tests or valgrind are missing')
        log = self.home / 'valgrind'
        env = dict(self.env, G_TEST_SRCDIR=str(program.parent), G_TEST_BUILDDIR=str(program.parent))
        subprocess.run(['valgrind', '--leak-check=full', f'--log-file={log}', program], check=True,
                       env=env, stdout=subprocess.DEVNULL, timeout=LIMIT * 3)
        lost = {kind: int(count.replace(',', '')) for kind, count in re.findall(
            r'(definitely|indirectly) lost: [\d,]+ bytes in ([\d,]+) blocks', log.read_text())}
        result = self.check('--', program, code=23, env=env)
        self.assertEqual((sum(g['count'] for g in result['groups']),
                          sum(g['indirect_count'] for g in result['groups'])),
                         (lost['definitely'], lost['indirectly']))

    def test_any_bytes_of_a_rule_can_be_told(self):
        path = self.home / 'rules.supp'
        path.write_bytes(b'leak:caf\xe9\x1b[1m\n')
        result = self.victim('keep', '1', '10', options=['--suppressions', path])
        self.assertEqual(len(result['unused_suppressions']), 1)
        self.assertNotIn('\x1b', self.done.stderr)
        baseline = self.home / 'baseline.json'
        baseline.write_text(json.dumps({'schema': 1, 'leaks': [
            {'id': '0123456789abcdef', 'count': 1, 'class': '\x1b[2J', 'functions': ['a\nb', None, 7]}]}))
        result = self.victim('keep', '1', '10', options=['--baseline', baseline])
        self.assertEqual(len(result['fixed']), 1)
        self.assertNotIn('\x1b', self.done.stderr)

    def test_unused_rules_are_listed(self):
        _, result = self.suppressed('leak:lose_other\nleak:nobody\n')
        self.assertEqual([r['text'] for r in result['unused_suppressions']], ['leak:nobody'])
        self.assertIn('rules.supp:2: leak:nobody', self.done.stderr)

    def test_generated_rules_suppress_what_they_were_made_of(self):
        path = self.home / 'made.supp'
        self.victim(*self.LEAK, options=[f'--gen-suppressions={path}'], code=23)
        self.assertIn('# heap, lost: ', path.read_text())
        self.victim(*self.LEAK, options=['--suppressions', path])
        # not by what all allocate with, which would hide any other
        rules = [line for line in path.read_text().splitlines() if not line.startswith('#')]
        self.assertEqual(sorted(rules), ['leak:^lose_blocks$', 'leak:^lose_other$'])


class Baseline(CheckTest):
    LEAK = ['lose', '3', '100', 'other', '1', '50']

    def setUp(self):
        super().setUp()
        self.baseline = self.home / 'baseline.json'

    def run_with(self, program, *arguments, code=0, options=()):
        return self.check('--baseline', self.baseline, *options, '--', program, *arguments,
                          code=code)

    def build(self, compiler, *defines):
        source = pathlib.Path(__file__).parent / 'check_victim.c'
        program = self.home / compiler / 'check_before'
        program.parent.mkdir(exist_ok=True)
        subprocess.run([compiler, '-O2', '-g', '-pthread', *defines, '-I',
                        source.parent.parent.parent / 'shim', source, '-o', program], check=True)
        return program

    def test_the_life_of_a_baseline(self):
        self.run_with(PROGRAMS / 'check_before', *self.LEAK, code=1)
        self.run_with(PROGRAMS / 'check_before', *self.LEAK, options=['--update-baseline'])
        self.assertIn(f'the baseline was written to {self.baseline}', self.done.stderr)
        first = self.baseline.read_text()
        entries = json.loads(first)['leaks']
        self.assertEqual([e['functions'][1] for e in entries], ['lose_blocks', 'lose_other'])
        result = self.run_with(PROGRAMS / 'check_before', *self.LEAK)
        self.assertEqual({g['baseline'] for g in result['groups']}, {'unchanged'})
        # other lines and offsets, then another compiler, which inlines otherwise
        for name, defines in (('gcc', ['-DSHIFTED']), ('clang', ['-DSHIFTED'])):
            result = self.run_with(self.build(name, *defines), *self.LEAK)
            self.assertEqual({g['baseline'] for g in result['groups']}, {'unchanged'}, name)
        # one more: only that is new
        result = self.run_with(self.build('clang', '-DSHIFTED', '-DANOTHER'), *self.LEAK, code=23)
        new, = [g for g in result['groups'] if g['baseline'] == 'new']
        self.assertIn('lose_another', new['functions'])
        self.assertEqual(list(self.names(result)), ['lose_another'])
        self.assertIn('1 leak ', self.done.stderr)
        # an old one is fixed: said, and gone with the next update
        result = self.run_with(self.build('gcc', '-DSHIFTED', '-DFIXED'), *self.LEAK)
        self.assertEqual([f['functions'][1] for f in result['fixed']], ['lose_blocks'])
        self.assertIn('fixed: heap', self.done.stderr)
        self.run_with(self.build('gcc', '-DSHIFTED', '-DFIXED'), *self.LEAK,
                      options=['--update-baseline'])
        self.assertEqual([e['functions'][1] for e in json.loads(self.baseline.read_text())['leaks']],
                         ['lose_other'])
        self.run_with(PROGRAMS / 'check_before', *self.LEAK, code=23)
        # what is written is the same each time
        self.baseline.unlink()
        self.run_with(PROGRAMS / 'check_before', *self.LEAK, options=['--update-baseline'])
        self.assertEqual(self.baseline.read_text(), first)

    def test_it_is_written_from_a_whole_run_alone(self):
        victim = PROGRAMS / 'check_before'
        self.run_with(victim, *self.LEAK, options=['--update-baseline'])
        first = self.baseline.read_text()
        # what failed, or was not wholly seen, may have left out what leaks
        self.run_with(victim, 'exit', '3', options=['--update-baseline', '--allow-unknown'], code=3)
        self.assertIn('was left as it is: the command failed', self.done.stderr)
        self.assertNotIn('taken out', self.done.stderr)
        self.run_with('sh', '-c', f'{victim} keep 1 10 raise 9; exit 0', options=['--update-baseline'], code=1)
        self.assertIn('was left as it is: not everything was checked', self.done.stderr)
        self.run_with('sh', '-c', 'exit 0', options=['--update-baseline'], code=1)
        self.assertEqual(self.baseline.read_text(), first)
        # what is written is known at once, to whoever reads the files
        junit = self.home / 'junit.xml'
        self.baseline.unlink()
        result = self.run_with(victim, *self.LEAK, options=['--update-baseline', '--junit', junit, '--github'])
        self.assertEqual(({g['fate'] for g in result['groups']}, result['outcome']), ({'known'}, 'passed'))
        self.assertNotIn('<failure', junit.read_text())
        self.assertNotIn('::error', self.done.stdout)
        self.assertIn('lose_blocks', self.done.stderr)

    def test_what_is_suppressed_is_not_gone(self):
        rules = self.home / 'rules.supp'
        rules.write_text('leak:lose_other\n')
        self.run_with(PROGRAMS / 'check_before', *self.LEAK, options=['--update-baseline'])
        result = self.run_with(PROGRAMS / 'check_before', *self.LEAK, options=['--suppressions', rules])
        self.assertEqual(({g['fate'] for g in result['groups']}, result['fixed']), ({'known', 'suppressed'}, []))

    def test_it_is_written_wherever_the_file_can_be(self):
        victim = [PROGRAMS / 'check_before', *self.LEAK]
        self.baseline.symlink_to('kept.json')
        kept = self.home / 'kept.json'
        kept.write_text('{"schema": 1, "leaks": []}')
        kept.chmod(0o640)
        self.run_with(*victim, options=['--update-baseline'])
        self.assertTrue(self.baseline.is_symlink())
        self.assertEqual(kept.stat().st_mode & 0o777, 0o640)
        first = kept.read_text()
        # several at once: one of them has the last word, and it is whole
        at_once = [subprocess.Popen([CLI, 'check', '--baseline', kept, '--update-baseline', '--', *victim],
                                    env=self.env, stderr=subprocess.DEVNULL) for _ in range(4)]
        self.assertEqual([process.wait(LIMIT) for process in at_once], [0] * 4)
        self.assertEqual(kept.read_text(), first)
        self.assertEqual(list(self.home.glob('*.part')), [])
        # a file that is mounted, as containers have it, cannot be replaced
        mounted = self.home / 'mounted.json'
        mounted.write_text('')
        mount = ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" "$1" && shift && exec "$@"', kept, mounted]
        if subprocess.run([*mount, 'true'], capture_output=True).returncode != 0:
            self.skipTest('nothing can be mounted')
        kept.write_text('{"schema": 1, "leaks": []}')
        subprocess.run([*mount, CLI, 'check', '--baseline', mounted, '--update-baseline', '--', *victim],
                       env=self.env, check=True, capture_output=True, timeout=LIMIT)
        self.assertEqual(kept.read_text(), first)

    def test_growth_fails_beyond_the_tolerance(self):
        self.run_with(PROGRAMS / 'check_before', 'lose', '10', '100', options=['--update-baseline'])
        more = [PROGRAMS / 'check_before', 'lose', '11', '100']
        result = self.run_with(*more, code=23)
        self.assertEqual(result['groups'][0]['baseline'], 'grown')
        self.assertIn('from 10 to 11', self.done.stderr)
        for tolerance in ('1', '10%'):
            self.run_with(*more, options=['--tolerance', tolerance])
        self.run_with(*more, options=['--tolerance', '9%'], code=23)

    def test_two_branches_merge(self):
        self.run_with(PROGRAMS / 'check_before', 'lose', '3', '10', options=['--update-baseline'])
        one = json.loads(self.baseline.read_text())
        self.run_with(PROGRAMS / 'check_before', 'lose', '5', '10', 'other', '1', '10',
                      options=['--update-baseline'])
        two = json.loads(self.baseline.read_text())
        two['leaks'] += one['leaks']
        self.baseline.write_text(json.dumps(two))
        self.run_with(PROGRAMS / 'check_before', 'lose', '5', '10', 'other', '1', '10')
        self.assertNotIn('fixed', self.done.stderr)

    CXX = '''
#include <cstdlib>
#include <cstring>
#define APART __attribute__((noinline))
static void *volatile lost;
static inline void *make(size_t size) { char *block = (char *)malloc(size); block[0] = 1; return block; }
static APART void lose(size_t size) { lost = make(size); lost = nullptr; }
namespace {
APART void lose_unnamed() { lost = make(50); lost = nullptr; }
struct Local { static APART void lose_local() { lost = make(51); lost = nullptr; } };
}
template <class T> APART void lose_typed(T) { lost = new T[10]; lost = nullptr; }
template <class F> APART void call(F function) { function(52); }
APART void lose_by_lambda() { call([](int size) { lost = make((size_t)size); lost = nullptr; }); }
APART void lose_at_the_end() { lose(53); }
#ifdef ANOTHER
APART void lose_another() { lost = make(54); lost = nullptr; }
#endif
APART void wipe() { volatile char s[16384]; memset((char *)s, 0, sizeof(s)); }
int main()
{
    lose(53); lose_at_the_end(); lose_unnamed(); Local::lose_local(); lose_typed(1); lose_typed('x'); lose_by_lambda();
#ifdef ANOTHER
    lose_another();
#endif
    wipe();
}
'''

    def test_whoever_compiled_a_cxx_program_and_however_its_leaks_are_known(self):
        def run(compiler, *flags, strips=False, **more):
            program = self.home / 'program'
            subprocess.run([compiler, '-w', *flags, '-x', 'c++', '-', '-o', program], check=True,
                           text=True, input=self.CXX)
            if strips:
                subprocess.run(['strip', program], check=True)
            return self.run_with(program, **more)

        self.assertEqual(len(run('g++', '-g', '-O0', options=['--update-baseline'])['groups']), 7)
        # names are in debug information or of symbols, calls at the end are jumps, what is small is inlined
        for compiler, *flags in (('g++', '-O2', '-g'), ('clang++', '-O2'), ('g++', '-O0', '-no-pie')):
            result = run(compiler, *flags)
            self.assertEqual(({g['baseline'] for g in result['groups']}, result['fixed']), ({'unchanged'}, []),
                             (compiler, flags))
        new, = [g for g in run('clang++', '-O2', '-DANOTHER', code=23)['groups'] if g['fate'] == 'fails']
        self.assertIn('lose_another()', new['functions'])
        # without any names nothing is taken for another one
        result = run('g++', '-O0', strips=True, code=23)
        self.assertEqual(len([g for g in result['groups'] if g['baseline'] == 'new']), 7)
        self.assertIn('has no symbols', self.done.stderr)

    def test_without_debug_information_each_leak_is_the_most_like_one_of_the_baseline(self):
        text = ('#include <stdlib.h>\n#include <string.h>\n#define APART __attribute__((noinline))\n'
                'static char *make(int n) { char *p = malloc(n); p[0] = 1; return p; }\n'
                'APART void lose_a(void) { char *volatile p = make(40); p = NULL; }\n'
                'APART void lose_b(void) { char *volatile p = make(41); p = NULL; }\n'
                'static void lose_c(void) { char *volatile p = make(42); p = NULL; }\n'
                'static void lose_d(void) { char *volatile p = make(43); p = NULL; }\n'
                'APART void lose_new(void) { char *volatile p = make(44); p = NULL; }\n'
                'APART void wipe(void) { volatile char s[16384]; memset((char *)s, 0, sizeof(s)); }\n'
                'int main(int argc, char **argv) { if (!FIXED) lose_a(); lose_b(); lose_c(); lose_d();\n'
                '    if (argc > 1) lose_new(); wipe(); return 0; }\n')

        def run(flags, *arguments, fixed=0, **more):
            subprocess.run(['gcc', '-w', *flags, f'-DFIXED={fixed}', '-x', 'c', '-', '-o', self.home / 'program'],
                           check=True, text=True, input=text)
            return self.run_with(self.home / 'program', *arguments, **more)

        self.assertEqual(len(run(['-g', '-O0'], options=['--update-baseline'])['groups']), 4)
        # lose_c, lose_d and make leave no trace here, and what the two lose is one leak of main
        result = run(['-O2'])
        self.assertEqual({tuple(g['functions']): g['baseline'] for g in result['groups']},
                         {('lose_a', 'main'): 'unchanged', ('lose_b', 'main'): 'unchanged', ('main',): 'unchanged'})
        self.assertEqual(result['fixed'], [])
        new, = [g for g in run(['-O2'], 'more', code=23)['groups'] if g['fate'] == 'fails']
        self.assertEqual((new['functions'][0], new['baseline']), ('lose_new', 'new'))
        self.assertEqual(len(run(['-O2'], fixed=1)['fixed']), 1)


if __name__ == '__main__':
    main()
