#!/usr/bin/python3
"""haproxy -W -D: master and worker, two threads, own user, chroot, TLS with HTTP/2, reload by
SIGUSR2 (the master executes itself again), and soft stop by SIGUSR1."""
import os
import re
import signal
import sys

from harness import client, compare, runner
from harness.backend import FILLER, Backend, echo_body
from harness.box import certificate, free_port, program, wait_for
from harness.syslog import SyslogServer

REQUESTS = 10_000

CONFIG = """
global
    maxconn 500
    nbthread 2
    {privileges}
    pidfile {dir}/pid
    log 127.0.0.1:{syslog} local0 info
defaults
    mode http
    log global
    option dontlog-normal
    option httplog
    timeout client 20s
    timeout server 20s
    timeout connect 5s
frontend front
    bind 127.0.0.1:{port} backlog 1024
    bind 127.0.0.1:{tls_port} ssl crt {pem} alpn h2,http/1.1
    default_backend back
backend back
    http-reuse never
    server s 127.0.0.1:{backend}
"""

# Numbers of processes, and how many requests the load of unknown length had sent by the reload.
NUMBERS = [(re.compile(r"\(\d+\)"), "(PID)"), (re.compile(r"haproxy\[\d+\]"), "haproxy[PID]"),
           (re.compile(r"worker \d+"), "worker PID"),
           (re.compile(r"conns: FE: \d+, BE: \d+"), "conns")]


class Haproxy:
    def __init__(self, run, syslog):
        self.run, self.box = run, run.box
        self.port, self.tls_port = free_port(), free_port()
        self.empty = self.box.make_dir("empty")
        privileges = f"chroot {self.empty}\n    user haproxy\n    group haproxy" \
            if os.geteuid() == 0 else ""
        pem, _, _ = certificate(self.box)
        self.config = self.box.write("haproxy.cfg", CONFIG.format(
            dir=self.box.dir, privileges=privileges, syslog=syslog.port, port=self.port,
            tls_port=self.tls_port, pem=pem, backend=run.backend.port))

    def start(self):
        launcher = self.box.spawn([program("haproxy"), "-W", "-D", "-f", str(self.config)])
        self.run.outcome.exits["launcher"] = self.box.wait_exit(launcher)
        self.master = self.box.wait_pid_file("pid")
        self.worker, = self.box.wait_children(self.master, 1)
        self._wait_mode(self.worker)
        self.left_behind = {launcher, self.master}
        self.run.expect(launcher, self.worker)
        self.run.expect(self.master, programs=2)  # the master executes itself to wait

    def _wait_mode(self, worker):
        """The master has executed itself once more when it no longer names an older worker in its
        command line, and the worker serves when it has dropped its user."""
        def settled():
            text = open(f"/proc/{worker}/status", encoding="ascii").read()
            uid = int(re.search(r"^Uid:\s+(\d+)", text, re.M)[1])
            command = open(f"/proc/{self.master}/cmdline", "rb").read()
            master_waits = False
            for number in os.listdir(f"/proc/{self.master}/fd"):
                try:
                    target = os.readlink(f"/proc/{self.master}/fd/{number}")
                except FileNotFoundError:
                    continue  # closed meanwhile
                master_waits = master_waits or "eventpoll" in target
            return (uid != 0 or os.geteuid() != 0) and b"-sf" not in command and master_waits
        wait_for(settled, "haproxy to settle")
        for pid in (self.master, worker):
            self.box.wait_started(pid)
        self.box.wait_listening(self.port, self.tls_port)

    def reload(self):
        old = self.worker
        os.kill(self.master, signal.SIGUSR2)

        def replaced():
            now = self.box.children(self.master)
            return now[0] if len(now) == 1 and now[0] != old else None
        self.worker = wait_for(replaced, "a new worker alone", 15)
        self._wait_mode(self.worker)
        self.run.expect(self.worker)
        self.run.expect(self.master, programs=2)


