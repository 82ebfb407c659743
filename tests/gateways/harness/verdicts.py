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
