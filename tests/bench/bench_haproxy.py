#!/usr/bin/python3
"""CPU time that the shim adds to a request in Debian's haproxy, its pools switched off.

Two haproxy workers, one plain and one under the shim, serve the same backend on loopback. They are
loaded in turns by wrk; CPU time is what the kernel charged to the worker's threads meanwhile,
divided by the requests answered. Three kinds of load: connections kept open, a connection for each
request, and a TLS connection for each request.
"""
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import bench_common as common

HAPROXY = ['haproxy', '-db', '-dMno-cache,no-merge,no-global', '-f']
LOADS = {
    'keep-alive': {'scheme': 'http', 'headers': []},
    'close': {'scheme': 'http', 'headers': ['Connection: close']},
    'tls-close': {'scheme': 'https', 'headers': ['Connection: close']},
}
TARGET = 1.25


class BenchError(Exception):
    pass


BACKEND = '''\
worker_processes 1;
daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "{body}"; }}
    }}
}}
'''

FRONTEND = '''\
global
    maxconn 2000
    nbthread 1
    tune.ssl.cachesize 0
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend front
    bind 127.0.0.1:{http}
    bind 127.0.0.1:{https} ssl crt {dir}/certificate.pem
    default_backend back
backend back
    http-reuse always
    server nginx 127.0.0.1:{backend}
'''


