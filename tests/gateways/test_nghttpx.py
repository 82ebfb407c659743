#!/usr/bin/python3
"""nghttpx: HTTP/2 with and without TLS, linked with jemalloc, own user; SIGUSR1 reopens its logs,
and its worker process ends by _exit()."""
import os
import re
import shutil
import signal
import sys

from harness import client, compare, runner
from harness.backend import FILLER, Backend
from harness.box import certificate, free_port, program, wait_for

REQUESTS = 10_000

CONFIG = """
frontend=127.0.0.1,{port};no-tls
frontend=127.0.0.1,{tls_port}
backend=127.0.0.1,{backend}
private-key-file={key}
certificate-file={cert}
workers=2
daemon=yes
pid-file={dir}/pid
accesslog-file={dir}/access.log
accesslog-format=$method $path $protocol_version $status $body_bytes_sent
errorlog-file={dir}/error.log
log-level=NOTICE
no-ocsp=yes
backend-keep-alive-timeout=1s
{user}
"""

PIDS = [(re.compile(r"\b\d+ \d+ [0-9a-f]+ (NOTICE|WARN|ERROR|FATAL)"), r"PID \1"),
        (re.compile(r"\(?shrpx\S*\.cc:\d+\)?"), "SOURCE"), (re.compile(r"\b[Pp]id=?\(?\d+\)?"), "PID"),
        (re.compile(r"0x[0-9a-f]+"), "ADDRESS"),
        (re.compile(r"\[\d+\]|process \d+|\(\d+\)"), "N")]


class Nghttpx:
    def __init__(self, run):
        self.run, self.box = run, run.box
        self.port, self.tls_port = free_port(), free_port()
        root = self.box.make_dir("nghttpx", "www-data")
        _, key, cert = certificate(self.box)
        user = "user=www-data" if os.geteuid() == 0 else ""
        self.config = self.box.write("nghttpx/nghttpx.conf", CONFIG.format(
            dir=root, port=self.port, tls_port=self.tls_port, key=key, cert=cert, user=user,
            backend=run.backend.port))

    def start(self):
        launcher = self.box.spawn([program("nghttpx"), f"--conf={self.config}"])
        self.run.outcome.exits["launcher"] = self.box.wait_exit(launcher)
        self.master = self.box.wait_pid_file("nghttpx/pid")
        self.worker, = self.box.wait_children(self.master, 1)
        self.box.wait_listening(self.port, self.tls_port)
        wait_for(lambda: "Created worker thread #1" in
                 self.box.path("nghttpx/error.log").read_text(), "the worker's threads")
        self.box.wait_started(self.worker)
        self.run.expect(launcher, self.master, self.worker)

    def rotate_logs(self):
        """As logrotate does it: move, create the new file for the worker's user, and signal."""
        log, old = self.box.path("nghttpx/access.log"), self.box.path("nghttpx/access.log.1")
        log.rename(old)
        log.touch()
        shutil.chown(log, old.owner())
        known = self.run.ledgers.snapshots(self.master) if self.run.tracked else []
        os.kill(self.master, signal.SIGUSR1)
        wait_for(lambda: log.stat().st_size > 0, "the new access log to be written")
        return self.run.ledgers.wait_snapshot(self.master, known) if self.run.tracked else None


def logs_are_reopened_while_serving(run, nghttpx):
    load = client.Load(nghttpx.port, client.echo_requests(REQUESTS, large_file=run.backend.file))
    with load.flowing():
        of_master = nghttpx.rotate_logs()
        of_worker = run.send_sigusr1(nghttpx.worker)
        run.claim(load.right < REQUESTS, "SIGUSR1 came while requests flowed", load.right)
    run.served("requests over HTTP/1.1, with SIGUSR1 in the middle", load, REQUESTS)
    if run.tracked:
        run.snapshot_is_good(of_master, nghttpx.master, "signal",
                             "SIGUSR1 to the master makes a snapshot")
        run.snapshot_is_good(of_worker, nghttpx.worker, "signal",
                             "SIGUSR1 to the worker, which ignores it, makes a snapshot")


def scenario(run):
    run.backend = Backend(run.box)
    nghttpx = Nghttpx(run)
    nghttpx.start()
    roles = [("master", nghttpx.master), ("worker", nghttpx.worker)]
    for role, pid in roles:
        run.note_descriptors(f"{role} at start", pid)
    logs_are_reopened_while_serving(run, nghttpx)
    wanted = len(f"x|{FILLER}") * REQUESTS
    for scheme, port in [("http", nghttpx.port), ("https", nghttpx.tls_port)]:
        run.counted(f"answers and bytes over HTTP/2 ({scheme})",
                    client.h2load(f"{scheme}://127.0.0.1:{port}/echo/x", REQUESTS),
                    (REQUESTS, wanted))
    run.requests_counted("nghttp2_submit_response", [nghttpx.worker], 2 * REQUESTS)
    if run.tracked:
        for role, pid in roles:
            entry = run.ledgers.dump_and_wait(pid)
            run.snapshot_is_good(entry, pid, "dump", f"bufleak dump of the {role}")
    for role, pid in roles:
        run.note_descriptors(f"{role} after serving", pid, f"{role} at start")
    run.equal(run.box.wait_no_zombies(), [], "no zombie")
    os.kill(nghttpx.master, signal.SIGQUIT)
    run.outcome.exits["master"] = run.box.wait_exit(nghttpx.master)
    run.outcome.logs["error.log"] = compare.read_log(run.box.path("nghttpx/error.log"), PIDS)
    run.outcome.logs["access.log"] = [
        line for name in ("access.log", "access.log.1")
        for line in compare.read_log(run.box.path(f"nghttpx/{name}"))]
    run.outcome.logs["output"] = compare.normalise(run.read_output(), PIDS)


if __name__ == "__main__":
    sys.exit(runner.main("nghttpx", scenario))
