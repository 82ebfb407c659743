#!/usr/bin/python3
"""The incident, in the system it happened in: Spring Boot 2.3.2 and Spring Cloud Gateway 2.2.5."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "gateways"))
from harness.box import wait_for  # noqa: E402
from harness.tap import Tap  # noqa: E402
from harness.verdicts import accusations, class_of, place, summary  # noqa: E402

import machines  # noqa: E402
import maven  # noqa: E402
import spring  # noqa: E402

BUILD = Path(os.environ["BL_BUILD"])
SHIM = BUILD / "shim" / "libbufleak.so"
CLI = BUILD / "cli" / "bufleak"
CACHE = BUILD / "tests" / "jvm" / "cache"
REQUESTS = 5000
SIZE = 4096
CONNECTIONS = 16
LEAKED = 8192 # what Netty reads a body of SIZE bytes into


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


def netty_counter(found):
    return next((d for d in found["memory"].get("direct", []) if d["name"] == "netty"), None)


def tells_growth(tap, found, moment):
    """How fast it fills, by how much each request, and when it is full."""
    growth = class_of(found, "netty-bytebuf")["growth"]
    tap.claim(growth["trend"] == "growing" and
              abs(growth["step_bytes"] - LEAKED) < 0.02 * LEAKED,
              f"{moment}: netty-bytebuf grows by {LEAKED:,} bytes each", growth)
    tap.claim(growth["bytes_per_request"] is not None and
              abs(growth["bytes_per_request"] - LEAKED) < 0.05 * LEAKED,
              f"{moment}: and so much for each request", growth)
    tap.claim(growth["to_limit_s"] is not None and growth["limit"] == "direct",
              f"{moment}: and when it reaches the limit of direct memory", growth)
    counter = netty_counter(found)
    tap.claim(counter is not None and counter["counts"] and
              counter["limit_bytes"] == spring.DIRECT_MEMORY and counter["rises"] >= 2 and
              counter["bytes_per_request"] is not None and counter["to_limit_s"] is not None and
              abs(counter["bytes_per_request"] - LEAKED) < 0.3 * LEAKED,
              f"{moment}: Netty's own counter, its limit, step for each request and time to it", counter)


def grown(directory, gateway, wait):
    """SIGUSR1 under load, once the growth can be told and most requests are through: what is in use
    while there is load counts as growth since before. Returns the report, and the answers."""
    answers = []
    loading = threading.Thread(target=lambda: answers.append(wait()))
    loading.start()
    found = snapshot(directory, gateway.pid)
    while loading.is_alive():
        latest = snapshot(directory, gateway.pid)
        table = class_of(latest, "netty-bytebuf")
        if loading.is_alive() and table["growth"]["to_limit_s"] is not None:
            found = latest
            if table["allocs"] > 3 * REQUESTS: # some four for each
                break
    loading.join()
    return found, answers[0]


def limit_report(directory, pid):
    """The first snapshot that was made for the limit."""
    # one that is being written ends in .part
    names = sorted((p for p in Path(directory).glob(f"*.{pid}.*.ledger.*")
                    if p.name.rsplit(".", 1)[1].isdigit()),
                   key=lambda p: int(p.name.rsplit(".", 1)[1]))
    for name in names:
        found = report(directory, name)
        if found["process"]["reason"] == "limit":
            return found
    return None


def watched_once(tap, directory, pid):
    """Every buffer of the class is at one place of the live view: at its verdict's, or where it was
    allocated; also on a screen."""
    env = {**os.environ, "BUFLEAK_DIR": str(directory), "LC_ALL": "C.UTF-8"}
    done = subprocess.run([str(CLI), "top", "--once", "--format", "json", "--class", "netty-bytebuf",
                           str(pid)], env=env, capture_output=True, text=True, timeout=60)
    found = json.loads(done.stdout)
    live = found["classes"][0]["live_count"]
    listed = sum(site["count"] for site in found["sites"])
    tap.claim(0.9 * live < listed < 1.1 * live, "top: every buffer is at one place",
              (live, found["sites"]))
    tmux = ["tmux", "-S", f"{directory}/tmux", "-f", "/dev/null"]
    subprocess.run([*tmux, "new-session", "-d", "-x", "240", "-y", "40",
                    f"{CLI} top --class netty-bytebuf {pid}; exec cat"], env=env, check=True, timeout=60)
    try:
        line = f"{spring.FILTER}:{spring.line_of('cached here')}"

        def screen():
            shown = subprocess.run([*tmux, "capture-pane", "-p"], capture_output=True, text=True,
                                   check=True, timeout=60).stdout
            return shown if line in shown and "missing release" in shown else None
        shown = wait_for(screen, "the verdict on the screen", 30)
        tap.claim("resetRefCnt" not in shown and "<init>" not in shown,
                  "top: on the screen as well, and not where Netty begins every life", shown)
    finally:
        subprocess.run([*tmux, "kill-server"], check=False, timeout=60)


def check_leaking(tap, directory):
    """On the Java of the incident, where it can be had."""
    java = machines.available(CACHE).get(8, "java")
    gateway = spring.Gateway(CACHE, SHIM, directory, fixed=False, java=java, settings=":interval=50ms")
    try:
        tap.equal(gateway.send(200, CONNECTIONS, SIZE).get("right"), 200, "the gateway serves")
        under_load, answered = grown(directory, gateway,
                                     gateway.begin(REQUESTS - 200, CONNECTIONS, SIZE))
        tap.equal(answered.get("right"), REQUESTS - 200, "all is answered rightly meanwhile")
        names_the_filter(tap, under_load, 200 - CONNECTIONS, REQUESTS, "SIGUSR1 under load")
        after = snapshot(directory, gateway.pid)
        names_the_filter(tap, after, REQUESTS - CONNECTIONS, REQUESTS, "SIGUSR1 after the load")
        tells_growth(tap, under_load, "SIGUSR1 under load")
        watched_once(tap, directory, gateway.pid)
        for _ in range(40): # of direct memory, less than half is left
            gateway.send(400, CONNECTIONS, SIZE)
            if gateway.is_out_of_memory():
                break
        tap.claim(gateway.is_out_of_memory(),
                  "the leak runs into the limit of direct memory in the end",
                  "".join(gateway.lines[-20:]))
        at_limit = wait_for(lambda: limit_report(directory, gateway.pid),
                            "the snapshot at the limit", 20)
        names_the_filter(tap, at_limit, REQUESTS - CONNECTIONS, REQUESTS + 40 * 400,
                         "the snapshot made at the limit")
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


def check(tap, directory, fixed, wanted, sentence):
    """The gateway under bufleak check."""
    verdict = Path(directory) / f"check-{wanted}"
    gateway = spring.Gateway(CACHE, None, directory, fixed=fixed,
                             command=(str(CLI), "check", "--output", str(verdict), "--"))
    try:
        tap.equal(gateway.send(2000, CONNECTIONS, SIZE).get("right"), 2000,
                  "under bufleak check all is answered rightly")
        code = gateway.end()
        tap.claim(code == wanted, sentence,
                  f"exit code {code}: {verdict.read_text() if verdict.exists() else ''}")
    finally:
        gateway.close()


def check_checks(tap, directory):
    check(tap, directory, True, 0, "with the release added bufleak check passes")
    check(tap, directory, False, 23, "without it bufleak check fails")


def main():
    tap = Tap()
    try:
        for part in (check_leaking, check_fixed, check_checks):
            with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
                part(tap, directory)
    except maven.Unavailable as why:
        tap.claim(False, "the libraries are there", why)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
