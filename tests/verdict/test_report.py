#!/usr/bin/python3
"""What a report on a real program looks like: every field that the JSON promises, with its type, and
what the options that narrow a report leave of it.

Results are TAP on stdout, one line a claim.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

from corpus import CLI, PROGRAMS, SHIM, ACCUSATIONS, marks_of, place_of

LIMIT_S = 100
QUIET_GST = {'GST_REGISTRY_DISABLE': 'yes', 'GST_REGISTRY_FORK': 'no',
             'GST_PLUGIN_SYSTEM_PATH_1_0': '', 'GST_PLUGIN_PATH_1_0': ''}

# ---- the shape: a type, a tuple of types, {'a', 'b'}: one of these words, [shape], {key: shape} ----

NUMBER = (int, float)
COUNT_OR_NULL = (int, type(None))
TEXT_OR_NULL = (str, type(None))
FRAME = {'function': TEXT_OR_NULL, 'file': TEXT_OR_NULL, 'line': COUNT_OR_NULL, 'module': str,
         'offset': int, 'inlined': bool}
REFERENCE = {'op': {'alloc', 'retain', 'release', 'resize'}, 'count': int, 'frames': [FRAME]}
GROWTH = {'trend': {'growing', 'steady', 'saturating', 'sawtooth', 'shrinking', 'unknown'},
          'bytes_per_s': (int, float, type(None)), 'step_bytes': COUNT_OR_NULL,
          'floor_bytes': COUNT_OR_NULL, 'to_limit_s': (int, float, type(None))}
GROUP = {'class': str,
         'verdict': {'missing-release', 'never-released', 'over-release', 'stale', 'growing',
                     'steady', 'unreleased'},
         'confidence': NUMBER, 'count': int, 'bytes': int, 'oldest_ns': int, 'youngest_ns': int,
         'reach': {'lost', 'held', 'unknown'}, 'refs': COUNT_OR_NULL,
         'blame': {'op': {'alloc', 'retain', 'release'}, 'frames': [FRAME]},
         'alloc': {'frames': [FRAME]}, 'acquires': [REFERENCE], 'releases': [REFERENCE],
         'evidence': {'leaked': COUNT_OR_NULL, 'completed': COUNT_OR_NULL, 'text': str},
         'expected_release': {'frames': [FRAME]},
         'ended_at': {'frames': [FRAME], 'count': int}, 'suppressed_by': TEXT_OR_NULL,
         'baseline': {'new', 'unchanged', None}}
REPORT = {
    'schema': int, 'tool': str,
    'process': {'pid': int, 'comm': str, 'start': str, 'uptime_ns': int,
                'state': {'running', 'exited', 'killed'}, 'snapshot': int,
                'reason': {'signal', 'dump', 'exit', 'limit', 'live'}},
    'classes': [{'name': str, 'live_count': int, 'live_bytes': int, 'peak_bytes': int, 'allocs': int,
                 'retains': int, 'releases': int, 'over_releases': int, 'growth': GROWTH}],
    'groups': [GROUP],
    'series': [{'t_ns': int, 'class': str, 'live_bytes': int, 'live_count': int}],
    'site_series': [{'class': str, 'frames': [FRAME], 'growth': GROWTH,
                     'points': [{'t_ns': int, 'live_bytes': int, 'live_count': int}]}],
    'losses': {'events_reentrant': int, 'stacks_truncated': int, 'counts_drifted': int},
    'hooks': [{'class': str, 'function': str,
               'method': {'entry', 'import', 'symbol', 'bytecode', 'none'}, 'why': TEXT_OR_NULL}],
}


def departures(value, shape, where):
    """Where a value is not of its shape. Keys beyond the shape's are allowed."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f'{where}: {value!r} is no object']
        found = [f'{where}.{key}: missing' for key in shape if key not in value]
        for key in shape.keys() & value.keys():
            found += departures(value[key], shape[key], f'{where}.{key}')
        return found
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f'{where}: {value!r} is no array']
        found = []
        for number, one in enumerate(value):
            found += departures(one, shape[0], f'{where}[{number}]')
        return found
    if isinstance(shape, set):
        return [] if value in shape else [f'{where}: {value!r} is none of {shape}']
    kinds = shape if isinstance(shape, tuple) else (shape,)
    is_bool = isinstance(value, bool)
    fits = bool in kinds if is_bool else isinstance(value, kinds)
    return [] if fits else [f'{where}: {value!r} is none of {kinds}']


