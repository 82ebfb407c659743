#!/usr/bin/python3
"""CPU time that following every buffer adds to a request in a Netty proxy, beside Netty's own leak
detector and async-profiler, and what each of them says about the same planted mistakes.

One client and backend, and a proxy of ten filters in a virtual machine for each variant, all up at
the same time. They are warmed up by many small loads, as each load begins with new connections, until
their compilers have nothing to do any more. Then they are loaded in turns, a tenth of a second each and every time in another order, so that what else the
machine does meets all of them alike; compared are neighbours in time. All of it again with other
machines, as each compiles the same code its own way. CPU time is all that the kernel charged to the
proxy's process meanwhile, divided by the requests answered. Clients run on the last processor,
proxies on the first; the clients' thread never sleeps, as what it costs to wake it would be the
proxy's. Of what the tools say, counted is which of three mistakes, each made once in 1,000 requests,
they name by class and line, and which other filters.
"""
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bench_common as common

sys.path.insert(0, os.path.join(common.ROOT, 'tests', 'jvm'))
import maven  # noqa: E402
import profiler  # noqa: E402
import proxy  # noqa: E402

CACHE = Path(common.BUILD) / 'tests' / 'jvm' / 'cache'
LEVEL = '-Dio.netty.leakDetection.level='
PARANOID = 'Netty paranoid'
PROFILER = 'async-profiler nativemem'
TARGET = 1.25
PARANOID_TARGET = 6
SLICES = 10             # of a round
WARM_LOAD = 250         # requests: what a connection takes to open and close gets warm as well
WARM_ROUNDS_MOST = 60
WARM_SHARE = 0.03       # of the CPU time, that the compilers may take
# where the mistakes are: by class, the file and the mark of the line
MISTAKES = {'CacheBodyFilter': 'cached here', 'AuditFilter': 'audited here',
            'SessionFilter': 'held here'}
FILTER = re.compile(r'(\w+Filter)\.java:(\d+)')


class Proxy(proxy.Program):
    """One proxy of a variant, pinned to the first processor."""

    def __init__(self, name, options, class_path, backend, directory, leaking=False):
        self.name = name
        self.directory = directory
        self.errors = open(Path(directory) / 'errors', 'w+', encoding='utf-8', errors='replace')
        environment = common.clean_environment()
        if name == 'bufleak':
            environment = common.shim_environment(directory)
        try:
            super().__init__(['taskset', '-c', '0', 'java', '-Xmx256m', *options,
                              f'-Dgw.leaking={str(leaking).lower()}', '-cp', class_path, 'gw.Proxy',
                              str(backend)], environment, self.errors)
            words = self.line().split()
            while words[:1] != ['port']: # the profiler speaks on stdout as well
                words = self.line().split()
            self.port = int(words[1])
        except BaseException:
            self.errors.close()
            raise

    def cpu_ns(self):
        """Of all its threads, those that have ended included."""
        return time.clock_gettime_ns((~self.pid << 3) | 2)

    def compilers_ns(self):
        """Of the threads that compile; some end, and their time with them."""
        spent = 0
        for thread in Path(f'/proc/{self.pid}/task').iterdir():
            try:
                if 'Compile' in (thread / 'comm').read_text():
                    spent += int((thread / 'schedstat').read_text().split()[0])
            except OSError:
                continue
        return spent

    def complaints(self):
        self.errors.seek(0)
        return self.errors.read()

    def close(self):
        self.kill()
        self.errors.close()


