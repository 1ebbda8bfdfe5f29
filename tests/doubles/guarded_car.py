"""The racer's real guardian, drivers and estimator on emulated devices and simulated time, with a point mass
for a car: everything between mailbox and wire is the product's, everything around it does as it is told."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from point_plant import PointPlant

from robot.board import Board
from robot.clock import SimulatedClock
from robot.contract import PREVIOUS_ACTION, ObservationTerm, task_contract
from robot.guardian import Guardian
from robot.interface import Estimate, Measurements, load_class, make_driver
from robot.messages import OPERATOR_DTYPE, Actor, command_dtype
from robot.shared_memory import Mailbox
from robot.spec import RobotSpec, load_spec
from sim.emulators.faults import Fault
from sim.emulators.rig import Rig

Array = NDArray[np.float64]
ROBOT = Path(__file__).parents[2] / "launch" / "robots" / "racer.toml"
START_NS = 1_000_000_000
SECOND = 1_000_000_000
MOTOR = {6: "current", 7: "brake", 8: "rpm"}
"""What commands the motor, by the first byte of a frame's payload (VESC firmware, datatypes.h)."""


def _limit(name: str, element: str, unit: str, action: str, **bounds: float) -> dict[str, Any]:
    return {"name": name, "element": element, "unit": unit, "action": action, "reason": "test", **bounds}


LIMITS = [
    _limit("warm", "drive.fet_temperature", "degC", "reduce", upper=60.0),
    _limit("hot", "drive.motor_temperature", "degC", "category2", upper=90.0, debounce_s=0.1),
    _limit("burning", "drive.motor_temperature", "degC", "category0", upper=120.0),
    _limit("battery", "drive.input_voltage", "V", "category1", lower=9.6, debounce_s=0.2),
    _limit("spinning", "drive.erpm", "1/min", "category1", lower=-30000.0, upper=30000.0, debounce_s=0.1),
    _limit("blow", "impact", "m/s^2", "category1", upper=100.0),
]


def car_spec(limits: list[dict[str, Any]] = LIMITS, **safety: Any) -> RobotSpec:
    """The racer with limits of its own and shorter timers."""
    return load_spec(
        ROBOT,
        {
            "stop": {"hold_s": 0.6, "deadline_s": 0.8},
            "enable": {"source": "simulated_operator", "timeout_s": 0.2},
            "safety": {"reduced_dwell_s": 0.3, "limits": limits, "signals": [], **safety},
        },
    )


class Car(PointPlant):
    """A point mass that can be shoved, tilted, heated, and whose brakes can fail."""

    def __init__(self) -> None:
        super().__init__()
        self.held_speed: float | None = None
        self.slippery = False
        self.blow = 0.0  # m/s^2, forward
        self._gained = 0.0  # m/s^2

    @property
    def specific_force(self) -> Array:
        return self.felt + np.array([self._gained + self.blow, 0.0, 0.0])

    def advance(self, to_ns: int) -> None:
        before, began_ns = self.speed, self.time_ns
        super().advance(to_ns)
        if self.slippery and self.braking:
            self.speed = before
        if self.held_speed is not None:
            self.speed = self.held_speed
        elif self.time_ns > began_ns:
            self._gained = (self.speed - before) / ((self.time_ns - began_ns) * 1e-9)


class JumpingClock(SimulatedClock):
    """A clock that can be set, which no monotonic clock should ever be."""

    def set(self, now_ns: int) -> None:
        self._now_ns = now_ns


class SabotagedDriver:
    """A real driver that raises, or whose samples turn into something else, when it is told to."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.fails: set[str] = set()
        self.poison: dict[str, float] = {}
        self.raised = False

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._driver, name)
        if not callable(value):
            return value

        def call(*args: Any) -> Any:
            if name in self.fails:
                self.raised = True
                raise ZeroDivisionError(f"bug in {name}")
            result = value(*args)
            if name == "poll":
                for sensor, bad in self.poison.items():
                    measurements: Measurements = args[1]
                    measurements.values(sensor)[0] = bad
            return result

        return call


class SabotagedEstimator:
    """A real estimator that raises, or answers nonsense, when it is told to."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        self.trouble = ""

    def update(self, now_ns: int, measurements: Measurements, sent: Array) -> Estimate:
        estimate: Estimate = self._estimator.update(now_ns, measurements, sent)
        if self.trouble == "raises":
            raise np.linalg.LinAlgError("singular matrix")
        if self.trouble == "shape":
            return Estimate(estimate.values[:2], estimate.deviation, True)
        if self.trouble:
            values = estimate.values.copy()
            values[3] = float(self.trouble)
            return Estimate(values, estimate.deviation, True)
        return estimate

    def pose(self, time_ns: int, pose: Array, variance: Array) -> None:
        self._estimator.pose(time_ns, pose, variance)


