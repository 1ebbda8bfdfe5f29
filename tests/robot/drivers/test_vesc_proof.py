"""The VESC driver proves the controller's timeout on the emulated controller, whatever that is set to."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from point_plant import PointPlant

from robot.clock import SimulatedClock
from robot.drivers.vesc import VescDriver
from robot.drivers.vesc_frame import FrameParser
from robot.drivers.vesc_proof import TimeoutProof, duration_s
from robot.drivers.vesc_protocol import Command
from robot.errors import SpecError
from robot.interface import Measurements, StopProof
from robot.spec import load_spec
from sim.emulators.rig import Rig

SPEC = load_spec(Path(__file__).parents[3] / "launch/robots/racer.toml")
TICK = 10_000_000
MS = 1_000_000


class Bench:
    """The driver on the emulated controller, on simulated time."""

    def __init__(self, seed: int = 0) -> None:
        self.plant = PointPlant()
        rig = Rig(SPEC, self.plant, np.random.default_rng(seed))
        self.device = rig.devices["vesc"]
        self.clock = SimulatedClock()
        port = rig.ports(self.clock)["vesc"]
        self.written: list[bytes] = []
        write = port.write

        def spy(data: bytes) -> int:
            self.written.append(data)
            return write(data)

        port.write = spy  # type: ignore[method-assign]
        self.driver = VescDriver(SPEC, SPEC.devices[0], port)
        self.measurements = Measurements(SPEC)
        self.driver.open(0)
        for _ in range(30):
            self.tick()
            self.driver.stop(self.clock.now_ns(), True)

    def tick(self) -> None:
        self.clock.sleep_until(self.clock.now_ns() + TICK)
        self.driver.poll(self.clock.now_ns(), self.measurements)

    def prove(self) -> StopProof:
        """Until it is decided, at most a second."""
        for k in range(100):
            self.tick()
            self.driver.prove_stop(self.clock.now_ns(), k == 0)
            if self.driver.proof.state != "running":
                return self.driver.proof
        pytest.fail("undecided after a second")


@pytest.mark.parametrize("seed", range(5))
def test_a_controller_that_is_set_as_it_should_be_passes_in_time_and_the_robot_stays(seed: int) -> None:
    bench = Bench(seed)
    began = bench.clock.now_ns()
    for _ in range(10):
        proof = bench.prove()
        assert proof.state == "passed", proof.reason
        # The firmware looks every 10 ms; what is measured is a mean over a tick, with 0.3 A of noise on it.
        assert proof.measured_s == pytest.approx(SPEC.scalar("drive_timeout") + 0.01, abs=0.055)
    assert (bench.clock.now_ns() - began) * 1e-9 / 10 < duration_s(SPEC.scalar("drive_timeout")) < 0.5
    assert abs(bench.plant.position) < 0.002


@pytest.mark.parametrize("timeout_ms", [0, 200, 500, 1000])
def test_a_timeout_that_is_off_or_too_long_is_refused(timeout_ms: int) -> None:
    bench = Bench()
    bench.device.timeout_ns = timeout_ms * MS  # type: ignore[attr-defined]
    proof = bench.prove()
    assert proof.state == "failed"
    assert "timeout" in proof.reason
    # And afterwards the motor is braked, not left with the current on it.
    bench.tick()
    bench.driver.prove_stop(bench.clock.now_ns(), False)
    bench.tick()
    assert bench.plant.braking


def test_a_receiver_on_the_servo_input_keeps_the_timeout_from_expiring_and_is_found_out() -> None:
    bench = Bench()
    bench.device.servo_pulses = True  # type: ignore[attr-defined]
    proof = bench.prove()
    assert proof.state == "failed"
    assert "keeps it alive" in proof.reason


def test_a_motor_without_power_proves_nothing() -> None:
    bench = Bench()
    bench.plant.drive_current = lambda amperes: None  # type: ignore[method-assign]
    proof = bench.prove()
    assert proof.state == "failed"
    assert "emergency stop" in proof.reason


def test_a_line_that_loses_the_telemetry_proves_nothing() -> None:
    bench = Bench()
    bench.tick()
    bench.driver.prove_stop(bench.clock.now_ns(), True)
    bench.device.transmit = lambda now_ns: b""  # type: ignore[method-assign]
    for _ in range(60):
        bench.tick()
        bench.driver.prove_stop(bench.clock.now_ns(), False)
    assert bench.driver.proof.state == "failed"


def test_in_the_silence_nothing_goes_out_that_resets_the_timeout() -> None:
    bench = Bench()
    bench.prove()
    pushes, silent, found = 0, 0, FrameParser(pytest.fail)
    for data in bench.written[30:]:
        commands = {payload[0] for payload in found.feed(data)}
        if Command.SET_CURRENT in commands:
            pushes += 1
            assert not silent, "pushed again after the silence began"
        elif Command.SET_CURRENT_BRAKE not in commands:
            silent += 1
            assert commands <= {Command.GET_VALUES_SELECTIVE, Command.GET_IMU_DATA}
    assert pushes >= 10
    assert silent >= 20


def test_each_proof_starts_from_nothing() -> None:
    bench = Bench()
    assert bench.prove().state == "passed"
    bench.device.timeout_ns = 0  # type: ignore[attr-defined]
    assert bench.prove().state == "failed"
    bench.device.timeout_ns = 100 * MS  # type: ignore[attr-defined]
    assert bench.prove().state == "passed"


def test_an_arming_that_is_too_short_for_its_proof_is_refused_when_the_robot_is_built() -> None:
    safety = msgspec.structs.replace(SPEC.safety, arming_s=0.3)
    with pytest.raises(SpecError, match="arming_s"):
        VescDriver(msgspec.structs.replace(SPEC, safety=safety), SPEC.devices[0])


def proved(fell_ms: int) -> TimeoutProof:
    """Of a controller without noise whose current ends so long after the last command."""
    proof = TimeoutProof(1.0, 0.1)
    proof.begin(0)
    now = 0
    while proof.phase == "pushing":
        now += TICK
        proof.sample(now - 5 * MS, 1.0)
        proof.pushed(now)
        proof.step(now)
    last = proof._last_ns
    while proof.phase == "silent":
        now += TICK
        proof.sample(now - 5 * MS, 1.0 if now - 5 * MS <= last + fell_ms * MS else 0.0)
        proof.step(now)
    return proof


@pytest.mark.parametrize("fell_ms", [20, 60, 100, 140, 160])
def test_the_measured_time_is_when_the_current_ended(fell_ms: int) -> None:
    proof = proved(fell_ms)
    assert proof.phase == "passed"
    assert proof.measured_s == pytest.approx(fell_ms * 1e-3, abs=0.01)


@pytest.mark.parametrize("fell_ms", [176, 200, 240])
def test_a_current_that_ends_late_is_refused_although_it_ends(fell_ms: int) -> None:
    proof = proved(fell_ms)
    assert proof.phase == "failed"
    assert "timeout" in proof.reason


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_current_that_is_no_number_proves_nothing(bad: float) -> None:
    proof = TimeoutProof(1.0, 0.1)
    proof.begin(0)
    for now in range(0, 600 * MS, TICK):
        proof.sample(now, 1.0 if now < 160 * MS else bad)
        proof.step(now)
    assert proof.phase == "failed"
