"""HTTP/1.1 over kept-alive connections, in threads; every status and every body is checked.

A server that shuts down gracefully may close an idle connection at any time. A request that met
such a close before the first byte of its answer is sent again on a new connection (and counted);
anything else that is not exactly the right answer is a failure.
"""
import contextlib
import re
import socket
import ssl
import subprocess
import threading
import time
import zlib

from . import backend
from .box import wait_for

TIMEOUT_SECONDS = 20
SLOW_SECONDS = 0.002


class Closed(Exception):
    """The server closed the connection before it began to answer."""


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body
        self.seconds = 0.0  # from the request's first byte to the answer's last


class Connection:
    def __init__(self, port, tls=False):
        self.port = port
        self.tls = tls
        self.sock = None
        self.stream = None

    def open(self):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.set_alpn_protocols(["http/1.1"])
            sock = context.wrap_socket(sock, server_hostname="localhost")
        self.sock = sock
        self.stream = sock.makefile("rb")

    def close(self):
        if self.sock is not None:
            self.stream.close()
            self.sock.close()
            self.sock = None

    def ask(self, request):
        if self.sock is None:
            self.open()
        began = time.monotonic()
        try:
            self.sock.sendall(request)
            status_line = self.stream.readline()
        except (ConnectionError, BrokenPipeError, ssl.SSLError) as error:
            raise Closed(str(error)) from error
        if not status_line:
            raise Closed("end of stream")
        status = int(status_line.split()[1])
        headers = {}
        while True:
            line = self.stream.readline()
            if line in (b"\r\n", b""):
                break
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = self._body(headers)
        if headers.get("connection", "").lower() == "close":
            self.close()
        answer = Answer(status, headers, body)
        answer.seconds = time.monotonic() - began
        return answer

    def _body(self, headers):
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self.stream.read(int(headers["content-length"]))
        parts = []
        while True:
            length = int(self.stream.readline().split(b";")[0], 16)
            parts.append(self.stream.read(length))
            self.stream.readline()
            if length == 0:
                return b"".join(parts)


def get(path, more=""):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode()


def post(path, body, more=""):
    head = (f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{more}"
            f"Content-Length: {len(body)}\r\n\r\n").encode()
    return head + body


def echo_requests(count, prefix="", first=0, large_file=None, more="", headers=None):
    """Requests with their right answers; every hundredth is the large file where one is given."""
    for number in range(first, first + count):
        if large_file is not None and number % 100 == 99:
            yield get(f"{prefix}/file", more), large_file, headers
        else:
            yield get(f"{prefix}/echo/{number}", more), backend.echo_body(str(number)), headers


def body_of(number):
    return (f"body {number} " * (1 + number % 40 * 5)).encode()


def number_of(answer):
    """Which request an answer of the backend's /echo belongs to."""
    return int(answer.body.split(b"|")[0])


def body_requests(count, forbidden, first=0):
    """Requests with bodies for the body cache filter, and the checksum it must answer with: none
    where the client forbids caching, which is the path on which the filter forgets a reference."""
    more = "Cache-Control: no-store\r\n" if forbidden else ""
    for number in range(first, first + count):
        body = body_of(number)
        checksum = "" if forbidden else f"{zlib.crc32(body):08x}"
        yield (post(f"/echo/{number}", body, more), backend.echo_body(str(number)),
               {"x-body-crc32": checksum})


class Load:
    """Sends requests on several connections at once. `requests` yields (bytes, right body, right
    headers or None); `on_answer` sees every right answer. With `per_second` they are sent evenly,
    at most so many a second."""

    def __init__(self, port, requests, threads=4, tls=False, on_answer=None, per_second=None):
        self.per_second = per_second
        self.taken = 0
        self.began = 0.0
        self.requests = iter(requests)
        self.lock = threading.Lock()
        self.on_answer = on_answer
        self.right = 0
        self.repeated = 0
        self.failures = []
        self.stopping = False
        self.slow = False
        self.threads = [threading.Thread(target=self._run, args=(Connection(port, tls),),
                                         daemon=True) for _ in range(threads)]

    def start(self):
        self.began = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        """Lets each connection finish the request it is at, and no more."""
        self.stopping = True
        return self.wait()

    @contextlib.contextmanager
    def flowing(self):
        """Requests flow while the body of the with statement runs: it begins when some were
        answered, the rest are sent at leisure until it is done, and at its end all are waited for.
        """
        self.start()
        try:
            wait_for(lambda: self.right > 200 or self.failures, "requests to flow")
            self.slow = True
            yield self
        finally:
            self.slow = False
            self.wait()

    def wait(self):
        for thread in self.threads:
            thread.join(TIMEOUT_SECONDS * 3)
            if thread.is_alive():
                self.failures.append("a connection is stuck")
        return self

    def _next(self):
        with self.lock:
            item = None if self.stopping else next(self.requests, None)
            due = self.taken / self.per_second if self.per_second else 0.0
            self.taken += 1
        early = self.began + due - time.monotonic()
        if item is not None and self.per_second and early > 0:
            time.sleep(early)
        return item

    def _run(self, connection):
        try:
            while True:
                item = self._next()
                if item is None:
                    break
                self._one(connection, *item)
                if self.slow:
                    time.sleep(SLOW_SECONDS)
        except Exception as error:  # whatever it is, it is a request that was not answered
            with self.lock:
                self.failures.append(f"{type(error).__name__}: {error}")
        finally:
            connection.close()

    def _one(self, connection, request, body, headers):
        for attempt in range(20):
            try:
                answer = connection.ask(request)
                break
            except Closed:
                connection.close()
                with self.lock:
                    self.repeated += 1
        else:
            raise ConnectionError("closed 20 times before an answer")
        wrong = self._wrong(answer, body, headers or {})
        with self.lock:
            if wrong:
                self.failures.append(f"{request[:60]!r}: {wrong}")
                return
            self.right += 1
            if self.on_answer:
                self.on_answer(answer)

    @staticmethod
    def _wrong(answer, body, headers):
        if answer.status != 200:
            return f"status {answer.status}"
        if answer.body != body:
            return f"body of {len(answer.body)} bytes, {len(body)} expected: {answer.body[:60]!r}"
        for name, value in headers.items():
            if answer.headers.get(name, "") != value:
                return f"{name}: {answer.headers.get(name)!r}, {value!r} expected"
        return ""


def h2load(url, count, clients=8, streams=10):
    """HTTP/2 by h2load: (requests that succeeded with status 2xx, bytes of body received)."""
    done = subprocess.run(["h2load", "-n", str(count), "-c", str(clients), "-m", str(streams), url],
                          capture_output=True, text=True, timeout=60)
    succeeded = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", done.stdout)
    statuses = re.search(r"status codes: (\d+) 2xx", done.stdout)
    data = re.search(r"\((\d+)\) data", done.stdout)
    if done.returncode != 0 or not (succeeded and statuses and data):
        raise RuntimeError(f"h2load {url}: {done.stdout}{done.stderr}")
    return min(int(succeeded[1]), int(statuses[1])), int(data[1])
