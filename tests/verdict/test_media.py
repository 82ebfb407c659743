#!/usr/bin/python3
"""Verdicts on FFmpeg's buffers and packets."""
import sys

from corpus import Case, Leak, main

CASES = [
    Case('a picture that is shown is forgotten one time in ten',
         'error_path', 3000, 10, leaks=[
             Leak('missing-release', 'av-buffer', 'show', 300, of=1500, release='shown',
                  released=1200, alloc='picture')]),
    Case('a forgotten packet holds its data',
         'cascade', 2000, 10, leaks=[
             Leak('missing-release', 'av-packet', 'packet', 200, of=2000, release='packet-end',
                  holds={'av-buffer': 200})]),
    Case('clean: a pool, and pictures that are made writable', 'buffer_pool', 3000,
         unreleased={'av-buffer': 0}),
]

if __name__ == '__main__':
    sys.exit(main('media', CASES))
