"""Datasets that others recorded: the contract that they would have had here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robot.contract import PREVIOUS_ACTION, ObservationTerm, TaskContract
from robot.errors import SandlotError
from robot.spec import ActionTerm


def contract_like(
    name: str,
    observations: int,
    actions: int,
    hz: float = 1.0,
    bounds: Sequence[tuple[float, float]] | None = None,
) -> TaskContract:
    """A contract of these sizes, with the previous action in the observation, as every one here has it.
    ``bounds``: each action's range (default: [-1, 1])."""
    limits = bounds or [(-1.0, 1.0)] * actions
    elements = tuple(str(k) for k in range(actions))
    return TaskContract(
        robot={"dataset": name},
        task=name,
        policy_hz=hz,
        observation=(
            *(ObservationTerm(name=f"observation_{k}", unit="1", scale=1.0) for k in range(observations)),
            ObservationTerm(name=PREVIOUS_ACTION, unit="1", scale=1.0, elements=elements),
        ),
        actions=tuple(
            ActionTerm(name=f"action_{k}", actuator=f"action_{k}", lower=low, upper=high)
            for k, (low, high) in enumerate(limits)
        ),
        reward_terms=("reward",),
    )


def joined(rows: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """Rows one after another. Raises SandlotError if there are none."""
    if not rows:
        raise SandlotError("the dataset has no episode")
    return np.concatenate(rows, dtype=rows[0].dtype)
