"""A racer with a four-number task: a board, rows and ticks, for tests of everything that carries them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robot.board import Board
from robot.contract import ObservationTerm, TaskContract, step_dtype, task_contract
from robot.messages import Actor, tick_dtype
from robot.spec import RobotSpec, load_spec

ROBOTS = Path(__file__).parents[2] / "launch" / "robots"
SPEC: RobotSpec = load_spec(ROBOTS / "racer.toml")
CONTRACT: TaskContract = task_contract(
    SPEC,
    "small",
    (
        ObservationTerm(name="velocity", unit="m/s", scale=2.0, elements=("x", "y")),
        ObservationTerm(name="previous_action", unit="1", scale=1.0, elements=("speed", "steering")),
    ),
    ("progress", "bumps"),
)
STEP = step_dtype(CONTRACT)
TICK = tick_dtype(SPEC)
KEY = bytes(range(32))
CALIBRATION = SPEC.calibration_hash()

Rows = NDArray[np.void]


def make_rows(first: int, count: int, seed: int = 0) -> Rows:
    """Rows whose content follows from their sequence and ``seed`` alone, in episodes of 50."""
    rows = np.zeros(count, STEP)
    sequence = np.arange(first, first + count)
    rows["sequence"], rows["time_ns"] = sequence, sequence * 50_000_000
    rows["episode"], rows["step"] = sequence // 50, sequence % 50
    rows["last"] = sequence % 50 == 49
    rows["actor"] = Actor.POLICY
    phase = (sequence + 1000 * seed).astype(np.float32)
    rows["reward"] = np.sin(phase)
    rows["observation"] = np.sin(phase[:, None] * [1, 2, 3, 4])
    rows["action"] = np.cos(phase[:, None] * [1, 2])
    return rows


def make_ticks(first: int, count: int) -> Rows:
    ticks = np.zeros(count, TICK)
    number = np.arange(first, first + count)
    ticks["tick"], ticks["time_ns"] = number, number * 10_000_000
    ticks["state"] = np.sin(number[:, None] + np.arange(ticks["state"].shape[1]))
    return ticks


def push(board: Board, rows: Rows) -> int:
    """What the pilot does with its rows; returns how many the ring took."""
    return sum(board.steps.push(row) for row in rows)


def push_ticks(board: Board, ticks: Rows) -> int:
    return sum(board.ticks.push(tick) for tick in ticks)
