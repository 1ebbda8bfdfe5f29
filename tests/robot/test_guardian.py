"""The guardian as a whole, with a device and an estimator of a few lines, on simulated time."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from robot.board import Board
from robot.clock import SimulatedClock
from robot.contract import PREVIOUS_ACTION, ObservationTerm, task_contract
from robot.errors import PortError, SpecError
from robot.guardian import Guardian
from robot.interface import Estimate, LinkHealth, Measurements, StopProof
from robot.messages import (
    COURIER_DTYPE,
    ESTOP_DTYPE,
    OPERATOR_DTYPE,
    POSE_DTYPE,
    Actor,
    Cause,
    DeviceFlag,
    EstopState,
    SafetyState,
    command_dtype,
)
from robot.plain_data import decode_struct
from robot.safety.state_machine import Request
from robot.spec import RobotSpec, reduced

Array = NDArray[np.float64]

RATE = 100
PERIOD = 10_000_000
START = 1_000_000_000


def cart_spec(**overrides: Any) -> RobotSpec:
    """A cart: speed [m/s] and steering [rad] on one device, a required and an optional sensor."""
    plain: dict[str, Any] = {
        "name": "cart",
        "description": "a cart for tests",
        "rates": {"guardian_hz": RATE, "policy_hz": 20},
        "devices": [{"name": "base", "driver": "x:Y"}, {"name": "extra", "driver": "x:Y"}],
        "actuators": [
            {"name": "speed", "device": "base", "unit": "m/s", "lower": -1.0, "upper": 3.0, "slew": 8.0},
            {"name": "steering", "device": "base", "unit": "rad", "lower": -0.3, "upper": 0.3, "slew": 3.0},
        ],
        "sensors": [
            {
                "name": "wheel",
                "device": "base",
                "rate_hz": 100,
                "latency_s": 0.0,
                "stale_s": 0.05,
                "fields": [{"name": "speed", "unit": "m/s"}, {"name": "temperature", "unit": "degC"}],
            },
            {
                "name": "beacon",
                "device": "extra",
                "rate_hz": 10,
                "latency_s": 0.0,
                "stale_s": 1.0,
                "required": False,
                "fields": [{"name": "x", "unit": "m"}],
            },
        ],
        "actions": [
            {"name": "speed", "actuator": "speed", "lower": -1.0, "upper": 3.0},
            {"name": "steering", "actuator": "steering", "lower": -0.3, "upper": 0.3},
        ],
        "estimator": {
            "driver": "x:Y",
            "state": [{"name": "speed", "unit": "m/s"}, {"name": "upright", "unit": "1"}],
        },
        "stop": {
            "kind": "brake",
            "hold_s": 0.3,
            "deadline_s": 0.4,
            "standstill": "speed",
            "standstill_below": 0.05,
        },
        "enable": {"source": "simulated_operator", "timeout_s": 0.2},
        "safety": {
            "command_timeout_s": 0.15,
            "arming_s": 0.1,
            "reduced_scale": 0.5,
            "reduced_dwell_s": 0.2,
            "overrun_s": 0.05,
            "limits": [
                {
                    "name": "flip",
                    "element": "upright",
                    "unit": "1",
                    "lower": 0.3,
                    "debounce_s": 0.05,
                    "action": "category1",
                    "reason": "on its side",
                },
                {
                    "name": "warm",
                    "element": "wheel.temperature",
                    "unit": "degC",
                    "upper": 60.0,
                    "action": "reduce",
                    "reason": "derate before it cuts out",
                },
                {
                    "name": "burning",
                    "element": "wheel.temperature",
                    "unit": "degC",
                    "upper": 90.0,
                    "action": "category0",
                    "reason": "let go of it",
                },
            ],
        },
        "practice": {
            "stuck_seconds": 1.0,
            "stuck_metres": 0.1,
            "crash_g": 3.0,
            "flip_cosine": 0.5,
            "settle_seconds": 0.1,
            "recovery": [],
            "recovered_metres": 0.1,
            "cycles": 1,
        },
        "calibration": {},
    }
    return decode_struct(plain | overrides, RobotSpec, "cart")


class Cart:
    """A driver and its plant: speed follows the setpoint at 10 m/s^2, brakes at ``brake`` [m/s^2] on stop."""

    sensors = ("wheel",)
    actuators = ("speed", "steering")

    def __init__(self) -> None:
        self.health = LinkHealth()
        self.speed = 0.0
        self.temperature = 20.0
        self.brake = 10.0
        self.silent = self.deaf = False
        self.fails: set[str] = set()
        self.proof = StopProof()
        self.proves: Literal["idle", "running", "passed", "failed"] = "passed"
        self.calls: list[tuple[str, Any]] = []
        self._sent = np.zeros(2)
        self._noise = itertools.cycle((1e-6, -1e-6, 3e-6))

    def _call(self, name: str, detail: Any = None) -> None:
        self.calls.append((name, detail))
        if name in self.fails:
            raise ZeroDivisionError(f"bug in {name}")

    def open(self, now_ns: int) -> None:
        self._call("open")
        self.health.state = "open"

    def poll(self, now_ns: int, measurements: Measurements) -> None:
        if "poll" in self.fails:
            raise ZeroDivisionError("bug in poll")
        if self.health.state == "open" and not self.silent:
            measurements.put("wheel", now_ns, (self.speed + next(self._noise), self.temperature))

    def command(self, now_ns: int, setpoint: Array) -> Array:
        self._call("command", setpoint.copy())
        if self.deaf or self.health.state != "open":
            self._sent[:] = np.nan
            return self._sent
        self._sent[:] = setpoint
        change = 10.0 / RATE
        self.speed += min(max(setpoint[0] - self.speed, -change), change)
        return self._sent

    def stop(self, now_ns: int, torque: bool) -> Array:
        self._call("stop", torque)
        if torque:
            self.speed = np.sign(self.speed) * max(abs(self.speed) - self.brake / RATE, 0.0)
        self._sent[0] = 0.0
        return self._sent

    def silence(self, now_ns: int) -> Array:
        self._call("silence")
        if sum(name == "silence" for name, _ in self.calls[-12:]) > 10:  # the drive's own timeout
            self.speed = np.sign(self.speed) * max(abs(self.speed) - self.brake / RATE, 0.0)
        self._sent[0] = 0.0
        return self._sent

    def prove_stop(self, now_ns: int, begin: bool) -> Array:
        self.proof = StopProof(self.proves, "as its test says")
        if begin:
            self.proof = StopProof("running")
        return self.stop(now_ns, True)

    def close(self) -> None:
        self._call("close")
        self.health.state = "closed"


class Beacon:
    """An optional sensor's driver on a device of its own."""

    sensors = ("beacon",)
    actuators = ()

    def __init__(self) -> None:
        self.health = LinkHealth()
        self.proof = StopProof("passed")
        self.refuses = False

    def open(self, now_ns: int) -> None:
        if self.refuses:
            raise PortError("extra: /dev/nothing is absent; plug it in")
        self.health.state = "open"

    def poll(self, now_ns: int, measurements: Measurements) -> None:
        if self.health.state == "open" and now_ns % (10 * PERIOD) == 0:
            measurements.put("beacon", now_ns, (now_ns * 1e-9,))

    def command(self, now_ns: int, setpoint: Array) -> Array:
        return np.zeros(0)

    def silence(self, now_ns: int) -> Array:
        return np.zeros(0)

    def prove_stop(self, now_ns: int, begin: bool) -> Array:
        return np.zeros(0)

    def stop(self, now_ns: int, torque: bool) -> Array:
        return np.zeros(0)

    def close(self) -> None:
        self.health.state = "closed"


