#!/usr/bin/python3
"""The main job, shown and checked: the distribution's nginx, unmodified, as master and two workers
with a filter module that forgets some request bodies. scripts/demo builds and runs this."""
import argparse
import collections
import os
import signal
import sys
from pathlib import Path

from harness import client
from harness.backend import Backend
from harness.box import Box, Late, become_subreaper, free_port, program, wait_for
from harness.ledgers import Ledgers, leaks_at

MODULE = "ngx_http_body_copy_filter_module.c"
BIRTH = "body copy born here"  # the comment at the line that allocates
KEPT, FORGOTTEN, FORGOTTEN_LATER = 2000, 1000, 500
CONNECTIONS = 24
LIMIT_SECONDS = 90

CONFIG = """
load_module {module};
{user}
worker_processes 2;
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
            body_copy on;
            proxy_pass http://127.0.0.1:{backend};
            add_header X-Worker $pid;
        }}
    }}
}}
"""


class Screen:
    """What the reader sees: numbered steps, the checks below them, and the verdict."""

    def __init__(self):
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.paint = (lambda code, text: f"\033[{code}m{text}\033[0m") if colour \
            else (lambda code, text: text)
        self.steps = 0
        self.checks = 0
        self.failed = []

    def step(self, text):
        self.steps += 1
        print(f"\n{self.paint('1', f'{self.steps}. {text}')}", flush=True)

    def say(self, text):
        print(f"   {text}", flush=True)

    def quote(self, text, frames_max=5):
        """Somebody else's words; of a long stack, only the innermost frames."""
        frames = 0
        for line in [*text.strip("\n").splitlines(), ""]:
            if line.startswith(" " * 7):
                frames += 1
                if frames > frames_max:
                    continue
            elif frames > frames_max:
                print(f"   |        ... {frames - frames_max} more frames")
                frames = 0
            else:
                frames = 0
            print(f"   | {line}".rstrip())
        sys.stdout.flush()

    def check(self, holds, sentence, seen=""):
        self.checks += 1
        mark = self.paint("32", "ok  ") if holds else self.paint("31;1", "FAIL")
        print(f"   {mark} {sentence}" + ("" if holds or seen == "" else f" (seen: {seen})"),
              flush=True)
        if not holds:
            self.failed.append(sentence)

    def verdict(self):
        print()
        if self.failed or not self.checks:
            print(self.paint("31;1", "FAIL") + f": {len(self.failed)} of {self.checks} checks:")
            for sentence in self.failed:
                print(f"  {sentence}")
            return 1
        print(self.paint("32;1", "PASS") + f": {self.checks} of {self.checks} checks")
        print("Your own program: scripts/demo -- COMMAND...")
        return 0


