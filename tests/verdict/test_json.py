#!/usr/bin/python3
"""Verdicts on jansson's values, whose counting is compiled into the callers."""
import sys

from corpus import Case, Leak, main

CASES = [
    Case('a value is put into an object without giving up the own reference',
         'set_without_new', 2000, 10, leaks=[
             Leak('missing-release', 'json', 'string', 200, of=2000)]),
    Case('an array is forgotten one time in a hundred',
         'early_return', 5000, 100, leaks=[
             Leak('missing-release', 'json', 'list', 50, of=5000, release='list-end',
                  released=4950)]),
    Case('clean: values that several objects share', 'shared', 2000, unreleased={'json': 0}),
    Case('clean: borrowed values that are kept for a while', 'borrowed', 3000,
         unreleased={'json': 0}),
    Case('a part of a document is kept for good one time in ten',
         'document', 2000, 10, leaks=[
             Leak('missing-release', 'json', 'parsed', 200, release='user-end',
                  holds={'json': 200})]),
    Case('clean: parts that outlive their document', 'document', 2000, unreleased={'json': 0}),
    Case('a document is forgotten one time in ten',
         'whole_document', 2000, 10, leaks=[
             Leak('missing-release', 'json', 'parsed', 200, release='whole-end',
                  holds={'json': 600})]),
    Case('a value is packed without giving up the own reference one time in ten',
         'pack', 2000, 10, leaks=[
             Leak('missing-release', 'json', 'packed', 200, of=2000, release='pack-end')]),
]

if __name__ == '__main__':
    sys.exit(main('json', CASES))
