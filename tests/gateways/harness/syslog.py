"""A syslog server on a UDP port of the loopback, for gateways that can log nowhere else."""
import re
import socket
import threading


class SyslogServer:
    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.lines = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            data = self.sock.recv(65536)
            if not data:
                return
            self.lines.append(re.sub(r"^<\d+>", "", data.decode(errors="replace")).strip())

    def stop(self):
        """What was received; an empty datagram to itself ends the thread after all of it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join(5)
        self.sock.close()
        return self.lines
