"""The algorithms by name, each a family's settings; those of SAC's are a few numbers from each other.

Values are those of the papers and their released code, for locomotion in simulation; a robot's are
the families' own defaults. Two things are so whatever a paper did: SAC, REDQ, DroQ, RLPD and AVTD update the
actor once per environment step, after the critics (DrQ, BC, IQL and IDQL do so with every minibatch); and the
critics of IQL and IDQL have LayerNorm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from learners.avtd_config import OF_EACH, AvtdConfig
from learners.config import DrqConfig, LearnerConfig
from learners.offline_config import AlgorithmConfig, BcConfig, IdqlConfig, IqlConfig
from robot.errors import SpecError, nearest
from robot.plain_data import decode_struct

SAC: Final = LearnerConfig(
    critics=2,
    subset=2,
    layer_norm=False,
    actor_value="min",
    updates_per_step=1,
    discount=0.99,
    polyak=0.005,
    actor_average=1.0,
    learning_rate=3e-4,
    temperature_learning_rate=3e-4,
    initial_temperature=1.0,
    entropy_per_action=-1.0,
    final_entropy_per_action=-1.0,
    entropy_backup=True,
    warmup=5_000,
    capacity=1_000_000,
    prior_capacity=1_000_000,
)
"""Soft actor-critic with an adapted temperature (Haarnoja et al. 2018, arXiv 1812.05905): its table of
hyperparameters, one update per step, target entropy of -1 nat per action, critics without LayerNorm, and an
actor that ascends the lesser of two. 5,000 random steps, as REDQ."""

REDQ: Final = msgspec.structs.replace(SAC, critics=10, subset=2, updates_per_step=20, actor_value="mean")
"""Randomised ensembled double Q-learning (Chen et al. 2021, arXiv 2101.05982): SAC with 10 critics, targets
from a random 2 of them, an actor that ascends the mean of all, and 20 updates per step. Its released code has
a target entropy for each task in place of SAC's: -1 in all for Hopper (here -3), -3 for HalfCheetah (here
-6)."""

DROQ: Final = msgspec.structs.replace(
    SAC, layer_norm=True, actor_value="mean", dropout=0.01, updates_per_step=20
)
"""Dropout Q-functions (Hiraoka et al. 2022, arXiv 2110.02034): SAC with dropout of 0.01 beside LayerNorm, an
actor that ascends the mean of the critics, and 20 updates per step."""

RLPD: Final = msgspec.structs.replace(
    REDQ, layer_norm=True, entropy_per_action=-0.5, final_entropy_per_action=-0.5
)
"""Reinforcement learning with prior data (Ball et al. 2023, arXiv 2302.02948): REDQ's ensemble with LayerNorm
and half of every minibatch from prior data; target entropy of -1/2 nat per action. For sparse rewards its
authors switch ``entropy_backup`` off and take three hidden layers."""

AVTD: Final = AvtdConfig(
    **{name: getattr(DROQ, name) for name in LearnerConfig.__struct_fields__ if name not in OF_EACH}
)
"""Automatic model selection using validation TD error (Li et al. 2023, arXiv 2304.10466): SAC with 20 updates
per step, four times beside each other. It takes three to four times DroQ's time."""

DRQ: Final = DrqConfig(
    critics=2,
    subset=2,
    layer_norm=False,
    actor_value="min",
    hidden=(1024, 1024),
    batch=256,
    updates_per_step=1,
    n_step=3,
    discount=0.99,
    polyak=0.01,
    actor_average=1.0,
    learning_rate=1e-4,
    temperature_learning_rate=1e-4,
    initial_temperature=0.1,
    entropy_per_action=-1.0,
    final_entropy_per_action=-1.0,
    entropy_backup=True,
    warmup=4_000,
    capacity=100_000,
    prior_capacity=100_000,
)
"""Data-regularised Q from pictures (Kostrikov et al. 2020, arXiv 2004.13649) with the sizes, rates and n-step
returns of DrQ-v2 (Yarats et al. 2021, arXiv 2107.09645), and DrQ's soft actor-critic. Their agents repeat
each action twice and learn at every second of these; here an environment says how long a step is."""

BC: Final = BcConfig(
    updates_per_step=1, actor_average=1.0, warmup=1_000, capacity=1_000_000, prior_capacity=1_000_000
)
"""Behaviour cloning, of the prior data only."""

IQL: Final = IqlConfig(
    updates_per_step=1,
    actor_average=1.0,
    discount=0.99,
    tau=0.7,
    beta=3.0,
    warmup=1_000,
    capacity=1_000_000,
    prior_capacity=1_000_000,
)
"""Implicit Q-learning (Kostrikov et al. 2021, arXiv 2110.06169), its numbers for locomotion: one update per
step on minibatches of 256, the actor's rate falling for a million updates. Its reward scale is of the data,
and not set here: ``reward_scale``."""

IDQL: Final = IdqlConfig(
    batch=512,
    updates_per_step=1,
    actor_average=0.001,
    discount=0.99,
    tau=0.7,
    candidates=64,
    warmup=1_000,
    capacity=1_000_000,
    prior_capacity=1_000_000,
)
"""Implicit diffusion Q-learning (Hansen-Estruch et al. 2023, arXiv 2304.10573): IQL's critics, 5 denoising
steps, minibatches of 512. On a robot fewer candidates may be all that its computer has time for."""

ALGORITHMS: Final[Mapping[str, AlgorithmConfig]] = {
    "sac": SAC,
    "rlpd": RLPD,
    "droq": DROQ,
    "redq": REDQ,
    "avtd": AVTD,
    "drq": DRQ,
    "bc": BC,
    "iql": IQL,
    "idql": IDQL,
}


def preset(algorithm: str, overrides: Mapping[str, Any] | None = None) -> AlgorithmConfig:
    """An algorithm's settings, with single ones replaced. Raises SpecError that names the nearest ones."""
    if algorithm not in ALGORITHMS:
        raise SpecError(f"no algorithm {algorithm!r}; {nearest(algorithm, ALGORITHMS)}")
    found = ALGORITHMS[algorithm]
    plain = msgspec.to_builtins(found) | dict(overrides or {})
    return decode_struct(plain, type(found), f"settings of {algorithm}")
