#!/usr/bin/python3
"""Frameworks that carry Netty: gRPC with its own copy of it, Vert.x and LittleProxy. Programs without
a mistake pass a check; what others forget is told by line and count. Where the line that took a
buffer is the framework's own, the release that is missing is the program's."""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from proxy import counts_of
from test_proxy import (CACHE, CLI, HERE, SHIM, Tap, accusations, class_of, cli, maven, place,
                        report, summary)

SOURCES = HERE / "frameworks"
OVER = "twice"
READ = "read by Netty"  # and given to the program, as others are that end elsewhere
PROGRAMS = (("gRPC", "grpc.xml", "rpc", "Rpc"), ("Vert.x", "vertx.xml", "vertx", "Gateway"),
            ("LittleProxy", "littleproxy.xml", "littleproxy", "Forward"))
FOLDED = {"LittleProxy": "org.littleshoot"}  # between the filter and Netty in each stack


def lines_of(source):
    found = {}
    for number, line in enumerate(source.read_text().splitlines(), 1):
        match = re.search(r"// @(\S+)$", line)
        if match:
            found[match[1]] = f"{source.name}:{number}"
    return found


def command(pom, package, name, *options):
    libs = maven.libraries(SOURCES / pom, CACHE)
    classes = maven.compiled(SOURCES / package, libs, CACHE, 11)
    return ["java", "-Xmx256m", "-Xcheck:jni", *options, "-cp", maven.class_path(classes, libs),
            f"{package}.{name}"]


def check_clean(tap, what, *program):
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        done = subprocess.run([str(CLI), "check", "--keep", "--", *command(*program)], text=True,
                              timeout=120, env={**os.environ, "TMPDIR": directory},
                              capture_output=True, stdin=subprocess.DEVNULL)
        followed = [class_of(report(directory, ledger), "netty-bytebuf")
                    for ledger in Path(directory).glob("*/java.*.ledger")]
    tap.claim(any(c and c["allocs"] > 0 for c in followed), f"{what}: its buffers were followed",
              followed)
    counted = counts_of(done.stdout)
    tap.claim(counted and not any(counted.values()), f"{what}: the program does what it did", done.stdout)
    tap.claim(done.returncode == 0, f"{what}: a program without a mistake passes a check",
              f"status {done.returncode}\n{done.stderr[-3000:]}")
    # what it is used with has deprecated calls, of which some machines warn
    said = [line for line in done.stderr.splitlines()
            if line and not line.startswith(("bufleak", "WARNING:"))]
    tap.equal(said, [], f"{what}: and nothing else is said")


def place_of_own(blame, package):
    """The program's innermost line, if there is one."""
    frames = [f for f in (blame or {"frames": []})["frames"] if f["function"].startswith(package + ".")]
    return place({"frames": frames}) if frames else None


def where(group, package):
    line = place_of_own(group["blame"], package) or place_of_own(group["expected_release"], package)
    is_read = group["blame"]["frames"][0]["function"].startswith("io.netty.channel.")
    return line or (READ if is_read else place(group["blame"]))


def check_folding(tap, what, directory, pid, mistakes):
    text = cli(directory, "report", "--class", "netty-bytebuf", pid)
    stacks = [line for line in text.splitlines() if line.startswith("       ")]
    folded = [line for line in stacks if "frames of" in line and FOLDED[what] in line]
    shown = [line for line in stacks if line.strip().startswith(FOLDED[what] + ".")]
    tap.equal((len(folded), shown), (mistakes, []), f"{what}: its own frames are folded into one line")


def check_leaking(tap, what, pom, package, name):
    lines = lines_of(SOURCES / package / f"{name}.java")
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        program = subprocess.Popen(command(pom, package, name, "-Dleaking=true"), text=True,
                                   env={**os.environ, "LD_PRELOAD": str(SHIM), "BUFLEAK_DIR": directory,
                                        "BUFLEAK_OPTIONS": "quiet=1:java_check=1"},
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
        said, _ = program.communicate(timeout=120)
        found = report(directory, program.pid)
        if what in FOLDED:
            check_folding(tap, what, directory, program.pid, len(set(lines.values())))
    counted = counts_of(said)
    tap.equal((program.returncode, counted.pop("wrong", None)), (0, 0), f"{what}: ends, all answers right")
    accused = [g for g in accusations(found) if g["class"] == "netty-bytebuf"]
    got = {}
    for group in accused:
        got.setdefault(where(group, package), []).append((group["verdict"], group["count"]))
    wanted = {lines.get(mistake, READ):
              [("over-release" if mistake == OVER else "missing-release", count)]
              for mistake, count in counted.items()}
    tap.equal(got, wanted, f"{what}: {len(wanted)} mistakes are told by verdict, line and count, no others")
    stacks = found["java_stacks"]
    tap.claim(stacks["wrong"] == 0 and stacks["checked"] > 10000, f"{what}: no recognised stack was wrong",
              stacks)
    tap.equal(class_of(found, "netty-bytebuf")["over_releases"], counted[OVER],
              f"{what}: all over-releases are counted")
    if got != wanted:
        tap.note(summary(found))


def main():
    tap = Tap()
    for what, *program in PROGRAMS:
        try:
            check_clean(tap, what, *program)
            check_leaking(tap, what, *program)
        except maven.Unavailable as why:
            tap.claim(False, f"{what}: the libraries are there", why)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
