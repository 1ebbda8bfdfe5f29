"""The emulated VESC: independent parsers agree with its frames; it treats a motor as the firmware does."""

from __future__ import annotations

import math
import struct
import warnings
from binascii import crc_hqx
from pathlib import Path

import numpy as np
import pytest
from point_plant import PointPlant

from robot.drivers import vesc_protocol as protocol
from robot.spec import load_spec
from sim.emulators.vesc import VescDevice

with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)
    codec = pytest.importorskip("pyvesc.packet.codec")

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
MS = 1_000_000
BYTE_NS = 10e9 / 115200
ALL = (1 << 22) - 1


class Host:
    """Talks to the device and keeps what it says, with the time each byte came."""

    def __init__(self, seed: int = 0) -> None:
        self.plant = PointPlant()
        self.device = VescDevice(SPEC, self.plant, np.random.default_rng(seed))
        self.now = 0
        self.arrivals: list[int] = []
        self.stream = b""

    def say(self, *frames: bytes) -> None:
        self.device.receive(b"".join(frames), self.now)

    def wait(self, milliseconds: float, step: int = MS) -> None:
        end = self.now + round(milliseconds * MS)
        while self.now < end:
            self.now = min(self.now + step, end)
            self.device.advance(self.now)
            data = self.device.transmit(self.now)
            self.stream += data
            self.arrivals += [self.now] * len(data)

    def drive(self, milliseconds: float, *frames: bytes) -> None:
        """Repeat the frames every 10 ms for so long."""
        for _ in range(round(milliseconds / 10)):
            self.say(*frames)
            self.wait(10)

    def payloads(self) -> list[bytes]:
        """What came, cut into payloads by the independent implementation; all of it must be frames."""
        rest, found = self.stream, []
        while rest:
            payload, used = codec.unframe(rest, errors="strict")
            assert payload is not None
            found.append(payload)
            rest = rest[used:]
        self.stream = b""
        return found


def test_an_independent_parser_agrees_with_every_frame() -> None:
    host = Host()
    host.plant.speed, host.plant.input_voltage = 1.0, 11.65
    host.say(protocol.GET_FW_VERSION, protocol.GET_VALUES, protocol.get_imu_data(0x1F8))
    host.wait(60)
    host.say(protocol.get_values_selective(ALL))
    host.wait(60)
    firmware, values, imu, selected = host.payloads()
    assert firmware[:3] == bytes((0, 6, 5))
    assert firmware[3:].split(b"\0")[0] == b"60"
    assert len(values) == 74  # 79 bytes as a frame, the length of firmware 6's reply
    # Read with nothing but struct: field by field from the published layout.
    fields = struct.unpack(">hhiiiihihiiiiiiBiBhhhiiB", values[1:])
    assert fields[:3] == (312, 400, fields[2])  # 31.25 degC truncates to tenths, as the firmware casts
    assert fields[8] == 116
    assert selected[0] == 50
    assert selected[1:5] == ALL.to_bytes(4, "big")
    assert len(selected) == len(values) + 4
    assert struct.unpack(">B H 6f", imu)[:2] == (65, 0x1F8)


def test_bytes_never_come_faster_than_the_line_carries_them_and_replies_do_not_overlap() -> None:
    host = Host()
    for _ in range(20):
        host.say(protocol.get_values_selective(0x8187), protocol.get_imu_data(0x1F8), protocol.GET_VALUES)
        host.wait(1, step=10_000)
        host.wait(29, step=10_000)
    arrivals = np.array(host.arrivals)
    for span in (1, 2, 10, 57, 100):
        gaps = arrivals[span:] - arrivals[:-span]
        assert gaps.min() >= span * BYTE_NS - 10_000
    assert len(host.payloads()) == 60


def test_a_reply_takes_the_wire_the_decoding_and_the_wire_again() -> None:
    host = Host()
    request = protocol.get_imu_data(0x1F8)
    host.wait(5)
    asked = host.now
    host.say(request)
    host.wait(20, step=10_000)
    least = (len(request) + len(host.stream)) * BYTE_NS
    assert least < host.arrivals[-1] - asked < least + 2 * MS


