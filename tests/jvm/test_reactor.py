#!/usr/bin/python3
"""Reactive chains: no stack has a line of the code that assembled them, and what Reactor was asked to
remember of it is told with the verdict. With the Reactor of the incident's release, and a current one."""
import json
import os
import subprocess
import sys
import tempfile

from test_proxy import CACHE, CLI, HERE, SHIM, Tap, accusations, maven, report, summary, wait_for

SOURCES = HERE / "reactor"
FILE = SOURCES / "chains" / "Chains.java"
BODIES = 2000
REACTOR = ("3.3.8.RELEASE", "3.8.6")
ROUTES = ("orders", "users", "items")
# How often who subscribes to a route is asked for more of its bodies; ten times: it makes them all.
RELAYS = (("2", "2", "2", "10"), ("0", "10", "0", "10"))


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


def cli(directory, *arguments):
    return subprocess.run([str(CLI), *map(str, arguments)], env={**os.environ, "BUFLEAK_DIR": directory},
                          capture_output=True, text=True, timeout=60).stdout


def check(tap, mode, version, directory):
    """Returns the program's process, whose ledger is in the directory."""
    what = f"Reactor {version}, {mode}"
    libs = maven.libraries(SOURCES / "pom.xml", CACHE, **{"reactor.version": version})
    classes = maven.compiled(SOURCES / "chains", libs, CACHE, 8)
    env = {**os.environ, "LD_PRELOAD": str(SHIM), "BUFLEAK_DIR": directory,
           "BUFLEAK_OPTIONS": "quiet=1:java_check=1"}
    program = subprocess.Popen(["java", "-Xmx256m", "-Xcheck:jni", "-cp", maven.class_path(classes, libs),
                                "chains.Chains", mode, str(BODIES)], env=env, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    said, _ = program.communicate(timeout=120)
    tap.equal((program.returncode, said), (0, ""), f"{what}: the program ends, nothing is said of JNI")
    found = report(directory, program.pid)
    text = cli(directory, "report", "--class", "netty-bytebuf", program.pid)
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
    return program.pid


def check_relayed(tap, version, asked):
    """Which thread makes a body is a matter of chance, and no matter which: what was retained is missed
    there. Where one makes all of those that are given back, the others have only each other on their way."""
    what = f"Reactor {version}, bodies asked of the subscriber {', '.join(asked)} times"
    libs = maven.libraries(SOURCES / "pom.xml", CACHE, **{"reactor.version": version})
    classes = maven.compiled(SOURCES / "chains", libs, CACHE, 8)
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        env = {**os.environ, "LD_PRELOAD": str(SHIM), "BUFLEAK_DIR": directory, "BUFLEAK_OPTIONS": "quiet=1"}
        program = subprocess.Popen(["java", "-Xmx256m", "-cp", maven.class_path(classes, libs),
                                    "chains.Chains", "checkpoint", str(BODIES), *asked], env=env, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        _, said = program.communicate(timeout=120)
        tap.claim(program.returncode == 0, f"{what}: the program ends", said[-1000:])
        found = report(directory, program.pid)
    groups = [g for g in accusations(found) if g["class"] == "netty-bytebuf"]
    tap.claim(sum(g["count"] for g in groups) == len(ROUTES) * BODIES and
              all(g["blame"]["op"] == "retain" for g in groups),
              f"{what}: where they were retained {len(ROUTES) * BODIES:,} bodies are missed", summary(found))


def check_compared(tap, directory, before, after):
    """A comparison names them where it shows a place."""
    pids = ("--class", "netty-bytebuf", before, after)
    groups = json.loads(cli(directory, "diff", "--format", "json", *pids))["groups"]
    told = {a["text"] for g in groups if g["frames_of"] == "b" for a in g["assembled"]}
    lines = {line for _, line in TOLD["debug"]}
    tap.equal(told, lines, "diff: what the later one has is told with who assembled it")
    text = cli(directory, "diff", *pids)
    # what is unchanged between the two is not shown there
    tap.claim(any(f"assembled at           {line}" in text for line in lines), "diff: and told to people", text)


def check_watched(tap, directory, pid):
    """The live view names them where it shows a place by itself."""
    env = {**os.environ, "BUFLEAK_DIR": directory, "LC_ALL": "C.UTF-8"}
    tmux = ["tmux", "-S", f"{directory}/tmux", "-f", "/dev/null"]

    def screen_with(text):
        shown = subprocess.run([*tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True,
                               timeout=60).stdout
        return shown if text in shown else None
    subprocess.run([*tmux, "new-session", "-d", "-x", "160", "-y", "50",
                    f"{CLI} top --class netty-bytebuf {pid}; exec cat"], env=env, check=True, timeout=60)
    try:
        wait_for(lambda: screen_with("missing release"), "the verdicts on the screen", 30)
        subprocess.run([*tmux, "send-keys", "Enter"], check=True, timeout=60)
        shown = wait_for(lambda: screen_with("assembled at"), "the place on the screen", 30)
        tap.claim(any(line in shown for _, line in TOLD["debug"]),
                  "top: a place is shown with who assembled it", shown)
    finally:
        subprocess.run([*tmux, "kill-server"], check=False, timeout=60)


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
            with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
                pids = {mode: check(tap, mode, version, directory) for mode in TOLD}
                if version == REACTOR[-1]:
                    check_compared(tap, directory, pids["none"], pids["debug"])
                    check_watched(tap, directory, pids["debug"])
            for asked in RELAYS:
                check_relayed(tap, version, asked)
        check_command(tap, REACTOR[-1])
    except maven.Unavailable as why:
        tap.claim(False, "the libraries are there", why)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
