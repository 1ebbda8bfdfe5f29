"""An identification's replays shared out: what one part of them needs as bytes, and all together again.

A replay is the same whatever others are made beside it (``sim.replay``), so any partition gives one result.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from calibration.identification import replay_freely
from launch.spread import Workers
from robot.errors import SandlotError
from robot.layout import Struct
from robot.plain_data import decode_struct
from robot.spec import RobotSpec
from sim.log_windows import Windows
from sim.plant import Array
from sim.replay import Replayed

PART: Final = 64
"""Windows of a part: enough for the batched physics, few enough that all workers end together."""
WINDOWS: Final = ("sent", "late_ms", "states", "memory", "steered", "known", "start_ns")
REPLAYED: Final = ("states", "current", "voltage")


class ReplayOrder(Struct):
    """One part of the replays, with all that a worker must know. ``truths``: a row of values of ``names`` for
    each window; ``arrays``: ``Windows``, truths and delays, as ``numpy.savez`` writes them."""

    spec: dict[str, Any]
    lead: int
    timestep: float
    names: tuple[str, ...]
    arrays: bytes


@dataclass(frozen=True)
class SpreadReplays:
    """Implements ``calibration.twin_work.Replays``, carried out by ``workers``."""

    workers: Workers

    def __call__(
        self,
        spec: RobotSpec,
        windows: Windows,
        truths: Sequence[Mapping[str, float]],
        delays_s: Array,
        timestep: float,
    ) -> Replayed:
        made = orders(spec, windows, truths, delays_s, timestep)
        answers: list[bytes] = [b""] * len(made)
        self.workers(made, answers.__setitem__)
        parts = [unpacked(answer) for answer in answers]
        found = Replayed(*(np.concatenate([part[name] for part in parts]) for name in REPLAYED))
        if len(found.states) != len(windows):
            raise SandlotError(
                f"{len(windows)} replays were shared out and {len(found.states)} came back; is Sandlot the "
                "same version on every machine?"
            )
        return found


def orders(
    spec: RobotSpec,
    windows: Windows,
    truths: Sequence[Mapping[str, float]],
    delays_s: Array,
    timestep: float,
) -> list[bytes]:
    """One for each part, in order. All ``truths`` have the same names."""
    names = tuple(truths[0])
    values = np.array([[truth[name] for name in names] for truth in truths]).reshape(len(truths), len(names))
    made = []
    for start in range(0, len(windows), PART):
        rows = np.arange(start, min(start + PART, len(windows)))
        part = windows.take(rows)
        arrays = {name: getattr(part, name) for name in WINDOWS}
        order = ReplayOrder(
            spec=msgspec.to_builtins(spec),
            lead=part.lead,
            timestep=timestep,
            names=names,
            arrays=packed(arrays | {"truths": values[rows], "delays_s": delays_s[rows]}),
        )
        made.append(msgspec.msgpack.encode(order))
    return made


def carry_out(order: bytes) -> bytes:
    """Make the replays of a part, on one processor."""
    what = msgspec.msgpack.decode(order, type=ReplayOrder)
    arrays = unpacked(what.arrays)
    found = replay_freely(
        decode_struct(what.spec, RobotSpec, "order"),
        Windows(what.lead, *(arrays[name] for name in WINDOWS)),
        [dict(zip(what.names, row, strict=True)) for row in arrays["truths"].tolist()],
        arrays["delays_s"],
        what.timestep,
        threads=1,
    )
    return packed({name: getattr(found, name) for name in REPLAYED})


def packed(arrays: Mapping[str, Any]) -> bytes:
    """Arrays by name as bytes."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def unpacked(data: bytes) -> dict[str, Any]:
    """The arrays that ``packed`` made these bytes of."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
