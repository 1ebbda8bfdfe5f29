"""How a procedure moves a car: legs in turn, each a command held until its time or its distance is up.

Between legs the car stands. A straight leg is steered by the estimate, so that it is one: towards the line on
which the first one began, forward as in reverse. What is commanded passes the guardian like any wish.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot.spec import RobotSpec

Array = NDArray[np.float64]

HEADING_GAIN = 1.2
"""Of steering by heading error [1]: at 0.33 m wheelbase the error falls to 1/e in 0.3 m."""
OFFSET_GAIN = 0.6
"""Heading asked for by metre off the line [rad/m]."""
MOST_HEADING = 0.25
"""Asked for at most [rad]."""
HOME_M = 1.2
"""Nearer to where it began than this [m], less than its turning circle, the car is there."""
SOFT_LIMIT = 0.8
"""Share of the steering's range that straightening may use."""
BRAKES = 2.0
"""Of a car whose brakes are weak [m/s^2]."""


@dataclass(frozen=True)
class Leg:
    """``name``: for a person. ``speed`` [m/s], negative in reverse; ``steering`` [rad], or None: straight.
    Ends after ``seconds``, or before that after ``metres`` (inf: no such end). ``home``: steered to where the
    manoeuvre began, and over once it is near."""

    name: str
    seconds: float
    speed: float = 0.0
    steering: float | None = None
    metres: float = math.inf
    home: bool = False


def stand(seconds: float, after: float = 0.0) -> Leg:
    """At rest for ``seconds`` once it has braked from a speed of ``after`` [m/s]."""
    return Leg("stand", seconds + abs(after) / BRAKES)


def home(speed: float) -> Leg:
    """Back to where the manoeuvre began, forward at ``speed`` [m/s]."""
    return Leg("back to the middle", 25.0, speed, home=True)


class Manoeuvre:
    """``legs`` in turn. Told the state each policy step while the robot is free to move."""

    def __init__(self, spec: RobotSpec, legs: tuple[Leg, ...]) -> None:
        self._legs = legs
        layout = spec.state_layout
        self._x = layout["position_world"].start
        self._heading = layout.index("heading")
        names = spec.actuator_layout.names
        self._speed_at, self._steering_at = names.index("speed"), names.index("steering")
        self._rest = np.array([a.rest for a in spec.actuators])
        steering = spec.actuators[self._steering_at]
        self._most = SOFT_LIMIT * min(-steering.lower, steering.upper)
        self._number = 0
        self._began: tuple[float, float, float] | None = None
        """When the present leg did [s], and where: x, y [m]."""
        self._line: tuple[float, float, float] | None = None
        """x, y [m], heading [rad]."""

    @property
    def seconds(self) -> float:
        """At most."""
        return sum(leg.seconds for leg in self._legs)

    @property
    def finished(self) -> bool:
        return self._number >= len(self._legs)

    @property
    def leg(self) -> str:
        """What it does now, and how far it is."""
        if self.finished:
            return "finished"
        return f"{self._number + 1} of {len(self._legs)}: {self._legs[self._number].name}"

    def again(self) -> None:
        """The robot was stopped: the present leg begins anew."""
        self._began = None

    def command(self, now_s: float, state: Array) -> Array:
        """Setpoints for now, shape (n_actuators,)."""
        x, y, heading = float(state[self._x]), float(state[self._x + 1]), float(state[self._heading])
        if self._began is None:
            self._began = (now_s, x, y)
        if self._line is None:
            self._line = (x, y, heading)
        setpoint = self._rest.copy()
        if self.finished:
            return setpoint
        leg, (began_s, from_x, from_y) = self._legs[self._number], self._began
        driven = math.hypot(x - from_x, y - from_y)
        arrived = leg.home and math.hypot(x - self._line[0], y - self._line[1]) < HOME_M
        if now_s - began_s >= leg.seconds or driven >= leg.metres or arrived:
            self._number += 1
            self._began = None
            return self.command(now_s, state)
        setpoint[self._speed_at] = leg.speed
        if leg.steering is not None:
            setpoint[self._steering_at] = leg.steering
        elif leg.home:
            bearing = math.atan2(self._line[1] - y, self._line[0] - x)
            error = math.remainder(bearing - heading, math.tau)
            setpoint[self._steering_at] = min(max(HEADING_GAIN * error, -self._most), self._most)
        elif leg.speed:
            setpoint[self._steering_at] = self._straight(x, y, heading, leg.speed)
        return setpoint

    def _straight(self, x: float, y: float, heading: float, speed: float) -> float:
        """Steering [rad] back to the line."""
        at_x, at_y, along = self._line or (x, y, heading)
        forward = math.copysign(1.0, speed)
        aside = math.cos(along) * (y - at_y) - math.sin(along) * (x - at_x)
        wanted = along - forward * min(max(OFFSET_GAIN * aside, -MOST_HEADING), MOST_HEADING)
        error = math.remainder(wanted - heading, math.tau)
        return min(max(forward * HEADING_GAIN * error, -self._most), self._most)