class Wiretap:
    """What the host wrote to the motor controller in this tick, decoded apart from the product's parser."""

    def __init__(self, device: Any) -> None:
        self._receive: Callable[[bytes, int], None] = device.receive
        device.receive = self
        self.data = b""

    def __call__(self, data: bytes, now_ns: int) -> None:
        self.data += data
        self._receive(data, now_ns)

    def take(self) -> list[tuple[str, float]]:
        """(``rpm``, ERPM), (``current`` or ``brake``, A), (``servo``, 0 to 1), in order of writing."""
        found: list[tuple[str, float]] = []
        data, self.data = self.data, b""
        at = 0
        while at < len(data):
            assert data[at] == 2 and data[at + data[at + 1] + 4] == 3, "no short VESC frame"
            payload = data[at + 2 : at + 2 + data[at + 1]]
            at += len(payload) + 5
            if payload[0] in MOTOR:
                (value,) = struct.unpack(">i", payload[1:5])
                found.append((MOTOR[payload[0]], value if payload[0] == 8 else value / 1e3))
            elif payload[0] == 12:
                found.append(("servo", struct.unpack(">h", payload[1:3])[0] / 1e3))
        return found


class GuardedCar:
    """``tick`` is one period of everything. Mailboxes are written between ticks, by whoever."""

    def __init__(self, directory: Path, spec: RobotSpec | None = None) -> None:
        self.spec = spec or car_spec()
        terms = tuple(a.name for a in self.spec.actions)
        term = ObservationTerm(name=PREVIOUS_ACTION, unit="1", scale=1.0, elements=terms)
        self.contract = task_contract(self.spec, "none", (term,), ("r",))
        self.board = Board(directory, self.spec, self.contract, create=True)
        self.clock = JumpingClock(START_NS)
        self.period_ns = round(1e9 / self.spec.rates.guardian_hz)
        self.plant = Car()
        self.rig = Rig(self.spec, self.plant, np.random.default_rng(1))
        self.wire = Wiretap(self.rig.devices["vesc"])
        self.operator = np.zeros(1, OPERATOR_DTYPE)
        self.command = np.zeros(1, command_dtype(self.spec))
        self.command["actor"] = Actor.POLICY
        self.last_ns = START_NS
        self.build()

    def build(self) -> None:
        """A guardian with drivers of its own, on the same car and board: the first, or after a death."""
        ports = self.rig.ports(self.clock)
        self.drivers = [SabotagedDriver(make_driver(self.spec, d, ports[d.name])) for d in self.spec.devices]
        kind = load_class(self.spec.estimator.driver, "estimator")
        self.estimator = SabotagedEstimator(kind(self.spec))
        self.guardian = Guardian(self.spec, self.drivers, self.estimator, self.clock, self.board)
        self.guardian.start()

    def tick(self, late_ns: int = 0) -> None:
        """The next period; ``late_ns``: the guardian gets its turn so much later than it was due."""
        due_ns = self.clock.now_ns() + self.period_ns
        self.clock.sleep_until(due_ns + late_ns)
        self.guardian.tick(due_ns)

    def fault(self, device: str, kind: str, seconds: float, probability: float = 1.0) -> None:
        """A fault of a device's line or port from now on."""
        now_s = self.clock.now_ns() / 1e9
        fault = Fault(kind=kind, start_s=now_s, end_s=now_s + seconds, probability=probability)  # type: ignore[arg-type]
        self.rig.devices[device].faults.set((fault,))


def smuggle(mailbox: Mailbox, record: NDArray[np.void], sequence: int) -> None:
    """Put a record into a mailbox under a sequence number of one's own choice, as no honest writer can."""
    region = mailbox._region
    record = record.copy()
    record["sequence"] = sequence
    data = record.tobytes()
    slot = mailbox._slots[sequence & 1]
    slot[: len(data)] = data
    slot[len(data) :] = zlib.crc32(data).to_bytes(4, "little")
    region._written[0] = sequence


def tear(mailbox: Mailbox) -> None:
    """Spoil the newest record of a mailbox, as if its writer had died half-way."""
    slot = mailbox._slots[mailbox.sequence & 1]
    slot[3] ^= 0xFF


def finite(values: Array) -> bool:
    return all(map(math.isfinite, values.tolist()))
