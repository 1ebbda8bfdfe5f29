"""What a run was made of: the resolved configuration, hashes, revision, seeds and versions, in one TOML
file."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec
import tomli_w

from learners.config import LearnerConfig
from learners.lagrangian import Constraint
from learners.range_growth import WHOLE, RangeGrowth
from robot.errors import SandlotError
from robot.layout import Struct
from robot.plain_data import decode_struct
from robot.teleop.takes import TakeSettings
from sim.surrogate import Surrogate

FILE = "manifest.toml"
PACKAGES = (
    "sandlot",
    "numpy",
    "msgspec",
    "pyzmq",
    "pyserial",
    "onnxruntime",
    "mcap",
    "pyubx2",
    "cryptography",
    "torch",
    "onnx",
    "mujoco",
    "matplotlib",
)


ALONE = ("run", "teleop", "replay", "calibrate")
"""Roles of sessions that stream to no learner."""


class Setup(Struct):
    """How a session's processes are set up: the resolved command line, in one place for all of them.

    ``address``: HOST:PORT where the learner takes steps. ``key``, ``learner_key``: names in the folder
    ``keys`` (empty: a session that stays on this machine). ``demonstrator``: ``module:Class`` of the
    scripted driver, ``demonstration_speed`` [m/s] its top speed. ``explore``: sample from the policy rather
    than take its mean; ``evaluate_every``: so many laps one is driven with the mean (0: never).
    ``update_ratio``: critic updates per step (None: the learner's default; 0: none). ``held_out``: share of
    the episodes kept from training (None: the learner's default). ``device``: what the learner computes on.
    ``smoke_gate``: every policy is tried in the twin before the learner publishes it. ``constraints``:
    limits to the task's costs. ``growth``: of the action range. ``policy``, ``initial`` (networks of the
    learner), ``resume``: paths, empty for none. ``bundle``: the path of the signed bundle whose policy
    drives from the start, checked by the pilot against the keys trusted in the folder ``trusted``.
    ``bench_override``: why a policy that was not validated drives a robot, at reduced authority; ``reduced``:
    somebody asked for that authority. ``teleop``: the input device a person drives with (``launch.teleop``),
    empty for none; ``takes``: how it is recorded; ``operator``: who drives, ``task``: what they do, in words.
    ``start``: x, y [m], yaw [rad], where the robot is put down if not on the course's start line.
    ``procedure``: the calibration procedure that drives. ``redraw_s``: on simulated time, how often the twin
    becomes another car that the calibration allows [s] (0: never).
    """

    address: str = "127.0.0.1:5588"
    keys: str = ""
    key: str = ""
    learner_key: str = ""
    demonstrator: str = "robot.teleop.demonstrator:Demonstrator"
    demonstration_laps: int = 3
    demonstration_speed: float = 1.2
    explore: bool = True
    evaluate_every: int = 8
    update_ratio: int | None = None
    held_out: float | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    smoke_gate: bool = False
    constraints: tuple[Constraint, ...] = ()
    growth: RangeGrowth = WHOLE
    policy: str = ""
    initial: str = ""
    resume: str = ""
    bundle: str = ""
    trusted: str = ""
    bench_override: str = ""
    reduced: bool = False
    teleop: str = ""
    takes: TakeSettings = TakeSettings()
    operator: str = ""
    task: str = ""
    start: tuple[float, float, float] | None = None
    procedure: str = ""
    redraw_s: float = 0.0

    def learner_config(self) -> LearnerConfig:
        """The learner's settings; an update ratio of 0 is the server's business, not theirs."""
        config = LearnerConfig(constraints=self.constraints, growth=self.growth, device=self.device)
        if self.update_ratio:
            config = msgspec.structs.replace(config, updates_per_step=self.update_ratio)
        if self.held_out is not None:
            config = msgspec.structs.replace(config, held_out=self.held_out)
        return config


class Manifest(Struct):
    """``learner`` (its settings), ``spec`` and ``course`` are plain data as they were used, after every
    override and default. ``surrogate``: what was driven in place of the twin, if it has a name."""

    session: str
    created: str
    role: Literal["practice", "onboard", "learner", "run", "teleop", "replay", "calibrate"]
    robot: str
    course_name: str
    twin: bool
    world: str
    fast: bool
    seed: int
    minutes: float
    contract_hash: str
    calibration_hash: str
    git_revision: str
    machine: str
    versions: dict[str, str]
    setup: Setup
    spec: dict[str, Any]
    course: dict[str, Any]
    learner: dict[str, Any] = msgspec.field(default_factory=dict)
    surrogate: Surrogate = Surrogate()

    def save(self, directory: Path) -> None:
        """Write ``manifest.toml`` whole or not at all."""
        plain = without_none(msgspec.to_builtins(self))
        temporary = directory / f".{FILE}"
        temporary.write_text(tomli_w.dumps(plain))
        temporary.replace(directory / FILE)


def load_manifest(directory: Path) -> Manifest:
    """Raises SandlotError if the folder is not a run's."""
    path = directory / FILE
    try:
        plain = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise SandlotError(
            f"{directory} is not a run's folder (it has no {FILE}); runs lie in runs/<robot>/<time>"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise SandlotError(f"{path}: not valid TOML: {error}") from None
    return decode_struct(plain, Manifest, str(path))


def without_none(plain: Any) -> Any:
    """Plain data without its None values, which TOML cannot hold; every such key has None as its default."""
    if isinstance(plain, dict):
        return {key: without_none(value) for key, value in plain.items() if value is not None}
    if isinstance(plain, list | tuple):
        return [without_none(value) for value in plain]
    return plain


def versions() -> dict[str, str]:
    """Versions of Python and of every installed package that takes part."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_revision() -> str:
    """The commit this code is at, with ``+changes`` if the tree differs from it; empty outside a checkout."""
    home = Path(__file__).resolve().parent.parent
    if not (home / ".git").exists():
        return ""
    try:
        revision, changes = (
            subprocess.run(
                ["git", "-C", str(home), *arguments], capture_output=True, text=True, timeout=10, check=True
            ).stdout.strip()
            for arguments in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{revision}+changes" if changes else revision


def machine() -> str:
    """Processor architecture, cores and kernel, for reading figures later."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