class Passthrough:
    """An estimator that believes the wheel."""

    def __init__(self) -> None:
        self.values = np.array([0.0, 1.0])
        self.upright = 1.0
        self.fails = False
        self.poses: list[tuple[int, Array, Array]] = []

    def update(self, now_ns: int, measurements: Measurements, sent: Array) -> Estimate:
        assert np.isfinite(sent).all()
        if self.fails:
            raise np.linalg.LinAlgError("singular matrix")
        self.values[:] = measurements.values("wheel")[0], self.upright
        return Estimate(self.values, np.full(2, 0.1), True)

    def pose(self, time_ns: int, pose: Array, variance: Array) -> None:
        self.poses.append((time_ns, pose.copy(), variance.copy()))


class Rig:
    """A guardian with its world; ``run`` ticks it, with an operator and a pilot unless told otherwise."""

    def __init__(self, directory: Path, spec: RobotSpec | None = None) -> None:
        self.spec = spec or cart_spec()
        contract = task_contract(
            self.spec, "nothing", (ObservationTerm(name=PREVIOUS_ACTION, unit="1", scale=1.0),), ("r",)
        )
        self.board = Board(directory, self.spec, contract, create=True)
        self.clock = SimulatedClock(START)
        self.cart, self.beacon, self.estimator = Cart(), Beacon(), Passthrough()
        self.guardian = Guardian(self.spec, [self.cart, self.beacon], self.estimator, self.clock, self.board)
        self.operator = np.zeros(1, OPERATOR_DTYPE)
        self.command = np.zeros(1, command_dtype(self.spec))
        self.command["actor"] = Actor.POLICY
        self.command["setpoint"] = (2.0, 0.1)
        self.operator_alive = self.pilot_alive = True

    @property
    def state(self) -> SafetyState:
        return self.guardian.kernel.state

    @property
    def cause(self) -> Cause:
        return self.guardian.kernel.cause

    def tick(self, wait_ns: int = PERIOD) -> None:
        due = self.clock.now_ns() + PERIOD
        self.clock.sleep_until(self.clock.now_ns() + wait_ns)
        now = self.clock.now_ns()
        if self.operator_alive:
            self.operator["time_ns"] = now
            self.board.operator.write(self.operator)
        if self.pilot_alive:
            self.command["time_ns"] = now
            self.command["epoch"] = self.guardian.kernel.epoch
            self.board.command.write(self.command)
        self.guardian.tick(due)

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> int:
        """Tick for ``seconds`` or until something holds; how many ticks that took."""
        for i in range(round(seconds * RATE)):
            self.tick()
            if until is not None and until():
                return i + 1
        return round(seconds * RATE)

    def press(self, button: str) -> None:
        self.operator[button] += 1

    def activate(self) -> None:
        self.guardian.start()
        self.operator["enable"] = 0
        self.run(0.1)
        assert self.state == SafetyState.STANDBY
        self.arm()

    def arm(self) -> None:
        self.operator["enable"] = 1
        self.run(0.05)
        self.press("arm")
        self.run(0.5, lambda: self.state == SafetyState.ACTIVE)
        assert self.state == SafetyState.ACTIVE

    def ticks(self) -> NDArray[np.void]:
        records = self.board.ticks.peek(100_000)
        self.board.ticks.consume(len(records))
        return records

    def events(self) -> list[str]:
        records = self.board.guardian_events.peek(1024)
        return [f"{r['kind'].decode()}: {r['text'].decode()}" for r in records]

    def states(self) -> list[SafetyState]:
        """The states gone through, in order, without repetition."""
        return [SafetyState(int(k)) for k, _ in itertools.groupby(self.ticks()["safety_state"])]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.guardian.close()


def test_nothing_moves_without_arming(rig: Rig) -> None:
    rig.guardian.start()
    rig.operator["enable"] = 1
    rig.run(1.0)
    assert not [c for c in rig.cart.calls if c[0] == "command"]
    assert all(not torque for name, torque in rig.cart.calls if name == "stop")


def test_enable_held_since_boot_does_not_arm(rig: Rig) -> None:
    rig.guardian.start()
    rig.operator["enable"] = 1
    rig.run(0.1)
    rig.press("arm")
    rig.run(0.5)
    assert rig.state == SafetyState.STANDBY
    assert any(e.startswith("arm_refused") for e in rig.events())


def test_arming_holds_still_and_then_drives_within_slew(rig: Rig) -> None:
    rig.activate()
    rig.run(1.0)
    ticks = rig.ticks()
    arming = ticks[ticks["safety_state"] == SafetyState.ARMING]
    active = ticks[ticks["safety_state"] == SafetyState.ACTIVE]
    assert (arming["sent"][:, 0] == 0.0).all()
    assert np.allclose(active["sent"][-1], (2.0, 0.1))
    assert np.abs(np.diff(active["sent"], axis=0)).max(axis=0) == pytest.approx((0.08, 0.03))
    assert (active["actor"][1:] == Actor.POLICY).all()


def test_each_arming_has_an_epoch_of_its_own(rig: Rig) -> None:
    rig.activate()
    first = rig.guardian.kernel.epoch
    rig.press("stop")
    rig.run(2.0, lambda: rig.state == SafetyState.FAULT)
    rig.operator["enable"] = 0
    rig.run(0.05)
    rig.press("reset")
    rig.run(0.1)
    assert rig.state == SafetyState.STANDBY
    rig.arm()
    assert rig.guardian.kernel.epoch == first + 1


def test_a_restarted_guardian_never_reuses_an_epoch(rig: Rig) -> None:
    rig.activate()
    first = rig.guardian.kernel.epoch
    rig.guardian.close()
    rig.cart, rig.beacon = Cart(), Beacon()
    rig.guardian = Guardian(rig.spec, [rig.cart, rig.beacon], rig.estimator, rig.clock, rig.board)
    rig.activate()
    assert rig.guardian.kernel.epoch == first + 1


