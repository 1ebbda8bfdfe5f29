"""The radio receiver: an independent frame is read; without its transmitter it says nothing."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from point_plant import PointPlant
from radio_racer import radio_racer
from scripted_port import ScriptedPort

from robot.clock import SimulatedClock
from robot.drivers.crsf import CrsfDriver
from robot.drivers.crsf_frame import CrsfParser, count, crc8, frame, level, pack_channels, unpack_channels
from robot.enable_channel import EnableChannel
from robot.errors import SpecError
from robot.interface import Measurements, make_driver
from robot.layout import Field
from robot.safety.freshness import Freshness
from sim.emulators.faults import Fault
from sim.emulators.rig import Rig

SPEC = radio_racer()
DEVICE = next(d for d in SPEC.devices if d.name == "receiver")
TICK = 10_000_000
# From the description of another implementation (kielerrr/CRSFv2-elrs), with a transmitter's address.
FOREIGN = bytes.fromhex("ee1816e1e3de09c7d78a56800f7ce0031ff8c0073ef0810f7c36")


class World:
    """The driver on the emulated receiver, the guardian's freshness and the channel that enables."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        rig = Rig(SPEC, PointPlant(), np.random.default_rng(0))
        self.device = rig.devices["receiver"]
        self.driver = make_driver(SPEC, DEVICE, rig.ports(self.clock)["receiver"])
        self.measurements = Measurements(SPEC)
        self.channel = EnableChannel(SPEC, self.measurements)
        self.freshness = Freshness(SPEC)
        self.driver.open(0)

    def run(self, seconds: float) -> bool:
        """Tick; whether motion is enabled at the end."""
        record = self.measurements.record
        for _ in range(round(seconds * 1e9 / TICK)):
            self.clock.sleep_until(self.clock.now_ns() + TICK)
            self.driver.poll(self.clock.now_ns(), self.measurements)
            times = np.array([record[s.name]["time_ns"][0] for s in SPEC.sensors])
            sequences = np.array([record[s.name]["sequence"][0] for s in SPEC.sensors])
            values = np.concatenate([record[s.name]["values"][0] for s in SPEC.sensors])
            self.freshness.update(self.clock.now_ns(), times, sequences, values)
        return self.channel.enabled(self.freshness.stale)


def test_a_frame_of_another_implementation_is_whole() -> None:
    assert crc8(FOREIGN[2:-1]) == FOREIGN[-1]
    assert len(unpack_channels(FOREIGN[3:-1])) == 16
    assert pack_channels(unpack_channels(FOREIGN[3:-1])) == FOREIGN[3:-1]


@given(st.lists(st.integers(0, 2047), min_size=16, max_size=16))
def test_channels_survive_packing(counts: list[int]) -> None:
    assert unpack_channels(pack_channels(counts)) == counts


def test_the_ends_of_the_stick_are_one() -> None:
    assert (level(172), level(1811), level(992)) == pytest.approx((-1.0, 1.0, 0.0), abs=1e-3)
    assert [count(level(k)) for k in range(172, 1812)] == list(range(172, 1812))


def test_the_stick_enables_and_letting_go_does_not() -> None:
    world = World()
    assert not world.run(0.5)
    world.device.sticks[4] = 1.0  # type: ignore[attr-defined]
    assert world.run(0.1)
    world.device.sticks[4] = 0.4  # type: ignore[attr-defined]
    assert not world.run(0.1)
    world.device.sticks[3] = 1.0  # type: ignore[attr-defined]
    assert not world.run(0.1), "another channel"


@pytest.mark.parametrize("how", ["transmitter", "unplug", "silence"])
def test_whatever_ends_the_radio_ends_the_permission_in_time(how: str) -> None:
    world = World()
    world.device.sticks[4] = 1.0  # type: ignore[attr-defined]
    assert world.run(1.0)
    if how == "transmitter":
        world.device.transmitting = False  # type: ignore[attr-defined]
    elif how == "unplug":
        world.device.faults.add(Fault(kind="unplug"))
    else:
        world.device.faults.add(Fault(kind="drop"))
    assert not world.run(SPEC.sensors[-1].stale_s + 0.03)


def test_a_receiver_that_repeats_its_last_channels_without_a_link_is_not_believed() -> None:
    port = ScriptedPort()
    driver, measurements = CrsfDriver(SPEC, DEVICE, port), Measurements(SPEC)
    driver.open(0)
    channels = frame(0x16, pack_channels([1811] * 16))
    port.incoming = channels
    driver.poll(TICK, measurements)
    assert measurements.sequence("transmitter") == 1
    port.incoming = frame(0x14, bytes(10)) + channels
    driver.poll(2 * TICK, measurements)
    assert measurements.sequence("transmitter") == 1
    assert driver.health.errors["no_transmitter"] == 1
    port.incoming = frame(0x14, bytes((0, 0, 90, 0, 0, 0, 0, 0, 0, 0))) + channels
    driver.poll(3 * TICK, measurements)
    assert measurements.sequence("transmitter") == 2


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40), st.just(frame(0x16, bytes(22)))), max_size=20))
def test_no_bytes_raise_and_frames_among_noise_that_is_no_start_are_found(pieces: list[bytes]) -> None:
    counted: list[str] = []
    parser = CrsfParser(counted.append)
    for piece in pieces:
        for kind, payload in parser.feed(piece):
            assert 0 <= kind < 256
            assert len(payload) <= 60
    found = parser.feed(bytes(64) + frame(0x16, bytes(22)))
    assert found[-1] == (0x16, bytes(22))


def test_a_damaged_frame_is_never_stored() -> None:
    whole = frame(0x16, pack_channels([1811] * 16))
    for bit in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        assert not CrsfParser(lambda name: None).feed(bytes(damaged)), bit


def test_a_sensor_it_cannot_serve_is_refused() -> None:
    sensor = msgspec.structs.replace(SPEC.sensors[-1], fields=(Field(name="throttle", unit="1"),))
    enable = msgspec.structs.replace(SPEC.enable, source="held_key")
    spec = msgspec.structs.replace(SPEC, sensors=(*SPEC.sensors[:-1], sensor), enable=enable)
    with pytest.raises(SpecError, match="channel_1"):
        CrsfDriver(spec, DEVICE)
