"""One run of a gateway: a directory of its own, free ports, and every process that came out of it.

The test process makes itself the subreaper of its descendants. A gateway that daemonises therefore
stays in our tree: it is found by walking the tree, its exit status is ours to read, and nothing can
outlive the test. Processes are only ever killed by the numbers found in that tree.
"""
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
POLL_SECONDS = 0.01

# Below the range from which the kernel takes the ports of outgoing connections.
FIRST_PORT, LAST_PORT = 20000, 32000


class Late(Exception):
    """Something that was awaited did not happen in time."""


def become_subreaper():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def wait_for(condition, what, seconds=10.0):
    """The first true value of condition(); raises Late when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Late(f"waited {seconds:g} s in vain for: {what}")
        time.sleep(POLL_SECONDS)


def free_port(kind=socket.SOCK_STREAM):
    while True:
        port = random.randrange(FIRST_PORT, LAST_PORT)
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def program(name):
    """The full path of a server, also where an ordinary user's PATH lacks /usr/sbin."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise FileNotFoundError(f"{name} is not installed (scripts/setup test installs it)")
    return path


# states of the kernel's table
LISTENING = 0x0A
OPEN = (0x01, 0x03, 0x08)  # established, being made, closed by the other side only


def local_ports():
    """(port, state) of every TCP socket over IPv4."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        yield int(words[1].split(":")[1], 16), int(words[3], 16)


class Process:
    """One line of the process table, read once."""

    def __init__(self, pid):
        self.pid = pid
        text = Path(f"/proc/{pid}/stat").read_text()
        self.comm = text[text.index("(") + 1:text.rindex(")")]
        fields = text[text.rindex(")") + 2:].split()
        self.state = fields[0]
        self.parent = int(fields[1])
        self.start_ticks = int(fields[19])


def process_table():
    table = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                table[int(entry)] = Process(int(entry))
            except (FileNotFoundError, ProcessLookupError):
                pass
    return table


class Box:
    def __init__(self, name, shim=None):
        self.shim = shim
        self.dir = Path(tempfile.mkdtemp(prefix=f"bufleak-{name}-"))
        self.dir.chmod(0o755)
        self.ledger_dir = self.dir / "ledgers"
        self.started = {}   # pid -> command, what spawn() started
        self.helpers = set()  # pids that are not part of the gateway
        self.exits = {}     # pid -> wait status
        self.seen = {}      # pid -> comm of every gateway process that was ever noticed

    @property
    def tracked(self):
        return self.shim is not None

    def path(self, name):
        return self.dir / name

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def make_dir(self, name, user=None):
        path = self.path(name)
        path.mkdir()
        path.chmod(0o755)
        if user and os.geteuid() == 0:
            shutil.chown(path, user)
        return path

    def environment(self, options=""):
        env = {key: value for key, value in os.environ.items()
               if key != "LD_PRELOAD" and not key.startswith("BUFLEAK_")}
        env["LC_ALL"] = "C"
        if self.tracked:
            env["LD_PRELOAD"] = str(self.shim)
            env["BUFLEAK_DIR"] = str(self.ledger_dir)
            if options:
                env["BUFLEAK_OPTIONS"] = options
        return env

    def spawn(self, command, options="", output="out", variables=None, **more):
        """Starts the gateway (or a process of its own) with the output in files; returns its pid."""
        env = {**self.environment(options), **(variables or {})}
        with open(self.path(output + ".stdout"), "wb") as out, \
                open(self.path(output + ".stderr"), "wb") as err:
            child = subprocess.Popen(command, env=env,
                                     stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                     cwd=self.dir, start_new_session=True, **more)
        child.returncode = 0  # reaped here, never by subprocess
        self.started[child.pid] = command
        self.seen[child.pid] = Path(command[0]).name
        return child.pid

    def processes(self):
        """The gateway's processes that live now, by number."""
        table = process_table()
        inside = {os.getpid()}
        found = {}
        grew = True
        while grew:
            grew = False
            for pid, process in table.items():
                if pid not in inside and process.parent in inside and pid not in self.helpers:
                    inside.add(pid)
                    grew = True
                    found[pid] = process
        self._reap(found)
        alive = {pid: process for pid, process in found.items() if pid not in self.exits}
        for pid, process in alive.items():
            self.seen.setdefault(pid, process.comm)
        return alive

    def _reap(self, found):
        for pid, process in found.items():
            if process.state == "Z" and process.parent == os.getpid():
                reaped, status = os.waitpid(pid, os.WNOHANG)
                if reaped:
                    self.exits[pid] = status

    def children(self, pid):
        return sorted(child for child, process in self.processes().items()
                      if process.parent == pid and process.state != "Z")

    def wait_children(self, pid, count, seconds=10.0):
        return wait_for(lambda: (lambda found: found if len(found) == count else None)
                        (self.children(pid)), f"{count} children of {pid}", seconds)

    def wait_started(self, pid, seconds=10.0, quiet_polls=20):
        """Awaits that a server which does not say when it is ready starts no more threads and
        opens nothing more."""
        seen = []

        def quiet():
            seen.append((len(os.listdir(f"/proc/{pid}/task")), len(os.listdir(f"/proc/{pid}/fd"))))
            return len(seen) >= quiet_polls and len(set(seen[-quiet_polls:])) == 1
        wait_for(quiet, f"{pid} to be ready", seconds)

    def wait_exit(self, pid, seconds=15.0):
        """The exit status of a process as a shell gives it: 0..255, or 128 + signal."""
        def ended():
            self.processes()
            return pid in self.exits
        wait_for(ended, f"the end of {pid} ({self.seen.get(pid)})", seconds)
        code = os.waitstatus_to_exitcode(self.exits[pid])
        return code if code >= 0 else 128 - code

    def wait_pid_file(self, name, other_than=None):
        def read():
            try:
                pid = int(self.path(name).read_text())
            except (FileNotFoundError, ValueError):
                return None
            return pid if pid != other_than and os.path.exists(f"/proc/{pid}") else None
        return wait_for(read, f"the pid in {name}")

    def wait_listening(self, *ports, seconds=10.0):
        """Read from the kernel's table: a probing connection would show in logs and descriptors."""
        def listening():
            return {port for port, state in local_ports() if state == LISTENING}.issuperset(ports)
        wait_for(listening, f"ports {ports} to listen", seconds)

    def wait_closed(self, *ports, seconds=10.0):
        """Until the gateway, too, has closed all connections that were made to the ports: what it
        kept for one that is open when it stops is rightly not given back."""
        def closed():
            return not any(port in ports and state in OPEN for port, state in local_ports())
        wait_for(closed, f"connections to ports {ports} to be closed", seconds)

    def zombies(self):
        """Dead processes that a process of the gateway does not collect."""
        return sorted(pid for pid, process in self.processes().items() if process.state == "Z")

    def wait_no_zombies(self, seconds=3.0):
        try:
            wait_for(lambda: not self.zombies(), "zombies to be collected", seconds)
        except Late:
            pass
        return self.zombies()

    def wait_gone(self, seconds=10.0):
        """What still runs after the time in which all should have ended."""
        try:
            wait_for(lambda: not self.processes(), "the gateway's processes to end", seconds)
        except Late:
            pass
        return {pid: process.comm for pid, process in self.processes().items()}

    def close(self):
        for _ in range(100):
            left = self.processes()
            if not left:
                break
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(POLL_SECONDS)
        if not os.environ.get("BUFLEAK_TEST_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)


def certificate(box):
    """A key and a certificate for localhost: (combined file, key file, certificate file)."""
    key, cert = box.path("tls.key"), box.path("tls.crt")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    key.chmod(0o644)
    combined = box.write("tls.pem", key.read_text() + cert.read_text())
    return combined, key, cert
