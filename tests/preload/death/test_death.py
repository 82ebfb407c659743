#!/usr/bin/python3
"""What the ledger tells of a process that has been killed while four of its threads allocate: at the
limit of its cgroup or of its address space, by a crash, by kill -9. BL_TEST_LONG=1: 50 times each.
"""
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

SHIM = os.environ['BL_SHIM']
CLI = os.environ['BL_CLI']
VICTIM = os.environ['BL_VICTIM']
LIMIT = 60
LONG = os.environ.get('BL_TEST_LONG') == '1'
INTERVAL_MS = 100
SLACK_NS = 150_000_000  # for a helper thread that waits for a processor
BLOCK = 1024
MILLISECONDS = 3000
BYTES = 64 << 20


def bufleak(directory, *arguments):
    done = subprocess.run([CLI, *arguments], timeout=LIMIT, capture_output=True, text=True,
                          env={**os.environ, 'BUFLEAK_DIR': directory}, check=False)
    assert done.returncode == 0, (arguments, done.returncode, done.stderr)
    return done.stdout


@contextlib.contextmanager
def memory_cgroup(limit_bytes):
    """A cgroup of our own below the one we are in. None: this machine does not let us make one."""
    path = None
    with open('/proc/self/cgroup', encoding='ascii') as lines:
        for line in lines:
            _, controllers, own = line.strip().split(':', 2)
            for top, name in (('/sys/fs/cgroup/memory', 'memory.limit_in_bytes'),
                              ('/sys/fs/cgroup', 'memory.max')):
                if controllers != ('memory' if 'limit' in name else ''):
                    continue
                candidate = f'{top}{own.rstrip("/")}/bufleak-death-{os.getpid()}'
                with contextlib.suppress(OSError):
                    os.mkdir(candidate)
                    path = candidate
                    with open(os.path.join(path, name), 'w', encoding='ascii') as limit:
                        limit.write(str(limit_bytes))
                    break
            if path and os.path.exists(os.path.join(path, name)):
                break
    try:
        yield path if path and os.path.exists(os.path.join(path, 'cgroup.procs')) else None
    finally:
        if path:
            os.rmdir(path)


class Death:
    """One life; what it left."""

    def __init__(self, way, cgroup=None, address_space=None, kill_after=None,
                 milliseconds=MILLISECONDS, interval_ms=INTERVAL_MS, limit=None, before=(),
                 during=None):
        self.directory = tempfile.mkdtemp(prefix='bufleak-death.')
        self.interval_ns = interval_ms * 1_000_000
        self.rate = BYTES / (milliseconds * 1e6)  # bytes a nanosecond
        truth = os.path.join(self.directory, 'truth')

        def prepare():
            if cgroup:
                with open(os.path.join(cgroup, 'cgroup.procs'), 'w', encoding='ascii') as procs:
                    procs.write(str(os.getpid()))
            if address_space:
                resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        process = subprocess.Popen(
            [*before, VICTIM, truth, way, str(milliseconds), str(BYTES)], preexec_fn=prepare,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, **({} if before else {'LD_PRELOAD': SHIM}),
                 'BUFLEAK_DIR': self.directory,
                 'BUFLEAK_OPTIONS': f'quiet=1:interval={interval_ms}ms' + (
                     f':limit={limit}' if limit else ''),
                 # or each thread reserves 64 MiB of addresses, and takes from them when mmap fails
                 **({'MALLOC_ARENA_MAX': '1'} if address_space else {})})
        self.predictions = []
        began = time.monotonic()
        try:
            while limit or milliseconds > MILLISECONDS:
                self.code = process.poll()
                if self.code is not None:
                    break
                if during:
                    during(process.pid, time.monotonic() - began)
                self.predict(process.pid)
            if kill_after is not None:
                time.sleep(kill_after)  # the moment itself is what is chosen
                process.kill()
            self.code = process.wait(timeout=LIMIT)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        with open(truth, 'rb') as file:
            self.forgotten, self.last_ns, self.failed = struct.unpack('<QQQ', file.read(24))
        ledgers = [n for n in os.listdir(self.directory) if n.endswith('.ledger')]
        assert len(ledgers) == 1, ledgers
        self.ledger = os.path.join(self.directory, ledgers[0])
        self.pid = process.pid

    def predict(self, pid):
        """What a report says of the time that is left, as the moment that it means."""
        done = subprocess.run([CLI, 'report', '--format', 'json', str(pid)], timeout=LIMIT,
                              capture_output=True, text=True, check=False,
                              env={**os.environ, 'BUFLEAK_DIR': self.directory})
        if done.returncode != 0:
            return  # not begun, or ended meanwhile
        report = json.loads(done.stdout)
        heap = next((c for c in report['classes'] if c['name'] == 'heap'), None)
        if report['process']['state'] == 'running' and heap and heap['growth'] and (
                heap['growth']['to_limit_s']):
            growth = heap['growth']
            self.predictions.append((report['process']['uptime_ns'] / 1e9, growth['to_limit_s'],
                                     growth['limit']))

    def report(self):
        return json.loads(bufleak(self.directory, 'report', '--format', 'json', self.ledger))

    def close(self):
        shutil.rmtree(self.directory)


