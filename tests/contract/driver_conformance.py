"""What every driver must satisfy, whatever the device: inherit, give a ``world`` fixture, run.

A world is a driver with something at the other end of its port: an emulated device in this thread, one behind
a real pseudo-terminal, or the hardware itself.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pytest

from robot.interface import Driver, Measurements
from robot.spec import RobotSpec

LINK_STATES = ("closed", "open", "lost")


class DriverWorld(Protocol):
    """``moves``: whether time and bytes pass as they please (hardware, real time) or only when told to."""

    spec: RobotSpec
    driver: Driver

    def now_ns(self) -> int: ...

    def wait(self, seconds: float) -> None:
        """Let time pass."""

    def noise(self, data: bytes) -> bool:
        """Make these bytes arrive at the driver. False where that cannot be done."""

    def unplug(self) -> bool:
        """Take the device away. False where that cannot be done."""

    def plug(self) -> None:
        """Give it back."""


class DriverConformance:
    """Inherit in a ``Test…`` class that has a fixture ``world``."""

    period_s = 0.01

    def tick(
        self, world: DriverWorld, measurements: Measurements, setpoint: np.ndarray | None = None
    ) -> np.ndarray:
        world.wait(self.period_s)
        world.driver.poll(world.now_ns(), measurements)
        if setpoint is None:
            return world.driver.stop(world.now_ns(), True).copy()
        return world.driver.command(world.now_ns(), setpoint).copy()

    def opened(self, world: DriverWorld) -> Measurements:
        """Open, and tick until every sensor has spoken."""
        measurements = Measurements(world.spec)
        world.driver.open(world.now_ns())
        for _ in range(round(3.0 / self.period_s)):
            self.tick(world, measurements)
            if all(measurements.sequence(name) > 1 for name in world.driver.sensors):
                break
        return measurements

    def limits(self, world: DriverWorld) -> list[tuple[float, float]]:
        actuators = {a.name: a for a in world.spec.actuators}
        return [(actuators[name].lower, actuators[name].upper) for name in world.driver.actuators]

    def test_it_serves_what_the_file_says(self, world: DriverWorld) -> None:
        spec = world.spec
        assert set(world.driver.sensors) <= {s.name for s in spec.sensors}
        assert set(world.driver.actuators) <= {a.name for a in spec.actuators}
        assert world.driver.health.state == "closed"

    def test_every_sensor_speaks_with_finite_values_of_a_time_in_the_past(self, world: DriverWorld) -> None:
        measurements = self.opened(world)
        assert world.driver.health.state == "open"
        for name in world.driver.sensors:
            sensor = next(s for s in world.spec.sensors if s.name == name)
            assert measurements.sequence(name) > 1
            assert np.isfinite(measurements.values(name)).all()
            age = (world.now_ns() - measurements.time_ns(name)) * 1e-9
            assert 0.0 < age < sensor.stale_s + 0.2

    def test_samples_come_at_the_files_rate_and_their_time_and_number_only_grow(
        self, world: DriverWorld
    ) -> None:
        measurements = self.opened(world)
        began = world.now_ns()
        first = {name: measurements.sequence(name) for name in world.driver.sensors}
        last = dict.fromkeys(world.driver.sensors, (0, 0))
        for _ in range(round(1.0 / self.period_s)):
            self.tick(world, measurements)
            for name in world.driver.sensors:
                sequence, time_ns = measurements.sequence(name), measurements.time_ns(name)
                assert sequence >= last[name][0]
                assert time_ns > last[name][1] or sequence == last[name][0]
                last[name] = sequence, time_ns
        seconds = (world.now_ns() - began) * 1e-9
        for name in world.driver.sensors:
            rate = next(s.rate_hz for s in world.spec.sensors if s.name == name)
            assert last[name][0] - first[name] > 0.5 * rate * seconds

    @pytest.mark.parametrize("ask", [-1e9, -1.0, -0.1, 0.0, 0.05, 0.3, 1e9])
    def test_what_is_said_to_be_sent_is_within_the_limits_and_stays_the_drivers_own(
        self, world: DriverWorld, ask: float
    ) -> None:
        measurements = self.opened(world)
        setpoint = np.full(len(world.driver.actuators), ask)
        sent = self.tick(world, measurements, setpoint)
        assert sent.shape == setpoint.shape
        assert (setpoint == ask).all()  # the caller's array is left alone
        for value, (lower, upper) in zip(sent, self.limits(world), strict=True):
            assert lower <= value <= upper
        # What is said to be sent is a fixed point: sending it changes nothing.
        assert self.tick(world, measurements, sent.copy()) == pytest.approx(sent, abs=1e-12)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_what_is_not_finite_is_never_sent(self, world: DriverWorld, bad: float) -> None:
        measurements = self.opened(world)
        for k in range(len(world.driver.actuators)):
            setpoint = np.zeros(len(world.driver.actuators))
            setpoint[k] = bad
            sent = self.tick(world, measurements, setpoint)
            assert not np.isinf(sent).any()
            assert world.driver.health.errors["not_finite"] == k + 1

    def test_both_stops_go_out(self, world: DriverWorld) -> None:
        self.opened(world)
        for torque in (True, False):
            sent = world.driver.stop(world.now_ns(), torque)
            assert sent.shape == (len(world.driver.actuators),)
            assert np.isfinite(sent).all()

    def test_in_silence_it_goes_on_measuring(self, world: DriverWorld) -> None:
        measurements = self.opened(world)
        before = [measurements.sequence(name) for name in world.driver.sensors]
        for _ in range(round(0.5 / self.period_s)):
            world.wait(self.period_s)
            world.driver.poll(world.now_ns(), measurements)
            sent = world.driver.silence(world.now_ns())
            assert sent.shape == (len(world.driver.actuators),)
            assert np.isfinite(sent).all()
        after = [measurements.sequence(name) for name in world.driver.sensors]
        assert all(b > a for a, b in zip(before, after, strict=True))

    def test_it_proves_that_it_stops_by_itself_without_moving_or_has_nothing_to_prove(
        self, world: DriverWorld
    ) -> None:
        measurements = self.opened(world)
        for _ in range(2):
            for k in range(round(world.spec.safety.arming_s / self.period_s)):
                world.wait(self.period_s)
                world.driver.poll(world.now_ns(), measurements)
                sent = world.driver.prove_stop(world.now_ns(), k == 0)
                assert sent.shape == (len(world.driver.actuators),)
                assert np.isfinite(sent).all()
            assert world.driver.proof.state == "passed", world.driver.proof.reason

    def test_noise_raises_nothing_and_is_counted(self, world: DriverWorld) -> None:
        measurements = self.opened(world)
        rng = np.random.default_rng(0)
        if not world.noise(rng.bytes(64)):
            pytest.skip("noise cannot be put on this line")
        before = sum(world.driver.health.errors.values())
        for k in range(40):
            world.noise(rng.bytes(1 + 7 * k))
            self.tick(world, measurements)
        assert sum(world.driver.health.errors.values()) > before
        assert world.driver.health.last_error
        for _ in range(round(0.8 / self.period_s)):
            self.tick(world, measurements)
        before_samples = [measurements.sequence(name) for name in world.driver.sensors]
        for _ in range(round(0.5 / self.period_s)):
            self.tick(world, measurements)
        after = [measurements.sequence(name) for name in world.driver.sensors]
        assert all(b > a for a, b in zip(before_samples, after, strict=True))  # it has found its feet again

    def test_a_lost_port_is_a_state_and_comes_back(self, world: DriverWorld) -> None:
        measurements = self.opened(world)
        if not world.unplug():
            pytest.skip("this device cannot be unplugged by a program")
        zero = np.zeros(len(world.driver.actuators))
        for _ in range(round(0.3 / self.period_s)):
            self.tick(world, measurements, zero)
        assert world.driver.health.state == "lost"
        assert np.isnan(self.tick(world, measurements, zero)).all()
        assert np.isnan(world.driver.stop(world.now_ns(), True)).all()
        assert np.isnan(world.driver.stop(world.now_ns(), False)).all()
        assert np.isnan(world.driver.silence(world.now_ns())).all()
        assert np.isnan(world.driver.prove_stop(world.now_ns(), True)).all()
        assert world.driver.health.errors["port_lost"] == 1
        world.plug()
        before = [measurements.sequence(name) for name in world.driver.sensors]
        for _ in range(round(2.0 / self.period_s)):
            self.tick(world, measurements, zero)
        assert world.driver.health.state == "open"
        assert world.driver.health.reconnections == 1
        after = [measurements.sequence(name) for name in world.driver.sensors]
        assert all(b > a for a, b in zip(before, after, strict=True))

    def test_closing_is_idempotent_and_so_is_everything_after_it(self, world: DriverWorld) -> None:
        measurements = self.opened(world)
        for _ in range(2):
            world.driver.close()
            assert world.driver.health.state == "closed"
        before = [measurements.sequence(name) for name in world.driver.sensors]
        zero = np.zeros(len(world.driver.actuators))
        for _ in range(3):
            assert np.isnan(self.tick(world, measurements, zero)).all()
        assert [measurements.sequence(name) for name in world.driver.sensors] == before
        assert world.driver.health.state == "closed"

    def test_closing_a_driver_that_never_opened_or_lost_its_port_raises_nothing(
        self, world: DriverWorld
    ) -> None:
        world.driver.close()
        measurements = self.opened(world)
        if world.unplug():
            self.tick(world, measurements)
        world.driver.close()
        assert world.driver.health.state == "closed"
