"""What the log says of a person's inputs: how long they took, and what a vanished device led to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from launch.bench.teleop import SETTLED_S, _latencies_ms, _script, _stops_ms
from launch.catalogue import find
from robot.messages import SafetyState, tick_dtype
from robot.spec import load_spec

SPEC = load_spec(find("robots", "racer"))
SPEED = SPEC.state_layout.index(SPEC.stop.standstill)
MS = 1_000_000


def ticks(count: int = 1000) -> np.ndarray[Any, np.dtype[np.void]]:
    """Ten milliseconds apart, 2 ms long, moving at 1 m/s, with an input at 1 s."""
    rows = np.zeros(count, tick_dtype(SPEC))
    rows["time_ns"] = (1 + np.arange(count)) * 10 * MS
    rows["busy_ns"] = 2 * MS
    rows["safety_state"] = SafetyState.ACTIVE
    rows["state"][:, SPEED] = 1.0
    rows["command"]["input_ns"][100:] = 1000 * MS
    return rows


def test_an_input_takes_until_the_tick_that_sends_it_has_ended() -> None:
    rows = ticks()
    rows["command"]["input_ns"][203:] = 2005 * MS
    assert _latencies_ms(rows) == [12.0, 37.0]


def test_an_input_that_found_the_robot_stopped_is_left_out() -> None:
    rows = ticks()
    rows["safety_state"][190:240] = SafetyState.HOLD
    rows["command"]["input_ns"][240:] = 2005 * MS
    assert _latencies_ms(rows) == [12.0]


def test_a_vanished_device_is_timed_to_the_stop_and_to_the_standstill() -> None:
    rows = ticks()
    session = cast(Any, SimpleNamespace(spec=SPEC))
    gone_s = SETTLED_S + 2.0  # 2 s after the input at 1 s
    rows["safety_state"][303:] = SafetyState.HOLD
    rows["state"][350:, SPEED] = 0.0
    assert _stops_ms(session, rows, [gone_s]) == ([pytest.approx(40.0)], [pytest.approx(510.0)])
    rows["safety_state"][:] = SafetyState.HOLD
    assert _stops_ms(session, rows, [gone_s]) == ([], [])


def test_a_device_vanishes_as_often_as_was_asked_for() -> None:
    steps, gone_s, length_s = _script(20, 3, np.random.default_rng(0))
    assert [step["at_s"] for step in steps if step.get("connected") is False] == gone_s and len(gone_s) == 3
    times = [float(cast(Any, step["at_s"])) for step in steps]
    assert times == sorted(times) and times[-1] < length_s
