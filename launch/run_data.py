"""A run read back from its log: laps, troubles, trajectories, and the figures of its summary."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from launch.session import Session
from launch.status_log import read_status
from robot.errors import SandlotError
from robot.log_reader import Log, read_log
from robot.messages import Actor, SafetyState
from robot.recorder import EVENTS, STEPS, TICKS

Floats = NDArray[np.float64]

DRIVERS = {
    "lap_script": "demonstration",
    "lap": "exploring policy",
    "lap_deterministic": "deterministic policy",
    "lap_human": "person",
}
"""Kinds of the pilot's lap events, and who drove such a lap."""
LAST_MINUTES = 5.0
"""The stretch at the end over which a run is judged [min]."""


@dataclass(frozen=True)
class Lap:
    """From line to line within one episode, so without a recovery. ``end_s``: practice time [s]; ``time_s``:
    how long it took; ``driver``: a value of ``DRIVERS``; ``end_ns``: monotonic time of its end."""

    end_s: float
    time_s: float
    driver: str
    end_ns: int
    detail: str

    @property
    def end_min(self) -> float:
        return self.end_s / 60.0

    @property
    def autonomous(self) -> bool:
        return self.driver.endswith("policy")


class RunData:
    """Reads the whole log once. Practice time counts from the first tick in which the robot could move.
    Raises SandlotError for a session that ended before its guardian's first tick."""

    def __init__(self, session: Session) -> None:
        self.session = session
        log = read_log(session.directory, [TICKS, STEPS, EVENTS])
        self.log: Log = log
        ticks = log.ticks
        if not len(ticks):
            raise SandlotError(
                f"{session.directory} holds no tick of the guardian: the session ended before anything could "
                "drive; what its processes said is in output/ there"
            )
        able = np.isin(ticks["safety_state"], (SafetyState.ACTIVE, SafetyState.REDUCED))
        self.start_ns = int(ticks["time_ns"][np.argmax(able)]) if able.any() else int(ticks["time_ns"][0])
        self.end_ns = int(ticks["time_ns"][-1])
        self.able = able
        layout = session.spec.state_layout
        self.positions: Floats = ticks["state"][:, layout["position_world"]][:, :2]
        self.speeds: Floats = ticks["state"][:, layout.index(session.spec.stop.standstill)]
        self.status = read_status(session.directory)

    @property
    def minutes(self) -> float:
        """Practice time of the whole run [min]."""
        return (self.end_ns - self.start_ns) / 60e9

    @cached_property
    def laps(self) -> list[Lap]:
        found = []
        for logged in self.log.events:
            driver = DRIVERS.get(logged.event.kind)
            if driver is not None:
                event = logged.event
                end_s = (event.time_ns - self.start_ns) / 1e9
                found.append(Lap(end_s, event.value, driver, event.time_ns, event.text))
        return found

    def minutes_of(self, kind: str) -> Floats:
        """Practice times of the events of one kind [min]."""
        return (np.array(self.log.times(kind), np.float64) - self.start_ns) / 60e9

    def ticks_of(self, lap: Lap) -> slice:
        """The ticks of a lap."""
        times = self.log.ticks["time_ns"]
        first, last = np.searchsorted(times, (lap.end_ns - round(lap.time_s * 1e9), lap.end_ns))
        return slice(int(first), int(last))

    def driven_by(self, actor: Actor, since_min: float = 0.0, until_min: float = np.inf) -> NDArray[np.bool_]:
        """Which ticks ``actor`` drove, within a stretch of practice time."""
        ticks = self.log.ticks
        minute = (ticks["time_ns"] - self.start_ns) / 60e9
        return np.asarray((ticks["actor"] == actor) & (minute >= since_min) & (minute < until_min))

    @cached_property
    def lateness_us(self) -> Floats:
        """How late each tick began after it was due [us]."""
        ticks = self.log.ticks
        return np.asarray((ticks["time_ns"] - ticks["due_ns"]) / 1e3, np.float64)

    def summary(self) -> dict[str, float | int | str | None]:
        """One flat dictionary; names end in their unit. None: there was none."""
        own = [lap for lap in self.laps if lap.autonomous]
        late_from_s = (self.minutes - LAST_MINUTES) * 60.0
        judged = [lap for lap in own if lap.end_s >= late_from_s]
        exploring = [lap.time_s for lap in judged if lap.driver == "exploring policy"]
        deterministic = [lap.time_s for lap in judged if lap.driver == "deterministic policy"]
        shown = [lap.time_s for lap in self.laps if lap.driver == "demonstration"]
        failures = self.minutes_of("failure")
        recoveries, assists = self.minutes_of("recovery"), self.minutes_of("assist")
        late = self.lateness_us
        last = self.status[-1] if self.status else {}
        manifest = self.session.manifest
        return {
            "robot": manifest.robot,
            "course": manifest.course_name,
            "surrogate": manifest.surrogate.name or None,
            "seed": manifest.seed,
            "bench_override": manifest.setup.bench_override or None,
            "authority": self.session.spec.safety.authority,
            "practice_min": round(self.minutes, 3),
            "laps": len(own),
            "first_autonomous_lap_min": round(own[0].end_min, 3) if own else None,
            "best_lap_s": _least([lap.time_s for lap in own]),
            "best_deterministic_lap_s": _least(
                [lap.time_s for lap in own if lap.driver == "deterministic policy"]
            ),
            "last_5_min_exploring_lap_s": _median(exploring),
            "last_5_min_deterministic_lap_s": _median(deterministic),
            "demonstration_lap_s": _median(shown),
            "failures": len(failures),
            "failures_last_5_min": int((failures >= self.minutes - LAST_MINUTES).sum()),
            "recoveries": len(recoveries),
            "assists": len(assists),
            "policies": len(self.log.times("policy_swap")),
            "policies_held": int(last.get("policies_held", 0)),
            "transitions": int(last.get("spooled", 0)),
            "transitions_durable": int(last.get("durable", 0)),
            "transitions_lost": int(last.get("lost", 0)),
            "updates": int(last.get("updates", 0)),
            "update_ratio": last.get("update_ratio"),
            "ticks": len(late),
            "lateness_p50_us": round(float(np.percentile(late, 50)), 1),
            "lateness_p99_us": round(float(np.percentile(late, 99)), 1),
            "lateness_p999_us": round(float(np.percentile(late, 99.9)), 1),
            "lateness_max_us": round(float(late.max()), 1),
        }

    def write_laps(self, path: Path) -> None:
        """Every lap as CSV."""
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("practice_min", "lap_s", "driver", "detail"))
            for lap in self.laps:
                writer.writerow((f"{lap.end_min:.4f}", f"{lap.time_s:.4f}", lap.driver, lap.detail))


def _least(values: list[float]) -> float | None:
    return round(min(values), 3) if values else None


def _median(values: list[float]) -> float | None:
    return round(float(np.median(values)), 3) if values else None
