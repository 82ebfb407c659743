#!/usr/bin/python3
"""Classes that a program makes as it runs have other names in each run, by number, address or chance. What is
forgotten through them is the same leak all the same: known by a baseline."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from test_proxy import CACHE, CLI, HERE, Tap, maven

SOURCES = HERE / "generated"
LEAKS = 4
OTHERS = 4 # classes that the second run makes before


def check(directory, class_path, others, *options):
    """How it ended, and {identity: functions} of the leaks of netty-bytebuf."""
    told = Path(directory) / f"leaks-{others}.json"
    done = subprocess.run([str(CLI), "check", "--json", str(told), *options, "--", "java", "-Xmx64m", "-cp",
                           class_path, "generated.Generated", str(others)],
                          env={**os.environ, "BUFLEAK_DIR": directory}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120)
    leaks = {g["id"]: [f["function"] for f in g["blame"]["frames"]] for g in json.loads(told.read_text())["groups"]
             if g["class"] == "netty-bytebuf"}
    return done.returncode, leaks


def main():
    tap = Tap()
    try:
        libs = maven.libraries(SOURCES / "pom.xml", CACHE)
        class_path = maven.class_path(maven.compiled(SOURCES, libs, CACHE, 8), libs)
        with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
            baseline = ("--baseline", f"{directory}/baseline.json")
            _, first = check(directory, class_path, 0, *baseline, "--update-baseline")
            code, second = check(directory, class_path, OTHERS, *baseline)
        tap.equal(len(first), LEAKS, "each way through a class made at run time is one leak")
        tap.claim({*first} == {*second} and code == 0,
                  "in a run that made others before they are the same, and the baseline knows them",
                  f"exit code {code}\n{first}\n{second}")
    except maven.Unavailable as why:
        tap.claim(False, "the libraries are there", why)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