class Demo:
    def __init__(self, build, screen):
        self.screen = screen
        self.cli = build / "cli" / "bufleak"
        self.box = Box("demo")
        self.ledgers = Ledgers(self.box, self.cli)
        self.leaked = collections.Counter()  # worker -> bodies that it was made to forget
        self.port = free_port()
        source = Path(__file__).resolve().parent / "nginx" / MODULE
        self.line = next(number for number, text in enumerate(source.read_text().splitlines(), 1)
                         if BIRTH in text)
        self.backend = Backend(self.box)
        root = self.box.make_dir("nginx")
        self.logs = self.box.make_dir("logs", "www-data")
        self.config = self.box.write("nginx/nginx.conf", CONFIG.format(
            module=build / "tests/gateways/nginx/ngx_http_body_copy_leaking.so",
            user="user www-data;" if os.geteuid() == 0 else "", dir=root, logs=self.logs,
            port=self.port, backend=self.backend.port))

    def start(self):
        self.screen.step("The distribution's nginx, started with bufleak run")
        command = [program("nginx"), "-g", "daemon off;", "-c", str(self.config)]
        self.screen.say(f"$ bufleak run --top 1 -- nginx -g 'daemon off;' -c {self.config.name}")
        self.run = self.box.spawn([str(self.cli), "run", "--top", "1", "--", *command], output="run",
                                  variables={"BUFLEAK_DIR": str(self.box.ledger_dir)})
        self.master = self.box.wait_pid_file("nginx/pid")
        self.workers = self.box.wait_children(self.master, 2)
        self.box.wait_listening(self.port)
        self.screen.say(f"nginx {self.master} serves with the workers {self.workers[0]} and "
                        f"{self.workers[1]}")

    def _count(self, answer):
        self.leaked[int(answer.headers["x-worker"])] += 1

    def _send_bodies(self, kept, forgotten):
        loads = [client.Load(self.port, client.body_requests(kept, False), CONNECTIONS // 2),
                 client.Load(self.port, client.body_requests(forgotten, True), CONNECTIONS // 2,
                             on_answer=self._count)]
        for load in loads:
            load.start()
        right = sum(load.wait().right for load in loads)
        failures = [failure for load in loads for failure in load.failures]
        self.screen.check(right == kept + forgotten and not failures,
                          f"{kept + forgotten:,} requests with bodies answered rightly", failures[:3])

    def send_requests(self):
        self.screen.step(f"{KEPT + FORGOTTEN:,} requests with bodies over {CONNECTIONS} connections")
        self.screen.say(f"{FORGOTTEN:,} of them say Cache-Control: no-store, and the filter then "
                        f"forgets its copy of the body")
        self._send_bodies(KEPT, FORGOTTEN)

    def signal_under_load(self):
        worker = max(self.workers, key=lambda pid: self.leaked[pid])
        self.screen.step(f"kill -USR1 {worker}, a worker, while requests go on")
        log, rotated = self.logs / "access.log", self.logs / "access.log.1"
        load = client.Load(self.port, client.echo_requests(10_000_000), CONNECTIONS).start()
        try:
            wait_for(lambda: load.right > 500 or load.failures, "requests to flow")
            log.rename(rotated)
            at_signal = load.right
            shown = len(self.said_by_run())
            entry = self.ledgers.signal_and_wait(worker)
            wait_for(lambda: log.exists() and log.stat().st_size > 0, "the new log to be written")
            wait_for(lambda: load.right > at_signal + 500 or load.failures, "requests to go on")
        finally:
            load.stop()
        self.screen.quote(self._report_of_run(worker, shown))
        self.check_worker(self.ledgers.report(entry.path), worker)
        self.screen.check(not load.failures,
                          f"{load.right:,} requests meanwhile answered rightly", load.failures[:3])
        writers = {line.split()[0] for line in log.read_text().splitlines()}
        self.screen.check(writers == {str(worker)},
                          "that worker reopened its log, as nginx does on SIGUSR1: the new file has "
                          "its lines", writers)

    def said_by_run(self):
        return self.box.path("run.stderr").read_text()

    def _report_of_run(self, worker, shown):
        """The report that bufleak run prints because of the signal, from there on."""
        def is_there():
            text = self.said_by_run()[shown:]
            return f"[{worker}]" in text and f"{MODULE}:{self.line}" in text
        try:
            wait_for(is_there, "the report of bufleak run", 15)
        except Late:
            self.screen.check(False, "bufleak run prints the report at the signal")
        return self.said_by_run()[shown:]

    def check_worker(self, report, worker):
        count, _, lines = leaks_at(report, MODULE)
        self.screen.check(count == self.leaked[worker],
                          f"worker {worker}: {self.leaked[worker]:,} bodies forgotten, and the report "
                          f"says {count:,}")
        if self.leaked[worker]:
            self.screen.check(lines == {self.line}, f"the report names {MODULE}:{self.line}",
                              sorted(lines))

    def stop(self):
        self.screen.step(f"{KEPT // 2 + FORGOTTEN_LATER:,} more requests, then kill -QUIT "
                         f"{self.master}: nginx ends")
        self._send_bodies(KEPT // 2, FORGOTTEN_LATER)
        shown = len(self.said_by_run())
        os.kill(self.master, signal.SIGQUIT)
        status = self.box.wait_exit(self.run)
        self.screen.quote(self.said_by_run()[shown:])
        self.screen.check(status == 0, "bufleak run ends with nginx's own exit status, 0", status)
        total = 0
        for worker in self.workers:
            ledger = next(e for e in self.ledgers.ledgers() if e.pid == worker)
            report = self.ledgers.report(ledger.path)
            self.check_worker(report, worker)
            total += leaks_at(report, MODULE)[0]
        self.screen.check(total == FORGOTTEN + FORGOTTEN_LATER == sum(self.leaked.values()),
                          f"both workers together: {FORGOTTEN + FORGOTTEN_LATER:,} bodies "
                          f"forgotten, and the reports say {total:,}")
        left = self.box.wait_gone()
        self.screen.check(not left, "no process is left over", left)

    def close(self):
        self.backend.stop()
        self.box.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True, help="build directory")
    args = parser.parse_args()
    become_subreaper()
    screen = Screen()

    def too_long(*_):
        raise Late(f"longer than {LIMIT_SECONDS} s")
    signal.signal(signal.SIGALRM, too_long)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.alarm(LIMIT_SECONDS)
    demo = Demo(args.build.resolve(), screen)
    try:
        demo.start()
        demo.send_requests()
        demo.signal_under_load()
        demo.stop()
    except (Late, AssertionError, OSError, StopIteration) as error:
        screen.check(False, "the demonstration ran to its end", error)
        for path in (demo.box.path("run.stderr"), demo.box.path("nginx/error.log")):
            if path.exists():
                screen.say(f"{path.name}:")
                screen.quote(path.read_text(errors="replace")[-3000:])
    finally:
        demo.close()
    return screen.verdict()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
