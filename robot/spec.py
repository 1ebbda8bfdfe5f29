"""What a robot is: a frozen, typed description read from one TOML file.

Two hashes leave this file. The *contract* hash covers everything that a policy, a log or a learner must agree
on to be meaningful: names, order, units, rates, limits, slew, filters. The *calibration* hash covers measured
values. Ports, drivers and their options are in neither: plugging in another adapter voids nothing.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from robot.camera_spec import Camera, check_cameras
from robot.errors import SpecError, nearest
from robot.layout import Field, Layout, Struct
from robot.people_spec import Enable, Estop, check_people
from robot.plain_data import decode_struct, digest, merge, without
from robot.safety_spec import Safety, Site, StopBehaviour, check_safety
from robot.teleop_spec import Teleop, check_teleop
from robot.utc import utc

OptionValue = float | int | str | bool


class Actuator(Struct):
    """One commanded quantity. ``lower``, ``upper`` in ``unit``; ``slew`` in unit/s (the hardware's limit).

    ``acceleration`` [unit/s^2] bounds how fast the setpoint's own rate may change (None: unbounded), for a
    joint whose load would otherwise be thrown: the setpoint can then always still stop before its range ends.
    """

    name: str
    device: str
    unit: str
    lower: float
    upper: float
    slew: float
    acceleration: float | None = None
    rest: float = 0.0
    source: str = ""


class Sensor(Struct):
    """What one device reports: fields in order, how often, how late, and when it counts as stale."""

    name: str
    device: str
    fields: tuple[Field, ...]
    rate_hz: float
    latency_s: float
    stale_s: float
    required: bool = True
    source: str = ""

    @property
    def layout(self) -> Layout:
        return Layout(self.fields)


class ActionTerm(Struct):
    """One element of a policy's action: [-1, 1] maps to [``lower``, ``upper``] of an actuator.

    ``slew`` [unit/s] bounds the change between policy steps (None: unbounded) and ``smoothing`` in (0, 1] is
    a first-order filter's gain per step (1: none). Both belong to the contract: they act on the robot, in the
    twin, in the actor and in the critic's bootstrap action.
    """

    name: str
    actuator: str
    lower: float
    upper: float
    slew: float | None = None
    smoothing: float = 1.0
    interpolation: Literal["hold", "linear"] = "hold"


class Device(Struct):
    """A thing on a port. ``driver`` is ``module:Class``; ``port`` is a device path (or an address);
    ``emulator`` is the class that stands in for the device on the twin."""

    name: str
    driver: str
    port: str = ""
    emulator: str = ""
    options: dict[str, OptionValue] = msgspec.field(default_factory=dict)


class EstimatorConfig(Struct):
    """``driver`` is ``module:Class``; ``state`` is what it publishes, in order."""

    driver: str
    state: tuple[Field, ...]
    options: dict[str, OptionValue] = msgspec.field(default_factory=dict)


class Rates(Struct):
    """Guardian and policy rates [Hz]; the guardian's must be a whole multiple of the policy's."""

    guardian_hz: float
    policy_hz: float


class RecoveryStep(Struct):
    """One rung of the recovery ladder: a constant command held for ``seconds``; ``random`` elements are drawn
    uniformly from [-value, value] each time so that the ladder varies."""

    command: dict[str, float]
    seconds: float
    random: tuple[str, ...] = ()


class PracticeConfig(Struct):
    """What counts as trouble while practising, in seconds, metres and g, and what the robot does about it.
    ``align``: slow moves that let the estimator find what it cannot know at rest, such as a heading.
    ``takeover_reward`` is added to a policy's step in which a person takes over (RLIF, Luo et al. 2023, arXiv
    2311.12996): to be rescued would else cost nothing, and where one is rescued be a good place."""

    stuck_seconds: float
    stuck_metres: float
    crash_g: float
    flip_cosine: float
    settle_seconds: float
    recovery: tuple[RecoveryStep, ...]
    recovered_metres: float
    cycles: int
    align: tuple[RecoveryStep, ...] = ()
    takeover_reward: float = 0.0


class Calibration(Struct):
    """A measured value with its unit, standard deviation, method or source, and date. ``expires``: UTC, ISO
    8601, after which it has to be measured again before the robot drives by it; empty: never."""

    value: float | tuple[float, ...]
    unit: str
    source: str
    sigma: float = 0.0
    date: str = ""
    expires: str = ""


class Correlation(Struct):
    """Calibration values that were measured together, and the correlation matrix of their errors."""

    names: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]


class Target(Struct):
    """What a validation holds this robot's policies to in place of the usual number, and why."""

    value: float
    reason: str