def contradictions(report):
    """What cannot be true together."""
    found = []
    for number, group in enumerate(report['groups']):
        where = f'groups[{number}]'
        accused = group['verdict'] in ACCUSATIONS
        if not 0 <= group['confidence'] <= 1:
            found.append(f"{where}.confidence: {group['confidence']}")
        if group['youngest_ns'] > group['oldest_ns']:
            found.append(f'{where}: the youngest is older than the oldest')
        if accused and (group['confidence'] == 0 or not group['evidence']['text'] or
                        not group['blame']['frames']):
            found.append(f'{where}: accused without evidence or place')
        if accused and group['evidence']['leaked'] is None:
            found.append(f'{where}.evidence: no counts')
        if accused and group['verdict'] != 'over-release' and not any(
                one['blamed'] and one['op'] == group['blame']['op'] for one in group['acquires']):
            found.append(f'{where}.acquires: the blamed one is not there')
        if any(one['op'] not in ('alloc', 'retain') for one in group['acquires']) or \
                any(one['op'] in ('alloc', 'retain') for one in group['releases']):
            found.append(f'{where}: acquires and releases are mixed up')
    for one in report['classes']:
        kept = sum(group['count'] for group in report['groups'] if group['class'] == one['name'] and
                   group['verdict'] != 'over-release') - \
            sum(group.get('shared', 0) for group in report['groups']
                if group['class'] == one['name']) // 2
        held = sum(part['count'] for group in report['groups']
                   for part in group.get('holds', []) if part['class'] == one['name'])
        # of one that is held, another reference may be in a group of its own
        if not kept <= one['live_count'] <= kept + held:
            found.append(f"{one['name']}: {one['live_count']} live, {kept} in groups, {held} held")
    return found


# ---- programs ----

