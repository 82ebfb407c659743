"""Lost and held in a running process, in unlike places: other allocators, other users, name spaces,
little memory, a Java machine; and when the marking child is killed.

In each, three blocks are lost and five are held, as in every other; or it is said why not.
"""
import contextlib
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import tools
from test_live import LIVE, PROCESS_VM_READV, PTRACE, EPERM, check_done, deny, expect

LIBRARIES = '/usr/lib/x86_64-linux-gnu'


class Planted:
    """The program with its planted blocks, started by `launcher`."""

    def __init__(self, launcher=(), preload=(), options='quiet=1', command=(LIVE, 'planted'),
                 owner=None, **more):
        self.directory = tempfile.TemporaryDirectory(prefix='bufleak-reach.')
        os.chmod(self.directory.name, 0o700)
        if owner:
            os.chown(self.directory.name, owner, owner)
        self.environment = tools.clean_environment(BUFLEAK_DIR=self.directory.name)
        settings = dict(self.environment, LD_PRELOAD=':'.join([tools.SHIM, *preload]),
                        BUFLEAK_OPTIONS=options)
        settings.update(more.pop('environment', {}))
        self.process = subprocess.Popen([*launcher, *command], env=settings,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, **more)
        line = self.process.stdout.readline()
        if line != 'ready\n':
            self.process.kill()
            raise AssertionError(f'it says {line!r}, {self.process.stderr.read()!r}')

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.directory.cleanup()

    def pid(self, comm='reach_live'):
        """As it is called here: of the program, not of what started it."""
        for path in glob.glob('/proc/[0-9]*/environ'):
            with contextlib.suppress(OSError):
                with open(path, 'rb') as environ, \
                        open(path.replace('environ', 'comm'), encoding='utf-8') as name:
                    if self.directory.name.encode() in environ.read() and \
                            name.read() == comm + '\n':
                        return int(path.split('/')[2])
        raise AssertionError('the program is not there')

    def ask(self, **more):
        return tools.run([tools.CLI, 'dump', '--reach', '--timeout', '60s', str(self.pid(**more))],
                         self.environment)

    def dump(self, **more):
        found = self.ask(**more)
        expect(found.returncode == 0, f'dump: {found.stderr}')
        return tools.report(found.stdout.strip())

    def end(self):
        """Lets it end, and expects that it had nothing to complain of."""
        output, errors = self.process.communicate(timeout=tools.LIMIT)
        expect(self.process.returncode == 0 and not output and not errors,
               f'it ended with {self.process.returncode}: {output!r} {errors!r}')


def planted(report):
    """How many blocks of the plant are (lost, held)."""
    groups = [g for g in report['groups'] if g.get('reach_counts') and
              any(f['function'] == 'plant' for f in g['alloc']['frames'])]
    return (sum(g['reach_counts']['lost'] for g in groups),
            sum(g['reach_counts']['held'] for g in groups))


def expect_planted(what, **more):
    with Planted(**more) as program:
        for _ in range(2):
            report = program.dump()
            check_done(report['reach'])
            expect(planted(report) == (3, 5), f'{what}: {planted(report)}')
            expect(report['reach']['threads_degraded'] == 0, f'{what}: {report["reach"]}')
        program.end()


def other_allocators():
    """With jemalloc, tcmalloc or mimalloc preloaded what is lost is found, and what is held too."""
    seen = []
    for name in ('libjemalloc.so.2', 'libtcmalloc_minimal.so.4', 'libmimalloc.so.2'):
        path = os.path.join(LIBRARIES, name)
        if os.path.exists(path):
            seen.append(name)
            expect_planted(name, preload=[path])
    return None if seen else 'none is installed'


