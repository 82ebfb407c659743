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
]

if __name__ == '__main__':
    sys.exit(main('json', CASES))
