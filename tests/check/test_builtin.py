#!/usr/bin/python3
"""The built-in suppressions: each is shown by a program, with what valgrind says of the same blocks; what
other libraries keep needs none; and none hides what a program itself forgets."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cli'))
from common import LIMIT  # noqa: E402
from test_check import CheckTest  # noqa: E402

ROOT = pathlib.Path(os.environ['BL_SOURCE_ROOT'])

LOG_FUNCTIONS = '''
#include <gst/gst.h>
static void log_nothing(GstDebugCategory *category, GstDebugLevel level, const gchar *file,
                        const gchar *function, gint line, GObject *object, GstDebugMessage *message,
                        gpointer data)
{
}
int main(int argc, char **argv)
{
    gst_init(&argc, &argv);
    gst_debug_add_log_function(log_nothing, NULL, NULL);
    gst_deinit();
    return 0;
}
'''
JAVA = '''
public class Hello {
    public static void main(String[] arguments) throws Exception {
        Thread thread = new Thread(() -> System.out.println("hello"));
        thread.start();
        thread.join();
    }
}
'''
# The table of quarks doubles from 2,048.
QUARKS = '''
#include <glib-object.h>
#include <string.h>
int main(int argc, char **argv)
{
    for (int i = 0; i < 5000; i++) {
        char *name = g_strdup_printf("Name%d", i);
        GTypeInfo info = {.class_size = sizeof(GObjectClass), .instance_size = sizeof(GObject)};
        if (strcmp(argv[1], "quark") == 0)
            g_quark_from_string(name);
        else if (strcmp(argv[1], "intern") == 0)
            g_intern_string(name);
        else
            g_type_register_static(G_TYPE_OBJECT, name, &info, 0);
        g_free(name);
    }
    volatile char stale[32768];
    memset((char *)stale, 0, sizeof(stale));
    return 0;
}
'''
# What the pattern of a rule is shown by, and what valgrind says of the same blocks.
SHOWN = {
    '^g_quark_': ('quarks', 'definitely lost'),
    '^g_intern_': ('interned', 'definitely lost'),
    '^gst_debug_add_log_function$': ('log_functions', 'definitely lost'),
    '^libjvm.so$': ('java', None),  # valgrind cannot run HotSpot
    '^libjli.so$': ('java', None),
}

# What libc, the loader, OpenSSL, GLib's types and the C++ runtime make for themselves and never give back.
KEEPS = '''
#include <dlfcn.h>
#include <glib-object.h>
#include <iconv.h>
#include <libintl.h>
#include <locale.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <pwd.h>
#include <string.h>
#include <time.h>
static void *thread(void *plugin)
{
    time_t now = 0;
    struct tm tm;
    setenv("TZ", "Asia/Tokyo", 1);
    tzset();
    localtime_r(&now, &tm);
    dlopen("/nonexistent", RTLD_NOW);
    int *(*counter)(void) = (int *(*)(void))dlsym(plugin, "counter");
    ++*counter();
    ERR_raise(ERR_LIB_USER, 1);
    g_thread_self();
    return NULL;
}
int main(int argc, char **argv)
{
    setlocale(LC_ALL, "C.UTF-8");
    setlocale(LC_TIME, "C");
    bindtextdomain("nobody", "/nonexistent");
    gettext("nothing");
    getpwnam("root");
    getservbyname("http", "tcp");
    iconv_close(iconv_open("UTF-16", "UTF-8"));
    setenv("TZ", "EST5EDT", 1);
    tzset();
    OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG, NULL);
    SSL_CTX_free(SSL_CTX_new(TLS_client_method()));
    g_type_class_unref(g_type_class_ref(G_TYPE_OBJECT));
    void *plugin = dlopen(argv[1], RTLD_NOW);
    for (int i = 0; i < 3; i++) {
        pthread_t id;
        pthread_create(&id, NULL, thread, plugin);
        pthread_join(id, NULL);
    }
    dlclose(plugin);
    dlclose(dlopen("libstdc++.so.6", RTLD_NOW));
    volatile char stale[65536];
    memset((char *)stale, 0, sizeof(stale));
    return 0;
}
'''

# Forgotten by the program, in libraries that rules are for: three of each must fail.
FORGETS = '''
#include <glib-object.h>
#include <iconv.h>
#include <locale.h>
#include <openssl/crypto.h>
#include <string.h>
static void *forget(void) { return memset(malloc(40), 1, 40); }
static void once(void) { forget(); }
static void class_init(gpointer class, gpointer data) { forget(); }
static __attribute__((noinline)) void leak(const char *what, int turn)
{
    static CRYPTO_ONCE onces[3] = {CRYPTO_ONCE_STATIC_INIT, CRYPTO_ONCE_STATIC_INIT, CRYPTO_ONCE_STATIC_INIT};
    if (strcmp(what, "iconv") == 0)
        iconv_open("UTF-8", "ISO-8859-15");
    if (strcmp(what, "locale") == 0)
        newlocale(LC_CTYPE_MASK, "C.UTF-8", newlocale(LC_ALL_MASK, "C", NULL));
    if (strcmp(what, "once") == 0)
        CRYPTO_THREAD_run_once(&onces[turn], once);
    if (strcmp(what, "class") == 0) {
        GTypeInfo info = {.class_size = sizeof(GObjectClass), .class_init = class_init,
                          .instance_size = sizeof(GObject)};
        char name[] = "Forgets0";
        name[7] += turn;
        g_type_class_ref(g_type_register_static(G_TYPE_OBJECT, name, &info, 0));
    }
}
static __attribute__((noinline)) void wipe_stack(void)
{
    volatile char stale[32768];
    memset((char *)stale, 0, sizeof(stale));
}
int main(int argc, char **argv)
{
    for (int i = 0; i < 3; i++)
        leak(argv[1], i);
    wipe_stack();
    return argc - 2;
}
'''


class Builtin(CheckTest):
    def build(self, name, text, *packages):
        flags = subprocess.run(['pkg-config', '--cflags', '--libs', *packages], check=True,
                               capture_output=True, text=True).stdout.split()
        program = self.home / name
        subprocess.run(['gcc', '-g', '-O1', '-w', '-x', 'c', '-', '-o', program, *flags], check=True,
                       text=True, input=text, timeout=LIMIT)
        return program

    def log_functions(self):
        return [self.build('log_functions', LOG_FUNCTIONS, 'gstreamer-1.0')]

    def java(self):
        if not shutil.which('javac'):
            self.skipTest('there is no Java')
        (self.home / 'Hello.java').write_text(JAVA)
        subprocess.run(['javac', '-d', self.home, self.home / 'Hello.java'], check=True, timeout=LIMIT)
        return ['java', '-Xmx64m', '-cp', self.home, 'Hello']

    def quarks(self):
        return [self.build('quarks', QUARKS, 'gobject-2.0'), 'quark']

    def interned(self):
        return [self.build('quarks', QUARKS, 'gobject-2.0'), 'intern']

    def test_every_rule_is_shown(self):
        text = (ROOT / 'cli' / 'suppress.c').read_text()
        rules = re.findall(r'"leak\[class=[a-z*-]*(?:,within=[^\]]*)?\]:(.*)\\n"', text)
        self.assertEqual(sorted(rules), sorted(SHOWN))

    def test_each_rule_is_needed_and_valgrind_agrees(self):
        for pattern, (program, verdict) in SHOWN.items():
            with self.subTest(rule=pattern):
                command = getattr(self, program)()
                used = {g['suppressed_by']['text'].split(']:')[1] for g in self.check('--', *command)['groups']
                        if g['suppressed_by']}
                self.assertIn(pattern, used)
                self.check('--no-builtin', '--', *command, code=23)
                if verdict and shutil.which('valgrind'):
                    said = subprocess.run(['valgrind', '--leak-check=full', *command], text=True, timeout=LIMIT,
                                          capture_output=True, env=dict(self.env, G_SLICE='always-malloc')).stderr
                    function = pattern.strip('^$') + ('' if pattern.endswith('$') else r'\w+')
                    self.assertRegex(said, rf'blocks are {verdict} in(?:.*\n==\d+==    ){{1,8}}.*: {function} \(')

    def test_types_that_make_the_table_of_quarks_grow_are_covered(self):
        program = self.build('quarks', QUARKS, 'gobject-2.0')
        self.assertEqual([g['fate'] for g in self.check('--', program, 'type')['groups']], ['suppressed'])

    def test_what_other_libraries_keep_needs_no_rule(self):
        subprocess.run(['gcc', '-shared', '-fPIC', '-x', 'c', '-', '-o', self.home / 'plugin.so'], check=True,
                       text=True, input='static __thread int many[2000];\nint *counter(void) { return many; }\n')
        program = self.build('keeps', KEEPS, 'gobject-2.0', 'libssl', 'libcrypto')
        result = self.check('--no-builtin', '--', program, self.home / 'plugin.so')
        self.assertEqual((result['outcome'], result['groups']), ('passed', []))

    def test_none_hides_what_a_program_forgets(self):
        program = self.build('forgets', FORGETS, 'gobject-2.0', 'libcrypto')
        for what in ('iconv', 'locale', 'once', 'class'):
            with self.subTest(what=what):
                result = self.check('--', program, what, code=23)
                self.assertGreaterEqual(result['sums']['fails']['count'], 2)
                self.assertEqual(result['sums']['suppressed']['count'], 0)


if __name__ == '__main__':
    unittest.main(verbosity=2)
