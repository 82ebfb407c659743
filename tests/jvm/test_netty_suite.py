#!/usr/bin/python3
"""Netty's own tests of its buffers, as its project publishes them: each ends as it does without the
library. A part of them; with BL_TEST_LONG=1 all, which takes some ten minutes."""
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as tree
from pathlib import Path

from test_proxy import CACHE, HERE, SHIM, Tap, class_of, maven, report

POM = HERE / "netty-suite" / "pom.xml"
LONG = os.environ.get("BL_TEST_LONG") == "1"
VERSIONS = ("4.1.128.Final", "4.2.15.Final") if LONG else ("4.1.128.Final",)
# Those that count references, derive, compose and wrap; they take seconds.
PART = (r".*\.(AbstractReferenceCountedByteBufTest|ByteBufDerivationTest|ByteBufAllocatorTest|"
        r"ConsolidationTest|DefaultByteBufHolderTest|EmptyByteBufTest|UnpooledTest|"
        r"RetainedSlicedByteBufTest|RetainedDuplicatedByteBufTest|SlicedByteBufTest|"
        r"PooledLittleEndianHeapByteBufTest|SimpleLeakAwareCompositeByteBufTest|"
        r"UnpooledByteBufAllocatorTest|WrappedCompositeByteBufTest)")
LIMIT_SECONDS = 1500


def run(libs, version, shim, directory):
    """{test: how it ended}, and the process's number."""
    reports = Path(directory) / ("shim" if shim else "plain")
    env = dict(os.environ)
    if shim:
        env.update(LD_PRELOAD=str(shim), BUFLEAK_DIR=directory, BUFLEAK_OPTIONS="quiet=1")
    suite = subprocess.Popen(
        ["java", "-Xmx3g" if LONG else "-Xmx768m", "-cp", f"{libs}/*", "org.junit.platform.console.ConsoleLauncher",
         f"--scan-classpath={libs}/netty-buffer-{version}-tests.jar", "--details=none",
         "--disable-banner", f"--reports-dir={reports}", *([] if LONG else ["-n", PART])],
        env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        status = suite.wait(LIMIT_SECONDS)
    finally:
        suite.kill()
    ended = {"the suite": str(status)}
    for file in reports.glob("*.xml"):
        for case in tree.parse(file).getroot().iter("testcase"):
            # repeated ones have equal names, and are told apart by their order
            name = f"{case.get('classname')}.{case.get('name')}"
            while name in ended:
                name += "+"
            ended[name] = next((c.tag for c in case if c.tag in ("failure", "error", "skipped")), "passed")
    return ended, suite.pid


def main():
    tap = Tap()
    try:
        for version in VERSIONS:
            libs = maven.libraries(POM, CACHE, **{"netty.version": version})
            with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
                plain, _ = run(libs, version, None, directory)
                shimmed, pid = run(libs, version, SHIM, directory)
                other = {n: (plain.get(n), shimmed.get(n)) for n in {*plain, *shimmed}
                         if plain.get(n) != shimmed.get(n)}
                passed = sum(how == "passed" for how in plain.values())
                tap.claim(not other and passed > 1000, f"Netty {version}: its own tests of buffers "
                          "end as they do without the library", f"{passed} pass; {other}")
                tap.note(f"{len(plain) - 1:,} tests, {passed:,} pass without the library")
                table = class_of(report(directory, pid), "netty-bytebuf")
                tap.claim(table and table["allocs"] > 1000, f"Netty {version}: and they were followed",
                          table)
    except maven.Unavailable as why:
        tap.claim(False, "the libraries are there", why)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
