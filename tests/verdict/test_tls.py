#!/usr/bin/python3
"""Verdicts on OpenSSL's BIOs, certificates, keys and sessions."""
import sys

from corpus import Case, Leak, main

CASES = [
    Case('an input is forgotten one time in a thousand',
         'early_return', 10000, 1000, leaks=[
             Leak('missing-release', 'openssl-bio', 'bio', 10, of=10000, release='bio-end',
                  released=9990)]),
    Case('the public key of a certificate is handed out for good one time in ten',
         'public_key', 2000, 10, leaks=[
             Leak('missing-release', 'openssl-pkey', 'get-pubkey', 1, refs=200,
                  release='pubkey-end')]),
    Case('a reference of a shared certificate is forgotten one time in ten',
         'held_certificate', 2000, 10, leaks=[
             Leak('missing-release', 'openssl-x509', 'up-ref', 1, refs=200, leaked=1,
                  release='up-ref-end')]),
    Case('of thousands of references of one key those of one user are forgotten now and then',
         'issuer', 3000, 500, leaks=[
             Leak('missing-release', 'openssl-pkey', 'get-pubkey', 1, refs=6, leaked=1,
                  release='pubkey-end')]),
    Case('how much memory a key is says nothing of its references, also where it was followed',
         'issuer', 3000, 500, environment={'BUFLEAK_OPTIONS': 'quiet=1:interval=10ms'}, leaks=[
             Leak('missing-release', 'openssl-pkey', 'get-pubkey', 1, refs=6, leaked=1)]),
    Case('clean: a key that many certificates hold', 'issuer', 3000,
         unreleased={'openssl-pkey': 0, 'openssl-x509': 0}),
    Case('what is forgotten of a key by itself is no part of what forgotten certificates hold',
         'held_issue', 3000, 500, leaks=[
             Leak('missing-release', 'openssl-x509', 'hold-issue', 6, of=3000,
                  release='issued-end', holds={'openssl-pkey': 1}),
             Leak('missing-release', 'openssl-pkey', 'get-pubkey', 1, refs=6, leaked=1,
                  release='pubkey-end')]),
    Case('the session of a connection is handed out for good one time in ten',
         'session', 60, 10, leaks=[
             Leak('missing-release', 'openssl-session', 'get1-session', 6, of=60,
                  release='session-end',
                  # and the keys that those hold
                  holds={'openssl-x509': 6, 'openssl-pkey': 6})]),
    Case('clean: handshakes', 'handshakes', 40),
    Case('a connection is forgotten one time in seven, with its own session and all in it',
         'resumption', 145, 7, leaks=[
             Leak('missing-release', 'openssl-ssl', 'resuming', 20, of=145,
                  release='resuming-end',
                  holds={'openssl-pkey': 60, 'openssl-x509': 20, 'openssl-bio': 30,
                         'openssl-session': 20, 'openssl-ssl-ctx': 1})]),
    Case('clean: connections that resume sessions', 'resumption', 60),
    Case('all sessions that were looked at are forgotten, and hold certificates and their keys',
         'looks', 60, 1, leaks=[
             Leak('missing-release', 'openssl-session', 'look-at-session', 30,
                  holds={'openssl-x509': 31, 'openssl-pkey': 31})]),
    Case('all certificates of peers are forgotten, and hold their keys',
         'peer', 60, 1, leaks=[
             Leak('missing-release', 'openssl-x509', 'peer', 60, of=60,
                  holds={'openssl-pkey': 60})]),
    Case('clean: sessions that are looked at', 'looks', 60),
    Case('of a chain only the first is given back one time in ten',
         'chain', 3000, 10, leaks=[
             Leak('missing-release', 'openssl-bio', 'chained', 300, of=3000, release='chain-end',
                  released=2700)]),
    Case('clean: chains of BIOs', 'chain', 3000, unreleased={'openssl-bio': 0}),
    Case('a BIO that a connection used is forgotten by its maker one time in ten',
         'shared_wire', 1000, 10, leaks=[
             Leak('missing-release', 'openssl-bio', 'wire', 100, of=1000, release='wire-end',
                  released=900)]),
    Case('clean: BIOs that connections share with their program', 'shared_wire', 1000,
         unreleased={'openssl-bio': 0, 'openssl-ssl': 0}),
    Case('the members of a list of certificates are forgotten one time in ten',
         'list', 300, 10, leaks=[
             Leak('missing-release', 'openssl-x509', 'listed', 90, of=900, release='list-end',
                  released=810, holds={'openssl-pkey': 90})]),
    Case('clean: lists of certificates', 'list', 300),
    Case('the members of a chain that was taken once more are forgotten one time in ten',
         'served_chain', 300, 10, leaks=[
             Leak('missing-release', 'openssl-x509', 'chain-of', 2, refs=30, leaked=2,
                  release='chain-of-end', released=540, holds={'openssl-pkey': 2})]),
    Case('clean: chains that are taken once more', 'served_chain', 300),
    Case('parsed certificates and keys are forgotten, each one time in ten',
         'text', 400, 10, leaks=[
             Leak('missing-release', 'openssl-x509', 'parsed-certificate', 20, of=400,
                  release='parsed-certificate-end', released=380,
                  holds={'openssl-pkey': 20}),
             Leak('missing-release', 'openssl-pkey', 'parsed-key', 20, of=400,
                  release='parsed-key-end', released=380)]),
    Case('clean: parsed certificates and keys, one borrowed', 'text', 200),
    Case('a session that a cache pushes out is forgotten one time in ten',
         'session_cache', 64, 10, leaks=[
             Leak('missing-release', 'openssl-session', 'remember', 6, of=64, release='evict',
                  released=58, holds={'openssl-x509': 6, 'openssl-pkey': 6})]),
    Case('clean: a cache of sessions', 'session_cache', 40,
         unreleased={'openssl-session': 0}),
    Case('the certificate of a peer is handed out for good one time in ten',
         'peer', 60, 10, leaks=[
             Leak('missing-release', 'openssl-x509', 'peer', 6, of=60, release='peer-end',
                  holds={'openssl-pkey': 6})]),
    Case('a forgotten connection holds a certificate, but not what its user forgot of the same',
         'connection_and_peer', 60, 10, leaks=[
             Leak('missing-release', 'openssl-ssl', 'client', 6, of=60, release='client-end',
                  holds={'openssl-x509': 6, 'openssl-pkey': 18, 'openssl-bio': 6,
                         'openssl-session': 6, 'openssl-ssl-ctx': 1}),
             Leak('missing-release', 'openssl-x509', 'peer', 6, refs=3, leaked=6,
                  release='peer-end')]),
    Case('a session that a callback keeps is forgotten one time in ten',
         'session_callback', 60, 10, leaks=[
             Leak('missing-release', 'openssl-session', 'handshake', 6, of=60,
                  release='handed-end', holds={'openssl-x509': 6, 'openssl-pkey': 6})]),
    Case('clean: sessions that a callback keeps', 'session_callback', 40),
    Case('clean: sessions that the cache of a context keeps', 'server_cache', 60),
    Case('a session is forgotten now and then, and a cache keeps the latest',
         'small_server_cache', 100, 15, leaks=[
             Leak('missing-release', 'openssl-session', 'get1-session', 6,
                  release='session-end')]),
    Case('clean: sessions of which a cache keeps the latest', 'small_server_cache', 60),
    Case('a session is forgotten one time in ten, and left by the cache at its end',
         'server_cache_to_end', 60, 10, leaks=[
             Leak('missing-release', 'openssl-session', 'get1-session', 6, of=60,
                  release='session-end', released=54)]),
    Case('a context is held for good one time in ten',
         'context', 1000, 10, leaks=[
             Leak('missing-release', 'openssl-ssl-ctx', 'hold-context', 1, refs=100, leaked=1,
                  release='hold-context-end', released=900)]),
    Case('clean: a context that connections hold', 'context', 1000),
]

if __name__ == '__main__':
    sys.exit(main('tls', CASES))
