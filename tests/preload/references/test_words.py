#!/usr/bin/python3
"""Every word of bufleak-profile(5) in a running program: a library with a function for each way to
make, keep and end a buffer, described by a profile alone, and the events that are counted for it.

The library is loaded by a program that runs already. A claim is a class of its own: what its profile
says, what is called, and the class's row in the report.
"""
import os
import subprocess
import sys
import tempfile

import tracked

LIBRARY = os.environ['BL_LIBRARY']
PYTHON = '/usr/bin/python3'

# What the calls are made with: f.new(10) is a_new(10) in the claim of a. Integers are passed in 64
# bits, JUNK is in the upper half of arguments that are ints.
PRELUDE = '''
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
JUNK = 0xdead << 32
class Functions:
    def __init__(self, prefix, result=ctypes.c_void_p):
        self.prefix, self.result = prefix, result
    def __getattr__(self, name):
        function = getattr(library, self.prefix + name)
        function.restype = self.result
        def call(*arguments):
            return function(*(ctypes.c_void_p(a) if isinstance(a, int) or a is None else a
                              for a in arguments))
        return call
def place(value=0):
    return ctypes.c_void_p(value)
def at(p):
    return ctypes.byref(p)
def expect(found, wanted):
    if found != wanted:
        sys.exit(f'{found!r}, not {wanted!r}')
words = Functions('words_')
class Three(ctypes.Structure):
    _fields_ = [('values', ctypes.c_long * 3)]
'''

