#!/usr/bin/python3
"""The incident, in the system it happened in: Spring Boot 2.3.2 and Spring Cloud Gateway 2.2.5."""
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "gateways"))
from harness.box import wait_for  # noqa: E402
from harness.tap import Tap  # noqa: E402
from harness.verdicts import accusations, class_of, place, summary  # noqa: E402

import maven  # noqa: E402
import spring  # noqa: E402

BUILD = Path(os.environ["BL_BUILD"])
SHIM = BUILD / "shim" / "libbufleak.so"
CLI = BUILD / "cli" / "bufleak"
CACHE = BUILD / "tests" / "jvm" / "cache"
REQUESTS = 2000
SIZE = 4096
CONNECTIONS = 16


def report(directory, target, *more):
    done = subprocess.run([str(CLI), "report", "--format", "json", *more, str(target)], timeout=60,
                          env={**os.environ, "BUFLEAK_DIR": str(directory)}, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def snapshot(directory, pid):
    """One SIGUSR1, and the report on what it made."""
    known = set(Path(directory).glob(f"*.{pid}.*.ledger.[0-9]*"))
    os.kill(pid, signal.SIGUSR1)

    def fresh():
        found = [p for p in set(Path(directory).glob(f"*.{pid}.*.ledger.[0-9]*")) - known
                 if not p.name.endswith(".part")]
        return found[0] if found else None
    return report(directory, wait_for(fresh, "the snapshot", 20))


def culprits(found):
    return [g for g in accusations(found) if g["class"] == "netty-bytebuf"]


def names_the_filter(tap, found, low, high, moment):
    line = f"{spring.FILTER}:{spring.line_of('cached here')}"
    accused = culprits(found)
    tap.claim(len(accused) == 1 and accused[0]["verdict"] == "missing-release" and
              place(accused[0]["blame"]) == line,
              f"{moment}: one verdict, a missing release at {line}", summary(found))
    count = accused[0]["count"] if accused else 0
    tap.claim(low <= count <= high, f"{moment}: of {low:,} to {high:,} buffers", count)


def check_leaking(tap, directory):
    gateway = spring.Gateway(CACHE, SHIM, directory, fixed=False)
    try:
        tap.equal(gateway.send(200, CONNECTIONS, SIZE).get("right"), 200, "the gateway serves")
        wait = gateway.begin(REQUESTS - 200, CONNECTIONS, SIZE)
        under_load = snapshot(directory, gateway.pid)
        answered = wait()
        tap.equal(answered.get("right"), REQUESTS - 200, "all is answered rightly meanwhile")
        names_the_filter(tap, under_load, 200 - CONNECTIONS, REQUESTS, "SIGUSR1 under load")
        after = snapshot(directory, gateway.pid)
        names_the_filter(tap, after, REQUESTS - CONNECTIONS, REQUESTS, "SIGUSR1 after the load")
        # one failed request of each connection may have been joined as well
        for _ in range(12):
            gateway.send(400, CONNECTIONS, 8 * SIZE)
            if gateway.is_out_of_memory():
                break
        tap.claim(gateway.is_out_of_memory(),
                  "the leak runs into the limit of direct memory in the end",
                  "".join(gateway.lines[-20:]))
        gateway.stop()
        table = class_of(report(directory, gateway.pid), "netty-bytebuf")
        tap.claim(table["live_bytes"] > spring.DIRECT_MEMORY / 2,
                  "and what fills it is what was counted", table)
    finally:
        gateway.close()


def check_fixed(tap, directory):
    gateway = spring.Gateway(CACHE, SHIM, directory, fixed=True)
    try:
        tap.equal(gateway.send(REQUESTS, CONNECTIONS, SIZE).get("right"), REQUESTS,
                  "with the release added all is answered rightly")
        gateway.stop()
        found = report(directory, gateway.pid)
        tap.equal([place(g["blame"]) for g in culprits(found)], [],
                  "with the release added nobody is accused")
        table = class_of(found, "netty-bytebuf")
        tap.claim(table["live_count"] < 2 * CONNECTIONS and table["allocs"] > REQUESTS,
                  "with the release added nothing is left", table)
    finally:
        gateway.close()


def main():
    tap = Tap()
    try:
        for check in (check_leaking, check_fixed):
            with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
                check(tap, directory)
    except maven.Unavailable as why:
        tap.claim(False, "the libraries are there", why)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
