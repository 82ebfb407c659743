#!/usr/bin/python3
"""Programs do the same work with every exported function of their libraries hooked."""
import collections
import hashlib
import os
import subprocess
import sys
import tempfile

import hooked
from hooked import expect

# Of all exported functions; measured 99.7 % and more.
HOOKABLE_LEAST = 0.99
CAUSES = {'too short', 'branch into its head', 'branch into its head from elsewhere', 'alias',
          'undecodable', 'loop instruction in its head', 'call within its head', 'indirect call in its head'}


def all_functions(names):
    paths = [hooked.library(name) for name in names]
    return [(os.path.basename(path), name) for path in paths for name in hooked.exported(path)]


def check_share(seen, functions):
    causes = collections.Counter(seen.refused.values())
    unknown = {name: cause for name, cause in seen.refused.items() if cause not in CAUSES}
    expect(not unknown, f'refused for other causes: {unknown}')
    share = (len(seen.counts) + causes['alias']) / len(functions)
    expect(share >= HOOKABLE_LEAST, f'only {share:.2%} hooked: {dict(causes)}')
    return causes


def same_work(command, libraries, used_least, results=None):
    """Output with and without hooks; results: what else to compare, after each run."""
    functions = all_functions(libraries)
    look = results or (lambda: None)
    plain = hooked.run(command)
    expected = plain.stdout, plain.stderr, look()
    notes = []
    for mode in ('pre', 'post'):
        seen = hooked.run_hooked(command, functions, mode)
        found = seen.stdout, seen.stderr, look()
        expect(found == expected,
               f'{" ".join(command)} differs with {mode} hooks: {expected} is {found}'[:2000])
        causes = check_share(seen, functions)
        used = [count for count in seen.counts.values() if count]
        expect(len(used) >= used_least, f'only {len(used)} functions used')
        notes.append(f'{mode}: {len(seen.counts)} hooked, {len(used)} used, {sum(used)} calls, '
                     f'refused {dict(causes)}')
    return '; '.join(notes)


OPENSSL = ('libcrypto.so.3', 'libssl.so.3')


def make_certificate(directory):
    key, certificate = os.path.join(directory, 'key'), os.path.join(directory, 'certificate')
    hooked.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=test',
                '-keyout', key, '-out', certificate])
    return key, certificate


def openssl_signs():
    """openssl signs the same with every function of libcrypto and libssl hooked."""
    hooked.need('openssl')
    with tempfile.TemporaryDirectory(prefix='bufleak-hooks.') as directory:
        key, certificate = make_certificate(directory)
        return same_work(['openssl', 'dgst', '-sha256', '-hex', '-sign', key, certificate], OPENSSL,
                         200)


def openssl_verifies():
    """openssl verifies and prints the same with every function of its libraries hooked."""
    hooked.need('openssl')
    with tempfile.TemporaryDirectory(prefix='bufleak-hooks.') as directory:
        _, certificate = make_certificate(directory)
        same_work(['openssl', 'x509', '-noout', '-text', '-in', certificate], OPENSSL, 200)
        same_work(['openssl', 'ciphers', '-v', 'ALL'], OPENSSL, 200)
        return same_work(['openssl', 'verify', '-CAfile', certificate, certificate], OPENSSL, 200)


# Both ends of connections in one program, which loads the libraries itself.
TALK = '''
import hashlib, ssl, sys
key, certificate = sys.argv[1:3]
def handshake(version):
    near = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    near.check_hostname = False
    near.load_verify_locations(certificate)
    far = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    far.load_cert_chain(certificate, key)
    near.maximum_version = version
    a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [near.wrap_bio(a, b), far.wrap_bio(b, a, server_side=True)]
    waiting = list(ends)
    while waiting:
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass
    return ends
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    client, server = handshake(version)
    text = bytes(range(256)) * 1000
    for start in range(0, len(text), 10000):
        client.write(text[start:start + 10000])
    read = b""
    while len(read) < len(text):
        read += server.read(5000)
    print(client.version(), client.cipher(), client.getpeercert(), hashlib.sha256(read).hexdigest())
'''


def tls_connects():
    """TLS connections carry the same with every function of libcrypto and libssl hooked."""
    hooked.need('openssl')
    with tempfile.TemporaryDirectory(prefix='bufleak-hooks.') as directory:
        key, certificate = make_certificate(directory)
        return same_work(['/usr/bin/python3', '-c', TALK, key, certificate], OPENSSL, 600)


def libc_serves():
    """A program works the same with every function of libc hooked."""
    hooked.need('openssl')
    functions = all_functions(('libc.so.6',))
    script = 'for word in b c a; do printf "%s %.2f\\n" $word 2.5 | tr a-c x-z; done | wc -c'
    notes = []
    for command in (['openssl', 'dgst', '-sha256', os.path.abspath(__file__)],
                    ['bash', '-c', script]):
        plain = hooked.run(command)
        # Its functions that return twice or not at all may have no post hook.
        seen = hooked.run_hooked(command, functions, 'pre')
        expect((seen.stdout, seen.stderr) == (plain.stdout, plain.stderr), f'{command} differs')
        causes = check_share(seen, functions)
        notes.append(f'{len(seen.counts)} hooked, {sum(seen.counts.values())} calls, '
                     f'refused {dict(causes)}')
    return '; '.join(notes)


GLIB = ('libglib-2.0.so.0', 'libgobject-2.0.so.0')


