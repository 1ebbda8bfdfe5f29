"""Between two commands: where the target is, and when what is allowed is no longer on its way to it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot.safety.setpoint_hold import SetpointHold
from robot.spec import ActionTerm, Actuator

TICKS = 5
RANGES = ((-1.0, 3.0, 0.0), (2.0, 30.0, 2.5), (-0.3, 0.3, 0.1))


def hold(linear: tuple[int, ...]) -> SetpointHold:
    """Three actuators, those numbered ramp."""
    actuators = tuple(
        Actuator(name=f"u{k}", device="d", unit="1", lower=low, upper=high, slew=1.0, rest=rest)
        for k, (low, high, rest) in enumerate(RANGES)
    )
    actions = tuple(
        ActionTerm(
            name=f"a{k}",
            actuator=f"u{k}",
            lower=low,
            upper=high,
            interpolation="linear" if k in linear else "hold",
        )
        for k, (low, high, _) in enumerate(RANGES)
    )
    spec: Any = SimpleNamespace(actuators=actuators, actions=actions, ticks_per_step=TICKS)
    return SetpointHold(spec)


vectors = st.tuples(*(st.floats(low, high) for low, high, _ in RANGES)).map(np.array)


@given(vectors, vectors, st.sampled_from([(), (1,), (0, 2), (0, 1, 2)]))
def test_a_command_is_the_target_at_once_or_after_a_straight_ramp(
    start: Any, goal: Any, linear: tuple[int, ...]
) -> None:
    target = hold(linear)
    kept = goal.copy()
    target.take(kept, start)
    kept.fill(99.0)  # the caller's array is the caller's
    for tick in range(1, 2 * TICKS):
        share = min(tick / TICKS, 1.0)
        ramp = start + (goal - start) * share
        for k in range(3):
            if k in linear and share < 1.0:
                assert target.target()[k] == pytest.approx(ramp[k], rel=1e-12, abs=1e-12)
            else:
                assert target.target()[k] == goal[k], "exactly the command, without the ramp's rounding"
        target.advance()
    assert np.array_equal(target.target(), goal), "in the end exactly the command"


def test_before_any_command_the_target_is_rest() -> None:
    for linear in ((), (0, 1)):
        target = hold(linear)
        for _ in range(2 * TICKS):
            assert target.target().tolist() == [rest for _, _, rest in RANGES]
            target.advance()
    away = np.array([rest for _, _, rest in RANGES]) + 0.9
    assert not hold(()).altered(away, np.full(3, 0.9 / (TICKS - 1)))


@given(vectors, st.integers(0, 2 * TICKS), st.integers(0, 2), st.floats(0.01, 2.0))
def test_allowed_is_unaltered_exactly_while_the_command_can_still_be_reached_in_its_step(
    goal: Any, age: int, which: int, step: float
) -> None:
    """What is left to go must fit into the ticks left of the policy step, at the slew, with a thousandth of
    the range to spare for rounding."""
    target = hold(())
    target.take(goal, goal)
    for _ in range(age):
        target.advance()
    low, high, _ = RANGES[which]
    left = step * max(TICKS - 1 - age, 0) + 1e-3 * (high - low)
    steps = np.full(3, step)
    for sign in (-1.0, 1.0):
        allowed = goal.copy()
        allowed[which] = goal[which] + sign * left * (1 - 1e-6)
        assert not target.altered(allowed, steps)
        allowed[which] = goal[which] + sign * left * (1 + 1e-6) + sign * 1e-12
        assert target.altered(allowed, steps)


def test_an_actuator_that_cannot_move_is_never_altered() -> None:
    fixed = Actuator(name="u", device="d", unit="1", lower=2.0, upper=2.0, slew=1.0, rest=2.0)
    spec: Any = SimpleNamespace(actuators=(fixed,), actions=(), ticks_per_step=1)
    target = SetpointHold(spec)
    target.take(np.array([2.0]), np.array([2.0]))
    assert not target.altered(np.array([2.0]), np.array([0.01]))


def test_a_new_command_starts_a_new_step() -> None:
    target = hold((0,))
    for _ in range(3):
        target.advance()
    target.take(np.array([1.0, 3.0, 0.0]), np.zeros(3))
    assert target.target()[0] == pytest.approx(1.0 / TICKS)