def start_ns_of(ledger):
    with open(ledger, 'rb') as file:
        return struct.unpack_from('<Q', file.read(72), 64)[0]


def check_culprit(death, report):
    """The place that forgets is first, with all its blocks: but for the operation under way, and
    what is counted as lost where the shim itself had no memory left."""
    missed = sum(report['losses'][name] for name in
                 ('buffers_no_memory', 'buffers_no_space', 'stacks_dropped'))
    group = max(report['groups'], key=lambda g: g['bytes'])
    names = [f['function'] for f in group['alloc']['frames']]
    assert 'forget' in names, names
    frame = next(f for f in group['alloc']['frames'] if f['function'] == 'forget')
    assert frame['file'].endswith('death/victim.c') and frame['line'] > 0, frame
    assert death.forgotten - missed <= group['count'] <= death.forgotten + 1, (
        group['count'], death.forgotten, missed)
    assert group['bytes'] == group['count'] * BLOCK, group['bytes']
    return group


def check_series(death, report):
    """It goes on until one interval before the end, and its last value is of then. Where the kernel
    holds all threads up before it kills, it may be longer, but the counter has moved by no more
    than it does in an interval."""
    points = [p for p in report['series'] if p['class'] == 'heap']
    last = points[-1]
    end_ns = death.last_ns - start_ns_of(death.ledger)
    moved = death.forgotten * BLOCK - last['live_bytes']
    assert end_ns - last['t_ns'] <= death.interval_ns + SLACK_NS or (
        moved <= death.interval_ns * death.rate), (end_ns, moved, last)
    behind = (end_ns - last['t_ns'] + SLACK_NS) * death.rate
    assert death.forgotten * BLOCK - behind <= last['live_bytes'], (death.forgotten, last)
    assert last['live_bytes'] <= (death.forgotten + 1) * BLOCK + 4 * 64 * 4096 + 65536, last


def check_commands(death):
    listed = json.loads(bufleak(death.directory, 'ps', '--format', 'json', '--all'))
    one, = [p for p in listed['processes'] if p['pid'] == death.pid]
    assert one['state'] == 'killed', one
    frame = json.loads(bufleak(death.directory, 'top', '--once', '--format', 'json', death.ledger))
    assert 'forget' in json.dumps(frame), frame
    assert 'forget' in bufleak(death.directory, 'top', '--once', death.ledger)
    diff = json.loads(bufleak(death.directory, 'diff', '--format', 'json', death.ledger,
                              death.ledger))
    heap = next(c for c in diff['classes'] if c['name'] == 'heap')
    assert heap['a'] == heap['b'], heap
    text = bufleak(death.directory, 'report', death.ledger)
    assert 'killed' in text.splitlines()[0] and 'forget' in text, text[:300]


def check(death, number, after=None):
    report = death.report()
    assert report['process']['state'] == 'killed', report['process']
    check_culprit(death, report)
    check_series(death, report)
    if number == 0:
        check_commands(death)
    if after:
        after(report)
    death.close()


def growth_of(report):
    return next(c for c in report['classes'] if c['name'] == 'heap')['growth']


def check_limit(report, name, key, value):
    limits = report['memory']['limits']
    assert limits[key] == value, limits
    growth = growth_of(report)
    assert growth['trend'] == 'growing', growth
    assert growth['limit'] == name and growth['to_limit_s'] is not None, growth
    # it died there
    assert growth['to_limit_s'] < 1.0, growth


