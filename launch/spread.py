"""Episodes shared out: what one part of them needs as bytes, what came of it, and all parts together again.

An episode is the same whatever others run beside it (``sim.rollout``), so any partition gives one result.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from launch.session import contract_of, make_task
from robot.errors import SandlotError
from robot.layout import Struct
from robot.plain_data import decode_struct
from robot.practice.course import Course, CourseFile
from robot.spec import RobotSpec
from sim.episode_results import EpisodeResults, episode_dtype
from sim.fleet_pilots import CHUNK
from sim.randomisation import Draws
from sim.rollout import Progress, Setting
from sim.validation.examination import drive_here
from sim.world import World

PART: Final = 2 * CHUNK
"""Episodes of a part: enough for the batched physics, few enough that all workers end together."""


class Order(Struct):
    """One part of the episodes, with all that a worker must know: nothing of it is looked up there."""

    spec: dict[str, Any]
    course: dict[str, Any]
    world: dict[str, Any]
    seconds: float | None
    timestep: float
    endless: bool
    policy: bytes
    seed: int
    names: tuple[str, ...]
    numbers: bytes
    values: bytes


def orders(policy: bytes, setting: Setting, draws: Draws) -> list[bytes]:
    """One for each part, in order. Raises SandlotError for errors of the estimate that are not the robot's
    own."""
    if setting.errors is not None:
        raise SandlotError("episodes are shared out with the robot's own errors of the estimate only")
    made = []
    for start in range(0, len(draws), PART):
        part = draws.take(np.arange(start, min(start + PART, len(draws))))
        order = Order(
            spec=msgspec.to_builtins(setting.spec),
            course=msgspec.to_builtins(setting.course.file),
            world=msgspec.to_builtins(setting.world),
            seconds=setting.seconds,
            timestep=setting.timestep,
            endless=setting.endless,
            policy=policy,
            seed=part.seed,
            names=part.names,
            numbers=part.numbers.tobytes(),
            values=part.values.tobytes(),
        )
        made.append(msgspec.msgpack.encode(order))
    return made


def carry_out(order: bytes) -> bytes:
    """Drive the episodes of a part, on one processor; the rows of its results."""
    what = msgspec.msgpack.decode(order, type=Order)
    spec = decode_struct(what.spec, RobotSpec, "order")
    course = Course(decode_struct(what.course, CourseFile, "order"))
    setting = Setting(
        spec=spec,
        contract=contract_of(spec, make_task(spec, course)),
        course=course,
        world=decode_struct(what.world, World, "order"),
        make_task=lambda: make_task(spec, course),
        seconds=what.seconds,
        timestep=what.timestep,
        threads=1,
        endless=what.endless,
    )
    numbers = np.frombuffer(what.numbers, np.int64)
    values = np.frombuffer(what.values, np.float64).reshape(len(numbers), len(what.names))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.onnx"
        path.write_bytes(what.policy)
        draws = Draws(what.seed, what.names, numbers, values)
        return drive_here(path, setting, draws, lambda share, driving: None).rows.tobytes()


def together(answers: Sequence[bytes], setting: Setting, draws: Draws) -> EpisodeResults:
    """The results of all parts, in the order of ``orders``. Raises SandlotError if a part is not whole."""
    limits = tuple(limit.name for limit in setting.spec.safety.limits)
    dtype = episode_dtype(len(draws.names), len(limits))
    data = b"".join(answers)
    rows = np.frombuffer(data, dtype).copy() if len(data) % dtype.itemsize == 0 else np.zeros(0, dtype)
    if not np.array_equal(rows["number"], draws.numbers):
        raise SandlotError(
            f"{len(draws)} episodes were shared out and others came back; is Sandlot the same version on "
            "every machine?"
        )
    return EpisodeResults(rows, draws.names, limits, draws.seed)


Each = Callable[[int, bytes], None]
"""Told each part's answer, as it comes, with its number."""
Workers = Callable[[Sequence[bytes], Each], None]
"""Carries out orders, wherever, and tells their answers."""


def spread(
    workers: Workers, policy: Path, setting: Setting, draws: Draws, progress: Progress
) -> EpisodeResults:
    """As ``drive_here``, the episodes carried out by ``workers``."""
    made = orders(policy.read_bytes(), setting, draws)
    answers: list[bytes] = [b""] * len(made)
    done = 0

    def each(number: int, answer: bytes) -> None:
        nonlocal done
        answers[number] = answer
        done += 1
        progress(done / len(made), len(draws) - min(done * PART, len(draws)))

    workers(made, each)
    return together(answers, setting, draws)
