#!/usr/bin/python3
"""The facts of a ledger as JSON lines."""
import collections
import json
import subprocess

from common import CLI, WRITER, CliTest, main


class Exports(CliTest):
    def ledger(self, *kind):
        path = self.home / 'x.ledger'
        subprocess.run([WRITER, path, *kind], check=True)
        return path

    def export(self, *arguments):
        """All lines by type; every stack that a line names stands before it, and only once."""
        lines = self.bufleak('export', *arguments).stdout.split('\n')
        self.assertEqual(lines.pop(), '')
        found, stacks = collections.defaultdict(list), set()
        for line in map(json.loads, lines):
            found[line['type']].append(line)
            if line['type'] == 'stack':
                self.assertNotIn(line['stack'], stacks)
                stacks.add(line['stack'])
                continue
            for stack in [line.get('stack'), *(e['stack'] for e in line.get('events', []))]:
                self.assertTrue(stack is None or stack in stacks, line)
        self.assertEqual((json.loads(lines[0])['type'], json.loads(lines[-1])['type']), ('process', 'end'))
        self.assertEqual({k: v for k, v in found['end'][0].items() if k != 'type'},
                         {'buffers': len(found['buffer']), 'lifecycles': len(found['lifecycle']),
                          'stacks': len(stacks)})
        return found

    def test_a_program_is_told_buffer_by_buffer(self):
        victim = self.victim()
        victim.do('leak 12 100')
        found = self.export(victim.pid)
        process = found['process'][0]
        self.assertEqual((process['pid'], process['schema'], process['state']), (victim.pid, 1, 'running'))
        stack = [s['stack'] for s in found['stack'] if s['frames'][0]['function'] == 'leak_blocks']
        buffers = [b for b in found['buffer'] if b['stack'] in stack]
        self.assertEqual([(b['class'], b['bytes'], b['thread'], b['reach']) for b in buffers],
                         [('heap', 100, victim.pid, 'unknown')] * 12)
        self.assertEqual(len({b['address'] for b in buffers}), 12)
        self.assertTrue(all(0 < b['age_ns'] <= process['uptime_ns'] for b in buffers))

    def test_it_has_what_the_report_adds_up(self):
        for kind in 'gateway', 'incident', 'sizeless', 'hostile', 'managed':
            ledger = self.ledger(kind)
            report, found = self.report('--group', 'stack', '--top', 0, ledger), self.export(ledger)
            sums = collections.Counter()
            for buffer in found['buffer']:
                sums[buffer['class']] += buffer['bytes']
            self.assertEqual(sum(g['count'] for g in report['groups']), len(found['buffer']))
            for name, total in sums.items():
                self.assertEqual(total, sum(g['bytes'] for g in report['groups'] if g['class'] == name))
            for line in found['class']:
                [same] = [c for c in report['classes'] if c['name'] == line['name']]
                self.assertEqual({k: line[k] for k in ('live_count', 'live_bytes', 'allocs', 'retains')},
                                 {k: same[k] for k in ('live_count', 'live_bytes', 'allocs', 'retains')})
            self.assertEqual({l['cause']: l['count'] for l in found['loss']},
                             {k: v for k, v in report['losses'].items() if v})

    def test_histories_and_lifecycles_are_there(self):
        found = self.export('--class', 'gst-buffer', self.ledger('incident'))
        self.assertEqual({l['class'] for l in found['buffer'] + found['lifecycle']}, {'gst-buffer'})
        self.assertEqual([c['name'] for c in found['class']], ['gst-buffer'])
        leaked = [b for b in found['buffer'] if b['bytes'] == 1024]
        self.assertEqual(len(leaked), 1204)
        for buffer in leaked:
            self.assertEqual([(e['op'], e['delta'], e['times']) for e in buffer['events'] if e['op'] != 'alloc'],
                             [('retain', 1, 1), ('retain', 1, 2), ('release', -1, 2), ('release', -1, 1)])
            self.assertEqual((buffer['refs'], buffer['own_count'], buffer['events_lost']), (1, None, 0))
        self.assertEqual(sorted(l['count'] for l in found['lifecycle']), [1, 20, 19200])

    def test_filters_and_unknown_classes(self):
        ledger = self.ledger('incident')
        self.assertEqual(len(self.export('--class', 'heap', ledger)['buffer']), 1)
        self.assertEqual(self.export('--min-age', '7d', ledger)['buffer'], [])
        self.refuse('there is no class', 'export', '--class', 'x', ledger)

    def test_what_was_lost_is_a_line(self):
        ledger = self.ledger()
        data = ledger.read_bytes()
        ledger.write_bytes(data[:len(data) // 2])
        self.assertIn('file_bytes_missing', [l['cause'] for l in self.export(ledger)['loss']])

    def test_a_million_buffers_are_lines(self):
        with open(self.home / 'out', 'w+', encoding='utf-8') as out:
            subprocess.run([CLI, 'export', self.ledger('huge')], env=self.env, stdout=out, check=True)
            out.seek(0)
            self.assertEqual(sum('"type":"buffer"' in line for line in out), 1000000)


if __name__ == '__main__':
    main()