def test_the_speed_loop_reaches_its_target_within_the_current_limit() -> None:
    host = Host()
    host.drive(1500, protocol.set_rpm(2 * 4614))
    assert host.plant.speed == pytest.approx(2.0, rel=0.05)
    host.drive(3000, protocol.set_rpm(-4614))
    assert host.plant.speed == pytest.approx(-1.0, rel=0.05)
    host.drive(300, protocol.set_current(500.0))
    assert host.plant.amperes == SPEC.scalar("motor_current_limit")
    host.drive(10, protocol.set_current_brake(500.0))
    assert (host.plant.braking, host.plant.amperes) == (True, SPEC.scalar("motor_brake_limit"))


def test_below_its_minimum_speed_the_motor_is_released() -> None:
    host = Host()
    host.drive(500, protocol.set_rpm(899))
    assert (host.plant.speed, host.plant.amperes, host.plant.braking) == (0.0, 0.0, False)


def test_silence_brakes_after_the_timeout_and_leaves_the_steering() -> None:
    host = Host()
    host.drive(1000, protocol.set_rpm(3 * 4614), protocol.set_servo_position(700))
    speed, last = host.plant.speed, host.now - 10 * MS
    timeout = SPEC.scalar("drive_timeout") * 1e3
    host.wait(timeout - 10 - 1)
    assert not host.plant.braking
    while not host.plant.braking:
        host.wait(1)
    # The firmware looks every 10 ms; the command itself took 1.6 ms to arrive.
    assert timeout < (host.now - last) / MS < timeout + 14
    assert host.plant.amperes == SPEC.scalar("drive_timeout_brake_current")
    host.wait(2000)
    assert host.plant.speed == 0.0
    assert host.plant.servo_position == 0.7
    assert speed > 2.5
    host.say(protocol.get_values_selective(1 << 21))
    host.wait(20)
    assert host.payloads()[-1][-1] == 1  # and it says so
    host.drive(500, protocol.set_rpm(4614))
    assert host.plant.speed > 0.5  # the next command drives again: latching is the guardian's


@pytest.mark.parametrize(
    "frames", [(protocol.get_imu_data(0x1F8),), (protocol.set_servo_position(500),), (protocol.GET_VALUES,)]
)
def test_questions_and_steering_do_not_keep_the_motor_alive_but_alive_does(frames: tuple[bytes, ...]) -> None:
    host = Host()
    host.drive(500, protocol.set_rpm(4614))
    host.drive(200, *frames)
    assert host.device.timed_out
    host.drive(100, protocol.set_rpm(4614))
    host.drive(200, *frames, protocol.ALIVE)
    assert not host.device.timed_out


def test_a_fault_releases_the_motor_for_half_a_second_and_clears_itself() -> None:
    host = Host()
    host.drive(500, protocol.set_rpm(4614))
    host.device.trip(2)
    host.drive(480, protocol.set_rpm(4614), protocol.get_values_selective(1 << 15))
    assert host.plant.amperes == 0.0
    assert host.payloads()[-1][-1] == 2
    host.wait(40)
    assert (host.plant.amperes, host.plant.braking) == (
        0.0,
        False,
    )  # what was commanded meanwhile is forgotten
    host.drive(100, protocol.set_rpm(4614), protocol.get_values_selective(1 << 15))
    assert host.plant.amperes > 0.0
    assert host.payloads()[-1][-1] == 0


def imu_samples(host: Host, count: int) -> np.ndarray:
    for _ in range(count):
        host.say(protocol.get_imu_data(0x1F8))
        host.wait(10)
    return np.array([struct.unpack(">6f", payload[3:]) for payload in host.payloads()])


