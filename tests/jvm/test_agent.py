#!/usr/bin/python3
"""The one object finds its way into every Java virtual machine that starts in or under the process,
and is in nobody's way there."""
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
from pathlib import Path

import machines
import profiler
from test_proxy import BUILD, CACHE, CLI, SHIM, Tap, accusations, class_of, maven, place, report, summary

HERE = Path(__file__).resolve().parent
NATIVE = BUILD / "tests" / "jvm"
SOURCES = HERE / "leaky"
JDK = Path(shutil.which("javac") or "/").resolve().parent.parent
LEAKS = 7
LIMIT_SECONDS = 120


def environment(directory, shim=SHIM, **more):
    env = {**os.environ, **more}
    for name in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"):
        if name not in more:
            env.pop(name, None)
    if shim:
        env.update(LD_PRELOAD=str(shim), BUFLEAK_DIR=str(directory), BUFLEAK_OPTIONS="quiet=1")
    return env


def run(command, env):
    done = subprocess.run([str(c) for c in command], env=env, stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=LIMIT_SECONDS)
    return done.returncode, done.stdout, done.stderr


def line_of(mark):
    lines = (SOURCES / "leaky" / "Leaky.java").read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.endswith("// " + mark))


def reports(directory):
    """Of each process of Java's that ended in that directory."""
    found = [report(directory, ledger) for ledger in sorted(Path(directory).glob("*.ledger"))]
    return [r for r in found if class_of(r, "netty-bytebuf")]


def names_the_leak(tap, what, directory, processes=1):
    found = reports(directory)
    tap.equal(len(found), processes, f"{what}: machines that were followed")
    for one in found:
        accused = [(g["verdict"], place(g["blame"]), g["count"]) for g in accusations(one)
                   if g["class"] == "netty-bytebuf"]
        tap.claim(accused == [("missing-release", f"Leaky.java:{line_of('kept here')}", LEAKS)],
                  f"{what}: the leak is named at its line, to the buffer", f"{accused}\n{summary(one)}")


class Case:
    """A way of starting the leaking program, with the library and without."""

    def __init__(self, tap, class_path):
        self.tap = tap
        self.class_path = class_path
        self.java = str(JDK / "bin" / "java")
        # Netty's own detector speaks on stderr when it happens to have looked at one of the leaks
        self.program = [self.java, "-Dio.netty.leakDetection.level=disabled", "-cp", class_path,
                        "leaky.Leaky"]

    def check(self, what, command, processes=1, shim=SHIM, **more):
        with tempfile.TemporaryDirectory(prefix="bufleak jvm.") as directory:
            plain = run(command, environment(directory, None, **more))
            shimmed = run(command, environment(directory, shim, **more))
            self.tap.claim(plain == shimmed and plain[0] == 0, f"{what}: status, output and errors "
                           "are as without", f"{plain}\n{shimmed}")
            names_the_leak(self.tap, what, directory, processes)
            return shimmed


def ways_of_starting(case, tap):
    case.check("java", case.program)
    said = case.check("JAVA_TOOL_OPTIONS of the user's", case.program, JAVA_TOOL_OPTIONS="-Dtold=kept")
    tap.claim("told kept" in said[1] and said[2] == "Picked up JAVA_TOOL_OPTIONS: -Dtold=kept\n",
              "JAVA_TOOL_OPTIONS of the user's: they are what they were", said)
    case.check("JDK_JAVA_OPTIONS of the user's", case.program, JDK_JAVA_OPTIONS="-Dtold=kept")
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        script = Path(directory) / "start.sh"
        script.write_text('#!/bin/sh\nunset JAVA_TOOL_OPTIONS\n"$@"\nexit $?\n')
        script.chmod(0o755)
        case.check("a wrapper script", [script, *case.program])
        # the launcher starts itself again when this path has another libjvm
        case.check("a launcher that starts itself again", case.program,
                   LD_LIBRARY_PATH=f"{directory}:{JDK}/lib/server")
    case.check("a child machine", [*case.program[:-1], "leaky.Parent", case.class_path], processes=2)


def embedders(case):
    server = JDK / "lib" / "server"
    # it is java, not the machine, that knows what a star means
    classes, jars = case.class_path.split(os.pathsep)
    path = os.pathsep.join([classes, *map(str, sorted(Path(jars).parent.glob("*.jar")))])
    case.check("a program linked with libjvm",
               [NATIVE / "embedder_linked", "-", path, "leaky/Leaky"],
               LD_LIBRARY_PATH=str(server))
    case.check("a program that opens libjvm",
               [NATIVE / "embedder_opening", server / "libjvm.so", path, "leaky/Leaky"])


def paths_of_the_library(case):
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        link = Path(directory) / "linked.so"
        link.symlink_to(SHIM)
        case.check("a symbolic link to the library", case.program, shim=link)
        copy = Path(directory) / "libcopy.so"
        shutil.copy(SHIM, copy)
        case.check("a copy of the library", case.program, shim=copy)


