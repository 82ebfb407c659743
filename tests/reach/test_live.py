"""Reach on running programs, and in places where not everything is allowed.

BL_TEST_LONG=1 asks 10,000 times under churn and 1,000 times under a storm of signals.
"""
import ctypes
import glob
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time

import tools

LIVE = os.environ['BL_LIVE']
CASES = os.environ['BL_CASES']
LONG = os.environ.get('BL_TEST_LONG') == '1'

PTRACE, PROCESS_VM_READV, CLONE = 101, 310, 56
CLONE_FILES = 0x400
SHARED = CLONE_FILES | 0x4100  # | CLONE_VM | CLONE_VFORK: where the program has no other threads
EPERM, EAGAIN = 1, 11


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


class Program:
    """The live program, tracked, until it is let go."""

    def __init__(self, mode, options='', **environment):
        self.directory = tempfile.TemporaryDirectory(prefix='bufleak-reach.')
        os.chmod(self.directory.name, 0o700)
        settings = tools.clean_environment(
            LD_PRELOAD=tools.SHIM, BUFLEAK_DIR=self.directory.name,
            BUFLEAK_OPTIONS='quiet=1' + (':' + options if options else ''), **environment)
        self.process = subprocess.Popen([LIVE, mode], env=settings, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if line != 'ready\n':
            self.process.kill()
            raise AssertionError(f'{mode} says {line!r}')

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.directory.cleanup()

    def dump(self):
        """Asks, and returns the report of the snapshot."""
        return tools.report(self.ask())

    def ask(self):
        """The snapshot."""
        found = tools.run([tools.CLI, 'dump', '--reach', '--timeout', '60s', str(self.process.pid)],
                          tools.clean_environment(BUFLEAK_DIR=self.directory.name))
        expect(found.returncode == 0, f'dump: {found.stderr}')
        return found.stdout.strip()

    def sweep(self):
        """Takes away what its ended children left: thousands of ledgers fill a disk."""
        for path in glob.glob(self.directory.name + '/*.ledger'):
            if f'.{self.process.pid}.' not in path and time.time() - os.stat(path).st_mtime > 30:
                os.unlink(path)

    def end(self):
        output, _ = self.process.communicate(timeout=tools.LIMIT)
        expect(self.process.returncode == 0, f'it ended with {self.process.returncode}: {output}')


def check_done(reach):
    graded = sum(reach[k] for k in ('held', 'interior', 'lost', 'lost_indirectly'))
    expect(reach['outcome'] == 'done', f'{reach["outcome"]}: {reach["why"]}')
    expect(reach['child_status'] == 0, f'child status {reach["child_status"]}')
    expect(reach['blocks'] > 0 and graded == reach['blocks'], f'{graded} of {reach["blocks"]}')


def ask_often(program, times):
    pauses = []
    lost = 0
    degraded = 0
    for turn in range(times):
        if turn % 20 == 0:
            program.sweep()
        snapshot = program.ask()
        # without groups there are no symbols to look up, which would take most of the time
        reach = tools.report(snapshot, '--min-bytes', '1000000M')['reach']
        check_done(reach)
        now = tools.lost_by_bufleak(reach)
        if now:
            places = [(g['alloc']['frames'][:2], g['reach_counts']) for g in tools.report(snapshot)['groups']
                      if g.get('reach_counts', {}).get('lost')]
            print(f'# turn {turn}: {now} lost: {places}', flush=True)
        lost += now > 0
        degraded += reach['threads_degraded'] > 0
        pauses.append(reach['pause_ns'])
    pauses.sort()
    print(f'# {times} times: {lost} with something lost, {degraded} degraded; pause median '
          f'{pauses[len(pauses) // 2] / 1e6:.2f} ms, longest {pauses[-1] / 1e6:.2f} ms', flush=True)
    return lost, degraded


def blocking_calls():
    """Forty-three calls that block, asked 30 times: none returns early, no child is seen."""
    with Program('blocking') as program:
        time.sleep(0.3)  # nothing tells from outside when all are in their calls
        for _ in range(30):
            check_done(program.dump()['reach'])
        program.end()


def churn():
    """Under realloc, threads, dlopen, fork and poll nothing is called lost."""
    with Program('churn-behind') as program:
        lost, degraded = ask_often(program, 10000 if LONG else 150)
        program.end()
    expect(lost == 0, f'{lost} times something was called lost')
    expect(degraded <= (100 if LONG else 2), f'{degraded} times a thread was not stopped')


def storm():
    """Under a thousand signals a second, threads and forks it always comes to an answer."""
    with Program('storm') as program:
        lost, _ = ask_often(program, 1000 if LONG else 25)
        program.end()
    expect(lost == 0, f'{lost} times something was called lost')


def deaf_thread():
    """A thread that runs with all signals blocked is not waited for: the run is refused."""
    with Program('deaf') as program:
        reach = program.dump()['reach']
        expect(reach['outcome'] == 'failed', reach['outcome'])
        expect('cannot be stopped' in reach['why'], reach['why'])
        expect(reach['total_ns'] < 2e9, f'{reach["total_ns"]} ns')
        program.end()


def stopped_by_a_debugger():
    """While a debugger holds it, it is said that there is no answer; afterwards there is one, and it runs on."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long] * 4
    attach, detach, of_all_kinds = 16, 17, 0x40000000
    with Program('own-signal') as program:
        if libc.ptrace(attach, program.process.pid, 0, 0) != 0:
            print('# ptrace is not allowed here', flush=True)
            return
        os.waitpid(program.process.pid, of_all_kinds)
        found = tools.run([tools.CLI, 'dump', '--reach', '--timeout', '3s', str(program.process.pid)],
                          tools.clean_environment(BUFLEAK_DIR=program.directory.name))
        expect(found.returncode == 1 and 'did not answer' in found.stderr, found.stderr)
        libc.ptrace(detach, program.process.pid, 0, 0)
        check_done(program.dump()['reach'])
        program.end()


def no_signal_to_be_had():
    """Where no signal can be queued no thread is taken for one that has been stopped: it is refused, and said."""
    with Program('own-signal') as program:
        limit = resource.prlimit(program.process.pid, resource.RLIMIT_SIGPENDING)
        resource.prlimit(program.process.pid, resource.RLIMIT_SIGPENDING, (0, limit[1]))
        reach = program.dump()['reach']
        expect(reach['outcome'] == 'failed' and 'queued' in reach['why'], str(reach))
        resource.prlimit(program.process.pid, resource.RLIMIT_SIGPENDING, limit)
        check_done(program.dump()['reach'])
        program.end()


def own_signal():
    """A program that uses the same signal sees what it set and gets what it is sent."""
    with Program('own-signal') as program:
        for _ in range(3):
            check_done(program.dump()['reach'])
        program.end()


def other_signal():
    """Another signal can be chosen; with none there is no answer, and that is said."""
    with Program('churn', 'reach_signal=RTMAX-7') as program:
        check_done(program.dump()['reach'])
        program.end()
    with Program('churn', 'reach_signal=none') as program:
        reach = program.dump()['reach']
        expect(reach['outcome'] == 'failed' and 'signal' in reach['why'], str(reach))
        program.end()


# ---- places where not everything is allowed ----

def deny(rules):
    """In the child before exec: a seccomp filter; rules: (call, value of its first argument, errno)."""
    code = []

    def op(what, k, jt=0, jf=0):
        code.append(struct.pack('HBBI', what, jt, jf, k))

    op(0x20, 0)  # load the number
    for call, argument, error in rules:
        if argument is None:
            op(0x15, call, 0, 1)
            op(0x06, 0x00050000 | error)
        else:
            op(0x15, call, 0, 4)
            op(0x20, 16)  # load the argument's lower half
            op(0x15, argument, 0, 1)
            op(0x06, 0x00050000 | error)
            op(0x20, 0)
    op(0x06, 0x7fff0000)

    def apply():
        libc = ctypes.CDLL(None, use_errno=True)
        text = b''.join(code)
        buffer = ctypes.create_string_buffer(text, len(text))
        program = struct.pack('HxxxxxxP', len(code), ctypes.addressof(buffer))
        holder = ctypes.create_string_buffer(program, len(program))
        if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, holder, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), 'seccomp')
    return apply


def expect_cases(what, **more):
    for name, lost in (('list', 3), ('ring', 3), ('four-blocked', 0), ('register-of-a-reader', 0)):
        found = tools.Bufleak([CASES, name], **more)
        expect(found.status == 0, f'{what}, {name}: ended with {found.status} {found.errors}')
        reaches = found.reaches()
        expect(len(reaches) == 1, f'{what}, {name}: {len(reaches)} answers')
        check_done(reaches[0])
        count = tools.lost_by_bufleak(reaches[0])
        expect(count == lost, f'{what}, {name}: {count} lost, not {lost}')


def without_ptrace():
    """A seccomp filter that denies ptrace and process_vm_readv changes nothing."""
    expect_cases('seccomp', preexec_fn=deny([(PTRACE, None, EPERM),
                                             (PROCESS_VM_READV, None, EPERM)]))


def under_strace():
    """Under strace, which traces it, the answers are the same."""
    expect_cases('strace', launcher=['strace', '-f', '-o', '/dev/null'])


def clone_refused():
    """Where no process can be made, the marking is done in the process itself, at its end."""
    for name, lost in (('list', 3), ('ring', 3), ('four-blocked', 0), ('by-tls-of-another', 0)):
        found = tools.Bufleak([CASES, name], preexec_fn=deny([(CLONE, CLONE_FILES, EAGAIN),
                                                              (CLONE, SHARED, EAGAIN)]))
        reach = found.reaches()[0]
        expect(found.status == 0 and reach['outcome'] == 'done', f'{name}: {reach}')
        expect(reach['method'] == 'in-process', reach['method'])
        expect(tools.lost_by_bufleak(reach) == lost, f'{name}: {tools.lost_by_bufleak(reach)} lost')


def clone_refused_live():
    """On a running process that is told, and the process goes on."""
    with tempfile.TemporaryDirectory(prefix='bufleak-reach.') as directory:
        os.chmod(directory, 0o700)
        settings = tools.clean_environment(LD_PRELOAD=tools.SHIM, BUFLEAK_DIR=directory,
                                           BUFLEAK_OPTIONS='quiet=1')
        with subprocess.Popen([LIVE, 'own-signal'], env=settings, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True,
                              preexec_fn=deny([(CLONE, CLONE_FILES, EAGAIN)])) as process:
            process.stdout.readline()
            found = tools.run([tools.CLI, 'dump', '--reach', str(process.pid)],
                              tools.clean_environment(BUFLEAK_DIR=directory))
            reach = tools.report(found.stdout.strip())['reach']
            process.communicate(timeout=tools.LIMIT)
        expect(process.returncode == 0, str(process.returncode))
        expect(reach['outcome'] == 'failed' and 'no copy' in reach['why'], str(reach))


def without_proc():
    """Without /proc nothing is known, which is said, and nothing is called lost."""
    if os.geteuid() != 0:
        return 'needs root'
    found = tools.Bufleak(['sh', '-c', f'mount -t tmpfs none /proc && exec {CASES} list'],
                          launcher=['unshare', '-m'])
    reach = found.reports[-1].get('reach')
    expect(found.status == 0, f'{found.status} {found.errors}')
    answers = [r['reach'] for r in found.reports if r['process']['comm'] == 'reach_cases'
               and r['process']['state'] == 'exited']
    expect(len(answers) == 1 and answers[0]['outcome'] == 'failed', str(answers or reach))
    expect('/proc' in answers[0]['why'], answers[0]['why'])
    return None


def as_nobody():
    """Without any privilege the answers are the same."""
    if os.geteuid() != 0:
        return 'needs root'
    with tempfile.TemporaryDirectory(prefix='bufleak-reach.') as directory:
        os.chown(directory, 65534, 65534)
        for name, lost in (('list', 3), ('four-blocked', 0)):
            settings = {'BUFLEAK_DIR': directory}
            found = tools.Bufleak([CASES, name], environment=settings,
                                  launcher=['setpriv', '--reuid', '65534', '--regid', '65534',
                                            '--clear-groups', '--no-new-privs'])
            expect(found.status == 0, f'{name}: {found.status} {found.errors}')
            ledgers = [os.path.join(directory, n) for n in os.listdir(directory)
                       if n.startswith('reach_cases') and n.endswith('.ledger')]
            expect(len(ledgers) == 1, str(os.listdir(directory)))
            reach = tools.report(ledgers[0])['reach']
            check_done(reach)
            expect(tools.lost_by_bufleak(reach) == lost, f'{name}: {reach}')
            os.unlink(ledgers[0])
    return None


def sampled():
    """Where only a sample is recorded nothing is known, and that is said."""
    found = tools.Bufleak([CASES, 'list'], 'sample=4K')
    reach = found.reaches()[0]
    expect(reach['outcome'] == 'failed' and 'sample' in reach['why'], str(reach))


def held_by(name, number=0, function='plant'):
    """The path of the group whose innermost own frame is not libc's."""
    found = tools.Bufleak([CASES, name])
    groups = [g for g in found.reports[-1]['groups']
              if any(f['function'] == function for f in g['alloc']['frames']) and g['held_by']]
    expect(len(groups) > number, f'{name}: {len(groups)} groups that are held')
    return groups[number]['held_by']


def heaviest_holder():
    """Of a group the holder of most bytes is named, with its share."""
    found = tools.Bufleak([CASES, 'by-two-globals'])
    group, = [g for g in found.reports[-1]['groups'] if g.get('held_by') and
              any(f['function'] == 'by_two_globals' for f in g['alloc']['frames'])]
    expect('`table`' in group['held_by'][-1]['text'], str(group['held_by']))
    expect(group['held_by_counts'] == {'holders': 2, 'buffers': 39, 'bytes': 39 * 64,
                                       'of_bytes': 40 * 64}, str(group['held_by_counts']))


def names_of_holders():
    """A path ends in the variable, the frame's function, the thread or the region, by name."""
    path = held_by('by-global')
    expect(path[-1]['kind'] == 'global' and '`held`' in path[-1]['text'] and
           'cases.c:' in path[-1]['text'], str(path[-1]))
    path = held_by('by-plugin')
    expect('`kept`' in path[-1]['text'] and 'plugin.c:' in path[-1]['text'], str(path[-1]))
    path = held_by('four-blocked')
    expect(path[-1]['kind'] == 'stack' and 'hold_on_stack' in path[-1]['text'], str(path[-1]))
    path = held_by('by-local')
    expect(path[-1]['kind'] == 'stack' and 'by_local' in path[-1]['text'], str(path[-1]))
    path = held_by('by-tls-of-another')
    expect(path[-1]['kind'] == 'thread-local', str(path[-1]))
    path = held_by('by-tls')
    expect(path[-1]['kind'] == 'thread-local', str(path[-1]))
    path = held_by('vector-register')
    expect(path[-1]['kind'] == 'register', str(path[-1]))
    path = held_by('by-private-region')
    expect(path[-1]['kind'] == 'mapped region', str(path[-1]))
    path = held_by('alternate-stack-alone')
    expect(path[-1]['kind'] == 'the kernel', str(path[-1]))
    path = held_by('grown-array')
    expect(path[0]['kind'] == 'block' and '`held`' in path[-1]['text'], str(path))


def answers_of_the_past():
    """What a dump found is not told of the ledger later, nor after the program's end."""
    with Program('own-signal') as program:
        check_done(program.dump()['reach'])
        ledger, = glob.glob(program.directory.name + '/*.ledger')
        for ended in (False, True):
            if ended:
                program.end()
            found = tools.report(ledger)
            expect(found['reach']['outcome'] == 'stale', str(found['reach']))
            expect({g['reach'] for g in found['groups']} <= {'unknown'}, f'{ended}: still told')


TESTS = [blocking_calls, churn, storm, deaf_thread, stopped_by_a_debugger, no_signal_to_be_had, own_signal, other_signal,
         without_ptrace, under_strace, clone_refused, clone_refused_live, without_proc, as_nobody, sampled,
         names_of_holders, heaviest_holder, answers_of_the_past]


if __name__ == '__main__':
    sys.exit(tools.main(TESTS))
