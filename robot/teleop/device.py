"""What drives in a policy's place: what the pilot asks of it, and what an input device says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from robot.interface import Array
from robot.messages import Actor, InputKind


@dataclass(frozen=True)
class TeleopCommand:
    """``setpoint`` in the order and units of the spec's actuators; ``time_ns`` when it was given; ``source``
    HUMAN or SCRIPT. ``input_ns``: when the person last did something, through ``input``; 0 for a script."""

    setpoint: Array
    time_ns: int
    source: Actor
    input_ns: int = 0
    input: InputKind = InputKind.NONE


class TeleopDevice(Protocol):
    """One driver. Never blocks."""

    def read(self, now_ns: int, state: Array) -> TeleopCommand | None:
        """The newest command, or None if the device does not claim the robot.

        A device that falls silent while it has the robot keeps returning its last command with its old time:
        the pilot then holds the robot at rest. Only an explicit release gives it back to the policy.
        """


@dataclass(frozen=True)
class Reading:
    """How an input device stands.

    ``axes`` in [-1, 1], shape (n_actuators,): 0 is rest. ``held``: the person has hold of the robot.
    ``input_ns``: when the person last did something. ``presses``: since the reading before, by the names that
    ``hand_dtype`` has for them. ``estop``: asked for and not taken back.
    """

    axes: Array
    held: bool
    input_ns: int
    connected: bool = True
    presses: tuple[str, ...] = ()
    estop: bool = False


class InputDevice(Protocol):
    """One input device, read by a process or thread of its own. ``reason``: why it is not connected, for a
    person."""

    kind: InputKind
    reason: str

    def descriptors(self) -> Sequence[int]:
        """What becomes readable when there is something to read."""

    def read(self, now_ns: int) -> Reading:
        """How it stands now. Never blocks, and never raises for a device that has gone."""

    def close(self) -> None: ...