KEEP = """
for i in range(30):
    f.register(5)
    f.unref(f.new(5))
"""
# prefix, claim, lines of the class ($ stands for the prefix), calls, row
CLAIMS = [
    # ---- where the handle is ----
    ('a', 'a handle that is returned', '''
        alloc $_new size=arg1
        release $_unref''',
     'kept = [f.new(10) for i in range(5)]\nfor t in kept[:3]: f.unref(t)',
     dict(allocs=5, releases=3, live_count=2, live_bytes=20)),
    ('b', 'a handle where an argument points, if the call succeeds', '''
        alloc $_open handle=*arg2 size=arg1 when=zero
        release $_put handle=*arg1''',
     'p, q, n = place(), place(), place()\nf.open(7, at(p)); f.open(8, at(q)); f.open(0, at(n))\n'
     'f.put(at(p)); f.put(at(n))',
     dict(allocs=2, releases=1, live_count=1, live_bytes=8)),
    ('c', 'a handle where what is returned points', '''
        alloc $_box handle=*result size=arg1
        release $_put handle=*arg1''',
     'boxes = [f.box(6) for i in range(4)]\nfor b in boxes[:3]: f.put(b)',
     dict(allocs=4, releases=3, live_count=1, live_bytes=6)),
    ('d', 'a handle two pointers away', '''
        alloc $_fill handle=**arg1 size=arg2
        release $_unref''',
     'for i in range(3):\n    p = place(); f.fill(at(ctypes.pointer(p)), 9)\nf.unref(p.value)',
     dict(allocs=3, releases=1, live_count=2, live_bytes=18)),
    ('e', 'a handle three pointers away', '''
        alloc $_fill_deep handle=***arg1 size=arg2
        release $_unref''',
     'p = place(); q = ctypes.pointer(p); f.fill_deep(at(ctypes.pointer(q)), 11)',
     dict(allocs=1, live_count=1, live_bytes=11)),
    ('f', 'a handle and a size among nine arguments and two floating-point ones', '''
        alloc $_nine handle=*arg8 size=arg7 stack-words=4
        release $_unref''',
     'n = Functions("f_", ctypes.c_double)\np = place()\n'
     'expect(n.nine(1, 2, ctypes.c_double(0.5), 3, 4, 5, 6, 44, at(p), ctypes.c_double(0.25)),\n'
     '       1 + 4 + 9 + 16 + 25 + 36 + 0.75)',
     dict(allocs=1, live_count=1, live_bytes=44)),
    ('vv', 'a size that is the product of an argument in a register and one on the stack', '''
        alloc $_nine handle=*arg8 size=arg6*arg7 stack-words=4
        release $_unref''',
     'p = place()\n'
     'f.nine(1, 2, ctypes.c_double(0.5), 3, 4, 5, 6, 44, at(p), ctypes.c_double(0.25))',
     dict(allocs=1, live_count=1, live_bytes=264)),
    # ---- where the size is ----
    ('g', 'a constant size', '''
        alloc $_new size=96
        release $_unref''', 'f.new(1); f.new(2)', dict(allocs=2, live_count=2, live_bytes=192)),
    ('h', 'a size that is the product of two ints', '''
        alloc $_table size=arg1*arg2:4
        release $_unref''', 'f.table(JUNK + 6, JUNK + 7)',
     dict(allocs=1, live_count=1, live_bytes=42)),
    ('i', 'a size in the lower bytes of an argument', '''
        alloc $_new size=arg1:2
        release $_unref''', 'f.new((77 << 16) + 5)', dict(allocs=1, live_count=1, live_bytes=5)),
    ('j', 'a size that is read from the object', '''
        alloc $_new size=field:8:8
        release $_unref''', 'f.new(123)', dict(allocs=1, live_count=1, live_bytes=123)),
    ('k', 'a size where an argument points', '''
        alloc $_sized_by size=*arg1
        release $_unref''', 'f.sized_by(at(ctypes.c_uint64(55)))',
     dict(allocs=1, live_count=1, live_bytes=55)),
    ('l', 'a size that is returned', '''
        alloc $_sized handle=*arg1 size=result
        release $_unref''', 'p = place(); f.sized(at(p))',
     dict(allocs=1, live_count=1, live_bytes=33)),
    ('m', 'a size that nobody says is that of the block', '''
        alloc $_new
        release $_unref''', 'f.new(9)', dict(allocs=1, live_count=1, live_bytes=32)),
    # ---- counts ----
    ('n', 'counts by argument, constant and result', '''
        count field:16:8
        alloc $_three count=3
        retain $_ref_many count=arg2:4
        release $_unref_many count=arg2:4
        release $_unref_all_but_one count=result post
        release $_unref''',
     't = f.three(); f.ref_many(t, JUNK + 4); f.unref_many(t, JUNK + 2); f.ref_many(t, 0)\n'
     'u = f.three(); f.unref_all_but_one(u); f.unref(u)\n'
     'v = f.three(); f.unref_many(v, 3)',
     dict(allocs=3, retains=1, releases=4, live_count=1)),
    ('o', 'a count field of four bytes', '''
        count field:24:4
        alloc $_new
        retain $_ref
        release $_unref''', 't = f.new(1); f.ref(t); f.unref(t)',
     dict(allocs=1, retains=1, releases=1, live_count=1)),
    ('p', 'a count field of two bytes', '''
        count field:28:2
        alloc $_new
        retain $_ref
        release $_unref''', 't = f.new(1); f.ref(t); f.unref(t)',
     dict(allocs=1, retains=1, releases=1, live_count=1)),
    ('q', 'a count field of one byte', '''
        count field:30:1
        alloc $_new
        retain $_ref
        release $_unref''', 't = f.new(1); f.ref(t); f.unref(t)',
     dict(allocs=1, retains=1, releases=1, live_count=1)),
    # ---- which calls count ----
    ('r', 'what a function returns decides whether its call counts', '''
        count field:16:8
        alloc $_new
        retain $_try_ref when=nonzero
        retain $_add when=nonnegative
        release $_unref''',
     't = f.new(1)\nfor result in (0, 1, 0, 1): f.try_ref(t, result)\n'
     'for result in (-1, 0, 5, -1): f.add(t, result)',
     dict(allocs=1, retains=4, live_count=1)),
    ('rr', 'only a call that returns 0, as an int, counts', '''
        alloc $_new
        retain $_try_ref when=zero
        release $_unref''', 't = f.new(1)\nfor result in (0, 1, -1, JUNK, 5): f.try_ref(t, result)',
     dict(allocs=1, retains=2, live_count=1)),
    ('xx', 'only a call that returns another int than 0 counts', '''
        alloc $_new
        retain $_try_ref when=nonzero
        release $_unref''', 't = f.new(1)\nfor result in (0, 1, -1, JUNK, 5): f.try_ref(t, result)',
     dict(allocs=1, retains=3, live_count=1)),
    ('s', 'the count field decides whether a call counts', '''
        count field:16:8
        alloc $_new
        retain $_ref when=field
        release $_unref when=field''',
     't = f.new(1); f.ref(t); f.unref(t)\n'
     'static = ctypes.create_string_buffer(64)\n'
     'ctypes.c_int64.from_buffer(static, 16).value = -5\n'
     's = ctypes.addressof(static); f.ref(s)\n'
     'ctypes.c_int64.from_buffer(static, 16).value = 0; f.ref(s)',
     dict(allocs=1, retains=1, releases=1, live_count=1)),
    ('t', 'a function that makes one or finds one', '''
        count field:16:8
        alloc $_intern when=new
        retain $_ref
        release $_unref''',
     't = f.intern(None); f.intern(t); f.intern(t); f.unref(t)',
     dict(allocs=1, retains=2, releases=1, live_count=1)),
    ('u', 'NULL where it is ignored', '''
        alloc $_new
        retain $_ref
        release $_unref null=ignored''', 'f.new(1); f.unref(None); f.ref(None)',
     dict(allocs=1, live_count=1)),
    ('v', 'NULL where it is a mistake', '''
        alloc $_new
        retain $_ref null=unexpected
        release $_unref null=unexpected''',
     'f.new(1); f.unref(None); f.unref(None); f.ref(None)', dict(allocs=1, over_releases=2, live_count=1)),
    # ---- what calls what ----
    ('w', 'allocs that call one another are one birth, of the size that the outermost says', '''
        alloc $_new size=arg1
        alloc $_outer size=arg1
        alloc $_outermost size=arg1
        release $_unref''',
     'f.outermost(10); f.outer(20); f.unref(f.outermost(30))',
     dict(allocs=3, releases=1, live_count=2)),
    ('x', 'inner calls belong to what wraps them, and to a release by pointer without a word', '''
        count field:16:8
        alloc $_new
        retain $_ref
        retain $_hold wraps
        release $_unref
        release $_put handle=*arg1''',
     't = f.new(1); f.hold(t); f.ref(t); p = place(t); f.put(at(p)); f.unref(t)',
     dict(allocs=1, retains=2, releases=2, live_count=1)),
    ('y', 'a destroy that wraps', '''
        end destroy
        alloc $_new
        release $_unref
        destroy $_close wraps
        destroy $_free''', 't = f.new(1); f.close(t); f.new(1)', dict(allocs=2, releases=1, live_count=1)),
    # ---- ends ----
    ('z', 'a destroy ends a buffer whatever its count', '''
        alloc $_new
        retain $_ref
        release $_unref
        destroy $_free''', 't = f.new(1); f.ref(t); f.ref(t); f.free(t)',
     dict(allocs=1, retains=2, releases=1, live_count=0)),
    ('aa', 'the free of its block ends a buffer', '''
        alloc $_new
        release $_unref''', 't = f.new(1); words.end(t)', dict(allocs=1, releases=1, live_count=0)),
    ('bb', 'the free of its block does not end a buffer that outlives it', '''
        outlives-block
        alloc $_new
        release $_unref''', 't = f.new(1); words.end(t)', dict(allocs=1, live_count=1)),
    ('cc', 'a count of 0 ends no buffer that only a destroy ends', '''
        end destroy
        alloc $_again
        retain $_ref
        release $_many handle=arg1 stack-words=20
        destroy $_clear''',
     't = f.again(); f.ref(t)\nf.many(t, *[0] * 24); f.many(t, *[0] * 24); f.ref(t)',
     dict(allocs=1, retains=2, releases=2, live_count=1)),
    ('dd', 'what is retained from 0 lives again', '''
        revives
        alloc $_again size=8
        retain $_set_bytes
        release $_register handle=arg1''',
     't = f.again(); f.register(t); f.set_bytes(t, 1)',
     dict(allocs=2, retains=1, releases=1, live_count=1, live_bytes=8)),
    ('ee', 'births that cannot be seen: known from the first retain, by its own count', '''
        adopts
        count field:16:8
        retain $_ref
        release $_unref''',
     'p = place(); f.open(3, at(p))\n'
     'words.quietly(p.value, 2); f.ref(p.value); f.unref(p.value)\n'
     'q = place(); f.open(3, at(q)); f.ref(q.value); f.unref(q.value); f.unref(q.value)',
     dict(allocs=2, retains=2, releases=3, live_count=1)),
    ('ff', 'a buffer that is born again where it lives had ended well', '''
        recycles
        alloc $_again size=5
        destroy $_free''', 'f.again(); f.again(); f.again()',
     dict(allocs=3, releases=2, live_count=1, live_bytes=5)),
    ('gg', 'counts that are inlined into the callers are no drift', '''
        inlined
        count field:16:8
        alloc $_new
        destroy $_free''', 't = f.new(1); words.quietly(t, 3); words.quietly(t, -1); f.new(1)\n'
                           'f.free(t)', dict(allocs=2, releases=1, live_count=1)),
    # ---- changes ----
    ('hh', 'a size that changes, in place, elsewhere, or not at all', '''
        alloc $_new size=arg1
        resize $_set_bytes size=arg2
        resize $_resize into=result size=arg2
        release $_unref''',
     't = f.new(10); f.set_bytes(t, 20)\nu = f.new(10); u = f.resize(u, 300); f.unref(u)\n'
     'v = f.new(10); v = f.resize(v, 4000); f.resize(v, 0)',
     dict(allocs=3, releases=1, live_count=2, live_bytes=4020)),
    ('ii', 'a place that holds another buffer afterwards', '''
        count field:16:8
        alloc $_new size=arg1
        replace $_swap handle=*arg1 into=arg2 size=arg3
        release $_unref''',
     't, u = f.new(10), f.new(10); p = place(t); f.swap(at(p), u, 70); f.unref(u)',
     dict(allocs=2, retains=1, releases=2, live_count=1, live_bytes=70)),
    ('ss', 'a place that held nothing before', '''
        count field:16:8
        alloc $_new
        replace $_ref_to handle=*arg2 into=arg1
        release $_unref''', 't = f.new(1); p = place(); f.ref_to(t, at(p)); f.unref(t)',
     dict(allocs=1, retains=1, releases=1, live_count=1)),
    ('tt', 'a place whose change does not count, as the call fails', '''
        count field:16:8
        alloc $_new
        replace $_open handle=*arg2 when=zero
        release $_unref''', 't = f.new(1); p = place(t); f.open(0, at(p)); f.unref(t)',
     dict(allocs=1, releases=1)),
    ('jj', 'a buffer that passes into another one', '''
        alloc $_new size=arg1
        transfer $_give into=arg2
        release $_unref''', 't, u = f.new(10), f.new(20); f.give(t, u)',
     dict(allocs=2, releases=1, live_count=1, live_bytes=20)),
    ('kk', 'a release that hands out the content, or calls one that does not', '''
        count field:16:8
        alloc $_new
        retain $_ref
        release $_unref
        steal $_steal''',
     't = f.new(1); f.ref(t); expect(f.steal(t), None); f.ref(t); f.unref(t)\n'
     'expect(f.steal(t) is None, False)\nf.new(1)',
     dict(allocs=2, retains=2, releases=3, live_count=1)),
    ('uu', 'several references are given back by what may hand out the content', '''
        alloc $_three count=3
        steal $_unref_many count=arg2:4
        release $_unref''', 't = f.three(); f.unref_many(t, JUNK + 2); f.unref(t)',
     dict(allocs=1, releases=2)),
    ('ll', 'buffers that end with their owner, or when it is cleared', '''
        end destroy
        alloc $_new size=arg1
        alloc $_part owner=arg1 size=arg2
        alloc $_twin owner-of=arg1
        clear $_clear
        destroy $_free''',
     'o = f.new(100); f.twin(f.part(o, 5)); f.clear(o); f.part(o, 7)\n'
     'i = f.new(1); f.twin(f.part(i, 1)); f.free(i)',
     dict(allocs=7, releases=5, live_count=2, live_bytes=107)),
    # ---- signatures ----
    ('mm', 'functions of 25 arguments, with floating-point ones, that return a structure, that take '
           'any number', '''
        count field:16:8
        alloc $_new
        retain $_many handle=arg1 post stack-words=20
        retain $_float handle=arg1 post
        retain $_struct handle=arg2 post
        retain $_vary handle=arg1 post stack-words=32
        release $_unref''',
     't = f.new(1)\n'
     'expect(Functions("mm_", ctypes.c_long).many(t, *range(1, 24), 1),\n'
     '       sum(n * n for n in range(1, 24)) + 24)\n'
     'd = ctypes.c_double\n'
     'expect(Functions("mm_", d).float(d(1.5), t, ctypes.c_float(2.5), d(3.5)), 20.5)\n'
     'expect(list(Functions("mm_", Three).struct(t, 7).values), [7, 8, 9])\n'
     'l = ctypes.c_long\n'
     'expect(Functions("mm_", l).vary(t, ctypes.c_int(20), *(d(n) if n % 2 else l(n)\n'
     '       for n in range(20))), 190)',
     dict(allocs=1, retains=4, live_count=1)),
    ('nn', 'functions that the library need not have, and one that it should', '''
        alloc $_new
        release $_unref
        release $_nosuch optional
        release $_missing''', 'f.new(1)', dict(allocs=1, live_count=1)),
    # ---- what stays ----
    ('oo', 'what is made and kept inside a function is not to be given back', '''
        alloc $_new size=arg1
        retain $_ref
        release $_unref
        lasting $_register''', KEEP, dict(allocs=60, retains=30, releases=30, live_count=30)),
    ('pp', 'of what is made inside a function only the birth stays', '''
        alloc $_new size=arg1
        retain $_ref
        release $_unref
        lasting $_register births''', KEEP, dict(allocs=60, retains=30, releases=30, live_count=30)),
    ('qq', 'without that word, both are references that nobody gave back', '''
        alloc $_new size=arg1
        retain $_ref
        release $_unref''', KEEP, dict(allocs=60, retains=30, releases=30, live_count=30)),
]
# Ended buffers count as released where nothing else does; what lives again has been born again.
# Kinds are a part of the test of a third party's library.
COUNTED = ('allocs', 'retains', 'releases', 'over_releases', 'live_count')


