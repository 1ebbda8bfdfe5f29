"""A car in MuJoCo that is told to leave its site at full speed stays in it, by the barrier alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from launch.catalogue import find
from launch.operator import SimulatedOperator
from launch.parts import make_guardian
from launch.session import create_session
from robot.clock import SimulatedClock
from robot.interface import make_driver
from robot.messages import Actor, SafetyState, command_dtype
from robot.practice.course import load_course, save_course
from sim.emulators.rig import Rig
from sim.twin import CarTwin

PERIOD = 10_000_000
EDGE = 2.0


def drive(directory: Path, speed: float, seconds: float, seed: int) -> tuple[np.ndarray, list[SafetyState]]:
    """Positions and headings of a car that is told ``speed`` from the start on, and the states gone through.
    The site ends at x = ``EDGE`` on the first straight."""
    plain = find("courses", "oval").read_text()
    polygon = f"polygon = [[-9.0, -20.0], [{EDGE}, -20.0], [{EDGE}, 20.0], [-9.0, 20.0]]\n"
    course = directory / "cut.toml"
    course.write_text(plain[: plain.index("[site]")] + "[site]\n" + polygon)
    save_course(load_course(course), course)
    session = create_session(
        "racer", str(course), role="practice", runs=directory, twin=True, fast=True, world="oval"
    )
    spec, clock = session.spec, SimulatedClock(1_000_000_000)
    board = session.board(create=True)
    twin = CarTwin(spec, find("worlds", "oval"), np.random.default_rng(seed))
    ports = Rig(spec, twin, np.random.default_rng(seed + 1)).ports(clock)
    drivers = [make_driver(spec, device, ports[device.name]) for device in spec.devices]
    guardian = make_guardian(session, drivers, board, clock)
    operator = SimulatedOperator(board.operator, lambda: None, patience_s=0.2)
    command = np.zeros(1, command_dtype(spec))
    command["actor"] = Actor.HUMAN
    command["setpoint"] = (speed, 0.0)
    guardian.start()
    poses, states = [], []
    for tick in range(round(seconds * 1e9 / PERIOD)):
        due = clock.now_ns() + PERIOD
        clock.sleep_until(due)
        if tick % 5 == 0:
            operator.step(due, board.state.read(), None)
            command["time_ns"], command["epoch"] = due, guardian.kernel.epoch
            board.command.write(command)
        guardian.tick(due)
        poses.append(twin.pose())
        states.append(guardian.kernel.state)
    guardian.close()
    session.remove_board()
    return np.array(poses), states


@pytest.mark.slow
@pytest.mark.parametrize("speed", [1.0, 4.8])
def test_full_speed_at_the_edge_of_the_site_ends_before_it(tmp_path: Path, speed: float) -> None:
    poses, states = drive(tmp_path, speed, 10.0, seed=3)
    assert states[-1] == SafetyState.ACTIVE and SafetyState.STOP1 not in states
    assert poses[:, 0].max() - poses[0, 0] > 1.0, "it drove"
    assert poses[:, 0].max() + 0.35 <= EDGE + 0.02, "less what the estimate may be off"
    assert poses[-1, 0] + 0.35 > EDGE - 0.5, "and came close"
