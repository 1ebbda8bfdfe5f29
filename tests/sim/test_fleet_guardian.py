"""The fleet's safety kernel judges recorded sessions as the real one did, robot by robot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from launch.replay.changes import description
from robot.log_reader import read_log
from robot.messages import Cause, SafetyState
from robot.safety.state_machine import AUTHORITY
from robot.spec import RobotSpec
from sim.fleet_guardian import FleetGuardian

GOLDEN = Path(__file__).parents[1] / "golden"
PEOPLE = (Cause.ESTOP_PRESSED, Cause.OPERATOR_STOP, Cause.ENABLE_RELEASED)
COPIES = 3


def golden(name: str) -> tuple[RobotSpec, Any]:
    path = GOLDEN / f"{name}.mcap"
    log = read_log(path)
    return description(log.metadata, path), log.ticks


def senses(spec: RobotSpec, row: Any) -> tuple[np.ndarray, ...]:
    """State, deviation, sensor values, times and sequences of a logged tick, for every copy."""
    measured = row["measured"]
    values = np.concatenate([np.atleast_1d(measured[s.name]["values"]) for s in spec.sensors])
    times = np.array([measured[s.name]["time_ns"] for s in spec.sensors], np.int64)
    sequences = np.array([measured[s.name]["sequence"] for s in spec.sensors], np.uint64)
    seen = (row["state"][None], row["deviation"][None], values, times, sequences)
    return tuple(np.tile(a[..., None, :], (COPIES, 1)) for a in seen)


@pytest.mark.parametrize("name", ["normal", "bump", "impact", "flip", "lost_sensor", "emergency_stop"])
def test_a_fleet_is_judged_as_the_robot_was(name: str) -> None:
    spec, ticks = golden(name)
    guardian = FleetGuardian(spec, COPIES)
    first = int(np.flatnonzero(ticks["safety_state"] == SafetyState.ACTIVE)[0])
    sent, sequence, judged, driven = np.zeros((COPIES, len(spec.actuators))), -1, 0, 0
    for at, row in enumerate(ticks):
        now, state = int(row["time_ns"]), SafetyState(int(row["safety_state"]))
        seen = senses(spec, row)
        resumed = state in AUTHORITY and SafetyState.HOLD in guardian.state  # a person's button
        if Cause(int(row["cause"])) in PEOPLE or row["ending"] or resumed:
            break
        went = np.tile(row["sent"], (COPIES, 1))
        if at <= first:
            slow = np.abs(seen[0][0, :, guardian._standstill]) < spec.stop.standstill_below
            states, deviations, values, times, sequences = seen
            guardian.monitors.update(now, states, deviations, values, sent, times, sequences, ~slow)
            guardian._stand(now, slow & guardian.monitors.dependable)
            np.copyto(sent, went, where=np.isfinite(went))
            sequence = int(row["command"]["sequence"])
            if at == first:
                guardian.start(now, sent)
            continue
        if int(row["command"]["sequence"]) != sequence:
            sequence = int(row["command"]["sequence"])
            spoken = np.full(COPIES, int(row["command"]["epoch"]) == int(row["epoch"]))
            time_ns = np.full(COPIES, int(row["command"]["time_ns"]))
            guardian.offer(
                int(row["read_ns"]), spoken, time_ns, np.tile(row["command"]["setpoint"], (COPIES, 1))
            )
        monitors = guardian.monitors
        monitors.elements[..., monitors.layout.heartbeats] = row["silence"]  # nobody falls silent in a fleet
        allowed, brakes = guardian.tick(now, *seen)
        np.testing.assert_array_equal(guardian.state, int(state), err_msg=f"{name}, tick {at}")
        np.testing.assert_array_equal(guardian.cause, int(row["cause"]), err_msg=f"{name}, tick {at}")
        np.testing.assert_array_equal(guardian.request, int(row["request"]), err_msg=f"{name}, tick {at}")
        np.testing.assert_allclose(
            guardian.monitors.margin[0], np.tile(row["margin"], (COPIES, 1)), 1e-9, 1e-9
        )
        if state in AUTHORITY and guardian.valid.all():
            assert not brakes.any()
            np.testing.assert_allclose(allowed, np.tile(row["allowed"], (COPIES, 1)), 1e-9, 1e-9)
            np.testing.assert_array_equal(guardian.altered, bool(row["altered"]))
            driven += 1
        else:
            assert brakes.all()
        guardian.went(went)
        judged += 1
    assert judged > 200 and driven > 100
