#!/usr/bin/python3
"""nginx with a module of ours that makes pools, chains and temporary buffers, forgets a pool on one
path and puts buffers and links into the pool that lives as long as the worker on another; and with
the module corrected. Another pool is reset for each request."""
import http.client
import os
import signal
import sys
from pathlib import Path

from harness import runner
from harness.box import free_port, program
from harness.verdicts import Wanted, accusations, check, class_of, marked_line, place, summary

MODULE = "ngx_http_journal_module.c"
SOURCE = Path(__file__).resolve().parent / "nginx" / MODULE
WELL, LOST, KEPT = 3000, 300, 200
ENTRY_BYTES, NAME_BYTES, LINKS = 200, 32, 2

CONFIG = """
load_module {module};
{user}
worker_processes 1;
pid {dir}/pid;
error_log {dir}/error.log notice;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
    uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
    keepalive_requests 100000;
    server {{
        listen 127.0.0.1:{port};
        location / {{ journal; }}
    }}
}}
"""


def line(mark):
    return f"{MODULE}:{marked_line(SOURCE, mark)}"


def ask_all(run, port):
    """Requests of the three kinds in turns, over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    wrong = []
    for number in range(WELL):
        for count, what in ((WELL, ""), (LOST, "?lost"), (KEPT, "?kept")):
            if number * count // WELL == (number + 1) * count // WELL:
                continue
            connection.request("GET", f"/{number}{what}")
            answer = connection.getresponse()
            if (answer.status, answer.read()) != (200, f"/{number}".encode()):
                wrong.append(number)
    connection.close()
    run.claim(not wrong, f"{WELL + LOST + KEPT} requests answered rightly", wrong[:5])


def serve(run, variant):
    """Returns the reports on the worker: when all is served, and at its end."""
    port, root = free_port(), run.box.make_dir("nginx")
    module = run.args.build / f"tests/gateways/nginx/ngx_http_journal_{variant}.so"
    config = run.box.write("nginx/nginx.conf", CONFIG.format(
        module=module, dir=root, port=port,
        user="user www-data;" if os.geteuid() == 0 else ""))
    run.label = variant
    pid = run.box.spawn([program("nginx"), "-g", "daemon off;", "-c", str(config)])
    master = run.box.wait_pid_file("nginx/pid")
    worker, = run.box.wait_children(master, 1)
    run.box.wait_listening(port)
    run.expect(master, worker)
    ask_all(run, port)
    live = run.ledgers.report(run.ledgers.signal_and_wait(worker).path)
    os.kill(master, signal.SIGQUIT)
    run.equal(run.box.wait_exit(pid), 0, "nginx ends well")
    run.read_output()
    entry, = [entry for entry in run.ledgers.ledgers() if entry.pid == worker]
    return live, run.ledgers.report(entry.path)


def made_at(report, class_name, mark):
    """(count, bytes) of what is unreleased of the class and was made at the marked line."""
    found = [group for group in report["groups"] if group["class"] == class_name and
             place(group["alloc"]) == line(mark)]
    return sum(g["count"] for g in found), sum(g["bytes"] for g in found)


def is_lost_entry(group, _):
    return place(group["blame"]) == line("entry's pool made here")


def drafts_end_with_each_reset(run, live, report):
    """What is in the pool that is reset: the latest request's, and nothing at the end."""
    for class_name, mark, size in (("ngx-temp-buf", "draft's buffer made here", ENTRY_BYTES),
                                   ("ngx-chain-link", "draft's link made here", 0)):
        count, held = made_at(live, class_name, mark)
        run.equal((count, held if size else 0), (1, size), f"of each reset, one {class_name} lives")
        run.equal(made_at(report, class_name, mark)[0], 0, f"at the end, no {class_name} of a draft")
    run.equal(made_at(live, "ngx-pool", "drafts' pool made here")[0], 1, "the drafts' pool lives")
    run.equal(made_at(report, "ngx-pool", "drafts' pool made here")[0], 0, "and ends")
    run.equal((report["losses"]["owners_unknown"], report["losses"]["buffers_replaced"]), (0, 0),
              "every owner is known, and every end was seen")


def what_the_module_forgets_is_named(run):
    """The pool by a verdict, what it holds with it; what piles up in a pool that lives by its line."""
    run.is_true = is_lost_entry
    live, report = serve(run, "leaking")
    check(run.claim, report,
          [Wanted("ngx-pool", "missing-release", "alloc", line("entry's pool made here"),
                  line("entry's pool destroyed here"), LOST, LOST * 1024)], "the worker")
    pools = [g for g in accusations(report) if g["class"] == "ngx-pool"]
    holds = {part["class"]: (part["count"], part["bytes"])
             for part in (pools[0]["holds"] if pools else [])}
    run.equal(holds.get("ngx-temp-buf"), (LOST * LINKS, LOST * LINKS * ENTRY_BYTES),
              "the pools are told to hold the entries' buffers")
    run.equal(holds.get("ngx-chain-link", (0, 0))[0], LOST * LINKS, "and their links")
    # the cycle's pool ends with the worker, and they with it
    run.equal(made_at(live, "ngx-temp-buf", "name kept here"), (KEPT, KEPT * NAME_BYTES),
              "buffers in the cycle's pool are told by their line")
    run.equal(made_at(live, "ngx-chain-link", "name's link kept here")[0], KEPT,
              "links in the cycle's pool are told by their line")
    run.equal(made_at(report, "ngx-temp-buf", "name kept here"), (0, 0), "and end with it")
    drafts_end_with_each_reset(run, live, report)


def the_corrected_module_is_left_in_peace(run):
    """Nothing of the module's is left; its buffers and links were seen to be made and to end."""
    live, report = serve(run, "fixed")
    for each, when in ((live, "when all is served"), (report, "at the end")):
        run.claim(not accusations(each), f"no verdict {when}", summary(each))
    for class_name, mark in (("ngx-pool", "entry's pool made here"),
                             ("ngx-temp-buf", "entry's buffer made here"),
                             ("ngx-chain-link", "entry's link made here"),
                             ("ngx-temp-buf", "name kept here"),
                             ("ngx-chain-link", "name's link kept here")):
        run.equal(made_at(live, class_name, mark), (0, 0), f"no {class_name}: {mark}")
    drafts_end_with_each_reset(run, live, report)
    requests = WELL + LOST + KEPT
    for class_name, each in (("ngx-pool", 1), ("ngx-temp-buf", LINKS + 2),
                             ("ngx-chain-link", LINKS + 2)):
        table = class_of(report, class_name)
        run.claim(table["allocs"] >= each * requests, f"{class_name}: every one was seen", table)


if __name__ == "__main__":
    sys.exit(runner.main("nginx_journal", [what_the_module_forgets_is_named,
                                           the_corrected_module_is_left_in_peace],
                         compared=False))
