#!/usr/bin/python3
"""Verdicts on GStreamer's buffers, memories, caps, events and messages."""
import functools
import sys

from corpus import Case, Leak, main

# no scan of the system's plug-ins, and no child that does it
QUIET = {'GST_REGISTRY_DISABLE': 'yes', 'GST_REGISTRY_FORK': 'no', 'GST_PLUGIN_SYSTEM_PATH_1_0': '',
         'GST_PLUGIN_PATH_1_0': ''}
Case = functools.partial(Case, environment=QUIET)

CASES = [
    Case('a filter that returns early forgets one buffer in a hundred',
         'early_return', 4000, 100, leaks=[
             Leak('missing-release', 'gst-buffer', 'frame', 40, of=4000, release='frame-end',
                  released=3960, holds={'gst-memory': 40, 'g-object': 1})]),
    Case('of the allocator only what leaked buffers hold is left: no leak of its own',
         'early_return_to_end', 4000, 100, leaks=[
             Leak('missing-release', 'gst-buffer', 'frame', 40, of=4000, release='frame-end',
                  released=3960, holds={'gst-memory': 40, 'g-object': 1})]),
    Case('a probe keeps the last key frame and forgets those before',
         'probe', 3000, 10, leaks=[
             Leak('missing-release', 'gst-buffer', 'key-frame', 300, of=300, release='', alloc='frame',
                  holds={'gst-memory': 300, 'g-object': 1})]),
    Case('the caps of a pad are handed out one time in ten for good',
         'current_caps', 2000, 10, leaks=[
             Leak('missing-release', 'gst-caps', 'current-caps', 1, refs=200, alloc='caps',
                  release='current-caps-end')]),
    Case('a memory that is taken out of its buffer outlives it',
         'memory', 3000, 10, leaks=[
             Leak('missing-release', 'gst-memory', 'memory', 300, of=3000, release='memory-end',
                  alloc='frame', holds={'g-object': 1})]),
    Case('an event is swallowed',
         'event', 2000, 20, leaks=[
             Leak('missing-release', 'gst-event', 'event', 100, release='event-end', alloc='event',
                  holds={'gst-mini-object': 100})]),
    Case('a message of a bus is popped and forgotten one time in a thousand',
         'messages', 10000, 1000, leaks=[
             Leak('missing-release', 'gst-message', 'message', 10, of=10000, release='message-end')]),
    Case('a leaked sample holds its buffer, which holds a memory',
         'cascade', 2000, 10, leaks=[
             Leak('missing-release', 'gst-mini-object', 'sample', 200, of=2000, release='sample-end',
                  # its own buffers and memories, and references of the caps and the allocator
                  holds={'gst-buffer': 200, 'gst-memory': 200, 'gst-caps': 1, 'g-object': 1})]),
    Case('a probe in one of two threads behind a tee',
         'pipeline', 2000, 10, leaks=[
             Leak('missing-release', 'gst-buffer', 'monitor', 200, of=200, release='',
                  holds={'gst-memory': 200, 'g-object': 1})]),
    Case('a thread takes a reference of the same caps for each buffer, and forgets one in 25',
         'own_caps', 2000, 25, leaks=[
             Leak('missing-release', 'gst-caps', 'own-caps', 1, refs=80, alloc='own-caps-birth',
                  release='own-caps-end')]),
    Case('the same when only those references are left',
         'own_caps_to_end', 2000, 25, leaks=[
             Leak('missing-release', 'gst-caps', 'own-caps', 1, refs=80, alloc='own-caps-birth',
                  release='own-caps-end')]),
    Case('clean: samples that are there to the end have a reference of the same caps each',
         'registry', 2000),
    Case('clean: a pipeline with a tee and two threads', 'clean_pipeline', 3000),
    Case('clean: a thread of GStreamer still changes the state of its pipeline at the end',
         'state_change', 3000),
    Case('clean: a pool whose buffers rise again, and writable copies', 'buffer_pool', 5000),
    Case('all pads that were handed out are forgotten, and hold the template of all of them',
         'static_pad', 60, 1, leaks=[
             Leak('missing-release', 'g-object', 'static-pad', 60, of=60,
                  holds={'g-array': 60, 'g-object': 1})]),
    Case('a pad that was handed out is forgotten one time in ten',
         'static_pad', 200, 10, leaks=[
             Leak('missing-release', 'g-object', 'static-pad', 20, of=200,
                  holds={'g-array': 20, 'g-object': 1})]),
    Case('clean: pads that are handed out', 'static_pad', 200),
]

if __name__ == '__main__':
    sys.exit(main('gst', CASES))
