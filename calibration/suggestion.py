"""Which manoeuvre would tell most about what is least certain: the information matrix of each, on the twin.

Of a candidate, the derivatives of everything that would be measured are computed as identification computes
them, at the values that hold now. With J those in standard deviations of the residuals, the covariance
afterwards is (J'J + P^-1)^-1, P the present one: nothing has to be driven to know it (Ljung, "System
Identification", 2nd ed., 13.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.chunks import Chunks, chunks_in
from calibration.identification import Identification
from calibration.manoeuvre import Leg
from calibration.rehearsal import rehearse
from calibration.twin_parameters import OFFSETS, WIDE, TwinParameter, twin_parameters
from calibration.twin_work import HERE, TwinWork
from robot.spec import RobotSpec
from sim.estimate_errors import load_errors
from sim.plant import Array

NOISE = np.array([0.003, 0.014, 0.017, 0.3, 0.04]) * np.sqrt([10.0, 15.0, 35.0, 1.0, 1.0])
"""By channel, standard deviation times the root of its autocorrelation time, as identification finds them on
the twin."""


def _weave(speeds: Sequence[float], steering: float, seconds: float, count: int) -> tuple[Leg, ...]:
    return tuple(
        Leg("weave", seconds, speeds[k % len(speeds)], steering * (1.0 if k % 2 else -1.0))
        for k in range(count)
    )


CANDIDATES: Mapping[str, tuple[Leg, ...]] = {
    "slow circles": (Leg("left", 4.5, 0.9, 0.22), Leg("right", 4.5, 0.9, -0.22)),
    "fast circles": (Leg("left", 4.5, 2.3, 0.26), Leg("right", 4.5, 2.3, -0.26)),
    "quick weave": _weave((1.5,), 0.25, 0.6, 15),
    "starts and stops": _weave((2.4, 0.8), 0.0, 1.1, 8),
    "weave while braking and accelerating": _weave((2.4, 0.9), 0.2, 0.9, 10),
}
"""Nine seconds each, within REDUCED limits."""


@dataclass(frozen=True)
class Suggestion:
    """What ``manoeuvre`` would leave of each parameter's standard deviation [1], by name."""

    manoeuvre: str
    seconds: float
    left: Mapping[str, float]


def present(spec: RobotSpec, parameters: Sequence[TwinParameter]) -> Array:
    """Standard deviations now, in deviates, shape (n,): as an entry says, else the prior's 1."""
    found = []
    for p in parameters:
        entry = spec.calibration.get(p.name)
        measured = entry is not None and entry.expires and entry.sigma > 0.0
        found.append(entry.sigma / abs(p.slope(0.0)) if measured and entry is not None else 1.0)
    return np.array(found)


def least_certain(spec: RobotSpec, parameters: Sequence[TwinParameter]) -> str:
    """The parameter that is widest, measured by how far robots of the kind differ."""
    usual = np.array([OFFSETS[p.name][0] if p.offset else WIDE[p.name][0] for p in parameters])
    widths = present(spec, parameters) * np.array([p.sigma for p in parameters]) / usual
    return parameters[int(np.argmax(widths))].name


def suggest(
    spec: RobotSpec,
    candidates: Mapping[str, tuple[Leg, ...]] = CANDIDATES,
    parameters: tuple[TwinParameter, ...] | None = None,
    work: TwinWork = HERE,
) -> list[Suggestion]:
    """Every candidate, the one that leaves least of the least certain parameter first."""
    ours = parameters or twin_parameters(spec)
    now, errors = present(spec, ours), load_errors(spec)
    found = []
    for name, legs in candidates.items():
        chunks: Chunks = chunks_in(spec, errors, rehearse(spec, legs))
        slopes, _ = Identification(spec, chunks, ours, work).derivatives(np.zeros(len(ours)))
        jacobian = np.nan_to_num(slopes / NOISE).reshape(len(ours), -1).T
        after = np.linalg.inv(jacobian.T @ jacobian + np.diag(1.0 / now**2))
        left = np.sqrt(np.diag(after)) / now
        seconds = sum(leg.seconds for leg in legs)
        found.append(Suggestion(name, seconds, dict(zip([p.name for p in ours], left.tolist(), strict=True))))
    target = least_certain(spec, ours)
    return sorted(found, key=lambda one: one.left[target])
