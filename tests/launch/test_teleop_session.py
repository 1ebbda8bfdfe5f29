"""Whole teleoperated sessions on the twin, in simulated time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scripted_session import SETTLED_S, drive

from launch.manifest import Setup
from launch.report import cards
from launch.run_data import RunData
from robot.messages import SafetyState

pytestmark = pytest.mark.slow


def test_a_reduced_session_drives_at_half_of_everything_and_says_so(tmp_path: Path) -> None:
    full = {"speed": 1.0, "steering": 0.3}
    steps = [{"at_s": 0.0, "held": False}, {"at_s": SETTLED_S, "axes": full}]
    session = drive(tmp_path, steps, 0.07, Setup(reduced=True))
    spec = session.spec
    data = RunData(session)
    ticks = data.log.ticks
    driving = np.isin(ticks["safety_state"], (SafetyState.ACTIVE, SafetyState.REDUCED))
    speed = ticks["allowed"][driving, spec.actuator_layout.index("speed")]
    whole = spec.teleop.axes[0].cap * spec.actuators[0].upper
    assert speed.max() == ticks["requested"][driving, 0].max() == pytest.approx(0.5 * whole)
    steering = ticks["allowed"][driving, 1]
    assert steering.max() == pytest.approx(0.3 * spec.actuators[1].upper), "a position keeps its range"
    assert np.abs(np.diff(steering)).max() <= 0.5 * spec.actuators[1].slew / spec.rates.guardian_hz + 1e-9
    (told,) = [e.event for e in data.log.events if e.event.kind == "reduced"]
    assert told.value == spec.safety.authority == 0.5
    assert session.limits == "REDUCED limits (50%)"
    assert "REDUCED" in "".join(cards(data.summary())).partition("practice")[0]
