"""What is drawn for each episode: the car's true parameters, how it starts, and how late it sees and acts.

Every parameter has a name, a distribution and a reason. Those of the car come from the calibration's own
uncertainty where it has one. Episode k of a seed draws the same numbers whatever else is drawn, so that two
policies meet the same episodes (common random numbers), and one alone meets them again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from robot.errors import SpecError, nearest
from robot.spec import Correlation, RobotSpec
from sim.car import CarParameters, car_parameters
from sim.plant import Array

SIGMAS = 3.0
"""Normal draws are kept within so many standard deviations: beyond lies nothing that was measured."""
SINGULAR = 1e-9
"""Added to a correlation matrix's diagonal (and taken off the rest): of two values that follow from one
measurement the correlation is 1."""
LEAST = 0.1
"""Of its nominal value [1]: no positive quantity of a car is drawn below."""


@dataclass(frozen=True)
class Parameter:
    """A number drawn per episode. ``value``: the nominal one. Normal with standard deviation ``sigma``, kept
    within ``SIGMAS`` of it and above ``least``; or uniform in [``low``, ``high``]; or always ``value``."""

    name: str
    unit: str
    value: float
    reason: str
    sigma: float = 0.0
    low: float | None = None
    high: float | None = None
    least: float = -math.inf
    loadings: tuple[tuple[str, float], ...] = ()
    """Of a parameter that was measured together with others: how its deviation is made of theirs and of its
    own, each standard normal; empty: of its own alone."""

    def quantile(self, probability: float) -> float:
        """Below which the parameter lies with this probability; for one-at-a-time extremes."""
        if self.low is not None and self.high is not None:
            return self.low + probability * (self.high - self.low)
        if self.sigma == 0.0:
            return self.value
        return max(NormalDist(self.value, self.sigma).inv_cdf(probability), self.least)

    def value_of(self, normal: float, uniform: float) -> float:
        """The value that a standard normal or a uniform number in [0, 1) stands for."""
        if self.low is not None and self.high is not None:
            return self.low + uniform * (self.high - self.low)
        return max(self.value + self.sigma * min(max(normal, -SIGMAS), SIGMAS), self.least)


def command_delay(spec: RobotSpec) -> float:
    """How long a command is on the wire [s]: as measured, else as ``CONDITIONS`` has it."""
    name = "command_delay"
    if name in spec.calibration:
        return spec.scalar(name)
    return next(p.value for p in CONDITIONS if p.name == name)


CONDITIONS = (
    Parameter("start_distance", "m", 0.0, "along the course from its start line"),
    Parameter("start_offset", "m", 0.0, "to the left of the course's line"),
    Parameter("start_heading", "rad", 0.0, "away from the course's direction, left positive"),
    Parameter("start_speed", "m/s", 0.0, "rolling forward"),
    Parameter("estimate_error", "1", 1.0, "how many times as wrong as measured the estimated state is"),
    Parameter("observation_delay", "s", 0.0, "from the estimate to the policy, beyond the robot's own"),
    Parameter("observation_jitter", "s", 0.0, "added to that delay, uniform from 0 to this, each step anew"),
    Parameter("observation_dropped", "1", 0.0, "share of policy steps in which none arrives: no action"),
    Parameter("observation_repeated", "1", 0.0, "share of steps in which the one before arrives again"),
    Parameter("command_delay", "s", 0.003, "to the drive: bytes on a UART; `sandlot bench estimate`"),
    Parameter("command_jitter", "s", 0.0, "added to that delay, uniform from 0 to this, each step anew"),
    Parameter("command_dropped", "1", 0.0, "share of the pilot's commands that the guardian never gets"),
)
"""What an episode is made of beside the car itself, with what it is nominally."""

GENERIC = {
    "wall_friction": (0.1, 0.4, "painted board to carpet; engineering tables"),
    "bumper_frequency": (40.0, 90.0, "half and twice the estimated stiffness of a foam bumper"),
    "tyre_slip_rate": (35.0, 70.0, "a relaxation length of 4 to 9 cm at 3 m/s"),
    "rotor_inertia": (3.0e-6, 5.0e-6, "a quarter either way of the estimate"),
    "ambient_temperature": (10.0, 32.0, "indoors and out, where people practise"),
}
"""Ranges of car parameters that no calibration measures: low, high, why."""

GENERIC_CONDITIONS = {
    "start_offset": (-0.2, 0.2, "set down by a person, inside the corridor"),
    "start_heading": (-0.2, 0.2, "set down by eye: the estimator's start_heading_sigma"),
    "start_speed": (0.0, 2.0, "from rest to after a handover"),
    "estimate_error": (0.5, 2.0, "half and twice what was measured on the twin"),
    "observation_delay": (0.0, 0.02, "two guardian ticks late: a loaded computer"),
    "command_delay": (0.003, 0.013, "one tick more: a drive that answers late"),
}
"""The same for the conditions; the start is anywhere on the course."""


@dataclass(frozen=True)
class Draws:
    """Episodes: ``numbers`` (n,), ``values`` (n, n_parameters) of the parameters ``names``; ``seed``."""

    seed: int
    names: tuple[str, ...]
    numbers: NDArray[np.int64]
    values: Array

    def __len__(self) -> int:
        return len(self.numbers)

    def column(self, name: str) -> Array:
        """One parameter's values, shape (n,). Raises SpecError with the nearest name."""
        if name not in self.names:
            raise SpecError(f"no parameter {name!r} is drawn; {nearest(name, self.names)}")
        return self.values[:, self.names.index(name)]

    def take(self, rows: Sequence[int] | NDArray[np.integer]) -> Draws:
        """Only these rows."""
        rows = np.asarray(rows)
        return replace(self, numbers=self.numbers[rows], values=self.values[rows])

    def having(self, changed: Mapping[str, float | Array]) -> Draws:
        """With some parameters set: for sweeps of one at a time, on the same draws of all others."""
        values = self.values.copy()
        for name, value in changed.items():
            self.column(name)
            values[:, self.names.index(name)] = value
        return replace(self, values=values)

    def generators(self) -> list[np.random.Generator]:
        """Each episode's own stream for what happens during it."""
        return [np.random.default_rng([self.seed, number, *b"episode"]) for number in self.numbers.tolist()]

    def truths(self) -> list[dict[str, float]]:
        """The parameters that are the car's, per episode."""
        own = {f.name for f in fields(CarParameters)}
        columns = [(name, i) for i, name in enumerate(self.names) if name in own]
        return [{name: float(row[i]) for name, i in columns} for row in self.values]


