"""A twin that becomes another car every so often, of those that a calibration allows: who practises on it
learns for what is not known of a robot, and not for the middle of it alone (domain randomisation, Tobin et
al. 2017)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from robot.spec import RobotSpec
from sim.plant import Array, Twin
from sim.randomisation import draw, randomised

Truth = Mapping[str, float]


def cars(spec: RobotSpec, seed: int) -> Iterator[Truth]:
    """The parameters (``sim.car.CarParameters``) of one car after the other, as validation draws them."""
    parameters, number = randomised(spec, course_length=1.0), 0
    while True:
        yield draw(parameters, 1, seed, first=number).truths()[0]
        number += 1


class DrawnCars:
    """Implements ``sim.plant.Twin``. ``make``: the twin of a car; every ``period_s`` [s] the next one of
    ``truths`` goes on where the last one was, as fast and at the same angle of its wheels."""

    def __init__(self, make: Callable[[Truth], Twin], truths: Iterator[Truth], period_s: float) -> None:
        self._make, self._truths = make, truths
        self._twin = make(next(truths))
        self._period_ns = round(1e9 * period_s)
        self._next_ns = self._twin.time_ns + self._period_ns

    def advance(self, to_ns: int) -> None:
        while to_ns >= self._next_ns:
            self._twin.advance(self._next_ns)
            following = self._make(next(self._truths))
            following.set_state(self._twin.state())
            self._twin = following
            self._next_ns += self._period_ns
        self._twin.advance(to_ns)

    def drive_current(self, amperes: float) -> None:
        self._twin.drive_current(amperes)

    def brake_current(self, amperes: float) -> None:
        self._twin.brake_current(amperes)

    def servo(self, position: float) -> None:
        self._twin.servo(position)

    @property
    def motor_speed(self) -> float:
        return self._twin.motor_speed

    @property
    def motor_current(self) -> float:
        return self._twin.motor_current

    @property
    def input_voltage(self) -> float:
        return self._twin.input_voltage

    @property
    def fet_temperature(self) -> float:
        return self._twin.fet_temperature

    @property
    def motor_temperature(self) -> float:
        return self._twin.motor_temperature

    @property
    def specific_force(self) -> Array:
        return self._twin.specific_force

    @property
    def angular_velocity(self) -> Array:
        return self._twin.angular_velocity

    @property
    def antenna_position(self) -> Array:
        return self._twin.antenna_position

    @property
    def antenna_velocity(self) -> Array:
        return self._twin.antenna_velocity

    @property
    def time_ns(self) -> int:
        return self._twin.time_ns

    @property
    def steering(self) -> float:
        return self._twin.steering

    def pose(self) -> tuple[float, float, float]:
        return self._twin.pose()

    def velocity_body(self) -> tuple[float, float, float]:
        return self._twin.velocity_body()

    def upright(self) -> float:
        return self._twin.upright()

    def in_contact_with_wall(self) -> bool:
        return self._twin.in_contact_with_wall()

    def place(self, pose: tuple[float, float, float] | None = None) -> None:
        self._twin.place(pose)

    def state(self) -> Array:
        return self._twin.state()

    def set_state(self, state: Array) -> None:
        self._twin.set_state(state)
