"""Runs one gateway twice, without the shim as the reference and with it, and holds the two against
each other. A gateway's test gives a scenario: a function that takes the Run, drives the gateway
from start to stop, states its claims through run.tap, and leaves in run.outcome what must be equal
in both runs.
"""
import argparse
import os
import re
import signal
import sys
import traceback
from pathlib import Path

from . import compare, verdicts
from .box import Box, Late, become_subreaper, wait_for
from .ledgers import Ledgers
from .tap import Tap

LIMIT_SECONDS = 600 if os.environ.get("BL_TEST_LONG") == "1" else 90
ANNOUNCED_FILE = re.compile(r"(/\S+\.ledger(?:\.\d+)?)")


class Outcome:
    def __init__(self):
        self.served = {}       # what was asked of the gateway -> how many right answers
        self.exits = {}        # role -> exit status
        self.logs = {}         # log -> normalised lines
        self.merged = []       # patterns of lines that signals may merge
        self.descriptors = {}  # role -> {descriptor: target}


class Run:
    def __init__(self, args, tap, tracked):
        self.args = args
        self.tap = tap
        self.box = Box(args.name, args.shim if tracked else None)
        self.ledgers = Ledgers(self.box, args.cli) if tracked else None
        self.outcome = Outcome()
        self.label = "with the shim" if tracked else "without"
        self.backend = None
        # Of the tracked run: pid -> how many programs ran under it (an exec makes one more).
        self.expected_ledgers = {}
        self.announcements = []  # what the shim said on stderr
        self.is_true = lambda group, pid: False  # is that accusation of the process true?

    @property
    def tracked(self):
        return self.box.tracked

    def claim(self, holds, sentence, seen=""):
        return self.tap.claim(holds, f"{self.label}: {sentence}", seen)

    def equal(self, got, wanted, sentence):
        return self.tap.equal(got, wanted, f"{self.label}: {sentence}")

    def served(self, what, load, wanted):
        """States that every request of the load had exactly the right answer."""
        self.outcome.served[what] = load.right
        self.claim(load.right == wanted and not load.failures,
                   f"{wanted} {what} answered rightly",
                   f"{load.right} right; {len(load.failures)} failures: {load.failures[:5]}")

    def requests_counted(self, function, pids, wanted):
        """The built-in boundary has counted what these processes completed so far."""
        def count():
            entries = [e for e in self.ledgers.ledgers() if e.pid in pids]
            return sum(r["completed"] for e in entries
                       for r in self.ledgers.report(e.path)["memory"]["requests"]
                       if r["function"] == function)
        if self.tracked:
            try:
                wait_for(lambda: count() == wanted, f"{wanted} returns of {function}", 10)
            except Late:
                pass  # the claim will say how many there were
            self.equal(count(), wanted, f"{function} returned as often as requests were served")

    def counted(self, what, got, wanted):
        self.outcome.served[what] = got
        self.equal(got, wanted, f"{what}")

    def note_descriptors(self, role, pid, as_before=None):
        """Remembers what the process holds open; after a load, as soon as it has closed its
        connections, which is when it holds as much as in the role as_before."""
        def settled():
            found = compare.descriptors(self.box, pid)
            own = compare.split_descriptors(found)[0]
            return len(own) <= len(compare.split_descriptors(before)[0])
        if as_before:
            before = self.outcome.descriptors[as_before]
            try:
                wait_for(settled, "connections to be closed", 3)
            except Late:
                pass  # the comparison will say which descriptors are too many
        self.outcome.descriptors[role] = compare.descriptors(self.box, pid)

    def send_sigusr1(self, pid):
        """Sends SIGUSR1; under the shim, returns the snapshot that it makes."""
        if self.tracked:
            return self.ledgers.signal_and_wait(pid)
        os.kill(pid, signal.SIGUSR1)
        return None

    def snapshot_is_good(self, entry, pid, reason, sentence):
        """A snapshot opens, is of that process, was made for that reason, and holds something."""
        try:
            report = self.ledgers.report(entry.path)
        except (AssertionError, ValueError, KeyError) as error:
            self.claim(False, sentence, error)
            return None
        process = report["process"]
        heap = [c for c in report["classes"] if c["name"] == "heap"]
        self.claim(process["pid"] == pid and process["reason"] == reason and heap and
                   heap[0]["live_count"] > 0, sentence, f"{process} {report['classes']}")
        return report

    def untrue(self, report):
        """What the report accuses somebody of without reason."""
        return [text for group, text in zip(verdicts.accusations(report), verdicts.summary(report))
                if not self.is_true(group, report["process"]["pid"])]

    def read_output(self, output="out"):
        """What the gateway wrote to its stdout and stderr. The shim's own lines, one for each
        snapshot and end, are kept apart; check_end() looks at what they name."""
        lines = []
        for stream in ("stdout", "stderr"):
            text = self.box.path(f"{output}.{stream}").read_text(errors="replace")
            for line in text.splitlines():
                if self.tracked and stream == "stderr" and line.startswith("bufleak: "):
                    self.announcements.append(line)
                else:
                    lines.append(f"{stream}: {line}")
        return compare.normalise(lines)

    def expect(self, *pids, programs=1):
        for pid in pids:
            self.expected_ledgers[pid] = self.expected_ledgers.get(pid, 0) + programs

    def check_end(self):
        """After the stop: nothing left over, and one readable ledger for each process."""
        left = self.box.wait_gone()
        self.claim(not left, "no process is left over", left)
        if self.tracked:
            self._check_ledgers()

    def _check_ledgers(self):
        found = {}
        for entry in self.ledgers.ledgers():
            found.setdefault(entry.pid, []).append(entry)
        counts = {pid: len(entries) for pid, entries in found.items()}
        self.equal(dict(sorted(counts.items())), dict(sorted(self.expected_ledgers.items())),
                   "each process has its own ledger, one per program it ran")
        unreadable, untrue, drifted = [], [], []
        for pid, entries in found.items():
            for entry in entries:
                try:
                    report = self.ledgers.report(entry.path)
                    untrue += [f"{entry.path.name}: {text}" for text in self.untrue(report)]
                    if report["losses"]["counts_drifted"]:
                        drifted.append(f"{entry.path.name}: {report['losses']['counts_drifted']}")
                    if report["process"]["pid"] != pid:
                        unreadable.append(f"{entry.path.name}: pid {report['process']['pid']}")
                    elif report["process"]["state"] == "running":
                        unreadable.append(f"{entry.path.name}: says running")
                except (AssertionError, ValueError, KeyError) as error:
                    unreadable.append(str(error))
        self.claim(not unreadable, "every ledger opens and names its process", unreadable)
        self.claim(not untrue, "no verdict that is not true", "\n".join(untrue))
        self.claim(not drifted, "every count seen is the object's own", drifted)
        untrue = [line for line in self.announcements for path in ANNOUNCED_FILE.findall(line)
                  if not os.path.exists(path)]
        self.claim(not untrue, "every file that the shim names on stderr is there",
                   "\n".join(untrue))
        parts = [str(p) for p in self.box.ledger_dir.rglob("*.part")]
        self.claim(not parts, "no half-written snapshot is left", parts)

    def close(self):
        if self.backend:
            self.backend.stop()
        self.box.close()


