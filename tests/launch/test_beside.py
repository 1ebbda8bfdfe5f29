"""What runs beside a session tells its lines as they come, and ends with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch.beside import Beside


def test_lines_come_as_they_are_written_and_nothing_outlives_the_session() -> None:
    told: list[str] = []
    code = "import os, time; print(os.getpid(), os.nice(0), flush=True); time.sleep(60)"
    with Beside((sys.executable, "-c", code), told.append):
        deadline = time.monotonic() + 20.0
        while not told and time.monotonic() < deadline:
            time.sleep(0.01)
    number, nice = map(int, told[0].split())
    assert nice == 19
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_a_session_that_is_killed_leaves_none_behind() -> None:
    beside = (
        "import os, time; from launch.processes import follow_parent; follow_parent(); "
        "print(os.getpid(), flush=True); time.sleep(60)"
    )
    session = (
        "import sys, time; from launch.beside import Beside\n"
        f"with Beside((sys.executable, '-c', {beside!r}), lambda line: print(line, flush=True)):\n"
        "    time.sleep(60)"
    )
    with subprocess.Popen((sys.executable, "-c", session), stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        number = int(killed.stdout.readline())
        killed.kill()
    deadline = time.monotonic() + 10.0
    while Path(f"/proc/{number}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{number}").exists()


def test_one_that_fails_says_why() -> None:
    told: list[str] = []
    with Beside((sys.executable, "-c", "raise SystemExit('no such log')"), told.append) as beside:
        beside._child.wait(20.0)
        beside._thread.join(20.0)
    assert told == ["no such log"]
