"""MQTT 3.1.1, as much of it as a publisher and a subscriber with QoS 1 need."""
import socket
import struct
import threading

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, DISCONNECT = 1, 2, 3, 4, 8, 9, 14
WINDOW = 20  # messages sent and not yet acknowledged; the broker's own limit per client
TIMEOUT_SECONDS = 20


def text(value):
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def packet(kind, flags, body):
    length, digits = len(body), b""
    while True:
        length, digit = divmod(length, 128)
        digits += bytes([digit | (128 if length else 0)])
        if not length:
            return bytes([kind << 4 | flags]) + digits + body


class Client:
    def __init__(self, port, name):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.sock.makefile("rb")
        self._send(CONNECT, 0, text("MQTT") + b"\x04\x02" + struct.pack(">H", 60) + text(name))
        kind, _, body = self._receive()
        if kind != CONNACK or body[1] != 0:
            raise ConnectionError(f"the broker refused the connection: {kind} {body!r}")

    def close(self):
        self._send(DISCONNECT, 0, b"")
        self.stream.close()
        self.sock.close()

    def _send(self, kind, flags, body):
        self.sock.sendall(packet(kind, flags, body))

    def _receive(self):
        first = self.stream.read(1)
        if not first:
            raise ConnectionError("the broker closed the connection")
        length = shift = 0
        while True:
            digit = self.stream.read(1)[0]
            length |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                break
        return first[0] >> 4, first[0] & 15, self.stream.read(length)

    def subscribe(self, topic):
        self._send(SUBSCRIBE, 2, b"\x00\x01" + text(topic) + b"\x01")
        kind, _, body = self._receive()
        if kind != SUBACK or body[2] != 1:
            raise ConnectionError(f"no subscription: {kind} {body!r}")

    def next_message(self):
        """The payload of the next message, acknowledged."""
        kind, flags, body = self._receive()
        if kind != PUBLISH or flags & 6 != 2:
            raise ConnectionError(f"a packet {kind} with flags {flags} instead of a message")
        topic_length = struct.unpack(">H", body[:2])[0]
        self._send(PUBACK, 0, body[2 + topic_length:4 + topic_length])
        return body[4 + topic_length:]

    def publish_all(self, topic, payloads):
        """Publishes in order, at most WINDOW unacknowledged; returns the number acknowledged."""
        waiting, acknowledged = [], 0
        for number, payload in enumerate(payloads):
            if len(waiting) == WINDOW:
                acknowledged += self._take_ack(waiting)
            identifier = struct.pack(">H", number % 65535 + 1)
            self._send(PUBLISH, 2, text(topic) + identifier + payload)
            waiting.append(identifier)
        while waiting:
            acknowledged += self._take_ack(waiting)
        return acknowledged

    def _take_ack(self, waiting):
        kind, _, body = self._receive()
        if kind != PUBACK or body != waiting.pop(0):
            raise ConnectionError(f"an answer out of order: {kind} {body!r}")
        return 1


class Delivery:
    """A publisher and a subscriber in threads; counts what arrived whole and in order. With `held`
    the last so many messages are sent after release_held()."""

    def __init__(self, port, first, count, held=0):
        self.payloads = [f"message {n} ".encode() * (1 + n % 30)
                         for n in range(first, first + count)]
        self.held = held
        self.released = threading.Event()
        self.delivered = 0
        self.acknowledged = 0
        self.failures = []
        self.subscriber = Client(port, f"subscriber{first}")
        self.subscriber.subscribe("bufleak")
        self.publisher = Client(port, f"publisher{first}")
        self.threads = [threading.Thread(target=self._guarded, args=(run,), daemon=True)
                        for run in (self._subscribe, self._publish)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def release_held(self):
        self.released.set()

    def wait(self):
        for thread in self.threads:
            thread.join(60)
            if thread.is_alive():
                self.failures.append("the delivery is stuck")
        if not self.failures:
            self.subscriber.close()
            self.publisher.close()
        return self

    def _guarded(self, run):
        try:
            run()
        except Exception as error:  # a broken connection is a message that did not arrive
            self.failures.append(f"{type(error).__name__}: {error}")

    def _subscribe(self):
        for payload in self.payloads:
            if self.subscriber.next_message() != payload:
                self.failures.append(f"message {self.delivered} is not the one that was sent")
                return
            self.delivered += 1

    def _publish(self):
        self.acknowledged = self.publisher.publish_all("bufleak", self._sendable())

    def _sendable(self):
        free = len(self.payloads) - self.held
        yield from self.payloads[:free]
        if self.held and not self.released.wait(TIMEOUT_SECONDS):
            raise TimeoutError("the messages held back were never released")
        yield from self.payloads[free:]

    @property
    def right(self):
        return min(self.delivered, self.acknowledged)
