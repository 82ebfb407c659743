#!/usr/bin/python3
"""The demonstration: the incident in Spring Cloud Gateway, found by one signal while it serves."""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "gateways")]

REQUESTS = 3000
CONNECTIONS = 16


class Release:
    """The one of the incident, or a current one on the newest Java virtual machine there is."""

    def __init__(self, is_current, cache):
        self.name, self.java, self.size, self.versions = "Spring Cloud Gateway 2.2.5", "java", 4096, {}
        if is_current:
            import machines
            import test_current
            found = machines.available(cache)
            self.versions, self.size = test_current.RELEASE, test_current.SIZE
            self.java = found[max(found)]
            self.name = (f"Spring Cloud Gateway {self.versions['gateway.version']}, Spring Boot "
                         f"{self.versions['boot.version']}, JDK {max(found)}")


def show(cli, directory, target):
    """The report as people see it."""
    subprocess.run([str(cli), "report", "--class", "netty-bytebuf", str(target)], check=True,
                   env={**os.environ, "BUFLEAK_DIR": str(directory)}, timeout=60)
    sys.stdout.flush()


class Outcome:
    def __init__(self):
        self.failed = 0

    def claim(self, holds, sentence, seen=""):
        self.failed += not holds
        print(f"  {'ok' if holds else 'WRONG'}: {sentence}{'' if holds else f' ({seen})'}", flush=True)

    def equal(self, got, wanted, sentence):
        self.claim(got == wanted, sentence, f"{got!r}, not {wanted!r}")


def leaking(outcome, tests, spring, directory, release):
    print(f"\n{release.name}, a filter that keeps each request's body, {REQUESTS:,} POST "
          f"requests of {release.size:,} bytes", flush=True)
    gateway = spring.Gateway(tests.CACHE, tests.SHIM, directory, fixed=False, java=release.java,
                             **release.versions)
    try:
        wait = gateway.begin(REQUESTS, CONNECTIONS, release.size)
        print(f"$ kill -USR1 {gateway.pid}     # while they are served", flush=True)
        tests.snapshot(directory, gateway.pid)
        answered = wait()
        outcome.equal(answered.get("right"), REQUESTS, f"all {REQUESTS:,} were answered rightly")
        found = tests.snapshot(directory, gateway.pid)
        print(f"$ kill -USR1 {gateway.pid}     # when they are through\n$ bufleak report "
              f"--class netty-bytebuf {gateway.pid}", flush=True)
        show(tests.CLI, directory, gateway.pid)
        tests.names_the_filter(outcome, found, REQUESTS - CONNECTIONS, REQUESTS, "the report")
        gateway.stop()
    finally:
        gateway.close()


def fixed(outcome, tests, spring, directory, release):
    print("\nThe same with the release added:", flush=True)
    gateway = spring.Gateway(tests.CACHE, tests.SHIM, directory, fixed=True, java=release.java,
                             **release.versions)
    try:
        answered = gateway.send(REQUESTS, CONNECTIONS, release.size)
        outcome.equal(answered.get("right"), REQUESTS, f"all {REQUESTS:,} were answered rightly")
        gateway.stop()
        found = tests.report(directory, gateway.pid)
        outcome.equal(len(tests.culprits(found)), 0, "nobody is accused")
    finally:
        gateway.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True, help="build directory")
    parser.add_argument("release", nargs="?", choices=["current"])
    chosen = parser.parse_args()
    os.environ["BL_BUILD"] = str(chosen.build.resolve())
    import maven  # noqa: E402 (what they read of the environment is set now)
    import spring
    import test_spring
    outcome = Outcome()
    try:
        release = Release(chosen.release == "current", test_spring.CACHE)
        for part in (leaking, fixed):
            with tempfile.TemporaryDirectory(prefix="bufleak-demo.") as directory:
                part(outcome, test_spring, spring, directory, release)
    except maven.Unavailable as why:
        print(why, file=sys.stderr)
        outcome.failed += 1
    print("\nFAIL" if outcome.failed else "\nPASS")
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main())
