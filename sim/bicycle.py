"""Another model of the same car, to judge the twin by: a dynamic single-track model on Pacejka tyres.

Planar: centre of mass, heading and the spin of either axle, with load transfer between the axles. Nothing in
it is MuJoCo; motor, battery, servo and parameters are the twin's. Equations: Rajamani, "Vehicle Dynamics and
Control", 2nd ed., 2.3 and 4.1; tyres: ``sim.tyre``; walls: ``sim.collision``. What it cannot do is roll over.

A step is semi-implicit (velocities, then positions), which keeps the tyres' and walls' springs from gaining
energy, and the velocity is the world's, so that turning the frame does not either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from robot.errors import SandlotError
from robot.spec import RobotSpec
from sim.car import GRAVITY, car_parameters, wheel_inertia
from sim.collision import Collision
from sim.hand import Hand
from sim.plant import Array
from sim.powertrain import Powertrain
from sim.tyre import FRONT_STIFFNESS, REAR_STIFFNESS, Tyre
from sim.world import World, load_world

TIMESTEP = 0.001
"""[s]; the stiffest parts, a wheel on its tyre and the car on its bumper, take 70 ms a swing."""


class Bicycle(Powertrain):
    """A car on two axles between walls; implements ``sim.plant.Twin``. Parameters as ``sim.twin.CarTwin``'s.
    Raises SpecError."""

    def __init__(
        self,
        spec: RobotSpec,
        world: World | Path,
        rng: np.random.Generator | None = None,
        truth: Mapping[str, float] | None = None,
        timestep: float = TIMESTEP,
    ) -> None:
        self.world = load_world(world) if isinstance(world, Path) else world
        super().__init__(car_parameters(spec, truth), timestep)
        car = self.car
        self._hand = Hand(self.world, rng)
        self._timestep = timestep
        self._step_ns = round(timestep * 1e9)
        self._time_ns = 0
        self._collision = Collision(self.world, car, timestep)
        friction = car.tyre_friction * self.world.floor_friction
        self._front = Tyre(friction, FRONT_STIFFNESS, timestep)
        self._rear = Tyre(friction, REAR_STIFFNESS, timestep)
        self._imu = np.array(spec.vector("imu_position"))
        self._antenna = np.array(spec.vector("gnss_antenna"))

        weight, wheelbase = car.mass * GRAVITY, car.front_axle + car.rear_axle
        self._front_weight, self._rear_weight = (
            weight * car.rear_axle / wheelbase,
            weight * car.front_axle / wheelbase,
        )
        self._transfer = car.centre_of_mass_height / wheelbase
        # The motor turns with the mean of both axles: the rotor counts for their sum alone.
        self._axle_inertia = 2 * wheel_inertia(car)[0]
        self._rotor = car.rotor_inertia * car.gear_ratio**2 / 4
        self._arrest = (self._axle_inertia + self._rotor) / timestep
        self._drag = car.rolling_resistance * weight * car.wheel_radius / 2

        self._x = self._y = self._yaw = 0.0
        self._velocity_x = self._velocity_y = self._yaw_rate = 0.0  # world frame
        self._front_spin = self._rear_spin = 0.0  # of the axles [rad/s]
        self._traction = 0.0  # of both axles in the last step [N]
        self._forward_force = self._leftward_force = self._yaw_acceleration = 0.0  # felt, per mass
        self.place(self.world.start_pose)

    def advance(self, to_ns: int) -> None:
        """Step until one step more would pass ``to_ns``. Raises SandlotError if the physics diverged."""
        for _ in range((to_ns - self._time_ns) // self._step_ns):
            self._step()
            self._time_ns += self._step_ns
        if not math.isfinite(self._x + self._y + self._yaw_rate):
            raise SandlotError(
                f"the bicycle's physics diverged at {self._time_ns * 1e-9:.3f} s with a step of "
                f"{self._timestep} s; are its parameters physical? {self.car}"
            )

    def _step(self) -> None:
        car, dt = self.car, self._timestep
        cosine, sine = math.cos(self._yaw), math.sin(self._yaw)
        forward = cosine * self._velocity_x + sine * self._velocity_y
        leftward = cosine * self._velocity_y - sine * self._velocity_x
        turn, radius = self._yaw_rate, car.wheel_radius

        # Tyres, with the load that the last step's traction left on them.
        angle = self._steering.step()
        ahead, aside = math.cos(angle), math.sin(angle)
        moved = self._transfer * self._traction
        at_front, at_rear = leftward + car.front_axle * turn, leftward - car.rear_axle * turn
        front_drive, front_side = self._front.step(
            ahead * forward + aside * at_front,
            ahead * at_front - aside * forward,
            radius * self._front_spin,
            max(self._front_weight - moved, 0.0),
        )
        rear_drive, rear_side = self._rear.step(
            forward, at_rear, radius * self._rear_spin, max(self._rear_weight + moved, 0.0)
        )
        front_left = aside * front_drive + ahead * front_side
        self._traction = traction = ahead * front_drive - aside * front_side + rear_drive
        side = front_left + rear_side
        moment = car.front_axle * front_left - car.rear_axle * rear_side

        # Centre of mass and heading.
        push_x, push_y, push_moment = self._collision.force(
            (self._x, self._y, cosine, sine), (self._velocity_x, self._velocity_y, turn)
        )
        acceleration_x = (cosine * traction - sine * side + push_x) / car.mass
        acceleration_y = (sine * traction + cosine * side + push_y) / car.mass
        self._yaw_acceleration = (moment + push_moment) / car.yaw_inertia
        self._forward_force = cosine * acceleration_x + sine * acceleration_y
        self._leftward_force = cosine * acceleration_y - sine * acceleration_x
        self._velocity_x += dt * acceleration_x
        self._velocity_y += dt * acceleration_y
        self._yaw_rate += dt * self._yaw_acceleration
        self._x += dt * self._velocity_x
        self._y += dt * self._velocity_y
        self._yaw += dt * self._yaw_rate

        # Axles: an open differential gives each half of the torque.
        torque = 0.5 * self._motor.step(0.5 * (self._front_spin + self._rear_spin))
        front = self._dragged(torque - radius * front_drive, self._front_spin)
        rear = self._dragged(torque - radius * rear_drive, self._rear_spin)
        together = (front + rear) / (self._axle_inertia + 2 * self._rotor)
        apart = (front - rear) / self._axle_inertia
        self._front_spin += 0.5 * dt * (together + apart)
        self._rear_spin += 0.5 * dt * (together - apart)

    def _dragged(self, torque: float, spin: float) -> float:
        """Torque on an axle less rolling resistance [N m], which at most stops it within the step."""
        stopping = torque + self._arrest * spin
        return torque - min(max(stopping, -self._drag), self._drag)

    # What the sensors feel.

    @property
    def motor_speed(self) -> float:
        return 0.5 * (self._front_spin + self._rear_spin) * self.car.gear_ratio

    @property
    def specific_force(self) -> Array:
        x, y, _ = self._imu
        spin_up, square = self._yaw_acceleration, self._yaw_rate**2
        return np.array(
            [
                self._forward_force - spin_up * y - square * x,
                self._leftward_force + spin_up * x - square * y,
                GRAVITY,
            ]
        )

    @property
    def angular_velocity(self) -> Array:
        return np.array([0.0, 0.0, self._yaw_rate])

    @property
    def antenna_position(self) -> Array:
        x, y = self._lever()
        return np.array([self._x + x, self._y + y, self.car.centre_of_mass_height + self._antenna[2]])

    @property
    def antenna_velocity(self) -> Array:
        x, y = self._lever()
        return np.array([self._velocity_x - self._yaw_rate * y, self._velocity_y + self._yaw_rate * x, 0.0])

    def _lever(self) -> tuple[float, float]:
        """From the centre of mass to the antenna, world frame [m]."""
        cosine, sine = math.cos(self._yaw), math.sin(self._yaw)
        x, y = float(self._antenna[0]), float(self._antenna[1])
        return cosine * x - sine * y, sine * x + cosine * y

    # The truth.

    @property
    def time_ns(self) -> int:
        return self._time_ns

    def pose(self) -> tuple[float, float, float]:
        return self._x, self._y, math.remainder(self._yaw, 2 * math.pi)

    def velocity_body(self) -> tuple[float, float, float]:
        cosine, sine = math.cos(self._yaw), math.sin(self._yaw)
        return (
            cosine * self._velocity_x + sine * self._velocity_y,
            cosine * self._velocity_y - sine * self._velocity_x,
            self._yaw_rate,
        )

    def upright(self) -> float:
        return 1.0

    def in_contact_with_wall(self) -> bool:
        return self._collision.touching

    def kinetic_energy(self) -> float:
        """Of the car and everything that turns in it [J]."""
        car, both = self.car, self._front_spin + self._rear_spin
        return 0.5 * (
            car.mass * (self._velocity_x**2 + self._velocity_y**2)
            + car.yaw_inertia * self._yaw_rate**2
            + self._axle_inertia * (self._front_spin**2 + self._rear_spin**2)
            + self._rotor * both**2
        )

    def place(self, pose: tuple[float, float, float] | None = None) -> None:
        self._x, self._y, self._yaw = self._hand.pose_near(self._x, self._y) if pose is None else pose
        self.launch(0.0)

    def launch(self, speed: float, leftward: float = 0.0, yaw_rate: float = 0.0) -> None:
        """Roll from here at ``speed`` and drift at ``leftward`` [m/s] and ``yaw_rate`` [rad/s], body frame,
        the wheels turning with the road."""
        cosine, sine = math.cos(self._yaw), math.sin(self._yaw)
        self._velocity_x = cosine * speed - sine * leftward
        self._velocity_y = sine * speed + cosine * leftward
        self._yaw_rate = yaw_rate
        self._front_spin = self._rear_spin = speed / self.car.wheel_radius
        self._traction = self._forward_force = self._leftward_force = self._yaw_acceleration = 0.0
        self._collision.touching = False
        self._front.reset()
        self._rear.reset()

    def state(self) -> Array:
        return np.array(
            [
                self._time_ns,
                *self._steering.state(),
                *self._motor.state(),
                *self._front.state(),
                *self._rear.state(),
                *(self._x, self._y, self._yaw, self._velocity_x, self._velocity_y, self._yaw_rate),
                *(self._front_spin, self._rear_spin, self._traction),
                *(self._forward_force, self._leftward_force, self._yaw_acceleration),
                self._collision.touching,
            ],
            np.float64,
        )

    def set_state(self, state: Array) -> None:
        values = state.tolist()
        self._time_ns = int(values.pop(0))
        for part in (self._steering, self._motor, self._front, self._rear):
            part.set_state(values[: part.STATE_SIZE])
            del values[: part.STATE_SIZE]
        self._x, self._y, self._yaw, self._velocity_x, self._velocity_y, self._yaw_rate = values[:6]
        self._front_spin, self._rear_spin, self._traction = values[6:9]
        self._forward_force, self._leftward_force, self._yaw_acceleration = values[9:12]
        self._collision.touching = bool(values[12])
