"""``sandlot learner``: the learner without a robot beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from launch.free_ports import free_ports


@pytest.mark.slow
def test_it_ends_when_its_time_is_up(tmp_path: Path) -> None:
    words = ("--bind", f"127.0.0.1:{free_ports()}", "--minutes", "0.02", "--no-smoke-gate", "--json")
    command = [sys.executable, "-m", "sandlot", "learner", "racer", *words, "--runs", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert Path(json.loads(ended.stdout.splitlines()[-1])["run"]).is_dir()
