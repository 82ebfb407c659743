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
    Case('a clone of a frame is forgotten one time in a thousand, with the data it refers to',
         'clone', 20000, 1000, leaks=[
             Leak('missing-release', 'av-frame', 'clone', 20, of=20000, release='clone-end',
                  released=19980, holds={'av-buffer': 20})]),
    Case('the same in four threads',
         'clone', 20000, 100, 4, leaks=[
             Leak('missing-release', 'av-frame', 'clone', 200, of=20000, release='clone-end',
                  released=19800, holds={'av-buffer': 200})]),
    Case('a plane of a frame that is shown is kept one time in ten',
         'planes', 2000, 10, leaks=[
             Leak('missing-release', 'av-buffer', 'keep-plane', 200, of=200, release='',
                  alloc='frame-data')],
         unreleased={'av-frame': 0}),
    Case('clean: frames that are shown one after the other', 'planes', 2000,
         unreleased={'av-frame': 0, 'av-buffer': 0}),
    Case('clean: a pool, and pictures that are made writable', 'buffer_pool', 3000,
         unreleased={'av-buffer': 0}),
    Case('a frame is moved over one that holds data one time in ten',
         'moved_over', 2000, 10, leaks=[
             Leak('missing-release', 'av-buffer', 'frame-ref', 200, of=2000, release='last-end',
                  alloc='frame-data')],
         unreleased={'av-frame': 0}),
    Case('clean: frames that are moved', 'moved_over', 2000,
         unreleased={'av-frame': 0, 'av-buffer': 0}),
    Case('a packet is moved over one that holds data one time in ten',
         'side_data', 2000, 10, leaks=[
             Leak('missing-release', 'av-buffer', 'packet-writable', 200, of=2000,
                  release='side-end')],
         unreleased={'av-packet': 0}),
    Case('clean: packets with side data, moved and made writable', 'side_data', 2000,
         unreleased={'av-packet': 0, 'av-buffer': 0}),
    # nothing shows which of the two the other release was for
    Case('a buffer that was replaced by others is forgotten one time in ten',
         'own_memory', 2000, 10, leaks=[
             Leak('missing-release', 'av-buffer', 'own', 200, of=2000, release='held-end',
                  released=1800, note='little evidence which reference it is')]),
    Case('clean: buffers that are replaced, grown and made writable', 'own_memory', 2000,
         unreleased={'av-buffer': 0}),
]

if __name__ == '__main__':
    sys.exit(main('media', CASES))
