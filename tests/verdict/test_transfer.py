#!/usr/bin/python3
"""Verdicts on libcurl's handles and lists."""
import sys

from corpus import Case, Leak, main

CASES = [
    Case('a handle is forgotten one time in ten',
         'early_return', 300, 10, leaks=[
             Leak('missing-release', 'curl-easy', 'easy', 30, of=300, release='easy-end')]),
    Case('a list of headers is forgotten one time in ten',
         'headers', 300, 10, leaks=[
             Leak('missing-release', 'curl-slist', 'headers', 30, of=300,
                  release='headers-end')]),
    Case('clean: handles and lists', 'headers', 300, unreleased={'curl-slist': 0}),
    Case('copies of handles and addresses, and forms, are forgotten one time in ten',
         'multi', 300, 10, leaks=[
             Leak('missing-release', 'curl-easy', 'copied', 30, of=300, release='copied-end'),
             Leak('missing-release', 'curl-mime', 'form', 30, of=300, release='form-end'),
             Leak('missing-release', 'curl-url', 'address', 30, of=300, release='address-end')]),
    Case('clean: handles in a multi handle', 'multi', 300,
         unreleased={'curl-multi': 0, 'curl-easy': 0, 'curl-mime': 0, 'curl-url': 0}),
]

if __name__ == '__main__':
    sys.exit(main('transfer', CASES))