def restart(rig: Rig, cart: Cart) -> None:
    """The guardian is gone without a word (kill -9), and another one takes its place on the same car."""
    cart.health = LinkHealth()
    cart.calls.clear()
    rig.cart, rig.beacon, rig.pilot_alive = cart, Beacon(), False
    rig.guardian = Guardian(rig.spec, [rig.cart, rig.beacon], rig.estimator, rig.clock, rig.board)
    rig.guardian.start()


def test_a_restarted_guardian_brakes_a_rolling_robot_until_it_stands(rig: Rig) -> None:
    rig.activate()
    rig.run(0.5)
    assert rig.cart.speed > 1.0
    restart(rig, rig.cart)
    rig.operator["enable"] = 0
    rig.run(1.0, lambda: rig.cart.speed == 0.0)
    stops = [torque for name, torque in rig.cart.calls if name == "stop"]
    assert stops and all(stops), "let go of a rolling robot"
    rig.run(0.3)
    assert rig.state == SafetyState.STANDBY
    assert rig.cart.calls[-1] == ("stop", False), "a robot that stands in STANDBY may be pushed"
    rig.cart.speed = 1.0
    rig.tick()
    assert rig.cart.calls[-1] == ("stop", False), "and being pushed does not bring the brake back"


def test_a_restarted_guardian_lets_go_in_bounded_time_of_a_robot_that_cannot_brake(rig: Rig) -> None:
    rig.activate()
    rig.run(0.5)
    rig.cart.brake = 0.0
    restart(rig, rig.cart)
    rig.operator["enable"] = 0
    rig.guardian.request_stop()
    assert not rig.guardian.at_rest
    ticks = rig.run(5.0, lambda: rig.guardian.at_rest)
    assert ticks * PERIOD <= round(rig.spec.stop.deadline_s * 1e9) + PERIOD


def test_a_restarted_guardian_that_was_armed_at_once_can_still_end(rig: Rig) -> None:
    rig.activate()
    rig.run(0.5)
    rig.cart.brake = 0.0
    restart(rig, rig.cart)
    rig.pilot_alive = True
    rig.activate()
    rig.guardian.request_stop()
    rig.run(2.0, lambda: rig.guardian.at_rest)
    assert rig.guardian.at_rest


def test_a_restarted_guardian_that_ends_at_once_leaves_the_robot_braked(rig: Rig) -> None:
    rig.activate()
    rig.run(0.5)
    restart(rig, rig.cart)
    rig.guardian.close()
    assert ("stop", True) in rig.cart.calls and ("stop", False) not in rig.cart.calls


def test_silent_pilot_holds_within_timeout_and_a_tick(rig: Rig) -> None:
    rig.activate()
    rig.run(0.5)
    rig.pilot_alive = False
    ticks = rig.run(1.0, lambda: rig.state == SafetyState.HOLD)
    assert ticks * PERIOD <= 150_000_000 + PERIOD
    assert rig.cause == Cause.COMMAND_STALE
    rig.run(1.0)
    assert rig.state == SafetyState.HOLD, "a robot that stands still stays in the resumable stop"
    assert rig.cart.speed == 0.0
    rig.press("resume")
    rig.run(0.1)
    assert rig.state == SafetyState.HOLD, "the pilot is still silent"
    rig.pilot_alive = True
    rig.run(0.05)
    rig.press("resume")
    rig.run(0.02)
    assert rig.state == SafetyState.REDUCED
    rig.run(0.5)
    assert rig.state == SafetyState.ACTIVE


def test_silent_pilot_without_brakes_ends_powerless_in_bounded_time(rig: Rig) -> None:
    rig.activate()
    rig.run(0.5)
    rig.ticks()
    rig.pilot_alive = False
    rig.cart.brake = 0.0
    ticks = rig.run(5.0, lambda: rig.guardian.at_rest)
    assert ticks * PERIOD <= round((0.15 + 0.3 + 0.4) * 1e9) + 3 * PERIOD
    rig.run(0.02)
    S = SafetyState
    assert rig.states() == [S.ACTIVE, S.HOLD, S.STOP1, S.STOP0, S.FAULT]
    assert rig.cause == Cause.COMMAND_STALE, "the first cause stays, whatever came after it"
    assert rig.cart.calls[-1] == ("stop", False)


def test_enable_released_stops_and_needs_a_press_to_resume(rig: Rig) -> None:
    rig.activate()
    rig.run(0.3)
    rig.operator["enable"] = 0
    rig.run(0.01)
    assert (rig.state, rig.cause) == (SafetyState.HOLD, Cause.ENABLE_RELEASED)
    rig.run(0.5)
    rig.operator["enable"] = 1
    rig.run(0.5)
    assert rig.state == SafetyState.HOLD
    rig.press("resume")
    rig.run(0.02)
    assert rig.state == SafetyState.REDUCED


def test_operator_that_dies_lapses(rig: Rig) -> None:
    rig.activate()
    rig.operator_alive = False
    ticks = rig.run(1.0, lambda: rig.state == SafetyState.HOLD)
    assert ticks * PERIOD <= 200_000_000 + PERIOD


def test_emergency_stop_is_powerless_in_the_same_tick(rig: Rig) -> None:
    rig.activate()
    rig.run(0.3)
    rig.operator["estop"] = 1
    rig.run(0.01)
    assert rig.state == SafetyState.ESTOP
    assert rig.cart.calls[-1] == ("stop", False)
    rig.press("reset")
    rig.run(0.1)
    assert rig.state == SafetyState.ESTOP, "still pressed"
    rig.operator["estop"] = 0
    rig.operator["enable"] = 0
    rig.run(0.1)
    assert rig.state == SafetyState.ESTOP, "unlatched, not reset"
    rig.press("reset")
    rig.run(0.1)
    assert rig.state == SafetyState.FAULT
    rig.press("reset")
    rig.run(0.1)
    assert rig.state == SafetyState.STANDBY


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Rig]:
    """A robot whose drives are left to their own timeout when torque goes off."""
    stop = msgspec.to_builtins(cart_spec().stop) | {"powerless": "silence"}
    rig = Rig(tmp_path, cart_spec(stop=stop))
    rig.activate()
    rig.run(0.5)
    rig.cart.calls.clear()
    yield rig
    rig.guardian.close()


@pytest.mark.parametrize("how", ["estop", "category0"])
def test_power_cut_while_moving_leaves_the_drive_to_its_timeout_until_it_stands(
    silent: Rig, how: str
) -> None:
    assert silent.cart.speed > 1.0
    if how == "estop":
        silent.operator["estop"] = 1
    else:
        silent.cart.temperature = 95.0
    ticks = silent.run(1.0, lambda: silent.cart.speed == 0.0)
    assert silent.state == (SafetyState.ESTOP if how == "estop" else SafetyState.FAULT)
    after = [call for call in silent.cart.calls if call[0] != "command"]
    assert {name for name, _ in after} == {"silence"}, "nothing is said to a drive that still moves"
    assert ticks < 45, "and its timeout stops it"
    assert not silent.guardian.at_rest, "the process goes on until the robot is seen to stand"
    silent.run(0.12)
    assert silent.guardian.at_rest
    assert silent.cart.calls[-1] == ("stop", False), "a robot that stands may be pushed"
    silent.cart.speed = 1.0
    silent.tick()
    assert silent.cart.calls[-1] == ("stop", False), "and is not braked for it"


