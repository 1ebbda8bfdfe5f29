"""``sandlot bundle`` and ``deploy``: from a validated policy to a robot that drives it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from launch.options.defaults import DEPLOYED, KEYS


@dataclass(frozen=True)
class BundleOptions:
    """Make one signed file of a policy, its contract, its validation reports and where it came from.

    Example: sandlot bundle runs/racer/latest --report report.json --key lab -o racer.bundle

    After a new calibration: sandlot bundle racer.bundle --report smoke.json --key lab -o newer.bundle
    """

    source: Annotated[Path, Positional]
    """A run's folder, an ONNX policy, or an earlier bundle whose policy was validated anew."""
    report: tuple[Path, ...]
    """What sandlot validate wrote of this policy: of the full gate, and of the smoke gate if the calibration
    changed since."""
    key: str
    """Name of the signing key (sandlot keys signing)."""
    output: Annotated[Path | None, arg(aliases=("-o",))] = None
    """Where to write it (None: ROBOT-VERSION.bundle here)."""
    expires: str = "90d"
    """How long after its full gate a robot may drive it: a number of days (90d), weeks (4w) or hours
    (12h)."""
    version: int | None = None
    """Must be higher than that of any bundle deployed before (None: the time, as in 20260131100000)."""
    keys: Path = KEYS
    """Where this machine's keys are kept."""
    json: bool = False
    """Print what was made as one JSON object on the last line."""


@dataclass(frozen=True)
class DeployOptions:
    """Install a bundle on this robot, go back to the one before it, or list what is installed.

    Example: sandlot deploy racer.bundle racer

    Back to the one before: sandlot deploy --rollback racer

    What is installed: sandlot deploy --list racer

    The robot must stand in STANDBY, or not run at all. Exit code 1 if the bundle is refused.
    """

    bundle: Annotated[str | None, Positional] = None
    """The bundle's file; nothing with --rollback and --list."""
    robot: Annotated[str | None, Positional] = None
    """A robot's name or its TOML file (None: racer)."""
    rollback: bool = False
    """Return to the bundle that was deployed before: the only way to an older one."""
    list: bool = False
    """Say what is installed, what its gates found, until when it may drive, and whether it may now."""
    deployed: Path = DEPLOYED
    """Where deployed bundles are, a folder for each robot."""
    keys: Path = KEYS
    """Where this machine's keys are kept: whose bundles it trusts."""
    json: bool = False
    """Print what is installed as one JSON object on the last line."""
