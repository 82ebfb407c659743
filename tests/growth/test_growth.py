#!/usr/bin/python3
"""Shapes of memory over time through the real shim: the trend is right in all, of the heap and of
the places that allocate, and nothing steady is ever called growing.

A second of a server's life is one interval of the helper thread, here 10 ms. BL_TEST_LONG=1 plays
the noisy steady shapes 200 times and more."""
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from common import BUILD, CLI, SHIM, main

SHAPES = BUILD / 'tests' / 'growth' / 'growth_shapes'
TURN_US = 10000
AT_ONCE = 12
EXIT_LATE = 75
SLOWEST_US = 32 * TURN_US
LONG = os.environ.get('BL_TEST_LONG') == '1'
NOISY = ['lru_cache_that_filled', 'cache_filled_exponentially', 'warm_up_then_flat', 'white_noise',
         'heavy_noise', 'slow_noise', 'requests_in_flight', 'spikes', 'one_excursion', 'step_up',
         'fragmenting', 'drained', 'sawtooth', 'irregular_sawtooth', 'day_and_night']
NOISY_RUNS = 14 if LONG else 1  # of each: 210 in all


def list_shapes():
    lines = subprocess.run([SHAPES], check=True, capture_output=True, text=True).stdout.splitlines()
    shapes = {}
    for line in lines:
        name, trends, turns, sites = line.split('|')
        shapes[name] = (trends.split(), int(turns), dict(s.split('=') for s in sites.split()))
    return shapes


def play_once(env, name, turns, turn_us, seed):
    """The ledger of one shape under the shim; None where the machine was too busy for it."""
    options = f'interval={turn_us // 1000}ms:quiet=1'
    done = subprocess.run([SHAPES, name, str(turns), str(turn_us), str(seed)], timeout=600,
                          env={**env, 'LD_PRELOAD': str(SHIM), 'BUFLEAK_OPTIONS': options})
    ledger, = pathlib.Path(env['BUFLEAK_DIR']).glob('*.ledger')
    if done.returncode == EXIT_LATE:
        ledger.unlink()
        return None
    done.check_returncode()
    return ledger


def play(directory, name, turns, seed):
    """Plays one shape, more slowly where the machine is busy; the report of what it left."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith('BUFLEAK_') and k != 'MALLOC_PERTURB_'}
    env.update(BUFLEAK_DIR=tempfile.mkdtemp(dir=directory), LC_ALL='C.UTF-8')
    turn_us = TURN_US
    while not (ledger := play_once(env, name, turns, turn_us, seed)):
        turn_us *= 2
        assert turn_us <= SLOWEST_US, f'{name}: the machine is too busy for it'
    report = subprocess.run([str(CLI), 'report', '--all', '--format', 'json', str(ledger)],
                            check=True, capture_output=True, text=True, env=env, timeout=120)
    if 'BL_TEST_KEEP' in os.environ:
        shutil.copy(ledger, os.environ['BL_TEST_KEEP'] + f'/{name}.{seed}.ledger')
    ledger.unlink()
    return {**json.loads(report.stdout), 'turn_us': turn_us}


def heap_of(report):
    heap, = [c for c in report['classes'] if c['name'] == 'heap']
    return heap['growth']


def group_of(report, function):
    return [g for g in report['groups'] if g['alloc']['frames'][0]['function'] == function]


class Shapes(unittest.TestCase):
    reports = {}

    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp(prefix='bufleak-growth-')
        cls.addClassCleanup(shutil.rmtree, cls.home, True)
        jobs = [(name, turns, 1) for name, (_, turns, _) in list_shapes().items()]
        jobs += [(name, list_shapes()[name][1], seed)
                 for name in NOISY for seed in range(2, NOISY_RUNS + 2)]
        jobs.sort(key=lambda job: -job[1])
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            played = {job: pool.submit(play, cls.home, *job) for job in jobs}
        cls.reports = {(name, seed): done.result() for (name, _, seed), done in played.items()}

    def check_shape(self, name, trends, sites):
        report = self.reports[name, 1]
        growth = heap_of(report)
        self.assertIn(growth['trend'], trends, growth)
        for function, trend in sites.items():
            groups = group_of(report, function)
            self.assertTrue(groups, f'{name}: no group of {function}')
            for group in groups:
                self.assertEqual(group['growth']['trend'], trend, (function, group['growth']))
        grown = [g for g in report['groups'] if g['verdict'] == 'growing']
        for group in grown:
            function = group['alloc']['frames'][0]['function']
            self.assertEqual(sites.get(function), 'growing', f'{function} is accused')

    def test_nothing_steady_is_called_growing(self):
        wrong = []
        for (name, seed), report in self.reports.items():
            if name not in NOISY:
                continue
            if heap_of(report)['trend'] == 'growing':
                wrong.append((name, seed, 'heap', heap_of(report)))
            wrong += [(name, seed, g['alloc']['frames'][0]['function'], g['growth'])
                      for g in report['groups']
                      if g['verdict'] == 'growing' or (g['growth'] or {}).get('trend') == 'growing']
        self.assertFalse(wrong)

    def test_rate_and_step_of_a_leak_are_told(self):
        for name, per_turn, step in (('linear_leak', 2048, 1024), ('leak_under_noise', 2048, 1024),
                                     ('leak_under_sawtooth', 3072, 1024)):
            with self.subTest(name):
                report = self.reports[name, 1]
                growth = group_of(report, 'forget_body')[0]['growth']
                per_s = per_turn * 1e6 / report['turn_us']
                self.assertEqual((growth['step_bytes'], growth['step_exact']), (step, True))
                self.assertAlmostEqual(growth['bytes_per_s'] / per_s, 1, delta=0.1)
                self.assertLessEqual(growth['bytes_per_s_low'], growth['bytes_per_s'])
                self.assertGreaterEqual(growth['bytes_per_s_high'], growth['bytes_per_s'])

    def test_the_floor_is_what_it_falls_back_to(self):
        report = self.reports['sawtooth', 1]
        floor = heap_of(report)['floor_bytes']
        self.assertLess(floor, 2 << 20)

    def test_a_kibibyte_a_minute_is_told_as_such(self):
        report = self.reports['slow_leak_in_a_gigabyte', 1]
        growth = group_of(report, 'forget_body')[0]['growth']
        self.assertEqual(growth['step_bytes'], 1024)
        per_minute = growth['bytes_per_s'] * report['turn_us'] / 1e6 * 60
        self.assertAlmostEqual(per_minute / 1024, 1, delta=0.1)


def add_tests():
    for name, (trends, _, sites) in list_shapes().items():
        def test(self, name=name, trends=trends, sites=sites):
            self.check_shape(name, trends, sites)
        setattr(Shapes, f'test_{name}_is_{trends[0]}', test)


if __name__ == '__main__':
    add_tests()
    main()
