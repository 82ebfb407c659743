#!/usr/bin/python3
"""Ordinary programs do the same with and without the shim: output, messages, exit status."""
import os
import shutil
import subprocess
import sys
import tempfile

import harness
from harness import Skipped, expect

WORDS = ''.join(f'{number * 7919 % 10007} word{number % 97}\n' for number in range(20000))
PYTHON = '''
import hashlib, json, re, threading
rows = []
def work(n):
    rows.append(json.dumps({str(i): [i] * (i % 7) for i in range(n)}, sort_keys=True))
threads = [threading.Thread(target=work, args=(2000,)) for _ in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print(len(set(rows)), hashlib.sha256(rows[0].encode()).hexdigest())
print(len(re.findall(r"[13579]+", rows[0])))
'''
PERL = 'my %h; $h{$_ % 977} .= "x" x ($_ % 13) for 1..50000; print length(join ",", map {"$_=$h{$_}"} sort keys %h), "\\n";'
SQL = ('create table t(a integer primary key, b text);'
       'with recursive n(i) as (select 1 union all select i+1 from n where i<20000)'
       ' insert into t select i, printf("%x", i*7919) from n;'
       'create index tb on t(b); select count(*), sum(length(b)), max(b) from t where b like "1%";')
GIT = ('git init -q -b main . && git add words && git -c user.name=a -c user.email=a@b '
       'commit -q -m first && echo more >>words && git status --short && git diff --stat && '
       'git log --format=%s && git gc -q && git fsck')

# name: command, run in a directory that holds the file words
PROGRAMS = {
    'ls': ['ls', '-lR', '--time-style=+', '/etc/default', '/usr/include/linux/netfilter'],
    'ls, failing': ['ls', '/nowhere/at/all'],
    'sort': ['sort', '-n', '--parallel=4', '-S', '200K', 'words'],
    'awk': ['awk', '{ c[$2] += $1 } END { for (w in c) print w, c[w] | "sort" }', 'words'],
    'sed': ['sed', '-E', 's/(word)([0-9]+)/\\2\\1/; 5q', 'words'],
    'grep': ['grep', '-c', '-E', '^[0-9]*7.*word(1|2)', 'words'],
    'find and xargs': ['sh', '-c', 'find /usr/share/doc/bash -type f | sort | xargs -n 2 -P 1 wc -c'],
    'tar and gzip': ['sh', '-c', 'tar --mtime=@0 -c words | gzip -n | gunzip | sha256sum'],
    'bash': ['bash', '-c', 'for i in {1..200}; do x=$(printf %s "$i"); a[i]=$x; done; echo "${#a[@]}"'],
    'bash, failing': ['bash', '-c', 'nosuchcommand; exit 42'],
    'git': ['sh', '-c', GIT],
    'python3': ['/usr/bin/python3', '-I', '-c', PYTHON],
    'python3, failing': ['/usr/bin/python3', '-I', '-c', 'import sys; sys.exit("no")'],
    'python3 with its own memory by malloc': ['env', 'PYTHONMALLOC=malloc', '/usr/bin/python3', '-c', PYTHON],
    'perl': ['perl', '-e', PERL],
    'sqlite3': ['sqlite3', ':memory:', SQL],
    'openssl': ['openssl', 'dgst', '-sha256', 'words'],
    'gcc': ['sh', '-c', 'echo "int main(void){return 7;}" >m.c && gcc -O2 -c m.c && gcc m.o -o m && '
            './m; echo $?'],
    'killed by SIGTERM': ['sh', '-c', 'kill -TERM $$'],
    'killed by SIGKILL': ['sh', '-c', 'kill -KILL $$'],
    'killed by SIGSEGV': ['/usr/bin/python3', '-I', '-c',
                          'import os, signal; os.kill(os.getpid(), signal.SIGSEGV)'],
    'aborted': ['/usr/bin/python3', '-I', '-c', 'import os; os.abort()'],
    'ended by _exit': ['/usr/bin/python3', '-I', '-c', 'import os; os._exit(9)'],
}


def outcome(command, environment):
    with tempfile.TemporaryDirectory(prefix='bufleak-ordinary.') as directory:
        with open(os.path.join(directory, 'words'), 'w', encoding='ascii') as words:
            words.write(WORDS)
        environment = dict(environment, LC_ALL='C.UTF-8', GIT_CONFIG_GLOBAL='/dev/null',
                           GIT_CONFIG_NOSYSTEM='1', HOME=directory)
        run = subprocess.run(command, cwd=directory, env=environment, stdin=subprocess.DEVNULL,
                             capture_output=True, timeout=120, check=False)
        place = directory.encode()
        return (run.returncode, run.stdout.replace(place, b'.'), run.stderr.replace(place, b'.'))


def ordinary(name):
    def claim():
        command = PROGRAMS[name]
        if shutil.which(command[0]) is None:
            raise Skipped(f'{command[0]} is not installed')
        plain = outcome(command, harness.environment())
        with tempfile.TemporaryDirectory(prefix='bufleak-ledgers.') as directory:
            with_shim = outcome(command, harness.shim_environment(directory))
            expect(any(n.endswith('.ledger') for n in os.listdir(directory)),
                   'no ledger: the program did not run under the shim')
        for what, one, other in zip(('exit status', 'stdout', 'stderr'), plain, with_shim):
            expect(one == other, f'{what} without the shim: {one!r:.500}\nwith it: {other!r:.500}')
    claim.__doc__ = f'{name}: output, messages and exit status are the same under the shim.'
    return claim


if __name__ == '__main__':
    sys.exit(harness.main(*(ordinary(name) for name in PROGRAMS)))
