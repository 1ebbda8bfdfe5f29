"""A cell of the fault table: a kind of fault, what must come of it, and defective robots it must catch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from launch.bench.faults_drive import Drive
from launch.bench.faults_run import Inject
from robot.errors import SandlotError, nearest

Defect = Callable[[Drive], None]
"""Makes a robot defective, on purpose, in a drive of its own; named for what is then missing."""


@dataclass(frozen=True)
class Cell:
    """``row``: which row of the fault table. ``inject`` puts the fault into a run and says what is expected.
    ``defects``: robots so defective that this cell must catch them."""

    name: str
    row: str
    summary: str
    inject: Inject
    defects: tuple[Defect, ...]
    compare: bool = False
    """Every tick must equal that of the same drive without the fault, to the last bit."""


CELLS: dict[str, Cell] = {}


def cell(row: str, *defects: Defect, compare: bool = False) -> Callable[[Inject], Inject]:
    """Registers a function as the cell of its name."""

    def register(inject: Inject) -> Inject:
        name = getattr(inject, "__name__", "")
        summary = (inject.__doc__ or "").strip().partition("\n")[0]
        CELLS[name] = Cell(name, row, summary, inject, defects, compare)
        return inject

    return register


def chosen(names: Iterable[str]) -> list[Cell]:
    """Cells by name, all without any. Raises SandlotError with the nearest name."""
    names = tuple(names)
    for name in names:
        if name not in CELLS:
            raise SandlotError(f"no fault cell {name!r}; {nearest(name, CELLS)}")
    return [c for c in CELLS.values() if not names or c.name in names]