class Bench:
    def __init__(self, options):
        self.options = options
        libs = maven.libraries(proxy.SOURCES / 'pom.xml', CACHE)
        self.class_path = maven.class_path(maven.compiled(proxy.SOURCES, libs, CACHE, 8), libs)
        self.load = proxy.Program(['taskset', '-c', str((os.cpu_count() or 1) - 1), 'java',
                                   '-Xmx128m', '-Dgw.poll=true',
                                   '-Dio.netty.selectorAutoRebuildThreshold=0', # it returns at once
                                   LEVEL + 'disabled', # it is not what is measured
                                   '-cp', self.class_path, 'gw.Load'],
                                  common.clean_environment())
        self.load.wait_port()

    def variants(self, directory):
        # plain is the proxy as it comes: Netty's detector looks at one buffer in 128
        made = {'plain': [], 'bufleak': [], 'Netty advanced': [LEVEL + 'advanced'],
                PARANOID: [LEVEL + 'paranoid']}
        try:
            # every allocation; a text that names them at the end
            made[PROFILER] = [f'-agentpath:{profiler.library(CACHE)}=start,nativemem=0,collapsed,'
                                    f'file={directory}/nativemem.txt']
        except maven.Unavailable as why:
            print(f'bench: no async-profiler: {why}', file=sys.stderr)
        return made

    def start(self, name, options, directory, leaking=False):
        place = Path(directory) / name.replace(' ', '-')
        place.mkdir(mode=0o700)
        return Proxy(name, options, self.class_path, self.load.port, place, leaking)

    def send(self, one, requests):
        answer = proxy.counts_of(self.load.ask(
            f'{one.port} {requests} {self.options.connections} {self.options.body}'))
        if answer['wrong'] or answer['right'] + answer['refused'] != requests:
            raise proxy_error(one, answer)
        return answer

    def requests_of(self, name):
        """Of a slow one fewer, so that a round takes each about as long."""
        return self.options.requests // (8 if name == PARANOID else 1)

    def warm_up(self, one):
        few = 10 if one.name == PARANOID else 1
        for _ in range(self.options.warm_up // few // WARM_LOAD):
            self.send(one, WARM_LOAD)
        for _ in range(WARM_ROUNDS_MOST):
            turns = [self.turn_of(one) for _ in range(SLICES)]
            if compilers_share(turns) < WARM_SHARE:
                break

    def turn_of(self, one):
        """Microseconds a request that a slice takes, and that the compilers take meanwhile."""
        requests = max(1, self.requests_of(one.name) // SLICES)
        before = one.cpu_ns(), one.compilers_ns()
        self.send(one, requests)
        spent = one.cpu_ns() - before[0], max(0, one.compilers_ns() - before[1])
        return [ns / requests / 1000 for ns in spent]

    def measure(self, directory):
        """Of one virtual machine for each variant: the costs of its slices, and the share of its
        compilers in them."""
        turns = {}
        running = []
        order = random.Random(1)
        try:
            for name, options in self.variants(directory).items():
                running.append(self.start(name, options, directory))
                turns[name] = []
            for one in running:
                common.progress(f'warming up: {one.name}')
                self.warm_up(one)
            for turn in range(self.options.rounds * SLICES):
                common.progress(f'round {turn // SLICES + 1} of {self.options.rounds}')
                for one in order.sample(running, len(running)):
                    turns[one.name].append(self.turn_of(one))
        finally:
            for one in running:
                one.close()
        return ({name: [cost for cost, _ in of_one] for name, of_one in turns.items()},
                {name: compilers_share(of_one) for name, of_one in turns.items()})

    def measure_all(self):
        """The same of several machines, one after the other: each compiles the same code its own
        way."""
        measured = []
        for _ in range(self.options.machines):
            with tempfile.TemporaryDirectory(prefix='bufleak-bench.') as directory:
                measured.append(self.measure(directory))
        return measured

    def hear(self, directory):
        """What each says about the same mistakes."""
        heard = {}
        for name, options in self.variants(directory).items():
            title = 'Netty simple (its default)' if name == 'plain' else name
            common.progress(f'with mistakes: {title}')
            one = self.start(name, options, directory, leaking=True)
            try:
                for _ in range(8): # the detector reports when the collector has been there
                    self.send(one, self.options.mistakes // 8)
                counted = one_counts(one)
                one.stop()
                heard[title] = judge(name, one, directory, counted)
            finally:
                one.close()
        return heard

    def close(self):
        self.load.kill()


def compilers_share(turns):
    return sum(compilers for _, compilers in turns) / sum(cost for cost, _ in turns)


def proxy_error(one, answer):
    return RuntimeError(f'{one.name}: {answer}\n{one.complaints()[-2000:]}')


def one_counts(one):
    counts = proxy.counts_of(one.ask())
    return {'CacheBodyFilter': counts['cached'], 'AuditFilter': counts['audited'],
            'SessionFilter': counts['held']}


def planted_lines():
    return {(name, proxy.line_of(f'{name}.java', mark)) for name, mark in MISTAKES.items()}


def named_in(text):
    """Mentions of filters by line, with how often."""
    mentions = {}
    for match in FILTER.finditer(text):
        key = (match[1], int(match[2]))
        mentions[key] = mentions.get(key, 0) + 1
    return mentions


def judge(name, one, directory, counted):
    if name == 'bufleak':
        return judge_bufleak(one, counted)
    if name == PROFILER:
        text = (Path(directory) / 'nativemem.txt').read_text(errors='replace')
        filters = set(re.findall(r'(\w+Filter)\.apply', text))
        return {'planted': counted, 'reports': sum(1 for line in text.splitlines() if line),
                'named': {}, 'other_filters': sorted(filters - set(MISTAKES)),
                'note': 'stacks of allocations, releases are not paired with them'}
    text = one.complaints()
    mentions = named_in(text)
    planted = planted_lines()
    others = {k: n for k, n in mentions.items() if k[0] not in MISTAKES}
    return {'planted': counted, 'reports': text.count('LEAK: '),
            'named': {k[0]: n for k, n in mentions.items() if k in planted},
            'other_filters': sorted({k[0] for k in others}),
            'other_mentions': sum(n for k, n in mentions.items() if k not in planted)}


def judge_bufleak(one, counted):
    done = subprocess.run([os.path.join(common.BUILD, 'cli', 'bufleak'), 'report', '--format', 'json',
                           '--class', 'netty-bytebuf', str(one.pid)], capture_output=True, text=True,
                          check=True, timeout=60,
                          env={**os.environ, 'BUFLEAK_DIR': str(one.directory)})
    verdicts = [g for g in json.loads(done.stdout)['groups'] if g['verdict'] == 'missing-release']
    blamed = [(g['blame']['frames'][0], g['count']) for g in verdicts]
    planted = planted_lines()
    named = {f['file'].removesuffix('.java'): n for f, n in blamed
             if (f['file'].removesuffix('.java'), f['line']) in planted}
    return {'planted': counted, 'reports': len(verdicts), 'named': named,
            'other_filters': sorted(f['file'] for f, _ in blamed
                                    if f['file'].removesuffix('.java') not in named)}


def start_times(rounds):
    """Wall-clock milliseconds of a program that says one line, in turns."""
    source = Path(common.ROOT) / 'tests' / 'jvm' / 'hello'
    classes = maven.compiled(source, CACHE, CACHE, 8)
    times = {'plain': [], 'bufleak': []}
    with tempfile.TemporaryDirectory(prefix='bufleak-bench.') as directory:
        for _ in range(3 * rounds):
            for name, measured in times.items():
                environment = (common.shim_environment(directory) if name == 'bufleak'
                               else common.clean_environment())
                before = time.monotonic()
                subprocess.run(['java', '-cp', str(classes), 'Hello'], env=environment, check=True,
                               stdout=subprocess.DEVNULL, timeout=60)
                measured.append((time.monotonic() - before) * 1000)
    return {name: common.median(values) for name, values in times.items()}


def compare(measured, name, other):
    """How many times as much as the other at the same time: the median of all slices, and of each
    pair of machines."""
    of_each = [[cost / base for cost, base in zip(costs[name], costs[other])] for costs, _ in measured]
    return {'median': common.median(sum(of_each, [])), 'machines': [common.median(r) for r in of_each]}


def judged(ratio, target):
    """All machines on one side of what is wanted, or is it too early to say?"""
    if max(ratio['machines']) <= target:
        return 'met'
    if min(ratio['machines']) > target:
        return 'MISSED'
    return f"{'met' if ratio['median'] <= target else 'MISSED'} by the median, not by each machine"


def show(report):
    machine = report['machine']
    print(f"{machine['cpus']} processors, {machine['cpu']}, load {machine['load_1m']}\n")
    rows = []
    for name, costs in report['cpu_us'].items():
        ratio = report['of_plain'][name]
        rows.append([name, f'{common.median(sum(costs, [])):.1f} us', f"{ratio['median']:.2f}",
                     ' '.join(f'{r:.2f}' for r in ratio['machines']),
                     ' '.join(f'{common.median(c):.1f}' for c in costs),
                     f"{max(report['compiling'][name]) * 100:.1f} %"])
    common.show_table(['CPU per request', 'median', 'of plain', 'of each machine', 'us', 'compiling'],
                      rows)
    ours = report['of_plain']['bufleak']
    paranoid = report['bufleak_of_paranoid']
    print(f"\nbufleak {ours['median']:.2f} of plain (at most {TARGET}): {judged(ours, TARGET)}")
    print(f"paranoid {1 / paranoid['median']:.1f} times bufleak (at least {PARANOID_TARGET}): "
          f'{judged(paranoid, 1 / PARANOID_TARGET)}')
    print(f"hello world: {report['hello_ms']['plain']:.0f} ms, under bufleak "
          f"{report['hello_ms']['bufleak']:.0f} ms (at most 60 more)\n")
    for name, heard in report['heard'].items():
        planted = ', '.join(f'{k} {v}' for k, v in heard['planted'].items())
        named = ', '.join(f'{k} {v}' for k, v in heard['named'].items()) or 'none'
        print(f"{name}: of {planted} names {named}; {heard['reports']} reports; other filters: "
              f"{', '.join(heard['other_filters']) or 'none'}")
        if heard.get('other_mentions'):
            print(f"    {heard['other_mentions']} mentions of lines without a mistake")


def parse():
    parser = common.parser(__doc__)
    parser.add_argument('--machines', type=common.positive, default=3, metavar='N',
                        help='virtual machines of each variant, one after the other (default 3)')
    parser.add_argument('--requests', type=common.positive, default=20000, metavar='N',
                        help=f'of a round, in {SLICES} turns (default 20000)')
    parser.add_argument('--warm-up', type=common.positive, default=100000, metavar='N',
                        help='requests before, at least: until the compilers rest (default 100000)')
    parser.add_argument('--mistakes', type=common.positive, default=40000, metavar='N',
                        help='requests with mistakes (default 40000)')
    parser.add_argument('--connections', type=common.positive, default=32, metavar='N')
    parser.add_argument('--body', type=common.positive, default=1024, metavar='BYTES')
    return parser.parse_args()


def main():
    options = parse()
    report = {'machine': common.machine(), 'rounds': options.rounds}
    bench = Bench(options)
    try:
        measured = bench.measure_all()
        names = list(measured[0][0])
        report['cpu_us'] = {name: [costs[name] for costs, _ in measured] for name in names}
        report['compiling'] = {name: [shares[name] for _, shares in measured] for name in names}
        report['of_plain'] = {name: compare(measured, name, 'plain') for name in names}
        report['bufleak_of_paranoid'] = compare(measured, 'bufleak', PARANOID)
        report['hello_ms'] = start_times(options.rounds)
        with tempfile.TemporaryDirectory(prefix='bufleak-bench.') as directory:
            report['heard'] = bench.hear(directory)
    finally:
        bench.close()
    common.progress_done()
    if options.json:
        json.dump(report, sys.stdout, indent=1)
        print()
    else:
        show(report)
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except (RuntimeError, OSError, subprocess.SubprocessError, maven.Unavailable) as error:
        common.progress_done()
        print(f'bench: {error}', file=sys.stderr)
        sys.exit(1)
