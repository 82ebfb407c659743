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
SIZE = 4096


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


def leaking(outcome, tests, spring, directory):
    print(f"\nSpring Cloud Gateway 2.2.5, a filter that keeps each request's body, {REQUESTS:,} POST "
          f"requests of {SIZE:,} bytes", flush=True)
    gateway = spring.Gateway(tests.CACHE, tests.SHIM, directory, fixed=False)
    try:
        wait = gateway.begin(REQUESTS, CONNECTIONS, SIZE)
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


def fixed(outcome, tests, spring, directory):
    print("\nThe same with the release added:", flush=True)
    gateway = spring.Gateway(tests.CACHE, tests.SHIM, directory, fixed=True)
    try:
        answered = gateway.send(REQUESTS, CONNECTIONS, SIZE)
        outcome.equal(answered.get("right"), REQUESTS, f"all {REQUESTS:,} were answered rightly")
        gateway.stop()
        found = tests.report(directory, gateway.pid)
        outcome.equal(len(tests.culprits(found)), 0, "nobody is accused")
    finally:
        gateway.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True, help="build directory")
    os.environ["BL_BUILD"] = str(parser.parse_args().build.resolve())
    import maven  # noqa: E402 (what they read of the environment is set now)
    import spring
    import test_spring
    outcome = Outcome()
    try:
        for part in (leaking, fixed):
            with tempfile.TemporaryDirectory(prefix="bufleak-demo.") as directory:
                part(outcome, test_spring, spring, directory)
    except maven.Unavailable as why:
        print(why, file=sys.stderr)
        outcome.failed += 1
    print("\nFAIL" if outcome.failed else "\nPASS")
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main())