def test_a_restarted_guardian_that_finds_the_emergency_stop_pressed_does_not_release_a_rolling_robot(
    silent: Rig,
) -> None:
    silent.operator["estop"] = 1
    silent.operator_alive = False
    silent.board.operator.write(silent.operator)
    restart(silent, silent.cart)
    silent.operator_alive = True
    silent.run(1.0, lambda: silent.cart.speed == 0.0)
    assert silent.state == SafetyState.ESTOP
    assert ("stop", False) not in silent.cart.calls
    silent.run(0.3)
    assert silent.cart.calls[-1] == ("stop", False)


def test_power_cut_at_rest_releases_the_drive(silent: Rig) -> None:
    silent.command["setpoint"] = 0.0
    silent.run(1.0)
    silent.operator["estop"] = 1
    silent.tick()
    assert (silent.state, silent.cart.calls[-1]) == (SafetyState.ESTOP, ("stop", False))


def test_a_reset_does_not_release_a_drive_that_still_moves(silent: Rig) -> None:
    silent.cart.brake = 1.0
    silent.operator["estop"] = 1
    silent.run(0.05)
    silent.operator["estop"] = silent.operator["enable"] = 0
    for _ in range(2):
        silent.run(0.05)
        silent.press("reset")
    silent.run(0.05)
    assert silent.state == SafetyState.STANDBY and silent.cart.speed > 1.0
    assert silent.cart.calls[-1] == ("silence", None)


def test_what_has_not_braked_by_its_deadline_is_released(silent: Rig) -> None:
    """A drive whose brake pushes must not be left to brake by itself; nor is silence for ever."""
    silent.cart.brake = 0.0
    silent.press("stop")
    silent.run(1.0, lambda: silent.state == SafetyState.FAULT)
    assert silent.cart.calls[-1] == ("stop", False)
    assert "silence" not in {name for name, _ in silent.cart.calls}


def test_silence_ends_at_the_deadline(silent: Rig) -> None:
    silent.cart.brake = 0.0
    silent.operator["estop"] = 1
    silent.run(2.0)
    silences = sum(name == "silence" for name, _ in silent.cart.calls)
    assert silences * PERIOD == 400_000_000
    assert silent.cart.calls[-1] == ("stop", False) and silent.guardian.at_rest


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_commands_that_are_not_finite_are_never_sent(rig: Rig, bad: float) -> None:
    rig.activate()
    rig.run(0.5)
    rig.ticks()
    rig.command["setpoint"] = (bad, 0.1)
    rig.run(0.02)
    assert rig.state == SafetyState.ACTIVE, "one or two are a glitch: the last good command stands"
    assert np.allclose(rig.ticks()["sent"], (2.0, 0.1))
    rig.run(0.01)
    assert (rig.state, rig.cause) == (SafetyState.STOP1, Cause.COMMAND_NOT_FINITE)
    assert all(np.isfinite(c[1]).all() for c in rig.cart.calls if c[0] == "command")


def _replay(rig: Rig, record: NDArray[np.void]) -> None:
    """Write a record into the mailbox as it is, its own sequence number and all."""
    mailbox = rig.board.command
    mailbox.write(record.copy())


def test_commands_of_an_earlier_epoch_are_never_actuated(rig: Rig) -> None:
    rig.activate()
    rig.run(0.3)
    rig.pilot_alive = False
    old = rig.command.copy()
    old["epoch"] -= 1
    old["setpoint"] = (-1.0, -0.3)
    rig.ticks()

    def write() -> bool:
        old["time_ns"] = rig.clock.now_ns()
        _replay(rig, old)
        return rig.state != SafetyState.ACTIVE

    rig.run(1.0, write)
    sent = rig.ticks()
    assert (sent["sent"][:-1] >= (0.0, 0.0)).all()
    assert (rig.state, rig.cause) == (SafetyState.HOLD, Cause.COMMAND_REPLAYED)


def test_commands_older_than_their_lifetime_are_never_actuated(rig: Rig) -> None:
    rig.activate()
    rig.run(0.3)
    rig.pilot_alive = False
    late = rig.command.copy()
    late["setpoint"] = (-1.0, -0.3)

    def write() -> bool:
        late["time_ns"] = rig.clock.now_ns() - 200_000_000
        _replay(rig, late)
        return rig.state == SafetyState.HOLD

    rig.run(1.0, write)
    assert rig.state == SafetyState.HOLD
    assert all(c[1][1] >= 0 for c in rig.cart.calls if c[0] == "command")


def test_command_from_the_future_does_not_outlive_its_timeout(rig: Rig) -> None:
    rig.activate()
    rig.run(0.3)
    rig.pilot_alive = False
    ahead = rig.command.copy()
    ahead["time_ns"] = rig.clock.now_ns() + 10_000_000_000
    _replay(rig, ahead)
    assert rig.run(2.0, lambda: rig.state == SafetyState.HOLD) * PERIOD <= 150_000_000 + PERIOD


def test_what_is_written_during_a_tick_is_not_from_the_future(rig: Rig) -> None:
    """The tick's time is taken before the mailboxes are read; their writers do not wait for that."""
    rig.activate()
    rig.run(0.2)
    rig.pilot_alive = rig.operator_alive = False
    poll = rig.cart.poll

    def write_meanwhile(now_ns: int, measurements: Measurements) -> None:
        poll(now_ns, measurements)
        later = now_ns + 50_000
        rig.clock.sleep_until(later)
        for record, mailbox in ((rig.operator, rig.board.operator), (rig.command, rig.board.command)):
            record["time_ns"] = later
            mailbox.write(record)

    rig.cart.poll = write_meanwhile  # type: ignore[method-assign]
    rig.run(1.0)
    assert rig.state == SafetyState.ACTIVE
    assert not rig.guardian._gate.rejected


def test_stale_sensor_stops(rig: Rig) -> None:
    rig.activate()
    rig.run(0.5)
    rig.cart.silent = True
    ticks = rig.run(1.0, lambda: rig.state != SafetyState.ACTIVE)
    assert ticks * PERIOD <= 50_000_000 + 2 * PERIOD
    assert (rig.state, rig.cause) == (SafetyState.HOLD, Cause.SENSOR_STALE)
    # Nobody can see that it stands, so the resumable stop must not last.
    rig.run(1.0)
    assert rig.state == SafetyState.FAULT


