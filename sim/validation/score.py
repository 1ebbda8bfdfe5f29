"""By what a policy's driving on the twin and on the robot are compared: the share of laps begun that were
driven to their end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """One policy, by its SHA-256: its score on the twin and on the robot [1]."""

    policy: str
    twin: float
    robot: float


def lap_score(laps: int, failures: int) -> float:
    """0 if none was begun."""
    return laps / max(laps + failures, 1)