def make_profile(claims):
    return ''.join(f'class w-{prefix}\n    library libwords.so\n{lines}\n'.replace('$_', f'{prefix}_')
                   for prefix, _, lines, _, _ in claims)


def make_program(claims):
    return PRELUDE + ''.join(f'f = Functions("{prefix}_")\n{calls}\n'
                             for prefix, _, _, calls, _ in claims)


def run(claims):
    with tempfile.TemporaryDirectory(prefix='bufleak-words.') as directory:
        profile = os.path.join(directory, 'words.profile')
        with open(profile, 'w', encoding='utf-8') as file:
            file.write(make_profile(claims))
        subprocess.run([tracked.CLI, 'profiles', 'check', profile], check=True,
                       timeout=tracked.LIMIT, capture_output=True)
        explained = []
        _, report = tracked.run([PYTHON, '-S', '-c', make_program(claims), LIBRARY],
                                lambda path: explained.append(tracked.cli('profiles', 'explain',
                                                                          path)),
                                options=f'quiet=1:profiles={profile}', MALLOC_PERTURB_='0')
        return report, explained[0]


def claim(report, prefix, text, row):
    def check():
        table = report.table(f'w-{prefix}')
        assert table, f'{prefix}: the class is not there'
        wanted = {key: row.get(key, 0) for key in COUNTED}
        if 'live_bytes' in row:
            wanted['live_bytes'] = row['live_bytes']
        found = {key: table[key] for key in wanted}
        assert found == wanted, f'{prefix}: {found}, not {wanted}'
    check.__doc__ = text
    return check


