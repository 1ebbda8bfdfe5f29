"""The car and its room in MuJoCo, as a ``CarPlant``; and the truth, for tests, reports and judges only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import mujoco
import numpy as np

from robot.errors import SandlotError
from robot.spec import RobotSpec
from sim.car import GRAVITY, WHEELS, ackermann, car_parameters
from sim.hand import Hand
from sim.motor import Motor
from sim.plant import Array
from sim.powertrain import Powertrain
from sim.scene import scene
from sim.steering import Steering
from sim.world import World, load_world

TIMESTEP = 0.001
"""[s]; one step is 13 us of CPU, and an impact of 20 ms is resolved."""
SETTLE_STEPS = 1000
STATE = mujoco.mjtState.mjSTATE_INTEGRATION


class CarTwin(Powertrain):
    """A car on four tyres between walls; implements ``sim.plant.Twin``.

    ``world``: a world or its file. ``truth``: values of ``sim.car.CarParameters`` that differ from the
    calibration, unknown to everything onboard. ``rng`` makes the hand that sets the car down a human one;
    the physics itself has no chance in it. The car starts at rest at the world's start, its time at 0.
    Raises SpecError.
    """

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
        self.model = scene(self.world, self.car, timestep)
        self.data = mujoco.MjData(self.model)
        self._hand = Hand(self.world, rng)
        self._step_ns = round(timestep * 1e9)
        self._time_ns = 0
        self._up = np.array([0.0, 0.0, GRAVITY])
        self._imu = np.array(spec.vector("imu_position"))
        self._off_centre = bool(self._imu.any())
        self._antenna = np.array(spec.vector("gnss_antenna"))

        body = self.model.body("car").id
        self._rotation = self.data.xmat[body].reshape(3, 3)
        wheels = [self.model.joint(name).dofadr[0] for name in WHEELS]
        # Live views: to ask MuJoCo for an array takes longer than to use it.
        self._wheel_speeds = self.data.qvel[wheels[0] : wheels[-1] + 1]
        self._acceleration, self._turning = self.data.qacc[:3], self.data.qvel[3:6]
        self._position = self.data.qpos
        self._diverged = self.data.warning[mujoco.mjtWarning.mjWARN_BADQACC]
        self._hubs = [self.model.body_quat[self.model.body(f"wheel_{n}").id] for n in WHEELS[:2]]
        solid = self.model.geom_contype != 0
        solid[self.model.geom("floor").id] = False
        self._wall_geoms = np.flatnonzero(solid)

        self._steer(0.0)
        self._rest = self._settled()
        self.place(self.world.start_pose)

    def advance(self, to_ns: int) -> None:
        """Step until one step more would pass ``to_ns``. Raises SandlotError if the physics diverged."""
        speeds, control, motor, steering = self._wheel_speeds, self.data.ctrl, self._motor, self._steering
        model, data, step = self.model, self.data, mujoco.mj_step
        for _ in range((to_ns - self._time_ns) // self._step_ns):
            a, b, c, d = speeds.tolist()
            control[0] = motor.step(0.25 * (a + b + c + d))
            before = steering.angle
            if steering.step() != before:
                self._steer(steering.angle)
            step(model, data)
            self._time_ns += self._step_ns
        if not math.isfinite(self._position[0]) or self._diverged.number:
            raise SandlotError(
                f"the twin's physics diverged at {self._time_ns * 1e-9:.3f} s with a step of "
                f"{self._step_ns * 1e-9} s; are its parameters physical? {self.car}"
            )

    # What the sensors feel.

    @property
    def motor_speed(self) -> float:
        a, b, c, d = self._wheel_speeds.tolist()
        return float(0.25 * (a + b + c + d) * self.car.gear_ratio)

    @property
    def specific_force(self) -> Array:
        # MuJoCo's accelerations are those of the step just made, and so is its rotation matrix.
        force: Array = (self._acceleration + self._up) @ self._rotation
        if self._off_centre:
            spin, spin_up = self.data.qvel[3:6], self.data.qacc[3:6]
            force += np.cross(spin_up, self._imu) + np.cross(spin, np.cross(spin, self._imu))
        return force

    @property
    def angular_velocity(self) -> Array:
        velocity: Array = self._turning.copy()
        return velocity

    @property
    def antenna_position(self) -> Array:
        position: Array = self.data.qpos[:3] + self._attitude() @ self._antenna
        return position

    @property
    def antenna_velocity(self) -> Array:
        lever = np.cross(self.data.qvel[3:6], self._antenna)
        velocity: Array = self.data.qvel[:3] + self._attitude() @ lever
        return velocity

    # The truth.

    @property
    def time_ns(self) -> int:
        """The physics' own time [ns]: at most one step behind what ``advance`` was last asked for."""
        return self._time_ns

    def pose(self) -> tuple[float, float, float]:
        """x, y of the centre of mass [m] and yaw [rad, -pi to pi]."""
        rotation = self._attitude()
        x, y = self.data.qpos[:2]
        return float(x), float(y), math.atan2(rotation[1, 0], rotation[0, 0])

    def velocity_body(self) -> tuple[float, float, float]:
        """Forward and leftward velocity of the centre of mass [m/s] and yaw rate [rad/s], body frame."""
        velocity = self._attitude().T @ self.data.qvel[:3]
        return float(velocity[0]), float(velocity[1]), float(self.data.qvel[5])

    def upright(self) -> float:
        """Cosine of the tilt: 1 on its wheels, 0 on its side, -1 on its roof."""
        return float(self._attitude()[2, 2])

    def in_contact_with_wall(self) -> bool:
        """Whether anything of the car touches a wall or an obstacle."""
        return bool(np.isin(self.data.contact.geom, self._wall_geoms).any())

    def place(self, pose: tuple[float, float, float] | None = None) -> None:
        """Pick the car up and set it down on its wheels, at rest: exactly at ``pose`` (x, y [m], yaw [rad]),
        or (None) about where it is, in the middle of the track and facing along it, as well as a hand can."""
        if pose is None:
            pose = self._hand.pose_near(*self.data.qpos[:2].tolist())
        x, y, yaw = pose
        data = self.data
        data.qpos[:] = self._rest
        data.qpos[:2] = x, y
        turn = np.array([math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)])
        mujoco.mju_mulQuat(data.qpos[3:7], turn, self._rest[3:7])
        data.qvel[:] = 0.0
        data.qacc_warmstart[:] = 0.0
        mujoco.mj_forward(self.model, data)

    def state(self) -> Array:
        """Everything that decides the future, and what the sensors feel now; give it to ``set_state``."""
        physics = np.empty(mujoco.mj_stateSize(self.model, STATE))
        mujoco.mj_getState(self.model, self.data, physics, STATE)
        own = [self._time_ns, *self._steering.state(), *self._motor.state()]
        return np.concatenate([own, self.data.qacc, self._rotation.ravel(), physics])

    def set_state(self, state: Array) -> None:
        """Return to a moment of this twin or of one like it: the same future to the last bit. The hand that
        sets the car down does not return to what it was."""
        motor = 1 + Steering.STATE_SIZE
        acceleration, physics = motor + Motor.STATE_SIZE, state.size - mujoco.mj_stateSize(self.model, STATE)
        self._time_ns = int(state[0])
        self._steering.set_state(state[1:motor].tolist())
        self._motor.set_state(state[motor:acceleration].tolist())
        self._steer(self._steering.angle)
        mujoco.mj_setState(self.model, self.data, state[physics:], STATE)
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_setState(self.model, self.data, state[physics:], STATE)
        self.data.qacc[:] = state[acceleration : acceleration + self.model.nv]
        self._rotation[:] = state[physics - 9 : physics].reshape(3, 3)

    def _attitude(self) -> Array:
        """Rotation from body to world now (MuJoCo's own is one step old), shape (3, 3)."""
        rotation = np.empty(9)
        mujoco.mju_quat2Mat(rotation, self.data.qpos[3:7])
        return rotation.reshape(3, 3)

    def _steer(self, angle: float) -> None:
        """Turn both front wheels' hinge frames."""
        car, tangent = self.car, math.tan(angle)
        wheelbase, half = car.front_axle + car.rear_axle, car.track_width / 2
        for hub, side in zip(self._hubs, (-half, half), strict=True):
            hub[0], hub[3] = ackermann(tangent, wheelbase, side, math.sqrt)

    def _settled(self) -> Array:
        """Generalised position of the car at rest on its tyres, from which ``place`` starts."""
        self.data.qpos[:2] = self.world.start_pose[:2]
        for _ in range(SETTLE_STEPS):
            mujoco.mj_step(self.model, self.data)
        rest: Array = self.data.qpos.copy()
        rest[7:] = 0.0
        mujoco.mj_resetData(self.model, self.data)
        return rest
