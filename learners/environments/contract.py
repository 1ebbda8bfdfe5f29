"""The contract of an environment: what a robot's file and task say of a robot."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from learners.environments.environment import Environment
from learners.environments.sight import Sight, is_vector
from robot.contract import PREVIOUS_ACTION, ObservationTerm, TaskContract
from robot.errors import SandlotError
from robot.spec import ActionTerm

LEAST_SCALE: Final = 0.1
"""Normalising magnifies no element more than tenfold: one that hardly moves at first may yet begin to."""


def environment_contract(
    environment: Environment,
    name: str,
    observations: NDArray[Any] | None = None,
    *,
    costs: tuple[str, ...] = (),
    stack: int = 1,
) -> TaskContract:
    """One term per element of the observation, then the previous action (zero at first); actions [-1, 1] are
    scaled to their Box, without slew limit or filter.

    ``observations`` (N, n), such as the first random steps: each element's mean and standard deviation become
    its fixed offset and scale. Without any, networks see observations as they are. ``costs``: keys of the
    steps' ``info`` that are costs. ``stack``: pictures that a network sees, if the environment shows any.
    Raises SandlotError if a space is none that ``Sight`` reads or actions are not a Box of floats with one
    dimension.
    """
    seen, acted = environment.observation_space, environment.action_space
    sight = Sight(seen, name, stack)
    if not is_vector(acted):
        raise SandlotError(
            f"{name}: expected actions in a Box of floats with one dimension; got {acted}. Discrete actions "
            "are not learned"
        )
    low, high = np.asarray(acted.low, np.float64), np.asarray(acted.high, np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise SandlotError(
            f"{name}: expected actions with finite bounds, low < high; got {acted}. "
            "Bound them with a wrapper, such as gymnasium.wrappers.RescaleAction"
        )
    offset, scale = normalisation(observations, sight.size)
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
        images=sight.images,
    )


def normalisation(
    observations: NDArray[Any] | None, size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offset and scale, each (size,), from observations (N, size)."""
    if observations is None or not len(observations):
        return np.zeros(size), np.ones(size)
    observations = observations.astype(np.float64)
    return observations.mean(0), np.maximum(observations.std(0), LEAST_SCALE)
