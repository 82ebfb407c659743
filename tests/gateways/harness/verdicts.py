"""What a report accuses somebody of, and where."""
import os

ACCUSING = ("missing-release", "never-released", "over-release", "stale")


def accusations(report):
    return [group for group in report["groups"] if group["verdict"] in ACCUSING]


def summary(report):
    """The accusations in a few words each, for people who look at a failed test."""
    return [f"{group['verdict']} {group['class']} x{group['count']} at {place(group['blame'])}: "
            f"{[frame['function'] for frame in (group['blame'] or {}).get('frames', [])[:8]]}"
            for group in accusations(report)]


def place(stack):
    """"file.c:12" of the innermost frame of a stack, or of its module where it has no line."""
    frame = ((stack or {}).get("frames") or [{}])[0]
    if frame.get("file"):
        return f"{os.path.basename(frame['file'])}:{frame['line']}"
    return frame.get("module")


def class_of(report, name):
    return next((c for c in report["classes"] if c["name"] == name), None)


def marked_line(source, mark):
    """The number of the one line of a source file that has the mark in its comment."""
    lines = [number for number, text in enumerate(source.read_text().splitlines(), 1)
             if mark in text]
    assert len(lines) == 1, f"{source}: {mark!r} is in the lines {lines}"
    return lines[0]


class Wanted:
    """A verdict that a report must have, and where it must point. `expected` is where siblings gave
    the reference back, None where there are none."""

    def __init__(self, class_name, verdict, op, blame, expected, count, size=None):
        self.class_name, self.verdict, self.op = class_name, verdict, op
        self.blame, self.expected = blame, expected
        self.count, self.size = count, size

    def is_found_by(self, group):
        return (group["class"], group["verdict"], group["count"], group["blame"]["op"],
                place(group["blame"])) == \
            (self.class_name, self.verdict, self.count, self.op, self.blame)


def check(state, report, wanted, whose):
    """States by state(holds, sentence, seen) that the report has these verdicts and no others."""
    found = accusations(report)
    state(len(found) == len(wanted), f"{whose}: {len(wanted)} verdicts" if len(wanted) != 1 else
          f"{whose}: one verdict", summary(report))
    for one in wanted:
        group = next((g for g in found if g["class"] == one.class_name and
                      place(g["blame"]) == one.blame), None)
        if not state(group is not None, f"{whose}: the {one.op} at {one.blame} is blamed",
                     summary(report)):
            continue
        state((group["verdict"], group["blame"]["op"]) == (one.verdict, one.op),
              f"{whose}: it is a {one.verdict} of {one.class_name}", summary(report))
        size = one.size if one.size is not None else group["bytes"]
        state((group["count"], group["bytes"]) == (one.count, size),
              f"{whose}: {one.count:,} buffers" +
              (f" of {one.size:,} bytes" if one.size is not None else "") +
              " were forgotten, and so many are reported", f"{group['count']:,}, {group['bytes']:,}")
        state(place(group["expected_release"]) == one.expected,
              f"{whose}: the release that siblings have is {one.expected}",
              place(group["expected_release"]))


def check_nothing_left(state, report, class_name, whose):
    """No verdict and nothing left of the class, although there were some."""
    table = class_of(report, class_name)
    state(not accusations(report), f"{whose}: no verdict", summary(report))
    state(bool(table) and table["live_count"] == 0 and table["allocs"] + table["retains"] > 0,
          f"{whose}: nothing of {class_name} is left", table)
