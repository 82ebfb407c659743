#!/usr/bin/python3
"""coturn: relay threads over libevent. It leaves SIGUSR1 alone, which without the shim would kill
it, and SIGTERM does kill it: it never calls exit()."""
import os
import re
import signal
import subprocess
import sys

from harness import compare, runner
from harness.box import free_port, program, wait_for

CLIENTS, MESSAGES_EACH = 20, 500
MESSAGES = CLIENTS * MESSAGES_EACH


class Relay:
    """turnutils_uclient: its messages go through the relay and come back, and it counts them."""

    def __init__(self, run, port):
        self.run = run
        self.log = run.box.path("client.out")
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                [program("turnutils_uclient"), "-p", str(port), "-u", "u", "-w", "p", "-e",
                 "127.0.0.1", "-y", "-c", "-m", str(CLIENTS), "-n", str(MESSAGES_EACH), "-z", "2",
                 "127.0.0.1"], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        run.box.helpers.add(self.process.pid)

    def received(self):
        found = re.findall(r"tot_recv_msgs=(\d+)", self.log.read_text(errors="replace"))
        return int(found[-1]) if found else 0

    def lost(self):
        text = self.log.read_text(errors="replace")
        found = re.search(r"Total lost packets (\d+) .* total send dropped (\d+)", text)
        return (int(found[1]), int(found[2])) if found else None

    def wait(self):
        try:
            self.process.wait(40)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


def scenario(run):
    box = run.box
    port = free_port()
    server = box.spawn([program("turnserver"), "-L", "127.0.0.1", "-p", str(port), "--no-tls",
                        "--no-dtls", "--lt-cred-mech", "-u", "u:p", "-r", "realm", "--no-cli",
                        "--allow-loopback-peers", "--relay-threads", "2", "--no-stdout-log",
                        "--log-file", str(box.path("log")), "--simple-log",
                        "--pidfile", str(box.path("pid")), "--userdb", str(box.path("db"))])
    box.wait_listening(port)
    box.wait_started(server)
    run.expect(server)
    run.note_descriptors("server at start", server)

    relay = Relay(run, port)
    wait_for(lambda: relay.received() > MESSAGES // 10, "messages to flow", 20)
    if run.tracked:
        entry = run.ledgers.signal_and_wait(server)
        run.snapshot_is_good(entry, server, "signal",
                             "SIGUSR1, which would kill it, makes a snapshot while serving")
        entry = run.ledgers.dump_and_wait(server)
        run.snapshot_is_good(entry, server, "dump", "bufleak dump makes a snapshot")
    run.claim(relay.received() < MESSAGES, "messages flowed all the while")
    run.counted("relaying client's exit status", relay.wait(), 0)
    run.counted("messages relayed there and back", relay.received(), MESSAGES)
    run.counted("messages lost and dropped", relay.lost(), (0, 0))
    run.note_descriptors("server after serving", server, "server at start")
    run.equal(box.wait_no_zombies(), [], "no zombie")
    os.kill(server, signal.SIGTERM)
    run.outcome.exits["server, killed by SIGTERM"] = box.wait_exit(server)
    run.outcome.logs["log"] = compare.normalise(
        line for path in sorted(box.dir.glob("log*"))
        for line in path.read_text(errors="replace").splitlines())
    run.outcome.logs["output"] = run.read_output()


if __name__ == "__main__":
    sys.exit(runner.main("coturn", scenario))
