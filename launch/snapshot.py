"""What a session is doing right now, read from its shared memory: the numbers of the terminal view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from launch.margins import Margin, Margins
from robot.board import Board
from robot.messages import Actor, Cause, PilotPhase, SafetyState
from robot.shared_memory import Record
from robot.spec import RobotSpec

NEWS = {
    "state": "{0}",
    "arm_refused": "not armed: {0}",
    "port_lost": "port lost: {0}",
    "port_back": "port back: {0}",
    "driver_failed": "driver failed: {0}",
    "estimator": "estimator failed: {0}",
    "lap": "lap in {1:.2f} s, {0}",
    "lap_deterministic": "lap in {1:.2f} s, {0}",
    "lap_script": "demonstrated a lap in {1:.2f} s",
    "lap_human": "lap in {1:.2f} s, by a person",
    "failure": "failure: {0}",
    "call": "calls for a person",
    "assist": "helped",
    "takeover": "a person took over",
    "release": "handed back",
    "camera_lost": "camera lost: {0}",
    "leg": "leg {0}",
    "replay_waits": "not at its start: {0}",
    "replay_begins": "drives as recorded: {0}",
    "replay_ends": "{0}",
    "replay_cut": "cut off: {0}",
    "take_end": "{0}",
    "take_success": "take: success",
    "take_failure": "take: failure",
    "take_drop": "take dropped: {0}",
    "policy_refused": "policy refused: {0}",
    "policy_not_finite": "{0}",
}
"""Events a person wants to know of as they happen: 0 is the event's text, 1 its value."""


@dataclass(frozen=True)
class Snapshot:
    """Plain numbers; times in seconds, speeds in the unit of the spec's standstill element. NaN: not known
    yet.

    ``lateness_*_us``: how late the guardian's last ticks began after they were due [us]. ``margins``: to
    every limit, nearest first.
    """

    safety: SafetyState = SafetyState.BOOT
    cause: Cause = Cause.NONE
    converged: bool = False
    epoch: int = 0
    speed: float = float("nan")
    position: tuple[float, float] | None = None
    altered_ticks: int = 0
    overruns: int = 0
    phase: PilotPhase = PilotPhase.WAITING
    actor: Actor = Actor.NOBODY
    laps: int = 0
    lap_s: float = float("nan")
    best_lap_s: float = float("nan")
    failures: int = 0
    recoveries: int = 0
    assists: int = 0
    steps: int = 0
    late_steps: int = 0
    policy_version: int = 0
    policy_age_s: float = float("nan")
    rate_hz: float = float("nan")
    lateness_p50_us: float = float("nan")
    lateness_p99_us: float = float("nan")
    lateness_max_us: float = float("nan")
    connected: bool = False
    spooled: int = 0
    received: int = 0
    durable: int = 0
    lost: int = 0
    log_bytes: int = 0
    updates: int = 0
    updates_per_s: float = float("nan")
    update_ratio: float = float("nan")
    held_out_error: float = float("nan")
    values: tuple[float, float] = (float("nan"), float("nan"))
    value_bounds: tuple[float, float] = (float("nan"), float("nan"))
    critic_alarm: bool = False
    policies_held: int = 0
    held_back: bool = False
    disk_full: bool = False
    disk_low: bool = False
    margins: tuple[Margin, ...] = ()


