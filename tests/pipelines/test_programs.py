#!/usr/bin/python3
"""FFmpeg, OpenSSL and GIO programs: counts agree, results are the same, nobody is accused."""
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time

from pipelines import (TIMEOUT_S, Failed, compare, environment, expect, ledgers_in, main, need,
                       tracked_environment)

HANDSHAKES = 1000
# What is freed as a frame but was made by a plain malloc: the codec wrapped_avframe, one a frame.
WRAPPED_FRAMES = 200


def quiet(command, directory):
    subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=TIMEOUT_S,
                   stdin=subprocess.DEVNULL)


def make_film(directory):
    quiet(['ffmpeg', '-v', 'error', '-f', 'lavfi', '-i', 'testsrc=duration=8:size=160x120:rate=25',
           '-f', 'lavfi', '-i', 'sine=duration=8', '-c:v', 'mpeg4', '-c:a', 'aac', '-threads', '1',
           '-bitexact', 'in.mp4'], directory)


def ffmpeg(threads, *output, unknown=0):
    need('ffmpeg')
    command = ['ffmpeg', '-nostdin', '-v', 'error', '-threads', str(threads), '-i', 'in.mp4',
               *output]
    for tracked in compare(command, before=make_film):
        tracked.check(unknown)
        tracked.check_nobody_accused()
        for name in ('av-buffer', 'av-frame', 'av-packet'):
            made = tracked.classes[name]
            expect(made['allocs'] > 0 and made['live_count'] == 0, made)


def decode_1():
    """ffmpeg decodes with one thread: all buffers, frames and packets are given back"""
    ffmpeg(1, '-f', 'framemd5', 'out.md5', unknown=WRAPPED_FRAMES)


def decode_4():
    """ffmpeg decodes with four threads: the same"""
    ffmpeg(4, '-f', 'framemd5', 'out.md5', unknown=WRAPPED_FRAMES)


def discard():
    """ffmpeg decodes into nothing: frames that were not made as such are no over-release"""
    ffmpeg(4, '-f', 'null', '-', unknown=WRAPPED_FRAMES)


def transcode():
    """ffmpeg transcodes with four threads: the same"""
    ffmpeg(4, '-c:v', 'mpeg4', '-c:a', 'aac', '-bitexact', '-f', 'avi', 'out.avi')


def gio():
    """A service over GIO with sockets, converters, files, tasks and variants: the same digests"""
    for tracked in compare([os.environ['BL_GIO'], '.', '8'], comm='gio_traffic'):
        expect(tracked.check() > 0, 'no count was compared')
        tracked.check_nobody_accused()


# g_bytes_ref is left out: its calls cannot be seen.
BLIND = """class g-bytes
library libglib-2.0.so*
count field:16:4
alloc g_bytes_new_with_free_func handle=result size=arg2
release g_bytes_unref handle=arg1
steal g_bytes_unref_to_data handle=arg1
"""


def control():
    """Where calls cannot be seen the counts drift, and nobody is accused all the same"""
    with tempfile.TemporaryDirectory(prefix='bufleak-pipelines.') as directory:
        ledgers, files = (os.path.join(directory, name) for name in ('ledgers', 'files'))
        os.mkdir(ledgers, 0o700)
        os.mkdir(files)
        profile = os.path.join(directory, 'blind.profile')
        with open(profile, 'w', encoding='ascii') as out:
            out.write(BLIND)
        env = tracked_environment(ledgers, f'quiet=1:profiles={profile}')
        subprocess.run([os.environ['BL_GIO'], files, '2'], env=env, capture_output=True, check=True,
                       timeout=TIMEOUT_S)
        for tracked in ledgers_in(ledgers, 'gio_traffic'):
            expect(tracked.losses['counts_drifted'] > 0, 'drift is not seen')
            tracked.check_nobody_accused()


def tools():
    """gio and glib-compile-schemas accuse nobody"""
    need('gio', 'glib-compile-schemas')

    def schemas(directory):
        with open(os.path.join(directory, 'a.gschema.xml'), 'w', encoding='ascii') as out:
            out.write('<schemalist><schema id="a.b" path="/a/b/"><key name="k" type="i">'
                      '<default>1</default></key></schema></schemalist>')

    for command in (['glib-compile-schemas', '.'], ['gio', 'cat', 'a.gschema.xml'],
                    ['gio', 'copy', 'a.gschema.xml', 'b.xml'], ['gio', 'list', '.']):
        for tracked in compare(command, before=schemas):
            tracked.check()
            tracked.check_nobody_accused()


def wait_for(server, port):
    deadline = time.monotonic() + 20
    while server.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(('127.0.0.1', port)) == 0:
                return
        time.sleep(0.01)
    raise Failed('s_server does not listen')


def handshakes(port, count):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    answers = set()
    for _ in range(count):
        with socket.create_connection(('127.0.0.1', port), timeout=20) as plain:
            with context.wrap_socket(plain) as connection:
                connection.sendall(b'GET /page HTTP/1.0\r\n\r\n')
                answer = b''
                while part := connection.recv(65536):
                    answer += part
        answers.add(answer)
    return answers


def serve(directory, env, count):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    # The first connection is that of whoever waits for the server.
    command = ['openssl', 's_server', '-quiet', '-accept', str(port), '-key', 'key.pem', '-cert',
               'cert.pem', '-WWW', '-naccept', str(count + 1)]
    with subprocess.Popen(command, cwd=directory, env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(server, port)
            answers = handshakes(port, count)
            return answers, server.wait(TIMEOUT_S)
        finally:
            if server.poll() is None:
                server.kill()


def openssl():
    """openssl s_server, 1,000 handshakes: the same answers, no drift, nobody accused"""
    need('openssl')
    with tempfile.TemporaryDirectory(prefix='bufleak-pipelines.') as directory:
        ledgers = os.path.join(directory, 'ledgers')
        os.mkdir(ledgers, 0o700)
        with open(os.path.join(directory, 'page'), 'w', encoding='ascii') as page:
            page.write('page ' * 1000)
        quiet(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj',
               '/CN=localhost', '-keyout', 'key.pem', '-out', 'cert.pem'], directory)
        plain = serve(directory, environment(), HANDSHAKES)
        tracked = serve(directory, tracked_environment(ledgers), HANDSHAKES)
        expect(plain == tracked and len(plain[0]) == 1, f'answers differ: {plain} and {tracked}')
        for one in ledgers_in(ledgers, 'openssl'):
            # TLS 1.3 makes a session for each ticket by a function that cannot be seen.
            one.check(unknown=2 * (HANDSHAKES + 1))
            one.check_nobody_accused()
            expect(one.classes['openssl-ssl']['allocs'] >= HANDSHAKES, one.classes['openssl-ssl'])


if __name__ == '__main__':
    sys.exit(main(decode_1, decode_4, discard, transcode, gio, control, tools, openssl))
