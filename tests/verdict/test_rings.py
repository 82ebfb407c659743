#!/usr/bin/python3
"""Verdicts on what is in use whenever one looks, by the order of births and ends: the programs take
some milliseconds each, unless they wait."""
import sys

from corpus import Asked, Case, Leak, main


def held(count, of=None, verdict='missing-release', **more):
    """So many that the ring forgot when it replaced them."""
    return Leak(verdict, 'g-bytes', 'hold', count, of=of, release='drop', **more)


def clean(claim, name, left, requests=5000, **more):
    return Case('clean: ' + claim, name, requests, unreleased={'g-bytes': left}, **more)


def kept(claim, name, requests, every=0, forgotten=0, is_asked=False):
    """What a list keeps looks as if it was forgotten, of all; what the ring beside it has does not.
    """
    leaks = [Leak('missing-release', 'g-bytes', 'keep', requests, of=requests, shared=forgotten)]
    if forgotten:
        leaks.append(Leak('missing-release', 'g-bytes', 'hold', forgotten, of=requests,
                          shared=forgotten, release='drop'))
    return Case(claim, name, requests, every, leaks=leaks,
                asked=[Asked(leaks=leaks)] if is_asked else [])


def or_forgotten(report):
    told = [group['evidence']['text'] for group in report['groups']
            if group['class'] == 'g-bytes' and group['verdict'] == 'steady']
    assert len(told) == 1 and 'or forgotten only then' in told[0], told


