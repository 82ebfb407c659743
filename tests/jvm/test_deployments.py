#!/usr/bin/python3
"""The ways in which people put a gateway on a machine: Spring Boot's jar with jars inside, and modules
of Java's, also linked into a runtime of their own, and applications that a server replaces."""
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import bootjar
import machines
import spring
from test_agent import environment, reports, run
from test_current import RELEASE, SIZE as CURRENT_SIZE
from test_proxy import dump
from test_spring import (CACHE, CLI, CONNECTIONS, HERE, SHIM, Tap, accusations, maven, names_the_filter,
                         netty_counter, report, snapshot, summary)

APP = HERE / "deployments" / "app"
MODULE = "deployed/deployed.Deployed"
FORGOTTEN = 10
REPLACED = 5 # there is place for the counters of four
REQUESTS = 500
BOOT = "2.3.2.RELEASE"
QUICK = ["-XX:TieredStopAtLevel=1"] # it is up in half the time
JDK = Path(shutil.which("javac") or "/").resolve().parent.parent


def make_boot_jar(boot, **versions):
    libs = maven.libraries(spring.SOURCES / "pom.xml", CACHE, **versions)
    classes = maven.compiled(spring.SOURCES / "src", libs, CACHE, 8)
    return bootjar.make(CACHE, libs, classes, "gateway.Gateway", boot)


def check_boot_jar(tap, what, java, boot, size, **versions):
    """The incident in it: named from the first signal on, the counter as well."""
    start = ["-jar", str(make_boot_jar(boot, **versions))]
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        gateway = spring.Gateway(CACHE, SHIM, directory, fixed=False, java=java, start=start,
                                 options=QUICK, **versions)
        try:
            tap.equal(gateway.send(REQUESTS, CONNECTIONS, size).get("right"), REQUESTS, f"{what}: it serves")
            names_the_filter(tap, snapshot(directory, gateway.pid), REQUESTS - CONNECTIONS, REQUESTS,
                             f"{what}, SIGUSR1")
            gateway.stop()
            found = report(directory, gateway.pid)
            names_the_filter(tap, found, REQUESTS, REQUESTS, f"{what}, at the end")
            counter = netty_counter(found)
            tap.claim(counter and counter["counts"] and counter["limit_bytes"] == spring.DIRECT_MEMORY,
                      f"{what}: and Netty's own counter is read", counter)
        finally:
            gateway.close()


def check_fixed_boot_jar(tap, what, java, boot, size, **versions):
    start = ["-jar", str(make_boot_jar(boot, **versions))]
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        verdict = Path(directory) / "check"
        gateway = spring.Gateway(CACHE, None, directory, fixed=True, java=java, start=start, options=QUICK,
                                 command=(str(CLI), "check", "--output", str(verdict), "--"), **versions)
        try:
            tap.equal(gateway.send(REQUESTS, CONNECTIONS, size).get("right"), REQUESTS,
                      f"{what}, with the release added: it serves")
            tap.equal((gateway.end(), verdict.exists() and "missing-release" in verdict.read_text()),
                      (0, False), f"{what}, with the release added: bufleak check passes")
        finally:
            gateway.close()


# ---- modules ----

def build_module():
    """The module's directory, and that of the modules it requires: of Netty 4.2, which names itself."""
    libs = maven.libraries(spring.SOURCES / "pom.xml", CACHE, **RELEASE)
    needed = CACHE / f"modules-{libs.name}"
    if not needed.exists():
        part = Path(f"{needed}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        for jar in [*libs.glob("netty-buffer-*.jar"), *libs.glob("netty-common-*.jar")]:
            shutil.copy(jar, part)
        part.rename(needed)
    target = CACHE / "deployed"
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["javac", "-g", "-p", str(needed), "-d", str(target),
                    *map(str, sorted(APP.rglob("*.java")))], check=True, timeout=60)
    return target, needed


def culprit(found):
    """The innermost frame of the one that is accused, with what it is accused of."""
    accused = [g for g in accusations(found) if g["class"] == "netty-bytebuf"]
    return [(g["verdict"], g["count"], g["blame"]["frames"][0]) for g in accused]


