#!/usr/bin/python3
"""The shim's own hooks, in real programs and under what stands in their way: what they see is
checked, not only that the program survives."""
import json
import os
import subprocess
import sys
import tempfile

import hooked
from hooked import expect

SHIM = os.environ['BL_SHIM']
CLI = os.environ['BL_CLI']
PROGRAMS = os.environ['BL_PROGRAMS']
PYTHON = '/usr/bin/python3'
NOBODY = 65534
BUFFERS = 40
PIPELINE = ['gst-launch-1.0', '-q', 'fakesrc', f'num-buffers={BUFFERS}', '!', 'identity', '!',
            'fakesink']
ENCODE = ['ffmpeg', '-nostdin', '-v', 'error', '-f', 'lavfi', '-i',
          'testsrc=size=64x64:rate=10:duration=2', '-c:v', 'mpeg4', '-threads', '1', '-bitexact',
          '-f', 'framemd5', '-']


class Watched:
    """What a program that was run with the shim left: its output, a report on each process."""

    def __init__(self, result, directory):
        self.stdout = result.stdout
        self.reports, self.explained = [], []
        for name in sorted(os.listdir(directory)):
            if name.endswith('.ledger'):
                path = os.path.join(directory, name)
                self.reports.append(json.loads(ask('report', '--format', 'json', path)))
                self.explained.append(ask('profiles', 'explain', path))

    def only(self):
        expect(len(self.reports) == 1, f'{len(self.reports)} ledgers')
        return self.reports[0]


def ask(*arguments):
    return subprocess.run([CLI, *arguments], capture_output=True, text=True, check=True,
                          timeout=hooked.TIMEOUT_S).stdout


def watch(command, options='', before=(), env=None):
    """before: preloaded before the shim."""
    with tempfile.TemporaryDirectory(prefix='bufleak-hooks.') as directory:
        variables = {'LD_PRELOAD': ' '.join([*before, SHIM]), 'BUFLEAK_DIR': directory,
                     'BUFLEAK_OPTIONS': f'quiet=1{options}', **(env or {})}
        return Watched(hooked.run(command, variables), directory)


def row(report, name):
    found = [c for c in report['classes'] if c['name'] == name]
    expect(found, f'{name} is not among {[c["name"] for c in report["classes"]]}')
    return {key: found[0][key] for key in ('allocs', 'retains', 'releases', 'live_count')}


def methods(report, name):
    """By function of the class."""
    return {h['function']: h['method'] for h in report['hooks'] if h['class'] == name}


def expect_method(report, name, method):
    seen = methods(report, name)
    expect(seen and set(seen.values()) == {method}, f'{name} is hooked so: {seen}')


def expect_quiet(report):
    accused = [(g['class'], g['verdict']) for g in report['groups']
               if g['class'] != 'heap' and g['verdict'] not in ('unreleased', 'growing', 'steady')]
    expect(not accused, f'accused: {accused}')


# ---- import slots ----

def hidden():
    return [os.path.join(PROGRAMS, 'libhide_decoder.so')]


def is_sealed(path):
    """Full RELRO: every slot is read-only by the time anybody could write to it."""
    tags = subprocess.run(['readelf', '-dl', path], capture_output=True, text=True, check=True,
                          timeout=hooked.TIMEOUT_S).stdout
    return 'GNU_RELRO' in tags and 'NOW' in tags


def imports_of_ffmpeg():
    """Import slots alone see what FFmpeg's program and libraries ask of each other."""
    hooked.need('ffmpeg', 'readelf')
    plain = hooked.run(ENCODE)
    seen, entries = watch(ENCODE, before=hidden()), watch(ENCODE)
    expect(seen.stdout == plain.stdout == entries.stdout, 'the output differs')
    report = seen.only()
    for name in ('av-buffer', 'av-frame', 'av-packet'):
        expect_method(report, name, 'import')
        by_import, by_entry = row(report, name), row(entries.only(), name)
        expect(by_import['allocs'] > 0, f'{name}: {by_import}')
        # those made inside the library are unseen
        expect(by_import['allocs'] <= by_entry['allocs'], f'{name}: {by_import}, {by_entry}')
    expect_quiet(report)
    sealed = is_sealed(hooked.library('libavcodec.so.59'))
    return f'libavcodec {"with" if sealed else "without"} full RELRO, {row(report, "av-frame")}'


