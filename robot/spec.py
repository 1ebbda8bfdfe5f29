"""What a robot is: a frozen, typed description read from one TOML file.

Two hashes leave this file. The *contract* hash covers everything that a policy, a log or a learner must agree
on to be meaningful: names, order, units, rates, limits, slew, filters. The *calibration* hash covers measured
values. Ports, drivers and their options are in neither: plugging in another adapter voids nothing.
"""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, dataclass_transform

import msgspec

from robot.errors import SpecError, nearest

OptionValue = float | int | str | bool
T = TypeVar("T")


@dataclass_transform(frozen_default=True)
class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every description: frozen, and an unknown key is an error."""


class Field(Struct):
    """A named group of numbers with one unit, such as ``velocity_body`` [m/s] with elements ``x``, ``y``."""

    name: str
    unit: str
    elements: tuple[str, ...] = ("",)

    @property
    def size(self) -> int:
        return len(self.elements)

    def element_names(self) -> tuple[str, ...]:
        """``velocity_body_x`` and so on; a field of one unnamed element keeps its own name."""
        return tuple(f"{self.name}_{element}" if element else self.name for element in self.elements)


class Layout:
    """Where each named field lies in a flat vector."""

    def __init__(self, fields: Iterable[Field]) -> None:
        self.fields = tuple(fields)
        self._slices: dict[str, slice] = {}
        start = 0
        for field in self.fields:
            if field.name in self._slices:
                raise SpecError(f"field {field.name!r} is declared twice; names must be unique")
            self._slices[field.name] = slice(start, start + field.size)
            start += field.size
        self.size = start
        self.names = tuple(name for field in self.fields for name in field.element_names())

    def __contains__(self, name: str) -> bool:
        return name in self._slices

    def __getitem__(self, name: str) -> slice:
        """The slice of a field. Raises SpecError with the nearest names for an unknown one."""
        try:
            return self._slices[name]
        except KeyError:
            raise SpecError(f"no field {name!r} in this layout; {nearest(name, self._slices)}") from None

    def index(self, element: str) -> int:
        """The position of one element by its full name, such as ``velocity_body_x``."""
        try:
            return self.names.index(element)
        except ValueError:
            raise SpecError(
                f"no element {element!r} in this layout; {nearest(element, self.names)}"
            ) from None


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


class StopBehaviour(Struct):
    """How this robot stops. ``hold_s``: how long a category-2 stop may take to stand still before it becomes
    category 1; ``deadline_s``: how long a category-1 stop may take before torque goes off (category 0).
    ``standstill``: the state element whose magnitude below ``standstill_below`` means standing still."""

    kind: Literal["brake", "damp", "hold"]
    hold_s: float
    deadline_s: float
    standstill: str
    standstill_below: float


class Enable(Struct):
    """Who may enable motion, and after how long without renewal [s] the permission lapses.

    ``held_key``: while a key is held. ``attendance``: for ``lease_s`` [s] after a person last pressed a
    key. ``transmitter``: while ``channel``, a ``sensor.element`` that the guardian reads itself, is fresh and
    above ``threshold``.
    """

    source: Literal["held_key", "transmitter", "attendance", "simulated_operator"]
    timeout_s: float
    lease_s: float = 0.0
    channel: str = ""
    threshold: float = 0.0


class EstopSource(Struct):
    """An emergency stop's input beside the operator's key; silent for ``timeout_s``, it stops the robot too.

    ``line``: a normally closed loop on the modem line ``signal`` of the serial port ``port``. ``gamepad``:
    the ``button`` (its Linux key code) of the input device ``port``. ``network``: ``sandlot stop`` from
    another machine, listened for on ``port``, HOST:PORT.
    """

    name: str
    kind: Literal["line", "gamepad", "network"]
    port: str
    timeout_s: float
    signal: Literal["cts", "dsr", "dcd"] = "cts"
    button: int = 0


class Estop(Struct):
    """The emergency stops that must be there; any one of them stops the robot."""

    sources: tuple[EstopSource, ...] = ()


class Limit(Struct):
    """A monitor of one element: beyond ``lower``/``upper`` for ``debounce_s``, request ``action``.

    ``element`` is named as in ``robot.safety.elements``: a state element, ``sensor.element``, a signal and so
    on; ``unit`` must be the element's own.
    """

    name: str
    element: str
    unit: str
    action: Literal["reduce", "category2", "category1", "category0"]
    reason: str
    lower: float | None = None
    upper: float | None = None
    debounce_s: float = 0.0
    blind: Literal["stop", "ignore"] = "stop"
    """What it means that the element cannot be seen (a stale sensor, a value that is not finite): a reason to
    stop with category 2, or, for a cross-check with an optional sensor, nothing."""


class Signal(Struct):
    """A quantity computed from elements ``of`` the robot, each times its ``scale`` (1 if none are given).

    ``sum``, ``product``, ``norm`` (square root of the sum of squares); ``rate``: the derivative of one
    element, low-passed with ``time_constant_s``; ``excess``: how far the magnitude of the first element lies
    above that of the second (a setpoint), which is let down at ``decay`` [unit/s], as fast as the robot
    can be expected to follow.
    """

    name: str
    kind: Literal["sum", "product", "norm", "rate", "excess"]
    of: tuple[str, ...]
    unit: str
    scale: tuple[float, ...] = ()
    time_constant_s: float = 0.0
    decay: float = 0.0


class Obstacle(Struct):
    """A round keep-out, world frame [m]."""

    x: float
    y: float
    radius: float


class Site(Struct):
    """Where a robot may be: inside the convex ``polygon`` (corners x, y [m], anticlockwise, world frame;
    none: anywhere) and outside the ``obstacles``."""

    polygon: tuple[tuple[float, float], ...] = ()
    obstacles: tuple[Obstacle, ...] = ()


class Fence(Struct):
    """What a robot needs to stay inside a site.

    ``radius`` [m]: from the position to the robot's outermost point. ``deceleration`` [m/s^2] and
    ``reaction_s``: what a stop surely brakes with, and after what delay; ``follow_s``: how much later a drive
    brakes that is only told a lower speed. ``turning_radius`` [m]: the tightest it can turn while braking (0:
    on the spot). ``sigmas``: how many standard deviations of the estimate are
    kept free. ``actuator``: the one that commands the speed along ``heading`` and is held back ``reserve``
    [m] before the fence (none: the fence is only watched). ``position``, ``velocity`` and
    ``heading`` name state fields; ``heading`` is empty if ``velocity`` is in the world frame. The ``site`` is
    usually the course's.
    """

    radius: float
    deceleration: float
    reaction_s: float
    source: str
    site: Site = Site()
    follow_s: float = 0.0
    turning_radius: float = 0.0
    reserve: float = 0.1
    sigmas: float = 2.0
    actuator: str = ""
    position: str = "position_world"
    velocity: str = "velocity_body"
    heading: str = "heading"


class Turn(Struct):
    """What an Ackermann vehicle may ask of its track width: ``lateral_acceleration`` [m/s^2] by kinematics,
    from actuators ``speed`` [m/s] and ``steering`` [rad], the state element ``measured`` [m/s] and the
    calibration value ``wheelbase`` [m]."""

    lateral_acceleration: float
    speed: str
    steering: str
    measured: str
    wheelbase: str
    source: str


class Safety(Struct):
    """The safety kernel's settings: command lifetime, limits, barriers, and the derating of REDUCED."""

    command_timeout_s: float
    arming_s: float
    reduced_scale: float
    reduced_dwell_s: float
    overrun_s: float
    limits: tuple[Limit, ...] = ()
    signals: tuple[Signal, ...] = ()
    fence: Fence | None = None
    turn: Turn | None = None


