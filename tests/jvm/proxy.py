"""The proxy of ours on plain Netty, the backend and the clients for it: three programs in two
virtual machines, of which the proxy's is the one under test."""
import os
import re
import signal
import subprocess
from pathlib import Path

import maven

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "proxy"
LIMIT_SECONDS = 120
COUNTS = re.compile(r"(\w+)=(\d+)")
ANSWER = re.compile(r"port \d+$|ready$|\w+=\d+( |$)")


def counts_of(line):
    return {name: int(value) for name, value in COUNTS.findall(line)}


def line_of(file_name, mark):
    """The number of the line of a filter that carries the comment."""
    lines = (SOURCES / "gw" / "filters" / file_name).read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.endswith("// " + mark))


class Program:
    """A Java program that answers lines on stdin with lines on stdout. What its virtual machine
    says there is kept in `said`."""

    def __init__(self, command, env=None, errors=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=errors, text=True, env=env)
        self.port = 0
        self.said = []

    @property
    def pid(self):
        return self.process.pid

    def line(self):
        for text in self.process.stdout:
            if ANSWER.match(text):
                return text.strip()
            self.said.append(text.strip())
        raise AssertionError(f"process {self.pid} said nothing more: {self.process.poll()}, {self.said}")

    def wait_port(self):
        self.port = int(self.line().split()[1])

    def ask(self, text=""):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return self.line()

    def stop(self):
        self.process.stdin.close()
        self.said += map(str.strip, self.process.stdout)
        return self.process.wait(LIMIT_SECONDS)

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


class Pair:
    """Load and proxy, both up. The proxy's machine is `java` with `options`; shim: the library to
    preload, or None."""

    def __init__(self, cache, shim, directory, java="java", options=(), settings="", pom=None,
                 errors=None, **properties):
        libs = maven.libraries(pom or SOURCES / "pom.xml", cache, **properties)
        self.class_path = maven.class_path(maven.compiled(SOURCES, libs, cache, 8), libs)
        self.load = self.proxy = None
        try:
            self.load = Program(["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp",
                                 self.class_path, "gw.Load"])
            self.load.wait_port()
            env = dict(os.environ)
            if shim:
                env.update(LD_PRELOAD=str(shim), BUFLEAK_DIR=str(directory),
                           BUFLEAK_OPTIONS=f"quiet=1{settings}")
            self.proxy = Program([java, "-Xmx256m", *options, "-cp", self.class_path, "gw.Proxy",
                                  str(self.load.port)], env, errors)
            self.proxy.wait_port()
        except BaseException:
            self.close()
            raise

    def send(self, requests, connections=16, size=1024):
        """Returns how they were answered."""
        return counts_of(self.load.ask(f"{self.proxy.port} {requests} {connections} {size}"))

    def counted(self):
        return counts_of(self.proxy.ask())

    def close(self):
        for program in (self.proxy, self.load):
            if program:
                program.kill()