def requests_are_served_and_dumped(run, haproxy):
    load = client.Load(haproxy.port, client.echo_requests(REQUESTS, large_file=run.backend.file))
    with load.flowing():
        if run.tracked:
            for role, pid in [("worker", haproxy.worker), ("master", haproxy.master)]:
                entry = run.ledgers.dump_and_wait(pid)
                run.snapshot_is_good(entry, pid, "dump",
                                     f"bufleak dump of the {role} while serving makes a snapshot")
        run.claim(load.right < REQUESTS, "requests flowed all the while", load.right)
    run.served("requests", load, REQUESTS)


def tls_is_served(run, haproxy):
    load = client.Load(haproxy.tls_port, client.echo_requests(1000, first=REQUESTS), tls=True)
    run.served("requests over TLS", load.start().wait(), 1000)
    wanted = len(f"x|{FILLER}") * 5000
    run.counted("answers and bytes over HTTP/2",
                client.h2load(f"https://127.0.0.1:{haproxy.tls_port}/echo/x", 5000),
                (5000, wanted))


def reload_loses_nothing(run, haproxy):
    load = client.Load(haproxy.port, client.echo_requests(1_000_000, first=20_000)).start()
    wait_for(lambda: load.right > 100 or load.failures, "requests to flow")
    haproxy.reload()
    at_reload = load.right
    wait_for(lambda: load.right > at_reload + 500 or load.failures, "requests to flow")
    load.stop()
    run.claim(load.right > 500 and not load.failures,
              "every request during the reload was answered", load.failures[:5])


def soft_stop_by_sigusr1(run, haproxy):
    """SIGUSR1 is haproxy's own: it stops when the last request is done. One is kept half-sent, so
    that the snapshot must be made by a process that is stopping."""
    request = client.get("/echo/last")
    connection = client.Connection(haproxy.port)
    connection.open()
    connection.sock.sendall(request[:-4])
    known = run.ledgers.snapshots(haproxy.worker) if run.tracked else []
    os.kill(haproxy.master, signal.SIGUSR1)
    if run.tracked:
        entry = run.ledgers.wait_snapshot(haproxy.worker, known)
        run.snapshot_is_good(entry, haproxy.worker, "signal",
                             "SIGUSR1 makes a snapshot of the worker that it stops")
    answer = connection.ask(request[-4:])
    run.equal((answer.status, answer.body), (200, echo_body("last")),
              "the request under way at the soft stop was answered")
    connection.close()
    run.outcome.exits["master"] = run.box.wait_exit(haproxy.master)


def is_certificate_left_behind(group, pid, haproxy):
    """The launcher and the master read the certificates of authorities, with their keys, and make
    their stores; then one exits and the other executes itself, and neither frees anything. Only
    workers do."""
    return group["class"] in ("openssl-x509", "openssl-pkey") and pid in haproxy.left_behind


def scenario(run):
    run.backend = Backend(run.box)
    syslog = SyslogServer()
    haproxy = Haproxy(run, syslog)
    run.is_true = lambda group, pid: is_certificate_left_behind(group, pid, haproxy)
    haproxy.start()
    roles = [("master", haproxy.master), ("worker", haproxy.worker)]
    for role, pid in roles:
        run.note_descriptors(f"{role} at start", pid)
    requests_are_served_and_dumped(run, haproxy)
    tls_is_served(run, haproxy)
    run.requests_counted("http_destroy_txn", [haproxy.worker], REQUESTS + 1000 + 5000)
    for role, pid in roles:
        run.note_descriptors(f"{role} after serving", pid, f"{role} at start")
    reload_loses_nothing(run, haproxy)
    for role, pid in [("master", haproxy.master), ("worker", haproxy.worker)]:
        run.note_descriptors(f"{role} after the reload", pid, f"{role} at start")
    run.equal(run.box.wait_no_zombies(), [], "no zombie")
    soft_stop_by_sigusr1(run, haproxy)
    run.claim(not os.listdir(haproxy.empty), "nothing was written into the chroot directory")
    run.outcome.logs["syslog"] = compare.normalise(syslog.stop(), NUMBERS)
    run.outcome.logs["output"] = compare.normalise(run.read_output(), NUMBERS)


if __name__ == "__main__":
    sys.exit(runner.main("haproxy", scenario))
