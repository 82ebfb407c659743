#!/usr/bin/python3
"""A real program passes through more stacks than the table keeps: what nothing refers to is freed
and its numbers are used again, while every live buffer goes on to name the stack it was made by."""
import os
import struct

from common import BUILD, CliTest, main

ROTATE = BUILD / 'tests' / 'growth' / 'rotate'
BITS = 20
EACH = 40000
STEP = 10000
KEEP_EACH = 1999
REUSES = 40 if os.environ.get('BL_TEST_LONG') == '1' else 4
FRAME_REUSE_AT = 1368  # of struct bl_header: frame_reuse, frame_sweeps, frames_reclaimed
PUBLISHED_FRAMES_AT = 248 + 2 * 8


# Frames that a pass enters: of EACH ways one after the other, each outermost part that differs; a
# turn is two, and the last one calls malloc and free.
PER_PASS = 2 * sum(min(2 ** bits, EACH) for bits in range(1, BITS + 1)) + 2 * EACH
# What refers to frames: 16,384 paths of frees, the five turns of which are no other's, and the
# buffers that were kept.
IN_USE = 16384 * 12 + 2 * (1 << BITS) // KEEP_EACH * 12


class Tables:
    """How large the table was each time that numbers were given out again. What is in it then is in
    use, or has come in since the sweep before began, which is after the time before that, however
    long the machine took: what a sweep freed is not carried along. A fifth is for free numbers
    that are below every caller's."""
    def __init__(self):
        self.frames = []
        self.passes = [0]

    def note(self, reuse, frames):
        self.passes[-1] += 1
        while len(self.frames) < reuse:
            self.frames.append(frames)
            self.passes.append(1)  # the one in which it came about

    def check(self, test):
        for k in range(1, len(self.frames)):
            came = self.passes[k] + self.passes[k - 1]
            most = max(self.frames[k - 1], IN_USE + PER_PASS * came)
            test.assertLess(self.frames[k], 1.2 * most,
                            f'the table goes on to grow: {self.frames} in {self.passes} passes')


class Rotation(CliTest):
    def numbers(self, pid='*'):
        ledger, = self.ledgers.glob(f'*.{pid}.*.ledger')
        with open(ledger, 'rb') as file:
            header = file.read(4096)
        return (*struct.unpack_from('<IIQ', header, FRAME_REUSE_AT),
                struct.unpack_from('<Q', header, PUBLISHED_FRAMES_AT)[0])

    def check_buffers(self, pid, least):
        report = self.report('--live', '--group', 'stack', '--top', '100000', '--match', 'take', pid)
        seen = 0
        for group in report['groups']:
            turns = [f['function'] for f in group['alloc']['frames']
                     if f['function'].startswith('turn_')]
            way = 0
            for name in turns:  # innermost first: the highest bit
                way = way << 1 | (name == 'turn_right')
            self.assertEqual(len(turns), BITS, group['alloc']['frames'])
            self.assertEqual(group['bytes'], group['count'] * (way + 1))
            seen += group['count']
        self.assertGreaterEqual(seen, least)
        self.assertEqual(report['losses'].get('stacks_dropped', 0), 0)

    def check_told(self, pid):
        _, sweeps, reclaimed, _ = self.numbers()
        report = self.report('--live', pid)
        stacks = report['memory']['stacks']
        self.assertGreaterEqual(stacks['sweeps'], sweeps)
        self.assertGreaterEqual(stacks['frames_reclaimed'], reclaimed)
        # where blocks are freed: the rarest go for new ones, and are counted; two places are followed
        self.assertGreater(report['losses']['free_paths_dropped'], 16384)
        self.assertLessEqual(len(report['site_series']), 8)
        text = ' '.join(self.bufleak('report', '--live', pid).stdout.split())
        self.assertRegex(text, r'losses and limits: .*no loss: [0-9,]+ frames of stacks that nothing '
                               r'refers to any more freed, in \d+ sweeps of their table')

    def test_live_buffers_keep_their_stacks_through_sweeps(self):
        self.env['BUFLEAK_OPTIONS'] = 'quiet=1:interval=100ms'
        victim = self.victim(program=ROTATE)
        passes = 0
        tables = Tables()
        while self.numbers()[0] < REUSES:
            victim.do(f'pass {passes * EACH} {EACH}')
            passes += 1
            reuse, _, _, frames = self.numbers()
            is_new = reuse > len(tables.frames)
            tables.note(reuse, frames)
            if is_new:
                self.check_buffers(victim.pid, passes * EACH // KEEP_EACH)
        _, _, reclaimed, frames = self.numbers()
        self.assertGreater(reclaimed, 500000)
        tables.check(self)
        self.check_told(victim.pid)
        code, errors = victim.end()
        self.assertEqual((code, errors), (0, ''))

    def test_a_child_that_is_forked_in_a_sweep_keeps_its_stacks(self):
        """Children come at every moment of the sweeps, and one when numbers have been set aside
        and not given out yet; its own sweeps then take what it inherited."""
        self.env['BUFLEAK_OPTIONS'] = 'quiet=1:interval=100ms'
        victim = self.victim(program=ROTATE)
        passed = 0
        while True:
            victim.do(f'forks {passed} {STEP}')
            passed += STEP
            reuse, sweeps, _, _ = self.numbers(victim.pid)
            if sweeps >= 2 and sweeps > reuse:
                break
        for ledger in self.ledgers.glob('*.ledger'):
            if f'.{victim.pid}.' not in ledger.name:
                self.check_buffers(ledger, 2)
        victim.process.stdin.write('become\n')
        victim.process.stdin.flush()
        child = int(victim.process.stdout.readline().split()[1])
        self.assertEqual(victim.process.stdout.readline(), 'ok\n')
        first, sweeps, _, _ = self.numbers(child)
        tables = Tables()
        while len(tables.frames) < 3:
            victim.do(f'pass {passed} {EACH}')
            passed += EACH
            reuse, _, _, frames = self.numbers(child)
            tables.note(reuse - first, frames)
        self.assertGreaterEqual(self.numbers(child)[1], sweeps + 1)
        tables.check(self)
        self.check_buffers(child, 2)
        code, errors = victim.end()
        self.assertEqual((code, errors), (0, ''))


if __name__ == '__main__':
    main()