def imports_of_apr():
    """Import slots alone see a program's pools of APR, also where its slots are sealed."""
    hooked.need('htpasswd', 'readelf')
    command = ['htpasswd', '-nbs', 'user', 'word']
    plain = hooked.run(command)
    seen = watch(command, before=hidden())
    expect(seen.stdout == plain.stdout, 'the output differs')
    report = seen.only()
    made = methods(report, 'apr-pool')
    expect(made.get('apr_pool_create_ex') == 'import', f'{made}')
    expect(row(report, 'apr-pool')['allocs'] >= 1, f'{row(report, "apr-pool")}')
    expect_quiet(report)
    program = subprocess.run(['which', 'htpasswd'], capture_output=True, text=True,
                             check=True).stdout.strip()
    expect(is_sealed(program), f'{program} is not sealed')


def imports_of_gstreamer():
    """Import slots alone accuse nobody in a pipeline, and the report says what is unseen."""
    hooked.need('gst-launch-1.0')
    seen = watch(PIPELINE, before=hidden())
    report = seen.only()
    expect_method(report, 'g-object', 'import')
    # births are calls inside libgobject: what is done to an object that is not known is counted
    expect(row(report, 'g-object')['allocs'] == 0 and report['losses']['events_unknown'] > 100,
           f'{row(report, "g-object")}, {report["losses"]}')
    expect_quiet(report)
    text = seen.explained[0]
    expect('g_object_ref' in text and 'import' in text and 'libZydis is not installed' in text,
           f'explain does not say: {text[:1500]}')


def tight(kind):
    """A library that Python loads, and that loads another: calls between the two are seen exactly."""
    program = ('import ctypes, sys\n'
               f'print(ctypes.CDLL("{PROGRAMS}/libtight_{kind}.so").tight_work(100))\n')
    profile = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'tight.profile')
    seen = watch([PYTHON, '-c', program], options=f':profiles=auto,{profile}')
    expect(seen.stdout == b'10\n', f'{seen.stdout}')
    report = seen.only()
    expect_method(report, 'tight', 'import')
    expect(row(report, 'tight') == {'allocs': 100, 'retains': 100, 'releases': 190,
                                    'live_count': 10}, f'{row(report, "tight")}')
    why = [h['why'] for h in report['hooks'] if h['class'] == 'tight']
    expect(all('branch into its head' in text for text in why), f'{why}')


def imports_late_lazy():
    """Slots that are bound lazily are hooked in what a program loads."""
    tight('lazy')


def imports_late_sealed():
    """Slots under full RELRO are hooked in what a program loads."""
    expect(is_sealed(f'{PROGRAMS}/libtight_sealed.so'), 'it is not sealed')
    tight('sealed')


LATE_MODULES = {'glib': ('g-bytes', 'libglib-2.0.so.0'), 'apr': ('apr-pool', 'libapr-1.so.0'),
                'av': ('av-buffer', 'libavutil.so.*')}


def late_program(name, kind):
    path = os.path.join(PROGRAMS, f'liblate_{name}_{kind}.so')
    if not os.path.exists(path):
        raise hooked.Skipped(f'{name} was not built: its library is not installed')
    return [PYTHON, '-S', '-c',
            f'import ctypes\nprint(ctypes.CDLL("{path}").late_work(100))\n']


def imports_late_modules():
    """Without entry hooks, what is loaded later has its slots hooked before it runs: the calls that
    a module makes of GLib, APR or FFmpeg are seen as exactly as by entry hooks, and its
    constructor's as well."""
    found = []
    for name, (class_name, needed) in LATE_MODULES.items():
        hooked.library(needed)
        for kind in ('lazy', 'sealed'):
            command = late_program(name, kind)
            by_import, by_entry = watch(command, before=hidden()), watch(command)
            expect(by_import.stdout == by_entry.stdout == b'50\n', f'{by_import.stdout}')
            expect_method(by_entry.only(), class_name, 'entry')
            report = by_import.only()
            expect_method(report, class_name, 'import')
            events = row(report, class_name)
            expect(events == row(by_entry.only(), class_name),
                   f'{name} {kind}: {events}, by entry {row(by_entry.only(), class_name)}')
            # APR itself has made two pools when it is ready
            own = 2 if name == 'apr' else 0
            expect((events['allocs'], events['live_count']) == (101 + own, 50 + own), f'{events}')
            expect(report['losses']['events_unknown'] == 0, f'{report["losses"]}')
            expect('not looked at' not in by_import.explained[0], by_import.explained[0])
            found.append(f'{name} {kind} {events}')
    return '; '.join(found)


