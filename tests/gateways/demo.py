#!/usr/bin/python3
"""The main job, shown and checked: the distribution's nginx, unmodified, as master and two workers
with a filter module that forgets a reference on one path; then the same with the module corrected.
scripts/demo builds and runs this."""
import argparse
import os
import re
import signal
import sys
from pathlib import Path

from harness.backend import Backend
from harness.box import Box, Late, become_subreaper, wait_for
from harness.incident import MODULE, Incident, check_worker
from harness.ledgers import Ledgers
from harness.verdicts import check_nothing_left, summary

KEPT, FORGOTTEN, FORGOTTEN_LATER = 2000, 1000, 500
CONNECTIONS = 12  # of each kind of request
LIMIT_SECONDS = 120


class Screen:
    """What the reader sees: numbered steps, the checks below them, and the verdict."""

    def __init__(self):
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.paint = (lambda code, text: f"\033[{code}m{text}\033[0m") if colour \
            else (lambda code, text: text)
        self.steps = 0
        self.checks = 0
        self.failed = []

    def step(self, text):
        self.steps += 1
        print(f"\n{self.paint('1', f'{self.steps}. {text}')}", flush=True)

    def say(self, text):
        print(f"   {text}", flush=True)

    def quote(self, text, frames_max=5):
        """Somebody else's words; of a long stack, only the innermost frames."""
        frames = 0
        for line in [*text.strip("\n").splitlines(), ""]:
            if re.match(r" {7}\S", line):
                frames += 1
                if frames > frames_max:
                    continue
            elif frames > frames_max:
                print(f"   |        ... {frames - frames_max} more frames")
                frames = 0
            else:
                frames = 0
            print(f"   | {line}".rstrip())
        sys.stdout.flush()

    def check(self, holds, sentence, seen=""):
        self.checks += 1
        mark = self.paint("32", "ok  ") if holds else self.paint("31;1", "FAIL")
        print(f"   {mark} {sentence}" + ("" if holds or seen == "" else f" (seen: {seen})"),
              flush=True)
        if not holds:
            self.failed.append(sentence)
        return holds

    def verdict(self):
        print()
        if self.failed or not self.checks:
            print(self.paint("31;1", "FAIL") + f": {len(self.failed)} of {self.checks} checks:")
            for sentence in self.failed:
                print(f"  {sentence}")
            return 1
        print(self.paint("32;1", "PASS") + f": {self.checks} of {self.checks} checks")
        print("Your own program: scripts/demo -- COMMAND...")
        return 0


