#!/usr/bin/python3
"""Whatever the shim cannot get, the target's result is the same and the loss is stated."""
import contextlib
import glob
import os
import re
import resource
import signal
import subprocess
import tempfile

import ledger
from torture import (Running, environment, expect, expect_equal, ledger_directory, main, need_root,
                     report, run, the_ledger, victim, wait_until)

LEAKED = 1000


def plain():
    return run([victim('steady')], environment())


PLAIN = None


def expect_same(result, what):
    global PLAIN  # pylint: disable=global-statement
    PLAIN = PLAIN or plain()
    expect_equal((result.returncode, result.stdout), (PLAIN.returncode, PLAIN.stdout), what)
    expect_equal(PLAIN.returncode, 7, 'the victim alone')


def leaks_found(found):
    return sum(1 for buffer in found.live() if buffer.size == 777)


def starved(every):
    with ledger_directory() as directory:
        result = run([victim('steady')],
                     environment(directory, f'quiet=1:fault_arena={every}'))
        expect_same(result, f'fault_arena={every}')
        expect_equal(result.stderr, '', f'stderr with fault_arena={every}')
        found = ledger.Ledger(the_ledger(directory)).check()
        losses = found.header.losses
        refused = losses.get('arena_failures', 0)
        if every <= 5:
            expect(refused > 0, f'fault_arena={every}: no mapping was refused')
        missed = LEAKED - leaks_found(found)
        lost = losses.get('buffers_no_memory', 0) + losses.get('buffers_no_space', 0)
        expect(missed <= lost, f'fault_arena={every}: {missed} leaks are not in the ledger, but '
                               f'only {lost} are counted lost: {losses}')
        expect(lost == 0 or refused > 0, f'losses without a cause: {losses}')
        if every in (1, 2, 7):
            shown = report(the_ledger(directory))['losses']
            expect_equal(shown.get('arena_failures'), refused, 'loss in the report')
        return refused


def every_nth_mapping_refused():
    """With every n-th private mapping refused, n 1 to 40, output and status are the same."""
    refused = [starved(every) for every in range(1, 41)]
    print(f'# refused: {refused}')


def mapped_class_starved():
    """The same with class mmap on and deep stacks."""
    for every in (1, 2, 3, 5):
        with ledger_directory() as directory:
            result = run([victim('steady')],
                         environment(directory, f'quiet=1:mmap=1:depth=512:fault_arena={every}'))
            expect_same(result, f'fault_arena={every}')


def elsewhere(pid):
    """The ledger in the directory that is taken when the wanted one cannot be used."""
    found = [p for p in glob.glob(f'/tmp/bufleak-{os.geteuid()}/*.{pid}.*')
             if p.endswith('.ledger')]
    expect(len(found) == 1, f'ledgers of {pid} in the user\'s directory: {found}')
    return found[0]


def run_with(directory, options='quiet=0'):
    """Runs the victim, with its pid known. Returns (result, pid)."""
    with Running([victim('steady'), 'wait'], environment(directory, options)) as target:
        pid = int(target.line())
        target.tell()
        status, out, err = target.end()
    return subprocess.CompletedProcess([], status, out, err), pid


def expect_elsewhere(directory, why, reason):
    result, pid = run_with(directory)
    expect_same(result, why)
    expect(f'{directory} cannot be used ({reason}' in result.stderr,
           f'{why}: stderr does not say so: {result.stderr!r}')
    path = elsewhere(pid)
    try:
        found = ledger.Ledger(path).check()
        expect_equal(leaks_found(found), LEAKED, why)
        expect(f'bufleak report {path}' in result.stderr,
               f'{why}: stderr does not tell how to read {path}: {result.stderr!r}')
    finally:
        os.unlink(path)


def missing_parent():
    """A directory that cannot be made: the ledger is elsewhere, and stderr says where."""
    expect_elsewhere('/nonexistent/of/bufleak', 'missing parent',
                     'ENOENT): the directory that it would be in does not exist')


