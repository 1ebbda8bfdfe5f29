"""What the pilot asks of anything that drives in a policy's place: a gamepad, a leader arm, a script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from robot.interface import Array
from robot.messages import Actor


@dataclass(frozen=True)
class TeleopCommand:
    """``setpoint`` in the order and units of the spec's actuators; ``time_ns`` when it was given; ``source``
    HUMAN or SCRIPT."""

    setpoint: Array
    time_ns: int
    source: Actor


class TeleopDevice(Protocol):
    """One input device. Never blocks."""

    def read(self, now_ns: int, state: Array) -> TeleopCommand | None:
        """The newest command, or None if the device does not claim the robot.

        A device that falls silent while it has the robot keeps returning its last command with its old time:
        the pilot then holds the robot at rest. Only an explicit release gives it back to the policy.
        """
