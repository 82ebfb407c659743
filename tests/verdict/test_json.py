#!/usr/bin/python3
"""Verdicts on jansson's values, whose counting is compiled into the callers.

So no report says which of a value's references was forgotten, nor where that one should have been
given back: it says where the value was made, and where its siblings ended.
"""
import sys

from corpus import Case, Leak, main



def forgotten(at, count, **more):
    return Leak('missing-release', 'json', at, count, refs=None, release='',
                note='little evidence which reference it is', **more)


CASES = [
    Case('a value is put into an object without giving up the own reference',
         'set_without_new', 2000, 10, leaks=[
             forgotten('string', 200, of=2000)]),
    Case('a value is put into an object that is kept, and its own reference is forgotten',
         'kept_answers', 2000, 10, leaks=[
             forgotten('kept-string', 200, of=2000, ended='answer-leaves')]),
    Case('clean: values in objects that are kept for a while', 'kept_answers', 2000,
         unreleased={'json': 0}),
    Case('an array is forgotten one time in a hundred',
         'early_return', 5000, 100, leaks=[
             forgotten('list', 50, of=5000, ended='list-end', ended_count=4950)]),
    Case('clean: values that several objects share', 'shared', 2000, unreleased={'json': 0}),
    Case('clean: borrowed values that are kept for a while', 'borrowed', 3000,
         unreleased={'json': 0}),
    Case('a part of a document is kept for good one time in ten',
         'document', 2000, 10, leaks=[
             forgotten('parsed', 200, ended='user-end', holds={'json': 200})]),
    Case('clean: parts that outlive their document', 'document', 2000, unreleased={'json': 0}),
    Case('a document is forgotten one time in ten',
         'whole_document', 2000, 10, leaks=[
             forgotten('parsed', 200, ended='whole-end', holds={'json': 600})]),
    Case('a value is packed without giving up the own reference one time in ten',
         'pack', 2000, 10, leaks=[
             forgotten('packed', 200, of=2000, ended='pack-end')]),
    Case('lists hold what is in them, strings that end where lists do hold nothing',
         'names', 2000, 10, leaks=[
             forgotten('answer', 200, holds={'json': 400}),
             forgotten('colour', 200, of=2000)]),
    Case('the same of other numbers', 'names', 900, 7, leaks=[
        forgotten('answer', 129, holds={'json': 258}),
        forgotten('colour', 128, of=900)]),
    Case('clean: lists and strings of answers that are kept for a while', 'names', 2000,
         unreleased={'json': 0}),
]

if __name__ == '__main__':
    sys.exit(main('json', CASES))
