"""The serial protocols: parsers against an oracle that searches the whole stream, drivers against the frames
that were really in it."""

from __future__ import annotations

import math
import random
import re
import struct
from binascii import crc_hqx
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyubx2
from fuzz_bytes import cut, damaged, stream
from fuzz_target import Case, Tally, Target
from scripted_port import ScriptedPort

from robot.drivers import crsf_frame, vesc_protocol
from robot.drivers.crsf import CrsfDriver
from robot.drivers.ublox import UbloxDriver
from robot.drivers.ubx_frame import MAX_PAYLOAD as UBX_MAX
from robot.drivers.ubx_frame import UbxParser, checksum
from robot.drivers.vesc import MAX_REPLY, VescDriver
from robot.drivers.vesc_frame import MAX_PAYLOAD, FrameParser, frame
from robot.drivers.vesc_protocol import Command, Firmware, encode_firmware, masked_layout
from robot.errors import WireError
from robot.interface import Measurements
from robot.layout import Field
from robot.spec import Device, Sensor, load_spec

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
TICK_NS = 10_000_000

# VESC

VESC_DENSE = bytes((2, 3, 3, 0, 1, 5, 50, 65, 255))


def vesc_frames_in(data: bytes, most: int) -> list[bytes]:
    """The payloads of all frames in a stream, leftmost first, as packet.c's rules have it: written from the
    rules, and as slow as it likes."""
    found, at = [], 0
    while (match := re.compile(b"[\x02\x03]").search(data, at)) is not None:
        at = match.start()
        head = data[at]
        if len(data) < at + head:
            break
        size = int.from_bytes(data[at + 1 : at + head], "big")
        end = at + head + size
        fits = 0 < size <= most and (head == 2 or size > 254)
        payload, tail = data[at + head : end], data[end : end + 3]
        if fits and tail == crc_hqx(payload, 0).to_bytes(2, "big") + b"\x03":
            found.append(payload)
            at = end + 3
        else:
            at += 1
    return found


def vesc_replies(rng: random.Random) -> list[bytes]:
    """Frames such as a controller sends, with values of all sizes."""
    layout = masked_layout(Command.GET_VALUES_SELECTIVE, rng.choice((0x8187, 0x3FFFFF, rng.getrandbits(22))))
    values = {name: rng.choice((0.0, 1.5, -30.0, 1e4, math.nan)) for name in layout.names}
    imu = masked_layout(Command.GET_IMU_DATA, rng.choice((0x1F8, rng.getrandbits(16))))
    motion = {name: rng.choice((0.0, 1.0, -1.0, math.nan, math.inf, 3e38)) for name in imu.names}
    payloads = [
        layout.encode(values),
        imu.encode(motion),
        encode_firmware(Firmware(6, 5, "60", b"x" * 12)),
        rng.randbytes(rng.choice((1, 2, 27, 255, 256, MAX_PAYLOAD))),
        bytes((Command.GET_VALUES,)) + rng.randbytes(rng.randrange(80)),
    ]
    payloads.append(damaged(rng, payloads, VESC_DENSE, 5)[:MAX_PAYLOAD] or b"\0")  # well framed nonsense
    return [frame(p) for p in payloads]


def start_vesc_stream(folder: Path) -> Case:
    def case(rng: random.Random, tally: Tally) -> None:
        most = rng.choice((64, MAX_REPLY, MAX_PAYLOAD))
        data = stream(rng, vesc_replies(rng), VESC_DENSE, rng.randrange(1, 40), 4)
        flush = bytes(most + 8)  # zeros start no frame, and end the wait for the rest of one
        parser = FrameParser(lambda name: tally.refused.update([name]), most)
        found: list[bytes] = []
        for piece in [*cut(rng, data), flush]:
            found += parser.feed(piece)
            assert parser.pending <= most + 5, "the parser hoards bytes"
        assert found == vesc_frames_in(data + flush, most), "not the frames that are in the stream"
        good = frame(b"after all that")
        assert parser.feed(good) == [b"after all that"], "a valid frame after garbage is found at once"
        for payload in found:
            decode_vesc(payload, tally)
        tally.taken += len(found)
        tally.bytes += len(data)

    return case


