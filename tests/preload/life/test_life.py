#!/usr/bin/python3
"""What a process does to itself: the same as without the shim, its ledgers right, and a signal
is still answered by a snapshot afterwards."""
import os
import re
import shutil
import signal

import ledger
from torture import (Running, environment, expect, expect_equal, ledger_directory, main,
                     need_root, run, victim, wait_until)

LEAK = 4001


def trace(lines):
    """Process numbers differ from run to run."""
    return [re.sub(r'^pid \d+$', 'pid N', line) for line in lines]


def listen(target, before_waiting=None):
    """The lines up to the one that says that the victim waits."""
    lines = []
    while True:
        line = target.line()
        if line == 'waiting':
            if before_waiting is None:
                return lines
            before_waiting()
            before_waiting = None
            target.tell()
            continue
        expect(line or target.process.poll() is None,
               f'the victim ended, having said {lines}')
        lines.append(line)


def alone(what, twice=False):
    with Running([victim('life'), what], environment()) as target:
        lines = listen(target, (lambda: None) if twice else None)
        target.tell()
        status, out, err = target.end()
        return trace(lines + out.splitlines()), status, err


def leaks(found):
    return sum(1 for buffer in found.live() if buffer.size == LEAK)


def ledgers(directory):
    return [ledger.Ledger(path).check() for path in ledger.find(directory)[0]]


def answered(pid, directory):
    """Sends the signal, awaits the snapshot, and returns it."""
    before = set(ledger.find(directory)[1])
    os.kill(pid, signal.SIGUSR1)
    new = wait_until(lambda: set(ledger.find(directory)[1]) - before, 'a snapshot')
    return ledger.Ledger(new.pop()).check()


class Visit:
    """One run with the shim, held where the victim waits, compared with one without."""

    def __init__(self, what, options='', before_waiting=None, same=True):
        self.what, self.options = what, options
        self.before_waiting, self.same = before_waiting, same

    def run(self, directory, look):
        plain = alone(self.what, self.before_waiting is not None) if self.same else None
        with Running([victim('life'), self.what],
                     environment(directory, self.options or 'quiet=1')) as target:
            lines = listen(target, self.before_waiting and
                           (lambda: self.before_waiting(directory)))
            self.lines = lines
            look(target)
            target.tell()
            status, out, err = target.end()
            if plain:
                expect_equal((trace(lines + out.splitlines()), status, err), plain,
                             'lines, status, stderr')


def with_snapshot(what, wanted, **options):
    """Runs, has a snapshot made at the end, and expects this many leaks in it."""
    with ledger_directory() as directory:
        os.chmod(directory, 0o700)

        def look(target):
            expect_equal(leaks(answered(target.pid, directory)), wanted, 'leaks in the snapshot')
        Visit(what, **options).run(directory, look)
        return ledgers(directory)


def own_and_forked(found, name='torture-life'):
    own = [one for one in found if not one.header.flags & ledger.FORKED]
    forked = [one for one in found if one.header.flags & ledger.FORKED]
    return own, forked


def fork():
    """fork: the child's ledger has what it inherited and what it made, the parent's only its own."""
    own, forked = own_and_forked(with_snapshot('fork', 7))
    expect_equal([leaks(one) for one in own], [7], 'parent')
    expect_equal([leaks(one) for one in forked], [5], 'child')
    child = forked[0].header
    expect_equal((child.state, child.exit_kind, child.exit_status, child.parent_pid),
                 (ledger.EXITED, ledger.EXIT, 31, own[0].header.pid), 'child')
    inherited = [b for b in forked[0].live() if b.size == LEAK and b.birth_ns < child.forked_ns]
    expect_equal(len(inherited), 2, 'inherited leaks')


def fork_from_thread():
    """fork from a thread beside allocating ones: every child has its ledger."""
    own, forked = own_and_forked(with_snapshot('fork_from_thread', 0))
    expect_equal([leaks(one) for one in own], [0], 'parent')
    expect_equal([leaks(one) for one in forked], [3] * 20, 'children')


def fork_tree():
    """A child's child has all that was made on the way."""
    own, forked = own_and_forked(with_snapshot('fork_tree', 0))
    expect_equal(len(own), 1, 'heads')
    expect_equal(sorted((one.header.exit_status, leaks(one)) for one in forked),
                 [(32, 1), (33, 2)], 'status and leaks')