def main():
    report, explained = run(CLAIMS)

    def nothing_lost():
        """Nothing was lost; one function is not there, one buffer's release was not seen, and NULL
        is no buffer that is known."""
        losses = {key: count for key, count in report.losses().items()
                  if count and key in ('counts_drifted', 'events_unknown', 'events_dropped',
                                       'objects_dropped', 'owners_unknown', 'buffers_replaced',
                                       'hooks_refused', 'profiles_broken')}
        # the one whose block is freed, and a retain of NULL
        assert losses == {'hooks_refused': 1, 'counts_drifted': 1, 'events_unknown': 1}, losses
        assert 'nn_missing' in explained and 'no function of this name' in explained
        assert 'nn_nosuch' not in explained

    def null_is_named():
        """A release of NULL is an over-release, and is called that."""
        [group] = [g for g in report.of_class('w-v') if g['verdict'] == 'over-release']
        assert group['count'] == 2 and 'of NULL' in group['evidence']['text'], group

    def lasting_is_set_aside():
        """What stays by intent is accused by nobody; else what was retained there is, and born."""
        # by themselves: all calls of Python come from the same place, as parts of one owner do
        names = ('oo', 'pp', 'qq')
        accused = run([c for c in CLAIMS if c[0] in names])[0].accused()
        blamed = {name: [(g['blame']['op'], g['count'], g['refs']) for g in accused
                         if g['class'] == f'w-{name}'] for name in names}
        assert blamed == {'oo': [], 'pp': [('retain', 30, 1)], 'qq': [('alloc', 30, 2)]}, blamed

    return tracked.main(*(claim(report, prefix, text, row) for prefix, text, _, _, row in CLAIMS),
                        nothing_lost, null_is_named, lasting_is_set_aside)


if __name__ == '__main__':
    sys.exit(main())