def at_the_limit_of_a_cgroup():
    limit = 72 << 20
    with memory_cgroup(limit) as cgroup:
        if not cgroup:
            return 'no cgroup can be made here'
        for number in range(50 if LONG else 2):
            # the kernel looks for pages to take until it kills, for as long as 0.4 s, and the
            # helper thread waits for one of them
            death = Death('limit', cgroup=cgroup, interval_ms=500)
            assert death.code == -signal.SIGKILL and not death.failed, (death.code, death.failed)
            check(death, number)
    return None


def check_predictions(death, name, reached_s, tolerance):
    """The reports said when it would be, nearer the closer it was. The program grows by the clock; one
    report in four may have seen it in a moment when a busy machine let it wait or catch up."""
    far = [p for p in death.predictions if p[1] > 0.3 and p[2] == name]
    assert far, (death.predictions, reached_s)
    right = 0
    for now_s, to_limit_s, _ in far:
        left_s = reached_s - now_s
        right += abs(to_limit_s - left_s) <= (tolerance * left_s + 2 * death.interval_ns / 1e9 +
                                              SLACK_NS / 1e9)
    assert right * 4 >= len(far) * 3, (right, reached_s, death.predictions)


def check_pace(death, points, limit):
    """The same of a limit before which the kernel finds pages to take, for seconds on a busy
    machine: by the pace at which the cgroup's own series goes on until then."""
    close = next(p for p in points if p['bytes'] >= limit * 7 // 8)
    checked = 0
    for now_s, to_limit_s, name in death.predictions:
        at = max((p for p in points if p['t_ns'] <= now_s * 1e9), key=lambda p: p['t_ns'])
        if name != 'cgroup' or at['bytes'] > limit * 3 // 4:
            continue
        pace = (close['bytes'] - at['bytes']) / (close['t_ns'] - at['t_ns']) * 1e9
        said = (limit - at['bytes']) / to_limit_s
        assert 0.75 * pace <= said <= pace / 0.75, (now_s, to_limit_s, pace, said)
        checked += 1
    assert checked, death.predictions


def time_to_the_limit_of_ones_own():
    death = Death('segv', milliseconds=4000, interval_ms=50, limit=56 << 20)
    report = death.report()
    limits = report['memory']['limits']
    assert limits['limit_bytes'] == 56 << 20 and limits['limit_reached_ns'], limits
    check_predictions(death, 'limit', limits['limit_reached_ns'] / 1e9, 0.1)
    snapshot = next(n for n in sorted(os.listdir(death.directory)) if n.endswith('.ledger.1'))
    snapshot = json.loads(bufleak(death.directory, 'report', '--format', 'json',
                                  os.path.join(death.directory, snapshot)))
    assert snapshot['process']['reason'] == 'limit', snapshot['process']
    # the ledger's own series crosses it between the samples before and after
    points = [p for p in report['series'] if p['class'] == 'heap']
    reached_ns = limits['limit_reached_ns']
    assert all(p['live_bytes'] < 56 << 20 for p in points if p['t_ns'] < reached_ns), limits
    assert all(p['live_bytes'] >= (56 << 20) - (1 << 20) for p in points
               if p['t_ns'] > reached_ns), limits
    death.close()


def time_to_the_limit_of_the_address_space():
    death = Death('limit', address_space=200 << 20, milliseconds=2 * MILLISECONDS, interval_ms=50)
    check_predictions(death, 'address-space',
                      (death.last_ns - start_ns_of(death.ledger)) / 1e9, 0.25)
    death.close()


def time_to_the_limit_of_a_cgroup():
    limit = 72 << 20
    with memory_cgroup(limit) as cgroup:
        if not cgroup:
            return 'no cgroup can be made here'
        death = Death('limit', cgroup=cgroup, milliseconds=2 * MILLISECONDS)
        assert death.code == -signal.SIGKILL and not death.failed, (death.code, death.failed)
        report = death.report()
        check_culprit(death, report)
        assert report['memory']['limits']['cgroup_limit_bytes'] == limit, report['memory']['limits']
        check_pace(death, report['memory']['cgroup'], limit)
        death.close()
    return None


def as_version_2(limit):
    """A command before another one: what a machine with version 2 has at its mount, for a process in
    /slice/own. Neither the root nor its own cgroup have a limit, the one between has."""
    script = ('cd /sys/fs/cgroup && mount -t tmpfs none . && cd /sys/fs/cgroup && '
              'mkdir -p slice/own && echo max > slice/own/memory.max && '
              'echo 1 > slice/own/memory.current && '
              f'echo {limit} > slice/memory.max && echo 1048576 > slice/memory.current && '
              'echo 0::/slice/own > cgroup && mount --bind cgroup /proc/$$/cgroup && '
              f'exec env LD_PRELOAD={SHIM} "$0" "$@"')
    return ['unshare', '-m', '--propagation', 'private', 'sh', '-c', script]


def limit_of_version_2():
    """The memory controller of version 2, as it lays its files out; what they say is written by the
    test, as a kernel has the controller in one version only."""
    limit = 100 << 20
    per_s = 20 << 20
    before = as_version_2(limit)
    with tempfile.TemporaryDirectory() as directory:
        probe = subprocess.run([*before, 'true'], capture_output=True, check=False,
                               env={**os.environ, 'BUFLEAK_DIR': directory})
    if probe.returncode != 0:
        return 'no mounts can be made here'
    death = Death('segv', milliseconds=4000, interval_ms=50, before=before,
                  during=lambda pid, seconds: write_current(pid, per_s, seconds))
    report = death.report()
    limits = report['memory']['limits']
    assert limits['cgroup_limit_bytes'] == limit, limits
    points = report['memory']['cgroup']
    assert points[0]['bytes'] >= 1 << 20 and points[-1]['bytes'] > 40 << 20, points[-3:]
    assert limits['cgroup_bytes'] == points[-1]['bytes'], (limits, points[-1])
    checked = 0
    for now_s, to_limit_s, name in death.predictions:
        at = max((p for p in points if p['t_ns'] <= now_s * 1e9), key=lambda p: p['t_ns'])
        if name == 'cgroup':
            said = (limit - at['bytes']) / to_limit_s
            assert 0.7 * per_s <= said <= per_s / 0.7, (now_s, to_limit_s, said, at)
            checked += 1
    assert checked, death.predictions
    death.close()
    return None


def write_current(pid, per_s, seconds):
    path = f'/proc/{pid}/root/sys/fs/cgroup/slice/memory.current'
    with contextlib.suppress(OSError), open(path, 'r+', encoding='ascii') as file:
        file.write(f'{(1 << 20) + int(per_s * seconds)}\n')


def at_the_limit_of_the_address_space():
    limit = 200 << 20
    for number in range(50 if LONG else 2):
        death = Death('limit', address_space=limit)
        assert death.code == -signal.SIGSEGV and death.failed, (death.code, death.failed)
        check(death, number,
              lambda r: check_limit(r, 'address-space', 'address_space_limit_bytes', limit))


def by_a_crash():
    for number in range(10 if LONG else 1):
        death = Death('segv', milliseconds=1500)
        assert death.code == -signal.SIGSEGV and not death.failed, (death.code, death.failed)
        check(death, number)


def by_kill_9():
    moments = random.Random(7)
    for number in range(50 if LONG else 2):
        death = Death('limit', kill_after=moments.uniform(0.5, 2.5))
        assert death.code == -signal.SIGKILL, death.code
        check(death, number)


CLAIMS = {
    'a process killed at the limit of its cgroup tells who took the memory':
        at_the_limit_of_a_cgroup,
    'and how long it had until then': time_to_the_limit_of_a_cgroup,
    'the limit of its own is reached when the reports before said so':
        time_to_the_limit_of_ones_own,
    'the limit of a cgroup of version 2 is read and told': limit_of_version_2,
    'so is the limit of the address space': time_to_the_limit_of_the_address_space,
    'one that crashes at the limit of its address space tells who took the memory':
        at_the_limit_of_the_address_space,
    'so does one that crashes': by_a_crash,
    'so does one that is killed by kill -9': by_kill_9,
}


def main():
    failed = 0
    print(f'1..{len(CLAIMS)}')
    for number, (claim, check_claim) in enumerate(CLAIMS.items(), 1):
        try:
            skipped = check_claim()
            print(f'ok {number} - {claim}' + (f' # SKIP {skipped}' if skipped else ''))
        except (AssertionError, subprocess.SubprocessError, KeyError, StopIteration, ValueError,
                IndexError, OSError) as error:
            failed += 1
            print(f'not ok {number} - {claim}\n# {type(error).__name__} {str(error)[:900]!r}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