def not_private():
    """A directory that others may write to is not used."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o770)
        expect_elsewhere(directory, 'group-writable', 'EACCES): others may write to it')
        expect_equal(os.listdir(directory), [], 'files in it')


def symbolic_link():
    """A symbolic link is not followed."""
    with tempfile.TemporaryDirectory() as directory:
        target = os.path.join(directory, 'target')
        os.mkdir(target, 0o700)
        os.symlink(target, os.path.join(directory, 'link'))
        expect_elsewhere(os.path.join(directory, 'link'), 'symlink', 'ENOTDIR): it is no directory')
        expect_equal(os.listdir(target), [], 'files in it')


def regular_file():
    """A file in the directory's place is left alone."""
    with tempfile.NamedTemporaryFile() as file:
        expect_elsewhere(file.name, 'file', 'ENOTDIR): it is no directory')
        expect_equal(os.path.getsize(file.name), 0, 'its size')


def foreign():
    """A directory of another user is not used."""
    need_root('make one')
    with tempfile.TemporaryDirectory() as directory:
        os.chown(directory, 65534, 65534)
        expect_elsewhere(directory, 'foreign', 'EPERM): it belongs to another user')
        expect_equal(os.listdir(directory), [], 'files in it')


@contextlib.contextmanager
def filesystem(options):
    need_root('mount one')
    with tempfile.TemporaryDirectory() as directory:
        command = ['mount', '-t', 'tmpfs', '-o', options, 'bufleak', directory]
        result = run(command, environment())
        expect_equal(result.returncode, 0, f'{command}: {result.stderr}')
        try:
            yield directory
        finally:
            run(['umount', '-l', directory], environment())


def read_only():
    """A read-only filesystem: the ledger is in memory, found while the target runs."""
    with filesystem('ro,mode=0700') as directory:
        expect_in_memory(directory, 'read-only')


def full_disk():
    """On a filesystem of 1 MiB the loss is stated and the target does not notice."""
    with filesystem('size=1m,mode=0700') as directory:
        result = run([victim('steady')], environment(directory, 'quiet=1'))
        expect_same(result, '1 MiB')
        expect_equal(result.stderr, '', 'stderr')
        path = the_ledger(directory)
        found = ledger.Ledger(path).check()
        expect(found.header.losses.get('ledger_private_bytes', 0) > 0, 'no loss is stated')
        counted = found.counters()
        # what is in memory only died with the target, its sums are in the file
        expect(counted['allocs'] - counted['frees'] >= LEAKED, f'counters {counted}')
        shown = report(path)
        expect_equal(shown['losses']['ledger_private_bytes'],
                     found.header.losses['ledger_private_bytes'], 'loss in the report')


def memfd_of(pid):
    for fd in os.listdir(f'/proc/{pid}/fd'):
        path = f'/proc/{pid}/fd/{fd}'
        if 'memfd:bufleak-ledger' in os.readlink(path):
            return path
    return None


def expect_in_memory(directory, why):
    with Running([victim('steady'), 'wait'], environment(directory, 'quiet=0')) as target:
        pid = int(target.line())
        path = memfd_of(pid)
        expect(path, f'{why}: no memfd')
        found = ledger.Ledger(path).check()
        expect_equal(found.header.losses.get('ledger_no_file'), 1, f'{why}: losses')
        shown = report(str(pid))
        expect_equal(shown['losses']['ledger_no_file'], 1, f'{why}: loss in the report')
        os.kill(pid, signal.SIGUSR1)
        wait_until(lambda: ledger.Ledger(path).header.losses.get('snapshots_failed'),
                   'the failed snapshot to be counted')
        target.tell()
        status, out, err = target.end()
        expect_same(subprocess.CompletedProcess([], status, out, err), why)
    lines = err.splitlines()
    expect_equal(len(lines), 2, f'{why}: lines on stderr {lines}')
    expect(directory in lines[0] and 'kept in memory' in lines[0], f'{why}: stderr {lines}')
    expect('snapshot not written' in lines[1], f'{why}: stderr {lines}')
    expect_equal(os.listdir(directory), [], f'{why}: files left')


def no_space_at_all():
    """Without a block of space the ledger is a memfd that can be read while the target runs."""
    with filesystem('size=4k,mode=0700') as directory:
        expect_in_memory(directory, 'no space')


