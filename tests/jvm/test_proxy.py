#!/usr/bin/python3
"""A proxy on plain Netty with three planted mistakes: each is named at its line, to the buffer."""
import json
import os
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
from proxy import Pair, line_of  # noqa: E402

BUILD = Path(os.environ["BL_BUILD"])
SHIM = BUILD / "shim" / "libbufleak.so"
CLI = BUILD / "cli" / "bufleak"
CACHE = BUILD / "tests" / "jvm" / "cache"
MISTAKES = {"cached": ("CacheBodyFilter.java", "cached here"),
            "audited": ("AuditFilter.java", "audited here"),
            "held": ("SessionFilter.java", "held here")}
LONG = os.environ.get("BL_TEST_LONG") == "1"
REQUESTS = 200000 if LONG else 20000
# where the collector finds those that were forgotten
REACH = {"cached": "lost", "audited": "lost", "held": "held"}


def report(directory, target, *more):
    done = subprocess.run([str(CLI), "report", "--format", "json", *more, str(target)], timeout=60,
                          env={**os.environ, "BUFLEAK_DIR": str(directory)}, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def dump(directory, pid):
    """A snapshot with what is held and what is lost, and the report on it."""
    done = subprocess.run([str(CLI), "dump", "--reach", "--timeout", "60s", str(pid)], timeout=90,
                          env={**os.environ, "BUFLEAK_DIR": str(directory)}, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    return report(directory, done.stdout.strip())


def all_told(found):
    """Buffers of the last quarter of a second are not told yet."""
    told = all(g.get("reach_counts", {"unknown": 1})["unknown"] == 0 for g in accusations(found)
               if g["class"] == "netty-bytebuf")
    return found if told else None


def run(tap, directory, leaking):
    """Returns what the proxy counted, the report on its end, and one with what is held before."""
    errors = open(Path(directory) / "errors", "w+", encoding="utf-8", errors="replace")
    pair = Pair(CACHE, SHIM, directory, options=[f"-Dgw.leaking={str(leaking).lower()}"],
                settings=":java_check=1" if LONG else "", errors=errors)
    try:
        answered = pair.send(REQUESTS)
        counted = pair.counted()
        tap.equal(answered["wrong"] + answered["right"] + answered["refused"], REQUESTS,
                  f"{REQUESTS:,} requests were answered")
        tap.equal(answered["wrong"], 0, "and each rightly")
        reached = wait_for(lambda: all_told(dump(directory, pair.proxy.pid)),
                           "the youngest buffers to be old enough", 20)
        status = pair.proxy.stop()
        tap.equal(status, 0, "the proxy ended as it should")
        errors.seek(0)
        said = [line for line in errors.read().splitlines() if "LEAK" not in line and
                "Picked up" in line]
        tap.equal(said, [], "the machine says nothing of options it picked up")
        return counted, report(directory, pair.proxy.pid), reached
    finally:
        pair.close()
        errors.close()


def check_reach(tap, counted, found):
    """Two mistakes drop their buffers, one keeps them in a map."""
    for name, (file_name, mark) in MISTAKES.items():
        line = f"{file_name}:{line_of(file_name, mark)}"
        groups = [g for g in accusations(found) if place(g["blame"]) == line]
        counts = groups[0].get("reach_counts", {}) if groups else {}
        tap.claim(len(groups) == 1 and groups[0]["reach"] == REACH[name] and
                  counts[REACH[name]] == counted[name],
                  f"{line}: all {counted[name]} are {REACH[name]}", (counts, summary(found)))
    tap.claim(found["java_reach"]["gc_ns"] > 0 and found["java_reach"]["pause_ns"] > 0,
              "and how long that took is told", found.get("java_reach"))


def check_leaking(tap, directory):
    counted, found, reached = run(tap, directory, True)
    accused = [g for g in accusations(found) if g["class"] == "netty-bytebuf"]
    tap.equal(len(accused), len(MISTAKES), "three mistakes, three verdicts")
    for name, (file_name, mark) in MISTAKES.items():
        line = f"{file_name}:{line_of(file_name, mark)}"
        groups = [g for g in accused if place(g["blame"]) == line]
        tap.claim(len(groups) == 1 and groups[0]["verdict"] == "missing-release" and
                  groups[0]["blame"]["op"] == "retain", f"a missing release at {line}",
                  summary(found))
        if groups:
            tap.equal(groups[0]["count"], counted[name], f"{line} forgot {counted[name]} buffers")
    check_reach(tap, counted, reached)
    stacks = found["java_stacks"]
    tap.claim(stacks["checked"] > (1000000 if LONG else 0) and stacks["wrong"] == 0,
              "no recognised stack was wrong", stacks)
    if LONG:
        tap.note(f"{stacks['checked']:,} stacks were checked")
    tap.equal(found["losses"].get("objects_dropped", 0) + found["losses"].get("events_dropped", 0),
              0, "nothing was dropped")


def check_clean(tap, directory):
    _, found, reached = run(tap, directory, False)
    tap.equal(reached["java_reach"]["collected"], 0, "of the correct proxy's none was collected unreleased")
    tap.equal([place(g["blame"]) for g in accusations(found)
               if g["class"] == "netty-bytebuf"], [], "the correct proxy is not accused")
    tap.equal((found["losses"]["hooks_refused"],
               [h["function"] for h in found["hooks"] if h["method"] == "none"]), (0, []),
              "everything that is to be seen of it is seen")
    table = class_of(found, "netty-bytebuf")
    tap.claim(table["allocs"] > 5 * REQUESTS and table["over_releases"] == 0,
              "all its buffers were followed, and none was released too often", table)


def cli(directory, *arguments):
    done = subprocess.run([str(CLI), *map(str, arguments)], timeout=60, capture_output=True, text=True,
                          env={**os.environ, "BUFLEAK_DIR": str(directory)})
    assert done.returncode == 0, done.stderr
    return done.stdout


def lines_of_mistakes():
    return {f"{name}:{line_of(name, mark)}": key for key, (name, mark) in MISTAKES.items()}


def check_folding(tap, directory, pid):
    """The application's frames first; what is Netty's own is told in one line unless asked for."""
    short, full = (cli(directory, "report", "--class", "netty-bytebuf", *more, pid)
                   for more in ((), ("--full",)))
    tap.claim(short.count("frames of io.netty") == len(MISTAKES) and "NioEventLoop.run" not in short and
              all(line in short for line in lines_of_mistakes()),
              "the report folds Netty's frames and shows the filters'", short)
    tap.claim("frames of" not in full and full.count("NioEventLoop.run") >= len(MISTAKES) and
              all(line in full for line in lines_of_mistakes()), "--full shows them all", full)


def check_watching(tap, directory):
    """What other commands say of the same mistakes, while they are made."""
    pair = Pair(CACHE, SHIM, directory, options=["-Dgw.leaking=true", "-Dgw.every=100"],
                errors=subprocess.DEVNULL)
    pid = pair.proxy.pid
    try:
        pair.send(REQUESTS // 10)
        first = pair.counted()
        cli(directory, "dump", pid)
        pair.send(REQUESTS // 10)
        second = pair.counted()
        compared = json.loads(cli(directory, "diff", "--format", "json", f"{pid}@1", pid))
        watched = json.loads(cli(directory, "top", "--once", "--format", "json", pid))
        text = cli(directory, "top", "--once", "--class", "netty-bytebuf", pid)
        check_folding(tap, directory, pid)
    finally:
        pair.close()
    grown = {f"{g['frames'][0]['file']}:{g['frames'][0]['line']}": g for g in compared["groups"]
             if g["class"] == "netty-bytebuf" and g["change"] == "grown" and
             g["b"]["verdict"] == "missing-release"}
    # a few of the last milliseconds before either snapshot may be in use to it
    tap.claim(grown.keys() == lines_of_mistakes().keys() and
              all(abs(grown[line]["count_change"] - (second[key] - first[key])) <= 8
                  for line, key in lines_of_mistakes().items()),
              "diff: three places have grown, by what was forgotten in between",
              {line: g["count_change"] for line, g in grown.items()})
    places = {s["place"]: s for s in watched["sites"] if s["class"] == "netty-bytebuf"}
    tap.claim(all(places.get(line, {}).get("verdict") == "missing-release" and
                  0 <= second[key] - places[line]["count"] <= 8
                  for line, key in lines_of_mistakes().items()),
              "top: each has its verdict and its count", (second, places))
    tap.claim(all(line in text for line in lines_of_mistakes()),
              "top: and says so to people", text)


def main():
    tap = Tap()
    try:
        for check in (check_leaking, check_clean, check_watching):
            with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
                check(tap, directory)
    except maven.Unavailable as why:
        tap.claim(False, "the libraries are there", why)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