def gio_lists():
    """gio prints the same with every function of libglib, libgobject and libgio hooked."""
    hooked.need('gio')
    here = os.path.dirname(os.path.abspath(__file__))
    libraries = (*GLIB, 'libgio-2.0.so.0')
    same_work(['gio', 'info', '-a', 'standard::*', os.path.abspath(__file__)], libraries, 200)
    return same_work(['gio', 'list', '-l', '-u', here], libraries, 200)


def digest(*paths):
    return [hashlib.sha256(open(path, 'rb').read()).hexdigest() for path in paths]


def pipeline_copies():
    """A GStreamer pipeline writes the same with every function of its libraries hooked."""
    program = hooked.own_program('pipeline')
    with tempfile.TemporaryDirectory(prefix='bufleak-hooks.') as directory:
        source, *results = (os.path.join(directory, name) for name in ('in', 'one', 'two'))
        with open(source, 'wb') as data:
            data.write(bytes(range(256)) * 8192)
        description = (f'filesrc location={source} blocksize=4096 ! tee name=t '
                       f't. ! queue ! filesink location={results[0]} '
                       f't. ! queue ! identity ! filesink location={results[1]}')
        os.environ['GST_REGISTRY'] = os.path.join(directory, 'registry')
        os.environ['GST_REGISTRY_FORK'] = 'no'
        hooked.run([program, description, 'copy'])  # makes the registry
        note = same_work([program, description, 'copy'], (*GLIB, 'libgstreamer-1.0.so.0'), 400,
                         lambda: digest(*results))
        expect(digest(results[0]) == digest(source), 'the pipeline does not copy')
        return note


def codec_codes():
    """FFmpeg's libraries code and decode the same with every function of theirs hooked."""
    program = hooked.own_program('codec')
    return same_work([program], ('libavutil.so.57', 'libavcodec.so.59'), 80)


FFMPEG = ('libavutil.so.57', 'libavcodec.so.59', 'libavformat.so.59', 'libavfilter.so.8',
          'libswscale.so.6', 'libswresample.so.4')


def ffmpeg_codes():
    """ffmpeg codes and decodes the same with every function of all its libraries hooked."""
    hooked.need('ffmpeg')
    with tempfile.TemporaryDirectory(prefix='bufleak-hooks.') as directory:
        film = os.path.join(directory, 'film.mkv')
        quiet = ['ffmpeg', '-nostdin', '-v', 'error', '-y']
        notes = [same_work([*quiet, '-f', 'lavfi', '-i', 'testsrc=size=64x64:rate=10:duration=2',
                            '-f', 'lavfi', '-i', 'sine=duration=2', '-c:v', 'mpeg4', '-c:a', 'flac',
                            '-fflags', '+bitexact', '-flags:v', '+bitexact', '-flags:a',
                            '+bitexact', film], FFMPEG, 200, lambda: digest(film)),
                 same_work([*quiet, '-i', film, '-vf', 'scale=32:32,hflip', '-threads', '4', '-f',
                            'framemd5', '-'], FFMPEG, 200)]
        return '; '.join(notes)


def works_under_valgrind():
    """Hooked functions work under valgrind."""
    hooked.need('valgrind', 'openssl')
    functions = [(name, function) for name, function in all_functions(OPENSSL)
                 if function.startswith(('EVP_', 'BIO_', 'ERR_'))]
    command = ['openssl', 'dgst', '-sha256', os.path.abspath(__file__)]
    plain = hooked.run(command)
    seen = hooked.run_hooked(['valgrind', '-q', '--tool=none', *command], functions, 'post')
    expect(seen.stdout == plain.stdout, f'differs under valgrind: {seen.stdout}')
    expect(seen.counts['EVP_DigestUpdate'] > 0, 'EVP_DigestUpdate was not seen')


def reading_glib_late():
    """Functions of a library that the program loads itself are hooked when it arrives."""
    glib = hooked.library('libglib-2.0.so.0')
    program = ('import ctypes\n'
               f'glib = ctypes.CDLL("{glib}")\n'
               'glib.g_strdup_printf.restype = ctypes.c_char_p\n'
               'for i in range(10):\n'
               '    print(glib.g_strdup_printf(b"%d %s %d %d %d %d %d %d", i, b"x", 3, 4, 5, 6, 7, '
               '8))\n')
    command = ['/usr/bin/python3', '-c', program]
    plain = hooked.run(command)
    for mode in ('pre', 'post'):
        seen = hooked.run_hooked(command, all_functions(GLIB[:1]), mode)
        expect(seen.stdout == plain.stdout, f'differs with {mode} hooks: {seen.stdout}')
        expect(seen.counts['g_strdup_printf'] == 10,
               f'{seen.counts["g_strdup_printf"]} calls of 10 seen')


def restricted():
    """Hooks are set although no page may be made both writable and executable."""
    hooked.need('openssl')
    setting = ('import ctypes, os, sys\n'
               'if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0: sys.exit(77)\n'
               'os.execvp(sys.argv[1], sys.argv[1:])\n')
    command = ['/usr/bin/python3', '-c', setting, 'openssl', 'version', '-a']
    if subprocess.run(command, capture_output=True, check=False).returncode == 77:
        raise hooked.Skipped('the kernel does not know PR_SET_MDWE')
    plain = hooked.run(command)
    seen = hooked.run_hooked(command, all_functions(OPENSSL), 'pre')
    expect(seen.stdout == plain.stdout, 'differs')
    expect(len(seen.counts) > 5000, f'{len(seen.counts)} functions hooked')


if __name__ == '__main__':
    sys.exit(hooked.main(openssl_signs, openssl_verifies, tls_connects, libc_serves, gio_lists, pipeline_copies,
                         codec_codes, ffmpeg_codes, works_under_valgrind, reading_glib_late, restricted))
