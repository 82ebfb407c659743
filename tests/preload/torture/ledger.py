"""Reads ledgers by ledger_format.h alone: a second reader, independent of the program's own."""
import collections
import os
import struct

PAGE = 4096
EXTENTS_MAX = 1024
SHARDS = 32
NAMES, MODULES, FRAMES, THREADS, CLASSES, COUNTERS, LIVE, HOOKS = range(8)
RECORD_BYTES = {NAMES: 1, MODULES: 96, FRAMES: 16, THREADS: 32, CLASSES: 64, COUNTERS: 2048,
                LIVE: 32, HOOKS: 32}
RUNNING, EXITED, EXECED = 1, 2, 3
EXIT, UNDERSCORE, QUICK, ABORT = 1, 2, 3, 4
FORKED, INEXACT, NO_HELPER = 1, 2, 4
LOSSES = ('events_reentrant', 'buffers_no_memory', 'buffers_no_space', 'buffers_replaced',
          'blocks_before_start', 'frees_unknown', 'stacks_truncated', 'stacks_unrooted',
          'stacks_fallback', 'stacks_dropped', 'modules_dropped', 'names_dropped',
          'threads_dropped', 'ledger_private_bytes', 'ledger_no_file', 'snapshots_failed',
          'snapshots_inexact', 'helper_missing', 'forks_unseen', 'inherited_dropped',
          'arena_failures', 'capture_busy', 'signals_not_taken')

Live = collections.namedtuple('Live', 'number address size class_number birth_ns stack thread')
Frame = collections.namedtuple('Frame', 'path offset exact truncated unrooted')
# offset and struct format of the header's fields
FIELDS = {'version': (8, 'I'), 'flags': (20, 'I'), 'pid': (24, 'I'), 'ppid': (28, 'I'),
          'uid': (32, 'I'), 'parent_pid': (36, 'I'), 'start_realtime_ns': (56, 'Q'),
          'forked_ns': (72, 'Q'), 'exe_name': (128, 'I'), 'cmdline_name': (132, 'I'),
          'options_name': (136, 'I'), 'depth_frames': (140, 'I'), 'interval_ns': (152, 'Q'),
          'signal': (160, 'i'), 'state': (168, 'I'), 'exit_kind': (172, 'I'),
          'exit_status': (176, 'i'), 'end_ns': (184, 'Q'), 'snapshot_number': (200, 'I'),
          'snapshot_reason': (204, 'I'), 'wake': (216, 'I'), 'dump_requests': (220, 'I'),
          'dump_served': (224, 'I'), 'signal_requests': (228, 'I'), 'signal_served': (232, 'I'),
          'snapshots': (236, 'I'), 'snapshot_error': (240, 'i'), 'extents_used': (244, 'I'),
          'rss_bytes': (1080, 'Q')}


class Header:
    """The first page of a ledger."""

    def __init__(self, data):
        self.data = bytes(data[:PAGE])
        if self.data[:8] != b'BUFLEAK\0':
            raise ValueError('not a ledger')

    def __getattr__(self, name):
        offset, kind = FIELDS[name]
        return struct.unpack_from('<' + kind, self.data, offset)[0]

    @property
    def comm(self):
        return self.data[96:112].split(b'\0')[0].decode()

    def published(self, section):
        return struct.unpack_from('<Q', self.data, 248 + 8 * section)[0]

    @property
    def losses(self):
        values = struct.unpack_from(f'<{len(LOSSES)}Q', self.data, 504)
        return {name: value for name, value in zip(LOSSES, values) if value}


def read_header(path):
    with open(path, 'rb') as f:
        return Header(f.read(PAGE))


