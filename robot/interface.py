"""The seam between the guardian and a device, and between the guardian and an estimator.

The same four calls a tick serve a serial port, an emulated one and a simulated clock:
``poll`` (take what has arrived), then ``command`` or ``stop`` (send, and ask for the next samples).
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from robot.errors import SpecError
from robot.messages import measurement_dtype
from robot.spec import Device, RobotSpec

Array = NDArray[np.float64]


class Port(Protocol):
    """Bytes in and out of a device; never blocks."""

    @property
    def is_open(self) -> bool: ...

    def open(self) -> None:
        """Raises PortError: which port, why (absent, busy, not permitted), and the command that mends it."""

    def read(self) -> bytes:
        """All bytes that have arrived, possibly none. Raises PortError if the port is lost."""

    def write(self, data: bytes) -> int:
        """Write what fits now and return how many bytes that was. Raises PortError if the port is lost."""

    def close(self) -> None: ...


class Measurements:
    """The newest sample of every sensor, preallocated. One record of ``measurement_dtype(spec)``."""

    def __init__(self, spec: RobotSpec) -> None:
        self.record: NDArray[np.void] = np.zeros(1, measurement_dtype(spec))
        self._views = {
            s.name: (
                self.record[s.name]["time_ns"],
                self.record[s.name]["sequence"],
                self.record[s.name]["values"][0],
            )
            for s in spec.sensors
        }

    def put(self, sensor: str, time_ns: int, values: Any) -> None:
        """Store a sample: ``time_ns`` when it was taken (monotonic), ``values`` in the sensor's layout."""
        time_view, sequence, stored = self._views[sensor]
        time_view[0] = time_ns
        sequence[0] += 1
        stored[:] = values

    def values(self, sensor: str) -> Array:
        """A live view of the newest values, shape (sensor size,)."""
        values: Array = self._views[sensor][2]
        return values

    def time_ns(self, sensor: str) -> int:
        """When the newest sample was taken; 0 if there has been none."""
        return int(self._views[sensor][0][0])

    def sequence(self, sensor: str) -> int:
        """How many samples there have been."""
        return int(self._views[sensor][1][0])


@dataclass
class LinkHealth:
    """What a driver counted on its port. ``errors`` by name: bad_crc, short_frame, unknown_packet, late, …"""

    state: Literal["closed", "open", "lost"] = "closed"
    frames: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    last_error: str = ""
    reconnections: int = 0
    firmware: str = ""
    fault: str = ""

    def count(self, name: str, detail: str = "") -> None:
        self.errors[name] = self.errors.get(name, 0) + 1
        self.last_error = f"{name}: {detail}" if detail else name


@dataclass
class StopProof:
    """How far a device's proof is that it stops by itself when nobody commands it any more. ``reason``: what
    was found wrong, or what was measured, for a person; ``measured_s``: how long after the last command the
    device stopped [s], NaN if that was not measured."""

    state: Literal["idle", "running", "passed", "failed"] = "idle"
    reason: str = ""
    measured_s: float = math.nan


class Driver(Protocol):
    """One device on one port, owned by the guardian.

    After ``open`` nothing a device does raises: bad, short or late packets are counted in ``health``, a lost
    port is a state in ``health`` and reconnection is tried from ``poll``. ``sensors`` and ``actuators`` are
    the spec's names this device serves; setpoints are in the order of ``actuators``.
    """

    sensors: tuple[str, ...]
    actuators: tuple[str, ...]
    health: LinkHealth
    proof: StopProof

    def open(self, now_ns: int) -> None:
        """Open the port and find the device on it. Raises PortError."""

    def poll(self, now_ns: int, measurements: Measurements) -> None:
        """Take what has arrived and store complete samples with the time each was taken."""

    def command(self, now_ns: int, setpoint: Array) -> Array:
        """Send setpoints [actuator units] and requests for the next samples. Returns what was really sent,
        after quantisation; NaN where nothing went out. The array is the driver's own and reused."""

    def stop(self, now_ns: int, torque: bool) -> Array:
        """Send the device's own stop: braking (``torque``) or powerless. Returns the equivalent setpoints."""

    def silence(self, now_ns: int) -> Array:
        """Send no command, only requests for samples, so that the device stops by its own timeout. Returns
        the equivalent setpoints, as ``stop`` does."""

    def prove_stop(self, now_ns: int, begin: bool) -> Array:
        """One tick of proving, in place of ``command`` or ``stop`` while the robot is armed, that the device
        stops by itself within its own timeout; without moving the robot. ``begin`` starts anew. ``proof``
        tells how it stands; once it is decided this is ``stop`` with torque. A device that drives nothing has
        nothing to prove and passes at once. Returns the equivalent setpoints, as ``stop`` does."""

    def close(self) -> None:
        """Leave the device stopped, then close the port. Never raises."""


@dataclass(frozen=True)
class Estimate:
    """An estimator's output: values and standard deviations in the spec's state layout; ``converged`` once
    they may be relied on. The arrays are live views."""

    values: Array
    deviation: Array
    converged: bool


class Estimator(Protocol):
    """Measurements to state, once a guardian tick, in bounded time."""

    def update(self, now_ns: int, measurements: Measurements, sent: Array) -> Estimate:
        """``sent``: the setpoints that left in the previous tick, in the order of the spec's actuators."""

    def pose(self, time_ns: int, pose: Array, variance: Array) -> None:
        """Take an external pose: x, y [m], yaw [rad], with variances, captured at ``time_ns``."""


def load_class(registry: str, where: str) -> Any:
    """``module:Class`` to the class. Raises SpecError that says which half is wrong."""
    module_name, _, class_name = registry.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise SpecError(
            f"{where}: cannot import {module_name!r} ({error}); expected 'module:Class'"
        ) from None
    found = getattr(module, class_name, None)
    if found is None:
        classes = [n for n in vars(module) if n[:1].isupper()]
        raise SpecError(f"{where}: {module_name} has no class {class_name!r}; it has {', '.join(classes)}")
    return found


def make_driver(spec: RobotSpec, device: Device, port: Port | None = None) -> Driver:
    """Build the driver of one device of a robot. ``port`` replaces the serial port the device names."""
    driver: Driver = load_class(device.driver, f"{spec.name}: device {device.name}")(spec, device, port)
    return driver
