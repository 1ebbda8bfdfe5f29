"""What experiments that compare cases over seeds have in common: a CSV that goes on, and a picture of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from launch.bench.practice import rows
from robot.frame_file import write_atomically


def missing(csv_file: Path, seeds: Sequence[int], cases: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Seed and case of every run of which the file has no row."""
    names = tuple(cases)
    for seed in seeds:
        for case in names:
            if not any(row["case"] == case and row["seed"] == str(seed) for row in rows(csv_file)):
                yield seed, case


def keep_picture(csv_file: Path, picture: bytes, progress: Callable[[str], None]) -> None:
    """Write the picture beside the file, and say where both are."""
    path = csv_file.with_suffix(".png")
    write_atomically(path, picture)
    progress(f"{csv_file} and {path}")
