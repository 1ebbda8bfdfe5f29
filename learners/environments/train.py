"""A run in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from learners.environments.catalogue import find
from learners.environments.environment import Make
from learners.environments.settings import TrainingSettings
from learners.environments.training import Training
from learners.presets import preset


def train(
    environment: str | Make,
    directory: Path | str,
    algorithm: str = "rlpd",
    *,
    steps: int = 100_000,
    offline_steps: int = 0,
    seed: int = 0,
    prior: Path | str | None = None,
    learner: Mapping[str, Any] | None = None,
    evaluate_every: int = 5_000,
    evaluation_episodes: int = 10,
    normalise: bool = True,
    watch: Callable[[Training], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Training:
    """Learn to act in an environment; returns the finished run.

    ``environment``: a name (``Hopper-v5``, ``dm_control/cheetah-run``) or a function that makes a
    ``gymnasium.Env``. ``directory``: the run's folder; a run that is there is continued. ``prior``: a folder
    of journals; ``offline_steps`` updates are made on it before the first of ``steps``, which may be 0.
    ``learner``: settings to replace in those of the algorithm. ``normalise``: see ``TrainingSettings``.
    ``watch`` is called after every step.
    """
    make = find(environment) if isinstance(environment, str) else environment
    settings = TrainingSettings(
        environment=environment if isinstance(environment, str) else _name(make),
        algorithm=algorithm,
        learner=preset(algorithm, learner),
        steps=steps,
        offline_steps=offline_steps,
        seed=seed,
        evaluate_every=evaluate_every,
        evaluation_episodes=evaluation_episodes,
        normalise=normalise,
    )
    folder = None if prior is None else Path(prior)
    training = Training(make, Path(directory), settings, prior=folder, watch=watch, tell=tell)
    try:
        training.run()
    finally:
        training.close()
    return training


def _name(make: Make) -> str:
    """What an environment is registered as, or its class."""
    made: Any = make()
    made.close()
    return getattr(getattr(made, "spec", None), "id", None) or type(made).__name__
