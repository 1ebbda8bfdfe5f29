"""Which laps were driven, how fast, by whom; and which are driven deterministically to be judged."""

from __future__ import annotations

from robot.messages import Actor
from robot.practice.lap_timer import LapTimer
from robot.practice.logbook import Logbook


class LapBook:
    """Times laps within an episode and tells of each.

    ``explore``: whether policies are sampled from. If so, every ``evaluate_every``-th lap that a policy
    begins (0: none) is driven deterministically; while it is, ``evaluating`` is set. ``cycle_length`` [m]:
    of a lap.
    """

    def __init__(self, logbook: Logbook, explore: bool, evaluate_every: int, cycle_length: float) -> None:
        self._logbook, self._explore, self._every = logbook, explore, evaluate_every
        self._cycle_length = cycle_length
        self._timer = LapTimer()
        self._begun = self._altered = 0
        self.evaluating = False

    @property
    def explores(self) -> bool:
        """Whether the policy is sampled from now."""
        return self._explore and not self.evaluating

    def start(self, time_ns: int, progress: float, practising: bool) -> None:
        """An episode begins. ``practising``: a policy drives it."""
        self._altered = 0
        if self._timer.reset(time_ns, progress):
            self._begin(practising)

    def update(self, now_ns: int, time_ns: int, progress: float, actor: Actor, version: int) -> bool:
        """A step by ``actor`` brought it to ``progress`` [laps] at ``time_ns``. True if a lap is complete."""
        lap_s, began = self._timer.update(time_ns, progress)
        self._logbook["progress_m"] = progress * self._cycle_length
        if lap_s is not None:
            self._tell(now_ns, lap_s, actor, version)
        if began:
            self._begin(actor is Actor.POLICY)
        return lap_s is not None

    def count_altered(self) -> None:
        """A step of this lap was altered by the guardian; the lap's event will say so."""
        self._altered += 1

    def end(self, now_ns: int, version: int, failed: bool) -> None:
        """The episode has ended."""
        if self.evaluating and failed:
            self._logbook.tell(now_ns, "evaluation_failed", 0.0, f"deterministic policy {version}")
        self.evaluating = False

    def _begin(self, practising: bool) -> None:
        self._altered = 0
        self.evaluating = False
        if practising and self._explore and self._every > 0:
            self._begun += 1
            self.evaluating = self._begun % self._every == 0

    def _tell(self, now_ns: int, lap_s: float, actor: Actor, version: int) -> None:
        book = self._logbook
        book["lap_time_s"] = lap_s
        altered = f", {self._altered} altered steps" if self._altered else ""
        if actor is not Actor.POLICY:
            who = actor.name.lower()
            book.tell(now_ns, f"lap_{who}", lap_s, f"{who}{altered}")
            return
        book.count("laps")
        book["best_lap_s"] = lap_s if book["best_lap_s"] == 0.0 else min(book["best_lap_s"], lap_s)
        kind, how = ("lap", "exploring") if self.explores else ("lap_deterministic", "deterministic")
        book.tell(now_ns, kind, lap_s, f"{how} policy {version}{altered}")
