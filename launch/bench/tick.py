"""What a whole guardian tick costs, part by part: read, estimate, monitor, filter, write, publish.

The real guardian with the robot's own drivers and estimator, driving a scripted pilot's laps in lockstep; the
twin's time does not count. Every tick reads a full set of replies, which on a real line only comes at the
robot's own rate, so that at higher rates this is the dearest tick there is. In the same run: what one call of
a small numpy function costs, which a tick of some hundred of them is made of.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from launch.bench.calm import CalmSession, make_session
from launch.bench.loop import ahead_of_the_load
from robot.safety.state_machine import AUTHORITY

RATE_HZ = 500.0
"""The rate at which the share of a core is given: that of joint servos, five times the car's own."""
WARM_UP_TICKS = 500
PARTS: dict[str, tuple[tuple[str, str], ...]] = {
    "read": (("_links", "poll"),),
    "estimate": (("_senses", "_estimate"),),
    "monitor": (("_senses", "_watch"),),
    "filter": (("_barrier", "filter"), ("_projection", "project")),
    "write": (("_links", "command"),),
    "publish": (("_outbox", "send"), ("_outbox", "finish")),
}
"""Parts of a tick, and the guardian's methods that do them."""


class Stopwatch:
    """Adds up the time spent in calls of the wrapped methods [ns]."""

    def __init__(self) -> None:
        self.spent = 0

    def wrap(self, owner: Any, name: str) -> None:
        call: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **named: Any) -> Any:
            before = time.perf_counter_ns()
            try:
                return call(*args, **named)
            finally:
                self.spent += time.perf_counter_ns() - before

        setattr(owner, name, timed)

    def take(self) -> int:
        spent, self.spent = self.spent, 0
        return spent


def run(seconds: float = 60.0, seed: int = 0) -> dict[str, float]:
    """Drive for ``seconds`` of the robot's time on the oval. Flat figures: the tick's and each part's time
    (p50, p99), the mean share of a core at 500 Hz, and all that in small numpy calls of the same run."""
    with tempfile.TemporaryDirectory(prefix="sandlot-tick-") as folder:
        session = CalmSession(make_session("racer", "oval", seed, Path(folder)))
        guardian: Any = session.guardian
        whole = Stopwatch()
        whole.wrap(guardian, "tick")
        timed_tick = guardian.tick

        def tick(due_ns: int) -> None:
            session.rig.advance(session.clock.now_ns())  # or the first read of a port would do it
            timed_tick(due_ns)

        guardian.tick = tick
        parts = {name: Stopwatch() for name in PARTS}
        for name, methods in PARTS.items():
            for owner, method in methods:
                parts[name].wrap(getattr(guardian, owner), method)
        rows: list[list[int]] = []
        calls: list[float] = []
        try:
            with ahead_of_the_load():
                gc.collect()
                gc.freeze()
                for number in range(WARM_UP_TICKS + round(seconds * session.spec.rates.guardian_hz)):
                    session.tick()
                    row = [whole.take(), *(watch.take() for watch in parts.values())]
                    if number >= WARM_UP_TICKS and guardian.kernel.state in AUTHORITY:
                        rows.append(row)
                    if number % 100 == 0:
                        calls.append(_numpy_call_us())
        finally:
            gc.unfreeze()
            session.close()
    times = np.array(rows) / 1e3
    call_us = float(np.median(calls))
    figures: dict[str, float] = {"ticks_count": len(times)}
    for name, column in zip(("tick", *PARTS), times.T, strict=True):
        figures[f"{name}_p50_us"], figures[f"{name}_p99_us"] = (
            round(float(v), 1) for v in np.percentile(column, (50, 99))
        )
    figures["core_share_at_500_hz_ratio"] = round(float(times[:, 0].mean()) * 1e-6 * RATE_HZ, 4)
    figures["numpy_call_us"] = round(call_us, 3)
    figures["tick_numpy_calls_ratio"] = round(float(np.median(times[:, 0])) / call_us, 1)
    return figures


def _numpy_call_us(repeats: int = 200) -> float:
    """Time of one ``np.add`` of two short arrays into a third [us]: the unit that a tick is made of."""
    a, b, out = np.ones(12), np.ones(12), np.empty(12)
    add = np.add
    before = time.perf_counter_ns()
    for _ in range(repeats):
        add(a, b, out=out)
    return (time.perf_counter_ns() - before) / repeats / 1e3
