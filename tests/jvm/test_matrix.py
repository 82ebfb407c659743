#!/usr/bin/python3
"""The proxy's three mistakes under other virtual machines, collectors, modes and versions of Netty:
the same answer each time, and every recognised stack compared with the machine's own.

With BL_TEST_LONG=1 each against each that matters, which takes some minutes; else a few of them.
"""
import os
import shutil
import subprocess
import sys
import tempfile

import machines
from test_proxy import (CACHE, HERE, MISTAKES, SHIM, Tap, accusations, dump, line_of, maven, place, report,
                        summary)
from proxy import SOURCES, Pair

LONG = os.environ.get("BL_TEST_LONG") == "1"
EVERY = 50
REQUESTS = 2000
MODES = {
    "-Xverify:all -Xcheck:jni": ["-Xverify:all", "-Xcheck:jni"],
    "-Xint": ["-Xint"],
    "-Xcomp": ["-Xcomp"],
    "Serial": ["-XX:+UseSerialGC"],
    "Parallel": ["-XX:+UseParallelGC"],
    "G1, wide pointers": ["-XX:+UseG1GC", "-XX:-UseCompressedOops"],
    "ZGC": ["-XX:+UseZGC"],
    "Shenandoah": ["-XX:+UseShenandoahGC"],
    "unpooled, paranoid": ["-Dio.netty.allocator.type=unpooled",
                           "-Dio.netty.leakDetection.level=paranoid"],
    "adaptive": ["-Dio.netty.allocator.type=adaptive"],
}
CHURN = HERE / "churn"
WRONG_MAX = 1e-5  # of the stacks that were recognised while code came and went
NETTY = ("4.1.51.Final", "4.1.128.Final", "4.2.0.Final", "4.2.15.Final")


def is_supported(java, options):
    return subprocess.run([java, *options, "-version"], capture_output=True,
                          timeout=60).returncode == 0


def run(java, options, netty, shim, directory):
    """Returns how it was answered, what the proxy counted, its status and process, and what its
    virtual machine said on stdout."""
    pair = Pair(CACHE, shim, directory, java=java, settings=":java_check=1",
                options=[*options, "-Dgw.leaking=true", f"-Dgw.every={EVERY}"],
                errors=subprocess.DEVNULL, **{"netty.version": netty})
    try:
        answered = pair.send(REQUESTS)
        counted = pair.counted()
        if shim:
            dump(directory, pair.proxy.pid)
        return answered, counted, pair.proxy.stop(), pair.proxy.pid, pair.proxy.said
    finally:
        pair.close()


def check_silence(tap, what, said, java, options, netty):
    """-Xcheck:jni tells mistakes on stdout: the machine's own are told without the library too."""
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        own = run(java, options, netty, None, directory)[-1] if said else []
    tap.claim({*said} <= {*own}, f"{what}: the machine has nothing to say of the library",
              "\n".join(said[:40]))


def explain_rest(found, got, wanted):
    """What is left when the buffers that the report says may be in use are added to those that it
    blames: a machine so slow that requests differ in what is done between them leaves some that
    have no like, and nobody is blamed for these. At most one in ten of a kind."""
    in_use = sum(g["count"] for g in found["groups"] if g["class"] == "netty-bytebuf" and
                 g["verdict"] == "unreleased" and place(g["alloc"]).startswith("MessageAggregator"))
    lacks = {line: count - got.get(line, 0) for line, count in wanted.items()}
    is_told = all(0 <= lack <= wanted[line] // 10 for line, lack in lacks.items())
    return is_told and {*got} <= {*wanted} and sum(lacks.values()) <= in_use


def check(tap, version, java, mode, netty, is_slow=False):
    what = f"JDK {version}, {mode}, Netty {netty}"
    options = MODES[mode]
    if not is_supported(java, options):
        tap.skip(what, "this virtual machine has no such mode")
        return
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        answered, counted, status, pid, said = run(java, options, netty, SHIM, directory)
        found = report(directory, pid)
    wanted = {f"{name}:{line_of(name, mark)}": counted[key]
              for key, (name, mark) in MISTAKES.items()}
    got = {place(g["blame"]): g["count"] for g in accusations(found)
           if g["class"] == "netty-bytebuf"}
    stacks = found["java_stacks"]
    is_right = explain_rest(found, got, wanted) if is_slow else got == wanted
    tap.claim(is_right and answered["wrong"] == 0 and status == 0 and stacks["wrong"] == 0,
              f"{what}: the same answer, none of the checked stacks wrong",
              f"{got}, not {wanted}\n{answered}; status {status}; {stacks}\n" +
              "\n".join(f"{g['verdict']} x{g['count']} at {place(g['blame'])}: {g['evidence']['text']}"
                        for g in found["groups"] if g["class"] == "netty-bytebuf"))
    check_silence(tap, what, said, java, options, netty)
    if LONG:
        note(tap, stacks)


def check_churn(tap, version, java, options=()):
    """Code of every kind comes and goes: classes with it, hundreds of times."""
    what = f"JDK {version}, classes that come and go" + "".join(f", {o}" for o in options)
    libs = maven.libraries(SOURCES / "pom.xml", CACHE)
    classes = maven.compiled(CHURN, libs, CACHE, 8)
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        program = subprocess.Popen(
            [java, "-Xmx128m", "-XX:CompileThresholdScaling=0.02", *options, "-cp",
             maven.class_path(classes, libs), "churn.Churn", "2", "400" if LONG else "100"],
            env={**os.environ, "LD_PRELOAD": str(SHIM), "BUFLEAK_DIR": directory,
                 "BUFLEAK_OPTIONS": "quiet=1:java_check=1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            status = program.wait(250)
        finally:
            program.kill()
        found = report(directory, program.pid)
    stacks = found["java_stacks"]
    tap.claim(status == 0 and not accusations(found) and stacks["checked"] > 100000 and
              stacks["wrong"] <= WRONG_MAX * stacks["checked"],
              f"{what}: at most {WRONG_MAX:g} of the recognised stacks are wrong, nobody is accused",
              f"status {status}; {stacks}; {summary(found)}")
    if LONG:
        note(tap, stacks)


def note(tap, stacks):
    tap.note(f"{stacks['checked']:,} checked, {stacks['wrong']:,} wrong, {stacks['walked']:,} walked, "
             f"of these {stacks['not_recognisable']:,} not recognisable")


def chosen():
    jdks = machines.available(CACHE)
    newest = max(jdks)
    if not LONG:
        yield newest, jdks[newest], "ZGC", NETTY[-1]
        yield min(jdks), jdks[min(jdks)], "-Xverify:all -Xcheck:jni", NETTY[0]
        return
    for version, java in jdks.items():
        for mode in MODES:
            yield version, java, mode, NETTY[1] if mode != "adaptive" else NETTY[-1]
        for netty in NETTY:
            yield version, java, "Parallel", netty


def main():
    tap = Tap()
    if shutil.which("java") is None:
        tap.claim(False, "java is installed (scripts/setup test)")
        return tap.finish()
    try:
        for one in chosen():
            check(tap, *one)
        jdks = machines.available(CACHE)
        for version in sorted(jdks) if LONG else (max(jdks),):
            check_churn(tap, version, jdks[version])
    except maven.Unavailable as why:
        tap.claim(False, "the libraries are there", why)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
