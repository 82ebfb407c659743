"""The plain server behind the gateways that proxy: a stock nginx without the shim, one worker.

  /echo/TEXT    answers "TEXT|" and a fixed filler, so that every request has its own right answer
  /file         the same large body every time
"""
import hashlib
import os
import signal
import subprocess

from .box import free_port, program, wait_for

FILLER = "0123456789abcdef" * 16
FILE_BYTES = 200_000

CONFIG = """
daemon off;
master_process off;
pid {dir}/pid;
error_log {dir}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
    uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
    default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        root {dir}/html;
        location ~ ^/(?:p/)?echo/(.*)$ {{ return 200 "$1|{filler}"; }}
        location /p/ {{ alias {dir}/html/; }}
        location / {{ }}
    }}
}}
"""


def echo_body(text):
    return f"{text}|{FILLER}".encode()


class Backend:
    def __init__(self, box):
        self.port = free_port()
        root = box.make_dir("backend")
        (root / "html").mkdir()
        block = hashlib.sha256(b"bufleak").digest()
        self.file = (block * (FILE_BYTES // len(block) + 1))[:FILE_BYTES]
        (root / "html" / "file").write_bytes(self.file)
        config = box.write("backend/nginx.conf",
                           CONFIG.format(dir=root, port=self.port, filler=FILLER))
        env = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
        with open(root / "out", "wb") as out:
            self.process = subprocess.Popen([program("nginx"), "-c", config], env=env, stdout=out,
                                            stderr=out, stdin=subprocess.DEVNULL)
        box.helpers.add(self.process.pid)
        try:
            box.wait_listening(self.port)
        except Exception:
            self.stop()
            raise

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            wait_for(lambda: self.process.poll() is not None, "the backend to end")
