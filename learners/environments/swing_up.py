"""Sparse cart-pole swing-up: a reward only where the pole stands upright near the middle, of which random
actions see nothing.

Bodies, limits, start and reward are those of dm_control's ``cartpole-swingup_sparse`` (Tassa et al. 2018,
arXiv 1801.00690), integrated here from the equations of motion; an action lasts 80 ms instead of its 10.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.environments.environment import Box

GRAVITY: Final = 9.81
"""[m/s^2]"""
CART: Final = 1.0
"""[kg]"""
POLE: Final = 0.1
"""[kg]"""
LENGTH, RADIUS = 1.0, 0.045
"""Of the pole, a capsule; its round ends add a radius each [m]."""
FORCE: Final = 10.0
"""Of an action of 1 [N]."""
CART_DAMPING, POLE_DAMPING = 5e-4, 2e-6
"""[N s/m], [N m s]"""
STOP: Final = 1.8
"""The cart's way to either side [m]; it stays where it strikes."""
CART_NEAR: Final = 0.25
"""Rewarded within this [m],"""
UPRIGHT: Final = 0.995
"""while the cosine of the pole's angle is more."""
TIMESTEP_S: Final = 0.01
REPEAT: Final = 8
STEPS: Final = 125
"""An episode's: 10 s. It is truncated then, nothing terminates it."""

HALF: Final = LENGTH / 2.0
_CYLINDER = LENGTH / (LENGTH + RADIUS * 4.0 / 3.0)
INERTIA: Final = POLE * (
    _CYLINDER * (3.0 * RADIUS**2 + LENGTH**2) / 12.0
    + (1.0 - _CYLINDER) * (0.4 * RADIUS**2 + LENGTH**2 / 4.0 + 0.375 * LENGTH * RADIUS)
)
"""Of the capsule about the middle of its length, across it [kg m^2]."""


class State(NamedTuple):
    """``angle`` is 0 upright and grows towards positive ``position``."""

    position: float  # [m]
    angle: float  # [rad]
    velocity: float  # [m/s]
    rate: float  # [rad/s]


class SwingUp:
    """Observation: the cart's position, cosine and sine of the pole's angle, velocity and angular rate.
    Action: the force in [-1, 1]. Reward: the rewarded share of the step's 80 ms."""

    def __init__(self) -> None:
        infinite = np.full(5, np.inf, np.float32)
        self.observation_space = Box(-infinite, infinite, np.dtype(np.float32))
        self.action_space = Box(-np.ones(1, np.float32), np.ones(1, np.float32), np.dtype(np.float32))
        self.metadata: dict[str, Any] = {"render_fps": 1.0 / (REPEAT * TIMESTEP_S)}
        self.state, self._count = State(0.0, math.pi, 0.0, 0.0), 0
        self._rng = np.random.default_rng()

    def reset(self, *, seed: int | None = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        near = 0.01 * self._rng.standard_normal(4)
        self.state, self._count = State(near[0], math.pi + near[1], near[2], near[3]), 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        force = FORCE * float(np.clip(action[0], -1.0, 1.0))
        rewarded = 0
        for _ in range(REPEAT):
            self.state = moved(self.state, force)
            rewarded += abs(self.state.position) <= CART_NEAR and math.cos(self.state.angle) >= UPRIGHT
        self._count += 1
        return self._observation(), rewarded / REPEAT, False, self._count >= STEPS, {}

    def close(self) -> None:
        return

    def _observation(self) -> NDArray[np.float32]:
        position, angle, velocity, rate = self.state
        return np.array([position, math.cos(angle), math.sin(angle), velocity, rate], np.float32)


def moved(state: State, force: float) -> State:
    """One time step later, by the fourth-order Runge-Kutta method; ``force`` [N]."""
    h = TIMESTEP_S
    a = _slope(state, force)
    b = _slope(_along(state, a, h / 2), force)
    c = _slope(_along(state, b, h / 2), force)
    d = _slope(_along(state, c, h), force)
    mean = State(*((p + 2 * q + 2 * r + s) / 6 for p, q, r, s in zip(a, b, c, d, strict=True)))
    after = _along(state, mean, h)
    if abs(after.position) > STOP:
        return after._replace(position=math.copysign(STOP, after.position), velocity=0.0)
    return after


def _along(state: State, slope: State, h: float) -> State:
    return State(*(x + h * dx for x, dx in zip(state, slope, strict=True)))


def _slope(state: State, force: float) -> State:
    """The state's derivative: Lagrange's equations of a cart and a pole on a hinge."""
    sine, cosine = math.sin(state.angle), math.cos(state.angle)
    moment = POLE * HALF
    # [mass, coupling; coupling, inertia] @ (acceleration, angular acceleration) = (push, turn)
    mass, coupling, inertia = CART + POLE, moment * cosine, INERTIA + moment * HALF
    push = force - CART_DAMPING * state.velocity + moment * state.rate**2 * sine
    turn = moment * GRAVITY * sine - POLE_DAMPING * state.rate
    determinant = mass * inertia - coupling**2
    acceleration = (inertia * push - coupling * turn) / determinant
    angular = (mass * turn - coupling * push) / determinant
    return State(state.velocity, state.rate, acceleration, angular)
