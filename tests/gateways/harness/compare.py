"""The run under the shim held against the run without it."""
import collections
import os
import re

# What differs from one run to the next without meaning anything.
VOLATILE = [
    (re.compile(r"/tmp/bufleak-[a-z0-9]+-[A-Za-z0-9_]+"), "DIR"),
    (re.compile(r"\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:?\d\d|Z)?"), "TIME"),
    (re.compile(r"\w{3} \w{3} +\d+ \d\d:\d\d:\d\d(\.\d+)? \d{4}"), "TIME"),
    (re.compile(r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d(\.\d+)?( [+-]\d{4})?\]"), "TIME"),
    (re.compile(r"\w{3} +\d+ \d\d:\d\d:\d\d"), "TIME"),
    (re.compile(r"127\.0\.0\.1:\d+|127\.0\.0\.1 \d{4,5}"), "PEER"),
    (re.compile(r"\bport \d{4,5}"), "PORT"),
]


def normalise(lines, more=()):
    """Lines without times, directories, ports, and what the gateway's own patterns remove."""
    out = []
    for line in lines:
        for pattern, word in [*VOLATILE, *more]:
            line = pattern.sub(word, line)
        out.append(line.rstrip())
    return out


def read_log(path, more=()):
    return normalise(path.read_text(errors="replace").splitlines(), more)


def log_difference(reference, tracked, as_set=()):
    """What one log has and the other has not, whatever the order of lines of several processes.
    Lines that match a pattern of as_set may be there once or often, as when two signals merge."""
    def count(lines):
        counter = collections.Counter()
        for line in lines:
            if any(pattern.search(line) for pattern in as_set):
                counter[line] = 1
            else:
                counter[line] += 1
        return counter
    wanted, got = count(reference), count(tracked)
    missing, added = wanted - got, got - wanted
    return [f"only without the shim: {n} x {line}" for line, n in list(missing.items())[:10]] + \
           [f"only with the shim: {n} x {line}" for line, n in list(added.items())[:10]]


def descriptors(box, pid):
    """What a process holds open, as {descriptor: target} without inode numbers and directories.
    The shim's own descriptors are told apart in own_descriptors()."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            continue
        target = target.replace(str(box.ledger_dir), "LEDGERS").replace(str(box.dir), "DIR")
        found[int(name)] = re.sub(r"\[\d+\]|\.\d+(?= \(deleted\))", "", target)
    return found


def split_descriptors(found):
    """(sorted targets of the gateway's own, {descriptor: target} of the shim's)."""
    shim = {number: target for number, target in found.items()
            if target.startswith("LEDGERS") or "bufleak-ledger" in target}
    own = {number: target for number, target in found.items() if number not in shim}
    return own, shim


def descriptor_difference(reference, tracked, shim_extra_max=8):
    """Sentences for descriptors that the run with the shim has and should not have, or lacks.

    The shim may keep a few above everything the gateway uses: the ledger, its directory, and its
    duplicate of the first stderr, the two ends of libunwind's pipe, and what it reads the
    process's memory from: statm, the first thread's stat, the cgroup's usage."""
    wanted, _ = split_descriptors(reference)
    got, shim = split_descriptors(tracked)
    highest = max(wanted, default=2)
    problems = []
    for number in [n for n in sorted(got) if n > highest and n >= 256]:
        shim[number] = got.pop(number)
    difference = log_difference(list(wanted.values()), list(got.values()))
    if difference:
        problems += difference + [f"without the shim: {sorted(wanted.items())}",
                                  f"with it: {sorted(got.items())}"]
    if len(shim) > shim_extra_max:
        problems.append(f"the shim holds {shim}")
    low = {n: t for n, t in shim.items() if n < 256}
    if low:
        problems.append(f"the shim holds low descriptors {low}")
    return problems
