"""What a calibration procedure is: it says what it does, moves the robot or has it moved, and concludes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from calibration.drive import Drive
from calibration.entry import Check, Finding, Quantity
from calibration.manoeuvre import Leg
from robot.errors import SandlotError
from robot.spec import RobotSpec

Array = NDArray[np.float64]


class CalibrationError(SandlotError):
    """The drive is not what the procedure needs, and nothing is concluded from it."""


@dataclass(frozen=True)
class Series:
    """Points or a line of a panel; ``x`` and ``y``, shape (n,) each."""

    label: str
    x: Array
    y: Array
    kind: Literal["points", "line"] = "points"


@dataclass(frozen=True)
class Panel:
    """One of the pictures of an estimate, without a word on how it is drawn. ``left``: its points are what
    the estimate leaves unexplained."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    left: bool = False


@dataclass(frozen=True)
class Estimate:
    """What a procedure concludes. ``covariance`` of ``quantities``, shape (n, n); ``lines``: residuals and
    the like, for a person; ``frozen``: what the data could not tell."""

    method: str
    quantities: tuple[Quantity, ...]
    covariance: Array
    checks: tuple[Check, ...]
    findings: tuple[Finding, ...] = ()
    panels: tuple[Panel, ...] = ()
    lines: tuple[str, ...] = ()
    frozen: tuple[str, ...] = field(default=())


class Procedure(Protocol):
    """``name``: on the command line, and of its file of entries. ``about``: what it does, and what the person
    beside the robot has to provide. ``valid_days``: how long its result holds."""

    name: str
    about: str
    valid_days: int

    def legs(self, spec: RobotSpec) -> tuple[Leg, ...]:
        """How the robot is moved."""

    def estimate(self, drives: Sequence[Drive]) -> Estimate:
        """From one drive or several. Raises CalibrationError or SignalError with the reason if the data will
        not do."""
