"""Real-time rights, asked for in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ENTER = """
import os, resource, sys
from robot.realtime import enter_realtime
if sys.argv[1] == "nobody":
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for line in enter_realtime(20, cpus=[int(c) for c in sys.argv[2:]] or None):
    print(line)
print(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO)
if os.fork() == 0:
    print("child", os.sched_getscheduler(0) == os.SCHED_OTHER, flush=True)
    os._exit(0)
os.wait()
"""

STAND_BACK = """
import os, sys
from pathlib import Path
from robot.realtime import stand_back
if sys.argv[1] == "alone": os.setsid()
before = os.nice(0)
stand_back(7)
group = Path("/proc/self/autogroup")
words = group.read_text().split() if group.exists() else []  # empty where a control group weighs instead
print(os.nice(0) == min(before + 7, 19), words[-1] if words else "none")
"""


@pytest.mark.parametrize("how", ["alone", "in a session"])
def test_standing_back_counts_against_other_sessions_too(how: str) -> None:
    """With a session of its own, niceness alone left a learner its full share beside the robot."""
    done = subprocess.run(
        [sys.executable, "-c", STAND_BACK, how], capture_output=True, text=True, timeout=60, check=True
    )
    own, group = done.stdout.split()
    assert own == "True"
    if group != "none":
        assert (group == "7") == (how == "alone")


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to take and to give up rights")


def enter(*arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", ENTER, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.splitlines()


@needs_root
def test_everything_is_granted_to_root_and_children_are_ordinary() -> None:
    assert sorted(enter("root")) == ["True", "child True"]


@needs_root
def test_each_refusal_says_what_is_missing_and_what_grants_it() -> None:
    lines = enter("nobody", "4000")
    assert any("SCHED_FIFO 20" in line and "rtprio" in line and "limits.d" in line for line in lines)
    assert any("memory not locked" in line and "memlock" in line for line in lines)
    assert any("processor 4000" in line for line in lines)
    assert "False" in lines, "and the loop goes on without"
