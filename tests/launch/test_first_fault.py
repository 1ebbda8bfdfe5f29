"""What was latched last is left for a person to read."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from launch.catalogue import find
from launch.first_fault import FILE, save_first_fault
from robot.messages import Cause, SafetyState, fault_dtype
from robot.shared_memory import Mailbox
from robot.spec import load_spec

SPEC = load_spec(find("robots", "racer"))


def test_the_tick_of_the_fault_is_told_with_every_limit_nearest_first(tmp_path: Path) -> None:
    record = np.zeros(1, fault_dtype(SPEC))
    tick = record["tick"]
    tick["cause"], tick["safety_state"] = Cause.LIMIT, SafetyState.STOP1
    tick["state"][0, SPEC.state_layout.index("velocity_body_x")] = 4.5
    names = [limit.name for limit in SPEC.safety.limits]
    tick["margin"] = 1e6
    tick["margin"][0, names.index("severe impact")] = -3.0
    tick["measured"]["imu"]["values"][0, 0] = np.nan
    record["detail"] = b"severe impact"
    Mailbox(tmp_path / "first_fault.mailbox", fault_dtype(SPEC), create=True).write(record)
    save_first_fault(SPEC, tmp_path, tmp_path)
    told = tomllib.loads((tmp_path / FILE).read_text())
    assert (told["cause"], told["detail"], told["state"]) == ("limit", "severe impact", "STOP1")
    assert told["estimate"]["velocity_body_x"] == pytest.approx(4.5)
    assert next(iter(told["margins"].items())) == ("severe impact", "-3 m/s^2")
    assert set(told["margins"]) == set(names)


@pytest.mark.parametrize("made", [False, True])
def test_nothing_is_left_where_nothing_happened(tmp_path: Path, made: bool) -> None:
    if made:
        Mailbox(tmp_path / "first_fault.mailbox", fault_dtype(SPEC), create=True)
    save_first_fault(SPEC, tmp_path, tmp_path)
    assert not (tmp_path / FILE).exists()
