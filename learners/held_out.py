"""Episodes that are never trained on: by them a critic is judged.

Whole episodes, because neighbouring steps of one are nearly the same data: a critic that is judged by steps
between those it was trained on is judged by its memory (AVTD, Li et al. 2023, arXiv 2304.10466).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

LONGEST: Final = 1_000
"""Of a longer episode its first so many steps are held out [steps]: a robot that does not fail any more must
not lose minutes of its practice at once."""
SHARE_OF_CAPACITY: Final = 0.1
"""Room for held-out rows, as a share of the room for practice."""


class HeldOut:
    """Chooses episodes by a rule and not by chance: of each session every 20th for a ``share`` of 5 %, first
    its 11th. A session has few episodes, and dice may choose half of its first minutes, or nothing all day.
    The first of a session is never held out: it may be the only demonstration. It remembers how many episodes
    each session has had, so rows must come in order."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._newest: dict[str, tuple[int, int]] = {}
        """Of each session the newest episode's number and how many there were before it."""

    def rows(self, session: str, rows: NDArray[np.void]) -> NDArray[np.bool_]:
        """Which of a session's next step rows are held out, (n,), n >= 1."""
        episodes = rows["episode"].astype(np.int64)
        last, before = self._newest.get(session, (-1, -1))
        order = before + np.cumsum(np.diff(episodes, prepend=last) != 0)
        self._newest[session] = int(episodes[-1]), int(order[-1])
        return chosen(order, self._share) & (rows["step"] < LONGEST)


def chosen(order: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Whether the episodes in these places (0 is a session's first) are held out."""
    due: NDArray[np.bool_] = np.floor(order * share + 0.5) > np.floor((order - 1) * share + 0.5)
    return due & (order > 0)
