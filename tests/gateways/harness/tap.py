"""Claims and their outcome in the Test Anything Protocol. A claim is a sentence; a failed one is
followed by what was seen instead, on stderr as well: meson shows no more than that of a failed test."""
import sys


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def claim(self, holds, sentence, seen=""):
        self.count += 1
        if not holds:
            self.failed += 1
        print(f"{'ok' if holds else 'not ok'} {self.count} - {sentence.replace('#', '')}", flush=True)
        if not holds:
            print(f"{self.count} - {sentence}", file=sys.stderr)
            self.note(seen, sys.stderr)
            self.note(seen)
        return bool(holds)

    def equal(self, got, wanted, sentence):
        return self.claim(got == wanted, sentence, f"got:    {got!r}\nwanted: {wanted!r}")

    def skip(self, sentence, why):
        self.count += 1
        print(f"ok {self.count} - {sentence.replace('#', '')} # SKIP {why}", flush=True)

    def note(self, text, to=None):
        to = to or sys.stdout
        for line in str(text).splitlines()[:60]:
            print(f"# {line[:1500]}", file=to)
        to.flush()

    def finish(self):
        print(f"1..{self.count}", flush=True)
        return 1 if self.failed or not self.count else 0
