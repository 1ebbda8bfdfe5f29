"""Another machine's ``sandlot stop``, a killed courier and each signal, on whole sessions with the twin."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_practice_session import COMMAND, end, process_of, session_of, start, wait_for
from undisturbed import undisturbed

from launch.catalogue import find
from launch.free_ports import free_ports
from robot.messages import Cause, SafetyState

pytestmark = [pytest.mark.slow, pytest.mark.realtime]


def robot_with_stop(folder: Path, port: int) -> Path:
    """The racer, listening for ``sandlot stop``, with a courier that must show up every second."""
    path = folder / "racer.toml"
    source = f'name = "net"\nkind = "network"\nport = "127.0.0.1:{port}"\ntimeout_s = 1.0\n'
    path.write_text(f"{find('robots', 'racer').read_text()}\n[[estop.sources]]\n{source}")
    return path


def drive(folder: Path, robot: Path) -> subprocess.Popen[str]:
    return start(
        *("onboard", str(robot), "--twin", "--course", "oval", "--learner", f"127.0.0.1:{free_ports()}"),
        *("--runs", str(folder / "runs"), "--no-report", "--minutes", "0"),
        cwd=folder,
    )


def moving(now) -> bool:  # type: ignore[no-untyped-def]
    return now.safety == SafetyState.ACTIVE and now.speed > 0.3


def test_sandlot_stop_stops_and_a_courier_that_cannot_is_a_stop_too(tmp_path: Path) -> None:
    undisturbed(silence_and_stop, tmp_path)


def silence_and_stop(folder: Path) -> None:
    port = free_ports()
    process = drive(folder, robot_with_stop(folder, port))
    try:
        session = session_of(folder / "runs")
        wait_for(session, moving, 120)
        # A courier that is gone hears no stop: the robot does not drive on without one.
        courier = process_of(session, "courier")
        os.kill(courier, signal.SIGSTOP)
        try:
            wait_for(session, lambda now: now.cause == Cause.ESTOP_SILENT, 30)
        finally:
            os.kill(courier, signal.SIGCONT)  # it has the log to write, whatever came of it
        wait_for(session, moving, 120)
        command = (*COMMAND, "stop", f"127.0.0.1:{port}", "--reason", "a dog")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (0, "stopped: ESTOP; a person resets it at the robot\n")
        wait_for(session, lambda now: now.safety == SafetyState.ESTOP, 10)
        time.sleep(3.0)
        wait_for(session, lambda now: now.safety == SafetyState.ESTOP, 1)  # nobody undoes it from afar
    finally:
        said = end(process)
    assert process.returncode == 0, said


def test_a_guardian_that_is_told_to_end_stands_before_it_does(tmp_path: Path) -> None:
    undisturbed(told_to_end, tmp_path)


def told_to_end(folder: Path) -> None:
    process = drive(folder, find("robots", "racer"))
    try:
        session = session_of(folder / "runs")
        wait_for(session, moving, 120)
        for number in (signal.SIGHUP, signal.SIGINT):
            os.kill(process_of(session, "guardian"), number)
            wait_for(session, lambda now: now.cause == Cause.SHUTDOWN, 30)
            wait_for(session, moving, 120)  # the supervisor starts another, and a person arms it
    finally:
        said = end(process)
    assert process.returncode == 0, said
    lines = (session.directory / "processes.jsonl").read_text()
    assert lines.count("ended (exit code 0)") == 2