def hold_against(tap, reference, tracked):
    tap.equal(tracked.served, reference.served, "as many right answers with the shim as without")
    tap.equal(tracked.exits, reference.exits, "exit statuses are those without the shim")
    tap.equal(sorted(tracked.logs), sorted(reference.logs), "the same logs were written")
    for name in sorted(reference.logs):
        difference = compare.log_difference(reference.logs[name], tracked.logs.get(name, []),
                                            reference.merged)
        tap.claim(not difference, f"log {name} is the one without the shim",
                  "\n".join(difference))
    for role in sorted(reference.descriptors):
        problems = compare.descriptor_difference(reference.descriptors[role],
                                                 tracked.descriptors.get(role, {}))
        tap.claim(not problems, f"{role} holds the descriptors it holds without the shim",
                  "\n".join(problems))


def one_run(args, tap, scenario, tracked):
    run = Run(args, tap, tracked)
    try:
        scenario(run)
        run.check_end()
    except Exception:
        run.claim(False, "the scenario ran to its end", traceback.format_exc())
        for path in sorted(run.box.dir.glob("*.std*")) + sorted(run.box.dir.rglob("error*.log")):
            tail = path.read_text(errors="replace").splitlines()[-12:]
            if tail:
                tap.note(f"{path.name}:\n" + "\n".join(tail))
    finally:
        run.close()
    return run.outcome


def parse_arguments(name, argv):
    root = Path(__file__).resolve().parents[3]
    parser = argparse.ArgumentParser(description=f"Runs {name} with and without bufleak.")
    parser.add_argument("--build", type=Path, default=root / "build", help="build directory")
    parser.add_argument("--reference-only", action="store_true", help="leave the shim out: compare two plain runs, to test the test")
    args = parser.parse_args(argv)
    args.name = name
    args.build = args.build.resolve()
    args.shim = args.build / "shim" / "libbufleak.so"
    args.cli = args.build / "cli" / "bufleak"
    return args


def main(name, scenario, argv=None, compared=True):
    """Exit status of the test. With compared=False, scenario is a list of scenarios that only make
    sense under the shim; each has a run of its own."""
    args = parse_arguments(name, argv)
    tap = Tap()
    become_subreaper()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.alarm(LIMIT_SECONDS)

    def too_long(*_):
        raise TimeoutError(f"longer than {LIMIT_SECONDS} s")
    signal.signal(signal.SIGALRM, too_long)
    if not args.reference_only and not os.path.exists(args.shim):
        tap.claim(False, f"{args.shim} is built")
        return tap.finish()
    if not compared:
        for each in scenario:
            one_run(args, tap, each, tracked=True)
        return tap.finish()
    reference = one_run(args, tap, scenario, tracked=False)
    second = one_run(args, tap, scenario, tracked=not args.reference_only)
    hold_against(tap, reference, second)
    return tap.finish()