def full_while_dumping():
    """A snapshot that does not fit leaves no half file, and is counted and answered."""
    with ledger_directory() as directory:
        with Running([victim('steady'), 'wait'], environment(directory)) as target:
            target.line()
            length = os.path.getsize(the_ledger(directory))
    with filesystem(f'size={length * 3 // 2},mode=0700') as directory:
        with Running([victim('steady'), 'wait'], environment(directory)) as target:
            pid = int(target.line())
            path = the_ledger(directory)
            result = run([victim('poke'), path, '3'], environment())
            expect_equal(result.stdout.split()[0], '0', 'dumps that worked')
            header = ledger.read_header(path)
            expect_equal(header.dump_served, 3, 'requests answered')
            expect_equal(header.snapshot_error, 28, 'ENOSPC')
            expect_equal(header.losses.get('snapshots_failed'), 3, 'losses')
            expect_equal(ledger.find(directory)[1:], ([], []), 'files left')
            os.kill(pid, 9)


def limited(limits, options='quiet=1', or_else=()):
    def apply():
        for which, value in limits:
            resource.setrlimit(which, (value, value))
    with ledger_directory() as directory:
        result = run([victim('steady')], environment(directory, options), preexec_fn=apply)
        alone = run([victim('steady')], environment(), preexec_fn=apply)
        if result.returncode not in or_else:
            expect_equal((result.returncode, result.stdout), (alone.returncode, alone.stdout),
                         f'{limits}: status and output')
        found, _, other = ledger.find(directory)
        expect_equal(other, [], 'other files')
        return [ledger.Ledger(path).check() for path in found], result.stderr


def file_size_limits():
    """Under any RLIMIT_FSIZE there is no SIGXFSZ, and what does not fit is stated."""
    for limit in (0, 4096, 100000, 500000, 600000, 1 << 20):
        found, _ = limited([(resource.RLIMIT_FSIZE, limit)])
        for one in found:
            losses = one.header.losses
            expect(losses.get('ledger_private_bytes') or losses.get('ledger_no_file')
                   or leaks_found(one) == LEAKED, f'limit {limit}: losses {losses}')


def message_past_the_file_size_limit():
    """A message to a stderr that may not grow does not kill the target."""
    with tempfile.TemporaryFile('w+') as error, ledger_directory() as directory:
        error.write('x' * 10000)
        error.flush()
        result = run([victim('steady')], environment(directory, 'depth=nonsense'), stderr=error,
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)))
        alone = run([victim('steady')], environment(), stderr=error,
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)))
        expect_equal((result.returncode, result.stdout), (alone.returncode, alone.stdout),
                     'status and output')


def message_to_a_closed_pipe():
    """A message to a pipe that nobody reads any more does not kill the target."""
    for options in ('depth=nonsense', 'quiet=0'):
        with ledger_directory() as directory:
            reader, writer = os.pipe()
            os.close(reader)
            try:
                result = run([victim('steady')], environment(directory, options), stderr=writer)
                expect_same(result, f'closed stderr, {options}')
            finally:
                os.close(writer)


def message_to_a_full_pipe():
    """A message to a pipe that nobody empties does not hold the target up."""
    with ledger_directory() as directory:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b'x' * 65536)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b'x')
        os.set_blocking(writer, True)
        try:
            result = run([victim('steady')], environment(directory, 'depth=nonsense'),
                         stderr=writer, timeout=20)
            expect_same(result, 'full stderr')
        finally:
            os.close(reader)
            os.close(writer)


def address_space_limits():
    """Under RLIMIT_AS the target meets what it meets alone, NULL from malloc or no room for a thread,
    and sooner at that."""
    for megabytes in (24, 32, 512):
        out_of_memory = (8,) if megabytes < 512 else ()
        limited([(resource.RLIMIT_AS, megabytes << 20)], or_else=out_of_memory)


def few_descriptors():
    """With few descriptors the target's own numbers are free and the ledger is whole."""
    for limit in (8, 12, 20, 64):
        found, _ = limited([(resource.RLIMIT_NOFILE, limit)])
        expect_equal(len(found), 1, f'ledgers with {limit} descriptors')
        expect_equal(leaks_found(found[0]), LEAKED, f'leaks with {limit} descriptors')


