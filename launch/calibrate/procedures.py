"""The calibration procedures by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from calibration.procedure import Procedure
from calibration.speed import SpeedProcedure
from robot.errors import SandlotError, nearest

PROCEDURES: Final[Mapping[str, Procedure]] = {p.name: p for p in (SpeedProcedure(),)}
"""In the order in which they build on each other."""


def named(name: str) -> Procedure:
    """Raises SandlotError with the nearest names."""
    try:
        return PROCEDURES[name]
    except KeyError:
        raise SandlotError(f"no procedure {name!r}; {nearest(name, PROCEDURES)}") from None