def linked_allocators():
    """Linked in the usual way they change nothing either; statically, nothing of the heap is seen."""
    seen = []
    with tempfile.TemporaryDirectory(prefix='bufleak-reach.') as place:
        for name in ('jemalloc', 'tcmalloc', 'tcmalloc_minimal'):
            program = os.path.join(place, 'reach_live')
            sources = [word for path in os.environ['BL_LIVE_SOURCE'].split(':') for word in ('-x', 'c', path)]
            compiler = ['g++', '-O2', '-w', '-std=gnu11', '-D_GNU_SOURCE', *sources,
                        '-x', 'none', '-o', program, '-rdynamic']
            if tools.run([*compiler, '-Wl,--no-as-needed', '-l' + name], tools.clean_environment()).returncode != 0:
                continue
            seen.append(name)
            expect_planted('-l' + name, command=[program, 'planted'])
            archive = os.path.join(LIBRARIES, f'lib{name}.a')
            if name == 'tcmalloc' or not os.path.exists(archive):
                continue
            built = tools.run([*compiler, '-Wl,--whole-archive', archive, '-Wl,--no-whole-archive'],
                              tools.clean_environment())
            expect(built.returncode == 0, built.stderr)
            done = tools.run([tools.CLI, 'check', '--', program, 'planted'],
                             tools.clean_environment(BUFLEAK_SHIM=tools.SHIM, TMPDIR=place))
            expect(done.returncode == 1 and 'nothing of its heap was seen' in done.stderr,
                   f'{archive}: check ended with {done.returncode}: {done.stderr}')
    return None if seen else 'none is installed'


def under_seccomp():
    """A seccomp filter that denies ptrace and process_vm_readv changes nothing while it runs."""
    expect_planted('seccomp', preexec_fn=deny([(PTRACE, None, EPERM),
                                               (PROCESS_VM_READV, None, EPERM)]))


def after_setuid():
    """A program that gave up root, and that the kernel keeps from looking at itself, is understood."""
    if os.geteuid() != 0:
        return 'needs root'
    expect_planted('setuid', environment={'REACH_USER': '65534'})
    return None


def in_a_container():
    """In a PID, mount and user name space of its own it is asked from outside."""
    launcher = ['unshare', '--pid', '--fork', '--mount-proc', '--user', '--map-root-user']
    if subprocess.run([*launcher, 'true'], check=False, capture_output=True).returncode != 0:
        return 'no name spaces can be made here'
    expect_planted('container', launcher=launcher)
    return None


def marking_child(pid):
    """The PID of the child that marks, which no tool of the program's shows."""
    for path in glob.glob(f'/proc/{pid}/task/*/children'):
        with contextlib.suppress(OSError), open(path, encoding='ascii') as children:
            found = children.read().split()
            if found:
                return int(found[0])
    return None


def ask_and_kill(program):
    """The report of a dump whose marking child was killed, if it was not too quick."""
    asking = subprocess.Popen([tools.CLI, 'dump', '--reach', '--timeout', '60s',
                               str(program.process.pid)], env=program.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child = None
    while not child and asking.poll() is None:
        child = marking_child(program.process.pid)
    if child:
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)
    output, errors = asking.communicate(timeout=tools.LIMIT)
    expect(asking.returncode == 0, f'dump: {errors}')
    return tools.report(output.strip())


def killed_child():
    """A marking child that is killed is never "0 lost": it is told, and the next one answers."""
    with Planted(environment={'REACH_BLOCKS': '1000000'}) as program:
        for _ in range(20):
            report = ask_and_kill(program)
            if report['reach']['outcome'] != 'done':
                break
        reach = report['reach']
        expect(reach['outcome'] == 'failed' and 'died' in reach['why'], str(reach))
        expect(reach['child_status'] == signal.SIGKILL, str(reach))
        expect({g['reach'] for g in report['groups']} == {'unknown'}, 'something is told')
        again = program.dump()
        check_done(again['reach'])
        expect(planted(again) == (3, 5), str(planted(again)))
        program.end()


