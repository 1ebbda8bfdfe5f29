"""A whole session as a person starts it: every process, real time, real serial ports, real sockets."""

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

from launch.session import Session, open_session
from launch.snapshot import Reader
from learners.journal import Journal
from robot.log_reader import read_log
from robot.messages import Actor, SafetyState

pytestmark = [pytest.mark.slow, pytest.mark.realtime]

COMMAND = (sys.executable, "-P", "-m", "sandlot")


def start(*words: str, cwd: Path, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (*prefix, *COMMAND, *words), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def end(process: subprocess.Popen[str]) -> str:
    """SIGTERM, and everything it said. It must end by itself."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.communicate(timeout=90)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def session_of(folder: Path, seconds: float = 60.0) -> Session:
    """The newest session below a folder, once there is one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (folder / "racer" / "latest" / "manifest.toml").exists():
            return open_session(folder / "racer" / "latest")
        time.sleep(0.1)
    raise AssertionError("no session appeared")


def wait_for(session: Session, condition, seconds: float = 120.0) -> None:  # type: ignore[no-untyped-def]
    """Until a snapshot of the session fulfils ``condition``."""
    deadline = time.monotonic() + seconds
    while not (session.board_directory / "pilot_events.ring").exists():
        assert time.monotonic() < deadline, "the board never appeared"
        time.sleep(0.1)
    reader = Reader(session.board(), session.spec)
    while not condition(now := reader.read(time.monotonic_ns())):
        assert time.monotonic() < deadline, f"waited in vain; last: {now}"
        time.sleep(0.1)


def processes_of(session: Session) -> list[int]:
    """Processes whose command line names the session's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if str(session.directory) in words and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


def process_of(session: Session, name: str) -> int:
    for pid in processes_of(session):
        if name in Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0"):
            return pid
    raise AssertionError(f"no process {name}")


def check_closed(session: Session, transitions: int) -> None:
    """Nothing is left running, the log is whole, each transition is there once, and the robot stood still."""
    assert not processes_of(session)
    assert not session.board_directory.exists()
    log = read_log(session.directory)
    assert log.complete
    assert log.steps["sequence"].tolist() == list(range(len(log.steps)))
    assert len(log.steps) >= transitions
    last = log.ticks[-1]
    assert last["safety_state"] in (SafetyState.FAULT, SafetyState.STANDBY)
    assert abs(last["state"][session.spec.state_layout.index(session.spec.stop.standstill)]) < 0.1
    assert set(log.steps["actor"].tolist()) <= {Actor.POLICY, Actor.SCRIPT, Actor.NOBODY}


def test_a_session_drives_streams_and_ends_by_itself(tmp_path: Path) -> None:
    process = start("practice", "racer", "--course", "oval", "--minutes", "0.3", "--json", cwd=tmp_path)
    said = process.communicate(timeout=180)[0]
    assert process.returncode == 0, said
    assert "session ended: time is up" in said
    summary = json.loads(said.strip().splitlines()[-1])
    session = open_session(Path(summary["run"]))
    assert summary["transitions"] > 100 and summary["transitions_lost"] == 0
    assert summary["transitions_durable"] == summary["transitions"]
    for name in ("report.html", "laps.csv", "summary.json", "manifest.toml"):
        assert (session.directory / name).stat().st_size > 0
    check_closed(session, 100)


def test_every_killed_process_comes_back_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    process = start("practice", "--minutes", "0", "--no-report", "--view", "plain", cwd=tmp_path)
    try:
        session = session_of(tmp_path / "runs")
        wait_for(session, lambda now: now.received > 20)
        for name in ("learner", "courier", "pilot", "guardian", "emulator"):
            before = process_of(session, name)
            os.kill(before, signal.SIGKILL)
            reader = Reader(session.board(), session.spec)
            steps = reader.read(time.monotonic_ns()).spooled
            wait_for(session, lambda now, steps=steps: now.received > steps + 20 and now.connected)
            assert process_of(session, name) != before
    finally:
        said = end(process)
    assert process.returncode == 0, said
    check_closed(session, 120)
    assert said.count("killed by SIGKILL") == 5
    journal = Journal(session.learner / "journal" / "rows.journal", session.contract.step_dtype())
    learned = np.concatenate([rows for _, rows in journal.replay()])
    logged = read_log(session.directory).steps
    assert learned["sequence"].tolist() == logged["sequence"].tolist()
    for field in learned.dtype.names or ():
        assert np.array_equal(learned[field], logged[field]), field
