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
    Case('the session of a connection is handed out for good one time in ten',
         'session', 60, 10, leaks=[
             Leak('missing-release', 'openssl-session', 'get1-session', 6, of=60,
                  release='session-end',
                  # and the keys that those hold
                  holds={'openssl-x509': 12, 'openssl-pkey': 6})]),
    Case('clean: handshakes', 'handshakes', 40),
]

if __name__ == '__main__':
    sys.exit(main('tls', CASES))