def decode_vesc(payload: bytes, tally: Tally) -> None:
    """Whatever a frame holds: values by name, or WireError."""
    try:
        values = vesc_protocol.decode_masked(payload)
        assert set(values) <= {f.name for f in (*vesc_protocol.VALUES, *vesc_protocol.IMU)}
        vesc_protocol.fault_name(int(values.get("fault_code", 0)))
    except WireError:
        tally.refused["no values"] += 1
    try:
        str(vesc_protocol.decode_firmware(payload))
    except WireError:
        tally.refused["no firmware"] += 1


def vesc_frames_anywhere(data: bytes, most: int) -> list[bytes]:
    """The payload of every frame at every offset, also of frames inside of frames."""
    found: list[bytes] = []
    for match in re.finditer(b"[\x02\x03]", data):
        at = match.start()
        found += vesc_frames_in(data[at : at + most + 6], most)[:1]
    return found


def answers(rng: random.Random, asked: bytes) -> list[bytes]:
    """What a controller would say to what the driver wrote: its values, all sizes of numbers."""
    replies = []
    for payload in vesc_frames_in(asked, MAX_PAYLOAD):
        if payload[0] == Command.GET_VALUES_SELECTIVE:
            layout = masked_layout(Command.GET_VALUES_SELECTIVE, int.from_bytes(payload[1:5], "big"))
            replies.append(frame(layout.encode({n: rng.uniform(-20, 20) for n in layout.names})))
        elif payload[0] == Command.GET_IMU_DATA:
            layout = masked_layout(Command.GET_IMU_DATA, int.from_bytes(payload[1:3], "big"))
            values = {n: rng.choice((0.1, 1.0, -3.0, 1.5, math.nan)) for n in layout.names}
            replies.append(frame(layout.encode(values)))
    return replies


def start_vesc_driver(folder: Path) -> Case:
    hello = frame(encode_firmware(Firmware(6, 5, "60")))
    commands = {"drive": Command.GET_VALUES_SELECTIVE, "imu": Command.GET_IMU_DATA}

    def case(rng: random.Random, tally: Tally) -> None:
        port = ScriptedPort()
        driver, measurements = VescDriver(SPEC, SPEC.devices[0], port), Measurements(SPEC)
        driver.open(0)
        port.incoming = hello
        now = 0
        driver.poll(now, measurements)
        everything = b""
        for _ in range(rng.randrange(1, 30)):
            setpoint = np.array([rng.uniform(-2, 5), rng.uniform(-0.3, 0.3)])
            sent = (
                driver.stop(now, rng.random() < 0.5) if rng.random() < 0.1 else driver.command(now, setpoint)
            )
            assert np.isfinite(sent).all()
            now += TICK_NS
            replies = answers(rng, port.take())
            if rng.random() < 0.7:
                port.incoming = b"".join(replies)
                tally.taken += len(replies)
            else:
                port.incoming = stream(rng, [*replies, *vesc_replies(rng)], VESC_DENSE, rng.randrange(4), 4)
            everything += port.incoming
            tally.bytes += len(port.incoming)
            driver.poll(now, measurements)
        frames = vesc_frames_anywhere(everything, MAX_REPLY)
        for name, command in commands.items():
            count = measurements.sequence(name)
            assert count <= sum(p[0] == command for p in frames), f"{name}: a sample of no valid frame"
            if count:
                assert np.isfinite(measurements.values(name)).all(), f"{name}: a sample that is no number"
                assert 0 <= measurements.time_ns(name) <= now, f"{name}: a sample from the future"
        tally.refused.update(driver.health.errors)

    return case


# UBX

UBX_DENSE = bytes((0xB5, 0x62, 0xB5, 0x62, 1, 7, 0, 4, 92))


def ubx_frames_in(data: bytes) -> list[bytes]:
    """All frames in a stream, leftmost first."""
    found, at = [], 0
    while (at := data.find(b"\xb5\x62", at)) >= 0 and len(data) >= at + 6:
        size = struct.unpack_from("<H", data, at + 4)[0]
        whole = data[at : at + size + 8]
        if size <= UBX_MAX and len(whole) == size + 8 and pyubx2.calc_checksum(whole[2:-2]) == whole[-2:]:
            found.append(whole)
            at += len(whole)
        else:
            at += 1
    return found


