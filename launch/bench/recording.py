"""``sandlot bench recording``: couriers killed at random moments of a recording, and their logs cut at random
bytes. What is lost, whether it can be read, and whether its repair is the prefix of what was recorded.

Each run records ticks and steps in real time on the disk. The courier is a process of its own, and dies by
``kill -9`` while the robot goes on. Three things are looked at:

- the log as the kill left it, and once more after a courier was started again, which must lose nothing;
- a pulled battery: the file as it was when its newest sync returned, and on top any number of bytes of what
  came after, as a disk may or may not have them;
- a cut at any byte of the file.
"""

from __future__ import annotations

import csv
import multiprocessing
import os
import secrets
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from launch import catalogue
from robot.board import Board
from robot.clock import MonotonicClock
from robot.contract import ObservationTerm, TaskContract, task_contract
from robot.courier import Courier
from robot.errors import SandlotError
from robot.log_reader import Log, numbered, read_log
from robot.log_repair import repair
from robot.messages import Actor
from robot.recorder import STEPS, TICKS
from robot.spec import RobotSpec, load_spec

PUMP_S: Final = 0.02
"""Between the courier's rounds [s], as in a session."""
MOMENTS_S: Final = (0.3, 2.5)
"""When the kill comes, uniformly [s]: three flushes and as many syncs are in there."""
STARTED_S: Final = 20.0
_WATCHED: Final = 2
"""What the courier says of itself: bytes durable in its log, and its longest round [us]."""


@dataclass(frozen=True)
class Kill:
    """One row. Seconds are between the newest tick that the robot made and the newest one that is there:
    after the kill, after it and a restart, after a pulled battery (``battery_s``), and of that what the
    courier's own longest round accounts for, on a computer with other work (``round_s``). Of the file's
    ``bytes`` the cut left ``cut``. The rest must be 0: ticks lost after a restart, files that cannot be read
    though they hold a whole chunk, files whose repair is not the prefix."""

    seed: int
    moment_s: float
    killed_s: float
    battery_s: float
    round_s: float
    bytes: int
    cut: int
    lost_after_restart: int
    unreadable: int
    not_prefix: int


def run(runs: int, path: Path) -> Iterator[Kill]:
    """All rows, those that are in the file first; the others are made and appended."""
    found = _read(path)
    yield from found.values()
    spec = load_spec(catalogue.find("robots", "racer"))
    contract = contract_of(spec)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Kill)])
        if not found:
            writer.writeheader()
        for seed in range(runs):
            if seed in found:
                continue
            kill = one(spec, contract, seed)
            writer.writerow(asdict(kill))
            file.flush()
            yield kill


def contract_of(spec: RobotSpec) -> TaskContract:
    """A task with as many observations as a robot's usually has."""
    elements = tuple(map(str, range(30)))
    term = ObservationTerm(name="numbers", unit="1", scale=1.0, elements=elements)
    return task_contract(spec, "recording", (term,), ("reward",))


def one(spec: RobotSpec, contract: TaskContract, seed: int) -> Kill:
    """Record, kill, look."""
    rng = np.random.default_rng(seed)
    moment = float(rng.uniform(*MOMENTS_S))
    with tempfile.TemporaryDirectory(prefix="sandlot-recording-") as folder:
        directory = Path(folder)
        board = Board(directory / "board", spec, contract, create=True)
        context = multiprocessing.get_context("fork")
        watched: Any = context.RawArray("q", _WATCHED)
        courier = context.Process(target=_courier, args=(spec, contract, directory, watched), daemon=True)
        courier.start()
        log = directory / "run" / "log.mcap"
        deadline = time.monotonic() + STARTED_S
        while not (log.exists() and log.stat().st_size):
            if time.monotonic() > deadline:
                raise SandlotError(f"the courier wrote nothing within {STARTED_S:.0f} s; is the disk full?")
            time.sleep(0.002)
        made = _drive(board, spec, contract, rng, moment, courier.pid or 0)
        courier.join()
        durable, longest_us = int(watched[0]), int(watched[1])
        data, newest = log.read_bytes(), int(made["time_ns"][-1])
        unreadable = not_prefix = 0
        kept = int(rng.integers(durable, len(data) + 1))
        cuts = {"killed": len(data), "synced": durable, "battery": kept, "cut": int(rng.integers(len(data)))}
        ages = {}
        for name, size in cuts.items():
            piece = directory / f"{name}.mcap"
            piece.write_bytes(data[:size])
            whole, prefix, last = _look(piece, made, data)
            unreadable += not whole
            not_prefix += not prefix
            ages[name] = (newest - last) / 1e9
        lost = _restarted(spec, contract, board, directory, made)
        return Kill(
            seed,
            round(moment, 4),
            round(ages["killed"], 4),
            round(max(ages["synced"], ages["battery"]), 4),
            round(longest_us / 1e6, 4),
            len(data),
            cuts["cut"],
            lost,
            unreadable,
            not_prefix,
        )


