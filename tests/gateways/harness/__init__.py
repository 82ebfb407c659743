"""What the tests of real gateways share.

box      one run of a gateway in a directory of its own, and every process that came out of it
backend  the plain server behind the gateways that proxy
client   HTTP/1.1 in threads, every status and body checked
ledgers  what bufleak wrote about the run, read through its command line
compare  the run under the shim held against the run without it
tap      claims and their outcome, printed for meson
"""
