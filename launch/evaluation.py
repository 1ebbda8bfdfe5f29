"""How well a policy drove: laps, their times, failures, and how often safety changed what it wanted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from launch.run_data import RunData
from robot.layout import Struct
from robot.messages import Actor


class Evaluation(Struct):
    """``minutes`` of driving, laps from line to line without a failure in them, and lap times [s], None
    without a lap. ``altered_ratio``: the share of the policy's steps that safety changed."""

    minutes: float
    laps: int
    lap_median_s: float | None
    lap_best_s: float | None
    lap_worst_s: float | None
    failures: int
    recoveries: int
    assists: int
    altered_ratio: float

    def lines(self) -> Iterator[str]:
        """For a person."""
        times = "" if self.lap_median_s is None else f": median {self.lap_median_s:.2f} s"
        if self.laps > 1:
            times += f", best {self.lap_best_s:.2f} s, worst {self.lap_worst_s:.2f} s"
        yield f"{self.laps} laps in {self.minutes:.1f} min{times}"
        yield (
            f"{self.failures} failures, {self.recoveries} recoveries, {self.assists} helped by a person; "
            f"safety changed {100 * self.altered_ratio:.1f} % of its steps"
        )


def evaluate(run: RunData) -> Evaluation:
    """Judge a run from its log."""
    times = [lap.time_s for lap in run.laps if lap.autonomous]
    steps = run.log.steps
    own = steps[(steps["actor"] == Actor.POLICY) & ~steps["last"]]
    return Evaluation(
        minutes=round(run.minutes, 3),
        laps=len(times),
        lap_median_s=round(float(np.median(times)), 3) if times else None,
        lap_best_s=round(min(times), 3) if times else None,
        lap_worst_s=round(max(times), 3) if times else None,
        failures=len(run.minutes_of("failure")),
        recoveries=len(run.minutes_of("recovery")),
        assists=len(run.minutes_of("assist")),
        altered_ratio=round(float(own["altered"].mean()), 5) if len(own) else 0.0,
    )
