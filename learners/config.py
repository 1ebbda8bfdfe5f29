"""The learner's settings: what every algorithm has, and RLPD's numbers."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from learners.lagrangian import Constraint
from learners.range_growth import WHOLE, RangeGrowth
from robot.errors import SpecError
from robot.layout import Struct

OF_THE_MACHINE: Final = ("threads", "device")
"""Settings that say what computes, not what is learned: a run may go on with others."""


class CommonConfig(Struct, tag_field="family"):
    """What every algorithm has. Defaults are for a 20 Hz robot and a learner with about one CPU core.

    In plain data (settings files, checkpoints) ``family`` says whose settings they are.
    """

    hidden: tuple[int, ...] = (256, 256)
    batch: int = 256
    prior_fraction: float = 0.5
    """Share of every minibatch drawn from prior data (demonstrations), while there are both kinds."""
    symmetric: bool = True
    """Every minibatch has that share, RLPD's symmetric sampling; off: all transitions of both kinds are
    equally likely, and there is no share."""
    discount: float = 0.97
    """Per policy step: 0.97 at 20 Hz looks 1.7 s ahead."""
    n_step: int = 1
    """Steps whose rewards a target adds up before it bootstraps; fewer where an episode or somebody's acting
    ends. More than one learns faster from sparse rewards, and is biased to how it was acted then."""
    updates_per_step: int = 8
    actor_average: float = 0.01
    """Share of the newest actor in the published one per update step; 0.01 averages over 5 s at 20 Hz, 1 is
    the newest."""
    learning_rate: float = 3e-4
    warmup: int = 300
    """Environment steps to collect, demonstrations included, before the first update."""
    backlog: int = 6000
    """Environment steps the learner may fall behind before it gives up the oldest ones [steps]."""
    capacity: int = 200_000
    """Rows of practice kept; 200,000 is 2.8 h at 20 Hz."""
    prior_capacity: int = 200_000
    held_out: float = 0.05
    """Share of the episodes that is never trained on and tells how well the critics, or behaviour cloning's
    actor, know what they have not seen (``held_out.py``); 0 trains on everything."""
    threads: int = 1
    """Processor cores to use: 1 beside a robot. What is learned does not depend on it."""
    device: Literal["cpu", "cuda"] = "cpu"
    """What makes the updates: the processor, or a GPU (rlpd and its relatives, ``device_sac.py``)."""
    matmul: Literal["float32", "bfloat16"] = "bfloat16"
    """Precision of the hidden layers' matrix products, inputs and results; sums, weights, outputs and
    everything else stay float32. Processors without bfloat16 instructions use float32."""

    def __post_init__(self) -> None:
        self.need(
            bool(self.hidden) and min(self.hidden) > 0,
            "hidden needs at least one layer, each at least 1 wide",
        )
        self.need(
            min(self.batch, self.updates_per_step, self.threads, self.backlog, self.n_step) >= 1,
            "counts must be at least 1",
        )
        self.need(min(self.capacity, self.prior_capacity) >= 2, "capacities must be at least 2")
        self.need(self.warmup >= 0, "warmup must not be negative")
        self.need(0 <= self.prior_fraction <= 1, "prior_fraction must lie in [0, 1]")
        self.need(0 <= self.discount <= 1, "discount must lie in [0, 1]")
        self.need(0 <= self.held_out < 1, "held_out must lie in [0, 1)")
        self.need(0 < self.actor_average <= 1, "actor_average must lie in (0, 1]")
        self.need(self.learning_rate >= 0, "learning rates must not be negative")

    def need(self, good: bool, what: str) -> None:
        """Raise SpecError with ``what`` is needed unless all is ``good``."""
        if not good:
            raise SpecError(f"learner: {what}; got {msgspec.to_builtins(self)}")

    def of_what_is_learned(self) -> dict[str, Any]:
        """All settings but the machine's, as plain data."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in plain.items() if name not in OF_THE_MACHINE}

    def learned_reward(self, reward: Any) -> Any:
        """What a reward, a number or any array of them, is learned as."""
        return reward

    @property
    def cost_names(self) -> tuple[str, ...]:
        """Cost terms that are needed."""
        return ()

    @property
    def prior_batch(self) -> int:
        """Transitions of a minibatch that come from prior data."""
        return round(self.batch * self.prior_fraction)

    @property
    def prior_only(self) -> bool:
        """Nothing that a policy did is learned from, nor judged by."""
        return self.prior_batch == self.batch


