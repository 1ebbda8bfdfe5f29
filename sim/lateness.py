"""How late, and how surely, estimates reach the pilots, and commands the guardians and the drives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robot.spec import RobotSpec
from sim.plant import Array
from sim.randomisation import Draws

Cars = NDArray[np.intp]
REMEMBERED = 64
"""Ticks of estimates that are kept for a late pilot."""
BLOCK = 64
"""Policy steps whose chances are drawn at once."""
JITTER, REPEATED, DROPPED, LOST, WIRE = range(5)
"""What the chances of a policy step decide: the observation's jitter, whether an old one comes or none;
whether the command is lost, and its jitter on the wire."""


class Lateness:
    """Of episodes with these ``draws``. ``remember`` every tick; at a policy step first ``throw``, then
    ``seen`` and ``delivered``. ``generators``: one per episode; each gives a stream of its own for this."""

    def __init__(self, spec: RobotSpec, draws: Draws, generators: Sequence[np.random.Generator]) -> None:
        self._draws = draws
        self._rate_hz = spec.rates.guardian_hz
        self._oldest = round(spec.safety.command_timeout_s * spec.rates.guardian_hz)
        self._generators = [g.spawn(1)[0] for g in generators]
        self._estimates: Array = np.zeros((REMEMBERED, len(draws), spec.state_layout.size))
        self._newest: NDArray[np.int64] = np.full(len(draws), -1, np.int64)
        """The tick whose estimate the pilot saw last."""
        self._block: Array = np.zeros((0, 0, 0))
        self._thrown = 0
        self._chances: Array = np.zeros((len(draws), WIRE + 1))
        self._wire_ms = self._whole_ms()

    def remember(self, tick: int, estimates: Array) -> None:
        """The estimates of this tick, shape (n, n_state)."""
        self._estimates[tick % REMEMBERED] = estimates

    def throw(self) -> None:
        """A new policy step's chances."""
        at = self._thrown % BLOCK
        if at == 0:
            shape = (BLOCK, WIRE + 1)
            self._block = np.stack([g.random(shape) for g in self._generators])
        self._chances = self._block[:, at]
        self._thrown += 1
        self._wire_ms = self._whole_ms()

    def seen(self, tick: int, cars: Cars) -> tuple[Cars, Array]:
        """Which of these cars' pilots see something that they may act on, and what, shape (n, n_state). An
        estimate that is older than a command may be is no ground for one, as in ``robot.practice.sight``."""
        draws, chances = self._draws, self._chances
        delay = draws.column("observation_delay") + draws.column("observation_jitter") * chances[:, JITTER]
        late = np.minimum(np.ceil(delay * self._rate_hz - 1e-9).astype(np.int64), REMEMBERED - 1)
        newest = np.maximum(np.maximum(self._newest, tick - late), 0)
        repeated = (chances[:, REPEATED] < draws.column("observation_repeated")) & (self._newest >= 0)
        newest = np.where(repeated, self._newest, newest)
        arrived = chances[:, DROPPED] >= draws.column("observation_dropped")
        alive = arrived & (tick - newest <= self._oldest)
        cars = cars[alive[cars]]
        self._newest[cars] = newest[cars]
        return cars, self._estimates[newest[cars] % REMEMBERED, cars]

    def delivered(self, cars: Cars) -> Cars:
        """Whose commands of this step reach the guardian, of these cars."""
        kept = self._chances[cars, LOST] >= self._draws.column("command_dropped")[cars]
        delivered: Cars = cars[kept]
        return delivered

    def on_the_wire_ms(self) -> NDArray[np.int64]:
        """How long this step's commands take to the drives [ms], shape (n,)."""
        return self._wire_ms

    def _whole_ms(self) -> NDArray[np.int64]:
        jitter = self._draws.column("command_jitter") * self._chances[:, WIRE]
        delay = self._draws.column("command_delay") + jitter
        milliseconds: NDArray[np.int64] = np.rint(delay * 1e3).astype(np.int64)
        return milliseconds