def ubx(kind: bytes, payload: bytes) -> bytes:
    body = kind + len(payload).to_bytes(2, "little") + payload
    return b"\xb5\x62" + body + bytes(checksum(body))


def ubx_messages(rng: random.Random) -> list[bytes]:
    fix = bytearray(rng.randbytes(92))
    fix[:4] = rng.choice((0, 1000, 604_799_900, rng.getrandbits(32))).to_bytes(4, "little")
    if rng.random() < 0.7:  # a plausible time; pyubx2 makes none of nonsense
        fix[4:11] = struct.pack("<HBBBBB", 2026, rng.randrange(14), rng.randrange(33), 1, 2, 3)
    return [
        ubx(b"\x01\x07", bytes(fix)),
        ubx(b"\x01\x07", bytes(fix[: rng.randrange(93)])),
        ubx(b"\x01\x07", bytes(fix) + rng.randbytes(rng.choice((0, 1, 4, 100)))),
        ubx(b"\x0a\x04", rng.randbytes(rng.choice((0, 39, 40, 70, 100)))),
        ubx(b"\x05" + rng.choice((b"\0", b"\x01")), rng.randbytes(rng.choice((0, 2)))),
        ubx(rng.randbytes(2), rng.randbytes(rng.choice((0, 1, 60)))),
        b"$GNGGA,,,,,,0,00,99.99,,,,,,*56\r\n",
    ]


def start_ubx_stream(folder: Path) -> Case:
    def case(rng: random.Random, tally: Tally) -> None:
        data = stream(rng, ubx_messages(rng), UBX_DENSE, rng.randrange(1, 30), 6)
        flush = bytes(UBX_MAX + 8)
        parser = UbxParser(lambda name: tally.refused.update([name]))
        found: list[bytes] = []
        for piece in [*cut(rng, data), flush]:
            found += parser.feed(piece)
            assert parser.pending <= UBX_MAX + 8, "the parser hoards bytes"
        assert found == ubx_frames_in(data + flush), "not the frames that are in the stream"
        good = ubx(b"\x04\x02", b"after all that")
        assert parser.feed(good) == [good], "a valid frame after garbage is found at once"
        tally.taken += len(found)
        tally.bytes += len(data)

    return case


def start_ubx_driver(folder: Path) -> Case:
    def case(rng: random.Random, tally: Tally) -> None:
        port = ScriptedPort()
        driver, measurements = UbloxDriver(SPEC, SPEC.devices[1], port), Measurements(SPEC)
        now = rng.choice((0, 10**9, 10**15))
        driver.open(now)
        everything = b""
        for _ in range(rng.randrange(1, 12)):
            now += rng.choice((TICK_NS, 100_000_000, 3_000_000_000))
            port.incoming = stream(rng, ubx_messages(rng), UBX_DENSE, rng.randrange(4), 6)
            everything += port.incoming
            tally.bytes += len(port.incoming)
            driver.poll(now, measurements)
            if measurements.sequence("gnss"):
                assert all(map(math.isfinite, measurements.values("gnss")))
                assert measurements.time_ns("gnss") <= now, "a fix from the future"
        fixes = [f for f in ubx_frames_in(everything) if f[2:4] == b"\x01\x07" and len(f) >= 100]
        count = measurements.sequence("gnss")
        assert count <= len(fixes), "a fix of no valid frame"
        if count:
            names = next(s for s in SPEC.sensors if s.name == "gnss").layout.names
            values = dict(zip(names, measurements.values("gnss"), strict=True))
            speeds = [struct.unpack_from("<3i", f, 6 + 48) for f in fixes]
            got = (values["velocity_world_y"], values["velocity_world_x"], -values["velocity_world_z"])
            assert any(all(abs(a - b * 1e-3) < 1e-9 for a, b in zip(got, s, strict=True)) for s in speeds)
        tally.taken += count
        tally.refused.update(driver.health.errors)

    return case


