"""Episodes that are never trained on: by them a critic is judged.

Whole ones, or long parts of them, because neighbouring steps of one are nearly the same data: a critic that
is judged by steps between those it was trained on is judged by its memory (AVTD, Li et al. 2023, arXiv
2304.10466).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

LONGEST: Final = 1_000
"""A longer episode counts as several of so many steps [steps]: a robot that does not fail any more must not
lose minutes of its practice at once, nor be judged by what it did when it still failed."""
SHARE_OF_CAPACITY: Final = 0.1
"""Room for held-out rows, as a share of the room for practice."""


class HeldOut:
    """Chooses episodes by a rule and not by chance: of each session every 20th for a ``share`` of 5 %, first
    its 11th. A session has few episodes, and dice may choose half of its first minutes, or nothing all day.
    The first of a session is never held out: it may be the only demonstration. It remembers how many episodes
    each session has had, so rows must come in order."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._newest: dict[str, tuple[int, int, int]] = {}
        """Of each session the newest episode's number, its part, and how many parts there were before."""

    def rows(self, session: str, rows: NDArray[np.void]) -> NDArray[np.bool_]:
        """Which of a session's next step rows are held out, (n,), n >= 1."""
        episodes = rows["episode"].astype(np.int64)
        # An episode's last row is no step: it belongs to the one before it.
        parts = (rows["step"].astype(np.int64) - rows["last"]) // LONGEST
        episode, part, before = self._newest.get(session, (-1, 0, -1))
        begins = (np.diff(episodes, prepend=episode) != 0) | (np.diff(parts, prepend=part) != 0)
        order = before + np.cumsum(begins)
        self._newest[session] = int(episodes[-1]), int(parts[-1]), int(order[-1])
        return chosen(order, self._share)


def chosen(order: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Whether the episodes in these places (0 is a session's first) are held out."""
    due: NDArray[np.bool_] = np.floor(order * share + 0.5) > np.floor((order - 1) * share + 0.5)
    return due & (order > 0)
