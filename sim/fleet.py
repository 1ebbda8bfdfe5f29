"""Many cars, each in a room of its own like the others', stepped together: the twin for statistics.

Every car is a ``sim.twin.CarTwin`` to the last bit, given the same truth and the same commands, at any number
of threads: physics in ``mujoco.batch``, motor and steering in numpy for all at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import mujoco
import numpy as np
from mujoco.batch import MODEL_FIELDS, Batch, SimulationError
from numpy.typing import NDArray

from robot.errors import SandlotError
from robot.spec import RobotSpec
from sim.car import GRAVITY, WHEELS, CarParameters, ackermann, car_parameters
from sim.fleet_motor import FleetMotor
from sim.plant import Array
from sim.scene import scene
from sim.twin import SETTLE_STEPS, TIMESTEP
from sim.world import World

Numbers = NDArray[np.intp]
TYRES = 4
"""Contacts of a car that touches nothing but the floor it stands on."""

DIVERGED = slice(int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADQACC) + 1)
"""Warnings after which MuJoCo has put a simulation back to its beginning."""


class CarFleet:
    """``truths``: for each car, values of ``sim.car.CarParameters`` that differ from the calibration.
    ``threads``: how many step the physics (0: all processors). ``settle_steps``: how long a car settles on
    its tyres before it is first placed; as long as the twin's for the same last bit.

    ``place`` the cars, say what their electronics do (``motor``, ``servo``), then ``step``. A car whose
    physics diverges is marked so in ``diverged`` and stops no other. Arrays are over the cars. Raises
    SpecError.
    """

    def __init__(
        self,
        spec: RobotSpec,
        world: World,
        truths: Sequence[Mapping[str, float]],
        timestep: float = TIMESTEP,
        threads: int = 0,
        settle_steps: int = SETTLE_STEPS,
    ) -> None:
        self.size = len(truths)
        self.world = world
        self.timestep = timestep
        self.cars = tuple(car_parameters(spec, truth) for truth in truths)
        distinct = {car: number for number, car in reversed(list(enumerate(self.cars)))}
        """The first car with these parameters."""
        models = {car: scene(world, car, timestep, drawn=False) for car in distinct}
        base = models[self.cars[0]]
        self.batch = batch = Batch(base, self.size, threads)
        _differ(batch, [models[car] for car in self.cars])
        self.motor = FleetMotor(self.cars, timestep)
        wheels = [base.joint(name).dofadr[0] for name in WHEELS]
        self._wheel_speeds = [batch.qvel[:, w] for w in wheels]
        self._wheel_speed: Array = np.zeros(self.size)
        """Mean of the four wheels [rad/s]."""
        self._wheel_places = [base.joint(name).qposadr[0] for name in WHEELS]
        self._wheels = wheels
        left, right = (base.body(f"wheel_{name}").id for name in WHEELS[:2])
        self._hubs = batch.expand("body_quat")[:, left : right + 1 : right - left, ::3]
        """Of the frames of the steered wheels, left and right, the quaternion's w and z, shape (n, 2, 2)."""
        self._position, self._velocity = batch.qpos, batch.qvel
        self._acceleration = batch.bind("qacc")
        self._rotation = batch.bind("xmat").reshape(self.size, -1, 3, 3)[:, base.body("car").id]
        self._contacts = batch.bind("ncon")
        self._torque = batch.ctrl[:, 0]
        self._up = np.array([0.0, 0.0, GRAVITY])
        self._imu = np.array(spec.vector("imu_position"))
        self._off_centre = bool(self._imu.any())
        self._failed: NDArray[np.bool_] = np.zeros(self.size, bool)
        """In whose physics MuJoCo has raised an error."""
        self.steering: Array = np.zeros(self.size)
        """The angles that the wheels have really reached [rad], left positive."""
        self._wanted: Array = np.zeros(self.size)
        self._servo: Array = np.zeros(self.size)
        """Commanded angles of the servos, and where they are [rad]."""
        self._servo_gain, self._servo_offset = self._each("servo_gain"), self._each("servo_offset")
        self._gear = self._each("gear_ratio")
        self._limit, self._radius = self._each("steering_limit"), self._each("wheel_radius")
        self._wheelbase = np.array([car.front_axle + car.rear_axle for car in self.cars])
        half = self._each("track_width") / 2
        self._sides = np.stack((-half, half))
        self._lag = np.array([1.0 - math.exp(-timestep / car.steering_time_constant) for car in self.cars])
        self._turn = self._each("steering_rate") * timestep
        self._turn_back = -self._turn
        self._play = self._each("steering_backlash") / 2
        everyone = np.arange(self.size)
        self._steer(everyone, np.zeros(self.size))
        self._rest = self._settled([distinct[car] for car in self.cars], settle_steps)
        self.place(everyone, np.tile(world.start_pose, (self.size, 1)))

    def _each(self, name: str) -> Array:
        return np.array([getattr(car, name) for car in self.cars])

    def servo(self, position: Array) -> None:
        """Commanded servo pulses, 0 to 1, from now on."""
        self._wanted = self._angle(position, slice(None))

    def steered(self, cars: Numbers, positions: Array) -> None:
        """The servos have been at these pulses one after another, shape (n, k), and are at the last: there
        their wheels stand in the play."""
        angles = [self._angle(position, cars) for position in positions.T]
        wheels, play = angles[0], self._play[cars]
        for servo in angles[1:]:
            wheels = np.minimum(np.maximum(wheels, servo - play), servo + play)
        self._wanted[cars] = self._servo[cars] = angles[-1]
        self._steer(cars, wheels)

    def _angle(self, position: Array, cars: Numbers | slice) -> Array:
        """Of servos at these pulses [rad]."""
        inside = np.minimum(np.maximum(position, 0.0), 1.0)
        angle = (inside - self._servo_offset[cars]) / self._servo_gain[cars]
        limit = self._limit[cars]
        return np.asarray(np.minimum(np.maximum(angle, -limit), limit))

    def step(self, cars: Numbers | None = None) -> None:
        """One timestep of the cars with these sorted numbers, or of all; the others stand still in time."""
        self._torque[:] = self.motor.step(self._wheel_speed)
        change = self._lag * (self._wanted - self._servo)
        if np.count_nonzero(change):
            servo = self._servo = self._servo + np.minimum(np.maximum(change, self._turn_back), self._turn)
            angle = np.minimum(np.maximum(self.steering, servo - self._play), servo + self._play)
            (turning,) = (angle != self.steering).nonzero()
            if len(turning):
                self._steer(turning, angle[turning])
        self._advance(cars, 1)

    def _advance(self, cars: Numbers | None, steps: int) -> None:
        try:
            self.batch.step(cars, steps)
        except SimulationError as error:
            self._failed[error.ids] = True
        self._read_wheels()

    def _read_wheels(self) -> None:
        a, b, c, d = self._wheel_speeds
        self._wheel_speed = 0.25 * (a + b + c + d)

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """Whose physics has failed since it was placed, shape (n,); its values mean nothing."""
        bad = self.batch.warning[:, DIVERGED, 1].any(axis=1)
        return np.asarray(self._failed | bad | ~np.isfinite(self._position[:, 0]))

    # What the sensors feel, and the truth.

    @property
    def motor_speed(self) -> Array:
        """Mechanical speed of the motors [rad/s], shape (n,)."""
        return np.asarray(self._wheel_speed * self._gear)

    @property
    def specific_force(self) -> Array:
        """What ideal accelerometers read [m/s^2], body frame, shape (n, 3)."""
        upward = self._acceleration[:, :3] + self._up
        force = (upward[:, None] @ self._rotation)[:, 0]
        if self._off_centre:
            spin, spin_up = self._velocity[:, 3:6], self._acceleration[:, 3:6]
            force += np.cross(spin_up, self._imu) + np.cross(spin, np.cross(spin, self._imu))
        return np.asarray(force)

    @property
    def angular_velocity(self) -> Array:
        """What ideal gyroscopes read [rad/s], body frame, shape (n, 3)."""
        return np.array(self._velocity[:, 3:6])

    def inertial(self) -> Array:
        """What an ideal inertial measurement unit reads: ``specific_force``, then ``angular_velocity``, shape
        (n, 6)."""
        return np.concatenate((self.specific_force, self._velocity[:, 3:6]), axis=1)

    @property
    def position(self) -> Array:
        """Of the centres of mass [m], world frame, shape (n, 3)."""
        return np.array(self._position[:, :3])

    @property
    def velocity(self) -> Array:
        """Of the centres of mass [m/s], world frame, shape (n, 3)."""
        return np.array(self._velocity[:, :3])

    def attitude(self) -> Array:
        """Rotations from body to world now, shape (n, 3, 3)."""
        w, x, y, z = self._position[:, 3:7].T
        return np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        ).transpose(2, 0, 1)

    @property
    def touching(self) -> NDArray[np.bool_]:
        """Whether there are more contacts than four tyres have, shape (n,): with a wall, or with the floor in
        a flip. A car that leans on a wall with a wheel in the air has no more."""
        touching: NDArray[np.bool_] = self._contacts > TYRES
        return touching

    def place(self, cars: Numbers, poses: Array, speeds: Array | None = None) -> None:
        """Set cars down on their wheels, steering straight, motor off and cold: ``poses`` x, y [m], yaw
        [rad], shape (n, 3); ``speeds``: rolling forward so fast [m/s], shape (n,)."""
        batch, rest = self.batch, self._rest[cars]
        self.motor.rest(cars)
        self._wanted[cars] = self._servo[cars] = 0.0
        self._steer(cars, np.zeros(len(cars)))
        position = rest.copy()
        position[:, :2] = poses[:, :2]
        for row, (yaw, before) in enumerate(zip(poses[:, 2].tolist(), rest[:, 3:7], strict=True)):
            turn = np.array([math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)])
            mujoco.mju_mulQuat(position[row, 3:7], turn, before)
        batch.qpos[cars] = position
        batch.qvel[cars] = 0.0
        batch.ctrl[cars] = 0.0
        batch.qacc_warmstart[cars] = 0.0
        batch.warning[cars] = 0
        self._failed[cars] = False
        batch.forward(cars)
        if speeds is not None:
            yaw = poses[:, 2]
            batch.qvel[cars, 0], batch.qvel[cars, 1] = speeds * np.cos(yaw), speeds * np.sin(yaw)
            for wheel in self._wheels:
                batch.qvel[cars, wheel] = speeds / self._radius[cars]
        self._read_wheels()

    def seat(self, cars: Numbers, poses: Array, velocities: Array) -> None:
        """Move driving cars: ``poses`` x, y [m], yaw [rad], and ``velocities`` forward, leftward [m/s], yaw
        rate [rad/s], shape (n, 3) each. Height, roll, pitch, wheels, steering and motor stay as they are."""
        batch, (w, x, y, z) = self.batch, self._position[cars, 3:7].T
        turn = (poses[:, 2] - np.arctan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z))) / 2
        cosine, sine = np.cos(turn), np.sin(turn)
        batch.qpos[cars, :2] = poses[:, :2]
        batch.qpos[cars, 3:7] = np.stack(
            (cosine * w - sine * z, cosine * x - sine * y, cosine * y + sine * x, cosine * z + sine * w), -1
        )
        cosine, sine = np.cos(poses[:, 2]), np.sin(poses[:, 2])
        forward, left, spin = velocities.T
        batch.qvel[cars, 0] = cosine * forward - sine * left
        batch.qvel[cars, 1] = sine * forward + cosine * left
        batch.qvel[cars, 5] = spin

    def _steer(self, cars: Numbers, angles: Array) -> None:
        """Turn front wheels' hinge frames. The C library's tangent, not numpy's, which may differ from it in
        the last bit."""
        some = cars if len(cars) < self.size else slice(None)
        self.steering[some] = angles
        tangent = np.array([*map(math.tan, angles.tolist())])
        w, z = ackermann(tangent, self._wheelbase[some], self._sides[:, some], np.sqrt)
        self._hubs[some, :, 0], self._hubs[some, :, 1] = w.T, z.T

    def _settled(self, like: Sequence[int], steps: int) -> Array:
        """Generalised position of every car at rest on its tyres, shape (n, nq); cars of equal parameters
        settle once. ``like``: the number of the car that does it for each."""
        batch = self.batch
        batch.qpos[:, :2] = self.world.start_pose[:2]
        self._advance(np.unique(np.array(like)), steps)
        if self.diverged.any():
            worst: CarParameters = self.cars[int(np.flatnonzero(self.diverged)[0])]
            raise SandlotError(
                f"the physics diverged while a car settled on its wheels with a step of {self.timestep} s; "
                f"are its parameters physical? {worst}"
            )
        rest = np.array(batch.qpos[list(like)])
        rest[:, 7:] = 0.0
        batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE)
        return rest


def _differ(batch: Batch, models: Sequence[mujoco.MjModel]) -> None:
    """Give each simulation its own values of the model fields in which ``models`` differ."""
    numbers = {id(model): number for number, model in enumerate({id(m): m for m in models}.values())}
    distinct = list({id(model): model for model in models}.values())
    which = [numbers[id(model)] for model in models]
    for name in sorted(MODEL_FIELDS):
        if name.startswith("opt."):
            continue  # the same for all: they are the scene's, not the car's
        values = np.array([getattr(model, name) for model in distinct])
        if values.size and (values != values[0]).any():
            own = batch.expand(name)
            # Of the bounding volumes only the bodies' are a simulation's own; they come first.
            own[:] = values[which, : own.shape[1]] if own.ndim > 1 else values[which]
    batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE)