def free_ports(count):
    """Ports that nobody listens on. All are held at once, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    for held in sockets:
        held.bind(('127.0.0.1', 0))
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def write(directory, name, text):
    path = os.path.join(directory, name)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    return path


def make_certificate(directory):
    key, certificate = (os.path.join(directory, name) for name in ('key.pem', 'cert.pem'))
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2',
                    '-subj', '/CN=localhost', '-keyout', key, '-out', certificate],
                   check=True, capture_output=True, stdin=subprocess.DEVNULL)
    with open(certificate, encoding='utf-8') as a, open(key, encoding='utf-8') as b:
        write(directory, 'certificate.pem', a.read() + b.read())


class Server:
    """A server in the foreground; log is where its output goes."""

    def __init__(self, command, environment, log, port):
        self.port = port
        self.log = log
        with open(log, 'wb') as output:
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL,
                                            stdout=output, stderr=subprocess.STDOUT)
        self.wait_until_it_listens(command)

    def wait_until_it_listens(self, command):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(('127.0.0.1', self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        with open(self.log, encoding='utf-8', errors='replace') as log:
            text = log.read()
        self.stop()
        raise BenchError(f'{" ".join(command)} does not listen on port {self.port}:\n{text}')

    def cpu_ns(self):
        """CPU time of all its threads, exact to the nanosecond where the kernel keeps that."""
        total = 0
        tasks = f'/proc/{self.process.pid}/task'
        for task in os.listdir(tasks):
            with open(f'{tasks}/{task}/schedstat', encoding='ascii') as stat:
                total += int(stat.read().split()[0])
        return total

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def check_answer(port, scheme, body):
    """One request of our own: what is measured must be a server that answers right."""
    with socket.create_connection(('127.0.0.1', port), timeout=10) as plain:
        connection = plain
        if scheme == 'https':
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            connection = context.wrap_socket(plain)
        connection.sendall(b'GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n')
        answer = b''
        while chunk := connection.recv(65536):
            answer += chunk
        connection.close()
    if not answer.startswith(b'HTTP/1.1 200') or not answer.endswith(body.encode()):
        raise BenchError(f'wrong answer from port {port}: {answer[:200]!r}')


def run_load(load, port, seconds, connections):
    """Returns the number of requests answered; any that failed is an error."""
    command = ['wrk', '-t', '1', '-c', str(connections), '-d', f'{seconds}s']
    for header in load['headers']:
        command += ['-H', header]
    command.append(f'{load["scheme"]}://127.0.0.1:{port}/')
    run = subprocess.run(command, env=common.clean_environment(), capture_output=True, text=True,
                         stdin=subprocess.DEVNULL, timeout=seconds + 60, check=False)
    done = re.search(r'(\d+) requests in', run.stdout)
    if run.returncode != 0 or not done or int(done[1]) == 0:
        raise BenchError(f'wrk failed: {run.stdout}{run.stderr}')
    bad = re.search(r'Non-2xx or 3xx responses: (\d+)|(connect [1-9]\d*, .*)', run.stdout)
    if bad:
        raise BenchError(f'wrk reports failed requests: {bad[0]}')
    return int(done[1])


def measure(server, ports, name, options):
    load = LOADS[name]
    before = server.cpu_ns()
    requests = run_load(load, ports[load['scheme']], options.seconds, options.connections)
    return (server.cpu_ns() - before) / requests / 1000


def start_all(directory, variants, options):
    """Starts the backend and one haproxy for each variant. Returns servers and their ports."""
    numbers = free_ports(1 + 2 * len(variants))
    body = 'x' * options.body
    servers, ports = {}, {}
    try:
        backend = write(directory, 'nginx.conf',
                        BACKEND.format(dir=directory, port=numbers[0], body=body))
        servers['backend'] = Server(['nginx', '-p', directory, '-c', backend],
                                    common.clean_environment(),
                                    os.path.join(directory, 'nginx.out'), numbers[0])
        for i, variant in enumerate(variants):
            ports[variant] = {'http': numbers[1 + 2 * i], 'https': numbers[2 + 2 * i]}
            config = write(directory, f'{variant}.cfg', FRONTEND.format(
                dir=directory, backend=numbers[0], **ports[variant]))
            environment = common.clean_environment()
            if variant == 'bufleak':
                environment = common.shim_environment(os.path.join(directory, 'ledgers'))
            servers[variant] = Server(HAPROXY + [config], environment,
                                      os.path.join(directory, f'{variant}.out'),
                                      ports[variant]['http'])
            for scheme in ('http', 'https'):
                check_answer(ports[variant][scheme], scheme, body)
    except BaseException:
        stop_all(servers)
        raise
    return servers, ports


def stop_all(servers):
    for server in servers.values():
        server.stop()


def check_tracked(directory):
    ledgers = [n for n in os.listdir(os.path.join(directory, 'ledgers')) if n.endswith('.ledger')]
    if not ledgers:
        raise BenchError('the shim left no ledger: what was measured did not track')


def measure_all(options, variants):
    with tempfile.TemporaryDirectory(prefix='bufleak-bench.') as directory:
        os.chmod(directory, 0o755)
        os.mkdir(os.path.join(directory, 'ledgers'), 0o700)
        make_certificate(directory)
        servers, ports = start_all(directory, variants, options)
        try:
            if 'bufleak' in variants:
                check_tracked(directory)
            return {name: measure_load(name, servers, ports, variants, options)
                    for name in options.loads}
        finally:
            stop_all(servers)


def measure_load(name, servers, ports, variants, options):
    samples = {variant: [] for variant in variants}
    for number in range(options.rounds + 1):
        # Who goes first changes, and the first round only warms up.
        for variant in variants if number % 2 else reversed(variants):
            common.progress(f'{name}: round {number} of {options.rounds}, {variant}')
            value = measure(servers[variant], ports[variant], name, options)
            if number > 0:
                samples[variant].append(value)
    result = {'us_per_request': {v: common.median(values) for v, values in samples.items()},
              'rounds_us': samples}
    if 'bufleak' in variants:
        ratios = [with_shim / plain
                  for with_shim, plain in zip(samples['bufleak'], samples['plain'])]
        result['ratio'] = common.median(ratios)
        result['ratio_rounds'] = ratios
    return result


def show(report):
    machine = report['machine']
    print(f'haproxy without pools, 1 thread · {machine["cpus"]} × {machine["cpu"]} · load '
          f'{machine["load_1m"]} · {report["rounds"]} rounds, medians of CPU time per request\n')
    rows = []
    for name, load in report['loads'].items():
        cells = [name, f'{load["us_per_request"]["plain"]:.1f} µs']
        if 'ratio' in load:
            cells += [f'{load["us_per_request"]["bufleak"]:.1f} µs', f'{load["ratio"]:.2f}',
                      f'{min(load["ratio_rounds"]):.2f}–{max(load["ratio_rounds"]):.2f}']
        rows.append(cells)
    header = ['load', 'plain', 'bufleak', 'ratio', 'of the rounds']
    common.show_table(header[:len(rows[0])], rows)
    if 'ratio' in next(iter(report['loads'].values())):
        print(f'\nwanted: a ratio of at most {TARGET}')


def parse():
    options = common.parser(__doc__.split('\n')[0])
    options.add_argument('--seconds', type=common.positive, default=3, metavar='N',
                         help='length of one measurement (default 3)')
    options.add_argument('--connections', type=common.positive, default=16, metavar='N')
    options.add_argument('--body', type=common.positive, default=1024, metavar='BYTES',
                         help='size of the answer (default 1,024)')
    options.add_argument('--loads', choices=list(LOADS), nargs='+', default=list(LOADS))
    return options.parse_args()


def main():
    options = parse()
    variants = ['plain'] + (['bufleak'] if common.have_shim() else [])
    report = {'machine': common.machine(), 'rounds': options.rounds, 'seconds': options.seconds,
              'loads': measure_all(options, variants)}
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
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        common.progress_done()
        print(f'bench: {error}', file=sys.stderr)
        sys.exit(1)
