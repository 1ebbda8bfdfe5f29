"""The learning curve: evaluations in order, a row of a CSV each."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import msgspec

from robot.errors import SandlotError
from robot.frame_file import write_atomically
from robot.layout import Struct


class Point(Struct):
    """One evaluation of the deterministic policy. Returns are undiscounted."""

    step: int
    """Steps of the environment until then, those of an offline phase before it included."""
    wall_s: float
    """Time spent until then [s]."""
    updates: int
    """Updates until then, of the critics if there are any."""
    return_mean: float
    return_std: float
    """Over the evaluation's episodes."""
    length_mean: float
    """Length of its episodes [steps]."""


def read_curve(path: Path) -> list[Point]:
    """What a CSV holds; a row that was cut short is left out."""
    if not path.exists():
        return []
    rows = csv.DictReader(io.StringIO(path.read_text()))
    if list(rows.fieldnames or Point.__struct_fields__) != list(Point.__struct_fields__):
        raise SandlotError(f"{path}: expected the columns {', '.join(Point.__struct_fields__)}")
    return [msgspec.convert(row, Point, strict=False) for row in rows if None not in row.values()]


def write_curve(path: Path, points: Sequence[Point]) -> None:
    """Replace the file, whole."""
    text = io.StringIO()
    writer = csv.DictWriter(text, Point.__struct_fields__, lineterminator="\n")
    writer.writeheader()
    writer.writerows(msgspec.to_builtins(point) for point in points)
    write_atomically(path, text.getvalue().encode())