def _drive(
    board: Board, spec: RobotSpec, contract: TaskContract, rng: np.random.Generator, moment: float, pid: int
) -> NDArray[np.void]:
    """Ticks and steps in real time until the kill, and a moment longer; returns the ticks until the kill."""
    tick = np.zeros(1, board.ticks.peek(0).dtype)
    step = np.zeros(1, contract.step_dtype())
    step["actor"] = Actor.POLICY
    every = round(spec.rates.guardian_hz / contract.policy_hz)
    made, killed = [], -1
    start, number = time.monotonic(), 0
    while killed < 0 or number < killed + 10:
        now = time.monotonic()
        if killed < 0 and now - start >= moment:
            os.kill(pid, signal.SIGKILL)
            killed = number
        tick["tick"], tick["time_ns"] = number, time.monotonic_ns()
        tick["state"] = rng.normal(size=tick["state"].shape)
        if board.ticks.push(tick) and killed < 0:
            made.append(tick.copy())
        if number % every == 0:
            step["sequence"] = step["step"] = number // every
            step["time_ns"] = tick["time_ns"]
            board.steps.push(step)
        number += 1
        time.sleep(max(0.0, start + number / spec.rates.guardian_hz - time.monotonic()))
    return np.concatenate(made, dtype=tick.dtype)


def _look(piece: Path, made: NDArray[np.void], data: bytes) -> tuple[bool, bool, int]:
    """Whether a piece of a log can be read as far as it must, whether it and its repair are the prefix of
    what was recorded, and the time of its newest tick [ns]."""
    first = _first_chunk(data)
    try:
        log = read_log(piece)
    except SandlotError:
        return piece.stat().st_size < first, True, int(made["time_ns"][0])
    mended = piece.with_suffix(".mended.mcap")
    repair(piece, mended)
    again = read_log(mended)
    ticks = log.arrays.get(TICKS, made[:0])
    prefix = (
        again.complete
        and _same(log, again)
        and bool((ticks["tick"] == np.arange(len(ticks))).all())
        and bool((ticks[: len(made)] == made[: len(ticks)]).all())
    )
    return True, prefix, int(ticks["time_ns"][-1]) if len(ticks) else int(made["time_ns"][0])


def _first_chunk(data: bytes) -> int:
    """Bytes that a log needs to hold anything: up to the end of its first chunk."""
    at = 8
    while at + 9 <= len(data):
        opcode, length = data[at], int.from_bytes(data[at + 1 : at + 9], "little")
        at += 9 + length
        if opcode == 0x06:
            return at
    return len(data) + 1


def _same(one: Log, other: Log) -> bool:
    return (
        one.events == other.events
        and one.metadata == other.metadata
        and one.arrays.keys() == other.arrays.keys()
        and all(bool((rows == other.arrays[topic]).all()) for topic, rows in one.arrays.items())
    )


def _restarted(
    spec: RobotSpec, contract: TaskContract, board: Board, directory: Path, made: NDArray[np.void]
) -> int:
    """Ticks and steps that are lost or doubled once another courier has gone on."""
    courier = _make(spec, contract, board, directory)
    courier.pump()
    courier.close(0.0)
    log = read_log(directory / "run")
    count, steps = int(board.ticks.written), int(board.steps.written)
    wrong = int(len(log.ticks) != count) + int(len(log[STEPS]) != steps)
    wrong += int((log.ticks["tick"][:count] != np.arange(len(log.ticks))[:count]).sum())
    wrong += int((log[STEPS]["sequence"] != np.arange(len(log[STEPS]))).sum())
    return wrong + int((log.ticks[: len(made)] != made).sum())


def _make(spec: RobotSpec, contract: TaskContract, board: Board, directory: Path) -> Courier:
    key = secrets.token_bytes(32)
    clock = MonotonicClock()
    return Courier(
        spec, contract, board, directory / "run", None, clock, key, "bench", spec.calibration_hash()
    )


def _courier(spec: RobotSpec, contract: TaskContract, directory: Path, watched: Any) -> None:
    courier = _make(spec, contract, Board(directory / "board", spec, contract), directory)
    recorder = courier.recorder
    sync = recorder.sync
    if recorder.path != numbered(directory / "run", 0):
        raise SandlotError(f"expected a new log; got {recorder.path}")

    def synced() -> None:
        size = recorder.bytes
        sync()
        watched[0] = size

    setattr(recorder, "sync", synced)  # noqa: B010  (a method of one instance)
    while True:
        began = time.monotonic()
        courier.pump()
        time.sleep(PUMP_S)
        watched[1] = max(watched[1], round((time.monotonic() - began) * 1e6))


def _read(path: Path) -> dict[int, Kill]:
    if not path.exists():
        return {}
    found = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            kinds = {field.name: float if field.type == "float" else int for field in fields(Kill)}
            values: dict[str, Any] = {name: kinds[name](text) for name, text in row.items()}
            found[int(row["seed"])] = Kill(**values)
    return found


def summary(kills: list[Kill]) -> dict[str, float]:
    """The worst of all."""
    return {
        "kills": len(kills),
        "killed_lost_max_s": max(k.killed_s for k in kills),
        "restarted_lost": sum(k.lost_after_restart for k in kills),
        "battery_lost_max_s": max(k.battery_s for k in kills),
        "battery_lost_median_s": float(np.median([k.battery_s for k in kills])),
        "longest_round_max_s": max(k.round_s for k in kills),
        "unreadable": sum(k.unreadable for k in kills),
        "repair_not_prefix": sum(k.not_prefix for k in kills),
    }
