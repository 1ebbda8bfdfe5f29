"""Ctrl-C while a person drives: the car stops first, and everything that was driven is in the log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from launch.session import open_session
from robot.errors import SandlotError
from robot.log_reader import read_log
from robot.messages import Actor, Cause, SafetyState
from robot.recorder import STEPS

pytestmark = [pytest.mark.slow, pytest.mark.realtime]
PATIENCE_S = 120.0


def test_the_car_stops_and_nothing_is_lost(tmp_path: Path) -> None:
    script = tmp_path / "script.toml"
    # Hold after hold, since one that begins while the session comes up arms nothing.
    held = {"axes": {"speed": 0.4, "steering": 0.05}}
    steps = [
        {"at_s": 8.0 * k + at, **do} for k in range(15) for at, do in ((0.0, {"held": False}), (1.5, held))
    ]
    script.write_text(tomli_w.dumps({"steps": steps}))
    output = (tmp_path / "output").open("w+")
    words = (
        "racer",
        "--device",
        f"script:{script}",
        "--record",
        str(tmp_path / "set"),
        "--json",
        "--no-report",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "sandlot", "teleop", *words, "--json", "--no-report", "--view", "none"],
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        cwd=tmp_path,
    )
    try:
        _wait_until_it_drives(tmp_path / "set", process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it, to all in the foreground
        code = process.wait(PATIENCE_S)
    finally:
        process.kill()
    output.seek(0)
    said = output.read()
    assert code == 0, said
    assert "the guardian did not confirm a standstill" not in said
    session = open_session(Path(json.loads(said.splitlines()[-1])["run"]))
    log = read_log(session.directory)
    ticks = log.ticks
    assert log.complete and log.lost_bytes == 0
    assert (np.diff(ticks["tick"].astype(np.int64)) == 1).all(), "every tick is there"
    assert (np.diff(log[STEPS]["sequence"].astype(np.int64)) == 1).all() and len(log[STEPS])
    driven = np.flatnonzero(ticks["actor"] == Actor.SCRIPT)
    speed = ticks["state"][:, session.spec.state_layout.index(session.spec.stop.standstill)]
    assert speed[driven].max() > 0.3
    stopped = np.flatnonzero(ticks["safety_state"] == SafetyState.STOP1)
    assert ticks["cause"][stopped[0]] == Cause.OPERATOR_STOP
    assert (
        ticks["safety_state"][-1] == SafetyState.FAULT and abs(speed[-1]) < session.spec.stop.standstill_below
    )
    took_s = (int(ticks["time_ns"][-1]) - int(ticks["time_ns"][stopped[0]])) * 1e-9
    assert took_s < session.spec.stop.deadline_s + 1.0
    assert log[STEPS]["time_ns"][-1] > ticks["time_ns"][stopped[0]] - 200_000_000, "to the last step"


def _wait_until_it_drives(folder: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
        try:
            session = open_session(folder / "racer" / "latest")
            record = session.board().state.read()
        except SandlotError:
            continue
        if record is not None:
            at = session.spec.state_layout.index(session.spec.stop.standstill)
            if record["safety_state"][0] == SafetyState.ACTIVE and record["state"][0, at] > 0.4:
                return
    raise AssertionError("it never drove")
