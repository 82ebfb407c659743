#!/usr/bin/python3
"""Whatever bufleak is given, it answers with one clear line and the right exit code."""
import os
import random
import resource
import struct
import subprocess

from common import CLI, LIMIT, WRITER, CliTest, main


def processor_time():
    """Of the programs that have ended, whatever else the machine has to do."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class BadFiles(CliTest):
    def setUp(self):
        super().setUp()
        self.good = self.home / 'good.ledger'
        subprocess.run([WRITER, self.good], check=True)
        self.bytes = self.good.read_bytes()

    def file(self, content):
        path = self.home / 'bad.ledger'
        path.write_bytes(content)
        return path

    def test_a_good_file_is_read(self):
        self.assertEqual(self.report(self.good)['groups'][0]['count'], 10)

    def test_truncated_files(self):
        for length in (8, 100, 4095):
            self.refuse('truncated', 'report', self.file(self.bytes[:length]))
        for length in (4096, 5000, 20480, len(self.bytes) // 2, len(self.bytes) - 1):
            path = self.file(self.bytes[:length])
            self.assertGreater(self.report(path)['losses']['file_bytes_missing'], 0)
            self.assertRegex(self.bufleak('report', path).stdout, r'the file is not whole: at least .* missing')
            if length == 4096:
                self.assertIn('in what is left of the file', self.bufleak('report', path).stdout)
                self.assertIn('nothing is known to be', self.bufleak('top', '--once', path).stdout)
            for command in ('top', '--once', path), ('diff', path, path), ('ps',):
                self.bufleak(*command)

    def test_empty_and_foreign_files(self):
        self.refuse('is empty', 'report', self.file(b''))
        self.refuse('is not a bufleak ledger', 'report', self.file(b'hello\n'))
        self.refuse('is not a bufleak ledger', 'report', '/bin/true')
        self.refuse('is not a file', 'report', '/')
        self.refuse('is not a file', 'report', '/dev/zero')
        fifo = self.home / 'fifo'
        os.mkfifo(fifo)
        self.refuse('is not a file', 'report', fifo)

    def test_random_files(self):
        rng = random.Random(1)
        for size in (1, 4096, 70000):
            self.refuse('is not a bufleak ledger', 'report', self.file(rng.randbytes(size)))
        # a true header before random bytes: refused or read, but never a crash
        for _ in range(30):
            junk = self.bytes[:4096] + rng.randbytes(len(self.bytes) - 4096)
            done = subprocess.run([CLI, 'report', self.file(junk)], env=self.env, timeout=LIMIT,
                                  capture_output=True, text=True, check=False)
            self.assertIn(done.returncode, (0, 1))
            self.assertLessEqual(len(done.stderr.splitlines()), 1)

    def test_newer_versions(self):
        newer = self.bytes[:8] + struct.pack('<I', 7) + self.bytes[12:]
        self.refuse('newer', 'report', self.file(newer))
        self.refuse('upgrade', 'report', self.file(newer))
        flags = self.bytes[:12] + struct.pack('<I', 4) + self.bytes[16:]
        self.refuse('upgrade', 'report', self.file(flags))

    def test_control_characters_in_a_name_do_not_reach_the_terminal(self):
        comm = b'\x1b]0;x\x07\nnginx\xff\0'
        bad = self.bytes[:96] + comm.ljust(16, b'\0') + self.bytes[112:]
        for arguments in (['report'], ['report', '--format', 'json']):
            out = self.bufleak(*arguments, self.file(bad)).stdout
            self.assertNotIn('\x1b', out)
            self.assertNotIn('\x07', out)
        self.refuse('no file', 'report', 'x\x1b[31m\n')

    def test_damaged_references_are_counted_and_said(self):
        path = self.file(self.bytes)
        data = bytearray(self.bytes)
        # the directory says where the live buffers are: give one a stack that does not exist
        for n in range(struct.unpack_from('<I', data, 244)[0]):
            offset, _, section, _ = struct.unpack_from('<QIHH', data, 4096 + 16 * n)
            if section == 6:
                struct.pack_into('<I', data, offset + 32 + 24, 0x7fffffff)
        path.write_bytes(data)
        self.assertIn('damaged', self.bufleak('report', path).stdout)
        self.assertEqual(self.report(path)['losses']['references_damaged'], 1)


    def test_a_class_whose_name_is_lost_is_damage(self):
        """As when the page with the names never came to the disk."""
        data = bytearray(self.bytes)
        for n in range(struct.unpack_from('<I', data, 244)[0]):
            offset, pages, section, _ = struct.unpack_from('<QIHH', data, 4096 + 16 * n)
            if section == 0:  # names
                data[offset:offset + 4096 * pages] = bytes(4096 * pages)
        found = self.report(self.file(bytes(data)))
        self.assertGreater(found['losses']['references_damaged'], 0)
        self.assertIn('the file is damaged', self.bufleak('report', self.file(bytes(data))).stdout)


class BadTargets(CliTest):
    def test_pids(self):
        self.refuse('no process 4194399', 'report', 4194399)
        self.refuse('no process 4194399', 'dump', 4194399)
        self.refuse(f'process {os.getpid()} ', 'report', os.getpid())
        self.refuse('is not tracked', 'report', os.getpid())
        self.refuse('is not tracked', 'dump', os.getpid())
        self.refuse('is not tracked', 'report', 1)

    def test_a_process_of_another_user(self):
        if os.geteuid() != 0:
            self.skipTest('needs root to become nobody')
        os.chmod(self.home, 0o755)
        self.refuse('belongs to another user', 'report', 1, user=65534, group=65534, extra_groups=[],
                    env=dict(self.env, BUFLEAK_DIR=str(self.home / 'other')))

    def test_a_directory_of_another_user(self):
        if os.geteuid() != 0:
            self.skipTest('needs root to become nobody')
        os.chmod(self.home, 0o755)
        self.ledgers.mkdir()
        for command in ('report', 'ps', 'dump'):
            self.refuse('belongs to another user', command, user=65534, group=65534,
                        extra_groups=[])
        self.refuse('belongs to another user', 'run', 'true', user=65534, group=65534,
                    extra_groups=[])

    def test_no_ledger_at_all(self):
        self.refuse('bufleak run', 'report')
        self.refuse('bufleak run', 'dump')
        self.assertIn('PID', self.bufleak('ps').stdout)

    def test_a_linked_directory(self):
        self.ledgers.symlink_to('/tmp')
        for command in ('report', 'ps'):
            self.refuse('symbolic link', command)

    def test_an_ended_process_cannot_dump(self):
        self.ledgers.mkdir()
        subprocess.run([WRITER, self.ledgers / 'gw.4194399.5.ledger', '4194399'], check=True)
        self.refuse('no longer running', 'dump', 4194399)
        self.refuse('no longer running', 'dump')

    def test_a_ledger_that_cannot_be_read_is_not_missing(self):
        self.ledgers.mkdir()
        path = self.ledgers / 'gw.4194399.5.ledger'
        subprocess.run([WRITER, path, '4194399'], check=True)
        os.truncate(path, 4095)
        self.refuse('is truncated', 'report', 4194399)
        self.refuse('is truncated', 'top', '--once', 4194399)


class BadUsage(CliTest):
    def test_each_is_one_line_and_code_2(self):
        for expected, arguments in [
                ('command is missing', []),
                ('check needs a command', ['check']),
                ('unknown option --bogus', ['--bogus']),
                ('unknown option --bogus', ['report', '--bogus']),
                ('unknown option -x', ['report', '-x']),
                ('--top needs a value', ['report', '--top']),
                ('--live takes no value', ['report', '--live=1']),
                ('--top does not accept "many"', ['report', '--top', 'many']),
                ('--min-age', ['report', '--min-age', 'old']),
                ('--min-bytes', ['report', '--min-bytes', '-5']),
                ('--group', ['report', '--group', 'colour']),
                ('--format', ['report', '--format', 'xml']),
                ('text or json', ['run', '--format', 'folded', 'true']),
                ('text or json', ['diff', '--format', 'folded', '1', '2']),
                ('--weight', ['report', '--format', 'folded', '--weight', 'grams']),
                ('--weight goes with', ['report', '--weight', 'count']),
                ('--weight goes with', ['report', '--format', 'folded', '--weight', 'count', '--format', 'json']),
                ('--weight goes with', ['report', '--format', 'pprof', '--weight', 'count']),
                ('--tree does not go with --format pprof', ['report', '--format', 'pprof', '--tree']),
                ('--tree does not go with --format html', ['report', '--format', 'html', '--tree']),
                ('--buffer does not go', ['report', '--format', 'html', '--buffer', '0x10']),
                ('--weight goes with', ['report', '--format', 'html', '--weight', 'count']),
                ('text or json', ['run', '--format', 'html', 'true']),
                ('--group does not go', ['report', '--format', 'folded', '--group', 'site']),
                ('--tree does not go', ['report', '--format', 'folded', '--tree']),
                ('--buffer does not go', ['report', '--buffer', '0x10', '--format', 'folded']),
                ('--hooks does not go', ['report', '--format', 'folded', '--hooks']),
                ('--per does not go', ['report', '--format', 'folded', '--per', 'serve']),
                ('--format', ['export', '--format', 'xml']),
                ('unknown option --top', ['export', '--top', '3']),
                ('--min-age', ['export', '--min-age', 'old']),
                ('--snapshot', ['export', '--snapshot', '0']),
                ('exclude', ['export', '--live', '--snapshot', '1']),
                ('one target', ['export', 'a', 'b']),
                ('--match', ['report', '--match', '(']),
                ('--snapshot', ['report', '--snapshot', '0']),
                ('exclude', ['report', '--live', '--snapshot', '1']),
                ('one target', ['report', 'a', 'b']),
                ('one target', ['dump', '1', '2']),
                ('--timeout', ['dump', '--timeout', 'soon']),
                ('no argument', ['ps', '1']),
                ('--prune', ['ps', '--older-than', '1h']),
                ('--older-than', ['ps', '--prune', '--older-than', 'x']),
                ('needs a program', ['run']),
                ('unknown option --bogus', ['run', '--bogus', 'true']),
                ('--depth', ['run', '--depth', '0', 'true']),
                ('--depth', ['run', '--depth', '513', 'true']),
                ('--signal', ['run', '--signal', 'NOSUCH', 'true']),
                ('--sample', ['run', '--sample', 'x', 'true']),
                ('--exit-report', ['run', '--exit-report', 'loud', 'true']),
                ('0 or 1', ['run', '--follow=2', 'true'])]:
            with self.subTest(arguments=arguments):
                self.refuse(expected, *arguments, code=2)

    def test_help_and_version(self):
        for command in ('run', 'report', 'export', 'dump', 'ps'):
            out = self.bufleak(command, '--help').stdout
            self.assertTrue(out.startswith(f'Usage: bufleak {command}'))
            self.assertTrue(all(len(line) <= 100 for line in out.splitlines()))
            self.assertIn(f'\n  {command} ', self.bufleak('--help').stdout)
        self.assertRegex(self.bufleak('--version').stdout, r'^bufleak \d+\.\d+')

    def test_a_full_disk_is_not_a_report(self):
        ledger = self.home / 'x.ledger'
        subprocess.run([WRITER, ledger], check=True)
        with open('/dev/full', 'w', encoding='utf-8') as full:
            done = subprocess.run([CLI, 'report', ledger], env=self.env, stdout=full, check=False,
                                  stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn('No space left', done.stderr)

    def test_a_million_buffers_are_reported_in_seconds(self):
        ledger = self.home / 'x.ledger'
        subprocess.run([WRITER, ledger, 'huge'], check=True)
        for grouped in ('site', 'stack'):
            start = processor_time()
            report = self.report('--group', grouped, '--top', 20, ledger)
            taken = processor_time() - start
            self.assertEqual(report['classes'][0]['live_count'], 1000000)
            self.assertEqual(report['groups_total'], 100 if grouped == 'site' else 100000)
            print(f'1,000,000 buffers on 100,000 stacks by {grouped}: {taken:.2f} s of a processor')
            self.assertLess(taken, 20)

    def test_a_million_histories_are_judged_and_none_is_lost(self):
        ledger = self.home / 'x.ledger'
        subprocess.run([WRITER, ledger, 'histories'], check=True)
        report = self.report('--top', 0, ledger)
        table = report['classes'][1]
        self.assertEqual((table['name'], table['live_count']), ('buf', 1000000))
        shared = sum(g.get('shared', 0) for g in report['groups'])
        total = sum(g['count'] for g in report['groups'])
        self.assertLessEqual(table['live_count'], total)
        self.assertLessEqual(total - table['live_count'], shared)
        ledger.unlink()  # of 300 MB


if __name__ == '__main__':
    main()