def unseen(what):
    own, forked = own_and_forked(with_snapshot(what, 2))
    expect_equal([leaks(one) for one in own], [2], 'parent')
    expect_equal([leaks(one) for one in forked], [10], 'child')
    child = forked[0]
    expect_equal(child.header.losses.get('forks_unseen'), 1, 'losses')
    expect_equal((child.header.state, child.header.exit_status), (ledger.EXITED, 34), 'end')
    expect(child.name(child.header.exe_name), 'the child\'s ledger names no executable')
    paths = {child.frames(b.stack)[0].path for b in child.live() if b.size == LEAK}
    expect_equal(paths, {victim('life')}, 'modules of the leaks')


def raw_fork():
    """A fork by system call: the child starts its own ledger at its first block, and says so."""
    unseen('raw_fork')


def raw_clone():
    """A clone by system call likewise."""
    unseen('raw_clone')


def raw_fork_underscore():
    """_Fork likewise."""
    unseen('raw_fork_underscore')


def raw_fork_homeless():
    """A fork by system call whose child finds no directory runs on as without the shim."""
    with ledger_directory() as parent:
        directory = os.path.join(parent, 'd')

        def take_away(where):
            shutil.rmtree(where)
        Visit('raw_fork_homeless', before_waiting=take_away).run(directory, lambda target: None)


def raw_fork_then_fork():
    """A fork in a child that was forked by system call is tracked."""
    _, forked = own_and_forked(with_snapshot('raw_fork_then_fork', 0))
    expect([one for one in forked if one.header.exit_status == 35 and leaks(one) == 4],
           f'ledgers: {[(one.header.exit_status, leaks(one)) for one in forked]}')


def raw_fork_silent():
    """A child by system call that makes nothing costs no ledger."""
    expect_equal(len(with_snapshot('raw_fork_silent', 0)), 1, 'ledgers')


def spawned(what, wanted, children):
    found = with_snapshot(what, wanted)
    mine = [one for one in found if one.header.comm == 'life-life']
    expect_equal([(one.header.state, leaks(one)) for one in mine], [(ledger.EXITED, wanted)],
                 'own ledger')
    expect_equal(sorted(one.header.comm for one in found if one not in mine), children, 'children')


def vfork_exec():
    """vfork and exec: the child has its own ledger, the parent's is not marked."""
    spawned('vfork_exec', 1, ['true'])


def vfork_exec_fails():
    """vfork and a failing exec: the parent's ledger is not touched."""
    spawned('vfork_exec_fails', 1, [])


def posix_spawn():
    """posix_spawn: the child has its own ledger, the parent's is not marked."""
    spawned('posix_spawn', 1, ['sh'])


def system():
    """system: the same result, the shell has its own ledger."""
    spawned('system', 1, ['sh'])


def popen():
    """popen: the same output, the shell has its own ledger."""
    spawned('popen', 1, ['sh'])


def daemon():
    """daemon(3): the parent is recorded as ended, the daemon answers with all that lives."""
    with ledger_directory() as directory:
        with Running([victim('life'), 'daemon'], environment(directory)) as target:
            lines = listen(target)
            expect_equal(target.process.wait(), 0, 'status of the parent')
            pid = int(lines[0].split()[1])
            expect_equal(leaks(answered(pid, directory)), 5, 'leaks in the snapshot')
            target.tell()
            target.process.stdout.read()
        own, forked = own_and_forked(ledgers(directory))
        expect_equal([(one.header.state, one.header.exit_status, leaks(one)) for one in own],
                     [(ledger.EXITED, 0, 2)], 'parent')
        expect_equal([(one.header.state, one.header.exit_status, leaks(one)) for one in forked],
                     [(ledger.EXITED, 20, 5)], 'daemon')


def exec_replaces():
    """exec: the old ledger is marked, the new program has its own under the same number."""
    with ledger_directory() as directory:
        with Running([victim('life'), 'exec'], environment(directory)) as target:
            wait_until(lambda: len(ledger.find(directory)[0]) == 2, 'the second ledger')
            target.end()
        found = {one.header.comm: one for one in ledgers(directory)}
        expect_equal(sorted(found), ['cat', 'life-life'], 'ledgers')
        expect_equal((found['life-life'].header.state, leaks(found['life-life'])),
                     (ledger.EXECED, 1), 'the old one')
        expect_equal(found['life-life'].header.pid, found['cat'].header.pid, 'process numbers')


def exec_fails():
    """A failing exec leaves errno, the ledger and the signal as they were."""
    with_snapshot('exec_fails', 2)


def spool_depth(directory):
    return max(where.count('.spool') for where, _, _ in os.walk(directory))


def change_user(what):
    need_root('become somebody else')
    with ledger_directory() as directory:
        def look(target):
            expect_equal(leaks(answered(target.pid, directory)), 2, 'leaks in the snapshot')
            expect_equal(spool_depth(directory), 1, 'spools in each other')
        Visit(what).run(directory, look)
        expect_equal(ledger.find(directory)[2], [], 'other files')


