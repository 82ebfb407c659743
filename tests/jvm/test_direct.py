#!/usr/bin/python3
"""Direct memory: the Java code that took it, once, and what the program itself counts of it."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machines
from test_matrix import is_supported
from test_proxy import CACHE, CLI, HERE, SHIM, Tap, class_of, maven, report
from proxy import Pair, Program, counts_of

SOURCES = HERE / "direct"
MIB = 1 << 20
LIMIT = 256 * MIB
WAYS, BATCH, LEAST = 18000, 2000, 65536
NETTY_FOREIGN = "4.2.15.Final"
DEEP = os.environ.get("BL_TEST_LONG") == "1"
CHURN = 20000 if DEEP else 400


def line_of(mark):
    lines = (SOURCES / "Direct.java").read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.endswith("// " + mark))


class Taker(Program):
    def __init__(self, java, directory, *options, main="Direct"):
        classes = maven.compiled(SOURCES, CACHE, CACHE, 8)
        env = dict(os.environ, LD_PRELOAD=str(SHIM), BUFLEAK_DIR=str(directory),
                   BUFLEAK_OPTIONS="quiet=1:interval=100ms")
        super().__init__([java, "-Xmx128m", *options, "-cp", str(classes), main], env)
        self.line()

    def take(self, what, count, size):
        return counts_of(self.ask(f"{what} {count} {size}"))["pool"]


def direct_groups(found):
    return [g for g in found["groups"] if g["class"] == "java-direct"]


def pool_of(found, name="jdk pool"):
    return next((d for d in found["memory"].get("direct", []) if d["name"] == name), None)


def functions(group):
    return [f["function"] or "" for f in group["alloc"]["frames"]]


def dump(directory, pid):
    """A snapshot that was made now, and the report on it."""
    done = subprocess.run([str(CLI), "dump", str(pid)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "BUFLEAK_DIR": str(directory)})
    assert done.returncode == 0, done.stderr
    return report(directory, pid)


def check(tap, java, what, options=()):
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        taker = Taker(java, directory, f"-XX:MaxDirectMemorySize={LIMIT}", *options)
        try:
            pool = taker.take("keep", 30, MIB)
            found = dump(directory, taker.pid)
            table = class_of(found, "java-direct")
            groups = direct_groups(found)
            tap.equal((table["live_count"], table["live_bytes"]), (30, 30 * MIB),
                      f"{what}: 30 buffers of a MiB are 30 blocks of class java-direct")
            lines = [f"{f['file']}:{f['line']}" for g in groups for f in g["alloc"]["frames"]
                     if (f["function"] or "").startswith("Direct.")]
            tap.equal((len(groups), *lines[:2]), (1, f"Direct.java:{line_of('taken here')}",
                                              f"Direct.java:{line_of('kept here')}"),
                      f"{what}: taken at the line that took them")
            others = [g for g in found["groups"] if g["class"] == "heap" and g["bytes"] >= 25 * MIB]
            tap.equal(others, [], f"{what}: and they are counted once")
            counter = pool_of(found)
            tap.claim(counter is not None and counter["bytes"] == pool and
                      counter["limit_bytes"] == LIMIT,
                      f"{what}: the JDK's own count of them, and its limit", (counter, pool))
            tap.equal(found["memory"]["limits"]["direct_limit_bytes"], LIMIT,
                      f"{what}: -XX:MaxDirectMemorySize is the limit of direct memory")
            taker.take("threads", 10, 2 * MIB)
            taker.take("churn", CHURN, 65536)
            taker.stop()
            ended = report(directory, taker.pid)
            table = class_of(ended, "java-direct")
            tap.claim(table["allocs"] == 30 + 40 + CHURN and table["live_count"] >= 70,
                      f"{what}: {CHURN:,} buffers of 64 KiB came and went beside 40 of four threads",
                      table)
            unnamed = [g for g in direct_groups(ended)
                       if not any(f.startswith("Direct.") for f in functions(g))]
            tap.equal(unnamed, [], f"{what}: none without the Java code that took it")
        finally:
            taker.kill()


def live(directory, pid, *options):
    done = subprocess.run([str(CLI), "report", "--live", "--format", "json", *options, str(pid)],
                          capture_output=True, text=True, timeout=60, check=True,
                          env={**os.environ, "BUFLEAK_DIR": str(directory)})
    return json.loads(done.stdout)


def way_of(group):
    """By the turns it took, innermost first."""
    turns = [f.split(".")[-1] for f in functions(group) if f and ".turn" in f]
    way = 0
    for turn in turns:
        way = way << 1 | (turn == "turnRight")
    return (len(turns), way)


def name_stacks(directory, pid):
    """A snapshot has the stacks that were taken so far named: more than there is room for would be
    waiting where the helper thread is kept from the processor."""
    subprocess.run([str(CLI), "dump", str(pid)], capture_output=True, timeout=60, check=True,
                   env={**os.environ, "BUFLEAK_DIR": str(directory)})


def rotate(tap, java, what):
    """A machine that goes through as many stacks as make their table be swept, and through more
    than are kept for blocks to come: its buffers go on to name the way they were taken by."""
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        program = Taker(java, directory, "-XX:MaxDirectMemorySize=1g", main="Rotate")
        try:
            for batch in range(0, WAYS, BATCH):
                program.ask(f"pass {batch} {BATCH}")
                name_stacks(directory, program.pid)
            end = time.monotonic() + 60
            while (live(directory, program.pid)["memory"]["stacks"]["sweeps"] < 1 and
                   time.monotonic() < end):
                time.sleep(0.1)
            for batch in range(0, WAYS, BATCH):
                program.ask(f"pass {batch} {BATCH}")
                name_stacks(directory, program.pid)
            found = live(directory, program.pid, "--group", "stack", "--top", "100000",
                         "--class", "java-direct")
            tap.claim(found["memory"]["stacks"]["sweeps"] >= 1,
                      f"{what}: the table of stacks was swept", found["memory"]["stacks"])
            kept = [g for g in direct_groups(found) if g["bytes"] != g["count"] * LEAST]
            # sizes are rounded up to 8
            wrong = [(g["bytes"], g["count"], way_of(g)) for g in kept
                     if way_of(g)[0] != 18 or
                     not 0 <= g["bytes"] // g["count"] - LEAST - 1 - way_of(g)[1] < 8]
            tap.equal(wrong, [], f"{what}: no buffer has another's stack after it")
            tap.equal(sum(g["count"] for g in kept), 2 * WAYS // BATCH * ((BATCH + 498) // 499),
                      f"{what}: all that were kept are there")
            tap.claim(found["memory"]["stacks"]["java_stacks_forgotten"] >= WAYS // 8,
                      f"{what}: those that came first are forgotten, and counted",
                      found["memory"]["stacks"])
            tap.equal(found["losses"]["stacks_dropped"], 0, f"{what}: no stack is dropped")
            program.stop()
        finally:
            program.kill()


def check_foreign(tap, version, java):
    """Netty without sun.misc.Unsafe calls malloc by java.lang.foreign, which looks it up by itself."""
    what = f"JDK {version}, malloc by java.lang.foreign"
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        pair = Pair(CACHE, SHIM, directory, java=java, errors=subprocess.DEVNULL,
                    options=["--enable-native-access=ALL-UNNAMED", "-Dio.netty.noUnsafe=true",
                             "-Dio.netty.allocator.type=pooled", "-Dgw.leaking=false"],
                    **{"netty.version": NETTY_FOREIGN})
        try:
            tap.equal(pair.send(1000)["wrong"], 0, f"{what}: requests are answered as ever")
            found = dump(directory, pair.proxy.pid)
            tap.equal(pair.proxy.stop(), 0, f"{what}: and the proxy ends as it should")
        finally:
            pair.close()
    counter = pool_of(found, "netty")
    table = class_of(found, "java-direct")
    groups = direct_groups(found)
    # a few bytes that Netty takes besides are no large blocks
    tap.claim(table["live_bytes"] >= MIB and
              0 <= counter["bytes"] - table["live_bytes"] < 64 << 10,
              f"{what}: all that Netty counts is of class java-direct", (table, counter))
    tap.claim(all("CleanerJava24Linker" in functions(g)[0] and
                  any("PoolArena" in f for f in functions(g)) for g in groups),
              f"{what}: with the Java code that took it", [functions(g)[:4] for g in groups])
    tap.claim(found["losses"]["frees_unknown"] < 1000, f"{what}: and what it frees is known",
              found["losses"])


def main():
    tap = Tap()
    if shutil.which("java") is None:
        tap.claim(False, "java is installed (scripts/setup test)")
        return tap.finish()
    for version, java in machines.installed().items():
        check(tap, java, f"JDK {version}")
    java = max(machines.installed().items())[1]
    for name, options in {"ZGC": ["-XX:+UseZGC"], "-Xint": ["-Xint"],
                          "-Xcheck:jni": ["-Xcheck:jni", "-Xverify:all"],
                          # before the frames that were interpreted have their names
                          "compiled soon": ["-XX:CompileThresholdScaling=0.01"]}.items():
        if is_supported(java, options):
            check(tap, java, name, options)
    rotate(tap, java, "swept")
    version, java = max(machines.available(CACHE).items())
    if version >= 24:
        check_foreign(tap, version, java)
    else:
        tap.skip("malloc by java.lang.foreign", "Netty uses it from JDK 24 on")
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
