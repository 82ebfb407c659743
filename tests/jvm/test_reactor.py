#!/usr/bin/python3
"""Reactive chains: no stack has a line of the code that assembled them, and what Reactor was asked to
remember of it is told with the verdict. With the Reactor of the incident's release, and a current one."""
import os
import subprocess
import sys
import tempfile

from test_proxy import CACHE, CLI, HERE, SHIM, Tap, accusations, maven, report, summary

SOURCES = HERE / "reactor"
FILE = SOURCES / "chains" / "Chains.java"
BODIES = 2000
REACTOR = ("3.3.8.RELEASE", "3.8.6")
ROUTES = ("orders", "users", "items")


def line_of(mark):
    return next(n for n, line in enumerate(FILE.read_text().splitlines(), 1)
                if line.endswith("// " + mark))


def at(operator, method, mark):
    return f"{operator}, chains.Chains.{method}(Chains.java:{line_of(mark)})"


# What is to be told of each route's bodies, by how the program has Reactor remember.
TOLD = {
    "none": {},
    "checkpoint": {("operator", 'checkpoint("route orders")'), ("source", 'checkpoint("route users")'),
                   ("operator", at("Flux.checkpoint", "items", "items named"))},
    "debug": {("operator", at("Flux.map", route, route)) for route in ROUTES},
}


def check(tap, mode, version):
    what = f"Reactor {version}, {mode}"
    libs = maven.libraries(SOURCES / "pom.xml", CACHE, **{"reactor.version": version})
    classes = maven.compiled(SOURCES / "chains", libs, CACHE, 8)
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        env = {**os.environ, "LD_PRELOAD": str(SHIM), "BUFLEAK_DIR": directory,
               "BUFLEAK_OPTIONS": "quiet=1:java_check=1"}
        program = subprocess.Popen(["java", "-Xmx256m", "-Xcheck:jni", "-cp", maven.class_path(classes, libs),
                                    "chains.Chains", mode, str(BODIES)], env=env, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
        said, _ = program.communicate(timeout=120)
        tap.equal((program.returncode, said), (0, ""), f"{what}: the program ends, nothing is said of JNI")
        found = report(directory, program.pid)
        text = subprocess.run([str(CLI), "report", "--class", "netty-bytebuf", str(program.pid)],
                              env=env | {"LD_PRELOAD": ""}, capture_output=True, text=True,
                              timeout=60).stdout
    groups = [g for g in accusations(found) if g["class"] == "netty-bytebuf"]
    told = {(a["of"], a["text"]) for g in groups for a in g["assembled"]}
    tap.claim(sum(g["count"] for g in groups) == len(ROUTES) * BODIES,
              f"{what}: {len(ROUTES) * BODIES:,} bodies are missed", summary(found))
    tap.equal(told, {*TOLD[mode]}, f"{what}: the report says who assembled them")
    tap.claim(all(line in text for _, line in TOLD[mode]) and ("assembled" in text) == bool(TOLD[mode]),
              f"{what}: and says so to people", text)
    stacks = found["java_stacks"]
    tap.claim(stacks["checked"] > BODIES and stacks["wrong"] == 0, f"{what}: no recognised stack was wrong",
              stacks)
    tap.equal(found["losses"]["assemblies_dropped"], 0, f"{what}: all that was said is kept")


def check_command(tap, version):
    """`bufleak check` names them as well."""
    libs = maven.libraries(SOURCES / "pom.xml", CACHE, **{"reactor.version": version})
    classes = maven.compiled(SOURCES / "chains", libs, CACHE, 8)
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        done = subprocess.run([str(CLI), "check", "--", "java", "-Xmx256m", "-cp",
                               maven.class_path(classes, libs), "chains.Chains", "debug", "500"],
                              env={**os.environ, "BUFLEAK_DIR": directory}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    tap.claim(done.returncode == 23 and all(f"assembled at     {line}" in said for _, line in TOLD["debug"]),
              f"Reactor {version}: a check says who assembled what leaks", said[-3000:])


def main():
    tap = Tap()
    try:
        for version in REACTOR:
            for mode in TOLD:
                check(tap, mode, version)
        check_command(tap, REACTOR[-1])
    except maven.Unavailable as why:
        tap.claim(False, "the libraries are there", why)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
