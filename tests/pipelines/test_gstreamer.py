#!/usr/bin/python3
"""GStreamer's own programs: counts agree, results are the same, and only true leaks are told."""
import re
import subprocess
import sys
import tempfile

from pipelines import compare, expect, main, need, need_elements

VIDEO = ('videotestsrc num-buffers=1000 ! video/x-raw,width=160,height=120 ! tee name=t '
         't. ! queue ! videoconvert ! jpegenc ! avimux ! filesink location=out.avi '
         't. ! queue ! videoconvert ! theoraenc ! filesink location=out.theora')
AUDIO = ('audiotestsrc num-buffers=5000 ! tee name=t '
         't. ! queue ! audioconvert ! wavenc ! filesink location=out.wav '
         't. ! queue ! audioconvert ! vorbisenc ! filesink location=out.vorbis')
WEBM = ('videotestsrc num-buffers=30 ! video/x-raw,width=160,height=120 ! vp8enc ! webmmux ! '
        'fakesink')


def launch(pipeline, **options):
    return compare(['gst-launch-1.0', '-q', *pipeline.split()], **options)


def is_clean(tracked, least):
    expect(tracked.check() > 0, 'no count was compared')
    expect(tracked.losses['events_overflow'] < 100, f'histories overflow: {tracked.losses}')
    tracked.check_nobody_accused()
    made = tracked.classes['gst-buffer']
    expect(made['allocs'] >= least and made['live_count'] == 0, made)


def video():
    """1,000 frames through tee, queues, videoconvert and two encoders: the same files, no drift"""
    need_elements('jpegenc', 'theoraenc', 'avimux')
    for tracked in launch(VIDEO):
        is_clean(tracked, 1000)


def audio():
    """5,000 audio buffers through tee, queues and two encoders: the same files, no drift"""
    need_elements('wavenc', 'vorbisenc')
    for tracked in launch(AUDIO):
        is_clean(tracked, 5000)


def webm():
    """What the classes of element types hold is no leak"""
    need_elements('vp8enc', 'webmmux')
    for tracked in launch(WEBM):
        is_clean(tracked, 30)


def mistaken():
    """A pipeline that cannot be built leaves the registry behind and nobody is accused"""
    need('gst-launch-1.0')
    for tracked in launch('nosuchelement', status=1):
        expect(tracked.check() > 0, 'no count was compared')
        tracked.check_nobody_accused()


def lost_elements():
    """How many elements of each of the two lists valgrind finds lost, directly and indirectly"""
    with tempfile.NamedTemporaryFile(mode='r') as log:
        subprocess.run(['valgrind', '--leak-check=full', '--num-callers=6',
                        f'--log-file={log.name}', 'gst-inspect-1.0'], check=True, timeout=120,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        records = re.findall(r'== ([0-9,]+) .*definitely lost.*\n((?:==.*(?:at|by) 0x.*\n)+)', log.read())
    return [int(size.replace(',', '')) // 24 for size, stack in records
            if 'g_list_copy_deep' in stack or 'g_list_prepend' in stack]


def lists():
    """gst-inspect-1.0 loses the heads of the two lists it sorts, and nothing else is told

    It sorts the lists of plugins and of features and then frees them from what was their head. What
    stood in front is lost, and valgrind counts the same elements (24 bytes each): those that
    g_list_copy_deep and g_list_prepend made. How many depends on the order of the registry.
    """
    need('gst-inspect-1.0')
    need('valgrind')
    for tracked in compare(['gst-inspect-1.0']):
        tracked.check()
        told = tracked.verdicts()
        expect(len(told) == 2, told)
        for group in told:
            caller = group['blame']['frames'][0]
            expect(group['verdict'] == 'missing-release' and group['class'] == 'g-object' and
                   caller['module'] == 'gst-inspect-1.0', group)
        counts = sorted(group['count'] for group in told)
        expect(counts == sorted(lost_elements()), f'{counts}, by valgrind {lost_elements()}')


def one_element():
    """gst-inspect-1.0 of one element accuses nobody"""
    need('gst-inspect-1.0')
    for tracked in compare(['gst-inspect-1.0', 'queue']):
        tracked.check()
        tracked.check_nobody_accused()


if __name__ == '__main__':
    sys.exit(main(video, audio, webm, mistaken, lists, one_element))
