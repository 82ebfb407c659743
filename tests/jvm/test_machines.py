#!/usr/bin/python3
"""One library, every Java virtual machine that can be had: the proxy's mistakes are named in each,
and a program that has nothing to do with Netty is what it is without the library. A machine that
cannot be followed is left alone: its heap is tracked, and the report says why there is no more."""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import machines
from test_matrix import MODES, NETTY, check
from test_proxy import BUILD, CACHE, SHIM, Tap, accusations, maven, report

HERE = Path(__file__).resolve().parent
SHAPES = HERE / "agent"
NATIVE = BUILD / "tests" / "jvm"


def hello(java, options, classes, shim, directory):
    """What a program says and how it ends."""
    env = dict(os.environ)
    if shim:
        env.update(LD_PRELOAD=str(shim), BUFLEAK_DIR=str(directory), BUFLEAK_OPTIONS="quiet=1")
    done = subprocess.run([java, *options, "-cp", str(classes), "agent.Hello", "7"], env=env, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def says_the_same(tap, what, java, options, classes):
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        plain = hello(java, options, classes, None, directory)
        shimmed = hello(java, options, classes, SHIM, directory)
        tap.claim(plain == shimmed and plain[0] == 7, f"{what}: a small program is as without",
                  f"{plain}, {shimmed}")
        tap.equal(len(list(Path(directory).glob("*.ledger"))), 1, f"{what}: and has a ledger")


def reason(found):
    """Why there is no class netty-bytebuf."""
    return next((h["why"] for h in found["hooks"] if h["class"] == "netty-bytebuf" and h["why"]), None)


def run_fake(tap, mode, wanted):
    """A machine of ours that is no HotSpot, or a HotSpot that lacks something."""
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        env = {**os.environ, "LD_PRELOAD": str(SHIM), "BUFLEAK_DIR": directory,
               "BUFLEAK_OPTIONS": "quiet=1"}
        library = Path(directory) / "libjvm.so"
        shutil.copy(NATIVE / f"libfake-{mode}.so", library)
        launcher = subprocess.Popen([NATIVE / "fake_launcher", library], env=env,
                                    stdout=subprocess.PIPE, text=True)
        said, _ = launcher.communicate(timeout=60)
        tap.equal((launcher.returncode, said), (0, "made with 2 options of mine\n"),
                  f"{mode}: the machine runs, and sees the options of its caller")
        found = report(directory, launcher.pid)
    tap.equal(reason(found), wanted, f"{mode}: the report says why there is no netty-bytebuf")
    heap = next(c for c in found["classes"] if c["name"] == "heap")
    tap.claim(heap["live_count"] >= 3 and heap["live_bytes"] >= 3000,
              f"{mode}: the heap is tracked all the same", heap)


def run_other_shape(tap):
    """A class with Netty's name and other methods: the program's business."""
    classes = maven.compiled(SHAPES, CACHE, CACHE, 8)
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        env = {**os.environ, "LD_PRELOAD": str(SHIM), "BUFLEAK_DIR": directory,
               "BUFLEAK_OPTIONS": "quiet=1"}
        program = subprocess.Popen(["java", "-cp", str(classes), "agent.OtherShape"], env=env,
                                   stdout=subprocess.PIPE, text=True)
        said, _ = program.communicate(timeout=60)
        tap.equal((program.returncode, said), (0, "count 1\n"), "another shape: it runs as it is")
        found = report(directory, program.pid)
    tap.equal(reason(found), "the class has other methods than those of Netty 4",
              "another shape: the report says why there is no netty-bytebuf")


def jar_of(classes):
    """Archives of classes are made of jars, not of directories."""
    jar = CACHE / f"{classes.name}.jar"
    if not jar.exists():
        part = Path(f"{jar}.{os.getpid()}.part")
        subprocess.run(["jar", "cf", part, "-C", classes, "."], check=True, timeout=60,
                       stdin=subprocess.DEVNULL)
        part.rename(jar)
    return jar


def run_with(directory, shim, *command):
    """How it ended, and its process."""
    env = {**os.environ, "BUFLEAK_DIR": directory, "BUFLEAK_OPTIONS": "quiet=1"}
    env.update({"LD_PRELOAD": str(SHIM)} if shim else {})
    program = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    said, _ = program.communicate(timeout=120)
    return (program.returncode, said), program.pid


def write_archive(tap, java, class_path, main_class, option):
    """The machine refuses to write an archive with an agent in it; so there is none. Returns the
    archive's path, or None where the machine cannot write any."""
    what = option.partition("=")[0]
    ends = []
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        for shim in (False, True):
            archive = Path(directory) / f"archive-{shim}"
            (status, said), pid = run_with(directory, shim, java, f"{option}{archive}", "-cp", class_path,
                                           *main_class)
            if not shim and not archive.exists():
                tap.skip(what, f"this virtual machine writes none: {status}, {said[-300:]}")
                return None
            ends.append((status, archive.exists(), "agent" in said, "bufleak" in said))
        tap.equal(ends[1], ends[0], f"{what}: it ends as without, with its archive")
        why = reason(report(directory, pid))
        tap.claim(why and why.startswith("it writes an archive of classes"),
                  f"{what}: the report says why there is no netty-bytebuf", why)
        kept = CACHE / f"archive-{os.getpid()}"
        shutil.copy(archive, kept)
    return kept


def archives(tap, classes, newest):
    jar = jar_of(classes)
    kept = write_archive(tap, "java", str(jar), ("agent.Hello", "7"), "-XX:ArchiveClassesAtExit=")
    if kept:
        kept.unlink()
    if newest[0] < 25:
        tap.skip("AOT caches", "there is no JDK 25")
        return
    libs = maven.libraries(HERE / "proxy" / "pom.xml", CACHE)
    leaky = jar_of(maven.compiled(HERE / "leaky", libs, CACHE, 8))
    class_path = os.pathsep.join(map(str, [leaky, *sorted(libs.glob("*.jar"))]))
    kept = write_archive(tap, newest[1], class_path, ("leaky.Leaky",), "-XX:AOTCacheOutput=")
    if not kept:
        return
    try:
        for mode in ([], ["-XX:AOTMode=on"]):
            what = " ".join(["a program with an AOT cache", *mode])
            with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
                (status, said), pid = run_with(directory, True, newest[1], *mode, f"-XX:AOTCache={kept}",
                                               "-cp", class_path, "leaky.Leaky")
                found = report(directory, pid)
            tap.claim(status == 0 and "bufleak" not in said and "[warning]" not in said,
                      f"{what}: it runs", (status, said))
            if mode:
                why = reason(found)
                tap.claim(why and "AOT cache" in why,
                          f"{what}: the report says why there is no netty-bytebuf", why)
            else:
                tap.equal([(g["verdict"], g["count"]) for g in accusations(found)
                           if g["class"] == "netty-bytebuf"], [("missing-release", 7)],
                          f"{what}: its classes come from their jars, and the leak is named")
    finally:
        kept.unlink()


def main():
    tap = Tap()
    try:
        classes = maven.compiled(SHAPES, CACHE, CACHE, 8)
        for version, java, why in machines.every(CACHE):
            if not java:
                tap.skip(f"JDK {version}", why)
                continue
            says_the_same(tap, f"JDK {version}", java, (), classes)
            check(tap, version, java, "G1, wide pointers", NETTY[1])
        java, why = machines.zero(CACHE)
        if java:
            MODES["Zero"] = ["-zero"]
            says_the_same(tap, "Zero", java, ("-zero",), classes)
            check(tap, 17, java, "Zero", NETTY[1], is_slow=True)
        else:
            tap.skip("Zero", why)
        run_fake(tap, "alien", "this Java virtual machine is not HotSpot")
        run_fake(tap, "ancient", "this Java virtual machine is older than 8u60")
        run_fake(tap, "without-jvmti",
                 "the virtual machine lacks what its agents need (JVMTI)")
        run_other_shape(tap)
        archives(tap, classes, max(machines.available(CACHE).items()))
    except maven.Unavailable as why:
        tap.claim(False, "the libraries are there", why)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
