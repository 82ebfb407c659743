"""The commands: each does a little real work in a directory of its own, which place() fills."""
import contextlib
import dataclasses
import http.server
import os
import pathlib
import shutil
import subprocess
import threading

PYTHON = '/usr/bin/python3'


@dataclasses.dataclass(frozen=True)
class Command:
    line: str             # words by blanks; {…} from place()
    of: str               # the group that it belongs to
    status: int = 0       # that it ends with, by itself
    input: str = ''
    is_asked: bool = False  # also beside the other tools when there is little time
    varies: bool = False    # what it loses depends on the second that it runs in

    @property
    def program(self):
        return self.line.split()[0]


def coreutils(*lines):
    return [Command(line, 'coreutils') for line in lines]


COREUTILS = coreutils(
    'ls -laR --color=always .', 'dir tree', 'vdir tree', 'cat words numbers', 'cp -a tree copy',
    'mv words moved', 'rm -rf tree', 'mkdir -p a/b/c', 'rmdir empty', 'ln -s words link',
    'link words hard', 'unlink words', 'chmod -R u+rwX,go-w tree', 'chown -R {user} tree',
    'chgrp -R {group} tree', 'touch -d yesterday words fresh', 'install -D -m 600 words a/b/words',
    'dd if=words of=out bs=7 count=50 conv=ucase', 'truncate -s 1M sparse', 'shred -n 1 -u words',
    'mkfifo pipe', 'mktemp -p .', 'du -ah --max-depth=2 .', 'df -T .', 'stat --printf=%n:%s:%U words tree',
    'readlink -f link-to-words', 'realpath --relative-to=tree words', 'basename -s .txt a/b.txt c.txt',
    'dirname a/b c/d', 'pathchk a/b', 'sync words', 'sort -u -k1,1 words', 'sort -n -r numbers',
    'sort --parallel=2 -S 64K many', 'uniq -c sorted', 'comm sorted sorted-too', 'join sorted sorted-too',
    'cut -c1-3 words', 'cut -d: -f1,3 fields', 'paste words numbers', 'tr a-z A-Z', 'expand words',
    'unexpand -a words', 'fold -s -w 20 words', 'fmt -w 30 words', 'nl words', 'pr -2 words', 'head -n 3 words',
    'tail -n 3 words', 'tail -c 100 many', 'tac words', 'split -l 10 many part.', 'csplit -s many 5 {{3}}',
    'od -A x -t x1z words', 'wc words many', 'ptx words', 'tsort pairs', 'shuf -n 5 words', 'seq 1 3 100',
    'factor 1234567890 97', 'numfmt --to=iec 1000000', 'expr 6 * 7', 'echo -e a\\tb', 'printf %5d|%s 7 x',
    'true', 'test -f words', '[ -d tree ]', 'base64 words', 'base32 words', 'basenc --z85 four-bytes', 'cksum words',
    'sum words', 'md5sum words many', 'sha1sum words', 'sha256sum words many', 'sha512sum words', 'b2sum words',
    'date -d 2024-02-29 +%c', 'env A=b printenv A', 'printenv PATH', 'id', 'groups', 'whoami', 'uname -a', 'arch',
    'nproc', 'who', 'users', 'pinky', 'uptime', 'hostid', 'dircolors -b',
    'sleep 0.01', 'timeout 5 true', 'nice -n 1 true',
    'nohup true', 'stdbuf -oL cat words', 'tee copy',
) + [Command('false', 'coreutils', 1), Command('cat no-such-file', 'coreutils', 1), Command('tty', 'coreutils', 1)]

GIT = [Command(line, 'git', is_asked=asked, varies='commit' in line) for line, asked in (
    ('git -C repo status', True), ('git -C repo log --stat -3', True), ('git -C repo diff HEAD~2', False),
    ('git -C repo add new.txt', False), ('git -C repo commit -qam more', True), ('git -C repo grep -n line', False),
    ('git -C repo blame file.txt', False), ('git -C repo checkout -qb other', False),
    ('git clone -q repo cloned', True),
    ('git -C repo gc -q', False), ('git -C repo fsck', False), ('git -C repo stash list', False),
    ('git -C repo rebase -q -f --autostash HEAD~2', False), ('git init -q fresh', False),
    ('git -C repo archive -o ../a.tar HEAD', False))]