CASES = [
    clean('the last of a ring of one', 'ring_of_1', 1),
    clean('the last of a ring of one, of few', 'ring_of_1', 1, 300),
    clean('a ring', 'ring_of_8', 8),
    clean('a ring, of few', 'ring_of_8', 8, 300),
    clean('a ring that four threads fill', 'ring_of_8', 8, threads=4),
    clean('a large ring', 'ring_of_1000', 1000, 20000),
    clean('a large ring that was filled three times', 'ring_of_1000', 1000, 3000),
    clean('a ring of one that has the only reference', 'owning_ring_of_1', 1),
    clean('a ring that has the only reference', 'owning_ring_of_8', 8),
    clean('a ring that is filled slowly', 'slow_ring_of_8', 8, 300),
    Case('clean: a ring, long after the work', 'idle_ring_of_8', 5000,
         asked=[Asked(unreleased={'g-bytes': 8})], unreleased={'g-bytes': 8}),
    Case('clean: a ring, in the middle of the work', 'busy_ring_of_8', 1000,
         asked=[Asked(unreleased={'g-bytes': 8})] * 5, unreleased={'g-bytes': 8}),
    clean('a cache that replaces any', 'any_of_8', 8),
    clean('a cache that replaces any, of few', 'any_of_8', 8, 300),
    clean('a large cache that replaces any', 'any_of_1000', 1000, 20000),
    clean('a cache that replaces any, and is emptied', 'any_of_8_emptied', 0),
    clean('a cache that replaces any, slowly', 'slow_any_of_8', 8, 300),
    Case('clean: a cache that replaces any, long after the work', 'idle_any_of_8', 5000,
         asked=[Asked(unreleased={'g-bytes': 8})], unreleased={'g-bytes': 8}),
    clean('a cache that replaces what is not looked up', 'lru_of_32', 32, 20000),
    # some are steady, as they were there from the beginning
    Case('clean: a cache of which some are looked up all the time', 'popular_of_32', 20000),
    clean('a ring for each of four threads, of which one has the most to do',
          'ring_for_each_thread', 32, 20000, threads=4),
    clean('a ring for each of four threads, one after another', 'rings_in_turn', 32, threads=4),
    clean('a ring of 64', 'ring_held_twice', 64),
    # a processor that is taken away while the place is empty makes it look as if there was not
    # always one
    Case('clean: a place for one that is emptied first, slowly', 'slow_slot', 150,
         leaks=[Leak('missing-release', 'g-bytes', 'body', 1, of=150, release='end',
                     confidence=(0, 0.4), note='the last one made there', is_chance=True)]),
    clean('bursts', 'fourth_burst', 0),
    clean('the last batch, half full', 'batches', 50, 5050),
    clean('what is in a queue to another thread', 'handed_over', 20),
    Case('clean: a pipeline of threads that the end of the program cuts', 'cut_pipeline', 5000),
    clean('rounds of buffers that four threads share', 'rounds', 0, threads=4),
    clean('rounds of buffers for the threads of a pool', 'rounds_in_pool', 0, threads=4),
    Case('clean: a global that is replaced', 'replaced_global', 2000,
         unreleased={'g-object': 1}),

    # the last that is forgotten would be one more of the ring: the requests after it tell
    Case('a ring of one forgets what it replaces', 'ring_of_1', 5020, 50,
         leaks=[held(100, 5019)], unreleased={'g-bytes': 1}),
    Case('a ring forgets what it replaces', 'ring_of_8', 5020, 50,
         leaks=[held(100, 5012)], unreleased={'g-bytes': 8}),
    Case('a ring that four threads fill forgets what it replaces', 'ring_of_8', 5020, 49, 4,
         leaks=[held(102, 5012)], unreleased={'g-bytes': 8}),
    Case('a large ring forgets what it replaces', 'ring_of_1000', 20020, 50,
         leaks=[held(380, 19020)], unreleased={'g-bytes': 1000}),
    Case('a ring that has the only reference forgets what it replaces', 'owning_ring_of_8', 5020,
         50, leaks=[Leak('missing-release', 'g-bytes', 'body', 100, of=5012, release='drop')],
         unreleased={'g-bytes': 8}),
    Case('a ring that is filled slowly forgets what it replaces', 'slow_ring_of_8', 420, 40,
         leaks=[held(10, 412)], unreleased={'g-bytes': 8}),
    Case('rings of four threads, one after another, forget what they replace', 'rings_in_turn',
         5020, 50, 4, leaks=[held(400, 20048)], unreleased={'g-bytes': 32}),
    Case('what a ring has can have lost another reference', 'ring_held_twice', 5000, 50,
         leaks=[Leak('missing-release', 'g-bytes', 'hold', 100, callers=('again',),
                     others=(0, 4838))],
         unreleased={'g-bytes': 62}),
    Case('the last of a place for one is little evidence', 'slot', 5000,
         leaks=[Leak('missing-release', 'g-bytes', 'body', 1, of=5000, release='end',
                     confidence=(0, 0.4), note='the last one made there')]),
    Case('the last is forgotten, and there was not always one', 'slow_last', 150, 150,
         leaks=[Leak('missing-release', 'g-bytes', 'body', 1, of=150, release='end',
                     note='the last one made there')]),
    Case('of a burst in the middle some are forgotten at the end', 'fourth_burst', 5000, 100,
         leaks=[Leak('missing-release', 'g-bytes', 'body', 5, of=5000, release='end')]),
    Case('of the first burst some are left, which could be a pool', 'first_burst', 5000, 100,
         steady={'g-bytes': 5}, check=or_forgotten),
    Case('what a ring forgot is stale long after the work', 'idle_ring_of_8', 5020, 50,
         asked=[Asked(leaks=[held(100, verdict='stale')], unreleased={'g-bytes': 8})],
         leaks=[held(100, 5012)], unreleased={'g-bytes': 8}),
    Case('a cache that replaces any forgets what it replaces', 'any_of_8_emptied', 5020, 50,
         leaks=[held(100, 5020)], unreleased={'g-bytes': 0}),
    Case('a batch forgets one in fifty', 'batches', 5050, 70,
         leaks=[Leak('missing-release', 'g-bytes', 'body', 71, of=5000, release='drop')],
         unreleased={'g-bytes': 50}),
    Case('another thread forgets one in fifty', 'handed_over', 5000, 50,
         leaks=[held(99, 4980)], unreleased={'g-bytes': 20}),
    Case('of each round that four threads share, eight are lost', 'rounds', 1, 8, 4,
         leaks=[Leak('missing-release', 'g-bytes', 'body', 400, of=3200, release='end')],
         unreleased={'g-bytes': 0}),
    Case('of each round for the threads of a pool, eight are lost', 'rounds_in_pool', 1, 8, 4,
         leaks=[Leak('missing-release', 'g-bytes', 'body', 400, of=3200, release='end')],
         unreleased={'g-bytes': 0}),
    Case('of a cache that fills nothing was ever given back, which is said', 'filling', 500,
         asked=[Asked()] * 4,
         leaks=[Leak('missing-release', 'g-bytes', 'keep', 2000, note='little evidence')]),
    Case('what is kept of some requests is named, with the words that a cache looks the same',
         'keeping_some', 1000, 10,
         asked=[Asked(leaks=[Leak('missing-release', 'g-bytes', 'keep', 100 * i + 50,
                                  others=(0, 900 * i + 450), note='never emptied')],
                      unreleased={'g-bytes': 0}) for i in range(4)],
         leaks=[Leak('missing-release', 'g-bytes', 'keep', 400, others=(0, 3600),
                     note='never emptied')], unreleased={'g-bytes': 0}),
    kept('clean: a ring of what a list keeps', 'kept_ring', 1000),
    kept('clean: a ring of what a list keeps, that came round once', 'kept_ring', 100),
    kept('clean: a ring of what a list keeps, slowly', 'slow_kept_ring', 300),
    kept('clean: a cache that replaces any, of what a list keeps', 'slow_kept_any', 300),
    kept('a ring of what a list keeps forgets what it replaces', 'kept_ring', 1020, 50, 19),
    kept('clean: a ring of what a list keeps, in the middle of the work', 'late_kept_ring', 519,
         is_asked=True),
    kept('a ring of what a list keeps forgets what it replaces, slowly', 'slow_kept_ring', 420, 40,
         9),
    kept('a ring of what a list keeps forgets what it replaces, in the middle of the work',
         'late_kept_ring', 519, 130, 3, is_asked=True),
    Case('a global that is replaced is forgotten', 'replaced_global', 2020, 50,
         leaks=[Leak('missing-release', 'g-object', 'set', 40, of=2019)],
         unreleased={'g-object': 1}),
]

if __name__ == '__main__':
    sys.exit(main('rings', CASES))
