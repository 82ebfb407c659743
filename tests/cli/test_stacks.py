#!/usr/bin/python3
"""What report writes for other programs, read as those programs read it."""
import gzip
import html.parser
import os
import pty
import re
import subprocess

from common import CLI, LIMIT, WRITER, CliTest, main


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


def number(data, at):
    """A varint; and where it ends."""
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7f) << shift
        at, shift = at + 1, shift + 7
    return value | data[at] << shift, at + 1


def message(data):
    """A protocol buffer's fields by number, each a list; of every kind that profile.proto has."""
    fields, at = {}, 0
    while at < len(data):
        tag, at = number(data, at)
        value, at = number(data, at)
        if tag & 7 == 2:
            value, at = data[at:at + value], at + value
        else:
            assert tag & 7 == 0, tag
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def packed(values):
    found = []
    for data in values:
        at = 0
        while at < len(data):
            value, at = number(data, at)
            found.append(value)
    return found


class Profile:
    """Read by the numbers in pprof's own profile.proto, not by ours."""

    def __init__(self, data):
        fields = message(gzip.decompress(data))
        self.strings = [s.decode('utf-8') for s in fields[6]]
        assert self.strings[0] == ''
        self.types = [tuple(self.text(message(t), n) for n in (1, 2)) for t in fields[1]]
        self.default_type = self.text(fields, 14)
        self.duration_ns = fields[10][0]
        self.mappings = {}
        for mapping in map(message, fields.get(3, [])):
            self.mappings[mapping[1][0]] = {
                'start': mapping.get(2, [0])[0], 'limit': mapping.get(3, [0])[0],
                'file': self.text(mapping, 5), 'build_id': self.text(mapping, 6)}
        functions = {f[1][0]: (self.text(f, 2), self.text(f, 4)) for f in map(message, fields.get(5, []))}
        self.locations = {}
        for location in map(message, fields[4]):
            lines = [message(l) for l in location.get(4, [])]
            self.locations[location[1][0]] = {
                'mapping': self.mappings.get(location.get(2, [0])[0]), 'address': location.get(3, [0])[0],
                'lines': [(*functions[l[1][0]], l.get(2, [0])[0]) for l in lines]}
        self.samples = []
        for sample in map(message, fields[2]):
            labels = {self.text(l, 1): self.text(l, 2) for l in map(message, sample[3])}
            self.samples.append(([self.locations[n] for n in packed(sample[1])], packed(sample[2]), labels))

    def text(self, fields, field):
        return self.strings[fields.get(field, [0])[0]]


class Pprof(StackTest):
    def profile(self, *arguments):
        done = subprocess.run([CLI, 'report', '--format', 'pprof', *map(str, arguments)], env=self.env,
                              capture_output=True, timeout=LIMIT, check=True)
        return Profile(done.stdout)

    def test_a_stack_of_a_program_is_a_sample_with_addresses_functions_and_lines(self):
        victim = self.victim()
        victim.do('leak 1204 100')
        report = self.report('--group', 'stack', victim.pid)
        profile = self.profile(victim.pid)
        self.assertEqual(profile.types, [('objects', 'count'), ('space', 'bytes')])
        self.assertEqual(profile.default_type, 'space')
        self.assertGreater(profile.duration_ns, 0)
        self.assertTrue(profile.mappings[1]['file'].endswith('/cli_victim'), profile.mappings)
        group = self.group_of(report, 'leak_blocks')
        [(stack, values, labels)] = [s for s in profile.samples if s[1][0] == 1204]
        self.assertEqual((values[1], labels), (120400, {'class': 'heap'}))
        lines = [line for location in stack for line in location['lines']]
        self.assertEqual(lines, [(f['function'], f['file'] or '', f['line'] or 0)
                                 for f in group['alloc']['frames'] if f['function']])
        innermost = group['alloc']['frames'][0]
        self.assertEqual(stack[0]['mapping']['build_id'], innermost['build_id'])
        # within the call, which is before the return address
        self.assertEqual(stack[0]['address'] - stack[0]['mapping']['start'], innermost['offset'] - 1)
        for location in stack:
            self.assertLessEqual(location['mapping']['start'], location['address'])
            self.assertLess(location['address'], location['mapping']['limit'])

    def test_nothing_is_counted_twice_or_left_out(self):
        for kind in 'gateway', 'incident', 'sizeless':
            ledger = self.ledger(kind)
            groups = self.report('--group', 'stack', '--top', 0, ledger)['groups']
            samples = self.profile(ledger).samples
            self.assertEqual(sorted((s[2]['class'], *s[1]) for s in samples),
                             sorted((g['class'], g['count'], g['bytes']) for g in groups))

    def test_filters_are_those_of_the_report(self):
        ledger = self.ledger('incident')
        self.assertEqual([s[1] for s in self.profile('--class', 'heap', ledger).samples], [[1, 64]])
        self.assertEqual([s[1][0] for s in self.profile('--match', 'libgst', ledger).samples], [1205])

    def test_what_has_no_function_is_left_for_pprof_to_look_up(self):
        profile = self.profile(self.ledger('incident'))
        self.assertEqual({m['build_id'] for m in profile.mappings.values()}, {'0123', '45'})
        self.assertFalse([l for l in profile.locations.values() if l['lines']])

    def test_java_methods_have_no_address(self):
        [(stack, values, _)] = self.profile(self.ledger('managed')).samples
        self.assertEqual(stack, [{'mapping': None, 'address': 0,
                                  'lines': [('app.Cache.put', 'Cache.java', 39)]}])
        self.assertEqual(values, [1, 8192])

    def test_a_stack_that_is_not_whole_says_so(self):
        roots = [s[0][-1]['lines'] for s in self.profile(self.ledger('gateway')).samples]
        self.assertIn([('[no stack]', '', 0)], roots)
        self.assertIn([('[cut at the depth]', '', 0)], roots)

    def test_names_are_as_they_are(self):
        profile = self.profile(self.ledger('hostile'))
        self.assertEqual(profile.samples[0][2], {'class': 'a;b <script>alert(1)</script>'})

    def test_a_million_buffers_are_written(self):
        self.assertEqual(len(self.profile(self.ledger('huge')).samples), 100000)

    def test_it_is_not_for_a_terminal(self):
        ledger = self.ledger()
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        done = subprocess.run([CLI, 'report', '--format', 'pprof', ledger], env=self.env, stdout=theirs,
                              stderr=subprocess.PIPE, text=True, timeout=LIMIT, check=False)
        os.close(theirs)
        self.assertEqual(done.returncode, 2)
        self.assertIn('give it a file', done.stderr)


