"""What is asked of an environment: Gymnasium's API, of which nothing is imported here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, SupportsFloat

import numpy as np
from numpy.typing import NDArray


class Environment(Protocol):
    """``gymnasium.Env`` is one. Spaces are those that ``Sight`` reads, Gymnasium's or ours."""

    observation_space: Any
    action_space: Any
    metadata: dict[str, Any]

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; the first observation."""

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Next observation, reward, terminated, truncated, and what else is to say."""

    def close(self) -> None: ...


Make = Callable[[], Environment]
"""Makes a new instance: one to practise in, one to be evaluated in."""


@dataclass(frozen=True, repr=False)
class Box:
    """Gymnasium's, for environments that do without it: bounds of a vector, shape (n,), or a picture."""

    low: NDArray[Any]
    high: NDArray[Any]
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.low.shape

    def __repr__(self) -> str:
        return f"Box({self.low.min()}, {self.high.max()}, {self.shape}, {self.dtype})"
