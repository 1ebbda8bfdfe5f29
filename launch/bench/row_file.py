"""Rows of a benchmark in a CSV file that is gone on with: what is there is read, what is new is added."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from robot.errors import SandlotError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def read(path: Path, kind: type[T]) -> list[T]:
    """The rows of a file, none if it is not there. Raises SandlotError for one of something else."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        try:
            return msgspec.convert(list(csv.DictReader(file)), list[kind], strict=False)  # type: ignore[valid-type]
        except msgspec.ValidationError as error:
            names = ", ".join(f.name for f in fields(kind))
            raise SandlotError(f"{path}: {error}; expected columns {names}; name another --csv") from None


def append(path: Path, rows: Sequence[T]) -> None:
    """Write rows behind those there are, in one write: a kill leaves all of them or none."""
    names = [f.name for f in fields(rows[0])]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    if not path.exists():
        writer.writeheader()
    writer.writerows(
        {n: f"{v:.6g}" if isinstance(v := getattr(row, n), float) else v for n in names} for row in rows
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:
        file.write(text.getvalue())
