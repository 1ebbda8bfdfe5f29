"""How a person drives a robot's actuators, as its file says it."""

from __future__ import annotations

from collections.abc import Collection

from robot.errors import SpecError, nearest
from robot.layout import Struct


class DriveAxis(Struct):
    """What moves one actuator.

    ``keys``: more, less. ``rate``: how fast they move it, shares of the range a second; ``stays``: it stays
    where they left it for as long as the person has hold of the robot, else it returns to rest. ``stick``: an
    axis of a gamepad by its Linux name, with a minus sign where its positive end is less (up and left are
    negative there). ``cap``: the share of the range that a person gets.
    """

    actuator: str
    keys: tuple[str, str]
    rate: float
    stick: str
    stays: bool = False
    cap: float = 1.0


class Teleop(Struct):
    """Actuators that no axis moves stay at rest. ``dead_man``: the gamepad's button that is held to drive;
    empty: touching a stick is enough."""

    axes: tuple[DriveAxis, ...] = ()
    dead_man: str = "BTN_TR"


def check_teleop(robot: str, teleop: Teleop, actuators: Collection[str]) -> None:
    """Raise SpecError for an axis that cannot be."""
    names = [axis.actuator for axis in teleop.axes]
    keys = [key for axis in teleop.axes for key in axis.keys]
    for axis in teleop.axes:
        if axis.actuator not in actuators or names.count(axis.actuator) > 1:
            raise SpecError(
                f"{robot}: teleop axis {axis.actuator!r} needs an actuator of its own; "
                f"{nearest(axis.actuator, actuators)}"
            )
        if not (axis.rate > 0.0 and 0.0 < axis.cap <= 1.0):
            raise SpecError(
                f"{robot}: teleop axis {axis.actuator} needs rate > 0 and a cap in (0, 1]; got rate "
                f"{axis.rate:g} and cap {axis.cap:g}"
            )
    if len(keys) > len(set(keys)):
        raise SpecError(f"{robot}: each teleop key can move one axis one way; got {' '.join(keys)}")
