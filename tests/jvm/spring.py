"""The gateway of the incident: Spring Cloud Gateway with a filter that joins the request's body,
retains it and never gives it back. Started by `java -jar`, with nothing but the preload."""
import os
import re
import subprocess
import threading
from pathlib import Path

import machines
import maven
from proxy import SOURCES as PROXY_SOURCES, Program, counts_of

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "spring-gateway"
FILTER = "CacheBodyFilter.java"
DIRECT_MEMORY = 64 << 20
START_SECONDS = 200 # at most: forty programs may wait for two processors
STARTED = re.compile(r"Netty started on port\D* (\d+)")
OUT_OF_MEMORY = "OutOfDirectMemoryError"
# What lets Netty count direct memory itself, as it does on the JDK 8 of the incident without.
COUNTING = ["--add-opens=java.base/java.nio=ALL-UNNAMED",
            "--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED",
            "-Dio.netty.tryReflectionSetAccessible=true"]


def line_of(mark):
    lines = (SOURCES / "src" / "gateway" / FILTER).read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.endswith("// " + mark))


def make_jar(cache, **versions):
    """The gateway as people deploy it: one jar to be started by java -jar."""
    libs = maven.libraries(SOURCES / "pom.xml", cache, **versions)
    classes = maven.compiled(SOURCES / "src", libs, cache, 8)
    jar = Path(cache) / f"{classes.name}-{libs.name}.jar"
    if not jar.exists():
        # A line of a manifest has 72 bytes at most; jar(1) breaks a long one, but not a class path.
        path = " ".join(f"{libs.name}/{p.name}" for p in sorted(libs.glob("*.jar")))
        text = "Class-Path: " + path
        lines = [text[:70]] + [" " + text[i:i + 69] for i in range(70, len(text), 69)]
        manifest = Path(cache) / f"{classes.name}.manifest"
        manifest.write_text("Main-Class: gateway.Gateway\n" + "\n".join(lines) + "\n")
        part = Path(f"{jar}.{os.getpid()}.part")
        subprocess.run(["jar", "cfm", str(part), str(manifest), "-C", str(classes), "."],
                       check=True, stdin=subprocess.DEVNULL, timeout=60)
        part.rename(jar)
    return jar


class Gateway:
    """The gateway, its backend and its clients, all up."""

    def __init__(self, cache, shim, directory, fixed, java="java", settings="", options=(),
                 command=(), start=None, **versions):
        """start: the words after the options that say what to run, if it is not our own jar."""
        netty = maven.libraries(PROXY_SOURCES / "pom.xml", cache)
        load_path = maven.class_path(maven.compiled(PROXY_SOURCES, netty, cache, 8), netty)
        start = start or ["-jar", str(make_jar(cache, **versions))]
        self.lines = []
        self.listening = threading.Event()
        self.load = self.process = None
        self.port = 0
        try:
            self.load = Program(["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", load_path,
                                 "gw.Load"])
            self.load.wait_port()
            env = dict(os.environ)
            if shim:
                env.update(LD_PRELOAD=str(shim), BUFLEAK_DIR=str(directory),
                           BUFLEAK_OPTIONS=f"quiet=1{settings}")
            self.process = subprocess.Popen(
                [*command, java, "-Xmx256m", f"-XX:MaxDirectMemorySize={DIRECT_MEMORY}",
                 f"-Dio.netty.maxDirectMemory={DIRECT_MEMORY}",
                 *(COUNTING if machines.version_of(java) > 8 else ()), *options, *start,
                 "--server.port=0", "--server.address=127.0.0.1", "--spring.main.banner-mode=off",
                 f"--backend=http://127.0.0.1:{self.load.port}",
                 f"--fixed={str(fixed).lower()}", "--stop-at-end-of-input=true"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, errors="replace", env=env)
            threading.Thread(target=self._read, daemon=True).start()
            if not self.listening.wait(START_SECONDS) or not self.port:
                raise AssertionError("the gateway did not start:\n" + "".join(self.lines[-40:]))
        except BaseException:
            self.close()
            raise

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            match = STARTED.search(line)
            if match:
                self.port = int(match[1])
                self.listening.set()
        self.listening.set()

    @property
    def pid(self):
        return self.process.pid

    def begin(self, requests, connections=16, size=4096):
        """Sends POST requests; returns a function that waits for how they were answered."""
        self.load.process.stdin.write(f"{self.port} {requests} {connections} {size}\n")
        self.load.process.stdin.flush()
        return lambda: counts_of(self.load.line())

    def send(self, *load):
        return self.begin(*load)()

    def is_out_of_memory(self):
        return any(OUT_OF_MEMORY in line for line in self.lines)

    def end(self):
        """As it ends by itself, with what it has to say."""
        self.process.stdin.close()
        return self.process.wait(60)

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the gateway does not end:\n{self.stacks()}") from None

    def stacks(self):
        """Where its threads are: by the virtual machine, and in the kernel when that does not answer."""
        told = subprocess.run(["jcmd", str(self.pid), "Thread.print"], capture_output=True, text=True,
                              timeout=60)
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return told.stdout + "".join(f"{t.name} {(t / 'comm').read_text().strip()} "
                                     f"{(t / 'wchan').read_text()} {(t / 'syscall').read_text()}"
                                     for t in sorted(tasks))

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.load:
            self.load.kill()
