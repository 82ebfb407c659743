#!/usr/bin/python3
"""The incident, and what it must not be mistaken for: nginx with our filter module corrected, and
with one that never gives any of its references back. test_nginx has the module that forgets one on
one path only, and scripts/demo shows it."""
import os
import signal
import sys

from harness import runner
from harness.backend import Backend
from harness.box import wait_for
from harness.incident import Incident, check_worker, is_forgotten_body
from harness.verdicts import accusations, check_nothing_left, class_of, summary

BODIES = 400  # of each kind in a round
ROUNDS = 4


def served(run, variant, workers, forbidden=BODIES):
    """Starts nginx and sends it bodies, round after round."""
    run.backend = Backend(run.box)
    nginx = Incident(run.box, run.args.build, run.backend, variant, workers)
    run.is_true = is_forgotten_body
    run.label = f"{variant}, {workers} workers"
    pid = run.box.spawn(nginx.command)
    nginx.wait_serving()
    run.expect(nginx.master, *nginx.workers)
    for _ in range(ROUNDS):
        right, failures = nginx.bodies.send(BODIES, forbidden, threads=6)
        run.claim(right == BODIES + forbidden and not failures,
                  f"{BODIES + forbidden} bodies answered rightly", failures)
    return nginx, pid


def stop(run, nginx, pid):
    os.kill(nginx.master, signal.SIGQUIT)
    run.equal(run.box.wait_exit(pid), 0, "nginx ends well")
    run.read_output()
    ledgers = {entry.pid: entry for entry in run.ledgers.ledgers()}
    return {worker: run.ledgers.report(ledgers[worker].path) for worker in nginx.workers}


def reports_under_load(run, nginx):
    """A report on each worker, made by signal while bodies are in use."""
    load = nginx.bodies.load(1_000_000, False, 6).start()
    try:
        wait_for(lambda: load.right > 200 or load.failures, "requests to flow")
        nginx.bodies.wait_settled()
        for worker in nginx.workers:
            yield worker, run.ledgers.report(run.ledgers.signal_and_wait(worker).path)
    finally:
        load.stop()
    run.claim(not load.failures, "the requests meanwhile were answered", load.failures[:3])


def corrected_module_is_left_in_peace(run):
    nginx, pid = served(run, "fixed", 2)
    for worker, report in reports_under_load(run, nginx):
        run.claim(not accusations(report), f"worker {worker}: nobody is accused of bodies in use",
                  summary(report))
    for worker, report in stop(run, nginx, pid).items():
        check_nothing_left(run.claim, report, "g-bytes", f"worker {worker}")


def module_that_never_releases_is_named(run):
    """No buffer ever ended well, so there are no siblings to compare with: the request's own
    release shows that it is the retain which has none."""
    nginx, pid = served(run, "never_emptied", 2)
    for worker, report in stop(run, nginx, pid).items():
        check_worker(run.claim, report, nginx.bodies, worker)


def rare_path_is_named(run):
    """One request in four hundred takes it."""
    nginx, pid = served(run, "leaking", 1, forbidden=1)
    for worker, report in reports_under_load(run, nginx):
        check_worker(run.claim, report, nginx.bodies, worker)
        run.equal(report["losses"]["counts_drifted"], 0, "no count drifted")
        run.equal(class_of(report, "g-bytes")["over_releases"], 0, "nothing was released too often")
    for worker, report in stop(run, nginx, pid).items():
        check_worker(run.claim, report, nginx.bodies, worker)


if __name__ == "__main__":
    sys.exit(runner.main("incident", [corrected_module_is_left_in_peace,
                                      module_that_never_releases_is_named, rare_path_is_named],
                         compared=False))