def test_imu_noise_bias_and_steps_are_those_of_the_file() -> None:
    host = Host(seed=3)
    host.wait(100)
    samples = imu_samples(host, 1000)
    g = 9.80665
    # On the wire: g in steps of 1/2048, deg/s in steps of 1/16.4 (float32 keeps 24 bits of each).
    assert np.abs(samples[:, :3] * 2048 - np.rint(samples[:, :3] * 2048)).max() < 1e-3
    assert np.abs(samples[:, 3:] * 16.4 - np.rint(samples[:, 3:] * 16.4)).max() < 1e-3
    felt = samples[:, :3] * g
    turned = np.radians(samples[:, 3:])
    assert felt.std(axis=0) == pytest.approx(SPEC.scalar("accelerometer_noise"), rel=0.15)
    assert turned.std(axis=0) == pytest.approx(SPEC.scalar("gyroscope_noise"), rel=0.2)
    bias = host.device.imu_bias
    assert felt.mean(axis=0) - host.plant.felt == pytest.approx(bias[:3], abs=0.01)
    assert turned.mean(axis=0) == pytest.approx(bias[3:], abs=1e-3)
    spread = np.array([VescDevice(SPEC, PointPlant(), np.random.default_rng(k)).imu_bias for k in range(200)])
    assert spread[:, :3].std() == pytest.approx(SPEC.scalar("accelerometer_bias"), rel=0.15)
    assert spread[:, 3:].std() == pytest.approx(SPEC.scalar("gyroscope_bias"), rel=0.15)


def test_a_blow_beyond_the_range_saturates() -> None:
    host = Host()
    host.plant.felt = np.array([1000.0, -1000.0, 9.81])
    host.wait(100)
    sample = imu_samples(host, 1)[0]
    limit = math.trunc(SPEC.scalar("accelerometer_range") / 9.80665 * 2048) / 2048
    assert sample[:2].tolist() == [limit, -limit]


def test_the_motor_current_is_the_mean_since_it_was_last_read() -> None:
    host = Host()
    ask = protocol.get_values_selective(1 << 2)
    host.say(protocol.set_current(10.0), ask)
    host.wait(20)
    host.say(protocol.set_current(20.0))
    host.wait(20)
    host.say(ask, protocol.ALIVE)
    host.wait(20)
    current = struct.unpack(">i", host.payloads()[-1][5:])[0] / 100
    assert 14.0 < current < 17.0


def test_the_motor_current_tells_drawing_from_generating_and_that_of_the_q_axis_the_torque() -> None:
    fields = protocol.get_values_selective(1 << 2 | 1 << 5)
    for speed, asked, drawn in ((3.0, 10.0, 10.0), (3.0, -10.0, -10.0), (-3.0, -10.0, 10.0)):
        host = Host()
        host.plant.speed = speed
        host.say(protocol.set_current(asked), fields)
        host.wait(20)
        host.say(fields)
        host.wait(20)
        told = [amperes / 100 for amperes in struct.unpack(">ii", host.payloads()[-1][5:])]
        assert told == pytest.approx([drawn, asked], abs=1.5), speed


def test_the_same_seed_gives_the_same_bytes() -> None:
    def run(seed: int) -> bytes:
        host = Host(seed)
        host.drive(300, protocol.set_rpm(5000), protocol.get_imu_data(0x1F8), protocol.GET_VALUES)
        return host.stream

    assert run(5) == run(5) != run(6)


@pytest.mark.parametrize("step", [MS, 10 * MS, 7 * MS, 30 * MS])
def test_what_is_said_does_not_depend_on_how_often_it_is_looked_at(step: int) -> None:
    host = Host()
    host.say(protocol.set_rpm(5000), protocol.get_imu_data(0x1F8))
    host.wait(210, step)
    host.say(protocol.GET_VALUES)
    host.wait(210, step)
    reference = Host()
    reference.say(protocol.set_rpm(5000), protocol.get_imu_data(0x1F8))
    reference.wait(210)
    reference.say(protocol.GET_VALUES)
    reference.wait(210)
    assert host.stream == reference.stream


def test_noise_on_the_line_moves_nothing() -> None:
    host = Host()
    rng = np.random.default_rng(1)
    for _ in range(200):
        host.say(rng.bytes(100))
        host.wait(10)
    assert host.plant.speed == 0.0
    assert crc_hqx(b"", 0) == 0