class Reader:
    """Reads a board without disturbing anybody. ``window_s``: the stretch of ticks that rates are taken
    over."""

    def __init__(self, board: Board, spec: RobotSpec, window_s: float = 2.0) -> None:
        self._board = board
        self._ticks = round(window_s * spec.rates.guardian_hz)
        layout = spec.state_layout
        self._rings = {
            "guardian": board.guardian_events,
            "pilot": board.pilot_events,
            "camera": board.camera_events,
        }
        self._told = {name: ring.written for name, ring in self._rings.items()}
        self._speed = layout.index(spec.stop.standstill)
        self._margins = Margins(spec)
        self._position: slice | None = None
        if "position_world" in layout:
            self._position = layout["position_world"]

    def state(self) -> Record | None:
        return self._board.state.read()

    def pilot(self) -> Record | None:
        return self._board.pilot.read()

    def news(self) -> list[tuple[int, str]]:
        """What happened since the last call that a person wants to know: time [ns] and a line each."""
        found = []
        for name, ring in self._rings.items():
            fresh = ring.written - self._told[name]
            self._told[name] += fresh
            for row in ring.newest(fresh) if fresh > 0 else ():
                kind = row["kind"].decode(errors="replace")
                if kind in NEWS:
                    detail = row["text"].decode(errors="replace") or f"{float(row['value']):g}"
                    found.append((int(row["time_ns"]), NEWS[kind].format(detail, float(row["value"]))))
        return sorted(found)

    def disk_full(self) -> bool:
        """Whether the courier can no longer write."""
        record = self._board.courier.read()
        return record is not None and bool(record["disk_full"][0])

    def read(self, now_ns: int) -> Snapshot:
        """Everything at once; what no process has written yet keeps its default."""
        values: dict[str, object] = {}
        state, pilot, courier = self.state(), self.pilot(), self._board.courier.read()
        if state is not None:
            row = state[0]
            position = None
            if self._position is not None:
                x, y = row["state"][self._position][:2]
                position = (float(x), float(y))
            values |= {
                "safety": SafetyState(int(row["safety_state"])),
                "cause": Cause(int(row["cause"])),
                "converged": bool(row["converged"]),
                "epoch": int(row["epoch"]),
                "speed": float(row["state"][self._speed]),
                "position": position,
                "altered_ticks": int(row["altered_ticks"]),
                "overruns": int(row["overruns"]),
                "margins": self._margins.nearest_first(row["margin"]),
            }
        if pilot is not None:
            row = pilot[0]
            since_ns = int(row["policy_time_ns"])
            values |= {
                name: int(row[name]) for name in ("laps", "failures", "recoveries", "assists", "steps")
            }
            values |= {
                "phase": PilotPhase(int(row["phase"])),
                "actor": Actor(int(row["actor"])),
                "lap_s": _positive(row["lap_time_s"]),
                "best_lap_s": _positive(row["best_lap_s"]),
                "late_steps": int(row["late_steps"]),
                "policy_version": int(row["policy_version"]),
                "policy_age_s": (now_ns - since_ns) / 1e9 if since_ns else float("nan"),
            }
        if courier is not None:
            row = courier[0]
            names = ("spooled", "received", "durable", "lost", "log_bytes")
            values |= {name: int(row[name]) for name in names}
            values |= {
                "connected": bool(row["connected"]),
                "disk_full": bool(row["disk_full"]),
                "disk_low": bool(row["disk_low"]),
                "updates": int(row["learner_updates"]),
                "updates_per_s": float(row["updates_per_s"]),
                "update_ratio": float(row["update_ratio"]),
                "held_out_error": float(row["held_out_error"]),
                "values": tuple(row["values"].tolist()),
                "value_bounds": tuple(row["value_bounds"].tolist()),
                "critic_alarm": bool(row["critic_alarm"]),
                "policies_held": int(row["policies_held"]),
                "held_back": bool(row["held_back"]),
            }
        return Snapshot(**(values | self._loop()))  # type: ignore[arg-type]

    def _loop(self) -> dict[str, object]:
        ticks = self._board.ticks.newest(self._ticks)
        if len(ticks) < 2:
            return {}
        late_us = (ticks["time_ns"] - ticks["due_ns"]) / 1e3
        span_s = (int(ticks["time_ns"][-1]) - int(ticks["time_ns"][0])) / 1e9
        p50, p99 = np.percentile(late_us, [50, 99])
        return {
            "rate_hz": (len(ticks) - 1) / span_s if span_s > 0 else float("nan"),
            "lateness_p50_us": float(p50),
            "lateness_p99_us": float(p99),
            "lateness_max_us": float(late_us.max()),
        }


def _positive(value: float) -> float:
    return float(value) if value > 0 else float("nan")
