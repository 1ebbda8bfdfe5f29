"""What a policy must show before it may drive a robot: every number that a gate compares with, and why."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from robot.errors import SpecError, nearest
from robot.spec import RobotSpec


@dataclass(frozen=True)
class Targets:
    """The usual numbers; a robot's file may hold others, with its reasons. Rates [1] are bounds at 95 %
    one-sided confidence, not what was counted."""

    nominal_success: float = 0.95
    """Success rate of the calibrated car. 59 episodes without a failure prove it, 400 with up to 12."""
    randomised_success: float = 0.9
    """The same over everything the calibration is unsure of: its 3-sigma cars are not the one that drives,
    so twice the failures are borne."""
    tail_share: float = 0.7
    """CVaR of the worst tenth of randomised returns, of the nominal mean return: who fails half-way round
    has half of it or less, so most of that tenth must arrive."""
    latency_share: float = 0.1
    """p99 of one inference, of the policy's period: estimate, safety and links need the rest."""
    batch_difference: float = 1e-5
    """Largest difference of an action [-1, 1] in a batch and alone: float32 rounding of a few layers. The
    episodes here run in batches, the robot alone."""
    parity_difference: float = 1e-5
    """The same of the exported actor and the one in the training framework."""
    extra_delay: float = 0.02
    """What the policy must bear beyond the robot's own latency [s]: two guardian ticks, the p99.9 of a loaded
    onboard computer (sim.randomisation draws delays up to here)."""
    delayed_success: float = 0.9
    """Share of episodes that succeed at every delay up to ``extra_delay``; counted, of a few dozen."""
    cell_success: float = 0.5
    """Share of the few episodes with one parameter at its 5th or 95th percentile: less is no bad luck but a
    hole in the range that the calibration itself calls likely."""
    worse_p: float = 0.05
    """Below this p-value a candidate is held to be worse than what is deployed."""
    twin_ratio: float = 2.0
    """How many times as far as the noise floor twin and log may part: the floor knows no error that depends
    on the manoeuvre (docs/VALIDATION.md has what the twin's own logs and its surrogates' reach)."""
    policies: float = 5
    """How many must have driven on both before twin and robot are compared; fewer tell r from nothing."""
    correlation: float = 0.8
    """Pearson's r over them; less explains under two thirds of what the robot does."""
    rank_violation: float = 0.1
    """Mean maximum rank violation [1, of the share of laps]: what believing the twin's order may cost."""


LONGEST_DELAY_S = 0.08
"""The longest extra delay that is tried [s]: four times what must be borne as a rule."""
POSSIBLE: dict[str, tuple[float, float]] = {
    "nominal_success": (0.0, 0.999),
    "randomised_success": (0.0, 0.999),
    "latency_share": (0.001, 1.0),
    "extra_delay": (0.0, LONGEST_DELAY_S),
    "twin_ratio": (1.0, math.inf),
    "policies": (3.0, math.inf),
}
"""What a target can be, at least and at most; the others are shares, probabilities and differences, from 0
to 1. A bound on a rate never reaches 1; no twin parts less than its floor; two policies always correlate."""


def targets_of(spec: RobotSpec) -> Targets:
    """The usual numbers with the robot's own in their place. Raises SpecError for a name that is no target,
    a value that can be none, and a reason that is none."""
    known = [f.name for f in dataclasses.fields(Targets)]
    for name, target in spec.targets.items():
        where = f"{spec.name}: targets.{name}"
        if name not in known:
            raise SpecError(f"{where} is no target; {nearest(name, known)}")
        least, most = POSSIBLE.get(name, (0.0, 1.0))
        if not (least <= target.value <= most and math.isfinite(target.value)):
            raise SpecError(f"{where} = {target.value}: a finite value in [{least:g}, {most:g}] was expected")
        if not target.reason.strip():
            raise SpecError(f"{where}: say why this robot's is another, in reason")
    return dataclasses.replace(Targets(), **{name: target.value for name, target in spec.targets.items()})
