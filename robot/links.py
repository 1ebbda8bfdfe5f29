"""The guardian's drivers as one: whatever a driver does, the guardian goes on and the robot is stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from robot.event_log import EventLog
from robot.interface import Driver, Measurements
from robot.messages import Cause, DeviceFlag
from robot.safety.monitors import CLEAR, Verdict
from robot.safety.state_machine import Request
from robot.spec import RobotSpec

Array = NDArray[np.float64]
P = ParamSpec("P")
T = TypeVar("T")

_REPORT_NS = 1_000_000_000
_OPEN, _FAULT, _RAISED, _PROVEN, _REFUTED = map(int, DeviceFlag)
_PROOF_FLAGS = {"idle": 0, "running": 0, "passed": _PROVEN, "failed": _REFUTED}


@dataclass
class _Link:
    name: str
    driver: Driver
    essential: bool
    """Whether the robot may not move without it: it drives something, or a required sensor is on it."""
    actuators: NDArray[np.intp]
    setpoint: Array
    place: int
    """Which of the spec's devices it is."""
    opened: bool = False
    state: str = "closed"
    failure: str = ""
    proof: str = "idle"
    unsent_ns: int | None = None
    reported: dict[str, int] = field(default_factory=dict)


class Links:
    """Every device of the robot. Setpoints are in the order of the spec's actuators."""

    def __init__(self, spec: RobotSpec, drivers: Sequence[Driver], events: EventLog) -> None:
        self._events = events
        self._unsent_limit_ns = round(spec.safety.command_timeout_s * 1e9)
        self._report_ns = 0
        order = {a.name: i for i, a in enumerate(spec.actuators)}
        device_of = {a.name: a.device for a in spec.actuators} | {s.name: s.device for s in spec.sensors}
        required = {s.name for s in spec.sensors if s.required}
        places = {device.name: k for k, device in enumerate(spec.devices)}
        self.flags = np.zeros(len(spec.devices), np.uint8)
        """How each of the spec's devices stood when last polled, as ``DeviceFlag``s, shape (n_devices,)."""
        self._links = [
            _Link(
                name=next((device_of[n] for n in (*d.actuators, *d.sensors)), type(d).__name__),
                driver=d,
                essential=bool(d.actuators) or not required.isdisjoint(d.sensors),
                actuators=np.array([order[a] for a in d.actuators], np.intp),
                setpoint=np.zeros(len(d.actuators)),
                place=places.get(next((device_of[n] for n in (*d.actuators, *d.sensors)), ""), k),
            )
            for k, d in enumerate(drivers)
        ]

    def open(self, now_ns: int) -> None:
        """Open every device. Raises PortError at the first that cannot be."""
        for link in self._links:
            link.driver.open(now_ns)
            link.opened = True
            link.state = link.driver.health.state

    def poll(self, now_ns: int, measurements: Measurements) -> None:
        """Take what has arrived; tell of ports lost and back."""
        for link in self._links:
            self._guarded(now_ns, link, link.driver.poll, now_ns, measurements)
            health = link.driver.health
            state = health.state
            self.flags[link.place] = (
                _OPEN * (state == "open") | _FAULT * bool(health.fault) | _RAISED * bool(link.failure)
            ) | _PROOF_FLAGS[link.proof]
            if state != link.state:
                kind = "port_back" if state == "open" else "port_lost"
                self._events.put(now_ns, kind, health.reconnections, f"{link.name}: {self._error(link)}")
                link.state = state
        if now_ns - self._report_ns >= _REPORT_NS:
            self._report_ns = now_ns
            for link in self._links:
                self._report(now_ns, link)

    def verdict(self, now_ns: int) -> Verdict:
        """The worst any link has to say."""
        for link in self._links:
            health = link.driver.health
            if link.failure:
                failure, link.failure = link.failure, ""
                return Verdict(Request.CATEGORY1, Cause.DRIVE_FAULT, failure)
            if not link.essential:
                continue
            if health.state != "open":
                return Verdict(Request.CATEGORY1, Cause.PORT_LOST, link.name)
            if health.fault:
                return Verdict(Request.CATEGORY1, Cause.DRIVE_FAULT, f"{link.name}: {health.fault}")
            if link.unsent_ns is not None and now_ns - link.unsent_ns > self._unsent_limit_ns:
                return Verdict(Request.CATEGORY1, Cause.PORT_LOST, f"{link.name}: nothing goes out")
        return CLEAR

    def doubt(self, due: bool) -> Verdict:
        """What stands against going from ARMING to ACTIVE: a drive that proved not to stop by itself or, once
        arming is ``due`` to end, one that has not proved that it does."""
        for link in self._links:
            if link.proof == "failed":
                return Verdict(Request.CATEGORY1, Cause.UNPROVEN, f"{link.name}: {link.driver.proof.reason}")
            if due and link.proof != "passed":
                text = f"{link.name}: no proof within arming_s that it stops by itself"
                return Verdict(Request.CATEGORY1, Cause.UNPROVEN, text)
        return CLEAR

    def prove(self, now_ns: int, begin: bool, sent: Array) -> None:
        """A tick of ARMING: let every device that drives something prove that it stops by itself."""
        for link in self._links:
            if not link.actuators.size:
                link.proof = "passed"
                continue
            self._send(now_ns, link, sent, link.driver.prove_stop, now_ns, begin)
            proof, before = link.driver.proof, link.proof
            link.proof = proof.state
            if link.proof != before and link.proof in ("passed", "failed"):
                kind = "stop_proven" if link.proof == "passed" else "stop_unproven"
                self._events.put(now_ns, kind, proof.measured_s, f"{link.name}: {proof.reason}")

    def command(self, now_ns: int, allowed: Array, sent: Array) -> None:
        """Send setpoints, shape (n_actuators,); ``sent`` receives what went out, NaN where nothing did."""
        for link in self._links:
            np.take(allowed, link.actuators, out=link.setpoint)
            self._send(now_ns, link, sent, link.driver.command, now_ns, link.setpoint)

    def stop(self, now_ns: int, torque: bool, sent: Array) -> None:
        """Brake (``torque``) or let go, everywhere; ``sent`` as in ``command``."""
        for link in self._links:
            self._send(now_ns, link, sent, link.driver.stop, now_ns, torque)

    def silence(self, now_ns: int, sent: Array) -> None:
        """Command nothing, so that each device's own timeout stops it; ``sent`` as in ``command``."""
        for link in self._links:
            self._send(now_ns, link, sent, link.driver.silence, now_ns)

    def close(self, now_ns: int, torque: bool) -> None:
        """Stop every device first, then close every port. Never raises."""
        opened = [link for link in self._links if link.opened]
        for link in opened:
            self._guarded(now_ns, link, link.driver.stop, now_ns, torque)
        for link in opened:
            self._guarded(now_ns, link, link.driver.close)
            link.opened = False

    def _send(
        self,
        now_ns: int,
        link: _Link,
        sent: Array,
        call: Callable[P, Array],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        out = self._guarded(now_ns, link, call, *args, **kwargs)
        if out is not None and np.shape(out) != link.setpoint.shape:
            link.failure = f"{link.name}: returned shape {np.shape(out)}, {link.setpoint.shape} expected"
            out = None
        if out is None:  # the driver failed half-way: its stop may still work
            self._guarded(now_ns, link, link.driver.stop, now_ns, True)
        if not link.setpoint.size:
            return
        sent[link.actuators] = np.nan if out is None else out
        if all(map(math.isfinite, sent[link.actuators].tolist())):
            link.unsent_ns = None
        elif link.unsent_ns is None:
            link.unsent_ns = now_ns

    def _guarded(
        self, now_ns: int, link: _Link, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T | None:
        """Call a driver; an exception is a reason to stop the robot, not the guardian. None if it raised."""
        try:
            return call(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  (whatever a driver does, the others must still be stopped)
            link.failure = f"{link.name}: {type(error).__name__}: {error}"
            self._events.at_most_once_a_second(now_ns, "driver_failed", 0.0, link.failure)
            return None

    def _report(self, now_ns: int, link: _Link) -> None:
        for name, count in link.driver.health.errors.items():
            if count != link.reported.get(name, 0):
                new = count - link.reported.get(name, 0)
                link.reported[name] = count
                self._events.put(now_ns, name, count, f"{link.name}: {new} more; last {self._error(link)}")

    @staticmethod
    def _error(link: _Link) -> str:
        return link.driver.health.last_error or link.driver.health.state
