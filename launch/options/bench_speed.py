"""``sandlot bench``: how fast and how punctual the parts are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class BenchLoopOptions:
    """Lateness of the guardian's loop under full load, against a C timer loop.

    Example: sandlot bench loop --json
    """

    seconds: float = 60.0
    """How long to measure [s], each of the two loops."""
    rate_hz: float = 500.0
    """The guardian's rate [Hz]."""
    load: bool = True
    """Saturate every core with a learner meanwhile; --no-load: do not."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchTickOptions:
    """What a guardian's tick costs, part by part, with the robot's own drivers and estimator.

    Example: sandlot bench tick --json
    """

    seconds: float = 60.0
    """How long to drive [s of the robot's time]."""
    seed: int = 0
    """Seed of the drive."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchTransportOptions:
    """Transitions from robot to learner over loopback, against raw ZeroMQ.

    Example: sandlot bench transport --json
    """

    seconds: float = 10.0
    """How long to measure [s], each of the four streams."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchPolicyOptions:
    """Observation to command through onnxruntime, and the cost of swapping policies.

    Example: sandlot bench policy --json
    """

    swaps: int = 1000
    """How many policies to swap in while the loop runs."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchLearnerOptions:
    """Critic updates per second, against the bare matrix products of an update; memory and start-up.

    Example: sandlot bench learner --json

    On a GPU, and from pictures, too: sandlot bench learner --device cuda --json
    """

    seconds: float = 10.0
    """How long to measure each of the learners [s], half of it its bare products."""
    device: Literal["cpu", "cuda"] = "cpu"
    """What makes the updates."""
    threads: int = 1
    """Processor cores that a learner may use."""
    against: Literal["sb3", "sbx"] | None = None
    """Measure beside Stable-Baselines3, or SBX (the same in JAX), instead."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchFramesOptions:
    """Storing pictures and drawing them, and updates from pictures: time, memory, disk.

    Example: sandlot bench frames --json
    """

    frames: int = 20_000
    """How many of the 100,000 frames to write, 98 kB each."""
    seconds: float = 20.0
    """How long to measure the updates of each of the two learners [s]."""
    folder: Path | None = None
    """Where to write them: a folder on the disk in question (None: the usual place for temporary files)."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchTwinOptions:
    """Closed-loop episodes of the twin, many at once, against the bare physics of the same cars.

    Example: sandlot bench twin --json

    Whole episodes, to see whether a timestep gives the same results as a finer one:
    sandlot bench twin --episodes 48 --against-timestep 0.001
    """

    episodes: int = 400
    """How many cars at once."""
    seconds: float = 2.0
    """How long they drive [s]."""
    repeats: int = 3
    """How often each is measured; the fastest counts."""
    policy: Path | None = None
    """A policy's file (None: a network of two layers of 256 that follows the course)."""
    course: str = "oval"
    """Which course they drive on."""
    timestep: float = 0.002
    """Of the physics [s]."""
    against_timestep: float | None = None
    """Drive whole episodes at both timesteps [s] and compare what comes of them, instead of measuring."""
    json: bool = False
    """Print one flat JSON object on the last line."""
