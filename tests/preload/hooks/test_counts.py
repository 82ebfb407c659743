#!/usr/bin/python3
"""Hooks count the calls that callgrind counts, also those inside one library or executable."""
import os
import re
import sys
import tempfile

import hooked
from hooked import expect

COMPRESSED = re.compile(r'(c?fn)=\((\d+)\)(?: (.*))?$')


def read_callgrind(path):
    """Calls of each function, summed over its callers."""
    names, calls, callee = {}, {}, None
    with open(path, encoding='utf-8', errors='replace') as lines:
        for line in lines:
            match = COMPRESSED.match(line)
            if match:
                kind, number, name = match.groups()
                if name:
                    names[number] = re.sub(r"'\d+$", '', name)
                if kind == 'cfn':
                    callee = names[number]
            elif line.startswith('calls='):
                bare = callee.split('@')[0]
                calls[bare] = calls.get(bare, 0) + int(line[6:].split()[0])
    return calls


def callgrind(command):
    hooked.need('valgrind')
    with tempfile.TemporaryDirectory(prefix='bufleak-hooks.') as directory:
        out = os.path.join(directory, 'callgrind')
        hooked.run(['valgrind', '-q', '--tool=callgrind', f'--callgrind-out-file={out}', *command])
        return read_callgrind(out)


def compare(command, functions):
    """Every function has the same count, in pre and post mode, and none is zero."""
    oracle = callgrind(command)
    for mode in ('pre', 'post'):
        seen = hooked.run_hooked(command, functions, mode)
        wrong = {name: (seen.counts.get(name, seen.refused.get(name)), oracle.get(name))
                 for _, name in functions if seen.counts.get(name) != oracle.get(name)}
        expect(not wrong, f'{mode} hooks and callgrind differ: {wrong}')
    return ', '.join(f'{name} {oracle[name]}' for _, name in functions)


def nginx_counts():
    """Calls inside nginx itself are counted as callgrind counts them."""
    hooked.need('nginx')
    with tempfile.TemporaryDirectory(prefix='bufleak-hooks.') as directory:
        path = os.path.join(directory, 'nginx.conf')
        with open(path, 'w', encoding='utf-8') as conf:
            conf.write(f'pid {directory}/pid; error_log {directory}/log; events {{}}\n'
                       f'http {{ access_log off; client_body_temp_path {directory}/body;\n'
                       f'server {{ listen unix:{directory}/socket; }} }}\n')
        functions = [(hooked.EXECUTABLE, 'ngx_' + name) for name in
                     ('palloc', 'pnalloc', 'pcalloc', 'alloc', 'create_pool', 'destroy_pool')]
        return compare(['nginx', '-t', '-q', '-c', path], functions)


def pipeline_counts():
    """Calls inside libgstreamer and libgobject are counted as callgrind counts them."""
    program = hooked.own_program('pipeline')
    with tempfile.TemporaryDirectory(prefix='bufleak-hooks.') as directory:
        os.environ['GST_REGISTRY'] = os.path.join(directory, 'registry')
        os.environ['GST_REGISTRY_FORK'] = 'no'
        command = [program, 'fakesrc num-buffers=200 ! identity ! fakesink', 'count']
        hooked.run(command)
        gst, gobject = 'libgstreamer-1.0.so.0', 'libgobject-2.0.so.0'
        functions = [(gst, 'gst_mini_object_init'), (gst, 'gst_buffer_new'),
                     (gst, 'gst_pad_push'), (gobject, 'g_type_create_instance'),
                     (gobject, 'g_type_free_instance'), (gobject, 'g_object_ref')]
        return compare(command, functions)


def openssl_counts():
    """Calls of openssl into its libraries, and inside them, are counted as callgrind counts."""
    hooked.need('openssl')
    functions = [('libcrypto.so.3', name) for name in
                 ('EVP_DigestUpdate', 'BIO_new_ex', 'BIO_free', 'ERR_set_mark', 'CRYPTO_zalloc',
                  'OPENSSL_LH_insert', 'OPENSSL_sk_num', 'EVP_MD_up_ref')]
    return compare(['openssl', 'dgst', '-sha256', os.path.abspath(__file__)], functions)


if __name__ == '__main__':
    sys.exit(hooked.main(nginx_counts, pipeline_counts, openssl_counts))
