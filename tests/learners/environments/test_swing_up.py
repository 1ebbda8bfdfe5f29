"""The cart-pole's equations: energy, symmetry, the stop, and equality with dm_control's where it is there."""

from __future__ import annotations

import math

import numpy as np
import pytest

from learners.environments import swing_up
from learners.environments.swing_up import (
    CART,
    GRAVITY,
    HALF,
    INERTIA,
    POLE,
    REPEAT,
    STEPS,
    STOP,
    State,
    SwingUp,
    moved,
)


def energy(state: State) -> float:
    """Kinetic and potential [J], by the velocities of the two bodies."""
    _, angle, velocity, rate = state
    across, up = velocity + HALF * rate * math.cos(angle), -HALF * rate * math.sin(angle)
    kinetic = 0.5 * (CART * velocity**2 + POLE * (across**2 + up**2) + INERTIA * rate**2)
    return kinetic + POLE * GRAVITY * HALF * math.cos(angle)


def test_energy_changes_by_the_work_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swing_up, "CART_DAMPING", 0.0)
    monkeypatch.setattr(swing_up, "POLE_DAMPING", 0.0)
    for force in (0.0, 0.8):
        state = State(0.1, 2.5, 0.2, -0.4)
        before, start = energy(state), state.position
        for _ in range(80):
            state = moved(state, force)
        assert energy(state) - before == pytest.approx(force * (state.position - start), abs=1e-6)


def test_left_is_as_right() -> None:
    state, mirrored = State(0.1, 2.5, 0.2, -0.4), State(-0.1, -2.5, -0.2, 0.4)
    for _ in range(50):
        state, mirrored = moved(state, 3.0), moved(mirrored, -3.0)
    np.testing.assert_allclose(np.array(state), -np.array(mirrored), atol=1e-12)


def test_the_cart_stays_where_it_strikes() -> None:
    state = State(1.7, math.pi, 2.0, 0.0)
    for _ in range(50):
        state = moved(state, 10.0)
    assert state.position == STOP and state.velocity == 0.0


def test_the_reward_is_the_share_of_a_step_upright_in_the_middle() -> None:
    environment = SwingUp()
    for position, angle, wanted in ((0.0, 0.0, 1.0), (0.0, 0.2, 0.0), (0.5, 0.0, 0.0), (0.0, math.tau, 1.0)):
        environment.reset(seed=0)
        environment.state = State(position, angle, 0.0, 0.0)
        assert environment.step(np.zeros(1))[1] == wanted
    environment.reset(seed=0)
    environment.state = State(0.247, 0.0, 0.1, 0.0)  # 1 mm per time step: three are rewarded
    assert environment.step(np.zeros(1))[1] == pytest.approx(3 / REPEAT)


def test_an_episode_is_cut_off_and_begins_hanging() -> None:
    environment = SwingUp()
    observation, _ = environment.reset(seed=1)
    assert observation[1] < -0.99
    ends = [environment.step(np.zeros(1))[2:4] for _ in range(STEPS)]
    assert ends == [(False, False)] * (STEPS - 1) + [(False, True)]


def test_it_moves_as_dm_control_s() -> None:
    suite = pytest.importorskip("dm_control.suite")
    physics = suite.load("cartpole", "swingup_sparse").physics
    state, rng = State(0.1, 3.0, 0.2, -0.3), np.random.default_rng(0)
    with physics.reset_context():
        physics.data.qpos[:], physics.data.qvel[:] = state[:2], state[2:]
    for _ in range(60):
        action = rng.uniform(-1.0, 1.0)
        physics.set_control([action])
        physics.step()
        state = moved(state, 10.0 * action)
        np.testing.assert_allclose(np.array(state), [*physics.data.qpos, *physics.data.qvel], atol=1e-12)
