"""Recorded sessions through the safety kernel: whatever is changed in it, it must judge them as it did.

If a verdict is meant to change, ``sandlot replay tests/golden/NAME.mcap --safety`` shows what does, and
``python tests/golden`` records them anew.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from launch.replay.changes import changed, description
from launch.replay.comparison import compare
from robot import guardian
from robot.log_reader import read_log
from robot.messages import Cause, SafetyState
from robot.safety.freshness import Freshness
from robot.safety.limits import Limits
from robot.safety.projection import Projection
from robot.safety.standstill import Standstill
from robot.spec import RobotSpec

HERE = Path(__file__).parent
S = SafetyState

STORIES: dict[str, tuple[list[SafetyState], Cause | None]] = {
    "normal": ([S.BOOT, S.STANDBY, S.ARMING, S.ACTIVE, S.STOP1, S.FAULT], Cause.OPERATOR_STOP),
    "bump": ([S.BOOT, S.STANDBY, S.ARMING, S.ACTIVE], None),
    "impact": ([S.BOOT, S.STANDBY, S.ARMING, S.ACTIVE, S.STOP1, S.FAULT], Cause.LIMIT),
    "flip": ([S.BOOT, S.STANDBY, S.ARMING, S.ACTIVE, S.STOP1, S.FAULT], Cause.LIMIT),
    "lost_sensor": ([S.BOOT, S.STANDBY, S.ARMING, S.ACTIVE, S.HOLD, S.REDUCED, S.ACTIVE], Cause.SENSOR_STALE),
    "emergency_stop": (
        [S.BOOT, S.STANDBY, S.ARMING, S.ACTIVE, S.ESTOP, S.FAULT, S.STANDBY, S.ARMING],
        Cause.ESTOP_PRESSED,
    ),
}
"""The states each goes through (the beginning of them), and the first cause of a stop."""


def golden(name: str) -> tuple[RobotSpec, Any]:
    path = HERE / f"{name}.mcap"
    log = read_log(path)
    return description(log.metadata, path), log.ticks


@pytest.mark.parametrize("name", STORIES)
def test_golden_log_is_judged_as_it_was_and_the_robots_present_file_decides_the_same(name: str) -> None:
    """Limits may be tuned; what these sessions show must still stop, and what they do not must not."""
    spec, ticks = golden(name)
    compared = compare(spec, ticks, changed(spec, "racer", [])[0])
    assert not compared.logged.spans and not compared.gaps
    assert compared.changed is not None and not compared.changed.spans


@pytest.mark.parametrize("name", STORIES)
def test_golden_log_holds_what_it_is_for(name: str) -> None:
    _, ticks = golden(name)
    states = ticks["safety_state"]
    seen = [S(int(k)) for k in states[np.flatnonzero(np.diff(states, prepend=255))]]
    expected, cause = STORIES[name]
    assert seen[: len(expected)] == expected
    causes = [Cause(int(c)) for c in ticks["cause"][~np.isin(states, (S.BOOT, S.STANDBY, S.ARMING))]]
    assert next((c for c in causes if c), None) == cause
    assert (HERE / f"{name}.mcap").stat().st_size < 300_000


def _later(method: Callable[..., Any], spoil: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda self, *given: spoil(self, method(self, *given))


DEFECTS: dict[str, tuple[str, Any, str, Any]] = {
    "no sensor is ever stale": (
        "lost_sensor",
        Freshness,
        "update",
        _later(Freshness.update, lambda self, _: self.stale.fill(False)),
    ),
    "limits ask for nothing": ("impact", Limits, "update", _later(Limits.update, lambda _, asked: asked * 0)),
    "a roof is a floor": ("flip", Limits, "update", _later(Limits.update, lambda _, asked: asked * 0)),
    "no derating": (
        "lost_sensor",
        Projection,
        "project",
        lambda self, wish, *given, _project=Projection.project: _project(
            self, wish, given[0], 1.0, *given[2:]
        ),
    ),
    "an emergency stop only brakes": ("emergency_stop", guardian, "step", None),
    "everything is still": ("normal", Standstill, "update", lambda self, *given: True),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_kernel_that_judges_otherwise_is_noticed(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, owner, attribute, replacement = DEFECTS[defect]
    if replacement is None:
        step = guardian.step

        def brakes(state: Any, inputs: Any, timing: Any) -> Any:
            return step(state, inputs._replace(estop=False, stop=state.stop + inputs.estop), timing)

        replacement = brakes
    monkeypatch.setattr(owner, attribute, replacement)
    assert compare(*golden(name)).logged.spans
