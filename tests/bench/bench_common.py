"""What the benchmarks share: where things are, medians, tables, and the state of the machine."""
import argparse
import os
import statistics
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), '..', '..'))
BUILD = os.path.join(ROOT, os.environ.get('BUILD_DIR', 'build'))
SHIM = os.path.join(BUILD, 'shim', 'libbufleak.so')


def parser(description):
    """Options that every benchmark has."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument('--rounds', type=positive, default=5, metavar='N',
                         help='how often each variant is measured, in turns (default 5)')
    options.add_argument('--json', action='store_true', help='results as JSON on stdout')
    return options


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'{text} is not a positive number')
    return value


def have_shim():
    if os.path.exists(SHIM):
        return True
    print(f'bench: there is no {os.path.relpath(SHIM, ROOT)}; measuring the rest', file=sys.stderr)
    return False


def clean_environment(**extra):
    """The caller's environment without what would change the target, and with what is given."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(('BUFLEAK_', 'LSAN_', 'MALLOC_', 'DUMP_HEAPTRACK'))
                   and name not in ('LD_PRELOAD', 'GLIBC_TUNABLES')}
    environment['LC_ALL'] = 'C.UTF-8'
    environment.update(extra)
    return environment


def shim_environment(directory):
    return clean_environment(LD_PRELOAD=SHIM, BUFLEAK_DIR=directory, BUFLEAK_OPTIONS='quiet=1')


def median(values):
    return statistics.median(values)


def spread(values):
    """Half the distance from the lowest to the highest: how far one round may be off."""
    return (max(values) - min(values)) / 2


def progress(text):
    if sys.stderr.isatty():
        print(f'\r\x1b[K{text}', end='', file=sys.stderr, flush=True)


def progress_done():
    if sys.stderr.isatty():
        print('\r\x1b[K', end='', file=sys.stderr, flush=True)


def machine():
    load = os.getloadavg()
    model = 'unknown'
    with open('/proc/cpuinfo', encoding='utf-8') as cpus:
        for line in cpus:
            if line.startswith('model name'):
                model = line.split(':', 1)[1].strip()
                break
    return {'cpu': model, 'cpus': os.cpu_count(), 'load_1m': round(load[0], 2)}


def show_table(header, rows):
    """Columns as wide as they need to be, the first to the left, numbers to the right."""
    table = [header] + rows
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    for row in table:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print('  '.join(cells).rstrip())
