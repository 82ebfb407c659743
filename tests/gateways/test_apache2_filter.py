#!/usr/bin/python3
"""apache2 with our filter module: references to answers change hands from the worker threads to one
that audits them, and one path forgets to give its own back."""
import collections
import os
import signal
import sys
import threading
from pathlib import Path

from harness import client, runner
from harness.backend import Backend
from harness.box import free_port, program, wait_for
from harness.verdicts import (Wanted, accusations, check, check_nothing_left, class_of, marked_line, place,
                              summary)

MODULE = "mod_body_audit.c"
SOURCE = Path(__file__).resolve().parent / "apache2" / MODULE
AUDITED, FORBIDDEN = 3000, 1000
CHILDREN = 2
SUM_MODULUS = 1 << 24

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
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule body_audit_module {module}
AcceptFilter http none
ServerLimit {children}
StartServers {children}
ThreadsPerChild 8
ThreadLimit 8
MaxRequestWorkers 16
MaxConnectionsPerChild 0
MaxKeepAliveRequests 0
KeepAliveTimeout 20
ProxyPass /p/ http://127.0.0.1:{backend}/p/
<Location /p/>
    BodyAudit on
</Location>
<Location /audit>
    SetHandler body-audit
</Location>
"""


class Apache:
    def __init__(self, run, variant):
        self.run, self.box, self.variant = run, run.box, variant
        self.port = free_port()
        self.lock = threading.Lock()
        self.audited = collections.Counter()  # child -> answers
        self.sums = collections.Counter()
        self.leaked = collections.Counter()
        self.leaked_bytes = collections.Counter()
        module = run.args.build / f"tests/gateways/apache2/mod_body_audit_{variant}.so"
        root = self.box.make_dir("apache")
        user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
        self.config = self.box.write("apache/httpd.conf", CONFIG.format(
            dir=root, port=self.port, user=user, module=module, children=CHILDREN,
            backend=run.backend.port))

    def start(self):
        self.parent = self.box.spawn([program("apache2"), "-f", str(self.config), "-DFOREGROUND"])
        self.box.wait_pid_file("apache/pid")
        self.children = self.box.wait_children(self.parent, CHILDREN)
        self.box.wait_listening(self.port)
        self.run.expect(self.parent, *self.children)

    def stop(self):
        self.box.wait_closed(self.port)
        os.kill(self.parent, signal.SIGTERM)
        self.run.equal(self.box.wait_exit(self.parent), 0, "apache2 ends well")
        self.run.read_output()
        ledgers = {entry.pid: entry for entry in self.run.ledgers.ledgers()}
        return {child: self.run.ledgers.report(ledgers[child].path) for child in self.children}

    def note(self, answer, forbidden):
        child = int(answer.headers["x-child"])
        if not forbidden:
            self.audited[child] += 1
            self.sums[child] = (self.sums[child] + sum(answer.body)) % SUM_MODULUS
        elif self.variant == "leaking":
            self.leaked[child] += 1
            self.leaked_bytes[child] += len(answer.body)

    def send(self):
        loads = []
        for count, more in [(AUDITED, ""), (FORBIDDEN, "X-No-Audit: 1\r\n")]:
            requests = client.echo_requests(count, "/p", more=more)
            loads.append(client.Load(self.port, requests, on_answer=lambda answer, more=more:
                                     self.note(answer, bool(more))).start())
        right = sum(load.wait().right for load in loads)
        failures = [failure for load in loads for failure in load.failures]
        self.run.claim(right == AUDITED + FORBIDDEN and not failures,
                       f"{AUDITED + FORBIDDEN} answers are right", failures[:3])

    def wait_audited(self):
        """The auditors work in their own time. Their totals are of the process that happens to
        answer, so all are asked until each has said that it is done."""
        said = {}

        def done():
            connection = client.Connection(self.port)
            child, count, total = map(int, connection.ask(client.get("/audit")).body.split())
            connection.close()
            said[child] = (count, total)
            return all(said.get(child, (0, 0))[0] == count for child, count in self.audited.items())
        wait_for(done, f"every answer to be audited ({said})", 20)
        self.run.equal({child: said[child][1] for child in self.audited}, dict(self.sums),
                       "the auditors added up what was sent")

    def wanted(self, child):
        if not self.leaked[child]:
            return []
        released = f"{MODULE}:{marked_line(SOURCE, 'audited body given back here')}"
        return [Wanted("g-bytes", "missing-release", "retain",
                       f"{MODULE}:{marked_line(SOURCE, 'retained for the auditor here')}",
                       released if self.audited[child] else None,
                       self.leaked[child], self.leaked_bytes[child])]



def started(run, variant):
    run.label = variant
    run.is_true = lambda group, pid: place(group["blame"]).startswith(MODULE)
    run.backend = Backend(run.box)
    apache = Apache(run, variant)
    apache.start()
    apache.send()
    apache.wait_audited()
    return apache


def forgotten_reference_is_named(run):
    apache = started(run, "leaking")
    run.equal(sum(apache.leaked.values()), FORBIDDEN, "the forgotten ones are counted by child")
    for child, report in apache.stop().items():
        check(run.claim, report, apache.wanted(child), f"child {child}")
        run.equal(report["losses"]["counts_drifted"], 0, "no count drifted")


def corrected_module_is_left_in_peace(run):
    apache = started(run, "fixed")
    for child in apache.children:
        report = run.ledgers.report(run.ledgers.dump_and_wait(child).path)
        run.claim(not [group for group in accusations(report) if group["class"] == "g-bytes"],
                  f"child {child}: no verdict on bodies in use", summary(report))
    for child, report in apache.stop().items():
        check_nothing_left(run.claim, report, "g-bytes", f"child {child} at its end")
        run.equal(class_of(report, "g-bytes")["over_releases"], 0, "nothing was released too often")


if __name__ == "__main__":
    sys.exit(runner.main("apache2_filter",
                         [forgotten_reference_is_named, corrected_module_is_left_in_peace],
                         compared=False))
