#!/usr/bin/python3
"""Profiles on the command line, and the built-in ones held against the libraries of this machine.

What is not installed is skipped, and said so.
"""
import ctypes
import fnmatch
import functools
import json
import os
import pathlib
import random
import shutil
import subprocess
import unittest

from common import CLI, WRITER, CliTest, main

GOOD = """class widget
    library libwidget.so*
    alloc widget_new
    release widget_unref
"""


class Commands(CliTest):
    def profile(self, text):
        path = self.home / 'my.profile'
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def check_lines(self, path):
        """The errors of a profile, one a line."""
        done = subprocess.run([CLI, 'profiles', 'check', path], env=self.env, capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        return done.stderr.splitlines()

    def test_list_names_every_profile_and_class(self):
        lines = self.bufleak('profiles', 'list').stdout.splitlines()
        rows = {(line.split()[0], line.split()[1]) for line in lines[1:]}
        self.assertIn(('glib', 'g-bytes'), rows)
        self.assertEqual(len({profile for profile, _ in rows}), 12)
        self.assertEqual(len(rows), len(lines) - 1)

    def test_what_show_prints_passes_the_check(self):
        for name in ('glib', 'trafficserver'):
            text = self.bufleak('profiles', 'show', name).stdout
            self.assertIn('class', text)
            self.assertIn('functions', self.bufleak('profiles', 'check', self.profile(text)).stdout)
        self.refuse('no built-in profile nosuch', 'profiles', 'show', 'nosuch')

    def test_check_counts_what_it_found(self):
        path = self.profile(GOOD)
        self.assertEqual(self.bufleak('profiles', 'check', path).stdout,
                         f'{path}: 1 class, 2 functions\n')

    def test_a_function_belongs_to_one_class_of_a_library(self):
        other = 'class other\n    library {}\n    alloc other_new\n    release widget_unref\n'
        for library in ('libwidget.so*', 'libwidget.so.3', 'x lib*'):
            path = self.profile(GOOD + other.format(library))
            self.assertEqual(self.check_lines(path), [
                f'bufleak: {path}:8:13: the function `widget_unref` stands in another class of the '
                'same library already, in line 4, column 13: it can belong to one only'])
        # another function of that name; and one that is not hooked
        path = self.profile(GOOD + other.format('libother.so*') +
                            'class third\n    library libwidget.so\n    alloc third_new\n'
                            '    release third_unref\n    lasting widget_unref\n')
        self.assertIn('3 classes', self.bufleak('profiles', 'check', path).stdout)

    def test_check_says_every_error_with_line_and_column(self):
        path = self.profile(GOOD + 'retain widget_ref handel=arg1\nclass other\n')
        lines = self.check_lines(path)
        self.assertTrue(lines[0].startswith(f'bufleak: {path}:5:19: unknown setting `handel`'))
        self.assertTrue(lines[1].startswith(f'bufleak: {path}:6:7: the class has no `library`'))
        self.assertEqual(len(lines), 2)

    def test_what_is_no_profile_is_refused(self):
        self.refuse('names no class', 'profiles', 'check', self.profile(''))
        self.refuse('names no class', 'profiles', 'check', self.profile('# nothing\n'))
        self.refuse('longer than 256 KiB', 'profiles', 'check', self.profile('#' * (1 << 18) + '\n'))
        self.refuse('is not a file', 'profiles', 'check', self.home)
        self.refuse('is not a file', 'profiles', 'check', '/dev/zero')
        self.refuse('cannot open', 'profiles', 'check', self.home / 'missing')
        rng = random.Random(1)
        for size in (1, 100, 50000):
            lines = self.check_lines(self.profile(rng.randbytes(size)))
            self.assertTrue(all(line.startswith('bufleak: ') for line in lines))
            self.assertTrue(all(line.isprintable() for line in lines))
            self.assertLessEqual(len(lines), 21)
        self.assertTrue(lines[-1].endswith(' more errors'), lines[-1])

    def test_wrong_usage_is_said(self):
        for expected, arguments in (('needs one of', ()), ('not sing', ('sing',)),
                                    ('needs a file', ('check',)), ('the name of', ('show',)),
                                    ('takes no argument', ('list', 'x')),
                                    ('one target', ('explain', '1', '2')),
                                    ('goes with', ('list', '--format', 'json')),
                                    ('text or json', ('explain', '--format', 'xml')),
                                    ('unknown option', ('--nonsense',))):
            self.refuse(expected, 'profiles', *arguments, code=2)
        self.assertIn('Usage', self.bufleak('profiles', '--help').stdout)

    def test_explain_shows_how_each_function_is_hooked(self):
        path = self.home / 'profiles.ledger'
        subprocess.run([WRITER, path, 'profile'], check=True)
        text = self.bufleak('profiles', 'explain', path).stdout
        self.assertIn('widget (profile mine, libwidget.so.1)', text)
        self.assertRegex(text, r'widget_new +entry\n')
        self.assertRegex(text, r'widget_ref +import +not seen: calls inside its own library and through pointers\n')
        self.assertRegex(text, r'widget_unref +none +not seen: all of its calls \(too short\)')
        self.assertIn('3 functions, 1 seen wherever it is called from', text)
        self.assertNotIn('malloc', text)
        hooks = json.loads(self.bufleak('profiles', 'explain', '--format', 'json', path).stdout)
        self.assertEqual([(h['function'], h['method'], h['why']) for h in hooks['hooks']],
                         [('widget_new', 'entry', None), ('widget_ref', 'import', None),
                          ('widget_unref', 'none', 'too short')])

    def test_explain_says_that_no_profile_was_applied(self):
        path = self.home / 'good.ledger'
        subprocess.run([WRITER, path], check=True)
        self.assertIn('no profile was applied', self.bufleak('profiles', 'explain', path).stdout)
        self.refuse('no file', 'profiles', 'explain', 'nosuch')


# ---- the libraries of this machine --------------------------------------------------------------

@functools.lru_cache
def files():
    """File name to path of every shared library the loader knows and every program in PATH."""
    listing = subprocess.run(['/sbin/ldconfig', '-p'], capture_output=True, text=True, check=True)
    found = {}
    for line in listing.stdout.splitlines():
        if ' => ' in line and 'x86-64' in line:
            path = pathlib.Path(line.split(' => ')[1])
            found.setdefault(path.name, path)
    for name in ('nginx', 'traffic_server'):
        path = shutil.which(name, path=os.environ.get('PATH', '') + ':/usr/sbin:/usr/bin')
        if path:
            found[name] = pathlib.Path(path)
    return found


@functools.lru_cache
def exports(path):
    done = subprocess.run(['nm', '-D', '--defined-only', path], capture_output=True, text=True,
                          check=True)
    return {line.split()[-1].split('@')[0] for line in done.stdout.splitlines()}


@functools.lru_cache
def builtin_classes():
    """Class name to profile, patterns, count field and functions with their words."""
    classes = {}
    names = subprocess.run([CLI, 'profiles', 'list'], capture_output=True, text=True, check=True)
    for profile in sorted({line.split()[0] for line in names.stdout.splitlines()[1:]}):
        text = subprocess.run([CLI, 'profiles', 'show', profile], capture_output=True, text=True,
                              check=True).stdout
        for line in text.splitlines():
            words = line.split('#')[0].split()
            if not words:
                continue
            if words[0] == 'request':
                continue
            if words[0] == 'class':
                current = classes[words[1]] = {'profile': profile, 'functions': {}, 'library': [],
                                               'own': []}
            elif words[0] in ('library', 'own'):
                current[words[0]] += words[1:]
            elif words[0] == 'count':
                current['field'] = tuple(map(int, words[1].split(':')[1:]))
            elif words[0] == 'kind':
                current.setdefault('kinds', {})[words[1]] = words[2]
            elif len(words) > 1 and words[0] != 'end':
                current['functions'][words[1]] = words
    return classes


def builtin_requests():
    """Pairs of a pattern and the function that completes requests there."""
    names = subprocess.run([CLI, 'profiles', 'list'], capture_output=True, text=True, check=True)
    for profile in sorted({line.split()[0] for line in names.stdout.splitlines()[1:]}):
        text = subprocess.run([CLI, 'profiles', 'show', profile], capture_output=True, text=True,
                              check=True).stdout
        for line in text.splitlines():
            words = line.split('#')[0].split()
            if words and words[0] == 'request':
                yield words[1], words[2]


def libraries_of(patterns):
    return [path for name, path in files().items()
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


class Names(unittest.TestCase):
    def test_every_function_is_exported_by_each_installed_library(self):
        absent = set()
        checked = 0
        for name, described in builtin_classes().items():
            paths = libraries_of(described['library'])
            if not paths:
                absent.add(f'{described["profile"]} ({name})')
            for path in paths:
                for function, words in described['functions'].items():
                    if 'optional' in words or words[0] == 'lasting':
                        continue
                    checked += 1
                    with self.subTest(library=path.name, function=function):
                        self.assertIn(function, exports(path))
        print(f'{checked} names checked')
        if absent:
            self.skipTest('not installed here: ' + ', '.join(sorted(absent)))


    def test_every_function_that_completes_requests_is_exported(self):
        checked = 0
        for pattern, function in builtin_requests():
            for path in libraries_of([pattern]):
                checked += 1
                with self.subTest(library=path.name, function=function):
                    self.assertIn(function, exports(path))
        self.assertGreater(checked, 0)

    def test_every_lasting_function_is_exported_by_a_library_of_its_class(self):
        checked = 0
        for described in builtin_classes().values():
            paths = libraries_of(described['library'] + described['own'])
            for function, words in described['functions'].items():
                if words[0] == 'lasting' and libraries_of(described['library']):
                    checked += 1
                    with self.subTest(function=function):
                        self.assertTrue(any(function in exports(path) for path in paths))
        self.assertGreater(checked, 0)

    def test_every_variable_that_tells_a_kind_is_exported(self):
        kinds = {kind: (variable, described['library']) for described in
                 builtin_classes().values() for kind, variable in described.get('kinds', {}).items()}
        self.assertIn('gst-buffer', kinds)
        for variable, patterns in kinds.values():
            for path in libraries_of(patterns):
                with self.subTest(library=path.name, variable=variable):
                    self.assertIn(variable, exports(path))


class Library:
    """A shared library whose functions take and return 64-bit integers."""

    def __init__(self, pattern):
        paths = libraries_of([pattern])
        if not paths:
            raise unittest.SkipTest(f'{pattern} is not installed')
        self.library = ctypes.CDLL(str(paths[0]))

    def __getattr__(self, name):
        function = getattr(self.library, name)
        function.restype = ctypes.c_uint64

        def call(*arguments):
            return function(*(ctypes.c_uint64(a) if isinstance(a, int) else a for a in arguments))
        return call


class CountFields(unittest.TestCase):
    """The field of each class holds 1 after the birth, 2 after a retain, 1 after a release."""

    def count(self, name, handle):
        offset, width = builtin_classes()[name]['field']
        kind = {4: ctypes.c_int32, 8: ctypes.c_int64}[width]
        return kind.from_address(handle + offset).value

    def check(self, name, handle, retain, release):
        self.assertNotEqual(handle, 0)
        self.assertEqual(self.count(name, handle), 1)
        retain(handle)
        self.assertEqual(self.count(name, handle), 2)
        release(handle)
        self.assertEqual(self.count(name, handle), 1)
        release(handle)

    def test_every_field_is_checked(self):
        with_field = {name for name, c in builtin_classes().items() if 'field' in c}
        self.assertEqual(with_field, {
            'g-bytes', 'g-array', 'g-object', 'g-variant', 'gst-mini-object', 'evbuffer',
            'bufferevent', 'openssl-bio', 'openssl-x509', 'openssl-pkey', 'openssl-ssl',
            'openssl-ssl-ctx', 'openssl-session', 'nghttp2-rcbuf', 'av-buffer', 'json'})

    def test_glib(self):
        glib = Library('libglib-2.0.so.0')
        gobject = Library('libgobject-2.0.so.0')
        self.check('g-bytes', glib.g_bytes_new(b'abc', 3), glib.g_bytes_ref, glib.g_bytes_unref)
        self.check('g-array', glib.g_byte_array_new(), glib.g_byte_array_ref,
                   glib.g_byte_array_unref)
        self.check('g-variant', glib.g_variant_new_int32(7), glib.g_variant_ref,
                   glib.g_variant_unref)
        self.check('g-variant', glib.g_variant_new_tuple(0, 0), glib.g_variant_ref,
                   glib.g_variant_unref)
        object_type = gobject.g_object_get_type()
        self.check('g-object', gobject.g_object_new(object_type, 0), gobject.g_object_ref,
                   gobject.g_object_unref)

    def test_what_is_no_gobject_has_no_count_when_it_is_born(self):
        gobject = Library('libgobject-2.0.so.0')
        pspec = gobject.g_type_create_instance(gobject.g_type_from_name(b'GParamInt'))
        self.assertNotEqual(pspec, 0)
        self.assertEqual(self.count('g-object', pspec), 0)
        gobject.g_type_free_instance(pspec)

    def test_gstreamer(self):
        gst = Library('libgstreamer-1.0.so.0')
        gst.gst_init(0, 0)
        for make in (gst.gst_buffer_new, gst.gst_caps_new_empty, gst.gst_event_new_eos):
            self.check('gst-mini-object', make(), gst.gst_mini_object_ref,
                       gst.gst_mini_object_unref)

    def test_libevent(self):
        for pattern in ('libevent-2.1.so.7', 'libevent_core-2.1.so.7'):
            event = Library(pattern)
            base = event.event_base_new()
            self.check('evbuffer', event.evbuffer_new(), event.evbuffer_incref_, event.evbuffer_free)
            self.check('bufferevent', event.bufferevent_socket_new(base, 2**64 - 1, 0),
                       event.bufferevent_incref, event.bufferevent_decref)
            event.event_base_free(base)

    def test_openssl(self):
        crypto = Library('libcrypto.so.3')
        ssl = Library('libssl.so.3')
        self.check('openssl-bio', crypto.BIO_new(crypto.BIO_s_mem()), crypto.BIO_up_ref,
                   crypto.BIO_free)
        self.check('openssl-x509', crypto.X509_new(), crypto.X509_up_ref, crypto.X509_free)
        self.check('openssl-pkey', crypto.EVP_PKEY_new(), crypto.EVP_PKEY_up_ref,
                   crypto.EVP_PKEY_free)
        context = ssl.SSL_CTX_new(ssl.TLS_method())
        self.check('openssl-ssl', ssl.SSL_new(context), ssl.SSL_up_ref, ssl.SSL_free)
        self.check('openssl-ssl-ctx', context, ssl.SSL_CTX_up_ref, ssl.SSL_CTX_free)
        self.check('openssl-session', ssl.SSL_SESSION_new(), ssl.SSL_SESSION_up_ref,
                   ssl.SSL_SESSION_free)

    def test_nghttp2(self):
        nghttp2 = Library('libnghttp2.so.14')
        # there is no constructor to call: struct nghttp2_rcbuf { mem, free, base, len, ref }
        buffer = (ctypes.c_uint64 * 6)(0, 0, 0, 0, 5, 0)
        address = ctypes.addressof(buffer)
        nghttp2.nghttp2_rcbuf_incref(address)
        self.assertEqual(self.count('nghttp2-rcbuf', address), 6)
        nghttp2.nghttp2_rcbuf_decref(address)
        self.assertEqual(self.count('nghttp2-rcbuf', address), 5)
        static = (ctypes.c_int32 * 12)(*[0] * 8, -1)
        address = ctypes.addressof(static)
        nghttp2.nghttp2_rcbuf_incref(address)
        nghttp2.nghttp2_rcbuf_decref(address)
        self.assertEqual(self.count('nghttp2-rcbuf', address), -1)

    def test_ffmpeg(self):
        avutil = Library('libavutil.so.*')

        def word(address, offset=0):
            return ctypes.c_uint64.from_address(address + offset).value
        first = avutil.av_buffer_alloc(100)
        handle = word(first)
        self.assertEqual(self.count('av-buffer', handle), 1)
        self.assertEqual(word(handle, 8), 100)
        second = ctypes.c_uint64(avutil.av_buffer_ref(first))
        self.assertEqual(word(second.value), handle)
        self.assertEqual(self.count('av-buffer', handle), 2)
        # puts another buffer in place, without av_buffer_unref
        avutil.av_buffer_make_writable(ctypes.byref(second))
        self.assertNotEqual(word(second.value), handle)
        self.assertEqual(self.count('av-buffer', handle), 1)
        avutil.av_buffer_unref(ctypes.byref(second))
        self.assertEqual(second.value, 0)
        avutil.av_buffer_unref(ctypes.byref(ctypes.c_uint64(first)))

    def test_jansson(self):
        jansson = Library('libjansson.so.4')
        for value in (jansson.json_object(), jansson.json_array(), jansson.json_string(b'x'),
                      jansson.json_integer(3)):
            self.assertEqual(self.count('json', value), 1)
            jansson.json_delete(value)


if __name__ == '__main__':
    main()
