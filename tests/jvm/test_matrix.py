#!/usr/bin/python3
"""The proxy's three mistakes under other virtual machines, collectors, modes and versions of Netty:
the same answer each time, and every recognised stack compared with the machine's own.

    test_matrix.py          a few of them, for each time
    test_matrix.py --all    each against each that matters; takes some minutes
"""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from test_proxy import (CACHE, MISTAKES, SHIM, Tap, accusations, line_of, maven, place, report,
                        summary)
from proxy import Pair

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
NETTY = ("4.1.51.Final", "4.1.128.Final", "4.2.0.Final", "4.2.15.Final")


def machines():
    """The java of each JDK that is there, oldest first: {version: path}."""
    found = {}
    for home in sorted(Path("/usr/lib/jvm").glob("*")):
        java = home / "bin" / "java"
        if not java.exists() or not (home / "lib" / "server" / "libjvm.so").exists():
            continue
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60).stderr
        found.setdefault(int(said.split('"')[1].split(".")[0]), str(java))
    return dict(sorted(found.items()))


def is_supported(java, options):
    return subprocess.run([java, *options, "-version"], capture_output=True,
                          timeout=60).returncode == 0


def check(tap, version, java, mode, netty):
    what = f"JDK {version}, {mode}, Netty {netty}"
    options = MODES[mode]
    if not is_supported(java, options):
        tap.skip(what, "this virtual machine has no such mode")
        return
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        pair = Pair(CACHE, SHIM, directory, java=java, settings=":java_check=1",
                    options=[*options, "-Dgw.leaking=true", f"-Dgw.every={EVERY}"],
                    errors=subprocess.DEVNULL, **{"netty.version": netty})
        try:
            answered = pair.send(REQUESTS)
            counted = pair.counted()
            status = pair.proxy.stop()
            found = report(directory, pair.proxy.pid)
        finally:
            pair.close()
    wanted = {f"{name}:{line_of(name, mark)}": counted[key]
              for key, (name, mark) in MISTAKES.items()}
    got = {place(g["blame"]): g["count"] for g in accusations(found)
           if g["class"] == "netty-bytebuf"}
    stacks = found["java_stacks"]
    tap.claim(got == wanted and answered["wrong"] == 0 and status == 0 and stacks["wrong"] == 0,
              f"{what}: the same answer, none of the checked stacks wrong",
              f"{got}, not {wanted}; {answered}; status {status}; {stacks}; {summary(found)}")
    if "--all" in sys.argv:
        tap.note(f"{stacks['checked']:,} checked, {stacks['walked']:,} walked, of these "
                 f"{stacks['not_recognisable']:,} not recognisable")


def chosen():
    jdks = machines()
    newest = max(jdks)
    if "--all" not in sys.argv:
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
    except maven.Unavailable as why:
        tap.claim(False, "the libraries are there", why)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
