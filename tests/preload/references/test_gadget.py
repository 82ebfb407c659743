#!/usr/bin/python3
"""A third party's library, described by nothing but a profile: every mistake that its user makes is
named with its line and its count, and nothing else is."""
import json
import os
import sys

import tracked
from tracked import at

VICTIM = os.environ['BL_VICTIM']
PROFILE = os.environ['BL_PROFILE']
REQUESTS = 1000
THREADS = 4

ARENA_BYTES = 24  # sizeof (struct gadget_arena): the profile says no size, its heap block does
# class, verdict, blamed operation, bytes of one buffer, and where siblings give it back
MISTAKES = {
    'make': ('gadget-blue', 'missing-release', 'alloc', 70),
    'open': ('gadget', 'missing-release', 'alloc', 50),
    'hold': ('gadget-red', 'missing-release', 'retain', 30),
    'pop': ('gadget', 'missing-release', 'retain', 20),
    'assign': ('gadget', 'missing-release', 'retain', 6),
    'resize': ('gadget-blue', 'missing-release', 'alloc', 77),
    'note': ('gadget-note', 'missing-release', 'alloc', 16),
    'arena': ('gadget-arena', 'missing-release', 'alloc', ARENA_BYTES),
    'over': ('gadget', 'over-release', 'release', 0),
}


def run(what, profile=PROFILE, threads=THREADS, look=None):
    said, report = tracked.run([VICTIM, what, REQUESTS, threads], look,
                               options=f'quiet=1:profiles=auto,{profile}')
    for loss in ('counts_drifted', 'events_unknown', 'events_dropped', 'buffers_replaced',
                 'objects_dropped', 'owners_unknown', 'hooks_refused'):
        assert report.losses()[loss] == 0, (loss, report.losses()[loss])
    return json.loads(said), report


def check_planted(said, report):
    accused = report.accused()
    expected = {(cls, verdict, op, said[name]['line'], said[name]['count'],
                 size * said[name]['count'])
                for name, (cls, verdict, op, size) in MISTAKES.items()}
    found = {(g['class'], g['verdict'], g['blame']['op'], at(g['blame']['frames'])[1], g['count'],
              g['bytes']) for g in accused}
    assert found == expected, f'missing {expected - found}, too many {found - expected}'
    assert {at(g['blame']['frames'])[0] for g in accused} == {'victim_gadget.c'}, accused
    for group in accused:
        if group['verdict'] == 'missing-release':
            assert at(group['expected_release']['frames'])[0] == 'victim_gadget.c', group


def every_mistake():
    """Nine mistakes in four threads are named by line, count and bytes, and nothing else is."""
    said, report = run('planted')
    assert all(m['count'] > 0 for m in said.values()), said
    check_planted(said, report)
    arena = next(g for g in report.accused() if g['class'] == 'gadget-arena')
    held = {part['class']: part['count'] for part in arena['holds']}
    count = said['arena']['count']
    assert held == {'gadget-arena': count, 'gadget-note': 4 * count}, held
    assert report.table('gadget')['over_releases'] == said['over']['count']


def without_the_count():
    """The same without knowing where the library counts."""
    with open(PROFILE, encoding='utf-8') as profile:
        text = profile.read()
    assert 'count   field' in text
    path = os.path.join(os.environ['BL_SCRATCH'], 'gadget-plain.profile')
    with open(path, 'w', encoding='utf-8') as plain:
        plain.write(text.replace('count   field', '# count field'))
    check_planted(*run('planted', path))


def a_wrong_count():
    """A count field that shows another number at the first birth is not looked at, and it is
    said."""
    with open(PROFILE, encoding='utf-8') as profile:
        text = profile.read()
    path = os.path.join(os.environ['BL_SCRATCH'], 'gadget-wrong.profile')
    with open(path, 'w', encoding='utf-8') as wrong:
        wrong.write(text.replace('field:16:4', 'field:24:8'))

    def look(ledger):
        text = tracked.cli('profiles', 'explain', ledger)
        assert "count                            none      not seen: the buffers' own counts" \
            in text, text
    said, report = run('planted', path, look=look)
    check_planted(said, report)
    rows = [h for h in report.json['hooks'] if h['function'] == 'count']
    assert {h['class'] for h in rows} == {'gadget', 'gadget-blue', 'gadget-red'}, rows
    assert all('another version' in h['why'] for h in rows), rows


def a_clean_run():
    """A clean run accuses nobody and leaves nothing but the connection."""
    said, report = run('clean')
    assert all(m['count'] == 0 for m in said.values()), said
    assert report.accused() == [], report.accused()
    left = {c['name']: c['live_count'] for c in report.json['classes']
            if c['name'].startswith('gadget') and c['live_count']}
    assert left == {'gadget-arena': 1}, left
    # each request makes so many, and what calls one another inside the library counts once
    each = {'gadget': 4, 'gadget-blue': 2, 'gadget-red': 1, 'gadget-queue': 1, 'gadget-arena': 2}
    for name, count in each.items():
        more = {'gadget-arena': 1, 'gadget': REQUESTS}.get(name, 0)
        table = report.table(name)
        assert table['allocs'] == count * REQUESTS * THREADS + more, table


def every_function_is_seen():
    """Every function is hooked at its entry, and that is said."""
    def look(ledger):
        hooks = json.loads(tracked.cli('profiles', 'explain', '--format', 'json', ledger))['hooks']
        ours = [h for h in hooks if h['class'].startswith('gadget')]
        assert len(ours) == 15, ours
        assert {(h['method'], h['why'], h['unseen']) for h in ours} == {('entry', None, None)}, ours
    run('clean', look=look, threads=1)


def the_profile_is_checked():
    """The profile passes the check."""
    assert '15 functions' in tracked.cli('profiles', 'check', PROFILE)


if __name__ == '__main__':
    sys.exit(tracked.main(every_mistake, without_the_count, a_wrong_count, a_clean_run,
                          every_function_is_seen, the_profile_is_checked))
