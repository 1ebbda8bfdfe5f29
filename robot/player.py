"""A recorded sequence of commands in the pilot's place: the same setpoints at the same times, once.

It begins when the robot may move, knows where it is, and stands where the recording began; the guardian
judges each command as it would a policy's. When the guardian stops the robot the tape is over: what follows
was meant for another place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from robot.board import Board
from robot.clock import Clock
from robot.interface import Array
from robot.messages import Actor, PilotPhase, command_dtype
from robot.practice.logbook import Logbook
from robot.practice.sight import Eyes, Sight
from robot.spec import RobotSpec

CALM_S: Final = 0.5
"""The robot has stood at its start for so long before anything is played, and longer than it may be REDUCED
for after a HOLD [s]."""
RENEWED: Final = 0.5
"""A command that lasts is sent again after this share of a command's timeout, so that nobody takes the player
for dead."""
NEAR_M, NEAR_RAD = 0.3, 0.35
"""How far from the recorded start the robot may stand: what is played drives blindly from there."""


@dataclass(frozen=True)
class CommandTape:
    """``times_ns`` (n,) since the first command; ``setpoints`` (n, n_actuators) [actuator units]; ``start``:
    x, y [m], yaw [rad], where it was driven from."""

    times_ns: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    setpoints: Array
    start: tuple[float, float, float]

    @property
    def seconds(self) -> float:
        return float(self.times_ns[-1]) * 1e-9

    def save(self, path: Path) -> None:
        np.savez(path, times_ns=self.times_ns, setpoints=self.setpoints, start=np.array(self.start))


def load_tape(path: Path) -> CommandTape:
    with np.load(path) as file:
        x, y, yaw = (float(value) for value in file["start"])
        return CommandTape(file["times_ns"], file["setpoints"], (x, y, yaw))


class Player:
    """``step`` it at the guardian's rate."""

    def __init__(self, spec: RobotSpec, tape: CommandTape, board: Board, clock: Clock) -> None:
        self._tape, self._board, self._clock = tape, board, clock
        self._eyes, self._logbook = Eyes(spec), Logbook(board)
        self._layout = spec.state_layout
        self._rest = np.array([actuator.rest for actuator in spec.actuators])
        self._record = np.zeros(1, command_dtype(spec))
        self._calm_for_ns = round((CALM_S + spec.safety.reduced_dwell_s) * 1e9)
        self._renewed_ns = round(RENEWED * spec.safety.command_timeout_s * 1e9)
        self._began_ns: int | None = None
        self._calm_ns: int | None = None
        self._at, self._sent_ns, self._told_ns = -1, 0, 0
        self._finished = False
        if board.command.sequence > 0:
            # Somebody played before this and died: the robot is no longer where the tape begins.
            self._end(clock.now_ns(), "replay_cut", "the player was started again in the middle")

    def step(self, due_ns: int) -> None:
        """Send what is due."""
        now = self._clock.now_ns()
        sight = self._eyes.see(self._board.state.read(), now)
        playing = self._began_ns is not None
        if self._finished or sight is None:
            if playing and not self._finished:
                self._end(now, "replay_cut", "the guardian said nothing")
        elif playing:
            self._play(now, sight)
        else:
            self._wait(now, sight)
        phase = PilotPhase.DEMONSTRATING if playing else PilotPhase.WAITING
        actor = Actor.SCRIPT if playing else Actor.NOBODY
        self._logbook.publish(now, PilotPhase.FINISHED if self._finished else phase, actor, 0)

    def finish(self) -> None:
        """The session ends."""
        self._finished = True
        self.step(self._clock.now_ns())

    def _wait(self, now: int, sight: Sight) -> None:
        away = self._away(sight)
        if not sight.able or not sight.calm or away:
            self._calm_ns = None
            if sight.able and away and now - self._told_ns > 1_000_000_000:
                self._told_ns = now
                self._logbook.tell(now, "replay_waits", 0.0, away)
        elif self._calm_ns is None:
            self._calm_ns = now
        elif now - self._calm_ns >= self._calm_for_ns:
            self._began_ns = now
            count = len(self._tape.times_ns)
            self._logbook.tell(now, "replay_begins", self._tape.seconds, f"{count} commands")
            self._play(now, sight)
            return
        # At rest, and also while the robot may not move: it resumes only for somebody who commands it.
        if now - self._sent_ns >= self._renewed_ns:
            self._send(now, sight, self._rest, Actor.NOBODY)

    def _play(self, now: int, sight: Sight) -> None:
        if not sight.free:
            self._end(now, "replay_cut", "the guardian stopped the robot")
            return
        elapsed = now - (now if self._began_ns is None else self._began_ns)
        at = int(np.searchsorted(self._tape.times_ns, elapsed, side="right")) - 1
        last = len(self._tape.times_ns) - 1
        if at != self._at or now - self._sent_ns >= self._renewed_ns:
            if at == self._at == last:
                self._end(now, "replay_ends", "all commands were sent")
                return
            self._at = at
            self._send(now, sight, self._tape.setpoints[at], Actor.SCRIPT)

    def _end(self, now: int, kind: str, why: str) -> None:
        """Nothing more is ever sent: the guardian stops a robot whose commands cease."""
        self._finished = True
        elapsed_s = 0.0 if self._began_ns is None else (now - self._began_ns) * 1e-9
        self._logbook.tell(now, kind, elapsed_s, why)

    def _away(self, sight: Sight) -> str:
        """Where the robot stands, if that is not where the tape begins; empty if it is."""
        x, y, yaw = self._tape.start
        far = math.hypot(sight.position[0] - x, sight.position[1] - y)
        turned = 0.0
        if "heading" in self._layout:
            turned = float(sight.state[self._layout.index("heading")]) - yaw
            turned = abs(math.remainder(turned, 2.0 * math.pi))
        if far <= NEAR_M and turned <= NEAR_RAD:
            return ""
        return f"{far:.2f} m and {turned:.2f} rad from where the recording began"

    def _send(self, now: int, sight: Sight, setpoint: Array, actor: Actor) -> None:
        record = self._record
        record["time_ns"], record["epoch"], record["actor"] = now, sight.epoch, actor
        record["setpoint"][0] = setpoint
        self._sent_ns = now
        self._board.command.write(record)