def test_sensor_that_repeats_itself_while_moving_is_dead(rig: Rig) -> None:
    rig.activate()
    rig.run(1.0)
    rig.cart._noise = itertools.cycle((0.0,))
    rig.run(1.5, lambda: rig.state != SafetyState.ACTIVE)
    assert (rig.state, rig.cause) == (SafetyState.HOLD, Cause.SENSOR_STALE)
    assert any("wheel frozen" in e for e in rig.events())


def test_sensor_value_that_is_not_finite_stops(rig: Rig) -> None:
    rig.activate()
    rig.cart.temperature = np.nan
    rig.run(0.02)
    assert rig.state in (SafetyState.HOLD, SafetyState.STOP0)


def test_stale_sensor_only_blocks_arming_in_standby(rig: Rig) -> None:
    rig.guardian.start()
    rig.run(0.1)
    rig.cart.silent = True
    rig.run(0.5)
    assert rig.state == SafetyState.STANDBY
    assert int(rig.board.state.read()["cause"][0]) == Cause.SENSOR_STALE
    rig.operator["enable"] = 1
    rig.press("arm")
    rig.run(0.1)
    assert rig.state == SafetyState.STANDBY
    assert any("arm_refused: sensor_stale (wheel)" in e for e in rig.events())


def test_optional_device_may_come_and_go(rig: Rig) -> None:
    rig.activate()
    rig.beacon.health.state = "lost"
    rig.run(2.0)
    assert rig.state == SafetyState.ACTIVE
    rig.beacon.health.state = "open"
    rig.run(0.1)
    events = rig.events()
    assert any(e.startswith("port_lost: extra") for e in events)
    assert any(e.startswith("port_back: extra") for e in events)


def test_lost_port_ends_in_fault_and_a_person_re_arms(rig: Rig) -> None:
    rig.activate()
    rig.run(0.5)
    rig.cart.health.state = "lost"
    rig.run(0.01)
    assert (rig.state, rig.cause) == (SafetyState.STOP1, Cause.PORT_LOST)
    rig.run(1.0)
    assert rig.state == SafetyState.FAULT
    rig.cart.health.state = "open"
    rig.run(0.5)
    assert rig.state == SafetyState.FAULT, "the port is back; nobody has reset"
    rig.operator["enable"] = 0
    rig.run(0.02)
    rig.press("reset")
    rig.run(0.05)
    rig.arm()


def test_setpoints_that_never_leave_are_a_lost_port(rig: Rig) -> None:
    rig.activate()
    rig.cart.deaf = True
    rig.run(0.3, lambda: rig.state != SafetyState.ACTIVE)
    assert (rig.state, rig.cause) == (SafetyState.STOP1, Cause.PORT_LOST)


def test_drive_fault_latches_although_the_drive_forgets_it(rig: Rig) -> None:
    rig.activate()
    rig.cart.health.fault = "ABS_OVER_CURRENT"
    rig.run(0.01)
    rig.cart.health.fault = ""
    rig.run(1.0)
    assert (rig.state, rig.cause) == (SafetyState.FAULT, Cause.DRIVE_FAULT)


@pytest.mark.parametrize("call", ["poll", "command", "stop"])
def test_exception_in_a_driver_stops_the_robot_not_the_guardian(rig: Rig, call: str) -> None:
    rig.activate()
    rig.run(0.2)
    rig.cart.fails = {call}
    if call == "stop":
        rig.press("stop")
    rig.run(0.02)
    assert rig.state in (SafetyState.STOP1, SafetyState.FAULT)
    rig.run(1.0)
    assert rig.state == SafetyState.FAULT
    assert any("ZeroDivisionError" in e for e in rig.events())
    assert rig.cart.calls[-1][0] == "stop"


def test_exception_in_the_estimator_stops(rig: Rig) -> None:
    rig.activate()
    rig.estimator.fails = True
    rig.run(0.01)
    assert (rig.state, rig.cause) == (SafetyState.STOP1, Cause.ESTIMATOR)
    rig.run(1.0)
    assert rig.state == SafetyState.FAULT


def test_limits_debounce_derate_stop_and_let_go(rig: Rig) -> None:
    rig.activate()
    rig.run(0.5)
    rig.estimator.upright = 0.0
    rig.run(0.04)
    assert rig.state == SafetyState.ACTIVE, "not longer than the debounce"
    rig.estimator.upright = 1.0
    rig.run(0.1)
    assert rig.state == SafetyState.ACTIVE
    rig.cart.temperature = 70.0
    rig.run(0.5)
    assert rig.state == SafetyState.REDUCED
    assert rig.ticks()["sent"][-1, 0] == pytest.approx(1.5), "half of the 3 m/s range"
    rig.cart.temperature = 20.0
    rig.run(0.19)
    assert rig.state == SafetyState.REDUCED
    rig.run(0.05)
    assert rig.state == SafetyState.ACTIVE
    rig.cart.temperature = 95.0
    rig.run(0.01)
    assert (rig.state, rig.cause) == (SafetyState.STOP0, Cause.LIMIT)
    assert rig.cart.calls[-1] == ("stop", False)
    assert any("limit (burning)" in e for e in rig.events())


def test_a_reduced_robot_has_half_its_authority_in_every_state(tmp_path: Path) -> None:
    whole = cart_spec()
    spec = reduced(whole)
    assert (spec.safety.authority, whole.safety.authority) == (0.5, 1.0) and reduced(spec) == spec
    assert spec.contract() == whole.contract() and spec.calibration_hash() == whole.calibration_hash()
    rig = Rig(tmp_path, spec)
    rig.activate()
    rig.run(1.0)
    assert rig.state == SafetyState.ACTIVE
    assert rig.ticks()["sent"][-1, 0] == pytest.approx(1.5), "half of the 3 m/s range"
    rig.cart.temperature = 70.0
    rig.run(0.5)
    assert rig.state == SafetyState.REDUCED
    assert rig.ticks()["sent"][-1, 0] == pytest.approx(1.5), "once, not twice"
    for authority in (0.0, 1.5, float("nan")):
        with pytest.raises(SpecError, match="authority"):
            msgspec.structs.replace(spec, safety=msgspec.structs.replace(spec.safety, authority=authority))


def test_the_first_fault_is_kept_until_the_next_and_wishes_are_none(rig: Rig) -> None:
    rig.activate()
    rig.run(0.5)
    rig.press("stop")
    rig.run(1.0)
    assert rig.state == SafetyState.FAULT and rig.board.first_fault.read() is None
    rig.operator["enable"] = 0
    rig.press("reset")
    rig.run(0.1)
    rig.arm()
    rig.run(0.5)
    rig.cart.temperature = 95.0
    rig.tick()
    tripped = rig.ticks()[-1]
    rig.cart.temperature = 20.0
    rig.estimator.upright = 0.0
    rig.run(0.5)
    kept = rig.board.first_fault.read()
    assert kept is not None and kept["detail"][0] == b"burning"
    assert kept["tick"][0]["tick"] == tripped["tick"]
    assert kept["tick"][0]["measured"]["wheel"]["values"][1] == 95.0
    assert kept["tick"][0]["cause"] == Cause.LIMIT and kept["time_ns"][0] == tripped["time_ns"]


