"""What is counted of every episode while it drives, and its row once it has ended."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.messages import SafetyState
from robot.spec import RobotSpec
from sim.episode_results import Ending, episode_dtype
from sim.fleet_guardian import FleetGuardian
from sim.fleet_senses import FleetSenses
from sim.plant import Array
from sim.randomisation import Draws

Cars = NDArray[np.intp]
_UNFINISHED = 255
_REDUCED = int(SafetyState.REDUCED)


class EpisodeTally:
    """Of the episodes of ``draws`` on a course of ``length`` [m]. ``ticked`` every guardian tick, ``acted``
    every policy step, ``end`` once each; then ``rows`` are whole. ``cycles``: driven by each so far, in the
    task's own count; ``ticks``: how many each has lasted; shape (n,)."""

    def __init__(self, spec: RobotSpec, draws: Draws, length: float) -> None:
        n = len(draws)
        self._length, self._period_ns = length, round(1e9 / spec.rates.guardian_hz)
        self.rows = np.zeros(n, episode_dtype(len(draws.names), len(spec.safety.limits)))
        self.rows["number"], self.rows["draws"] = draws.numbers, draws.values
        self.rows["ending"], self.rows["limit"] = _UNFINISHED, -1
        self.rows["best_cycle"] = np.inf
        self.ticks: NDArray[np.int64] = np.zeros(n, np.int64)
        self.start_cycles: Array = np.zeros(n)
        self.cycles: Array = np.zeros(n)
        self._margin: Array = np.full(self.rows["margin"].shape, np.inf)
        self._violated: NDArray[np.bool_] = np.zeros(self.rows["violated"].shape, bool)
        self._altered: NDArray[np.int64] = np.zeros(n, np.int64)
        self._reduced: NDArray[np.int64] = np.zeros(n, np.int64)
        self._touched: NDArray[np.int64] = np.zeros(n, np.int64)
        self._changes: Array = np.zeros(n)
        self._steps: NDArray[np.int64] = np.zeros(n, np.int64)

    def ticked(
        self,
        cars: Cars,
        guardian: FleetGuardian,
        senses: FleetSenses,
        requests: NDArray[np.int64],
        margins: Array,
    ) -> None:
        """A tick of these cars. ``requests`` and ``margins``: what each limit says of the truth, shape
        (n, n_limits)."""
        some = cars if len(cars) < len(self.rows) else slice(None)
        self._margin[some] = np.fmin(self._margin[some], margins[some])
        self._violated[some] |= requests[some] != 0
        self.ticks[some] += 1
        self._altered[some] += guardian.altered[some]
        self._reduced[some] += guardian.state[some] == _REDUCED
        self._touched[some] += senses.touched[some]

    def acted(self, cars: Cars, action: Array, previous: Array) -> None:
        """A policy step of these cars: their executed actions now and before, shape (n, n_actions)."""
        self._changes[cars] += np.square(action - previous).mean(axis=1)
        self._steps[cars] += 1

    def judged(self, cars: Cars, rewards: Array, cycles: Array) -> None:
        """What came of a policy step."""
        self.rows["score"][cars] += rewards
        self.cycles[cars] = cycles

    def begin(self, cars: Cars, cycles: Array) -> None:
        """Where these cars start."""
        self.cycles[cars] = self.start_cycles[cars] = cycles

    def stopped(self, car: int, cause: int, limit: int) -> None:
        """By the kernel: its cause, and the number of the limit, -1 for none."""
        self.rows["cause"][car], self.rows["limit"][car] = cause, limit

    def lapped(self, car: int, seconds: float) -> None:
        """A whole cycle took so long [s]."""
        self.rows["best_cycle"][car] = min(float(self.rows["best_cycle"][car]), seconds)

    def end(self, car: int, ending: Ending) -> None:
        """The episode is over."""
        row, ticks = self.rows[car], max(int(self.ticks[car]), 1)
        row["ending"], row["success"] = ending, ending == Ending.FINISHED
        row["margin"], row["violated"] = self._margin[car], self._violated[car]
        row["duration"] = (ticks - 1) * self._period_ns * 1e-9
        row["cycles"] = self.cycles[car] - self.start_cycles[car]
        row["speed"] = row["cycles"] * self._length / max(float(row["duration"]), self._period_ns * 1e-9)
        row["altered"], row["reduced"] = self._altered[car] / ticks, self._reduced[car] / ticks
        row["smoothness"] = self._changes[car] / max(int(self._steps[car]), 1)
        row["touched"] = self._touched[car] * self._period_ns * 1e-9
        if not np.isfinite(row["best_cycle"]):
            row["best_cycle"] = np.nan