PYTHONS = [Command(f'{PYTHON} {line}', 'python3', is_asked=asked) for line, asked in (
    ('work.py json', True), ('work.py sqlite', True), ('work.py threads', True), ('work.py children', True),
    ('-m compileall -q -f work.py', False), ('-m json.tool data.json', False), ('-m unittest -q test_small', False))]

OTHERS = [
    Command('curl -sS -o page {url}', 'curl', is_asked=True),
    Command('curl -sS -T words {url}put', 'curl', is_asked=False),
    Command('curl -sS --compressed -Z {url}a {url}b -o x -o y', 'curl', is_asked=True),
    Command('curl -sS http://127.0.0.1:1/', 'curl', 7),
    Command('curl -sS file://{here}/words -o page', 'curl'),
    Command('nginx -t -p {here} -c nginx.conf', 'nginx', is_asked=True),
    Command('nginx -V', 'nginx'),
    Command('sqlite3 data.db .read{blank}work.sql', 'sqlite3', is_asked=True),
    Command('sqlite3 data.db .dump', 'sqlite3'),
    Command('sqlite3 -json :memory: select{blank}1;select{blank}*{blank}from{blank}none', 'sqlite3', 1),
    Command('gst-launch-1.0 -q fakesrc num-buffers=20 ! fakesink', 'gstreamer', is_asked=True),
    Command('gst-launch-1.0 -q audiotestsrc num-buffers=30 ! audioconvert ! wavenc ! filesink location=a.wav',
            'gstreamer', is_asked=True),
    Command('gst-launch-1.0 -q filesrc location=words ! tee name=t ! queue ! fakesink t. ! queue ! fakesink',
            'gstreamer'),
    Command('gst-launch-1.0 -q no-such-element', 'gstreamer', 1),
    # looks for all plugins anew
    Command('env GST_REGISTRY={here}/new.bin gst-inspect-1.0 identity', 'gstreamer'),
    Command('gst-inspect-1.0 identity', 'gstreamer'),
    Command('openssl version -a', 'openssl'),
    Command('openssl dgst -sha256 words', 'openssl', is_asked=True),
    Command('openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out k.pem', 'openssl'),
    Command('openssl req -x509 -key key.pem -subj /CN=a -days 9 -out c.pem', 'openssl', is_asked=True),
    Command('openssl x509 -in cert.pem -noout -text', 'openssl'),
    Command('openssl verify -CAfile cert.pem cert.pem', 'openssl'),
    Command('openssl enc -aes-256-cbc -pbkdf2 -pass pass:x -in words -out e', 'openssl', is_asked=True),
    Command('openssl pkcs12 -export -inkey key.pem -in cert.pem -passout pass:x -out p12', 'openssl'),
    Command('openssl rand -hex 16', 'openssl'),
    Command('bash -c for{blank}i{blank}in{blank}1{blank}2{blank}3;do{blank}echo{blank}$i;done', 'more', is_asked=True),
    Command('grep -rn line .', 'more'), Command('find . -name *.txt -newer words', 'more'),
    Command('sed -e s/a/b/g words', 'more'), Command('tar -czf a.tgz tree', 'more', is_asked=True),
    Command('gzip -k words', 'more'), Command('xz -k words', 'more'), Command('diff -u words sorted', 'more', 1),
    Command('make -f small.mk', 'more', is_asked=True), Command('xmllint --format data.xml', 'more'),
    Command('perl -ne print{blank}if{blank}/a/ words', 'more', is_asked=True),
]

COMMANDS = COREUTILS + GIT + PYTHONS + OTHERS

WORK = '''
import json, sqlite3, subprocess, sys, threading
def work_json():
    assert json.loads(json.dumps({str(n): [n] * 9 for n in range(500)}))['7'][0] == 7
def work_sqlite():
    with sqlite3.connect(':memory:') as base:
        base.execute('create table t(a, b)')
        base.executemany('insert into t values (?, ?)', [(n, str(n)) for n in range(500)])
        assert base.execute('select count(*) from t').fetchone() == (500,)
def work_threads():
    some = [threading.Thread(target=work_json) for _ in range(4)]
    for one in some: one.start()
    for one in some: one.join()
def work_children():
    assert subprocess.run(['cat', 'words'], capture_output=True).stdout
globals()['work_' + sys.argv[1]]()
'''