def test_every_margin_and_the_worst_request_are_on_record(rig: Rig) -> None:
    rig.activate()
    rig.cart.temperature = 70.0
    rig.run(0.1)
    state, last = rig.board.state.read(), rig.ticks()[-1]
    assert state is not None
    for record in (state[0], last):
        assert record["margin"].tolist() == pytest.approx([0.7, -10.0, 20.0])
        assert record["request"] == Request.REDUCE


def test_a_process_that_falls_silent_and_a_policy_that_is_lost_are_limits_like_any(tmp_path: Path) -> None:
    limits = [
        {"name": "log", "element": "heartbeat.courier", "unit": "s", "upper": 0.5, "action": "reduce"},
        {"name": "new", "element": "command.novelty", "unit": "1", "upper": 0.9, "action": "reduce"},
    ]
    safety = msgspec.to_builtins(cart_spec().safety) | {"limits": [x | {"reason": ""} for x in limits]}
    rig = Rig(tmp_path, cart_spec(safety=safety))
    rig.activate()
    assert rig.state == SafetyState.ACTIVE, "one that never spoke is not missed"
    rig.board.courier.write(np.zeros(1, COURIER_DTYPE))
    rig.run(0.5)
    assert rig.state == SafetyState.ACTIVE
    rig.run(0.05)
    assert (rig.state, rig.cause) == (SafetyState.REDUCED, Cause.LIMIT)
    rig.board.courier.write(np.zeros(1, COURIER_DTYPE))
    rig.run(0.3)
    assert rig.state == SafetyState.ACTIVE
    rig.command["novelty"] = 1.0
    rig.board.courier.write(np.zeros(1, COURIER_DTYPE))
    rig.run(0.1)
    assert rig.state == SafetyState.REDUCED
    rig.guardian.close()


def test_loop_that_stalls_stops(rig: Rig) -> None:
    rig.activate()
    rig.run(0.1)
    rig.tick(wait_ns=PERIOD + 60_000_000)
    assert (rig.state, rig.cause) == (SafetyState.STOP1, Cause.OVERRUN)


def test_loop_that_is_often_late_derates(rig: Rig) -> None:
    rig.activate()
    for _ in range(3):
        assert rig.state == SafetyState.ACTIVE
        rig.tick(wait_ns=3 * PERIOD)
    assert rig.state == SafetyState.REDUCED
    assert int(rig.board.state.read()["overruns"][0]) == 3


def test_altered_marks_what_safety_changed_and_nothing_else(rig: Rig) -> None:
    rig.activate()
    rig.run(1.0)
    rig.pilot_alive = False  # by hand, at the policy's rate

    def command(speed: float, ticks: int) -> NDArray[np.bool_]:
        rig.ticks()
        rig.command["setpoint"] = (speed, 0.1)
        rig.command["time_ns"] = rig.clock.now_ns()
        rig.board.command.write(rig.command)
        rig.run(ticks / RATE)
        altered: NDArray[np.bool_] = rig.ticks()["altered"]
        return altered

    assert not command(2.0, 5).any()
    # 0.3 m/s at 8 m/s^2 takes four of the step's five ticks: the hardware's own slew, no alteration.
    assert not command(2.3, 5).any()
    assert command(5.0, 5).any(), "beyond the range"
    assert command(1.0, 5)[0], "a step this large cannot be followed: known at once"
    before = int(rig.board.state.read()["altered_ticks"][0])
    assert before > 0


def test_drive_with_a_dead_band_is_let_out_of_it(rig: Rig) -> None:
    command = rig.cart.command

    def dead_band(now_ns: int, setpoint: Array) -> Array:
        sent = command(now_ns, setpoint)
        if abs(sent[0]) < 0.2:
            sent[0] = 0.0
        return sent

    rig.cart.command = dead_band  # type: ignore[method-assign]
    rig.activate()
    rig.run(1.0)
    assert rig.ticks()["sent"][-1, 0] == 2.0


def test_everything_is_published(rig: Rig) -> None:
    rig.activate()
    rig.run(0.3)
    state = rig.board.state.read()
    assert state is not None
    assert state["time_ns"][0] == rig.clock.now_ns()
    assert state["epoch"][0] == rig.guardian.kernel.epoch == 1
    assert state["converged"][0]
    assert state["state"][0] == pytest.approx(rig.estimator.values)
    assert (state["deviation"][0] == 0.1).all()
    ticks = rig.ticks()
    assert (np.diff(ticks["tick"]) == 1).all()
    assert (np.diff(ticks["time_ns"]) == PERIOD).all()
    assert (ticks["due_ns"] == ticks["time_ns"]).all()
    last = ticks[-1]
    assert last["measured"]["wheel"]["time_ns"] == last["time_ns"]
    assert last["measured"]["wheel"]["values"][0] == pytest.approx(last["state"][0])
    assert last["measured"]["beacon"]["sequence"] > 1
    assert last["requested"] == pytest.approx((2.0, 0.1))
    assert (state["sent"][0] == last["sent"]).all()


@pytest.mark.slow
def test_full_rings_cost_records_and_nothing_else(rig: Rig) -> None:
    rig.activate()
    rig.run(61.0)
    assert rig.state == SafetyState.ACTIVE
    assert rig.board.ticks.waiting == 60 * RATE


def test_errors_of_a_link_are_told_once_a_second(rig: Rig) -> None:
    rig.guardian.start()

    def count() -> bool:
        rig.cart.health.count("bad_crc", "0x1234")
        return False

    rig.run(3.0, count)
    lines = [e for e in rig.events() if e.startswith("bad_crc: base: ")]
    assert 2 <= len(lines) <= 4


def test_external_pose_reaches_the_estimator_only_if_it_makes_sense(rig: Rig) -> None:
    rig.guardian.start()
    pose = np.zeros(1, POSE_DTYPE)

    def send(age_ns: int, x: float, variance: float) -> int:
        pose["time_ns"] = rig.clock.now_ns() - age_ns
        pose["pose"] = (x, 2.0, 0.3)
        pose["covariance"] = variance
        rig.board.pose.write(pose)
        rig.run(0.02)
        return len(rig.estimator.poses)

    assert send(0, 1.0, 0.01) == 1
    assert send(0, np.nan, 0.01) == 1
    assert send(0, 1.0, 0.0) == 1
    assert send(5_000_000_000, 1.0, 0.01) == 1
    assert send(50_000_000, 4.0, 0.01) == 2
    assert rig.estimator.poses[-1][1] == pytest.approx((4.0, 2.0, 0.3))


