#!/usr/bin/python3
"""nginx: daemon with two workers as another user, TLS and HTTP/2, our filter module, and all its
own uses of signals: USR1 reopens the logs, HUP reloads, USR2 and QUIT replace the program."""
import os
import re
import signal
import sys

from harness import client, compare, runner
from harness.backend import FILLER, Backend
from harness.box import certificate, free_port, program, wait_for
from harness.incident import Bodies, check_worker, is_forgotten_body

WORKERS = 2
REQUESTS = 10_000
BODIES = 600

CONFIG = """
load_module {module};
{user}
worker_processes {workers};
pid {dir}/pid;
error_log {dir}/error.log notice;
events {{ worker_connections 1024; }}
http {{
    log_format plain '$request_method $uri $server_protocol $status $body_bytes_sent';
    access_log {dir}/access.log plain;
    keepalive_requests 1000000;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
    uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
    upstream backend {{ server 127.0.0.1:{backend}; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        listen 127.0.0.1:{tls_port} ssl http2 backlog=1024;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        location / {{
            body_cache on;
            proxy_pass http://backend;
            add_header X-Worker $pid;
        }}
    }}
}}
"""

# Who sent a signal and which process ended: numbers of processes.
PIDS = [(re.compile(r"\d+#\d+"), "PID"), (re.compile(r"(process|from|signal) \d+"), r"\1 N"),
        (re.compile(r"getrlimit.*"), "getrlimit")]
# Two signals of the same kind that arrive close together are one to the receiver.
MERGED = [re.compile(r"signal \w+ \((SIGCHLD|SIGIO)\)")]


class Nginx:
    def __init__(self, run, module):
        self.run, self.box = run, run.box
        self.port, self.tls_port = free_port(), free_port()
        root = self.box.make_dir("nginx")
        _, key, cert = certificate(self.box)
        user = "user www-data;" if os.geteuid() == 0 else ""
        self.config = self.box.write("nginx/nginx.conf", CONFIG.format(
            module=module, dir=root, port=self.port, tls_port=self.tls_port, key=key, cert=cert,
            workers=WORKERS, user=user, backend=run.backend.port))

    def start(self):
        launcher = self.box.spawn([program("nginx"), "-c", str(self.config)])
        self.run.outcome.exits["launcher"] = self.box.wait_exit(launcher)
        self.master = self.box.wait_pid_file("nginx/pid")
        self.workers = self.box.wait_children(self.master, WORKERS)
        self.box.wait_listening(self.port, self.tls_port)
        for pid in self.all():
            self.box.wait_started(pid)
        self.run.expect(launcher, self.master, *self.workers)

    def all(self):
        return [self.master, *self.workers]

    def reopen_logs(self):
        """SIGUSR1 to the master, which reopens the logs and has its workers do it (by message, not
        by signal), and to one worker, which reopens its own."""
        log, old = self.box.path("nginx/access.log"), self.box.path("nginx/access.log.1")
        log.rename(old)
        snapshots = {self.master: self.run.send_sigusr1(self.master)}

        def reopened():
            return all(log.exists() and self._holds(pid, log) and not self._holds(pid, old)
                       for pid in self.all())
        wait_for(reopened, "every process to reopen the access log")
        worker = self.workers[0]
        error_log = self.box.path("nginx/error.log")
        said = error_log.read_text().count(f"{worker}#{worker}: reopening logs")
        snapshots[worker] = self.run.send_sigusr1(worker)
        wait_for(lambda: error_log.read_text().count(f"{worker}#{worker}: reopening logs") > said,
                 "the worker to reopen its logs")
        return snapshots

    def _holds(self, pid, path):
        name = str(path).replace(str(self.box.dir), "DIR")
        return name in compare.descriptors(self.box, pid).values()

    def reload(self):
        old = self.workers
        os.kill(self.master, signal.SIGHUP)

        def replaced():
            now = self.box.children(self.master)
            return now if len(now) == WORKERS and not set(now) & set(old) else None
        self.workers = wait_for(replaced, "new workers after the reload", 15)
        self.run.expect(*self.workers)

    def upgrade(self):
        """SIGUSR2: the master forks, and the child becomes the new program and master; then QUIT
        ends the old one. The two listen on the same sockets meanwhile."""
        old_master = self.master
        os.kill(old_master, signal.SIGUSR2)
        new_master = self.box.wait_pid_file("nginx/pid", other_than=old_master)
        new_workers = self.box.wait_children(new_master, WORKERS)
        os.kill(old_master, signal.SIGQUIT)
        self.run.outcome.exits["old master"] = self.box.wait_exit(old_master)
        self.master, self.workers = new_master, new_workers
        self.run.expect(new_master, programs=2)
        self.run.expect(*new_workers)