class Page(html.parser.HTMLParser):
    """What a browser would make of it, and anything that a report has no use for."""

    TAGS = set('html head meta title style body h1 h2 p table tr th td svg polyline details summary pre div '
               'span'.split())

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.bars, self.lines, self.unfolded = [], {}, [], [], 0
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        assert tag in self.TAGS, tag
        attributes = dict(attributes)
        assert set(attributes) <= set('lang charset http-equiv content name class width height viewbox points '
                                      'open style title'.split()), attributes
        if tag != 'meta':
            self.open.append(tag)
        self.text.setdefault(tag, []).append('')
        self.unfolded += 'open' in attributes
        if tag == 'polyline':
            self.lines.append([tuple(map(float, p.split(','))) for p in attributes['points'].split()])
        if tag == 'div' and 'style' in attributes:
            self.width = float(re.fullmatch(r'width:([0-9.]+)%', attributes['style'])[1])
        if tag == 'span':
            assert re.fullmatch(r'background:hsl\(\d+ 75% 70%\)', attributes['style']), attributes
            self.bars.append((self.open.count('div') // 2, attributes['title'], self.width))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        if self.open:
            self.text[self.open[-1]][-1] += data

    def handle_decl(self, decl):
        assert decl == 'DOCTYPE html'

    def handle_comment(self, data):
        raise AssertionError(data)


class Html(StackTest):
    def page(self, *arguments):
        text = self.bufleak('report', '--format', 'html', *arguments).stdout
        self.assertNotRegex(text, r'(?i)https?:|url\(|@import|javascript')
        self.assertIn("default-src 'none'", text)
        return Page(text)

    def test_it_says_what_the_text_says(self):
        for kind in 'gateway', 'incident':
            ledger = self.ledger(kind)
            text = self.bufleak('report', '--all', ledger).stdout
            page = self.page(ledger)
            titles = page.text['summary']
            self.assertEqual(titles, re.findall(r'(?m)^\d+\. .*$', text))
            self.assertEqual(page.text['h1'], page.text['title'])
            self.assertEqual(page.text['h1'][0], text.splitlines()[0])
            for block in page.text['pre']:
                self.assertIn(block.strip('\n'), text)
            self.assertEqual(page.unfolded, min(3, len(titles)))

    def test_the_table_has_the_classes(self):
        page = self.page(self.ledger('incident'))
        cells = page.text['td']
        self.assertEqual(cells[7:], ['gst-buffer', '1,205', '1.18 MiB', '-', '', '20,426', '19,221'])

    def test_growth_is_a_line_that_rises(self):
        [line] = self.page(self.ledger('growing')).lines
        self.assertGreater(len(line), 20)
        self.assertEqual(line, sorted(line, key=lambda p: (p[0], -p[1])))
        self.assertEqual((line[0][0], line[-1]), (0, (220, 0)))

    def test_the_flame_graph_has_all_bytes_and_each_caller_once(self):
        bars = self.page(self.ledger('prefixes')).bars
        self.assertEqual([(depth, title) for depth, title, _ in bars],
                         [(1, 'heap: 400 B, 100.0%'),
                          (2, 'gateway+0x1: 200 B, 50.0%'), (3, 'gateway+0x5: 100 B, 25.0%'),
                          (2, 'gateway+0x10: 200 B, 50.0%'), (3, 'gateway+0x5: 100 B, 25.0%')])
        self.assertEqual([width for _, _, width in bars], [100, 50, 50, 50, 50])

    def test_filters_hold_for_the_graph_too(self):
        bars = self.page('--class', 'heap', '--top', 1, self.ledger('incident')).bars
        self.assertEqual({title.split(': ')[1] for _, title, _ in bars}, {'64 B, 100.0%'})

    def test_names_are_text_and_nothing_else(self):
        page = self.page(self.ledger('hostile'))
        self.assertIn('a;b <script>alert(1)</script>', page.text['td'])
        self.assertIn('lib "&\':??[31m<b>.so+0x20', page.text['span'])
        self.assertIn('lib "&\';??[31m<b>.so+0x20', page.text['pre'][0])

    def test_a_million_buffers_are_a_page(self):
        page = self.page(self.ledger('huge'))
        self.assertEqual(page.bars[0][1:], ('heap: 61.04 MiB, 100.0%', 100))

    def test_without_buffers_there_is_a_page(self):
        page = self.page('--min-age', '7d', self.ledger())
        self.assertEqual((page.bars, page.text['pre']), ([], ['no unreleased buffers to show\n']))


if __name__ == '__main__':
    main()