def test_asked_to_stop_it_stands_before_it_ends(rig: Rig) -> None:
    rig.activate()
    rig.run(0.5)
    rig.guardian.request_stop()
    rig.run(2.0, lambda: rig.guardian.at_rest)
    assert (rig.state, rig.cause) == (SafetyState.FAULT, Cause.SHUTDOWN)
    assert rig.cart.speed == 0.0
    rig.guardian.close()
    assert [name for name, _ in rig.cart.calls[-2:]] == ["stop", "close"]


def test_run_ends_standing_whether_asked_or_thrown_out(rig: Rig) -> None:
    """``run`` in real life: an exception that nobody foresaw still brakes and closes every device."""
    rig.activate()
    rig.run(0.3)
    rig.pilot_alive = rig.operator_alive = False

    def interrupt() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rig.guardian.run(interrupt)
    assert rig.cart.calls[-2:] == [("stop", True), ("close", None)]
    assert rig.beacon.health.state == "closed"
    state = rig.board.state.read()
    assert state is not None
    assert state["safety_state"][0] == SafetyState.FAULT
    assert state["cause"][0] == Cause.SHUTDOWN


def test_run_brakes_to_a_standstill_when_asked_to_end(rig: Rig) -> None:
    rig.activate()
    rig.run(0.5)
    rig.guardian.run(lambda: True)
    assert rig.cart.speed == 0.0
    assert rig.states()[-2:] == [SafetyState.STOP1, SafetyState.FAULT]
    assert rig.cart.health.state == "closed"


def test_device_that_cannot_be_opened_leaves_the_others_closed(rig: Rig) -> None:
    rig.beacon.refuses = True
    with pytest.raises(PortError, match="plug it in"):
        rig.guardian.start()
    assert rig.cart.health.state == "closed"


def test_device_that_fails_to_close_does_not_keep_the_others_open(rig: Rig) -> None:
    rig.activate()
    rig.cart.fails = {"stop", "close"}
    rig.guardian.close()
    assert rig.beacon.health.state == "closed"


def test_linear_interpolation_ramps_over_a_policy_step(tmp_path: Path) -> None:
    base = cart_spec()
    actions = [
        {"name": "speed", "actuator": "speed", "lower": -1.0, "upper": 3.0, "interpolation": "linear"},
        {"name": "steering", "actuator": "steering", "lower": -0.3, "upper": 0.3},
    ]
    rig = Rig(tmp_path, cart_spec(actions=actions))
    assert rig.spec.ticks_per_step == base.ticks_per_step == 5
    rig.activate()
    rig.run(1.0)
    rig.pilot_alive = False
    rig.ticks()
    rig.command["setpoint"] = (2.2, 0.12)
    rig.command["time_ns"] = rig.clock.now_ns()
    rig.board.command.write(rig.command)
    rig.run(0.05)
    ticks = rig.ticks()
    assert ticks["sent"][:, 0] == pytest.approx([2.04, 2.08, 2.12, 2.16, 2.2])
    assert ticks["sent"][:, 1] == pytest.approx([0.12] * 5)
    assert not ticks["altered"].any()


# Any bits whatever

BITS = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
VALUES = st.one_of(BITS, st.floats(-5.0, 5.0), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e308, 5e-324]))
TIMES = st.one_of(st.integers(-300_000_000, 50_000_000), st.integers(-(2**63), 2**63 - 1))
U32 = st.one_of(st.integers(0, 3), st.integers(0, 2**32 - 1))

EVENT = st.fixed_dictionaries(
    {
        "command": st.none() | st.tuples(TIMES, st.integers(-2, 2), VALUES, VALUES, st.integers(0, 255)),
        "operator": st.none() | st.tuples(TIMES, U32, U32, U32, U32, st.integers(0, 255), st.integers(0, 1)),
        "sensor": st.none() | st.tuples(VALUES, VALUES),
        "upright": st.sampled_from([1.0, 1.0, 1.0, 0.0, np.nan]),
        "wait": st.sampled_from([PERIOD] * 8 + [0, PERIOD * 4, PERIOD * 20]),
        "good": st.booleans(),
    }
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events=st.lists(EVENT, min_size=1, max_size=40), armed=st.booleans(), whole=st.booleans())
def test_whatever_is_in_the_mailboxes_setpoints_stay_within_limits(
    tmp_path_factory: pytest.TempPathFactory, events: list[dict[str, Any]], armed: bool, whole: bool
) -> None:
    """With the whole authority, and with that of REDUCED from start to end."""
    rig = Rig(tmp_path_factory.mktemp("board"), cart_spec() if whole else reduced(cart_spec()))
    if armed:
        rig.activate()
        rig.run(0.2)
    else:
        rig.guardian.start()
    lower = np.array([a.lower for a in rig.spec.actuators])
    upper = np.array([a.upper for a in rig.spec.actuators])
    step = np.array([a.slew for a in rig.spec.actuators]) / RATE
    if not whole:  # the speed's range, the steering's slew
        lower[0], upper[0], step[1] = 0.5 * lower[0], 0.5 * upper[0], 0.5 * step[1]
    poll = rig.cart.poll
    rig.cart.calls.clear()
    sent_before = rig.guardian._anchor.copy()
    for event in events:
        now = rig.clock.now_ns()
        rig.pilot_alive = rig.operator_alive = event["good"]
        if event["command"] is not None and not event["good"]:
            age, epoch, speed, steering, actor = event["command"]
            record = rig.command.copy()
            record["time_ns"] = np.clip(now + age, -(2**63), 2**63 - 1)
            record["epoch"] = (rig.guardian.kernel.epoch + epoch) % 2**32
            record["setpoint"] = (speed, steering)
            record["actor"] = actor
            rig.board.command.write(record)
        if event["operator"] is not None and not event["good"]:
            operator = rig.operator.copy()
            age, arm, reset, resume, stop, enable, estop = event["operator"]
            operator["time_ns"] = np.clip(now + age, -(2**63), 2**63 - 1)
            for name, value in zip(
                ("arm", "reset", "resume", "stop"), (arm, reset, resume, stop), strict=True
            ):
                operator[name] = value
            operator["enable"], operator["estop"] = enable, estop
            rig.board.operator.write(operator)
        if event["sensor"] is not None:
            values = event["sensor"]
            rig.cart.poll = lambda n, m, v=values: m.put("wheel", n, v)  # type: ignore[method-assign]
        else:
            rig.cart.poll = poll  # type: ignore[method-assign]
        rig.estimator.upright = event["upright"]
        rig.tick(event["wait"])
        name, detail = rig.cart.calls[-1]
        assert len(rig.cart.calls) == 1, "exactly one order a tick"
        rig.cart.calls.clear()
        if name == "command":
            assert rig.state in (SafetyState.ACTIVE, SafetyState.REDUCED)
            assert rig.guardian._operator.enable
            assert np.isfinite(detail).all()
            assert (detail >= lower).all()
            assert (detail <= upper).all()
            assert (np.abs(detail - sent_before) <= step * (1 + 1e-9) + 1e-12).all()
            sent_before = detail
        else:
            assert name == "stop"
            sent_before = np.array([0.0, sent_before[1]])
    rig.guardian.close()


