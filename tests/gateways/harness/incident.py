"""The incident: the distribution's nginx with our filter module, which forgets a reference to a
request body on one path, and the load that takes it there. The demonstration and the tests use it.

Who was made to forget what is counted here, by the worker that answered: the report must say the
same, to the buffer and the byte.
"""
import collections
import os
import time
from pathlib import Path

from . import client
from .box import free_port, program, wait_for
from .verdicts import Wanted, check, marked_line, place

MODULE = "ngx_http_body_cache_filter_module.c"
KEPT_LEAST = 50
SOURCE = Path(__file__).resolve().parents[1] / "nginx" / MODULE

CONFIG = """
load_module {module};
{user}
worker_processes {workers};
pid {dir}/pid;
error_log {dir}/error.log notice;
events {{ worker_connections 256; }}
http {{
    log_format worker '$pid $request $status';
    access_log {logs}/access.log worker;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
    uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
    server {{
        listen 127.0.0.1:{port} reuseport;
        location / {{
            body_cache on;
            proxy_pass http://127.0.0.1:{backend};
            add_header X-Worker $pid;
        }}
    }}
}}
"""


class Bodies:
    """Requests with bodies to an nginx with the module in that variant, and what became of them."""

    def __init__(self, port, variant):
        self.port, self.variant = port, variant
        self.leaked = collections.Counter()  # worker -> buffers
        self.leaked_bytes = collections.Counter()
        self.kept = collections.Counter()    # worker -> bodies whose references were all given back
        self.last_forgotten = 0.0
        self.slowest = 0.0  # seconds that the slowest request took

    def note(self, answer, forbidden):
        worker = int(answer.headers["x-worker"])
        self.slowest = max(self.slowest, answer.seconds)
        if self.variant == "fixed" or (self.variant == "leaking" and not forbidden):
            self.kept[worker] += 1
            return
        self.leaked[worker] += 1
        self.leaked_bytes[worker] += len(client.body_of(client.number_of(answer)))
        self.last_forgotten = time.monotonic()

    def load(self, count, forbidden, threads):
        return client.Load(self.port, client.body_requests(count, forbidden), threads,
                           on_answer=lambda answer: self.note(answer, forbidden))

    def send(self, kept, forbidden, threads=12):
        """Bodies of both kinds at once; returns (right answers, what went wrong)."""
        loads = [self.load(kept, False, threads), self.load(forbidden, True, threads)]
        for load in loads:
            load.start()
        right = sum(load.wait().right for load in loads)
        return right, [failure for load in loads for failure in load.failures] + \
            [f"{load.repeated} requests were sent twice" for load in loads if load.repeated]

    def send_until_kept(self):
        """More bodies whose references are all given back, over new connections each time, until
        every worker that was made to forget some has had a few of those too."""
        def have():
            lacking = [worker for worker in self.leaked if self.kept[worker] < KEPT_LEAST]
            if lacking:
                self.send(KEPT_LEAST * 4, 0)
            return not lacking
        wait_for(have, "each worker to be given bodies of both kinds")

    def wait_settled(self):
        """A body is in use for as long as a request takes, so bufleak accuses nobody of one that is
        not clearly older. Awaits that all that were forgotten are."""
        wait_for(lambda: time.monotonic() - self.last_forgotten > 2 * self.slowest + 0.1,
                 "the forgotten bodies to be older than any in use", 20)


class Incident:
    """nginx with the module, nothing else; started by whoever uses it."""

    def __init__(self, box, build, backend, variant, workers=2, name="nginx"):
        self.box, self.name, self.wanted = box, name, workers
        self.master, self.workers = 0, []
        self.bodies = Bodies(free_port(), variant)
        root = box.make_dir(name)
        self.logs = box.make_dir(f"{name}-logs", "www-data")
        module = build / f"tests/gateways/nginx/ngx_http_body_cache_{variant}.so"
        self.config = box.write(f"{name}/nginx.conf", CONFIG.format(
            module=module, user="user www-data;" if os.geteuid() == 0 else "", dir=root,
            logs=self.logs, workers=workers, port=self.bodies.port, backend=backend.port))
        self.command = [program("nginx"), "-g", "daemon off;", "-c", str(self.config)]

    def wait_serving(self):
        self.master = self.box.wait_pid_file(f"{self.name}/pid")
        self.workers = self.box.wait_children(self.master, self.wanted)
        self.box.wait_listening(self.bodies.port)

    @property
    def access_log(self):
        return self.logs / "access.log"


def is_forgotten_body(group, _):
    return group["class"] == "g-bytes" and place(group["blame"]).startswith(MODULE)


def check_worker(state, report, bodies, worker):
    """States by state(holds, sentence, seen) that the report on a worker has the whole truth."""
    wanted = []
    if bodies.leaked[worker]:
        released = f"{MODULE}:{marked_line(SOURCE, 'cached copy given back here')}"
        wanted.append(Wanted("g-bytes", "missing-release", "retain",
                             f"{MODULE}:{marked_line(SOURCE, 'cached copy retained here')}",
                             released if bodies.kept[worker] else None,
                             bodies.leaked[worker], bodies.leaked_bytes[worker]))
    check(state, report, wanted, f"worker {worker}")
