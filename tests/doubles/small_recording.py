"""A small recorded session: 100 ticks and 20 steps a second, and a camera, for tests of what reads logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from small_session import CONTRACT, SPEC, make_rows, make_ticks

from robot.image_message import Frame
from robot.messages import Event
from robot.recorder import STEPS, TICKS, Recorder

CAMERA_HZ = 30
HEIGHT, WIDTH = 32, 48
ENOUGH = 150
"""Rows: three episodes of 50."""


def rows_of(first: int, count: int) -> NDArray[np.void]:
    """Rows that end as an environment's do: nobody acts in the last one of an episode."""
    rows = make_rows(first, count)
    rows["time_ns"] += 10**9
    rows["reward_terms"] = np.cos(rows["sequence"][:, None] * [1, 3])
    rows["truncated"] = rows["step"] == 48
    for name in ("action", "reward", "reward_terms", "actor"):
        rows[name][rows["last"]] = 0
    return rows


def ticks_of(first: int, count: int) -> NDArray[np.void]:
    ticks = make_ticks(first, count)
    ticks["time_ns"] += 10**9
    ticks["due_ns"] = ticks["time_ns"]
    for k, name in enumerate(("requested", "allowed", "sent")):
        ticks[name] = np.sin(ticks["tick"][:, None] * [1, 2] + k)
    return ticks


def picture(number: int) -> NDArray[np.uint8]:
    """(HEIGHT, WIDTH, 3): smooth, and another one each time."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = (x / 8 + number / 5, y / 6 + number / 3, (x + y) / 9 - number / 4)
    return np.stack([128 + 100 * np.sin(wave) for wave in waves], -1).astype(np.uint8)


def make_frame(number: int) -> Frame:
    """Taken 5 ms before the step or tick of its time, here 3 ms later; lossless."""
    encoded = cv2.imencode(".png", picture(number)[..., ::-1])[1].tobytes()
    captured = 995_000_000 + number * 10**9 // CAMERA_HZ
    return Frame("front", number, captured, captured + 3_000_000, "png", encoded)


def write_recording(
    path: Path,
    rows: NDArray[np.void] | None = None,
    camera: bool = False,
    close: bool = True,
    about: Mapping[str, str] | None = None,
    labels: Sequence[Event] = (),
) -> None:
    """One log of these rows (default: three episodes), with the ticks around them, in chunks of a second, and
    ``labels`` at the end."""
    rows = rows_of(0, ENOUGH) if rows is None else rows
    path.parent.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(path, SPEC, CONTRACT, about)
    first = int(rows["sequence"][0])
    for k in range(0, len(rows), 20):
        part = rows[k : k + 20]
        recorder.rows(TICKS, 5 * (first + k), ticks_of(5 * (first + k), 5 * len(part)))
        recorder.rows(STEPS, first + k, part)
        recorder.event("pilot", Event(int(part["time_ns"][0]), "second", float(k), "goes by"), k)
        if camera:
            begin = (first + k) * CAMERA_HZ // 20
            for number in range(begin, begin + len(part) * CAMERA_HZ // 20):
                recorder.frame(make_frame(number))
        recorder.flush()
    for label in labels:
        recorder.event("operator", label)
    recorder.flush()
    if close:
        recorder.close()