class RecoveryStep(Struct):
    """One rung of the recovery ladder: a constant command held for ``seconds``; ``random`` elements are drawn
    uniformly from [-value, value] each time so that the ladder varies."""

    command: dict[str, float]
    seconds: float
    random: tuple[str, ...] = ()


class PracticeConfig(Struct):
    """What counts as trouble while practising, in seconds, metres and g, and what the robot does about it.
    ``align``: slow moves that let the estimator find what it cannot know at rest, such as a heading."""

    stuck_seconds: float
    stuck_metres: float
    crash_g: float
    flip_cosine: float
    settle_seconds: float
    recovery: tuple[RecoveryStep, ...]
    recovered_metres: float
    cycles: int
    align: tuple[RecoveryStep, ...] = ()


class Calibration(Struct):
    """A measured value with its unit, standard deviation, method or source, and date."""

    value: float | tuple[float, ...]
    unit: str
    source: str
    sigma: float = 0.0
    date: str = ""


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
    twin: str = ""
    version: int = 1

    def __post_init__(self) -> None:
        _check(self)
        _check_people(self)

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


def digest(plain: Mapping[str, Any]) -> str:
    """SHA-256 of plain data in a canonical form: keys sorted, shortest round-trip floats."""
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()


def differences(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Every leaf where two pieces of plain data differ, one readable line each."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        lines = []
        for key in sorted(set(ours) | set(theirs)):
            where = f"{path}.{key}" if path else str(key)
            if key not in ours:
                lines.append(f"{where}: only theirs has it ({theirs[key]!r})")
            elif key not in theirs:
                lines.append(f"{where}: only ours has it ({ours[key]!r})")
            else:
                lines += differences(ours[key], theirs[key], where)
        return lines
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        lines = [] if len(ours) == len(theirs) else [f"{path}: ours has {len(ours)}, theirs {len(theirs)}"]
        for i, (a, b) in enumerate(zip(ours, theirs, strict=False)):
            name = a.get("name", i) if isinstance(a, Mapping) else i
            lines += differences(a, b, f"{path}[{name}]")
        return lines
    return [] if ours == theirs else [f"{path}: ours {ours!r}, theirs {theirs!r}"]


def load_spec(path: Path, overrides: Mapping[str, Any] | None = None) -> RobotSpec:
    """Read a robot's TOML file. Raises SpecError naming the key and the nearest valid one."""
    try:
        plain = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from None
    return decode_struct(merge(plain, overrides or {}), RobotSpec, str(path))


def merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``overrides`` laid over it, tables merged key by key, anything else replaced."""
    merged = dict(base)
    for key, value in overrides.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def decode_struct(plain: Any, kind: type[T], where: str) -> T:
    """Plain data to a Struct. Raises SpecError that says where, and for an unknown key what was meant."""
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        unknown = re.search(r"unknown field `(\w+)`", str(error))
        hint = f"; {nearest(unknown[1], _all_keys(kind))}" if unknown else ""
        raise SpecError(f"{where}: {error}{hint}") from None


def _all_keys(kind: type) -> set[str]:
    keys: set[str] = set()
    pending, seen = [kind], set()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        for field in msgspec.structs.fields(current):
            keys.add(field.name)
            for inner in (field.type, *getattr(field.type, "__args__", ())):
                if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                    pending.append(inner)
    return keys


def _check_people(spec: RobotSpec) -> None:
    """Who may enable motion, and who may stop it."""
    enable = spec.enable
    if not enable.timeout_s > 0.0:
        raise SpecError(f"{spec.name}: enable.timeout_s {enable.timeout_s} must be more than 0")
    if enable.source == "attendance" and not enable.lease_s > enable.timeout_s:
        raise SpecError(
            f"{spec.name}: attendance needs enable.lease_s, how long a key press lasts, of more than its "
            f"timeout_s {enable.timeout_s:g}; got {enable.lease_s:g} [s]"
        )
    if enable.source == "transmitter":
        elements = {f"{s.name}.{name}": s for s in spec.sensors for name in s.layout.names}
        if enable.channel not in elements:
            raise SpecError(
                f"{spec.name}: enable.channel {enable.channel!r} is no sensor.element; "
                f"{nearest(enable.channel, elements)}"
            )
        stale_s = elements[enable.channel].stale_s
        if stale_s > enable.timeout_s:
            raise SpecError(
                f"{spec.name}: {enable.channel} may be {stale_s:g} s old, but a permission only "
                f"enable.timeout_s = {enable.timeout_s:g} s; make the sensor's stale_s shorter"
            )
    names = [source.name for source in spec.estop.sources]
    for source in spec.estop.sources:
        if not re.fullmatch("[a-z][a-z0-9_]*", source.name) or names.count(source.name) > 1:
            raise SpecError(
                f"{spec.name}: estop source {source.name!r} needs a name of its own in lower-case letters, "
                "digits and underscores"
            )
        if not (source.timeout_s > 0.0 and source.port):
            raise SpecError(
                f"{spec.name}: estop source {source.name} needs a port, and timeout_s of more than 0"
            )
        if source.kind == "gamepad" and source.button <= 0:
            raise SpecError(f"{spec.name}: estop source {source.name} needs button, a Linux key code")


def _check(spec: RobotSpec) -> None:
    devices = {d.name for d in spec.devices}
    parts: tuple[Actuator | Sensor, ...] = (*spec.actuators, *spec.sensors)
    for part in parts:
        if part.device not in devices:
            raise SpecError(
                f"{spec.name}: {part.name} is on device {part.device!r}; {nearest(part.device, devices)}"
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
        if a.acceleration is not None and not a.acceleration > 0:
            raise SpecError(f"{spec.name}: actuator {a.name} needs acceleration > 0; got {a.acceleration}")
    _check_safety(spec)
    ratio = spec.rates.guardian_hz / spec.rates.policy_hz
    if ratio < 1 or abs(ratio - round(ratio)) > 1e-9:
        raise SpecError(
            f"{spec.name}: guardian_hz {spec.rates.guardian_hz} must be a whole multiple of "
            f"policy_hz {spec.rates.policy_hz}"
        )
    spec.state_layout.index(spec.stop.standstill)


def _check_safety(spec: RobotSpec) -> None:
    """What can be said of limits, signals and barriers without their elements."""

    def need(good: bool, what: str) -> None:
        if not good:
            raise SpecError(f"{spec.name}: {what}")

    safety = spec.safety
    need(0.0 < safety.reduced_scale <= 1.0, f"safety.reduced_scale {safety.reduced_scale} must lie in (0, 1]")
    for limit in safety.limits:
        need(
            limit.lower is not None or limit.upper is not None,
            f"limit {limit.name!r} needs lower, upper or both",
        )
        need(
            limit.element != "command.novelty" or limit.action == "reduce",
            f"limit {limit.name!r}: a novelty score is advisory; its action must be reduce",
        )
    for signal in safety.signals:
        where = f"signal {signal.name!r}"
        count = {"rate": 1, "excess": 2}.get(signal.kind, max(1, len(signal.of)))
        need(len(signal.of) == count, f"{where}: {signal.kind} takes {count} elements, got {len(signal.of)}")
        need(
            not signal.scale or len(signal.scale) == len(signal.of),
            f"{where}: {len(signal.of)} elements but {len(signal.scale)} scales",
        )
        need(
            (signal.kind == "rate") == (signal.time_constant_s > 0.0),
            f"{where}: a rate, and only a rate, needs time_constant_s > 0",
        )
        need(
            (signal.kind == "excess") == (signal.decay > 0.0),
            f"{where}: an excess, and only an excess, needs decay > 0",
        )
    if safety.fence is not None:
        fence = safety.fence
        for name in ("radius", "reaction_s", "follow_s", "turning_radius", "reserve", "sigmas"):
            need(getattr(fence, name) >= 0.0, f"safety.fence needs {name} >= 0")
        need(fence.deceleration > 0.0, "safety.fence needs deceleration > 0")
        need(all(o.radius > 0.0 for o in fence.site.obstacles), "a site's obstacles need radius > 0")
    if safety.turn is not None:
        need(safety.turn.lateral_acceleration > 0.0, "safety.turn needs lateral_acceleration > 0")
