#!/usr/bin/python3
"""Processes that change what they are: daemon(3), another user, another root, closed descriptors;
and programs for which the kernel drops the preload, which bufleak must say."""
import os
import pwd
import re
import shutil
import signal
import struct
import sys

from harness import runner
from harness.box import Late, wait_for
from harness.ledgers import leaks_at

STRANGER = "nobody"
BEFORE, AFTER = 100, 50  # blocks kept before and after the change

# linux/capability.h: revision 2, effective; CAP_NET_BIND_SERVICE is number 10
FILE_CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)


def victim_steps(*change):
    return ["alloc", str(BEFORE), *change, "alloc", str(AFTER)]


def wait_ready(run, pid=None):
    """The process that finished its steps: the one that was started, or the daemon it became."""
    def ready():
        for found, process in run.box.processes().items():
            if process.comm == "ready" and pid in (None, found):
                return found
        return None
    return wait_for(ready, "the victim to finish its steps")


def holds_exactly_its_blocks(run, report, sentence):
    count, size, lines = leaks_at(report, "victim.c")
    run.equal((count, size, len(lines)), (BEFORE + AFTER, (BEFORE + AFTER) * 72, 1), sentence)


def a_changed_process_still_answers(run, what, *change):
    victim = str(run.args.build / "tests/gateways/privileges/privileges-victim")
    started = run.box.spawn([victim, *victim_steps(*change)])
    pid = wait_ready(run, None if "daemon" in change else started)
    for reason, trigger in (("signal", run.ledgers.signal_and_wait),
                            ("dump", run.ledgers.dump_and_wait)):
        try:
            report = run.ledgers.report(trigger(pid).path)
        except (Late, AssertionError) as error:
            run.claim(False, f"{what}: a {reason} makes a snapshot that opens", error)
            continue
        run.equal(report["process"]["reason"], reason, f"{what}: a {reason} makes a snapshot")
        holds_exactly_its_blocks(run, report, f"{what}: the {reason}'s snapshot is exact")
    os.kill(pid, signal.SIGTERM)
    run.equal(run.box.wait_exit(pid), 0, f"{what}: it ends as without the shim")
    ended = [entry for entry in run.ledgers.ledgers() if entry.pid == pid]
    run.equal(len(ended), 1, f"{what}: it has one ledger")
    if ended:
        report = run.ledgers.report(ended[0].path)
        run.equal(report["process"]["state"], "exited", f"{what}: the ledger says how it ended")
        holds_exactly_its_blocks(run, report, f"{what}: the ledger is exact after the end")
    run.expect(*({started, pid}))


def dropped_preload_is_told(run, what, arm):
    """bufleak run and ps must say that the kernel ignored LD_PRELOAD for this program."""
    copy = run.box.path(f"victim-{what.replace(' ', '-')}")
    shutil.copy(run.args.build / "tests/gateways/privileges/privileges-victim", copy)
    copy.chmod(0o755)
    arm(copy)
    output = f"run-{copy.name}"
    run.box.shim, shim = None, run.box.shim  # bufleak run is what sets the preload here
    try:
        wrapper = run.box.spawn([run.box.path("cli/bufleak"), "run", "--", copy, "alloc", "10"],
                                output=output, user=STRANGER,
                                variables={"BUFLEAK_DIR": str(run.box.ledger_dir)})
    finally:
        run.box.shim = shim
    pid = wait_ready(run)
    run.claim("libbufleak" not in open(f"/proc/{pid}/maps", encoding="utf-8").read(),
              f"{what}: the kernel did drop the preload")
    said = re.compile(r"dropped|AT_SECURE", re.I)

    def run_says():
        return said.search(run.box.path(f"{output}.stderr").read_text(errors="replace"))
    try:
        wait_for(run_says, "bufleak run to say so", 3)
    except Late:
        pass
    run.claim(run_says(), f"{what}: bufleak run says that the preload was dropped",
              run.box.path(f"{output}.stderr").read_text(errors="replace"))
    listed = run.ledgers.run("ps")
    line = [text for text in (listed.stdout + listed.stderr).splitlines() if str(pid) in text]
    run.claim(any(said.search(text) for text in line),
              f"{what}: bufleak ps says that the preload was dropped",
              listed.stdout + listed.stderr)
    os.kill(pid, signal.SIGTERM)
    run.equal(run.box.wait_exit(wrapper), 0, f"{what}: bufleak run ends with the program's status")


def set_user_bit(path):
    path.chmod(0o4755)


def set_capability(path):
    os.setxattr(path, "security.capability", FILE_CAPABILITY)


def changes(run):
    empty = str(run.box.make_dir("empty"))
    a_changed_process_still_answers(run, "daemon", "daemon")
    a_changed_process_still_answers(run, "closed descriptors", "close-all")
    if os.geteuid() != 0:
        for what in ("service user", "chroot", "chroot and service user"):
            run.tap.skip(what, "needs root")
        return
    service = str(pwd.getpwnam("www-data").pw_uid)
    a_changed_process_still_answers(run, "service user", "user", service)
    a_changed_process_still_answers(run, "chroot", "chroot", empty)
    a_changed_process_still_answers(run, "everything at once", "daemon", "chroot", empty, "user",
                                    service, "close-all")
    run.claim(not os.listdir(empty), "nothing was written into the new root")


def drops(run):
    if os.geteuid() != 0:
        run.tap.skip("dropped preload", "needs root")
        return
    run.box.ledger_dir.mkdir(mode=0o700)
    shutil.chown(run.box.ledger_dir, STRANGER)
    # The stranger may not be allowed to enter the build directory.
    for path in (run.args.cli, run.args.shim):
        run.box.make_dir(path.parent.name)
        shutil.copy(path, run.box.path(f"{path.parent.name}/{path.name}"))
    dropped_preload_is_told(run, "set-user-ID program", set_user_bit)
    dropped_preload_is_told(run, "program with file capabilities", set_capability)


if __name__ == "__main__":
    sys.exit(runner.main("privileges", [changes, drops], compared=False))
