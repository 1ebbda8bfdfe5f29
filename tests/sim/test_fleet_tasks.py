"""What is computed for all cars at once is what one car's task, course and failure detector say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robot.contract import task_contract
from robot.practice.course import Course, load_course
from robot.practice.failures import FailureDetector
from robot.practice.lap_task import LapTask
from robot.spec import load_spec
from sim.fleet_course import FleetCourse
from sim.fleet_failures import FleetFailures
from sim.fleet_tasks import LapTasks, SeparateTasks

ROOT = Path(__file__).parents[2]
SPEC = load_spec(ROOT / "launch/robots/racer.toml")
N = 7


def course(name: str) -> Course:
    return load_course(ROOT / f"launch/courses/{name}.toml")


def wander(track: Course, steps: int, rng: np.random.Generator) -> np.ndarray:
    """States of cars along the course at very different speeds, some backwards, shape (steps, N, n_state)."""
    layout = SPEC.state_layout
    states = rng.normal(0.0, 1.0, (steps, N, layout.size))
    speeds = np.linspace(-3.0, 6.0, N) / SPEC.rates.policy_hz
    for car in range(N):
        at, aside = rng.uniform(0.0, track.length), 0.0
        for step in range(steps):
            at, aside = at + speeds[car], 0.9 * aside + rng.normal(0.0, 0.1)
            x, y = track.point(at)
            heading = track.heading(at)
            states[step, car, layout["position_world"]] = (
                x - aside * np.sin(heading),
                y + aside * np.cos(heading),
            )
            states[step, car, layout.index("heading")] = heading + rng.normal(0.0, 0.2)
    return states


@pytest.mark.parametrize("name", ["oval", "kidney"])
def test_positions_are_projected_as_one_by_one(name: str) -> None:
    track, rng = course(name), np.random.default_rng(2)
    many = FleetCourse(track)
    x, y = rng.uniform(-6.0, 6.0, 300), rng.uniform(-3.0, 3.0, 300)
    hints = rng.uniform(0.0, track.length, 300)
    for hint in (None, hints):
        s, lateral = many.project(x, y, hint)
        for k in range(300):
            alone = track.project(x[k], y[k], None if hint is None else float(hint[k]))
            np.testing.assert_allclose((s[k], lateral[k]), alone, atol=1e-9)


@pytest.mark.parametrize("name", ["oval", "kidney"])
def test_laps_are_observed_and_rewarded_as_one_by_one(name: str) -> None:
    track, rng = course(name), np.random.default_rng(3)
    task = LapTask(SPEC, track)
    contract = task_contract(SPEC, task.name, task.observation, task.reward_terms, task.cost_terms)
    many, single = LapTasks(SPEC, track, N), SeparateTasks(lambda: LapTask(SPEC, track), contract, N)
    truths = wander(track, 60, rng)
    estimates = truths + rng.normal(0.0, 0.02, truths.shape)
    everyone, troubled = np.arange(N), 0
    starts = [tasks.begin(everyone, truths[0], estimates[0]) for tasks in (many, single)]
    np.testing.assert_allclose(starts[0], starts[1], atol=1e-9)
    actions = np.zeros((N, 2))
    for before, truth, estimate in zip(truths, truths[1:], estimates, strict=False):
        cars = np.flatnonzero(rng.random(N) < 0.9)  # some see nothing in this step
        seen = [tasks.observe(cars, estimate[cars], actions[cars]) for tasks in (many, single)]
        np.testing.assert_allclose(seen[0], seen[1], atol=1e-5)
        actions[cars] = rng.uniform(-1.0, 1.0, (len(cars), 2))
        failed = rng.random(N) < 0.1
        for ours, theirs in zip(
            many.outcome(everyone, before, actions, truth, failed),
            single.outcome(everyone, before, actions, truth, failed),
            strict=True,
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-9)
        troubled += int(many.outcome(everyone, truth, actions, truth, np.zeros(N, bool))[2].sum())
    assert troubled > 0


def test_failures_are_detected_as_one_by_one() -> None:
    n = 40
    layout, rng = SPEC.state_layout, np.random.default_rng(4)
    many, single = FleetFailures(SPEC, n), [FailureDetector(SPEC) for _ in range(n)]
    position = rng.normal(0.0, 1.0, (n, 2))
    cars, seen = np.arange(n), set()
    for step in range(120):
        state = np.zeros((n, layout.size))
        position += (0.02 if step < 60 else 0.0) * rng.normal(0.5, 1.0, (n, 2))
        state[:, layout["position_world"]] = position
        state[:, layout.index("impact")] = 40.0 * (rng.random(n) < 0.005) if step else 35.0
        state[:, layout.index("upright")] = np.where(rng.random(n) < 0.002, 0.4, 1.0)
        if step == 0:
            many.begin(cars, 0, state)
            for detector, own in zip(single, state, strict=True):
                detector.reset(0, own)
            continue
        found = many.update(cars, step * 50_000_000, state[cars])
        expected = [single[car].update(step * 50_000_000, state[car]) for car in cars.tolist()]
        assert found == expected
        seen |= set(found)
        cars = cars[[f is None for f in found]]  # an episode ends with its failure
    assert len(seen) == 4
