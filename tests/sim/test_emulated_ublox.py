"""The emulated receiver: pyubx2 reads its frames, and its errors are those of the robot's file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import pyubx2
from hypothesis import given
from hypothesis import strategies as st
from point_plant import PointPlant

from robot.clock import SimulatedClock
from robot.drivers.ublox import UbloxDriver, configuration
from robot.geodesy import LocalFrame
from robot.interface import Measurements
from robot.spec import load_spec
from sim.emulators.memory_port import MemoryPort
from sim.emulators.ublox import UbloxDevice, nav_pvt

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
FRAME = LocalFrame(*SPEC.vector("gnss_origin"))
MS = 1_000_000


class Receiver:
    """A device on a plant that the test moves, and what it said with the time each byte came."""

    def __init__(self, seed: int = 0, speed: float = 0.0) -> None:
        self.plant = PointPlant()
        self.plant.speed = speed
        self.device = UbloxDevice(SPEC, self.plant, np.random.default_rng(seed))
        self.now = 0
        self.stream = b""
        self.arrivals: list[int] = []

    def wait(self, seconds: float, step: int = MS) -> None:
        end = self.now + round(seconds * 1e9)
        while self.now < end:
            before, self.now = self.now, min(self.now + step, end)
            self.plant.time_ns = self.now
            self.plant.position += self.plant.speed * (self.now - before) * 1e-9
            self.device.advance(self.now)
            data = self.device.transmit(self.now)
            self.stream += data
            self.arrivals += [self.now] * len(data)

    def fixes(self) -> list[pyubx2.UBXMessage]:
        reader = pyubx2.UBXReader(io.BytesIO(self.stream), quitonerror=pyubx2.ERR_RAISE)
        return [parsed for _, parsed in reader]

    def positions(self) -> np.ndarray:
        return np.array([FRAME.local(m.lat, m.lon, m.height * 1e-3) for m in self.fixes()])


@given(
    st.integers(0, 604_799_999),
    st.floats(-85, 85),
    st.floats(-179, 179),
    st.lists(st.floats(-20, 20), min_size=3, max_size=3),
    st.sampled_from([(0, 0), (2, 0), (3, 0), (3, 1), (3, 2)]),
)
def test_pyubx2_reads_what_was_meant(
    itow: int, lat: float, lon: float, velocity: list[float], quality: tuple[int, int]
) -> None:
    raw = nav_pvt(itow, (lat, lon, 123.456), velocity, (0.014, 0.02, 0.05), *quality)
    message = pyubx2.UBXReader.parse(raw, validate=pyubx2.VALCKSUM)
    assert message.identity == "NAV-PVT"
    assert len(raw) == 100
    assert message.payload[:4] == itow.to_bytes(4, "little")
    assert (message.lat, message.lon) == pytest.approx((lat, lon), abs=0.51e-7)
    assert message.height == message.hMSL == 123456
    east, north, up = velocity
    assert (message.velE, message.velN, -message.velD) == pytest.approx(
        (east * 1e3, north * 1e3, up * 1e3), abs=0.51
    )
    assert (message.hAcc, message.vAcc, message.sAcc) == (14, 20, 50)
    assert (message.fixType, message.carrSoln) == quality
    assert message.gnssFixOk == (quality[0] >= 2)
    assert message.invalidLlh == (quality[0] < 2)
    # And pyubx2, given the same fields, makes the same bytes.
    fields = {k: v for k, v in vars(message).items() if not k.startswith("_") and k != "iTOW"}
    again = pyubx2.UBXMessage("NAV", "NAV-PVT", pyubx2.GET, **fields).serialize()
    same = [a == b for a, b in zip(raw[10:-2], again[10:-2], strict=True)]
    # It truncates what it scales, so angles may come out one step lower.
    assert all(
        same[at] for at in range(len(same)) if at + 4 not in (*range(24, 32), *range(64, 68), *range(72, 76))
    )


def test_ten_fixes_a_second_arrive_when_the_file_says_and_no_faster_than_the_line() -> None:
    receiver = Receiver()
    receiver.wait(3.0, step=100_000)
    fixes = receiver.fixes()
    assert len(fixes) == 29
    itow = np.array([int.from_bytes(m.payload[:4], "little") for m in fixes])
    assert np.diff(itow).tolist() == [100] * 28
    last = np.array(receiver.arrivals)[99::100]
    delay = last - np.arange(1, 30) * 100 * MS
    latency = SPEC.sensors[2].latency_s * 1e9
    assert (latency - 4.2 * MS < delay).all()
    assert (delay <= latency + 0.2 * MS).all()
    assert delay.std() > 0.5 * MS
    arrivals = np.array(receiver.arrivals)
    for span in (1, 10, 99):
        assert (arrivals[span:] - arrivals[:-span]).min() >= span * 10e9 / 115200 - 0.1 * MS


@pytest.mark.slow
def test_errors_have_the_files_size_and_the_slow_part_its_correlation() -> None:
    errors = []
    for seed in range(8):
        receiver = Receiver(seed)
        receiver.plant.offset[:] = 0.0
        receiver.wait(120.0, step=100 * MS)
        errors.append(receiver.positions())
    error = np.array(errors)[:, :, :2]
    slow, white = SPEC.scalar("gnss_noise"), SPEC.scalar("gnss_white_noise")
    wire = np.array([1.11, 0.88])[::-1] * 0.01 / np.sqrt(12)  # 1e-7 deg steps, uniform
    assert error.std() == pytest.approx(np.sqrt(slow**2 + white**2 + (wire**2).mean()), rel=0.25)
    # From one fix to the next only the white part and the wire's steps differ.
    step = np.diff(error, axis=1).std() / np.sqrt(2)
    assert step == pytest.approx(np.sqrt(white**2 + (wire**2).mean()), rel=0.2)

    # Ten seconds on, e^(-10/20) of the slow part is still there; a minute on, next to nothing.
    def correlation(fixes: int) -> float:
        return float((error[:, :-fixes] * error[:, fixes:]).mean() / slow**2)

    assert 0.3 < correlation(100) < 0.95
    assert abs(correlation(600)) < 0.35


def test_velocity_has_the_files_noise() -> None:
    receiver = Receiver(speed=2.0)
    receiver.wait(60.0, step=100 * MS)
    velocity = np.array([[m.velE, m.velN] for m in receiver.fixes()]) * 1e-3
    assert velocity.mean(axis=0) == pytest.approx([2.0, 0.0], abs=0.01)
    assert velocity.std(axis=0) == pytest.approx(SPEC.scalar("gnss_velocity_noise"), rel=0.15)


def test_a_fix_is_of_its_epoch_however_late_the_world_is_looked_at() -> None:
    receiver = Receiver(speed=20.0)
    receiver.plant.offset[:] = 0.0
    receiver.wait(5.0, step=7 * MS)
    x = receiver.positions()[:, 0]
    truth = 2.0 * np.arange(1, len(x) + 1)
    assert np.abs(x - truth).max() < 0.06  # 3 ms would be that much


def test_lost_corrections_show_in_the_fix_and_in_its_noise() -> None:
    receiver = Receiver()
    receiver.device.fix_type, receiver.device.carrier_solution, receiver.device.extra_noise = 3, 0, 0.5
    receiver.wait(20.0, step=100 * MS)
    assert {m.carrSoln for m in receiver.fixes()} == {0}
    assert receiver.positions()[:, :2].std() == pytest.approx(0.5, rel=0.25)
    assert receiver.fixes()[0].hAcc > 400


def test_it_acknowledges_its_configuration_and_names_its_firmware() -> None:
    receiver = Receiver()
    receiver.device.receive(configuration(10.0), 0)
    receiver.wait(0.09)
    acknowledged, version = receiver.fixes()
    assert (acknowledged.identity, acknowledged.clsID, acknowledged.msgID) == ("ACK-ACK", 0x06, 0x8A)
    assert version.identity == "MON-VER"


def test_the_driver_dates_and_places_fixes_of_a_moving_car_within_centimetres() -> None:
    clock = SimulatedClock()
    plant = PointPlant()
    plant.speed = 4.0
    device = UbloxDevice(SPEC, plant, np.random.default_rng(2))
    driver, measurements = UbloxDriver(SPEC, SPEC.devices[1], MemoryPort(device, clock)), Measurements(SPEC)
    driver.open(0)
    worst = 0.0
    for _ in range(1000):
        clock.sleep_until(clock.now_ns() + 10 * MS)
        plant.position += 0.04
        before = measurements.sequence("gnss")
        driver.poll(clock.now_ns(), measurements)
        if measurements.sequence("gnss") > max(before, 5):
            there = 4.0 * measurements.time_ns("gnss") * 1e-9
            worst = max(worst, abs(measurements.values("gnss")[0] - there))
    assert measurements.sequence("gnss") == 99
    assert driver.health.firmware == "u-blox HPG 1.32"
    assert driver.health.errors == {}
    assert worst < 0.06
