#!/usr/bin/python3
"""The built-in profiles in the libraries themselves, function by function: what a program calls that
loads the library while it runs, and the class's row in the report. Births that the library makes by
calls of its own are among them, and nothing is released that is not known.

What the distribution lacks is skipped, and said so.
"""
import fnmatch
import functools
import os
import subprocess
import sys
import tempfile

import tracked

PYTHON = '/usr/bin/python3'
# Integers are passed in 64 bits.
PRELUDE = '''
import ctypes, sys
def wide(value):
    return ctypes.c_void_p(value) if isinstance(value, int) or value is None else value
class Library:
    def __init__(self, name):
        self.library = ctypes.CDLL(name)
    def __getattr__(self, name):
        function = getattr(self.library, name)
        function.restype = ctypes.c_void_p
        def call(*arguments):
            return function(*map(wide, arguments))
        setattr(self, name, call)
        return call
def place(value=0):
    return ctypes.c_void_p(value)
def at(p):
    return ctypes.byref(p)
def row(*values):
    return (ctypes.c_void_p * len(values))(*values)
def words(*values):
    return (ctypes.c_char_p * len(values))(*values)
'''
# claim, libraries, calls, what is seen of each class. What a version of a library does by itself
# beside that is not named.
CLAIMS = [
    ('Values of GLib, each made by the function that makes its kind, and what they are made of',
     ['libglib-2.0.so.0'], '''
glib = Library(names[0])
def one():
    return glib.g_variant_new_int32(1)
made = [glib.g_variant_new_variant(one()), glib.g_variant_new_maybe(None, one()),
        glib.g_variant_new_array(None, row(one(), one()), 2),
        glib.g_variant_new_tuple(row(one(), one()), 2), glib.g_variant_new_dict_entry(one(), one()),
        glib.g_variant_new_strv(words(b'a', b'b'), 2),
        glib.g_variant_new_objv(words(b'/a', b'/b'), 2),
        glib.g_variant_new_bytestring_array(words(b'a', b'b'), 2)]
child = glib.g_variant_get_child_value(made[2], 0)  # is there, and retained
again = glib.g_variant_get_child_value(made[2], 0)
glib.g_variant_ref(made[0])
for value in (child, again, made[0], *made):
    glib.g_variant_unref(value)
whole = glib.g_variant_new_from_bytes(glib.g_variant_type_new(b'as'), glib.g_bytes_new(b'a\\0b\\0\\2\\4', 6), 1)
part = glib.g_variant_get_child_value(whole, 1)  # made by the call
builder = glib.g_variant_builder_new(glib.g_variant_type_new(b'ai'))
glib.g_variant_builder_add_value(builder, one())
built = glib.g_variant_builder_end(builder)  # of a part
''', {'g-variant': dict(allocs=8 + 14 + 2 + 2, retains=1 + 2, releases=3 + 8 + 14, live_count=4,
                          live_bytes=0)}),
    ('Arrays of GLib', ['libglib-2.0.so.0'], '''
glib = Library(names[0])
a, b, c, d = (glib.g_byte_array_new(), glib.g_array_new(0, 0, 4), glib.g_array_sized_new(0, 0, 4, 9),
              glib.g_byte_array_new_take(glib.g_malloc(5), 5))
glib.g_array_ref(b); glib.g_byte_array_ref(a)
glib.g_byte_array_unref(a); glib.g_array_unref(b); glib.g_array_free(c, 1)
glib.g_bytes_unref(glib.g_byte_array_free_to_bytes(d))
''', {'g-array': dict(allocs=4, retains=2, releases=4, live_count=2, live_bytes=0),
      'g-bytes': dict(allocs=1, releases=1)}),
    ('Values of jansson', ['libjansson.so.4'], '''
json = Library(names[0])
made = [json.json_object(), json.json_array(), json.json_string(b'a'), json.json_stringn(b'ab', 1),
        json.json_string_nocheck(b'a'), json.json_stringn_nocheck(b'ab', 1), json.json_integer(5)]
json.library.json_real.argtypes = [ctypes.c_double]
made += [json.json_real(ctypes.c_double(1.5))]
if hasattr(json.library, 'json_sprintf'):
    made[2] = json.json_sprintf(b'%d', 5)
else:
    json.json_string(b'b')
for value in made[:6]:
    json.json_delete(value)
''', {'json': dict(allocs=9, retains=0, releases=6, live_count=3)}),
    ('Handles of libcurl', ['libcurl.so.4'], '''
curl = Library(names[0])
easy, multi, share = curl.curl_easy_init(), curl.curl_multi_init(), curl.curl_share_init()
other = curl.curl_easy_duphandle(easy)
list = curl.curl_slist_append(None, b'a: b')
list = curl.curl_slist_append(list, b'c: d')
mime, url = curl.curl_mime_init(easy), curl.curl_url()
same = curl.curl_url_dup(url)
curl.curl_mime_free(mime); curl.curl_slist_free_all(list); curl.curl_url_cleanup(url)
curl.curl_multi_cleanup(multi); curl.curl_share_cleanup(share); curl.curl_easy_cleanup(easy)
''', {'curl-easy': dict(live_count=1), 'curl-multi': dict(allocs=1, releases=1),
      'curl-share': dict(allocs=1, releases=1), 'curl-slist': dict(allocs=1, releases=1),
      'curl-mime': dict(allocs=1, releases=1), 'curl-url': dict(allocs=2, releases=1, live_count=1)}),
    ('BIOs and keys of OpenSSL', ['libcrypto.so.3'], '''
crypto = Library(names[0])
bio, one, two = (crypto.BIO_new(crypto.BIO_s_mem()) for i in range(3))
crypto.BIO_push(one, two)
crypto.BIO_up_ref(bio); crypto.BIO_free(bio); crypto.BIO_free_all(bio); crypto.BIO_free_all(one)
kept = crypto.BIO_new_mem_buf(b'text', 4)
crypto.BIO_vfree(crypto.BIO_new_file(certificate.encode(), b'r'))
key, other = crypto.EVP_PKEY_new(), crypto.EVP_PKEY_new()
crypto.EVP_PKEY_up_ref(key); crypto.EVP_PKEY_free(key); crypto.EVP_PKEY_free(key)
''', {'openssl-bio': dict(allocs=5, retains=1, releases=5, live_count=1),
      'openssl-pkey': dict(allocs=2, retains=1, releases=2, live_count=1)}),
    ('Certificates and sessions of OpenSSL', ['libcrypto.so.3', 'libssl.so.3'], '''
crypto, ssl, libc = Library(names[0]), Library(names[1]), Library(None)
text = open(certificate, 'rb').read()
made = [crypto.X509_new(), crypto.X509_new_ex(None, None)]
def read():
    return place(ctypes.addressof(source))
source = ctypes.create_string_buffer(text, len(text))
made += [crypto.d2i_X509(None, at(read()), len(text))]
filled = place(made[0])  # given one to fill, it returns that
assert crypto.d2i_X509(at(filled), at(read()), len(text)) == made[0]
made += [crypto.d2i_X509_bio(crypto.BIO_new_mem_buf(source, len(text)), None)]
file = libc.fopen(certificate.encode(), b'r')
made += [crypto.d2i_X509_fp(file, None), crypto.X509_dup(made[2])]
libc.fclose(file)
crypto.X509_up_ref(made[1])
for one in made[:4]:
    crypto.X509_free(one)
context = ssl.SSL_CTX_new(ssl.TLS_method())
other = ssl.SSL_CTX_new_ex(None, None, ssl.TLS_method())
near = ssl.SSL_new(context)
ssl.SSL_up_ref(near); ssl.SSL_free(near); ssl.SSL_free(near); ssl.SSL_CTX_free(other)
session = ssl.SSL_SESSION_new()
twin = ssl.SSL_SESSION_dup(session)
ssl.SSL_SESSION_up_ref(session); ssl.SSL_SESSION_free(session); ssl.SSL_SESSION_free(session)
''', {'openssl-x509': dict(allocs=6, retains=1, releases=4, live_count=3),
      'openssl-bio': dict(live_count=1),
      # the connection has some of the first, and gives them back
      'openssl-ssl-ctx': dict(allocs=2, live_count=1),
      'openssl-ssl': dict(allocs=1, retains=1, releases=2),
      'openssl-session': dict(allocs=2, retains=1, releases=2, live_count=1)}),
    ('Sessions and header names of nghttp2', ['libnghttp2.so.14'], '''
http = Library(names[0])
calls = place()
http.nghttp2_session_callbacks_new(at(calls))
sessions = [place() for i in range(5)]
http.nghttp2_session_client_new(at(sessions[0]), calls, None)
http.nghttp2_session_server_new(at(sessions[1]), calls, None)
http.nghttp2_session_client_new2(at(sessions[2]), calls, None, None)
http.nghttp2_session_client_new3(at(sessions[3]), calls, None, None, None)
http.nghttp2_session_server_new3(at(sessions[4]), calls, None, None, None)
for session in sessions[1:]:
    http.nghttp2_session_del(session)
''', {'nghttp2-session': dict(allocs=5, releases=4, live_count=1)}),
    ('Pools and buckets of APR', ['libapr-1.so.0', 'libaprutil-1.so.0'], '''
apr, util = Library(names[0]), Library(names[1])
apr.apr_initialize()
pool, child, free, own = place(), place(), place(), place()
apr.apr_pool_create_ex(at(pool), None, None, None)
apr.apr_pool_create_ex(at(child), pool, None, None)
apr.apr_pool_create_ex(at(place()), child, None, None)
apr.apr_pool_create_unmanaged_ex(at(free), None, None)
allocator = place()
apr.apr_allocator_create(at(allocator))
by_pool, by_hand = (util.apr_bucket_alloc_create(child),
                    util.apr_bucket_alloc_create_ex(allocator))
for list in (by_pool, by_hand):
    blocks = [util.apr_bucket_alloc(size, list) for size in (10, 20, 9000)]
    util.apr_bucket_free(blocks[1])
brigades = [util.apr_brigade_create(child, by_pool), util.apr_brigade_create(pool, by_hand)]
util.apr_brigade_destroy(brigades[1])
apr.apr_pool_clear(child)  # with the allocator and the brigade in it, and the pool below it
util.apr_bucket_alloc_destroy(by_hand)
kept = util.apr_bucket_alloc_create_ex(allocator)
blocks = [util.apr_bucket_alloc(size, kept) for size in (10, 20, 30)]
util.apr_bucket_free(blocks[1])
apr.apr_pool_destroy(free)
''', {'apr-pool': dict(allocs=2 + 4, releases=2, live_count=4),  # two are APR's own
      'apr-bucket-alloc': dict(allocs=3, releases=2, live_count=1),
      'apr-bucket': dict(allocs=9, releases=7, live_count=2, live_bytes=40),
      'apr-brigade': dict(allocs=2, releases=2, live_count=0)}),
    ('Buffers, frames and packets of FFmpeg', ['libavutil.so.*', 'libavcodec.so.*'], '''
util, codec = Library(names[0]), Library(names[1])
def word(address, offset=0):
    return ctypes.c_uint64.from_address(address + offset).value
def drop(buffer):
    util.av_buffer_unref(at(place(buffer)))
first, zeroed = util.av_buffer_alloc(100), util.av_buffer_allocz(50)
shared = place(util.av_buffer_ref(first))
util.av_buffer_make_writable(at(shared))  # a buffer of its own now
util.av_buffer_realloc(at(shared), 300)  # larger, where it is or elsewhere
util.av_buffer_make_writable(at(place(first)))  # nobody else has it
replaced = place(zeroed)
util.av_buffer_replace(at(replaced), place(first))
drop(first); drop(replaced.value)
pool = place(util.av_buffer_pool_init(64, None))
taken = util.av_buffer_pool_get(pool)
drop(taken)
taken = util.av_buffer_pool_get(pool)  # the same block
frames = [util.av_frame_alloc(), util.av_frame_alloc()]
util.av_frame_free(at(place(frames[0])))
packets = [codec.av_packet_alloc(), codec.av_packet_alloc(), codec.av_packet_alloc()]
for packet in packets[1:]:
    codec.av_packet_free(at(place(packet)))
''', {'av-buffer': dict(allocs=6, retains=2, releases=6, live_count=2, live_bytes=300 + 64),
      'av-frame': dict(allocs=2, releases=1, live_count=1),
      'av-packet': dict(allocs=3, releases=2, live_count=1)}),
    ('Buffers of libevent', ['libevent-2.1.so.7'], '''
event = Library(names[0])
base = event.event_base_new()
a, b, c = (event.evbuffer_new() for i in range(3))
event.evbuffer_add(b, b'text', 4)
event.evbuffer_add_buffer_reference(a, b)  # a's chain holds b
event.evbuffer_free(b); event.evbuffer_free(c)
pair = row(0, 0)
event.bufferevent_pair_new(base, 0, pair)
single = event.bufferevent_socket_new(base, 2**64 - 1, 0)
event.bufferevent_incref(single); event.bufferevent_decref(single); event.bufferevent_free(single)
event.bufferevent_free(pair[0])
event.event_base_loop(base, 1)
''', {'evbuffer': dict(allocs=3 + 2 * 3, retains=1, releases=2 + 2 * 2, live_count=4),
      'bufferevent': dict(allocs=3, retains=1, releases=3, live_count=1)}),
]


