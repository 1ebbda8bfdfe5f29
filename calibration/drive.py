"""What a robot's sensors said during a drive, as columns, from its log: the raw data of every procedure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibration.signal_checks import require_forward
from robot.errors import SandlotError
from robot.log_reader import Log, log_files, read_log
from robot.messages import SafetyState
from robot.plain_data import decode_struct
from robot.recorder import TICKS
from robot.spec import RobotSpec
from sim.log_windows import Recording

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Samples:
    """What one sensor reported, each sample once: ``time_s`` [s], shape (n,), ``values`` in the order of the
    sensor's layout, shape (n, size)."""

    time_s: Array
    values: Array

    def at(self, time_s: Array, element: int) -> Array:
        """One element between the samples, at any times."""
        return np.asarray(np.interp(time_s, self.time_s, self.values[:, element]))


@dataclass(frozen=True)
class ImageMotion:
    """Between pictures that were taken at ``before_s`` and ``after_s`` [s], shape (n,) each, what a camera
    shows moved by ``shift`` to the right and down [pixels], shape (n, 2). Of all its pictures:
    ``delivered_s``, from the stamp's time until it was here [s], shape (m,), and how many are ``missing``."""

    before_s: Array
    after_s: Array
    shift: Array
    delivered_s: Array
    missing: int


@dataclass(frozen=True)
class Drive:
    """One row per guardian tick; times in seconds since the first. ``sent_s``: when the commands were on
    their way; ``sent`` [actuator units], shape (T, n_actuators); ``states``: the estimate, shape (T,
    n_state); ``free``: the robot was free to move, shape (T,); ``sensors``: by name. ``recording``: the same
    as the twin replays it, in the log's own time; ``start_ns``: where ``time_s`` begins there. ``pictures``:
    by camera, for who looks at them."""

    spec: RobotSpec
    time_s: Array
    sent_s: Array
    sent: Array
    states: Array
    free: Flags
    sensors: dict[str, Samples]
    start_ns: int = 0
    recording: Recording | None = None
    pictures: dict[str, ImageMotion] = field(default_factory=dict)

    def state(self, element: str) -> Array:
        """A column of ``states``."""
        return self.states[:, self.spec.state_layout.index(element)]

    def sent_to(self, actuator: str) -> Array:
        """A column of ``sent``."""
        return self.sent[:, self.spec.actuator_layout.index(actuator)]

    def sensor(self, name: str) -> Samples:
        """Raises SandlotError if it said nothing."""
        found = self.sensors[name]
        if len(found.time_s) < 2:
            raise SandlotError(f"sensor {name} reported {len(found.time_s)} samples; at least 2 are needed")
        return found


def read_drive(path: Path) -> tuple[Drive, Log]:
    """Of a run's folder or log file. Raises SandlotError for one that is not a robot's, and
    SignalError for samples whose times go back: whatever is computed from such a log is wrong."""
    log = read_log(path, [TICKS])
    if "spec" not in log.metadata or not len(log.ticks):
        raise SandlotError(f"{path} describes no robot or has no ticks; is it a session's log?")
    spec = decode_struct(msgspec.json.decode(log.metadata["spec"]), RobotSpec, str(path))
    return drive_of(spec, log), log


def drive_of(spec: RobotSpec, log: Log) -> Drive:
    """The columns of a log. Raises SignalError."""
    ticks = log.ticks
    start = int(ticks["time_ns"][0])

    def seconds(ns: NDArray[np.int64]) -> Array:
        return np.asarray((ns.astype(np.int64) - start) * 1e-9)

    time_s = seconds(ticks["time_ns"])
    require_forward("the guardian's ticks", time_s)
    sensors = {}
    for sensor in spec.sensors:
        rows = ticks["measured"][sensor.name]
        _, new = np.unique(rows["sequence"], return_index=True)
        new = new[rows["time_ns"][new] > 0]
        samples = Samples(seconds(rows["time_ns"][new]), np.asarray(rows["values"][new], np.float64))
        require_forward(f"sensor {sensor.name}", samples.time_s)
        sensors[sensor.name] = samples
    return Drive(
        spec=spec,
        time_s=time_s,
        sent_s=time_s + ticks["busy_ns"].astype(np.int64) * 1e-9,
        sent=np.asarray(ticks["sent"], np.float64),
        states=np.asarray(ticks["state"], np.float64),
        free=np.isin(ticks["safety_state"], (SafetyState.ACTIVE, SafetyState.REDUCED)),
        sensors=sensors,
        start_ns=start,
    )


def log_hash(path: Path) -> str:
    """SHA-256 of a run's log files, one after another."""
    found = hashlib.sha256()
    for file in log_files(path) if path.is_dir() else [path]:
        found.update(file.read_bytes())
    return found.hexdigest()