class Program:
    """One program under the shim, asked as it runs and at its end."""

    def __init__(self, directory, name, *arguments, options='quiet=1'):
        self.directory = os.path.join(directory, '-'.join([name, *map(str, arguments)]))
        os.mkdir(self.directory, 0o700)
        self.process = subprocess.Popen(
            [os.path.join(PROGRAMS, 'verdict-' + name), *map(str, arguments)],
            env={**os.environ, **QUIET_GST, 'LD_PRELOAD': SHIM, 'BUFLEAK_DIR': self.directory,
                 'BUFLEAK_OPTIONS': options},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def line(self):
        return self.process.stdout.readline().decode().strip()

    def go_on(self):
        self.process.stdin.write(b'\n')
        self.process.stdin.flush()

    def end(self):
        """Its ledger."""
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.stdout.close()
        status = self.process.wait(timeout=LIMIT_S)
        assert status == 0, f'the program ended with {status}'
        found = [name for name in os.listdir(self.directory) if name.endswith('.ledger')]
        assert len(found) == 1, found
        return os.path.join(self.directory, found[0])

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def tell(*arguments, status=0):
    result = subprocess.run([CLI, 'report', *arguments], capture_output=True, text=True,
                            timeout=LIMIT_S, check=False)
    assert result.returncode == status, f'{arguments}: status {result.returncode}: {result.stderr}'
    return result


def tell_json(*arguments):
    return json.loads(tell('--format', 'json', '--top', '0', *arguments).stdout)


def accused(report):
    return [group for group in report['groups'] if group['verdict'] in ACCUSATIONS]


# ---- claims ----

def has_its_shape(*arguments):
    report = tell_json(*arguments)
    wrong = departures(report, REPORT, 'report')
    assert not wrong, '; '.join(wrong[:8])
    return report


def every_field_of_a_report_has_its_shape(directory):
    verdicts = set()
    for name, *arguments in [('glib_bytes', 'error_path', 3000, 10),
                             ('glib_bytes', 'early_return', 300, 1),
                             ('glib_bytes', 'over_release', 500, 50),
                             ('glib_bytes', 'overlap', 3000), ('glib_values', 'warm_pool', 1000),
                             ('gobject', 'cascade', 500, 10), ('gst', 'probe', 500, 10)]:
        report = has_its_shape(Program(directory, name, *arguments).end())
        wrong = contradictions(report)
        assert not wrong, f'{name} {arguments}: ' + '; '.join(wrong[:8])
        assert report['process']['reason'] == 'exit' and report['hooks']
        verdicts |= {group['verdict'] for group in report['groups']}
    wanted = {'missing-release', 'never-released', 'over-release', 'steady', 'unreleased'}
    assert wanted <= verdicts, verdicts


def a_running_process_has_series_and_the_other_verdicts(directory):
    program = Program(directory, 'glib_bytes', 'backlog', 400, options='quiet=1:interval=50ms')
    try:
        assert program.line() == 'ask'
        report = has_its_shape('--live', str(program.process.pid))
        assert report['process']['reason'] == 'live' and report['process']['state'] == 'running'
        assert any(group['verdict'] == 'growing' and group['confidence'] > 0.5
                   for group in report['groups'])
        points = [one for one in report['series'] if one['class'] == 'g-bytes']
        assert len(points) > 10 and points[-1]['live_count'] > points[0]['live_count']
        assert all(a['t_ns'] <= b['t_ns'] for a, b in zip(points, points[1:]))
        program.go_on()
        program.end()
    finally:
        program.stop()


def other_groupings_have_the_shape_too(directory):
    ledger = Program(directory, 'glib_bytes', 'error_path', 2000, 20).end()
    for group in ('stack', 'module', 'size', 'thread', 'age'):
        report = has_its_shape('--group', group, ledger)
        assert sum(one['count'] for one in report['groups'] if one['class'] == 'g-bytes') == 100


def own_moves_the_site_to_the_innermost_frame_of_ones_own(directory):
    ledger = Program(directory, 'gst', 'early_return', 1000, 100).end()
    marks = marks_of('gst')
    own = tell_json('--own', 'verdict-gst', ledger)
    plain = tell_json(ledger)
    assert [place_of(one['blame']['frames'][0]) for one in accused(own)] == [marks['frame']]
    assert accused(own)[0]['evidence'] == accused(plain)[0]['evidence']
    # what the library made for itself has a site in it, and with --own the call that had it made
    sites = {os.path.basename(group['alloc']['frames'][0]['module']) for group in plain['groups']
             if group['class'] == 'g-object'}
    assert sites - {'verdict-gst'}, sites
    for group in own['groups']:
        frames = group['alloc']['frames']
        modules = [os.path.basename(frame['module']) for frame in frames]
        if group['class'] != 'heap' and 'verdict-gst' in modules:
            assert modules[0] == 'verdict-gst', f"{group['class']} at {frames[0]}"


def own_that_is_nobodys_is_said(directory):
    ledger = Program(directory, 'glib_bytes', 'error_path', 500, 10).end()
    for pattern in ('nosuch*', '', '['):
        said = tell('--own', pattern, ledger)
        assert f'--own {pattern} is like no module' in said.stderr and said.stdout, said.stderr
    assert not tell('--own', 'verdict-*', ledger).stderr


def blame_is_never_a_frame_of_the_class_library(directory):
    ledger = Program(directory, 'tls', 'session', 60, 10).end()
    for group in accused(tell_json(ledger)):
        module = os.path.basename(group['blame']['frames'][0]['module'])
        assert not re.match(r'lib(ssl|crypto)', module), module


def match_keeps_the_groups_whose_stacks_match(directory):
    ledger = Program(directory, 'glib_bytes', 'two_wrappers', 5000, 50).end()
    everybody = accused(tell_json(ledger))
    assert len(everybody) == 2, everybody
    for name in ('audit_log', 'mirror'):
        found = accused(tell_json('--match', f'^{name}$', ledger))
        assert len(found) == 1, found
        assert name in [frame['function'] for frame in found[0]['blame']['frames']]
        assert found[0]['count'] in [group['count'] for group in everybody]
    assert tell_json('--match', 'no_such_function', ledger)['groups'] == []
    said = tell('--match', '(', ledger, status=2)
    assert '--match' in said.stderr and not said.stdout, said.stderr


def buffer_tells_one_whole_history(directory):
    program = Program(directory, 'glib_bytes', 'one_address')
    try:
        address = program.line()
        assert program.line() == 'ask'
        marks = marks_of('glib_bytes')
        report = tell_json('--live', '--buffer', address, str(program.process.pid))
        # the block that the allocator gave for it has the same address
        buffers = [one for one in report['buffers'] if one['class'] == 'g-bytes']
        assert len(buffers) == 1 and buffers[0]['address'] == address, report['buffers']
        steps = [(one['op'], one['times'], place_of(own(one['frames'])))
                 for one in buffers[0]['history']]
        assert steps[0] == ('alloc', 1, marks['body']), steps
        for kind, mark, count in (('retain', 'join-retain', 3), ('release', 'join-release', 2)):
            assert sum(times for op, times, place in steps
                       if (op, place) == (kind, marks[mark])) == count, steps
        assert steps[-1] == ('release', 1, marks['end']), steps
        assert buffers[0]['refs'] == 1
        text = tell('--live', '--buffer', address, str(program.process.pid)).stdout
        assert f"glib_bytes.c:{marks['join-retain'][1]}" in text, text
        program.go_on()
        ledger = program.end()
    finally:
        program.stop()
    for form in ((), ('--format', 'json')):
        said = tell('--buffer', '0x10', *form, ledger, status=1)
        assert '0x10' in said.stderr and not said.stdout, said
    for wrong in ('', '0x', '-1', 'x', '0x1ffffffffffffffff'):
        said = tell('--buffer', wrong, ledger, status=2)
        assert '--buffer' in said.stderr and not said.stdout, said


def the_oldest_of_a_group_is_told_and_its_history_can_be_had(directory):
    ledger = Program(directory, 'glib_bytes', 'error_path', 1000, 10).end()
    group = accused(tell_json(ledger))[0]
    address = group['oldest_address']
    assert f'{address} (--buffer' in tell(ledger).stdout
    buffers = [one for one in tell_json('--buffer', address, ledger)['buffers']
               if one['class'] == group['class']]
    assert len(buffers) == 1 and buffers[0]['address'] == address, buffers
    retains = [place_of(own(one['frames'])) for one in buffers[0]['history']
               if one['op'] == 'retain']
    assert place_of(group['blame']['frames'][0]) in retains, retains


def what_a_helper_did_is_told_with_who_called_it(directory):
    """Where one function takes all references and one gives them back, as a smart pointer's do, no
    two lines look the same, and the release that is expected has a caller."""
    marks = marks_of('helpers')
    ledger = Program(directory, 'helpers', 'side_by_side', 1000, 10).end()
    text = tell(ledger).stdout
    block = text[text.index('\n1. '):].split('\n\n')[0]
    lines = [line.split(' at ')[-1].strip() for line in block.split('\n')
             if 'retained at' in line or 'released at' in line]
    assert len(lines) >= 3 and len(set(lines)) == len(lines), block
    expected = next(line for line in block.split('\n') if 'expected release' in line)
    caller = re.search(r' from \S*helpers\.c:(\d+) \(request_with_two\), where', expected)
    assert caller, expected
    assert int(caller[1]) in (marks['first-end'][1], marks['second-end'][1]), expected
    # a site that says enough stands alone
    text = tell(Program(directory, 'glib_bytes', 'error_path', 1000, 10).end()).stdout
    assert 'expected release' in text and ' from ' not in text, text


def own(frames):
    return next(frame for frame in frames if frame['module'].endswith('verdict-glib_bytes'))


def tree_adds_up(directory):
    ledger = Program(directory, 'glib_bytes', 'error_path', 1000, 10).end()
    roots = tell_json('--tree', '--class', 'g-bytes', ledger)['tree']

    def check(node):
        children = node['children']
        if children:
            assert node['acquired'] == sum(child['acquired'] for child in children), node['frame']
            assert node['released'] == sum(child['released'] for child in children), node['frame']
        for child in children:
            check(child)
        assert node['balanced'] == (node['acquired'] == node['released'])
    for root in roots:
        check(root)
    # 100 buffers: each was born, retained, released once
    assert sum(root['acquired'] for root in roots) == 200
    assert sum(root['released'] for root in roots) == 100
    text = tell('--tree', '--class', 'g-bytes', ledger).stdout
    assert '+200' in text and '−100' in text, text


def tree_is_of_the_buffers_whose_stacks_match(directory):
    ledger = Program(directory, 'glib_bytes', 'two_wrappers', 5000, 50).end()
    whole = tell_json('--tree', ledger)['tree']
    assert tell_json('--tree', '--match', 'no_such_function', ledger)['tree'] == []
    for name in ('audit_log', 'mirror'):
        part = tell_json('--tree', '--match', f'^{name}$', ledger)['tree']
        least = sum(group['count'] for group in accused(tell_json('--match', f'^{name}$', ledger)))
        acquired = sum(root['acquired'] for root in part)
        assert 0 < least <= acquired < sum(root['acquired'] for root in whole), (least, acquired)


def filters_choose_what_is_shown_and_change_no_verdict(directory):
    def verdicts(report):
        return {(group['class'], group['verdict'], place_of(group['blame']['frames'][0])): group
                for group in accused(report)}
    for program, name in (('event', 'connection'), ('event', 'filter'), ('tls', 'session_cache')):
        ledger = Program(directory, program, name, 60, 10).end()
        whole = verdicts(tell_json(ledger))
        assert whole
        classes = {group['class'] for group in whole.values()} | \
            {part['class'] for group in whole.values() for part in group['holds']}
        for chosen in classes:
            told = verdicts(tell_json('--class', chosen, ledger))
            wanted = {key: group for key, group in whole.items() if group['class'] == chosen or
                      chosen in [part['class'] for part in group['holds']]}
            assert told == wanted, (name, chosen, told.keys(), wanted.keys())
        for option in (('--own', 'verdict-*'), ('--min-age', '1ms'), ('--min-bytes', '1')):
            for key, group in verdicts(tell_json(*option, ledger)).items():
                assert group['evidence'] == whole[key]['evidence'], (name, option, key)
                assert group['count'] <= whole[key]['count'], (name, option, key)


CLAIMS = [every_field_of_a_report_has_its_shape, a_running_process_has_series_and_the_other_verdicts,
          other_groupings_have_the_shape_too, own_moves_the_site_to_the_innermost_frame_of_ones_own,
          blame_is_never_a_frame_of_the_class_library, match_keeps_the_groups_whose_stacks_match,
          own_that_is_nobodys_is_said, buffer_tells_one_whole_history,
          what_a_helper_did_is_told_with_who_called_it,
          the_oldest_of_a_group_is_told_and_its_history_can_be_had, tree_adds_up,
          tree_is_of_the_buffers_whose_stacks_match,
          filters_choose_what_is_shown_and_change_no_verdict]


def main():
    failed = 0
    print(f'1..{len(CLAIMS)}')
    for number, claim in enumerate(CLAIMS, 1):
        with tempfile.TemporaryDirectory(prefix='bufleak-report.') as directory:
            try:
                claim(directory)
                wrong = None
            except (AssertionError, KeyError, OSError, ValueError,
                    subprocess.SubprocessError) as error:
                wrong = f'{type(error).__name__}: {error}'
        failed += wrong is not None
        print(f"{'ok' if wrong is None else 'not ok'} {number} - {claim.__name__}")
        if wrong:
            print(f'# {wrong}')
            print(f'{claim.__name__}: {wrong}', file=sys.stderr)  # which is shown once more in the end
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
