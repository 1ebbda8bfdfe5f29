"""What a log says of every step, by name: what a reward may be made of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from robot.contract import TaskContract
from robot.errors import SandlotError, nearest
from robot.log_schema import step_names

Column = NDArray[np.float64]


class Terms:
    """Columns (n,) of n step rows: ``terms["reward_progress"]``, ``terms["observation_velocity_body_x"]``,
    ``terms["action_speed"]``, ``terms["cost_NAME"]``, ``terms["terminated"]``. ``terms.after(name)`` is the
    same one row later, within the episode."""

    def __init__(self, rows: NDArray[np.void], contract: TaskContract) -> None:
        self._rows = rows
        self._places = {
            name: (field, k) for field, names in step_names(contract).items() for k, name in enumerate(names)
        }
        self._single = [n for n in rows.dtype.names or () if not rows.dtype[n].shape]

    def __iter__(self) -> Iterator[str]:
        yield from self._places
        yield from self._single

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, name: str) -> Column:
        if name in self._places:
            field, k = self._places[name]
            return np.asarray(self._rows[field][:, k], np.float64)
        if name in self._single:
            return np.asarray(self._rows[name], np.float64)
        raise SandlotError(f"a step has no {name!r}; {nearest(name, list(self))}")

    def after(self, name: str) -> Column:
        """The column one row later; at an episode's last row, that row's own."""
        column = self[name]
        here = np.arange(len(column))
        there = np.minimum(here + 1, max(len(column) - 1, 0))
        same = self._rows["episode"][there] == self._rows["episode"]
        return np.asarray(column[np.where(same, there, here)], np.float64)
