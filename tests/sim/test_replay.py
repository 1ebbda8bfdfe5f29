"""A twin replays its own log, whoever else is replayed beside it, and no other car's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robot.spec import load_spec
from sim.estimate_errors import load_errors
from sim.fleet import CarFleet
from sim.fleet_drive import FleetDrive
from sim.log_windows import ELEMENTS, Recording, Windows, cut, join
from sim.replay import HALL, replay, replay_drive
from sim.speed_memory import speed_memory
from sim.validation.targets import Targets
from sim.validation.twin_validity import Growth, divergence, estimate_errors, growth, twin_validity_gate

# What all of them look at takes seconds to drive: one process has it.
pytestmark = pytest.mark.xdist_group("replayed_windows")

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
ERRORS = load_errors(SPEC)
PERIOD_NS = 10_000_000
SECONDS = 4.0


def calmly(t: float) -> float:
    return 2.0 + 0.8 * math.sin(1.9 * t)


def weaving(t: float) -> float:
    return 0.16 * math.sin(2.3 * t)


def all_or_nothing(t: float) -> float:
    return 4.5 if t % 1.5 < 0.9 else 1.0


def drive(
    truth: Mapping[str, float],
    speed: Callable[[float], float] = calmly,
    steering: Callable[[float], float] = weaving,
) -> tuple[Recording, np.ndarray]:
    """The log of a car that is asked for ``speed`` [m/s] and ``steering`` [rad] at each time, as an estimator
    without error but with its lags would write it, and the true integral and ramp of its speed loop at each
    tick."""
    fleet = CarFleet(SPEC, HALL, [truth], threads=1, settle_steps=200)
    loop = FleetDrive(SPEC, fleet)
    loop.start(np.zeros(1, np.intp), np.zeros(1))
    ticks, layout = round(SECONDS * 100), SPEC.state_layout
    states, sent = np.zeros((ticks, layout.size)), np.zeros((ticks, 2))
    erpm, memory = np.zeros(ticks), np.zeros((ticks, 2))
    lags = {ELEMENTS[k]: round(1e3 * ERRORS.lag_s[layout.index(ELEMENTS[k])]) for k in range(6)}
    truths: list[np.ndarray] = []
    for tick in range(ticks):
        t = tick * 0.01
        setpoint = np.array([[speed(t), steering(t)]])
        sent[tick] = loop.command(setpoint, np.array([3]), np.zeros(1, bool))[0]
        memory[tick], erpm[tick] = (loop._integral[0], loop._ramped[0]), loop.erpm()[0]
        for _ in range(10):
            rotation, velocity = fleet.attitude()[0], fleet.velocity[0]
            yaw = np.arctan2(rotation[1, 0], rotation[0, 0])
            forward = rotation.T @ velocity
            truths.append(np.array([*fleet.position[0, :2], yaw, *forward[:2], fleet.angular_velocity[0, 2]]))
            loop.step()
    every = np.array(truths)
    for k, (name, lag) in enumerate(lags.items()):
        states[:, layout.index(name)] = every[np.maximum(np.arange(ticks) * 10 - lag, 0), k]
    time_ns = np.arange(ticks, dtype=np.int64) * PERIOD_NS
    recording = Recording(time_ns, time_ns, time_ns, sent, states, erpm, np.ones(ticks, bool))
    return recording, memory


@pytest.fixture(scope="module")
def own() -> tuple[Recording, np.ndarray]:
    return drive({})


def windows(recording: Recording) -> Windows:
    return cut(SPEC, ERRORS, recording, 1.0, 0.5, 0.3)


@pytest.fixture(scope="module")
def hard() -> tuple[Recording, np.ndarray]:
    return drive({}, all_or_nothing)


def test_the_speed_loop_s_memory_is_told_from_the_log(
    own: tuple[Recording, np.ndarray], hard: tuple[Recording, np.ndarray]
) -> None:
    for recording, true in (own, hard):
        told = speed_memory(SPEC, recording.time_ns * 1e-9, recording.sent[:, 0], recording.erpm)
        assert np.abs(true[:, 0]).max() > 0.05
        np.testing.assert_allclose(told.integral, true[:, 0], atol=0.01)  # of 60 A; the wire's 3 ms
        assert np.abs(true[:, 1] - recording.erpm).max() > 1_000.0
        np.testing.assert_allclose(told.ramped[1:], true[1:, 1], atol=100.0)  # 3 ms, and a step of rounding


def test_a_car_that_lags_behind_its_commands_is_replayed_as_it_went_on(
    hard: tuple[Recording, np.ndarray],
) -> None:
    """Its motor is at the current limit, and the ramp metres a second ahead, where windows begin."""
    mine = windows(hard[0])
    assert (np.abs(mine.memory[:, 1] - SPEC.scalar("erpm_per_speed") * mine.states[:, 0, 3]) > 4_000.0).any()
    told = growth(divergence(SPEC, ERRORS, mine, threads=1))
    assert max(found.ratio.max() for found in told) < 0.8  # no estimator erred


def test_wheels_begin_on_the_side_of_their_play_where_the_log_has_them() -> None:
    """A circle that was reached by steering back; from straight ahead it would be 0.16 rad/s narrower."""
    play = {"steering_backlash": 0.035}
    recording, _ = drive(play, lambda t: 1.5, lambda t: 0.2 if t < 0.8 else 0.1)
    circling = windows(recording)
    circling = circling.take(np.flatnonzero(circling.start_ns > 2_000_000_000))
    found = replay(SPEC, circling, [play] * len(circling), threads=1)
    rates = found[:, ::20, ELEMENTS.index("yaw_rate")]
    assert len(circling) > 2
    np.testing.assert_allclose(rates, circling.states[0, -1, ELEMENTS.index("yaw_rate")], atol=0.01)


def test_the_twin_does_what_it_did_and_a_car_that_steers_otherwise_does_not(
    own: tuple[Recording, np.ndarray],
) -> None:
    mine = windows(own[0])
    assert len(mine) >= 8 and mine.known[:, 50].all()
    measured = divergence(SPEC, ERRORS, mine, threads=1)
    told = growth(measured)
    gate = twin_validity_gate(told, Targets(), "its own")
    assert gate.verdict == "pass"
    assert gate.measured is not None and gate.measured < 0.8  # no estimator erred
    other, _ = drive({"servo_gain": 0.9 * SPEC.scalar("servo_gain")})
    worse = growth(divergence(SPEC, ERRORS, windows(other), threads=1))
    gate = twin_validity_gate(worse, Targets(), "another")
    assert gate.verdict == "fail"
    assert gate.measured is not None and gate.measured > 2 * Targets().twin_ratio
    assert twin_validity_gate([], Targets(), "nothing").verdict == "skipped"


def test_a_twin_that_diverged_is_no_robot_s_twin() -> None:
    ones = np.ones(4)
    for measured, floor in ((np.inf, 1.0), (1.0, np.inf), (np.inf, np.inf), (0.0, 0.0)):
        told = [Growth(1.0, 8, ones, ones), Growth(5.0, 8, ones * measured, ones * floor)]
        assert twin_validity_gate(told, Targets(), "a log").verdict == "fail"


def test_a_window_alone_is_what_it_is_among_others(own: tuple[Recording, np.ndarray]) -> None:
    several = windows(own[0]).take([0, 3])
    together = replay(SPEC, several, threads=1)
    alone = replay(SPEC, several.take([1]), threads=1)
    np.testing.assert_array_equal(alone[0], together[1])
    changed = replay(SPEC, join([several, several]), [{}] * 2 + [{"mass": 4.5}] * 2, threads=1)
    np.testing.assert_array_equal(changed[:2], together)
    assert np.abs(changed[2:] - together).max() > 1e-3


def test_wherever_a_log_begins_the_twin_meets_nothing(own: tuple[Recording, np.ndarray]) -> None:
    here = windows(own[0]).take([3])
    middle = here.states[0, here.lead + here.slots // 2, :2]
    at = {}
    for place in ((0.0, 0.0), (30.0, -500.0)):
        states = here.states.copy()
        states[..., :2] += np.asarray(place) - middle
        at[place] = replay_drive(SPEC, replace(here, states=states), threads=1)
    one, other = at.values()
    np.testing.assert_allclose(one.states[..., 2:], other.states[..., 2:], atol=1e-6)
    np.testing.assert_allclose(one.current, other.current, atol=1e-3)


def test_a_twin_that_is_let_go_at_once_forgets_what_the_log_has_wrong(
    own: tuple[Recording, np.ndarray],
) -> None:
    right = windows(own[0]).take([0, 4])
    faster = right.states.copy()
    faster[:, :, 3] *= 1.02
    faster[:, 1:, 5] += 0.1  # nobody looks there
    wrong = replace(right, states=faster)

    def apart(held: bool) -> np.ndarray:
        one, other = (replay_drive(SPEC, w, threads=1, held=held).states for w in (right, wrong))
        return np.abs(one - other)[:, 40:, 3:].max(axis=(0, 1))

    free, held = apart(held=False), apart(held=True)
    np.testing.assert_array_less(free, [0.002, 0.0005, 0.002])  # of 0.04 m/s
    assert held[0] > 3.0 * free[0]


def test_windows_end_where_the_robot_was_stopped_or_ticks_were_lost(
    own: tuple[Recording, np.ndarray],
) -> None:
    recording = own[0]
    usable = recording.usable.copy()
    usable[200] = False
    stopped = Recording(*(usable if k == 6 else v for k, v in enumerate(vars(recording).values())))
    kept = np.delete(np.arange(len(usable)), 200)
    lost = Recording(*(value[kept] for value in vars(recording).values()))
    for broken in (stopped, lost):
        found = windows(broken)
        lead_in = np.round(found.states[:, 0, 0], 9)
        begins = np.array([np.abs(recording.states[:, 0] - x).argmin() for x in lead_in])
        reach = begins + found.lead + found.known.sum(axis=1) - 1
        assert ((reach < 200) | (begins > 200)).all()
        assert (reach < 200).any() and (begins > 200).any()


def test_errors_drawn_for_the_floor_are_as_large_as_measured() -> None:
    drawn = estimate_errors(SPEC, ERRORS, (4000, 3), np.random.default_rng(0))
    index = [SPEC.state_layout.index(name) for name in ELEMENTS]
    drift, noise = ERRORS.drift[index], ERRORS.noise[index]
    np.testing.assert_allclose(drawn.std(axis=(0, 1)), np.hypot(drift, noise), rtol=0.05)
    together = (drawn[:, 0] * drawn[:, 2]).mean(axis=0)
    np.testing.assert_array_less(np.abs(together - drift**2), 0.06 * (drift**2 + noise**2))
