"""What bufleak wrote about a run, read through its command line only."""
import json
import os
import re
import signal
import subprocess

from .box import wait_for

# The layout of file names is part of the contract: NAME.PID.START.ledger, its snapshots with .N
# appended, and both also below PID.START.spool/.
LEDGER = re.compile(r"^(?P<comm>.+)\.(?P<pid>\d+)\.(?P<start>\d+)\.ledger(?:\.(?P<number>\d+))?$")


class Entry:
    def __init__(self, path, match):
        self.path = path
        self.pid = int(match["pid"])
        self.start = match["start"]
        self.number = int(match["number"]) if match["number"] else 0  # 0: the ledger itself


class Ledgers:
    def __init__(self, box, cli):
        self.box = box
        self.cli = cli

    def run(self, *arguments, timeout=30):
        env = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
        env["BUFLEAK_DIR"] = str(self.box.ledger_dir)
        child = subprocess.Popen([str(self.cli), *map(str, arguments)], env=env, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.box.helpers.add(child.pid)
        try:
            out, err = child.communicate(timeout=timeout)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        return subprocess.CompletedProcess(arguments, child.returncode, out, err)

    def entries(self):
        found = []
        for path in sorted(self.box.ledger_dir.rglob("*")):
            match = LEDGER.match(path.name)
            if match:
                found.append(Entry(path, match))
        return found

    def ledgers(self):
        return [entry for entry in self.entries() if entry.number == 0]

    def snapshots(self, pid):
        return [entry for entry in self.entries() if entry.number and entry.pid == pid]

    def report(self, target, *more):
        """The decoded JSON report; AssertionError with the CLI's words when there is none."""
        done = self.run("report", "--format", "json", *more, target)
        if done.returncode != 0:
            raise AssertionError(f"bufleak report {target}: exit {done.returncode}: {done.stderr}")
        report = json.loads(done.stdout)
        assert report["schema"] == 1, report["schema"]
        return report

    def wait_snapshot(self, pid, known, seconds=10.0):
        """The newest snapshot of the process that is not among the known entries."""
        old = {entry.path for entry in known}

        def fresh():
            new = [entry for entry in self.snapshots(pid) if entry.path not in old]
            return max(new, key=lambda entry: entry.number, default=None)
        return wait_for(fresh, f"a snapshot of {pid}", seconds)

    def signal_and_wait(self, pid, number=signal.SIGUSR1):
        known = self.snapshots(pid)
        os.kill(pid, number)
        return self.wait_snapshot(pid, known)

    def dump_and_wait(self, pid):
        known = self.snapshots(pid)
        done = self.run("dump", pid)
        assert done.returncode == 0, f"bufleak dump {pid}: exit {done.returncode}: {done.stderr}"
        return self.wait_snapshot(pid, known)


def leaks_at(report, file_name):
    """(buffers, bytes, {lines}) of what the report says was allocated by a line of that file, which
    is the innermost frame of the stack."""
    count = size = 0
    lines = set()
    for group in report["groups"]:
        site = (group["alloc"]["frames"] or [{}])[0]
        if (site.get("file") or "").endswith(file_name):
            count += group["count"]
            size += group["bytes"]
            lines.add(site["line"])
    return count, size, lines
