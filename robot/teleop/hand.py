"""A person's hand on the robot: an input device's readings to whoever drives and enables by them."""

from __future__ import annotations

import select
from collections.abc import Callable

import numpy as np

from robot.clock import Clock
from robot.interface import Array
from robot.messages import Actor, InputKind, hand_dtype
from robot.safety.projection import Projection
from robot.shared_memory import Mailbox
from robot.spec import RobotSpec
from robot.teleop.device import InputDevice, Reading, TeleopCommand

RENEWED_S = 0.01
"""A device that says nothing is still asked so often [s], so that its silence is known at once."""
_KINDS = {int(kind): kind for kind in InputKind}


class HandFeeder:
    """Tells the session how an input device stands: when something happens, and every ``RENEWED_S``.

    ``tell(time_ns, text)`` takes what a person should know. Raises SharedMemoryError if another device drives
    already.
    """

    def __init__(
        self,
        spec: RobotSpec,
        device: InputDevice,
        mailbox: Mailbox,
        clock: Clock,
        tell: Callable[[int, str], None],
    ) -> None:
        self._claim = mailbox.claim()
        self._device, self._mailbox, self._clock, self._tell = device, mailbox, clock, tell
        last = mailbox.read()
        # Presses are counted on from where an earlier writer stopped, so that none appears out of nothing.
        self._record = np.zeros(1, hand_dtype(spec)) if last is None else last.copy()
        self._record["held"] = self._record["connected"] = False
        self._cap = _authority(spec)
        names = [actuator.name for actuator in spec.actuators]
        for axis in spec.teleop.axes:
            self._cap[names.index(axis.actuator)] *= axis.cap
        self._connected: bool | None = None

    def run(self, stop: Callable[[], bool]) -> None:
        """Until ``stop``; whatever ends it, the last word is that nobody has hold of the robot."""
        try:
            while not stop():
                self.step()
                poll = select.poll()  # select() cannot take descriptors from 1024 on
                for descriptor in self._device.descriptors():
                    poll.register(descriptor, select.POLLIN)
                poll.poll(RENEWED_S * 1e3)
        finally:
            self.close()

    def step(self) -> None:
        """Read the device once, and say how it stands."""
        now_ns = self._clock.now_ns()
        reading = self._device.read(now_ns)
        self._write(now_ns, reading)
        if reading.connected != self._connected:
            self._connected = reading.connected
            name = self._device.kind.name.lower()
            what = "connected" if reading.connected else f"not there: {self._device.reason}"
            self._tell(now_ns, f"{name} {what}")

    def close(self) -> None:
        """Let go, and close the device."""
        nothing = np.zeros(self._record["axes"].shape[1])
        self._write(self._clock.now_ns(), Reading(nothing, False, int(self._record["input_ns"][0]), False))
        self._claim.close()
        self._device.close()

    def _write(self, now_ns: int, reading: Reading) -> None:
        record = self._record
        record["time_ns"], record["input_ns"] = now_ns, reading.input_ns
        record["input"], record["connected"] = self._device.kind, reading.connected
        record["held"], record["estop"] = reading.held and reading.connected, reading.estop
        record["axes"][0] = np.clip(reading.axes, -1.0, 1.0) * self._cap
        for name in reading.presses:
            record[name] += 1
        self._mailbox.write(record)


def _authority(spec: RobotSpec) -> Array:
    """The share of each actuator's range that the session has, as the safety kernel will cut it: a person at
    reduced authority has all of a stick's way for what is left, and no dead end half way."""
    unhurried = Projection(spec.actuators, rate_hz=1e-9)
    low, high = unhurried.interval(unhurried.rest, spec.safety.authority)
    span = unhurried.upper - unhurried.lower
    share: Array = np.divide(high - low, span, out=np.ones_like(span), where=span > 0.0)
    return share


class Hand:
    """What the pilot sees of it: claims the robot while the person has hold of it."""

    def __init__(self, spec: RobotSpec, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._rest = np.array([a.rest for a in spec.actuators])
        self._up = np.array([a.upper for a in spec.actuators]) - self._rest
        self._down = self._rest - np.array([a.lower for a in spec.actuators])

    def read(self, now_ns: int, state: Array) -> TeleopCommand | None:
        """A hand that falls silent without letting go keeps the robot, at rest: whoever had hold of it may
        be about to catch it, and no policy takes over by itself."""
        record = self._mailbox.read()
        if record is None or not record["held"][0]:
            return None
        axes = record["axes"][0]
        setpoint = self._rest + np.where(axes >= 0.0, axes * self._up, axes * self._down)
        kind = _KINDS.get(int(record["input"][0]), InputKind.NONE)
        source = Actor.SCRIPT if kind is InputKind.SCRIPT else Actor.HUMAN
        return TeleopCommand(setpoint, int(record["time_ns"][0]), source, int(record["input_ns"][0]), kind)
