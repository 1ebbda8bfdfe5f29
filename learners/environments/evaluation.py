"""How good the deterministic policy is, in an environment of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.environments.episodes import Episodes
from robot.messages import Actor

Act = Callable[[NDArray[np.float32], tuple[NDArray[np.uint8], ...]], NDArray[np.float32]]
"""Observation in physical units (O,) and each camera's stack to raw action in [-1, 1] (A,)."""


class Evaluation(NamedTuple):
    """One entry per episode."""

    returns: NDArray[np.float64]
    """Undiscounted."""
    lengths: NDArray[np.int64]
    """[steps]"""


def evaluate(episodes: Episodes, act: Act, seeds: Sequence[int]) -> Evaluation:
    """One episode for each of ``seeds``."""
    returns, lengths = [], []
    for k, seed in enumerate(seeds):
        episodes.begin(k, seed)
        while not episodes.over:
            episodes.step(act(episodes.observation, episodes.images), Actor.POLICY)
        returns.append(episodes.total_reward)
        lengths.append(episodes.step_number)
    return Evaluation(np.array(returns), np.array(lengths))
