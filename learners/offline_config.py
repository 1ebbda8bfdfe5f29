"""Settings of the algorithms that learn from what is there: BC, IQL and IDQL."""

from __future__ import annotations

from typing import Any

from learners.avtd_config import AvtdConfig
from learners.config import CommonConfig, DrqConfig, LearnerConfig


class BcConfig(CommonConfig, tag="bc"):
    """Behaviour cloning (``bc.Bc``): prior data only, unless ``prior_fraction`` says otherwise."""

    prior_fraction: float = 1.0
    actor_decay_steps: int = 0
    """Updates of the actor in which the learning rate falls to zero along a cosine; 0 keeps it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(self.actor_decay_steps >= 0, "actor_decay_steps must not be negative")


class ImplicitConfig(CommonConfig):
    """The critics of IQL and IDQL (``implicit_q.ImplicitQ``)."""

    critics: int = 2
    """Q networks; every target is the least of all of them."""
    polyak: float = 0.005
    tau: float = 0.7
    """The expectile that V is of Q over the data's actions: 0.5 is their mean, towards 1 the best of them.
    The paper: 0.7 for locomotion and demonstrations, 0.9 for mazes."""
    reward_scale: float = 1.0
    """Rewards are learned as ``reward_scale * reward + reward_shift``, prior data and practice alike. The
    paper's scale for locomotion is 1000 / (highest - lowest return of the data's episodes)."""
    reward_shift: float = 0.0
    """The paper's for mazes is -1."""
    actor_decay_steps: int = 1_000_000
    """Updates of the actor in which its learning rate falls to zero along a cosine; 0 keeps it. An actor
    whose rate is zero is not updated: with the length of the offline phase here, only the critics go on
    learning online."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(self.critics >= 1, "critics must be at least 1")
        self.need(0 < self.tau < 1, "tau, an expectile, must lie between 0 and 1")
        self.need(0 < self.polyak <= 1, "polyak must lie in (0, 1]")
        self.need(
            self.n_step == 1 or self.reward_shift == 0,
            "reward_shift is per step: with it n_step must be 1",
        )
        self.need(self.actor_decay_steps >= 0, "actor_decay_steps must not be negative")

    def learned_reward(self, reward: Any) -> Any:
        return self.reward_scale * reward + self.reward_shift


class IqlConfig(ImplicitConfig, tag="iql"):
    """Implicit Q-learning (``iql.Iql``)."""

    beta: float = 3.0
    """Inverse temperature of the advantage's weights exp(beta * A), in 1 / reward: 0 is behaviour cloning.
    The paper: 3 for locomotion, 10 for mazes, 0.5 for demonstrations."""
    largest_weight: float = 100.0
    """Those weights are clipped here."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(self.beta >= 0 and self.largest_weight > 0, "beta >= 0 and largest_weight > 0 are needed")


class IdqlConfig(ImplicitConfig, tag="idql"):
    """Implicit diffusion Q-learning (``idql.Idql``). ``hidden`` is the critics'."""

    actor_average: float = 0.001
    actor_decay_steps: int = 3_000_000
    weight_decay: float = 1e-4
    """AdamW's, of the actor."""
    denoising_steps: int = 5
    candidates: int = 16
    """Actions drawn, of which the one with the highest Q is taken. The time that a decision takes a robot's
    computer grows with them and with ``denoising_steps``: choose no more than its period allows."""
    actor_width: int = 256
    actor_blocks: int = 3
    actor_dropout: float = 0.1
    time_features: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = (self.denoising_steps, self.candidates, self.actor_width, self.actor_blocks)
        self.need(min(counts) >= 1, "the actor's counts must be at least 1")
        self.need(
            self.time_features >= 2 and self.time_features % 2 == 0, "time_features must be even, at least 2"
        )
        self.need(0 <= self.actor_dropout < 1, "actor_dropout must lie in [0, 1)")
        self.need(self.weight_decay >= 0, "weight_decay must not be negative")


AlgorithmConfig = LearnerConfig | AvtdConfig | DrqConfig | BcConfig | IqlConfig | IdqlConfig
"""Anyone's settings."""
