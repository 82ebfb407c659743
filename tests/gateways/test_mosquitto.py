#!/usr/bin/python3
"""mosquitto: daemon, own user, QoS 1 messages, its own use of SIGUSR1 (saves its state)."""
import os
import signal
import sys

from harness import compare, runner
from harness.box import free_port, program, wait_for
from harness.mqtt import Delivery

MESSAGES = 10_000

CONFIG = """
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {dir}/
persistence_file state.db
autosave_interval 0
pid_file {dir}/pid
log_dest file {dir}/log
log_type error
log_type warning
log_type notice
log_type information
connection_messages false
max_queued_messages 0
{user}
"""


def scenario(run):
    box = run.box
    port = free_port()
    data = box.make_dir("data", "mosquitto")
    user = "user mosquitto" if os.geteuid() == 0 else ""
    config = box.write("mosquitto.conf", CONFIG.format(port=port, dir=data, user=user))
    launcher = box.spawn([program("mosquitto"), "-d", "-c", str(config)])
    run.outcome.exits["launcher"] = box.wait_exit(launcher)
    broker = box.wait_pid_file("data/pid")
    box.wait_listening(port)
    wait_for(lambda: "running" in box.path("data/log").read_text(), "the broker to say so")
    run.expect(launcher, broker)
    run.note_descriptors("broker before messages", broker)

    def save_state():
        if run.tracked:
            entry = run.ledgers.signal_and_wait(broker)
            run.snapshot_is_good(entry, broker, "signal",
                                 "SIGUSR1 while serving makes a snapshot that opens")
        else:
            os.kill(broker, signal.SIGUSR1)
        wait_for(box.path("data/state.db").exists, "the broker's own answer to SIGUSR1")

    # Half of the messages are held back until the signal is on its way: it cannot come too late.
    delivery = Delivery(port, 0, MESSAGES, MESSAGES // 2).start()
    wait_for(lambda: delivery.delivered > MESSAGES // 10 or delivery.failures, "messages to flow")
    delivery.release_held()
    save_state()
    run.served("messages", delivery.wait(), MESSAGES)
    run.claim(box.path("data/state.db").exists(), "SIGUSR1 still saves the broker's state")

    if run.tracked:
        entry = run.ledgers.dump_and_wait(broker)
        run.snapshot_is_good(entry, broker, "dump", "bufleak dump makes a snapshot that opens")
    run.served("more messages", Delivery(port, MESSAGES, 1000).start().wait(), 1000)
    run.note_descriptors("broker after messages", broker, "broker before messages")
    run.equal(box.wait_no_zombies(), [], "no zombie")
    os.kill(broker, signal.SIGTERM)
    run.outcome.exits["broker"] = box.wait_exit(broker)
    run.outcome.logs["mosquitto"] = [line.split(": ", 1)[-1] for line in
                                     compare.read_log(box.path("data/log"))]
    run.outcome.logs["output"] = run.read_output()


if __name__ == "__main__":
    sys.exit(runner.main("mosquitto", scenario))