def logs_are_reopened_while_serving(run, nginx):
    load = client.Load(nginx.port, client.echo_requests(REQUESTS, large_file=run.backend.file))
    with load.flowing():
        snapshots = nginx.reopen_logs()
        run.claim(load.right < REQUESTS, "SIGUSR1 came while requests flowed", load.right)
    run.served("requests, with SIGUSR1 in the middle", load, REQUESTS)
    if run.tracked:
        for pid, entry in snapshots.items():
            role = "master" if pid == nginx.master else "worker"
            run.snapshot_is_good(entry, pid, "signal", f"SIGUSR1 makes a snapshot of the {role}")
    run.claim(run.box.path("nginx/access.log").stat().st_size > 0,
              "the reopened log is being written")


def tls_is_served(run, nginx):
    load = client.Load(nginx.tls_port, client.echo_requests(1000, first=REQUESTS), tls=True)
    run.served("requests over TLS", load.start().wait(), 1000)
    wanted = len(f"x|{FILLER}") * 5000
    run.counted("answers and bytes over HTTP/2",
                client.h2load(f"https://127.0.0.1:{nginx.tls_port}/echo/x", 5000), (5000, wanted))


def forgotten_references_are_counted(run, nginx):
    """Bodies of which the filter forgets a reference, and as many of which it does not, spread over
    both workers; the workers go on with bodies while they are asked."""
    bodies = Bodies(nginx.port, "leaking")
    right, failures = bodies.send(BODIES, BODIES, threads=4)
    run.outcome.served["bodies"] = right
    run.claim(right == 2 * BODIES and not failures, f"{2 * BODIES} bodies answered rightly", failures)
    run.equal(sum(bodies.leaked.values()), BODIES, "the forgotten ones are counted by worker")
    # one that was given no other kind has nothing that it could be compared with
    bodies.send_until_kept()
    background = bodies.load(1_000_000, False, 4).start()
    try:
        for pid in nginx.workers:
            if run.tracked:
                bodies.wait_settled()
            entry = run.send_sigusr1(pid)
            if run.tracked:
                check_worker(run.claim, run.ledgers.report(entry.path), bodies, pid)
    finally:
        background.stop()
    run.claim(not background.failures, "the requests meanwhile were answered", background.failures)


def programs_are_replaced_while_serving(run, nginx):
    load = client.Load(nginx.port, client.echo_requests(1_000_000, first=20_000)).start()
    nginx.reload()
    before_upgrade = load.right
    nginx.upgrade()
    wait_for(lambda: load.right > before_upgrade + 500 or load.failures, "requests to flow")
    load.stop()
    run.claim(load.right > 0 and not load.failures,
              "every request during reload and binary upgrade was answered",
              f"{load.right} right, {load.failures[:5]}")


def scenario(run):
    run.backend = Backend(run.box)
    nginx = Nginx(run, run.args.build / "tests/gateways/nginx/ngx_http_body_cache_leaking.so")
    nginx.start()
    run.is_true = is_forgotten_body
    for role, pid in [("master", nginx.master), ("worker", nginx.workers[0])]:
        run.note_descriptors(f"{role} at start", pid)
    logs_are_reopened_while_serving(run, nginx)
    run.requests_counted("ngx_http_free_request", nginx.workers, REQUESTS)
    tls_is_served(run, nginx)
    forgotten_references_are_counted(run, nginx)
    if run.tracked:
        for pid in nginx.all():
            entry = run.ledgers.dump_and_wait(pid)
            run.snapshot_is_good(entry, pid, "dump", "bufleak dump makes a snapshot")
    for role, pid in [("master", nginx.master), ("worker", nginx.workers[0])]:
        run.note_descriptors(f"{role} after serving", pid, f"{role} at start")
    programs_are_replaced_while_serving(run, nginx)
    for role, pid in [("master", nginx.master), ("worker", nginx.workers[0])]:
        run.note_descriptors(f"{role} after the upgrade", pid, f"{role} at start")
    run.equal(run.box.wait_no_zombies(), [], "no zombie")
    os.kill(nginx.master, signal.SIGQUIT)
    run.outcome.exits["new master"] = run.box.wait_exit(nginx.master)
    run.outcome.merged = MERGED
    run.outcome.logs["error.log"] = compare.read_log(run.box.path("nginx/error.log"), PIDS)
    run.outcome.logs["output"] = run.read_output()


if __name__ == "__main__":
    sys.exit(runner.main("nginx", scenario))
