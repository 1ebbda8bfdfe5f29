"""Many faults on one drive: a run is a fork of the drive at a moment of its own, so each starts from exactly
the same robot, whatever the others do to theirs."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from launch.bench import (  # noqa: F401  (their cells register themselves)
    faults_commands,
    faults_computer,
    faults_device,
    faults_people,
    faults_serial,
    faults_stream,
)
from launch.bench.faults_cell import CELLS, Cell
from launch.bench.faults_drive import Drive
from launch.bench.faults_run import Outcome, judge, perform
from robot.errors import SandlotError
from robot.layout import Struct
from robot.messages import SafetyState

RUNS_PER_DRIVE = 10
"""So many runs of each cell, and of each of its defects, share a drive."""
WINDOW_S = 6.0
"""Faults strike within so long from when the robot drives."""
HUNG_S = 120.0


class Task(Struct):
    """One run. ``defect``: the name of a defective robot's, empty for the real one."""

    cell: str
    seed: int
    defect: str = ""

    @property
    def drive(self) -> int:
        return self.seed // RUNS_PER_DRIVE

    def command(self) -> str:
        """What reproduces just this run."""
        defect = f" --defect {self.defect}" if self.defect else ""
        return f"sandlot bench faults {self.cell} --seed {self.seed}{defect}"


def fly(
    number: int, tasks: Iterable[Task], runs: Path, skip: Callable[[Task], bool] = lambda task: False
) -> Iterator[Outcome]:
    """All these runs on drive ``number``, by the moment they begin, but those that ``skip`` says nobody needs
    any more. Raises SandlotError if the robot stops by itself, undisturbed."""
    drive = Drive(number, runs)
    drive.until_driving()
    gc.freeze()  # a collection in a fork would copy every page
    try:
        yield from _fly(drive, tasks, skip)
    finally:
        gc.unfreeze()


def _fly(drive: Drive, tasks: Iterable[Task], skip: Callable[[Task], bool]) -> Iterator[Outcome]:
    start = drive.ticks
    window = round(WINDOW_S * drive.spec.rates.guardian_hz)
    planned = []
    for task in tasks:
        rng = np.random.default_rng([task.seed, *task.cell.encode()])
        planned.append((int(rng.integers(window)), task, rng))
    for phase, task, rng in sorted(planned, key=lambda plan: plan[0]):
        if skip(task):
            continue
        while drive.ticks < start + phase:
            drive.tick()
            if drive.state != SafetyState.ACTIVE:
                raise SandlotError(
                    f"drive {drive.seed} on {drive.course} stopped by itself, undisturbed: "
                    f"{drive.guardian.kernel.state.name}, {drive.guardian.kernel.cause.name}"
                )
        data, trouble = in_fork(partial(_run, drive, task, rng))
        yield msgspec.msgpack.decode(data, type=Outcome) if data else _broken(task, trouble)


def _run(drive: Drive, task: Task, rng: np.random.Generator) -> bytes:
    cell = CELLS[task.cell]
    if task.defect:
        next(d for d in cell.defects if d.__name__ == task.defect)(drive)
    calm = _calm(drive, rng) if cell.compare else None
    run, expected, witness = perform(drive, cell.inject, rng, bool(task.defect), cell.compare)
    return msgspec.msgpack.encode(judge(cell.name, task.seed, task.defect, run, expected, witness, calm))


def _calm(drive: Drive, rng: np.random.Generator) -> list[int]:
    """The ticks of this drive if nothing is done to it."""
    data, trouble = in_fork(lambda: msgspec.json.encode(perform(drive, None, rng, compared=True)[2].digest))
    if not data:
        raise SandlotError(f"the undisturbed drive could not be run: {trouble}")
    return msgspec.json.decode(data, type=list[int])


def in_fork(work: Callable[[], bytes]) -> tuple[bytes, str]:
    """What ``work`` returns in a copy of this process, and, if that is nothing, why."""
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        code = 1
        try:
            os.close(read)
            gc.disable()
            with os.fdopen(write, "wb") as pipe:
                pipe.write(work())
            code = 0
        except BaseException:  # noqa: BLE001  (a fork must never return into its parent's code)
            traceback.print_exc(file=sys.stderr)
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.close(write)
    data = bytearray()
    why = ""
    poll = select.poll()
    poll.register(read, select.POLLIN)
    try:
        while True:
            if not poll.poll(HUNG_S * 1e3):
                why = f"hung for {HUNG_S:g} s"
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                break
            chunk = os.read(read, 1 << 16)
            if not chunk:
                break
            data += chunk
    finally:
        os.close(read)
        _, status = os.waitpid(process, 0)
    code = os.waitstatus_to_exitcode(status)
    if code or why:
        return b"", why or (f"killed by {signal.Signals(-code).name}" if code < 0 else "raised; see stderr")
    return bytes(data), ""


def _broken(task: Task, why: str) -> Outcome:
    nan = math.nan
    return Outcome(
        task.cell, task.seed, task.defect, "broken", why, 0, nan, nan, nan, nan, nan, "", "", "", ""
    )


def tasks_of(cells: Iterable[Cell], first: int, runs: int, defect_runs: int) -> list[Task]:
    """Every run of a campaign: ``runs`` of each cell from seed ``first`` on, and ``defect_runs`` of each of
    its defective robots."""
    tasks = []
    for cell in cells:
        tasks += [Task(cell.name, seed) for seed in range(first, first + runs)]
        for defect in cell.defects:
            tasks += [Task(cell.name, seed, defect.__name__) for seed in range(first, first + defect_runs)]
    return tasks