def programs_with_few_descriptors():
    """With as few descriptors as they need, programs do what they do without the shim."""
    shell = ('exec 3<&0; exec 4<&0; exec 5<&0; exec 6<&0; echo four; ls -d /; exec 7<&0; echo all;'
             'exec 7<&-; exec 6<&-; echo "$(ls -d /)"; cat /etc/passwd')
    with tempfile.TemporaryDirectory() as place:
        for limit in (8, 12, 16):
            def apply(limit=limit):
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            for command in (['ls', '-l', '/usr/share'], ['cat', '/etc/passwd', '/etc/group'],
                            ['sh', '-c', shell], ['bash', '-c', shell]):
                alone = run(command, environment(), preexec_fn=apply, cwd=place)
                with ledger_directory() as directory:
                    result = run(command, environment(directory), preexec_fn=apply, cwd=place)
                    expect_equal((result.returncode, result.stdout, result.stderr),
                                 (alone.returncode, alone.stdout, alone.stderr),
                                 f'{command} with {limit} descriptors')
                    for path in ledger.find(directory)[0]:
                        ledger.Ledger(path).check()
                    expect(ledger.find(directory)[0], f'no ledger of {command} with {limit}')


def questions_with_few_descriptors():
    """With few descriptors the shim holds none of them, and answers dumps and signals."""
    with ledger_directory() as directory:
        with Running([victim('steady'), 'wait'], environment(directory, 'reach=exit'),
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))) as target:
            pid = int(target.line())
            path = the_ledger(directory)
            wait_until(lambda: ledger.Ledger(path).header.rss_bytes > 0, 'a look at its memory')
            expect(set(os.listdir(f'/proc/{pid}/fd')) <= {'0', '1', '2'},
                   f'descriptors {os.listdir(f"/proc/{pid}/fd")}')
            result = run([victim('poke'), path, '3'], environment())
            expect_equal(result.stdout.split()[0], '3', 'dumps that worked')
            os.kill(pid, signal.SIGUSR1)
            wait_until(lambda: ledger.read_header(path).snapshots > 0, 'a snapshot')
            expect(set(os.listdir(f'/proc/{pid}/fd')) <= {'0', '1', '2'}, 'descriptors after it')
            target.tell()
            status, out, err = target.end()
            expect_same(subprocess.CompletedProcess([], status, out, err), 'few descriptors')


def bad_options():
    """A bad option is said once, with what is accepted, and the target is tracked."""
    with ledger_directory() as directory:
        result = run([victim('steady')], environment(directory, 'dept=3:quiet=1:depth=zero'))
        expect_same(result, 'bad options')
        lines = result.stderr.splitlines()
        expect_equal(len(lines), 2, f'lines on stderr: {lines}')
        expect(re.search(r"'dept=3'.*accepted: depth, ", lines[0]), lines[0])
        expect(re.search(r"'depth=zero'.*accepted: .*512", lines[1]), lines[1])
        found = ledger.Ledger(the_ledger(directory)).check()
        expect_equal(found.header.depth_frames, 64, 'depth')
        expect_equal(leaks_found(found), LEAKED, 'leaks')
    with ledger_directory() as directory:
        result = run(['sh', '-c', 'cat /dev/null; ls -d /; sh -c "cat /dev/null; true"; true'],
                     environment(directory, 'dept=3'))
        expect_equal(result.stderr.count('is not understood'), 1,
                     f'in the stderr of a shell and its children: {result.stderr!r}')


if __name__ == '__main__':
    raise SystemExit(main([
        every_nth_mapping_refused, mapped_class_starved, missing_parent, not_private,
        symbolic_link, regular_file, foreign, read_only, full_disk, no_space_at_all,
        full_while_dumping, file_size_limits, message_past_the_file_size_limit,
        message_to_a_closed_pipe, message_to_a_full_pipe, address_space_limits, few_descriptors,
        programs_with_few_descriptors, questions_with_few_descriptors, bad_options]))
