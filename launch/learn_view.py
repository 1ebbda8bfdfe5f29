"""Progress of ``sandlot learn`` on a terminal or in a file."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from learners.environments.training import Training
    from learners.learner import Learner

PLAIN_S, LIVE_S = 10.0, 0.1
"""How often progress is shown [s]."""


class View(Protocol):
    """Where progress is shown."""

    def show(self, training: Training) -> None: ...

    def say(self, line: str) -> None: ...

    def close(self) -> None: ...


class NoView:
    """Shows nothing."""

    def show(self, training: Training) -> None:
        return

    def say(self, line: str) -> None:
        return

    def close(self) -> None:
        return


class PlainView:
    """A line now and then."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._next_s = clock() + PLAIN_S

    def show(self, training: Training) -> None:
        if self._clock() >= self._next_s:
            self._next_s = self._clock() + PLAIN_S
            self.say(f"step {training.progress} of {steps_in_all(training)}: {describe(training)}")

    def say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def close(self) -> None:
        return


class LiveView:
    """A bar."""

    def __init__(self, console: Console, steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        self._progress, self._clock = Progress(*columns, console=console), clock
        self._task = self._progress.add_task("", total=steps)
        self._next_s = 0.0
        self._progress.start()

    def show(self, training: Training) -> None:
        if self._clock() >= self._next_s:
            self._next_s = self._clock() + LIVE_S
            self._progress.update(self._task, completed=training.progress, description=describe(training))

    def say(self, line: str) -> None:
        self._progress.console.print(line, soft_wrap=True, highlight=False, markup=False)

    def close(self) -> None:
        self._progress.stop()


def make_view(kind: str, console: Console, steps: int) -> View:
    """``auto`` is live on a terminal and plain elsewhere."""
    if kind == "none":
        return NoView()
    if kind == "live" or (kind == "auto" and console.is_terminal):
        return LiveView(console, steps)
    return PlainView(console)


def steps_in_all(training: Training) -> int:
    """Of the offline phase and of the environment."""
    return training.settings.offline_steps + training.settings.steps


def describe(training: Training) -> str:
    """How it stands, in a few words."""
    if training.learner is None:
        return "random steps"
    evaluated = f", evaluated {training.curve[-1].return_mean:.4g}" if training.curve else ""
    rate = training.learner.updates / max(training.wall_s, 1e-3)
    return f"return {training.last_return:.4g}{evaluated} | {rate:.0f} updates/s{_critics(training.learner)}"


def _critics(learner: Learner) -> str:
    """How well they know episodes they were not trained on, what they say, and whether to worry."""
    metrics = learner.metrics
    error = metrics.get("held_out_error")
    known = "" if error is None else f", held-out error {error:.2g}"
    if "value_lower_bound" in metrics:
        least, greatest = metrics["value_min"], metrics["value_max"]
        lower, upper = metrics["value_lower_bound"], metrics["value_upper_bound"]
        known += f", values {least:.3g} to {greatest:.3g} of {lower:.3g} to {upper:.3g}"
    return f"{known}, ALARM" if learner.alarm else known
