#!/usr/bin/python3
"""What report writes for programs that draw stacks, read as those programs read it."""
import re
import subprocess

from common import WRITER, CliTest, main


class StackTest(CliTest):
    def ledger(self, *kind):
        path = self.home / 'x.ledger'
        subprocess.run([WRITER, path, *kind], check=True)
        return path


class Folded(StackTest):
    def folded(self, *arguments, errors=''):
        """As flamegraph.pl reads it: what follows the last blank is the number."""
        done = self.bufleak('report', '--format', 'folded', *arguments)
        self.assertEqual(re.sub('bufleak: reading .*\n', '', done.stderr), errors)
        found = {}
        for line in done.stdout.split('\n')[:-1]:
            stack, number = re.fullmatch(r'(.*)\s+?(\d+(?:\.\d*)?)', line).groups()
            self.assertNotIn(stack, found)
            found[stack] = int(number)
        self.assertEqual(list(found), sorted(found))
        return found

    def test_a_stack_of_a_program_is_a_line_from_main_inward(self):
        victim = self.victim()
        victim.do('leak 1204 100')
        victim.do('leak 6 50')
        for option, expected in ('bytes', 120700), ('count', 1210):
            found = self.folded('--weight', option, '--class', 'heap', victim.pid)
            stacks = [s for s in found if 'leak_blocks' in s]
            self.assertEqual(sum(found[s] for s in stacks), expected)
            for stack in stacks:
                self.assertRegex(stack, r'^heap;.*;main;(obey;)?leak_blocks(;malloc)?$')

    def test_nothing_is_counted_twice_or_left_out(self):
        for kind in 'gateway', 'incident':
            ledger = self.ledger(kind)
            report = self.report('--group', 'stack', '--top', 0, ledger)
            for option, key in ('bytes', 'bytes'), ('count', 'count'):
                found = self.folded('--weight', option, ledger)
                for name in {g['class'] for g in report['groups']}:
                    self.assertEqual(sum(v for s, v in found.items() if s.startswith(name + ';')),
                                     sum(g[key] for g in report['groups'] if g['class'] == name))

    def test_filters_are_those_of_the_report(self):
        ledger = self.ledger('incident')
        self.assertEqual({s.split(';')[0] for s in self.folded(ledger)}, {'heap', 'gst-buffer'})
        self.assertEqual(set(self.folded('--class', 'heap', ledger).values()), {64})
        self.assertEqual(set(self.folded('--min-bytes', '1K', ledger).values()), {1204 * 1024 + 512})
        self.assertEqual(set(self.folded('--match', 'libgst', ledger).values()), {1204 * 1024 + 512})
        self.assertEqual(set(self.folded('--top', 1, ledger).values()), {1204 * 1024 + 512})
        self.assertEqual(self.folded('--min-age', '7d', ledger), {})
        self.refuse('there is no class', 'report', '--format', 'folded', '--class', 'x', ledger)

    def test_without_top_there_is_no_limit(self):
        self.assertEqual(len(self.folded(self.ledger('huge'))), 100000)

    def test_names_do_not_end_a_frame_or_a_line(self):
        [(stack, number)] = self.folded(self.ledger('hostile')).items()
        frames = stack.split(';')
        self.assertEqual((len(frames), number), (3, 70))
        self.assertEqual(frames[0], 'a:b <script>alert(1)</script>')
        self.assertTrue(stack.endswith('+0x20'), stack)
        self.assertNotRegex(stack, '[\x00-\x1f]')

    def test_a_stack_that_is_not_whole_says_so(self):
        found = self.folded(self.ledger('gateway'))
        self.assertIn('mmap;[no stack]', found)
        self.assertTrue(any(s.startswith('heap;[cut at the depth];gateway+0x2000') for s in found))

    def test_buffers_without_a_size_are_told_and_counted(self):
        ledger = self.ledger('sizeless')
        self.assertEqual(self.folded(ledger, errors='bufleak: 3 buffers without a known size left '
                                     'out; --weight count has all\n'), {})
        self.assertEqual(set(self.folded('--weight', 'count', ledger).values()), {3})


if __name__ == '__main__':
    main()
