#!/usr/bin/python3
"""Native libraries below Java: a block that they take has one stack, with the native frames and the Java
frames that called them; where Java is called back in between, the innermost native ones and all of Java."""
import os
import subprocess
import sys
import tempfile

import machines
from test_matrix import is_supported
from test_proxy import BUILD, CACHE, HERE, SHIM, Tap, maven, report

SOURCES = HERE / "jni"
LIBRARY = BUILD / "tests" / "jvm" / "libjni-native.so"
COUNT = 50
LARGE, SMALL = 100000, 1000
MODES = {"": [], ", -Xint": ["-Xint"], ", -Xcomp": ["-Xcomp"], ", -Xcheck:jni": ["-Xcheck:jni"]}


def line_of(name, mark):
    return next(n for n, line in enumerate((SOURCES / name).read_text().splitlines(), 1)
                if line.rstrip(" */").endswith(("// " + mark, "/* " + mark)))


NATIVE = [f"native.c:{line_of('native.c', 'taken here')}", f"native.c:{line_of('native.c', 'kept here')}"]
DIRECT = ["Native.keep", f"Native.java:{line_of('Native.java', 'directly')}",
          f"Native.java:{line_of('Native.java', 'main, directly')}"]
BACK = ["Native.keep", f"Native.java:{line_of('Native.java', 'called back')}", "Native.call",
        f"Native.java:{line_of('Native.java', 'called')}", f"Native.java:{line_of('Native.java', 'main, back')}"]


def run(java, options, size, settings=""):
    """{stack: number of blocks of this size} of those that the library took."""
    with tempfile.TemporaryDirectory(prefix="bufleak-jvm.") as directory:
        classes = maven.compiled(SOURCES, CACHE, CACHE, 8)
        env = {**os.environ, "LD_PRELOAD": str(SHIM), "BUFLEAK_DIR": directory,
               "BUFLEAK_OPTIONS": "quiet=1" + settings}
        program = subprocess.Popen([java, "-Xmx64m", *options, "-cp", str(classes), "Native", str(LIBRARY),
                                    str(COUNT), str(size)], env=env, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        said, _ = program.communicate("\n", timeout=120)
        assert (program.returncode, said) == (0, "ready\n"), (program.returncode, said)
        found = report(directory, program.pid, "--group", "stack", "--top", "0", "--class", "heap",
                       "--min-bytes", str(COUNT * size))
    stacks = {}
    for group in found["groups"]:
        frames = group["alloc"]["frames"]
        if frames and (frames[0]["file"] or "").endswith("native.c") and group["bytes"] == size * group["count"]:
            stack = tuple(f"{os.path.basename(f['file'])}:{f['line']}" if f["line"] else f["function"] or "?"
                          for f in frames)
            stacks[stack] = stacks.get(stack, 0) + group["count"]
    return stacks


def main():
    tap = Tap()
    both = {tuple(NATIVE + DIRECT): COUNT, tuple(NATIVE + BACK): COUNT}
    found = machines.installed()
    for version, java in found.items():
        for mode, options in MODES.items():
            if not is_supported(java, options) or (mode and version != min(found)):
                continue
            tap.equal(run(java, options, LARGE), both,
                      f"JDK {version}{mode}: native and Java frames in one stack, {COUNT} blocks each")
    version, java = max(found.items())
    small = run(java, [], SMALL)
    tap.claim(sum(small.values()) == 2 * COUNT and all(list(s[:2]) == NATIVE for s in small) and
              not any("Native.java" in frame for s in small for frame in s),
              f"JDK {version}: smaller blocks have the native frames alone", small)
    tap.equal(run(java, [], SMALL, ":java_blocks=1"), both,
              f"JDK {version}: and both where java_blocks= asks for it")
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