class RobotSpec(Struct):
    """Everything that is known of one robot. ``twin`` is the ``module:Class`` of its physics."""

    name: str
    description: str
    rates: Rates
    devices: tuple[Device, ...]
    actuators: tuple[Actuator, ...]
    sensors: tuple[Sensor, ...]
    actions: tuple[ActionTerm, ...]
    estimator: EstimatorConfig
    stop: StopBehaviour
    enable: Enable
    safety: Safety
    practice: PracticeConfig
    calibration: dict[str, Calibration]
    estop: Estop = Estop()
    targets: dict[str, Target] = msgspec.field(default_factory=dict)
    teleop: Teleop = Teleop()
    cameras: tuple[Camera, ...] = ()
    correlations: tuple[Correlation, ...] = ()
    twin: str = ""
    version: int = 1

    def __post_init__(self) -> None:
        _check(self)

    @property
    def actuator_layout(self) -> Layout:
        return Layout(Field(name=a.name, unit=a.unit) for a in self.actuators)

    @property
    def state_layout(self) -> Layout:
        return Layout(self.estimator.state)

    @property
    def ticks_per_step(self) -> int:
        """Guardian ticks in one policy step."""
        return round(self.rates.guardian_hz / self.rates.policy_hz)

    def scalar(self, name: str) -> float:
        """A scalar calibration value. Raises SpecError with the nearest names, or if it is not a scalar."""
        value = self._calibrated(name).value
        if isinstance(value, tuple):
            raise SpecError(f"calibration {name!r} has {len(value)} values; a scalar was expected")
        return float(value)

    def vector(self, name: str) -> tuple[float, ...]:
        """A calibration value as a tuple of floats."""
        value = self._calibrated(name).value
        return value if isinstance(value, tuple) else (float(value),)

    def _calibrated(self, name: str) -> Calibration:
        try:
            return self.calibration[name]
        except KeyError:
            raise SpecError(
                f"{self.name}: no calibration value {name!r}; {nearest(name, self.calibration)}"
            ) from None

    def contract(self) -> dict[str, Any]:
        """What both ends of a link must agree on, as plain data."""
        sensors = [
            {k: v for k, v in msgspec.to_builtins(s).items() if k in ("name", "fields", "rate_hz")}
            for s in self.sensors
        ]
        actuators = [
            {k: v for k, v in msgspec.to_builtins(a).items() if k not in ("device", "source")}
            for a in self.actuators
        ]
        contract: dict[str, Any] = msgspec.to_builtins(
            {
                "robot": self.name,
                "version": self.version,
                "rates": self.rates,
                "state": self.estimator.state,
                "actions": self.actions,
            }
        )
        return contract | {"actuators": actuators, "sensors": sensors}

    def conditions(self) -> dict[str, Any]:
        """What a validation's verdict holds for beside the contract and the measured values, as plain data:
        how the robot is kept and stopped, what counts as a failure, and what is asked of its policies. Less
        the reasons, and less the site, which is the course's."""
        safety, practice = self.safety, self.practice
        if safety.fence is not None:
            fence = msgspec.structs.replace(safety.fence, site=Site())
            safety = msgspec.structs.replace(safety, fence=fence)
        judged = ("stuck_seconds", "stuck_metres", "crash_g", "flip_cosine")
        plain = {
            "safety": safety,
            "stop": self.stop,
            "practice": {name: getattr(practice, name) for name in judged},
            "targets": {name: target.value for name, target in self.targets.items()},
        }
        return dict(without(msgspec.to_builtins(plain), ("reason", "source")))

    def calibration_hash(self) -> str:
        return digest({name: msgspec.to_builtins(c.value) for name, c in self.calibration.items()})


