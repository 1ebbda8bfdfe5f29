"""A fleet's motor controllers are the emulated VESC and its driver without the wire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from launch.bench.faults_drive import Drive
from robot.drivers.vesc import VescDriver
from robot.drivers.vesc_protocol import Command, set_current_brake, set_rpm, set_servo_position
from robot.errors import SpecError
from robot.spec import load_spec
from sim.emulators.vesc import VescDevice
from sim.fleet import CarFleet
from sim.fleet_drive import RAMP_STEP, FleetDrive, period_ms
from sim.randomisation import command_delay
from sim.replay import HALL
from sim.twin import CarTwin
from sim.world import load_world, world_path
from tests.doubles.scripted_port import ScriptedPort

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
OVAL = load_world(world_path("oval"))
MS = 1_000_000


class Wire:
    """Carries whole frames in a given time."""

    def __init__(self) -> None:
        self._frames: list[tuple[int, bytes]] = []

    @property
    def pending(self) -> bool:
        return bool(self._frames)

    def send(self, data: bytes, arrives_ns: int) -> None:
        self._frames.append((arrives_ns, data))

    def take(self, now_ns: int) -> bytes:
        here = [f for f in self._frames if f[0] <= now_ns]
        self._frames = self._frames[len(here) :]
        return b"".join(data for _, data in here)


def frames(sent: np.ndarray, brake: bool) -> tuple[bytes, bytes]:
    """What the driver would have put on the wire for these setpoints: speed, then steering."""
    erpm = round(sent[0] * SPEC.scalar("erpm_per_speed"))
    servo = round(1e3 * (SPEC.scalar("servo_gain") * sent[1] + SPEC.scalar("servo_offset")))
    stop = set_current_brake(SPEC.scalar("stop_brake_current"))
    return stop if brake or erpm == 0 else set_rpm(erpm), set_servo_position(servo)


def test_the_speed_loop_is_the_emulated_firmware_to_the_last_bit() -> None:
    truths = ({}, {"mass": 4.1, "tyre_friction": 0.7}, {"battery_voltage": 9.9, "gear_ratio": 12.3})
    fleet = CarFleet(SPEC, OVAL, truths, threads=1)
    drive = FleetDrive(SPEC, fleet)
    drive.start(np.arange(fleet.size), np.zeros(fleet.size))
    twins = [CarTwin(SPEC, OVAL, truth=truth) for truth in truths]
    for twin in twins:
        twin.servo(round(1e3 * SPEC.scalar("servo_offset")) / 1e3)
    devices = [VescDevice(SPEC, twin, np.random.default_rng(0)) for twin in twins]
    wires = [Wire() for _ in truths]
    for device, wire in zip(devices, wires, strict=True):
        device.timeout_ns = 0
        device._brake = SPEC.scalar("stop_brake_current")
        device._inward = wire  # type: ignore[assignment]
    rng = np.random.default_rng(5)
    delay = np.array([3, 1, 47])
    for k in range(800):
        if k % 10 == 0:
            brakes = rng.random(fleet.size) < (0.9 if 500 <= k < 560 else 0.05)
            setpoint = np.stack((rng.uniform(-0.6, 4.0, fleet.size), rng.uniform(-0.3, 0.3, fleet.size)), -1)
            sent = drive.command(setpoint, delay, brakes)
            for number, wire in enumerate(wires):
                arrives_ms = k + int(delay[number])
                for later, data in enumerate(frames(sent[number], bool(brakes[number]))):
                    wire.send(data, (arrives_ms + later * drive._servo_later_ms) * MS)
        drive.step()
        for device in devices:
            device.advance((k + 1) * MS)
        for number, twin in enumerate(twins):
            np.testing.assert_array_equal(fleet.batch.qpos[number], twin.data.qpos, err_msg=f"{k} ms")
    assert np.array_equal(fleet.motor.wanted, [t._motor._wanted for t in twins])


def test_speed_and_steering_arrive_as_on_the_emulated_line(tmp_path: Path) -> None:
    """The whole robot in lockstep: when its frames have gone over the emulated UART."""
    with_wire = Drive(0, tmp_path)
    device: Any = with_wire.rig.devices["vesc"]
    obey, found = device._obey, {}

    def noted(payload: bytes, now_ns: int) -> None:
        found[payload[0]] = (now_ns - with_wire.now_ns) % with_wire.period_ns
        obey(payload, now_ns)

    device._obey = noted
    with_wire.until_driving()
    speed_ns, servo_ns = found[Command.SET_RPM], found[Command.SET_SERVO_POS]
    assert speed_ns == round(command_delay(SPEC) * 1e9)
    drive = FleetDrive(SPEC, CarFleet(SPEC, OVAL, ({},), threads=1))
    assert servo_ns - speed_ns == drive._servo_later_ms * MS > 0
    vesc, *others = SPEC.devices
    vesc = msgspec.structs.replace(vesc, options={**vesc.options, "usb": True})
    usb = msgspec.structs.replace(SPEC, devices=(vesc, *others))
    assert FleetDrive(usb, CarFleet(usb, OVAL, ({},), threads=1))._servo_later_ms == 0


def test_a_ramp_on_its_way_through_zero_goes_on() -> None:
    """A car that rolls at 3 m/s and has been asked to reverse for a while: its drive does not let go."""
    fleet = CarFleet(SPEC, HALL, [{}], threads=1, settle_steps=200)
    loop = FleetDrive(SPEC, fleet)
    loop.start(np.zeros(1, np.intp), np.array([3.0]), ramped=np.array([100.0]))
    loop.command(np.array([[-2.0, 0.0]]), np.array([3]), np.zeros(1, bool))
    for _ in range(20):
        loop.step()
    assert loop._ramped[0] == 100.0 - 18 * RAMP_STEP  # from the third millisecond on


def test_setpoints_are_rounded_as_the_driver_rounds_them() -> None:
    device = next(d for d in SPEC.devices if d.name == "vesc")
    driver = VescDriver(SPEC, device, ScriptedPort())
    driver.open(0)
    driver.health.firmware = "said"
    rng = np.random.default_rng(1)
    setpoint = np.stack((rng.uniform(-2.0, 6.0, 64), rng.uniform(-0.4, 0.4, 64)), -1)
    drive = FleetDrive(SPEC, CarFleet(SPEC, OVAL, ({},) * 64, threads=1))
    sent = drive.command(setpoint, np.zeros(64, np.int64), np.zeros(64, bool))
    for wanted, ours in zip(setpoint, sent, strict=True):
        np.testing.assert_array_equal(ours, driver.command(0, wanted))


@pytest.mark.parametrize(("rate_hz", "period"), [(100.0, 10), (200.0, 5), (500.0, 2), (300.0, None)])
def test_a_guardian_s_period_is_whole_milliseconds_or_refused(rate_hz: float, period: int | None) -> None:
    spec = msgspec.structs.replace(SPEC, rates=msgspec.structs.replace(SPEC.rates, guardian_hz=rate_hz))
    if period is not None:
        assert period_ms(spec) == period
        return
    with pytest.raises(SpecError, match="guardian_hz = 300"):
        period_ms(spec)