NGINX = '''
pid {here}/nginx.pid;
error_log {here}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    upstream back {{ server 127.0.0.1:9; server 127.0.0.1:10 backup; }}
    map $uri $kind {{ default a; ~^/x b; }}
    server {{ listen 127.0.0.1:8089; server_name a.example *.b.example;
              location /p {{ proxy_pass http://back; }}
              location ~ ^/r(.*)$ {{ return 302 /p$1; }} }}
}}
'''


def run(*words, cwd, env=None):
    subprocess.run(words, cwd=cwd, check=True, capture_output=True, timeout=60, env=env)


def make_repository(path):
    path.mkdir()
    run('git', 'init', '-q', cwd=path)
    for name, value in (('user.name', 'A'), ('user.email', 'a@example.org'), ('gc.auto', '0')):
        run('git', 'config', name, value, cwd=path)
    for turn in range(4):
        (path / 'file.txt').write_text(''.join(f'line {n} of {turn}\n' for n in range(20 + turn)))
        (path / f'more{turn}.txt').write_text('line\n' * turn)
        run('git', 'add', '.', cwd=path)
        run('git', 'commit', '-qm', f'turn {turn}', cwd=path)
    (path / 'new.txt').write_text('new line\n')
    with open(path / 'file.txt', 'a', encoding='utf-8') as file:
        file.write('changed\n')


def fill(here):
    """What all commands find; a copy of it is each one's directory."""
    words = [f'word{n * 7919 % 101} a line of words\t{n}' for n in range(60)]
    texts = {
        'words': words, 'sorted': sorted(words), 'sorted-too': sorted(words)[::2],
        'numbers': [str(n * 7919 % 1009) for n in range(200)], 'many': [f'{n:06} line' for n in range(2000)],
        'fields': [f'{n}:x:{n * n}' for n in range(20)], 'pairs': ['a b', 'b c', 'a c'],
        'tree/one.txt': ['one'], 'tree/deep/er/two.txt': ['two'], 'four-bytes': ['123'],
        'data.json': ['{"a": [1, 2, {"b": null}]}'], 'data.xml': ['<a><b c="d">e</b></a>'],
        'work.sql': ['create table n(a integer primary key, b text);',
                     'with recursive s(x) as (select 1 union all select x+1 from s where x<500)',
                     'insert into n select x, hex(x) from s;', 'create index i on n(b);',
                     'select count(*), max(b) from n where b like \'3%\';'],
        'small.mk': ['all: out1 out2', 'out%: words; cp words $@'],
        'test_small.py': ['import unittest', 'class T(unittest.TestCase):', '    def test(self): self.assertTrue(1)'],
    }
    for name, lines in texts.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text('\n'.join(lines) + '\n')
    (here / 'work.py').write_text(WORK)
    (here / 'empty').mkdir()
    (here / 'link-to-words').symlink_to('words')
    make_repository(here / 'repo')
    run('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'key.pem', '-out', 'cert.pem',
        '-subj', '/CN=localhost', '-days', '9', cwd=here)
    if shutil.which('gst-inspect-1.0'):
        (here / 'home').mkdir()
        run('gst-inspect-1.0', 'identity', cwd=here, env={
            'PATH': os.environ['PATH'], 'HOME': str(here / 'home'), 'LC_ALL': 'C.UTF-8'})
    run('sqlite3', 'data.db', '.read work.sql', cwd=here)
    (here / 'work.sql').write_text((here / 'work.sql').read_text().replace('create table n', 'create table m')
                                   .replace('into n', 'into m').replace('index i on n', 'index j on m'))


def place(template, here, url):
    """A directory for one command, and the words of its line there."""
    shutil.copytree(template, here, symlinks=True)
    (here / 'nginx.conf').write_text(NGINX.format(here=here))
    return {'here': str(here), 'url': url, 'blank': '\0', 'user': str(os.getuid()), 'group': str(os.getgid())}


def words_of(command, names):
    return [word.replace('\0', ' ') for word in command.line.format(**names).split(' ')]


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def answer(self):
        self.rfile.read(int(self.headers.get('Content-Length') or 0))
        self.send_response(200)
        self.send_header('Content-Length', '3000')
        self.end_headers()
        self.wfile.write(b'page\n' * 600)

    do_GET = do_PUT = answer

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def served():
    """A server for curl; its URL."""
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f'http://127.0.0.1:{server.server_address[1]}/'
        finally:
            server.shutdown()


@contextlib.contextmanager
def template(home):
    path = pathlib.Path(home) / 'template'
    path.mkdir()
    fill(path)
    yield path