def at_site(spec: RobotSpec, site: Site) -> RobotSpec:
    """The robot at a site. Raises SpecError if the site has bounds and the robot does not know how to keep
    them."""
    if site == Site():
        return spec
    if spec.safety.fence is None:
        raise SpecError(
            f"{spec.name}: the site has a fence, but the robot's file says nothing of how it stops; add "
            "[safety.fence] with radius, deceleration and reaction_s"
        )
    fence = msgspec.structs.replace(spec.safety.fence, site=site)
    return msgspec.structs.replace(spec, safety=msgspec.structs.replace(spec.safety, fence=fence))


def reduced(spec: RobotSpec) -> RobotSpec:
    """The robot with no more authority than its REDUCED state has, in every state. Neither its contract nor
    its calibration changes."""
    authority = min(spec.safety.authority, spec.safety.reduced_scale)
    return msgspec.structs.replace(spec, safety=msgspec.structs.replace(spec.safety, authority=authority))


def load_spec(path: Path, overrides: Mapping[str, Any] | None = None) -> RobotSpec:
    """Read a robot's TOML file. Raises SpecError naming the key and the nearest valid one."""
    try:
        plain = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from None
    return decode_struct(merge(plain, overrides or {}), RobotSpec, str(path))


def _check(spec: RobotSpec) -> None:
    devices = {d.name for d in spec.devices}
    parts: tuple[Actuator | Sensor, ...] = (*spec.actuators, *spec.sensors)
    for part in parts:
        if part.device not in devices:
            raise SpecError(
                f"{spec.name}: {part.name} is on device {part.device!r}; {nearest(part.device, devices)}"
            )
    for s in spec.sensors:
        if not (0.0 < s.rate_hz < math.inf and 0.0 <= s.latency_s < math.inf and s.stale_s > 0.0):
            raise SpecError(
                f"{spec.name}: sensor {s.name} needs rate_hz > 0, latency_s >= 0 and stale_s > 0; "
                f"got {s.rate_hz}, {s.latency_s} and {s.stale_s}"
            )
    actuators = {a.name: a for a in spec.actuators}
    for a in spec.actuators:
        if not (
            math.isfinite(a.lower) and math.isfinite(a.upper) and a.lower <= a.rest <= a.upper and a.slew > 0
        ):
            raise SpecError(
                f"{spec.name}: actuator {a.name} needs finite lower <= rest <= upper and slew > 0; "
                f"got lower {a.lower}, rest {a.rest}, upper {a.upper}, slew {a.slew} [{a.unit}]"
            )
        if a.acceleration is not None and not a.acceleration > 0:
            raise SpecError(f"{spec.name}: actuator {a.name} needs acceleration > 0; got {a.acceleration}")
    for term in spec.actions:
        if term.actuator not in actuators:
            raise SpecError(
                f"{spec.name}: action {term.name} drives actuator {term.actuator!r}; "
                f"{nearest(term.actuator, actuators)}"
            )
        limit = actuators[term.actuator]
        if not limit.lower <= term.lower < term.upper <= limit.upper:
            raise SpecError(
                f"{spec.name}: action {term.name} spans [{term.lower}, {term.upper}] {limit.unit}, which "
                f"must lie within its actuator's [{limit.lower}, {limit.upper}]"
            )
        if not ((term.slew is None or term.slew > 0) and 0 < term.smoothing <= 1):
            raise SpecError(f"{spec.name}: action {term.name} needs slew > 0 and smoothing in (0, 1]")
    for name, value in spec.calibration.items():
        try:
            if value.expires:
                utc(value.expires)
        except ValueError as error:
            raise SpecError(f"{spec.name}: calibration {name}: expires = {error}") from None
    check_safety(spec.name, spec.safety)
    ages = {f"{s.name}.{name}": s.stale_s for s in spec.sensors for name in s.layout.names}
    check_people(spec.name, spec.enable, spec.estop, ages)
    check_teleop(spec.name, spec.teleop, actuators)
    check_cameras(spec.name, spec.cameras)
    rates = spec.rates
    ratio = rates.guardian_hz / rates.policy_hz if rates.policy_hz > 0.0 else 0.0
    if not 1.0 <= ratio < math.inf or abs(ratio - round(ratio)) > 1e-9:
        raise SpecError(
            f"{spec.name}: guardian_hz {rates.guardian_hz} must be a whole multiple of policy_hz "
            f"{rates.policy_hz}, and both above 0"
        )
    spec.state_layout.index(spec.stop.standstill)
