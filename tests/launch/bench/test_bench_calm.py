"""Practice and safety do not fight: ordinary bumps need no person, what is severe does. In lockstep on the
twin, with the robot's own file: a property of its limits and the kernel together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from launch.bench.calm import CalmSession, ClumsyDriver, make_session, run
from robot.interface import Array
from robot.messages import Cause, PilotPhase, SafetyState
from robot.safety.state_machine import AUTHORITY
from robot.shared_memory import Record
from robot.teleop.device import TeleopCommand
from sim.emulators.faults import Fault

pytestmark = pytest.mark.slow

S = SafetyState


class Onlooker:
    """A person who goes on enabling and does nothing else, whatever happens."""

    assists = 0

    def __init__(self, calm: CalmSession) -> None:
        self._mailbox = calm.board.operator

    def step(self, now_ns: int, state: Record | None, pilot: Record | None) -> None:
        record = self._mailbox.read()
        assert record is not None
        record = record.copy()
        record["time_ns"] = now_ns
        self._mailbox.write(record)


class StraightOn:
    """A driver who has fallen asleep with the foot down."""

    bumps = 0

    def __init__(self, driver: ClumsyDriver, speed: float) -> None:
        self._driver, self._speed = driver, speed

    def read(self, now_ns: int, state: Array) -> TeleopCommand:
        command = self._driver.read(now_ns, state)
        return TeleopCommand(np.array([self._speed, 0.0]), now_ns, command.source)


@pytest.fixture
def driving(tmp_path: Path) -> Iterator[CalmSession]:
    """A robot on its way, and a person who only looks on from now on."""
    calm = CalmSession(make_session("racer", "oval", 1, tmp_path), varied=False)
    calm.run(2.5)
    assert calm.state == S.ACTIVE
    calm.operator = Onlooker(calm)  # type: ignore[assignment]
    yield calm
    calm.guardian.close()


def test_practice_with_its_ordinary_bumps_needs_no_person(tmp_path: Path) -> None:
    told: list[str] = []
    figures = run("racer", ("kidney", "oval"), 0.8, 0.4, 21, bumps_per_minute=12.0, progress=told.append)
    assert figures["bumps"] >= 4 and figures["failures"] >= 2, told
    assert figures["recoveries"] >= figures["failures"] - 2
    assert figures["safety_stops"] == figures["presses_of_a_person"] == figures["assists"] == 0, told
    assert figures["least_margin_severe_impact_m_s_2"] < 120.0, "none of it was felt"


def severe_impact(calm: CalmSession) -> None:
    calm.pilot._demonstrator = StraightOn(calm.driver, 4.8)


def flip(calm: CalmSession) -> None:
    calm.twin.data.qvel[2] += 2.2  # m/s: 0.45 s in the air
    calm.twin.data.qvel[3] += 8.0  # rad/s: and onto its roof


def lost_sensor(calm: CalmSession) -> None:
    reply = 65  # COMM_GET_IMU_DATA
    calm.rig.devices["vesc"].faults.set((Fault(kind="drop", key=reply, start_s=calm.clock.now_ns() / 1e9),))


@pytest.mark.parametrize(
    ("trouble", "stops_by", "cause"),
    [(severe_impact, 3.0, Cause.LIMIT), (flip, 3.0, Cause.LIMIT), (lost_sensor, 0.1, Cause.SENSOR_STALE)],
    ids=["severe impact", "flip", "lost sensor"],
)
def test_what_is_severe_needs_a_person(
    driving: CalmSession, trouble: Callable[[CalmSession], None], stops_by: float, cause: Cause
) -> None:
    trouble(driving)
    for _ in range(round(stops_by * 100)):
        driving.tick()
        if driving.state not in AUTHORITY:
            break
    assert driving.state not in AUTHORITY
    assert driving.guardian.kernel.cause == cause, driving.tally.stops
    for _ in range(600):
        driving.tick()
        assert driving.state not in AUTHORITY, "it went on by itself"
    speed = math.hypot(*driving.twin.velocity_body()[:2])
    assert driving.guardian.at_rest or driving.state == S.HOLD
    assert speed < 0.1
    pilot = driving.board.pilot.read()
    assert pilot is None or int(pilot["phase"][0]) != PilotPhase.FINISHED
