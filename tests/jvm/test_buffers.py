#!/usr/bin/python3
"""Every kind of buffer that Netty has, in ways of going wrong and of going right: verdict, file, line
and count of each mistake are exact, and nobody else is accused. On Netty 4.1 and 4.2, by each
allocator, with Netty's own leak detector at each level, in a shaded copy, and on virtual threads."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import machines
from proxy import counts_of
from test_proxy import (CACHE, CLI, HERE, SHIM, Tap, accusations, class_of, maven, place, report,
                        summary)

SOURCES = HERE / "buffers"
SOURCE = SOURCES / "buffers" / "Corpus.java"
NETTY_POM = HERE / "proxy" / "pom.xml"
SHADED_POM = HERE / "buffers" / "shaded.xml"
SHADED = "io.grpc.netty.shaded.io.netty"
RENAMED = "my.netty"
LONG = os.environ.get("BL_TEST_LONG") == "1"
OVER = "twice"
# Sizes of a buffer of these at its end, where it is the same whatever allocates it.
SIZES = {"unpooled-early": 201, "unpooled-direct": 202, "wrapped": 203, "grown": 8192}
# Of these a buffer passes the line once in each request.
ONCE = ("retained", "pooled-early", "unpooled-direct", "wrapped", "framework")
LEVEL = "-Dio.netty.leakDetection.level="
TYPE = "-Dio.netty.allocator.type="
# name, version of Netty, options; the last is of the newest
RUNS = [
    ("Netty 4.1.0", "4.1.0.Final", ["-Dbuffers.old=true", "-Xverify:all"]),
    ("Netty 4.1, detector off", "4.1.128.Final", [LEVEL + "disabled"]),
    ("Netty 4.1, detector paranoid", "4.1.128.Final", [LEVEL + "paranoid"]),
    ("Netty 4.2, adaptive, detector simple", "4.2.15.Final", []),
    ("Netty 4.2, pooled, detector paranoid", "4.2.15.Final", [TYPE + "pooled", LEVEL + "paranoid"]),
]
MORE = [
    ("Netty 4.1, detector simple", "4.1.128.Final", [LEVEL + "simple"]),
    ("Netty 4.1, detector advanced", "4.1.128.Final", [LEVEL + "advanced"]),
    ("Netty 4.1, unpooled, detector advanced", "4.1.128.Final",
     [TYPE + "unpooled", LEVEL + "advanced"]),
    ("Netty 4.1, adaptive", "4.1.128.Final", [TYPE + "adaptive"]),
    ("Netty 4.1.9", "4.1.9.Final", ["-Dbuffers.old=true", "-Xverify:all"]),
    ("Netty 4.1.24", "4.1.24.Final", []),
    ("Netty 4.1.36", "4.1.36.Final", []),
    ("Netty 4.1.51", "4.1.51.Final", []),
    ("Netty 4.1.100", "4.1.100.Final", []),
    ("Netty 4.1, no Unsafe", "4.1.128.Final", ["-Dio.netty.noUnsafe=true"]),
    ("Netty 4.1, no cleaner", "4.1.128.Final", ["-Dio.netty.maxDirectMemory=0"]),
    # its adaptive allocator throws at a shrunk buffer, also by itself
    ("Netty 4.2.0, pooled", "4.2.0.Final", [TYPE + "pooled"]),
    ("Netty 4.2, unpooled", "4.2.15.Final", [TYPE + "unpooled"]),
    ("Netty 4.2, adaptive, detector advanced", "4.2.15.Final", [LEVEL + "advanced"]),
    ("Netty 4.2, adaptive, detector paranoid", "4.2.15.Final", [LEVEL + "paranoid"]),
    ("Netty 4.2, -Xcomp", "4.2.15.Final", ["-Xcomp"]),
]
VIRTUAL_SINCE = 21
LOADERS = 18
# There the parts of a forgotten composite are told beside it.
PARTS_BESIDE = ("Netty 4.1.0",)


def marks():
    found = {}
    for number, line in enumerate(SOURCE.read_text().splitlines(), 1):
        match = re.search(r"// @(\S+)$", line)
        if match:
            found[match[1]] = number
    return found


def is_part(place_of_birth):
    """What is put into a composite there, which is lost with it."""
    name, _, number = place_of_birth.partition(":")
    return name == SOURCE.name and "addComponent" in SOURCE.read_text().splitlines()[int(number) - 1]


def threads_of(directory, pid):
    done = subprocess.run([str(CLI), "report", "--group", "thread", "--class", "netty-bytebuf",
                           "--format", "json", str(pid)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "BUFLEAK_DIR": str(directory)})
    return json.loads(done.stdout)["groups"]


def run(tap, what, java, class_path, options, threads="platform", with_thread=True):
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        program = subprocess.Popen(
            [java, "-Xmx256m", *options, "-cp", class_path, "buffers.Corpus", threads],
            env={**os.environ, "LD_PRELOAD": str(SHIM), "BUFLEAK_DIR": directory,
                 "BUFLEAK_OPTIONS": "quiet=1:java_check=1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            said, _ = program.communicate(timeout=120)
        finally:
            program.kill()
        found = report(directory, program.pid)
        groups = threads_of(directory, program.pid)
    compare(tap, what, counts_of(said.replace("-", "_")), program.returncode, found)
    if with_thread:
        tap.claim(any("worker-7" in json.dumps(g) for g in groups),
                  f"{what}: the thread is known by its name", groups[:3])


def compare(tap, what, counted, status, found):
    lines = marks()
    wanted = sorted((f"Corpus.java:{lines[name]}",
                     "over-release" if name == OVER else "missing-release",
                     counted.get(name.replace("-", "_"))) for name in lines)
    accused = [g for g in accusations(found) if g["class"] == "netty-bytebuf" and
               not (what in PARTS_BESIDE and is_part(place(g["blame"])))]
    got = sorted((place(g["blame"]), g["verdict"], g["count"]) for g in accused)
    tap.claim(status == 0 and len(counted) == len(lines) and got == wanted,
              f"{what}: {len(wanted)} mistakes are named by verdict, line and count, and no others",
              f"status {status}\n{sorted(set(got) - set(wanted))} not\n"
              f"{sorted(set(wanted) - set(got))}\n{summary(found)}")
    sizes = {name: g["bytes"] / g["count"] for name in SIZES for g in accused
             if place(g["blame"]) == f"Corpus.java:{lines[name]}"}
    tap.claim(all(sizes.get(n, 0) >= s and (n == "grown" or sizes[n] == s) for n, s in SIZES.items()),
              f"{what}: their sizes are known", sizes)
    passed = {name: g["evidence"]["leaked"] + g["evidence"]["completed"] for name in ONCE
              for g in accused if place(g["blame"]) == f"Corpus.java:{lines[name]}"}
    tap.claim(len(passed) == len(ONCE) and len({*passed.values()}) == 1,
              f"{what}: and how many took the same way, whether the detector looked at them or not", passed)
    stacks = found["java_stacks"]
    tap.claim(stacks["wrong"] == 0 and stacks["checked"] + stacks["walked"] > 10000,
              f"{what}: no recognised stack was wrong", stacks)
    table = class_of(found, "netty-bytebuf")
    tap.equal(table["over_releases"], counted.get(OVER), f"{what}: all over-releases are counted")


def sources_for(package, part):
    """The same program, as it is written by those who use a copy of Netty in another package."""
    for source in SOURCES.rglob("*.java"):
        (part / source.name).write_text(
            source.read_text().replace("import io.netty.", f"import {package}."))
    return part


def renamed(libs, part):
    """The libraries with Netty in a package of another name, which is as long."""
    for jar in libs.glob("netty-*.jar"):
        with zipfile.ZipFile(jar) as old, zipfile.ZipFile(part / jar.name, "w") as new:
            for entry in old.infolist():
                if entry.filename.endswith(".class"):
                    text = old.read(entry).replace(b"io/netty", b"my/netty")
                    new.writestr(entry.filename.replace("io/netty", "my/netty"),
                                 text.replace(b"io.netty", b"my.netty"))
    return part


def copies(tap, java, libs):
    for what, package, of in (("a shaded copy", SHADED, None),
                              ("a copy of another name", RENAMED, libs)):
        with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
            part = Path(directory)
            used = renamed(of, part) if of else maven.libraries(SHADED_POM, CACHE)
            classes = maven.compiled(sources_for(package, part), used, part if of else CACHE, 8)
            run(tap, what, java, maven.class_path(classes, used), [])


def class_loaders(tap, java, class_path):
    """Netty in many of them at once."""
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        program = subprocess.Popen(
            [java, "-Xmx256m", "-cp", class_path, "buffers.Loaders", str(LOADERS)],
            env={**os.environ, "LD_PRELOAD": str(SHIM), "BUFLEAK_DIR": directory,
                 "BUFLEAK_OPTIONS": "quiet=1"}, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            status = program.wait(120)
        finally:
            program.kill()
        found = report(directory, program.pid)
    lines = (SOURCES / "buffers" / "Loaders.java").read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if text.endswith("// forgotten here"))
    got = [(place(g["blame"]), g["verdict"], g["count"], g["bytes"]) for g in accusations(found)
           if g["class"] == "netty-bytebuf"]
    tap.claim(status == 0 and got == [(f"Loaders.java:{line}", "missing-release", LOADERS * 10,
                                       LOADERS * 10 * 100)],
              f"{LOADERS} class loaders: what their copies forgot is named by line, count and size",
              f"status {status}\n{got}\n{summary(found)}")


def together(tap, what, java, class_path, threads):
    """All had their buffers at once: that a garbage collector took some says that nobody has them."""
    count = 60
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        program = subprocess.Popen(
            [java, "-Xmx256m", "-cp", class_path, "buffers.Together", threads, str(count)],
            env={**os.environ, "LD_PRELOAD": str(SHIM), "BUFLEAK_DIR": directory,
                 "BUFLEAK_OPTIONS": "quiet=1:reach=exit"}, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            status = program.wait(120)
        finally:
            program.kill()
        found = report(directory, program.pid)
    lines = (SOURCES / "buffers" / "Together.java").read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if text.endswith("// left out"))
    got = [(place(g["blame"]), g["verdict"], g["count"], g["reach"]) for g in accusations(found)
           if g["class"] == "netty-bytebuf"]
    tap.claim(status == 0 and got == [(f"Together.java:{line}", "missing-release", count // 10, "lost")],
              f"{what}: what they left out is named at the end", f"status {status}\n{got}\n{summary(found)}")


def virtual_threads(tap, class_path):
    jdks = {v: j for v, j in machines.available(CACHE).items() if v >= VIRTUAL_SINCE}
    if not jdks:
        tap.skip("virtual threads", f"there is no JDK {VIRTUAL_SINCE} or later")
    for version in sorted(jdks) if LONG else sorted(jdks)[-1:]:
        # an executor's thread is renamed by nobody, and a virtual one has none of the kernel's
        run(tap, f"virtual threads, JDK {version}", jdks[version], class_path, [], "virtual",
            with_thread=False)
        together(tap, f"virtual threads that have ended, reach=exit, JDK {version}", jdks[version], class_path, "virtual")


def main():
    tap = Tap()
    try:
        java = shutil.which("java")
        for what, version, options in RUNS + (MORE if LONG else []):
            libs = maven.libraries(NETTY_POM, CACHE, **{"netty.version": version})
            classes = maven.compiled(SOURCES, libs, CACHE, 8)
            run(tap, what, java, maven.class_path(classes, libs), options)
        virtual_threads(tap, maven.class_path(classes, libs))
        together(tap, "threads that have ended, reach=exit", java, maven.class_path(classes, libs), "platform")
        class_loaders(tap, java, maven.class_path(classes, libs))
        copies(tap, java, libs)
    except maven.Unavailable as why:
        tap.claim(False, "the libraries are there", why)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