class LearnerConfig(CommonConfig, tag="sac"):
    """RLPD on a robot, and its relatives (``sac.Sac``).

    ``critics`` is E and ``subset`` is Z in the paper (Ball et al. 2023, arXiv 2302.02948);
    ``updates_per_step`` is the update-to-data ratio G: critic updates per environment step, beside one of the
    actor and one of the temperature.
    """

    critics: int = 2
    subset: int = 2
    layer_norm: bool = True
    """LayerNorm in the critics' hidden layers, RLPD's and DroQ's; SAC and REDQ have none."""
    actor_value: Literal["mean", "min"] = "mean"
    """What the actor ascends: the mean of all critics, or the least of them, as SAC."""
    dropout: float = 0.0
    """Share of the critics' hidden units that is dropped, everywhere they are evaluated; DroQ's is 0.01."""
    weight_decay: float = 0.0
    """Of the critics' weights, decoupled (AdamW, Loshchilov & Hutter 2019, arXiv 1711.05101)."""
    spectral_norm: bool = False
    """The critics' last hidden layer is spectrally normalised: stretches nothing (Miyato et al. 2018, arXiv
    1802.05957; Gogianu et al. 2021, arXiv 2105.05246)."""
    polyak: float = 0.005
    temperature_learning_rate: float = 3e-4
    initial_temperature: float = 0.05
    """Half of FastRLAP's, a twentieth of RLPD's: a robot's first minutes are precious, its rewards small."""
    entropy_per_action: float = -0.5
    """Target entropy per action element at first [nat], of the raw action in (-1, 1); RLPD's."""
    final_entropy_per_action: float = -1.5
    """And at last: a robot that is fast at its tyres' limit has no room for the noise that found the way. As
    FastRLAP, whose target falls with every update."""
    entropy_decay_steps: int = 12_000
    """Update steps in which the target falls from the one to the other, linearly; 10 min at 20 Hz."""
    entropy_backup: bool = False
    """Off is the paper's recommended start for a new task."""
    constraints: tuple[Constraint, ...] = ()
    """Costs to be kept to a limit while the reward is pursued (``lagrangian.py``)."""
    growth: RangeGrowth = WHOLE
    """Which part of the action range the policy has at first, and how it grows (``range_growth.py``)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(1 <= self.subset <= self.critics, "1 <= subset <= critics is needed")
        self.need(0 <= self.dropout < 1, "dropout must lie in [0, 1)")
        self.need(self.weight_decay >= 0, "weight_decay must not be negative")
        self.need(self.entropy_decay_steps >= 1, "entropy_decay_steps must be at least 1")
        self.need(0 < self.polyak <= 1, "polyak must lie in (0, 1]")
        self.need(
            self.temperature_learning_rate >= 0 and self.initial_temperature > 0,
            "learning rates must not be negative and the initial temperature must be positive",
        )

    @property
    def cost_names(self) -> tuple[str, ...]:
        """Cost terms that are needed."""
        return tuple(dict.fromkeys(constraint.cost for constraint in self.constraints))


class DrqConfig(LearnerConfig, tag="drq"):
    """From pictures (``drq.Drq``). The encoder's defaults are DrQ's and DrQ-v2's (arXiv 2004.13649,
    2107.09645), for pictures of 84 x 84."""

    filters: tuple[int, ...] = (32, 32, 32, 32)
    """Channels of each convolution."""
    strides: tuple[int, ...] = (2, 1, 1, 1)
    features: int = 50
    """What is left of all pictures."""
    shift: int = 4
    """Pixels by which training moves pictures at most."""
    encoder: str = ""
    """A checkpoint of an earlier run, or a folder of them, whose encoder to begin with."""
    frozen_encoder: bool = False
    """Leave the encoder as it is: what it was made with, or what ``encoder`` has."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(len(self.filters) == len(self.strides) >= 1, "a stride is needed for each of the filters")
        self.need(not self.constraints, "constraints are not kept from pictures")
        self.need(not self.growth.restricts, "from pictures the action range does not grow")
        self.need(
            min(*self.filters, *self.strides, self.features) >= 1 and self.shift >= 0,
            "filters, strides and features must be at least 1, the shift 0",
        )