def setuid():
    """After setuid to a service user a signal is still answered."""
    change_user('setuid')


def setresuid():
    """After setresuid likewise."""
    change_user('setresuid')


def seteuid_again():
    """After 200 changes of the effective user there is one spool, and a signal is answered."""
    change_user('seteuid_again')


def chroot():
    """After chroot a signal is still answered."""
    need_root('chroot')
    os.makedirs('/var/empty', exist_ok=True)
    with_snapshot('chroot', 2)


def closefrom():
    """closefrom closes what is the application's, and a signal is still answered."""
    with_snapshot('closefrom', 1)


def close_range():
    """close_range likewise."""
    with_snapshot('close_range', 1)


def close_each():
    """Closing every number: those of the shim are not open for the application, and stay."""
    with_snapshot('close_each', 1)


def dup2_onto():
    """dup2 onto the shim's descriptors: it makes room and goes on, the file grows."""
    found = with_snapshot('dup2_onto', 3000, same=False)
    expect_equal(found[0].header.losses.get('ledger_private_bytes'), None, 'losses')


def closed_by_system_call():
    """Closed by system call, the numbers are the application's, and its files are not touched."""
    with ledger_directory() as directory:
        visit = Visit('closed_by_system_call', same=False)
        visit.run(directory, lambda target: None)
        expect_equal(visit.lines, ['bad 0'], 'the application\'s view')
        counted = ledgers(directory)[0].counters()
        expect(counted['allocs'] - counted['frees'] >= 5000, f'counters {counted}')


def vfork_child_rearranges():
    """What a vfork child does to signals and descriptors stays in the child."""
    found = with_snapshot('vfork_child_rearranges', 5000, same=False)
    own = [one for one in found if one.header.comm == 'life-life'][0]
    expect_equal(own.header.losses.get('ledger_private_bytes'), None, 'losses')


def errno_is_left_alone():
    """No wrapped function changes errno when it succeeds; failures set it as without the shim."""
    with_snapshot('errno', 30000)
    with_snapshot('errno', 30000, options='quiet=1:mmap=1')


def unshare_user():
    """unshare(CLONE_NEWUSER) gives what it gives without the shim; a signal is answered."""
    with_snapshot('unshare_user', 2)


def unshare_pid():
    """In new user and process namespaces no thread can be made: that is stated; a child is tracked."""
    with ledger_directory() as directory:
        Visit('unshare_pid').run(directory, lambda target: None)
        found = ledgers(directory)
        own = [one for one in found if one.header.exit_status == 20][0]
        expect_equal(own.header.losses.get('helper_missing'), 1, 'losses')
        expect(own.header.flags & ledger.NO_HELPER, 'the flag is not set')
    inside = [one for one in found if one.header.exit_status == 40]
    expect_equal([(one.header.pid, leaks(one)) for one in inside], [(1, 5)], 'ledger inside')


def unshare_pid_only():
    """unshare of the process namespace alone keeps the helper: a signal is answered."""
    need_root('do that')
    with_snapshot('unshare_pid_only', 2)


def unshare_all():
    """unshare of everything else likewise."""
    need_root('do that')
    with_snapshot('unshare_all', 2)


def follow_off():
    """With follow=0 programs that are started are not tracked."""
    with ledger_directory() as directory:
        Visit('system', options='quiet=1:follow=0').run(directory, lambda target: None)
        expect_equal([one.header.comm for one in ledgers(directory)], ['life-life'], 'ledgers')


def nobody_waits_for_the_shim():
    """A pipe held by the victim only is at its end when the victim is, with the shim too."""
    with ledger_directory() as directory:
        result = run(['sh', '-c', f'echo | {victim("life")} nothing 2>&1 | cat'],
                     environment(directory))
        expect_equal((result.returncode, result.stdout), (0, 'waiting\n'), 'status and output')


if __name__ == '__main__':
    raise SystemExit(main([
        fork, fork_from_thread, fork_tree, raw_fork, raw_clone, raw_fork_underscore,
        raw_fork_homeless, raw_fork_then_fork, raw_fork_silent, vfork_exec, vfork_exec_fails,
        posix_spawn, system, popen, daemon, exec_replaces, exec_fails, setuid, setresuid,
        seteuid_again, chroot, closefrom, close_range, close_each, dup2_onto,
        closed_by_system_call, vfork_child_rearranges, errno_is_left_alone, unshare_user,
        unshare_pid, unshare_pid_only, unshare_all, follow_off, nobody_waits_for_the_shim]))
