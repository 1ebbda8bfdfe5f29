"""Make the golden logs again: ``python tests/golden``, or only those named: ``python tests/golden flip``.

Short sessions on the twin in lockstep, recorded by the product's own recorder, that every change of the
safety kernel must judge as it did. Make them again when what is logged changes, or when a verdict is meant to
change; then look first at what ``sandlot replay tests/golden/NAME.mcap --safety`` says of the old ones.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from launch.bench.calm import CalmSession, make_session
from launch.operator import SimulatedOperator
from robot.interface import Array
from robot.messages import Event, SafetyState
from robot.recorder import TICKS, Recorder
from robot.shared_memory import Record
from robot.teleop.device import TeleopCommand
from sim.emulators.faults import Fault

HERE = Path(__file__).parent
PATIENCE_S = 0.2
IMU_REPLY = 65  # COMM_GET_IMU_DATA


class StraightOn:
    """The scripted driver, until it falls asleep with the foot down."""

    def __init__(self, calm: CalmSession, speed: float) -> None:
        self._read, self._speed = calm.driver.read, speed
        self.asleep = False
        calm.driver.read = self.read  # type: ignore[method-assign]

    def read(self, now_ns: int, state: Array) -> TeleopCommand:
        command = self._read(now_ns, state)
        setpoint = np.array([self._speed, 0.0 if self.asleep else command.setpoint[1]])
        return TeleopCommand(setpoint, now_ns, command.source)


class Tape:
    """A session whose ticks and events are kept. ``hands``: changes what the operator says."""

    def __init__(self, calm: CalmSession) -> None:
        self.calm = calm
        self.rows: list[Record] = []
        self.events: list[Record] = []
        calm.operator = SimulatedOperator(calm.board.operator, calm.twin.place, PATIENCE_S)

    @property
    def failures(self) -> int:
        """How often the pilot has seen the robot fail."""
        pilot = self.calm.board.pilot.read()
        return 0 if pilot is None else int(pilot["failures"][0])

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Drive on, keeping what is logged."""
        board = self.calm.board
        for _ in range(round(seconds * 1e9) // self.calm.period_ns):
            if until():
                return
            self.calm.tick()
            self.rows.append(board.ticks.newest(1))
            events = board.guardian_events.peek(100)
            board.guardian_events.consume(len(events))
            self.events += [event.reshape(1) for event in events]

    def save(self, path: Path) -> None:
        """As the courier records it."""
        session = self.calm.session
        path.unlink(missing_ok=True)
        recorder = Recorder(path, session.spec, session.contract)
        recorder.rows(TICKS, 0, np.concatenate(self.rows))
        for k, event in enumerate(self.events):
            kind, said = (event[name][0].decode() for name in ("kind", "text"))
            recorder.event(
                "guardian", Event(int(event["time_ns"][0]), kind, float(event["value"][0]), said), k
            )
        recorder.close()


def normal(tape: Tape) -> None:
    """Driving at 3 m/s, and a person who ends it."""
    tape.run(4.7)
    tape.calm.operator.halt(tape.calm.clock.now_ns())
    tape.run(1.6)


def bump(tape: Tape) -> None:
    """Into the wall at 2 m/s, backing out, and on."""
    driver = StraightOn(tape.calm, 2.0)
    driver.asleep = True
    tape.run(6.0, lambda: tape.failures > 0)
    driver.asleep = False
    tape.run(2.0)


def impact(tape: Tape) -> None:
    """Into the wall at 4.8 m/s, which a person has to look at."""
    StraightOn(tape.calm, 4.8).asleep = True
    tape.run(6.0, lambda: tape.calm.state == SafetyState.FAULT)
    tape.run(0.1)


def flip(tape: Tape) -> None:
    """Onto its roof."""
    tape.run(3.0)
    tape.calm.twin.data.qvel[2] += 2.2  # m/s: 0.45 s in the air
    tape.calm.twin.data.qvel[3] += 8.0  # rad/s
    tape.run(3.0)


def lost_sensor(tape: Tape) -> None:
    """The inertial sensor falls silent for half a second, then a person goes on."""
    tape.run(3.0)
    now_s = tape.calm.clock.now_ns() / 1e9
    fault = Fault(kind="drop", key=IMU_REPLY, start_s=now_s, end_s=now_s + 0.5)
    tape.calm.rig.devices["vesc"].faults.set((fault,))
    tape.run(3.6)


def emergency_stop(tape: Tape) -> None:
    """Pressed at speed, let go, reset twice, and armed again."""
    operator, mailbox = tape.calm.operator, tape.calm.board.operator
    tape.run(3.0)
    press(tape, 1)
    tape.run(0.5)
    press(tape, 0)
    tape.calm.operator = operator
    for _ in range(2):
        record = mailbox.read()
        assert record is not None
        record = record.copy()
        record["time_ns"], record["enable"] = tape.calm.clock.now_ns(), 0
        record["reset"] += 1
        mailbox.write(record)
        tape.run(0.02)
    tape.calm.operator = SimulatedOperator(mailbox, tape.calm.twin.place, PATIENCE_S)
    tape.run(2.5)


def press(tape: Tape, estop: int) -> None:
    """The software emergency stop, by a person who does nothing else."""
    mailbox = tape.calm.board.operator

    class Fist:
        assists = 0

        def step(self, now_ns: int, state: Record | None, pilot: Record | None) -> None:
            record = mailbox.read()
            assert record is not None
            record = record.copy()
            record["time_ns"], record["estop"] = now_ns, estop
            mailbox.write(record)

    tape.calm.operator = Fist()  # type: ignore[assignment]
    tape.calm.operator.step(tape.calm.clock.now_ns(), None, None)


STORIES: dict[str, Callable[[Tape], None]] = {
    "normal": normal,
    "bump": bump,
    "impact": impact,
    "flip": flip,
    "lost_sensor": lost_sensor,
    "emergency_stop": emergency_stop,
}


def make(name: str, path: Path) -> None:
    """Record one story."""
    with tempfile.TemporaryDirectory() as folder:
        session = make_session("racer", "oval", 1, Path(folder))
        # No port of the machine that this runs on.
        devices = [
            device | {"port": f"emulated {device['name']}"} for device in session.manifest.spec["devices"]
        ]
        session = session.with_changed({"devices": devices})
        calm = CalmSession(session, varied=False)
        tape = Tape(calm)
        try:
            STORIES[name](tape)
            tape.save(path)
        finally:
            calm.close()


if __name__ == "__main__":
    for chosen in sys.argv[1:] or STORIES:
        target = HERE / f"{chosen}.mcap"
        make(chosen, target)
        print(f"{target}: {target.stat().st_size:,} bytes")