def agents_of_others(case, tap):
    jar = make_agent()
    said = case.check("an agent that transforms and retransforms the same classes",
                      [case.java, f"-javaagent:{jar}", *case.program[1:]])
    tap.claim("transformed AbstractReferenceCountedByteBuf, and again" in said[1],
              "an agent that transforms and retransforms the same classes: it did", said)
    both = [case.java, f"-agentpath:{SHIM}", f"-agentpath:{SHIM}", *case.program[1:]]
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        got = run(both, environment(directory))
        tap.claim(got[0] == 0 and got[2] == "", "the library as the user's own agent as well, twice: "
                  "the program runs", got)
        names_the_leak(tap, "the library as the user's own agent as well, twice", directory)


def native_profiler(case, tap):
    """It puts functions of its own where malloc and free are called, and passes the calls on past us."""
    library = profiler.library(CACHE)
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        profiled = [case.java, f"-agentpath:{library}=start,nativemem=0,collapsed,file={directory}/stacks.txt",
                    *case.program[1:]]
        got = run(profiled, environment(directory))
        tap.equal(got[0], 0, "a profiler of native memory beside it: the program runs")
        names_the_leak(tap, "a profiler of native memory beside it", directory)
        found = [h for one in reports(directory) for h in one["hooks"]
                 if h["class"] == "heap" and h["method"] == "none"]
        tap.claim(len(found) == 1 and library.name in found[0]["function"] and
                  "in the place of malloc's" in found[0]["why"],
                  "and the report says that it has put itself in the place of malloc's", found)
        code, _, said = run([CLI, "check", "--", *profiled], environment(directory, None))
        tap.claim(code == 23 and "unknown: java" in said and "in the place of malloc's" in said and
                  "lost · heap" not in said, "and check calls the heap unknown, and nothing in it lost", said)


def make_agent():
    """byte-buddy puts code of its own before and after Netty's retain and release."""
    libs = maven.libraries(HERE / "meddler" / "pom.xml", CACHE)
    classes = maven.compiled(HERE / "meddler", libs, CACHE, 8)
    jar = CACHE / f"{classes.name}-{libs.name}.jar"
    if not jar.exists():
        # paths as in a URL, without its scheme, which the virtual machine takes for a directory
        path = " ".join(urllib.parse.quote(str(p)) for p in sorted(libs.glob("*.jar")))
        text = "Boot-Class-Path: " + path
        lines = [text[:70]] + [" " + text[i:i + 69] for i in range(70, len(text), 69)]
        manifest = CACHE / f"{classes.name}.manifest"
        manifest.write_text("Premain-Class: meddler.Meddler\nCan-Retransform-Classes: true\n"
                            "Can-Redefine-Classes: true\n" + "\n".join(lines) + "\n")
        part = Path(f"{jar}.part")
        subprocess.run(["jar", "cfm", part, manifest, "-C", classes, "."], check=True, timeout=60,
                       stdin=subprocess.DEVNULL)
        part.rename(jar)
    return jar


TOOLS = {
    "javac": ["javac", "-version"],
    "javac, with an error": ["javac", "/nowhere/Nothing.java"],
    "jps": ["jps", "-q", "nowhere:1"],
    "jcmd": ["jcmd", "PID", "help"],
    "jar": ["jar", "--version"],
    "mvn": ["mvn", "-v"],
    "mvn, with an error": ["mvn", "-q", "-B", "-o", "-f", "/nowhere/pom.xml", "compile"],
}


def tools(tap):
    """PID is a virtual machine of ours: there may be others, which come and go."""
    waiting = subprocess.Popen(["java", "-Xmx32m", "-cp", maven.compiled(HERE / "direct", CACHE, CACHE, 8),
                                "Direct"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        waiting.stdout.readline()
        use(tap, str(waiting.pid))
    finally:
        waiting.kill()
        waiting.wait()


def use(tap, pid):
    for what, words in TOOLS.items():
        command = [pid if word == "PID" else word for word in words]
        with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
            plain = run(command, environment(directory, None))
            shimmed = run(command, environment(directory))
            tap.claim(plain == shimmed, f"{what}: status, output and errors are as without",
                      f"{plain}\n{shimmed}")
            tap.claim(list(Path(directory).glob("*.ledger")) and not reports(directory),
                      f"{what}: it was followed, and has no netty-bytebuf")


def main():
    tap = Tap()
    try:
        libs = maven.libraries(HERE / "proxy" / "pom.xml", CACHE)
        case = Case(tap, maven.class_path(maven.compiled(SOURCES, libs, CACHE, 8), libs))
        ways_of_starting(case, tap)
        embedders(case)
        paths_of_the_library(case)
        agents_of_others(case, tap)
        native_profiler(case, tap)
        tools(tap)
    except maven.Unavailable as why:
        tap.claim(False, "the libraries are there", why)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