# CRSF

CRSF_DENSE = bytes((0xC8, 24, 0x16, 12, 0x14, 2, 62, 63, 0))


def crsf_frames_in(data: bytes) -> list[tuple[int, bytes]]:
    """All frames in a stream, leftmost first; the check byte by long division instead of by a table."""
    found, at = [], 0
    while (at := data.find(b"\xc8", at)) >= 0 and len(data) >= at + 2:
        length = data[at + 1]
        whole = data[at + 2 : at + 2 + length]
        if 2 <= length <= 62 and len(whole) == length and _remainder(whole[:-1]) == whole[-1]:
            found.append((whole[0], whole[1:-1]))
            at += length + 2
        else:
            at += 1
    return found


def _remainder(data: bytes) -> int:
    value = int.from_bytes(data, "big") << 8
    for bit in range(value.bit_length() - 1, 7, -1):
        if value >> bit & 1:
            value ^= 0x1D5 << bit - 8
    return value


def crsf_messages(rng: random.Random) -> list[bytes]:
    channels = crsf_frame.pack_channels([rng.choice((0, 172, 992, 1811, 2047)) for _ in range(16)])
    quality = rng.choice((0, 1, 100))
    return [
        crsf_frame.frame(crsf_frame.RC_CHANNELS, channels),
        crsf_frame.frame(crsf_frame.RC_CHANNELS, channels[: rng.randrange(23)]),
        crsf_frame.frame(crsf_frame.LINK_STATISTICS, bytes((90, 0, quality)) + rng.randbytes(7)),
        crsf_frame.frame(crsf_frame.LINK_STATISTICS, rng.randbytes(rng.randrange(12))),
        crsf_frame.frame(rng.randrange(256), rng.randbytes(rng.randrange(61))),
    ]


def start_crsf(folder: Path) -> Case:
    fields = tuple(Field(name=f"channel_{k}", unit="1") for k in (1, 5, 16))
    sensor = Sensor(name="radio", device="r", fields=fields, rate_hz=50.0, latency_s=0.01, stale_s=0.1)
    device = Device(name="r", driver="robot.drivers.crsf:CrsfDriver")
    spec: Any = SimpleNamespace(name="robot", sensors=(sensor,))

    def case(rng: random.Random, tally: Tally) -> None:
        data = stream(rng, crsf_messages(rng), CRSF_DENSE, rng.randrange(1, 30), 3)
        flush = bytes(64)
        found: list[tuple[int, bytes]] = []
        parser = crsf_frame.CrsfParser(lambda name: tally.refused.update([name]))
        port = ScriptedPort()
        driver, measurements = CrsfDriver(spec, device, port), Measurements(spec)
        driver.open(0)
        for now, piece in enumerate([*cut(rng, data), flush]):
            found += parser.feed(piece)
            port.incoming = piece
            driver.poll(now * TICK_NS, measurements)
        assert found == crsf_frames_in(data + flush), "not the frames that are in the stream"
        good = crsf_frame.frame(7, b"after all that")
        assert parser.feed(good) == [(7, b"after all that")], "a valid frame after garbage is found at once"
        whole = [p for kind, p in found if kind == crsf_frame.RC_CHANNELS and len(p) == 22]
        count = measurements.sequence("radio")
        assert count <= len(whole), "channels of no valid frame"
        if count:
            seen = measurements.values("radio").tolist()
            said = [int.from_bytes(p, "little") for p in whole]
            levels = [[(2 * (w >> 11 * k & 2047) - 1983) / 1639 for k in (0, 4, 15)] for w in said]
            assert seen in levels, "channels that nobody sent"
        tally.taken += len(found)
        tally.bytes += len(data)

    return case


TARGETS = (
    Target("vesc_stream", start_vesc_stream, 4.0),
    Target("vesc_driver", start_vesc_driver, 1.0),
    Target("ubx_stream", start_ubx_stream, 2.0),
    Target("ubx_driver", start_ubx_driver, 0.5),
    Target("crsf", start_crsf, 1.0),
)