class Demo:
    def __init__(self, build, screen):
        self.screen = screen
        self.build = build
        self.box = Box("demo")
        self.ledgers = Ledgers(self.box, build / "cli" / "bufleak")
        self.backend = Backend(self.box)
        self.output = ""

    def start(self, variant):
        self.output = f"run-{variant}"
        self.nginx = Incident(self.box, self.build, self.backend, variant, name=variant)
        self.screen.say(f"$ bufleak run -- nginx -g 'daemon off;' -c {self.nginx.config.name}")
        self.run = self.box.spawn([str(self.ledgers.cli), "run", "--", *self.nginx.command],
                                  output=self.output,
                                  variables={"BUFLEAK_DIR": str(self.box.ledger_dir)})
        self.nginx.wait_serving()
        first, second = self.nginx.workers
        self.screen.say(f"nginx {self.nginx.master} serves with the workers {first} and {second}")

    def send_bodies(self, kept, forbidden):
        self.screen.say(f"{kept + forbidden:,} requests with bodies over {2 * CONNECTIONS} "
                        f"connections; {forbidden:,} of them say Cache-Control: no-store")
        right, failures = self.nginx.bodies.send(kept, forbidden, CONNECTIONS)
        self.screen.check(right == kept + forbidden and not failures,
                          f"{kept + forbidden:,} requests answered rightly", failures[:3])

    def signal_under_load(self, check, quote):
        """Asks the worker that forgot most; check(report, worker) states what must hold."""
        worker = max(self.nginx.workers, key=lambda pid: self.nginx.bodies.leaked[pid])
        self.screen.step(f"kill -USR1 {worker}, a worker, while requests with bodies go on")
        log, rotated = self.nginx.access_log, self.nginx.logs / "access.log.1"
        load = self.nginx.bodies.load(10_000_000, False, 2 * CONNECTIONS).start()
        try:
            wait_for(lambda: load.right > 500 or load.failures, "requests to flow")
            self.nginx.bodies.wait_settled()
            log.rename(rotated)
            at_signal = load.right
            shown = len(self.said_by_run())
            entry = self.ledgers.signal_and_wait(worker)
            wait_for(lambda: log.exists() and log.stat().st_size > 0, "the new log to be written")
            wait_for(lambda: load.right > at_signal + 500 or load.failures, "requests to go on")
        finally:
            load.stop()
        said = self._report_of_run(worker, shown)
        if quote:
            self.screen.quote(said)
        check(self.ledgers.report(entry.path), worker)
        self.screen.check(not load.failures,
                          f"{load.right:,} requests meanwhile answered rightly", load.failures[:3])
        writers = {line.split()[0] for line in log.read_text().splitlines()}
        self.screen.check(writers == {str(worker)},
                          "that worker reopened its log, as nginx does on SIGUSR1: the new file has "
                          "its lines", writers)

    def said_by_run(self):
        return self.box.path(f"{self.output}.stderr").read_text()

    def _report_of_run(self, worker, shown):
        """The report that bufleak run prints because of the signal, from there on."""
        def is_there():
            text = self.said_by_run()[shown:]
            return f"[{worker}]" in text and text.endswith("\n") and MODULE in text
        try:
            wait_for(is_there, "the report of bufleak run", 15)
        except Late:
            self.screen.check(False, "bufleak run prints the report at the signal")
        return self.said_by_run()[shown:]

    def stop(self):
        """nginx ends; returns {worker: report as it ended}."""
        os.kill(self.nginx.master, signal.SIGQUIT)
        status = self.box.wait_exit(self.run)
        self.screen.check(status == 0, "bufleak run ends with nginx's own exit status, 0", status)
        left = self.box.wait_gone()
        self.screen.check(not left, "no process is left over", left)
        ledgers = {entry.pid: entry for entry in self.ledgers.ledgers()}
        return {worker: self.ledgers.report(ledgers[worker].path) for worker in self.nginx.workers}

    def find_the_leak(self):
        self.screen.step("The distribution's nginx, with a filter module that keeps a cached copy of "
                         "each body")
        self.start("leaking")
        self.screen.say("where a client forbids the copy, the filter forgets the reference that it "
                        "took")
        self.send_bodies(KEPT, FORGOTTEN)
        self.signal_under_load(self._forgotten, quote=True)
        self.screen.step(f"More requests, then kill -QUIT {self.nginx.master}: nginx ends")
        self.send_bodies(KEPT // 2, FORGOTTEN_LATER)
        for worker, report in self.stop().items():
            self._forgotten(report, worker)
        total, leaked = FORGOTTEN + FORGOTTEN_LATER, sum(self.nginx.bodies.leaked.values())
        self.screen.check(leaked == total, f"both workers together: {total:,} bodies forgotten",
                          leaked)

    def _forgotten(self, report, worker):
        check_worker(self.screen.check, report, self.nginx.bodies, worker)

    def _unaccused(self, report, worker):
        found = summary(report)
        self.screen.check(not found, f"worker {worker}: no verdict, bodies in use are left in peace",
                          found)

    def see_it_fixed(self):
        self.screen.step("The same module with the one line that gives the reference back")
        self.start("fixed")
        self.send_bodies(KEPT, FORGOTTEN)
        self.signal_under_load(self._unaccused, quote=False)
        self.screen.step(f"More requests, then kill -QUIT {self.nginx.master}: nginx ends")
        self.send_bodies(KEPT // 2, FORGOTTEN_LATER)
        for worker, report in self.stop().items():
            check_nothing_left(self.screen.check, report, "g-bytes", f"worker {worker}")

    def close(self):
        self.backend.stop()
        self.box.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True, help="build directory")
    args = parser.parse_args()
    become_subreaper()
    screen = Screen()

    def too_long(*_):
        raise Late(f"longer than {LIMIT_SECONDS} s")
    signal.signal(signal.SIGALRM, too_long)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.alarm(LIMIT_SECONDS)
    demo = Demo(args.build.resolve(), screen)
    try:
        demo.find_the_leak()
        demo.see_it_fixed()
    except (Late, AssertionError, OSError, StopIteration) as error:
        screen.check(False, "the demonstration ran to its end", error)
        for path in [*demo.box.dir.glob("run-*.stderr"), *demo.box.dir.glob("*/error.log")]:
            screen.say(f"{path.relative_to(demo.box.dir)}:")
            screen.quote(path.read_text(errors="replace")[-3000:])
    finally:
        demo.close()
    return screen.verdict()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
