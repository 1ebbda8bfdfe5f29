"""The contract of an environment: what a robot's file and task say of a robot."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from learners.environments.environment import Environment
from robot.contract import PREVIOUS_ACTION, ObservationTerm, TaskContract
from robot.errors import SandlotError
from robot.spec import ActionTerm

LEAST_SCALE: Final = 0.1
"""Normalising magnifies no element more than tenfold: one that hardly moves at first may yet begin to."""


def environment_contract(
    environment: Environment,
    name: str,
    observations: NDArray[Any] | None = None,
    costs: tuple[str, ...] = (),
) -> TaskContract:
    """One term per element of the observation, then the previous action (zero at first); actions [-1, 1] are
    scaled to their Box, without slew limit or filter.

    ``observations`` (N, n), such as the first random steps: each element's mean and standard deviation become
    its fixed offset and scale. Without any, networks see observations as they are. ``costs``: keys of the
    steps' ``info`` that are costs.
    Raises SandlotError if a space is not a Box of that kind.
    """
    seen, acted = environment.observation_space, environment.action_space
    _need_vector(seen, name, "observations")
    _need_vector(acted, name, "actions")
    low, high = np.asarray(acted.low, np.float64), np.asarray(acted.high, np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise SandlotError(
            f"{name}: expected actions with finite bounds, low < high; got {acted}. "
            "Bound them with a wrapper, such as gymnasium.wrappers.RescaleAction"
        )
    offset, scale = normalisation(observations, seen.shape[0])
    elements = tuple(str(k) for k in range(acted.shape[0]))
    return TaskContract(
        robot={"environment": name},
        task=name,
        policy_hz=float(environment.metadata.get("render_fps") or 1.0),
        observation=(
            *(
                ObservationTerm(name=f"observation_{k}", unit="1", scale=float(s), offset=float(o))
                for k, (o, s) in enumerate(zip(offset, scale, strict=True))
            ),
            ObservationTerm(name=PREVIOUS_ACTION, unit="1", scale=1.0, elements=elements),
        ),
        actions=tuple(
            ActionTerm(name=f"action_{k}", actuator=f"action_{k}", lower=float(a), upper=float(b))
            for k, (a, b) in enumerate(zip(low, high, strict=True))
        ),
        reward_terms=("reward",),
        cost_terms=costs,
    )


def normalisation(
    observations: NDArray[Any] | None, size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offset and scale, each (size,), from observations (N, size)."""
    if observations is None or not len(observations):
        return np.zeros(size), np.ones(size)
    observations = observations.astype(np.float64)
    return observations.mean(0), np.maximum(observations.std(0), LEAST_SCALE)


def _need_vector(space: Any, name: str, what: str) -> None:
    shape, dtype = getattr(space, "shape", None), getattr(space, "dtype", None)
    bounded = hasattr(space, "low") and hasattr(space, "high")
    if not (bounded and shape and len(shape) == 1 and np.issubdtype(dtype, np.floating)):
        raise SandlotError(
            f"{name}: expected {what} in a Box of floats with one dimension; got {space}. "
            "gymnasium.wrappers.FlattenObservation makes one of several Boxes or of more dimensions; "
            "discrete actions and images are not learned from here"
        )
