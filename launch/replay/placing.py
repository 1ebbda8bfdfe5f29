"""Somebody who puts the twin down where a recording began, before anybody enables motion."""

from __future__ import annotations

from launch.operator import Operator, StartLine
from launch.operator_panel import Panel
from robot.messages import SafetyState
from robot.shared_memory import Record


class PlacingOperator:
    """Around another operator, who enables motion as ever."""

    def __init__(self, operator: Operator, start: StartLine) -> None:
        self._operator, self._start = operator, start
        self._placed = False

    @property
    def panel(self) -> Panel:
        return self._operator.panel

    def step(self, now_ns: int, state: Record | None, pilot: Record | None) -> None:
        if not self._placed and state is not None and state["safety_state"][0] == SafetyState.STANDBY:
            self._placed = True
            self._start.put(now_ns)
        self._start.step(state)
        self._operator.step(now_ns, state, pilot)

    def halt(self, now_ns: int) -> None:
        self._operator.halt(now_ns)

    def close(self) -> None:
        self._operator.close()
