"""What lies on disks and in shared memory: logs, spools and journals after an accident, and mailboxes in
which somebody wrote anything."""

from __future__ import annotations

import os
import random
import shutil
import struct
import zlib
from pathlib import Path

import lz4.frame
import msgspec
import numpy as np
from fuzz_bytes import EDGES, NUMBERS, damaged
from fuzz_target import Case, Tally, Target
from small_bundle import made, report
from small_session import CONTRACT, SPEC, STEP, make_rows, make_ticks

from learners.journal import Journal
from robot.bundle import unpack
from robot.clock import SimulatedClock
from robot.errors import BundleError, SandlotError
from robot.frame_file import FrameFile
from robot.inbox import POSE_AGE_NS, Inbox, OperatorInbox, PoseInbox
from robot.log_reader import read_log
from robot.log_repair import repair, seal
from robot.messages import OPERATOR_DTYPE, PILOT_DTYPE, POSE_DTYPE, Event, command_dtype
from robot.recorder import PILOT, STEPS, TICKS, Recorder
from robot.safety.command_gate import CommandGate
from robot.shared_memory import Mailbox, Ring
from robot.spool import Spool
from robot.wire import describe

HEADER = 64
"""Bytes before a mailbox's or a ring's first slot."""


def emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def broken(rng: random.Random, data: bytes) -> bytes:
    """A file after an accident: cut, flipped, with zeros in it, or with a block from elsewhere."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0:
            data = data[:at]
        elif kind == 1:
            data = data[:at] + bytes(rng.choice((1, 16, 512))) + data[at + rng.choice((0, 1, 16, 512)) :]
        elif kind == 2:
            start = rng.randrange(len(data) + 1)
            data = data[:at] + data[start : start + rng.choice((10, 100, 1000))] + data[at:]
        elif kind == 3:
            data += rng.randbytes(rng.choice((1, 7, 200)))
        elif kind == 4 and data:
            at = rng.randrange(len(data))
            data = data[:at] + bytes((rng.choice(EDGES),)) * rng.choice((1, 4, 8)) + data[at + 8 :]
        elif data:
            at = rng.randrange(len(data))
            data = data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]
    return data


# Frame files, and what is kept in them


def start_frame_file(folder: Path) -> Case:
    def case(rng: random.Random, tally: Tally) -> None:
        path = emptied(folder / "frames") / "file"
        about = rng.randbytes(rng.choice((0, 5, 60)))
        file = FrameFile(path, about)
        written = []
        for k in range(rng.randrange(12)):
            payload, tag = rng.randbytes(rng.choice((0, 1, 50, 400))), rng.randbytes(rng.choice((0, 0, 3)))
            frame = file.append(k, payload, tag)
            written.append((frame.number, frame.tag, payload))
        file.close()
        data = broken(rng, path.read_bytes())
        path.write_bytes(data)
        tally.bytes += len(data)
        try:
            file = FrameFile(path, about)
        except SandlotError as error:
            tally.refused[str(error)[-24:]] += 1
            return
        found = [(f.number, f.tag, file.read(f)) for f in file.frames()]
        assert all(f in written for f in found), "a frame that nobody wrote"
        tally.taken += len(found)
        file.append(99, b"after")
        assert [f.number for f in file.frames()] == [f[0] for f in found] + [99], (
            "it goes on after an accident"
        )
        file.close()

    return case


def start_spool(folder: Path) -> Case:
    """Spools and journals: after an accident, and with sound frames whose content is nonsense."""

    def case(rng: random.Random, tally: Tally) -> None:
        directory = emptied(folder / "spool")
        spool = Spool(directory, STEP, "s", segment_bytes=2000)
        made = 0
        for _ in range(rng.randrange(1, 8)):
            count = rng.randrange(1, 12)
            spool.append(made, make_rows(made, count))
            made += count
        spool.close()
        paths = sorted(directory.glob("*.steps"))
        path = rng.choice(paths)
        if rng.random() < 0.7:
            data = broken(rng, path.read_bytes())
            path.write_bytes(data)
            tally.bytes += len(data)
        elif rng.random() < 0.5:
            file = FrameFile(path, msgspec.msgpack.encode({"session": "s", "dtype": describe(STEP)}))
            payload = rng.randbytes(rng.choice((0, 1, STEP.itemsize - 1, STEP.itemsize)))
            file.append(rng.choice((0, made, 2**64 - 1)), payload, rng.choice((b"", b"\xff\xfe")))
            file.close()
            tally.bytes += path.stat().st_size
        else:
            shutil.copy(path, directory / rng.choice(("strange.steps", "-1.steps", f"{2**70}.steps")))
            tally.bytes += path.stat().st_size
        try:
            spool = Spool(directory, STEP, "s", segment_bytes=2000)
            at = spool.first_sequence
            for _ in range(200):
                at, rows = spool.read(at, 5)
                if not len(rows):
                    break
                at += len(rows)
                tally.taken += len(rows)
            spool.append(max(spool.next_sequence, made), make_rows(made, 1))
            spool.trim(made)
            spool.close()
        except SandlotError as error:
            tally.refused[str(error)[-24:]] += 1

    return case


def start_journal(folder: Path) -> Case:
    def case(rng: random.Random, tally: Tally) -> None:
        path = emptied(folder / "journal") / "rows.journal"
        journal = Journal(path, STEP)
        at: dict[str, int] = {}
        written: dict[str, list[int]] = {}
        for _ in range(rng.randrange(1, 8)):
            session = rng.choice(("a", "b"))
            rows = make_rows(at.get(session, 0), rng.randrange(1, 12), ord(session))
            journal.append(session, at.get(session, 0), rows)
            at[session] = at.get(session, 0) + len(rows)
            written.setdefault(session, []).extend(rows["sequence"].tolist())
        journal.close()
        if rng.random() < 0.8:
            path.write_bytes(broken(rng, path.read_bytes()))
        else:
            file = FrameFile(path, msgspec.msgpack.encode({"dtype": describe(STEP)}))
            file.append(0, rng.randbytes(rng.choice((0, 5, STEP.itemsize))), rng.choice((b"a", b"\xff\xfe")))
            file.close()
            written.clear()
        tally.bytes += path.stat().st_size
        try:
            journal = Journal(path, STEP)
            found = list(journal.replay())
            journal.close()
        except SandlotError as error:
            tally.refused[str(error)[-24:]] += 1
            return
        for session, rows in found:
            assert not written or set(rows["sequence"].tolist()) <= set(written[session])
            tally.taken += len(rows)

    return case


# Logs


def start_log(folder: Path) -> Case:
    whole = folder / "whole.mcap"
    recorder = Recorder(whole, SPEC, CONTRACT, {"manifest": "seed = 3"})
    pilot = np.zeros(1, PILOT_DTYPE)
    for k in range(3):
        recorder.rows(TICKS, 3 * k, make_ticks(3 * k, 3))
        recorder.rows(STEPS, 2 * k, make_rows(2 * k, 2))
        recorder.rows(PILOT, k + 1, pilot)
        recorder.event("guardian", Event(time_ns=k, kind="state", text="ACTIVE"), k)
        recorder.flush()
    recorder.close()
    original = whole.read_bytes()
    ticks, steps = make_ticks(0, 9), make_rows(0, 6)

    def case(rng: random.Random, tally: Tally) -> None:
        path = folder / "broken.mcap"
        crafted = rng.random() < 0.4
        data = rechunked(rng, original) if crafted else broken(rng, bitten(rng, original))
        path.write_bytes(data)
        tally.bytes += len(data)
        try:
            log = read_log(path)
            tally.taken += len(log.arrays)
            if not crafted:  # the checksums are those of what was recorded
                for topic, rows in ((TICKS, ticks), (STEPS, steps)):
                    found = log.arrays.get(topic, rows[:0])
                    assert all((r == rows).any() for r in found), "rows nobody wrote"
            assert 0 <= log.lost_bytes <= len(data)
        except SandlotError as error:
            tally.refused[str(error)[-24:]] += 1
        out = folder / "repaired.mcap"
        out.unlink(missing_ok=True)
        try:
            repair(path, out)
        except SandlotError as error:
            tally.refused[str(error)[-24:]] += 1
        try:
            dropped = seal(path)
            assert 0 <= dropped <= len(data)
            assert seal(path) == 0, "a sealed log is whole"
        except SandlotError as error:
            tally.refused[str(error)[-24:]] += 1

    return case


def bitten(rng: random.Random, data: bytes) -> bytes:
    """A log with a few bits of its chunks' own data turned over: most of a small log is something else."""
    changed = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 3))):
        start = data.find(b"lz4", rng.randrange(len(data)))
        if 0 <= start < len(data) - 80:
            changed[start + 20 + rng.randrange(60)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def rechunked(rng: random.Random, data: bytes) -> bytes:
    """A log whose chunks hold damaged records under right checksums: what only a liar or a bug writes."""
    at, out = 8, data[:8]
    while at + 9 <= len(data) - 8:
        opcode, length = struct.unpack_from("<BQ", data, at)
        body = data[at + 9 : at + 9 + length]
        if opcode == 6 and rng.random() < 0.5:  # a chunk
            times, (size, _) = body[:16], struct.unpack_from("<QI", body, 16)
            (name_length,) = struct.unpack_from("<I", body, 28)
            start = 32 + name_length + 8
            inner = lz4.frame.decompress(body[start:]) if name_length else body[start:]
            assert len(inner) == size
            inner = damaged(rng, [inner], bytes((0, 4, 5, 255)), len(inner))
            lie = len(inner) if rng.random() < 0.9 else rng.choice(NUMBERS) % 2**64
            compressed = lz4.frame.compress(inner)
            head = struct.pack("<QI", lie, zlib.crc32(inner)) + struct.pack("<I", 3) + b"lz4"
            body = times + head + struct.pack("<Q", len(compressed)) + compressed
        out += struct.pack("<BQ", opcode, len(body)) + body
        at += 9 + length
    return out + data[-8:]


# Shared memory


def start_mailboxes(folder: Path) -> Case:
    """Arbitrary bits, through the real inboxes and the gate: what is believed was whole, young and sane."""
    clock = SimulatedClock(10**9)
    kinds = {"command": command_dtype(SPEC), "operator": OPERATOR_DTYPE, "pose": POSE_DTYPE}
    boxes = {name: Mailbox(folder / f"{name}.mailbox", dtype, create=True) for name, dtype in kinds.items()}
    writers = {name: os.open(folder / f"{name}.mailbox", os.O_RDWR) for name in kinds}
    timeout_ns = round(SPEC.enable.timeout_s * 1e9)

    def smuggle(rng: random.Random, name: str, tally: Tally) -> None:
        """Write a record without asking the mailbox: any bits, a right or a wrong checksum, any counter."""
        dtype, file = kinds[name], writers[name]
        record = np.frombuffer(bytearray(rng.randbytes(dtype.itemsize)), dtype).copy()
        if rng.random() < 0.7:
            record["time_ns"] = clock.now_ns() - rng.choice((0, 10**7, timeout_ns, timeout_ns + 1, -1))
        if rng.random() < 0.7:
            for field in set(dtype.names or ()) - {"sequence", "time_ns"}:
                number = np.issubdtype(dtype[field].base, np.floating)
                record[field] = rng.choice((0, 1, 2, *((np.inf, np.nan) if number else ())))
        sequence = rng.choice((boxes[name].sequence + 1, *NUMBERS)) % 2**64
        record["sequence"] = sequence if rng.random() < 0.8 else rng.getrandbits(64)
        data = record.tobytes()
        good = rng.random() < 0.7
        check = zlib.crc32(data) if good else rng.getrandbits(32)
        stride = -(-(dtype.itemsize + 8) // 64) * 64
        slots = (sequence & 1,) if rng.random() < 0.8 else (0, 1)
        for slot in slots:
            os.pwrite(file, data + check.to_bytes(4, "little"), HEADER + stride * slot)
        os.pwrite(file, sequence.to_bytes(8, "little"), 24)
        tally.bytes += len(data) + 12

    def whole(name: str) -> set[bytes]:
        """The records that now lie there with their right checksum."""
        size = kinds[name].itemsize
        stride = -(-(size + 8) // 64) * 64
        slots = [os.pread(writers[name], size + 4, HEADER + stride * slot) for slot in (0, 1)]
        return {s[:size] for s in slots if zlib.crc32(s[:size]) == int.from_bytes(s[size:], "little")}

    def case(rng: random.Random, tally: Tally) -> None:
        operator = OperatorInbox(boxes["operator"], SPEC.enable.timeout_s)
        poses = PoseInbox(boxes["pose"])
        commands = Inbox(boxes["command"])
        gate = CommandGate(len(SPEC.actuators), SPEC.safety.command_timeout_s, 1, boxes["command"].sequence)
        for _ in range(rng.randrange(1, 20)):
            for name in kinds:
                if rng.random() < 0.6:
                    smuggle(rng, name, tally)
                if rng.random() < 0.1:
                    boxes[name].write(np.zeros(1, kinds[name]))
            now = clock.now_ns()
            for name, box in boxes.items():
                newest = box.read()
                assert newest is None or newest.tobytes() in whole(name), f"{name}: a torn record"
            operator.update(clock)
            if operator.enable:
                record = boxes["operator"].read()
                held = operator._time_ns
                assert held is not None and 0 <= now - held <= timeout_ns, "enabled by an old record"
                tally.taken += record is not None
            if poses.update(clock):
                assert np.isfinite(poses.pose).all() and (poses.variance > 0.0).all()
                assert np.isfinite(poses.variance).all() and 0 <= now - poses.time_ns <= POSE_AGE_NS
                tally.taken += 1
            else:
                tally.refused["pose"] += 1
            record = commands.take()
            if record is not None:
                before, valid = gate.setpoint.copy(), gate.valid
                verdict = gate.offer(
                    now,
                    int(record["sequence"][0]),
                    int(record["time_ns"][0]),
                    int(record["epoch"][0]),
                    record["setpoint"][0],
                    int(record["actor"][0]),
                    int(record["policy_version"][0]),
                )
                if verdict == "accepted":
                    assert int(record["epoch"][0]) == 1
                    assert 0 <= now - int(record["time_ns"][0]) <= gate.timeout_ns
                    assert np.isfinite(gate.setpoint).all()
                    tally.taken += 1
                else:
                    assert gate.valid == valid and (before.tobytes() == gate.setpoint.tobytes())
                    tally.refused[verdict] += 1
            assert not gate.valid or np.isfinite(gate.setpoint).all()
            clock.sleep_until(now + rng.choice((10**7, timeout_ns)))

    return case


def start_rings(folder: Path) -> Case:
    """Rings whose cursors say anything: neither end raises, nor copies more than it was asked to, nor takes
    for a record what was not pushed with that number."""
    dtype = np.dtype([("sequence", "<u8"), ("value", "<f8")], align=True)
    ring = Ring(folder / "fuzz.ring", dtype, 16, create=True)
    file = os.open(folder / "fuzz.ring", os.O_RDWR)
    lies: dict[int, tuple[int, bytes]] = {}  # in each slot: the number pushed last, and what

    def case(rng: random.Random, tally: Tally) -> None:
        for word in range(3, 6):
            if rng.random() < 0.7:
                value = rng.choice((*NUMBERS, rng.getrandbits(64), rng.randrange(64))) % 2**64
                os.pwrite(file, value.to_bytes(8, "little"), 8 * word)
        for _ in range(rng.randrange(1, 20)):
            record = np.frombuffer(rng.randbytes(dtype.itemsize), dtype)
            tally.bytes += dtype.itemsize
            most = rng.choice((0, 1, 16, 1000))
            number = ring.written
            if ring.push(record):
                lies[number % 16] = number % 2**32, record.tobytes()
                tally.taken += 1
            first, peeked = ring.consumed, ring.peek(most)
            assert len(peeked) <= min(most, 16)
            for k, row in enumerate(peeked, first):
                assert lies.get(k % 16) == (k % 2**32, row.tobytes()), "a record that nobody pushed"
            assert len(ring.newest(most)) <= most
            ring.consume(len(peeked))
            tally.refused["waiting"] += ring.waiting > 16
        for word in range(3, 6):
            os.pwrite(file, bytes(8), 8 * word)
        for k in range(20):
            record = np.array([(k, 0.5)], dtype)
            assert ring.push(record) == (k < 16)
            if k < 16:
                lies[k] = k, record.tobytes()
        assert ring.peek(100)["sequence"].tolist() == list(range(16)), "it works again with sound cursors"
        ring.consume(16)

    return case


# Bundles


def start_bundle(folder: Path) -> Case:
    """Bundles after an accident, or by a liar: only one that was made is taken, and its content is its
    own."""
    valid = [made(), made(version=2), made(version=3, smoke=report(gate="smoke"))]
    contents = [unpack(data) for data in valid]

    def case(rng: random.Random, tally: Tally) -> None:
        whole = rng.choice(valid)
        data = broken(rng, whole) if rng.random() < 0.5 else damaged(rng, valid, b"\0" + whole[:200])
        tally.bytes += len(data)
        try:
            found = unpack(data)
        except BundleError as error:
            assert len(str(error).splitlines()) == 1, "one sentence"
            tally.refused[str(error)[-24:]] += 1
            return
        assert data in valid and found == contents[valid.index(data)], "a bundle that nobody made"
        tally.taken += 1

    return case


TARGETS = (
    Target("bundle", start_bundle, 1.0),
    Target("frame_file", start_frame_file, 1.0),
    Target("spool", start_spool, 0.5),
    Target("journal", start_journal, 0.5),
    Target("log", start_log, 6.0),
    Target("mailboxes", start_mailboxes, 1.0),
    Target("rings", start_rings, 0.2),
)
