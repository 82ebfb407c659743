#!/usr/bin/python3
"""apache2 with the event MPM and mod_proxy_http, TLS and HTTP/2. Its children block every signal
in every thread, and SIGUSR1 to the parent is a graceful restart."""
import os
import re
import signal
import sys

from harness import client, compare, runner
from harness.backend import FILLER, Backend
from harness.box import certificate, free_port, program, wait_for

REQUESTS = 10_000
CHILDREN = 2
MODULES = "mpm_event authz_core proxy proxy_http deflate filter socache_shmcb ssl http2"

CONFIG = """
ServerRoot {dir}
ServerName localhost
PidFile {dir}/pid
DefaultRuntimeDir {dir}
Mutex file:{dir}
ErrorLog {dir}/error.log
LogLevel notice
{user}
Listen 127.0.0.1:{port}
Listen 127.0.0.1:{tls_port}
{modules}
AcceptFilter http none
AcceptFilter https none
ServerLimit {slots}
StartServers {children}
ThreadsPerChild 8
ThreadLimit 8
MaxRequestWorkers 16
MinSpareThreads 16
MaxSpareThreads 16
MaxConnectionsPerChild 0
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 10
Protocols h2 http/1.1
SSLSessionCache none
ProxyPass /p/ http://127.0.0.1:{backend}/p/ disablereuse=on
<VirtualHost 127.0.0.1:{tls_port}>
    SSLEngine on
    SSLCertificateFile {cert}
    SSLCertificateKeyFile {key}
    ProxyPass /p/ http://127.0.0.1:{backend}/p/ disablereuse=on
</VirtualHost>
"""

PIDS = [(re.compile(r"pid \d+(:tid \d+)?"), "pid"), (re.compile(r"localhost:\d+"), "SERVER")]


class Apache:
    def __init__(self, run):
        self.run, self.box = run, run.box
        self.port, self.tls_port = free_port(), free_port()
        root = self.box.make_dir("apache")
        _, key, cert = certificate(self.box)
        modules = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
                            for name in MODULES.split())
        user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
        self.config = self.box.write("apache/httpd.conf", CONFIG.format(
            dir=root, port=self.port, tls_port=self.tls_port, key=key, cert=cert, user=user,
            modules=modules, backend=run.backend.port, children=CHILDREN, slots=3 * CHILDREN))

    def start(self):
        launcher = self.box.spawn([program("apache2"), "-f", str(self.config), "-k", "start"])
        self.run.outcome.exits["launcher"] = self.box.wait_exit(launcher)
        self.parent = self.box.wait_pid_file("apache/pid")
        self.children = self.box.wait_children(self.parent, CHILDREN)
        self._wait_settled()
        self.run.expect(launcher, self.parent, *self.children)

    def _wait_settled(self):
        """Each child runs its listener and its workers besides the main thread."""
        def settled():
            return all(len(os.listdir(f"/proc/{pid}/task")) >= 10 for pid in self.children)
        wait_for(settled, "the children's threads")
        self.box.wait_listening(self.port, self.tls_port)

    def graceful_restart(self):
        old = self.children
        known = self.run.ledgers.snapshots(self.parent) if self.run.tracked else []
        os.kill(self.parent, signal.SIGUSR1)

        def replaced():
            now = self.box.children(self.parent)
            return now if len(now) == CHILDREN and not set(now) & set(old) else None
        self.children = wait_for(replaced, "a new generation of children", 20)
        self._wait_settled()
        self.run.expect(*self.children)
        if self.run.tracked:
            entry = self.run.ledgers.wait_snapshot(self.parent, known)
            self.run.snapshot_is_good(entry, self.parent, "signal",
                                      "SIGUSR1 to the parent makes a snapshot")


def children_are_asked_while_serving(run, apache):
    """A child that blocks SIGUSR1 must still answer it, and must not restart because of it."""
    closing = []
    load = client.Load(apache.port, client.echo_requests(REQUESTS, "/p"),
                       on_answer=lambda answer: closing.append(answer.headers.get("connection")))
    snapshots = []
    with load.flowing():
        for pid in apache.children:
            snapshots.append((pid, "signal", run.send_sigusr1(pid)))
            if run.tracked:
                snapshots.append((pid, "dump", run.ledgers.dump_and_wait(pid)))
        run.claim(load.right < REQUESTS, "requests flowed all the while", load.right)
    run.served("requests, with SIGUSR1 to the children in the middle", load, REQUESTS)
    if run.tracked:
        for pid, reason, entry in snapshots:
            run.snapshot_is_good(entry, pid, reason, f"a {reason} makes a snapshot of a child that "
                                 "blocks every signal")
    run.equal(run.box.children(apache.parent), apache.children, "the children are the same")
    run.counted("answers that close the connection", closing.count("close"), 0)


def tls_is_served(run, apache):
    files = [(client.get("/p/file"), run.backend.file, None)] * 200
    run.served("large files", client.Load(apache.port, files).start().wait(), 200)
    load = client.Load(apache.tls_port, client.echo_requests(1000, "/p", first=REQUESTS), tls=True)
    run.served("requests over TLS", load.start().wait(), 1000)
    wanted = len(f"x|{FILLER}") * 2000
    run.counted("answers and bytes over HTTP/2",
                client.h2load(f"https://127.0.0.1:{apache.tls_port}/p/echo/x", 2000, clients=4),
                (2000, wanted))


def restart_loses_nothing(run, apache):
    load = client.Load(apache.port, client.echo_requests(1_000_000, "/p", first=20_000)).start()
    wait_for(lambda: load.right > 100 or load.failures, "requests to flow")
    apache.graceful_restart()
    at_restart = load.right
    wait_for(lambda: load.right > at_restart + 300 or load.failures, "requests to flow")
    load.stop()
    run.claim(not load.failures, "every request during the graceful restart was answered",
              load.failures[:5])


def scenario(run):
    run.backend = Backend(run.box)
    apache = Apache(run)
    apache.start()
    for role, pid in [("parent", apache.parent), ("child", apache.children[0])]:
        run.note_descriptors(f"{role} at start", pid)
    children_are_asked_while_serving(run, apache)
    run.requests_counted("ap_run_log_transaction", apache.children, REQUESTS)
    tls_is_served(run, apache)
    restart_loses_nothing(run, apache)
    for role, pid in [("parent", apache.parent), ("child", apache.children[0])]:
        run.note_descriptors(f"{role} after the restart", pid, f"{role} at start")
    if run.tracked:
        entry = run.ledgers.dump_and_wait(apache.parent)
        run.snapshot_is_good(entry, apache.parent, "dump", "bufleak dump of the parent")
    run.equal(run.box.wait_no_zombies(), [], "no zombie")
    run.box.wait_closed(apache.port, apache.tls_port)
    os.kill(apache.parent, signal.SIGTERM)
    run.outcome.exits["parent"] = run.box.wait_exit(apache.parent)
    run.outcome.logs["error.log"] = compare.read_log(run.box.path("apache/error.log"), PIDS)
    run.outcome.logs["output"] = run.read_output()


if __name__ == "__main__":
    sys.exit(runner.main("apache2", scenario))