class Ledger:
    def __init__(self, path):
        self.path = path
        with open(path, 'rb') as f:
            self.data = f.read()
        if len(self.data) < PAGE + EXTENTS_MAX * 16:
            raise ValueError('truncated')
        self.header = Header(self.data)
        self.parts = {section: [] for section in RECORD_BYTES}
        for i in range(self.header.extents_used):
            offset, pages, section, flags = struct.unpack_from('<QIHH', self.data, PAGE + 16 * i)
            if section in self.parts:
                self.parts[section].append((None if flags & 1 else offset, pages * PAGE))
        self.names = {}

    def chunks(self, section):
        """(number of the first record, bytes or None where it is private), up to published."""
        width = RECORD_BYTES[section]
        left = self.header.published(section) * width
        first = 0
        for offset, length in self.parts[section]:
            take = min(left, length)
            if take <= 0:
                return
            yield first // width, None if offset is None else self.data[offset:offset + take]
            left -= take
            first += length

    def record(self, section, number):
        width = RECORD_BYTES[section]
        at = number * width
        for offset, length in self.parts[section]:
            if at < length:
                return None if offset is None else self.data[offset + at:offset + at + width]
            at -= length
        raise ValueError(f'record {number} of section {section} is not there')

    def name(self, at):
        if not at:
            return None
        if at not in self.names:
            rest = at
            for offset, length in self.parts[NAMES]:
                if rest < length:
                    size = struct.unpack_from('<I', self.data, offset + rest)[0]
                    text = self.data[offset + rest + 4:offset + rest + 4 + size]
                    self.names[at] = text.decode(errors='replace')
                    break
                rest -= length
        return self.names[at]

    def live(self, class_number=None):
        for first, data in self.chunks(LIVE):
            if data is None:
                continue
            for i, (word, address, birth, stack, thread) in enumerate(
                    struct.iter_unpack('<QQQII', data)):
                kind = word >> 8 & 0xff
                if word & 1 and class_number in (None, kind):
                    yield Live(first + i, address, word >> 16, kind, birth, stack, thread)

    def totals(self, class_number=0):
        """Live buffers and bytes, by the records."""
        count = total = 0
        for buffer in self.live(class_number):
            count += 1
            total += buffer.size
        return count, total

    def counters(self, class_number=0):
        data = self.record(COUNTERS, class_number)
        sums = [0] * 4
        for shard in range(SHARDS):
            for i, value in enumerate(struct.unpack_from('<4Q', data, shard * 64)):
                sums[i] += value
        return dict(zip(('allocs', 'alloc_bytes', 'frees', 'free_bytes'),
                        (value % 2**64 for value in sums)))

    def class_names(self):
        return [self.name(struct.unpack_from('<I', self.record(CLASSES, i))[0])
                for i in range(self.header.published(CLASSES))]

    def frames(self, stack):
        """Innermost first."""
        result = []
        while stack:
            parent, module, offset = struct.unpack('<IIQ', self.record(FRAMES, stack))
            if parent >= stack:
                raise ValueError(f'frame {stack} has parent {parent}')
            path = None
            if module & 0xffffff:
                path = self.name(struct.unpack_from('<I', self.record(MODULES,
                                                                      module & 0xffffff))[0])
            result.append(Frame(path, offset, bool(module & 0x1000000), bool(module & 0x2000000),
                                bool(module & 0x4000000)))
            stack = parent
        return result

    def hooks(self):
        """function -> (method, why, module)"""
        found = {}
        for _, data in self.chunks(HOOKS):
            for function, _, method, why, module, *_ in struct.iter_unpack('<8I', data):
                found[self.name(function)] = (method, self.name(why), self.name(module))
        return found

    def check(self):
        """What must hold in every ledger at every moment; raises ValueError."""
        size = len(self.data)
        for section, parts in self.parts.items():
            for offset, length in parts:
                if offset is not None and (offset % PAGE or offset + length > size):
                    raise ValueError(f'an extent of section {section} is outside of the file')
        frames = max(self.header.published(FRAMES), 1)
        addresses = set()
        for buffer in self.live():
            if buffer.stack >= frames:
                raise ValueError(f'buffer {buffer} has a stack that is not published')
            if (buffer.class_number, buffer.address) in addresses:
                raise ValueError(f'{buffer.address:#x} is recorded twice')
            addresses.add((buffer.class_number, buffer.address))
        return self


def find(directory):
    """Ledgers and snapshots of a directory and of its spools."""
    ledgers, snapshots, other = [], [], []
    for where, _, files in os.walk(directory):
        for name in files:
            path = os.path.join(where, name)
            tail = name.rsplit('.ledger', 1)
            if name.endswith('.ledger'):
                ledgers.append(path)
            elif len(tail) == 2 and tail[1][1:].isdigit():
                snapshots.append(path)
            else:
                other.append(path)
    return sorted(ledgers), sorted(snapshots), sorted(other)
