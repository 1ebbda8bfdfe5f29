"""What experiments that compare cases over seeds have in common: a CSV that goes on, and a picture of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from launch.bench.practice import rows
from robot.frame_file import write_atomically


def missing(csv_file: Path, seeds: Sequence[int], cases: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Seed and case of every run of which the file has no row."""
    names = tuple(cases)
    for seed in seeds:
        for case in names:
            if not any(row["case"] == case and row["seed"] == str(seed) for row in rows(csv_file)):
                yield seed, case


def lines(
    found: Sequence[Mapping[str, str]], cases: Iterable[str], column: str
) -> list[tuple[str, list[NDArray[np.float64]]]]:
    """Of every case a line for each seed, (n, 2): steps and a column's values."""
    groups = []
    for case in cases:
        mine = [row for row in found if row["case"] == case]
        runs = [
            np.array([(float(row["step"]), float(row[column])) for row in mine if row["seed"] == seed])
            for seed in sorted({row["seed"] for row in mine})
        ]
        groups.append((case, runs))
    return groups


def keep_picture(csv_file: Path, picture: bytes, progress: Callable[[str], None]) -> None:
    """Write the picture beside the file, and say where both are."""
    path = csv_file.with_suffix(".png")
    write_atomically(path, picture)
    progress(f"{csv_file} and {path}")