# ---- what stands in the way ----

MDWE = 'import ctypes, os, sys\nif ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0: sys.exit(77)\n'
# No page is made executable that is writable or was, as systemd's MemoryDenyWriteExecute has it.
FILTER = '''
import ctypes, errno, os, struct, sys
LOAD, EQUAL, SET, RETURN = 0x20, 0x15, 0x45, 0x06
refuse, pass_on = (RETURN, 0, 0, 0x50000 | errno.EPERM), (RETURN, 0, 0, 0x7fff0000)
code = [(LOAD, 0, 0, 0), (EQUAL, 0, 3, 9), (LOAD, 0, 0, 32), (SET, 0, 7, 2), (SET, 5, 6, 4),
        (EQUAL, 1, 0, 10), (EQUAL, 0, 4, 329), (LOAD, 0, 0, 32), (SET, 1, 2, 4), pass_on,
        refuse, pass_on]
text = b''.join(struct.pack('HBBI', *line) for line in code)
held = ctypes.create_string_buffer(text)
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_void_p)]
program = Program(len(code), ctypes.addressof(held))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0): sys.exit(77)
import mmap
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    sys.exit(78)
except OSError:
    pass
'''
EXECUTE = 'import os, sys\nos.execvp(sys.argv[1], sys.argv[1:])\n'


def restricted(setting):
    """The same events as without, all of them by entry hooks."""
    hooked.need('gst-launch-1.0')
    command = [PYTHON, '-S', '-c', setting + EXECUTE, *PIPELINE]
    done = subprocess.run([PYTHON, '-S', '-c', setting], check=False, timeout=hooked.TIMEOUT_S)
    if done.returncode == 77:
        raise hooked.Skipped('the kernel does not know this restriction')
    expect(done.returncode == 0, f'the restriction does not restrict: {done.returncode}')
    free = watch(PIPELINE).only()
    report = next(r for r in watch(command).reports if r['process']['comm'].startswith('gst'))
    for name in ('gst-mini-object', 'g-object', 'g-bytes'):
        expect_method(report, name, 'entry')
    expect(row(report, 'gst-buffer') == row(free, 'gst-buffer'),
           f'{row(report, "gst-buffer")}, free: {row(free, "gst-buffer")}')
    expect(report['losses']['counts_drifted'] == 0, 'counts drifted')
    return f'{row(report, "gst-buffer")}'


def under_mdwe():
    """Entry hooks see the same events where PR_SET_MDWE forbids to make code writable."""
    return restricted(MDWE)


def under_filter():
    """Entry hooks see the same events under a seccomp filter against writable code."""
    return restricted(FILTER)


# Beside that, what is written to /proc/self/mem is refused, as a kernel does that has
# proc_mem.force_override=never.
NO_CODE = FILTER.replace("(LOAD, 0, 0, 0), (EQUAL, 0, 3, 9)",
                         "(LOAD, 0, 0, 0), (EQUAL, 9, 0, 18), (EQUAL, 0, 3, 9)")


def no_code_at_all():
    """Where no code can be written, what was there at the start is seen through import slots, and it
    is said that what a program loads later is not looked at."""
    hooked.need('htpasswd')
    command = ['htpasswd', '-nbs', 'user', 'word']
    plain = hooked.run(command)
    seen = watch([PYTHON, '-S', '-c', NO_CODE + EXECUTE, *command])
    expect(seen.stdout == plain.stdout, 'the output differs')
    report = next(r for r in seen.reports if r['process']['comm'] == 'htpasswd')
    expect(methods(report, 'apr-pool').get('apr_pool_create_ex') == 'import',
           f'{methods(report, "apr-pool")}')
    expect(row(report, 'apr-pool')['allocs'] >= 1, f'{row(report, "apr-pool")}')
    expect_quiet(report)
    late = watch([PYTHON, '-S', '-c', NO_CODE + EXECUTE, *late_program('apr', 'lazy')])
    expect(late.stdout == b'50\n', f'{late.stdout}')
    report, text = late.reports[-1], late.explained[-1]
    expect('apr-pool' not in [c['name'] for c in report['classes']], f'{report["classes"]}')
    for said in (text, *late.explained[:-1]):
        if 'libraries that were loaded later were not looked at: its code cannot be written' in said:
            return said.splitlines()[-1]
    raise hooked.Failed(f'explain does not say what is unseen: {text}')


