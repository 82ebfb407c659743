#!/usr/bin/python3
"""The built-in suppressions: each is shown by a program, with what valgrind says of the same blocks, or
told as one that no program shows here; and none hides what a program itself forgets."""
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
# What the pattern of a rule is shown by, and what valgrind says of the same blocks.
SHOWN = {
    '^gst_debug_add_log_function$': ('log_functions', 'definitely lost'),
    '^libjvm.so$': ('java', None),  # valgrind cannot run HotSpot
    '^libjli.so$': ('java', None),
}
# What no program shows on Debian 12 (159 commands, 221 of GLib's tests, the corpora, jemalloc and
# tcmalloc preloaded): pointers that are seen hold it all. They are there for builds of these libraries
# that keep such data otherwise, and hold only for what the library allocates for itself.
NOT_SHOWN = {
    'libc.so*': ['^_nl_load_locale', '^__nss_module_', '^__nss_configure_lookup', '^__nss_database_',
                 '^__nss_action_', '^__tzset', '^tzset_internal$', '^_dlerror_run$'],
    'ld-linux-*': ['^_dl_', '^dl_open_worker', '^__tls_get_addr', '^allocate_dtv', '^_dl_allocate_tls'],
    None: ['pool::pool'],
    'libg*-2.0.so*': ['^g_type_register_', '^g_type_add_interface_', '^g_type_init', '^type_node_',
                      '^type_iface_', '^g_type_class_ref$'],
    'libglib-2.0.so*': ['^g_quark_', '^g_intern_', '^g_thread_self$', '^g_private_get_impl'],
    'libcrypto.so*': ['^OPENSSL_init_', '^CRYPTO_THREAD_run_once$', '^OPENSSL_atexit$', '^OPENSSL_init_'],
}

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

    def test_every_rule_is_in_the_table(self):
        text = (ROOT / 'cli' / 'suppress.c').read_text()
        rules = re.findall(r'"leak\[class=[a-z*-]*(?:,within=([^\]]*))?\]:(.*)\\n"', text)
        self.assertGreater(len(rules), 20)
        told = [(within or None, pattern) for within, pattern in rules if pattern not in SHOWN]
        self.assertEqual(sorted(map(str, told)),
                         sorted(str((w, p)) for w, patterns in NOT_SHOWN.items() for p in patterns))

    def test_each_rule_that_is_shown_is_needed_and_valgrind_agrees(self):
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
                    function = pattern.strip('^$')
                    self.assertRegex(said, rf'blocks are {verdict} in(?:.*\n==\d+==    ){{1,8}}.*: {function} \(')

    def test_none_hides_what_a_program_forgets(self):
        program = self.build('forgets', FORGETS, 'gobject-2.0', 'libcrypto')
        for what in ('iconv', 'locale', 'once', 'class'):
            with self.subTest(what=what):
                result = self.check('--', program, what, code=23)
                self.assertGreaterEqual(result['sums']['fails']['count'], 2)
                self.assertEqual(result['sums']['suppressed']['count'], 0)


if __name__ == '__main__':
    unittest.main(verbosity=2)
