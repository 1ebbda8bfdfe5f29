"""Where things lie unless a command is told otherwise, and how it shows what happens."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

KEYS = Path("~/.config/sandlot/keys")
"""This machine's keys, and those of the peers that it allows."""
DEPLOYED = Path("~/.local/share/sandlot/deployed")
"""Deployed bundles, a folder for each robot."""
RUNS = Path("runs")
"""The folders of runs: runs/ROBOT/TIME."""
LATEST = Path("runs/racer/latest")
"""The last run of the robot that is meant where none is named."""
RESULTS = Path("results")
"""What policies did on twin and robot."""

View = Literal["auto", "live", "plain", "none"]
"""A terminal view: live on a terminal, else plain lines; or one of these always; or nothing."""