@functools.lru_cache
def installed():
    listing = subprocess.run(['/sbin/ldconfig', '-p'], capture_output=True, text=True, check=True)
    return [line.split()[0] for line in listing.stdout.splitlines() if 'x86-64' in line]


def run(calls, names, options='quiet=1'):
    with tempfile.TemporaryDirectory(prefix='bufleak-builtin.') as directory:
        certificate = os.path.join(directory, 'certificate.der')
        if 'certificate' in calls:
            subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                            'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=test', '-keyout',
                            os.path.join(directory, 'key'), '-outform', 'DER', '-out', certificate],
                           check=True, capture_output=True, timeout=tracked.LIMIT)
        start = f'names, certificate = {names!r}, {certificate!r}\n'
        return tracked.run([PYTHON, '-S', '-c', PRELUDE + start + calls], options=options,
                           MALLOC_PERTURB_='0')[1]


def claim(text, needed, calls, rows):
    found = [next((name for name in installed() if fnmatch.fnmatchcase(name, pattern)), None)
             for pattern in needed]

    def check():
        if None in found:
            return
        report = run(calls, found)
        for name, row in rows.items():
            table = report.table(name)
            assert table, f'{name} is not there'
            seen = {key: table[key] for key in row}
            assert seen == row, f'{name}: {seen}, not {row}'
        assert all(table['over_releases'] == 0 for table in report.json['classes'])
        lost = {key: report.losses()[key] for key in
                ('counts_drifted', 'events_unknown', 'owners_unknown', 'buffers_replaced',
                 'hooks_refused') if report.losses()[key]}
        assert not lost, lost
    check.__doc__ = text + (' # SKIP not installed' if None in found else '')
    return check


if __name__ == '__main__':
    sys.exit(tracked.main(*(claim(*each) for each in CLAIMS)))
