"""Surrogates: robots that are not what their calibration says, to practise on before there is hardware.

A policy is validated in the twin. Driven on a surrogate, it meets a reality that the twin did not know:
other parameters, other delays, or other physics altogether. Nothing onboard is told.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import msgspec
import numpy as np

from robot.errors import SpecError, nearest
from robot.interface import load_class
from robot.layout import Struct
from robot.plain_data import decode_struct
from robot.spec import Calibration, RobotSpec
from sim.car import car_parameters
from sim.emulators.line import LineDelay
from sim.plant import Twin, TwinFactory
from sim.world import World


class Deviation(Struct):
    """A parameter of ``sim.car.CarParameters`` is really ``factor`` times what is believed, plus ``offset``
    [the parameter's unit]; ``reason``: how such a thing comes about, and why so large."""

    parameter: str
    reason: str
    factor: float = 1.0
    offset: float = 0.0


class Surrogate(Struct):
    """``twin``: the ``module:Class`` of its physics (empty: the robot's own twin). ``file``: the
    calibration of the robot's file, if the spec has measured values in its place; what it really is does not
    change when somebody measures it. Without a name it is the robot's twin itself, as calibrated."""

    name: str = ""
    description: str = ""
    twin: str = ""
    truth: tuple[Deviation, ...] = ()
    delays: tuple[LineDelay, ...] = ()
    file: dict[str, Calibration] = msgspec.field(default_factory=dict)

    def own(self, spec: RobotSpec) -> RobotSpec:
        """What its body and its sensors are made after."""
        return msgspec.structs.replace(spec, calibration=self.file or spec.calibration)

    def truths(self, spec: RobotSpec) -> dict[str, float]:
        """The true values of what is not as the spec says, by name. Raises SpecError for a parameter that no
        car has."""
        believed, made = asdict(car_parameters(spec)), asdict(car_parameters(self.own(spec)))
        true = {name: value for name, value in made.items() if value != believed[name]}
        for change in self.truth:
            name = change.parameter
            if name not in made:
                raise SpecError(f"surrogate {self.name}: no car has {name!r}; {nearest(name, made)}")
            true[name] = made[name] * change.factor + change.offset
        return true

    def lines(self, spec: RobotSpec) -> list[str]:
        """What is different about it, a readable line each."""
        believed, told = car_parameters(spec), []
        if self.twin:
            told.append(f"physics: {self.twin}")
        for name, true in self.truths(spec).items():
            reasons = [change.reason for change in self.truth if change.parameter == name]
            reason = reasons[0] if reasons else "as in the robot's file"
            told.append(f"{name}: {true:.4g}, not {getattr(believed, name):.4g} ({reason})")
        for line in self.delays:
            told.append(f"{line.device} to {line.to}: {1e3 * line.seconds:g} ms later ({line.reason})")
        return told


def load_surrogate(path: Path) -> Surrogate:
    """Read a surrogate's TOML file. Raises SpecError naming the key and the nearest valid one."""
    try:
        surrogate = decode_struct(tomllib.loads(path.read_text()), Surrogate, str(path))
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from None
    if not surrogate.name:
        raise SpecError(f"{path}: a surrogate has a name; this one has none")
    return surrogate


def make_twin(
    spec: RobotSpec,
    world: World | Path,
    rng: np.random.Generator,
    surrogate: Surrogate = Surrogate(),  # noqa: B008  (frozen)
    truth: Mapping[str, float] | None = None,
) -> Twin:
    """The physics of a robot: its twin's, or its surrogate's. ``truth``: true parameters besides the
    surrogate's, over which they go. Raises SpecError."""
    where = f"surrogate {surrogate.name}" if surrogate.twin else spec.name
    make: TwinFactory = load_class(surrogate.twin or spec.twin, f"{where}: twin")
    return make(surrogate.own(spec), world, rng, surrogate.truths(spec) | dict(truth or {}))