def refused(rig: Rig) -> None:
    """Ask for arming; it must end in a category-1 stop that says why, without ever having driven."""
    rig.guardian.start()
    rig.run(0.1)
    rig.operator["enable"] = 1
    rig.run(0.05)
    rig.press("arm")
    rig.run(1.0)
    assert SafetyState.ACTIVE not in rig.states()
    assert (rig.state, rig.cause) == (SafetyState.FAULT, Cause.UNPROVEN)
    assert not [c for c in rig.cart.calls if c[0] == "command"]


def test_a_drive_that_does_not_stop_by_itself_is_not_armed(rig: Rig) -> None:
    rig.cart.proves = "failed"
    refused(rig)
    told = rig.events()
    assert any(e.startswith("stop_unproven: base") for e in told)
    assert any("ARMING -> STOP1: unproven (base: as its test says)" in e for e in told)


def test_a_drive_that_proves_nothing_in_time_is_not_armed(rig: Rig) -> None:
    rig.cart.proves = "running"
    refused(rig)
    assert any("no proof within arming_s" in e for e in rig.events())


def test_each_arming_is_proven_anew_and_told(rig: Rig) -> None:
    rig.activate()
    rig.press("stop")
    rig.run(1.0, lambda: rig.state == SafetyState.FAULT)
    rig.operator["enable"] = 0
    rig.run(0.05)
    rig.press("reset")
    rig.run(0.1)
    rig.arm()
    assert len([e for e in rig.events() if e.startswith("stop_proven: base")]) == 2
    assert (rig.ticks()["devices"][-1, 0] & DeviceFlag.PROVEN) == DeviceFlag.PROVEN


LINE = {"name": "post", "kind": "line", "port": "/dev/x", "timeout_s": 0.1}


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Rig]:
    """A rig whose robot has an emergency stop that somebody feeds, and a radio that enables it."""
    sensors = [*map(plain_sensor, cart_spec().sensors)]
    sensors[1] |= {"stale_s": 0.15}
    enable = {"source": "transmitter", "timeout_s": 0.2, "channel": "beacon.x", "threshold": 0.5}
    rig = Rig(tmp_path, cart_spec(estop={"sources": [LINE]}, enable=enable, sensors=sensors))
    rig.board_estop = np.zeros(1, ESTOP_DTYPE)  # type: ignore[attr-defined]
    rig.board_estop["state"] = EstopState.CLOSED  # type: ignore[attr-defined]
    rig.stick, rig.fed, tick = 0.0, True, rig.tick  # type: ignore[attr-defined]

    def fed_tick(wait_ns: int = PERIOD) -> None:
        if rig.fed:  # type: ignore[attr-defined]
            rig.board_estop["time_ns"] = rig.clock.now_ns()  # type: ignore[attr-defined]
            rig.board.estops["post"].write(rig.board_estop)  # type: ignore[attr-defined]
        tick(wait_ns)

    def poll(now_ns: int, measurements: Measurements) -> None:
        if rig.stick is not None:  # type: ignore[attr-defined]
            measurements.put("beacon", now_ns, (rig.stick,))  # type: ignore[attr-defined]

    rig.tick, rig.beacon.poll = fed_tick, poll  # type: ignore[method-assign]
    yield rig
    rig.guardian.close()


def plain_sensor(sensor: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(sensor)
    return plain


def start_by_radio(rig: Any) -> None:
    rig.guardian.start()
    rig.run(0.1)
    rig.stick = 1.0
    rig.run(0.05)
    rig.press("arm")
    rig.run(0.5)
    assert rig.state == SafetyState.ACTIVE


def test_a_radio_channel_enables_and_the_mailbox_does_not(guarded: Any) -> None:
    guarded.operator["enable"] = 1
    guarded.guardian.start()
    guarded.run(0.1)
    guarded.press("arm")
    guarded.run(0.3)
    assert guarded.state == SafetyState.STANDBY
    guarded.operator["enable"] = 0
    guarded.stick = 1.0
    guarded.run(0.05)
    guarded.press("arm")
    guarded.run(0.3)
    assert guarded.state == SafetyState.ACTIVE


@pytest.mark.parametrize("stick", [0.5, 0.0, -1.0, np.nan, -np.inf])
def test_a_stick_that_is_let_go_stops(guarded: Any, stick: float) -> None:
    start_by_radio(guarded)
    guarded.stick = stick
    guarded.run(0.02)
    assert (guarded.state, guarded.cause) == (SafetyState.HOLD, Cause.ENABLE_RELEASED)


def test_a_receiver_that_falls_silent_is_a_stick_let_go(guarded: Any) -> None:
    start_by_radio(guarded)
    guarded.stick = None
    ticks = guarded.run(1.0, lambda: guarded.state == SafetyState.HOLD)
    assert ticks * PERIOD <= 150_000_000 + 2 * PERIOD


def test_an_emergency_stop_of_the_robots_file_is_powerless_in_the_same_tick(guarded: Any) -> None:
    start_by_radio(guarded)
    guarded.board_estop["state"] = EstopState.OPEN
    guarded.tick()
    assert (guarded.state, guarded.cause) == (SafetyState.ESTOP, Cause.ESTOP_PRESSED)
    assert guarded.cart.calls[-1] == ("stop", False)
    guarded.press("reset")
    guarded.run(0.1)
    assert guarded.state == SafetyState.ESTOP
    guarded.board_estop["state"] = EstopState.CLOSED
    guarded.run(0.5)
    assert guarded.state == SafetyState.ESTOP, "let go, but nobody has reset"


def test_an_emergency_stop_that_falls_silent_brakes_and_keeps_the_robot_from_arming(guarded: Any) -> None:
    start_by_radio(guarded)
    guarded.fed = False
    ticks = guarded.run(1.0, lambda: guarded.state == SafetyState.STOP1)
    assert ticks * PERIOD <= 100_000_000 + 2 * PERIOD
    assert guarded.cause == Cause.ESTOP_SILENT
    guarded.run(1.0)
    assert guarded.state == SafetyState.FAULT
    guarded.stick = 0.0
    guarded.run(0.05)
    guarded.press("reset")
    guarded.run(0.1)
    assert guarded.state == SafetyState.FAULT, "its cause is still there"
    assert guarded.ticks()["estop"][-1] == 1
