#!/usr/bin/python3
"""The incident's step: nginx whose module forgets a body of exactly 1,024 bytes on each request that
has one, seen as such at several concurrencies, with other traffic on top, and for each request."""
import json
import os
import signal
import sys
import time

from harness import client, runner
from harness.backend import Backend, echo_body
from harness.box import wait_for
from harness.incident import Incident, is_forgotten_body
from harness.verdicts import class_of

STEP = 1024
OTHERS = 4  # requests at once that forget nothing
SECONDS = 30 if os.environ.get("BL_TEST_LONG") == "1" else 5


def leaky_requests():
    """Without end; the module keeps a reference to each body."""
    number = 0
    while True:
        yield (client.post(f"/echo/{number}", b"x" * STEP, "Cache-Control: no-store\r\n"),
               echo_body(str(number)), None)
        number += 1


def serve(run, concurrency, options, others):
    """Load for some seconds; returns the report on the worker while it flows, and how many bodies
    were forgotten before it and when it was made."""
    run.backend = Backend(run.box)
    nginx = Incident(run.box, run.args.build, run.backend, "leaking", 1,
                     f"nginx-{concurrency}-{others}")
    run.is_true = is_forgotten_body
    run.label = f"{concurrency} at once"
    pid = run.box.spawn(nginx.command, options="interval=100ms:" + options)
    nginx.wait_serving()
    run.expect(nginx.master, *nginx.workers)
    loads = [client.Load(nginx.bodies.port, leaky_requests(), concurrency, per_second=400)]
    if others:
        loads.append(client.Load(nginx.bodies.port, client.echo_requests(10_000_000), OTHERS,
                                 per_second=300))
    for load in loads:
        load.start()
    end = time.monotonic() + SECONDS
    wait_for(lambda: time.monotonic() > end or any(load.failures for load in loads),
             "the load to have flowed for a while", SECONDS + 10)
    before = loads[0].right
    taken = run.ledgers.signal_and_wait(nginx.workers[0]).path
    after = loads[0].right
    report = run.ledgers.report(taken)
    run.top = json.loads(run.ledgers.run("top", "--once", "--format", "json", taken).stdout)
    run.top_text = run.ledgers.run("top", "--once", taken).stdout
    for load in loads:
        load.stop()
        run.claim(not load.failures, "every request was answered rightly", load.failures[:3])
    os.kill(nginx.master, signal.SIGQUIT)
    run.equal(run.box.wait_exit(pid), 0, "nginx ends well")
    run.read_output()
    return report, (before, after)


def check_step(run, report, forgotten, in_flight):
    growth = class_of(report, "g-bytes")["growth"]
    run.equal(growth["trend"], "growing", "the class grows")
    run.claim(growth["step_bytes"] == STEP and growth["step_exact"],
              f"by {STEP} bytes each, exactly", growth)
    live = class_of(report, "g-bytes")["live_count"]
    before, after = forgotten
    run.claim(before <= live <= after + in_flight, "as many as were forgotten", (live, forgotten))
    return growth


def check_request(run, growth, name):
    row = class_of(run.top, "g-bytes")
    run.claim(row["step_bytes"] == STEP and row["bytes_per_request"] == growth["bytes_per_request"],
              "top says the same", row)
    run.claim(" B a request" in run.top_text, "also as text", run.top_text.splitlines()[:2])
    run.claim(growth["bytes_per_request"] is not None and
              abs(growth["bytes_per_request"] - STEP) < 0.05 * STEP,
              f"{STEP} bytes for each request ({name})", growth)


def alone(run, concurrency):
    report, forgotten = serve(run, concurrency, "", False)
    growth = check_step(run, report, forgotten, concurrency)
    check_request(run, growth, "the built-in boundary")


def with_others(run, concurrency):
    report, forgotten = serve(run, concurrency, "per=end_of_request", True)
    growth = check_step(run, report, forgotten, concurrency + OTHERS)
    check_request(run, growth, "per=end_of_request")


def one_at_a_time(run):
    alone(run, 1)


def one_at_a_time_among_others(run):
    with_others(run, 1)


def eight_at_once_among_others(run):
    with_others(run, 8)


def sixty_four_at_once(run):
    alone(run, 64)


def sixty_four_at_once_among_others(run):
    with_others(run, 64)


if __name__ == "__main__":
    sys.exit(runner.main("step", [one_at_a_time, one_at_a_time_among_others,
                                  eight_at_once_among_others, sixty_four_at_once,
                                  sixty_four_at_once_among_others], compared=False))
