"""A scripted demonstrator of the cart-pole swing-up: pump energy, catch with a linear regulator. Noise on its
actions makes it clumsy: it spends most of an episode off the target."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from learners.environments.contract import environment_contract
from learners.environments.episodes import Episodes
from learners.environments.swing_up import (
    FORCE,
    GRAVITY,
    HALF,
    INERTIA,
    POLE,
    REPEAT,
    STEPS,
    State,
    SwingUp,
    moved,
)
from learners.journal import Journal
from robot.messages import Actor

NAME: Final = "sandlot/SwingUp-v0"
NOISE: Final = 0.45
"""Standard deviation of what is added to its actions."""
PUMP, CENTRE, BRAKE = 1.0, 0.5, 0.3
"""Of swinging up: acceleration for energy, and back to the middle."""
CATCH: Final = 0.35
"""Within this angle of upright the regulator acts [rad]."""
STATE_COSTS, ACTION_COST = (1.0, 1.0, 0.1, 0.1), 1.0


def action(state: State, gain: NDArray[np.float64]) -> float:
    """In [-1, 1], without the noise."""
    position, angle, velocity, rate = state
    lean = math.remainder(angle, math.tau)
    if abs(lean) < CATCH:
        return float(np.clip(-gain @ [position, lean, velocity, rate], -1.0, 1.0))
    moment = POLE * HALF
    lacking = moment * GRAVITY * (1.0 - math.cos(angle)) - 0.5 * (INERTIA + moment * HALF) * rate**2
    # A cart that accelerates against the swing's horizontal velocity adds energy to it (Astrom, Furuta 2000).
    pump = -PUMP * lacking / moment * math.copysign(1.0, rate * math.cos(angle))
    return float(np.clip(pump / FORCE - CENTRE * position - BRAKE * velocity, -1.0, 1.0))


def regulator() -> NDArray[np.float64]:
    """The gain (4,) of the discrete linear-quadratic regulator about upright."""
    upright, small = State(0.0, 0.0, 0.0, 0.0), 1e-5

    def after(state: State, force: float) -> NDArray[np.float64]:
        for _ in range(REPEAT):
            state = moved(state, force)
        return np.array(state)

    nudges = (State(*row) for row in small * np.eye(4))
    a = np.stack([after(nudge, 0.0) for nudge in nudges], 1) / small
    b = after(upright, FORCE * small)[:, None] / small
    cost = worth = np.diag(STATE_COSTS)
    for _ in range(1_000):
        gain = np.linalg.solve(b.T @ worth @ b + ACTION_COST, b.T @ worth @ a)
        worth = cost + a.T @ worth @ (a - b @ gain)
    found: NDArray[np.float64] = gain[0]
    return found


def demonstrations(episodes: int, seed: int, noise: float = NOISE) -> Iterator[NDArray[np.void]]:
    """Episodes' rows."""
    gain = regulator()
    return _episodes(episodes, seed, lambda state, rng: action(state, gain) + noise * rng.normal())


def random_episodes(episodes: int, seed: int) -> Iterator[NDArray[np.void]]:
    """Rows of somebody who knows nothing, and never gets upright."""
    return _episodes(episodes, seed, lambda state, rng: rng.uniform(-1.0, 1.0))


def _episodes(
    episodes: int, seed: int, choose: Callable[[State, np.random.Generator], float]
) -> Iterator[NDArray[np.void]]:
    made, rng = SwingUp(), np.random.default_rng(seed)
    source = Episodes(made, environment_contract(made, NAME), STEPS)
    for number in range(episodes):
        source.begin(number, int(rng.integers(2**32)), number * (STEPS + 1))
        rows = []
        while not source.over:
            rows.append(source.step(np.clip([choose(made.state, rng)], -1.0, 1.0), Actor.SCRIPT))
        yield np.concatenate(rows)


def write_episodes(journal_file: Path, episodes: Iterable[NDArray[np.void]]) -> None:
    """A journal of prior data."""
    journal = Journal(journal_file, environment_contract(SwingUp(), NAME).step_dtype())
    for rows in episodes:
        journal.append("episodes", int(rows["sequence"][0]), rows)
    journal.close()
