"""People who enable motion as the robot's file says, on whole sessions with the twin: at the keys of a real
terminal, and with a radio transmitter in hand."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_practice_session import COMMAND, session_of, wait_for
from undisturbed import undisturbed

from launch.catalogue import find
from launch.free_ports import free_ports
from launch.session import Session
from launch.snapshot import Reader, Snapshot
from robot.messages import Cause, SafetyState
from sim.emulators.control import Sticks, ask

pytestmark = [pytest.mark.slow, pytest.mark.realtime]

ATTENDANCE = """
[enable]
source = "attendance"
timeout_s = 0.5
lease_s = 5.0
"""
TRANSMITTER = """
[enable]
source = "transmitter"
timeout_s = 0.5
channel = "transmitter.channel_5"
threshold = 0.5

[[devices]]
name = "receiver"
driver = "robot.drivers.crsf:CrsfDriver"
emulator = "sim.emulators.crsf:CrsfDevice"
port = "/dev/sandlot/receiver"

[[sensors]]
name = "transmitter"
device = "receiver"
rate_hz = 50
latency_s = 0.01
stale_s = 0.2
required = false
fields = [{ name = "channel_5", unit = "1" }]
"""
QUIET = ("--no-report", "--view", "plain", "--minutes", "0", "--demonstration-laps", "99")
HELD_KEY = """
[enable]
source = "held_key"
timeout_s = 0.5
"""


class Terminal:
    """A session in a terminal of its own, and the fingers on its keys."""

    def __init__(self, folder: Path, enable: str) -> None:
        text = find("robots", "racer").read_text()
        assert text.count(HELD_KEY) == 1
        (folder / "racer.toml").write_text(text.replace(HELD_KEY, "") + enable)
        self.master, slave = pty.openpty()
        words = ("onboard", str(folder / "racer.toml"), "--twin", "--attended", "--course", "oval")
        where = ("--learner", f"127.0.0.1:{free_ports()}", "--runs", str(folder / "runs"))
        self.said = folder / "said.txt"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                (*COMMAND, *words, *where, *QUIET),
                cwd=folder,
                stdin=slave,
                stdout=said,
                stderr=said,
            )
        os.close(slave)
        self.session: Session = session_of(folder / "runs")

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def hold(self, until: Callable[[], bool], seconds: float) -> bool:
        """Keep space down, as a terminal tells it: again and again. Whether ``until`` came true in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.press(" ")
            if until():
                return True
            time.sleep(0.03)
        return False

    def boots(self) -> None:
        """Whoever says go before the pilot steps is stopped again: nothing commands the robot yet."""
        wait_for(self.session, lambda now: now.safety == SafetyState.STANDBY and now.steps > 0, 60)

    def reads(self, text: str, seconds: float = 10.0) -> None:
        """The view tells it a moment after the board does."""
        deadline = time.monotonic() + seconds
        while text not in (said := self.said.read_text()):
            assert time.monotonic() < deadline, said
            time.sleep(0.1)

    def sees(self, state: SafetyState, seconds: float = 60.0) -> None:
        wait_for(self.session, lambda now: now.safety == state, seconds)

    def drives(self) -> None:
        wait_for(self.session, moving, 60)


def moving(now: Snapshot) -> bool:
    return now.safety == SafetyState.ACTIVE and now.speed > 0.3


@contextmanager
def terminal(folder: Path, enable: str) -> Iterator[Terminal]:
    person = Terminal(folder, enable)
    try:
        yield person
    finally:
        person.process.terminate()
        code = person.process.wait(90)
        os.close(person.master)
        assert code == 0, person.said.read_text()


def test_attendance_drives_while_somebody_presses_and_no_longer(tmp_path: Path) -> None:
    undisturbed(attendance, tmp_path)


def attendance(folder: Path) -> None:
    with terminal(folder, ATTENDANCE) as person:
        person.boots()
        person.press("g")
        time.sleep(1.0)
        person.sees(SafetyState.STANDBY, 1)  # go, but nobody is there
        person.press(" ")
        time.sleep(0.3)
        person.press("g")
        person.drives()
        for _ in range(3):
            time.sleep(2.5)  # a key pressed anew, not one that repeats
            person.press(" ")
        person.sees(SafetyState.ACTIVE, 1)  # a lease later it still drives
        wait_for(person.session, lambda now: now.cause == Cause.ENABLE_RELEASED, 20)
        person.reads("nobody has pressed space")
        person.press(" ")
        time.sleep(1.0)
        person.sees(SafetyState.HOLD, 1)  # somebody is there again, but nobody has said go
        person.press("g")
        person.drives()
        person.press("x")
        person.sees(SafetyState.ESTOP, 1)


def test_a_transmitter_in_hand_drives_and_out_of_reach_stops(tmp_path: Path) -> None:
    undisturbed(transmitter, tmp_path)


def transmitter(folder: Path) -> None:
    with terminal(folder, TRANSMITTER) as person:
        ports = person.session.ports
        person.boots()
        ask(ports, Sticks("receiver", {5: 1.0}))
        time.sleep(0.3)
        person.press("g")
        person.drives()
        ask(ports, Sticks("receiver", {5: -1.0}))
        person.sees(SafetyState.HOLD, 2)
        time.sleep(2.5)  # a key pressed anew, not one that repeats
        person.press("g")
        time.sleep(0.5)
        person.sees(SafetyState.HOLD, 1)  # the stick is back
        ask(ports, Sticks("receiver", {5: 1.0}))
        time.sleep(2.5)
        person.press("g")
        person.drives()
        ask(ports, Sticks("receiver", transmitting=False))
        person.sees(SafetyState.HOLD, 2)


def test_a_held_key_drives_and_a_lifted_finger_stops(tmp_path: Path) -> None:
    undisturbed(held_key, tmp_path)


def held_key(folder: Path) -> None:
    with terminal(folder, HELD_KEY) as person:
        person.boots()
        reader = Reader(person.session.board(), person.session.spec)
        driving = person.hold(lambda: moving(reader.read(time.monotonic_ns())), 60.0)
        assert driving, "it never drove"
        person.hold(lambda: False, 3.0)
        person.sees(SafetyState.ACTIVE, 1)  # for as long as the key is held
        person.sees(SafetyState.HOLD, 2)
        person.reads("ACTIVE")