def run_module(tap, what, command):
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        clean = run([*command, "clean"], environment(directory))
        found = reports(directory)
        tap.claim(clean[:2] == (0, "done\n") and len(found) == 1 and not culprit(found[0]),
                  f"{what}: a program without a mistake is accused of nothing", clean)
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        got = run(command, environment(directory))
        found = reports(directory)
        accused = culprit(found[0]) if found else []
        tap.claim(got[0] == 0 and [a[:2] for a in accused] == [("missing-release", FORGOTTEN)],
                  f"{what}: what was forgotten is told, to the buffer", f"{got}\n{list(map(summary, found))}")
        text = subprocess.run([str(CLI), "report", "--class", "netty-bytebuf", directory + "/" + next(
            p.name for p in Path(directory).glob("*.ledger"))], capture_output=True, text=True, timeout=60)
    return (accused[0][2] if accused else {}), text.stdout


def index_of_retain(classes):
    """Of the second retain in the method, the one that is forgotten."""
    code = subprocess.run(["javap", "-c", "-p", "-cp", str(classes), "deployed.Deployed"], check=True,
                          capture_output=True, text=True, timeout=60).stdout
    return int(re.findall(r"(\d+): invoke.*ByteBuf\.retain:", code)[1])


def check_modules(tap):
    classes, needed = build_module()
    path = f"{classes}:{needed}"
    lines = (APP / "deployed" / "Deployed.java").read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if text.endswith("// forgotten here"))
    frame, _ = run_module(tap, "on the module path", [JDK / "bin" / "java", "-p", path, "-m", MODULE])
    tap.equal((frame.get("file"), frame.get("line")), ("Deployed.java", line),
              "on the module path: and its line")
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        image = Path(directory) / "image"
        subprocess.run(["jlink", "-p", path, "--add-modules", "deployed", "--strip-debug", "--output",
                        str(image)], check=True, timeout=120)
        what = "in a runtime that jlink made, without lines"
        frame, text = run_module(tap, what, [image / "bin" / "java", "-m", MODULE])
    index = index_of_retain(classes)
    tap.equal((frame.get("function"), frame.get("line"), frame.get("offset")),
              ("deployed.Deployed.look", None, index), f"{what}: the call is told by its bytecode's index")
    tap.claim(re.search(rf"deployed\.Deployed\.look +bytecode {index}\n", text),
              f"{what}: and people are shown it", text)


# ---- applications that are replaced ----

def check_replaced(tap):
    """Each application's Netty is gone with its loader before the next comes; the last one stays."""
    classes, needed = build_module()
    path = ":".join([f"{classes}/", *map(str, sorted(needed.glob("*.jar")))])
    server = maven.compiled(HERE / "deployments" / "server", CACHE, CACHE, 8)
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        program = subprocess.Popen([JDK / "bin" / "java", "-Xmx128m", "-Dio.netty.leakDetection.level=disabled",
                                    "-cp", server, "webapps.Server", path], env=environment(directory), text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def tell(line):
            program.stdin.write(line + "\n")
            program.stdin.flush()
            return program.stdout.readline()

        def counters():
            dump(directory, program.pid) # its collection frees what only native code knows
            return [d["name"] for d in dump(directory, program.pid)["memory"].get("direct", [])]
        try:
            program.stdout.readline()
            had = []
            for _ in range(REPLACED):
                had.append("netty" in counters())
                tell("undeploy")
                had.append("netty" in counters())
                tell("deploy")
            program.stdin.close()
            status = program.wait(60)
        finally:
            program.kill()
        found = report(directory, program.pid)
    accused = culprit(found)
    tap.claim(status == 0 and [a[:2] for a in accused] == [("missing-release", (REPLACED + 1) * FORGOTTEN)],
              f"an application that was replaced {REPLACED} times: what all of them forgot is told", summary(found))
    tap.equal(had, [True, False] * REPLACED, "and each one's counter of direct memory was there while it was")
    counter = netty_counter(found)
    tap.claim(counter and counter["counts"] and counter["bytes"] > 0,
              "and the counter of the last one's Netty is read", found["memory"].get("direct"))


def main():
    tap = Tap()
    try:
        check_modules(tap)
        check_replaced(tap)
        found = machines.available(CACHE)
        current = {"java": found[max(found)], "boot": RELEASE["boot.version"], "size": CURRENT_SIZE, **RELEASE}
        check_boot_jar(tap, f"a jar of Spring Boot {BOOT}", found.get(8, "java"), BOOT, 4096)
        check_boot_jar(tap, f"a jar of Spring Boot {current['boot']}", **current)
        check_fixed_boot_jar(tap, f"a jar of Spring Boot {current['boot']}", **current)
    except maven.Unavailable as why:
        tap.claim(False, "the libraries are there", why)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
