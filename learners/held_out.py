"""Episodes that are never trained on: by them a critic is judged.

Whole episodes, because neighbouring steps of one are nearly the same data: a critic that is judged by steps
between those it was trained on is judged by its memory (AVTD, Li et al. 2023, arXiv 2304.10466).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LONGEST: Final = 1_000
"""Of a longer episode its first so many steps are held out [steps]: a robot that does not fail any more must
not lose minutes of its practice at once."""
SHARE_OF_CAPACITY: Final = 0.1
"""Room for held-out rows, as a share of the room for practice."""


def held_out(episode: int, share: float) -> bool:
    """Whether a session's episode is held out: every 20th for a ``share`` of 5 %, first the 10th. A rule and
    not a chance: a session has few episodes, and dice may choose half of its first minutes, or nothing all
    day. Episode 0 is never held out: it may be the only demonstration."""
    return math.floor(episode * share + 0.5) > max(0, math.floor((episode - 1) * share + 0.5))


def held_out_rows(rows: NDArray[np.void], share: float) -> NDArray[np.bool_]:
    """Which step rows of a session are held out, (n,)."""
    episodes, index = np.unique(rows["episode"], return_inverse=True)
    chosen = np.array([held_out(int(episode), share) for episode in episodes], bool)
    found: NDArray[Any] = chosen[index] & (rows["step"] < LONGEST)
    return found
