"""Another reward for what was recorded: one log, as many tasks as there are functions (Shah et al., Offline
reinforcement learning for visual navigation, 2022: ReViND)."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from launch.data.excerpt import keep_manifest, new_folder
from launch.data.recording import Recording
from launch.data.terms import Terms
from robot.errors import SandlotError
from robot.log_reader import numbered
from robot.log_repair import Message, rewrite
from robot.log_schema import CDR_HEADER
from robot.recorder import STEPS

Reward = Callable[[Terms], Any]
"""From the columns of n rows to their rewards, (n,)."""


def load_reward(name: str) -> tuple[Reward, str]:
    """The function ``FILE.py:FUNCTION`` and its file's SHA-256. Raises SandlotError if there is none."""
    file, colon, function = name.rpartition(":")
    path = Path(file)
    if not colon or not path.is_file():
        raise SandlotError(f"--reward {name!r}: expected FILE.py:FUNCTION, a function of that file")
    module_spec = importlib.util.spec_from_file_location(path.stem, path)
    if module_spec is None or module_spec.loader is None:
        raise SandlotError(f"--reward {name!r}: {path} is no Python file")
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
        found: Reward = getattr(module, function)
    except Exception as error:
        raise SandlotError(f"--reward {name!r}: {type(error).__name__}: {error}") from error
    return found, hashlib.sha256(path.read_bytes()).hexdigest()


def rewards(recording: Recording, reward: Reward) -> NDArray[np.float32]:
    """Of every step row, (n,); 0 where there is no action. Raises SandlotError unless they are n finite
    numbers."""
    rows = recording.steps
    try:
        found = np.asarray(reward(Terms(rows, recording.contract)), np.float32)
    except SandlotError:
        raise
    except Exception as error:
        raise SandlotError(f"the reward function failed: {type(error).__name__}: {error}") from error
    if found.shape != (len(rows),):
        raise SandlotError(f"the reward function: expected shape {(len(rows),)}; got {found.shape}")
    found = np.where(rows["last"], np.float32(0), found)
    bad = np.flatnonzero(~np.isfinite(found))
    if len(bad):
        raise SandlotError(f"the reward function: {len(bad)} rewards are not finite, first in row {bad[0]}")
    return found


def relabel(recording: Recording, reward: Reward, out: Path, about: str) -> NDArray[np.float32]:
    """Write the recording with this reward to the folder ``out``, ``about`` into its metadata; returns the
    rewards. The reward's terms stay as they were logged."""
    new, dtype, at = rewards(recording, reward), recording.contract.step_dtype(), 0

    def edit(message: Message) -> Message:
        nonlocal at
        if message.topic != STEPS:
            return message
        row = np.frombuffer(message.data, dtype, 1, len(CDR_HEADER)).copy()
        row["reward"] = new[at]
        at += 1
        return replace(message, data=message.data[: len(CDR_HEADER)] + row.tobytes())

    new_folder(out)
    for number, file in enumerate(recording.files):
        rewrite(file, numbered(out, number), edit, {"reward": about})
    keep_manifest(recording.path, out)
    return new
