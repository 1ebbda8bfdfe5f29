"""A robot as its calibration has found it: its file, with the entries of its book over it."""

from __future__ import annotations

import datetime

import msgspec

from calibration.book import Book, robot_id
from calibration.entry import calibrated
from launch import catalogue
from robot.spec import RobotSpec, load_spec
from robot.utc import utc
from sim.surrogate import Surrogate, load_surrogate


def calibrated_spec(robot: str, surrogate: str | None = None) -> RobotSpec:
    """By their names or TOML files. The twin is the robot, and has its entries; a surrogate has its own.
    Raises SpecError, and SandlotError for entries that cannot be read."""
    spec = load_spec(catalogue.find("robots", robot))
    return calibrated(spec, Book(robot_id(spec.name, name_of(surrogate))).current())


def name_of(surrogate: str | None) -> str:
    """Of a surrogate by its name or TOML file; empty without one. Raises SpecError."""
    return "" if surrogate is None else load_surrogate(catalogue.find("surrogates", surrogate)).name


def unmoved(surrogate: Surrogate, file: RobotSpec, spec: RobotSpec) -> Surrogate:
    """The surrogate of a robot's ``file``, described by its calibrated ``spec``."""
    if not surrogate.name or file.calibration == spec.calibration:
        return surrogate
    return msgspec.structs.replace(surrogate, file=file.calibration)


def expired(spec: RobotSpec, now: datetime.datetime) -> tuple[str, ...]:
    """Which measured values no longer hold, each in a sentence that says what to do."""
    late: dict[tuple[str, str], list[str]] = {}
    for name, value in spec.calibration.items():
        if value.expires and now >= utc(value.expires):
            procedure = value.source.partition(":")[0].rpartition(" ")[2]  # "sandlot calibrate speed: …"
            late.setdefault((procedure, value.date), []).append(name)
    return tuple(
        f"{', '.join(names)} expired ({procedure} of {date}); measure again: sandlot calibrate {spec.name} "
        f"{procedure}"
        for (procedure, date), names in late.items()
    )
