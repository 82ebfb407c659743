"""Libraries from Maven, by its own client: each test directory has a pom.xml that pins them. What was
fetched once is in Maven's local repository and is taken from there without a network."""
import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
LIMIT_SECONDS = 600
# Maven and javac are through before code that is optimized for long runs pays: half the processor time.
SHORT_RUN = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]


class Unavailable(Exception):
    """Maven could not give what the pom asks for; the text says what to do."""


def _run(pom, target, properties, offline):
    # Preloaded libraries and options for the virtual machine are for the tests, not for Maven.
    env = {key: value for key, value in os.environ.items()
           if key not in ("LD_PRELOAD", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS")}
    env.setdefault("MAVEN_OPTS", " ".join(SHORT_RUN))
    return subprocess.run(
        ["mvn", "-q", "-B", *(["-o"] if offline else []), "-f", str(pom), PLUGIN,
         f"-DoutputDirectory={target}", "-DincludeScope=runtime",
         *(f"-D{name}={value}" for name, value in properties.items())],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=env, timeout=LIMIT_SECONDS)


def libraries(pom, cache, **properties):
    """The directory with the jars of that pom, made in `cache` when they are not there yet."""
    if shutil.which("mvn") is None:
        raise Unavailable("mvn is not installed: scripts/setup test")
    wanted = pom.read_text() + repr(sorted(properties.items()))
    target = Path(cache) / ("jars-" + hashlib.sha256(wanted.encode()).hexdigest()[:16])
    Path(cache).mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{target}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return target
        part = Path(f"{target}.part")
        for offline in (True, False):
            shutil.rmtree(part, ignore_errors=True)
            done = _run(pom, part, properties, offline)
            if done.returncode == 0 and any(part.glob("*.jar")):
                part.rename(target)
                return target
        raise Unavailable(f"Maven cannot fetch the libraries of {pom}; is its registry reachable? It "
                          f"said:\n{done.stdout[-2000:]}")


def compiled(sources, libs, cache, release=None):
    """The directory with the classes of all .java files below `sources`."""
    files = sorted(Path(sources).rglob("*.java"))
    text = "".join(f.read_text() for f in files) + str(libs) + str(release)
    target = Path(cache) / ("classes-" + hashlib.sha256(text.encode()).hexdigest()[:16])
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{target}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            part = Path(f"{target}.part")
            shutil.rmtree(part, ignore_errors=True)
            done = subprocess.run(["javac", *(f"-J{option}" for option in SHORT_RUN),
                                   "-nowarn", "-parameters", "-g",
                                   *(["--release", str(release)] if release else []),
                                   "-cp", f"{libs}/*", "-d", str(part), *map(str, files)],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=LIMIT_SECONDS)
            if done.returncode != 0:
                raise AssertionError(f"javac {sources}:\n{done.stdout}")
            part.rename(target)
    return target


def class_path(classes, libs):
    return f"{classes}{os.pathsep}{libs}/*"
