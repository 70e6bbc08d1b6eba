"""What the first signal does to a process, and the second."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from gan_core import signals

HOLDS_ON = """
import sys, time
from gan_core.signals import Stop, stopping
stop = Stop()
stop.listen()
try:
    print("ready", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    stopping.set()
    print("stopping", flush=True)
    time.sleep(float(sys.argv[1]))
sys.exit(stop.status)
"""


def started(seconds: float, before: str = "") -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", before + HOLDS_ON, str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_stops_with_its_own_status(number):
    process = started(0)
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert process.stderr.read() == ""


def test_the_second_signal_ends_at_once_unless_it_is_the_first_passed_on():
    process = started(600)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "stopping\n"
    process.send_signal(signal.SIGINT)  # of the same key
    time.sleep(signals.SAME_SECONDS + 0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert process.stderr.read() == "stopped at once, without saving\n"


LOSES_ONE = """
import os, signal, time, weakref
from gan_core.signals import SAME_SECONDS, Stop
stop = Stop()
stop.listen()
class Thing: pass
thing = Thing()
reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
del thing
time.sleep(SAME_SECONDS + 0.2)
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
except KeyboardInterrupt:
    print("stopping", flush=True)
"""


def test_a_signal_that_python_lost_does_not_make_the_next_one_the_second():
    ended = subprocess.run([sys.executable, "-c", LOSES_ONE], capture_output=True, text=True, timeout=60)
    assert "Exception ignored in" in ended.stderr
    assert (ended.returncode, ended.stdout) == (0, "stopping\n")


def test_what_is_ignored_stays_ignored():
    process = started(0, before="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143


def test_a_process_without_a_step_left_in_it_ends_in_its_own_way():
    assert signals.TRAINING_THREAD not in {thread.name for thread in threading.enumerate()}
    signals.end(1)  # does nothing: this test goes on