@contextlib.contextmanager
def memory_cgroup(limit_bytes):
    """A cgroup of our own below the one we are in. None: this machine does not let us make one."""
    with open('/proc/self/cgroup', encoding='ascii') as lines:
        paths = {tuple(line.split(':')[1].split(',')): line.strip().split(':')[2] for line in lines}
    path = None
    for top, controllers, name in (
            ('/sys/fs/cgroup/memory', 'memory', 'memory.limit_in_bytes'),
            ('/sys/fs/cgroup', '', 'memory.max')):
        own = [p for c, p in paths.items() if controllers in c]
        if not own or not os.path.isdir(top):
            continue
        path = os.path.join(top, own[0].lstrip('/'), f'bufleak-reach-{os.getpid()}')
        try:
            os.mkdir(path)
            with open(os.path.join(path, name), 'w', encoding='ascii') as limit:
                limit.write(str(limit_bytes))
            break
        except OSError:
            with contextlib.suppress(OSError):
                os.rmdir(path)
            path = None
    try:
        yield path
    finally:
        deadline = time.monotonic() + 10
        while path and os.path.isdir(path) and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                os.rmdir(path)


def limit_of_a_cgroup():
    """At the memory limit of its cgroup it is the child that has to go, and not the program."""
    outcomes = set()
    with memory_cgroup(400 << 20) as cgroup:
        if not cgroup:
            return 'no cgroup can be made here'
        names = (('memory.limit_in_bytes', 'memory.usage_in_bytes')
                 if 'memory.limit_in_bytes' in os.listdir(cgroup) else ('memory.max', 'memory.current'))
        limit, usage = (os.path.join(cgroup, name) for name in names)

        def join():
            with open(os.path.join(cgroup, 'cgroup.procs'), 'w', encoding='ascii') as procs:
                procs.write(str(os.getpid()))
        with Planted(environment={'REACH_BLOCKS': '200000'}, preexec_fn=join) as program:
            with open(usage, encoding='ascii') as text:
                used = int(text.read())
            for spare in (4, 8, 16, 32, 64, 128):
                with open(limit, 'w', encoding='ascii') as text:
                    text.write(str(used + (spare << 20)))
                found = program.ask()
                expect(program.process.poll() is None, f'{spare} MiB to spare: it was killed')
                if found.returncode != 0:
                    print(f'# {spare} MiB to spare: {found.stderr}', flush=True)
                    continue
                report = tools.report(found.stdout.strip())
                reach = report['reach']
                print(f'# {spare} MiB to spare: {reach["outcome"]} {reach["why"] or ""}', flush=True)
                outcomes.add(reach['outcome'])
                if reach['outcome'] == 'done':
                    expect(planted(report) == (3, 5), f'{spare} MiB: {planted(report)}')
                else:
                    expect({g['reach'] for g in report['groups']} == {'unknown'}, str(reach))
            program.end()
    expect('done' in outcomes, f'it was never done: {outcomes}')
    return None


JAVA = """
public class Sleeper {
    public static void main(String[] arguments) throws Exception {
        byte[][] kept = new byte[1000][];
        for (int i = 0; i < kept.length; i++)
            kept[i] = new byte[1000];
        System.out.println("ready");
        System.out.flush();
        while (System.in.read() >= 0)
            ;
        System.exit(kept[7].length == 1000 ? 0 : 1);
    }
}
"""


def java_machine():
    """A Java machine comes to an answer, or says why not, and goes on."""
    java = shutil.which('java')
    if not java:
        return 'there is no Java'
    with tempfile.TemporaryDirectory(prefix='bufleak-reach.') as place:
        source = os.path.join(place, 'Sleeper.java')
        with open(source, 'w', encoding='ascii') as text:
            text.write(JAVA)
        with Planted(command=[java, '-Xmx64m', '-XX:+UseSerialGC', source]) as program:
            for _ in range(3):
                report = program.dump(comm='java')
                reach = report['reach']
                print(f'# {reach}', flush=True)
                if reach['outcome'] == 'done':
                    check_done(reach)
                else:
                    expect(reach['why'], str(reach))
                    expect({g['reach'] for g in report['groups'] if g['class'] == 'heap'}
                           <= {'unknown'}, str(reach))
            program.end()
    return None


TESTS = [other_allocators, linked_allocators, under_seccomp, after_setuid, in_a_container, killed_child,
         limit_of_a_cgroup, java_machine]

if __name__ == '__main__':
    sys.exit(tools.main(TESTS))