def under_valgrind():
    """The shim in a program that valgrind runs sees the same events."""
    hooked.need('valgrind', 'openssl')
    command = ['openssl', 'dgst', '-sha256', os.path.abspath(__file__)]
    free = watch(command)
    checked = watch(['valgrind', '-q', '--tool=none', *command])
    expect(checked.stdout == free.stdout, 'the output differs')
    report = next(r for r in checked.reports if row(r, 'openssl-bio')['allocs'])
    expect_method(report, 'openssl-bio', 'entry')
    expect(row(report, 'openssl-bio') == row(free.only(), 'openssl-bio'),
           f'{row(report, "openssl-bio")}, free: {row(free.only(), "openssl-bio")}')
    return f'{row(report, "openssl-bio")}'


LATE = '''
def use(made, freed):
    import ctypes
    event = ctypes.CDLL("libevent-2.1.so.7")
    event.evbuffer_new.restype = ctypes.c_void_p
    event.evbuffer_free.argtypes = [ctypes.c_void_p]
    buffers = [event.evbuffer_new() for i in range(made)]
    for buffer in buffers[:freed]:
        event.evbuffer_free(buffer)
'''


def after_setuid():
    """A library that is loaded after privileges were given up is hooked at its entries."""
    hooked.library('libevent-2.1.so.7')
    if os.geteuid() != 0:
        raise hooked.Skipped('only root has privileges to give up')
    program = LATE + f'''
import os
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
try:
    open("/proc/self/mem", "r+b")
    print("open")
except OSError:
    print("closed")
use(30, 25)
'''
    seen = watch([PYTHON, '-S', '-c', program])
    expect(seen.stdout == b'closed\n', f'{seen.stdout}: nothing was to be shown')
    report = seen.only()
    expect_method(report, 'evbuffer', 'entry')
    expect(row(report, 'evbuffer') == {'allocs': 30, 'retains': 0, 'releases': 25,
                                       'live_count': 5}, f'{row(report, "evbuffer")}')


def in_children():
    """Each of a parent and its children counts its own calls, also of what a child loads itself."""
    hooked.library('libevent-2.1.so.7')
    hooked.library('libjansson.so.4')
    program = LATE + '''
import ctypes, os
json = ctypes.CDLL("libjansson.so.4")
json.json_array.restype = ctypes.c_void_p
json.json_delete.argtypes = [ctypes.c_void_p]
kept = [json.json_array() for i in range(7)]
for number in (1, 2):
    if os.fork() == 0:
        use(10 * number, 5)
        more = [json.json_array() for i in range(number)]
        for array in more:
            json.json_delete(array)
        os._exit(0)
    os.wait()
'''
    # a child begins with what its parent had
    reports = watch([PYTHON, '-S', '-c', program]).reports
    expect(len(reports) == 3, f'{len(reports)} ledgers')
    found = []
    for report in reports:
        names = [c['name'] for c in report['classes']]
        expect(report['losses']['counts_drifted'] == 0, 'drifted')
        events = row(report, 'evbuffer') if 'evbuffer' in names else None
        found.append((row(report, 'json')['allocs'],
                      (events['allocs'], events['releases']) if events else None))
        if events:
            expect_method(report, 'evbuffer', 'entry')
    expect(sorted(found, key=str) == sorted([(7, None), (7 + 1, (10, 5)), (7 + 2, (20, 5))], key=str),
           f'{found}')


if __name__ == '__main__':
    sys.exit(hooked.main(imports_of_ffmpeg, imports_of_apr, imports_of_gstreamer,
                         imports_late_lazy, imports_late_sealed, imports_late_modules, under_mdwe,
                         under_filter, no_code_at_all,
                         under_valgrind, after_setuid, in_children))