def nominal(spec: RobotSpec) -> tuple[Parameter, ...]:
    """Every parameter at its nominal value: the calibrated car, set down on the start line by a person."""
    calibrated = car_parameters(spec)
    car = []
    for f in fields(CarParameters):
        entry = spec.calibration.get(f.name)
        unit, reason = (entry.unit, entry.source) if entry is not None else ("", "sim.car.CarParameters")
        car.append(Parameter(f.name, unit, getattr(calibrated, f.name), reason))
    measured = {p.name: spec.scalar(p.name) for p in CONDITIONS if p.name in spec.calibration}
    hand = {"start_offset": 0.05, "start_heading": 0.05}
    conditions = [
        replace(p, sigma=hand[p.name], reason="a hand's accuracy, sim.hand")
        if p.name in hand
        else replace(p, value=measured.get(p.name, p.value))
        for p in CONDITIONS
    ]
    return (*car, *conditions)


def randomised(spec: RobotSpec, course_length: float) -> tuple[Parameter, ...]:
    """Every parameter as uncertain as it is: the calibration's standard deviation, a generic range with its
    reason, or its value where neither is given. The start is anywhere on the course [m]."""
    generic = GENERIC | GENERIC_CONDITIONS
    parameters = nominal(spec)
    together = _loadings(spec.correlations, {parameter.name for parameter in parameters})
    found = []
    for parameter in parameters:
        calibrated = spec.calibration.get(parameter.name)
        if calibrated is not None and calibrated.sigma > 0.0:
            least = LEAST * parameter.value if parameter.value > 0.0 else -math.inf
            loadings = together.get(parameter.name, ())
            parameter = replace(parameter, sigma=calibrated.sigma, least=least, loadings=loadings)
        elif parameter.name in generic:
            low, high, reason = generic[parameter.name]
            parameter = replace(parameter, sigma=0.0, low=low, high=high, reason=reason)
        elif parameter.name == "start_distance":
            parameter = replace(parameter, low=0.0, high=course_length, reason="anywhere on the course")
        found.append(parameter)
    return tuple(found)


def draw(parameters: Sequence[Parameter], episodes: int, seed: int, first: int = 0) -> Draws:
    """Episodes ``first`` to ``first + episodes`` of a seed. Each takes the same from its stream whatever the
    parameters' distributions are."""
    numbers = np.arange(first, first + episodes, dtype=np.int64)
    values = np.empty((episodes, len(parameters)))
    place = {parameter.name: k for k, parameter in enumerate(parameters)}
    for row, number in enumerate(numbers.tolist()):
        rng = np.random.default_rng([seed, number, *b"parameters"])
        own = [(float(rng.standard_normal()), float(rng.random())) for _ in parameters]
        for k, parameter in enumerate(parameters):
            normal = own[k][0]
            if parameter.loadings:
                normal = sum(share * own[place[name]][0] for name, share in parameter.loadings)
            values[row, k] = parameter.value_of(normal, own[k][1])
    return Draws(seed, tuple(p.name for p in parameters), numbers, values)


def _loadings(
    correlations: Sequence[Correlation], known: Collection[str]
) -> dict[str, tuple[tuple[str, float], ...]]:
    """Rows of the Cholesky factors: what each correlated value's deviation is made of; of the ``known`` ones
    only. Raises SpecError."""
    found: dict[str, tuple[tuple[str, float], ...]] = {}
    for group in correlations:
        rows = [row for row, name in enumerate(group.names) if name in known]
        names = [group.names[row] for row in rows]
        try:
            matrix = np.array(group.matrix, np.float64)[np.ix_(rows, rows)]
            factor = np.linalg.cholesky((1.0 - SINGULAR) * matrix + SINGULAR * np.eye(len(rows)))
        except (np.linalg.LinAlgError, ValueError, IndexError):
            raise SpecError(
                f"the correlation of {', '.join(group.names)} is no correlation matrix: {group.matrix}"
            ) from None
        for name, row in zip(names, factor.tolist(), strict=True):
            found[name] = tuple((other, share) for other, share in zip(names, row, strict=True) if share)
    return found
