#!/usr/bin/python3
"""Apache Traffic Server with our plugin, which forgets to free a reader on one path and to release a
header's field on another. Its API is in the executable, the plugin is opened late, the server drops
its privileges when the shim is there already."""
import os
import signal
import sys
import time
from pathlib import Path

from harness import client, runner
from harness.backend import Backend
from harness.box import free_port, program
from harness.verdicts import (Wanted, accusations, check, check_nothing_left, class_of, marked_line, place,
                              summary)

PLUGIN = "request_journal.c"
SOURCE = Path(__file__).resolve().parent / "trafficserver" / PLUGIN
ORDINARY, READERS, FIELDS = 3000, 700, 500
PLACES, TRIALS = 1024, 10  # of the plugin

LAYOUT = """
prefix: {dir}
exec_prefix: /usr
bindir: /usr/bin
sbindir: /usr/sbin
sysconfdir: {dir}/etc
datadir: {dir}/run
includedir: /usr/include
libdir: /usr/lib/trafficserver
libexecdir: /usr/lib/trafficserver/modules
localstatedir: {dir}/run
runtimedir: {dir}/run
logdir: {dir}/log
mandir: /usr/share/man
infodir: /usr/share/info
cachedir: {dir}/run
"""

RECORDS = """
CONFIG proxy.config.http.server_ports STRING {port}:ip-in=127.0.0.1
CONFIG proxy.config.admin.user_id STRING {user}
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 2
CONFIG proxy.config.http.cache.http INT 0
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.http.keep_alive_no_activity_timeout_in INT 60
"""


IP_ALLOW = """
ip_allow:
  - {apply: in, ip_addrs: 127.0.0.1, action: allow, methods: ALL}
"""


class TrafficServer:
    def __init__(self, run, variant):
        self.run, self.box, self.variant = run, run.box, variant
        self.port = free_port()
        as_root = os.geteuid() == 0
        root = self.box.make_dir("ats")
        for name in ("etc", "run", "log"):
            self.box.make_dir(f"ats/{name}", "www-data")
        self.box.write("ats/etc/records.config", RECORDS.format(
            port=self.port, user="www-data" if as_root else "#-1"))
        self.box.write("ats/etc/remap.config", f"map / http://127.0.0.1:{run.backend.port}/\n")
        plugin = run.args.build / f"tests/gateways/trafficserver/request_journal_{variant}.so"
        self.box.write("ats/etc/plugin.config", f"{plugin}\n")
        self.box.write("ats/etc/ip_allow.yaml", IP_ALLOW)
        self.box.write("ats/etc/storage.config", "")
        self.layout = self.box.write("ats/runroot.yaml", LAYOUT.format(dir=root))

    def start(self):
        began = time.monotonic()
        self.pid = self.box.spawn([program("traffic_server"), f"--run-root={self.layout}"])
        self.box.wait_listening(self.port)
        self.startup_seconds = time.monotonic() - began
        crash_logger, = self.box.wait_children(self.pid, 1)
        self.run.expect(self.pid)
        self.run.expect(crash_logger, programs=2)

    def send(self):
        """All kinds of requests at once; no two that forget a reader have the same buffer. What is
        made at the start and stays is told from a leak when the start was long ago, so they take
        some time."""
        seconds = max(2.0, 22 * self.startup_seconds)
        kinds = [(ORDINARY, "", "yes"), (READERS, "Cache-Control: no-store\r\n", "yes"),
                 (FIELDS, "X-Plain: 1\r\n", "")]
        loads = [client.Load(self.port, client.echo_requests(
            count, more=more, headers={"x-journaled": mark}), per_second=count / seconds).start()
            for count, more, mark in kinds]
        total = sum(count for count, _, _ in kinds)
        right = sum(load.wait().right for load in loads)
        failures = [failure for load in loads for failure in load.failures]
        self.run.claim(right == total and not failures, f"{total} answers are right", failures[:3])
        self.run.equal(sum(load.repeated for load in loads), 0, "no request was sent twice")
        self.run.requests_counted("_ZN6HttpSM7destroyEv", [self.pid], total)

    def report_at_end(self):
        self.box.wait_closed(self.port)
        os.kill(self.pid, signal.SIGTERM)
        self.run.equal(self.box.wait_exit(self.pid), 0, "traffic_server ends well")
        self.run.read_output()
        ledger = next(entry for entry in self.run.ledgers.ledgers() if entry.pid == self.pid)
        return self.run.ledgers.report(ledger.path)


def started(run, variant):
    run.label = variant
    run.is_true = lambda group, pid: place(group["blame"]).startswith(PLUGIN)
    run.backend = Backend(run.box)
    server = TrafficServer(run, variant)
    server.start()
    server.send()
    return server


def forgotten_ones_are_named(run):
    server = started(run, "leaking")

    def at(mark):
        return f"{PLUGIN}:{marked_line(SOURCE, mark)}"
    wanted = [Wanted("ts-iobuffer-reader", "missing-release", "alloc", at("reader born here"),
                     at("reader freed here"), READERS),
              Wanted("ts-mloc", "missing-release", "alloc", at("mark looked up here"),
                     at("mark released here"), FIELDS)]
    check(run.claim, server.report_at_end(), wanted, "traffic_server")


def corrected_plugin_is_left_in_peace(run):
    server = started(run, "fixed")
    report = run.ledgers.report(run.ledgers.dump_and_wait(server.pid).path)
    run.claim(not accusations(report), "no verdict while it runs", summary(report))
    report = server.report_at_end()
    check_nothing_left(run.claim, report, "ts-iobuffer-reader", "traffic_server")
    # the header that all marks are copied from is there to stay
    run.equal(class_of(report, "ts-mloc")["live_count"], 1, "one header is left")
    # a trial has a reader and its clone, and ends the first with its buffer
    for name, made, kept in (("ts-iobuffer", PLACES + TRIALS, PLACES), ("ts-mbuffer", 1 + TRIALS, 1),
                             ("ts-iobuffer-reader", ORDINARY + READERS + FIELDS + 2 * TRIALS, 0)):
        row = class_of(report, name)
        run.equal((row["allocs"], row["releases"]), (made, made - kept), f"all {name}s are seen")
    run.equal(report["losses"]["events_unknown"], 0, "nothing is given back that was not seen")


if __name__ == "__main__":
    sys.exit(runner.main("trafficserver",
                         [forgotten_ones_are_named, corrected_plugin_is_left_in_peace],
                         compared=False))
